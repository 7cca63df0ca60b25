"""Pictures as SVG by gnuplot. Text and axes have the colour of the text around the picture, so a page may be light or
dark; a peer has the same colour, line and mark in every picture, and the colours differ in lightness, so they stay
apart in grey. Titles, legends and headings are written here and not by gnuplot, whose own have columns of one width."""
import dataclasses
import html
import math
import re
import shutil
import subprocess

# name: colour, dash, mark. From dark to light: Boost.Fiber, baton, Tokio, raw epoll, std::thread, Go.
STYLES = {
    "baton": ("#1f6fb5", "solid", 7),
    "Go": ("#f2b632", "solid", 5),
    "Boost.Fiber": ("#6b3594", "(10,5)", 9),
    "Tokio": ("#d9572b", "(4,3)", 11),
    "hyper": ("#b0396b", "(4,3)", 11),
    "std::thread": ("#a9aeb5", "(8,3,2,3)", 13),
    "raw epoll": ("#4fa67c", "(2,3)", 4),
    "primitive": ("#4fa67c", "(2,3)", 4),
}
OTHERS = (("#b3446c", "(12,3)", 6), ("#848482", "(2,2)", 8), ("#8db600", "(6,6)", 12), ("#c2b280", "(3,6)", 10))
INK = "#010101"  # becomes currentColor


def there():
    return shutil.which("gnuplot") is not None


def style(name):
    """A peer's, or that of what stands for a primitive: any other name has one of four, always the same."""
    if name.startswith("std::"):
        name = "std::thread"
    return STYLES.get(name) or OTHERS[sum(map(ord, name)) % len(OTHERS)]


def line(name, width=2.4, marks=True):
    colour, dash, mark = style(name)
    points = f" pointtype {mark} pointsize 0.8" if marks else ""
    return f"linecolor rgb '{colour}' linewidth {width} dashtype {dash}{points}"


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def block(name, lines):
    """Data with that name, for `plot $name`."""
    return f"${name} << END\n" + "\n".join(lines) + "\nEND\n"


def tics_at(pairs):
    return ", ".join(f"{quoted(text)} {value:g}" for text, value in pairs)


