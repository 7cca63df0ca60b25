"""Fibers, channels, select, locks, timers: the same workloads in baton, in Go, with Tokio, with Boost.Fiber and with
threads, in turns (see in_turns.py).

  bench/run_suite.py concurrency [--quick] [--only NAME]     NAME: part of a row's or a measurement's name
  --quick     under a minute; too few rounds to be quoted
  --smoke     everything once, small: does it run, and is every row there?
"""

from driver.rows import Row
from in_turns import Measurement, at_least, at_most, parse, run


class Effort:
    """How long everything takes: rounds, repetitions in each, a share of the operations, sleepers, those that sleep
    until one time, skynet's leaves; with how many Ps the scaling is measured."""

    def __init__(self, rounds, times, share, sleepers, storm, seconds, leaves, long_rounds, scaling):
        self.rounds, self.times, self.share, self.storm = rounds, times, share, storm
        self.sleepers, self.seconds, self.leaves, self.long_rounds = sleepers, seconds, leaves, long_rounds
        self.scaling = scaling


FULL = Effort(7, 3, 1.0, 100_000, 300_000, 4, 1_000_000, 3, (1, 2, 3, 4, 6, 8))
QUICK = Effort(3, 2, 0.3, 20_000, 100_000, 3, 100_000, 1, ())
SMOKE = Effort(1, 1, 0.001, 100, 100, 2, 100, 1, (3,))


def no_slower_than(peer):
    return {"target": f"<= {peer}", "met": lambda figure: figure() <= figure(peer)}


def ps(procs):
    return "1 P" if procs == 1 else f"{procs} Ps"


def plan(effort):
    """The measurements, in the order in which a round makes them, and the rows with their headings."""
    measurements, rows = [], []
    group = ""  # the suite's own

    def add(what, name, peers, target=None, metric="op_ns", unit="ns", **arguments):
        scenario = name.split("-")[0]
        if "ops" in arguments:
            arguments["ops"] = max(4 * arguments.get("fibers", 25), int(arguments["ops"] * effort.share))
            arguments["times"] = effort.times
        measurements.append(Measurement(name, scenario, peers, group=group, **arguments))
        rows.append(Row(what, name, metric, unit, **(target or {})))

    every = ["go", "tokio", "boost", "threads"]
    green, languages = every[:3], every[:2]
    no_channel = {"boost": "no select", "threads": "no select"}
    rows.append("Fibers: long stretches, in a process of their own")
    for procs in (1, 2):
        add(f"yield, 2 fibers, {ps(procs)}", f"yield-2-{procs}", every, fibers=2, procs=procs, ops=2_000_000)
        target = at_most(p50=30) if procs == 1 else None
        add(f"yield, 1,000 fibers, {ps(procs)}", f"yield-1000-{procs}", every, target, fibers=1000, procs=procs,
            ops=2_000_000)
        target = at_most(p50=120) if procs == 1 else None
        add(f"spawn and join, {ps(procs)}", f"spawn_join-{procs}", every, target, procs=procs, ops=200_000)
    group = "sync"
    rows.append("Channels: an item; ping-pong: a round trip")
    ping_pong = {
        1: {"target": "<= 110, or 0.25 Go", "met": lambda f: f() <= 110 or f() <= 0.25 * f("go")},
        2: at_most(p50=250),
    }
    for procs in (1, 2):
        add(f"ping-pong, no buffer, {ps(procs)}", f"ping_pong-{procs}", every, ping_pong[procs], procs=procs,
            ops=200_000)
        target = at_most(p50=25) if procs == 1 else None
        add(f"a buffer of 128, {ps(procs)}", f"items-1x1-{procs}", every, target, procs=procs, ops=1_000_000)
        target = no_slower_than("go") if procs == 2 else None
        add(f"4 producers, 4 consumers, {ps(procs)}", f"items-4x4-{procs}", every, target, producers=4, consumers=4,
            procs=procs, ops=1_000_000)
        target = at_most(p50=120) if procs == 1 else None
        add(f"select of four, buffers of 128, {ps(procs)}", f"select-ready-{procs}", languages, target, capacity=128,
            procs=procs, ops=400_000, why_not=no_channel)
        add(f"select of four, no buffers, {ps(procs)}", f"select-blocking-{procs}", languages, target, capacity=0,
            procs=procs, ops=400_000, why_not=no_channel)
    rows.append("Locks; hand-over: a round trip of two fibers")
    for procs in (1, 2):
        target = no_slower_than("go") if procs == 2 else None
        add(f"mutex, 100 fibers, {ps(procs)}", f"mutex-100-{procs}", every, target, fibers=100, procs=procs,
            ops=1_000_000)
    add("mutex, nobody else", "mutex-1", every,
        {"target": "<= 1.2 CAS pairs", "met": lambda f: f() <= 1.2 * f(measurement="cas_pair")}, fibers=1,
        ops=1_000_000)
    add("a pair of compare-and-swaps", "cas_pair", [], ops=1_000_000)
    add("shared_mutex: read lock", "read_lock", ["go", "tokio", "threads"], at_most(p50=25), ops=1_000_000)
    as_channel = {"target": "<= channel's", "met": lambda f: f() <= f(measurement="ping_pong-1")}
    add("condition_variable, 1 P", "condition-1", every, as_channel, ops=200_000)
    add("semaphore, 1 P", "semaphore-1", ["tokio", "threads"], as_channel, ops=200_000)
    rows.append("Time")
    add("timer with a function: make and stop", "timer", languages, at_most(p50=80), ops=500_000)
    late = {"target": "<= 2000", "met": lambda f: f(percentile="p99") <= 2000, "percentile": "p99"}
    measurements.append(Measurement("sleepers", "sleepers", green, rounds=effort.long_rounds, group=group,
                                    fibers=effort.sleepers, seconds=effort.seconds, why_not="too many"))
    rows.append(Row(f"{effort.sleepers:,} sleepers of 1 to 1,000 ms: how late", "sleepers", "late_us", "us"))
    rows.append(Row(f"{effort.sleepers:,} sleepers: how late, p99", "sleepers", "late_us", "us", **late))
    nowhere_else = dict.fromkeys(("tokio", "boost", "threads"), "not measured")
    for procs in (1, 2):
        name = f"storm-{procs}"
        measurements.append(Measurement(name, "storm", ["go"], rounds=effort.long_rounds, group=group,
                                        fibers=effort.storm, procs=procs, why_not=nowhere_else))
        what = f"{effort.storm:,} timers due at once, {ps(procs)}"
        rows.append(Row(f"{what}: the longest wait of a fiber that yields", name, "gap_ms", "ms", **at_most(p50=5)))
        rows.append(Row(f"{what}: the same just before", name, "before_ms", "ms", compared=False))
        rows.append(Row(f"{what}: until all have run", name, "last_ms", "ms"))
    rows.append("Contexts of requests, made and dropped by two fibers, 2 Ps")
    measurements.append(Measurement("contexts", "contexts", ["go"], group=group, procs=2, why_not=nowhere_else,
                                    ms=max(1, int(100 * effort.share)), times=effort.times))
    rows.append(Row("all below the context of one server", "contexts", "shared_ns", "ns"))
    rows.append(Row("each fiber's below one of its own", "contexts", "own_ns", "ns"))
    rows.append(Row("rate of the first by that of the second", "contexts", "share", "%", **at_least(p50=90)))
    rows.append(f"Skynet: a tree of {effort.leaves:,} leaves")
    for procs in (1, 2):
        # With two threads Boost.Fiber has no pool of stacks that can be shared: minutes.
        measurements.append(Measurement(f"skynet-{procs}", "skynet", green if procs == 1 else languages,
                                        rounds=effort.long_rounds, leaves=effort.leaves, procs=procs,
                                        why_not={"boost": "minutes", "threads": "too many"}))
        rows.append(Row(f"the first time, {ps(procs)}", f"skynet-{procs}", "first_ms", "ms"))
        target = {"target": "<= 0.6 Tokio", "met": lambda f: f() <= 0.6 * f("tokio")} if procs == 1 else {}
        rows.append(Row(f"again, {ps(procs)}", f"skynet-{procs}", "again_ms", "ms", **target))
    scaling(effort, measurements, rows)
    return measurements, rows


