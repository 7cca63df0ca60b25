"""Builds the peers of peers/tokio offline, from Debian's packages of crates: those that fetched_peers.py has fetched,
with the cargo that it has fetched; else those that are installed, with Debian's cargo.

cargo writes a lock file beside the sources and reads the user's settings: so they are copied, and it has a home of its
own. Each program has a copy with no member of the workspace but its own and what that is made of, so that a crate which
only another one needs may be missing. The lock file names what Debian has and is made anew each time.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys

import fetched_peers

SOURCES = pathlib.Path(__file__).resolve().parent / "peers/tokio"
INSTALLED = pathlib.Path("/usr/share/cargo/registry")  # where librust-*-dev lie; .cargo/config.toml names it, too
NAMES = {"tokio": "Tokio"}  # of crates, where they are spelt otherwise
PATIENCE_S = 900  # with a build on a small machine


def crates_folder():
    return fetched_peers.crates() or INSTALLED


def tool(name):
    """What has been fetched; else Debian's, also where another one comes first in the path: its packages of crates are
    meant for it."""
    if fetched_peers.rust_root():
        return str(fetched_peers.rust_root() / "usr/bin" / name)
    debian = pathlib.Path("/usr/bin") / name
    return str(debian) if os.access(debian, os.X_OK) else shutil.which(name)


def environment_of_tools():
    given = {key: value for key, value in os.environ.items() if not key.startswith(("CARGO", "RUST"))}
    if fetched_peers.rust_root():
        paths = [fetched_peers.rust_libraries(), given.get("LD_LIBRARY_PATH")]
        given["LD_LIBRARY_PATH"] = ":".join(path for path in paths if path)
    return given


class Program:
    """A member of the workspace: tokio_echo is that in echo, hyper_hello that in hyper_hello."""

    def __init__(self, name, out):
        self.name, self.member = name, name.removeprefix("tokio_")
        manifest = (SOURCES / self.member / "Cargo.toml").read_text()
        dependencies = manifest.partition("[dependencies]\n")[2].partition("\n[")[0]
        # {crate: the version it begins with, or "" for any}
        self.crates = {name: (re.search(r'"(\d[\d.]*)"', rest) or ["", ""])[1] for name, rest in
                       re.findall(r"^([\w-]+) = (?!.*\bpath\b)(.*)", dependencies, re.M)}
        self.members = [self.member] + re.findall(r'\bpath = "\.\./(\w+)"', dependencies)
        self.work = out / ("tokio-fetched" if fetched_peers.crates() else "tokio")
        self.copy = self.work / "sources" / self.member
        self.lock = self.copy / "Cargo.lock"
        self.path = self.work / "target/release" / name

    def missing_crate(self):
        for crate, version in self.crates.items():
            if not any(crates_folder().glob(f"{crate}-{version}.*" if version else f"{crate}-[0-9]*")):
                return crate
        return None

    def sources(self):
        """What it is made of, relative to SOURCES."""
        roots = [SOURCES / "Cargo.toml", SOURCES / ".cargo"] + [SOURCES / member for member in self.members]
        paths = [path for root in roots for path in [root, *root.rglob("*")] if path.is_file()]
        return [path.relative_to(SOURCES) for path in paths]

    def is_built(self):
        """Whether there is the program of an earlier build, and none of the sources is younger."""
        youngest = max((SOURCES / path).stat().st_mtime for path in self.sources())
        return os.access(self.path, os.X_OK) and self.lock.exists() and self.path.stat().st_mtime >= youngest

    def copy_sources(self):
        shutil.rmtree(self.copy, ignore_errors=True)
        for path in self.sources():
            (self.copy / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(SOURCES / path, self.copy / path)
        workspace = (SOURCES / "Cargo.toml").read_text()
        members = ", ".join(f'"{member}"' for member in self.members)
        (self.copy / "Cargo.toml").write_text(re.sub(r"(?m)^members = .*", f"members = [{members}]", workspace))
        config = self.copy / ".cargo/config.toml"
        config.write_text(config.read_text().replace(str(INSTALLED), str(crates_folder())))

    def versions(self, rustc):
        """Of Tokio, or what else the program is called after, and of the compiler."""
        crate = self.name.partition("_")[0]
        found = re.search(rf'name = "{crate}"\nversion = "([^"]+)"', self.lock.read_text())
        compiler = subprocess.run([rustc, "--version"], stdout=subprocess.PIPE, text=True,
                                  env=environment_of_tools()).stdout.split()
        return (f"{NAMES.get(crate, crate)} {found[1] if found else ''}"
                f"{fetched_peers.origin('crates', fetched_peers.crates())} "
                f"(rustc {compiler[1] if len(compiler) > 1 else ''}"
                f"{fetched_peers.origin('rust', fetched_peers.rust_root())})")


def build_rust(name, out, only_if_built=False, older=None):
    """(program, versions) or (None, why). only_if_built: what an earlier build has left, or nothing; building takes
    minutes. older: the program in its place where only crates of before are there."""
    cargo, rustc = tool("cargo"), tool("rustc")
    if cargo is None or rustc is None:
        return None, fetched_peers.absent("rust", "no Rust here")
    program = Program(name, out.resolve())
    missing = program.missing_crate()
    if missing is not None and older is not None:
        return build_rust(older, out, only_if_built)
    if missing is not None:
        return None, fetched_peers.absent("crates", f"no {NAMES.get(missing, missing)} here")
    if only_if_built:
        return (program.path, program.versions(rustc)) if program.is_built() else (None, "not built")
    if sys.stderr.isatty() and not program.path.exists():
        print(f"building {name}: some minutes, once", file=sys.stderr, flush=True)
    program.copy_sources()
    environment = environment_of_tools()
    environment.update(RUSTC=rustc, CARGO_HOME=str(program.work / "home"),
                       CARGO_TARGET_DIR=str(program.work / "target"))
    try:
        done = subprocess.run([cargo, "build", "--release", "--offline", "--package", name], cwd=program.copy,
                              env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        return None, f"not built within {PATIENCE_S} s"
    if done.returncode != 0:
        sys.stderr.write(done.stdout)
        return None, "does not build"
    os.utime(program.path)  # up to date now, also if there was nothing to do
    return program.path, program.versions(rustc)
