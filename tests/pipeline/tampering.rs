//! Tampered publications: the audit detects each change and names it.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::Value;
use tfnas_random::{Stream, StreamId};
use tfnas_stages::Stage;

use crate::published::{assert_found, demo, outcome};

/// Number of changed bytes; `TFNAS_TAMPERINGS` overrides it.
const CHANGES: u32 = 100;

#[test]
fn a_change_of_any_byte_of_any_file_is_found() {
    let changes = std::env::var("TFNAS_TAMPERINGS").map_or(CHANGES, |count| count.parse().unwrap());
    let copy = demo().copy("signed");
    let files = copy.files();
    for change in 0..changes {
        let mut stream = Stream::new(7, StreamId::Shuffle, change, 0);
        // Files take turns, so that small ones are changed as often as large ones.
        let name = &files[change as usize % files.len()];
        let original = fs::read(copy.path(name)).unwrap();
        let mut changed = original.clone();
        let at = stream.below(original.len() as u64) as usize;
        changed[at] ^= 1 << stream.below(8);
        fs::write(copy.path(name), changed).unwrap();
        assert_found(copy.audit_signed(), name);
        fs::write(copy.path(name), original).unwrap();
    }
    assert_eq!(copy.audit_signed().0, 0);
}

#[test]
fn a_hostile_publication_is_rejected_without_a_crash() {
    let copy = demo().copy("plain");
    let files: Vec<String> = copy
        .files()
        .into_iter()
        .filter(|name| !["manifest.json", "provenance/statement.json"].contains(&name.as_str()))
        .collect();
    for change in 0..CHANGES {
        let mut stream = Stream::new(8, StreamId::Shuffle, change, 0);
        let name = &files[change as usize % files.len()];
        let original = fs::read(copy.path(name)).unwrap();
        let mut changed = original.clone();
        let at = stream.below(original.len() as u64) as usize;
        match stream.below(3) {
            0 => changed[at] = stream.next_u32() as u8,
            1 => changed.truncate(at),
            _ => changed.splice(at..at, b"99999999999".iter().copied()).for_each(drop),
        }
        fs::write(copy.path(name), changed).unwrap();
        copy.remake();
        // Facts that no other file contains, such as those of the environment, can be forged without a signature.
        let (code, report) = copy.audit(&[]);
        assert!(matches!(code, 0 | 1), "{name}: {report:#}");
        fs::write(copy.path(name), original).unwrap();
    }
}

#[test]
fn changes_are_found_without_a_key_except_in_signatures() {
    let copy = demo().copy("plain");
    for name in copy.files() {
        let original = fs::read(copy.path(&name)).unwrap();
        let mut changed = original.clone();
        let at = changed.len() / 2;
        changed[at] ^= 1;
        fs::write(copy.path(&name), changed).unwrap();
        assert_found(copy.audit(&[]), &name);
        fs::write(copy.path(&name), original).unwrap();
    }
}

#[test]
fn removed_renamed_and_swapped_files_are_found() {
    let copy = demo().copy("signed");
    let files = copy.files();
    for (index, name) in files.iter().enumerate() {
        let moved = copy.path("").with_file_name("moved");
        fs::rename(copy.path(name), &moved).unwrap();
        assert_found(copy.audit_signed(), name);
        fs::rename(&moved, copy.path("renamed")).unwrap();
        assert_found(copy.audit_signed(), name);
        assert_found(copy.audit_signed(), if name == "manifest.json" { name } else { "renamed" });
        fs::rename(copy.path("renamed"), copy.path(name)).unwrap();

        // Two files with equal bytes can be swapped.
        let bytes = |name: &String| fs::read(copy.path(name)).unwrap();
        let others = files.iter().cycle().skip(index + 1);
        let other = others.take(files.len()).find(|other| bytes(other) != bytes(name)).unwrap();
        let swap = || {
            fs::rename(copy.path(name), &moved).unwrap();
            fs::rename(copy.path(other), copy.path(name)).unwrap();
            fs::rename(&moved, copy.path(other)).unwrap();
        };
        swap();
        // Without a valid manifest no other file can be checked.
        let named = if other == "manifest.json" { other } else { name };
        assert_found(copy.audit_signed(), named);
        swap();
    }
    assert_eq!(copy.audit_signed().0, 0);
}

