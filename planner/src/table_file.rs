//! Reads latency tables from files in any supported format.

use std::path::{Path, PathBuf};

use tfnas::{LatencyTable, TableHeader};
use tfnas_fs::read_limited;
use tfnas_pytorch_files::{MAX_TABLE_BYTES, TableFileError, table_from_bytes};

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
    #[error("{}: {source}", path.display())]
    Content {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong.
        source: TableFileError,
    },
}

/// Reads a table: text, or a pickle as published with the original, which is parsed without executing it.
///
/// * `header`: the header for a pickle, which has none.
///
/// # Errors
/// Returns [`ReadTableError`] if the file cannot be read or is not a table.
pub fn read(path: &Path, header: impl FnOnce() -> TableHeader) -> Result<LatencyTable, ReadTableError> {
    let bytes =
        read_limited(path, MAX_TABLE_BYTES).map_err(|source| ReadTableError::Read { path: path.to_owned(), source })?;
    table_from_bytes(bytes, header).map_err(|source| ReadTableError::Content { path: path.to_owned(), source })
}

/// Returns the header of a table that has none: it is named after the file.
pub fn named_after(path: &Path) -> TableHeader {
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let file = path.file_name().map(|file| file.to_string_lossy().into_owned());
    TableHeader { name, source: file.map(|file| format!("imported from {file}")), ..TableHeader::default() }
}
