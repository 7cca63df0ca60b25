"""Handoff: what happens to the other fibers, and to the caller, when a fiber blocks its thread. Each
scenario in baton, in Go and with Tokio, in turns (see in_turns.py).

  bench/run_suite.py handoff [--quick] [--only NAME]     NAME: part of a row's or a measurement's name
  --quick     under a minute; too few rounds and calls to be quoted
  --smoke     everything once: does it run, and is every row there?
"""
import os
import pathlib
import tempfile

from driver.rows import Row
from in_turns import Measurement, at_least, at_most, parse, run


class Effort:
    """How long everything takes. calls: of 10 ms; long_calls: of 100 ms."""

    def __init__(self, rounds, calls, long_calls, hog_ms, crowd, segment_ms, segments, short_ms, idle_s, idle_rounds,
                 sleeps, looks):
        self.rounds, self.calls, self.long_calls, self.hog_ms = rounds, calls, long_calls, hog_ms
        self.sleeps, self.looks = sleeps, looks
        self.crowd, self.segment_ms, self.segments, self.short_ms = crowd, segment_ms, segments, short_ms
        self.idle_s, self.idle_rounds = idle_s, idle_rounds


FULL = Effort(7, 40, 10, 1000, 1000, 500, 2, 1000, 3, 5, 200, 30)
QUICK = Effort(3, 10, 2, 500, 1000, 200, 1, 300, 3, 1, 50, 10)
SMOKE = Effort(1, 1, 1, 20, 20, 10, 1, 50, 1, 1, 2, 1)
PEERS = ["go", "tokio"]
FILE_SIZE = 16 << 20  # bytes


def of_peers(variant, kind):
    """The peers know no call sites: all variants are the same to them, and they measure the first one."""
    if variant == "learnt":
        return {"peers": PEERS}
    return {"instead": {peer: f"declared-learnt-{kind}" for peer in PEERS}}