#[test]
fn additional_files_folders_and_links_are_found() {
    let copy = demo().copy("signed");
    for name in ["extra", "lists/extra", ".hidden", "provenance/more.json"] {
        fs::write(copy.path(name), "x").unwrap();
        assert_found(copy.audit_signed(), name);
        fs::remove_file(copy.path(name)).unwrap();
    }
    fs::create_dir(copy.path("empty")).unwrap();
    assert_found(copy.audit_signed(), "empty");
    fs::remove_dir(copy.path("empty")).unwrap();

    assert!(Command::new("mkfifo").arg(copy.path("pipe")).status().unwrap().success());
    assert_found(copy.audit_signed(), "pipe");
    fs::remove_file(copy.path("pipe")).unwrap();

    let outside = copy.path("").with_file_name("outside");
    fs::rename(copy.path("model.config"), &outside).unwrap();
    symlink(&outside, copy.path("model.config")).unwrap();
    assert_found(copy.audit_signed(), "model.config");
    fs::remove_file(copy.path("model.config")).unwrap();
    fs::rename(&outside, copy.path("model.config")).unwrap();

    fs::rename(copy.path("lists"), &outside).unwrap();
    symlink(&outside, copy.path("lists")).unwrap();
    assert_found(copy.audit_signed(), "lists");
}

#[test]
fn a_forged_digest_in_the_lineage_is_found() {
    let copy = demo().copy("plain");
    let mut forged = 0;
    for stage in Stage::ALL.iter().map(|stage| stage.name()) {
        let name = format!("provenance/{stage}.json");
        let original = copy.json(&name);
        for pointer in digests(&original, String::new()) {
            let mut value = original.clone();
            let place = value.pointer_mut(&pointer).unwrap();
            let digest = place.as_str().unwrap().to_owned();
            let other = if digest.starts_with('0') { "1" } else { "0" };
            *place = Value::from(format!("{other}{}", &digest[1..]));
            copy.forge(&name, &value);
            let (code, report) = copy.audit(&[]);
            assert_eq!(code, 1, "{name}{pointer}: {report:#}");
            forged += 1;
        }
        copy.forge(&name, &original);
    }
    assert!(forged > 50, "{forged}");
    assert_eq!(copy.audit(&[]).0, 0);
}

/// Returns the JSON pointers of all digests in a record, except those of the environment, which no other file contains.
fn digests(value: &Value, at: String) -> Vec<String> {
    match value {
        Value::String(text) if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => vec![at],
        Value::Array(list) => {
            list.iter().enumerate().flat_map(|(index, value)| digests(value, format!("{at}/{index}"))).collect()
        }
        Value::Object(map) => map
            .iter()
            .filter(|(name, _)| !["environment", "metrics"].contains(&name.as_str()))
            .flat_map(|(name, value)| digests(value, format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))))
            .collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_forged_fact_is_found_despite_a_matching_manifest() {
    let forgeries: [(&str, &str, Value); 14] = [
        ("metrics/test.json", "/top1", Value::from(0.999)),
        ("provenance/test.json", "/metrics/top1", Value::from(0.999)),
        ("architecture.json", "/parameters", Value::from(1)),
        ("architecture.json", "/predicted_lat_ms", Value::from(0.1)),
        ("architecture.json", "/blocks/0/flops", Value::from(1)),
        ("metrics/parse.json", "/predicted_lat_ms", Value::from(0.1)),
        ("data.json", "/test_images_looked_at/training_epochs", Value::from(0)),
        ("data.json", "/overlaps/0/by_content", Value::from(7)),
        ("configuration.json", "/seed", Value::from(9)),
        ("metrics/parse.json", "/measured_lat_ms", Value::from(0.01)),
        ("search/history.json", "/0/after_lat_ms", Value::from(0.01)),
        ("search/history.json", "/2/operations/0/0", Value::from(0.9999)),
        ("metrics/test.json", "/confusion/largest/0/images", Value::from(1000)),
        ("metrics/test.json", "/classes/0/precision", Value::from(0.123)),
    ];
    for (name, pointer, forged) in forgeries {
        let copy = demo().copy("plain");
        let mut value = copy.json(name);
        *value.pointer_mut(pointer).unwrap() = forged;
        copy.forge(name, &value);
        let (code, report) = copy.audit(&[]);
        assert_eq!((code, report["verdict"].as_str()), (1, Some("tampered")), "{name}{pointer}: {report:#}");
        assert_found((code, report), name.rsplit('/').next().unwrap().split('.').next().unwrap());
    }
}

