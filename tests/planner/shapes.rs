//! JSON output for other programs, and text output.

use serde_json::{Value, json};

use crate::project::{Project, STAGES};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn the_json_of_plan_has_its_fields() {
    let project = Project::new();
    let plan = project.json(&["plan"]);
    let step = &plan["stages"][0];
    assert_eq!(keys(step), ["id", "stage", "action", "key", "because", "expected_s"]);
    assert_eq!(step["key"].as_str().unwrap().len(), 64);
    assert_eq!(keys(&step["because"][0]), ["field", "old", "new", "at", "via"]);
}

#[test]
fn the_json_of_status_has_its_fields() {
    let project = Project::new();
    project.run_ok(&["run", "split"]);
    let status = project.json(&["status"]);
    let ids: Vec<&str> =
        status["stages"].as_array().unwrap().iter().map(|stage| stage["id"].as_str().unwrap()).collect();
    assert_eq!(ids, STAGES);
    let split = &status["stages"][0];
    assert!(keys(split).starts_with(&["id", "stage", "outcome", "key", "outputs"]), "{split}");
    assert_eq!(keys(&split["outputs"][0]), ["name", "digest", "bytes", "path"]);
    let path = split["outputs"][0]["path"].as_str().unwrap();
    let digest = split["outputs"][0]["digest"].as_str().unwrap();
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(blake3::hash(&bytes).to_hex().as_str(), digest);
    assert_eq!(split["outputs"][0]["bytes"], bytes.len());
    assert_eq!(status["stages"][1]["outcome"], "never");
}

#[test]
fn events_are_json_lines_and_the_last_summarizes_the_run() {
    let project = Project::new();
    project.run_ok(&["run", "search"]);
    project.behave("train", "fail");
    let events = project.events(&["run", "all"]);
    let finished = json!({
        "event": "finished", "ran": ["parse"], "cached": ["split", "lookup", "search"], "failed": ["train"], "interrupted": []
    });
    assert_eq!(events.last().unwrap(), &finished);
    let of = |name: &str| events.iter().find(|event| event["event"] == name).unwrap();
    assert_eq!(of("started")["id"], "parse");
    assert_eq!(of("cached")["id"], "split");
    assert_eq!(of("progress")["total"], 4);
    assert_eq!(of("metric")["name"], "loss");
    assert_eq!(of("done")["outputs"].as_array().unwrap().len(), 2);
    assert_eq!(of("failed")["message"], "the data is odd");
}

#[test]
fn the_printed_configuration_has_defaults_and_round_trips() {
    let project = Project::new();
    let config = project.json(&["config", "--set", "search.target_lat_ms=[12, 15]"]);
    assert_eq!(config["search"]["target_lat_ms"], json!([12, 15]));
    assert_eq!(config["train"]["batch"], 512);
    assert_eq!(config["space"], "small");
    project.write("again.yaml", &config.to_string());
    assert_eq!(project.json(&["config", "--config", "again.yaml"]), config);
    let text = project.run_ok(&["config"]).out;
    let line = text.lines().find(|line| line.starts_with("search.epochs")).unwrap();
    assert!(line.ends_with("pipeline.yaml:15"), "{line}");
}

#[test]
fn a_named_space_can_have_a_width_step() {
    let project = Project::new();
    let space = |set: &str| project.json(&["config", "--set", set])["space"].clone();
    let stepped = space("space.width_step=8");
    assert_eq!((&stepped["width_step"], &stepped["resolution"]), (&json!(8), &json!(32)));
    assert_eq!(stepped["operations"].as_array().unwrap().len(), 4, "the operations of the space in pipeline.yaml");
    assert_eq!(space("space={base: small, width_step: 8}"), stepped);
    assert_eq!(space("space={base: small, width_step: 1}"), "small");
    let matrix = project.json(&["plan", "--set", "matrix={space.width_step: [1, 8]}"]);
    assert!(matrix.to_string().contains("width_step"), "{matrix}");
}

#[test]
fn the_default_fit_depends_on_the_space() {
    let project = Project::new();
    let fit = |sets: &[&str]| project.json(&[&["config"], sets].concat())["search"]["fit"].clone();
    assert_eq!(fit(&[]), "exact");
    assert_eq!(fit(&["--set", "search.fit=published"]), "published");
    assert_eq!(fit(&["--set", "space=imagenet"]), "published");
    assert_eq!(fit(&["--set", "space=imagenet", "--set", "search.fit=exact"]), "exact");
    assert_eq!(fit(&["--set", "space={base: imagenet, width_step: 8}"]), "exact");
}

