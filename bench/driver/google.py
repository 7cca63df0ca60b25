"""The programs that Google Benchmark drives: running them, and rows from what they leave as JSON. What a row is called,
what stands beside it and its target come from the program itself, which prints that for `--rows` (see rows.h)."""
import dataclasses
import functools
import json
import re
import statistics
import subprocess
import sys

from .rows import Row

NANOSECONDS = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}


def plain_name(name):
    """Without the parts that Google Benchmark adds."""
    return name.replace("/manual_time", "").replace("/real_time", "")


@dataclasses.dataclass
class Listed:
    """A row as its program lists it. primitive, peer: the benchmark that stands beside it, or "" if there is none or
    if the pair measures it. any_of: [(figure, at most)]: one of them has to hold."""
    row: Row
    pair: bool
    primitive: str
    peer: str
    peer_name: str
    any_of: list

    def reached(self, **figures):
        if not self.any_of:
            return None
        return any(figures[which] is not None and figures[which] <= limit for which, limit in self.any_of)


@functools.cache
def listing(program):
    """(group, {benchmark: Listed}), in the order in which they are measured."""
    done = subprocess.run([program, "--rows"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"tools/bench: {program} does not list its rows: {done.stderr.strip()}")
    found = json.loads(done.stdout)
    rows = {}
    for r in found["rows"]:
        row = Row(r["name"], group=found["group"], unit=r["unit"], target=r["target"], bare_name=r["primitive"]["name"])
        rows[r["benchmark"]] = Listed(row, r["pair"], r["primitive"]["benchmark"], r["peer"]["benchmark"],
                                      r["peer"]["name"], r["any_of"])
    return found["group"], rows


def group_of(program):
    return listing(program)[0]


def filter_for(program, words):
    """A --benchmark_filter for the benchmarks that are called or shown so, with the primitives that their rows need;
    None if there are none."""
    rows = listing(program)[1]
    wanted = {n for n, listed in rows.items() if any(word in n or word in listed.row.name for word in words)}
    wanted |= {other for n in wanted for other in (rows[n].primitive, rows[n].peer) if other}
    chosen = [re.escape(n).replace("\\-", "-") for n in rows if n in wanted]
    return "^(" + "|".join(chosen) + ")(/manual_time)?$" if chosen else None


def command(program, effort, report, chosen=None):
    return [program, f"--benchmark_repetitions={effort.repetitions}", f"--benchmark_min_time={effort.min_time}",
            "--benchmark_report_aggregates_only=false", f"--benchmark_out={report}", "--benchmark_out_format=json"] + \
        ([f"--benchmark_filter={chosen}"] if chosen else [])


def per_op_ns(entry):
    if "per_op" in entry:  # a counter, in seconds
        return entry["per_op"] * 1e9
    return entry["real_time"] * NANOSECONDS[entry["time_unit"]]


def paired_row(listed, entries):
    c = {key: statistics.median(e[key] for e in entries) for key in ("baton_ns", "bare_ns", "ratio", "extra_ns")}
    spread = (min(e["baton_ns"] for e in entries), max(e["baton_ns"] for e in entries))
    return dataclasses.replace(listed.row, baton=c["baton_ns"], bare=c["bare_ns"], ratio=c["ratio"],
                               extra=c["extra_ns"] if "+" in listed.row.target else None, spread=spread,
                               reached=listed.reached(ns=c["baton_ns"], ratio=c["ratio"], extra=c["extra_ns"]))


def plain_row(listed, entries, results):
    values = [per_op_ns(e) for e in entries]
    ns = statistics.median(values)
    bare = statistics.median(map(per_op_ns, results[listed.primitive])) if listed.primitive in results else None
    ratio = ns / bare if bare else None
    peers = {}
    if listed.peer in results:
        peers[listed.peer_name] = statistics.median(map(per_op_ns, results[listed.peer]))
    return dataclasses.replace(listed.row, baton=ns, peers=peers, bare=bare, ratio=ratio,
                               spread=(min(values), max(values)),
                               reached=listed.reached(ns=ns, ratio=ratio, extra=ns - bare if bare else None))


def rows(program, report):
    results = {}
    for entry in json.loads(report.read_text())["benchmarks"]:
        if entry.get("error_occurred"):
            sys.exit(f"tools/bench: {entry['name']}: {entry.get('error_message')}")
        if entry["run_type"] == "iteration":
            results.setdefault(plain_name(entry["run_name"]), []).append(entry)
    listed = {n: row for n, row in listing(program)[1].items() if n in results}
    beside = {other for row in listed.values() for other in (row.primitive, row.peer)}
    found = [paired_row(row, results[n]) if "baton_ns" in results[n][0] else plain_row(row, results[n], results)
             for n, row in listed.items() if n not in beside]
    heading = program.name + (": beside the bare primitive" if any(row.pair for row in listed.values()) else "")
    return [dataclasses.replace(row, heading=heading) for row in found]
