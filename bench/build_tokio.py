"""Builds the peers of peers/tokio with Debian's cargo and its packages of crates, offline.

cargo writes a lock file beside the sources and reads the user's settings: so they are copied, and it has a home of its
own. The lock file names what Debian has and is made anew each time.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys

SOURCES = pathlib.Path(__file__).resolve().parent / "peers/tokio"
CRATES = pathlib.Path("/usr/share/cargo/registry")  # where librust-*-dev lie; .cargo/config.toml names it, too
PATIENCE_S = 900


def tool(name):
    """Debian's, also where another one comes first in the path: its packages of crates are meant for it."""
    debian = pathlib.Path("/usr/bin") / name
    return str(debian) if os.access(debian, os.X_OK) else shutil.which(name)


def program_of(package, out):
    return out / "tokio/target/release" / f"tokio_{package}"


def is_built(package, out):
    """Whether there is the program of an earlier build, and none of the sources is younger."""
    program = program_of(package, out)
    sources = [path for path in SOURCES.rglob("*") if path.is_file()]
    return os.access(program, os.X_OK) and program.stat().st_mtime >= max(path.stat().st_mtime for path in sources)


def versions(copy, rustc):
    tokio = re.search(r'name = "tokio"\nversion = "([^"]+)"', (copy / "Cargo.lock").read_text())
    compiler = subprocess.run([rustc, "--version"], stdout=subprocess.PIPE, text=True).stdout.split()
    return f"Tokio {tokio[1] if tokio else ''} (rustc {compiler[1] if len(compiler) > 1 else ''})"


def build_tokio(package, out, only_if_built=False):
    """(program, versions) or (None, why). only_if_built: what an earlier build has left, or nothing; building takes
    minutes."""
    cargo, rustc = tool("cargo"), tool("rustc")
    if cargo is None or rustc is None:
        return None, "no Rust here"
    if not any(CRATES.glob("tokio-[0-9]*")):
        return None, "no Tokio here"
    work = out / "tokio"
    copy = work / "sources"
    if only_if_built:
        there = is_built(package, out)
        return (program_of(package, out), versions(copy, rustc)) if there else (None, "not built")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(SOURCES, copy, ignore=shutil.ignore_patterns("target", "Cargo.lock"))
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("CARGO", "RUST"))}
    environment.update(RUSTC=rustc, CARGO_HOME=str(work / "home"), CARGO_TARGET_DIR=str(work / "target"))
    done = subprocess.run([cargo, "build", "--release", "--offline", "--package", f"tokio_{package}"], cwd=copy,
                          env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=PATIENCE_S)
    if done.returncode != 0:
        sys.stderr.write(done.stdout)
        return None, "does not build"
    os.utime(program_of(package, out))  # up to date now, also if there was nothing to do
    return program_of(package, out), versions(copy, rustc)
