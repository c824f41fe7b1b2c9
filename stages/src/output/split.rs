//! The output of `split` in addition to the lists.

use serde::{Deserialize, Serialize};

/// `split.json`: the number of images and classes of each list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitReport {
    /// Number of classes of the search.
    pub classes: usize,
    /// Number of images that train the weights of the supernet.
    pub train_images: usize,
    /// Number of images that train the architecture parameters.
    pub val_images: usize,
    /// Number of classes in the training images.
    pub all_classes: usize,
    /// Number of training images of all classes.
    pub all_images: usize,
    /// Number of test images drawn from the training images; `None` if the data set has test images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_images: Option<usize>,
}
