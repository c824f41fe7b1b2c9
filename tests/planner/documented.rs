//! The documentation names only existing commands, keys and flags, and its commands run.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::project::{Project, STAGES};

const FROM_THE_ORIGINAL: &str = include_str!("../../docs/coming-from/the-original.md");
const CLUSTERS: &str = include_str!("../../docs/how-to/slurm.md");
const REFERENCE: &str = include_str!("../../docs/reference/overview.md");
const README: &str = include_str!("../../README.md");
const EVERYDAY: &str = include_str!("../../docs/how-to/everyday.md");
const IMAGES: &str = include_str!("../../docs/how-to/images.md");
const JSON: &str = include_str!("../../docs/reference/json.md");
const SPACES: &str = include_str!("../../docs/reference/search-space.md");
const CACHE_KEYS: &str = include_str!("../../docs/explanation/cache-keys.md");

/// Flags of the authors' scripts, by the heading of the section that describes them.
const FLAGS: [(&str, &[&str]); 4] = [
    (
        "train_search.py",
        &[
            "img_root",
            "train_list",
            "val_list",
            "lookup_path",
            "save",
            "print_freq",
            "workers",
            "epochs",
            "batch_size",
            "w_lr",
            "w_mom",
            "w_wd",
            "a_lr",
            "a_wd",
            "a_beta1",
            "a_beta2",
            "grad_clip",
            "T",
            "T_decay",
            "num_classes",
            "seed",
            "note",
            "lambda_lat",
            "target_lat",
        ],
    ),
    ("parsing_model.py", &["model_path", "save_path", "lookup_path", "print_lat"]),
    (
        "train_eval.py and train_eval_amp.py",
        &[
            "train_root",
            "val_root",
            "train_list",
            "val_list",
            "model_path",
            "config_path",
            "save",
            "snapshot",
            "print_freq",
            "workers",
            "epochs",
            "batch_size",
            "lr",
            "momentum",
            "weight_decay",
            "grad_clip",
            "label_smooth",
            "num_classes",
            "dropout_rate",
            "drop_connect_rate",
            "local_rank",
            "sync_bn",
            "opt_level",
            "keep_batchnorm_fp32",
            "loss_scale",
            "channels_last",
            "seed",
            "note",
        ],
    ),
    (
        "test.py",
        &["val_root", "val_list", "model_path", "config_path", "weights", "workers", "batch_size", "num_classes"],
    ),
];

/// Returns the rows of the table under a heading: the texts of its two columns.
fn rows(heading: &str) -> Vec<(String, String)> {
    let title = format!("## {heading}\n");
    let section = FROM_THE_ORIGINAL.split_once(&title).unwrap().1;
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.split_once(" | "));
    rows.map(|(flags, here)| (format!("`{flags}"), here.to_owned())).collect()
}

/// Returns the texts between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Returns whether a schema has this key, with dots between the names.
fn has_key(schema: &Value, key: &str) -> bool {
    let mut at = schema;
    for name in key.split('.') {
        if let Some(definition) = at.get("$ref").and_then(Value::as_str) {
            at = schema.pointer(definition.trim_start_matches('#')).unwrap();
        }
        match at.get("properties").and_then(|properties| properties.get(name)) {
            Some(property) => at = property,
            None => return false,
        }
    }
    true
}

#[test]
fn every_flag_of_the_authors_scripts_is_documented_once() {
    for (heading, flags) in FLAGS {
        let rows = rows(heading);
        let documented: Vec<&str> = rows.iter().flat_map(|(flags, _)| quoted(flags)).collect();
        let flags: BTreeSet<String> = flags.iter().map(|flag| format!("--{flag}")).collect();
        assert_eq!(documented.iter().map(|flag| (*flag).to_owned()).collect::<BTreeSet<_>>(), flags, "{heading}");
        assert_eq!(documented.len(), flags.len(), "{heading}: a flag is documented twice");
    }
}

