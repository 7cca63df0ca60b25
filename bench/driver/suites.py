"""The suites: bench/NAME/run and bench/GROUP/NAME/run, scripts that run programs of several runtimes in turns. Each
takes --bin DIR, --json FILE, --quick, --smoke, --only and --list; those of in_turns.py also --without. What they leave
as JSON is theirs alone: a peer that it names is shown, whoever that is.
"""
import functools
import json
import pathlib
import re
import statistics
import subprocess

from .rows import Row

BENCH = pathlib.Path(__file__).resolve().parents[1]

# Suite -> group; a suite in a folder of a group's name needs no line.
GROUPS = {"handoff": "handoff", "parked_memory": "memory", "calls": "syscall", "echo": "net", "http": "net",
          "churn": "net"}
# A suite of two groups: measurements with these words in their names are of that group, the others of the other one.
SHARED = {"concurrency": (("sched", ("yield", "spawn", "skynet", "scaling")), "sync")}

HEADINGS = {"go": "Go", "boost": "Boost.Fiber", "boost_fiber": "Boost.Fiber", "tokio": "Tokio", "hyper": "hyper",
            "thread": "std::thread", "threads": "std::thread", "std_thread": "std::thread", "raw": "raw epoll",
            "raw_epoll": "raw epoll", "epoll": "raw epoll", "net_http": "Go"}
BARE = {"raw", "raw_epoll", "epoll", "bare", "floor", "fcontext"}  # no runtimes


def find():
    """{name: script}"""
    scripts = sorted(BENCH.glob("*/run")) + sorted(BENCH.glob("*/*/run"))
    return {script.parent.name: script for script in scripts}


def groups_of(name, script):
    if name in SHARED:
        (one, _), other = SHARED[name]
        return [one, other]
    parent = script.parent.parent.name
    return [GROUPS.get(name, name if parent == BENCH.name else parent)]


def group_of(name, measurement, parent=None):
    if name in SHARED:
        (one, words), other = SHARED[name]
        return one if any(word in measurement for word in words) else other
    return parent or GROUPS.get(name, name)


def choice(name, group):
    """The arguments for that group's measurements alone."""
    if name not in SHARED:
        return []
    (one, words), _ = SHARED[name]
    return [f"--only={word}" if group == one else f"--without={word}" for word in words]


@functools.cache
def measurements(script, word, level):
    """Those that are called so, or have a row that is; level: () or what shortens the run, and leaves some out."""
    done = subprocess.run([script, "--list", f"--only={word}", *level], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True)
    return done.stdout.split() if done.returncode == 0 else []


def has(name, script, group, word, level):
    """Whether the suite has a row or a measurement of that name in that group."""
    return any(name not in SHARED or group_of(name, m) == group for m in measurements(script, word, level))


def heading(peer, report):
    return report.get("headings", {}).get(peer) or HEADINGS.get(peer, peer)


def shown_name(row):
    """As it is called today, also in files that are older."""
    if row["metric"] == "server_cpu_us" and row["what"].endswith("CPU"):
        return row["what"] + " per request"
    scaling = row["measurement"].startswith("scaling-")  # the pictures know these by their end
    return row["what"] if scaling else re.sub(r"\b([2-9]) P$", r"\1 Ps", row["what"])


def in_turns_rows(name, report, parent):
    rows = []
    for r in report["rows"]:
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
        what = shown_name(r)
        what = what if percentile == "p50" or percentile in what else f"{what}: {percentile}"
        rows.append(Row(group_of(name, r["measurement"], parent), what, ours[percentile], r["unit"],
                        peers={heading(p, report): f for p, f in figures.items() if p not in BARE},
                        bare=figures[bare[0]] if bare else None, bare_name=heading(bare[0], report) if bare else "",
                        spread=tuple(spread), target=r["target"], reached=r["met"],
                        more_is_better=more, compared=r.get("compared", True), heading=r.get("heading") or name))
    return rows


def pairs_rows(name, report, parent):
    """Of what echo/run leaves: runs of each peer for numbers of connections and sizes."""
    rows = []
    for r in report["results"]:
        judged = r["connections"] == 100 and "raw" in r["runs"]
        what = f"TCP echo, {r['connections']:,} connection{'s' if r['connections'] > 1 else ''}, {r['size']:,} B"
        group = group_of(name, what, parent)
        for key, unit, label in (("messages_per_s", "/s", ""), ("p99_us", "us", ": p99")):
            values = {peer: [one[key] for one in runs] for peer, runs in r["runs"].items()}
            ours = values.pop("baton")
            bare = statistics.median(values.pop("raw")) if "raw" in values else None
            row = Row(group, what + label, statistics.median(ours), unit, bare=bare, bare_name="raw epoll",
                      peers={heading(p, report): statistics.median(v) for p, v in values.items()},
                      spread=(min(ours), max(ours)), more_is_better=unit == "/s")
            if unit == "/s":
                row.ratio = r.get("ratio")
                if judged and row.ratio is not None:
                    row.target, row.reached = ">= 95 % of raw", row.ratio >= 0.95
            rows.append(row)
    return rows


def rows(name, path):
    report = json.loads(path.read_text())
    script = find().get(name)
    parent = script.parent.parent.name if script and script.parent.parent != BENCH else None
    if "rows" in report:
        return in_turns_rows(name, report, parent)
    return pairs_rows(name, report, parent) if "results" in report else []
