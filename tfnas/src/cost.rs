//! Parameters and FLOPs of a network, in total and layer by layer.
//!
//! FLOPs are multiply-adds of one image, counted like in the authors' code: convolutions and the linear layer, one more
//! per output element if there is a bias, and the input elements of the head's pooling. Batch norm, activations,
//! squeeze-excite's pooling and sums are not counted. Counts saturate at `u64::MAX`.
//!
//! Source: `calculate_FLOPs_in_M` in the authors' `tools/flops_benchmark.py`, `count_parameters_in_MB` in
//! `tools/utils.py`.

use serde::Serialize;

use crate::config::{ConvConfig, LinearConfig, MbConvConfig, ModelConfig};
use crate::space::halved;

/// The cost of one layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerCost {
    /// Name of the layer in the authors' code, such as `stage1.block2`.
    pub name: String,
    /// Number of parameters: weights, biases, and scale and shift of batch norm.
    pub parameters: u64,
    /// Multiply-adds of one image.
    pub flops: u64,
}

/// Number of parameters of a network.
pub fn parameters(config: &ModelConfig) -> u64 {
    let layers = layers(config, 1);
    layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.parameters))
}

/// Multiply-adds of a network for one image.
///
/// * `resolution`: side of the image, in pixels.
pub fn flops(config: &ModelConfig, resolution: usize) -> u64 {
    let layers = layers(config, resolution);
    layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.flops))
}

/// The costs layer by layer, in order: both stems, the blocks, feature mix, pooling, classifier.
///
/// * `resolution`: side of the image, in pixels.
pub fn layers(config: &ModelConfig, resolution: usize) -> Vec<LayerCost> {
    let mut layers = Vec::with_capacity(config.block_count() + 4);
    let mut size = resolution;
    let mut add = |name: String, cost: Cost| {
        layers.push(LayerCost { name, parameters: cost.parameters, flops: cost.flops });
    };

    size = halved(size, config.first_stem.stride);
    add("first_stem".to_owned(), convolution(&config.first_stem, size));
    let (cost, output) = block(&config.second_stem, size);
    size = output;
    add("second_stem".to_owned(), cost);
    for (group, blocks) in config.groups.iter().enumerate() {
        for (index, layer) in blocks.iter().enumerate() {
            let (cost, output) = block(layer, size);
            size = output;
            add(format!("stage{}.block{}", group + 1, index + 1), cost);
        }
    }
    size = halved(size, config.feature_mix.stride);
    add("feature_mix_layer".to_owned(), convolution(&config.feature_mix, size));
    let pooling = Cost { parameters: 0, flops: product(&[config.feature_mix.out_channels, size, size]) };
    add("global_avg_pooling".to_owned(), pooling);
    add("classifier".to_owned(), linear(&config.classifier));
    layers
}

/// Multiply-adds of one inverted residual block for one image.
///
/// * `input_size`: side of its input, in pixels.
pub fn block_flops(layer: &MbConvConfig, input_size: usize) -> u64 {
    block(layer, input_size).0.flops
}

#[derive(Clone, Copy)]
struct Cost {
    parameters: u64,
    flops: u64,
}

impl Cost {
    /// Returns the cost of a convolution or linear layer. Each weight and bias is used once per output position.
    fn of(weights: u64, biases: usize, positions: u64) -> Self {
        let parameters = weights.saturating_add(biases as u64);
        Self { parameters, flops: parameters.saturating_mul(positions) }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            parameters: self.parameters.saturating_add(other.parameters),
            flops: self.flops.saturating_add(other.flops),
        }
    }

    /// Adds a batch norm over this number of channels.
    fn normalized(self, channels: usize) -> Self {
        Self { parameters: self.parameters.saturating_add(product(&[2, channels])), ..self }
    }
}

fn convolution(layer: &ConvConfig, output_size: usize) -> Cost {
    let weights = product(&[layer.in_channels, layer.out_channels, layer.kernel, layer.kernel]);
    Cost::of(weights, 0, product(&[output_size, output_size])).normalized(layer.out_channels)
}

/// Cost of an inverted residual block, and the side of its output.
fn block(layer: &MbConvConfig, size: usize) -> (Cost, usize) {
    let output = halved(size, layer.stride);
    let (before, after) = (product(&[size, size]), product(&[output, output]));
    let width = layer.mid_channels;

    let depthwise = Cost::of(product(&[width, layer.kernel, layer.kernel]), 0, after);
    let project = Cost::of(product(&[width, layer.out_channels]), 0, after);
    let mut cost = depthwise.normalized(width).plus(project.normalized(layer.out_channels));
    if layer.has_expansion() {
        let expand = Cost::of(product(&[layer.in_channels, width]), 0, before);
        cost = cost.plus(expand.normalized(width));
    }
    if layer.se_channels > 0 {
        let weights = product(&[width, layer.se_channels]);
        let reduce = Cost::of(weights, layer.se_channels, 1);
        let restore = Cost::of(weights, width, 1);
        cost = cost.plus(reduce).plus(restore);
    }
    (cost, output)
}

fn linear(layer: &LinearConfig) -> Cost {
    let weights = product(&[layer.in_features, layer.out_features]);
    Cost::of(weights, layer.out_features, 1)
}

fn product(factors: &[usize]) -> u64 {
    let factors = factors.iter().map(|&factor| factor as u64);
    factors.fold(1, u64::saturating_mul)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Activation, Architecture, Space};
    use tfnas_random::{Stream, StreamId};

    #[test]
    fn the_cost_of_a_block_is_that_of_its_convolutions() {
        let layer = MbConvConfig {
            in_channels: 4,
            mid_channels: 10,
            se_channels: 3,
            out_channels: 6,
            kernel: 3,
            stride: 2,
            activation: Activation::Swish,
        };
        let (cost, output) = block(&layer, 5);
        assert_eq!(output, 3);
        let squeeze_excite = 10 * 3 + 3 + 3 * 10 + 10;
        let flops = 4 * 10 * 25 + 10 * 9 * 9 + 10 * 6 * 9 + squeeze_excite;
        assert_eq!(cost.flops, flops);
        let norms = 2 * (10 + 10 + 6);
        let parameters = 4 * 10 + 10 * 9 + 10 * 6 + norms + squeeze_excite;
        assert_eq!(cost.parameters, parameters);
    }

    #[test]
    fn layers_add_up_to_the_network() {
        let space = Space::cifar();
        let mut stream = Stream::new(0, StreamId::RandomArchitecture, 0, 0);
        let architecture = Architecture::random(&space, &mut stream);
        let config = ModelConfig::from_architecture(&space, &architecture, 10).unwrap();
        let layers = layers(&config, 32);
        assert_eq!(layers.len(), config.block_count() + 4);
        assert_eq!(layers.iter().map(|layer| layer.flops).sum::<u64>(), flops(&config, 32));
        let sum: u64 = layers.iter().map(|layer| layer.parameters).sum();
        assert_eq!(sum, parameters(&config));
        assert_eq!(layers[0].flops, 27 * 16 * 32 * 32);
        assert_eq!(layers.last().unwrap().parameters, 512 * 10 + 10);
    }

    #[test]
    fn huge_sizes_saturate() {
        let layer = ConvConfig {
            in_channels: usize::MAX,
            out_channels: usize::MAX,
            kernel: usize::MAX,
            stride: 1,
            activation: Activation::Relu,
        };
        assert_eq!(convolution(&layer, usize::MAX).flops, u64::MAX);
    }
}
