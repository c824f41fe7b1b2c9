//! What a stream may contain, and why it is refused.

/// The newest protocol that is understood.
pub(super) const NEWEST_PROTOCOL: u8 = 5;

/// What a stream may contain.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// The longest stream, in bytes.
    pub bytes: usize,
    /// The most values, and the most entries of the memo.
    pub values: usize,
    /// The globals that may be named, as (module, name).
    pub globals: &'a [(&'a str, &'a str)],
    /// What other globals do.
    pub foreign: Foreign,
}

/// What a global does that the caller did not name beforehand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Foreign {
    /// The stream is refused.
    #[default]
    Refused,
    /// It is read as an inert value like any other, and so is what the stream makes with it.
    Opaque,
}

impl Default for Limits<'_> {
    /// 32 MiB, half a million values, no globals, and a refusal of any other.
    fn default() -> Self {
        Self { bytes: 32 << 20, values: 500_000, globals: &[], foreign: Foreign::Refused }
    }
}

/// Why a stream is refused; offsets are bytes from its beginning.
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
    /// A byte that is no opcode.
    #[error("byte {offset}: {opcode:#04x} is no pickle opcode; this is not a pickle, or a damaged one")]
    UnknownOpcode {
        /// Where.
        offset: usize,
        /// The byte.
        opcode: u8,
    },
    /// A protocol from the future.
    #[error("pickle protocol {protocol} is not known; up to {NEWEST_PROTOCOL} are")]
    Protocol {
        /// The protocol.
        protocol: u8,
    },
    /// A name that the caller did not allow.
    #[error(
        "byte {offset}: the pickle names {module}.{name}, which has no place in such a file; it is refused, and was not run"
    )]
    ForbiddenGlobal {
        /// Where.
        offset: usize,
        /// The module.
        module: String,
        /// The name in it.
        name: String,
    },
    /// Something that lies outside the stream.
    #[error("byte {offset}: the pickle refers to {what}, which is not supported")]
    Outside {
        /// Where.
        offset: usize,
        /// To what.
        what: &'static str,
    },
    /// An opcode that finds something else on the stack than it needs.
    #[error("byte {offset}: opcode {opcode:#04x} needs {needs}; the pickle is damaged")]
    Stack {
        /// Where.
        offset: usize,
        /// The opcode.
        opcode: u8,
        /// What it needs.
        needs: &'static str,
    },
    /// An argument that cannot be read.
    #[error("byte {offset}: the argument of opcode {opcode:#04x} is not {expected}; the pickle is damaged")]
    Argument {
        /// Where.
        offset: usize,
        /// The opcode.
        opcode: u8,
        /// What it should be.
        expected: &'static str,
    },
}
