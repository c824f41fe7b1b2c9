//! The mean and standard deviation for normalizing images, in training and evaluation.

/// Mean of ImageNet's red, green and blue, of values in 0 to 1.
pub const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
/// Standard deviation of ImageNet's red, green and blue, of values in 0 to 1.
pub const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];
