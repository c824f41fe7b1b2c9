//! Reads latency tables from files in any supported format.

use std::path::{Path, PathBuf};

use tfnas::table_text::TableTextError;
use tfnas::{LatencyTable, TableHeader};
use tfnas_fs::read_limited;
use tfnas_pytorch_files::TablePickleError;
use tfnas_pytorch_files::table_from_pickle;

/// Maximum size of a table.
const MAX_BYTES: u64 = 256 << 20;
/// The first byte of a pickle of protocol 2 or later. No text file starts with it.
const PICKLE: u8 = 0x80;

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
    /// The file is neither text nor a pickle.
    #[error("{}: neither text nor a pickle: this is no latency table", path.display())]
    Binary {
        /// Path of the file.
        path: PathBuf,
    },
    /// The text is not a valid table.
    #[error("{}: {source}", path.display())]
    Text {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong.
        source: TableTextError,
    },
    /// The pickle is not a valid table.
    #[error("{}: {source}", path.display())]
    Pickle {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong.
        source: TablePickleError,
    },
}

/// Reads a table: text, or a pickle as published with the original, which is parsed without executing it. A pickle has
/// no header and gets `header`.
///
/// # Errors
/// Returns [`ReadTableError`] if the file cannot be read or is not a table.
pub fn read(path: &Path, header: impl FnOnce() -> TableHeader) -> Result<LatencyTable, ReadTableError> {
    let bytes =
        read_limited(path, MAX_BYTES).map_err(|source| ReadTableError::Read { path: path.to_owned(), source })?;
    let path = || path.to_owned();
    if bytes.first() == Some(&PICKLE) {
        return table_from_pickle(&bytes, header()).map_err(|source| ReadTableError::Pickle { path: path(), source });
    }
    let text = String::from_utf8(bytes).map_err(|_| ReadTableError::Binary { path: path() })?;
    LatencyTable::parse(&text).map_err(|source| ReadTableError::Text { path: path(), source })
}

/// Returns the header of a table that has none: it is named after the file.
pub fn named_after(path: &Path) -> TableHeader {
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let file = path.file_name().map(|file| file.to_string_lossy().into_owned());
    TableHeader { name, source: file.map(|file| format!("imported from {file}")), ..TableHeader::default() }
}
