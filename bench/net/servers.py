"""Runs servers under load, in turns, A B C D, B C D A, ..., a fresh process for each measurement; all on one CPU, the
load generator on another. Makes a table, and keeps every figure of every round as JSON, in the form of in_turns.py:
`rows`, and raw[peer][measurement], a dictionary for each round; `loads` says what a measurement's load is.

The suites below this folder say which servers, and which loads.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time

from go_peers import build_go
from in_turns import add_choice
from rust_peers import build_rust

HERE = pathlib.Path(__file__).resolve().parent
GROUP = "net"

HEADINGS = {"raw": "raw epoll", "loop": "recvmmsg", "tokio": "Tokio", "hyper": "hyper", "go": "Go", "nginx": "nginx",
            "redis": "redis-server"}


class Peer:
    """A server: its command, or None if it is not there, and then `version` says why. It prints "port N"; or else the
    command is a function of the port that the server shall have."""

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


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A server that runs, as a context."""

    def __init__(self, peer, cpu=None):
        self.command, self.cpu = peer.command, cpu

    def __enter__(self):
        if callable(self.command):
            self.port = free_port()
            self.command = self.command(self.port)
            self.process = subprocess.Popen(pinned(self.cpu, self.command), stdout=subprocess.DEVNULL)
            self.await_listener()
            return self
        self.process = subprocess.Popen(pinned(self.cpu, self.command), stdout=subprocess.PIPE, text=True)
        first = self.process.stdout.readline().split()
        if len(first) != 2 or first[0] != "port":
            self.__exit__()
            sys.exit(f"{self.command[0]} did not say which port")
        self.port = int(first[1])
        return self

    def await_listener(self):
        end = time.monotonic() + 10
        while self.process.poll() is None and time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.01)
        self.__exit__()
        sys.exit(f"{self.command[0]} does not listen")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
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
        sys.exit(f"{' '.join(command)} failed")
    figures = json.loads(found.group(1))
    if figures.get("failed"):
        sys.exit(f"{figures['failed']} requests failed: {' '.join(command)}")
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
# What of these becomes a row: its name's end, unit, digits, whether more is better.
ROWS = {"requests_per_s": ("", "/s", 0, True), "p99_us": (": p99", "us", 0, False),
        "server_cpu_us": (": the server's CPU per request", "us", 2, False)}


def ratios_of(runs, metric):
    """{peer: [baton's figure by this peer's, round by round]}"""
    figures = {name: [run[metric] for run in all_runs] for name, all_runs in runs.items()}
    return {name: [ours / theirs for ours, theirs in zip(figures["baton"], f)] for name, f in figures.items()
            if name != "baton"}


def figures_of(runs, metric):
    """{peer: the median, the least and the largest}"""
    figures = {}
    for name, all_runs in runs.items():
        values = [run[metric] for run in all_runs]
        figures[name] = {"p50": statistics.median(values), "least": min(values), "largest": max(values)}
    return figures


VERDICTS = {True: "met", False: "MISSED", None: "not judged"}


