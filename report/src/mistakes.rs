//! Misclassified test images.

use tfnas_stages::TestedImage;

/// Test images with a wrong prediction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mistakes {
    /// Number of wrong predictions.
    pub wrong: usize,
    /// Those with the largest loss, in descending order.
    pub worst: Vec<Mistake>,
}

/// A test image with a wrong prediction.
#[derive(Clone, Debug, PartialEq)]
pub struct Mistake {
    /// The prediction.
    pub tested: TestedImage,
    /// A thumbnail of the image.
    pub picture: Picture,
}

/// Thumbnail of an image.
#[derive(Clone, Debug, PartialEq)]
pub enum Picture {
    /// A PNG file.
    Png {
        /// Bytes of the file.
        bytes: Vec<u8>,
        /// Width, in pixels.
        width: usize,
        /// Height, in pixels.
        height: usize,
    },
    /// The image is not available, for this reason.
    Missing(String),
}
