//! Streams of random numbers and their distributions.

use crate::{StreamId, philox4x32_10};

/// 2^-53, the spacing of uniform numbers with 53 bits.
const UNIT_53: f64 = 1.0 / (1u64 << 53) as f64;
/// 2^-52, the spacing of uniform numbers that exclude both ends.
const UNIT_52: f64 = 1.0 / (1u64 << 52) as f64;
/// 2^-24, the spacing of uniform numbers with 24 bits.
const UNIT_24: f32 = 1.0 / (1u32 << 24) as f32;

/// The random numbers of one (seed, stream id, epoch, index).
///
/// A stream has 2^34 words of 32 bits and repeats after them. The integer and uniform methods return the same values on
/// every machine. [`normal`](Stream::normal) and [`gumbel`](Stream::gumbel) use the platform's logarithm and cosine,
/// whose last bit may differ between C libraries.
#[derive(Clone, Debug)]
pub struct Stream {
    key: [u32; 2],
    counter: [u32; 4],
    words: [u32; 4],
    /// Number of consumed `words`.
    used: usize,
}

impl Stream {
    /// Returns the stream of this quadruple, at its beginning.
    ///
    /// `index` counts within an epoch; the stream id determines what: a step, a sample, a block.
    pub fn new(seed: u64, purpose: StreamId, epoch: u32, index: u32) -> Self {
        Self {
            key: [seed as u32, (seed >> 32) as u32],
            counter: [0, purpose as u32, epoch, index],
            words: [0; 4],
            used: 4,
        }
    }

    /// Returns the next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.used == self.words.len() {
            self.words = philox4x32_10(self.counter, self.key);
            self.counter[0] = self.counter[0].wrapping_add(1);
            self.used = 0;
        }
        let word = self.words[self.used];
        self.used += 1;
        word
    }

    /// Returns the next 64 bits: two words, the lower one first.
    pub fn next_u64(&mut self) -> u64 {
        let low = u64::from(self.next_u32());
        let high = u64::from(self.next_u32());
        high << 32 | low
    }

    /// Returns a uniform number in [0, 1), a multiple of 2^-53.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * UNIT_53
    }

    /// Returns a uniform number in [0, 1), a multiple of 2^-24.
    pub fn uniform_f32(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 * UNIT_24
    }

    /// Returns a uniform number in [low, high), or `low` if both are equal.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Returns a uniform integer in 0, 1, …, n-1, all with exactly the same probability.
    ///
    /// It multiplies and rejects (Lemire, "Fast random integer generation in an interval", 2019).
    ///
    /// # Panics
    /// Panics if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "below(0): there is nothing to choose from");
        let rejected = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            if product as u64 >= rejected {
                return (product >> 64) as u64;
            }
        }
    }

    /// Returns a normal number with mean 0 and variance 1 (Box-Muller transform; its second value is discarded).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform_open().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Returns a standard Gumbel number, `-ln(-ln u)`. It is always finite, because `u` is neither 0 nor 1.
    pub fn gumbel(&mut self) -> f64 {
        -(-self.uniform_open().ln()).ln()
    }

    /// Shuffles `items` uniformly (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }

    /// Returns a uniform number in (0, 1): the center of one of 2^52 equal intervals, exact in f64.
    fn uniform_open(&mut self) -> f64 {
        ((self.next_u64() >> 12) as f64 + 0.5) * UNIT_52
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Stream {
        Stream::new(7, StreamId::Shuffle, 3, 11)
    }

    #[test]
    fn stream_reads_consecutive_counters_under_the_seed() {
        let seed = 0x299f_31d0_a409_3822;
        let mut stream = Stream::new(seed, StreamId::Gumbel, 5, 9);
        let key = [0xa409_3822, 0x299f_31d0];
        for block in 0..3 {
            let expected = philox4x32_10([block, StreamId::Gumbel as u32, 5, 9], key);
            let read: [u32; 4] = std::array::from_fn(|_| stream.next_u32());
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn the_same_quadruple_gives_the_same_numbers() {
        let mut first = stream();
        let mut second = stream();
        assert!((0..100).all(|_| first.next_u64() == second.next_u64()));
    }

    #[test]
    fn each_part_of_the_quadruple_gives_other_numbers() {
        let reference = stream().next_u64();
        for mut other in [
            Stream::new(8, StreamId::Shuffle, 3, 11),
            Stream::new(7 + (1 << 32), StreamId::Shuffle, 3, 11),
            Stream::new(7, StreamId::Augment, 3, 11),
            Stream::new(7, StreamId::Shuffle, 4, 11),
            Stream::new(7, StreamId::Shuffle, 3, 12),
        ] {
            assert_ne!(other.next_u64(), reference);
        }
    }

    #[test]
    fn uniform_numbers_stay_in_their_interval_with_the_right_mean() {
        let mut stream = stream();
        let n = 100_000;
        let mut sum = 0.0;
        for _ in 0..n {
            let value = stream.uniform();
            let single = stream.uniform_f32();
            let shifted = stream.between(-2.0, 5.0);
            assert!((0.0..1.0).contains(&value));
            assert!((0.0..1.0).contains(&single));
            assert!((-2.0..5.0).contains(&shifted));
            sum += value;
        }
        assert!((sum / f64::from(n) - 0.5).abs() < 0.005);
    }

    #[test]
    fn below_is_uniform() {
        let mut stream = stream();
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[stream.below(7) as usize] += 1;
        }
        assert!(counts.iter().all(|&count| count.abs_diff(10_000) < 500));
        assert_eq!(stream.below(1), 0);
        assert!(stream.below(u64::MAX) < u64::MAX);
    }

    #[test]
    #[should_panic(expected = "nothing to choose from")]
    fn below_zero_panics() {
        stream().below(0);
    }

    #[test]
    fn normal_numbers_have_mean_0_and_variance_1() {
        let mut stream = stream();
        let values: Vec<f64> = (0..100_000).map(|_| stream.normal()).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02);
    }

    #[test]
    fn gumbel_numbers_have_the_euler_constant_as_mean() {
        let mut stream = stream();
        let n = 100_000;
        let mean = (0..n).map(|_| stream.gumbel()).sum::<f64>() / f64::from(n);
        assert!((mean - 0.577_215_66).abs() < 0.02);
    }

    #[test]
    fn open_uniform_numbers_have_finite_logarithms_at_both_ends() {
        let smallest = 0.5 * UNIT_52;
        let largest = (((1u64 << 52) - 1) as f64 + 0.5) * UNIT_52;
        assert!(largest < 1.0);
        assert!((-(-smallest.ln()).ln()).is_finite());
        assert!((-(-largest.ln()).ln()).is_finite());
    }

    #[test]
    fn shuffle_permutes_and_reaches_every_order() {
        let mut orders = std::collections::HashSet::new();
        for index in 0..200 {
            let mut items = [0, 1, 2, 3];
            Stream::new(1, StreamId::Shuffle, 0, index).shuffle(&mut items);
            let mut sorted = items;
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3]);
            orders.insert(items);
        }
        assert_eq!(orders.len(), 24);
        Stream::new(1, StreamId::Shuffle, 0, 0).shuffle::<u8>(&mut []);
    }
}
