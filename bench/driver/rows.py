"""A line of the table, and the table."""
import dataclasses
from collections.abc import Callable


@dataclasses.dataclass
class Row:
    """What a line says, and its figures. Who measures a row makes it: a suite's `suite.py` (the first group of fields),
    or a program that prints its rows (`--rows`); the figures come later.

    Of a suite: `metric` of a measurement. met(figure): whether the target is reached, where figure(peer="baton",
    measurement=this one, percentile="p50") is a median, or NaN if there is none. shows_peers: False if theirs are not
    to be shown. percentile: what stands in the column of p50, and what the ratio is taken of. compared: False if nobody
    is ahead who has less of it: what the machine does before anything is measured.

    The figures are numbers in `unit`. peers: {name: figure} of other runtimes, which baton can lose to; bare: of a
    primitive or of a loop without a runtime, which does less on purpose. reached is None where nothing is judged."""
    name: str
    measurement: str = ""
    metric: str = ""
    unit: str = ""
    target: str = ""
    met: Callable = None
    shows_peers: bool = True
    digits: int = 1
    percentile: str = "p50"
    compared: bool = True
    more_is_better: bool = False
    group: str = ""
    heading: str = ""
    baton: float = None
    peers: dict = dataclasses.field(default_factory=dict)
    bare: float = None
    bare_name: str = ""
    ratio: float = None  # of pairs, where those were measured; else see times()
    extra: float = None
    spread: tuple = None
    reached: bool = None

    def times(self, theirs):
        """How many times as good as theirs baton's figure is: over 1, baton is ahead."""
        if theirs is None or theirs <= 0 or self.baton <= 0 or not self.compared:
            return None
        return self.baton / theirs if self.more_is_better else theirs / self.baton

    def lost_to(self):
        if not self.compared:
            return []
        return [name for name, theirs in self.peers.items()
                if theirs is not None and (theirs > self.baton if self.more_is_better else theirs < self.baton)]

    def verdict(self):
        words = [] if self.reached is None else ["reached" if self.reached else "MISSED"]
        if self.lost_to():
            words.append("LOST to " + ", ".join(self.lost_to()))
        return ", ".join(words)


def number(value):
    if value is None:
        return ""
    if isinstance(value, int) and abs(value) < 1000:  # what is counted
        return str(value)
    if abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 1 else f"{value:.1f}"


def columns(row):
    """The texts of a row: name, baton, spread, beside it, ratio, target, verdict."""
    spread = f"{number(row.spread[0])}-{number(row.spread[1])}" if row.spread else ""
    beside = [f"{name} {number(theirs)}" for name, theirs in row.peers.items() if theirs is not None]
    if row.bare is not None:
        beside.append(f"{row.bare_name} {number(row.bare)}")
    ratio = row.ratio
    if ratio is None and len(beside) == 1:
        theirs = row.bare if row.bare is not None else next(t for t in row.peers.values() if t is not None)
        ratio = row.baton / theirs if theirs else None
    text = f"{row.extra:+.1f} {row.unit}" if row.extra is not None else f"{ratio:.2f}" if ratio is not None else ""
    return (row.name, f"{number(row.baton)} {row.unit}".strip(), spread, "; ".join(beside), text, row.target,
            row.verdict())


HEAD = ("", "baton", "spread", "beside it, same unit", "ratio", "target", "")


def print_table(rows):
    """Under the names of groups and their headings; the ratio is baton's figure over the one beside it."""
    lines = [("    " + name, *others) for name, *others in map(columns, rows)]
    widths = [max(len(line[i]) for line in lines + [HEAD]) for i in range(len(HEAD))]
    right = {1, 2, 4}

    def show(line):
        print("  ".join(text.rjust(w) if i in right else text.ljust(w)
                        for i, (text, w) in enumerate(zip(line, widths))).rstrip())

    show(HEAD)
    group, heading = None, ""
    for row, line in zip(rows, lines):
        if row.group != group:
            group, heading = row.group, ""
            print(f"\n{group}")
        if row.heading != heading:
            heading = row.heading
            if heading:
                print(f"  {heading}")
        show(line)
