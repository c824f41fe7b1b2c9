//! The text form of a latency table.
//!
//! ```text
//! latency table 1
//! name: titan-rtx-b32
//! unit: ms
//! device: NVIDIA Titan RTX
//! batch: 32
//! base_ms: 1.985807514190674
//!
//! MBInvertedResBlock_112_16_0_24_k3_s2_relu
//! 16: 0.1494433879852295
//! 24: 0.6132776737213135
//! ```
//!
//! The first line holds the version of the format. Then the header, one entry per line: `name`, `unit` and `base_ms`
//! are required. Then one section per key, separated by empty lines, with a line `width: milliseconds` for each knot.
//! Numbers are the shortest that parse to the same f64. Lines that begin with `#` are ignored.

use std::fmt::Write;

use crate::block_key::{BlockKey, KeyError};
use crate::curve::{CurveError, Knot, LatencyCurve};
use crate::table::{LatencyTable, TableError};
use crate::table_header::TableHeader;

const FIRST_LINE: &str = "latency table 1";
const UNIT: &str = "ms";
/// Maximum size of the text, in bytes.
const MAX_BYTES: usize = 64 << 20;

/// Why a text is not a latency table. Lines count from 1.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TableTextError {
    /// The text is too long.
    #[error("the text has more than {MAX_BYTES} bytes, too many for a latency table")]
    TooLong,
    /// The file is not a latency table, or has another version.
    #[error("line 1 is '{found}': a latency table begins with '{FIRST_LINE}'")]
    FirstLine {
        /// The value found.
        found: String,
    },
    /// A line that is neither an entry nor a key.
    #[error("line {line}: '{found}' is not of the form 'name: value'")]
    Line {
        /// Line number.
        line: usize,
        /// The value found.
        found: String,
    },
    /// The header entry is unknown.
    #[error(
        "line {line}: unknown entry '{name}'; entries are name, unit, device, batch, threads, framework, source, licence, check, reference, base_ms"
    )]
    UnknownEntry {
        /// Line number.
        line: usize,
        /// Its name.
        name: String,
    },
    /// A header entry is repeated.
    #[error("line {line}: duplicate entry '{name}'")]
    RepeatedEntry {
        /// Line number.
        line: usize,
        /// Its name.
        name: String,
    },
    /// A required header entry is missing.
    #[error("the header has no entry '{name}'")]
    MissingEntry {
        /// Its name.
        name: &'static str,
    },
    /// A unit other than milliseconds.
    #[error("line {line}: the unit is '{found}': only ms is supported; convert the numbers first")]
    Unit {
        /// Line number.
        line: usize,
        /// The value found.
        found: String,
    },
    /// A value cannot be parsed.
    #[error("line {line}: '{found}' is not a {expected}")]
    Number {
        /// Line number.
        line: usize,
        /// The value found.
        found: String,
        /// What is expected.
        expected: &'static str,
    },
    /// A section does not begin with a key.
    #[error("line {line}: {source}")]
    Key {
        /// Line number.
        line: usize,
        /// The problem.
        source: KeyError,
    },
    /// The knots of a section are not a valid curve.
    #[error("the section of line {line} ({key}): {source}")]
    Curve {
        /// Line number of the section.
        line: usize,
        /// Its key.
        key: BlockKey,
        /// The problem.
        source: CurveError,
    },
    /// The sections do not form a valid table.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl LatencyTable {
    /// Parses the text form.
    ///
    /// # Errors
    /// Returns [`TableTextError`] with the line and the problem.
    pub fn parse(text: &str) -> Result<Self, TableTextError> {
        if text.len() > MAX_BYTES {
            return Err(TableTextError::TooLong);
        }
        let mut lines = Lines::new(text);
        match lines.next() {
            Some((_, FIRST_LINE)) => {}
            other => {
                let found = shortened(other.map_or("", |(_, line)| line));
                return Err(TableTextError::FirstLine { found });
            }
        }
        let (header, base_ms) = parse_header(&mut lines)?;
        let mut curves = Vec::new();
        while let Some((line, text)) = lines.next() {
            if text.is_empty() {
                continue;
            }
            let key = text.parse().map_err(|source| TableTextError::Key { line, source })?;
            let curve = LatencyCurve::new(parse_knots(&mut lines)?).map_err(|source| TableTextError::Curve {
                line,
                key,
                source,
            })?;
            curves.push((key, curve));
        }
        Ok(Self::new(header, base_ms, curves)?)
    }

    /// Returns the text form. [`LatencyTable::parse`] restores the table bit for bit.
    pub fn to_text(&self) -> String {
        let header = self.header();
        let first = [("name", Some(header.name.clone())), ("unit", Some(UNIT.to_owned()))];
        let last = [("base_ms", Some(self.base_ms().to_string()))];
        let entries = first.into_iter().chain(header.details()).chain(last);
        let mut text = format!("{FIRST_LINE}\n");
        for (name, value) in entries {
            if let Some(value) = value {
                write_line(&mut text, format_args!("{name}: {value}"));
            }
        }
        for (key, curve) in self.curves() {
            write_line(&mut text, format_args!("\n{key}"));
            for Knot { width, ms } in curve.knots() {
                write_line(&mut text, format_args!("{width}: {ms}"));
            }
        }
        text
    }
}

