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
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
PLACE = ROOT / "build/peers"
REPORT = PLACE / "peers.json"
PATIENCE_S = 900  # with one command
NEWEST = "sid"
# What is passed on of this machine's configuration: how to reach the mirror.
PASSED_ON = re.compile(r"Acquire::(?:https?|ftp|socks|Check|Retries)")
CRATES = ("tokio", "hyper", "hyper-util", "http-body-util", "bytes", "async-channel", "libc", "parking-lot")


class Failed(Exception):
    """Its text says why something cannot be had."""


def output(command, **more):
    try:
        done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=PATIENCE_S, **more)
    except OSError as error:
        raise Failed(f"{command[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{command[0]} takes longer than {PATIENCE_S} s") from error
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()
        raise Failed(said[0].removeprefix("E: ") if said else f"{command[0]} failed")
    return done.stdout


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


# ---- apt ----

def entries(text, deb822):
    """[(URI, suites, components, keyring)] of a list of sources, those of binary packages."""
    if not deb822:
        for line in text.splitlines():
            found = re.match(r"deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+(.+)", line.strip())
            if found:
                keyring = re.search(r"signed-by=(\S+)", found[1] or "")
                yield found[2], [found[3]], found[4].split(), keyring[1] if keyring else ""
        return
    for paragraph in re.split(r"\n\s*\n", text):
        lines = [line for line in paragraph.splitlines() if not line.startswith("#")]
        fields = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        if "deb" in fields.get("types", "").split():
            for uri in fields.get("uris", "").split():
                yield uri, fields.get("suites", "").split(), fields.get("components", "").split(), \
                    fields.get("signed-by", "")


def source_files():
    etc = pathlib.Path("/etc/apt")
    return [path for path in [etc / "sources.list", *sorted(etc.glob("sources.list.d/*"))]
            if path.suffix in (".list", ".sources") and path.is_file()]


def newest_line():
    """The line of sources for Debian's newest packages, from the mirror of this machine."""
    release = dict(re.findall(r'(?m)^(\w+)="?([^"\n]*)', pathlib.Path("/etc/os-release").read_text()))
    if release.get("ID") != "debian":
        raise Failed("this is not Debian")
    for path in source_files():
        for uri, suites, components, keyring in entries(path.read_text(), path.suffix == ".sources"):
            if "main" in components and any(suite in (release.get("VERSION_CODENAME"), NEWEST, "unstable")
                                            for suite in suites):
                return f"deb {f'[signed-by={keyring}] ' if keyring.startswith('/') else ''}{uri} {NEWEST} main\n"
    raise Failed("no mirror of Debian in this machine's list of sources")


class Apt:
    """apt with a configuration of its own. status: what it takes for installed."""

    def __init__(self, name, sources, status=None):
        self.place = PLACE / "apt" / name
        for folder in ("etc/apt.conf.d", "etc/preferences.d", "etc/sources.list.d", "state/lists/partial",
                       "cache/archives/partial"):
            (self.place / folder).mkdir(parents=True, exist_ok=True)
        for file, text in sources.items():
            (self.place / "etc" / file).write_text(text)
        if status is None:
            status = self.place / "state/status"
            status.write_text("")
        given = [line for line in output(["apt-config", "dump"]).splitlines() if PASSED_ON.match(line)]
        own = {"Dir::Etc": self.place / "etc", "Dir::State": self.place / "state", "Dir::Cache": self.place / "cache",
               "Dir::State::status": status, "Dir::Etc::trusted": "/etc/apt/trusted.gpg",
               "Dir::Etc::trustedparts": "/etc/apt/trusted.gpg.d", "APT::Install-Recommends": "false",
               "APT::Sandbox::User": "root", "Acquire::Languages": "none"}
        self.config = self.place / "apt.conf"
        self.config.write_text("\n".join(given + [f'{key} "{value}";' for key, value in own.items()]) + "\n")
        self.run("update", "-qq")
        if not any((self.place / "state/lists").glob("*_Packages*")):
            raise Failed("no lists of packages from the mirror")

    def run(self, *words, **more):
        return output(["apt-get", *words], env={**os.environ, "APT_CONFIG": str(self.config), "LC_ALL": "C"}, **more)

    def plan(self, *packages):
        """The packages that installing these would install."""
        return re.findall(r"(?m)^Inst (\S+)", self.run("--simulate", "install", *packages))

    def unpack(self, packages, name):
        """Into PLACE/name, in place of what was there."""
        if not packages:
            raise Failed("no such packages")
        debs, fresh = self.place / "debs", PLACE / f"{name}.new"
        for folder in (debs, fresh):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        self.run("download", "-qq", *packages, cwd=debs)
        for deb in sorted(debs.iterdir()):
            output(["dpkg", "-x", deb, fresh])
        shutil.rmtree(debs)
        shutil.rmtree(PLACE / name, ignore_errors=True)
        fresh.rename(PLACE / name)


@functools.cache
def debian():
    return Apt("newest", {"sources.list": newest_line()})


@functools.cache
def here():
    """This machine's own sources, with what is installed: a compiler needs its libraries."""
    sources = {str(path.relative_to("/etc/apt")): path.read_text() for path in source_files()}
    return Apt("here", sources, "/var/lib/dpkg/status")


@functools.cache
def debian_on_top():
    return Apt("newest-on-top", {"sources.list": newest_line()}, "/var/lib/dpkg/status")


# ---- fetching ----

def fetch_go():
    debian().unpack([name for name in debian().plan("golang-go") if name.startswith("golang-")], "go")
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
            apt().unpack(plan, "rust")
            environment = {**os.environ, "LD_LIBRARY_PATH": rust_libraries()}
            output([PLACE / "rust/usr/bin/cargo", "--version"], env=environment)
            return "rustc " + output([PLACE / "rust/usr/bin/rustc", "--version"], env=environment).split()[1]
        except Failed as error:
            reasons.append(f"{packages[-1]}: {error}")
            shutil.rmtree(PLACE / "rust", ignore_errors=True)
    raise Failed("; ".join(reasons))


def fetch_crates():
    plan = debian().plan(*[f"librust-{name}-dev" for name in CRATES])
    debian().unpack([name for name in plan if name.startswith("librust-")], "crates")
    return ", ".join(newest(crates(), f"{name}-[0-9]*").name.replace("-", " ") for name in ("tokio", "hyper"))


def fetch_boost():
    plan = debian().plan("libboost-fiber-dev")
    wanted = [name for name in plan if re.fullmatch(r"libboost(-fiber|-context)?[\d.]+-dev", name)]
    debian().unpack(wanted, "boost")
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
