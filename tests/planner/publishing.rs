//! Invalid uses of `publish` and `audit`, with the fake worker.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tfnas_artifacts::{Cache, NewRun, Outcome};

use crate::project::Project;

/// Checks that `publish` fails with this exit code and these words and writes nothing.
fn assert_fails(project: &Project, arguments: &[&str], code: i32, words: &[&str]) {
    let ended = project.run(&[&["publish"], arguments, &["--out", "out"]].concat());
    assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.err);
    for word in words {
        assert!(ended.err.contains(word), "{word}: {}", ended.err);
    }
    let left = fs::read_dir(project.path("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(!left.into_iter().any(|name| name == "out" || name.starts_with(".publish")), "{arguments:?}");
}

#[test]
fn an_incomplete_run_is_rejected_with_the_missing_stages() {
    let project = Project::new();
    assert_fails(&project, &["latest"], 2, &["there is no run yet"]);
    project.run_ok(&["run", "search"]);
    assert_fails(&project, &["latest"], 2, &["run 1 is incomplete", "parse, train, test"]);
    assert_fails(&project, &["7"], 2, &["there is no run 7"]);
    assert_fails(&project, &["test@9"], 2, &["is not a run"]);
}

#[test]
fn latest_is_the_last_run_with_results_of_its_own() {
    let project = Project::new();
    project.run_ok(&["run", "search"]);
    project.run_ok(&["check", "search"]);
    // A run that was interrupted before its first stage.
    let cache = Cache::open(&project.path(".tfnas")).unwrap();
    let run = cache.begin_run(&NewRun::default()).unwrap();
    cache.end_run(run, Outcome::Interrupted).unwrap();
    assert_fails(&project, &["latest"], 2, &["run 1 is incomplete"]);
}

#[test]
fn publishing_a_matrix_requires_one_network() {
    let project = Project::new();
    project.run_ok(&["run", "all", "--set", "search.target_lat_ms=[1.0, 2.0]"]);
    assert_fails(&project, &["latest"], 2, &["2 networks", "1/test@1", "1/test@2"]);
    // The name determines the network. That the fake worker wrote no valid network is detected later.
    for named in ["1/test@2", "test@2", "search@2", "latest/train@2"] {
        assert_fails(&project, &[named], 2, &["no folder for class"]);
    }
    assert_fails(&project, &["1/test@3"], 2, &["no result of a test of test@3"]);
}

#[test]
fn given_networks_and_weights_cannot_be_published() {
    let project = Project::new();
    let config = {
        use tfnas::{Architecture, ModelConfig, Space};
        use tfnas_random::{Stream, StreamId};
        let space = Space::small();
        let network = Architecture::random(&space, &mut Stream::new(0, StreamId::RandomArchitecture, 0, 0));
        ModelConfig::from_architecture(&space, &network, 2).unwrap()
    };
    project.write("model.config", &config.to_text());
    fs::write(project.path("w.pth.tar"), crate::weights::weights(&config, |_| {})).unwrap();
    project.run_ok(&["run", "test", "--from", "model.config"]);
    assert_fails(&project, &["latest"], 2, &["was given (train.from)"]);
    project.run_ok(&["run", "test", "--from", "model.config", "--weights", "w.pth.tar"]);
    assert_fails(&project, &["latest"], 2, &["(train.from)"]);
}

#[test]
fn publishing_a_damaged_artifact_is_rejected() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    let digest = {
        let status = project.json(&["status"]);
        let train = status["stages"].as_array().unwrap().iter().find(|stage| stage["id"] == "train").unwrap().clone();
        let outputs = train["outputs"].as_array().unwrap().clone();
        outputs.iter().find(|output| output["name"] == "best.safetensors").unwrap()["path"].as_str().unwrap().to_owned()
    };
    fs::set_permissions(&digest, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&digest, "x").unwrap();
    assert_fails(&project, &["latest"], 1, &["best.safetensors of train", "is damaged"]);
    assert_fails(&project, &["latest"], 1, &["best.safetensors of train", "is not in the store"]);
}

