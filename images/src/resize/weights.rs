//! The weights of the triangle filter along one axis, in the number format of an [`Arithmetic`].

use std::ops::Range;

use super::arithmetic::Arithmetic;

/// The source pixels of one result, and the place of their weights.
pub(super) struct Taps {
    /// First source pixel.
    pub first: usize,
    /// Number of source pixels.
    pub count: usize,
    pairs: Range<usize>,
}

/// The weights along one axis, for a range of its results.
pub(super) struct Weights<A: Arithmetic> {
    pub taps: Vec<Taps>,
    pairs: Vec<A::Pair>,
}

impl<A: Arithmetic> Weights<A> {
    /// Computes the filter for `size` source pixels, of which `start` to `end` become `results` pixels.
    pub fn new(size: usize, (start, end): (f64, f64), results: usize, wanted: Range<usize>) -> Self {
        // Pillow hands the borders on in single precision.
        let start = start.max(0.0).min(size as f64) as f32;
        let end = end.max(f64::from(start)).min(size as f64) as f32;
        let scale = f64::from(end - start) / results as f64;
        let filter_scale = scale.max(1.0);
        let inverse_filter_scale = 1.0 / filter_scale;

        let mut taps = Vec::with_capacity(wanted.len());
        let mut pairs = Vec::new();
        let mut exact = Vec::new();
        for result in wanted {
            let center = f64::from(start) + (result as f64 + 0.5) * scale;
            let first = ((center - filter_scale + 0.5) as usize).min(size - 1);
            let after = ((center + filter_scale + 0.5) as usize).clamp(first + 1, size);
            exact.clear();
            exact.extend((first..after).map(|source| {
                let distance = (source as f64 - center + 0.5) * inverse_filter_scale;
                (1.0 - distance.abs()).max(0.0)
            }));
            let sum: f64 = exact.iter().sum();
            let normalized = |weight: &f64| if sum == 0.0 { *weight } else { weight / sum };
            let begin = pairs.len();
            pairs.extend(
                exact.chunks(2).map(|pair| A::pair([normalized(&pair[0]), pair.get(1).map_or(0.0, normalized)])),
            );
            taps.push(Taps { first, count: exact.len(), pairs: begin..pairs.len() });
        }
        Self { taps, pairs }
    }

    /// The weights of a result, in pairs. The second weight of the last pair is 0 if the number of source pixels is odd.
    pub fn pairs(&self, taps: &Taps) -> &[A::Pair] {
        &self.pairs[taps.pairs.clone()]
    }

    /// The source pixels that have a weight.
    pub fn reach(&self) -> Range<usize> {
        let first = self.taps.iter().map(|taps| taps.first).min();
        let after = self.taps.iter().map(|taps| taps.first + taps.count).max();
        first.unwrap_or(0)..after.unwrap_or(0)
    }

    /// Returns the same filter for a source without its first `offset` pixels.
    pub fn shifted(mut self, offset: usize) -> Self {
        for taps in &mut self.taps {
            taps.first -= offset;
        }
        self
    }
}
