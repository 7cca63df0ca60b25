"""HTTP/1.1 GET over loopback, keep-alive, a body of 13 bytes, under wrk: baton beside hyper and Go, in turns.

  bench/run_suite.py http [--quick] [--connections N,...]

What a line holds: see echo. First the servers' answers are compared (http_check.py).
"""
import pathlib
import shutil

from net.http.http_check import check_all
from net.servers import Case, Suite, parse

HERE = pathlib.Path(__file__).resolve().parent


def wrk(connections, length_s, scheme="http"):
    return ["wrk", "-t1", f"-c{connections}", f"-d{length_s}s", "--timeout", "10s", "-s", HERE / "wrk_report.lua",
            scheme + "://127.0.0.1:{port}/"]


def main():
    p = parse(__doc__)
    p.add_argument("--connections", type=lambda text: [int(word) for word in text.split(",")], default=[64],
                   metavar="N,...")
    args = p.parse_args()
    # wrk counts in whole seconds.
    rounds, warm_up_s, seconds = (1, 0, 1) if args.smoke else (3, 0, 1) if args.quick else (7, 1, 3)

    suite = Suite("http", args)
    suite.add_built("baton", "baton_hello", args.procs)
    suite.add_rust("hyper", "hyper_hello", older="hyper_hello_0")
    suite.add_go("hello")
    check_all(suite.present())

    cases = [Case(f"http-{n}", f"hello, {n} connections", wrk(n, seconds), wrk(n, warm_up_s) if warm_up_s else None,
                  facts={"connections": n, "size": 13}, rate={"hyper": 1.0} if n == 64 else None)
             for n in args.connections]
    if shutil.which("wrk") is None:
        print("http: the servers answer alike; there is no wrk here to load them")
        cases = cases if args.rows else []
    suite.run("HTTP/1.1 GET, keep-alive", cases, rounds)