def scaling(effort, measurements, rows):
    """The same with more and more Ps, also more than there are CPUs: a picture of the report. Fewer rounds."""
    workloads = {
        "yield-1000": ("yield, 1,000 fibers", "yield", "op_ns", "ns", {"fibers": 1000, "ops": 2_000_000}),
        "spawn_join": ("spawn and join", "spawn_join", "op_ns", "ns", {"ops": 200_000}),
        "items-4x4": ("4 producers, 4 consumers", "items", "op_ns", "ns",
                      {"producers": 4, "consumers": 4, "ops": 1_000_000}),
        "mutex-100": ("mutex, 100 fibers", "mutex", "op_ns", "ns", {"fibers": 100, "ops": 1_000_000}),
        "skynet": ("skynet again", "skynet", "again_ms", "ms", {"leaves": max(100, effort.leaves // 10)}),
    }
    if effort.scaling:
        rows.append("Scaling: the same with so many Ps")
    for name, (what, scenario, metric, unit, arguments) in workloads.items():
        for procs in effort.scaling:
            given = dict(arguments, procs=procs)
            if "ops" in given:
                given.update(ops=max(4000, int(given["ops"] * effort.share)), times=effort.times)
            measurement = f"scaling-{name}-{procs}"
            measurements.append(Measurement(measurement, scenario, ["go"], rounds=effort.long_rounds, **given))
            rows.append(Row(f"{what}, {procs} P", measurement, metric, unit))  # the pictures know this end


def main():
    args = parse(__doc__)
    effort = SMOKE if args.smoke else QUICK if args.quick else FULL
    measurements, rows = plan(effort)
    run("concurrency", "sched", args, effort.rounds, measurements, rows,
        {"go": "Go", "tokio": "Tokio", "boost": "Boost.Fiber", "threads": "std::thread"},
        {"boost": "boost_concurrency", "threads": "threads_concurrency"}, shown=("p50",))
