//! Lets the programs that link libtorch find it from anywhere, and tells `tfnas-pipeline` the commit of its source.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=build.rs");
    let libtorch = std::env::var("LIBTORCH").unwrap_or_default();
    if !libtorch.is_empty() {
        // Not tfnas-pipeline, which would look for all its libraries there first.
        for linked in ["link-arg-bin=tfnas-stage", "link-arg-tests"] {
            println!("cargo:rustc-{linked}=-Wl,-rpath,{libtorch}/lib");
        }
    }
    println!("cargo:rustc-env=TFNAS_SOURCE_REVISION={}", source_revision().unwrap_or_default());
}

/// The commit of this source, with `-dirty` after it if tracked files differ from it; `None` outside a git repository.
fn source_revision() -> Option<String> {
    let head = git(&["rev-parse", "--git-path", "HEAD"])?;
    let index = git(&["rev-parse", "--git-path", "index"])?;
    // Every tracked file or folder of the root: a change of any of them can make the tree dirty.
    let tracked = git(&["ls-tree", "--name-only", "HEAD"])?;
    for watched in [head.as_str(), index.as_str()].into_iter().chain(tracked.lines()) {
        // A watched path that is missing would make every build run this program again.
        if std::path::Path::new(watched).exists() {
            println!("cargo:rerun-if-changed={watched}");
        }
    }
    let commit = git(&["rev-parse", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { format!("{commit}-dirty") })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
