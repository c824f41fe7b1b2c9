//! The report of a run.

use std::fs;

use crate::project::{Project, STAGES};

fn page(project: &Project, name: &str) -> String {
    fs::read_to_string(project.path(name)).unwrap()
}

#[test]
fn a_run_writes_a_report_unless_it_did_nothing() {
    let project = Project::new();
    let out = project.run_ok(&["run", "all"]).out;
    let path = project.path(".tfnas/reports/1.html").canonicalize().unwrap();
    let line = out.lines().find(|line| line.trim_start().starts_with("report ")).unwrap();
    assert!(line.ends_with(&path.display().to_string()), "{line}");
    assert!(page(&project, ".tfnas/reports/1.html").contains("<h1>Report of run 1</h1>"));

    assert!(!project.run_ok(&["run", "all"]).out.contains("reports"));
    project.run_ok(&["run", "test", "--force", "test"]);
    assert_eq!(fs::read_dir(project.path(".tfnas/reports")).unwrap().count(), 1);

    let last = project.events(&["run", "all", "--force", "test"]).pop().unwrap();
    assert!(last["report"].as_str().unwrap().ends_with(".tfnas/reports/4.html"), "{last}");
    project.run_ok(&["gc", "--keep-last", "1"]);
    assert!(project.path(".tfnas/reports/1.html").exists());
}

#[test]
fn an_unwritable_report_is_a_warning() {
    let project = Project::new();
    project.run_ok(&["run", "split"]);
    project.write(".tfnas/reports", "a file");
    let ended = project.run_ok(&["run", "all"]);
    assert!(
        ended.err.contains("cannot write the report of run 2") && ended.err.contains("`report 2`"),
        "{}",
        ended.err
    );
    assert!(ended.out.contains("found by parse"), "{}", ended.out);
}

#[test]
fn a_report_has_every_stage_and_lists_missing_outputs() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    project.run_ok(&["report"]);
    let html = page(&project, "report.html");
    for stage in STAGES {
        assert!(html.contains(&format!("<th scope=\"row\" dir=\"auto\">{stage}</th>")), "{stage}");
    }
    for text in ["Top-1 75.0 %", "measured latency 0.950 ms", "the target of 1.000 ms is met", "7 of 7"] {
        assert_eq!(html.contains(text), text != "7 of 7", "{text}");
    }
    // The fake worker writes no valid history and training results.
    assert!(html.contains("history.json cannot be read") && html.contains("lookup.json cannot be read"));
    assert!(html.contains("No output of this run: selection</li>"));
    let counted = |run: &str| {
        project.run_ok(&["report", run]);
        page(&project, "report.html")
    };
    project.run_ok(&["run", "all", "--force", "test"]);
    assert!(counted("latest").contains("1 of 6 stages ran, 5 came from the cache."));
    assert!(counted("1").contains("6 of 6 stages ran, 0 came from the cache."));
}

#[test]
fn the_commands_of_a_report_repeat_the_run() {
    let project = Project::new();
    project.write("sub/c.yaml", &crate::project::CONFIGURATION.replace("root: images", "root: ../images"));
    project.run_ok(&["run", "parse", "--config", "sub/c.yaml", "--store", "s", "--set", "search.epochs=3"]);
    project.run_ok(&["report", "--store", "s"]);
    let html = page(&project, "report.html");
    for text in [
        "tfnas-pipeline --config sub/c.yaml --store s show 1 --json | jq -r .run.configuration &gt; sub/run-1.json",
        "tfnas-pipeline --config sub/run-1.json --store .tfnas-again run parse",
    ] {
        assert!(html.contains(text), "{text}");
    }
    assert!(!html.contains("check train") && !html.contains("publish 1"));
    let run = project.json(&["show", "1", "--store", "s"]);
    project.write("sub/run-1.json", run["run"]["configuration"].as_str().unwrap());
    let plan = project.json(&["plan", "parse", "--config", "sub/run-1.json", "--store", "s"]);
    assert!(plan["stages"].as_array().unwrap().iter().all(|step| step["action"] == "cached"), "{plan}");
}

#[test]
fn figures_and_tables_are_separate_files() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    let written = project.json(&["report", "1", "--output", "page.html", "--figures", "a/figures"]);
    assert_eq!(written["run"], 1);
    assert!(written["file"].as_str().unwrap().ends_with("/page.html"));
    let files = written["figures"].as_array().unwrap();
    assert_eq!(files.len(), fs::read_dir(project.path("a/figures")).unwrap().count());
    for name in ["stages.svg", "stages.csv", "blocks.svg", "artifacts.csv"] {
        assert!(project.path("a/figures").join(name).exists(), "{name}");
    }
    let csv = page(&project, "a/figures/stages.csv");
    assert!(csv.starts_with("stage,state,seconds,") && csv.lines().count() == 1 + STAGES.len(), "{csv}");
}

