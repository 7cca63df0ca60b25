"""Bars: what a peer takes beside what baton takes, in sections with headings."""
import math

from driver.rows import number

from . import gnuplot
from .gnuplot import block, quoted, width_of
from .pictures import WIDTH, Picture

LINE_PX = 17  # a bar and the gap below it
RIGHT_PX = 26
SEEN_PX = 3  # so long is a bar that is as good as nothing: its colour says whose the figure is
HEADING, BEFORE, BETWEEN, AFTER = 1.35, 0.75, 0.6, 0.7  # a heading; above, between and below rows; in lines
X_LABEL = "times baton (log): right of 1 baton is ahead, left of 1 it is behind"
BATON = "baton: the line at 1"


def beside(row, bare):
    """[(name, how many times as good baton is, the figure)]; bare: rows that have nothing but a primitive."""
    found = [(peer, row.times(theirs), theirs) for peer, theirs in row.peers.items() if row.times(theirs)]
    if not row.times(row.bare) or bool(found) == bare:
        return [] if bare else found
    return found + [(row.bare_name, row.times(row.bare), row.bare)]


def is_primitive(peer, row):
    return peer == row.bare_name and peer not in gnuplot.STYLES


def limits(texts, pixels):
    """(Low, high) of the logarithmic axis, so that every text has its place. texts: [(value, its width)], left of the
    bar if it is below 1."""
    ends = [(math.log10(value), width, value < 1) for value, width in texts]
    low, high = min([math.log10(0.8)] + [at for at, _, _ in ends]), max([math.log10(2)] + [at for at, _, _ in ends])
    for _ in range(40):
        per_pixel = min(10, high - low) / pixels
        low = min([low] + [at - width * per_pixel for at, width, left in ends if left])
        high = max([high] + [at + width * per_pixel for at, width, left in ends if not left])
    return 10 ** low, 10 ** high


def legend_of(names):
    """A colour is there once, with all its names."""
    entries = {}
    known = list(gnuplot.STYLES)
    for name in sorted(names, key=lambda n: known.index(n) if n in known else known.index("std::thread") + 0.5):
        colour = gnuplot.style(name)[0]
        if colour in entries:
            entries[colour].name += ", " + name
        else:
            entries[colour] = gnuplot.Entry(name, colour)
    return list(entries.values()) + [gnuplot.Entry(BATON, gnuplot.INK, "solid")]


def bar(times, y, least):
    begin, end = (min(times, 1 / least), 1) if times < 1 else (1, max(times, least))
    return f"{times:.5g} {y:.2f} {begin:.5g} {end:.5g} {y - 0.42:.2f} {y + 0.42:.2f}"


def polyline(points):
    return [f"{x:.5g} {y:.3f}" for x, y in points] + [""]


