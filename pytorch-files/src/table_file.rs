use tfnas::table_text::TableTextError;
use tfnas::{LatencyTable, TableHeader};

use crate::{TablePickleError, table_from_pickle};

/// The most bytes that a file with a latency table may have.
pub const MAX_TABLE_BYTES: u64 = 256 << 20;
/// The first byte of a pickle of protocol 2 or later; no text starts with it.
const PICKLE: u8 = 0x80;

/// Why bytes are not a latency table.
#[derive(Debug, thiserror::Error)]
pub enum TableFileError {
    /// Neither text nor a pickle.
    #[error("neither text nor a pickle: this is not a latency table")]
    Binary,
    /// Text that is not a table.
    #[error(transparent)]
    Text(#[from] TableTextError),
    /// A pickle that is not a table.
    #[error(transparent)]
    Pickle(#[from] TablePickleError),
}

/// Reads a latency table in either of its forms: text, or a pickle as the original publishes, which is not executed.
///
/// * `header`: the header for a pickle, which has none.
///
/// # Errors
/// Returns [`TableFileError`] if the bytes are not a table.
pub fn table_from_bytes(bytes: Vec<u8>, header: impl FnOnce() -> TableHeader) -> Result<LatencyTable, TableFileError> {
    if bytes.first() == Some(&PICKLE) {
        return Ok(table_from_pickle(&bytes, header())?);
    }
    let text = String::from_utf8(bytes).map_err(|_| TableFileError::Binary)?;
    Ok(LatencyTable::parse(&text)?)
}
