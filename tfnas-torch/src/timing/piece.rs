use tch::Tensor;
use tfnas::{BlockKey, ConvConfig, LinearConfig, MbConvConfig, ModelConfig};

use super::input::MapShape;
use super::random_weights::{level, randomise};
use super::{TimingError, TimingOptions};
use crate::layers::{ConvLayer, Linear, MbConv, Normalisation, global_mean};

/// A part of a network that is timed on its own, for evaluation.
pub(super) struct Piece {
    layers: Layers,
    /// What it reads.
    pub(super) input: MapShape,
}

enum Layers {
    Convolution(ConvLayer),
    Block(Box<MbConv>),
    Pool,
    Classifier(Linear),
}

impl Piece {
    /// The pieces that all networks of a space share, as one of them has them.
    ///
    /// * `stem_size`: side of the feature map between the stems; `final_size`: of the one after the last block; in pixels.
    pub(super) fn shared(
        config: &ModelConfig,
        resolution: usize,
        stem_size: usize,
        final_size: usize,
        options: &TimingOptions,
    ) -> Vec<Self> {
        let mix = &config.feature_mix;
        vec![
            Self::convolution(&config.first_stem, resolution, options),
            Self::block(&config.second_stem, stem_size, options),
            Self::convolution(mix, final_size, options),
            Self { layers: Layers::Pool, input: (mix.out_channels, final_size.div_ceil(mix.stride)) },
            Self::classifier(&config.classifier, options),
        ]
    }

    /// A block of a latency table, of a key and width that [`check_block`] finds good.
    pub(super) fn of_key(key: &BlockKey, width: usize, options: &TimingOptions) -> Self {
        Self::block(&config_of_key(key, width), key.input_size, options)
    }

    fn convolution(config: &ConvConfig, input_size: usize, options: &TimingOptions) -> Self {
        let layer = ConvLayer::from_config(config, Normalisation::Affine, options.device);
        randomise(&layer, options.seed);
        let folded = layer.folded().expect("a layer with affine batch norm folds");
        Self { layers: Layers::Convolution(folded), input: (config.in_channels, input_size) }
    }

    fn block(config: &MbConvConfig, input_size: usize, options: &TimingOptions) -> Self {
        let block = MbConv::new(config, Normalisation::Affine, options.device);
        randomise(&block, options.seed);
        level(&block);
        let folded = block.folded().expect("a block with affine batch norms folds");
        Self { layers: Layers::Block(Box::new(folded)), input: (config.in_channels, input_size) }
    }

    fn classifier(config: &LinearConfig, options: &TimingOptions) -> Self {
        let linear = Linear::new(config.in_features, config.out_features, options.device);
        randomise(&linear, options.seed);
        let detached = Linear { weight: linear.weight.detach(), bias: linear.bias.detach() };
        Self { layers: Layers::Classifier(detached), input: (config.in_features, 1) }
    }

    /// What the piece makes of its input.
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        match &self.layers {
            Layers::Convolution(layer) => layer.forward(x, false),
            Layers::Block(block) => block.forward(x, false),
            Layers::Pool => global_mean(x),
            Layers::Classifier(linear) => linear.forward(&x.flatten(1, -1)),
        }
    }
}

/// Refuses a block that cannot be, or is too large to be measured.
///
/// # Errors
/// [`TimingError::NoSuchBlock`], [`TimingError::TooLarge`].
pub(super) fn check_block(key: &BlockKey, width: usize, options: &TimingOptions) -> Result<(), TimingError> {
    let sizes = [key.input_size, key.in_channels, key.out_channels, key.stride];
    if sizes.contains(&0) || key.kernel.is_multiple_of(2) || width < key.in_channels {
        return Err(TimingError::NoSuchBlock { key: *key, width });
    }
    let floats = floats_of(&config_of_key(key, width), key.input_size);
    options.check_memory(|| format!("{key} of width {width}"), floats)
}

/// What a key and a width say about a block.
fn config_of_key(key: &BlockKey, width: usize) -> MbConvConfig {
    MbConvConfig {
        in_channels: key.in_channels,
        mid_channels: width,
        se_channels: key.se_channels,
        out_channels: key.out_channels,
        kernel: key.kernel,
        stride: key.stride,
        activation: key.activation,
    }
}

/// Numbers in input, weights and feature maps of a block for one image, about.
pub(super) fn floats_of(config: &MbConvConfig, input_size: usize) -> f64 {
    let area = (input_size as f64).powi(2);
    let width = config.mid_channels as f64;
    let channels = (config.in_channels + config.out_channels) as f64;
    area * (channels + 2.0 * width) + weights_of(config)
}

/// Weights of a block, batch norms left out.
fn weights_of(config: &MbConvConfig) -> f64 {
    let reads = (config.in_channels + config.out_channels + 2 * config.se_channels) as f64;
    config.mid_channels as f64 * (reads + (config.kernel as f64).powi(2))
}

/// Bytes of the weights of a block of a latency table.
pub(super) fn weight_bytes(key: &BlockKey, width: usize) -> f64 {
    size_of::<f32>() as f64 * weights_of(&config_of_key(key, width))
}
