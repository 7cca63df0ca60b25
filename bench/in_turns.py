"""Runs scenarios of several programs in turns, A B C, B C A, ..., a fresh process for each measurement, and makes a
table of what they print (see scenario.h). Each suite.py says which, and what is wanted.

Per measurement the exact percentiles of all values of a run; printed are the medians of these over the rounds,
and as spread the least and the largest p50.
"""
import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import time

import fetched_peers
from go_peers import build_go
from rust_peers import build_rust

HERE = pathlib.Path(__file__).resolve().parent
PERCENTILES = ("p50", "p90", "p99", "max")
PATIENCE_S = 120  # with one measurement


class Measurement:
    """One run of a scenario of baton's program, and of its peers'.

    peers: those that have it, with the same arguments. instead: {peer: name of the measurement whose figures
    count here, too}. why_not: what is printed for the others, or {peer: that}. group: "" if the suite has one only.
    """

    def __init__(self, name, scenario, peers=(), instead=None, why_not="", rounds=None, group="", **arguments):
        self.name, self.scenario, self.rounds, self.group = name, scenario, rounds, group
        self.peers, self.instead, self.why_not = peers, instead or {}, why_not
        self.words = [scenario] + [f"{key}={value}" for key, value in arguments.items()]


def at_most(**limits):
    """target and met of a Row: these percentiles of baton's are at most so much."""
    return {"target": ", ".join(f"{p} <= {limit:g}" for p, limit in limits.items()),
            "met": lambda figure: all(figure(percentile=p) <= limit for p, limit in limits.items())}


def at_least(**limits):
    return {"target": ", ".join(f"{p} >= {limit:g}" for p, limit in limits.items()),
            "met": lambda figure: all(figure(percentile=p) >= limit for p, limit in limits.items())}


# ---- running ----

def measure(program, words):
    command = f"{program.name} {' '.join(words)}"
    try:
        done = subprocess.run([str(program)] + words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        sys.exit(f"{command} hangs")
    if done.returncode != 0:
        sys.stderr.write(done.stderr)
        sys.exit(f"{command} failed with {done.returncode}")
    return json.loads(done.stdout)


def run_all(measurements, rounds, programs, extra_words, derive):
    """{peer: {measurement: [values of each round]}}; programs: {peer: path, or None}."""
    raw = {peer: {} for peer in programs}
    for number in range(rounds):
        for m in measurements:
            if m.rounds is not None and number >= m.rounds:
                continue
            turns = [peer for peer, program in programs.items()
                     if program is not None and (peer == "baton" or peer in m.peers)]
            first = number % len(turns)
            for peer in turns[first:] + turns[:first]:
                words = m.words + extra_words.get(peer, [])
                values = measure(programs[peer], words)
                derive(values)
                raw[peer].setdefault(m.name, []).append(values)
        if sys.stderr.isatty():
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return raw


# ---- what comes out ----

def percentiles(samples):
    """Exact: the smallest sample that at least so many are not above."""
    ordered = sorted(samples)
    at = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {p: ordered[max(0, math.ceil(share * len(ordered)) - 1)] for p, share in at.items()}


def summary(rounds, metric):
    """Medians over the rounds of each percentile, and their spreads; None if nothing was measured."""
    each = [percentiles(values[metric]) for values in rounds if values.get(metric)]
    if not each:
        return None
    out = {p: statistics.median(e[p] for e in each) for p in PERCENTILES}
    out["spread"] = {p: [min(e[p] for e in each), max(e[p] for e in each)] for p in PERCENTILES}
    out["least"], out["largest"] = out["spread"]["p50"]
    out["samples"] = sum(len(values.get(metric, [])) for values in rounds)
    return out


def fill(rows, measurements, raw, missing):
    """[heading or result]; a result is what is written as JSON. missing: {peer: why it is not there}."""
    by_name = {m.name: m for m in measurements}
    results, heading = [], ""
    for row in rows:
        if isinstance(row, str):
            results.append(row)
            heading = row
            continue
        if row.measurement not in by_name:
            continue
        m = by_name[row.measurement]
        figures, why_not = {}, {}
        for peer in raw:
            name = m.instead.get(peer, m.name)
            shown = peer == "baton" or row.shows_peers
            figures[peer] = summary(raw[peer].get(name, []), row.metric) if shown else None
            if figures[peer] is None:
                absent = not row.shows_peers or (peer not in m.peers and peer not in m.instead)
                reason = m.why_not.get(peer) if isinstance(m.why_not, dict) else m.why_not
                why_not[peer] = (reason or "-") if absent else missing.get(peer, "-")

        unknown = []

        def figure(peer="baton", measurement=m.name, percentile="p50", metric=row.metric):
            there = summary(raw[peer].get(measurement, []), metric) if peer in raw else None
            if peer in missing:
                unknown.append(peer)
            return math.nan if there is None else there[percentile]

        ours = figures["baton"]
        ratios = {peer: ours[row.percentile] / theirs[row.percentile] for peer, theirs in figures.items()
                  if peer != "baton" and ours and theirs and min(ours[row.percentile], theirs[row.percentile]) > 0}
        met = bool(row.met(figure)) if row.met is not None and ours is not None else None
        if not met and unknown:
            met = None  # it cannot be told without that peer
        results.append({"group": m.group, "heading": heading, "what": row.name, "measurement": m.name,
                        "metric": row.metric, "unit": row.unit, "digits": row.digits,
                        "percentile": row.percentile, "compared": row.compared, "figures": figures, "ratios": ratios,
                        "why_not": why_not, "target": row.target, "met": met})
    # A heading with nothing beneath it goes.
    return [r for i, r in enumerate(results)
            if not isinstance(r, str) or (i + 1 < len(results) and not isinstance(results[i + 1], str))]


def number(value, digits):
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.0f}" if abs(value) >= 1000 else f"{value:.{digits}f}"


