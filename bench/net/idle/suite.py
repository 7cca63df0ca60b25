"""What 10,000 idle connections of an echo server hold in memory: baton beside raw epoll, Tokio and Go, in turns.

  bench/run_suite.py idle [--quick] [--connections N]

baton's server has a buffer of 16 KiB on each fiber's stack, as in echo, of which the first bytes are touched; or one of
1 KiB, which lies in the same page as the rest of the stack that is in use. The target is for the latter.

Each connection has had one message of 64 B echoed, and waits for the next. Memory is VmRSS + VmPTE of the server's
process, minus what that was after one such connection, by the number of connections. The kernel's sockets are not in
it.
"""
import pathlib
import resource
import socket
import statistics

from net.servers import GROUP, HEADINGS, VERDICTS, Peer, Server, Suite, figures_of, parse

BESIDE = 200  # descriptors for other things
MESSAGE = bytes(range(64))


def memory_of(process):
    kib = {}
    for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        kib[name] = value.split()
    return sum(int(kib[name][0]) for name in ("VmRSS", "VmPTE")) * 1024


def connect(port):
    s = socket.create_connection(("127.0.0.1", port), timeout=30)
    s.sendall(MESSAGE)
    echo = b""
    while len(echo) < len(MESSAGE):
        echo += s.recv(len(MESSAGE) - len(echo))
    return s


class Idle:
    def __init__(self, count, small=False):
        self.count, self.small, self.peers = count, small, ["baton"] if small else None
        self.name = f"idle-{count}" + ("-small" if small else "")
        self.what = f"{count:,} idle connections, each" + (", buffers of 1 KiB" if small else "")
        self.facts, self.limit = {"connections": count}, 6 * 1024 if small else None

    def names(self):
        return [self.name, self.what]

    def drop_targets(self):
        self.limit = None

    def measure(self, peer, cpus):
        if self.small:
            peer = Peer(peer.command + ["small"])
        with Server(peer, cpus.server) as server:
            connect(server.port).close()
            before, all_of_them = memory_of(server.process), []
            try:
                for _ in range(self.count):
                    all_of_them.append(connect(server.port))
                return {"bytes": (memory_of(server.process) - before) / self.count}
            finally:
                for s in all_of_them:
                    s.close()

    def judge(self, runs):
        if self.limit is None:
            return "", None
        return f"<= {self.limit:,} B", statistics.median(run["bytes"] for run in runs["baton"]) <= self.limit

    def rows(self, heading, runs):
        text, met = self.judge(runs)
        return [{"group": GROUP, "heading": heading, "what": self.what, "measurement": self.name, "metric": "bytes",
                 "unit": "B", "digits": 0, "better": "less", "figures": figures_of(runs, "bytes"), "target": text,
                 "met": met}]

    def print(self, runs, missing):
        label = self.what
        for name, f in figures_of(runs, "bytes").items():
            print(f"{label:50}{HEADINGS.get(name, name):13}{f['p50']:10,.0f}{f['least']:10,.0f}{f['largest']:10,.0f}")
            label = ""
        for name, why in missing.items():
            print(f"{'':50}{HEADINGS[name]:13}{why}")
        text, met = self.judge(runs)
        if text:
            print(f"{'':50}target: {text}: {VERDICTS[met]}")

    @staticmethod
    def print_head():
        print(f"{'':50}{'':13}{'B':>10}{'least':>10}{'largest':>10}")


def raise_limit(wanted):
    """Of this process and of the servers that it starts. Returns how many connections fit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, wanted + BESIDE),) * 2)
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - BESIDE)


def main():
    p = parse(__doc__)
    p.add_argument("--connections", type=int, default=None, metavar="N")
    args = p.parse_args()
    wanted = args.connections or (100 if args.smoke else 10_000)
    suite = Suite("idle", args)
    suite.add_built("baton", "baton_echo", args.procs)
    suite.add_built("raw", "raw_epoll")
    suite.add_rust("tokio", "tokio_echo")
    suite.add_go("echo")
    count = wanted if suite.lists else raise_limit(wanted)
    if count < wanted:
        print(f"idle: only {count:,} connections: the limit of descriptors cannot be raised")
    suite.run("TCP, connections that wait", [Idle(count), Idle(count, small=True)],
              1 if args.smoke else 3 if args.quick else 5)