def log_tics(low, high, pixels, shown="{:,g}".format):
    """[(value, its text)] of an axis so long: each decade, then 2 and 5, then more where they have room; the others are
    marks without a text."""
    per_decade = pixels / math.log10(high / low)
    named, tics = {}, []

    def fits(value):
        return all(abs(math.log10(value / other)) * per_decade > (width_of(text) + width_of(shown(value))) / 2 + 4
                   for other, text in named.items())

    decades = [10.0 ** e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    for digits in ((1,), (2, 5), (1.5, 3, 7) if per_decade > 250 else (), (4, 8) if per_decade > 500 else ()):
        for decade in decades:
            values = [round(digit * decade, 9) for digit in digits]
            values = [value for value in values if low <= value <= high]
            if all(fits(value) for value in values):
                named.update((value, shown(value)) for value in values)
    for decade in decades if per_decade > 40 else ():
        values = [round(digit * decade, 9) for digit in range(2, 10)]
        tics += [(value, "") for value in values if low <= value <= high and value not in named]
    return sorted(tics + list(named.items()))


def tics_command(tics):
    return "(" + ", ".join(f"{quoted(text)} {value:.6g} {0 if text else 1}" for value, text in tics) + ")"


# ---- what is written beside the plot ----

NARROW, WIDE = set("iljtfrI.,:;'|!()[] "), set("mwMW%@")


def width_of(text, size=13):
    """In pixels, about: a bit more than most fonts need."""
    return size * sum(0.36 if c in NARROW else 0.95 if c in WIDE else 0.635 for c in text)


def written(text, x, y, size=13, anchor="start", more=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-family="sans-serif" font-size="{size}" text-anchor="{anchor}" '
            f'fill="currentColor"{more}>{html.escape(text)}</text>\n')


def title(text, width):
    return written(text, width / 2, 20, 15, "middle")


@dataclasses.dataclass
class Entry:
    """Of a legend: a box, or a line, a mark or both."""
    name: str
    colour: str
    dash: str = None
    mark: int = None
    size: float = 0.8

    @classmethod
    def of(cls, name, marks=True):
        colour, dash, mark = style(name)
        return cls(name, colour, dash, mark if marks else None)

    def sign(self, picture, x, y):
        out, colour = "", "currentColor" if self.colour == INK else self.colour
        if self.dash is None and self.mark is None:
            return f'<rect x="{x + 6:.1f}" y="{y - 10:.1f}" width="22" height="11" fill="{colour}"/>\n'
        if self.dash is not None:
            gaps = "" if self.dash == "solid" else ' stroke-dasharray="' + ",".join(
                f"{1.2 * float(n):.1f}" for n in self.dash.strip("()").split(",")) + '"'
            out += f'<path d="M{x:.1f},{y - 4.5:.1f} h32" fill="none" stroke="{colour}" stroke-width="2.4"{gaps}/>\n'
        if self.mark is not None:
            out += (f'<use xlink:href="#{picture}-gpPt{self.mark - 1}" color="{colour}" fill="none" '
                    f'transform="translate({x + 16:.1f},{y - 4.5:.1f}) scale({4.5 * self.size:.2f})"/>\n')
        return out


def legend(picture, entries, width, y=44):
    """(The legend as SVG, centred in lines from this height on; where the plot may begin)"""
    lines = [[]]
    for entry in entries:
        if lines[-1] and sum(64 + width_of(e.name) for e in lines[-1] + [entry]) > width:
            lines.append([])
        lines[-1].append(entry)
    out = ""
    for line_of in lines:
        x = (width - sum(64 + width_of(e.name) for e in line_of) + 26) / 2
        for entry in line_of:
            out += entry.sign(picture, x, y) + written(entry.name, x + 38, y)
            x += 64 + width_of(entry.name)
        y += 20
    return out, y - 6


def inks():
    return (f"set border linecolor rgb '{INK}'\nunset key\nset title textcolor rgb '{INK}'\n"
            f"set xlabel textcolor rgb '{INK}'\nset ylabel textcolor rgb '{INK}'\n"
            f"set tics textcolor rgb '{INK}'\nset style line 100 linecolor rgb '#888888' linewidth 0.6 dashtype (2,4)\n"
            "set grid linestyle 100\n")


def draw(name, width, height, commands, beside=""):
    """The picture as an <svg> element whose ids begin with its name; beside: what is written beside the plot."""
    script = (f"set terminal svg size {width},{height} dynamic noenhanced linewidth 1 font 'sans-serif,13'\n"
              "set encoding utf8\n" + inks() + commands)
    done = subprocess.run(["gnuplot"], input=script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0 or "<svg" not in done.stdout:
        raise RuntimeError(f"gnuplot does not draw {name}: {done.stderr.strip()}")
    svg = done.stdout[done.stdout.index("<svg"):]
    svg = re.sub(r"""\bid=(["'])([^"']+)\1""", rf'id="{name}-\2"', svg)
    svg = re.sub(r"""xlink:href=(["'])#([^"']+)\1""", rf'xlink:href="#{name}-\2"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r"rgb\( *1, *1, *1\)|#010101|rgb\( *0, *0, *0\)|\bblack\b", "currentColor", svg)
    svg = re.sub(r"<title>.*?</desc>\s*", "", svg, flags=re.DOTALL)  # who drew it, as a tooltip over everything
    end = svg.rindex("</svg>")
    return svg[:end] + beside + svg[end:]


def standalone(svg):
    """For a file of its own, on light and dark ground."""
    head, rest = svg.split(">", 1)
    return (f'<?xml version="1.0" encoding="utf-8"?>\n{head}>\n<style>svg{{color:#222;background:#fff}}'
            "@media(prefers-color-scheme:dark){svg{color:#ddd;background:#16181c}}</style>" + rest)
