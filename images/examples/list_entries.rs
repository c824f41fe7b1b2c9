//! Parses a list of images and prepares reading them, as the stages do, and prints the time and the peak memory as JSON:
//! `list_entries LIST`.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::json;
use tfnas_images::{BadImage, ImageList, ImageSource};
use tfnas_testutils::peak_memory::peak_memory_bytes;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [list] = arguments.as_slice() else { return Err("usage: list_entries LIST".into()) };
    let began = Instant::now();
    let source = {
        let text = fs::read_to_string(list)?;
        ImageSource::new(Path::new("."), ImageList::parse(&text, "list")?, BadImage::Error)
    };
    let seconds = began.elapsed().as_secs_f64();
    println!("{}", json!({ "entries": source.len(), "seconds": seconds, "peak_memory_bytes": peak_memory_bytes() }));
    Ok(())
}
