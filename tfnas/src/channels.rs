//! Chooses the channels that an operation keeps when its width changes.

/// Returns the channels with the largest L1 norm of a depthwise kernel at full width, in ascending order.
///
/// * `depthwise`: `[E, 1, k, k]` f32, flattened; E is `max_width`.
/// * `max_width`: number of channels of the full-width kernel.
/// * `width`: number of channels to keep, at most `max_width`.
///
/// Among channels with equal norms the later ones are kept (the sort of the authors' code does not define which). Norms
/// are summed in NumPy's order, so that nearly equal ones compare as in NumPy. A NaN norm counts as the largest.
///
/// Source: the end of the main loop in the authors' `train_search.py`.
///
/// # Panics
/// Panics if `depthwise` does not divide into `max_width` channels, or `width` is more than `max_width`.
pub fn kept_channels(depthwise: &[f32], max_width: usize, width: usize) -> Vec<usize> {
    assert!(
        max_width > 0 && depthwise.len().is_multiple_of(max_width) && width <= max_width,
        "keep {width} of {max_width} channels of {} weights",
        depthwise.len()
    );
    let per_channel = (depthwise.len() / max_width).max(1);
    let norms: Vec<f32> = depthwise.chunks_exact(per_channel).map(l1_norm).collect();
    let mut order: Vec<usize> = (0..norms.len()).collect();
    order.sort_by(|&a, &b| norms[a].total_cmp(&norms[b]));
    let mut kept = order.split_off(norms.len() - width);
    kept.sort_unstable();
    kept
}

/// Returns the sum of absolute values in f32, in the order of NumPy's sum of up to 128 contiguous numbers: sequentially
/// below 8, otherwise in eight interleaved sums that are added pairwise, and then the remainder.
fn l1_norm(channel: &[f32]) -> f32 {
    const LANES: usize = 8;
    if channel.len() < LANES {
        return channel.iter().map(|weight| weight.abs()).sum();
    }
    let mut lanes = [0.0f32; LANES];
    let chunks = channel.chunks_exact(LANES);
    let remainder = chunks.remainder();
    for chunk in chunks {
        for (lane, weight) in lanes.iter_mut().zip(chunk) {
            *lane += weight.abs();
        }
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    let sum = ((a + b) + (c + d)) + ((e + f) + (g + h));
    remainder.iter().fold(sum, |sum, weight| sum + weight.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_with_the_largest_norm_are_kept_in_ascending_order() {
        let weights = [1.0, -1.0, 0.5, 0.5, -3.0, 0.0, 0.1, 0.2];
        assert_eq!(kept_channels(&weights, 4, 2), [0, 2]);
        assert_eq!(kept_channels(&weights, 4, 4), [0, 1, 2, 3]);
        assert!(kept_channels(&weights, 4, 0).is_empty());
    }

    #[test]
    fn ties_keep_the_later_channels() {
        assert_eq!(kept_channels(&[1.0; 36], 4, 2), [2, 3]);
    }

    #[test]
    fn a_nan_norm_counts_as_the_largest() {
        assert_eq!(kept_channels(&[9.0, -f32::NAN, 1.0], 3, 1), [1]);
    }

    /// `numpy.float32([2**24] + 8 * [1]).sum()` is 16777224. Sequential addition would lose every 1.
    #[test]
    fn norms_are_summed_in_numpy_order() {
        let mut weights = [1.0f32; 9];
        weights[0] = 16_777_216.0;
        assert_eq!(l1_norm(&weights), 16_777_224.0);
        assert_eq!(weights.iter().sum::<f32>(), 16_777_216.0);
    }

    #[test]
    #[should_panic(expected = "keep 5 of 4 channels")]
    fn keeping_more_channels_than_exist_panics() {
        kept_channels(&[0.0; 4], 4, 5);
    }
}
