use tfnas_stages::TestedImage;

/// Test images with a wrong first guess.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mistakes {
    /// How many there are.
    pub wrong: usize,
    /// Those with the largest loss, the worst first.
    pub worst: Vec<Mistake>,
}

/// A test image with a wrong first guess.
#[derive(Clone, Debug, PartialEq)]
pub struct Mistake {
    /// What the network says about it.
    pub tested: TestedImage,
    /// What it looks like.
    pub picture: Picture,
}

/// A small picture of an image.
#[derive(Clone, Debug, PartialEq)]
pub enum Picture {
    /// A PNG file.
    Png {
        /// The file.
        bytes: Vec<u8>,
        /// Width, in pixels.
        width: usize,
        /// Height, in pixels.
        height: usize,
    },
    /// There is none: why.
    Missing(String),
}
