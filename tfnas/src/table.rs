//! The latency table of one device: the latency of a block of a given shape and width, in milliseconds.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use crate::architecture::{Architecture, ArchitectureError};
use crate::block_key::BlockKey;
use crate::config::ModelConfig;
use crate::curve::{LatencyCurve, MAX_MS};
use crate::space::{Space, halved};
use crate::table_header::{TableCheck, TableHeader};
use crate::widths::Widths;

/// Maximum number of entries (widths from 1 to the last knot, over all keys) of a table.
const MAX_ENTRIES: usize = 4_000_000;
/// Maximum number of items named in an error.
const NAMED: usize = 3;

/// Latency by block and width, in milliseconds.
///
/// The latency of a network is `base_ms` (both stems, feature mix, pooling and classifier) plus that of its blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencyTable {
    header: TableHeader,
    base_ms: f64,
    curves: Vec<(BlockKey, LatencyCurve)>,
    /// The index of each key in `curves`, which keeps the original order.
    index: HashMap<BlockKey, usize>,
}

/// Why a table is invalid or cannot return a latency.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TableError {
    /// A header entry is not a single printable line.
    #[error("the header's {field} must be one line of 1 to 1000 bytes of printable text, without spaces at its ends")]
    Header {
        /// Name of the entry.
        field: &'static str,
    },
    /// The base latency is not a valid time.
    #[error("base_ms is {base_ms}: it must be 0 to {MAX_MS:e} ms")]
    Base {
        /// The base latency.
        base_ms: f64,
    },
    /// A key occurs twice.
    #[error("duplicate key {key}")]
    DuplicateKey {
        /// The key.
        key: BlockKey,
    },
    /// The table has too many entries.
    #[error("the table has more than {MAX_ENTRIES} entries")]
    TooLarge,
    /// The block is not in the table.
    #[error("the table has no key {key}: measure it, or use a table made for this space and resolution")]
    MissingKey {
        /// The key.
        key: BlockKey,
    },
    /// The width is not in the table.
    #[error("the table covers {key} up to width {max}, not width {width}")]
    MissingWidth {
        /// The key.
        key: BlockKey,
        /// The requested width.
        width: usize,
        /// The largest width in the table.
        max: usize,
    },
    /// Blocks of the space are not in the table.
    #[error(
        "the table lacks {} of the {needed} keys of this space ({}): use a table made for this space and resolution, or measure one",
        .missing.len(), first(.missing)
    )]
    Incomplete {
        /// The missing rows, each with the needed widths.
        missing: Vec<String>,
        /// Number of keys that the space needs.
        needed: usize,
    },
    /// The architecture belongs to another space.
    #[error(transparent)]
    Architecture(#[from] ArchitectureError),
}

/// Consecutive entries that cannot be latencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspicious {
    /// Key of the row.
    pub key: BlockKey,
    /// Widths of the entries.
    pub widths: RangeInclusive<usize>,
    /// The problem.
    pub problem: Problem,
}

/// A problem of a table entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Zero or negative.
    NotPositive,
    /// Less than the entry one channel narrower.
    Decreasing,
}

impl LatencyTable {
    /// Creates a table from its parts. Keys keep their order.
    ///
    /// # Errors
    /// Returns [`TableError::Header`], [`TableError::Base`], [`TableError::DuplicateKey`] or [`TableError::TooLarge`]
    /// for an invalid part.
    pub fn new(header: TableHeader, base_ms: f64, curves: Vec<(BlockKey, LatencyCurve)>) -> Result<Self, TableError> {
        header.check()?;
        if !(0.0..=MAX_MS).contains(&base_ms) {
            return Err(TableError::Base { base_ms });
        }
        let mut index = HashMap::with_capacity(curves.len());
        let mut entries = 0;
        for (position, (key, curve)) in curves.iter().enumerate() {
            if index.insert(*key, position).is_some() {
                return Err(TableError::DuplicateKey { key: *key });
            }
            entries += curve.last_width();
            if entries > MAX_ENTRIES {
                return Err(TableError::TooLarge);
            }
        }
        Ok(Self { header, base_ms, curves, index })
    }

    /// The origin of the table.
    pub fn header(&self) -> &TableHeader {
        &self.header
    }

    /// Latency of both stems, feature mix, pooling and classifier, in milliseconds.
    pub fn base_ms(&self) -> f64 {
        self.base_ms
    }

    /// All rows, in the order of the text form.
    pub fn curves(&self) -> &[(BlockKey, LatencyCurve)] {
        &self.curves
    }

    /// Returns the row of a key.
    ///
    /// # Errors
    /// Returns [`TableError::MissingKey`] if the table has no such row.
    pub fn curve(&self, key: &BlockKey) -> Result<&LatencyCurve, TableError> {
        match self.index.get(key) {
            Some(&position) => Ok(&self.curves[position].1),
            None => Err(TableError::MissingKey { key: *key }),
        }
    }

    /// Returns the same table with a check in its header.
    #[must_use]
    pub fn with_check(mut self, check: TableCheck) -> Self {
        self.header.check = Some(check);
        self
    }

