//! Detects the kind of file system that a folder is on.

use std::path::Path;

/// Magic numbers of file systems that other machines can also write (from statfs(2), and from the sources of file
/// systems outside the kernel).
const SHARED: &[(&str, u32)] = &[
    ("9p", 0x0102_1997),
    ("AFS", 0x5346_414f),
    ("BeeGFS", 0x1983_0326),
    ("Ceph", 0x00c3_6400),
    ("CIFS", 0xff53_4d42),
    ("Coda", 0x7375_7245),
    ("FUSE (GlusterFS, sshfs and others)", 0x6573_5546),
    ("GFS2", 0x0116_1970),
    ("GPFS", 0x4750_4653),
    ("Lustre", 0x0bd0_0bd0),
    ("NFS", 0x0000_6969),
    ("OCFS2", 0x7461_636f),
    ("OrangeFS", 0x2003_0528),
    ("PanFS", 0xaad7_aaea),
    ("SMB", 0x0000_517b),
    ("SMB2", 0xfe53_4d42),
    ("WekaFS", 0x0118_1221),
];

/// Returns the magic number of the file system of `path`, or of the nearest folder above it that exists.
pub(crate) fn magic(path: &Path) -> Option<u32> {
    // The name of a file in the current folder has the empty path above it.
    let here = |path: &Path| if path.as_os_str().is_empty() { Path::new(".").to_owned() } else { path.to_owned() };
    let facts = path.ancestors().find_map(|path| rustix::fs::statfs(here(path)).ok())?;
    // The field is signed on some platforms; all magic numbers fit in 32 bits.
    Some(facts.f_type as u32)
}

/// Returns the name of the network or parallel file system with this magic number, or `None` for a local one.
pub(crate) fn shared_name(magic: u32) -> Option<&'static str> {
    SHARED.iter().find(|(_, shared)| *shared == magic).map(|(name, _)| *name)
}

/// Returns whether `path`, or the nearest folder above it that exists, is on a network or parallel file system.
pub(crate) fn is_shared(path: &Path) -> bool {
    magic(path).and_then(shared_name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_folder_is_local_even_for_paths_that_do_not_exist() {
        assert!(!is_shared(&std::env::temp_dir().join("not/there")));
        assert_eq!(magic(Path::new("not-there")), magic(Path::new(".")), "a bare name is in the current folder");
    }

    #[test]
    fn shared_file_systems_are_recognized_by_their_magic_numbers() {
        for (magic, name) in [(0x6969, "NFS"), (0xff53_4d42, "CIFS"), (0x0bd0_0bd0, "Lustre"), (0x4750_4653, "GPFS")] {
            assert_eq!(shared_name(magic), Some(name));
        }
        // ext4, XFS, btrfs, tmpfs, overlayfs.
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630] {
            assert_eq!(shared_name(local), None, "{local:#x}");
        }
    }
}