def print_table(results, peers, shown, peers_shown):
    """peers: {peer: heading}; shown, peers_shown: which percentiles of baton's and of theirs. ratio: baton's first one
    by the peer's."""
    above = [["", ""], "baton"] + list(peers.values()) + [["", ""]]
    head = [["", ""], list(shown) + ["spread"]] + [list(peers_shown) + ["ratio"] for _ in peers] + [["target", ""]]
    lines = [above, head]
    for r in results:
        if isinstance(r, str):
            lines.append(r)
            continue
        first = r["percentile"]

        def figures(of, percentiles):
            return [number(of[first if p == "p50" else p], r["digits"]) for p in percentiles]

        line, ours = [["  " + r["what"], r["unit"]]], r["figures"]["baton"]
        if ours is None:
            line.append("-")
        else:
            line.append(figures(ours, shown) + [" - ".join(number(v, r["digits"]) for v in ours["spread"][first])])
        for peer in peers:
            theirs = r["figures"].get(peer)
            if theirs is None:
                line.append(r["why_not"].get(peer, "-"))
            else:
                line.append(figures(theirs, peers_shown) + [f"{r['ratios'][peer]:.2f}" if peer in r["ratios"] else ""])
        lines.append(line + [[r["target"], "" if r["met"] is None else "met" if r["met"] else "MISSED"]])
    print_groups(lines)


def print_groups(lines):
    """A line is a heading, or a list of groups of columns; a group is a list of cells, or a text over all of them."""
    lists = [line for line in lines if not isinstance(line, str)]
    widths = []
    for i in range(len(lists[0])):
        cells = [line[i] for line in lists if not isinstance(line[i], str)]
        widths.append([max(map(len, column)) for column in zip(*cells)])
        longest = max(len(line[i]) if isinstance(line[i], str) else 0 for line in lists)
        widths[i][0] += max(0, longest - sum(widths[i]) - 2 * (len(widths[i]) - 1))
    for line in lines:
        if isinstance(line, str):
            print("\n" + line)
            continue
        out = []
        for i, group in enumerate(line):
            if isinstance(group, str):
                out.append(group.rjust(sum(widths[i]) + 2 * (len(widths[i]) - 1)))
            elif i in (0, len(line) - 1):
                out.append("  ".join(text.ljust(w) for text, w in zip(group, widths[i])))
            else:
                out.append("  ".join(text.rjust(w) for text, w in zip(group, widths[i])))
        print("   ".join(out).rstrip())


def add_choice(p):
    p.add_argument("--only", action="append", default=[], metavar="NAME",
                   help="measurements and rows whose name contains this; again for more")
    p.add_argument("--group", default=None, metavar="GROUP", help="only measurements of this group: sched, sync, ...")
    p.add_argument("--list", action="store_true", help="prints the measurements' names, measures nothing")
    p.add_argument("--rows", action="store_true", help="prints measurements, groups and rows as JSON, measures nothing")


def parse(description):
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    level = p.add_mutually_exclusive_group()
    level.add_argument("--quick", action="store_true")
    level.add_argument("--smoke", action="store_true")
    add_choice(p)
    p.add_argument("--rounds", type=int, default=None)
    p.add_argument("--bin", type=pathlib.Path, default=None,
                   help="directory of the programs (default: $BATON_BENCH_DIR, else build/release/bench)")
    p.add_argument("--json", type=pathlib.Path, default=None,
                   help="where the results go, every value of every round among them (default: in bench-results of "
                   "the build directory)")
    return p.parse_args()


def programs_directory(args):
    return (args.bin or pathlib.Path(os.environ.get("BATON_BENCH_DIR") or HERE.parent / "build/release/bench")).resolve()


