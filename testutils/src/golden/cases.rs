//! Reads golden cases, which hold the results of the authors' code.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Environment variable with a folder of cases to use instead of those in the repository.
pub const OTHER_FOLDER: &str = "TFNAS_GOLDEN";

/// Returns the cases of a file with one JSON object per line, given its name without extension. Panics if there are
/// none.
pub fn cases(name: &str) -> Vec<Value> {
    let text = read(&format!("{name}.jsonl"));
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let cases: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!cases.is_empty(), "{name}: no cases");
    cases
}

/// Returns the JSON object of a file, given its name without extension.
pub fn document(name: &str) -> Value {
    serde_json::from_str(&read(&format!("{name}.json"))).unwrap()
}

/// Prints the number of checked cases; panics if it is 0.
pub fn report(test: &str, checked: usize) {
    println!("{test}: {checked} cases checked ({})", folder().display());
    assert!(checked > 0, "{test}: no case was checked");
}

/// Returns the name of a case.
pub fn id(case: &Value) -> &str {
    case["id"].as_str().unwrap()
}

/// Converts a JSON array to f32.
pub fn f32s(value: &Value) -> Vec<f32> {
    let numbers = value.as_array().unwrap().iter();
    numbers.map(|number| number.as_f64().unwrap() as f32).collect()
}

/// Converts a JSON array to f64.
pub fn f64s(value: &Value) -> Vec<f64> {
    let numbers = value.as_array().unwrap().iter();
    numbers.map(|number| number.as_f64().unwrap()).collect()
}

/// Converts a JSON array of sizes, counts or indices.
pub fn usizes(value: &Value) -> Vec<usize> {
    let numbers = value.as_array().unwrap().iter();
    numbers.map(|number| number.as_u64().unwrap() as usize).collect()
}

fn read(file: &str) -> String {
    String::from_utf8(bytes(&folder(), file)).unwrap()
}

/// Returns the bytes of a file in a folder, decompressed if it is stored as `.gz`.
pub fn bytes(folder: &Path, file: &str) -> Vec<u8> {
    let plain = folder.join(file);
    if plain.exists() {
        return std::fs::read(plain).unwrap();
    }
    let packed = folder.join(format!("{file}.gz"));
    let packed = std::fs::read(&packed).unwrap_or_else(|error| panic!("{}: {error}", packed.display()));
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Returns the names of the files in a folder with this ending, without `.gz`, in order.
pub fn files(folder: &Path, ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let names = entries.map(name).map(|name| name.trim_end_matches(".gz").to_owned());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(ending)).collect();
    names.sort();
    names
}

/// Returns the folder named by the environment variable (relative to the repository), or that of the repository.
pub fn folder() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = |folder: &Path| package.ancestors().map(|parent| parent.join(folder)).find(|folder| folder.is_dir());
    let (folder, whose) = match std::env::var_os(OTHER_FOLDER) {
        Some(folder) => (PathBuf::from(folder), OTHER_FOLDER),
        None => (PathBuf::from("tests/golden"), "the project"),
    };
    beside(&folder).unwrap_or_else(|| panic!("{whose}: there is no folder {}", folder.display()))
}
