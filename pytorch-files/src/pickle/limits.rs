//! The limits of a stream, and the reasons to reject one.

/// The newest protocol that is understood.
pub(super) const NEWEST_PROTOCOL: u8 = 5;

/// The limits of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// The longest stream, in bytes.
    pub bytes: usize,
    /// Maximum number of values and of memo entries.
    pub values: usize,
    /// The allowed globals, as (module, name).
    pub globals: &'a [(&'a str, &'a str)],
    /// How other globals are handled.
    pub foreign: Foreign,
}

/// How a global that is not in the list is handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Foreign {
    /// The stream is refused.
    #[default]
    Refused,
    /// It is read as an inert value, and so is everything that the stream creates with it.
    Opaque,
}

impl Default for Limits<'_> {
    /// 32 MiB, half a million values, no globals, and a refusal of any other.
    fn default() -> Self {
        Self { bytes: 32 << 20, values: 500_000, globals: &[], foreign: Foreign::Refused }
    }
}

/// The reason why a stream is rejected. Offsets are bytes from its beginning.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PickleError {
    /// More bytes than allowed.
    #[error("the pickle has more than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// More values than allowed.
    #[error("the pickle has more than {limit} values")]
    TooManyValues {
        /// The limit.
        limit: usize,
    },
    /// Names of globals that are longer together than the longest stream: they repeat the same text.
    #[error("the names in the pickle have more than {limit} bytes together")]
    Names {
        /// The limit.
        limit: usize,
    },
    /// The stream ends inside an opcode or before its end mark.
    #[error("the pickle is truncated: it ends at byte {offset}, before its end mark")]
    Truncated {
        /// Where it ends.
        offset: usize,
    },
    /// A byte is not an opcode.
    #[error("byte {offset}: {opcode:#04x} is not a pickle opcode; this is not a pickle, or a damaged one")]
    UnknownOpcode {
        /// Where.
        offset: usize,
        /// The byte.
        opcode: u8,
    },
    /// A protocol from the future.
    #[error("pickle protocol {protocol} is not supported, only up to {NEWEST_PROTOCOL}")]
    Protocol {
        /// The protocol.
        protocol: u8,
    },
    /// A name that the caller did not allow.
    #[error("byte {offset}: the pickle names {module}.{name}, which is not allowed in such a file; it was not run")]
    ForbiddenGlobal {
        /// Where.
        offset: usize,
        /// The module.
        module: String,
        /// The name in it.
        name: String,
    },
    /// Something outside of the stream.
    #[error("byte {offset}: the pickle refers to {what}, which is not supported")]
    Outside {
        /// Where.
        offset: usize,
        /// The target.
        what: &'static str,
    },
    /// An opcode finds other values on the stack than it needs.
    #[error("byte {offset}: opcode {opcode:#04x} needs {needs}; the pickle is damaged")]
    Stack {
        /// Where.
        offset: usize,
        /// The opcode.
        opcode: u8,
        /// The values that it needs.
        needs: &'static str,
    },
    /// An argument that cannot be read.
    #[error("byte {offset}: the argument of opcode {opcode:#04x} is not {expected}; the pickle is damaged")]
    Argument {
        /// Where.
        offset: usize,
        /// The opcode.
        opcode: u8,
        /// The expected type.
        expected: &'static str,
    },
}
