"""Builds the peers that are written in Rust, from the crates that Debian's librust-*-dev packages install: nothing is
downloaded. Each project in bench/peers says so in its .cargo/config.toml."""
import os
import pathlib
import shutil
import subprocess
import sys

PEERS = pathlib.Path(__file__).resolve().parent / "peers"
CRATES = pathlib.Path("/usr/share/cargo/registry")
BUILD_S = 900  # with link-time optimisation, on a small machine


def debian(tool):
    """Debian's own tool, whatever else comes first in the path: it goes with Debian's crates."""
    path = f"/usr/bin/{tool}"
    return path if os.access(path, os.X_OK) else shutil.which(tool)


def versions_of(crates):
    """"tokio 1.24.2, ...", as far as they are installed."""
    found = {}
    for path in CRATES.glob("*"):
        name, _, version = path.name.rpartition("-")
        if name in crates:
            found[name] = version
    return ", ".join(f"{name} {found[name]}" for name in crates if name in found)


def build_rust(project, programs, crates, out, compile_them=True):
    """({program: path}, versions) or ({}, why not). compile_them: else only what has been built before counts."""
    target = (out / "cargo" / project).resolve()
    built = {name: target / "release" / name for name in programs}
    versions = versions_of(crates)
    cargo, rustc = debian("cargo"), debian("rustc")
    if compile_them:
        if cargo is None or rustc is None:
            return {}, "no Rust here"
        if len(versions.split(", ")) < len(crates):
            return {}, "crates not installed"
        environment = dict(os.environ, RUSTC=rustc, CARGO_TARGET_DIR=str(target), CARGO_NET_OFFLINE="true")
        if sys.stderr.isatty() and not all(os.access(path, os.X_OK) for path in built.values()):
            print(f"building {project} (a few minutes, once)", file=sys.stderr, flush=True)
        done = subprocess.run([cargo, "build", "--release", "--offline", "--quiet"], cwd=PEERS / project,
                              env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=BUILD_S)
        if done.returncode != 0:
            sys.stderr.write(done.stdout)
            return {}, f"{project} does not build"
    if not all(os.access(path, os.X_OK) for path in built.values()):
        return {}, "not built"
    return built, versions or ", ".join(f"{crate} ?" for crate in crates)
