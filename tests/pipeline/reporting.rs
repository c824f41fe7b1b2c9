//! The page about a run of the real worker.

use std::fs;

use crate::project::{Project, Worker};

#[test]
fn a_page_has_every_section_and_reads_every_output() {
    let project = Project::new(Worker::Real);
    project.good(&["run", "all"]);
    project.good(&["report", "--figures", "figures"]);
    let html = fs::read_to_string(project.folder().join("report.html")).unwrap();
    for section in
        ["result", "pipeline", "search", "selection", "architecture", "training", "test", "latency", "provenance"]
    {
        assert!(html.contains(&format!("<section id=\"{section}\"")), "{section}");
    }
    // All that the stages wrote is read, and nothing is a number that is none.
    assert!(!html.contains("cannot be read") && !html.contains("Not in this report") && !html.contains("NaN"));
    for figure in ["operations", "depths", "operations-over-epochs", "search-latency", "search-entropy", "search-loss"]
    {
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
}
