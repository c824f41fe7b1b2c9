//! The nodes of a network, layer by layer.

use tfnas::{Activation, ConvConfig, MbConvConfig, ModelConfig};

use crate::fold::{EPSILON, fold};
use crate::graph::{GraphBuilder, batch_of, float, int, ints};
use crate::message::Graph;
use crate::state::State;
use crate::{IMAGES, LOGITS, Normalization};

/// Channels of an image.
const IMAGE_CHANNELS: usize = 3;

/// The kernel, stride and padding of a convolution.
#[derive(Clone, Copy)]
struct Geometry {
    kernel: usize,
    stride: usize,
    groups: usize,
}

impl Geometry {
    /// A 1x1 convolution.
    const POINTWISE: Self = Self { kernel: 1, stride: 1, groups: 1 };
}

/// Writes a network's layers to a graph. Values are identified by name.
struct Layers<'a> {
    state: &'a State,
    normalization: Normalization,
    graph: GraphBuilder,
}

/// Returns the network as a graph.
pub(crate) fn graph(config: &ModelConfig, state: &State, resolution: usize, normalization: Normalization) -> Graph {
    let mut layers = Layers { state, normalization, graph: GraphBuilder::default() };
    let mut x = layers.conv_layer("first_stem", IMAGES, &config.first_stem);
    for (name, block) in blocks(config) {
        x = layers.block(&name, &x, block);
    }
    x = layers.conv_layer("feature_mix_layer", &x, &config.feature_mix);
    layers.head(&x, config);
    let input = batch_of(IMAGES, &[IMAGE_CHANNELS, resolution, resolution]);
    layers.graph.finish("tfnas", input, batch_of(LOGITS, &[config.classifier.out_features]))
}

/// The second stem and all blocks, in order, with the prefixes of their tensor names.
fn blocks(config: &ModelConfig) -> impl Iterator<Item = (String, &MbConvConfig)> {
    let groups = config.groups.iter().enumerate().flat_map(|(group, blocks)| {
        let name = move |index| format!("stage{}.{index}", group + 1);
        blocks.iter().enumerate().map(move |(index, block)| (name(index), block))
    });
    std::iter::once(("second_stem".to_owned(), &config.second_stem)).chain(groups)
}

