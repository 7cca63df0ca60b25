"""memory_bench: a million parked fibers."""
import json

from .rows import Row


def command(program, effort, report):
    report.unlink(missing_ok=True)  # it appends
    return [program, "--fibers", effort.fibers, "--json", report]


def results(report):
    return [json.loads(line) for line in report.read_text().splitlines()]


def rows(report):
    rows, floor = [], {}
    for r in results(report):
        if r.get("floor"):
            floor[r["stack"]] = r
            continue
        share = r["fibers"] / 1e6
        bare = floor.get(r["stack"]) if r["round"] == 1 else None
        which = f"{r['fibers']:,} stacks of {r['stack'] // 1024} KiB, round {r['round']}"
        judged = r["stack"] == 64 * 1024
        first = judged and r["round"] == 1
        guarded = r["guard"] != "none" and r["unguarded"] == 0 and r["parked"] >= r["fibers"]
        row = Row("memory", f"{which}: memory per parked fiber", r["bytes_per_fiber"], "B")
        if bare:
            row.bare, row.bare_name = bare["bytes_per_fiber"], "a page each"
        if first:
            row.target, row.reached = "<= 4,800 B, guarded", r["bytes_per_fiber"] <= 4800 and guarded
        rows.append(row)
        row = Row("memory", f"{which}: create", r["create_s"], "s")
        if bare:
            row.bare, row.bare_name = bare["create_s"], "a page touched each"
        if first:
            row.target, row.reached = f"<= {5 * share:g} s", r["create_s"] <= 5 * share
        rows.append(row)
        row = Row("memory", f"{which}: wake and finish", r["wake_s"], "s")
        if judged:
            row.target, row.reached = f"<= {0.8 * share:g} s", r["wake_s"] <= 0.8 * share
        rows.append(row)
        if r["round"] == 1:
            unguarded = r["fibers"] if r["guard"] == "none" else r["unguarded"]
            rows.append(Row("memory", f"{which}: stacks without a guard", unguarded, ""))
            rows.append(Row("memory", f"{which}: threads of the process", r["threads"], ""))
    return rows
