//! Sharing results through a remote in a folder. `ci/with-s3` also runs the last test, with a server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::project::{Completed, Project, STAGES, actions, step};

/// A remote in a folder, and its address.
struct Shared {
    folder: TempDir,
    url: String,
}

impl Shared {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}", folder.path().display());
        Self { folder, url }
    }

    /// Appends the remote's address to a command.
    fn at<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        [arguments, &["--remote", &self.url]].concat()
    }

    /// Returns the files below one of its folders.
    fn files(&self, below: &str) -> Vec<PathBuf> {
        files(&self.folder.path().join(below))
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Returns instances and their actions.
fn results(pulled: &Value) -> Vec<(&str, &str)> {
    let results = pulled["results"].as_array().unwrap().iter();
    results.map(|result| (result["id"].as_str().unwrap(), result["action"].as_str().unwrap())).collect()
}

fn all(action: &str) -> Vec<(&str, &str)> {
    STAGES.iter().map(|stage| (*stage, action)).collect()
}

/// Returns a project that has run all stages and pushed the results.
fn pushed(shared: &Shared) -> Project {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    project.run_ok(&shared.at(&["cache", "push"]));
    project
}

/// Checks that a command failed with a single message that contains these words, and that no store was created.
fn assert_error(ended: &Completed, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}{}", ended.out, ended.err);
    for word in words {
        assert!(ended.err.contains(word), "`{word}` is missing from: {}", ended.err);
    }
    assert_eq!(ended.err.matches("error: ").count(), 1, "{}", ended.err);
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
}

#[test]
fn pushed_results_are_pulled_into_another_store_and_used() {
    let shared = Shared::new();
    let here = Project::new();
    here.run_ok(&["run", "all"]);
    let sent = here.json(&shared.at(&["cache", "push"]));
    assert_eq!((results(&sent), &sent["remote"]), (all("push"), &json!(shared.url)));
    assert_eq!(results(&here.json(&shared.at(&["cache", "push", "--all"]))), all("there"));
    let there = Project::new();
    let got = there.json(&shared.at(&["cache", "pull"]));
    assert_eq!(results(&got), all("pull"));
    assert_eq!(there.objects().len(), here.objects().len());
    let out = there.run_ok(&["run", "all"]);
    assert!(there.trace().is_empty(), "{}", out.err);
    assert!(out.err.contains(&format!("search: cached (pulled from {})", shared.url)), "{}", out.err);
    there.run_ok(&["cache", "verify"]);
    assert_eq!(results(&there.json(&shared.at(&["cache", "pull"]))), all("here"));
}

#[test]
fn plan_explain_log_and_show_mark_pulled_results() {
    let shared = Shared::new();
    pushed(&shared);
    let there = Project::new();
    there.run_ok(&shared.at(&["cache", "pull"]));
    let plan = there.json(&["plan"]);
    assert_eq!((&step(&plan, "search")["remote"], actions(&plan)[0].1.as_str()), (&json!(shared.url), "cached"));
    assert!(there.run_ok(&["plan"]).out.contains(&format!("pulled from {}", shared.url)));
    assert_eq!(there.json(&["explain", "search"])["remote"], json!(shared.url));
    assert!(there.run_ok(&["explain", "search"]).out.contains(&shared.url));
    let log = there.json(&["log"]);
    let run = &log["runs"][0];
    assert_eq!((&run["arguments"][1], run["pulled"].as_array().unwrap().len()), (&json!("pull"), STAGES.len()));
    assert!(there.run_ok(&["log"]).out.contains("6 pulled"));
    let run = there.json(&["show", "latest"]);
    assert_eq!((&run["used"][0]["remote"], &run["made"]), (&json!(shared.url), &json!([])));
    let attempt = run["used"][0]["id"].as_str().unwrap();
    assert!(there.run_ok(&["show", attempt]).out.contains("pulled from"));
}

