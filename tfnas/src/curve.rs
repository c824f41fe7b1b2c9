//! Latency of one block as a function of its width: knots with linear interpolation.

/// Maximum width of a knot.
const MAX_WIDTH: usize = 1 << 20;
/// Maximum magnitude of a latency, in milliseconds. Squares of larger ones could overflow in the search, which computes in f32.
pub const MAX_MS: f64 = 1e9;

/// A width and its latency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Knot {
    /// Number of channels of the depthwise convolution.
    pub width: usize,
    /// Latency in milliseconds.
    pub ms: f64,
}

/// Latency as a function of the width, defined by knots.
///
/// * Between two knots: linear interpolation, computed as `(width - left) * slope + ms_left`.
/// * Below the first knot: the line through the first and the last knot, computed from the last as `ms_last - (last -
///   width) * slope`. It may be zero or negative, and the search does not use it.
/// * Above the last knot: unknown.
///
/// With exactly this arithmetic, knots every 8 channels from the input channels on reproduce all 36,480 entries of both
/// published tables bit for bit.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencyCurve {
    knots: Vec<Knot>,
}

/// Why knots are not a valid curve.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CurveError {
    /// There are too few knots.
    #[error("{count} knots: a curve needs two or more")]
    TooFew {
        /// Number of knots.
        count: usize,
    },
    /// The widths do not increase.
    #[error("width {width} comes after width {previous}: widths must increase")]
    Order {
        /// Width of the later knot.
        width: usize,
        /// Width of the earlier knot.
        previous: usize,
    },
    /// A width is out of range.
    #[error("width {width}: it must be 1 to {MAX_WIDTH}")]
    Width {
        /// The width.
        width: usize,
    },
    /// A latency is not a number, or its magnitude exceeds [`MAX_MS`].
    #[error("width {width}: the latency must be a number of at most {MAX_MS:e} ms")]
    OutOfRange {
        /// The width.
        width: usize,
    },
}

impl LatencyCurve {
    /// Validates knots: two or more, with increasing widths, and latencies within [`MAX_MS`].
    ///
    /// # Errors
    /// Returns [`CurveError`] with the first invalid knot.
    pub fn new(knots: Vec<Knot>) -> Result<Self, CurveError> {
        if knots.len() < 2 {
            return Err(CurveError::TooFew { count: knots.len() });
        }
        let mut previous = 0;
        for &Knot { width, ms } in &knots {
            if width == 0 || width > MAX_WIDTH {
                return Err(CurveError::Width { width });
            }
            if width <= previous {
                return Err(CurveError::Order { width, previous });
            }
            // Also false for NaN.
            if !(-MAX_MS..=MAX_MS).contains(&ms) {
                return Err(CurveError::OutOfRange { width });
            }
            previous = width;
        }
        Ok(Self { knots })
    }

    /// The knots, by increasing width.
    pub fn knots(&self) -> &[Knot] {
        &self.knots
    }

    /// The smallest width of a knot.
    pub fn first_width(&self) -> usize {
        self.first().width
    }

    /// The largest width of a knot.
    pub fn last_width(&self) -> usize {
        self.last().width
    }

    /// Returns the latency at a width in milliseconds, or `None` for 0 and above the last knot.
    pub fn ms(&self, width: usize) -> Option<f64> {
        if width == 0 || width > self.last_width() {
            return None;
        }
        let after = self.knots.partition_point(|knot| knot.width <= width);
        let Some(left) = after.checked_sub(1).map(|index| self.knots[index]) else {
            let last = self.last();
            let distance = (last.width - width) as f64;
            return Some(last.ms - distance * slope(self.first(), last));
        };
        let Some(&right) = self.knots.get(after) else {
            return Some(left.ms);
        };
        Some((width - left.width) as f64 * slope(left, right) + left.ms)
    }

    fn first(&self) -> Knot {
        self.knots[0]
    }

