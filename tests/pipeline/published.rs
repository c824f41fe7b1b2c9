//! A published run of the real worker, and copies of it to tamper with.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;
use tfnas_attestations::Sha256Digest;
use tfnas_attestations::keys::SigningKey;

use crate::project::{Completed, PROGRAM, Project, Worker};

/// The run, its keys, and its publications.
pub struct Demo {
    pub project: Project,
}

/// A private copy of a publication.
pub struct Copy {
    folder: TempDir,
}

/// Creates the run once for all tests.
pub fn demo() -> &'static Demo {
    static DEMO: OnceLock<Demo> = OnceLock::new();
    DEMO.get_or_init(|| {
        let project = Project::new(Worker::Real);
        for name in ["key", "other"] {
            let key = SigningKey::generate().unwrap();
            key.write(&project.folder().join(format!("{name}.pem"))).unwrap();
            key.public().write(&project.folder().join(format!("{name}.pub"))).unwrap();
        }
        project.run_ok(&["run", "all"]);
        project.run_ok(&["publish", "latest", "--out", "plain"]);
        project.run_ok(&["publish", "latest", "--out", "signed", "--sign-key", "key.pem"]);
        Demo { project }
    })
}

impl Demo {
    /// Path of a key file.
    pub fn key(&self, name: &str) -> PathBuf {
        self.project.folder().join(name)
    }

    /// Copies a publication.
    pub fn copy(&self, name: &str) -> Copy {
        let folder = tempfile::tempdir().unwrap();
        copy_folder(&self.project.folder().join(name), &folder.path().join("published"));
        Copy { folder }
    }
}

impl Copy {
    /// Path of the publication, or of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        let root = self.folder.path().join("published");
        if name.is_empty() { root } else { root.join(name) }
    }

    /// Audits the publication in an empty folder, with additional arguments.
    pub fn audit(&self, arguments: &[&str]) -> (i32, Value) {
        let ended = audit(self.folder.path(), &[&["audit", "published", "--json"], arguments].concat());
        let report = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{}{}", ended.out, ended.err));
        (ended.code.unwrap(), report)
    }

    /// Audits the publication with the key that signed it.
    pub fn audit_signed(&self) -> (i32, Value) {
        self.audit(&["--key", demo().key("key.pub").to_str().unwrap()])
    }

    /// Returns the names of all files.
    pub fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = contents(&self.path("")).into_keys().collect();
        names.sort();
        names
    }

    /// Reads a file as JSON.
    pub fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap()
    }

    /// Writes JSON in the format of a publication, and updates the manifest and the Statement.
    pub fn forge(&self, name: &str, value: &Value) {
        fs::write(self.path(name), format!("{}\n", serde_json::to_string_pretty(value).unwrap())).unwrap();
        self.remake();
    }

    /// Replaces an output of a stage that no other stage reads, and updates the record of the stage, the manifest and the
    /// Statement. The record and the file then match each other.
    pub fn forge_output(&self, stage: &str, output: &str, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
        let record_name = format!("provenance/{stage}.json");
        let mut record = self.json(&record_name);
        let outputs = record["outputs"].as_array_mut().unwrap();
        let entry = outputs.iter_mut().find(|entry| entry["name"] == output).unwrap();
        entry["digest"] = blake3::hash(bytes).to_hex().to_string().into();
        entry["bytes"] = bytes.len().into();
        self.forge(&record_name, &record);
    }

    /// Adds a file, and its entries in the manifest and the Statement.
    pub fn add(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
        let mut manifest = self.json("manifest.json");
        let files = manifest["files"].as_array_mut().unwrap();
        let mut entry = files[0].clone();
        entry["name"] = name.into();
        files.push(entry);
        files.sort_by_key(|file| file["name"].as_str().unwrap().to_owned());
        fs::write(self.path("manifest.json"), manifest.to_string()).unwrap();
        let mut statement = self.json("provenance/statement.json");
        let subjects = statement["subject"].as_array_mut().unwrap();
        let mut subject = subjects[0].clone();
        subject["name"] = name.into();
        let own = subjects.pop().unwrap();
        subjects.push(subject);
        subjects.sort_by_key(|subject| subject["name"].as_str().unwrap().to_owned());
        // The manifest is the last subject.
        subjects.push(own);
        fs::write(self.path("provenance/statement.json"), statement.to_string()).unwrap();
        self.remake();
    }

    /// Recomputes the manifest and the Statement, as a forger would.
    pub fn remake(&self) {
        let mut manifest = self.json("manifest.json");
        for entry in manifest["files"].as_array_mut().unwrap() {
            let bytes = fs::read(self.path(entry["name"].as_str().unwrap())).unwrap();
            entry["bytes"] = bytes.len().into();
            entry["sha256"] = Sha256Digest::of_bytes(&bytes).to_string().into();
            entry["blake3"] = blake3::hash(&bytes).to_hex().to_string().into();
        }
        let text = format!("{}\n", serde_json::to_string_pretty(&manifest).unwrap());
        fs::write(self.path("manifest.json"), text).unwrap();
        let mut statement = self.json("provenance/statement.json");
        for subject in statement["subject"].as_array_mut().unwrap() {
            let bytes = fs::read(self.path(subject["name"].as_str().unwrap())).unwrap();
            subject["digest"]["sha256"] = Sha256Digest::of_bytes(&bytes).to_string().into();
            subject["digest"]["blake3"] = blake3::hash(&bytes).to_hex().to_string().into();
        }
        fs::write(self.path("provenance/statement.json"), statement.to_string()).unwrap();
    }
}

/// Runs an audit in a folder.
pub fn audit(folder: &Path, arguments: &[&str]) -> Completed {
    let mut command = Command::new(PROGRAM);
    Completed::new(&command.args(arguments).current_dir(folder).stdin(Stdio::null()).output().unwrap())
}

/// Checks that an audit found tampering and that a failed check names `name`.
pub fn assert_found((code, report): (i32, Value), name: &str) {
    assert_eq!((code, report["verdict"].as_str().unwrap()), (1, "tampered"), "{name}: {report:#}");
    let failed = |check: &&Value| check["outcome"] == "failed";
    let names =
        |check: &Value| check["what"].as_str().unwrap().contains(name) || check["why"].as_str().unwrap().contains(name);
    let found = report["checks"].as_array().unwrap().iter().filter(failed).any(names);
    assert!(found, "{name} is not named: {report:#}");
}

/// Returns the outcome of the check with that name.
pub fn outcome<'a>(report: &'a Value, what: &str) -> &'a str {
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["what"] == what);
    check.unwrap_or_else(|| panic!("{what}: {report:#}"))["outcome"].as_str().unwrap()
}

/// Returns the bytes of every file below a folder, by name.
pub fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(here) = open.pop() {
        for entry in fs::read_dir(here).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

fn copy_folder(from: &Path, to: &Path) {
    for (name, bytes) in contents(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