#[test]
fn unknown_runs_and_paths_that_cannot_be_written_are_errors() {
    let project = Project::new();
    let ended = project.run(&["report"]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.err.contains("there is no finished run in this store") && ended.err.contains("`run all`"),
        "{}",
        ended.err
    );
    assert!(!project.path(".tfnas").exists() && !project.path("report.html").exists());

    project.behave("lookup", "fail");
    assert_eq!(project.run(&["run", "all"]).code, Some(1));
    let ended = project.run(&["report"]);
    assert_eq!(ended.code, Some(2), "the only run has failed");
    assert!(ended.err.contains("hint: `report 1` shows what there is of run 1"), "{}", ended.err);
    project.run_ok(&["report", "1"]);
    assert!(page(&project, "report.html").contains("1 of 2 stages ran, 0 came from the cache, 1 did not finish."));

    project.run_ok(&["run", "all"]);
    let attempt = project.json(&["show", "latest"])["made"][0]["id"].as_str().unwrap().to_owned();
    for (arguments, code, words) in [
        (&["report", "9"][..], 2, "there is no run 9"),
        (&["report", "none"], 2, "nothing in this store has the name `none`"),
        (&["report", &attempt], 2, "is not a run"),
        (&["report", "--output", "images"], 2, "is a folder"),
        (&["report", "--output", "none/report.html"], 2, "create the folder first"),
        (&["report", "--output", "r.html", "--figures", "pipeline.yaml"], 1, "cannot write"),
    ] {
        let ended = project.run(arguments);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains(words), "{arguments:?}: {}", ended.err);
    }
}

#[test]
fn file_names_are_escaped_in_the_report() {
    let project = Project::new();
    let name = "<img src=x> & \"Größe\".yaml";
    project.write(name, &fs::read_to_string(project.path("pipeline.yaml")).unwrap());
    project.run_ok(&["run", "all", "--config", name]);
    let html = page(&project, ".tfnas/reports/1.html");
    assert!(!html.contains("<img") && html.contains("<p>&lt;img src=x&gt; &amp; &quot;Größe&quot;.yaml</p>"));
}

#[test]
fn a_damaged_output_is_noted_in_the_report() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    let status = project.json(&["status", "test"]);
    let outputs = status["stages"][0]["outputs"].as_array().unwrap();
    let output = outputs.iter().find(|output| output["name"] == "test.json").unwrap();
    let path = output["path"].as_str().unwrap().to_owned();
    let bytes = fs::read(&path).unwrap();
    for damage in [Some("{\"top1\": 1.0}"), None] {
        fs::remove_file(&path).unwrap_or_default();
        if let Some(text) = damage {
            fs::write(&path, text).unwrap();
        }
        project.run_ok(&["report"]);
        let html = page(&project, "report.html");
        assert!(html.contains("test.json cannot be read") && html.contains("Measured latency 0.950 ms"), "{damage:?}");
        assert!(!html.contains("Top-1"), "damaged outputs are not shown");
    }
    fs::write(&path, bytes).unwrap();
    project.run_ok(&["report"]);
    assert!(page(&project, "report.html").contains("Top-1 75.0 %"));
}

#[test]
fn a_mistake_without_image_has_a_reason_or_is_omitted() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    for (arguments, shown) in [(&["report"][..], true), (&["report", "--no-images"], false)] {
        project.run_ok(arguments);
        let html = page(&project, "report.html");
        for text in ["1 test image with a wrong prediction", "the image is no longer there", "a/b, &lt;b&gt;.png"] {
            assert_eq!(html.contains(text), shown, "{text}");
        }
        assert!(html.contains("did not record confusions"));
        assert!(!html.contains("predictions.csv cannot be read") && !html.contains("<img"));
    }
}

#[test]
fn runs_are_compared_in_one_report() {
    let project = Project::new();
    let ended = project.run(&["compare", "--html", "c.html"]);
    assert_eq!(
        (ended.code, ended.err.contains("there is no finished run in this store")),
        (Some(2), true),
        "{}",
        ended.err
    );
    project.run_ok(&["run", "all"]);
    project.run_ok(&["run", "all", "--set", "search.target_lat_ms=[0.8, 0.9]", "--set", "train.lr=0.05"]);
    project.run_ok(&["run", "split"]);

    let written = project.json(&["compare", "--html", "c.html"]);
    assert_eq!(written["runs"], serde_json::json!(["1", "2"]), "{written}");
    let html = page(&project, "c.html");
    for text in [
        "2 runs with 3 networks.",
        "run 2 (0.8)",
        "networks-tradeoff",
        "training-top-1",
        "train.lr",
        "search.target_lat_ms",
    ] {
        assert!(html.contains(text), "{text}");
    }
    assert!(!html.contains("<img"));
    let written = project.json(&["compare", "latest", "1", "--html", "c.html"]);
    assert_eq!(written["runs"], serde_json::json!(["3", "1"]));

    for (arguments, code, words) in [
        (&["compare", "1"][..], 2, "--html"),
        (&["compare", "99", "--html", "c.html"], 2, "99"),
        (&["compare", "--html", "images"], 2, "is a folder"),
        (&["compare", "--html", "none/c.html"], 2, "create the folder first"),
    ] {
        let ended = project.run(arguments);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains(words), "{arguments:?}: {}", ended.err);
    }
}

#[test]
fn a_matrix_has_one_report_with_all_networks() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    project.run_ok(&["run", "all", "--set", "search.target_lat_ms=[0.8, 1.0]"]);
    let html = page(&project, ".tfnas/reports/2.html");
    // The network of 1 ms was found before the matrix run.
    for text in ["id=\"networks-tradeoff\"", "Architecture (0.8)", "Architecture (1)", "Test (0.8)", "Test (1)"] {
        assert!(html.contains(text), "{text}");
    }
}
