"""UDP echo over loopback, one datagram under way per socket: baton beside a recvmmsg loop, in turns.

  bench/run_suite.py udp [--quick] [--sockets N,...] [--sizes BYTES,...]

What a line holds: see echo. The loop is one thread with one blocking socket, which receives and sends up to 64
datagrams with a system call; so does baton's fiber.
"""

from net.servers import Case, Suite, parse


def numbers(text):
    return [int(word) for word in text.split(",")]


def main():
    p = parse(__doc__)
    p.add_argument("--sockets", type=numbers, default=None, metavar="N,...")
    p.add_argument("--sizes", type=numbers, default=None, metavar="BYTES,...")
    p.add_argument("--seconds", type=float, default=None, help="of measuring")
    args = p.parse_args()
    rounds, warm_up, seconds = (1, 0, 0.1) if args.smoke else (3, 0.1, 0.3) if args.quick else (7, 0.3, 1.5)

    suite = Suite("udp", args)
    suite.add_built("baton", "baton_udp_echo", args.procs)
    suite.add_built("loop", "recvmmsg_loop")
    cases = []
    for size in args.sizes or ([64] if args.smoke else [64, 1024]):
        for n in args.sockets or ([10] if args.smoke else [1, 100]):
            load = [suite.directory / "udp_load", "{port}", n, size, warm_up, args.seconds or seconds]
            cases.append(Case(f"udp-{n}-{size}", f"{n:,} socket{'s' if n > 1 else ''}, {size:,} B", load,
                              facts={"connections": n, "size": size}, rate={"loop": 0.95} if n == 100 else None))
    suite.run("UDP, one datagram under way per socket", cases, rounds)
