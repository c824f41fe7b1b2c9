/// What is applied to each number of an output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    #[default]
    None = 0,
    /// `max(z, 0)`.
    Relu = 1,
    /// `z * sigmoid(z)`, also called swish.
    Silu = 2,
}
