//! The store: gc, verify, rebuild, and unusable stores.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::project::{Project, STAGES};

#[test]
fn gc_removes_results_and_objects_together() {
    let project = Project::new();
    for epochs in 1..=4 {
        project.run_ok(&["run", "all", "--set", &format!("search.epochs={epochs}")]);
    }
    let before = project.objects().len();
    let planned = project.json(&["gc", "--keep-last", "1", "--dry-run"]);
    assert_eq!((project.objects().len(), planned["attempts"].as_array().unwrap().len()), (before, 12));
    let removed = project.json(&["gc", "--keep-last", "1"]);
    assert_eq!(removed, planned);
    assert!(project.objects().len() < before);
    project.trace();
    project.run_ok(&["run", "all", "--set", "search.epochs=4"]);
    assert!(project.trace().is_empty(), "the most recently used results and their inputs are kept");
    project.run_ok(&["run", "all", "--set", "search.epochs=1"]);
    assert_eq!(project.trace(), ["search", "parse", "train", "test"]);
    assert_eq!(project.run(&["gc", "--max-size", "3 parsecs"]).code, Some(2));
}

#[test]
fn gc_never_removes_pinned_results() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    let pins = project.json(&["cache", "pin", "latest", "--reason", "in the paper"]);
    assert_eq!(pins["pins"].as_array().unwrap().len(), STAGES.len());
    assert_eq!(pins["pins"][0]["reason"], "in the paper");
    project.run_ok(&["run", "all", "--set", "search.epochs=7"]);
    let removed = project.json(&["gc", "--keep-last", "0", "--max-size", "0"]);
    assert_eq!(removed["attempts"].as_array().unwrap().len(), 4);
    project.trace();
    project.run_ok(&["run", "all"]);
    assert!(project.trace().is_empty());
    assert_eq!(project.json(&["cache", "unpin", "1"])["pins"], serde_json::json!([]));
    project.run_ok(&["gc", "--max-size", "0"]);
    assert!(project.objects().is_empty());
}

#[test]
fn verify_finds_changes_with_equal_size_and_time() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    project.run_ok(&["cache", "verify", "--deep"]);
    let object = &project.objects()[0];
    let modified = fs::metadata(object).unwrap().modified().unwrap();
    let mut bytes = fs::read(object).unwrap();
    bytes[0] ^= 1;
    fs::set_permissions(object, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(object, bytes).unwrap();
    fs::File::options().write(true).open(object).unwrap().set_modified(modified).unwrap();
    let found = project.json_of(&["cache", "verify"], 1);
    assert_eq!((found["sound"].as_bool(), found["damaged"].as_array().unwrap().len()), (Some(false), 1));
    project.run_ok(&["run", "all"]);
    project.run_ok(&["cache", "verify"]);
}

#[test]
fn a_damaged_ledger_can_be_rebuilt() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    project.trace();
    fs::write(project.path(".tfnas/ledger.sqlite3"), "not a ledger").unwrap();
    let ended = project.run(&["run", "all"]);
    assert!(ended.code == Some(2) && ended.err.contains("cache rebuild"), "{}", ended.err);
    let rebuilt = project.json(&["cache", "rebuild"]);
    assert_eq!(rebuilt["results"].as_u64(), Some(STAGES.len() as u64));
    project.run_ok(&["run", "all"]);
    assert!(project.trace().is_empty());
}

#[test]
fn a_store_of_a_newer_version_is_not_modified() {
    let project = Project::new();
    project.run_ok(&["run", "split"]);
    let format = project.path(".tfnas/FORMAT");
    let text = fs::read_to_string(&format).unwrap().replace('1', "99");
    fs::write(&format, &text).unwrap();
    for command in ["run", "plan"] {
        let ended = project.run(&[command, "all"]);
        assert!(ended.code == Some(2) && ended.err.contains("newer"), "{}", ended.err);
    }
    assert_eq!(fs::read_to_string(&format).unwrap(), text);
}

#[test]
fn a_folder_that_is_not_a_store_is_not_modified() {
    let project = Project::new();
    let ended = project.run(&["run", "split", "--store", "images"]);
    assert!(ended.code == Some(2) && ended.err.contains("is not a store"), "{}", ended.err);
    assert_eq!(fs::read_dir(project.path("images")).unwrap().count(), 2);
}

#[test]
fn gc_without_a_store_is_an_error() {
    let project = Project::new();
    project.run_ok(&["run", "split"]);
    for more in [&["--keep-last", "1"][..], &["--dry-run"]] {
        let ended = project.run(&[&["gc", "--store", "tfnsa"], more].concat());
        assert!(ended.code == Some(2) && ended.err.contains("there is no store in tfnsa"), "{}", ended.err);
        assert!(ended.err.contains("hint: "), "{}", ended.err);
    }
    assert!(!project.path("tfnsa").exists());
}

#[test]
fn doctor_finds_a_store_that_cannot_be_created() {
    let project = Project::new();
    let store = |folder: &str, code| {
        let found = project.json_of(&["doctor", "--store", folder], code);
        let checks = found["checks"].as_array().unwrap();
        checks.iter().find(|check| check["what"] == "store").unwrap().clone()
    };
    assert_eq!(store("new/store", 0)["ok"], true);
    assert!(!project.path("new").exists());
    let nowhere = store("/proc/nope", 2);
    assert!(
        nowhere["ok"] == false && nowhere["found"].as_str().unwrap().contains("cannot write to /proc"),
        "{nowhere}"
    );
}
