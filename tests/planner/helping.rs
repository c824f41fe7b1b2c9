//! The help texts.

use std::fmt::Write as _;
use std::process::Command;

use crate::project::PROGRAM;
use crate::snapshot;

fn help(command: &[String]) -> String {
    let output = Command::new(PROGRAM).args(command).arg("--help").env("COLUMNS", "120").output().unwrap();
    assert!(output.status.success(), "{command:?}");
    let lines: Vec<_> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// Returns the names of the commands that a help text lists.
fn commands(text: &str) -> Vec<String> {
    let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

fn collect(command: &[String], text: &mut String) {
    let help = help(command);
    writeln!(
        text,
        "$ tfnas-pipeline {}--help\n{help}\n",
        command.iter().map(|word| format!("{word} ")).collect::<String>()
    )
    .unwrap();
    for name in commands(&help) {
        collect(&[command, &[name]].concat(), text);
    }
}

#[test]
fn help_texts_match_the_snapshot() {
    let mut text = String::new();
    collect(&[], &mut text);
    snapshot::check("help.txt", &text);
}

#[test]
fn every_command_is_described_in_the_imperative() {
    let mut text = String::new();
    collect(&[], &mut text);
    // "Runs stages" describes the command; "Run stages" is the imperative.
    for line in
        text.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   ") && !line.starts_with("  -"))
    {
        let mut words = line.split_whitespace();
        if let (Some(_), Some(verb)) = (words.next(), words.next()) {
            let describes = ["Says", "Shows", "Prints", "Writes", "Lists", "Makes", "Checks", "Runs", "Removes"];
            assert!(!describes.contains(&verb), "{line}");
        }
    }
}