class Case:
    """A load: its command, in which {port} stands for the port, and what runs once before it; `facts` for the JSON.
    rate: {peer: share}, so much of that peer's rate; p99: {peer: share}, so much of its p99 at most. Both are judged by
    the median of the rounds' ratios, beside the peers that are there. peers: those that have it, or None for all."""

    peers = None

    def __init__(self, name, what, load, before=None, facts=None, rate=None, p99=None):
        self.name, self.what, self.load, self.before = name, what, load, before
        self.facts, self.targets = facts or {}, {"requests_per_s": rate or {}, "p99_us": p99 or {}}

    def names(self):
        """Its own, and those of its rows."""
        return [self.name] + [self.what + end for end, _, _, _ in ROWS.values()]

    def measure(self, peer, cpus):
        return measure(peer, self.before, self.load, cpus)

    def drop_targets(self):
        self.targets = {}

    def judge(self, metric, runs):
        """(The target's text, whether it is met or None)"""
        wanted, sign = self.targets.get(metric) or {}, ">=" if ROWS[metric][3] else "<="
        ratios = ratios_of(runs, metric)
        judged = [statistics.median(ratios[peer]) >= share if ROWS[metric][3] else
                  statistics.median(ratios[peer]) <= share for peer, share in wanted.items() if peer in ratios]
        text = ", ".join(f"{sign} {share:.0%} of {HEADINGS[peer]}" for peer, share in wanted.items())
        return text, all(judged) if judged else None

    def rows(self, heading, runs):
        rows = []
        for metric, (end, unit, digits, more) in ROWS.items():
            row = {"group": GROUP, "heading": heading, "what": self.what + end, "measurement": self.name,
                   "metric": metric, "unit": unit, "digits": digits, "better": "more" if more else "less",
                   "figures": figures_of(runs, metric)}
            row["target"], row["met"] = self.judge(metric, runs)
            if metric == "requests_per_s":
                row["ratios"] = {name: statistics.median(r) for name, r in ratios_of(runs, metric).items()}
            rows.append(row)
        return rows

    def print(self, runs, missing):
        label, rates, ratios = self.what, figures_of(runs, "requests_per_s"), ratios_of(runs, "requests_per_s")
        for name, all_runs in runs.items():
            m = {key: statistics.median(run.get(key, -1) for run in all_runs) for key in FIGURES}
            line = (f"{label:40}{HEADINGS.get(name, name):13}{m['requests_per_s']:10,.0f}{rates[name]['least']:10,.0f}"
                    f"{rates[name]['largest']:10,.0f}" +
                    "".join(f"{m[key]:9.0f}" if m[key] >= 0 else f"{'-':>9}" for key in FIGURES[1:5]) +
                    f"{m['server_cpu_us']:8.2f}{m['server_busy_percent']:5.0f}%")
            if name in ratios:
                r = ratios[name]
                line += f"  {statistics.median(r):6.1%} ({min(r):.1%} to {max(r):.1%})"
            print(line)
            label = ""
        for name, why in missing.items():
            print(f"{'':40}{HEADINGS[name]:13}{why}")
        for metric, (end, _, _, _) in ROWS.items():
            text, met = self.judge(metric, runs)
            if text:
                print(f"{'':40}target{end}: {text}: {VERDICTS[met]}")

    @staticmethod
    def print_head():
        print(f"{'':40}{'':13}{'req/s':>10}{'least':>10}{'largest':>10}{'p50 us':>9}{'p90 us':>9}{'p99 us':>9}"
              f"{'max us':>9}{'CPU us':>8}{'busy':>6}  baton / this")


def parse(description):
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    level = p.add_mutually_exclusive_group()
    level.add_argument("--quick", action="store_true", help="too few and too short rounds to be quoted")
    level.add_argument("--smoke", action="store_true",
                       help="everything once, for a moment: does it run? Rust's peers only if they have been built")
    add_choice(p)
    p.add_argument("--rounds", type=int, default=None)
    p.add_argument("--peers", default=None, metavar="NAME,...", help=f"only these of {', '.join(HEADINGS)}")
    p.add_argument("--procs", type=int, default=1, help="of baton's server")
    p.add_argument("--server-cpu", type=int, default=None)
    p.add_argument("--load-cpu", type=int, default=None)
    p.add_argument("--bin", type=pathlib.Path, default=None,
                   help="directory of the programs (default: $BATON_BENCH_DIR, else build/release/bench)")
    p.add_argument("--json", type=pathlib.Path, default=None,
                   help="where the results go, every round among them (default: in bench-results of the build "
                   "directory)")
    return p