#[test]
fn a_forged_block_is_found_despite_a_matching_record() {
    let copy = demo().copy("plain");
    let original = copy.json("architecture.json");
    let forge = |pointer: &str, forged: Value| {
        let mut value = original.clone();
        *value.pointer_mut(pointer).unwrap() = forged;
        let text = format!("{}\n", serde_json::to_string_pretty(&value).unwrap());
        copy.forge_output("parse", "architecture.json", "architecture.json", text.as_bytes());
        copy.audit(&[])
    };
    let forgeries = [
        ("/blocks/0/flops", Value::from(1)),
        ("/blocks/0/parameters", Value::from(1)),
        ("/blocks/0/lat_ms", Value::from(0.0001)),
        ("/blocks/0/operation", Value::from("k7_e1")),
        ("/blocks", Value::from(Vec::<Value>::new())),
    ];
    for (pointer, forged) in forgeries {
        let (code, report) = forge(pointer, forged);
        assert_eq!((code, outcome(&report, "architecture.json")), (1, "failed"), "{pointer}: {report:#}");
        assert_eq!(outcome(&report, "provenance/parse.json"), "passed", "{pointer}: {report:#}");
    }
}

#[test]
fn a_file_that_publish_does_not_write_is_found_despite_a_matching_manifest() {
    let copy = demo().copy("plain");
    assert_eq!(outcome(&copy.audit(&[]).1, "file names"), "passed");
    copy.add("pytorch_model.bin", b"\x80\x02.");
    let (code, report) = copy.audit(&[]);
    assert_eq!((code, outcome(&report, "files"), outcome(&report, "subjects")), (1, "passed", "passed"), "{report:#}");
    assert_eq!(outcome(&report, "file names"), "failed", "{report:#}");
    assert_found((code, report), "pytorch_model.bin");
}

#[test]
fn the_numbers_of_a_card_by_another_version_are_checked() {
    let copy = demo().copy("plain");
    let mut record = copy.json("provenance/test.json");
    record["tool"] = Value::from("tfnas-pipeline 99.0.0");
    copy.forge("provenance/test.json", &record);
    assert_eq!(outcome(&copy.audit(&[]).1, "README.md"), "not_checked");
    let card = fs::read_to_string(copy.path("README.md")).unwrap();
    let line = card.lines().find(|line| line.starts_with("| top-1 |")).unwrap();
    fs::write(copy.path("README.md"), card.replace(line, "| top-1 | 99.00 % of 20 test images |")).unwrap();
    copy.remake();
    let (code, report) = copy.audit(&[]);
    assert_eq!((code, outcome(&report, "README.md")), (1, "failed"), "{report:#}");
}

#[test]
fn a_name_with_lines_of_its_own_is_found_in_the_card() {
    let copy = demo().copy("plain");
    let card = fs::read_to_string(copy.path("README.md")).unwrap();
    let name = card.lines().find_map(|line| line.strip_prefix("# ")).unwrap();
    let forged = format!("{name}\n\n| top-1 | 99.00 % |");
    let quoted = |name: &str| Value::from(name).to_string();
    let card = card.replace(&quoted(name), &quoted(&forged));
    fs::write(copy.path("README.md"), card.replace(&format!("\n# {name}\n"), &format!("\n# {forged}\n"))).unwrap();
    copy.remake();
    assert_found(copy.audit(&[]), "control characters");
}

