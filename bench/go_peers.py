"""Builds the peers of peers/go offline: with the Go that fetched_peers.py has fetched; else with Go 1.23 of Debian's
backports, if it is there; else with the go in the path. What it builds lies beside the results."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

import fetched_peers

SOURCES = pathlib.Path(__file__).resolve().parent / "peers/go"
NEWER = "/usr/lib/go-1.23/bin"  # golang-1.23-go puts nothing into the path
PATIENCE_S = 300


def module_for(version, out):
    """A go.mod that names this version: a module behaves as the Go that it names. Suites may write it at once."""
    language, text = re.match(r"go(\d+\.\d+)", version), (SOURCES / "go.mod").read_text()
    path = out / "go-mod/go.mod"
    path.parent.mkdir(exist_ok=True)
    fresh = path.with_name(f"go.mod.{os.getpid()}")
    fresh.write_text(re.sub(r"(?m)^go .*", f"go {language[1]}", text) if language else text)
    fresh.replace(path)
    return path


def build_go(package, out):
    """(program, version) or (None, why)."""
    root = fetched_peers.go_root()
    go = str(root / "bin/go") if root else shutil.which("go", path=NEWER) or shutil.which("go")
    if go is None:
        return None, fetched_peers.absent("go", "no Go here")
    program = out / f"go_{package}"
    # Its standard library takes a while to build: all build directories share a cache of it.
    cache = fetched_peers.PLACE / "go-cache" if root else out / "go-cache"
    environment = dict(os.environ, GOCACHE=str(cache), GOPATH=str(out / "go-path"), GOPROXY="off",
                       GOTOOLCHAIN="local", GOWORK="off", GOFLAGS="", CGO_ENABLED="0")
    if root:
        environment["GOROOT"] = str(root)
    version = subprocess.run([go, "version"], env=environment, stdout=subprocess.PIPE, text=True).stdout.split()
    version = version[2] if len(version) > 2 else "go"
    module = module_for(version, out)
    try:
        done = subprocess.run([go, "build", f"-modfile={module}", "-o", str(program), f"./{package}"],
                              cwd=SOURCES, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        return None, f"not built within {PATIENCE_S} s"
    if done.returncode != 0:
        sys.stderr.write(done.stdout)
        return None, "does not build"
    return program, version + fetched_peers.origin("go", root)
