//! The stream: bytes taken one after another, and errors that name the opcode they belong to.

use super::limits::PickleError;

/// The longest line of protocol 0 (a number, a name, a memo index), but for strings.
pub(super) const LONGEST_LINE: usize = 1000;

/// Where in the stream the machine is.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    /// Maximum number of bytes to read, and whether the stream has more.
    limit: usize,
    too_long: bool,
    /// The next byte.
    at: usize,
    /// Where the current opcode is.
    offset: usize,
    opcode: u8,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], limit: usize) -> Self {
        let too_long = bytes.len() > limit;
        Self { bytes: &bytes[..bytes.len().min(limit)], limit, too_long, at: 0, offset: 0, opcode: 0 }
    }

    /// Goes to the next opcode, which becomes the current one.
    pub(super) fn next_opcode(&mut self) -> Result<u8, PickleError> {
        self.offset = self.at;
        self.opcode = self.byte()?;
        Ok(self.opcode)
    }

    /// The next byte's position.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The current opcode's position.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], PickleError> {
        let bytes = self.bytes;
        match bytes[self.at..].get(..length) {
            Some(taken) => {
                self.at += length;
                Ok(taken)
            }
            None => Err(self.end()),
        }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn byte(&mut self) -> Result<u8, PickleError> {
        Ok(self.array::<1>()?[0])
    }

    /// Reads a length of four bytes. A length that Python reads as negative is as invalid as one beyond the end.
    pub(super) fn length(&mut self) -> Result<usize, PickleError> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    pub(super) fn long_length(&mut self) -> Result<usize, PickleError> {
        let length = u64::from_le_bytes(self.array()?);
        usize::try_from(length).map_err(|_| self.end())
    }

    /// The bytes up to the next line feed, which is skipped.
    pub(super) fn line(&mut self, longest: usize) -> Result<&'a [u8], PickleError> {
        let bytes = self.bytes;
        let rest = &bytes[self.at..];
        let window = &rest[..rest.len().min(longest)];
        match window.iter().position(|&byte| byte == b'\n') {
            Some(length) => {
                self.at += length + 1;
                Ok(&rest[..length])
            }
            None if window.len() < rest.len() => Err(self.argument("a short line")),
            None => Err(self.end()),
        }
    }

    /// A line, parsed.
    pub(super) fn parsed<T>(
        &mut self,
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, PickleError> {
        let line = self.line(LONGEST_LINE)?;
        let value = std::str::from_utf8(line).ok().and_then(parse);
        value.ok_or_else(|| self.argument(expected))
    }

    // Errors at the current opcode.

    fn end(&self) -> PickleError {
        if self.too_long {
            return PickleError::TooLong { limit: self.limit };
        }
        PickleError::Truncated { offset: self.bytes.len() }
    }

    pub(super) fn unknown(&self) -> PickleError {
        PickleError::UnknownOpcode { offset: self.offset, opcode: self.opcode }
    }

    pub(super) fn outside(&self, what: &'static str) -> PickleError {
        PickleError::Outside { offset: self.offset, what }
    }

    pub(super) fn needs(&self, needs: &'static str) -> PickleError {
        PickleError::Stack { offset: self.offset, opcode: self.opcode, needs }
    }

    pub(super) fn argument(&self, expected: &'static str) -> PickleError {
        PickleError::Argument { offset: self.offset, opcode: self.opcode, expected }
    }
}
