//! Lets the programs that link libtorch find it from anywhere, and tells the planner, which does not link it, what it
//! was built with: the version of libtorch, of rustc, and of this source.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=build.rs");
    let libtorch = std::env::var("LIBTORCH").unwrap_or_default();
    if !libtorch.is_empty() {
        // Not the planner, which would look for all its libraries there first.
        for linked in ["link-arg-bin=tfnas-stage", "link-arg-tests"] {
            println!("cargo:rustc-{linked}=-Wl,-rpath,{libtorch}/lib");
        }
    }
    tell("TFNAS_LIBTORCH", libtorch_version(Path::new(&libtorch)).as_deref().unwrap_or("unknown"));
    tell("TFNAS_LIBTORCH_HAS_CUDA", if has_cuda(Path::new(&libtorch)) { "yes" } else { "no" });
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    tell("TFNAS_RUSTC", output(&rustc, &["--version"]).as_deref().unwrap_or("unknown"));
    tell("TFNAS_SOURCE_REVISION", &source_revision().unwrap_or_default());
}

fn tell(name: &str, value: &str) {
    println!("cargo:rustc-env={name}={value}");
}

/// The version that the header of libtorch states, without the suffix of its build (`+cu130`), which names no other
/// arithmetic on a CPU.
fn libtorch_version(libtorch: &Path) -> Option<String> {
    let header = libtorch.join("include/torch/headeronly/version.h");
    println!("cargo:rerun-if-changed={}", header.display());
    let text = std::fs::read_to_string(header).ok()?;
    let number = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("#define {name} ")))?;
        line.split_whitespace().nth(2)?.parse::<u32>().ok()
    };
    let major = number("TORCH_VERSION_MAJOR")?;
    Some(format!("{major}.{}.{}", number("TORCH_VERSION_MINOR")?, number("TORCH_VERSION_PATCH")?))
}

fn has_cuda(libtorch: &Path) -> bool {
    libtorch.join("lib/libtorch_cuda.so").exists()
}

/// The commit of this source, with `-dirty` after it when files differ from it; none where there is no git repository.
fn source_revision() -> Option<String> {
    let head = output("git", &["rev-parse", "--git-path", "HEAD"])?;
    let index = output("git", &["rev-parse", "--git-path", "index"])?;
    for watched in [head, index].iter().map(String::as_str).chain([
        "pipeline",
        "stages",
        "tfnas",
        "tfnas-torch",
        "images",
        "artifacts",
        "random",
        "Cargo.toml",
        "Cargo.lock",
    ]) {
        // A watched path that is missing would make every build run this program again.
        if Path::new(watched).exists() {
            println!("cargo:rerun-if-changed={watched}");
        }
    }
    let commit = output("git", &["rev-parse", "HEAD"])?;
    let changed = output("git", &["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { format!("{commit}-dirty") })
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