#[test]
fn every_documented_replacement_key_is_in_the_schema() {
    let schema: Value = serde_json::from_str(&Project::new().run_ok(&["config", "--schema"]).out).unwrap();
    let sections = schema["properties"].as_object().unwrap();
    let mut keys = 0;
    for (heading, _) in FLAGS {
        for (flags, here) in rows(heading) {
            for key in quoted(&here).filter(|text| sections.contains_key(text.split('.').next().unwrap())) {
                assert!(has_key(&schema, key), "{heading}: {flags}: {key}");
                keys += 1;
            }
        }
    }
    assert!(keys > 40, "{keys}");
}

#[test]
fn every_cluster_key_is_documented() {
    let schema: Value = serde_json::from_str(&Project::new().run_ok(&["config", "--schema"]).out).unwrap();
    let table = CLUSTERS.split_once("| key | meaning | default |\n").unwrap().1;
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let documented: BTreeSet<&str> = rows.flat_map(|row| quoted(row.split(" | ").next().unwrap())).collect();
    let keys = schema["$defs"]["SlurmSection"]["properties"].as_object().unwrap().keys();
    assert_eq!(documented, keys.map(String::as_str).filter(|key| *key != "stages").collect::<BTreeSet<_>>());
}

/// Returns the section of a page under a heading, up to the next heading of the same level.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let marks = heading.split(' ').next().unwrap();
    let rest = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading `{heading}`")).1;
    rest.split(&format!("\n{marks} ")).next().unwrap()
}

#[test]
fn the_reference_has_a_row_for_every_command() {
    let help = Project::new().run_ok(&["--help"]).out;
    let listed = help.split_once("Commands:\n").unwrap().1.split("\n\n").next().unwrap();
    let words = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
    let listed: BTreeSet<String> = listed.lines().filter(|line| line.starts_with("  ")).map(words).collect();
    let listed: BTreeSet<String> = listed.into_iter().filter(|name| !name.is_empty() && name != "help").collect();
    let table = REFERENCE.split_once("| command | what it does |\n").unwrap().1;
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let documented: BTreeSet<String> = rows.map(|row| words(row.trim_start_matches("| `"))).collect();
    let documented: BTreeSet<String> = documented.iter().map(|name| name.trim_end_matches('`').to_owned()).collect();
    assert_eq!(documented, listed);
}

#[test]
fn every_everyday_command_runs() {
    let project = Project::new();
    let block = EVERYDAY.split_once("```sh\n").unwrap().1.split("```").next().unwrap();
    let lines = block.lines().map(|line| line.strip_prefix("tfnas-pipeline ").unwrap());
    let commands: Vec<Vec<&str>> =
        lines.map(|line| line.split('#').next().unwrap().split_whitespace().collect()).collect();
    assert!(commands.len() > 6, "{commands:?}");
    for arguments in &commands {
        project.run_ok(arguments);
    }
}

#[test]
fn every_field_of_a_cache_key_is_documented() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    let run = project.json(&["show", "latest"]);
    assert_eq!(run["made"].as_array().unwrap().len(), STAGES.len());
    check_cache_keys(&run);
    // Parameters that are left out of the key while they have their default.
    let changed = [
        "data.exif_orientation=apply",
        "data.decode=fast",
        "data.color_jitter=device",
        "search.precision=bf16",
        "train.precision=bf16",
        "test.precision=bf16",
        "select.candidates=4",
        "select.rungs=[1]",
        "select.keep=[]",
        "select.rules=1",
        "split.per_class=2",
    ];
    let sets = changed.iter().flat_map(|set| ["--set", set]);
    project.run_ok(&["run", "all"].into_iter().chain(sets).collect::<Vec<_>>());
    let run = project.json(&["show", "latest"]);
    assert!(run["made"].as_array().unwrap().iter().any(|attempt| attempt["stage"] == "select"));
    check_cache_keys(&run);
}

