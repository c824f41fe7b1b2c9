//! Masks for dropout and drop-connect in one training step.
//!
//! Masks are drawn on the host, from separate random streams for each step, so they do not depend on libtorch's
//! generator and are the same on every device.

use std::ops::Range;

use tch::{Device, Kind, Tensor};
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
        let stream = |purpose| Stream::new(key.seed, purpose, key.epoch, key.step);
        let features = network.config().classifier.in_features;
        let mut dropout = stream(StreamId::Dropout);
        let mut drop_connect = stream(StreamId::DropConnect);
        // All factors are copied to the device together.
        let mut factors = Vec::new();
        let classifier = draw_factors(samples * features, rates.dropout, &mut dropout, &mut factors);
        let block_rates = drop_connect_rates(rates.drop_connect, network.config().block_count() - 1);
        let blocks = network.blocks().zip(block_rates).map(|(block, rate)| {
            let rate = if block.has_residual() { rate } else { 0.0 };
            draw_factors(samples, rate, &mut drop_connect, &mut factors)
        });
        let blocks: Vec<_> = blocks.collect();
        let factors = on_device(&factors, network.device());
        let mask =
            |part: Range<usize>, shape: &[i64]| factors.narrow(0, part.start as i64, part.len() as i64).view(shape);
        let samples = samples as i64;
        Self {
            classifier: classifier.map(|part| mask(part, &[samples, features as i64])),
            blocks: blocks.into_iter().map(|part| part.map(|part| mask(part, &[samples, 1, 1, 1]))).collect(),
        }
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

/// Appends `count` factors: each is 0 with probability `rate`. Returns their place, or `None` for a rate of 0.
fn draw_factors(count: usize, rate: f64, stream: &mut Stream, factors: &mut Vec<f32>) -> Option<Range<usize>> {
    if rate == 0.0 {
        return None;
    }
    let first = factors.len();
    let stays = (1.0 / (1.0 - rate)) as f32;
    factors.extend((0..count).map(|_| if f64::from(stream.uniform_f32()) < rate { 0.0 } else { stays }));
    Some(first..factors.len())
}

/// Copies values to a device. The host does not wait for a CUDA device, which may still compute the previous step.
fn on_device(values: &[f32], device: Device) -> Tensor {
    let values = Tensor::from_slice(values);
    if device.is_cuda() && values.numel() > 0 {
        return values.pin_memory(device).to_device_(device, Kind::Float, true, false);
    }
    values.to_device(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_preserve_the_mean() {
        let mut factors = vec![7.0];
        let mut stream = Stream::new(0, StreamId::Dropout, 0, 0);
        assert_eq!(draw_factors(100_000, 0.2, &mut stream, &mut factors), Some(1..100_001));
        let factors = Tensor::from_slice(&factors[1..]);
        let zeros = factors.eq(0.0).sum(Kind::Double).double_value(&[]) / 1e5;
        assert!((zeros - 0.2).abs() < 0.01, "{zeros}");
        assert!((factors.mean(Kind::Double).double_value(&[]) - 1.0).abs() < 0.01);
    }

    #[test]
    fn a_rate_of_zero_has_no_factors() {
        let (mut stream, mut factors) = (Stream::new(0, StreamId::Dropout, 0, 0), Vec::new());
        assert_eq!(draw_factors(4, 0.0, &mut stream, &mut factors), None);
        assert!(factors.is_empty());
    }
}
