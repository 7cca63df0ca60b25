"""That the HTTP servers do the same: the same answer, and the protocol minded, before anything is measured."""
import socket
import sys

from net.servers import Server

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: check\r\n\r\n"
VARYING = {"date"}


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.text = b""

    def send(self, text):
        self.socket.sendall(text)

    def response(self):
        """(status line, {lower-case name: value}, body); None at the end of the stream."""
        while b"\r\n\r\n" not in self.text:
            more = self.socket.recv(65536)
            if not more:
                return None
            self.text += more
        head, _, self.text = self.text.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        fields = {}
        for line in lines:
            name, _, value = line.partition(":")
            fields[name.strip().lower()] = value.strip()
        size = int(fields.get("content-length", "0"))
        while len(self.text) < size:
            more = self.socket.recv(65536)
            if not more:
                return None
            self.text += more
        body, self.text = self.text[:size], self.text[size:]
        return first, fields, body

    def ends(self):
        """Whether the server closes, after whatever it may still say."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        except socket.timeout:
            return False
        return True


def answer_of(port):
    """What a server answers to GET. None if it answers otherwise to a request in two pieces, to one behind another one
    with a body, to one that wishes to close; or if it does not refuse nonsense."""
    client = Client(port)
    client.send(GET)
    answer = client.response()
    if answer is None:
        return None
    client.send(GET[:20])
    client.send(GET[20:])
    others = [client.response()]
    client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello" + GET)
    others += [client.response(), client.response()]
    client.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    last = client.response()
    if any(other is None or other[0] != answer[0] or other[2] != answer[2] for other in others + [last]):
        return None
    nonsense = Client(port)
    nonsense.send(b"nonsense\r\n\r\n")
    refused = nonsense.response()
    if refused is None or not refused[0].startswith("HTTP/1.1 400") or not nonsense.ends() or not client.ends():
        return None
    status, fields, body = answer
    return status, {name: "" if name in VARYING else value for name, value in fields.items()}, body


def check_all(peers):
    answers = {}
    for name, peer in peers.items():
        with Server(peer) as server:
            answers[name] = answer_of(server.port)
        if answers[name] is None:
            sys.exit(f"http: {name} does not speak HTTP as the others do")
    if any(answer != answers["baton"] for answer in answers.values()):
        sys.exit(f"http: the servers answer differently: {answers}")
