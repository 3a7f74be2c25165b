#!/usr/bin/env python3
"""Compiles the kernels to the PTX and kernels.properties that ship in the jar.

    build_ptx.py            compile, and write src/main/resources/io/tandem/compute/cuda
    build_ptx.py --check    compile, and fail when the committed files differ
    build_ptx.py --report   also assemble the PTX and print registers, shared memory and spills (needs the cuda13 packages)

The compiler is NVRTC from PyPI, pinned below, installed into a cache folder ($TANDEM_CUDA_CACHE, default
~/.cache/tandem/cuda) on first use; no GPU, driver or CUDA toolkit is needed. NVRTC 12.6 emits PTX 8.5, which drivers from
555 on load. Exit status: 0 current or written, 1 differs or does not compile, 75 no compiler to be had.
"""
import argparse
import ctypes
import os
import pathlib
import platform
import re
import subprocess
import sys

COMPILER = "nvidia-cuda-nvrtc-cu12==12.6.85"
REPORT = ["nvidia-cuda-nvcc==13.0.88", "nvidia-cuda-crt==13.0.88", "nvidia-nvvm==13.0.88"]
TARGETS = {"sm_80": "compute_80", "sm_90a": "compute_90a"}
OPTIONS = ["--std=c++17", "--extra-device-vectorization", "-default-device"]
NO_COMPILER = 75

sources = pathlib.Path(__file__).resolve().parent
output = sources.parent / "resources" / "io" / "tandem" / "compute" / "cuda"


def installed(packages):
    """Folder that holds the pinned packages."""
    cache = pathlib.Path(os.environ.get("TANDEM_CUDA_CACHE") or pathlib.Path.home() / ".cache" / "tandem" / "cuda")
    folder = cache / re.sub(r"[^\w.]+", "_", packages[0])
    if not (folder / "complete").exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--retries", "1", "--timeout", "20",
                   "--target", str(folder), *packages]
        if platform.system() != "Linux" or subprocess.run(command).returncode != 0:
            print(f"build_ptx.py: no compiler: {' '.join(packages)} cannot be installed here", file=sys.stderr)
            sys.exit(NO_COMPILER)
        (folder / "complete").touch()
    return folder / "nvidia"


class Nvrtc:
    """The few calls of NVRTC that compiling one file takes."""

    def __init__(self, folder):
        # The builtins library is opened by name from within NVRTC: load it first.
        ctypes.CDLL(str(next(folder.glob("libnvrtc-builtins.so*"))), mode=ctypes.RTLD_GLOBAL)
        self.library = ctypes.CDLL(str(folder / "libnvrtc.so.12"))

    def check(self, status, what):
        if status != 0:
            sys.exit(f"build_ptx.py: {what} failed with NVRTC status {status}")

    def text(self, program, what):
        size = ctypes.c_size_t()
        self.check(getattr(self.library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)), what)
        buffer = ctypes.create_string_buffer(size.value)
        self.check(getattr(self.library, f"nvrtcGet{what}")(program, buffer), what)
        return buffer.value.decode()

    def compile(self, architecture):
        source = (sources / "kernels.cu").read_bytes()
        headers = sorted(sources.glob("*.cuh"))
        count = len(headers)
        contents = (ctypes.c_char_p * count)(*[h.read_bytes() for h in headers])
        names = (ctypes.c_char_p * count)(*[h.name.encode() for h in headers])
        program = ctypes.c_void_p()
        self.check(
            self.library.nvrtcCreateProgram(ctypes.byref(program), source, b"kernels.cu", count, contents, names),
            "nvrtcCreateProgram")
        options = [o.encode() for o in [f"--gpu-architecture={architecture}", *OPTIONS]]
        status = self.library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
        log = self.text(program, "ProgramLog").strip()
        if log:
            print(log, file=sys.stderr)
        self.check(status, f"compiling for {architecture}")
        return self.text(program, "PTX")


PROPERTY = re.compile(r"^\.(?:visible )?\.?(?:global|const) .*?property__(\w+?)__(\w+)(?: = (\d+))?;\n", re.MULTILINE)


def split(ptx):
    """The PTX without the figures meant for kernels.properties, and those figures."""
    figures = {}
    kept = []
    for line in ptx.splitlines(keepends=True):
        found = re.search(r"\bproperty__(\w+?)__(\w+)(?: = (\d+))?;", line)
        if found:
            figures[f"{found[1]}.{found[2]}"] = int(found[3] or 0)
        else:
            kept.append(line)
    return "".join(kept), figures


def properties(figures):
    lines = ["# Written by build_ptx.py. NAME.key holds for every target, unless TARGET.NAME.key is there for that one.\n"]
    common = figures["sm_80"]
    for key in sorted(common):
        lines.append(f"{key} = {common[key]}\n")
    for target in TARGETS:
        for key in sorted(figures[target]):
            if common.get(key) != figures[target][key]:
                lines.append(f"{target}.{key} = {figures[target][key]}\n")
    return "".join(lines)


def build():
    compiler = Nvrtc(installed([COMPILER]) / "cuda_nvrtc" / "lib")
    files, figures = {}, {}
    for target, architecture in TARGETS.items():
        files[f"tandem_{target}.ptx"], figures[target] = split(compiler.compile(architecture))
    files["kernels.properties"] = properties(figures)
    return files


def report(files):
    assembler = installed(REPORT) / "cu13" / "bin" / "ptxas"
    for target in TARGETS:
        subprocess.run([assembler, "-v", f"-arch={target}", "-o", "/dev/null", "-"],
                       input=files[f"tandem_{target}.ptx"].encode(), check=True)


def main():
    arguments = argparse.ArgumentParser(description="compiles the CUDA kernels")
    arguments.add_argument("--check", action="store_true", help="fail when the committed files differ")
    arguments.add_argument("--report", action="store_true", help="print registers, shared memory and spills")
    arguments = arguments.parse_args()
    files = build()
    if arguments.report:
        report(files)
    stale = [n for n, text in files.items() if not (output / n).exists() or (output / n).read_text() != text]
    if arguments.check:
        if stale:
            sys.exit(f"build_ptx.py: {', '.join(stale)} are not what the sources compile to; run {pathlib.Path(__file__).name}")
        print("the committed PTX is current")
        return
    output.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (output / name).write_text(files[name])
    print(f"written: {', '.join(stale) or 'nothing, all current'}")


if __name__ == "__main__":
    main()
