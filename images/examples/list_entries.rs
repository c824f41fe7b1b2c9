//! Parses a list of images and prepares reading them, as the stages do, and prints the time and the peak memory as JSON:
//! `list_entries LIST`.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::json;
use tfnas_images::{BadImage, ImageList, ImageSource};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [list] = arguments.as_slice() else { return Err("usage: list_entries LIST".into()) };
    let began = Instant::now();
    let source = {
        let text = fs::read_to_string(list)?;
        ImageSource::new(Path::new("."), ImageList::parse(&text, "list")?, BadImage::Error)
    };
    let seconds = began.elapsed().as_secs_f64();
    println!("{}", json!({ "entries": source.len(), "seconds": seconds, "peak_memory_bytes": peak_memory_bytes()? }));
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