#[test]
fn a_forged_prediction_is_found_despite_a_matching_manifest() {
    let copy = demo().copy("plain");
    let original = fs::read_to_string(copy.path("metrics/predictions.csv")).unwrap();
    let row = original.lines().nth(1).unwrap();
    let (fields, rank) = row.rsplit_once(',').unwrap();
    let fields: Vec<&str> = fields.split(',').collect();
    let other =
        format!("{},{},{},{},{},{},{}", "another.jpg", fields[1], fields[2], fields[3], fields[4], fields[5], rank);
    let better = format!("{},{},{},{},{},{},1", fields[0], fields[1], fields[1], fields[3], fields[4], fields[5]);
    let sure = format!("{},{},{},{},{},9.000000,{rank}", fields[0], fields[1], fields[2], fields[3], fields[4]);
    assert_ne!(better, row, "the first image of the test is a mistake");
    for forged in [other.as_str(), &better, &sure, "", "a,b"] {
        let text = match forged {
            "" => original.replace(&format!("{row}\n"), ""),
            forged => original.replace(row, forged),
        };
        fs::write(copy.path("metrics/predictions.csv"), text).unwrap();
        copy.remake();
        assert_found(copy.audit(&[]), "metrics/test.json");
    }
}

#[test]
fn a_forged_accuracy_in_the_model_card_is_found() {
    let copy = demo().copy("plain");
    let card = fs::read_to_string(copy.path("README.md")).unwrap();
    let line = card.lines().find(|line| line.starts_with("| top-1 |")).unwrap();
    fs::write(copy.path("README.md"), card.replace(line, "| top-1 | 99.00 % of 20 test images |")).unwrap();
    copy.remake();
    assert_found(copy.audit(&[]), "README.md");
    let line = card.lines().find(|line| line.trim_start().starts_with("value: ")).unwrap();
    fs::write(copy.path("README.md"), card.replace(line, "      value: 0.99")).unwrap();
    copy.remake();
    assert_found(copy.audit(&[]), "accuracy in the card");
}

#[test]
fn wrong_keys_and_old_signatures_are_found() {
    let demo = demo();
    demo.project.run_ok(&["publish", "latest", "--out", "by-another", "--sign-key", "other.pem"]);
    assert_found(demo.copy("by-another").audit_signed(), "model.sig");

    demo.project.run_ok(&["publish", "latest", "--out", "old", "--name", "old", "--sign-key", "key.pem"]);
    let copy = demo.copy("signed");
    let old = demo.copy("old");
    for name in ["model.sig", "provenance/statement.dsse.json"] {
        fs::copy(old.path(name), copy.path(name)).unwrap();
        assert_found(copy.audit_signed(), name);
    }

    // Everything that can be forged without the key.
    let copy = demo.copy("signed");
    let mut report = copy.json("metrics/test.json");
    report["loss"] = Value::from(0.25);
    copy.forge("metrics/test.json", &report);
    assert_found(copy.audit_signed(), "metrics/test.json");
}

#[test]
fn a_manifest_with_duplicate_or_outside_paths_is_rejected() {
    let copy = demo().copy("plain");
    let original = copy.json("manifest.json");
    let text = fs::read_to_string(copy.path("manifest.json")).unwrap();
    let write = |value: &Value| {
        fs::write(copy.path("manifest.json"), format!("{}\n", serde_json::to_string_pretty(value).unwrap())).unwrap();
    };
    let mut twice = original.clone();
    let first = twice["files"][0].clone();
    twice["files"].as_array_mut().unwrap().insert(0, first);
    write(&twice);
    assert_found(copy.audit(&[]), "is listed twice");
    for name in ["../outside", "/etc/passwd", "a/../../b"] {
        let mut outside = original.clone();
        outside["files"][0]["name"] = Value::from(name);
        write(&outside);
        assert_found(copy.audit(&[]), name);
    }
    fs::write(copy.path("manifest.json"), text.replacen("\"bytes\":", "\"bytes\": 1,\n      \"bytes\":", 1)).unwrap();
    assert_found(copy.audit(&[]), "duplicate field");
    fs::write(copy.path("manifest.json"), "{").unwrap();
    assert_found(copy.audit(&[]), "manifest.json");
}
