//! Invalid input: a single message names the problem, its location and a fix, and nothing is changed.

use std::fs;

use crate::project::Project;

/// Checks that a command fails with a single message that contains `words` and changes nothing.
fn assert_error(project: &Project, arguments: &[&str], words: &[&str]) {
    let ended = project.run(arguments);
    assert_eq!(ended.code, Some(2), "{arguments:?}: {}{}", ended.out, ended.err);
    for word in words {
        assert!(ended.err.contains(word), "`{word}` is missing from: {}", ended.err);
    }
    assert_eq!(ended.err.matches("error: ").count(), 1, "{}", ended.err);
    assert!(!ended.err.contains("panicked") && !ended.err.contains("backtrace"), "{}", ended.err);
    assert!(project.trace().is_empty(), "nothing was started");
    assert!(!project.path(".tfnas").exists(), "nothing was written");
}

#[test]
fn an_unknown_key_names_the_nearest_one() {
    let project = Project::new();
    project.edit("target_lat_ms", "target_lat");
    assert_error(
        &project,
        &["run", "all"],
        &["pipeline.yaml:14", "search.target_lat", "unknown key", "did you mean `target_lat_ms`"],
    );
    let project = Project::new();
    assert_error(
        &project,
        &["run", "all", "--set", "serch.epochs=3"],
        &["--set serch.epochs=3", "did you mean `search`"],
    );
    assert_error(&project, &["run", "all", "--set", "matrx.seed=[1]"], &["did you mean `matrix`"]);
    assert_error(&project, &["run", "all", "--set", "epochs"], &["expected key=value"]);
}

#[test]
fn wrong_types_and_invalid_values_name_their_line() {
    let project = Project::new();
    project.edit("epochs: 2\nselect", "epochs: many\nselect");
    assert_error(&project, &["run", "all"], &["pipeline.yaml:15", "search.epochs", "a whole number", "`many`"]);
    let project = Project::new();
    project.edit("train_share: 0.8", "train_share: 1.8");
    assert_error(&project, &["run", "all"], &["pipeline.yaml:10", "split.train_share", "1.8"]);
    assert_error(&Project::new(), &["run", "all", "--set", "device=tpu"], &["device", "cpu, cuda"]);
    assert_error(&Project::new(), &["run", "all", "--set", "device=cuda:7"], &["cuda:7", "--set device=cpu"]);
}

#[test]
fn invalid_yaml_names_its_line() {
    let project = Project::new();
    project.write("pipeline.yaml", "data:\n  root: [a\nspace: b\n");
    assert_error(&project, &["run", "all"], &["pipeline.yaml:3"]);
    project.write("pipeline.yaml", "data: {root: a}\nseed: 1\nseed: 2\n");
    assert_error(&project, &["run", "all"], &["pipeline.yaml:3", "seed"]);
    assert_error(&project, &["run", "all", "--config", "other.yaml"], &["other.yaml"]);
}

/// Internal terms of the YAML and JSON libraries, which do not help users.
const FOREIGN: [&str; 12] = [
    "DuplicateKeyPolicy",
    "Options",
    "configured policy",
    "invalid type",
    "missing field",
    "untagged enum",
    "serde",
    "Budget",
    "unexpected event",
    "did not match any variant",
    "visitor",
    "deserialize",
];

