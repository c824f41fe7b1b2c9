//! Activations that kernels apply to their output.

/// An activation, applied elementwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// The identity.
    #[default]
    None = 0,
    /// `max(z, 0)`.
    Relu = 1,
    /// `z * sigmoid(z)`, also called swish.
    Silu = 2,
}
