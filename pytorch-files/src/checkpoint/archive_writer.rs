//! Writing the zip archive: stored entries, aligned as PyTorch aligns them, without times or names of machines.

use std::io::{self, Write};

use super::archive::MAGIC;

/// Alignment of the content of entries in bytes, so that readers can map it into memory.
const ALIGNMENT: u64 = 64;
/// The kind of extra field that PyTorch uses for padding, and its content.
const PADDING: &[u8] = b"FB";
const PADDING_BYTE: u8 = b'Z';
/// The version of the format that stored entries in folders need: 2.0.
const NEEDED_VERSION: u16 = 20;
/// The flag that names are UTF-8.
const UTF_8: u16 = 1 << 11;
/// 1 January 1980, the first day of the format.
const FIRST_DAY: u16 = 1 << 5 | 1;

/// Writes one entry after another.
pub(super) struct ArchiveWriter<W> {
    output: W,
    written: u64,
    directory: Vec<u8>,
    entries: u16,
}

impl<W: Write> ArchiveWriter<W> {
    pub(super) fn new(output: W) -> Self {
        Self { output, written: 0, directory: Vec::new(), entries: 0 }
    }

    /// Writes an entry. Entries must be smaller than 4 GiB and begin before 4 GiB, and there can be at most 65,535.
    pub(super) fn entry(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let size = u32::try_from(content.len()).map_err(|_| too_large())?;
        let start = u32::try_from(self.written).map_err(|_| too_large())?;
        self.entries = self.entries.checked_add(1).ok_or_else(too_large)?;
        let name_length = u16::try_from(name.len()).map_err(|_| too_large())?;
        // The fields shared by both headers.
        let mut shared = Vec::new();
        for field in [NEEDED_VERSION, UTF_8, 0, 0, FIRST_DAY] {
            shared.extend(field.to_le_bytes());
        }
        for field in [crc32fast::hash(content), size, size] {
            shared.extend(field.to_le_bytes());
        }
        shared.extend(name_length.to_le_bytes());

        let mut local = [MAGIC, &shared].concat();
        let extra = padding(self.written + local.len() as u64 + 2 + name.len() as u64);
        local.extend((extra.len() as u16).to_le_bytes());
        local.extend(name.as_bytes());
        local.extend(extra);
        self.write(&local)?;
        self.write(content)?;

        self.directory.extend(b"PK\x01\x02");
        self.directory.extend(NEEDED_VERSION.to_le_bytes());
        self.directory.extend(&shared);
        // No extra field, comment, disk number or attributes.
        self.directory.extend([0; 12]);
        self.directory.extend(start.to_le_bytes());
        self.directory.extend(name.as_bytes());
        Ok(())
    }

    /// Writes the directory and returns the writer.
    pub(super) fn finish(mut self) -> io::Result<W> {
        let start = u32::try_from(self.written).map_err(|_| too_large())?;
        let length = u32::try_from(self.directory.len()).map_err(|_| too_large())?;
        let mut end = std::mem::take(&mut self.directory);
        end.extend(b"PK\x05\x06\0\0\0\0");
        end.extend([self.entries, self.entries].map(u16::to_le_bytes).concat());
        end.extend([length, start].map(u32::to_le_bytes).concat());
        end.extend([0; 2]);
        self.write(&end)?;
        Ok(self.output)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

/// The extra field after which content that would begin at `start` without it is aligned.
fn padding(start: u64) -> Vec<u8> {
    const HEADER: u64 = 4;
    let length = (start + HEADER).next_multiple_of(ALIGNMENT) - start - HEADER;
    let mut field = PADDING.to_vec();
    field.extend((length as u16).to_le_bytes());
    field.resize((HEADER + length) as usize, PADDING_BYTE);
    field
}

fn too_large() -> io::Error {
    io::Error::other("more than the 4 GiB or 65,535 entries that this archive may have; safetensors has no such limit")
}