#[test]
fn a_pull_fetches_only_the_configured_results() {
    let shared = Shared::new();
    let here = Project::new();
    here.run_ok(&["run", "all"]);
    here.run_ok(&["run", "all", "--set", "search.epochs=7"]);
    here.run_ok(&shared.at(&["cache", "push", "--all"]));
    assert_eq!(shared.files("results").len(), 2 + 2 * 4);
    let there = Project::new();
    let got = there.json(&shared.at(&["cache", "pull", "--set", "search.epochs=7"]));
    assert_eq!(results(&got), all("pull"));
    assert!(there.objects().len() < here.objects().len());
    assert_eq!(there.json(&["plan", "--set", "search.epochs=7"])["stages"][5]["action"], "cached");
    assert_eq!(there.json(&["plan"])["stages"][2]["action"], "run");
    let rest = there.json(&shared.at(&["cache", "pull", "--all"]));
    let of = |action: &str| results(&rest).iter().filter(|(_, was)| *was == action).count();
    assert_eq!((of("here"), of("pull")), (6, 4));
    assert_eq!(there.objects().len(), here.objects().len());
}

#[test]
fn a_partial_pull_is_completed_by_a_run() {
    let shared = Shared::new();
    let here = Project::new();
    here.run_ok(&["run", "search"]);
    here.run_ok(&shared.at(&["cache", "push", "latest"]));
    let there = Project::new();
    let got = there.json(&shared.at(&["cache", "pull"]));
    let expected = [
        ("split", "pull"),
        ("lookup", "pull"),
        ("search", "pull"),
        ("parse", "absent"),
        ("train", "unknown"),
        ("test", "unknown"),
    ];
    assert_eq!(results(&got), expected);
    there.run_ok(&["run", "all"]);
    assert_eq!(there.trace(), ["parse", "train", "test"]);
    let only = Project::new();
    let got = only.json(&shared.at(&["cache", "pull", "lookup"]));
    assert_eq!(results(&got), [("split", "pull"), ("lookup", "pull")]);
}

#[test]
fn the_configured_remote_is_not_part_of_any_key() {
    let shared = Shared::new();
    let here = Project::new();
    here.run_ok(&["run", "all"]);
    let section = format!("cache: {{remote: {}}}\nspace: small\n", shared.url);
    here.edit("space: small\n", &section);
    here.trace();
    here.run_ok(&["run", "all"]);
    assert!(here.trace().is_empty());
    here.run_ok(&["cache", "push"]);
    let there = Project::new();
    there.edit("space: small\n", &section);
    there.run_ok(&["cache", "pull", "-j", "1"]);
    there.run_ok(&["run", "all"]);
    assert!(there.trace().is_empty());
}

#[test]
fn a_dry_run_transfers_nothing() {
    let shared = Shared::new();
    let here = Project::new();
    here.run_ok(&["run", "all"]);
    let sent = here.json(&shared.at(&["cache", "push", "--dry-run"]));
    assert_eq!((results(&sent), &sent["dry_run"]), (all("push"), &json!(true)));
    assert!(shared.files("").is_empty());
    here.run_ok(&shared.at(&["cache", "push"]));
    let there = Project::new();
    let got = there.json(&shared.at(&["cache", "pull", "--dry-run"]));
    assert_eq!(results(&got), all("pull"));
    assert!(!there.path(".tfnas").exists());
    assert!(there.run_ok(&shared.at(&["cache", "pull", "--dry-run"])).out.contains("would pull 6 of 6 results"));
}

