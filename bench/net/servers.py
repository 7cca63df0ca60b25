"""Runs servers under load, one measurement each in turns, and prints what came out."""
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time


class Peer:
    """A server: its command, or None if it is not there, and then `version` says why. It prints "port N"."""

    def __init__(self, command, version=""):
        self.command, self.version = command, version


class Cpus:
    def __init__(self, server, load, said):
        self.server, self.load, self.said = server, load, said


def choose_cpus(server, load):
    """Two different CPUs if there are two and taskset; else no pinning at all."""
    allowed = sorted(os.sched_getaffinity(0))
    if shutil.which("taskset") is None:
        return Cpus(None, None, "not pinned: there is no taskset")
    if server is None and load is None and len(allowed) < 2:
        return Cpus(None, None, "not pinned: there is only one CPU")
    server = allowed[0] if server is None else server
    load = next((cpu for cpu in allowed if cpu != server), server) if load is None else load
    return Cpus(server, load, f"all servers on CPU {server}, the load generator on CPU {load} (taskset)")


def pinned(cpu, command):
    return (["taskset", "-c", str(cpu)] if cpu is not None else []) + [str(word) for word in command]


class Server:
    """A server that runs, as a context."""

    def __init__(self, peer, cpu=None):
        self.command, self.cpu = peer.command, cpu

    def __enter__(self):
        self.process = subprocess.Popen(pinned(self.cpu, self.command), stdout=subprocess.PIPE, text=True)
        first = self.process.stdout.readline().split()
        if len(first) != 2 or first[0] != "port":
            self.__exit__()
            sys.exit(f"net/run: {self.command[0]} did not say which port")
        self.port = int(first[1])
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def cpu_ns(self):
        """What its threads have computed so far, in the kernel too."""
        total = 0
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except OSError:  # it has ended, or this kernel does not say
                continue
        return total


def run_load(load, port, cpu):
    command = [str(word).format(port=port) for word in load]
    done = subprocess.run(pinned(cpu, command), stdout=subprocess.PIPE, text=True, timeout=120)
    found = re.search(r"^(?:JSON )?(\{.*\})$", done.stdout, re.M)
    if done.returncode != 0 or found is None:
        sys.exit(f"net/run: {' '.join(command)} failed")
    figures = json.loads(found.group(1))
    if figures.get("failed"):
        sys.exit(f"net/run: {figures['failed']} requests failed: {' '.join(command)}")
    return figures


def measure(peer, before, load, cpus):
    """One fresh server. Adds to the load's figures: the server's CPU per request, and how busy its CPU was."""
    with Server(peer, cpus.server) as server:
        if before is not None:
            run_load(before, server.port, cpus.load)
        cpu, clock = server.cpu_ns(), time.monotonic_ns()
        figures = run_load(load, server.port, cpus.load)
        cpu, clock = server.cpu_ns() - cpu, time.monotonic_ns() - clock
        figures["server_cpu_us"] = round(cpu / 1e3 / figures["requests_in_all"], 3)
        figures["server_busy_percent"] = round(100 * cpu / clock, 1)
        return figures


FIGURES = ("requests_per_s", "p50_us", "p90_us", "p99_us", "max_us", "server_cpu_us", "server_busy_percent")


def compare(peers, before, load, rounds, cpus, target):
    """All rounds of one load. target: None, or {"target": text, "peer": name, "share": of its rate}."""
    runs = {name: [] for name in peers}
    names = list(peers)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            runs[name].append(measure(peers[name], before, load, cpus))
    result = {"medians": {name: {key: statistics.median(run[key] for run in all_runs) for key in FIGURES}
                          for name, all_runs in runs.items()}}
    rates = {name: [run["requests_per_s"] for run in all_runs] for name, all_runs in runs.items()}
    result["spread"] = {name: [min(r), max(r)] for name, r in rates.items()}
    each = {name: [ours / theirs for ours, theirs in zip(rates["baton"], r)] for name, r in rates.items()
            if name != "baton"}
    result["ratios"] = {name: {"median": statistics.median(r), "least": min(r), "largest": max(r)}
                        for name, r in each.items()}
    result["target"] = target["target"] if target else ""
    result["met"] = None
    if target and target["peer"] in each:
        result["met"] = result["ratios"][target["peer"]]["median"] >= target["share"]
    result["runs"] = runs
    return result


def print_head():
    print(f"{'':26}{'':8}{'req/s':>10}{'least':>10}{'largest':>10}{'p50 us':>9}{'p90 us':>9}{'p99 us':>9}{'max us':>9}"
          f"{'CPU us':>8}{'busy':>6}  baton / this")


def print_case(what, result, missing):
    label = what
    for name, m in result["medians"].items():
        least, largest = result["spread"][name]
        line = (f"{label:26}{name:8}{m['requests_per_s']:10,.0f}{least:10,.0f}{largest:10,.0f}" +
                "".join(f"{m[key]:9.0f}" for key in ("p50_us", "p90_us", "p99_us", "max_us")) +
                f"{m['server_cpu_us']:8.2f}{m['server_busy_percent']:5.0f}%")
        if name in result["ratios"]:
            r = result["ratios"][name]
            line += f"  {r['median']:6.1%} ({r['least']:.1%} to {r['largest']:.1%})"
        print(line)
        label = ""
    for name, why in missing.items():
        print(f"{'':26}{name:8}{why}")
    if result["target"]:
        verdict = {True: "met", False: "MISSED", None: "not judged"}[result["met"]]
        print(f"{'':26}target: {result['target']}: {verdict}", flush=True)
