//! What kind of file system a folder is on.

use std::path::Path;

/// Magic numbers of file systems that other machines can write too (statfs(2), and the sources of those outside the
/// kernel).
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

/// Returns whether `path`, or the nearest folder above it that exists, is on a network or parallel file system.
pub(crate) fn is_shared(path: &Path) -> bool {
    let magic = path.ancestors().find_map(|path| rustix::fs::statfs(path).ok()).map(|facts| facts.f_type);
    // The field is signed on some platforms; all magic numbers fit in 32 bits.
    magic.is_some_and(|magic| SHARED.iter().any(|(_, shared)| *shared == magic as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_for_temporary_files_is_local_even_below_what_exists() {
        assert!(!is_shared(&std::env::temp_dir().join("not/there")));
    }
}
