"""The pictures of the report, each from what the suites have left. A picture without data is left out."""
import dataclasses
import re

from driver.suites import HEADINGS, heading

from . import gnuplot
from .gnuplot import Entry, block, line, quoted, tics_at

WIDTH = 960


@dataclasses.dataclass
class Picture:
    name: str
    group: str
    title: str
    text: str
    svg: str


def peers_of(report):
    """Those with values, baton first."""
    known = list(HEADINGS)
    return sorted(report.get("raw", {}), key=lambda peer: (
        peer != "baton", known.index(peer) if peer in HEADINGS else len(known), peer))


def name_of(peer, report):
    return "baton" if peer == "baton" else heading(peer, report)


# ---- handoff: distributions ----

PANELS = (("declared-learnt-one", "call of 10 ms, one fiber waits"),
          ("declared-learnt-10ms", "call of 10 ms, 100 fibers wait"),
          ("declared-learnt-100ms", "call of 100 ms, 100 fibers wait"))


def pooled(report, peer, measurement, metric):
    return sorted(v for values in report["raw"].get(peer, {}).get(measurement, []) for v in values.get(metric, []))


def steps(values):
    """Points of the distribution: at most 400 of them."""
    stride = max(1, len(values) // 400)
    points = [(values[0], 0)] + [(v, 100 * (i + 1) / len(values)) for i, v in enumerate(values)
                                 if i % stride == 0 or i == len(values) - 1]
    return [f"{max(v, 0.1):.6g} {share:.5g}" for v, share in points]


def in_words(us):
    return f"{us:g} µs" if us < 1e3 else f"{us / 1e3:g} ms" if us < 1e6 else f"{us / 1e6:g} s"


def handoff_cdf(report):
    panels = []
    for measurement, what in PANELS:
        curves = [(name_of(peer, report), gnuplot.style(name_of(peer, report)),
                   pooled(report, peer, measurement, "first_us")) for peer in peers_of(report)]
        misjudged = pooled(report, "baton", measurement.replace("learnt", "mispredicted"), "first_us")
        curves.insert(1, ("baton, a site known short", (gnuplot.style("baton")[0], "(3,3)", 7), misjudged))
        floor = pooled(report, "baton", "floor", "wake_us")
        curves.append(("no runtime: two threads", (gnuplot.INK, "(1,3)", 1), floor))
        curves = [c for c in curves if c[2]]
        if curves and pooled(report, "baton", measurement, "first_us"):
            panels.append((what, curves))
    if not panels:
        return None
    title = "Handoff: time until another fiber runs, after a declared call has blocked the thread (1 P)"
    everything = [v for _, curves in panels for _, _, values in curves for v in values]
    low, high = max(1, min(everything) / 1.5), max(everything) * 1.5
    tics = gnuplot.log_tics(low, high, WIDTH * 0.9 / len(panels), in_words)
    commands = ""
    for p, (_, curves) in enumerate(panels):
        for i, (_, _, values) in enumerate(curves):
            commands += block(f"d{p}_{i}", steps(values))
    height, styles = 400, {name: how for _, curves in panels for name, how, _ in curves}
    entries = [Entry(name, colour, dash) for name, (colour, dash, _) in styles.items()]
    beside, top = gnuplot.legend("handoff-cdf", entries, WIDTH)
    commands += (f"set multiplot layout 1,{len(panels)} "
                 f"margins 0.07,0.985,0.15,{1 - (top + 40) / height:.4f} spacing 0.035\nset logscale x\n"
                 f"set xrange [{low:.4g}:{high:.4g}]\nset yrange [0:100]\n"
                 f"set xtics {gnuplot.tics_command(tics)} nomirror\n"
                 "set xlabel 'time until another fiber runs (log)'\n")
    for p, (what, curves) in enumerate(panels):
        commands += f"set title {quoted(what)}\n"
        commands += ("set ylabel 'share of the calls, %'\nset format y '%g'\n" if p == 0 else
                     "unset ylabel\nset format y ''\n")
        commands += "plot " + ", ".join(f"$d{p}_{i} using 1:2 with steps linewidth 2.2 linecolor rgb '{colour}' "
                                        f"dashtype {dash}" for i, (_, (colour, dash, _), _) in enumerate(curves))
        commands += "\n"
    commands += "unset multiplot\n"
    text = ("Every value of every round. Further left is better, and a steep curve is a sure one. Dotted: what two "
            "bare threads take to wake each other on this machine in the same minutes.")
    return Picture("handoff-cdf", "handoff", title, text,
                   gnuplot.draw("handoff-cdf", WIDTH, height, commands, gnuplot.title(title, WIDTH) + beside))


# ---- scaling ----

def scaling(report, machine):
    found = {}
    for row in report["rows"]:
        match = re.fullmatch(r"scaling-(.+)-(\d+)", row["measurement"])
        for peer, figures in row["figures"].items() if match else ():
            if figures is not None:
                what = re.sub(r",? \d+ P$", "", row["what"])
                curves = found.setdefault((what, row["unit"]), {})
                curves.setdefault(name_of(peer, report), {})[int(match[2])] = figures
    if not found:
        return None
    names = sorted({n for curves in found.values() for n in curves}, key=lambda n: (n != "baton", n))
    most = max(procs for curves in found.values() for values in curves.values() for procs in values)
    title = f"Scaling: time of an operation with 1 to {most} Ps"
    across, down = 3, (len(found) + 2) // 3
    commands = ""
    for p, curves in enumerate(found.values()):
        for name, values in curves.items():
            beside = 0.14 * (names.index(name) - (len(names) - 1) / 2)  # so that a spread does not hide another
            commands += block(f"d{p}_{names.index(name)}",
                              [f"{procs + beside:.2f} {f['p50']:.6g} {f['least']:.6g} {f['largest']:.6g}"
                               for procs, f in sorted(values.items())])
    procs = sorted({n for curves in found.values() for values in curves.values() for n in values})
    beside, top = gnuplot.legend("scaling", [Entry.of(n) for n in names], WIDTH)
    above, below, panel = 46, 74, 180
    height = top + 14 + (above + panel + below) * down
    commands += (f"set multiplot layout {down},{across} margins 0.07,0.985,{below / height:.4f},"
                 f"{1 - (top + 14 + above) / height:.4f} spacing 0.085,{(above + below) / height:.4f}\n"
                 f"set xrange [{min(procs) - 0.4}:{max(procs) + 0.4}]\n"
                 f"set xtics ({tics_at((str(n), n) for n in procs)})\nset xlabel 'Ps: fibers that run at a time'\n")
    cpus = machine["cpus"]
    for (what, unit), curves in found.items():
        p = list(found).index((what, unit))
        highest = max(f["largest"] for values in curves.values() for f in values.values())
        commands += (f"set title {quoted(what)} offset 0,0.2\nset yrange [0:{highest * 1.12:.4g}]\nunset arrow\n"
                     f"set ylabel {quoted(('a tree, ' if 'skynet' in what else 'an operation, ') + unit)} offset 1.5\n"
                     f"set arrow from {cpus}, graph 0 to {cpus}, graph 1 nohead linecolor rgb '#888888' "
                     "dashtype (5,4)\n"
                     f"set label 1 {quoted(f'{cpus} CPUs here')} at {cpus}, graph 1 center offset 0,0.6 "
                     f"textcolor rgb '{gnuplot.INK}' font ',11'\n")
        commands += "plot " + ", ".join(
            f"$d{p}_{names.index(n)} using 1:2:3:4 with yerrorlines {line(n, 2)}" for n in curves) + "\n"
    commands += "unset multiplot\n"
    text = (f"This machine has {cpus} CPUs: more Ps than that cannot be quicker, but must not be much slower. Medians, "
            "with the least and the largest round.")
    return Picture("scaling", "sched", title, text,
                   gnuplot.draw("scaling", WIDTH, height, commands, gnuplot.title(title, WIDTH) + beside))


# ---- memory, throughput: lines over a number ----

BYTES = {"B": 1, "KB": 1e3, "kB": 1e3, "KiB": 1024, "MB": 1e6, "MiB": 2**20}
OTHER_STACKS = ", stacks of 64 KiB"


def numbers_in(text):
    return [int(n.replace(",", "")) for n in re.findall(r"\d[\d,]*", text)]


def memory(report, bench):
    """report: of the suite, if it has run; bench: the lines of memory_bench."""

    def per_fiber(row):
        return row["unit"] in BYTES

    def count(row):
        found = [n for n in numbers_in(row["measurement"]) + numbers_in(row["what"]) if 100 <= n <= 1_000_000]
        exponents = [10 ** int(e) for e in re.findall(r"1e(\d)", row["measurement"])]
        return max(found + exponents, default=None)

    curves = {}
    for row in report.get("rows", ()):
        if per_fiber(row) and count(row):
            other_stacks = OTHER_STACKS if row["measurement"].endswith("-small") else ""
            for peer, figures in row["figures"].items():
                if figures is not None:
                    name = name_of(peer, report) + other_stacks
                    curves.setdefault(name, {})[count(row)] = figures["p50"] * BYTES[row["unit"]]
    if not curves.get("baton"):
        for r in bench:
            if not r.get("floor") and r["round"] == 1 and r["stack"] == 64 * 1024:
                curves.setdefault("baton", {})[r["fibers"]] = r["bytes_per_fiber"]
    if max((len(values) for values in curves.values()), default=0) < 2:
        return None
    title = "Memory of a parked fiber: resident, page tables among it"
    names = sorted(curves, key=lambda n: (n == "baton", n.endswith(OTHER_STACKS)))  # what is drawn last lies on top
    commands = "".join(block(f"d{i}", [f"{x} {y:.6g}" for x, y in sorted(curves[n].items())])
                       for i, n in enumerate(names))
    values = [y for c in curves.values() for y in c.values()]
    xs = sorted({x for c in curves.values() for x in c})
    low, high = min(values + [4096]) / 1.4, max(values + [8192]) * 1.4
    tics = [(v, t) for v, t in ((128, "128 B"), (256, "256 B"), (512, "512 B"), (1024, "1 KiB"), (2048, "2 KiB"),
                                (4096, "4 KiB: a page"), (8192, "8 KiB"), (16384, "16 KiB"), (32768, "32 KiB"),
                                (65536, "64 KiB"), (131072, "128 KiB"))
            if low <= v <= high]
    plots, entries = [], {}
    for i, n in enumerate(names):
        colour, dash, mark = gnuplot.style(n.removesuffix(OTHER_STACKS))
        entry = Entry(n, colour, dash, mark)
        if n.endswith(OTHER_STACKS):
            entry = Entry(n, colour, "(3,3)", 4, 1.5)
        if len(curves[n]) < 2:
            entry.dash = None
        entries[n] = entry
        line_of = f"linespoints linewidth 2.4 dashtype {entry.dash}" if entry.dash else "points linewidth 2.4"
        plots.append(f"$d{i} using 1:2 with {line_of} linecolor rgb '{colour}' pointtype {entry.mark} "
                     f"pointsize {entry.size}")
    height = 460
    shown = sorted(names, key=lambda n: (not n.startswith("baton"), n))
    beside, top = gnuplot.legend("memory", [entries[n] for n in shown], WIDTH)
    commands += (f"set tmargin at screen {1 - (top + 8) / height:.4f}\n"
                 f"set logscale xy\nset xrange [{min(xs) / 1.4:.5g}:{max(xs) * 1.4:.6g}]\n"
                 f"set yrange [{low:.5g}:{high:.5g}]\n"
                 f"set xtics ({tics_at((f'{x:,}', x) for x in xs)})\n"
                 f"set ytics ({tics_at((t, v) for v, t in tics)})\n"
                 "set xlabel 'parked fibers (log)'\nset ylabel 'bytes each (log)'\nplot " + ", ".join(plots) + "\n")
    text = "Resident memory per fiber while all of them wait. A native stack takes at least one page."
    return Picture("memory", "memory", title, text,
                   gnuplot.draw("memory", WIDTH, height, commands, gnuplot.title(title, WIDTH) + beside))


LOADS = {  # suite: title, what is counted, what there are so many of
    "echo": ("TCP echo: throughput against connections, one message under way in each", "messages", "connections"),
    "http": ("HTTP GET, keep-alive: throughput against connections", "requests", "connections"),
    "churn": ("Connect, one request, close: throughput against connections under way", "connections",
              "connections under way"),
    "udp": ("UDP echo: throughput against sockets, one datagram under way for each", "datagrams", "sockets"),
}
SHIFT = 0.017  # of the axis: peers stand side by side, so their spreads can be told apart


def throughput(name, report):
    """Of a suite of the network: how many a second against connections, a panel for each size."""
    panels = {}
    for row in report.get("rows", ()):
        load = report.get("loads", {}).get(row["measurement"], {})
        at_once = load.get("connections") or load.get("in_flight")
        if at_once and row["unit"] == "/s":
            for peer, f in row["figures"].items():
                if f is not None:
                    panels.setdefault(f"{load['size']:,} B", {}).setdefault(name_of(peer, report), {})[at_once] = \
                        (f["p50"], f["least"], f["largest"])
    xs = sorted({x for curves in panels.values() for values in curves.values() for x in values})
    if len(xs) < 2:
        return None
    names = sorted({n for curves in panels.values() for n in curves}, key=lambda n: (n != "baton", n))
    title, counted, over = LOADS.get(name, (f"{name}: throughput", "operations", "connections"))
    ends = [v / 1e3 for curves in panels.values() for values in curves.values() for f in values.values() for v in f[1:]]
    low, high, left, right = min(ends) / 1.25, max(ends) * 1.25, min(xs) / 1.5, max(xs) * 1.5
    commands = ""
    for p, curves in enumerate(panels.values()):
        for n, values in curves.items():
            beside = (right / left) ** (SHIFT * (names.index(n) - (len(names) - 1) / 2))
            commands += block(f"d{p}_{names.index(n)}",
                              [f"{x * beside:.6g} {m / 1e3:.6g} {least / 1e3:.6g} {largest / 1e3:.6g}"
                               for x, (m, least, largest) in sorted(values.items())])
    picture, height, width = f"throughput-{name}", 440, WIDTH if len(panels) > 1 else 640
    beside, top = gnuplot.legend(picture, [Entry.of(n) for n in names], width)
    commands += (f"set multiplot layout 1,{len(panels)} "
                 f"margins {72 / width:.4f},0.985,0.14,{1 - (top + 40) / height:.4f} spacing 0.05\nset logscale xy\n"
                 f"set xrange [{left:.5g}:{right:.6g}]\nset yrange [{low:.5g}:{high:.5g}]\n"
                 f"set ytics {gnuplot.tics_command(gnuplot.log_tics(low, high, height - top - 100))}\n"
                 f"set xtics ({tics_at((f'{x:,}', x) for x in xs)})\nset xlabel '{over} (log)'\n")
    for p, (size, curves) in enumerate(panels.items()):
        commands += f"set title {quoted(size)}\n"
        commands += f"set ylabel 'thousand {counted} a second (log)'\n" if p == 0 else "unset ylabel\nset format y ''\n"
        here = [(f"$d{p}_{names.index(n)} using", n) for n in names if n in curves]
        commands += "plot " + ", ".join(
            [f"{data} 1:3:(0):($4-$3) with vectors heads size screen {4 / width:.4f},90 linewidth 1.4 "
             f"linecolor rgb '{gnuplot.style(n)[0]}'"
             for data, n in here] +
            [f"{data} 1:2 with linespoints {line(n, 2)}" for data, n in here]) + "\n"
    commands += "unset multiplot\n"
    text = ("Medians, with the least and the largest run; the peers stand a little beside each other, so all can be "
            "seen. Server and load generator have a CPU each; see bench/README.md.")
    return Picture(picture, "net", title, text,
                   gnuplot.draw(picture, width, height, commands, gnuplot.title(title, width) + beside))
