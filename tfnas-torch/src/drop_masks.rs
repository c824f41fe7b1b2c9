//! Dropout and drop-connect: what one training step leaves out.
//!
//! Masks are drawn on the host, from streams of their own for each step: libtorch's generator has no part in a result, and
//! the same step leaves out the same things on every device.

use tch::{Device, Tensor};
use tfnas::schedule::drop_connect_rates;
use tfnas_random::{Stream, StreamId};

use crate::derived::DerivedNetwork;

/// How much is left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropRates {
    /// Share of the classifier's inputs set to 0, at least 0 and below 1.
    pub dropout: f64,
    /// Share of samples that skip the last block, at least 0 and below 1; earlier blocks in proportion.
    pub drop_connect: f64,
}

/// Which step of a training the masks are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepKey {
    /// Seed of the run.
    pub seed: u64,
    /// Epoch, from 0.
    pub epoch: u32,
    /// Step of the epoch, from 0.
    pub step: u32,
}

/// The factors of one step: 0 where something is left out, 1 / (probability to stay) elsewhere; none where the rate is 0.
#[derive(Debug)]
pub struct DropMasks {
    /// `[N, features]` f32, of the classifier's inputs.
    pub(crate) classifier: Option<Tensor>,
    /// `[N, 1, 1, 1]` f32 for the second stem and each block; none for a block that does not add its input.
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

    /// The masks of `count` of the samples, from `first` on: those of one rank.
    ///
    /// So the ranks of a step leave out what one process would that has all its samples.
    pub fn of_samples(&self, first: usize, count: usize) -> Self {
        let part = |mask: &Option<Tensor>| mask.as_ref().map(|mask| mask.narrow(0, first as i64, count as i64));
        Self { classifier: part(&self.classifier), blocks: self.blocks.iter().map(part).collect() }
    }

    /// Masks that leave out nothing.
    pub fn none(network: &DerivedNetwork) -> Self {
        Self { classifier: None, blocks: network.blocks().map(|_| None).collect() }
    }
}

/// A mask of this shape, each entry 0 with probability `rate`; none for a rate of 0.
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
    fn a_mask_keeps_the_mean() {
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
