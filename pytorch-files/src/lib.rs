//! Reads and writes files of PyTorch without PyTorch, and without executing them.
//!
//! * [`pickle`]: Python pickles as values. Code that a pickle refers to is not called.
//! * [`checkpoint`]: named tensors in `.pth.tar`, in the container before PyTorch 1.6, and in safetensors, as bytes.
//! * [`table_from_pickle`], [`table_to_pickle`]: the latency tables of the original (`latency_gpu.pkl`);
//!   [`table_from_bytes`]: a table as text or pickle.
//!
//! Every reader accepts untrusted bytes: it returns a value or an error in bounded time and memory. The crate does not
//! know the meaning of tensors, except their names and shapes in a network of `tfnas`.
//!
//! ```
//! use tfnas::LatencyTable;
//! use tfnas_pytorch_files::{table_from_pickle, table_to_pickle};
//!
//! let table = LatencyTable::titan_rtx();
//! let read = table_from_pickle(&table_to_pickle(&table), table.header().clone())?;
//! assert_eq!(read.base_ms(), table.base_ms());
//! # Ok::<(), tfnas_pytorch_files::TablePickleError>(())
//! ```

pub mod checkpoint;
pub mod pickle;
mod table_file;
mod table_pickle;

pub use table_file::{MAX_TABLE_BYTES, TableFileError, table_from_bytes};
pub use table_pickle::{TablePickleError, table_from_pickle, table_to_pickle};
