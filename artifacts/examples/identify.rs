//! Identifies a folder as a planner does and prints the identity, the time and the peak memory as JSON:
//! `identify FOLDER MEMOS`.
//!
//! MEMOS is a folder that stores the digests of the files, so that a second call does not read them again.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::json;
use tfnas_artifacts::{FolderRules, identify_folder};
use tfnas_testutils::peak_memory::peak_memory_bytes;

fn main() -> Result<(), Box<dyn std::error::Error>> {
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
        "peak_memory_bytes": peak_memory_bytes(),
    });
    println!("{found}");
    Ok(())
}