/// Checks that the page about cache keys names every field of the attempts of a run.
fn check_cache_keys(run: &serde_json::Value) {
    for attempt in run["made"].as_array().unwrap() {
        let stage = attempt["stage"].as_str().unwrap();
        let manifest = &attempt["manifest"];
        let text = section(CACHE_KEYS, &format!("### {stage}"));
        assert!(text.contains(&format!("Revision {}.", manifest["revision"])), "{stage}: {}", manifest["revision"]);
        let quoted: BTreeSet<&str> = quoted(text).collect();
        // A configuration section is named without its keys if all of them are in the cache key.
        let named = |name: &str| quoted.iter().any(|word| name == *word || name.starts_with(&format!("{word}.")));
        for parameter in manifest["parameters"].as_object().unwrap().keys() {
            assert!(named(parameter), "{stage}: parameter {parameter}");
        }
        let classes = |port: &str| text.contains("class names") && port.ends_with("classes.txt");
        for port in manifest["inputs"].as_object().unwrap().keys() {
            assert!(quoted.contains(port.as_str()) || classes(port), "{stage}: input {port}");
        }
        for fact in manifest["environment"].as_object().unwrap().keys() {
            assert!(quoted.contains(fact.as_str()), "{stage}: environment {fact}");
        }
    }
}

#[test]
fn the_configurations_in_the_readme_and_the_book_are_valid() {
    let project = Project::new();
    let indented = section(README, "## Your own photos").lines().filter_map(|line| line.strip_prefix("    "));
    let fenced = section(IMAGES, "## Configuration").split_once("```yaml\n").unwrap().1.split("```").next().unwrap();
    for lines in [indented.collect::<Vec<_>>(), fenced.lines().collect()] {
        assert!(lines.len() >= 5, "{lines:?}");
        project.write("documented.yaml", &lines.join("\n"));
        project.run_ok(&["config", "--config", "documented.yaml"]);
    }
}

#[test]
fn every_field_of_a_search_space_is_documented() {
    let project = Project::new();
    let effective = project.json(&["config", "--set", "space={base: small, width_step: 2}"]);
    let mut values = vec![&effective["space"]];
    let mut fields = 0;
    while let Some(value) = values.pop() {
        match value {
            Value::Object(map) => {
                for (name, value) in map {
                    let documented = SPACES.contains(&format!("`{name}`")) || SPACES.contains(&format!("[].{name}`"));
                    assert!(documented, "{name}");
                    fields += 1;
                    values.push(value);
                }
            }
            Value::Array(entries) => values.extend(entries),
            _ => {}
        }
    }
    assert!(fields > 20, "{effective}");
}

/// Adds the names of all fields of a JSON value, but not those inside of values whose names depend on the configuration.
fn fields(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                names.insert(name.clone());
                if !["parameters", "environment", "configuration", "metrics", "manifest"].contains(&name.as_str()) {
                    fields(value, names);
                }
            }
        }
        Value::Array(entries) => entries.iter().for_each(|entry| fields(entry, names)),
        _ => {}
    }
}

#[test]
fn every_field_of_json_output_is_documented() {
    let project = Project::new();
    project.run_ok(&["run", "all", "--name", "first", "--note", "a note"]);
    std::fs::create_dir(project.path("remote")).unwrap();
    let remote = format!("file://{}", project.path("remote").display());
    let attempt = project.json(&["show", "latest"])["made"][0]["id"].as_str().unwrap().to_owned();
    let artifact = project.json(&["status"])["stages"][0]["outputs"][0]["digest"].as_str().unwrap().to_owned();
    let commands: [&[&str]; 16] = [
        &["plan", "--set", "seed=9"],
        &["status"],
        &["status", "--locked", "--set", "seed=9"],
        &["explain", "search", "--set", "seed=9"],
        &["log"],
        &["note", "first", "another"],
        &["show", "latest"],
        &["show", &attempt],
        &["show", &artifact],
        &["gc", "--dry-run", "--max-size", "1G"],
        &["keys", "generate", "--out", "key"],
        &["keys", "show", "key"],
        &["cache", "push", "--remote", &remote],
        &["cache", "pull", "--remote", &remote],
        &["cache", "pin", "first"],
        &["cache", "verify"],
    ];
    for arguments in commands {
        let code = i32::from(arguments.contains(&"--locked"));
        let mut names = BTreeSet::new();
        fields(&project.json_of(arguments, code), &mut names);
        let documented = |name: &&String| JSON.contains(&format!("\"{name}\"")) || JSON.contains(&format!("`{name}`"));
        let missing: Vec<_> = names.iter().filter(|name| !documented(name)).collect();
        assert!(missing.is_empty(), "{arguments:?}: {missing:?}");
    }
}
