//! BLAKE3 digests: the name of every artifact.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::FileError;

/// Bytes read at a time. Large enough to use all cores for hashing one block.
const BLOCK_BYTES: usize = 4 << 20;

/// Most files fit in the first block that is read.
const FIRST_BLOCK_BYTES: usize = 64 << 10;

/// From this many bytes on, hashing a block on all cores pays for waking them.
const PARALLEL_BYTES: usize = 256 << 10;

/// A BLAKE3 digest of 32 bytes, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Returns the digest of `bytes`.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Returns the digest of a file and the number of bytes hashed. The file is read in blocks, not loaded into memory.
    ///
    /// The file is not memory-mapped: if another program truncates it meanwhile, the result is a short read, not a
    /// signal.
    ///
    /// # Errors
    /// Returns [`FileError`] with the path if the file cannot be opened or read.
    pub fn of_file(path: &Path) -> Result<(Self, u64), FileError> {
        let mut file = File::open(path).map_err(|source| FileError::new("open", path, source))?;
        Self::of_reader(&mut file).map_err(|source| FileError::new("read", path, source))
    }

    /// Returns the digest of the remaining bytes of `reader` and their number.
    ///
    /// # Errors
    /// Returns the error of the reader.
    pub fn of_reader(reader: &mut impl Read) -> std::io::Result<(Self, u64)> {
        Self::of_reader_with(reader, &mut Vec::new())
    }

    /// As [`of_reader`](Self::of_reader), with a buffer that serves many readers one after the other.
    pub(crate) fn of_reader_with(reader: &mut impl Read, buffer: &mut Vec<u8>) -> std::io::Result<(Self, u64)> {
        let mut hasher = Hasher::new();
        let bytes = read_blocks(reader, buffer, |block| {
            hasher.update(block);
            Ok(())
        })?;
        Ok((hasher.finish(), bytes))
    }

    /// Takes 32 bytes as a digest.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the first 12 hexadecimal digits, for display.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

/// A running BLAKE3 hash that uses all cores where a block is large enough.
pub(crate) struct Hasher(blake3::Hasher);

impl Hasher {
    pub(crate) fn new() -> Self {
        Self(blake3::Hasher::new())
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        if bytes.len() >= PARALLEL_BYTES {
            self.0.update_rayon(bytes);
        } else {
            self.0.update(bytes);
        }
    }

    pub(crate) fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

/// Gives all bytes of `reader` to `each`, a block at a time, and returns how many there were.
pub(crate) fn read_blocks(
    reader: &mut impl Read,
    block: &mut Vec<u8>,
    mut each: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> std::io::Result<u64> {
    if block.is_empty() {
        block.resize(FIRST_BLOCK_BYTES, 0);
    }
    let mut total = 0;
    loop {
        let mut filled = 0;
        while filled < block.len() {
            match reader.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        each(&block[..filled])?;
        total += filled as u64;
        if filled < block.len() {
            return Ok(total);
        }
        block.resize((block.len() * 4).min(BLOCK_BYTES), 0);
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// A text that is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a digest: expected 64 lower-case hexadecimal digits")]
pub struct ParseDigestError {
    /// The text, cut after 80 characters.
    pub text: String,
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseDigestError { text: text.chars().take(80).collect() };
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(error());
        }
        match blake3::Hash::from_hex(text) {
            Ok(hash) => Ok(Self(*hash.as_bytes())),
            Err(_) => Err(error()),
        }
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn digest_of_empty_input_is_the_published_one() {
        let expected = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(Digest::of_bytes(b"").to_string(), expected);
        assert_eq!(Digest::of_bytes(b"").short(), "af1349b9f5f9");
        assert_eq!(expected.parse::<Digest>().unwrap(), Digest::of_bytes(b""));
    }

    #[test]
    fn file_and_bytes_have_the_same_digest() {
        let bytes: Vec<u8> = (0..BLOCK_BYTES * 2 + 12_345).map(|i| (i * 31 % 251) as u8).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let expected = Digest(*blake3::hash(&bytes).as_bytes());
        assert_eq!(Digest::of_file(file.path()).unwrap(), (expected, bytes.len() as u64));
        assert_eq!(Digest::of_bytes(&bytes), expected);
    }

    #[test]
    fn error_names_the_missing_file() {
        let error = Digest::of_file(Path::new("/no/such/file")).unwrap_err();
        assert!(error.to_string().contains("/no/such/file"), "{error}");
    }

    #[test]
    fn other_spellings_of_a_digest_are_rejected() {
        let valid = Digest::of_bytes(b"").to_string();
        for invalid in [&valid[1..], &valid.to_uppercase(), "", &valid.replace('a', "g"), &format!("{valid}0")] {
            assert!(invalid.parse::<Digest>().is_err(), "{invalid}");
        }
    }

    #[test]
    fn digest_is_a_hexadecimal_string_in_json() {
        let digest = Digest::of_bytes(b"x");
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, format!("\"{digest}\""));
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    }
}
