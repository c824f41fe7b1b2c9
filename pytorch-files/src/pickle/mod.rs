//! Python pickles, read as data and never executed.
//!
//! A pickle is a program for a small stack machine that can call any function of any module. This reader interprets the
//! program over plain values: an import becomes an inert [`Value::Global`], a call becomes an inert [`Value::Call`].
//! Globals outside the caller's list are rejected by name or read as opaque values ([`Foreign`]). All opcodes of
//! protocols 0 to 5 are supported, except out-of-band buffers, which are outside the stream, and, if foreign globals
//! are rejected, the extension registry.
//!
//! Values are stored in one arena and refer to each other by [`ValueId`], because a pickle can share values and contain
//! cycles: a tree of copies could grow exponentially. Time and memory are proportional to the length of the stream,
//! within [`Limits`].
//!
//! * `cursor`: the stream; `reader`: the effect of each opcode; `stack`: its operands; `opcode`: the known opcodes;
//!   `text`: the text forms of protocol 0; `limits`: limits and errors.
//! * `value`: the arena and its accessors.
//! * `writer`: writes protocol 2.

mod cursor;
mod limits;
mod opcode;
mod reader;
mod stack;
#[cfg(test)]
mod tests;
mod text;
mod value;
mod writer;

pub use limits::{Foreign, Limits, PickleError};
pub use reader::parse;
pub use value::{Call, Pickle, Value, ValueId};
pub use writer::{MemoIndex, PickleWriter};
