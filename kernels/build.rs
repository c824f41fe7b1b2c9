//! Compiles the C++ shim against the libtorch that tch was built with, and the kernels for each instruction set.

use std::env;
use std::path::PathBuf;

/// The instruction sets of x86-64 that the kernels are compiled for. The one to use is selected at run time.
const INSTRUCTION_SETS: [(&str, &[&str]); 2] = [
    ("avx2", &["-mavx2", "-mfma"]),
    ("avx512", &["-mavx2", "-mfma", "-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw"]),
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=shim");
    for variable in ["LIBTORCH_INCLUDE", "LIBTORCH_CXX11_ABI"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let lib = PathBuf::from(env::var_os("DEP_TCH_LIBTORCH_LIB").expect("torch-sys sets the location of libtorch"));
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    let root = match env::var_os("LIBTORCH_INCLUDE") {
        Some(root) => PathBuf::from(root),
        None => lib.parent().expect("libtorch/lib has a parent folder").to_owned(),
    };
    let abi = env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());

    let mut shim = compiler();
    shim.define("_GLIBCXX_USE_CXX11_ABI", abi.as_str()).flag("-fopenmp");
    // `-isystem` suppresses warnings in torch's headers.
    for include in [root.join("include"), root.join("include/torch/csrc/api/include")] {
        shim.flag("-isystem").flag(include);
    }
    shim.file("shim/shim.cpp").compile("tfnas_kernels");

    let is_x86_64 = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|architecture| architecture == "x86_64");
    for (name, flags) in INSTRUCTION_SETS {
        let mut build = compiler();
        // The source determines where multiplications and additions are fused, so that all instruction sets give the
        // same bytes.
        build.flag("-ffp-contract=off").file(format!("shim/kernels_{name}.cpp"));
        if is_x86_64 {
            flags.iter().for_each(|flag| {
                build.flag(flag);
            });
        }
        build.compile(&format!("tfnas_kernels_{name}"));
    }
    // The kernels use the threads of libtorch's own kernels.
    println!("cargo:rustc-link-lib=gomp");
}

fn compiler() -> cc::Build {
    let mut build = cc::Build::new();
    build.cpp(true).std("c++20").warnings(false).opt_level(3).debug(false);
    build
}
