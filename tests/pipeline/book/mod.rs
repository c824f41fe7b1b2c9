//! Runs the commands of every page of the book, page by page, each in a small project of its own.

mod page;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use self::page::{Step, merge, steps};
use crate::project::{Completed, PROGRAM, Project, Worker};

/// The source of the book.
const BOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");

/// Pages whose commands another test runs.
const ELSEWHERE: [&str; 2] = [
    // ci/interop/python_docs.py
    "how-to/python.md",
    // documented.rs
    "how-to/publish-and-audit.md",
];

/// The command `tfnas-pipeline` of the pages: the program, with the values that a page sets for the test.
const COMMAND: &str = "#!/bin/sh\nexec \"$TFNAS_PROGRAM\" \"$@\" $TFNAS_SETS\n";

macro_rules! pages {
    ($($test:ident => $page:literal,)+) => {
        /// The pages that have commands.
        const PAGES: &[&str] = &[$($page,)+];

        $(#[test]
        fn $test() {
            run($page);
        })+
    };
}

pages! {
    introduction => "introduction.md",
    own_photos => "tutorial/own-photos.md",
    everyday => "how-to/everyday.md",
    sweeps => "how-to/sweeps.md",
    report => "how-to/report.md",
    export => "how-to/export.md",
    latency_table => "how-to/latency-table.md",
    search_space => "how-to/search-space.md",
    weights => "how-to/weights.md",
    share_results => "how-to/share-results.md",
    ci => "how-to/ci.md",
    many_processes => "how-to/many-processes.md",
    slurm => "how-to/slurm.md",
    profile => "how-to/profile.md",
    dvc => "coming-from/dvc.md",
    determinism => "explanation/determinism.md",
}

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(BOOK).join(name)).unwrap()
}

/// Returns the arguments of each `tfnas-pipeline` of a page that needs no shell.
pub fn commands(text: &str) -> Vec<Vec<String>> {
    let steps = steps(text).unwrap().into_iter().filter_map(|(_, step)| match step {
        Step::Run(lines) => Some(lines),
        _ => None,
    });
    let lines: Vec<String> = steps.flat_map(|lines| lines.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let arguments = lines.iter().map(|line| {
        line.strip_prefix("tfnas-pipeline ").unwrap_or_else(|| panic!("not a command of the program: {line}"))
    });
    arguments.map(|arguments| arguments.split_whitespace().map(str::to_owned).collect()).collect()
}

/// Returns the names of all pages.
fn names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut folders = vec![PathBuf::from(BOOK)];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                names.insert(path.strip_prefix(BOOK).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    names
}

#[test]
fn every_page_with_commands_is_run() {
    let with_commands = names().into_iter().filter(|name| {
        let text = read(name);
        let steps = steps(&text).unwrap_or_else(|error| panic!("docs/{name}: {error}"));
        steps.into_iter().map(|(_, step)| step).any(|step| matches!(step, Step::Run(_)))
    });
    let run: BTreeSet<String> = PAGES.iter().chain(&ELSEWHERE).map(|&name| name.to_owned()).collect();
    assert_eq!(with_commands.collect::<BTreeSet<_>>(), run);
}

/// Runs the commands of a page, in order, and writes its files.
fn run(name: &str) {
    let project = Project::new(Worker::Real);
    let bin = project.folder().join("bin");
    fs::create_dir(&bin).unwrap();
    let command = bin.join("tfnas-pipeline");
    fs::write(&command, COMMAND).unwrap();
    fs::set_permissions(&command, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let write = |path: &str, text: &str| {
        let path = project.folder().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let mut sets = String::new();
    let text = read(name);
    for (line, step) in steps(&text).unwrap_or_else(|error| panic!("docs/{name}: {error}")) {
        match step {
            Step::Set(keys) => sets.extend(keys.split(' ').map(|key| format!(" --set {key}"))),
            Step::File(path, text) => write(path, &text),
            Step::Merge(path, sections) => {
                let base = fs::read_to_string(project.folder().join("pipeline.yaml")).unwrap();
                write(path, &merge(&base, &sections));
            }
            Step::Run(lines) => {
                let mut shell = Command::new("bash");
                shell.args(["-euo", "pipefail", "-c", &lines]).current_dir(project.folder()).stdin(Stdio::null());
                shell.env("PATH", &path).env("TFNAS_PROGRAM", PROGRAM).env("TFNAS_SETS", &sets);
                shell.env("TFNAS_SOURCE", env!("CARGO_MANIFEST_DIR"));
                let ended = Completed::new(&shell.output().unwrap());
                assert_eq!(ended.code, Some(0), "docs/{name}:{line}: {lines}\n{}{}", ended.out, ended.err);
            }
        }
    }
}
