//! Training one network on several ranks, each on its part of every batch.
//!
//! All ranks have the same weights at every step: they begin with those of rank 0, and the mean of their gradients, the same
//! bytes on each, moves them. With shared statistics the network is also the one, up to rounding, that a single process
//! would train on the whole batches. The steps are those of a [`Trainer`](crate::trainer::Trainer).

use std::cell::RefCell;
use std::rc::Rc;

use tch::{Kind, Tensor, no_grad};
use tfnas_c10d::{BatchNormTensors, CollectiveError, ProcessGroup, Reducer, ReducerSettings};

use crate::derived::DerivedNetwork;
use crate::drop_masks::DropMasks;
use crate::gradient::Gradients;
use crate::named_tensors::{Module, Role};

/// This rank's part in training a network together with others.
#[derive(Debug)]
pub struct DataParallel {
    group: Rc<ProcessGroup>,
    reducer: Reducer,
    statistics: Option<Rc<SyncBatchNorm>>,
}

impl DataParallel {
    /// Prepares a network for training on the ranks of a group: all tensors get the values of rank 0. Every rank must do so
    /// with a network of the same configuration.
    ///
    /// * `shares_statistics`: whether a batch norm in training has the statistics of all ranks' batches together
    ///   (synchronised batch norm), or those of its own rank's.
    ///
    /// # Errors
    /// [`CollectiveError`]; also for a network of another configuration than that of rank 0.
    pub fn new(
        group: ProcessGroup,
        network: &mut DerivedNetwork,
        shares_statistics: bool,
    ) -> Result<Self, CollectiveError> {
        // The reducer compares the shapes of all ranks, which a broadcast does not.
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

    /// The ranks.
    pub fn group(&self) -> &ProcessGroup {
        &self.group
    }

    /// Whether a rank with a single image still has statistics of several numbers: those of the other ranks'.
    pub(crate) fn shares_statistics(&self) -> bool {
        self.statistics.is_some() && self.group.world_size() > 1
    }

    /// The mean of the ranks' gradients of their losses, of the network's weights, for a forward pass that has just ended.
    ///
    /// # Errors
    /// [`CollectiveError`]; also one of the forward pass. The training cannot go on then.
    pub(crate) fn gradients(&mut self, loss: &Tensor) -> Result<Gradients, CollectiveError> {
        match self.statistics.as_ref().and_then(|statistics| statistics.failure()) {
            Some(failure) => Err(failure),
            None => self.reducer.backward(loss),
        }
    }

    /// Gives all ranks the running statistics of rank 0: before a network is evaluated or saved, where statistics are not
    /// shared.
    ///
    /// # Errors
    /// [`CollectiveError`].
    pub fn share_buffers(&self, network: &DerivedNetwork) -> Result<(), CollectiveError> {
        self.group.broadcast(&network.tensors(Role::Buffer).to_vec(), 0)
    }
}

/// One backward pass that counts for nothing: c10d orders its buckets by the first one. So every step that counts adds up in the
/// same order, in a training that goes on from a saved state too.
fn order_buckets(reducer: &mut Reducer, network: &DerivedNetwork) -> Result<(), CollectiveError> {
    let before: Vec<Tensor> = network.tensors(Role::Buffer).iter().map(|(_, buffer)| buffer.copy()).collect();
    // The smallest images that no layer makes less than a pixel of; two of them, for the sake of batch norm.
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

/// What the batch norms of a network compute together with those of the other ranks.
///
/// A forward pass has no way to fail; so the first failure is kept here, nothing more is exchanged, and every step ends with it.
#[derive(Debug)]
pub struct SyncBatchNorm {
    group: Rc<ProcessGroup>,
    failure: RefCell<Option<CollectiveError>>,
}

impl SyncBatchNorm {
    fn new(group: Rc<ProcessGroup>) -> Self {
        Self { group, failure: RefCell::new(None) }
    }

    /// `x` normalized; after a failure as it is.
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
