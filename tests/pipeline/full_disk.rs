//! A store on a full disk. The test mounts a tmpfs, which only root can do.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::project::{ARTIFACTS, Completed, Project, Worker};

/// Free bytes for consecutive runs: none, too little to start a search, too little for its checkpoints.
const FREE_BYTES: [u64; 3] = [0, 64 << 10, 128 << 10];

/// A file system of 16 MiB, unmounted on drop.
struct Disk {
    _folder: TempDir,
    path: PathBuf,
}

impl Disk {
    /// Returns `None` if the file system cannot be mounted.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"]).arg(&path);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self { _folder: folder, path })
    }

    /// Fills the disk except for this many bytes.
    fn fill_except(&self, free: u64) {
        let ballast = self.path.join("ballast");
        let mut file = File::create(&ballast).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length - free).unwrap();
    }

    fn clear(&self) {
        fs::remove_file(self.path.join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.path).status();
    }
}

#[test]
fn a_run_fails_on_a_full_disk_and_the_next_one_recovers() {
    let Some(disk) = Disk::mount() else {
        println!("SKIPPED: a tmpfs cannot be mounted here");
        return;
    };
    let undisturbed = Project::new(Worker::Real);
    undisturbed.run_ok(&["run", "all"]);
    let store = disk.path.join("store");
    let store = ["--store", store.to_str().unwrap()];
    let project = Project::new(Worker::Real);
    let run = |arguments: &[&str]| -> Completed { project.run(&[arguments, &store].concat()) };
    assert_eq!(run(&["run", "lookup"]).code, Some(0));
    let before = project.digests(&store);
    for free in FREE_BYTES {
        disk.fill_except(free);
        let full = run(&["run", "all"]);
        disk.clear();
        assert!(matches!(full.code, Some(1 | 2)), "with {free} free bytes: {}", full.err);
        assert!(full.err.contains("o space left"), "with {free} free bytes: {}", full.err);
        let after = project.digests(&store);
        assert!(before.iter().all(|(name, digest)| after.get(name) == Some(digest)), "results are lost: {after:?}");
        assert_eq!(run(&["cache", "verify"]).code, Some(0));
    }
    assert_eq!(run(&["run", "all"]).code, Some(0));
    let digests = project.digests(&store);
    assert_eq!((digests.len(), digests), (ARTIFACTS, undisturbed.digests(&[])));
}
