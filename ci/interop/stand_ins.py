"""Make PyTorch's CUDA build, the only one on PyPI, importable without NVIDIA's libraries.

`libtorch_python` and `libtorch_cuda` are linked with libraries of several gigabytes that are not used on a CPU. Each is replaced
by a stub that defines the required functions, all of which abort. The argument is the folder that contains the torch
package. Needs a C compiler and nm.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

# Soname, and how its functions are recognized among the undefined symbols of PyTorch: by symbol version or prefix.
LIBRARIES = [
    ("libcudnn.so.9", "@libcudnn.so.9"),
    ("libcublas.so.13", "@libcublas.so.13"),
    ("libcublasLt.so.13", "@libcublasLt.so.13"),
    ("libcufft.so.12", "@libcufft.so.12"),
    ("libcusparse.so.12", "@libcusparse.so.12"),
    ("libnvrtc.so.13", "@libnvrtc.so.13"),
    ("libnvshmem_host.so.3", "@NVSHMEM"),
    ("libcurand.so.10", "curand"),
    ("libcusparseLt.so.0", "cusparseLt"),
    ("libcufile.so.0", "cuFile"),
    ("libnccl.so.2", "nccl"),
]
# PyTorch's libraries that are linked with them.
USERS = ["libtorch_cuda.so", "libtorch_python.so", "libtorch_nvshmem.so", "libc10_cuda.so"]


def main():
    packages = Path(sys.argv[1])
    missing = undefined_symbols(packages / "torch/lib")
    # The package's own library search path.
    target = packages / "nvidia/cu13/lib"
    target.mkdir(parents=True, exist_ok=True)
    for soname, mark in LIBRARIES:
        if mark.startswith("@"):
            names = [symbol.split("@")[0] for symbol in missing if symbol.endswith(mark)]
        else:
            # Names of NCCL's profiling functions start with a p.
            names = [symbol for symbol in missing if symbol.removeprefix("p").startswith(mark) and "@" not in symbol]
        build(target / soname, names, mark)


def undefined_symbols(folder):
    """Return the undefined symbols of PyTorch's libraries, with their versions."""
    symbols = set()
    for library in USERS:
        text = subprocess.run(
            ["nm", "-D", "--undefined-only", folder / library], check=True, capture_output=True, text=True
        ).stdout
        symbols.update(line.split()[1].replace("@@", "@") for line in text.splitlines())
    return sorted(symbols)


def build(path, names, mark):
    """Build a library of functions that print their name and abort."""
    lines = ["#include <stdio.h>", "#include <stdlib.h>"]
    for name in names:
        lines.append(f'void {name}(void) {{ fputs("{path.name} is a stub: {name} was called\\n", stderr); abort(); }}')
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "stand_in.c")
        source.write_text("\n".join(lines) + "\n")
        command = ["cc", "-w", "-shared", "-fPIC", "-fno-builtin", f"-Wl,-soname,{path.name}", "-o", path, source]
        if mark.startswith("@"):
            versions = Path(folder, "versions")
            versions.write_text(f"{mark[1:]} {{ global: *; }};\n")
            command.append(f"-Wl,--version-script={versions}")
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
