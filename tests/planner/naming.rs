//! Names and notes of runs.

use std::fs;

use crate::project::Project;

/// A project with three runs: `base`, `wide` and a second `base` that finds everything cached.
fn named() -> Project {
    let project = Project::new();
    project.run_ok(&["run", "all", "--name", "base", "--note", "as it comes"]);
    project.run_ok(&["run", "all", "--name", "wide one", "--set", "search.epochs=3"]);
    project.run_ok(&["run", "all", "--name", "base"]);
    project
}

#[test]
fn a_run_is_found_by_its_name_and_the_newest_of_a_name_is_meant() {
    let project = named();
    let id = |arguments: &[&str]| project.json(arguments)["run"]["id"].as_i64();
    assert_eq!([id(&["show", "base"]), id(&["show", "wide one"]), id(&["show", "1"])], [Some(3), Some(2), Some(1)]);
    let shown = project.json(&["show", "1"]);
    assert_eq!((&shown["run"]["name"], &shown["run"]["note"]), (&"base".into(), &"as it comes".into()));
    let text = project.run_ok(&["show", "1"]).out;
    assert!(text.contains("name           base") && text.contains("note           as it comes"), "{text}");

    let reported = project.json(&["report", "wide one", "--output", "wide.html"]);
    assert_eq!((reported["run"].as_i64(), &reported["name"]), (Some(2), &"wide one".into()));
    let page = fs::read_to_string(project.path("wide.html")).unwrap();
    assert!(page.contains("<title>Report of run 2: wide one</title>"), "{page}");
    project.run_ok(&["report", "1", "--output", "first.html"]);
    let page = fs::read_to_string(project.path("first.html")).unwrap();
    assert!(page.contains("as it comes"), "{page}");

    let compared = project.json(&["compare", "wide one", "base", "1", "--html", "runs.html"]);
    assert_eq!(compared["runs"], serde_json::json!(["2", "3", "1"]));
    let page = fs::read_to_string(project.path("runs.html")).unwrap();
    for text in ["run 2: wide one", "run 3: base", "run 1: base", "as it comes"] {
        assert!(page.contains(text), "{text}");
    }
    let pinned = project.json(&["cache", "pin", "wide one"]);
    assert_eq!(pinned["pins"].as_array().map(Vec::len), Some(6));
    let ended = project.run(&["publish", "base", "--out", "out"]);
    assert!(!ended.err.contains("names no run"), "{}", ended.err);
}

#[test]
fn log_shows_names_and_notes_and_selects_by_name() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    let text = project.run_ok(&["log"]).out;
    let headings = text.lines().next().unwrap();
    assert!(!headings.contains("name") && !headings.contains("note"), "{text}");
    project.run_ok(&["run", "all", "--name", "base", "--note", "two\nlines"]);
    project.run_ok(&["run", "all", "--name", "wide base"]);
    let text = project.run_ok(&["log"]).out;
    let first = text.lines().next().unwrap();
    assert!(first.contains("name") && first.contains("note") && text.contains("two lines"), "{text}");
    assert_eq!(text.lines().count(), 4, "{text}");
    let ids = |arguments: &[&str]| -> Vec<i64> {
        let runs = project.json(&[&["log"], arguments].concat())["runs"].as_array().unwrap().clone();
        runs.iter().map(|run| run["id"].as_i64().unwrap()).collect()
    };
    assert_eq!(ids(&[]), [3, 2, 1]);
    assert_eq!(ids(&["--name", "base"]), [3, 2]);
    assert_eq!(ids(&["--name", "base", "-n", "1"]), [3]);
    assert_eq!(ids(&["--name", "wide*"]), [3]);
    assert_eq!(ids(&["--name", "[xb]as?"]), [2]);
    assert_eq!(ids(&["--before", "wide base"]), [2, 1]);
    assert_eq!(ids(&["--before", "3", "--name", "base"]), [2]);
    assert_eq!(project.json(&["log"])["runs"][1]["note"], "two\nlines");
    assert!(project.json(&["log"])["runs"][2].get("name").is_none());
    let ended = project.run_ok(&["log", "--name", "bse"]);
    assert!(ended.err.contains("no name of a run matches `bse`; did you mean `base`?"), "{}", ended.err);
    let ended = project.run(&["log", "--before", "bse"]);
    assert!(ended.code == Some(2) && ended.err.contains("did you mean `base`?"), "{}", ended.err);
}

#[test]
fn a_note_is_changed_later_and_survives_a_rebuild() {
    let project = named();
    let noted = project.json(&["note", "wide one", "loses 2 %\nagainst base"]);
    assert_eq!((noted["run"].as_i64(), &noted["name"]), (Some(2), &"wide one".into()));
    let text = project.run_ok(&["show", "2"]).out;
    assert!(text.contains("note           loses 2 %\n               against base\n"), "{text}");
    project.run_ok(&["note", "1", ""]);
    assert!(project.json(&["show", "1"])["run"].get("note").is_none());
    project.run_ok(&["cache", "rebuild"]);
    let run = &project.json(&["show", "wide one"])["run"];
    assert_eq!((run["id"].as_i64(), &run["note"]), (Some(2), &"loses 2 %\nagainst base".into()));
    assert!(project.json(&["show", "1"])["run"].get("note").is_none());
    assert_eq!(project.json(&["show", "base"])["run"]["id"], 1, "the second run of this name made nothing");
    for wrong in [&["note", "nobody", "x"][..], &["note", "1"], &["note", "1", "a\u{7}"]] {
        assert_eq!(project.run(wrong).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn what_is_no_name_is_refused_before_anything_runs() {
    let project = Project::new();
    let long = "x".repeat(101);
    for (name, words) in [
        ("", "the name is empty"),
        ("7", "could also be a run's number"),
        ("cafe", "could also be a run's number"),
        ("all", "another meaning"),
        ("latest", "another meaning"),
        ("search", "is a stage"),
        ("a/b", "contains `/`"),
        ("test@12", "contains `@`"),
        ("a\tb", "U+0009"),
        (&long, "101 characters"),
    ] {
        let ended = project.run(&["run", "all", "--name", name]);
        assert_eq!(ended.code, Some(2), "{name}: {}", ended.err);
        assert!(ended.err.contains(words), "{name}: {}", ended.err);
    }
    assert!(project.trace().is_empty() && !project.path(".tfnas").exists());
}
