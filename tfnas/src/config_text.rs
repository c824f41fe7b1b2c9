//! Reading and writing `model.config`.

use serde::{Deserialize, Serialize};
use serde_json::ser::PrettyFormatter;
use serde_json::{Map, Value};

use crate::config::{ConvConfig, IMAGE_CHANNELS, LinearConfig, MbConvConfig, ModelConfig};
use crate::cost;
use crate::definition::Activation;

/// Maximum size of the text, in bytes.
const MAX_BYTES: usize = 4 << 20;
/// Maximum number of channels, features or classes.
const MAX_CHANNELS: usize = 1 << 20;
/// Maximum kernel size.
const MAX_KERNEL: usize = 63;
/// Maximum number of blocks.
const MAX_BLOCKS: usize = 1024;
/// Maximum number of parameters of a network: 40 GB in f32.
const MAX_PARAMETERS: u64 = 10_000_000_000;

const CONV_LAYER: &str = "ConvLayer";
const MB_LAYER: &str = "MBInvertedResBlock";
const LINEAR_LAYER: &str = "LinearLayer";
const OPS_ORDER: &str = "weight_bn_act";

/// Why a text is not a valid `model.config`.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The text is too long.
    #[error("the text has more than {MAX_BYTES} bytes, too many for a model.config")]
    TooLong,
    /// The text is not a JSON object.
    #[error("not a model.config: {0}")]
    Json(#[source] serde_json::Error),
    /// A layer is missing.
    #[error("layer '{0}' is missing")]
    Missing(&'static str),
    /// A layer is not part of the method.
    #[error(
        "unknown layer '{0}': layers are first_stem, second_stem, stage1, stage2, …, feature_mix_layer, classifier"
    )]
    Unknown(String),
    /// A layer cannot be parsed.
    #[error("{layer}: {source}")]
    Layer {
        /// Name of the layer.
        layer: String,
        /// The parse error.
        source: serde_json::Error,
    },
    /// The value of a field is not supported.
    #[error("{layer}: {field} is {found}: only {expected} is supported")]
    Unsupported {
        /// Name of the layer.
        layer: String,
        /// Name of the field.
        field: String,
        /// The value found.
        found: String,
        /// The expected value.
        expected: String,
    },
    /// The channels of consecutive layers differ.
    #[error("{layer} has {found} input channels, but the preceding layer has {expected} output channels")]
    Mismatch {
        /// Name of the later layer.
        layer: String,
        /// Input channels of the later layer.
        found: usize,
        /// Output channels of the preceding layer.
        expected: usize,
    },
    /// The network is too large.
    #[error("the network would have {parameters} parameters, more than {MAX_PARAMETERS}")]
    TooLarge {
        /// Number of parameters.
        parameters: u64,
    },
}

impl ModelConfig {
    /// Parses a `model.config` of any space.
    ///
    /// # Errors
    /// Returns [`ConfigError`] with the layer and the field that are invalid: a size out of range, channels that do not
    /// match, a layer that the method does not have.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        if text.len() > MAX_BYTES {
            return Err(ConfigError::TooLong);
        }
        let mut layers: Map<String, Value> = serde_json::from_str(text).map_err(ConfigError::Json)?;
        let config = Self {
            first_stem: conv("first_stem", take(&mut layers, "first_stem")?)?,
            second_stem: mb_conv("second_stem", take(&mut layers, "second_stem")?)?,
            feature_mix: conv("feature_mix_layer", take(&mut layers, "feature_mix_layer")?)?,
            classifier: linear(take(&mut layers, "classifier")?)?,
            groups: groups(layers)?,
        };
        check_chain(&config)?;
        let parameters = cost::parameters(&config);
        if parameters > MAX_PARAMETERS {
            return Err(ConfigError::TooLarge { parameters });
        }
        Ok(config)
    }

    /// Writes the file in the authors' format: an indent of 4, no newline at the end.
    pub fn to_text(&self) -> String {
        let mut layers = Map::new();
        layers.insert("first_stem".to_owned(), value(&ConvLayer::from(&self.first_stem)));
        layers.insert("second_stem".to_owned(), value(&MbLayer::from(&self.second_stem)));
        for (group, blocks) in self.groups.iter().enumerate() {
            let blocks: Vec<MbLayer> = blocks.iter().map(MbLayer::from).collect();
            layers.insert(format!("stage{}", group + 1), value(&blocks));
        }
        layers.insert("feature_mix_layer".to_owned(), value(&ConvLayer::from(&self.feature_mix)));
        layers.insert("classifier".to_owned(), value(&LinearLayer::from(&self.classifier)));

        let mut text = Vec::new();
        let formatter = PrettyFormatter::with_indent(b"    ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
        layers.serialize(&mut serializer).expect("writing numbers and strings to memory cannot fail");
        String::from_utf8(text).expect("JSON is UTF-8")
    }
}

