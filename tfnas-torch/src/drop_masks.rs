//! Masks for dropout and drop-connect in one training step.
//!
//! Masks are drawn on the host, from separate random streams for each step, so they do not depend on libtorch's
//! generator and are the same on every device.

use tch::{Device, Tensor};
use tfnas::schedule::drop_connect_rates;
use tfnas_random::{Stream, StreamId};

use crate::derived::DerivedNetwork;

/// Probabilities of dropout and drop-connect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropRates {
    /// Dropout probability of the classifier's inputs, in [0, 1).
    pub dropout: f64,
    /// Drop-connect probability of the last block, in [0, 1); it rises linearly with the index of the block.
    pub drop_connect: f64,
}

/// Identifies a training step; masks are a function of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepKey {
    /// Seed of the run.
    pub seed: u64,
    /// Epoch, from 0.
    pub epoch: u32,
    /// Step of the epoch, from 0.
    pub step: u32,
}

/// The masks of one step: 0 for dropped entries, 1 / (keep probability) for the others. `None` if the rate is 0.
#[derive(Debug)]
pub struct DropMasks {
    /// `[N, features]` f32, for the classifier's inputs.
    pub(crate) classifier: Option<Tensor>,
    /// `[N, 1, 1, 1]` f32 for the second stem and each block; `None` for a block without a residual connection.
    pub(crate) blocks: Vec<Option<Tensor>>,
}

impl DropMasks {
    /// Draws the masks of one step for a batch of `samples` images.
    ///
    /// Source: `drop_connect` in the authors' `tools/utils.py`, `Network.forward` in `models/model_eval.py`.
    pub fn draw(network: &DerivedNetwork, rates: DropRates, samples: usize, key: StepKey) -> Self {
        let device = network.device();
        let stream = |purpose| Stream::new(key.seed, purpose, key.epoch, key.step);
        let features = network.config().classifier.in_features;
        let mut dropout = stream(StreamId::Dropout);
        let mut drop_connect = stream(StreamId::DropConnect);
        let block_rates = drop_connect_rates(rates.drop_connect, network.config().block_count() - 1);
        let blocks = network.blocks().zip(block_rates).map(|(block, rate)| {
            let rate = if block.has_residual() { rate } else { 0.0 };
            mask(&[samples, 1, 1, 1], rate, &mut drop_connect, device)
        });
        Self { classifier: mask(&[samples, features], rates.dropout, &mut dropout, device), blocks: blocks.collect() }
    }

    /// Returns the masks of `count` samples from `first` on: those of one rank.
    ///
    /// With these, the ranks together drop exactly what a single process with the complete batch would drop.
    pub fn of_samples(&self, first: usize, count: usize) -> Self {
        let part = |mask: &Option<Tensor>| mask.as_ref().map(|mask| mask.narrow(0, first as i64, count as i64));
        Self { classifier: part(&self.classifier), blocks: self.blocks.iter().map(part).collect() }
    }

    /// Returns masks that drop nothing.
    pub fn none(network: &DerivedNetwork) -> Self {
        Self { classifier: None, blocks: network.blocks().map(|_| None).collect() }
    }
}

/// Draws a mask of this shape: each entry is 0 with probability `rate`. Returns `None` for a rate of 0.
fn mask(shape: &[usize], rate: f64, stream: &mut Stream, device: Device) -> Option<Tensor> {
    if rate == 0.0 {
        return None;
    }
    let stays = (1.0 / (1.0 - rate)) as f32;
    let factor = |stream: &mut Stream| if f64::from(stream.uniform_f32()) < rate { 0.0 } else { stays };
    let factors: Vec<f32> = (0..shape.iter().product()).map(|_| factor(stream)).collect();
    let shape: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
    Some(Tensor::from_slice(&factors).view(shape.as_slice()).to_device(device))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    #[test]
    fn a_mask_preserves_the_mean() {
        let mut stream = Stream::new(0, StreamId::Dropout, 0, 0);
        let mask = mask(&[100, 1000], 0.2, &mut stream, Device::Cpu).expect("a rate above 0");
        let zeros = mask.eq(0.0).sum(Kind::Double).double_value(&[]) / 1e5;
        assert!((zeros - 0.2).abs() < 0.01, "{zeros}");
        assert!((mask.mean(Kind::Double).double_value(&[]) - 1.0).abs() < 0.01);
    }

    #[test]
    fn a_rate_of_zero_has_no_mask() {
        let mut stream = Stream::new(0, StreamId::Dropout, 0, 0);
        assert!(mask(&[2, 2], 0.0, &mut stream, Device::Cpu).is_none());
    }
}
