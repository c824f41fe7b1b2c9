//! The allowed widths of an operation in a block: multiples of the space's step within two bounds.

use std::fmt;

/// An arithmetic sequence of widths.
///
/// Each width is a multiple of the step. With a step of 1 these are all integers between the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowedWidths {
    min: usize,
    max: usize,
    step: usize,
}

impl AllowedWidths {
    /// Returns the multiples of `step` from `min` to `max`, inclusive, or `None` if there are none.
    pub fn new(min: usize, max: usize, step: usize) -> Option<Self> {
        if step == 0 {
            return None;
        }
        let (min, max) = (min.div_ceil(step) * step, max / step * step);
        (min <= max).then_some(Self { min, max, step })
    }

    /// The smallest width.
    pub fn min(&self) -> usize {
        self.min
    }

    /// The largest width.
    pub fn max(&self) -> usize {
        self.max
    }

    /// The distance of two neighbors.
    pub fn step(&self) -> usize {
        self.step
    }

    /// The number of widths.
    pub fn count(&self) -> usize {
        (self.max - self.min) / self.step + 1
    }

    /// Returns whether `width` is allowed.
    pub fn contains(&self, width: usize) -> bool {
        (self.min..=self.max).contains(&width) && width.is_multiple_of(self.step)
    }

    /// Returns the index of an allowed width, from 0.
    pub fn position(&self, width: usize) -> usize {
        (width - self.min) / self.step
    }

    /// Returns the width at an index, from 0, or the largest one for an index past the end.
    pub fn at(&self, position: usize) -> usize {
        (self.min + position * self.step).min(self.max)
    }

    /// Returns the nearest allowed width, the larger of two equally near ones.
    pub fn nearest(&self, width: usize) -> usize {
        ((width + self.step / 2) / self.step * self.step).clamp(self.min, self.max)
    }

    /// Returns the largest allowed width that is at most `width`, or the smallest if all are larger.
    pub fn at_most(&self, width: usize) -> usize {
        (width / self.step * self.step).clamp(self.min, self.max)
    }

    /// Returns all allowed widths in increasing order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + use<> {
        (self.min..=self.max).step_by(self.step)
    }
}

/// Formats as `16 to 32`, or `16 to 32 in steps of 8`.
impl fmt::Display for AllowedWidths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.min, self.max)?;
        if self.step > 1 {
            write!(f, " in steps of {}", self.step)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bounds_are_rounded_inward_to_multiples_of_the_step() {
        let widths = AllowedWidths::new(30, 62, 8).unwrap();
        assert_eq!(widths.iter().collect::<Vec<_>>(), [32, 40, 48, 56]);
        assert_eq!((widths.min(), widths.max(), widths.count()), (32, 56, 4));
        assert_eq!(AllowedWidths::new(30, 32, 1).unwrap().iter().collect::<Vec<_>>(), [30, 31, 32]);
        for (min, max, step) in [(33, 39, 8), (5, 4, 1), (1, 10, 0), (1, 63, 64)] {
            assert_eq!(AllowedWidths::new(min, max, step), None, "{min} {max} {step}");
        }
    }

    #[test]
    fn widths_are_rounded_to_the_nearest_multiple_with_ties_up() {
        let widths = AllowedWidths::new(16, 64, 8).unwrap();
        for (width, nearest, at_most) in
            [(0, 16, 16), (19, 16, 16), (20, 24, 16), (36, 40, 32), (40, 40, 40), (99, 64, 64)]
        {
            assert_eq!((widths.nearest(width), widths.at_most(width)), (nearest, at_most), "{width}");
        }
        let every = AllowedWidths::new(16, 64, 1).unwrap();
        assert!(every.iter().all(|width| every.nearest(width) == width && every.at_most(width) == width));
    }

    #[test]
    fn positions_count_the_widths() {
        let widths = AllowedWidths::new(16, 64, 8).unwrap();
        for (position, width) in widths.iter().enumerate() {
            assert_eq!((widths.position(width), widths.at(position)), (position, width));
            assert!(widths.contains(width) && !widths.contains(width + 1));
        }
        assert_eq!(widths.at(100), 64);
        assert_eq!(widths.to_string(), "16 to 64 in steps of 8");
    }
}