/// A convolution as in the file, with fields in the file's order.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConvLayer {
    name: String,
    kernel_size: usize,
    stride: usize,
    groups: usize,
    has_shuffle: bool,
    bias: bool,
    in_channels: usize,
    out_channels: usize,
    use_bn: bool,
    affine: bool,
    act_func: Activation,
    ops_order: String,
}

/// An inverted residual block as in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MbLayer {
    name: String,
    in_channels: usize,
    mid_channels: usize,
    se_channels: usize,
    out_channels: usize,
    kernel_size: usize,
    stride: usize,
    groups: usize,
    has_shuffle: bool,
    bias: bool,
    use_bn: bool,
    affine: bool,
    act_func: Activation,
}

/// The classifier as in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinearLayer {
    name: String,
    in_features: usize,
    out_features: usize,
    bias: bool,
    use_bn: bool,
    affine: bool,
    act_func: Option<Activation>,
    ops_order: String,
}

impl From<&ConvConfig> for ConvLayer {
    fn from(layer: &ConvConfig) -> Self {
        Self {
            name: CONV_LAYER.to_owned(),
            kernel_size: layer.kernel,
            stride: layer.stride,
            groups: 1,
            has_shuffle: false,
            bias: false,
            in_channels: layer.in_channels,
            out_channels: layer.out_channels,
            use_bn: true,
            affine: true,
            act_func: layer.activation,
            ops_order: OPS_ORDER.to_owned(),
        }
    }
}

impl From<&MbConvConfig> for MbLayer {
    fn from(layer: &MbConvConfig) -> Self {
        Self {
            name: MB_LAYER.to_owned(),
            in_channels: layer.in_channels,
            mid_channels: layer.mid_channels,
            se_channels: layer.se_channels,
            out_channels: layer.out_channels,
            kernel_size: layer.kernel,
            stride: layer.stride,
            groups: 1,
            has_shuffle: false,
            bias: false,
            use_bn: true,
            affine: true,
            act_func: layer.activation,
        }
    }
}

impl From<&LinearConfig> for LinearLayer {
    fn from(layer: &LinearConfig) -> Self {
        Self {
            name: LINEAR_LAYER.to_owned(),
            in_features: layer.in_features,
            out_features: layer.out_features,
            bias: true,
            use_bn: false,
            affine: false,
            act_func: None,
            ops_order: OPS_ORDER.to_owned(),
        }
    }
}

fn value(layer: &impl Serialize) -> Value {
    serde_json::to_value(layer).expect("a layer is numbers and strings")
}

fn take(layers: &mut Map<String, Value>, name: &'static str) -> Result<Value, ConfigError> {
    layers.shift_remove(name).ok_or(ConfigError::Missing(name))
}

/// Reads `stage1`, `stage2`, …, which must be the only remaining layers.
fn groups(mut layers: Map<String, Value>) -> Result<Vec<Vec<MbConvConfig>>, ConfigError> {
    let mut groups = Vec::new();
    let mut count = 0;
    while let Some(value) = layers.shift_remove(&format!("stage{}", groups.len() + 1)) {
        let stage = format!("stage{}", groups.len() + 1);
        let blocks: Vec<Value> = read(&stage, value)?;
        count += blocks.len();
        within(&stage, "number of blocks", blocks.len(), 1, MAX_BLOCKS)?;
        within("the network", "number of blocks", count, 1, MAX_BLOCKS)?;
        let blocks = blocks.into_iter().enumerate();
        let blocks = blocks.map(|(index, block)| mb_conv(&format!("{stage}.block{}", index + 1), block));
        groups.push(blocks.collect::<Result<_, _>>()?);
    }
    match layers.keys().next() {
        Some(name) => Err(ConfigError::Unknown(name.escape_debug().take(60).collect())),
        None if groups.is_empty() => Err(ConfigError::Missing("stage1")),
        None => Ok(groups),
    }
}

fn conv(name: &str, value: Value) -> Result<ConvConfig, ConfigError> {
    let layer: ConvLayer = read(name, value)?;
    let config = ConvConfig {
        in_channels: layer.in_channels,
        out_channels: layer.out_channels,
        kernel: layer.kernel_size,
        stride: layer.stride,
        activation: layer.act_func,
    };
    within(name, "in_channels", config.in_channels, 1, MAX_CHANNELS)?;
    within(name, "out_channels", config.out_channels, 1, MAX_CHANNELS)?;
    check_kernel_and_stride(name, config.kernel, config.stride)?;
    fixed(name, &layer, &ConvLayer::from(&config))?;
    Ok(config)
}