def bars(group, rows, name, title, text):
    """Each peer's figure over baton's, or baton's over the peer's where more is better; so over 1 baton is ahead."""
    bare = name.endswith("bare")
    table = [(r, beside(r, bare)) for r in rows if r.group == group and r.baton]
    table = [(r, found) for r, found in table if found]
    if not table:
        return None
    names, data, texts, tics, sections, at, last = [], {}, [], [], [], 0.0, None
    for r, found in table:
        if r.heading != last:
            last = r.heading
            at += HEADING
            sections.append([r.heading, at, at])
            at += BEFORE
        else:
            at += BETWEEN
        shown = f"{r.name}:  {number(r.baton)} {r.unit}".strip()
        tics.append((shown, at + (len(found) - 1) / 2))
        for peer, times, theirs in found:
            who = "primitive" if is_primitive(peer, r) else peer
            if who not in names:
                names.append(who)
            data.setdefault(who, []).append((times, at))
            which = f"{peer}: " if who != peer else ""
            texts.append((times, at, f"{which}{number(theirs)} {r.unit}".strip()))
            at += 1
        sections[-1][2] = at - 1 + AFTER
    bottom = sections[-1][2]

    left_px = min(WIDTH * 0.52, max(width_of(shown) for shown, _ in tics) + 24)
    low, high = limits([(times, width_of(text, 11) + 14) for times, _, text in texts], WIDTH - RIGHT_PX - left_px)
    least = (high / low) ** (SEEN_PX / (WIDTH - RIGHT_PX - left_px))
    x_tics = gnuplot.log_tics(low, high, WIDTH - RIGHT_PX - left_px)
    beside_it, top_px = gnuplot.legend(name, legend_of(names), WIDTH)
    tall = bottom * LINE_PX > 600
    top_px, bottom_px = top_px + (24 if tall else 0), 64
    height = int(top_px + bottom * LINE_PX + bottom_px)

    beside_it += gnuplot.title(title, WIDTH) + gnuplot.written(X_LABEL, (WIDTH - RIGHT_PX + left_px) / 2, height - 10,
                                                               anchor="middle")
    frames, ones, grid, fine = [], [], [], []
    for heading, begin, end in sections:
        beside_it += gnuplot.written(heading, 12, top_px + begin * LINE_PX - 6, 12, more=' font-weight="bold"')
        frames += polyline([(low, begin), (high, begin), (high, end), (low, end), (low, begin)])
        ones += polyline([(1, begin), (1, end)])
        for value, shown in x_tics:
            (grid if shown else fine).extend(polyline([(value, begin), (value, end)]))
    if tall:
        for value, shown in x_tics:
            x = left_px + (WIDTH - RIGHT_PX - left_px) * math.log10(value / low) / math.log10(high / low)
            beside_it += gnuplot.written(shown, x, top_px - 3, 12, "middle") if shown else ""

    labels = {"left": [], "right": []}  # the side of the text that is at the bar
    for times, y, shown in texts:
        labels["right" if times < 1 else "left"].append(f"{times:.5g} {y:.2f} {quoted(shown)}")
    blocks = {f"d{i}": [bar(times, y, least) for times, y in data[n]] for i, n in enumerate(names)} | labels | {
        "frames": frames, "ones": ones, "grid": grid, "fine": fine}
    commands = "".join(block(which, lines) for which, lines in blocks.items() if lines)
    y_tics = ", ".join(f"{quoted(shown.replace('%', '%%'))} {y:.2f}" for shown, y in tics)  # they are formats
    commands += (
        f"set logscale x\nset xrange [{low * 0.998:.6g}:{high * 1.002:.6g}]\nset yrange [{bottom:.3f}:0]\n"
        "unset border\nunset grid\n"
        f"set lmargin at screen {left_px / WIDTH:.5f}\nset rmargin at screen {1 - RIGHT_PX / WIDTH:.5f}\n"
        f"set tmargin at screen {1 - top_px / height:.5f}\nset bmargin at screen {bottom_px / height:.5f}\n"
        f"set xtics {gnuplot.tics_command(x_tics)} nomirror out\nset ytics ({y_tics}) scale 0 nomirror\n"
        f"set style fill solid 1.0 border rgb '{gnuplot.INK}'\n")
    boxes = "using 1:2:3:4:5:6 with boxxyerror linewidth 0.4 fillcolor rgb"
    plots = [("fine", "with lines linewidth 0.5 linecolor rgb '#888888' dashtype (1,7)"),
             ("grid", "with lines linewidth 0.7 linecolor rgb '#888888' dashtype (2,4)")]
    plots += [(f"d{i}", f"{boxes} '{gnuplot.style(n)[0]}'") for i, n in enumerate(names)]
    plots += [("frames", "with lines linewidth 0.7 linecolor rgb '#888888'"),
              ("ones", f"with lines linewidth 1.8 linecolor rgb '{gnuplot.INK}'")]
    plots += [(side, f"using 1:2:3 with labels {side} offset {offset},0 font ',11' textcolor rgb '{gnuplot.INK}'")
              for side, offset in (("left", 0.6), ("right", -0.6))]
    plots = [f"${which} {how}" for which, how in plots if blocks[which]]
    commands += "plot " + ", \\\n     ".join(plots) + "\n"
    return Picture(name, group, title, text, gnuplot.draw(name, WIDTH, height, commands, beside_it))