fn write_line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("writing to a string cannot fail");
}

/// The lines of a text with their numbers, without comments and surrounding whitespace.
struct Lines<'a> {
    lines: std::iter::Enumerate<std::str::Lines<'a>>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self { lines: text.lines().enumerate() }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.lines.find(|(_, line)| !line.starts_with('#'))?;
        Some((line.0 + 1, line.1.trim()))
    }
}

/// Parses entries up to the first empty line.
fn parse_header(lines: &mut Lines<'_>) -> Result<(TableHeader, f64), TableTextError> {
    let mut header = TableHeader::default();
    let mut base_ms = None;
    let mut seen: Vec<&str> = Vec::new();
    for (line, text) in lines.take_while(|(_, text)| !text.is_empty()) {
        let (name, value) = entry(line, text)?;
        if seen.contains(&name) {
            let name = shortened(name);
            return Err(TableTextError::RepeatedEntry { line, name });
        }
        seen.push(name);
        match name {
            "name" => header.name = value.to_owned(),
            "unit" if value == UNIT => {}
            "unit" => {
                let found = shortened(value);
                return Err(TableTextError::Unit { line, found });
            }
            "device" => header.device = Some(value.to_owned()),
            "batch" => header.batch = Some(number(line, value, "whole number")?),
            "threads" => header.threads = Some(number(line, value, "whole number")?),
            "framework" => header.framework = Some(value.to_owned()),
            "source" => header.source = Some(value.to_owned()),
            "licence" => header.licence = Some(value.to_owned()),
            "check" => {
                header.check = Some(number(line, value, "check of a table (mean 0.012, p95 0.031, networks 20)")?);
            }
            "reference" => {
                header.reference = Some(number(line, value, "reference network (seed 0, classes 10, ms 0.43)")?);
            }
            "base_ms" => base_ms = Some(number(line, value, "number of milliseconds")?),
            other => {
                let name = shortened(other);
                return Err(TableTextError::UnknownEntry { line, name });
            }
        }
    }
    for name in ["name", "unit", "base_ms"] {
        if !seen.contains(&name) {
            return Err(TableTextError::MissingEntry { name });
        }
    }
    let base_ms = base_ms.ok_or(TableTextError::MissingEntry { name: "base_ms" })?;
    Ok((header, base_ms))
}

/// Parses knots up to the next empty line.
fn parse_knots(lines: &mut Lines<'_>) -> Result<Vec<Knot>, TableTextError> {
    let section = lines.take_while(|(_, text)| !text.is_empty());
    let knot = |(line, text)| {
        let (width, ms) = entry(line, text)?;
        Ok(Knot { width: number(line, width, "width")?, ms: number(line, ms, "number of milliseconds")? })
    };
    section.map(knot).collect()
}

fn entry(line: usize, text: &str) -> Result<(&str, &str), TableTextError> {
    match text.split_once(':') {
        Some((name, value)) => Ok((name.trim(), value.trim())),
        None => Err(TableTextError::Line { line, found: shortened(text) }),
    }
}

fn number<T: std::str::FromStr>(line: usize, text: &str, expected: &'static str) -> Result<T, TableTextError> {
    text.parse().map_err(|_| TableTextError::Number { line, found: shortened(text), expected })
}