def selected(measurements, rows, only, group=None):
    """(The measurements that are named, or that a named row needs; the names of those that are to be shown.)

    only: parts of a measurement's or a row's name, all if there are none; group: None for all."""
    words = only or [""]
    named = {m.name for m in measurements if any(word in m.name for word in words)}
    named |= {r.measurement for r in rows if not isinstance(r, str) and any(word in r.name for word in words)}
    named &= {m.name for m in measurements if group in (None, m.group)}
    # Those whose figures stand for others', too.
    wanted = named | {name for m in measurements if m.name in named for name in m.instead.values()}
    return [m for m in measurements if m.name in wanted], named


def version_of(program, heading):
    """Of a peer that CMake has built: Boost.Fiber's program says which version it is; the others have none."""
    if not program.name.startswith("boost_"):
        return heading
    done = subprocess.run([str(program), "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    fetched = (fetched_peers.PLACE / "boost").is_dir()
    return (done.stdout.strip().replace("_", ".") or heading) + fetched_peers.origin("boost", fetched)


def listing(measurements, rows):
    lines = [row for row in rows if not isinstance(row, str)]
    return [{"measurement": m.name, "group": m.group, "rows": [row.name for row in lines if row.measurement == m.name]}
            for m in measurements]


def run(suite, group, args, rounds, measurements, rows, peers, programs, shown=PERCENTILES, peers_shown=("p50",),
        extra_words=None, derive=lambda values: None):
    """suite: its name, which is also that of baton's program, of Go's package, of the report. group: of measurements
    that do not name theirs. programs: those of
    the peers that CMake builds. peers: {peer: heading}, in the order of the columns. extra_words: {peer: [word]}, with
    {baton} for its program. derive: adds to the values of a run."""
    directory = programs_directory(args)
    for m in measurements:
        m.group = m.group or group
    if args.list or args.rows:
        chosen, _ = selected(measurements, rows, args.only, args.group)
        print(json.dumps(listing(chosen, rows)) if args.rows else "\n".join(m.name for m in chosen))
        return
    baton = directory / f"baton_{suite}"
    if not os.access(baton, os.X_OK):
        sys.exit(f"{suite}: not built: {baton}")
    report = (args.json or directory.parent / f"bench-results/{suite}.json").resolve()
    report.parent.mkdir(parents=True, exist_ok=True)
    built = directory.parent / "bench-results"  # what Go and Rust make, wherever the report goes
    built.mkdir(parents=True, exist_ok=True)
    rounds = rounds if args.rounds is None else args.rounds

    begin, load_before = time.monotonic(), os.getloadavg()[0]
    everything, missing, versions = {"baton": baton}, {}, []
    for peer, heading in peers.items():
        if peer == "go":
            program, version = build_go(suite, built)
        elif peer == "tokio":
            program, version = build_rust(f"tokio_{suite}", built, only_if_built=args.smoke)
        elif os.access(directory / programs[peer], os.X_OK):
            program, version = directory / programs[peer], version_of(directory / programs[peer], heading)
        else:
            program, version = None, fetched_peers.absent(peer, "not installed")
        everything[peer] = program
        if program is None:
            missing[peer] = version
        versions.append(version if program else f"{heading}: {version}")
    measurements, named = selected(measurements, rows, args.only, args.group)
    if not measurements:
        sys.exit(f"{suite}: nothing is called {', '.join(args.only)}")
    print(f"{suite}: baton beside {', '.join(versions)}, in turns; rounds: {rounds}", flush=True)
    words = {peer: [w.format(baton=baton) for w in extra] for peer, extra in (extra_words or {}).items()}
    raw = run_all(measurements, rounds, everything, words, derive)
    results = fill([r for r in rows if isinstance(r, str) or r.measurement in named], measurements, raw, missing)
    lines = [r for r in results if not isinstance(r, str)]
    if args.smoke:  # what a moment says is no ground to judge by
        for r in lines:
            r.update(target="", met=None)
    report.write_text(json.dumps({"peers": ", ".join(versions), "versions": versions, "headings": peers,
                                  "rounds": rounds, "load_average_before": load_before, "rows": lines, "raw": raw}) +
                      "\n")
    if args.smoke:
        empty = [r["what"] for r in lines if r["figures"]["baton"] is None and r["metric"] != "ratio"]
        if empty:
            sys.exit(f"{suite}: nothing measured: " + ", ".join(empty))
    print_table(results, peers, shown, peers_shown)
    judged = [r for r in lines if r["met"] is not None]
    targets = "" if args.smoke else f"{sum(r['met'] for r in judged)} of {len(judged)} targets met; "
    print(f"\n{targets}{time.monotonic() - begin:.0f} s; load average {load_before:.1f} "
          f"before, {os.getloadavg()[0]:.1f} after, on {os.cpu_count()} CPUs; every value in "
          f"{os.path.relpath(report)}")
    if args.quick:
        print("--quick: too few rounds and calls to be quoted")
