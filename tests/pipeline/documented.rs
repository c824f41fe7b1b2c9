//! Runs the commands of docs/how-to/publish-and-audit.md in order, and checks the levels that audits reach.

use crate::book::commands;
use crate::project::{Project, Worker};

const PAGE: &str = include_str!("../../docs/how-to/publish-and-audit.md");

#[test]
fn every_documented_command_works() {
    let project = Project::new(Worker::Real);
    let commands = commands(PAGE);
    assert!(commands.len() > 8, "{commands:?}");
    for arguments in &commands {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ended = project.run_ok(&arguments);
        let expected = match arguments[..] {
            ["audit", "published", .., "all" | "train"] => "ok, reached L5",
            ["audit", "published", .., "test"] => "ok, reached L4",
            ["audit", "published", ..] => "ok, reached L3",
            ["audit", _, "--config", _] => "ok\n",
            _ => "",
        };
        assert!(ended.out.contains(expected), "{arguments:?}: {}", ended.out);
    }
    for verb in ["run", "keys", "publish", "audit"] {
        assert!(commands.iter().any(|arguments| arguments[0] == verb), "{verb}");
    }
}

#[test]
fn every_file_of_a_publication_is_documented() {
    for name in crate::published::demo().copy("signed").files() {
        let folder = name.split_once('/').map(|(folder, _)| format!("`{folder}/`"));
        assert!(PAGE.contains(&format!("`{name}`")) || folder.is_some_and(|folder| PAGE.contains(&folder)), "{name}");
    }
}
