//! Python pickles, read as data and never executed.
//!
//! A pickle is a program for a small stack machine that may call any function of any module. The reader here
//! interprets that program over plain values: what would import something becomes an inert [`Value::Global`], what
//! would call something an inert [`Value::Call`]. A global that the caller did not name beforehand is refused by name, or
//! read as an opaque value, as the caller says ([`Foreign`]). All opcodes of protocols 0 to 5 are understood, but for
//! out-of-band buffers, which lie outside the stream, and, where foreign globals are refused, the extension registry.
//!
//! Values live in one arena and refer to each other by [`ValueId`], because a pickle may share a value, or close a
//! cycle: a tree of copies could grow exponentially. Time and memory are proportional to the length of the stream,
//! within [`Limits`].
//!
//! * `cursor`: the stream; `reader`: what each opcode does; `stack`: with what; `opcode`: the bytes it knows; `text`: the
//!   line formats of protocol 0; `limits`: what it refuses, and why.
//! * `value`: the arena and how to look at it.
//! * `writer`: what the project writes itself, in protocol 2.

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
