//! Planner and worker killed at any moment: the next run ends as if nothing had happened.
//!
//! `TFNAS_KILLS` says how often; the moments are drawn by a fixed seed.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tfnas_random::{Purpose, Stream};

use crate::project::Project;

/// Kills in an ordinary test run.
const KILLS: u32 = 12;
/// How long a step of the fake worker takes.
const STEP_MS: &str = "4";

/// The digest of every output, by its name.
fn digests(project: &Project) -> BTreeMap<String, String> {
    let status = project.json(&["status"]);
    let stages = status["stages"].as_array().unwrap();
    let outputs = stages.iter().flat_map(|stage| stage["outputs"].as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    outputs.map(|output| (text(&output["name"]), text(&output["digest"]))).collect()
}

fn run(project: &Project) -> Command {
    let mut command = project.command(&["run", "all"]);
    command.env("FAKE_STEP_MS", STEP_MS).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn kill(pid: &str) {
    // It may have ended by itself.
    let _ = Command::new("kill").args(["-s", "KILL", pid]).stderr(Stdio::null()).status();
}

#[test]
fn after_a_kill_at_any_moment_the_next_run_ends_with_the_undisturbed_digests() {
    let undisturbed = Project::new();
    let began = Instant::now();
    assert!(run(&undisturbed).status().unwrap().success());
    let whole = began.elapsed();
    let expected = digests(&undisturbed);
    assert_eq!(expected.len(), 17);
    let kills: u32 = std::env::var("TFNAS_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let mut killed = 0;
    for index in 0..kills {
        let project = Project::new();
        let mut stream = Stream::new(7, Purpose::Timing, 0, index);
        // Most runs are killed several times before they may end.
        for _ in 0..1 + stream.below(3) {
            let mut planner = run(&project).spawn().unwrap();
            thread::sleep(Duration::from_secs_f64(stream.uniform() * whole.as_secs_f64()));
            if stream.below(2) == 0 {
                kill(&fs::read_to_string(project.path("fake/pid")).unwrap_or_default());
            }
            if stream.below(4) > 0 {
                kill(&planner.id().to_string());
            }
            killed += u32::from(!planner.wait().unwrap().success());
        }
        let status = run(&project).status().unwrap();
        assert!(status.success(), "after kill {index}: {status}");
        assert_eq!(digests(&project), expected, "after kill {index}");
        assert!(fs::read_dir(project.path(".tfnas/attempts")).unwrap().next().is_none(), "after kill {index}");
    }
    assert!(killed * 4 >= kills, "only {killed} of {kills} runs were really killed");
}