#[test]
fn unusual_yaml_gets_a_clear_message_with_its_line() {
    let deep = format!("data: {{root: a}}\nsearch: {}1{}\n", "[".repeat(5000), "]".repeat(5000));
    let deep_sections = format!("data: {{root: a}}\nsearch: {}1{}\n", "{a: ".repeat(5000), "}".repeat(5000));
    let mut bomb = "data: {root: a}\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(",");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let cases: [(&[u8], &[&str]); 25] = [
        (b"data: {root: a}\nseed: 1\nseed: 2\n", &["pipeline.yaml:3:", "`seed`", "twice"]),
        (b"data:\n  root: a\n  root: b\n", &["pipeline.yaml:3:", "`root`", "twice"]),
        (b"data:\n\troot: a\n", &["pipeline.yaml:2:", "tab"]),
        (b"data: {root: a}\nsearch:\n  lr: .nan\n", &["pipeline.yaml:3:", "`.nan`", "finite"]),
        (b"data: {root: a}\nseed: -.inf\n", &["pipeline.yaml:2:", "finite"]),
        (b"data: {root: a}\nseed: *no\n", &["pipeline.yaml:2:", "anchor"]),
        (b"data: &d {root: *d}\n", &["pipeline.yaml:1:", "anchor"]),
        (b"data: {root: a}\n---\nseed: 1\n", &["pipeline.yaml:", "document"]),
        (b"data: {root: a}\n? [a, b]\n: 1\n", &["pipeline.yaml:2:", "key must be text"]),
        (b"data: {root: a}\n? {a: b}\n: 1\n", &["pipeline.yaml:2:", "key must be text"]),
        (b"data: {root: a}\n~: 1\n", &["pipeline.yaml:2:"]),
        (b"data: {root: a}\n1: 1\n", &["pipeline.yaml:2:", "unknown key"]),
        (b"data: {root: \xff}\n", &["pipeline.yaml", "line 1", "UTF-8"]),
        (b"data: {root: a}\nspace: \xc3\n", &["pipeline.yaml", "line 2", "UTF-8"]),
        (b"", &["data", "missing"]),
        (b"\n# nothing\n", &["data", "missing"]),
        (b"just text\n", &["pipeline.yaml:1", "section of keys"]),
        (b"- a\n- b\n", &["pipeline.yaml:1", "section of keys"]),
        (b"data: {root: a}\nsplit: {train_share: [0.5, x]}\n", &["pipeline.yaml:2", "split.train_share"]),
        (b"data: {root: a}\ncache: {trust: [1, {a: b}]}\n", &["pipeline.yaml:2", "cache.trust[0]"]),
        (b"data: {root: a}\nseed: !!binary abc\n", &["pipeline.yaml:2"]),
        (b"data: {root: a}\nseed: 'open\n", &["pipeline.yaml:"]),
        (deep.as_bytes(), &["pipeline.yaml:2:", "too deeply"]),
        (deep_sections.as_bytes(), &["pipeline.yaml:2:", "too deeply"]),
        (bomb.as_bytes(), &["pipeline.yaml:", "too many"]),
    ];
    let project = Project::new();
    for (yaml, words) in cases {
        fs::write(project.path("pipeline.yaml"), yaml).unwrap();
        let ended = project.run(&["plan"]);
        let shown = String::from_utf8_lossy(&yaml[..yaml.len().min(80)]);
        println!("{shown:?} -> {}", ended.err);
        assert_error(&project, &["plan"], words);
        for foreign in FOREIGN {
            assert!(!ended.err.contains(foreign), "{shown:?}: {}", ended.err);
        }
    }
    fs::write(project.path("pipeline.yaml"), [b"\xef\xbb\xbf", crate::project::CONFIGURATION.as_bytes()].concat())
        .unwrap();
    project.run_ok(&["plan"]);
}

#[test]
fn the_wrong_line_is_shown_with_carets_below_the_place() {
    let start = "data: {root: images}\nspace: small\n";
    let long = format!("search: {{ # {}\n  epochs: 0}}\n", "x".repeat(900));
    let wide = format!("search: {{from: {}, epochs: many}}\n", "ä".repeat(400));
    let cases: &[(&str, &str, &str)] = &[
        ("search: {epochs: 0}\n", ":3:18: search.epochs: ", "  3 | search: {epochs: 0}\n    |                  ^\n"),
        ("search:\r\n  epochs: many\r\n", ":4:11: search.epochs: ", "  4 |   epochs: many\n    |           ^^^^\n"),
        ("train: {größe: 1}\n", ":3:9: train.größe: ", "  3 | train: {größe: 1}\n    |         ^^^^^\n"),
        (
            "split: {classes: 日本, per_class: x}\n",
            ":3:33: split.per_class: ",
            "日本, per_class: x}\n    |                                   ^\n",
        ),
        ("matrix: {train.epochs: [1, 0]}\n", ":3:28: train.epochs: ", "[1, 0]}\n    |                            ^\n"),
        (
            "matrix: {train.epoch: [1, 2]}\n",
            ":3:10: train.epoch: ",
            "  3 | matrix: {train.epoch: [1, 2]}\n    |          ^^^^^^^^^^^\n",
        ),
        (
            "train: &t {epochs: 0}\nsearch: *t\n",
            ":4:9: search.epochs: ",
            "^^ the alias of this value:\n  3 | train: &t {epochs: 0}\n    |                    ^\n",
        ),
        ("executor: slurm\n", ":3:11: device: ", "  3 | executor: slurm\n    |           ^^^^^\n"),
        ("slurm:\n  sbatch: [--x, y]\n", ":4:17: slurm.sbatch[1]: ", "[--x, y]\n    |                 ^\n"),
        (&long, ":4:11: search.epochs: ", "  4 |   epochs: 0}\n    |           ^\n"),
        (&wide, ":3:426: search.epochs: ", ", epochs: many}\n    |"),
    ];
    let project = Project::new();
    for mark in ["", "\u{feff}"] {
        for (text, place, excerpt) in cases {
            project.write("pipeline.yaml", &format!("{mark}{start}{text}"));
            assert_error(&project, &["plan"], &[&format!("error: pipeline.yaml{place}"), excerpt]);
            assert!(project.run(&["plan"]).err.lines().skip(1).all(|line| line.chars().count() < 200));
        }
    }
}

