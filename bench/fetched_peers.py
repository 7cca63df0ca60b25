#!/usr/bin/env python3
"""The peers of today: Debian's newest Go, Rust, crates and Boost, below build/peers; nothing on the system changes.

  bench/fetched_peers.py [--again]     fetches what is not there yet (--again: also what is), and says what there is

apt gets a configuration, lists and a cache of its own below build/peers; packages are unpacked there and not
installed. The mirror is the one of this machine's own list of sources. Where something cannot be had, what is installed
is used, and the tables say so.
"""
import functools
import json
import os
import pathlib
import re
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
from own_apt import Apt, Failed, newest_line, output, source_files  # noqa: E402

PLACE = ROOT / "build/peers"
REPORT = PLACE / "peers.json"
CRATES = ("tokio", "hyper", "hyper-util", "http-body-util", "bytes", "async-channel", "libc", "parking-lot")


# ---- what has been fetched: go_peers.py, rust_peers.py and the suites ask here ----

def newest(folder, pattern):
    found = [(tuple(map(int, re.findall(r"\d+", path.name))), path) for path in folder.glob(pattern)]
    return max(found)[1] if found else None


def go_root():
    return newest(PLACE / "go/usr/lib", "go-*")


def rust_root():
    """The folder with usr/bin/cargo, or None."""
    return PLACE / "rust" if os.access(PLACE / "rust/usr/bin/cargo", os.X_OK) else None


def rust_libraries():
    return ":".join(str(path) for path in (PLACE / "rust/usr/lib").glob("*-linux-gnu*"))


def crates():
    """Only if there is a Rust of today, too: an older one does not take the newest crates."""
    place = PLACE / "crates/usr/share/cargo/registry"
    return place if place.is_dir() and "rust" not in missing() else None


@functools.cache
def missing():
    """{what: why it could not be fetched}"""
    return json.loads(REPORT.read_text()).get("missing", {}) if REPORT.exists() else {}


def origin(what, fetched):
    """What stands behind a version: that the newest was wanted and could not be had. peers.json says why."""
    return "" if fetched or what not in missing() else ", as installed: the newest could not be fetched"


def absent(what, words):
    return words + (", nor could it be fetched" if what in missing() else "")


# ---- fetching ----

@functools.cache
def debian():
    return Apt(PLACE / "apt/newest", {"sources.list": newest_line()})


@functools.cache
def here():
    """This machine's own sources, with what is installed: a compiler needs its libraries."""
    sources = {str(path.relative_to("/etc/apt")): path.read_text() for path in source_files()}
    return Apt(PLACE / "apt/here", sources, "/var/lib/dpkg/status")


@functools.cache
def debian_on_top():
    return Apt(PLACE / "apt/newest-on-top", {"sources.list": newest_line()}, "/var/lib/dpkg/status")


def fetch_go():
    debian().unpack([name for name in debian().plan("golang-go") if name.startswith("golang-")], PLACE / "go")
    return output([go_root() / "bin/go", "version"], env={**os.environ, "GOROOT": str(go_root())}).split()[2]


def fetch_rust():
    """The newest that runs with this machine's libc."""
    reasons = []
    for apt, packages in ((debian_on_top, ("cargo", "rustc")), (here, ("cargo-web", "rustc-web"))):
        try:
            plan = apt().plan(*packages)
            if "libc6" in plan:
                raise Failed("needs a newer libc")
            if not plan:  # that is what is installed
                return "rustc " + output(["/usr/bin/rustc", "--version"]).split()[1]
            apt().unpack(plan, PLACE / "rust")
            environment = {**os.environ, "LD_LIBRARY_PATH": rust_libraries()}
            output([PLACE / "rust/usr/bin/cargo", "--version"], env=environment)
            return "rustc " + output([PLACE / "rust/usr/bin/rustc", "--version"], env=environment).split()[1]
        except Failed as error:
            reasons.append(f"{packages[-1]}: {error}")
            shutil.rmtree(PLACE / "rust", ignore_errors=True)
    raise Failed("; ".join(reasons))


def fetch_crates():
    plan = debian().plan(*[f"librust-{name}-dev" for name in CRATES])
    debian().unpack([name for name in plan if name.startswith("librust-")], PLACE / "crates")
    return ", ".join(newest(crates(), f"{name}-[0-9]*").name.replace("-", " ") for name in ("tokio", "hyper"))


def fetch_boost():
    plan = debian().plan("libboost-fiber-dev")
    wanted = [name for name in plan if re.fullmatch(r"libboost(-fiber|-context)?[\d.]+-dev", name)]
    debian().unpack(wanted, PLACE / "boost")
    version = (PLACE / "boost/usr/include/boost/version.hpp").read_text()
    return "Boost " + re.search(r'#define BOOST_LIB_VERSION "([\d_]+)"', version)[1].replace("_", ".")


PEERS = {"go": ("Go", fetch_go), "rust": ("Rust", fetch_rust), "crates": ("Tokio, hyper", fetch_crates),
         "boost": ("Boost.Fiber", fetch_boost)}


def main():
    if set(sys.argv[1:]) - {"--again"}:
        sys.exit(__doc__.strip())
    PLACE.mkdir(parents=True, exist_ok=True)
    known = json.loads(REPORT.read_text()) if REPORT.exists() else {"fetched": {}}
    result = {"fetched": {}, "missing": {}}
    for what, (name, fetch) in PEERS.items():
        try:
            version = known["fetched"].get(what) if (PLACE / what).is_dir() and "--again" not in sys.argv else None
            result["fetched"][what] = version or fetch()
            print(f"{name}: {result['fetched'][what]}", flush=True)
        except Failed as error:
            shutil.rmtree(PLACE / what, ignore_errors=True)
            result["missing"][what] = str(error)
            print(f"{name}: not fetched, what is installed counts: {error}", flush=True)
    REPORT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
