//! Latency tables from files, in any of the forms in which they exist.

use std::path::{Path, PathBuf};

use tfnas::table_text::TableTextError;
use tfnas::{LatencyTable, TableHeader};
use tfnas_fs::read_limited;
use tfnas_pytorch_files::TablePickleError;
use tfnas_pytorch_files::table_from_pickle;

/// More bytes than any table has.
const MAX_BYTES: u64 = 256 << 20;
/// The first byte of a pickle of protocol 2 or later; no text begins so.
const PICKLE: u8 = 0x80;

/// A file that is no latency table.
#[derive(Debug, thiserror::Error)]
pub enum ReadTableError {
    /// It cannot be read.
    #[error("cannot read the latency table {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no text.
    #[error("{}: neither text nor a pickle: this is no latency table", path.display())]
    Binary {
        /// The file.
        path: PathBuf,
    },
    /// Its text is no table.
    #[error("{}: {source}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: TableTextError,
    },
    /// Its pickle is no table.
    #[error("{}: {source}", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: TablePickleError,
    },
}

/// Reads a table: readable knots, or a pickle as the original publishes, which is read and never executed. `header` is
/// what a pickle, which has none, gets.
///
/// # Errors
/// [`ReadTableError`].
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

/// Returns the header of a table that comes without one: the file's name says what it is.
pub fn named_after(path: &Path) -> TableHeader {
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let file = path.file_name().map(|file| file.to_string_lossy().into_owned());
    TableHeader { name, source: file.map(|file| format!("imported from {file}")), ..TableHeader::default() }
}
