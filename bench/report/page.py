"""bench/report.html: one page with everything in it, from the JSON files of bench-results/."""
import html
import json
import os
import pathlib
import re

from driver import machine, memory
from driver.rows import columns

from . import bars, gnuplot, pictures

GROUPS = {"sched": "Fibers and the scheduler", "sync": "Channels, select, locks, timers", "syscall": "System calls",
          "handoff": "Calls that block: handing the processor over", "net": "Network", "memory": "Memory"}
# Above rows that have no heading of their own; those of other results have their name.
TITLES = {"echo": "echo: TCP, one message under way in each connection", "http": "http: GET, keep-alive",
          "churn": "churn: connect, one request, close", "udp": "udp: UDP echo, one datagram under way for each socket"}
STYLE = (pathlib.Path(__file__).parent / "style.css").read_text()


def read(path):
    try:
        return json.loads(path.read_text())
    except ValueError:
        return {}  # memory_bench leaves a line for each result


def clear(name, row):
    """The row with a heading, and with a name that says of what there are so many."""
    row.heading = row.heading or TITLES.get(name, name)
    if row.group == "memory":
        row.name = re.sub(r"^(\d{1,3}(?:,\d{3})*)(?=$|, |: )", r"\1 fibers", row.name)
    return row


def suites_in(out, readers):
    """{name of the results: (rows, what the file holds)}, of what is there."""
    found = {}
    for name, rows in readers.items():
        path = out / f"{name}.json"
        if path.exists():
            found[name] = ([clear(name, row) for row in rows(path)], read(path))
    return found


def draw(found, out, here):
    """Every picture that there are results for."""
    if not gnuplot.there():
        return []
    rows = [r for part, _ in found.values() for r in part if not r.heading.startswith("Scaling")]
    drawn = []
    for group in GROUPS:
        drawn.append(bars.bars(group, rows, f"bars-{group}", f"{GROUPS[group]}: peers beside baton",
                               "Each bar is a peer, with its own figure at the end; baton's figure is at the left, and "
                               "is the line at 1. The length says how many times better baton's is. A bar to the left "
                               "of 1 is a row that baton loses."))
        drawn.append(bars.bars(group, rows, f"bars-{group}-bare", f"{GROUPS[group]}: the bare primitive beside baton",
                               "A primitive does less on purpose: no queue, no join, no guard. These show how much "
                               "is left of its speed; bars to the left of 1 are what is to be expected."))
        for name, (part, report) in found.items():
            if "raw" in report and name.startswith(group) and group == "handoff":
                drawn.append(pictures.handoff_cdf(report))
            elif group == "sched" and any(r.heading.startswith("Scaling") for r in part):
                drawn.append(pictures.scaling(report, here))
            elif group == "net" and any(r.group == "net" for r in part):
                drawn.append(pictures.throughput(name, report))
    bench = memory.results(out / "memory_bench.json") if "memory_bench" in found else []
    suite = next((report for name, (_, report) in found.items() if name == "parked_memory"), {})
    drawn.append(pictures.memory(suite, bench))
    return [p for p in drawn if p]


def row_html(row):
    name, ours, spread, beside, ratio, target, verdict = map(html.escape, columns(row))
    lost = bool(row.lost_to())
    kind = "missed" if row.reached is False else "lost" if lost else "reached" if row.reached else ""
    return (f'<tr class="{kind}"><td>{name}</td><td class="n">{ours}</td><td class="n">{spread}</td><td>{beside}</td>'
            f'<td class="n">{ratio}</td><td>{target}</td><td class="v">{verdict}</td></tr>')


def table_html(rows):
    lines = ['<div class="wide"><table><thead><tr><th>row</th><th>baton</th><th>spread</th>'
             '<th>beside it, same unit</th><th>ratio</th><th>target</th><th></th></tr></thead><tbody>']
    above = (rows[0].group, "") if rows else None
    for row in rows:
        if (row.group, row.heading) != above:
            above = (row.group, row.heading)
            heading = row.heading or GROUPS.get(row.group, row.group)  # not to stand under another group's
            lines.append(f'<tr><th colspan="7" class="h">{html.escape(heading)}</th></tr>')
        lines.append(row_html(row))
    return "\n".join(lines + ["</tbody></table></div>"])


