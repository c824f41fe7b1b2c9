//! Remotes whose results are used only if signed by a trusted key.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::project::{Project, STAGES, step};

/// A remote in a folder, and the projects that share it.
struct Shared {
    folder: TempDir,
}

impl Shared {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn url(&self) -> String {
        format!("file://{}", self.folder.path().display())
    }

    /// Returns a project with this remote. `section` is appended to its `cache` section.
    fn project(&self, section: &str) -> Project {
        let project = Project::new();
        project.edit("space: small\n", &format!("cache: {{remote: {}{section}}}\nspace: small\n", self.url()));
        project
    }

    /// Returns a project with a key that has run all stages, pushed and signed the results.
    fn pushed(&self) -> Project {
        let project = self.project(", sign_key: keys/mine");
        fs::create_dir(project.path("keys")).unwrap();
        project.run_ok(&["keys", "generate", "--out", "keys/mine"]);
        project.run_ok(&["run", "all"]);
        assert!(project.run_ok(&["cache", "push"]).out.contains(", signed"));
        project
    }

    /// Returns a project that trusts the key of another project.
    fn trusting(&self, other: &Project) -> Project {
        let project = self.project(", trust: [keys/theirs.pub]");
        fs::create_dir(project.path("keys")).unwrap();
        fs::copy(other.path("keys/mine.pub"), project.path("keys/theirs.pub")).unwrap();
        project
    }

    fn results(&self, key: &Value) -> Vec<PathBuf> {
        let folder = self.folder.path().join("results").join(key.as_str().unwrap());
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

fn with_extension(files: &[PathBuf], extension: &str) -> PathBuf {
    files.iter().find(|file| file.extension().is_some_and(|found| found == extension)).unwrap().clone()
}

fn actions(pulled: &Value) -> Vec<&str> {
    pulled["results"].as_array().unwrap().iter().map(|result| result["action"].as_str().unwrap()).collect()
}

/// Returns every file below a folder that contains these bytes.
fn files_containing(folder: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_containing(&path, bytes));
        } else if fs::read(&path).unwrap().windows(bytes.len()).any(|window| window == bytes) {
            found.push(path);
        }
    }
    found
}

#[test]
fn results_signed_by_a_trusted_key_are_pulled_and_used() {
    let shared = Shared::new();
    let here = shared.pushed();
    assert_eq!(actions(&here.json(&["cache", "push"])), ["there"; 6]);
    let there = shared.trusting(&here);
    assert_eq!(actions(&there.json(&["cache", "pull", "--dry-run"])), ["pull"; 6]);
    assert_eq!(actions(&there.json(&["cache", "pull"])), ["pull"; 6]);
    there.run_ok(&["run", "all"]);
    assert!(there.trace().is_empty());
    let other = shared.trusting(&here);
    assert_eq!(actions(&other.json(&["cache", "pull", "--all"])), ["pull"; 6]);
}

#[test]
fn a_private_key_is_only_in_its_file() {
    let shared = Shared::new();
    let here = shared.pushed();
    let secret = fs::read_to_string(here.path("keys/mine")).unwrap();
    let line = secret.lines().nth(1).unwrap().as_bytes();
    assert_eq!(files_containing(&here.path(""), line), [here.path("keys/mine")]);
    assert!(files_containing(shared.folder.path(), line).is_empty());
}

