use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tfnas_stages::{SplitParams, Stage};

/// Returns the output files of a worker by name, after checking that they are exactly the outputs of the stage.
///
/// # Errors
/// Returns a message that names an output that is missing, unexpected or not a regular file.
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
        return Err(format!("the worker reported success but did not write {missing}"));
    }
    if let Some(more) = left.difference(&expected).next() {
        return Err(format!("the worker wrote {more}, which is not an output of {}", stage.name()));
    }
    expected
        .into_iter()
        .map(|name| {
            let path = folder.join(&name);
            // The target of a symbolic link could change without its digest changing.
            let regular = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file());
            if regular {
                Ok((name, path))
            } else {
                Err(format!("the worker wrote {name}, which is not a regular file"))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn collect_files(names: &[&str]) -> Result<Vec<(String, PathBuf)>, String> {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        collect(Stage::Lookup, &Value::Null, folder.path())
    }

    #[test]
    fn missing_and_unexpected_outputs_are_errors() {
        assert_eq!(collect_files(&["latency.table", "lookup.json"]).unwrap().len(), 2);
        assert!(collect_files(&["latency.table"]).unwrap_err().contains("lookup.json"));
        assert!(collect_files(&["latency.table", "lookup.json", "core"]).unwrap_err().contains("core"));
    }

    #[test]
    fn a_symbolic_link_is_not_accepted_as_output() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("latency.table"), "x").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("lookup.json")).unwrap();
        assert!(collect(Stage::Lookup, &Value::Null, folder.path()).unwrap_err().contains("lookup.json"));
    }
}
