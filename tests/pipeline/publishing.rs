//! Publishing and auditing a run of the real worker.

use std::fs;

use tfnas::{Knot, LatencyCurve, LatencyTable};
use tfnas_stages::Stage;

use crate::project::{Project, Worker};
use crate::published::{audit, contents, demo, outcome};

#[test]
fn an_audit_without_images_reaches_l3_and_lists_unchecked_parts() {
    let (code, report) = demo().copy("plain").audit(&[]);
    assert_eq!((code, report["verdict"].as_str(), report["level"].as_str()), (0, Some("ok"), Some("L3")), "{report:#}");
    assert_eq!(outcome(&report, "signature"), "not_checked");
    assert_eq!(outcome(&report, "test again"), "not_checked");
    assert_eq!(outcome(&report, "search/search.safetensors, train/last.safetensors"), "not_checked");
    let text = audit(demo().project.folder(), &["audit", "plain"]);
    assert!(text.out.contains("reached L3") && text.out.contains("its author was not checked"), "{}", text.out);
}

#[test]
fn signatures_are_checked_with_the_given_key() {
    let demo = demo();
    let (code, report) = demo.copy("signed").audit_signed();
    assert_eq!((code, report["level"].as_str()), (0, Some("L3")), "{report:#}");
    assert_eq!(outcome(&report, "model.sig"), "passed");
    assert_eq!(outcome(&report, "provenance/statement.dsse.json"), "passed");
    let (code, report) = demo.copy("signed").audit(&["--key", demo.key("other.pub").to_str().unwrap()]);
    assert_eq!((code, report["level"].as_str()), (1, Some("L0")), "{report:#}");
    let (code, report) = demo.copy("plain").audit(&["--key", demo.key("key.pub").to_str().unwrap()]);
    assert_eq!((code, outcome(&report, "signature")), (1, "failed"), "{report:#}");
}

#[test]
fn replaying_every_stage_gives_the_same_bytes() {
    // The published configuration generates the images, so no others are needed.
    let (code, report) = demo().copy("plain").audit(&["--replay", "all"]);
    assert_eq!((code, report["level"].as_str()), (0, Some("L5")), "{report:#}");
    for stage in Stage::ALL.iter().map(|stage| stage.name()) {
        assert_eq!(outcome(&report, &format!("{stage} again")), "passed", "{report:#}");
    }
}

#[test]
fn a_replay_requires_the_original_images() {
    let demo = demo();
    let images = demo.project.folder().join("images");
    let copy = demo.copy("plain");
    let (code, report) = copy.audit(&["--replay", "test", "--data", images.to_str().unwrap()]);
    assert_eq!((code, report["level"].as_str()), (0, Some("L4")), "{report:#}");
    let (code, report) = copy.audit(&["--replay", "test", "--data", images.to_str().unwrap(), "--set", "threads=2"]);
    assert_eq!((code, report["level"].as_str()), (0, Some("L4")), "{report:#}");
    let checks = report["checks"].as_array().unwrap();
    let test = checks.iter().find(|check| check["what"] == "test again").unwrap();
    assert!(test["why"].as_str().unwrap().contains("other threads"), "{test}");
    let (code, report) = copy.audit(&["--replay", "test", "--set", "seed=3"]);
    assert_eq!((code, outcome(&report, "test again")), (2, "not_checked"), "{report:#}");

    let others = Project::new(Worker::Real);
    others.run_ok(&["run", "split", "--set", "data.generate.seed=1"]);
    let images = others.folder().join("images");
    let (code, report) = copy.audit(&["--replay", "test", "--data", images.to_str().unwrap()]);
    assert_eq!((code, report["verdict"].as_str(), report["level"].as_str()), (2, Some("unchecked"), Some("L3")));
    assert_eq!(outcome(&report, "test again"), "not_checked");
    let (code, report) = copy.audit(&["--replay", "test", "--data", "/nowhere"]);
    assert_eq!((code, report["verdict"].as_str()), (2, Some("unchecked")), "{report:#}");
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    let project = &demo().project;
    project.run_ok(&["publish", "latest", "--out", "again"]);
    project.run_ok(&["publish", "1/test", "--out", "again-signed", "--sign-key", "key.pem"]);
    for (one, other) in [("plain", "again"), ("signed", "again-signed")] {
        let (one, other) = (contents(&project.folder().join(one)), contents(&project.folder().join(other)));
        assert!(one == other, "{:?}", one.keys().find(|name| one.get(*name) != other.get(*name)));
    }
}

