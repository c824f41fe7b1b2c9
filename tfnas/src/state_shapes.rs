//! The tensors of a network: names, shapes and dtypes of the `state_dict` of the authors' code, in its order.

use crate::Dtype;
use crate::config::{ConvConfig, MbConvConfig, ModelConfig};

/// One tensor of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorShape {
    /// Its name, such as `stage1.0.depth_conv.bn.running_mean`.
    pub name: String,
    /// Its sizes.
    pub shape: Vec<usize>,
    /// Its dtype.
    pub dtype: Dtype,
}

/// Returns the tensors of a derived network.
pub fn state_shapes(config: &ModelConfig) -> Vec<TensorShape> {
    let mut shapes = Shapes(Vec::new());
    shapes.conv_layer("first_stem", &config.first_stem);
    shapes.mb_conv("second_stem", &config.second_stem);
    for (group, blocks) in config.groups.iter().enumerate() {
        for (index, block) in blocks.iter().enumerate() {
            shapes.mb_conv(&format!("stage{}.{index}", group + 1), block);
        }
    }
    shapes.conv_layer("feature_mix_layer", &config.feature_mix);
    let classifier = &config.classifier;
    shapes.add("classifier.linear.weight", vec![classifier.out_features, classifier.in_features]);
    shapes.add("classifier.linear.bias", vec![classifier.out_features]);
    shapes.0
}

struct Shapes(Vec<TensorShape>);

impl Shapes {
    fn add(&mut self, name: &str, shape: Vec<usize>) {
        self.0.push(TensorShape { name: name.to_owned(), shape, dtype: Dtype::F32 });
    }

    /// A standalone convolution with batch norm: the batch norm comes first.
    fn conv_layer(&mut self, name: &str, layer: &ConvConfig) {
        self.batch_norm(name, layer.out_channels);
        self.conv(name, [layer.out_channels, layer.in_channels, layer.kernel, layer.kernel]);
    }

    /// An inverted residual block: each convolution comes before its batch norm.
    fn mb_conv(&mut self, name: &str, block: &MbConvConfig) {
        let (inputs, width, outputs) = (block.in_channels, block.mid_channels, block.out_channels);
        let mut conv = |part: &str, shape: [usize; 4]| {
            let name = format!("{name}.{part}");
            self.conv(&name, shape);
            self.batch_norm(&name, shape[0]);
        };
        if block.has_expansion() {
            conv("inverted_bottleneck", [width, inputs, 1, 1]);
        }
        conv("depth_conv", [width, 1, block.kernel, block.kernel]);
        if block.se_channels > 0 {
            for (part, from, to) in
                [("conv_reduce", width, block.se_channels), ("conv_expand", block.se_channels, width)]
            {
                self.add(&format!("{name}.squeeze_excite.{part}.weight"), vec![to, from, 1, 1]);
                self.add(&format!("{name}.squeeze_excite.{part}.bias"), vec![to]);
            }
        }
        let name = format!("{name}.point_linear");
        self.conv(&name, [outputs, width, 1, 1]);
        self.batch_norm(&name, outputs);
    }

    fn conv(&mut self, name: &str, shape: [usize; 4]) {
        self.add(&format!("{name}.conv.weight"), shape.to_vec());
    }

    fn batch_norm(&mut self, name: &str, channels: usize) {
        for part in ["weight", "bias", "running_mean", "running_var"] {
            self.add(&format!("{name}.bn.{part}"), vec![channels]);
        }
        let name = format!("{name}.bn.num_batches_tracked");
        self.0.push(TensorShape { name, shape: Vec::new(), dtype: Dtype::I64 });
    }
}