fn mb_conv(name: &str, value: Value) -> Result<MbConvConfig, ConfigError> {
    let layer: MbLayer = read(name, value)?;
    let config = MbConvConfig {
        in_channels: layer.in_channels,
        mid_channels: layer.mid_channels,
        se_channels: layer.se_channels,
        out_channels: layer.out_channels,
        kernel: layer.kernel_size,
        stride: layer.stride,
        activation: layer.act_func,
    };
    within(name, "in_channels", config.in_channels, 1, MAX_CHANNELS)?;
    within(name, "mid_channels", config.mid_channels, config.in_channels, MAX_CHANNELS)?;
    within(name, "se_channels", config.se_channels, 0, MAX_CHANNELS)?;
    within(name, "out_channels", config.out_channels, 1, MAX_CHANNELS)?;
    check_kernel_and_stride(name, config.kernel, config.stride)?;
    fixed(name, &layer, &MbLayer::from(&config))?;
    Ok(config)
}

fn linear(value: Value) -> Result<LinearConfig, ConfigError> {
    let name = "classifier";
    let layer: LinearLayer = read(name, value)?;
    let config = LinearConfig { in_features: layer.in_features, out_features: layer.out_features };
    within(name, "in_features", config.in_features, 1, MAX_CHANNELS)?;
    within(name, "out_features", config.out_features, 1, MAX_CHANNELS)?;
    fixed(name, &layer, &LinearLayer::from(&config))?;
    Ok(config)
}

fn read<T: for<'de> Deserialize<'de>>(layer: &str, value: Value) -> Result<T, ConfigError> {
    serde_json::from_value(value).map_err(|source| ConfigError::Layer { layer: layer.to_owned(), source })
}

fn within(layer: &str, field: &str, found: usize, min: usize, max: usize) -> Result<(), ConfigError> {
    if (min..=max).contains(&found) {
        return Ok(());
    }
    Err(ConfigError::Unsupported {
        layer: layer.to_owned(),
        field: field.to_owned(),
        found: found.to_string(),
        expected: format!("{min} to {max}"),
    })
}

fn check_kernel_and_stride(layer: &str, kernel: usize, stride: usize) -> Result<(), ConfigError> {
    within(layer, "stride", stride, 1, 2)?;
    within(layer, "kernel_size", kernel, 1, MAX_KERNEL)?;
    if kernel % 2 == 1 {
        return Ok(());
    }
    Err(ConfigError::Unsupported {
        layer: layer.to_owned(),
        field: "kernel_size".to_owned(),
        found: kernel.to_string(),
        expected: "an odd number".to_owned(),
    })
}

/// Checks the properties that [`ModelConfig`] does not contain: the layer, serialized again, must equal the input.
fn fixed(name: &str, layer: &impl Serialize, written: &impl Serialize) -> Result<(), ConfigError> {
    let (layer, written) = (value(layer), value(written));
    let fields = written.as_object().into_iter().flatten();
    for (field, expected) in fields {
        if layer[field] != *expected {
            return Err(ConfigError::Unsupported {
                layer: name.to_owned(),
                field: field.clone(),
                found: layer[field].to_string().chars().take(60).collect(),
                expected: expected.to_string(),
            });
        }
    }
    Ok(())
}

