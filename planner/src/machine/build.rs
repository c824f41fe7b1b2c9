//! What this program was built with.

/// The version of the tool; planner and worker share it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Name and version of the tool, as runs record it.
pub const TOOL: &str = concat!("tfnas-pipeline ", env!("CARGO_PKG_VERSION"));
/// The version of libtorch that the worker is linked with.
pub const LIBTORCH: &str = env!("TFNAS_LIBTORCH");
/// The versions of all dependencies.
pub const CARGO_LOCK: &[u8] = include_bytes!("../../../Cargo.lock");
/// The compiler.
pub const RUSTC: &str = env!("TFNAS_RUSTC");

/// Returns whether a source revision stands for exactly its commit: one with changed files ends with `-dirty`.
pub fn is_clean(source_revision: &str) -> bool {
    !source_revision.ends_with("-dirty")
}

/// Returns whether the worker's libtorch can compute on CUDA devices.
pub fn libtorch_has_cuda() -> bool {
    env!("TFNAS_LIBTORCH_HAS_CUDA") == "yes"
}
