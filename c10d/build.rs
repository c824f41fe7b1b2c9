//! Compiles the C++ shim against the libtorch that tch was built with.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=shim");
    println!("cargo:rustc-check-cfg=cfg(nccl)");
    for variable in ["LIBTORCH_INCLUDE", "LIBTORCH_CXX11_ABI", "CUDA_HOME"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let lib = PathBuf::from(env::var_os("DEP_TCH_LIBTORCH_LIB").expect("torch-sys sets the location of libtorch"));
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());

    let root = match env::var_os("LIBTORCH_INCLUDE") {
        Some(root) => PathBuf::from(root),
        None => lib.parent().expect("libtorch/lib has a parent folder").to_owned(),
    };
    let abi = env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++20")
        .warnings(false)
        // The shim only forwards calls: optimizing torch's headers would cost seconds without benefit.
        .opt_level(0)
        .debug(false)
        .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str())
        .define("USE_C10D_GLOO", None)
        .include("shim/gloo");
    let includes = [root.join("include"), root.join("include/torch/csrc/api/include")];
    // `-isystem` suppresses warnings in torch's headers.
    for include in &includes {
        build.flag("-isystem").flag(include);
    }
    if lib.join("libtorch_cuda.so").exists() {
        build.define("TFNAS_CUDA", None);
        let folders = cuda_includes(&lib);
        match NCCL_NEEDS.iter().find(|header| !folders.iter().any(|folder| folder.join(header).exists())) {
            None => {
                build.define("USE_C10D_NCCL", None);
                for folder in &folders {
                    build.flag("-isystem").flag(folder);
                }
                println!("cargo:rustc-cfg=nccl");
            }
            Some(header) => println!(
                "cargo:warning=libtorch has CUDA, but there is no {header}: built without NCCL. Set CUDA_HOME to a CUDA toolkit \
                 and install nvidia-nccl-cu13, or install NVIDIA's wheels with headers (nvidia-cuda-crt, nvidia-cuda-cccl) \
                 next to torch"
            ),
        }
    }
    build.file("shim/shim.cpp").compile("tfnas_c10d");
}

/// Headers that ProcessGroupNCCL includes, one from each required package.
const NCCL_NEEDS: [&str; 7] =
    ["nccl.h", "cuda_runtime.h", "crt/host_config.h", "nv/target", "cublas_v2.h", "cusparse.h", "cusolverDn.h"];

/// Possible locations of the headers of CUDA and NCCL: a toolkit of the system, and NVIDIA's wheels installed with
/// PyTorch.
///
/// The wheels come first: libtorch was built with their versions, and a struct of another version of NCCL could have another
/// size.
fn cuda_includes(lib: &Path) -> Vec<PathBuf> {
    // The folder of libtorch can be a link into an installation of PyTorch, next to which the wheels are.
    let lib = lib.canonicalize().unwrap_or_else(|_| lib.to_owned());
    let toolkit = env::var_os("CUDA_HOME").map_or_else(|| PathBuf::from("/usr/local/cuda"), PathBuf::from);
    let site = lib.ancestors().nth(2).unwrap_or(&lib);
    let wheels = ["cu13", "nccl"].map(|package| site.join("nvidia").join(package));
    let homes = wheels.into_iter().chain(std::iter::once(toolkit));
    let folders = homes.flat_map(|home| [home.join("include"), home.join("include/cccl")]);
    folders.filter(|folder| folder.is_dir()).collect()
}