#[test]
fn a_publication_contains_no_host_user_or_path() {
    let project = &demo().project;
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let secrets = [project.folder().to_str().unwrap(), env!("CARGO_MANIFEST_DIR"), host.trim(), "PRIVATE KEY"];
    for (name, bytes) in contents(&project.folder().join("signed")) {
        let text = String::from_utf8_lossy(&bytes);
        // Shorter names occur in many texts by chance.
        for secret in secrets.into_iter().filter(|secret| secret.len() > 4) {
            assert!(!text.contains(secret), "{name} contains {secret}");
        }
        assert!(!text.contains("/home/") && !text.contains("/root/"), "{name} contains a home folder");
    }
}

#[test]
fn the_published_configuration_gives_the_same_keys() {
    let project = &demo().project;
    let images = format!("data.root={}", project.folder().join("images").display());
    let arguments = ["--config", "plain/configuration.json", "--store", ".tfnas", "--set", &images];
    let digests = project.digests(&arguments);
    assert_eq!(digests, project.digests(&[]));
}

#[test]
fn a_single_weights_file_is_identified_in_the_store() {
    let project = &demo().project;
    let arguments = ["audit", "plain/weights.safetensors", "--json", "--store", ".tfnas"];
    let ended = project.run_ok(&arguments);
    let report: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((outcome(&report, "ledger"), outcome(&report, "network")), ("passed", "not_checked"));
    assert_eq!(outcome(&report, "origin"), "not_checked");
    let ended = project.run_ok(&[&arguments[..], &["--config", "plain/model.config"]].concat());
    let report: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(outcome(&report, "network"), "passed");
}

#[test]
fn the_run_of_a_check_is_not_the_latest_run_to_publish() {
    let project = &demo().project;
    project.run_ok(&["check", "split"]);
    project.run_ok(&["publish", "latest", "--out", "after-check"]);
    let (one, other) = (contents(&project.folder().join("plain")), contents(&project.folder().join("after-check")));
    assert!(one == other);
}

/// Replaces the latencies of the project's table by those of a device that is 10,000 times as slow.
fn slow_down(project: &Project) {
    let path = project.folder().join("latency.table");
    let table = LatencyTable::parse(&fs::read_to_string(&path).unwrap()).unwrap();
    let slow = table.curves().iter().map(|(key, curve)| {
        let knots = curve.knots().iter().map(|knot| Knot { ms: 1e4 * knot.ms, ..*knot });
        (*key, LatencyCurve::new(knots.collect()).unwrap())
    });
    let slow = LatencyTable::new(table.header().clone(), 1e4 * table.base_ms(), slow.collect()).unwrap();
    fs::write(path, slow.to_text()).unwrap();
}

#[test]
fn a_network_that_a_measurement_corrected_is_published_and_audited() {
    // Every network exceeds 10 % at its largest widths. A published search of only warm-up epochs keeps its initial
    // widths, which are not the largest.
    let exact = ["search.fit=exact", "search.target_lat_ms=10%"];
    let published = ["search.fit=published", "search.target_lat_ms=100%", "search.warmup_epochs=3"];
    for fit in [&exact[..], &published] {
        let project = Project::new(Worker::Real);
        // This machine is so fast that every correction asks for a slower network, up to that of the largest widths.
        slow_down(&project);
        let sets = [&["search.verify=measured", "select.candidates=0"], fit].concat();
        let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
        project.run_ok(&[&["run", "all"], &sets[..]].concat());
        project.run_ok(&[&["publish", "latest", "--out", "published"], &sets[..]].concat());
        let ended = audit(project.folder(), &["audit", "published", "--json", "--replay", "all"]);
        let report: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!((ended.code, report["verdict"].as_str()), (Some(0), Some("ok")), "{fit:?}: {report:#}");
        assert_eq!(outcome(&report, "correction of the network"), "not_checked");
        assert_eq!(outcome(&report, "parse again"), "not_checked");
        for what in ["model.config", "architecture.json", "search/history.json", "metrics/parse.json", "train again"] {
            assert_eq!(outcome(&report, what), "passed", "{fit:?}: {report:#}");
        }
    }
}

