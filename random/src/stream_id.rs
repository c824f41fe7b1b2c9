/// What numbers are drawn for; each purpose has streams of its own.
///
/// The number of a purpose enters the counter: it is part of every result and is never reused for another purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum StreamId {
    /// Which images of a class train the weights and which the architecture.
    Split = 1,
    /// Order of the training images of an epoch.
    Shuffle = 2,
    /// Crop, flip and colour jitter of a training image.
    Augment = 3,
    /// Gumbel noise of the path that a weight step samples.
    Gumbel = 4,
    /// The path drawn uniformly among the operations that the Gumbel path did not take.
    UniformPath = 5,
    /// Initial weights.
    Initialize = 6,
    /// Which inputs of the classifier one step leaves out.
    Dropout = 7,
    /// Which samples of a batch skip a block.
    DropConnect = 8,
    /// Generated images.
    Synthetic = 9,
    /// Random architectures to compare a searched one with.
    RandomArchitecture = 10,
    /// Order in which blocks are timed, and their inputs.
    Timing = 11,
    /// Order of the images that train the architecture.
    ArchitectureShuffle = 12,
    /// Crop, flip and colour jitter of an image that trains the architecture.
    ArchitectureAugment = 13,
    /// Gumbel noise of an architecture step.
    ArchitectureGumbel = 14,
    /// Gumbel noise of the path that a validation batch takes.
    ValidationGumbel = 15,
    /// Steps towards a network that has what a claim says.
    ClaimSearch = 16,
    /// Candidates of a selection: uniform draws, samples of a search, mutations.
    Select = 17,
    /// Which images of a class are kept for the test.
    TestDraw = 18,
}