#[test]
fn a_run_ends_with_a_summary_of_the_network() {
    let project = Project::new();
    let out = project.run_ok(&["run", "all"]).out;
    for words in [
        "stage1.block1",
        "k3_e3_se",
        "target latency  1.000 ms: met by the table (-10.0 %), met as measured (-5.0 %)",
        "0.900 ms",
        "0.950 ms (0.900 to 1.000)",
        "123.46 k",
        "7.89 M",
        "75.00 % of 40 images",
        "search  ran",
        "weights, best  /",
    ] {
        assert!(out.contains(words), "`{words}` is missing from\n{out}");
    }
    assert!(project.run_ok(&["run", "all"]).out.contains("search  cached"));
}

#[test]
fn log_and_show_list_runs_attempts_and_artifacts() {
    let project = Project::new();
    project.run_ok(&["run", "split"]);
    project.behave("lookup", "kill");
    project.run(&["run", "lookup"]);
    let log = project.json(&["log"]);
    let runs = log["runs"].as_array().unwrap();
    assert_eq!((runs.len(), &runs[0]["outcome"], &runs[1]["outcome"]), (2, &json!("failed"), &json!("done")));
    assert_eq!(
        (&runs[0]["failed"], &runs[0]["cached"], &runs[1]["ran"]),
        (&json!(["lookup"]), &json!(["split"]), &json!(["split"]))
    );
    let run = project.json(&["show", "latest"]);
    let attempt = &run["made"][0];
    assert!(attempt["cause"].as_str().unwrap().contains("SIGKILL"));
    assert!(attempt["usage"]["peak_memory_bytes"].as_u64().unwrap() > 100_000);
    assert_eq!(attempt["metrics"]["series"]["loss"], json!([[1, 0.5]]), "a failed stage keeps its metrics");
    assert!(attempt["environment"]["cpu_model"].is_string());
    let shown = project.json(&["show", attempt["id"].as_str().unwrap()]);
    assert_eq!(shown["attempt"]["instance"], "lookup");
    let status = project.json(&["status", "split"]);
    let digest = status["stages"][0]["outputs"][0]["digest"].as_str().unwrap();
    let artifact = project.json(&["show", &digest[..12]]);
    assert_eq!(artifact["made_by"][0]["instance"], "split");
    assert!(project.run(&["show", "98765"]).code == Some(2));
    project.run_ok(&["log"]);
    project.run_ok(&["show", "1"]);
}

#[test]
fn messages_can_be_json_lines() {
    let project = Project::new();
    let stderr = project.run_ok(&["run", "split", "--log-format", "json"]).err;
    let lines: Vec<Value> = stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["id"] == "split" && line["level"] == "INFO"), "{stderr}");
    let stderr = project.run(&["run", "nothing", "--log-format", "json"]).err;
    let line: Value = serde_json::from_str(stderr.trim()).unwrap();
    assert_eq!(line["level"], "ERROR");
    let stderr = project.run(&["serch", "--log-format=json"]).err;
    let line: Value = serde_json::from_str(stderr.trim()).unwrap();
    assert!(line["message"].as_str().unwrap().starts_with("unrecognized subcommand 'serch'"), "{stderr}");
    assert_eq!(line["hint"], "`search` is a stage: `run search` runs it");
}

#[test]
fn the_initial_configuration_is_valid_and_not_overwritten() {
    let project = Project::new();
    project.run_ok(&["init", "new.yaml"]);
    project.run_ok(&["config", "--config", "new.yaml"]);
    let ended = project.run(&["init", "new.yaml"]);
    assert!(ended.code == Some(2) && ended.err.contains("already exists"), "{}", ended.err);
}

#[test]
fn completions_and_manual_pages_are_written() {
    let project = Project::new();
    assert!(project.run_ok(&["completions", "bash"]).out.contains("tfnas-pipeline"));
    project.run_ok(&["man", "--out", "man"]);
    assert!(project.path("man/tfnas-pipeline-run.1").exists());
}
