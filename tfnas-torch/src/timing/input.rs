//! Random inputs for timed calls.

use std::collections::HashMap;

use tch::{Device, Tensor};
use tfnas_random::{Stream, StreamId};

/// Bound of a uniform distribution of variance 1: √3.
const UNIT_VARIANCE: f32 = 1.732_050_8;
/// Index of the input stream among the streams of [`StreamId::Timing`]; the lower ones are used for shuffling.
const STREAM: u32 = u32::MAX;

/// Channels and side of a feature map.
pub(super) type MapShape = (usize, usize);

/// Input tensors, one for each shape.
pub(super) struct Inputs(HashMap<MapShape, Tensor>);

impl Inputs {
    /// Creates one input `[batch, channels, side, side]` for each shape: channels-last, f32, mean 0, variance 1.
    pub(super) fn new(shapes: impl Iterator<Item = MapShape>, batch: usize, seed: u64, device: Device) -> Self {
        let mut stream = Stream::new(seed, StreamId::Timing, STREAM, 0);
        let mut inputs = HashMap::new();
        for shape in shapes {
            inputs.entry(shape).or_insert_with(|| random_map(shape, batch, &mut stream, device));
        }
        Self(inputs)
    }

    pub(super) fn of(&self, shape: MapShape) -> &Tensor {
        &self.0[&shape]
    }
}

fn random_map((channels, side): MapShape, batch: usize, stream: &mut Stream, device: Device) -> Tensor {
    let size = [batch, side, side, channels];
    let count = size.iter().product();
    let values: Vec<f32> = (0..count).map(|_| (2.0 * stream.uniform_f32() - 1.0) * UNIT_VARIANCE).collect();
    let channels_last = Tensor::from_slice(&values).view(size.map(|length| length as i64).as_slice());
    channels_last.to_device(device).permute([0, 3, 1, 2])
}
