//! Random numbers that depend only on (seed, stream id, epoch, index).
//!
//! A [`Stream`] is the sequence of random numbers of one such quadruple. It has no global state: the same quadruple
//! gives the same numbers, regardless of the thread, the order of the calls, and restarts. Results therefore do not
//! depend on the number of data workers, and an interrupted run continues with identical bytes.
//!
//! ```
//! use tfnas_random::{Stream, StreamId};
//!
//! let mut order: Vec<u32> = (0..10).collect();
//! Stream::new(42, StreamId::Shuffle, 3, 0).shuffle(&mut order);
//!
//! let mut again: Vec<u32> = (0..10).collect();
//! Stream::new(42, StreamId::Shuffle, 3, 0).shuffle(&mut again);
//! assert_eq!(order, again);
//! ```
//!
//! The generator is Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC
//! 2011): a keyed bijection of a 128-bit counter. The key is the seed, the counter is (block of the stream, stream id,
//! epoch, index), each of the four a 32-bit word.
//!
//! The crate intentionally has no global generator and no seeding from the clock, and is not suitable for cryptography.

mod philox;
mod stream;
mod stream_id;

pub use philox::philox4x32_10;
pub use stream::Stream;
pub use stream_id::StreamId;
