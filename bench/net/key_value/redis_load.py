"""Runs redis-benchmark and prints its figures as load.h's programs do.

  redis_load.py PORT TEST CLIENTS PIPELINED REQUESTS KEYS
"""
import csv
import json
import subprocess
import sys

port, test, clients, pipelined, requests, keys = sys.argv[1:]
done = subprocess.run(["redis-benchmark", "-h", "127.0.0.1", "-p", port, "-t", test, "-c", clients, "-P", pipelined,
                       "-n", requests, "-r", keys, "--csv"], stdout=subprocess.PIPE, text=True)
lines = [line for line in done.stdout.splitlines() if line.startswith('"')]
if done.returncode != 0 or len(lines) != 2:
    sys.exit(done.stdout)
figures = next(csv.DictReader(lines))
rate = float(figures["rps"])
print(json.dumps({"requests_per_s": round(rate), "requests": int(requests), "requests_in_all": int(requests),
                  "seconds": round(int(requests) / rate, 3), "p50_us": float(figures["p50_latency_ms"]) * 1e3,
                  "p99_us": float(figures["p99_latency_ms"]) * 1e3, "max_us": float(figures["max_latency_ms"]) * 1e3}))
