"""The suites: bench/NAME/suite.py and bench/net/NAME/suite.py, which run programs of several runtimes in turns.
bench/run_suite.py runs one; it takes --bin DIR, --json FILE, --quick, --smoke, --group, --only, --list and --rows.
Groups, rows and peers come from what the suite prints for --rows and leaves as JSON: a peer that the JSON names is
shown, whoever that is.
"""
import functools
import json
import pathlib
import subprocess
import sys

from .rows import Row

BENCH = pathlib.Path(__file__).resolve().parents[1]

HEADINGS = {"go": "Go", "boost": "Boost.Fiber", "boost_fiber": "Boost.Fiber", "tokio": "Tokio", "hyper": "hyper",
            "thread": "std::thread", "threads": "std::thread", "std_thread": "std::thread", "raw": "raw epoll",
            "raw_epoll": "raw epoll", "epoll": "raw epoll", "loop": "recvmmsg", "net_http": "Go"}
BARE = {"raw", "raw_epoll", "epoll", "loop", "bare", "floor", "fcontext"}  # no runtimes


def find():
    """The suites' names, in the order of their folders."""
    files = sorted(BENCH.glob("*/suite.py")) + sorted(BENCH.glob("*/*/suite.py"))
    return [file.parent.name for file in files]


def command(name, *words):
    return [sys.executable, BENCH / "run_suite.py", name, *words]


@functools.cache
def listing(name, level):
    """[{"measurement", "group", "rows": their names}]; level: () or what shortens the run, and leaves some out."""
    done = subprocess.run([str(word) for word in command(name, "--rows", *level)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"tools/bench: {name} does not list its rows: {done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[-1])


def groups_of(name, level):
    return sorted({m["group"] for m in listing(name, level)})


def has(name, group, word, level):
    """Whether the suite has a row or a measurement of that name in that group."""
    return any(m["group"] == group and any(word in text for text in [m["measurement"], *m["rows"]])
               for m in listing(name, level))


def heading(peer, report):
    return report.get("headings", {}).get(peer) or HEADINGS.get(peer, peer)


def versions(paths):
    """Of the peers beside which these results were measured: each once."""
    found = {}
    for path in paths:
        found.update(dict.fromkeys(json.loads(path.read_text()).get("versions", ())))
    return list(found)


def rows(name, path, group):
    """group: of the rows that do not name one."""
    report, found = json.loads(path.read_text()), []
    for r in report.get("rows", ()):
        ours = r["figures"].get("baton")
        if ours is None:
            continue
        percentile = (r["target"].split() or [""])[0]  # the one that counts first
        if percentile not in ours:
            percentile = r.get("percentile", "p50")
        figures = {peer: f[percentile] for peer, f in r["figures"].items() if f is not None and peer != "baton"}
        bare = [peer for peer in figures if peer in BARE]
        spread = ours.get("spread", {}).get(percentile) or (ours["least"], ours["largest"])
        more = r.get("better") == "more" or ">=" in r["target"] or (r["unit"].endswith("/s") and len(r["unit"]) > 2)
        what = r["what"] if percentile == "p50" or percentile in r["what"] else f"{r['what']}: {percentile}"
        found.append(Row(what, r["measurement"], r["metric"], r["unit"], r["target"], group=r.get("group", group),
                         baton=ours[percentile],
                         peers={heading(p, report): f for p, f in figures.items() if p not in BARE},
                         bare=figures[bare[0]] if bare else None, bare_name=heading(bare[0], report) if bare else "",
                         spread=tuple(spread), reached=r["met"], more_is_better=more, compared=r.get("compared", True),
                         heading=r.get("heading") or name))
    return found
