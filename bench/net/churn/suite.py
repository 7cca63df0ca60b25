"""Connect, one request of 64 B and its echo, close; as fast as one client can: the servers of echo, in turns.

  bench/run_suite.py churn [--quick] [--in-flight N,...]

A request is a connection. What a line holds: see echo.
"""

from net.servers import Case, Suite, parse

SIZE = 64


def main():
    p = parse(__doc__)
    p.add_argument("--in-flight", type=lambda text: [int(word) for word in text.split(",")], default=None,
                   metavar="N,...")
    p.add_argument("--seconds", type=float, default=None, help="of measuring")
    args = p.parse_args()
    rounds, warm_up, seconds = (1, 0, 0.1) if args.smoke else (3, 0.1, 0.3) if args.quick else (7, 0.3, 1.5)

    suite = Suite("churn", args)
    suite.add_built("baton", "baton_echo", args.procs)
    suite.add_built("raw", "raw_epoll")
    suite.add_rust("tokio", "tokio_echo")
    suite.add_go("echo")
    cases = [Case(f"churn-{n}", f"{n} in flight, {SIZE} B",
                  [suite.directory / "churn_load", "{port}", n, SIZE, warm_up, args.seconds or seconds],
                  facts={"in_flight": n, "size": SIZE}, rate={"tokio": 1.0, "go": 1.0})
             for n in args.in_flight or ([4] if args.smoke else [1, 64])]
    suite.run("connect, one request, close", cases, rounds)
