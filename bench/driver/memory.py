"""memory_bench: a million parked fibers. What the rows are called, and their targets, it prints itself (--rows)."""
import functools
import json
import subprocess
import sys

from .rows import Row

JUDGED_STACK = 64 * 1024


def command(program, effort, report):
    report.unlink(missing_ok=True)  # it appends
    return [program, "--fibers", effort.fibers, "--json", report]


@functools.cache
def listing(program):
    done = subprocess.run([program, "--rows"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"tools/bench: {program} does not list its rows: {done.stderr.strip()}")
    return json.loads(done.stdout)


def results(report):
    return [json.loads(line) for line in report.read_text().splitlines()]


def row_of(what, r, floor):
    """A listed row with the figures of a round; floor: those of bare mappings, or None."""
    figures = {**r, "without_guard": r["fibers"] if r["guard"] == "none" else r["unguarded"]}
    row = Row(f"{r['fibers']:,} stacks of {r['stack'] // 1024} KiB, round {r['round']}: {what['name']}", group="memory",
              unit=what["unit"], baton=figures[what["figure"]])
    if floor and what["floor"]:
        row.bare, row.bare_name = floor[what["figure"]], what["floor"]
    if r["stack"] == JUDGED_STACK and r["round"] <= what["judged_rounds"]:
        limit = what["at_most"] * (r["fibers"] / 1e6 if what["for_a_million"] else 1)
        guarded = r["guard"] != "none" and r["unguarded"] == 0 and r["parked"] >= r["fibers"]
        row.target = f"<= {limit:,.6g} {what['unit']}" + (", guarded" if what["has_to_be_guarded"] else "")
        row.reached = row.baton <= limit and (guarded or not what["has_to_be_guarded"])
    return row


def rows(program, report):
    found = results(report)
    floor = {r["stack"]: r for r in found if r.get("floor")}
    return [row_of(what, r, floor.get(r["stack"]) if r["round"] == 1 else None)
            for r in found if not r.get("floor") for what in listing(program) if r["round"] <= what["rounds"]]
