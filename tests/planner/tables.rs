//! The `table` commands.

use std::fs;

use tfnas::{Knot, LatencyCurve, LatencyTable, Space, TableHeader};
use tfnas_pytorch_files::table_to_pickle;

use crate::project::Project;

/// Returns a table that covers the small space with `per_channel` milliseconds per channel.
pub fn table(per_channel: f64) -> LatencyTable {
    let space = Space::small();
    let mut curves: Vec<(tfnas::BlockKey, LatencyCurve)> = Vec::new();
    for block in space.blocks() {
        for operation in space.operations() {
            let (key, largest) = (block.key(operation), block.max_width(operation));
            let knots = [1, largest].map(|width| Knot { width, ms: width as f64 * per_channel });
            if curves.iter().all(|(other, _)| *other != key) {
                curves.push((key, LatencyCurve::new(knots.to_vec()).unwrap()));
            }
        }
    }
    LatencyTable::new(TableHeader { name: "t".to_owned(), ..TableHeader::default() }, 0.5, curves).unwrap()
}

#[test]
fn a_published_pickle_is_imported_as_text() {
    let project = Project::new();
    fs::write(project.path("t.pkl"), table_to_pickle(&table(1e-3))).unwrap();
    project.run_ok(&["table", "import", "t.pkl", "--out", "t.table", "--device", "Titan RTX", "--batch", "32"]);
    let text = fs::read_to_string(project.path("t.table")).unwrap();
    assert!(text.contains("device: Titan RTX") && text.contains("batch: 32"), "{text}");
    project.run_ok(&["table", "diff", "t.pkl", "t.table"]);
    let shown = project.json(&["table", "show", "t.table"]);
    assert_eq!((shown["source"].as_str(), shown["base_ms"].as_f64()), (Some("imported from t.pkl"), Some(0.5)));
}

#[test]
fn table_range_and_verify_report_missing_rows() {
    let project = Project::new();
    fs::write(project.path("t.table"), table(1e-3).to_text()).unwrap();
    let range = project.json(&["table", "range", "t.table", "--space", "small"]);
    assert!(range["min_ms"].as_f64().unwrap() < range["max_ms"].as_f64().unwrap(), "{range}");
    let ended = project.run(&["table", "range", "t.table", "--space", "imagenet"]);
    assert!(ended.code == Some(1) && ended.err.contains("lacks"), "{}", ended.err);
    project.run_ok(&["table", "verify", "t.table", "--space", "small"]);
    assert_eq!(project.run(&["table", "verify", "t.table", "--space", "imagenet"]).code, Some(1));
    fs::write(project.path("u.table"), table(2e-3).to_text()).unwrap();
    let ended = project.run(&["table", "diff", "t.table", "u.table"]);
    assert!(ended.code == Some(1) && ended.out.contains("2.0000"), "{}", ended.out);
}

#[test]
fn random_architectures_of_a_latency_are_written() {
    let project = Project::new();
    fs::write(project.path("t.table"), table(1e-3).to_text()).unwrap();
    let range = project.json(&["table", "range", "t.table", "--space", "small"]);
    let target = (range["min_ms"].as_f64().unwrap() + range["max_ms"].as_f64().unwrap()) / 2.0;
    let target = format!("{target:.3}");
    let arguments = [
        "table",
        "random",
        "--table",
        "t.table",
        "--space",
        "small",
        "--target-lat-ms",
        &target,
        "--count",
        "3",
        "--classes",
        "10",
        "--out",
        "random",
    ];
    let drawn = project.json(&arguments);
    let networks = drawn["networks"].as_array().unwrap();
    assert_eq!(networks.len(), 3);
    assert!(networks.iter().all(|network| network["predicted_lat_ms"].as_f64() <= target.parse().ok()), "{drawn}");
    assert!(fs::read_to_string(project.path("random/random-2.config")).unwrap().contains("first_stem"));
    assert_eq!(project.json(&arguments), drawn, "the seed determines the networks");
}

#[test]
fn space_and_classes_default_to_the_configuration() {
    let project = Project::new();
    fs::write(project.path("t.table"), table(1e-3).to_text()).unwrap();
    assert_eq!(
        project.json(&["table", "range", "t.table"]),
        project.json(&["table", "range", "t.table", "--space", "small"]),
        "the configuration names the space"
    );
    let range = project.json(&["table", "range", "t.table"]);
    let target = (range["min_ms"].as_f64().unwrap() + range["max_ms"].as_f64().unwrap()) / 2.0;
    let target = format!("{target:.3}");
    let random = |out: &str, more: &[&str]| {
        let mut arguments =
            vec!["table", "random", "--table", "t.table", "--target-lat-ms", &target, "--count", "1", "--out", out];
        arguments.extend(more);
        project.run(&arguments)
    };
    let config = |out: &str| fs::read_to_string(project.path(out).join("random-0.config")).unwrap();
    assert_eq!(random("known", &[]).code, Some(0));
    assert_eq!(random("named", &["--classes", "2"]).code, Some(0));
    assert_eq!(config("known"), config("named"), "the images have two classes");
    let ended = random("none", &["--classes", "0"]);
    assert!(ended.code == Some(2) && ended.err.contains("between 1 and"), "{}", ended.err);
    // Without the images, the result of `split` provides the classes.
    project.run_ok(&["run", "split"]);
    fs::rename(project.path("images"), project.path("elsewhere")).unwrap();
    let ended = random("split", &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(fs::read_to_string(project.path("split/random-0.config")).is_ok());
    // Without that result, the number of classes is unknown.
    fs::remove_file(project.path("pipeline.yaml")).unwrap();
    let ended = random("none", &["--space", "small"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("--classes N") && ended.err.contains("--config FILE"), "{}", ended.err);
}

#[test]
fn invalid_tables_are_named() {
    let project = Project::new();
    project.write("a.table", "hello");
    fs::write(project.path("b.pkl"), &table_to_pickle(&table(1e-3))[..90]).unwrap();
    fs::write(project.path("c.table"), [0xff, 0xfe]).unwrap();
    for file in ["a.table", "b.pkl", "c.table", "none.table"] {
        let ended = project.run(&["table", "show", file]);
        assert!(ended.code == Some(2) && ended.err.contains(file), "{}", ended.err);
    }
}
