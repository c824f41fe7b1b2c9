//! Snapshots of user-visible texts, so that changes are reviewed.

use std::fs;
use std::path::Path;

/// Environment variable that rewrites the snapshots.
const UPDATE: &str = "TFNAS_UPDATE_SNAPSHOTS";

/// Panics if a text differs from a snapshot file.
#[track_caller]
pub fn check(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/planner").join(name);
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&file, text).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    let different = text.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    assert!(
        text == expected,
        "{name} differs ({different:?}): if this is intended, set {UPDATE}=1 to rewrite the file and review the diff"
    );
}
