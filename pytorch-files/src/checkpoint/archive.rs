//! The zip archive of PyTorch 1.6 and later, read from memory.
//!
//! The format is a narrow subset of zip, which a general reader would not enforce: entries are stored, never
//! compressed, so that each is a slice of the input and nothing can expand; entries do not overlap; names are unique
//! (general readers silently keep the last of several).
//!
//! Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14 to 4.3.16
//! (its end, with and without the 64-bit record), 4.5.3 (64-bit sizes).

use std::collections::HashMap;

use super::error::{CheckpointError, printed};
use super::storages::{Storages, pickle_limits};
use crate::pickle::{Pickle, parse};

/// The first bytes of an archive.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";
const CENTRAL_HEADER: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const END_64_LOCATOR: &[u8] = b"PK\x06\x07";
const END_LENGTH: usize = 22;
const END_64_LOCATOR_LENGTH: usize = 20;
const CENTRAL_HEADER_LENGTH: usize = 46;
const LOCAL_HEADER_LENGTH: usize = 30;
/// The longest comment at the end of an archive.
const LONGEST_COMMENT: usize = 0xffff;
/// Marks a size or offset that is stored in a 64-bit field.
const IN_64_BITS: u32 = u32::MAX;
/// The kind of extra field that holds 64-bit sizes.
const EXTRA_64: u16 = 1;
/// The flag of an encrypted entry.
const ENCRYPTED: u16 = 1;
/// More entries than any checkpoint has.
const MAX_ENTRIES: usize = 100_000;

/// The reason why bytes are not the archive of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// It does not end as an archive does.
    #[error("it has no end record: it is truncated, or not a zip archive")]
    NoEnd,
    /// A record is invalid or points outside the bytes.
    #[error("its {record} is damaged: the archive is truncated or corrupt")]
    Damaged {
        /// Which record.
        record: &'static str,
    },
    /// More entries than any checkpoint has.
    #[error("it has more than {MAX_ENTRIES} entries")]
    TooManyEntries,
    /// An entry that cannot be.
    #[error("entry '{name}' {problem}")]
    Entry {
        /// Its name.
        name: String,
        /// The problem.
        problem: &'static str,
    },
    /// The archive contains no pickle.
    #[error("it has no data.pkl in a top-level folder: torch.save did not write it")]
    NoPickle,
    /// An archive of several.
    #[error("it contains more than one data.pkl")]
    SeveralPickles,
}

/// Reads pickle and storages of a checkpoint.
pub(super) fn read(bytes: &[u8]) -> Result<(Pickle, Storages<'_>), CheckpointError> {
    let archive = Archive::open(bytes)?;
    let folder = archive.folder()?;
    let entry = |name: &str| archive.entries.get(format!("{folder}/{name}").as_str()).copied();
    if entry("byteorder").is_some_and(|order| order.trim_ascii() == b"big") {
        return Err(CheckpointError::BigEndian);
    }
    let pickled = entry("data.pkl").ok_or(ArchiveError::NoPickle)?;
    let pickle = parse(pickled, &pickle_limits()).map_err(CheckpointError::in_pickle)?;
    let storages = Storages::of(&pickle, |key| {
        entry(&format!("data/{key}")).ok_or_else(|| CheckpointError::storage(key, "the archive does not have it"))
    })?;
    Ok((pickle, storages))
}

/// The entries of an archive, by name.
struct Archive<'a> {
    entries: HashMap<&'a str, &'a [u8]>,
}

impl<'a> Archive<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, ArchiveError> {
        let directory = Directory::find(bytes)?;
        let mut headers = bytes.get(directory.start..directory.start + directory.length).unwrap_or_default();
        let mut entries = HashMap::new();
        let mut stored = 0;
        for _ in 0..directory.entries {
            let header = Header::take(&mut headers).ok_or(ArchiveError::Damaged { record: "directory" })?;
            let content = header.content(&bytes[..directory.start])?;
            stored += content.len();
            // With more bytes than the file has, entries overlap.
            if stored > bytes.len() {
                return Err(header.wrong("overlaps others"));
            }
            if crc32fast::hash(content) != header.crc {
                return Err(header.wrong("is damaged: its checksum does not match"));
            }
            if entries.insert(header.name, content).is_some() {
                return Err(header.wrong("comes twice"));
            }
        }
        Ok(Self { entries })
    }

    /// The folder that everything is in.
    fn folder(&self) -> Result<&'a str, ArchiveError> {
        let folder_of = |name: &&'a str| name.strip_suffix("/data.pkl").filter(|folder| !folder.contains('/'));
        let mut folders = self.entries.keys().filter_map(folder_of);
        match (folders.next(), folders.next()) {
            (Some(folder), None) => Ok(folder),
            (None, _) => Err(ArchiveError::NoPickle),
            (Some(_), Some(_)) => Err(ArchiveError::SeveralPickles),
        }
    }
}

/// The position of the directory of an archive.
struct Directory {
    start: usize,
    length: usize,
    entries: usize,
}

