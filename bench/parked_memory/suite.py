"""Fibers that wait, from a hundred to a million: what each of them costs in memory, and how long it takes to make them
and to wake them, in baton, in Go, with Tokio and with threads, in turns (see in_turns.py).

  bench/run_suite.py parked_memory [--quick] [--only NAME]     NAME: part of a row's or a measurement's name
  --quick     no million; too few rounds to be quoted
  --smoke     everything once, small: does it run, and is every row there?
"""

from driver.rows import Row
from in_turns import Measurement, at_most, parse, run


class Effort:
    """How long everything takes: rounds, of those with very many fibers, too; the most fibers, and the most threads;
    how long after a peak its memory is looked at."""

    def __init__(self, rounds, long_rounds, fibers, threads, wait_ms):
        self.rounds, self.long_rounds, self.fibers, self.threads = rounds, long_rounds, fibers, threads
        self.wait_ms = wait_ms


FULL = Effort(7, 3, 1_000_000, 10_000, 3_000)
QUICK = Effort(3, 1, 100_000, 1_000, 3_000)
SMOKE = Effort(1, 1, 1_000, 100, 10)

METRICS = (
    ("Memory of each fiber that waits: pages and page tables", "first_bytes", "B", 4_800),
    ("Make one and let it wait, the first time in a process", "first_create_ns", "ns", 5_000),
    ("Wake one, until it has ended, the first time", "first_wake_ns", "ns", 800),
    ("Make one, when as many have been there before", "again_create_ns", "ns", None),
    ("Wake one, when as many have been there before", "again_wake_ns", "ns", 800),
)
SMALL_STACK = 64 * 1024


def available_bytes():
    with open("/proc/meminfo") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))


def plan(effort):
    """The measurements, in the order in which a round makes them, and the rows with their headings."""
    counts = [n for n in (100, 1_000, 10_000, 100_000, 1_000_000) if n <= effort.fibers]
    if counts[-1] * 8_000 > available_bytes():
        print(f"not enough memory here for {counts.pop():,} fibers")
    measurements, cases = [], []
    for n in counts:
        peers = ["go", "tokio"] + (["threads"] if n <= effort.threads else [])
        rounds = effort.long_rounds if n >= 100_000 else None
        measurements.append(Measurement(f"parked-{n}", "parked", peers, fibers=n, rounds=rounds, why_not="too many"))
        cases.append((f"{n:,}", f"parked-{n}", False))
        if n == counts[-1]:
            name = f"parked-{n}-small"
            measurements.append(Measurement(name, "parked", [], fibers=n, stack=SMALL_STACK, rounds=rounds))
            cases.append((f"{n:,}, stacks of 64 KiB", name, n == 1_000_000))
    rows = []
    for heading, metric, unit, limit in METRICS:
        rows.append(heading)
        for what, measurement, judged in cases:
            target = at_most(p50=limit) if judged and limit else {}
            rows.append(Row(what, measurement, metric, unit, digits=0, **target))
    measurements.append(Measurement("spike", "spike", ["go", "threads"], rounds=effort.long_rounds, fibers=128,
                                    deep_mib=7, wait_ms=effort.wait_ms, procs=2, why_not="not measured"))
    rows.append("128 fibers use 7 MiB of stack each, and end: memory above what the process had before")
    rows.append(Row("while all wait", "spike", "peak_mib", "MiB", digits=0, compared=False))
    rows.append(Row(f"{effort.wait_ms / 1000:g} s after the end", "spike", "kept_mib", "MiB", **at_most(p50=20)))
    return measurements, rows


def main():
    args = parse(__doc__)
    effort = SMOKE if args.smoke else QUICK if args.quick else FULL
    measurements, rows = plan(effort)
    run("parked_memory", "memory", args, effort.rounds, measurements, rows,
        {"go": "Go", "tokio": "Tokio", "threads": "std::thread"}, {"threads": "threads_parked_memory"},
        shown=("p50",))
