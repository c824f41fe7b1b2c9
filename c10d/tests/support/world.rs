//! Starting ranks and hearing what they say. A rank is this test program, started again with the one test `rank::run`.
#![allow(dead_code, clippy::unwrap_used, reason = "several test programs share it")]

use std::ffi::OsStr;
use std::io::Read;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tfnas_c10d::Environment;
use tfnas_c10d::environment::Address;

/// Which scenario a rank plays.
pub const SCENARIO: &str = "TFNAS_TEST_SCENARIO";
/// What a rank's lines for the test begin with.
const SAYS: &str = "says: ";
/// After so long a rank counts as hung.
const HUNG_AFTER: Duration = Duration::from_secs(120);

/// How a rank ended.
#[derive(Debug)]
pub struct Ended {
    /// Whether its scenario came to its end.
    pub is_success: bool,
    /// What it had to say.
    pub said: Vec<String>,
    /// Everything it wrote.
    pub output: String,
}

/// A rank under way.
pub struct Rank {
    child: Child,
    began: Instant,
}

/// A port of loopback that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The environment of a rank that meets the others at a port.
pub fn environment(rank: usize, world_size: usize, port: u16) -> Environment {
    let master = Address { host: "127.0.0.1".to_owned(), port };
    Environment::new(rank, world_size, rank, master, false).unwrap()
}

/// Tells the test something, as a rank.
pub fn say(text: impl std::fmt::Display) {
    println!("{SAYS}{text}");
}

/// Starts a rank, with some more variables.
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

/// Runs a scenario on that many ranks to its end.
pub fn run(scenario: &str, world_size: usize) -> Vec<Ended> {
    let port = free_port();
    let ranks: Vec<Rank> =
        (0..world_size).map(|rank| start(scenario, &environment(rank, world_size, port), &[])).collect();
    ranks.into_iter().map(Rank::finish).collect()
}

/// Runs a scenario in which all ranks must succeed; what each says.
pub fn succeed(scenario: &str, world_size: usize) -> Vec<Vec<String>> {
    let ended = run(scenario, world_size);
    for rank in &ended {
        assert!(rank.is_success, "{}", rank.output);
    }
    ended.into_iter().map(|rank| rank.said).collect()
}

impl Rank {
    /// Waits for the rank's end.
    pub fn finish(mut self) -> Ended {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if self.began.elapsed() > HUNG_AFTER {
                self.child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        // A rank writes less than a pipe holds, so it never waits for this.
        let mut output = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut output).unwrap();
        // The first line follows what the test harness writes without an end of line.
        let said = output.lines().filter_map(|line| Some(line.split_once(SAYS)?.1.to_owned())).collect();
        Ended { is_success: status.success(), said, output }
    }
}