#[test]
fn a_key_of_another_section_is_suggested_there() {
    let project = Project::new();
    for (set, hint) in [
        ("target_lat_ms=3", "did you mean `search.target_lat_ms`?"),
        ("target-lat-ms=3", "did you mean `search.target_lat_ms`?"),
        ("epochs=3", "did you mean `search.epochs` or `train.epochs`?"),
        ("search.grad-clip=3", "did you mean `search.weights.grad_clip`, `search.architecture.grad_clip`"),
        ("train.EPOCHS=3", "did you mean `epochs`?"),
        ("banana=3", "known: data, space"),
    ] {
        assert_error(&project, &["plan", "--set", set], &[&format!("--set {set}: "), hint]);
    }
}

#[test]
fn values_on_the_command_line_get_the_same_messages() {
    let project = Project::new();
    for (set, words) in [
        ("search={epochs: 1, epochs: 2}", "`epochs` is given twice"),
        ("train.lr=.inf", "finite"),
        ("seed=*a", "anchor"),
    ] {
        assert_error(&project, &["plan", "--set", set], &["--set", words]);
    }
}

#[test]
fn other_yaml_files_get_the_same_messages() {
    let project = Project::new();
    project.write("my.yaml", "resolution: 32\nresolution: 64\n");
    assert_error(&project, &["plan", "--set", "space=my.yaml"], &["my.yaml:2:", "`resolution`", "twice"]);
    project.write("pipeline.lock", "version: 1\nversion: 1\nstages: {}\n");
    let ended = project.run(&["status", "--locked"]);
    assert!(ended.code == Some(2) && ended.err.contains("line 2: the key `version` is given twice"), "{}", ended.err);
    project.write("claims.yaml", "source: a\nsource: b\n");
    let ended = project.run(&["audit", "--claims", "claims.yaml"]);
    assert!(ended.code == Some(2) && ended.err.contains("claims.yaml:2:1: the key `source`"), "{}", ended.err);
    project.write("claims.yaml", "source: [1]\n");
    let ended = project.run(&["audit", "--claims", "claims.yaml"]);
    assert!(ended.code == Some(2) && ended.err.contains("claims.yaml:1:9: source: expected text"), "{}", ended.err);
}

#[test]
fn an_unknown_stage_names_the_nearest_one() {
    let project = Project::new();
    assert_error(&project, &["run", "serach"], &["no stage `serach`", "did you mean `search`"]);
    assert_error(&project, &["run", "all", "--force", "trian"], &["did you mean `train`"]);
    assert_error(&project, &["explain", "prase"], &["did you mean `parse`"]);
}

#[test]
fn an_invalid_space_names_its_field() {
    let project = Project::new();
    assert_error(&project, &["run", "all", "--set", "space=smal"], &["unknown space `smal`", "did you mean `small`"]);
    assert_error(&project, &["run", "all", "--set", "space=my.yaml"], &["my.yaml"]);
    project.write("my.yaml", "resolution: 32\nfirst_stem: {channels: 8, stride: 1, activation: relu}\nsecond_stem: {channels: 8, activation: relu}\n\
        operations: [{kernel: 4, expand: 3, max_expand: 4}]\ngroups: [{channels: 8, blocks: 1, stride: 2, activation: relu}]\n\
        feature_mix: {channels: 16, activation: relu}\n");
    assert_error(&project, &["run", "all", "--set", "space=my.yaml"], &["my.yaml:4", "operations[0].kernel", "odd"]);
}

#[test]
fn an_invalid_width_step_names_its_key() {
    let project = Project::new();
    for (set, words) in [
        ("space.width_step=37", ["space", "width_step is 37: operations[0]", "use a smaller step"]),
        ("space.width_step=0", ["space", "width_step is 0: it must be 1 to 64", "--set"]),
        ("space.width_step=wide", ["space.width_step", "wide", "--set"]),
        ("space={base: smal, width_step: 8}", ["unknown space `smal`", "did you mean `small`", "--set"]),
        ("space={base: small, width_steps: 8}", ["space.width_steps", "width_step", "--set"]),
        ("space={base: [small], width_step: 8}", ["space.base", "expected a name or a file", "--set"]),
        ("space={base: small.yaml, width_step: 8}", ["small.yaml", "space", "read"]),
        ("search.fit=close", ["search.fit", "exact", "published"]),
    ] {
        assert_error(&project, &["run", "all", "--set", set], &words);
    }
}

