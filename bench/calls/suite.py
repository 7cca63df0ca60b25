"""Calls into the kernel: from a fiber of baton, bare, in Go, with Tokio; in turns (see in_turns.py).

  bench/run_suite.py calls [--quick] [--only NAME]     NAME: part of a row's or a measurement's name
  --quick     under half a minute; too few rounds to be quoted
  --smoke     everything once, small: does it run, and is every row there? Tokio only if it has been built
"""
import os
import pathlib
import tempfile

from driver.rows import Row
from in_turns import Measurement, at_most, parse, run

MEMORY = pathlib.Path("/dev/shm")  # a tmpfs, as every Linux with glibc has it


class Effort:
    """Rounds, blocks of each measurement, a share of the operations in a block."""

    def __init__(self, rounds, blocks, share):
        self.rounds, self.blocks, self.share = rounds, blocks, share


FULL = Effort(7, 50, 1.0)
QUICK = Effort(3, 20, 0.5)
SMOKE = Effort(1, 2, 0.1)


def plan(effort, file):
    """The measurements, in the order in which a round makes them, and the rows with their headings."""
    measurements, rows = [], []

    def add(name, peers, ops, blocks=1.0, scenario=None, why_not="", **arguments):
        measurements.append(Measurement(name, scenario or name, peers, why_not=why_not, ops=int(ops * effort.share),
                                        blocks=max(1, int(effort.blocks * blocks)), **arguments))

    everybody = ["bare", "go", "tokio"]
    rows.append("A declared call that is short")
    add("getpid", ["bare", "go"], 5_000, why_not="no such call")
    rows.append(Row("getpid, declared", "getpid", "op_ns", "ns"))
    rows.append(Row("on top of the trap in the same process", "getpid", "extra_ns", "ns", **at_most(p50=6)))
    add("zero", everybody, 2_000)
    rows.append(Row("read a byte of /dev/zero", "zero", "op_ns", "ns"))
    rows.append("A write that has room")
    for size in (64, 1024):
        name = f"socket_write-{size}"
        add(name, everybody, 2_048, scenario="socket_write", size=size)
        rows.append(Row(f"TCP over loopback, {size:,} B", name, "op_ns", "ns"))
    add("file_write", everybody, 1_024, file=file)
    rows.append(Row("file in memory, 4 KiB", "file_write", "op_ns", "ns"))
    rows.append("A program, /bin/true, is started and waited for")
    target = {"target": "<= bare / 0.9, <= Go / 1.2",
              "met": lambda f: f() <= f("bare") / 0.9 and f() <= f("go") / 1.2}
    for at_once in (1, 100):
        name = f"start-{at_once}"
        add(name, ["bare", "go"], 100, blocks=0.2, scenario="start", why_not="not measured", at_once=at_once)
        rows.append(Row(f"{at_once} at once" if at_once > 1 else "one after the other", name, "op_us", "us", **target))
    return measurements, rows


def main():
    args = parse(__doc__)
    effort = SMOKE if args.smoke else QUICK if args.quick else FULL
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as scratch:
        measurements, rows = plan(effort, os.path.join(scratch, "file"))
        run("calls", "syscall", args, effort.rounds, measurements, rows, {"bare": "bare", "go": "Go", "tokio": "Tokio"},
            {"bare": "bare_calls"}, shown=("p50",))
