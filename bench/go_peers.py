"""Builds the peers of peers/go offline, with Go 1.23 of Debian's backports if it is there, else with the go in the
path; its caches lie beside the programs."""
import os
import pathlib
import shutil
import subprocess
import sys

SOURCES = pathlib.Path(__file__).resolve().parent / "peers/go"
NEWER = "/usr/lib/go-1.23/bin"  # golang-1.23-go puts nothing into the path
PATIENCE_S = 300


def build_go(package, out):
    """(program, version) or (None, why)."""
    go = shutil.which("go", path=NEWER) or shutil.which("go")
    if go is None:
        return None, "no Go here"
    program = out / f"go_{package}"
    environment = dict(os.environ, GOCACHE=str(out / "go-cache"), GOPATH=str(out / "go-path"), GOPROXY="off",
                       GOTOOLCHAIN="local", GOWORK="off", GOFLAGS="", CGO_ENABLED="0")
    try:
        done = subprocess.run([go, "build", "-o", str(program), f"./{package}"], cwd=SOURCES, env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        return None, f"not built within {PATIENCE_S} s"
    if done.returncode != 0:
        sys.stderr.write(done.stdout)
        return None, "does not build"
    version = subprocess.run([go, "version"], env=environment, stdout=subprocess.PIPE, text=True).stdout.split()
    return program, version[2] if len(version) > 2 else "go"