    /// Returns the latency of a block at a width, in milliseconds.
    ///
    /// # Errors
    /// Returns [`TableError::MissingKey`] or [`TableError::MissingWidth`] if the table does not contain it. An unknown
    /// latency never counts as zero.
    pub fn latency_ms(&self, key: &BlockKey, width: usize) -> Result<f64, TableError> {
        let curve = self.curve(key)?;
        curve.ms(width).ok_or(TableError::MissingWidth { key: *key, width, max: curve.last_width() })
    }

    /// Checks that the table covers every key and every width of a space.
    ///
    /// # Errors
    /// Returns [`TableError::Incomplete`] with everything that is missing.
    pub fn check_covers(&self, space: &Space) -> Result<(), TableError> {
        let needed = space.needed_rows();
        let lacking = needed.iter().filter(|row| {
            !self
                .curve(&row.key)
                .is_ok_and(|curve| curve.first_width() <= row.min_width && row.max_width <= curve.last_width())
        });
        let missing: Vec<String> =
            lacking.map(|row| format!("{} for widths {} to {}", row.key, row.min_width, row.max_width)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(TableError::Incomplete { missing, needed: needed.len() })
    }

    /// Returns the latency of a network of a space in milliseconds: `base_ms`, then the kept blocks added in order.
    ///
    /// # Errors
    /// Returns [`TableError::Architecture`] if the network does not belong to the space, and [`TableError::MissingKey`]
    /// or [`TableError::MissingWidth`] if the table does not cover it.
    pub fn architecture_ms(&self, space: &Space, architecture: &Architecture) -> Result<f64, TableError> {
        architecture.check(space)?;
        let mut ms = self.base_ms;
        for (block, choice) in architecture.choices(space) {
            let key = block.key(&space.operations()[choice.operation]);
            ms += self.latency_ms(&key, choice.width)?;
        }
        Ok(ms)
    }

    /// Returns the latency of a network of any space in milliseconds, given its `model.config`.
    ///
    /// * `resolution`: side of the input image, in pixels.
    ///
    /// # Errors
    /// Returns [`TableError::MissingKey`] or [`TableError::MissingWidth`] if the table does not cover it.
    pub fn config_ms(&self, config: &ModelConfig, resolution: usize) -> Result<f64, TableError> {
        let mut ms = self.base_ms;
        let mut size = halved(resolution, config.first_stem.stride);
        size = halved(size, config.second_stem.stride);
        for block in config.groups.iter().flatten() {
            ms += self.latency_ms(&block.key(size), block.mid_channels)?;
            size = halved(size, block.stride);
        }
        Ok(ms)
    }

    /// Returns the latency of every operation of every block at its current width, `[block][operation]`, in
    /// milliseconds.
    ///
    /// # Errors
    /// Returns [`TableError::MissingKey`] or [`TableError::MissingWidth`] if the table does not cover one of them.
    pub fn operations_ms(&self, space: &Space, widths: &Widths) -> Result<Vec<Vec<f64>>, TableError> {
        let rows = space.blocks().iter().zip(widths.rows());
        rows.map(|(block, row)| {
            let operations = space.operations().iter().zip(row);
            operations.map(|(operation, &width)| self.latency_ms(&block.key(operation), width)).collect()
        })
        .collect()
    }

    /// Returns all entries, from width 1 to the last knot of every key, that are not positive or are smaller than their
    /// narrower neighbor.
    pub fn suspicious(&self) -> Vec<Suspicious> {
        let mut found: Vec<Suspicious> = Vec::new();
        for (key, curve) in &self.curves {
            let entry = |width| curve.ms(width).unwrap_or(f64::NAN);
            let mut report = |problem, wrong: &dyn Fn(usize) -> bool| {
                for width in (1..=curve.last_width()).filter(|&width| wrong(width)) {
                    match found.last_mut() {
                        Some(last) if last.key == *key && last.problem == problem && last.widths.end() + 1 == width => {
                            last.widths = *last.widths.start()..=width;
                        }
                        _ => found.push(Suspicious { key: *key, widths: width..=width, problem }),
                    }
                }
            };
            report(Problem::NotPositive, &|width| entry(width) <= 0.0);
            report(Problem::Decreasing, &|width| width > 1 && entry(width) < entry(width - 1));
        }
        found
    }
}

/// Lists the first few items, for a message.
fn first(items: &[String]) -> String {
    let shown = items[..items.len().min(NAMED)].join("; ");
    if items.len() > NAMED { format!("{shown}; and {} more", items.len() - NAMED) } else { shown }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Knot, Operation};

    fn header() -> TableHeader {
        TableHeader { name: "test".to_owned(), ..TableHeader::default() }
    }

    fn curve(knots: &[(usize, f64)]) -> LatencyCurve {
        let knots = knots.iter().map(|&(width, ms)| Knot { width, ms });
        LatencyCurve::new(knots.collect()).unwrap()
    }

