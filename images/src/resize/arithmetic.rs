//! Number formats of weights and weighted sums.

use wide::{i16x8, i32x4};

/// How pixels are multiplied with weights and added up, in vectors of two pixels in turns.
pub(super) trait Arithmetic: Copy + Default {
    /// The weights of two source pixels next to each other.
    type Pair: Copy;

    /// Converts the weights of two source pixels. The weights of a result add up to 1.
    fn pair(weights: [f64; 2]) -> Self::Pair;

    /// Adds four pairs of values, each pair times a pair of weights.
    fn add(&mut self, values: i16x8, weights: &Self::Pair);

    /// The sums, rounded to integers.
    fn rounded(self) -> i32x4;
}

/// Fraction bits of an exact weight: 32, less 8 of a pixel, less 2 to spare.
pub(super) const PRECISION_BITS: u32 = 32 - 8 - 2;
/// Bits of the low part of an exact weight.
pub(super) const LOW_BITS: u32 = PRECISION_BITS / 2;

/// Pillow's arithmetic: weights of 22 fraction bits.
///
/// Weights are split into two parts of 16 bits, so that vectors multiply them with pixels without loss. A sum of
/// weighted pixels is computed as two sums, of the upper and of the lower parts, whose products fit into 32 bits.
/// Overflows wrap in each of the sums and cancel: the sum of both, like Pillow's, is less than 2^31.
#[derive(Clone, Copy, Default)]
pub(super) struct Exact {
    high: i32x4,
    low: i32x4,
}

/// The weights of two source pixels.
#[derive(Clone, Copy)]
pub(super) struct ExactPair {
    /// Upper bits of both weights in turns, four times.
    pub high: i16x8,
    /// Lower `LOW_BITS` bits of both weights in turns, four times.
    pub low: i16x8,
}

impl Arithmetic for Exact {
    type Pair = ExactPair;

    fn pair(weights: [f64; 2]) -> ExactPair {
        // A weight is at most 2^`PRECISION_BITS`, so both parts fit.
        let fixed = weights.map(|weight| (0.5 + weight * f64::from(1u32 << PRECISION_BITS)) as i32);
        ExactPair {
            high: in_turns(fixed.map(|weight| (weight >> LOW_BITS) as i16)),
            low: in_turns(fixed.map(|weight| (weight & ((1 << LOW_BITS) - 1)) as i16)),
        }
    }

    #[inline]
    fn add(&mut self, values: i16x8, weights: &ExactPair) {
        self.high += values.dot(weights.high);
        self.low += values.dot(weights.low);
    }

    #[inline]
    fn rounded(self) -> i32x4 {
        /// One half, added before the fraction is cut off.
        const HALF: i32 = 1 << (PRECISION_BITS - 1);
        ((self.high << LOW_BITS) + self.low + i32x4::splat(HALF)) >> PRECISION_BITS
    }
}

/// Weights of 14 fraction bits: one multiplication instead of two. Results differ from exact ones by at most 1 unless an
/// image is reduced to less than a hundredth.
#[derive(Clone, Copy, Default)]
pub(super) struct Fast(i32x4);

impl Fast {
    const BITS: u32 = 14;
}

impl Arithmetic for Fast {
    /// Both weights in turns, four times.
    type Pair = i16x8;

    fn pair(weights: [f64; 2]) -> i16x8 {
        in_turns(weights.map(|weight| (0.5 + weight * f64::from(1u32 << Self::BITS)) as i16))
    }

    #[inline]
    fn add(&mut self, values: i16x8, weights: &i16x8) {
        self.0 += values.dot(*weights);
    }

    #[inline]
    fn rounded(self) -> i32x4 {
        (self.0 + i32x4::splat(1 << (Self::BITS - 1))) >> Self::BITS
    }
}

fn in_turns([first, second]: [i16; 2]) -> i16x8 {
    i16x8::new([first, second, first, second, first, second, first, second])
}
