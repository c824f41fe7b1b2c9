//! Identifies a folder as a planner does and prints the identity, the time and the peak memory as JSON:
//! `identify FOLDER MEMOS`.
//!
//! MEMOS is a folder that stores the digests of the files, so that a second call does not read them again.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::json;
use tfnas_artifacts::{FolderRules, identify_folder};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [folder, memos] = arguments.as_slice() else { return Err("usage: identify FOLDER MEMOS".into()) };
    fs::create_dir_all(memos)?;
    let began = Instant::now();
    let found = identify_folder(Path::new(folder), &FolderRules::default(), Some(Path::new(memos)))?;
    let seconds = began.elapsed().as_secs_f64();
    let found = json!({
        "files": found.files,
        "bytes": found.bytes,
        "read": found.hashed,
        "digest": found.digest.to_string(),
        "seconds": seconds,
        "peak_memory_bytes": peak_memory_bytes()?,
    });
    println!("{found}");
    Ok(())
}

/// Returns the peak resident set size of this process so far.
fn peak_memory_bytes() -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("/proc/self/status has no line VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim_end().parse()?;
    Ok(kib << 10)
}
