//! Records for the planner, which does not link libtorch, which libtorch and rustc the worker is built with.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=build.rs");
    let libtorch = std::env::var("LIBTORCH").unwrap_or_default();
    let libtorch = Path::new(&libtorch);
    set_env("TFNAS_LIBTORCH", libtorch_version(libtorch).as_deref().unwrap_or("unknown"));
    set_env("TFNAS_LIBTORCH_HAS_CUDA", if has_cuda(libtorch) { "yes" } else { "no" });
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    set_env("TFNAS_RUSTC", rustc_version(&rustc).as_deref().unwrap_or("unknown"));
}

fn set_env(name: &str, value: &str) {
    println!("cargo:rustc-env={name}={value}");
}

/// Reads the version from libtorch's header, without the suffix of the build (`+cu130`), which does not affect
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

fn rustc_version(rustc: &str) -> Option<String> {
    let output = Command::new(rustc).arg("--version").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
