"""HTTP/1.1 GET over TLS on loopback, keep-alive, a body of 13 bytes, under wrk: baton beside nginx, in turns.

  bench/run_suite.py https [--quick] [--connections N,...]

What a line holds: see echo. nginx has one process, which is its worker (master_process off), and answers by `return`.
Both show the same certificate and speak TLS 1.3 with OpenSSL's own choice of ciphers. nginx's answer has 45 bytes more.
"""
import pathlib
import shutil
import subprocess
import tempfile

from net.http.suite import wrk
from net.servers import Case, Peer, Suite, parse

SETTINGS = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; server_tokens off; keepalive_requests 1000000000; default_type text/plain;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {folder}/certificate; ssl_certificate_key {folder}/key;
    location / {{ return 200 "Hello, World!"; }}
  }}
}}
"""


def make_certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-keyout", folder / "key", "-out",
                    folder / "certificate"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def nginx(folder):
    def command(path, port):
        (folder / "settings").write_text(SETTINGS.format(folder=folder, port=port))
        return [path, "-p", folder, "-e", folder / "error.log", "-c", folder / "settings"]

    return command


def measure(suite, args, folder):
    rounds, warm_up_s, seconds = (1, 0, 1) if args.smoke else (3, 0, 1) if args.quick else (7, 1, 3)
    missing = [program for program in ("wrk", "openssl") if shutil.which(program) is None]
    program = suite.directory / "baton_https_hello"
    missing += [] if program.exists() else ["TLS"]
    cases = [Case(f"https-{n}", f"hello over TLS, {n} connections", wrk(n, seconds, "https"),
                  wrk(n, warm_up_s, "https") if warm_up_s else None, facts={"connections": n, "size": 13},
                  rate={"nginx": 0.9} if n == 64 else None) for n in args.connections]
    if missing and not suite.lists:
        print(f"https: there is no {' and no '.join(missing)} here")
        cases = []
    elif not suite.lists:
        make_certificate(folder)
    suite.add("baton", Peer([program, 0, args.procs, folder / "certificate", folder / "key"]))
    suite.add_installed("nginx", "nginx", nginx(folder), "-v")
    suite.run("HTTP/1.1 GET over TLS, keep-alive", cases, rounds)


def main():
    p = parse(__doc__)
    p.add_argument("--connections", type=lambda text: [int(word) for word in text.split(",")], default=[64],
                   metavar="N,...")
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Suite("https", args), args, pathlib.Path(folder))
