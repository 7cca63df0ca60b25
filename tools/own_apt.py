"""apt with a configuration, lists and a cache of its own: packages are unpacked, nothing on the system changes.

The mirror is the one of this machine's own list of sources, and how to reach it is this machine's own configuration.
"""
import os
import pathlib
import re
import shutil
import subprocess

PATIENCE_S = 900  # with one command
NEWEST = "sid"
# What is passed on of this machine's configuration: how to reach the mirror.
PASSED_ON = re.compile(r"Acquire::(?:https?|ftp|socks|Check|Retries)")


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


def debian_entries():
    """(URI, suites, components, keyring, the release's name) of the mirror of this machine."""
    release = dict(re.findall(r'(?m)^(\w+)="?([^"\n]*)', pathlib.Path("/etc/os-release").read_text()))
    if release.get("ID") != "debian":
        raise Failed("this is not Debian")
    for path in source_files():
        for uri, suites, components, keyring in entries(path.read_text(), path.suffix == ".sources"):
            yield uri, suites, components, keyring, release.get("VERSION_CODENAME") or NEWEST


def line(uri, suite, keyring):
    return f"deb {f'[signed-by={keyring}] ' if keyring.startswith('/') else ''}{uri} {suite} main\n"


def newest_line():
    """The line of sources for Debian's newest packages."""
    for uri, suites, components, keyring, release in debian_entries():
        if "main" in components and any(suite in (release, NEWEST, "unstable") for suite in suites):
            return line(uri, NEWEST, keyring)
    raise Failed("no mirror of Debian in this machine's list of sources")


def release_lines():
    """The lines of sources for the packages of this machine's release, with its updates."""
    lines = [line(uri, suite, keyring) for uri, suites, components, keyring, release in debian_entries()
             if "main" in components
             for suite in suites if suite == release or suite.startswith(release + "-")]
    if not lines:
        raise Failed("no mirror of Debian in this machine's list of sources")
    return "".join(lines)


class Apt:
    """apt with a configuration of its own, in the folder `place`. status: what it takes for installed."""

    def __init__(self, place, sources, status=None, settings=()):
        self.place = place
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
               "APT::Sandbox::User": "root", "Acquire::Languages": "none", **dict(settings)}
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

    def unpack(self, packages, into):
        """Into the folder `into`, in place of what was there."""
        if not packages:
            raise Failed("no such packages")
        debs, fresh = self.place / "debs", into.with_name(f"{into.name}.new")
        for folder in (debs, fresh):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        self.run("download", "-qq", *packages, cwd=debs)
        for deb in sorted(debs.iterdir()):
            output(["dpkg", "-x", deb, fresh])
        shutil.rmtree(debs)
        shutil.rmtree(into, ignore_errors=True)
        fresh.rename(into)
