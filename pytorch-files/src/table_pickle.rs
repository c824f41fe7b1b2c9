//! The original's latency tables: a pickle of nested `OrderedDict`s, `base` and key -> width -> ms.

use std::collections::BTreeMap;

use tfnas::block_key::{BlockKey, KeyError};
use tfnas::curve::{CurveError, Knot, LatencyCurve};
use tfnas::{LatencyTable, TableError, TableHeader};

use crate::pickle::{self, Limits, Pickle, PickleError, PickleWriter, ValueId};

const BASE: &str = "base";
/// The distance of the samples from which the published tables were interpolated, in channels.
const SAMPLED_EVERY: usize = 8;
/// Maximum number of entries of all rows. Rows can share a dictionary, so the length of the pickle does not limit it.
const MAX_ENTRIES: usize = 4_000_000;
/// Maximum number of values of a pickle: two of each entry, and those of the dictionaries.
const MAX_VALUES: usize = 2 * MAX_ENTRIES + 500_000;
/// Maximum length of a pickle, in bytes.
const MAX_BYTES: usize = 128 << 20;
const ORDERED_DICT: (&str, &str) = ("collections", "OrderedDict");

/// The reason why a pickle is not a latency table.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TablePickleError {
    /// No pickle, a damaged one, or one with more in it than a table has.
    #[error(transparent)]
    Pickle(#[from] PickleError),
    /// A value is not a dictionary.
    #[error("{place} is {found}, not a dictionary: this is not a latency table")]
    NotDictionary {
        /// Which part.
        place: String,
        /// The type found.
        found: &'static str,
    },
    /// A key is not a string.
    #[error("the table has {found} as a key: keys must be strings")]
    KeyKind {
        /// The type found.
        found: &'static str,
    },
    /// A key that names no block.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No base latency.
    #[error("the table has no '{BASE}' entry")]
    NoBase,
    /// The base latency occurs twice.
    #[error("the table has two '{BASE}' entries")]
    RepeatedBase,
    /// A width is not a positive integer.
    #[error("{key}: a width is {found}: widths must be positive integers")]
    Width {
        /// The row.
        key: BlockKey,
        /// The value found.
        found: String,
    },
    /// A width occurs twice.
    #[error("{key}: width {width} appears twice")]
    RepeatedWidth {
        /// The row.
        key: BlockKey,
        /// The width.
        width: usize,
    },
    /// A latency is not a number.
    #[error("{place}: the latency is {found}, not a number")]
    Latency {
        /// Where.
        place: String,
        /// The type found.
        found: &'static str,
    },
    /// The entries of a row are not a valid curve.
    #[error("{key}: {source}")]
    Curve {
        /// The row.
        key: BlockKey,
        /// The problem.
        source: CurveError,
    },
    /// More entries than any table has.
    #[error("the table has more than {MAX_ENTRIES} entries")]
    TooManyEntries,
    /// The rows are not a valid table together.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// Reads a pickled table without executing it.
///
/// Every entry keeps its exact value. A row that was interpolated from samples every 8 channels, like all published
/// ones, is stored as those samples; in other rows each entry becomes a knot.
///
/// * `header`: the origin of the table, which the pickle does not contain. Its unit must be milliseconds.
///
/// # Errors
/// Returns [`TablePickleError`] if the pickle is invalid or not a latency table.
pub fn table_from_pickle(bytes: &[u8], header: TableHeader) -> Result<LatencyTable, TablePickleError> {
    let limits = Limits { globals: &[ORDERED_DICT], values: MAX_VALUES, bytes: MAX_BYTES, ..Limits::default() };
    let pickle = pickle::parse(bytes, &limits)?;
    let mut base_ms = None;
    let mut curves = Vec::new();
    let mut count = 0;
    for (name, value) in dictionary(&pickle, pickle.root(), || "the pickle".to_owned())? {
        let Some(text) = pickle.text(name) else {
            let found = pickle.kind(name);
            return Err(TablePickleError::KeyKind { found });
        };
        if text == BASE {
            let ms = latency(&pickle, value, || BASE.to_owned())?;
            if base_ms.replace(ms).is_some() {
                return Err(TablePickleError::RepeatedBase);
            }
            continue;
        }
        let key: BlockKey = text.parse()?;
        let entries = entries(&pickle, &key, value)?;
        count += entries.len();
        if count > MAX_ENTRIES {
            return Err(TablePickleError::TooManyEntries);
        }
        let curve = curve(&key, entries).map_err(|source| TablePickleError::Curve { key, source })?;
        curves.push((key, curve));
    }
    let base_ms = base_ms.ok_or(TablePickleError::NoBase)?;
    Ok(LatencyTable::new(header, base_ms, curves)?)
}

/// Writes the table as the original reads it: every width from 1 to the last knot of every key.
pub fn table_to_pickle(table: &LatencyTable) -> Vec<u8> {
    let mut writer = PickleWriter::new();
    writer.global(ORDERED_DICT.0, ORDERED_DICT.1);
    writer.empty_tuple();
    writer.reduce();
    writer.mark();
    writer.text(BASE);
    writer.float(table.base_ms());
    for (key, curve) in table.curves() {
        writer.text(&key.to_string());
        writer.global(ORDERED_DICT.0, ORDERED_DICT.1);
        writer.empty_tuple();
        writer.reduce();
        writer.mark();
        for width in 1..=curve.last_width() {
            if let Some(ms) = curve.ms(width) {
                writer.int(width as i64);
                writer.float(ms);
            }
        }
        writer.set_items();
    }
    writer.set_items();
    writer.finish()
}

fn dictionary(
    pickle: &Pickle,
    id: ValueId,
    place: impl Fn() -> String,
) -> Result<Vec<(ValueId, ValueId)>, TablePickleError> {
    pickle.mapping(id).ok_or_else(|| TablePickleError::NotDictionary { place: place(), found: pickle.kind(id) })
}

fn latency(pickle: &Pickle, id: ValueId, place: impl Fn() -> String) -> Result<f64, TablePickleError> {
    pickle.number(id).ok_or_else(|| TablePickleError::Latency { place: place(), found: pickle.kind(id) })
}

/// The entries of one row, by width.
fn entries(pickle: &Pickle, key: &BlockKey, row: ValueId) -> Result<BTreeMap<usize, f64>, TablePickleError> {
    let mut entries = BTreeMap::new();
    for (width, ms) in dictionary(pickle, row, || key.to_string())? {
        let value = pickle.int(width);
        let Some(width) = value.and_then(|value| usize::try_from(value).ok()) else {
            let found = value.map_or_else(|| pickle.kind(width).to_owned(), |n| n.to_string());
            return Err(TablePickleError::Width { key: *key, found });
        };
        let ms = latency(pickle, ms, || format!("{key}, width {width}"))?;
        if entries.insert(width, ms).is_some() {
            return Err(TablePickleError::RepeatedWidth { key: *key, width });
        }
    }
    Ok(entries)
}

/// Returns the curve that reproduces all entries: through every eighth from the input channels on if that suffices,
/// otherwise through all.
fn curve(key: &BlockKey, entries: BTreeMap<usize, f64>) -> Result<LatencyCurve, CurveError> {
    let all = |(&width, &ms): (&usize, &f64)| Knot { width, ms };
    let sampled = entries.range(key.in_channels..).step_by(SAMPLED_EVERY);
    if let Ok(curve) = LatencyCurve::new(sampled.map(all).collect()) {
        let gives = |(&width, ms): (&usize, &f64)| curve.ms(width).is_some_and(|found| found.to_bits() == ms.to_bits());
        if entries.iter().all(gives) {
            return Ok(curve);
        }
    }
    LatencyCurve::new(entries.iter().map(all).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::path::Path;

    /// ```python
    /// rows = OrderedDict([(1, 0.25), (2, 0.5), (3, 0.75)])
    /// table = OrderedDict([("base", 1.5), ("MBInvertedResBlock_4_2_0_2_k3_s1_relu", rows)])
    /// pickle.dumps(table, protocol)  # Python 3.11
    /// ```
    const PROTOCOL_0: &[u8] = b"ccollections\nOrderedDict\np0\n(tRp1\nVbase\np2\nF1.5\nsVMBInvertedResBlock_4_2_0_2_k3_s1_relu\np3\ng0\n(tRp4\nI1\nF0.25\nsI2\nF0.5\nsI3\nF0.75\nss.";
    const PROTOCOL_1: &[u8] = b"ccollections\nOrderedDict\nq\x00)Rq\x01(X\x04\x00\x00\x00baseq\x02G?\xf8\x00\x00\x00\x00\x00\x00X%\x00\x00\x00MBInvertedResBlock_4_2_0_2_k3_s1_reluq\x03h\x00)Rq\x04(K\x01G?\xd0\x00\x00\x00\x00\x00\x00K\x02G?\xe0\x00\x00\x00\x00\x00\x00K\x03G?\xe8\x00\x00\x00\x00\x00\x00uu.";
    const PROTOCOL_4: &[u8] = b"\x80\x04\x95\x84\x00\x00\x00\x00\x00\x00\x00\x8c\x0bcollections\x94\x8c\x0bOrderedDict\x94\x93\x94)R\x94(\x8c\x04base\x94G?\xf8\x00\x00\x00\x00\x00\x00\x8c%MBInvertedResBlock_4_2_0_2_k3_s1_relu\x94h\x02)R\x94(K\x01G?\xd0\x00\x00\x00\x00\x00\x00K\x02G?\xe0\x00\x00\x00\x00\x00\x00K\x03G?\xe8\x00\x00\x00\x00\x00\x00uu.";

    fn header() -> TableHeader {
        TableHeader { name: "test".to_owned(), ..TableHeader::default() }
    }

    fn read(bytes: &[u8]) -> Result<LatencyTable, TablePickleError> {
        table_from_pickle(bytes, header())
    }

    /// Returns a dictionary with string keys and the values that `value` writes for them.
    fn table_of(entries: &[&str], value: impl Fn(&mut PickleWriter, &str)) -> Vec<u8> {
        let mut writer = PickleWriter::new();
        writer.empty_dict();
        writer.mark();
        for key in entries {
            writer.text(key);
            value(&mut writer, key);
        }
        writer.set_items();
        writer.finish()
    }

    const KEY: &str = "MBInvertedResBlock_4_2_0_2_k3_s1_relu";

    #[test]
    fn tables_in_all_protocols_are_read() {
        let table = read(PROTOCOL_0).unwrap();
        assert_eq!(table.base_ms(), 1.5);
        let (key, curve) = &table.curves()[0];
        assert_eq!(key.to_string(), KEY);
        let entries: Vec<_> = (1..=4).map(|width| curve.ms(width)).collect();
        assert_eq!(entries, [Some(0.25), Some(0.5), Some(0.75), None]);
        for bytes in [PROTOCOL_1, PROTOCOL_4] {
            assert_eq!(read(bytes).unwrap(), table);
        }
        let mut newest = PROTOCOL_4.to_vec();
        newest[1] = 5;
        assert_eq!(read(&newest).unwrap(), table);
        for protocol in [2, 3] {
            let mut newer = vec![0x80, protocol];
            newer.extend(PROTOCOL_1);
            assert_eq!(read(&newer).unwrap(), table);
        }
    }

    #[test]
    fn exported_table_can_be_imported() {
        for table in [LatencyTable::titan_rtx(), LatencyTable::xeon_gold_6130()] {
            let bytes = table_to_pickle(&table);
            let read = table_from_pickle(&bytes, table.header().clone()).unwrap();
            assert_eq!(read, table);
        }
    }

    #[test]
    fn published_pickles_equal_the_included_tables() {
        let official = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/official");
        for (file, shipped) in
            [("latency_gpu.pkl", LatencyTable::titan_rtx()), ("latency_cpu.pkl", LatencyTable::xeon_gold_6130())]
        {
            let Ok(bytes) = std::fs::read(official.join(file)) else {
                println!("SKIPPED: {file} is not in ../shared/official");
                continue;
            };
            let read = table_from_pickle(&bytes, shipped.header().clone()).unwrap();
            assert_eq!(read, shipped);
            let knots = read.curves().iter().map(|(_, curve)| curve.knots().len());
            assert_eq!(knots.sum::<usize>(), 3942);
        }
    }

    #[test]
    fn row_measured_at_every_width_keeps_every_width() {
        let noisy = |width: i64| if width % 2 == 0 { 1.0 } else { 2.0 };
        let bytes = table_of(&["base", KEY], |writer, key| {
            if key == "base" {
                return writer.int(1);
            }
            writer.empty_dict();
            writer.mark();
            for width in (1..=20).rev() {
                writer.int(width);
                writer.float(noisy(width));
            }
            writer.set_items();
        });
        let table = read(&bytes).unwrap();
        let curve = &table.curves()[0].1;
        assert_eq!(curve.knots().len(), 20);
        assert!((1..=20).all(|width| curve.ms(width as usize) == Some(noisy(width))));
    }

    #[test]
    fn errors_name_the_invalid_entry() {
        let number = |writer: &mut PickleWriter, _: &str| writer.float(1.0);
        let text = |writer: &mut PickleWriter, _: &str| writer.text("x");
        let row = |width: i64| {
            move |writer: &mut PickleWriter, key: &str| {
                if key == "base" {
                    return writer.float(1.0);
                }
                writer.empty_dict();
                writer.mark();
                for _ in 0..2 {
                    writer.int(width);
                    writer.float(1.0);
                }
                writer.set_items();
            }
        };
        for (bytes, expected) in [
            (b"N.".to_vec(), "the pickle is None, not a dictionary"),
            (b"".to_vec(), "the pickle is truncated"),
            (b"}(K\x01K\x01u.".to_vec(), "the table has an integer as a key"),
            (table_of(&[], number), "the table has no 'base' entry"),
            (table_of(&["base", "base"], number), "the table has two 'base' entries"),
            (table_of(&["base"], text), "base: the latency is a string, not a number"),
            (table_of(&["base", "x"], number), "'x' is not a key"),
            (table_of(&["base", KEY], number), "MBInvertedResBlock_4_2_0_2_k3_s1_relu is a float, not a dictionary"),
            (table_of(&["base", KEY], row(-1)), "MBInvertedResBlock_4_2_0_2_k3_s1_relu: a width is -1"),
            (table_of(&["base", KEY], row(0)), "MBInvertedResBlock_4_2_0_2_k3_s1_relu: width 0 appears twice"),
            (table_of(&["base", KEY], row(1)), "MBInvertedResBlock_4_2_0_2_k3_s1_relu: width 1 appears twice"),
        ] {
            let error = read(&bytes).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn error_names_code_that_a_pickle_would_run() {
        let bytes = b"cos\nsystem\n(S'echo harm'\ntR.";
        let error = read(bytes).unwrap_err().to_string();
        assert!(error.starts_with("byte 0: the pickle names os.system"), "{error}");
    }

    #[test]
    fn rows_sharing_a_large_dictionary_use_bounded_memory() {
        let mut writer = PickleWriter::new();
        writer.empty_dict();
        writer.mark();
        writer.text("base");
        writer.float(1.0);
        writer.text("MBInvertedResBlock_1_1_0_1_k3_s1_relu");
        writer.empty_dict();
        let row = writer.memorise();
        writer.mark();
        for width in 1..=400_000 {
            writer.int(width);
            writer.float(1.0);
        }
        writer.set_items();
        for size in 2..1000 {
            writer.text(&format!("MBInvertedResBlock_{size}_1_0_1_k3_s1_relu"));
            writer.recall(row);
        }
        writer.set_items();
        assert_eq!(read(&writer.finish()), Err(TablePickleError::TooManyEntries));
    }
}
