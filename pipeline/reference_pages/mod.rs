//! The reference pages of the book that are generated from the definitions in the code, and tests of the others.

#![allow(clippy::unwrap_used)]

mod command_line;
mod keys;

use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use tfnas_stages::Stage;

use crate::cli::Cli;
use crate::exit::Exit;

/// Environment variable that writes the generated pages.
const UPDATE: &str = "TFNAS_UPDATE_SNAPSHOTS";

fn book() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

fn page(name: &str) -> String {
    fs::read_to_string(book().join(name)).unwrap_or_default()
}

/// Panics if a page differs from the generated text.
#[track_caller]
fn check(name: &str, text: &str) {
    if std::env::var_os(UPDATE).is_some() {
        fs::write(book().join(name), text).unwrap();
    }
    let found = page(name);
    let different = text.lines().zip(found.lines()).find(|(expected, found)| expected != found);
    assert!(text == found, "docs/{name} is not up to date ({different:?}): set {UPDATE}=1 to write it");
}

/// Returns a text as the content of a table cell: one line, and nothing outside of backquotes that Markdown would interpret.
fn cell(text: &str) -> String {
    let mut code = false;
    let mut cell = String::new();
    for character in text.split_whitespace().collect::<Vec<_>>().join(" ").chars() {
        code ^= character == '`';
        if character == '|' || (!code && matches!(character, '<' | '*')) {
            cell.push('\\');
        }
        cell.push(character);
    }
    cell
}

#[test]
fn the_command_line_page_is_up_to_date() {
    check("reference/command-line.md", &command_line::page(Cli::command()));
}

#[test]
fn the_configuration_page_is_up_to_date() {
    check("reference/configuration.md", &keys::page(&tfnas_planner::config::schema()));
}

#[test]
fn every_exit_code_is_documented() {
    let page = page("reference/exit-codes.md");
    let codes = |exit| match exit {
        Exit::Done => 0,
        Exit::Failed => 1,
        Exit::Usage => 2,
        Exit::Interrupted => tfnas_stages::INTERRUPTED,
    };
    for exit in [Exit::Done, Exit::Failed, Exit::Usage, Exit::Interrupted] {
        let code = codes(exit);
        assert!(page.contains(&format!("\n| {code} | ")), "{exit:?}: {code}");
    }
}

#[test]
fn every_output_of_a_stage_is_documented() {
    let page = page("reference/outputs.md");
    for stage in Stage::ALL {
        for output in [true, false].iter().flat_map(|draws_test| stage.spec().outputs(*draws_test)) {
            assert!(page.contains(&format!("`{output}`")), "{}: {output}", stage.name());
        }
    }
}

#[test]
fn every_command_named_in_the_book_exists() {
    let program = Cli::command();
    let mut folders = vec![book()];
    let mut commands = 0;
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for after in text.split("`tfnas-pipeline ").skip(1) {
                let name = after.split([' ', '`', '\n']).next().unwrap();
                commands += 1;
                let known = name.starts_with('-') || program.find_subcommand(name).is_some();
                assert!(known, "{}: `tfnas-pipeline {name}`", path.display());
            }
        }
    }
    assert!(commands > 20, "{commands}");
}
