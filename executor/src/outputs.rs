use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tfnas_stages::{SplitParams, Stage};

/// Returns the outputs that a worker left, by name; exactly those that the stage has.
///
/// # Errors
/// A message that names what is missing, or what should not be there.
pub fn collect(stage: Stage, params: &Value, folder: &Path) -> Result<Vec<(String, PathBuf)>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let mut left = BTreeSet::new();
    for entry in entries {
        let entry = entry.map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
        left.insert(entry.file_name().to_string_lossy().into_owned());
    }
    let expected: BTreeSet<String> =
        stage.outputs(SplitParams::draw_test(params)).iter().map(|name| (*name).to_owned()).collect();
    if let Some(missing) = expected.difference(&left).next() {
        return Err(format!("the worker said that it was done, and left no {missing}"));
    }
    if let Some(more) = left.difference(&expected).next() {
        return Err(format!("the worker left {more}, which is no output of {}", stage.name()));
    }
    expected
        .into_iter()
        .map(|name| {
            let path = folder.join(&name);
            // A link would let what it points to change under its digest.
            let regular = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file());
            if regular { Ok((name, path)) } else { Err(format!("the worker left {name}, which is no regular file")) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn left(names: &[&str]) -> Result<Vec<(String, PathBuf)>, String> {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        collect(Stage::Lookup, &Value::Null, folder.path())
    }

    #[test]
    fn exactly_the_outputs_of_the_stage_are_taken() {
        assert_eq!(left(&["latency.table", "lookup.json"]).unwrap().len(), 2);
        assert!(left(&["latency.table"]).unwrap_err().contains("lookup.json"));
        assert!(left(&["latency.table", "lookup.json", "core"]).unwrap_err().contains("core"));
    }

    #[test]
    fn a_link_is_no_output() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("latency.table"), "x").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("lookup.json")).unwrap();
        assert!(collect(Stage::Lookup, &Value::Null, folder.path()).unwrap_err().contains("lookup.json"));
    }
}