#[test]
fn other_programs_verify_signatures_and_statement() {
    let Some(python) = std::env::var_os("TFNAS_ATTESTATIONS_PYTHON") else {
        println!("SKIPPED: TFNAS_ATTESTATIONS_PYTHON is not set (ci/attestations/run sets it)");
        return;
    };
    let folder = demo().project.folder();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&python);
        let output = command.args(arguments).current_dir(folder).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let verify = |key: &str| {
        let verb = ["-m", "model_signing", "verify", "key", "signed"];
        run(&[&verb[..], &["--signature", "signed/model.sig", "--public_key", key]].concat())
    };
    let (verified, text) = verify("key.pub");
    assert!(verified, "{text}");
    assert!(!verify("other.pub").0);
    let verifiers = concat!(env!("CARGO_MANIFEST_DIR"), "/ci/attestations/verifiers.py");
    let (verified, text) = run(&[verifiers, "verify-envelope", "signed/provenance/statement.dsse.json", "key.pub"]);
    assert!(verified && text == fs::read_to_string(folder.join("signed/provenance/statement.json")).unwrap(), "{text}");
    let (read, text) = run(&[verifiers, "check-provenance", "signed/provenance/statement.json"]);
    assert!(read, "{text}");
}

#[test]
fn one_network_of_a_matrix_is_published() {
    let project = Project::new(Worker::Real);
    project.run_ok(&["run", "all", "--set", "search.target_lat_ms=[50%, 90%]"]);
    let ended = project.run(&["publish", "latest", "--out", "published"]);
    assert!(ended.code == Some(2) && ended.err.contains("1/test@90%"), "{}", ended.err);
    project.run_ok(&["publish", "test@90%", "--out", "published"]);
    let configuration = fs::read_to_string(project.folder().join("published/configuration.json")).unwrap();
    assert!(configuration.contains("\"target_lat_ms\": \"90%\""), "{configuration}");
    let ended = project.run_ok(&["audit", "published"]);
    assert!(ended.out.contains("ok, reached L3"), "{}", ended.out);
}

#[test]
fn a_run_on_list_files_with_held_out_images_is_published_and_replayed() {
    let project = Project::new(Worker::Real);
    project.run_ok(&["run", "split"]);
    let images = project.folder().join("images");
    let names = |folder: &std::path::Path| {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.collect();
        names.sort();
        names
    };
    for part in ["train", "test"] {
        let mut list = String::new();
        for (label, class) in names(&images.join(part)).iter().enumerate() {
            for image in names(&images.join(part).join(class)) {
                list.push_str(&format!("{part}/{class}/{image} {label}\n"));
            }
        }
        fs::write(images.join(format!("{part}.list")), list).unwrap();
    }
    let lists = ["data.train=train.list", "data.test=test.list", "data.generate=", "train.protocol=held_out"];
    let sets: Vec<&str> = lists.iter().flat_map(|set| ["--set", set]).collect();
    project.run_ok(&[&["run", "all"], &sets[..]].concat());
    project.run_ok(&[&["publish", "latest", "--out", "published"], &sets[..]].concat());
    let card = fs::read_to_string(project.folder().join("published/README.md")).unwrap();
    assert!(card.contains("held-out"), "{card}");
    // Without images a replay is impossible, because this set was not generated.
    assert_eq!(project.run(&["audit", "published", "--replay", "test"]).code, Some(2));
    let ended = project.run_ok(&["audit", "published", "--replay", "all", "--data", "images"]);
    assert!(ended.out.contains("ok, reached L5"), "{}", ended.out);

    // Adds a test image to the training images under another name.
    let copied = names(&images.join("test")).remove(0);
    let image = names(&images.join("test").join(&copied)).remove(0);
    fs::copy(images.join("test").join(&copied).join(&image), images.join("train").join(&copied).join("copied.png"))
        .unwrap();
    let list = fs::read_to_string(images.join("train.list")).unwrap();
    fs::write(images.join("train.list"), format!("{list}train/{copied}/copied.png 0\n")).unwrap();
    let ended = project.run(&[&["publish", "latest", "--out", "again"], &sets[..]].concat());
    assert!(ended.code == Some(2) && ended.err.contains("differ from those of the run"), "{}", ended.err);
    let ended = project.run(&[&["run", "all"], &sets[..]].concat());
    assert!(ended.code == Some(2) && ended.err.contains("1 of 20 test images have the same content"), "{}", ended.err);
    project.run_ok(&[&["run", "all", "--set", "data.allow_overlap=true"], &sets[..]].concat());
    let ended = project.run(&[&["publish", "latest", "--out", "again"], &sets[..]].concat());
    assert!(ended.code == Some(2) && ended.err.contains("share images: 1 by content, 0 by name"), "{}", ended.err);
    project.run_ok(&[&["publish", "latest", "--out", "again", "--allow-overlap"], &sets[..]].concat());
    let ended = project.run_ok(&["audit", "again"]);
    assert!(ended.out.contains("images are in two lists"), "{}", ended.out);
}
