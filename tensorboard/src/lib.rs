//! Writes event files that TensorBoard reads: scalars and texts.
//!
//! ```
//! use tfnas_tensorboard::EventWriter;
//!
//! let folder = tempfile::tempdir()?;
//! let mut writer = EventWriter::create(&folder.path().join("train"))?;
//! writer.scalar("val_top1", 0, 0.5, 1_700_000_000.0)?;
//! writer.text("configuration", "seed: 0", 1_700_000_000.0)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! An event file is a sequence of TFRecords, each a serialized `tensorflow.Event`. Every record is written at once and
//! can be read immediately, so that a running TensorBoard shows it at its next reload.

mod crc32c;
mod message;
mod record;
mod writer;

pub use record::record;
pub use writer::EventWriter;