impl Directory {
    fn find(bytes: &[u8]) -> Result<Self, ArchiveError> {
        let earliest = bytes.len().saturating_sub(END_LENGTH + LONGEST_COMMENT);
        let is_end = |at: &usize| {
            let rest = &bytes[*at..];
            let comment = || short(rest, END_LENGTH - 2).map(usize::from);
            rest.starts_with(END) && comment() == Some(rest.len().saturating_sub(END_LENGTH))
        };
        let end = (earliest..bytes.len()).rev().find(is_end).ok_or(ArchiveError::NoEnd)?;
        let locator = end.checked_sub(END_64_LOCATOR_LENGTH).filter(|at| bytes[*at..].starts_with(END_64_LOCATOR));
        let (found, end) = match locator {
            Some(locator) => Self::in_64_bits(bytes, locator),
            None => Self::in_32_bits(bytes, end),
        }
        .ok_or(ArchiveError::Damaged { record: "end record" })?;
        if found.entries > MAX_ENTRIES {
            return Err(ArchiveError::TooManyEntries);
        }
        match found.start.checked_add(found.length) {
            Some(after) if after <= end => Ok(found),
            _ => Err(ArchiveError::Damaged { record: "end record" }),
        }
    }

    /// Returns the directory and the position of the end record.
    fn in_32_bits(bytes: &[u8], end: usize) -> Option<(Self, usize)> {
        let record = bytes.get(end..)?;
        let entries = short(record, 10)?.into();
        Some((Self { entries, length: long(record, 12)? as usize, start: long(record, 16)? as usize }, end))
    }

    fn in_64_bits(bytes: &[u8], locator: usize) -> Option<(Self, usize)> {
        let end = usize::try_from(quad(bytes, locator + 8)?).ok()?;
        let record = bytes.get(end..locator)?;
        let field = |at| usize::try_from(quad(record, at)?).ok();
        let found = Self { entries: field(32)?, length: field(40)?, start: field(48)? };
        record.starts_with(END_64).then_some((found, end))
    }
}

/// An entry of the directory.
struct Header<'a> {
    name: &'a str,
    flags: u16,
    method: u16,
    crc: u32,
    packed: u64,
    unpacked: u64,
    /// Where its local header begins.
    start: u64,
}

impl<'a> Header<'a> {
    /// Takes the next entry off the directory.
    fn take(headers: &mut &'a [u8]) -> Option<Self> {
        let header = *headers;
        if !header.starts_with(CENTRAL_HEADER) {
            return None;
        }
        let lengths = [short(header, 28)?, short(header, 30)?, short(header, 32)?].map(usize::from);
        let [name_end, extra_end, end] = [
            CENTRAL_HEADER_LENGTH + lengths[0],
            CENTRAL_HEADER_LENGTH + lengths[0] + lengths[1],
            CENTRAL_HEADER_LENGTH + lengths.iter().sum::<usize>(),
        ];
        let name = std::str::from_utf8(header.get(CENTRAL_HEADER_LENGTH..name_end)?).ok()?;
        let mut large = large_fields(header.get(name_end..extra_end)?);
        let mut size = |at| match long(header, at)? {
            IN_64_BITS => large.next(),
            small => Some(small.into()),
        };
        let (unpacked, packed) = (size(24)?, size(20)?);
        let start = size(42)?;
        *headers = header.get(end..)?;
        Some(Self {
            name,
            flags: short(header, 8)?,
            method: short(header, 10)?,
            crc: long(header, 16)?,
            packed,
            unpacked,
            start,
        })
    }

    /// Returns the entry's bytes, given the bytes before the directory.
    fn content(&self, bytes: &'a [u8]) -> Result<&'a [u8], ArchiveError> {
        if self.flags & ENCRYPTED != 0 {
            return Err(self.wrong("is encrypted"));
        }
        if self.method != 0 || self.packed != self.unpacked {
            return Err(self.wrong("is compressed, which torch.save never does: pack it again with `zip -0`"));
        }
        let content = || {
            let local = bytes.get(usize::try_from(self.start).ok()?..)?;
            let name_end = LOCAL_HEADER_LENGTH + usize::from(short(local, 26)?);
            let data = name_end + usize::from(short(local, 28)?);
            let same_name = local.get(LOCAL_HEADER_LENGTH..name_end)? == self.name.as_bytes();
            let content = local.get(data..)?.get(..usize::try_from(self.unpacked).ok()?)?;
            (local.starts_with(MAGIC) && same_name).then_some(content)
        };
        content()
            .ok_or_else(|| self.wrong("is not at the offset in the directory: the archive is truncated or damaged"))
    }

    fn wrong(&self, problem: &'static str) -> ArchiveError {
        ArchiveError::Entry { name: printed(self.name), problem }
    }
}

/// The 64-bit fields in the extra data of an entry, in order.
fn large_fields(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut fields: &[u8] = &[];
    while let (Some(kind), Some(length)) = (short(extra, 0), short(extra, 2)) {
        let Some((field, rest)) = extra.get(4..).and_then(|rest| rest.split_at_checked(length.into())) else { break };
        if kind == EXTRA_64 {
            fields = field;
            break;
        }
        extra = rest;
    }
    fields.as_chunks::<8>().0.iter().map(|field| u64::from_le_bytes(*field))
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    number(bytes, at).map(u16::from_le_bytes)
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    number(bytes, at).map(u32::from_le_bytes)
}

fn quad(bytes: &[u8], at: usize) -> Option<u64> {
    number(bytes, at).map(u64::from_le_bytes)
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