impl Layers<'_> {
    /// Convolution, batch norm, activation.
    fn conv_layer(&mut self, name: &str, x: &str, conv: &ConvConfig) -> String {
        let geometry = Geometry { kernel: conv.kernel, stride: conv.stride, groups: 1 };
        let x = self.normalized(name, x, [conv.out_channels, conv.in_channels], geometry);
        self.activation(name, &x, conv.activation)
    }

    /// An inverted residual block.
    fn block(&mut self, name: &str, input: &str, block: &MbConvConfig) -> String {
        let width = block.mid_channels;
        let mut x = input.to_owned();
        if block.has_expansion() {
            let name = format!("{name}.inverted_bottleneck");
            x = self.normalized(&name, &x, [width, block.in_channels], Geometry::POINTWISE);
            x = self.activation(&name, &x, block.activation);
        }
        let depthwise = Geometry { kernel: block.kernel, stride: block.stride, groups: width };
        let depth_conv = format!("{name}.depth_conv");
        x = self.normalized(&depth_conv, &x, [width, 1], depthwise);
        x = self.activation(&depth_conv, &x, block.activation);
        if block.se_channels > 0 {
            x = self.squeeze_excite(&format!("{name}.squeeze_excite"), &x, block);
        }
        x = self.normalized(&format!("{name}.point_linear"), &x, [block.out_channels, width], Geometry::POINTWISE);
        if block.has_residual() {
            x = self.graph.node("Add", &format!("{name}.add"), &[&x, input], vec![]);
        }
        x
    }

    /// Squeeze-excite: scales each channel by a factor computed from the means of all channels.
    fn squeeze_excite(&mut self, name: &str, x: &str, block: &MbConvConfig) -> String {
        let (width, reduced) = (block.mid_channels, block.se_channels);
        let mean = self.graph.node("GlobalAveragePool", &format!("{name}.mean"), &[x], vec![]);
        let reduce = self.conv_with_bias(&format!("{name}.conv_reduce"), &mean, [reduced, width]);
        let reduce = self.activation(&format!("{name}.conv_reduce"), &reduce, block.activation);
        let expand = self.conv_with_bias(&format!("{name}.conv_expand"), &reduce, [width, reduced]);
        let factors = self.graph.node("Sigmoid", &format!("{name}.factors"), &[&expand], vec![]);
        self.graph.node("Mul", &format!("{name}.scaled"), &[x, &factors], vec![])
    }

    /// Global mean and classifier.
    fn head(&mut self, x: &str, config: &ModelConfig) {
        let mean = self.graph.node("GlobalAveragePool", "global_avg_pooling", &[x], vec![]);
        let features = self.graph.node("Flatten", "features", &[&mean], vec![int("axis", 1)]);
        let (from, to) = (config.classifier.in_features, config.classifier.out_features);
        let weight = self.weight("classifier.linear.weight", &[to, from]);
        let bias = self.weight("classifier.linear.bias", &[to]);
        let transposed = vec![int("transB", 1)];
        self.graph.node_giving(LOGITS, "Gemm", "classifier.linear", &[&features, &weight, &bias], transposed);
    }

    /// A convolution, `[out, in / groups]`, and its batch norm.
    fn normalized(&mut self, name: &str, x: &str, [out, within]: [usize; 2], geometry: Geometry) -> String {
        let shape = [out, within, geometry.kernel, geometry.kernel];
        let conv = format!("{name}.conv");
        match self.normalization {
            Normalization::Folded => {
                let folded = fold(self.state, name);
                let weight = self.graph.weight(&format!("{conv}.weight"), &shape, &folded.weight);
                let bias = self.graph.weight(&format!("{conv}.bias"), &[out], &folded.bias);
                self.conv(&conv, &[x, &weight, &bias], geometry)
            }
            Normalization::Kept => {
                let weight = self.weight(&format!("{conv}.weight"), &shape);
                let x = self.conv(&conv, &[x, &weight], geometry);
                let bn = format!("{name}.bn");
                let statistics = ["weight", "bias", "running_mean", "running_var"];
                let [weight, bias, mean, variance] =
                    statistics.map(|tensor| self.weight(&format!("{bn}.{tensor}"), &[out]));
                let inputs = [x.as_str(), &weight, &bias, &mean, &variance];
                self.graph.node("BatchNormalization", &bn, &inputs, vec![float("epsilon", EPSILON as f32)])
            }
        }
    }

    /// A 1x1 convolution with bias, `[out, in]`.
    fn conv_with_bias(&mut self, name: &str, x: &str, [out, within]: [usize; 2]) -> String {
        let weight = self.weight(&format!("{name}.weight"), &[out, within, 1, 1]);
        let bias = self.weight(&format!("{name}.bias"), &[out]);
        self.conv(name, &[x, &weight, &bias], Geometry::POINTWISE)
    }

    fn conv(&mut self, name: &str, inputs: &[&str], Geometry { kernel, stride, groups }: Geometry) -> String {
        let attributes = vec![
            ints("kernel_shape", &[kernel; 2]),
            ints("strides", &[stride; 2]),
            ints("pads", &[kernel / 2; 4]),
            int("group", groups),
        ];
        self.graph.node("Conv", name, inputs, attributes)
    }

    fn activation(&mut self, name: &str, x: &str, activation: Activation) -> String {
        match activation {
            Activation::Relu => self.graph.node("Relu", &format!("{name}.relu"), &[x], vec![]),
            Activation::Swish => {
                let sigmoid = self.graph.node("Sigmoid", &format!("{name}.sigmoid"), &[x], vec![]);
                self.graph.node("Mul", &format!("{name}.swish"), &[x, &sigmoid], vec![])
            }
        }
    }

    /// Adds a tensor of the state under its own name.
    fn weight(&mut self, name: &str, shape: &[usize]) -> String {
        self.graph.weight(name, shape, self.state.values(name))
    }
}