#[test]
fn an_unsigned_result_is_not_used_and_reported() {
    let shared = Shared::new();
    let here = shared.pushed();
    let search = step(&here.json(&["plan"]), "search")["key"].clone();
    let files = shared.results(&search);
    let (record, signature) = (with_extension(&files, "json"), with_extension(&files, "sig"));
    fs::remove_file(&signature).unwrap();
    let there = shared.trusting(&here);
    let ended = there.run(&["cache", "pull"]);
    assert_eq!(ended.code, Some(1));
    let words = format!("{} is not used: it is not signed", record.display());
    assert!(ended.err.contains("search: ") && ended.err.contains(&words), "{}", ended.err);
    let got = there.json_of(&["cache", "pull"], 1);
    assert_eq!(actions(&got)[1..4], ["here", "refused", "unknown"]);
    let because = there.json(&["explain", "search"])["because"].clone();
    assert!(because[0]["field"].as_str().unwrap().contains(&words), "{because}");
    assert!(there.run_ok(&["explain", "search"]).out.contains(&words));
    assert!(there.run_ok(&["plan"]).out.contains(&words));
    let ran = there.run_ok(&["run", "search"]);
    assert!(ran.err.contains(&words), "{}", ran.err);
    assert_eq!(there.trace(), ["search"]);
    // The project's own result needs no further explanation.
    assert_eq!(there.json(&["explain", "search"])["because"], json!([]));
    here.run_ok(&["cache", "push"]);
    let fresh = shared.trusting(&here);
    assert_eq!(actions(&fresh.json(&["cache", "pull"])), ["pull"; 6]);
}

#[test]
fn pulled_results_of_untrusted_keys_are_not_used() {
    let shared = Shared::new();
    let here = shared.pushed();
    let there = shared.trusting(&here);
    there.edit(", trust: [keys/theirs.pub]", "");
    there.run_ok(&["cache", "pull"]);
    assert_eq!(there.json(&["plan"])["stages"][0]["action"], "cached");
    there.run_ok(&["keys", "generate", "--out", "keys/other"]);
    let trust = "--set=cache.trust=[keys/other.pub]";
    let plan = there.json(&["plan", trust]);
    assert_eq!(step(&plan, "split")["action"], "run");
    let why = step(&plan, "split")["because"][0]["field"].as_str().unwrap().to_owned();
    assert!(why.contains("pulled from file://") && why.contains("is not used"), "{why}");
    assert_eq!(there.json_of(&["cache", "pull", trust], 1)["results"][0]["action"], "refused");
    assert_eq!(actions(&there.json(&["cache", "pull", "--set=cache.trust=[keys/theirs.pub]"])), ["pull"; 6]);
    let both = "--set=cache.trust=[keys/other.pub, keys/theirs.pub]";
    assert_eq!(there.json(&["plan", both])["stages"].as_array().unwrap().len(), STAGES.len());
    there.run_ok(&["run", "all", both]);
    assert!(there.trace().is_empty());
}

#[test]
fn unusable_keys_are_usage_errors() {
    let shared = Shared::new();
    let project = shared.project("");
    project.run_ok(&["keys", "generate", "--out", "key"]);
    let fails = |arguments: &[&str], words: &[&str]| {
        let ended = project.run(arguments);
        assert_eq!(ended.code, Some(2), "{}{}", ended.out, ended.err);
        assert!(words.iter().all(|word| ended.err.contains(word)), "{words:?}: {}", ended.err);
        assert!(!project.path(".tfnas").exists());
    };
    fails(&["plan", "--set=cache.trust=[nothing.pub]"], &["cache.trust", "nothing.pub", "No such file"]);
    fails(&["run", "all", "--set=cache.trust=[key]"], &["cache.trust", "key is a private key"]);
    fails(&["explain", "search", "--set=cache.trust=[]"], &["cache.trust", "has no keys"]);
    fails(&["cache", "pull", "--all", "--set=cache.trust=[pipeline.yaml]"], &["cache.trust", "is not a key"]);
    fails(&["plan", "--set=cache.trust=key.pub"], &["cache.trust"]);
    fails(&["cache", "push", "--set=cache.sign_key=key.pub"], &["cache.sign_key", "is a public key"]);
    fs::set_permissions(project.path("key"), fs::Permissions::from_mode(0o644)).unwrap();
    fails(&["cache", "push", "--set=cache.sign_key=key"], &["cache.sign_key", "chmod 600"]);
}
