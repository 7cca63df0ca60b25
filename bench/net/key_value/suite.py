"""GET and SET of values of 3 bytes under redis-benchmark with 50 connections: baton's example key_value beside
redis-server, in turns.

  bench/run_suite.py key_value [--quick]

What a line holds: see echo. redis-server keeps nothing on disk. The keys are chosen among 100,000, all of which are set
before GET is measured. Pipelined: 16 requests go out together.
"""
import pathlib
import shutil
import sys

from net.servers import Case, Peer, Suite, parse

HERE = pathlib.Path(__file__).resolve().parent
CLIENTS, KEYS = 50, 100_000


def load(test, pipelined, requests):
    return [sys.executable, HERE / "redis_load.py", "{port}", test, CLIENTS, pipelined, requests, KEYS]


def redis(path, port):
    return [path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--loglevel", "warning"]


def main():
    args = parse(__doc__).parse_args()
    rounds, single, many = ((1, 2_000, 20_000) if args.smoke else (3, 40_000, 300_000) if args.quick
                            else (7, 150_000, 1_000_000))
    suite = Suite("key_value", args)
    program = suite.directory.parent / "examples/key_value"
    cases = []
    for pipelined, requests in ((1, single), (16, many)):
        for test in ("get", "set"):
            words = f"{test.upper()}, {CLIENTS} connections" + (", 16 at once each" if pipelined > 1 else "")
            cases.append(Case(f"key-value-{test}-{pipelined}", words, load(test, pipelined, requests),
                              None if args.smoke else load("set", 16, min(many, 5 * KEYS)), rate={"redis": 1.0},
                              facts={"connections": CLIENTS, "pipelined": pipelined}))
    why_not = ("the examples are not built" if not program.exists() else
               "redis-benchmark is not installed" if shutil.which("redis-benchmark") is None else None)
    if why_not and not suite.lists:
        print(f"key_value: {why_not}")
        cases = []
    suite.add("baton", Peer(lambda port: ["env", f"BATON_PROCS={args.procs}", program, f"127.0.0.1:{port}"]))
    suite.add_installed("redis", "redis-server", redis, "--version")
    suite.run("RESP, under redis-benchmark", cases, rounds)
