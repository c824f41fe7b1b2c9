//! Reads latency tables from files in any supported format.

use std::path::{Path, PathBuf};

use tfnas::table_text::TableTextError;
use tfnas::{LatencyTable, TableHeader};
use tfnas_fs::read_limited;
use tfnas_pytorch_files::{MAX_TABLE_BYTES, TableFileError, table_from_bytes};

use crate::config::Source;
use crate::config::nearest::nearest;

/// The file is not a latency table.
#[derive(Debug, thiserror::Error)]
pub enum ReadTableError {
    /// The file cannot be read.
    #[error("cannot read the latency table {}: {source}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The content is not a valid table.
    #[error("{place}: {}", without_line(source))]
    Content {
        /// Path of the file, with line and column if a line is wrong.
        place: String,
        /// What is wrong.
        source: Box<TableFileError>,
        /// The wrong line, with the place marked below it.
        excerpt: Option<String>,
    },
}

impl ReadTableError {
    /// Returns the wrong line of the file, with the place marked below it.
    pub fn excerpt(&self) -> Option<&str> {
        match self {
            Self::Read { .. } => None,
            Self::Content { excerpt, .. } => excerpt.as_deref(),
        }
    }

    /// Returns how to fix the error, if known.
    pub fn hint(&self) -> Option<String> {
        let Self::Content { source, .. } = self else { return None };
        let TableFileError::Text(TableTextError::UnknownEntry { name, .. }) = &**source else { return None };
        nearest(name, ENTRIES).map(|entry| format!("did you mean `{entry}`?"))
    }
}

/// The entries of the header of a table.
const ENTRIES: [&str; 11] =
    ["name", "unit", "device", "batch", "threads", "framework", "source", "licence", "check", "reference", "base_ms"];

/// Reads a table: text, or a pickle as published with the original, which is parsed without executing it.
///
/// * `header`: the header for a pickle, which has none.
///
/// # Errors
/// Returns [`ReadTableError`] if the file cannot be read or is not a table.
pub fn read(path: &Path, header: impl FnOnce() -> TableHeader) -> Result<LatencyTable, ReadTableError> {
    let bytes =
        read_limited(path, MAX_TABLE_BYTES).map_err(|source| ReadTableError::Read { path: path.to_owned(), source })?;
    table_from_bytes(bytes, header).map_err(|error| content(path, error))
}

fn content(path: &Path, error: TableFileError) -> ReadTableError {
    let place = path.display().to_string();
    let Some((line, part)) = wrong_line(&error) else {
        return ReadTableError::Content { place, source: Box::new(error), excerpt: None };
    };
    // The line is shown as it is now. It is only for display.
    let text = read_limited(path, MAX_TABLE_BYTES).unwrap_or_default();
    let source = Source::new(place, &String::from_utf8_lossy(&text));
    let span = source.find(u32::try_from(line).unwrap_or(u32::MAX), part);
    ReadTableError::Content { place: source.place(span), excerpt: source.excerpt(span), source: Box::new(error) }
}

/// Returns the number of the line that is wrong, and the wrong part of it; empty for the whole line.
fn wrong_line(error: &TableFileError) -> Option<(usize, &str)> {
    let TableFileError::Text(error) = error else { return None };
    match error {
        TableTextError::FirstLine { found } => Some((1, found)),
        TableTextError::Line { line, found }
        | TableTextError::Unit { line, found }
        | TableTextError::Number { line, found, .. } => Some((*line, found)),
        TableTextError::UnknownEntry { line, name } | TableTextError::RepeatedEntry { line, name } => {
            Some((*line, name))
        }
        TableTextError::Key { line, .. } | TableTextError::Curve { line, .. } => Some((*line, "")),
        TableTextError::TooLong | TableTextError::MissingEntry { .. } | TableTextError::Table(_) => None,
    }
}

/// Returns a message without the number of its line, which the place has.
fn without_line(error: &TableFileError) -> String {
    let message = error.to_string();
    let numbered = wrong_line(error).map(|(line, _)| format!("line {line}: "));
    numbered.and_then(|start| message.strip_prefix(&start)).unwrap_or(&message).to_owned()
}

/// Returns the header of a table that has none: it is named after the file.
pub fn named_after(path: &Path) -> TableHeader {
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let file = path.file_name().map(|file| file.to_string_lossy().into_owned());
    TableHeader { name, source: file.map(|file| format!("imported from {file}")), ..TableHeader::default() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn error(text: &str) -> ReadTableError {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.table");
        std::fs::write(&path, text).unwrap();
        read(&path, TableHeader::default).unwrap_err()
    }

    #[test]
    fn a_wrong_line_is_shown_with_its_place() {
        let start = "latency table 1\nname: test\nunit: ms\n";
        for (text, place, excerpt) in [
            (format!("{start}bach: 4\n"), "a.table:4:1: unknown entry 'bach'", "  4 | bach: 4\n    | ^^^^"),
            (
                format!("{start}batch: four\n"),
                "a.table:4:8: 'four' is not a whole number",
                "  4 | batch: four\n    |        ^^^^",
            ),
            ("latency\n".to_owned(), "a.table:1:1: line 1 is 'latency'", "  1 | latency\n    | ^^^^^^^"),
        ] {
            let error = error(&text);
            assert!(error.to_string().contains(place), "{error}");
            assert_eq!(error.excerpt(), Some(excerpt));
        }
        assert_eq!(error(&format!("{start}bach: 4\n")).hint().as_deref(), Some("did you mean `batch`?"));
        assert!(error("latency table 1\nname: test\n\n").excerpt().is_none());
    }
}