#[test]
fn a_run_an_attempt_or_everything_can_be_pushed() {
    let shared = Shared::new();
    let here = Project::new();
    here.run_ok(&["run", "split"]);
    here.run_ok(&["run", "lookup"]);
    let sent = here.json(&shared.at(&["cache", "push", "1"]));
    assert_eq!(results(&sent), [("split", "push")]);
    let attempt = here.json(&["show", "2"])["made"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(results(&here.json(&shared.at(&["cache", "push", &attempt]))), [("lookup", "push")]);
    assert_eq!(results(&here.json(&shared.at(&["cache", "push", "--all"]))), [("split", "there"), ("lookup", "there")]);
    assert_error(&here.run(&shared.at(&["cache", "push", "98765"])), 2, &["98765"]);
    assert_error(&Project::new().run(&shared.at(&["cache", "push"])), 2, &["no run"]);
}

#[test]
fn invalid_remote_addresses_are_usage_errors() {
    let project = Project::new();
    assert_error(&project.run(&["cache", "pull"]), 2, &["no remote is set", "--remote URL"]);
    for verb in ["push", "pull"] {
        let ended = project.run(&["cache", verb, "--all", "--remote", "ftp://host/path"]);
        assert_error(&ended, 2, &["ftp://host/path", "is not the address of a remote", "s3://"]);
    }
    let ended = project.run(&["cache", "pull", "--remote", "s3://key:hunter2@bucket/path"]);
    assert_error(&ended, 2, &["credentials", "environment"]);
    assert!(!ended.err.contains("hunter2"), "{}", ended.err);
    let ended = project.run(&["run", "all", "--set", "cache.remote=s3://key:hunter2@bucket/path"]);
    assert_error(&ended, 2, &["cache.remote", "credentials"]);
    assert!(!ended.err.contains("hunter2"), "{}", ended.err);
    project.edit("space: small\n", "space: small\ncache:\n  remote: shared/results\n");
    assert_error(&project.run(&["plan"]), 2, &["pipeline.yaml:7", "cache.remote", "shared/results", "file:///"]);
    assert!(!project.path(".tfnas").exists());
}

#[test]
fn a_missing_or_invalid_remote_is_an_error() {
    let project = Project::new();
    let images = format!("file://{}", project.path("images").display());
    let nowhere = format!("file://{}", project.path("nowhere").display());
    assert_error(&project.run(&["cache", "pull", "--remote", &nowhere]), 1, &[&nowhere, "does not exist", "create it"]);
    assert_error(
        &project.run(&["cache", "pull", "--remote", &images]),
        1,
        &[&images, "is not a remote", "choose a new or empty folder"],
    );
    project.run_ok(&["run", "split"]);
    assert_error(&project.run(&["cache", "push", "--remote", &images]), 1, &["is not a remote"]);
    assert!(!project.path("nowhere").exists() && !project.path("images/FORMAT").exists());
    let shared = Shared::new();
    let got = project.json(&shared.at(&["cache", "pull"]));
    assert_eq!(results(&got)[..2], [("split", "here"), ("lookup", "absent")], "an empty remote has nothing");
    fs::write(shared.folder.path().join("FORMAT"), "tfnas-remote 2\n").unwrap();
    assert_error(
        &project.run(&shared.at(&["cache", "push"])),
        1,
        &["tfnas-remote 2", "use the version that created it"],
    );
}

#[test]
fn unreachable_servers_and_missing_credentials_are_reported() {
    let project = Project::new();
    let run = |variables: &[(&str, &str)]| {
        let mut command = project.command(&["cache", "pull", "--remote", "s3://bucket/path"]);
        command.env_remove("AWS_ACCESS_KEY_ID").envs(variables.iter().copied()).stdin(Stdio::null());
        Completed::new(&command.output().unwrap())
    };
    assert_error(&run(&[]), 2, &["s3://bucket/path", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"]);
    let variables = [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
    ];
    let ended = run(&variables);
    assert_error(&ended, 1, &["s3://bucket/path", "refused", "AWS_ENDPOINT_URL"]);
    assert!(!ended.err.contains("hunter2"), "{}", ended.err);
    assert!(!project.path(".tfnas").exists());
}

#[test]
fn a_damaged_remote_is_not_used_until_a_push_repairs_it() {
    let shared = Shared::new();
    let here = pushed(&shared);
    let plan = here.json(&["plan"]);
    let key = step(&plan, "search")["key"].as_str().unwrap();
    let record = shared.files(&format!("results/{key}")).remove(0);
    let text = fs::read_to_string(&record).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    let digest = value["attempt"]["outputs"][0]["digest"].as_str().unwrap().to_owned();
    let object = shared.folder.path().join("objects").join(&digest[..2]).join(&digest[2..]);
    let original = fs::read(&object).unwrap();
    let mut damaged = original.clone();
    damaged[0] ^= 1;
    type Damage<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let cases: [Damage<'_>; 4] = [
        ("wrong bytes", Box::new(|| fs::write(&object, &damaged).unwrap())),
        ("lacks artifact", Box::new(|| fs::remove_file(&object).unwrap())),
        ("not an attempt record", Box::new(|| fs::write(&record, &text[..text.len() / 2]).unwrap())),
        ("tfnas.attempt.v9", Box::new(|| fs::write(&record, text.replace("attempt.v1", "attempt.v9")).unwrap())),
    ];
    for (words, damage) in cases {
        fs::write(&object, &original).unwrap();
        fs::write(&record, &text).unwrap();
        damage();
        let there = Project::new();
        let ended = there.run(&shared.at(&["cache", "pull"]));
        assert_error(&ended, 1, &["search: ", words, &shared.url]);
        assert!(files(&there.path(".tfnas/quarantine")).is_empty() && files(&there.path(".tfnas/tmp")).is_empty());
        let got = there.json_of(&shared.at(&["cache", "pull"]), 1);
        assert_eq!(results(&got)[1..4], [("lookup", "here"), ("search", "refused"), ("parse", "unknown")]);
        there.run_ok(&["cache", "verify"]);
        there.run_ok(&["run", "all"]);
        assert_eq!(there.trace(), ["search", "parse", "train", "test"], "{words}");
    }
    fs::write(&object, &damaged).unwrap();
    fs::write(&record, &text[..text.len() / 2]).unwrap();
    let sent = here.json(&shared.at(&["cache", "push"]));
    assert_eq!(results(&sent).iter().filter(|(_, action)| *action == "push").count(), 1);
    Project::new().run_ok(&shared.at(&["cache", "pull"]));
}

#[test]
fn a_damaged_artifact_is_not_pushed_but_others_are() {
    let shared = Shared::new();
    let here = Project::new();
    here.run_ok(&["run", "all"]);
    let status = here.json(&["status", "train"]);
    let path = status["stages"][0]["outputs"][0]["path"].as_str().unwrap();
    fs::remove_file(path).unwrap();
    let ended = here.run(&shared.at(&["cache", "push"]));
    assert_error(&ended, 1, &["train: ", "is not in the store", "`run` recreates"]);
    assert_eq!(shared.files("results").len(), STAGES.len() - 1);
}

#[test]
#[ignore = "needs a server: ci/with-s3"]
fn s3_is_pushed_to_and_pulled_from() {
    let bucket = std::env::var("TFNAS_TEST_BUCKET").expect("`ci/with-s3` sets TFNAS_TEST_BUCKET");
    let url = format!("s3://{bucket}/planner");
    let here = Project::new();
    here.run_ok(&["run", "all"]);
    assert_eq!(results(&here.json(&["cache", "push", "--remote", &url])), all("push"));
    assert_eq!(results(&here.json(&["cache", "push", "--remote", &url])), all("there"));
    let there = Project::new();
    assert_eq!(results(&there.json(&["cache", "pull", "--remote", &url])), all("pull"));
    there.run_ok(&["run", "all"]);
    assert!(there.trace().is_empty());
    let mut command = there.command(&["cache", "push", "--remote", &url]);
    let ended = Completed::new(&command.env("AWS_SECRET_ACCESS_KEY", "hunter2").output().unwrap());
    assert_error(&ended, 1, &[&url, "403", "AWS_SECRET_ACCESS_KEY"]);
    assert!(!ended.err.contains("hunter2"), "{}", ended.err);
}