class Suite:
    """Where the programs are and the results go, and the peers: none if there is only a list to print."""

    def __init__(self, name, args):
        self.name, self.args = name, args
        given = args.bin or pathlib.Path(os.environ.get("BATON_BENCH_DIR") or HERE.parents[1] / "build/release/bench")
        self.directory = given.resolve()
        self.report = (args.json or self.directory.parent / f"bench-results/{name}.json").resolve()
        self.built = self.directory.parent / "bench-results"  # what Go and Rust make
        self.lists = args.list or args.rows
        for folder in (self.report.parent, self.built) if not self.lists else ():
            folder.mkdir(parents=True, exist_ok=True)
        self.peers = {}

    def add_built(self, name, program, *words):
        """One that CMake builds."""
        if not self.lists and not os.access(self.directory / program, os.X_OK):
            sys.exit(f"{self.name}: not built: {self.directory / program}")
        self.add(name, Peer([self.directory / program, 0, *words]))

    def add_go(self, word):
        if self.wanted("go"):
            program, version = build_go("net", self.built)
            self.add("go", Peer([program, word, 0] if program else None, version))

    def add_rust(self, name, program, older=None):
        if self.wanted(name):
            path, version = build_rust(program, self.built, only_if_built=self.args.smoke, older=older)
            self.add(name, Peer([path, 0] if path else None, version))

    def add_installed(self, name, program, command, version, why_not=None):
        """One of the system's. command: a function of the port; version: the words that make it print its own."""
        path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")
        if path is None or why_not:
            self.add(name, Peer(None, why_not or f"{program} is not installed"))
        elif self.wanted(name):
            done = subprocess.run([path, version], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            number = re.search(r"\d+\.\d+[.\d]*", done.stdout)
            self.add(name, Peer(lambda port: command(path, port), f"{HEADINGS[name]} {number[0] if number else ''}"))

    def wanted(self, name):
        return not self.lists and (name == "baton" or self.args.peers is None or name in self.args.peers.split(","))

    def add(self, name, peer):
        if self.wanted(name):
            self.peers[name] = peer

    def present(self):
        return {name: peer for name, peer in self.peers.items() if peer.command is not None}

    def chosen(self, cases):
        words = self.args.only or [""]
        return [case for case in cases if self.args.group in (None, GROUP)
                and any(word in name for word in words for name in case.names())]

    def run(self, what, cases, rounds):
        title, there = f"{self.name}: {what}", cases
        cases = self.chosen(there)
        if self.lists:
            listing = [{"measurement": case.name, "group": GROUP, "rows": case.names()[1:]} for case in cases]
            print(json.dumps(listing) if self.args.rows else "\n".join(case.name for case in cases))
            return
        if there and not cases:
            sys.exit(f"{self.name}: nothing is called {', '.join(self.args.only)}")
        peers, rounds = self.present(), self.args.rounds or rounds
        missing = {name: peer.version for name, peer in self.peers.items() if peer.command is None}
        versions = [peer.version if peer.command else f"{HEADINGS[name]}: {peer.version}"
                    for name, peer in self.peers.items() if peer.version]
        if self.args.smoke:  # what a moment says is no ground to judge by
            for case in cases:
                case.drop_targets()
        cpus = choose_cpus(self.args.server_cpu, self.args.load_cpu)
        begin, load_before = time.monotonic(), os.getloadavg()[0]
        print(f"{title}; rounds: {rounds}; {cpus.said}\n{', '.join(versions)}", flush=True)
        for head in dict.fromkeys(case.print_head for case in cases):
            head()
        rows, raw = [], {name: {} for name in peers}
        for case in cases:
            names = [name for name in peers if case.peers is None or name in case.peers]
            runs = {name: [] for name in names}
            for number in range(rounds):
                first = number % len(names)
                for name in names[first:] + names[:first]:
                    runs[name].append(case.measure(peers[name], cpus))
            case.print(runs, missing if case.peers is None else {})
            sys.stdout.flush()
            rows += case.rows(title, runs)
            for name in names:
                raw[name][case.name] = runs[name]
        self.report.write_text(json.dumps({
            "suite": self.name, "peers": ", ".join(versions), "versions": versions, "headings": HEADINGS,
            "missing": missing, "pinning": cpus.said,
            "rounds": rounds, "load_average_before": load_before,
            "loads": {case.name: {"what": case.what, **case.facts} for case in cases}, "rows": rows,
            "raw": raw}) + "\n")
        judged = [row["met"] for row in rows if row["met"] is not None]
        targets = "" if self.args.smoke else f"{sum(judged)} of {len(judged)} targets met; "
        print(f"\n{targets}{time.monotonic() - begin:.0f} s; load average "
              f"{load_before:.1f} before, {os.getloadavg()[0]:.1f} after, on {os.cpu_count()} CPUs; every round in "
              f"{os.path.relpath(self.report)}")
        if load_before > 0.5 * os.cpu_count():
            print("other work had the CPUs, too: the CPU per request says more than the rate (bench/README.md)")
        if self.args.quick:
            print("--quick: too few and too short rounds to be quoted")
