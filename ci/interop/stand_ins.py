"""Makes PyTorch's CUDA build, the only one on PyPI, importable where NVIDIA's libraries are not installed.

`libtorch_python` and `libtorch_cuda` are linked with libraries of several gigabytes that nothing on a CPU calls. Each gets a
stand-in that has the functions they look for, all of which abort. Its argument is the folder that holds the
torch package; needs a C compiler and nm.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

# Soname, and what tells its functions among those that PyTorch looks for: the version of the symbol, or its prefix.
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
    # Where the package's own search path leads.
    target = packages / "nvidia/cu13/lib"
    target.mkdir(parents=True, exist_ok=True)
    for soname, mark in LIBRARIES:
        if mark.startswith("@"):
            names = [symbol.split("@")[0] for symbol in missing if symbol.endswith(mark)]
        else:
            # NCCL's profiling functions begin with a p.
            names = [symbol for symbol in missing if symbol.removeprefix("p").startswith(mark) and "@" not in symbol]
        build(target / soname, names, mark)


def undefined_symbols(folder):
    """Every symbol that PyTorch's libraries look for, with its version where it has one."""
    symbols = set()
    for library in USERS:
        text = subprocess.run(
            ["nm", "-D", "--undefined-only", folder / library], check=True, capture_output=True, text=True
        ).stdout
        symbols.update(line.split()[1].replace("@@", "@") for line in text.splitlines())
    return sorted(symbols)


def build(path, names, mark):
    """A library of functions that say which of them was called, and abort."""
    lines = ["#include <stdio.h>", "#include <stdlib.h>"]
    for name in names:
        lines.append(f'void {name}(void) {{ fputs("{path.name} is a stand-in: {name} was called\\n", stderr); abort(); }}')
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
