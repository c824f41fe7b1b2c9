//! Trains one network on several ranks, each with its part of every batch.
//!
//! All ranks have the same weights at every step: they start with the weights of rank 0, and every step applies the
//! mean gradient, which is identical on all ranks. With synchronized batch norm the result equals, up to rounding,
//! training on the complete batches in a single process. The steps are taken by a [`Trainer`](crate::trainer::Trainer).

use std::cell::RefCell;
use std::rc::Rc;

use tch::{Kind, Tensor, no_grad};
use tfnas_c10d::{BatchNormTensors, CollectiveError, ProcessGroup, Reducer, ReducerSettings};

use crate::derived::DerivedNetwork;
use crate::drop_masks::DropMasks;
use crate::gradient::Gradients;
use crate::named_tensors::{Module, Role};

/// Data-parallel training of a network, as seen by one rank.
#[derive(Debug)]
pub struct DataParallel {
    group: Rc<ProcessGroup>,
    reducer: Reducer,
    statistics: Option<Rc<SyncBatchNorm>>,
}

impl DataParallel {
    /// Prepares a network for training on the ranks of a group: broadcasts all tensors of rank 0. Every rank must call
    /// this with a network of the same configuration.
    ///
    /// * `shares_statistics`: whether batch norms in training use the statistics of all ranks' batches (synchronized
    ///   batch norm) or only those of this rank's batch.
    ///
    /// # Errors
    /// Returns a [`CollectiveError`] if a rank fails or its network has a different configuration from that of rank 0.
    pub fn new(
        group: ProcessGroup,
        network: &mut DerivedNetwork,
        shares_statistics: bool,
    ) -> Result<Self, CollectiveError> {
        // The reducer compares the shapes of all ranks; a broadcast does not.
        let mut reducer = Reducer::new(&group, &network.tensors(Role::Weight).to_vec(), ReducerSettings::default())?;
        order_buckets(&mut reducer, network)?;
        group.broadcast(&network.state().to_vec(), 0)?;
        let group = Rc::new(group);
        let statistics = shares_statistics.then(|| Rc::new(SyncBatchNorm::new(Rc::clone(&group))));
        if let Some(statistics) = &statistics {
            network.share_statistics(statistics);
        }
        Ok(Self { group, reducer, statistics })
    }

    /// The ranks that train together.
    pub fn group(&self) -> &ProcessGroup {
        &self.group
    }

    /// Whether batch statistics come from more than one rank, so that they are defined even for a single image per
    /// rank.
    pub(crate) fn shares_statistics(&self) -> bool {
        self.statistics.is_some() && self.group.world_size() > 1
    }

    /// Runs the backward pass and returns the gradients of the weights, averaged over the ranks. Call it directly after
    /// a forward pass.
    ///
    /// # Errors
    /// Returns a [`CollectiveError`] if the exchange of gradients or of batch norm statistics failed. Training cannot
    /// continue then.
    pub(crate) fn gradients(&mut self, loss: &Tensor) -> Result<Gradients, CollectiveError> {
        match self.statistics.as_ref().and_then(|statistics| statistics.failure()) {
            Some(failure) => Err(failure),
            None => self.reducer.backward(loss),
        }
    }

    /// Broadcasts the running statistics of rank 0. Needed before a network is evaluated or saved if batch norm is not
    /// synchronized.
    ///
    /// # Errors
    /// Returns a [`CollectiveError`] if a rank does not take part.
    pub fn share_buffers(&self, network: &DerivedNetwork) -> Result<(), CollectiveError> {
        self.group.broadcast(&network.tensors(Role::Buffer).to_vec(), 0)
    }
}

/// Runs one backward pass without effect. c10d orders its buckets during the first backward pass, so every later step
/// sums in the same order, including the steps of a resumed training.
fn order_buckets(reducer: &mut Reducer, network: &DerivedNetwork) -> Result<(), CollectiveError> {
    let before: Vec<Tensor> = network.tensors(Role::Buffer).iter().map(|(_, buffer)| buffer.copy()).collect();
    // The smallest images for which no feature map becomes empty; two of them, because batch norm needs a variance.
    let images = Tensor::zeros([2, 3, 32, 32], (Kind::Float, network.device()));
    let logits = network.forward_training(&images, &DropMasks::none(network));
    reducer.backward(&logits.sum(Kind::Float))?;
    no_grad(|| {
        for ((_, buffer), before) in network.tensors(Role::Buffer).iter().zip(&before) {
            buffer.shallow_clone().copy_(before);
        }
    });
    Ok(())
}

/// Batch norm with statistics over all ranks.
///
/// A forward pass cannot return an error. The first failure is therefore kept here; after it nothing is exchanged, and
/// every step returns it.
#[derive(Debug)]
pub struct SyncBatchNorm {
    group: Rc<ProcessGroup>,
    failure: RefCell<Option<CollectiveError>>,
}

impl SyncBatchNorm {
    fn new(group: Rc<ProcessGroup>) -> Self {
        Self { group, failure: RefCell::new(None) }
    }

    /// Normalizes `x`; returns it unchanged after a failure.
    pub(crate) fn batch_norm(&self, x: &Tensor, norm: &BatchNormTensors<'_>) -> Tensor {
        let mut failure = self.failure.borrow_mut();
        if failure.is_some() {
            return x.shallow_clone();
        }
        self.group.batch_norm(x, norm).unwrap_or_else(|error| {
            *failure = Some(error);
            x.shallow_clone()
        })
    }

    fn failure(&self) -> Option<CollectiveError> {
        self.failure.borrow().clone()
    }
}
