#!/usr/bin/env python3
"""Runs a suite of benchmarks: bench/NAME/suite.py or bench/net/NAME/suite.py.

  bench/run_suite.py NAME [--quick] [--only PART]     NAME --help says what else
"""
import importlib
import pathlib
import sys

BENCH = pathlib.Path(__file__).resolve().parent


def module_of(name):
    files = [*BENCH.glob(f"{name}/suite.py"), *BENCH.glob(f"*/{name}/suite.py")]
    return ".".join(files[0].relative_to(BENCH).with_suffix("").parts) if files else None


def main():
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__.strip())
    name = sys.argv.pop(1)
    module = module_of(name)
    if module is None:
        sys.exit(f"run_suite.py: no suite is called {name}")
    importlib.import_module(module).main()


main()