def origin_html(found, runs, out, page):
    """How each file came about, with a link to it."""
    lines = ['<div class="wide"><table><thead><tr><th>results</th><th>date</th><th>commit</th><th>command</th>'
             '<th>repetitions</th><th>load before</th><th>beside baton</th></tr></thead><tbody>']
    for name, (_, report) in found.items():
        run = runs.get(name, {})
        link = os.path.relpath(out / f"{name}.json", page.parent)
        load = run.get("load_average_before", report.get("load_average_before"))
        count = f"{report['rounds']} rounds" if report.get("rounds") else ""
        cells = (run.get("date", "?"), run.get("commit", "?"), run.get("command", "?"),
                 f"{run.get('level', '?')} {count}", "" if load is None else f"{load:.1f}",
                 report.get("peers") if isinstance(report.get("peers"), str) else ", ".join(report.get("peers", ())))
        lines.append(f'<tr><td><a href="{html.escape(link)}">{html.escape(name)}.json</a></td>' +
                     "".join(f"<td>{html.escape(str(c))}</td>" for c in cells) + "</tr>")
    return "\n".join(lines + ["</tbody></table></div>"])


def write(page, out, readers):
    """Makes the page and out/pictures/*.svg; False if there are no results."""
    found = suites_in(out, readers)
    if not found:
        return False
    runs_file = out / "runs.json"
    runs = json.loads(runs_file.read_text()) if runs_file.exists() else {}
    here = max(runs.values(), key=lambda run: run["date"]) if runs else machine.describe()
    drawn = draw(found, out, here)
    folder = out / "pictures"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    for picture in drawn:
        (folder / f"{picture.name}.svg").write_text(gnuplot.standalone(picture.svg))

    rows = [row for part, _ in found.values() for row in part]
    judged = [row for row in rows if row.reached is not None]
    lost = [row for row in rows if row.lost_to()]
    there = {r.group for r in rows}
    groups = [g for g in GROUPS if g in there] + sorted(there - set(GROUPS))
    quick = sorted({run["level"] for name, run in runs.items() if name in found} - {"full"})
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>baton: benchmarks</title>',
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">',
        f"<style>{STYLE}</style></head><body><h1>baton: benchmarks</h1>",
        f"<p>{sum(r.reached for r in judged)} of {len(judged)} targets reached; {len(lost)} of {len(rows)} rows lost "
        "to a peer. The figures are medians; spread is the least and the largest repetition (of suites: the least and "
        "the largest p50 of the rounds). bench/README.md says how each number is taken, and what it does not say.</p>",
    ]
    if quick:
        parts.append('<p class="warn">Some of this is of a quick run: too few repetitions to be quoted.</p>')
    if not gnuplot.there():
        parts.append('<p class="warn">There is no gnuplot here, so there are no pictures.</p>')
    facts = (("machine", f"{here['cpu']}, {here['cpus']} CPUs" + (", virtual" if here["virtual"] else "")),
             ("kernel", f"Linux {here['kernel']}"), ("compiler", here["compiler"]), ("commit", here["commit"]),
             ("date", here["date"]), ("peers", ", ".join(dict.fromkeys(version for _, report in found.values()
                                                                       for version in report.get("versions", ())))))
    parts.append("<dl>" + "".join(f"<dt>{k}</dt><dd>{html.escape(v)}</dd>" for k, v in facts if v) + "</dl>")
    parts.append("<nav>" + " · ".join(f'<a href="#{g}">{html.escape(GROUPS.get(g, g))}</a>' for g in groups) +
                 ' · <a href="#lost">lost rows</a> · <a href="#results">raw results</a></nav>')
    for group in groups:
        parts.append(f'<h2 id="{group}">{html.escape(GROUPS.get(group, group))}</h2>')
        parts += [f"<figure>{p.svg}<figcaption>{html.escape(p.text)}</figcaption></figure>"
                  for p in drawn if p.group == group]
        parts.append(table_html([row for row in rows if row.group == group]))
    parts.append('<h2 id="lost">Rows that baton loses</h2>')
    parts.append(table_html(lost) if lost else "<p>None.</p>")
    parts.append('<h2 id="results">Raw results</h2>' + origin_html(found, runs, out, page))
    page.write_text("\n".join(parts) + "\n</body></html>\n")
    return True
