//! Random numbers that depend on nothing but (seed, purpose, epoch, index).
//!
//! A [`Stream`] is the sequence of one such quadruple. It has no history: whoever asks for the same quadruple gets the
//! same numbers, whatever else was drawn before, on any thread, in any order, before or after a restart. This is what
//! makes a result independent of the number of data workers, and an interrupted run continue to the same bytes.
//!
//! The generator is Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
//! SC 2011): a keyed bijection of a 128-bit counter. The key is the seed, the counter is
//! (block of the stream, purpose, epoch, index), four 32-bit words each way.
//!
//! Left out on purpose: a global generator, seeding from the clock, and cryptographic strength.

mod philox;
mod stream;
mod stream_id;

pub use philox::philox4x32_10;
pub use stream::Stream;
pub use stream_id::StreamId;
