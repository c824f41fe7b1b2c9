//! The report of a run of the real worker.

use std::fs;

use serde_json::Value;

use crate::project::{Project, Worker};

#[test]
fn a_report_has_every_section_and_reads_every_output() {
    let project = Project::new(Worker::Real);
    project.run_ok(&["run", "all"]);
    project.run_ok(&["report", "--figures", "figures"]);
    let html = fs::read_to_string(project.folder().join("report.html")).unwrap();
    for section in
        ["result", "pipeline", "search", "selection", "architecture", "training", "test", "latency", "provenance"]
    {
        assert!(html.contains(&format!("<section id=\"{section}\"")), "{section}");
    }
    // All outputs are readable, and no number is NaN.
    assert!(!html.contains("cannot be read") && !html.contains("Not in this report") && !html.contains("NaN"));
    for figure in [
        "operations",
        "depths",
        "operation-probabilities",
        "depth-probabilities",
        "operations-over-epochs",
        "search-latency",
        "search-entropy",
        "search-loss",
        "confusion",
    ] {
        assert!(html.contains(&format!("<figure id=\"{figure}\"")), "{figure}");
    }
    for figure in ["candidates-latency", "candidates-macs", "candidates-loss", "blocks", "training-loss", "classes"] {
        let svg = fs::read_to_string(project.folder().join(format!("figures/{figure}.svg"))).unwrap();
        assert!(svg.contains("<desc id=\"desc\">"), "{figure}");
        let csv = fs::read_to_string(project.folder().join(format!("figures/{figure}.csv"))).unwrap();
        assert!(csv.lines().count() > 1, "{figure}");
    }
    let written = fs::read_to_string(project.folder().join(".tfnas/reports/1.html")).unwrap();
    assert_eq!(written, html, "the page of the run, again");

    // Thumbnails of the worst mistakes are included if the images exist.
    let mistakes = fs::read_to_string(project.folder().join("figures/mistakes.csv")).unwrap().lines().count() - 1;
    assert_eq!(html.matches("<img src=\"data:image/png;base64,iVBORw0KGgo").count(), mistakes);
    assert!(mistakes > 0 && !html.contains("no longer there"));
    fs::rename(project.folder().join("images/test"), project.folder().join("images/elsewhere")).unwrap();
    project.run_ok(&["report"]);
    let html = fs::read_to_string(project.folder().join("report.html")).unwrap();
    assert_eq!(html.matches("the image is no longer there").count(), mistakes);
    assert!(!html.contains("<img"));
}

#[test]
fn predictions_and_history_are_consistent_with_the_results() {
    let project = Project::new(Worker::Real);
    project.run_ok(&["run", "all"]);
    let read = |name: &str| {
        project.run_ok(&["export", name, name]);
        fs::read_to_string(project.folder().join(name)).unwrap()
    };
    let json = |name: &str| serde_json::from_str::<Value>(&read(name)).unwrap();
    let (test, rows) = (json("test.json"), read("predictions.csv"));
    let mut lines = rows.lines();
    assert_eq!(lines.next().unwrap(), "image,class,predicted,confidence,class_probability,loss,rank");
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len() as u64, test["images"]);
    let right = rows.iter().filter(|row| row[1] == row[2]).count();
    assert_eq!(right as f64 / rows.len() as f64, test["top1"]);
    assert!(
        rows.iter().all(|row| row[0].starts_with(&format!("{}/", row[1])) && (row[6] == "1") == (row[1] == row[2]))
    );
    let loss: f64 = rows.iter().map(|row| row[5].parse::<f64>().unwrap()).sum::<f64>() / rows.len() as f64;
    assert!((loss - test["loss"].as_f64().unwrap()).abs() < 1e-4);
    let matrix = test["confusion"]["matrix"].as_array().unwrap();
    let diagonal: u64 = matrix.iter().enumerate().map(|(class, row)| row[class].as_u64().unwrap()).sum();
    assert_eq!(diagonal as usize, right);
    let wrong: u64 =
        test["confusion"]["largest"].as_array().unwrap().iter().map(|pair| pair["images"].as_u64().unwrap()).sum();
    assert_eq!(wrong as usize, rows.len() - right);

    let (history, result) = (json("history.json"), json("search.json"));
    for epoch in history.as_array().unwrap() {
        for row in ["operations", "depths"].iter().flat_map(|part| epoch[*part].as_array().unwrap()) {
            let sum: f64 = row.as_array().unwrap().iter().map(|share| share.as_f64().unwrap()).sum();
            assert!((sum - 1.0).abs() < 1e-3, "{row}");
        }
    }
    let last = &history.as_array().unwrap().last().unwrap()["operations"];
    for (shares, logs) in last.as_array().unwrap().iter().zip(result["log_alphas"].as_array().unwrap()) {
        for (share, log) in shares.as_array().unwrap().iter().zip(logs.as_array().unwrap()) {
            assert!((share.as_f64().unwrap() - log.as_f64().unwrap().exp()).abs() < 1e-4);
        }
    }

    // The worker has reported the same probabilities during the search.
    let events = fs::read_to_string(project.folder().join(".tfnas/events/1.jsonl")).unwrap();
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let is_probability =
        |name: &Value| name.as_str().is_some_and(|name| name.starts_with("operations/") || name.starts_with("depths/"));
    let reported: Vec<f64> =
        events.filter(|event| is_probability(&event["name"])).map(|event| event["value"].as_f64().unwrap()).collect();
    let rows = |epoch: &Value| ["operations", "depths"].map(|part| epoch[part].as_array().unwrap().clone()).concat();
    let shares = |row: &Value| row.as_array().unwrap().iter().map(|share| share.as_f64().unwrap()).collect::<Vec<_>>();
    let recorded: Vec<f64> = history.as_array().unwrap().iter().flat_map(rows).flat_map(|row| shares(&row)).collect();
    assert_eq!(reported, recorded);
}
