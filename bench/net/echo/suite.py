"""TCP echo over loopback, one message under way per connection: baton beside raw epoll, Tokio and Go, in turns.

  bench/run_suite.py echo [--quick] [--connections N,...] [--sizes BYTES,...]

A line holds the medians over the rounds, and the least and the largest rate; CPU is what the server computed per
request, busy how much of the time it did; a ratio is the median of the rounds' ratios.
"""

from net.servers import Case, Suite, parse


LIMITS = {"rate": {"raw": 0.97, "tokio": 1.0}, "p99": {"raw": 1.1}}


def numbers(text):
    return [int(word) for word in text.split(",")]


def main():
    p = parse(__doc__)
    p.add_argument("--connections", type=numbers, default=None, metavar="N,...")
    p.add_argument("--sizes", type=numbers, default=None, metavar="BYTES,...")
    p.add_argument("--seconds", type=float, default=None, help="of measuring")
    args = p.parse_args()
    rounds, warm_up, seconds = (1, 0, 0.1) if args.smoke else (3, 0.1, 0.3) if args.quick else (7, 0.3, 1.5)

    suite = Suite("echo", args)
    suite.add_built("baton", "baton_echo", args.procs)
    suite.add_built("raw", "raw_epoll")
    suite.add_rust("tokio", "tokio_echo")
    suite.add_go("echo")
    cases = []
    for size in args.sizes or ([64] if args.smoke else [64, 1024]):
        for n in args.connections or ([10] if args.smoke else [1, 100, 1000]):
            load = [suite.directory / "echo_load", "{port}", n, size, warm_up, args.seconds or seconds]
            cases.append(Case(f"echo-{n}-{size}", f"{n:,} connection{'s' if n > 1 else ''}, {size:,} B", load,
                              facts={"connections": n, "size": size}, **(LIMITS if n >= 100 else {})))
    suite.run("TCP, one message under way per connection", cases, rounds)
