//! Starts ranks and collects their reports. A rank is this test program, started with the single test `rank::run`.
#![allow(dead_code, clippy::unwrap_used, reason = "several test programs share it")]

use std::ffi::OsStr;
use std::io::Read;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tfnas_c10d::Environment;
use tfnas_c10d::environment::Address;

/// Environment variable with the scenario of a rank.
pub const SCENARIO: &str = "TFNAS_TEST_SCENARIO";
/// Prefix of a rank's report lines.
const REPORT_PREFIX: &str = "says: ";
/// A rank that runs longer counts as hung.
const MAX_RUNTIME: Duration = Duration::from_secs(120);

/// The output of a finished rank.
#[derive(Debug)]
pub struct RankOutput {
    /// Whether its scenario succeeded.
    pub is_success: bool,
    /// Its report lines.
    pub reported: Vec<String>,
    /// Its complete output.
    pub output: String,
}

/// A running rank.
pub struct Rank {
    child: Child,
    began: Instant,
}

/// Returns a free loopback port.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Returns the environment of a rank.
pub fn environment(rank: usize, world_size: usize, port: u16) -> Environment {
    let master = Address { host: "127.0.0.1".to_owned(), port };
    Environment::new(rank, world_size, rank, master, false).unwrap()
}

/// Reports a line to the test.
pub fn report(text: impl std::fmt::Display) {
    println!("{REPORT_PREFIX}{text}");
}

/// Starts a rank with additional environment variables.
pub fn start(scenario: &str, environment: &Environment, variables: &[(&str, &OsStr)]) -> Rank {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "rank::run", "--ignored", "--nocapture"])
        .env(SCENARIO, scenario)
        .envs(environment.variables())
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    Rank { child, began: Instant::now() }
}

/// Runs a scenario on `world_size` ranks until all have exited.
pub fn run(scenario: &str, world_size: usize) -> Vec<RankOutput> {
    let port = free_port();
    let ranks: Vec<Rank> =
        (0..world_size).map(|rank| start(scenario, &environment(rank, world_size, port), &[])).collect();
    ranks.into_iter().map(Rank::finish).collect()
}

/// Runs a scenario in which all ranks must succeed; returns the report lines of each rank.
pub fn succeed(scenario: &str, world_size: usize) -> Vec<Vec<String>> {
    let outputs = run(scenario, world_size);
    for rank in &outputs {
        assert!(rank.is_success, "{}", rank.output);
    }
    outputs.into_iter().map(|rank| rank.reported).collect()
}

impl Rank {
    /// Waits until the rank exits.
    pub fn finish(mut self) -> RankOutput {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if self.began.elapsed() > MAX_RUNTIME {
                self.child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        // A rank writes less than the capacity of a pipe, so it never blocks on this.
        let mut output = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut output).unwrap();
        // The first line is preceded by output of the test harness without a newline.
        let reported = output.lines().filter_map(|line| Some(line.split_once(REPORT_PREFIX)?.1.to_owned())).collect();
        RankOutput { is_success: status.success(), reported, output }
    }
}