    fn last(&self) -> Knot {
        self.knots[self.knots.len() - 1]
    }
}

/// Milliseconds per channel between two knots.
fn slope(left: Knot, right: Knot) -> f64 {
    (right.ms - left.ms) / (right.width - left.width) as f64
}

/// Returns the non-decreasing sequence nearest to `values` in the sum of squares (pool-adjacent-violators).
///
/// A wider block that appears faster is a measurement error. This removes such errors before the values become knots.
pub fn monotone(values: &[f64]) -> Vec<f64> {
    let mut pools: Vec<(f64, usize)> = Vec::with_capacity(values.len());
    for &value in values {
        let (mut sum, mut count) = (value, 1);
        while let Some(&(previous_sum, previous_count)) = pools.last() {
            if previous_sum / previous_count as f64 <= sum / count as f64 {
                break;
            }
            pools.pop();
            sum += previous_sum;
            count += previous_count;
        }
        pools.push((sum, count));
    }
    let means = pools.into_iter();
    means.flat_map(|(sum, count)| std::iter::repeat_n(sum / count as f64, count)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn curve(knots: &[(usize, f64)]) -> Result<LatencyCurve, CurveError> {
        let knots = knots.iter().map(|&(width, ms)| Knot { width, ms });
        LatencyCurve::new(knots.collect())
    }

    #[test]
    fn latency_is_linear_between_knots_and_exact_on_them() {
        let curve = curve(&[(8, 1.0), (16, 3.0), (24, 2.0)]).unwrap();
        assert_eq!(curve.ms(8), Some(1.0));
        assert_eq!(curve.ms(12), Some(2.0));
        assert_eq!(curve.ms(16), Some(3.0));
        assert_eq!(curve.ms(20), Some(2.5));
        assert_eq!(curve.ms(24), Some(2.0));
    }

    #[test]
    fn below_the_first_knot_the_overall_line_is_extrapolated() {
        let curve = curve(&[(8, 1.0), (16, 8.0), (24, 9.0)]).unwrap();
        assert_eq!(curve.ms(7), Some(0.5));
        assert_eq!(curve.ms(4), Some(-1.0));
    }

    #[test]
    fn width_zero_and_widths_above_the_last_knot_are_unknown() {
        let curve = curve(&[(8, 1.0), (16, 3.0)]).unwrap();
        assert_eq!(curve.ms(0), None);
        assert_eq!(curve.ms(17), None);
    }

    #[test]
    fn invalid_knots_are_named() {
        assert_eq!(curve(&[]), Err(CurveError::TooFew { count: 0 }));
        assert_eq!(curve(&[(8, 1.0)]), Err(CurveError::TooFew { count: 1 }));
        assert_eq!(curve(&[(8, 1.0), (8, 2.0)]), Err(CurveError::Order { width: 8, previous: 8 }));
        assert_eq!(curve(&[(0, 1.0), (8, 2.0)]), Err(CurveError::Width { width: 0 }));
        assert_eq!(curve(&[(8, 1.0), (16, f64::NAN)]), Err(CurveError::OutOfRange { width: 16 }));
        assert_eq!(curve(&[(8, -1e39), (16, 1.0)]), Err(CurveError::OutOfRange { width: 8 }));
    }

    #[test]
    fn monotone_pools_decreasing_values() {
        assert_eq!(monotone(&[]), Vec::<f64>::new());
        assert_eq!(monotone(&[1.0, 1.0, 4.0]), vec![1.0, 1.0, 4.0]);
        assert_eq!(monotone(&[1.0, 3.0, 2.0, 4.0]), vec![1.0, 2.5, 2.5, 4.0]);
        assert_eq!(monotone(&[3.0, 2.0, 1.0]), vec![2.0, 2.0, 2.0]);
        assert_eq!(monotone(&[5.0, 6.0, 1.0]), vec![4.0, 4.0, 4.0]);
    }
}
