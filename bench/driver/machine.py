"""Where and of what the numbers are."""
import datetime
import os
import pathlib
import platform
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def output(*command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def cpu():
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def virtual():
    try:
        return " hypervisor " in pathlib.Path("/proc/cpuinfo").read_text().replace("\n", " ")
    except OSError:
        return False


def describe():
    commit = output("git", "rev-parse", "--short=12", "HEAD") or "unknown"
    if output("git", "status", "--porcelain", "--untracked-files=no"):
        commit += ", with changes"
    return {"cpu": cpu(), "cpus": len(os.sched_getaffinity(0)), "virtual": virtual(), "kernel": platform.release(),
            "commit": commit, "compiler": output("c++", "--version").split("\n")[0],
            "date": datetime.datetime.now().astimezone().isoformat(timespec="minutes")}
