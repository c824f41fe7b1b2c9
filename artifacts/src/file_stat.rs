//! File metadata used to detect whether a file may have changed since it was hashed.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

const NANOSECONDS: i64 = 1_000_000_000;

/// Size, times and inode of a file.
///
/// The time of the last status change is among them: no program can set it, so bytes exchanged for others of the same
/// size and modification time show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileStat {
    pub bytes: u64,
    /// Nanoseconds since 1970 of the last modification.
    pub modified_ns: i64,
    /// Nanoseconds since 1970 of the last status change.
    pub changed_ns: i64,
    pub inode: u64,
}

/// Which clock sets the timestamps of files; it limits their resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimestampSource {
    /// This machine's clock stats the files.
    Local,
    /// Another machine's does.
    Remote,
}

impl TimestampSource {
    /// Returns which clock stats the files below `path`.
    pub fn of(path: &Path) -> Self {
        if crate::file_system::is_shared(path) { Self::Remote } else { Self::Local }
    }
}

impl FileStat {
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.len(),
            modified_ns: join(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: join(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }

    /// Returns whether any later write changes this metadata, for a file that was read at `read_ns` or later.
    ///
    /// A file written shortly before it was read may be written again within the same tick of the file system's clock,
    /// without a change of its metadata.
    pub fn is_settled(&self, read_ns: i64, clock: TimestampSource) -> bool {
        // Both times are whole seconds: the file system has a resolution of one second, or of two (FAT).
        let coarse = self.modified_ns % NANOSECONDS == 0 && self.changed_ns % NANOSECONDS == 0;
        let tick_ns = match clock {
            TimestampSource::Local if !coarse => NANOSECONDS / 20,
            TimestampSource::Local | TimestampSource::Remote => NANOSECONDS * 5 / 2,
        };
        self.modified_ns.max(self.changed_ns).saturating_add(tick_ns) < read_ns
    }
}

/// Combines the seconds and nanoseconds of a time. Times after the year 2262 saturate.
pub(crate) fn join(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.saturating_mul(NANOSECONDS).saturating_add(nanoseconds)
}

/// Returns the time now, in nanoseconds since 1970.
pub(crate) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Returns the time now, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    now_ns() / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(changed_ns: i64) -> FileStat {
        FileStat { bytes: 1, modified_ns: changed_ns, changed_ns, inode: 1 }
    }

    #[test]
    fn file_read_within_one_clock_tick_of_its_write_is_not_settled() {
        let written = 1_700_000_000 * NANOSECONDS + 123;
        assert!(!stat(written).is_settled(written, TimestampSource::Local));
        assert!(!stat(written).is_settled(written + NANOSECONDS / 50, TimestampSource::Local));
        assert!(stat(written).is_settled(written + NANOSECONDS / 10, TimestampSource::Local));
    }

    #[test]
    fn coarse_timestamps_and_clocks_of_other_machines_need_more_time() {
        let second = 1_700_000_000 * NANOSECONDS;
        assert!(!stat(second).is_settled(second + NANOSECONDS, TimestampSource::Local));
        assert!(stat(second).is_settled(second + 3 * NANOSECONDS, TimestampSource::Local));
        assert!(!stat(second + 1).is_settled(second + NANOSECONDS, TimestampSource::Remote));
    }

    #[test]
    fn file_from_the_future_is_never_settled() {
        assert!(!stat(i64::MAX).is_settled(now_ns(), TimestampSource::Local));
    }
}
