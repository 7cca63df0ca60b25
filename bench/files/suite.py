"""Files and pipes: baton beside the same in plain C, in one process, and beside Go, in turns (see in_turns.py).

  bench/run_suite.py files [--quick] [--only NAME]     NAME: part of a row's or a measurement's name
  --quick     under a minute; too few rounds to be quoted
  --smoke     everything once, small: does it run, and is every row there?

The files are made in bench-results/ of the build directory, which should be on a disk: up to 2.8 GB for the time of the
run.
"""
import os
import pathlib
import tempfile

from driver.rows import Row
from in_turns import Measurement, at_least, at_most, parse, programs_directory, run, selected


class Effort:
    """Rounds, blocks of each measurement; reads and round trips of a block; what is copied, in MiB; lines."""

    def __init__(self, rounds, blocks, reads, trips, copied_mib, lines):
        self.rounds, self.blocks, self.reads, self.trips = rounds, blocks, reads, trips
        self.copied_mib, self.lines = copied_mib, lines


FULL = Effort(7, 6, 8_192, 20_000, 1024, 10_000_000)
QUICK = Effort(3, 3, 4_096, 5_000, 256, 1_000_000)
SMOKE = Effort(1, 1, 64, 20, 1, 1_000)
DIRECT_MIB = 256
LINE = bytes(ord("a") + i % 26 for i in range(40)) + b"\n"
NO_SLOWER = {"target": "<= Go", "met": lambda figure: figure() <= figure("go")}


def file_sizes(effort):
    """{name: bytes}"""
    return {"direct": (1 if effort is SMOKE else DIRECT_MIB) << 20, "cached": 1 << 20,
            "copied": effort.copied_mib << 20, "lines": effort.lines * len(LINE)}


def ps(procs):
    return "1 P" if procs == 1 else f"{procs} Ps"


def plan(effort, scratch):
    """The measurements, in the order in which a round makes them, and the rows with their headings."""
    measurements, rows = [], []

    def add(name, scenario, **arguments):
        measurements.append(Measurement(name, scenario, ["go"], blocks=effort.blocks, **arguments))

    def add_rows(what, name, metric, unit, bare, share=None, target=None):
        rows.append(Row(what, name, metric, unit, **(target or {})))
        rows.append(Row(f"{what}: rate of {bare}", name, "share", "%", shows_peers=False,
                        **(at_least(p50=share) if share else {})))

    rows.append("4 KiB with O_DIRECT at random places, 64 fibers")
    for procs in (1, 2):
        name = f"direct_read-{procs}"
        add(name, "direct_read", procs=procs, ops=effort.reads, file=scratch / "direct")
        add_rows(f"a read, {ps(procs)}", name, "op_us", "us", "a loop over io_uring", 90)
        rows.append(Row(f"threads of the process, {ps(procs)}", name, "threads", "", digits=0,
                        **at_most(max=procs + 3)))
    rows.append("Files in the page cache, 1 P")
    add("cached_read", "cached_read", ops=effort.trips, file=scratch / "cached")
    add_rows("a read of 4 KiB", "cached_read", "op_ns", "ns", "pread", 90)
    add("copy", "copy", file=scratch / "copied", to=scratch / "copy")
    add_rows(f"copy of {effort.copied_mib:,} MiB", "copy", "op_ms", "ms", "cp", 95)
    add("read_line", "read_line", file=scratch / "lines")
    add_rows(f"a line of 40 bytes, of {effort.lines:,}", "read_line", "op_ns", "ns", "getline", 80)
    rows.append("A byte there and back through two pipes")
    for name, what, bare in (("pipe", "two fibers", "two threads"),
                             ("pipe_child", "a fiber and a child", "a thread and a child")):
        for procs in (1, 2):
            add(f"{name}-{procs}", name, procs=procs, ops=effort.trips)
            add_rows(f"{what}, {ps(procs)}", f"{name}-{procs}", "op_us", "us", bare, target=NO_SLOWER)
    return measurements, rows


def make(path, size, cached):
    """A file of lines; the kernel has written it to the disk, and only if `cached` it stays in the page cache."""
    part = LINE * 25_000
    with open(path, "wb") as file:
        for begin in range(0, size, len(part)):
            file.write(part[:size - begin])
        file.flush()
        os.fsync(file.fileno())
        if not cached:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def run_with(args, effort, scratch):
    measurements, rows = plan(effort, scratch)
    chosen, _ = selected(measurements, rows, args.only, args.group)
    wanted = {word.partition("=")[2] for m in chosen for word in m.words if word.startswith("file=")}
    for name, size in file_sizes(effort).items():
        if str(scratch / name) in wanted and not (args.list or args.rows):
            make(scratch / name, size, name != "direct")
    run("files", "syscall", args, effort.rounds, measurements, rows, {"go": "Go"}, {}, shown=("p50",),
        extra_words={peer: ["child={baton}"] for peer in ("baton", "go")})


def main():
    args = parse(__doc__)
    effort = SMOKE if args.smoke else QUICK if args.quick else FULL
    if args.list or args.rows:
        return run_with(args, effort, pathlib.Path())
    results = programs_directory(args).parent / "bench-results"
    results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="files-", dir=results) as scratch:
        run_with(args, effort, pathlib.Path(scratch))