/// Returns the beginning of a text, for a message.
fn shortened(text: &str) -> String {
    text.escape_debug().take(60).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TEXT: &str = "\
latency table 1
# A comment.
name: test
unit: ms
device: some device: with a colon
batch: 32
base_ms: 1.5

MBInvertedResBlock_4_2_0_2_k3_s1_relu
2: 0.1
4: 0.30000000000000004

MBInvertedResBlock_4_2_2_2_k3_s1_relu
2: -1e-3
8: 1
";

    /// Returns the error message after replacing a part of the text.
    fn error_after(from: &str, to: &str) -> String {
        assert!(TEXT.contains(from));
        LatencyTable::parse(&TEXT.replacen(from, to, 1)).unwrap_err().to_string()
    }

    #[test]
    fn a_table_is_parsed() {
        let table = LatencyTable::parse(TEXT).unwrap();
        assert_eq!(table.header().name, "test");
        assert_eq!(table.header().device.as_deref(), Some("some device: with a colon"));
        assert_eq!(table.header().batch, Some(32));
        assert_eq!(table.header().threads, None);
        assert_eq!(table.base_ms(), 1.5);
        let (key, curve) = &table.curves()[0];
        assert_eq!(key.to_string(), "MBInvertedResBlock_4_2_0_2_k3_s1_relu");
        assert_eq!(curve.ms(4), Some(0.1 + 0.2));
        assert_eq!(table.curves()[1].1.ms(2), Some(-0.001));
    }

    #[test]
    fn a_table_round_trips_bit_for_bit() {
        for table in [LatencyTable::parse(TEXT).unwrap(), LatencyTable::titan_rtx(), LatencyTable::xeon_gold_6130()] {
            let text = table.to_text();
            assert_eq!(LatencyTable::parse(&text).unwrap(), table);
            assert_eq!(LatencyTable::parse(&text).unwrap().to_text(), text);
        }
    }

    #[test]
    fn carriage_returns_are_ignored() {
        let table = LatencyTable::parse(&TEXT.replace('\n', "\r\n")).unwrap();
        assert_eq!(table, LatencyTable::parse(TEXT).unwrap());
    }

    #[test]
    fn errors_name_line_and_cause() {
        for (from, to, expected) in [
            ("latency table 1", "latency table 2", "line 1 is 'latency table 2'"),
            ("unit: ms", "unit: s", "line 4: the unit is 's': only ms is supported"),
            ("unit: ms\n", "", "the header has no entry 'unit'"),
            ("base_ms: 1.5\n", "", "the header has no entry 'base_ms'"),
            ("batch: 32", "batches: 32", "line 6: unknown entry 'batches'"),
            ("batch: 32", "batch: many", "line 6: 'many' is not a whole number"),
            ("batch: 32", "name: again", "line 6: duplicate entry 'name'"),
            ("batch: 32", "batch", "line 6: 'batch' is not of the form"),
            ("base_ms: 1.5", "base_ms: inf", "base_ms is inf"),
            ("base_ms: 1.5", "base_ms: ", "line 7: '' is not a number of milliseconds"),
            ("_k3_s1_relu", "_k3_s1_elu", "line 9: 'MBInvertedResBlock_4_2_0_2_k3_s1_elu' is not a key"),
            ("2: 0.1", "-2: 0.1", "line 10: '-2' is not a width"),
            ("2: 0.1", "2: NaN", "the section of line 9 (MBInvertedResBlock_4_2_0_2_k3_s1_relu): width 2: the latency"),
            ("2: 0.1", "4: 0.1", "the section of line 9 (MBInvertedResBlock_4_2_0_2_k3_s1_relu): width 4 comes after"),
            ("2: 0.1\n", "", "the section of line 9 (MBInvertedResBlock_4_2_0_2_k3_s1_relu): 1 knots"),
            ("_4_2_2_2_", "_4_2_0_2_", "duplicate key MBInvertedResBlock_4_2_0_2_k3_s1_relu"),
        ] {
            let error = error_after(from, to);
            assert!(error.starts_with(expected), "{error}");
        }
        assert!(LatencyTable::parse("").is_err());
        assert!(LatencyTable::parse("latency table 1").is_err());
    }
}