    /// A table of a space in which every block costs 0.01 ms per channel.
    fn proportional(space: &Space) -> LatencyTable {
        let rows = space.needed_rows().into_iter().map(|row| {
            let knot = |width| (width, width as f64 / 100.0);
            (row.key, curve(&[knot(row.min_width), knot(row.max_width)]))
        });
        LatencyTable::new(header(), 1.0, rows.collect()).unwrap()
    }

    #[test]
    fn the_published_tables_cover_only_the_published_space() {
        for table in [LatencyTable::titan_rtx(), LatencyTable::xeon_gold_6130()] {
            table.check_covers(&Space::imagenet()).unwrap();
            assert_eq!(table.curves().len(), 66);
            let error = table.check_covers(&Space::small()).unwrap_err().to_string();
            let expected = "the table lacks 20 of the 20 keys of this space \
                (MBInvertedResBlock_16_8_0_12_k3_s1_relu for widths 16 to 32; ";
            assert!(error.starts_with(expected), "{error}");
            assert!(error.contains("; and 17 more)"), "{error}");
        }
    }

    #[test]
    fn a_row_that_is_too_short_does_not_cover_the_space() {
        let space = Space::small();
        let whole = proportional(&space);
        for widths in [(17, 32), (16, 31)] {
            let mut curves = whole.curves().to_vec();
            curves[0].1 = curve(&[(widths.0, 1.0), (widths.1, 2.0)]);
            let table = LatencyTable::new(header(), 1.0, curves).unwrap();
            let error = table.check_covers(&space).unwrap_err();
            assert!(matches!(error, TableError::Incomplete { missing, .. } if missing.len() == 1));
        }
    }

    #[test]
    fn the_suspicious_entries_of_the_published_tables_are_known() {
        for (table, count) in [(LatencyTable::titan_rtx(), 88), (LatencyTable::xeon_gold_6130(), 84)] {
            let found = table.suspicious();
            assert!(found.iter().all(|entries| entries.problem == Problem::NotPositive));
            assert_eq!(found.into_iter().flat_map(|entries| entries.widths).count(), count);
        }
    }

    #[test]
    fn decreasing_entries_are_reported_as_ranges() {
        let key = Space::small().blocks()[0].key(&Space::small().operations()[0]);
        let falling = curve(&[(1, 1.0), (3, 3.0), (6, 0.0), (8, 4.0)]);
        let table = LatencyTable::new(header(), 0.0, vec![(key, falling)]).unwrap();
        let entries = |widths, problem| Suspicious { key, widths, problem };
        let expected = [entries(6..=6, Problem::NotPositive), entries(4..=6, Problem::Decreasing)];
        assert_eq!(table.suspicious(), expected);
    }

    #[test]
    fn unknown_keys_and_widths_are_errors_not_zero() {
        let (space, table) = (Space::imagenet(), LatencyTable::titan_rtx());
        let key = space.blocks()[0].key(&space.operations()[0]);
        let error = table.latency_ms(&key, 129).unwrap_err().to_string();
        assert_eq!(error, format!("the table covers {key} up to width 128, not width 129"));
        assert!(table.latency_ms(&key, 0).is_err());
        let other = key_with_kernel(&space, 7);
        let error = table.latency_ms(&other, 16).unwrap_err();
        assert!(matches!(error, TableError::MissingKey { .. }));
    }

    fn key_with_kernel(space: &Space, kernel: usize) -> BlockKey {
        let operation = Operation { kernel, ..space.operations()[0].clone() };
        space.blocks()[0].key(&operation)
    }

    #[test]
    fn operations_ms_uses_the_current_widths() {
        let space = Space::small();
        let ms = proportional(&space).operations_ms(&space, &Widths::initial(&space)).unwrap();
        assert_eq!(ms.len(), space.blocks().len());
        let expected = [24.0, 24.0, 48.0, 48.0].map(|width: f64| width / 100.0);
        for (found, expected) in ms[0].iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn invalid_parts_are_rejected() {
        let key = key_with_kernel(&Space::small(), 3);
        let row = || (key, curve(&[(1, 1.0), (2, 2.0)]));
        let twice = LatencyTable::new(header(), 1.0, vec![row(), row()]);
        assert_eq!(twice, Err(TableError::DuplicateKey { key }));
        for base_ms in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(LatencyTable::new(header(), base_ms, vec![row()]).is_err());
        }
        for name in ["", " a", "a\nb", "a\u{7}"] {
            let header = TableHeader { name: name.to_owned(), ..TableHeader::default() };
            let table = LatencyTable::new(header, 1.0, Vec::new());
            assert_eq!(table, Err(TableError::Header { field: "name" }));
        }
    }

    #[test]
    fn a_too_large_table_is_rejected() {
        let rows = (1..=5).map(|kernel| {
            let long = curve(&[(1, 1.0), (1 << 20, 2.0)]);
            (key_with_kernel(&Space::small(), kernel), long)
        });
        let table = LatencyTable::new(header(), 1.0, rows.collect());
        assert_eq!(table, Err(TableError::TooLarge));
    }
}
