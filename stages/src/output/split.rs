use serde::{Deserialize, Serialize};

/// `split.json`: how many images and classes each list has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitReport {
    /// Classes that the search knows.
    pub classes: usize,
    /// Images that train the weights of the search.
    pub train_images: usize,
    /// Images that train its architecture parameters.
    pub val_images: usize,
    /// All classes.
    pub all_classes: usize,
    /// Training images of all classes.
    pub all_images: usize,
    /// Images drawn for the test; `None` if the data have test images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_images: Option<usize>,
}
