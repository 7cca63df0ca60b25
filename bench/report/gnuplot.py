"""Pictures as SVG by gnuplot. Text and axes have the colour of the text around the picture, so a page may be light or dark;
a peer has the same colour, line and mark in every picture, and the colours differ in lightness, so they stay apart in
grey."""
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


def inks():
    return (f"set border linecolor rgb '{INK}'\nset key textcolor rgb '{INK}'\nset title textcolor rgb '{INK}'\n"
            f"set xlabel textcolor rgb '{INK}'\nset ylabel textcolor rgb '{INK}'\n"
            f"set tics textcolor rgb '{INK}'\nset style line 100 linecolor rgb '#888888' linewidth 0.6 dashtype (2,4)\n"
            "set grid linestyle 100\n")


def draw(name, width, height, commands):
    """The picture as an <svg> element whose ids begin with its name."""
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
    return svg


def standalone(svg):
    """For a file of its own, on light and dark ground."""
    head, rest = svg.split(">", 1)
    return (f'<?xml version="1.0" encoding="utf-8"?>\n{head}>\n<style>svg{{color:#222;background:#fff}}'
            "@media(prefers-color-scheme:dark){svg{color:#ddd;background:#16181c}}</style>" + rest)