#[test]
fn missing_images_fail_before_anything_starts() {
    let project = Project::new();
    assert_error(
        &project,
        &["run", "all", "--set", "data.root=nowhere"],
        &["data.train", "nowhere/train", "does not exist"],
    );
    fs::remove_dir_all(project.path("images/val")).unwrap();
    assert_error(&project, &["run", "all"], &["data.test", "images/val"]);
    assert_error(&project, &["run", "all", "--set", "lookup.import=no.table"], &["lookup.import", "no.table"]);
}

#[test]
fn an_unreachable_target_is_rejected_before_the_search() {
    let project = Project::new();
    project.run_ok(&["run", "lookup"]);
    project.trace();
    let ended = project.run(&["run", "all", "--set", "search.target_lat_ms=900"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("900 ms cannot be reached") && ended.err.contains(" ms"), "{}", ended.err);
    assert!(project.trace().is_empty());
}

#[test]
fn a_table_for_another_space_is_rejected_before_the_run() {
    let project = Project::new();
    project.run_ok(&["run", "lookup", "--store", "other"]);
    project.trace();
    let status = project.json(&["status", "lookup", "--store", "other"]);
    let table = status["stages"][0]["outputs"][0]["path"].as_str().unwrap();
    let import = format!("lookup.import={table}");
    let arguments = ["run", "all", "--set", &import, "--set", "space=cifar", "--set", "search.target_lat_ms=10"];
    let ended = project.run(&arguments);
    assert!(ended.code == Some(2) && ended.err.contains("lacks"), "{}", ended.err);
    project.write("no.table", "hello");
    let ended = project.run(&["run", "all", "--set", "lookup.import=no.table"]);
    assert!(ended.code == Some(2) && ended.err.contains("no.table") && ended.err.contains("line 1"), "{}", ended.err);
}

#[test]
fn an_imported_table_of_another_device_is_rejected_by_default() {
    let project = Project::new();
    project.run_ok(&["run", "lookup", "--store", "other"]);
    let status = project.json(&["status", "lookup", "--store", "other"]);
    let table = fs::read_to_string(status["stages"][0]["outputs"][0]["path"].as_str().unwrap()).unwrap();
    let with = |entry: &str| {
        let kept: String =
            table.lines().filter(|line| !line.starts_with("device: ")).map(|line| format!("{line}\n")).collect();
        project.write("a.table", &kept.replace("unit: ms\n", &format!("unit: ms\n{entry}\n")));
    };
    let plan = ["run", "search", "--set", "lookup.import=a.table"];
    for (entry, words) in [
        ("device: NVIDIA Titan RTX", "it was measured on NVIDIA Titan RTX, and this device is "),
        ("batch: 32", "it was measured with batch 32, and lookup.batch is 1"),
        ("threads: 7", "it was measured with threads 7, and lookup.threads is 1"),
    ] {
        with(entry);
        let ended = project.run(&plan);
        assert!(ended.code == Some(2) && ended.err.contains(words), "{entry}: {}", ended.err);
        assert!(ended.err.contains("`lookup.other_device: true`"), "{}", ended.err);
        project.run_ok(&[&plan[..], &["--set", "lookup.other_device=true"]].concat());
    }
}

#[test]
fn a_list_with_missing_images_reports_their_number() {
    let project = Project::new();
    let text: String = (0..7).map(|image| format!("train/a/gone{image}.jpg 0\n")).collect();
    project.write("images/train.list", &text);
    let ended = project.run(&["run", "split", "--set", "data.train=train.list"]);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(
        ended.err.contains('7') && ended.err.contains("gone0.jpg") && ended.err.contains("gone2.jpg"),
        "{}",
        ended.err
    );
    project.write("images/train.list", "../pipeline.yaml 0\n");
    let ended = project.run(&["run", "split", "--set", "data.train=train.list"]);
    assert!(ended.code == Some(2) && ended.err.contains("../pipeline.yaml"), "{}", ended.err);
}

#[test]
fn an_unwritable_store_is_an_error() {
    let project = Project::new();
    project.write("file", "");
    let ended = project.run(&["run", "split", "--store", "file/store"]);
    assert!(ended.code == Some(2) && ended.err.contains("file/store"), "{}", ended.err);
    assert!(project.trace().is_empty());
}

#[test]
fn generated_images_never_overwrite_other_files() {
    let project = Project::new();
    let generate = "data.generate={size: 16, train_per_class: 2, test_per_class: 1}";
    assert_error(&project, &["run", "split", "--set", generate], &["data.generate", "images", "generated"]);
}

#[test]
fn a_missing_folder_is_an_error_even_with_generated_images() {
    let project = Project::new();
    let sets = ["data.generate={size: 16, train_per_class: 2, test_per_class: 1}", "data.root=made", "data.test=val"];
    let arguments = [&["run", "all"][..], &sets.map(|set| ["--set", set]).concat()].concat();
    assert_error(&project, &arguments, &["data.test", "made/val"]);
}
