//! Versions that this program was built with.

/// The version of this program, which the worker must have, too.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Name and version of this program, as recorded with runs.
pub const TOOL: &str = concat!("tfnas-pipeline ", env!("CARGO_PKG_VERSION"));
/// The version of libtorch that the worker is linked with.
pub const LIBTORCH: &str = env!("TFNAS_LIBTORCH");
/// The lock file with the versions of all dependencies.
pub const CARGO_LOCK: &[u8] = include_bytes!("../../../Cargo.lock");
/// The version of the compiler.
pub const RUSTC: &str = env!("TFNAS_RUSTC");

/// Returns whether a source revision is an unmodified commit. A revision with modified files ends with `-dirty`.
pub fn is_clean(source_revision: &str) -> bool {
    !source_revision.ends_with("-dirty")
}

/// Returns whether the worker's libtorch supports CUDA.
pub fn libtorch_has_cuda() -> bool {
    env!("TFNAS_LIBTORCH_HAS_CUDA") == "yes"
}