def plan(effort, lock, file):
    """The measurements, in the order in which a round makes them, and the rows with their headings."""
    measurements, rows = [], []
    fast, swept = at_most(p50=25, p90=80), at_most(p50=700, p90=1500)
    variants = {
        "learnt": ("blocking(), learnt", fast),
        "unknown": ("blocking(), first call", fast),
        "hinted": ("blocking(will_block)", fast),
        "mispredicted": ("known short, now blocks", swept),
        "bare": ("enter_syscall, first call", swept),
    }
    for ms, calls in ((10, effort.calls), (100, effort.long_calls)):
        rows.append(f"Declared call of {ms} ms, 100 fibers yield, 1 P: until another fiber runs")
        for variant, (what, targets) in variants.items():
            name = f"declared-{variant}-{ms}ms"
            measurements.append(Measurement(name, "declared", **of_peers(variant, f"{ms}ms"), variant=variant,
                                            fibers=100, ms=ms, calls=calls))
            rows.append(Row(what, name, "first_us", "us", **targets))
        name = f"declared-learnt-{ms}ms"
        rows.append(Row("its own fiber again: after the call's end", name, "return_us", "us", shows_peers=False,
                        **at_most(p50=150)))
        rows.append(Row("its own fiber again: after the due time", name, "due_us", "us"))
    rows.append("Declared call of 10 ms, one fiber yields, 1 P: until it runs")
    for variant in ("learnt", "unknown", "hinted"):
        name = f"declared-{variant}-one"
        measurements.append(Measurement(name, "declared", **of_peers(variant, "one"), variant=variant, fibers=1, ms=10,
                                        calls=effort.calls))
        rows.append(Row(variants[variant][0], name, "first_us", "us", **at_most(p50=20)))
    measurements.append(Measurement("floor", "floor", why_not="no runtime", ms=10, calls=effort.calls))
    rows.append(Row("no runtime: two threads wake each other by turns", "floor", "wake_us", "us"))

    rows.append("Undeclared, 100 ms, 100 fibers yield, 1 P: the longest time in which none of them ran")
    for kind, peers, why_not in (("nanosleep", PEERS, ""), ("poll", PEERS, ""), ("flock", PEERS, ""),
                                 ("getaddrinfo", [], "parks or declares"), ("compute", PEERS, "")):
        name = f"undeclared-{kind}"
        measurements.append(Measurement(name, "undeclared", peers, why_not=why_not, kind=kind, fibers=100, ms=100,
                                        calls=effort.long_calls, lock=lock))
        what = "a loop that computes" if kind == "compute" else kind
        rows.append(Row(what, name, "stall_ms", "ms", **at_most(p90=12)))
    rows.append(Row("the same loop: the others' share of a core", "undeclared-compute", "share", "%",
                    **at_least(p50=30)))

    rows.append("Fibers that compute, 1 P; another one sleeps 1 ms again and again: how late it runs")
    for name, hogs, stretch_ms, what, target in (
            ("hog", 1, effort.hog_ms, "one computes on and on", at_most(p50=12)),
            ("hog-yields", 1, 100, "one computes, and yields every 100 ms", at_most(p50=12)),
            ("hogs", 2, effort.hog_ms, "two compute on and on", {})):
        measurements.append(Measurement(name, "hog", PEERS, hogs=hogs, ms=effort.hog_ms, stretch_ms=stretch_ms))
        rows.append(Row(what, name, "late_ms", "ms", digits=2, **target))

    rows.append("2 Ps; a fiber sets its timer of 1 ms, and the next one of that P computes for 8 ms: how late it runs")
    measurements.append(Measurement("late", "late", ["go"], why_not={"tokio": "a grain of 1 ms"}, procs=2,
                                    stretch_ms=8, times=effort.sleeps))
    rows.append(Row("beside an idle P", "late", "late_ms", "ms", digits=3, **at_most(p99=0.5)))

    rows.append("Three fibers that lock and unlock, each a lock of its own, 1 P: threads that are runnable")
    for kind in ("mutex", "shared_mutex"):
        measurements.append(Measurement(f"runnable-{kind}", "runnable", ["go"], why_not={"tokio": "not measured"},
                                        kind=kind, fibers=3, samples=effort.looks, every_ms=20))
        rows.append(Row(kind, f"runnable-{kind}", "runnable", "", digits=2, **at_most(p50=1.3)))

    rows.append(f"{effort.crowd:,} fibers in a declared call of 100 ms at once, 2 Ps: wall time")
    measurements.append(Measurement("crowd", "crowd", PEERS, fibers=effort.crowd, procs=2, ms=100, times=3))
    rows.append(Row("threads still to be started", "crowd", "cold_ms", "ms", **at_most(p50=200)))
    rows.append(Row("threads there", "crowd", "warm_ms", "ms", **at_most(p50=130)))
    measurements.append(Measurement("crowd_of_threads", "crowd_of_threads", why_not="no runtime", fibers=effort.crowd,
                                    ms=100, times=3))
    rows.append(Row("no runtime: a new thread for each", "crowd_of_threads", "warm_ms", "ms"))

    rows.append("64 fibers read 4 KiB each of a file in the page cache, 2 Ps")
    measurements.append(Measurement("cached_reads", "cached_reads", PEERS, fibers=64, procs=2,
                                    ms=effort.segment_ms, segments=2, file=file))
    rows.append(Row("thousands of reads per second", "cached_reads", "reads_per_s", "/ms", digits=0))
    rows.append(Row("of what bare threads read, as many as Ps", "cached_reads", "share", "%", shows_peers=False,
                    **at_least(p50=90)))
    rows.append(Row("the same of what they read in as much CPU time", "cached_reads", "cpu_share", "%",
                    shows_peers=False, **at_least(p50=90)))
    rows.append(Row("CPU time of a read", "cached_reads", "cpu_ns", "ns", digits=0))
    rows.append(Row("threads of the process", "cached_reads", "threads", "", digits=0, **at_most(max=4)))
    rows.append(Row("of these, threads that run fibers", "cached_reads", "machines", "", shows_peers=False, digits=0))
    rows.append(Row("of 100 time slices: ended by taking the P", "cached_reads", "rescued", "", shows_peers=False))

    rows.append("W + 2 fibers that block 10 ms in a loop, one that yields, W Ps: its wall time in gaps over 100 us")
    for procs in (1, 2):
        name = f"blockers-{procs}"
        measurements.append(Measurement(name, "blockers", PEERS, procs=procs, extra=2,
                                        segment_ms=effort.segment_ms, segments=effort.segments))
        rows.append(Row(f"W = {procs}: without them", name, "without", "%", digits=2, compared=False))
        rows.append(Row(f"W = {procs}: with them", name, "with", "%", digits=2))
        rows.append(Row(f"W = {procs}: more with them than without", name, "added", "points", digits=2,
                        **at_most(p50=1)))

    rows.append("What watching costs, 1 P: short declared calls at full speed; an idle process")
    for fibers, what in ((1, "nothing waits"), (10, "work waits")):
        name = f"short_calls-{fibers}"
        measurements.append(Measurement(name, "short_calls", ["go"], why_not={"go": "not counted", "tokio": "none"},
                                        fibers=fibers, ms=effort.short_ms))
        rows.append(Row(f"{what}: retakes per 10,000 calls", name, "retakes", "", shows_peers=False, digits=3,
                        **at_most(max=1)))
        rows.append(Row(f"{what}: CPU of monitor, sysmon", name, "watcher_percent", "%", digits=2))
        rows.append(Row(f"{what}: wakes of it per second", name, "watcher_wakes", "/s"))
        rows.append(Row(f"{what}: its CPU / a bare thread's, same pace", name, "ratio", "x", **at_most(p50=1.2),
                        shows_peers=False, digits=2))
    measurements.append(Measurement("idle", "idle", PEERS, rounds=effort.idle_rounds, seconds=effort.idle_s))
    rows.append(Row(f"idle for {effort.idle_s} s: CPU of the process", "idle", "cpu_ms", "ms", digits=3,
                    **at_most(p50=0.1)))
    return measurements, rows


def derive(values):
    if "with" in values:
        values["added"] = [a - b for a, b in zip(values["with"], values["without"])]


def main():
    args = parse(__doc__)
    effort = SMOKE if args.smoke else QUICK if args.quick else FULL
    with tempfile.TemporaryDirectory() as scratch:
        file = pathlib.Path(scratch) / "file"
        file.write_bytes(os.urandom(FILE_SIZE))  # and so it is in the page cache
        measurements, rows = plan(effort, os.path.join(scratch, "lock"), file)
        run("handoff", "handoff", args, effort.rounds, measurements, rows, {"go": "Go", "tokio": "Tokio"}, {},
            peers_shown=("p50", "p90"), extra_words={peer: ["holder={baton}"] for peer in PEERS}, derive=derive)