/// Checks that the input of every layer matches the output of the previous one.
fn check_chain(config: &ModelConfig) -> Result<(), ConfigError> {
    let mut channels = IMAGE_CHANNELS;
    let mut link = |layer: String, inputs: usize, outputs: usize| {
        if inputs != channels {
            return Err(ConfigError::Mismatch { layer, found: inputs, expected: channels });
        }
        channels = outputs;
        Ok(())
    };
    let (first, second) = (&config.first_stem, &config.second_stem);
    link("first_stem".to_owned(), first.in_channels, first.out_channels)?;
    link("second_stem".to_owned(), second.in_channels, second.out_channels)?;
    for (group, blocks) in config.groups.iter().enumerate() {
        for (index, block) in blocks.iter().enumerate() {
            let name = format!("stage{}.block{}", group + 1, index + 1);
            link(name, block.in_channels, block.out_channels)?;
        }
    }
    let (mix, classifier) = (&config.feature_mix, &config.classifier);
    link("feature_mix_layer".to_owned(), mix.in_channels, mix.out_channels)?;
    link("classifier".to_owned(), classifier.in_features, classifier.out_features)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Architecture, Space};
    use tfnas_random::{Stream, StreamId};

    fn config() -> ModelConfig {
        let space = Space::small();
        let mut stream = Stream::new(0, StreamId::RandomArchitecture, 0, 0);
        let architecture = Architecture::random(&space, &mut stream);
        ModelConfig::from_architecture(&space, &architecture, 10).unwrap()
    }

    /// Returns the error message after changing the JSON at a path.
    fn error_after(pointer: &str, changed: Value) -> String {
        let mut json: Value = serde_json::from_str(&config().to_text()).unwrap();
        *json.pointer_mut(pointer).unwrap() = changed;
        ModelConfig::parse(&json.to_string()).unwrap_err().to_string()
    }

    #[test]
    fn a_config_round_trips() {
        let text = config().to_text();
        let read = ModelConfig::parse(&text).unwrap();
        assert_eq!(read, config());
        assert_eq!(read.to_text(), text);
    }

    #[test]
    fn invalid_configs_are_rejected() {
        for text in ["", "{", "[]", "null", "{\"first_stem\": 1}", "{}"] {
            assert!(ModelConfig::parse(text).is_err(), "{text}");
        }
        let deep = "[".repeat(100_000);
        assert!(ModelConfig::parse(&deep).is_err());
        let error = ModelConfig::parse(&" ".repeat(MAX_BYTES + 1)).unwrap_err();
        assert!(matches!(error, ConfigError::TooLong));
    }

    #[test]
    fn missing_and_unknown_layers_are_named() {
        let mut json: Value = serde_json::from_str(&config().to_text()).unwrap();
        let layers = json.as_object_mut().unwrap();
        layers.insert("stage5".to_owned(), Value::Array(Vec::new()));
        let error = ModelConfig::parse(&json.to_string()).unwrap_err().to_string();
        assert!(error.starts_with("unknown layer 'stage5'"), "{error}");

        let layers = json.as_object_mut().unwrap();
        layers.remove("classifier");
        let error = ModelConfig::parse(&json.to_string()).unwrap_err().to_string();
        assert_eq!(error, "layer 'classifier' is missing");
    }

    #[test]
    fn unsupported_values_are_named_by_layer_and_field() {
        for (pointer, changed, expected) in [
            ("/first_stem/groups", 2.into(), "first_stem: groups is 2: only 1 is supported"),
            ("/stage2/0/bias", true.into(), "stage2.block1: bias is true: only false is supported"),
            ("/stage1/0/use_bn", false.into(), "stage1.block1: use_bn is false: only true is supported"),
            ("/classifier/bias", false.into(), "classifier: bias is false: only true is supported"),
            ("/classifier/act_func", "relu".into(), "classifier: act_func is \"relu\": only null is supported"),
            ("/feature_mix_layer/name", "Conv".into(), "feature_mix_layer: name is \"Conv\""),
            ("/first_stem/kernel_size", 4.into(), "first_stem: kernel_size is 4: only an odd number"),
            ("/first_stem/stride", 3.into(), "first_stem: stride is 3: only 1 to 2"),
            ("/stage3/0/out_channels", 0.into(), "stage3.block1: out_channels is 0"),
            ("/stage3/0/mid_channels", 3.into(), "stage3.block1: mid_channels is 3: only 16 to"),
            ("/stage3/0/mid_channels", u64::MAX.into(), "stage3.block1: mid_channels is 18446744073709551615"),
            ("/stage3/0/mid_channels", (-1).into(), "stage3.block1: invalid value"),
            ("/stage3/0/act_func", "h-swish".into(), "stage3.block1: unknown variant"),
            ("/stage3", Value::Array(Vec::new()), "stage3: number of blocks is 0"),
            ("/stage3", Value::Null, "stage3: invalid type"),
        ] {
            let error = error_after(pointer, changed);
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn mismatching_layers_are_named() {
        let error = error_after("/classifier/in_features", 95.into());
        assert_eq!(error, "classifier has 95 input channels, but the preceding layer has 96 output channels");
        let error = error_after("/first_stem/in_channels", 1.into());
        assert_eq!(error, "first_stem has 1 input channels, but the preceding layer has 3 output channels");
    }

    #[test]
    fn too_large_networks_are_rejected() {
        let mut json: Value = serde_json::from_str(&config().to_text()).unwrap();
        json["feature_mix_layer"]["out_channels"] = MAX_CHANNELS.into();
        json["classifier"]["in_features"] = MAX_CHANNELS.into();
        json["classifier"]["out_features"] = MAX_CHANNELS.into();
        let error = ModelConfig::parse(&json.to_string()).unwrap_err();
        assert!(matches!(error, ConfigError::TooLarge { .. }));
    }
}
