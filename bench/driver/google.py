"""The programs that Google Benchmark drives: running them, and rows from what they leave as JSON."""
import functools
import json
import re
import statistics
import subprocess
import sys

from .rows import Row
from .targets import PAIRED, PEERS, SYNC

GROUPS = {"sched": "sched", "fiber_local": "sched", "syscall": "syscall", "sync": "sync", "locks": "sync",
          "select": "sync", "hand_over": "sync", "timer": "sync"}
NANOSECONDS = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}


def plain_name(name):
    """Without the parts that Google Benchmark adds."""
    return name.replace("/manual_time", "").replace("/real_time", "")


def shown_name(name):
    return PAIRED[name][0] if name in PAIRED else SYNC[name][0] if name in SYNC else name


@functools.cache
def names_in(program):
    done = subprocess.run([program, "--benchmark_list_tests=true"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True)
    return done.stdout.split("\n")[:-1] if done.returncode == 0 else []


def filter_for(program, words):
    """A --benchmark_filter for the benchmarks that are called or shown so, with the primitives that their rows need;
    None if there are none."""
    names = names_in(program)
    wanted = {plain_name(n) for n in names
              if any(word in plain_name(n) or word in shown_name(plain_name(n)) for word in words)}
    wanted |= {PEERS[n][0] for n in wanted if n in PEERS} | {SYNC[n][1] for n in wanted if n in SYNC and SYNC[n][1]}
    chosen = [n for n in names if plain_name(n) in wanted]
    return "^(" + "|".join(re.escape(n).replace("\\-", "-") for n in chosen) + ")$" if chosen else None


def command(program, effort, report, chosen=None):
    return [program, f"--benchmark_repetitions={effort.repetitions}", f"--benchmark_min_time={effort.min_time}",
            "--benchmark_report_aggregates_only=false", f"--benchmark_out={report}", "--benchmark_out_format=json"] + \
        ([f"--benchmark_filter={chosen}"] if chosen else [])


def per_op_ns(entry):
    if "per_op" in entry:  # a counter, in seconds
        return entry["per_op"] * 1e9
    return entry["real_time"] * NANOSECONDS[entry["time_unit"]]


def paired_row(group, name, entries):
    what, bare_name, target, judge = PAIRED.get(name, (name, "primitive", "", None))
    c = {key: statistics.median(e[key] for e in entries) for key in ("baton_ns", "bare_ns", "ratio", "extra_ns")}
    spread = (min(e["baton_ns"] for e in entries), max(e["baton_ns"] for e in entries))
    return Row(group, what, c["baton_ns"], "ns", bare=c["bare_ns"], bare_name=bare_name, ratio=c["ratio"],
               extra=c["extra_ns"] if "+" in target else None, spread=spread, target=target,
               reached=judge(c) if judge else None)


def plain_row(group, name, entries, results):
    what, primitive, bare_name, target, judge = SYNC.get(name, (name, None, "", "", None))
    values = [per_op_ns(e) for e in entries]
    ns = statistics.median(values)
    bare = statistics.median(per_op_ns(e) for e in results[primitive]) if primitive in results else None
    ratio = ns / bare if bare else None
    other, other_name = PEERS.get(name, ("", ""))
    peers = {other_name: statistics.median(per_op_ns(e) for e in results[other])} if other in results else {}
    return Row(group, what, ns, "ns", peers=peers, bare=bare, bare_name=bare_name, ratio=ratio,
               spread=(min(values), max(values)), target=target, reached=judge(ns, ratio) if judge else None)


def rows(name, report):
    """name: the program's, without _bench."""
    results = {}
    for entry in json.loads(report.read_text())["benchmarks"]:
        if entry.get("error_occurred"):
            sys.exit(f"tools/bench: {entry['name']}: {entry.get('error_message')}")
        if entry["run_type"] == "iteration":
            results.setdefault(plain_name(entry["run_name"]), []).append(entry)
    group = GROUPS.get(name, name)
    beside = {SYNC[n][1] for n in results if n in SYNC} | {PEERS[n][0] for n in results if n in PEERS}
    found = [paired_row(group, n, entries) if "baton_ns" in entries[0] else plain_row(group, n, entries, results)
             for n, entries in results.items() if n not in beside]
    pairs = any("baton_ns" in entries[0] for entries in results.values())
    for row in found:
        row.heading = f"{name}_bench" + (": beside the bare primitive" if pairs else "")
    return found
