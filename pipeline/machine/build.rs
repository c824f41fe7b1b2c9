//! What this program was built from and with.

/// The version of the tool; planner and worker share it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Name and version of the tool, as runs record it.
pub const TOOL: &str = concat!("tfnas-pipeline ", env!("CARGO_PKG_VERSION"));
/// The version of libtorch that the worker is linked with.
pub const LIBTORCH: &str = env!("TFNAS_LIBTORCH");
/// The versions of all dependencies.
pub const CARGO_LOCK: &[u8] = include_bytes!("../../Cargo.lock");
/// The compiler.
pub const RUSTC: &str = env!("TFNAS_RUSTC");

/// Returns the commit of the source, with `-dirty` after it when files differed from it; none where it was not known.
pub fn source_revision() -> Option<&'static str> {
    Some(env!("TFNAS_SOURCE_REVISION")).filter(|revision| !revision.is_empty())
}

/// Whether no file of the source differed from its commit; none where that was not known.
pub fn source_is_clean() -> Option<bool> {
    source_revision().map(is_clean)
}

/// Whether a revision, as [`source_revision`] writes it, stands for exactly that commit.
pub fn is_clean(revision: &str) -> bool {
    !revision.ends_with("-dirty")
}

/// Whether the worker's libtorch can compute on CUDA devices.
pub fn libtorch_has_cuda() -> bool {
    env!("TFNAS_LIBTORCH_HAS_CUDA") == "yes"
}