#[test]
fn an_existing_or_missing_output_path_is_rejected_first() {
    let project = Project::new();
    project.write("taken/file", "x");
    let ended = project.run(&["publish", "latest", "--out", "taken"]);
    assert!(ended.code == Some(2) && ended.err.contains("is not empty"), "{}", ended.err);
    let ended = project.run(&["publish", "latest", "--out", "no/such/folder"]);
    assert!(ended.code == Some(2) && ended.err.contains("there is no folder"), "{}", ended.err);
    assert_fails(&project, &["latest", "--sign-key", "none.pem"], 2, &["none.pem"]);
    assert_fails(&project, &["latest", "--license", "my own"], 2, &["not an SPDX identifier"]);
    for name in ["", "  "] {
        assert_fails(&project, &["latest", "--name", name], 2, &["--name", "is empty"]);
    }
    let forged = "M\n\n| top-1 | 99.00 % |";
    assert_fails(&project, &["latest", "--name", forged], 2, &["--name", "control characters", "one line"]);
}

#[test]
fn invalid_publications_are_not_audited() {
    let project = Project::new();
    project.write("folder/file", "x");
    for (arguments, word) in [
        (&["audit", "folder"][..], "is not a published network"),
        (&["audit", "none"], "none"),
        (&["audit", "folder/file"], "folder/file"),
        (&["audit", "folder", "--claims", "tf-nas"], "is a folder"),
        (&["audit"], "required"),
        (&["audit", "folder", "--key", "none.pub"], "none.pub"),
        (&["audit", "folder", "--seed", "1"], "--seed does not apply to the audit of the folder"),
        (&["audit", "folder", "--set", "foo=4"], "--replay PART"),
        (&["audit", "folder", "--weights-key", "model"], "--weights-key does not apply"),
        (&["audit", "folder/file", "--key", "none.pub"], "--key does not apply to the audit of the weights"),
        (&["audit", "folder/file", "--replay", "test"], "--replay does not apply"),
        (&["audit", "folder/file", "--replay", "test", "--data", "folder"], "--replay does not apply"),
        (&["audit", "--claims", "tf-nas", "--key", "none.pub"], "--key does not apply"),
        (&["audit", "--claims", "tf-nas", "--replay", "all"], "audit DIR"),
    ] {
        let ended = project.run(arguments);
        assert!(ended.code == Some(2) && ended.err.contains(word), "{arguments:?}: {}", ended.err);
    }
}

#[test]
fn single_weights_are_checked_against_a_network_then_claims() {
    let project = Project::new();
    use tfnas::{Architecture, ModelConfig, Space};
    use tfnas_random::{Stream, StreamId};
    let space = Space::small();
    let network = Architecture::random(&space, &mut Stream::new(0, StreamId::RandomArchitecture, 0, 0));
    let config = ModelConfig::from_architecture(&space, &network, 2).unwrap();
    project.write("model.config", &config.to_text());
    fs::write(project.path("w.pth.tar"), crate::weights::weights(&config, |_| {})).unwrap();
    let audit = project.json(&["audit", "w.pth.tar", "--config", "model.config"]);
    assert_eq!((&audit["verdict"], &audit["level"]), (&"ok".into(), &serde_json::Value::Null));
    let claims = "source: here\nspace: small\nclasses: 2\nmodels: {M: {top1: \"75\"}}\n";
    project.write("claims.yaml", claims);
    let claimed = ["audit", "w.pth.tar", "--config", "model.config", "--claims", "claims.yaml", "--model", "M"];
    let audit = project.json_of(&claimed, 2);
    assert_eq!(audit["weights"]["verdict"], "ok");
    assert_eq!(audit["findings"][0]["verdict"], "not_checked");

    fs::write(project.path("w.pth.tar"), crate::weights::weights(&config, |tensors| tensors.truncate(1))).unwrap();
    let audit = project.json_of(&["audit", "w.pth.tar", "--config", "model.config"], 1);
    assert_eq!(audit["verdict"], "tampered");
}
