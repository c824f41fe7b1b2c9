//! Inverted residual block (MBConv).

use tch::{Device, Tensor};
use tfnas::MbConvConfig;

use super::batch_norm::Normalization;
use super::conv::Conv;
use super::conv_layer::ConvLayer;
use super::fused::Shortcut;
use super::squeeze_excite::SqueezeExcite;
use crate::named_tensors::{Module, Visitor, join};

/// An inverted residual block: 1x1 expand, depthwise, optional squeeze-excite, 1x1 project. The input is added if its
/// shape equals that of the output.
#[derive(Debug)]
pub struct MbConv {
    pub(crate) expand: Option<ConvLayer>,
    pub(crate) depthwise: ConvLayer,
    pub(crate) squeeze_excite: Option<SqueezeExcite>,
    pub(crate) project: ConvLayer,
    has_residual: bool,
}

impl MbConv {
    /// Creates a block with zero weights.
    pub fn new(config: &MbConvConfig, normalization: Normalization, device: Device) -> Self {
        let activation = config.activation;
        let layer = |conv, activation| ConvLayer::new(conv, normalization, activation, device);
        let width = if config.has_expansion() { config.mid_channels } else { config.in_channels };
        let expand = config.has_expansion().then(|| {
            let conv = Conv::new(config.in_channels, width, 1, 1, device);
            layer(conv, Some(activation))
        });
        let depthwise = Conv::depthwise(width, config.kernel, config.stride, device);
        let project = Conv::new(width, config.out_channels, 1, 1, device);
        Self {
            expand,
            depthwise: layer(depthwise, Some(activation)),
            squeeze_excite: (config.se_channels > 0)
                .then(|| SqueezeExcite::new(width, config.se_channels, activation, device)),
            project: layer(project, None),
            has_residual: config.has_residual(),
        }
    }

    /// Applies the block to `x`, `[N, in, H, W]`; returns `[N, out, ceil(H / stride), ceil(W / stride)]`.
    pub fn forward(&self, x: &Tensor, training: bool) -> Tensor {
        let shortcut = self.has_residual.then_some(Shortcut { value: x, keep: None });
        self.branch_with_shortcut(x, training, shortcut)
    }

    /// [`forward`](MbConv::forward) in training with drop-connect.
    ///
    /// `keep`: `[N, 1, 1, 1]` f32, 0 for a dropped sample, 1 / (keep probability) for the others. No effect on a block
    /// without a residual connection.
    pub(crate) fn forward_with_drop_connect(&self, x: &Tensor, keep: &Tensor) -> Tensor {
        let shortcut = self.has_residual.then_some(Shortcut { value: x, keep: Some(keep) });
        self.branch_with_shortcut(x, true, shortcut)
    }

    /// Returns the output without the residual connection.
    pub(crate) fn branch(&self, x: &Tensor, training: bool) -> Tensor {
        self.branch_with_shortcut(x, training, None)
    }

    fn branch_with_shortcut(&self, x: &Tensor, training: bool, shortcut: Option<Shortcut<'_>>) -> Tensor {
        let mid = match &self.expand {
            Some(expand) => self.depthwise.forward(&expand.forward(x, training), training),
            None => self.depthwise.forward(x, training),
        };
        match &self.squeeze_excite {
            Some(squeeze_excite) => {
                self.project.forward_with_shortcut(&squeeze_excite.forward(&mid), training, shortcut)
            }
            None => self.project.forward_with_shortcut(&mid, training, shortcut),
        }
    }

    /// The convolutions with their batch norms.
    pub(crate) fn layers_mut(&mut self) -> impl Iterator<Item = &mut ConvLayer> {
        self.expand.iter_mut().chain([&mut self.depthwise, &mut self.project])
    }

    pub(crate) fn has_residual(&self) -> bool {
        self.has_residual
    }

    /// Disables fused kernels.
    pub(crate) fn disable_kernels(&mut self) {
        self.layers_mut().for_each(|layer| layer.conv.has_kernels = false);
        if let Some(squeeze_excite) = &mut self.squeeze_excite {
            squeeze_excite.has_kernels = false;
        }
    }

    /// Returns the block with its batch norms folded into its convolutions, for evaluation; `None` without running
    /// statistics.
    pub(crate) fn folded(&self) -> Option<Self> {
        Some(Self {
            expand: match &self.expand {
                Some(expand) => Some(expand.folded()?),
                None => None,
            },
            depthwise: self.depthwise.folded()?,
            squeeze_excite: self.squeeze_excite.as_ref().map(SqueezeExcite::detached),
            project: self.project.folded()?,
            has_residual: self.has_residual,
        })
    }
}

impl Module for MbConv {
    fn visit(&self, prefix: &str, visitor: &mut Visitor<'_>) {
        if let Some(expand) = &self.expand {
            expand.visit_conv_first(&join(prefix, "inverted_bottleneck"), visitor);
        }
        self.depthwise.visit_conv_first(&join(prefix, "depth_conv"), visitor);
        if let Some(squeeze_excite) = &self.squeeze_excite {
            squeeze_excite.visit(&join(prefix, "squeeze_excite"), visitor);
        }
        self.project.visit_conv_first(&join(prefix, "point_linear"), visitor);
    }
}
