//! The purposes of random numbers.

/// Identifies what random numbers are used for. Each id has separate streams.
///
/// The number of an id is part of the counter and thus of every result. It must not be reused for another purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum StreamId {
    /// The split of the images of a class into weight and architecture training.
    Split = 1,
    /// The order of the training images of an epoch.
    Shuffle = 2,
    /// Crop, flip and color jitter of a training image.
    Augment = 3,
    /// Gumbel noise of the path sampled by a weight step.
    Gumbel = 4,
    /// The uniform choice of a path among the operations not taken by the Gumbel path.
    UniformPath = 5,
    /// Initial weights.
    Initialize = 6,
    /// Dropout of the inputs of the classifier.
    Dropout = 7,
    /// Drop-connect: the samples of a batch that skip a block.
    DropConnect = 8,
    /// Generated images.
    Synthetic = 9,
    /// Random architectures, for comparison with a searched one.
    RandomArchitecture = 10,
    /// The order in which blocks are timed, and their inputs.
    Timing = 11,
    /// The order of the images for architecture training.
    ArchitectureShuffle = 12,
    /// Crop, flip and color jitter of an image for architecture training.
    ArchitectureAugment = 13,
    /// Gumbel noise of an architecture step.
    ArchitectureGumbel = 14,
    /// Gumbel noise of the path of a validation batch.
    ValidationGumbel = 15,
    /// The search for a network that matches a claim.
    ClaimSearch = 16,
    /// Candidates of a selection: uniform draws, samples of a search, mutations.
    Select = 17,
    /// The images of a class that are reserved for the test.
    TestDraw = 18,
}
