"""An HTTP server of a few lines, for the faults that no real server makes when asked to."""

import contextlib
import socket
import threading
import time


class Fake:
    """Reads each request whole, keeps it, and answers with the bytes of answer(request); what answer
    sends itself on request.connection comes before them."""

    def __init__(self, answer):
        self.answer, self.requests = answer, []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.url = "http://" + self.address
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self.handle, args=(connection,), daemon=True).start()

    def handle(self, connection):
        with connection, contextlib.suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data:
                data += connection.recv(65536) or b"\r\n\r\n"
            head, _, body = data.partition(b"\r\n\r\n")
            request = Request(head.decode("latin-1"), connection)
            while len(body) < int(request.headers.get("content-length", 0)):
                body += connection.recv(65536)
            request.body = body
            self.requests.append(request)
            connection.sendall(self.answer(request) or b"")

    def close(self):
        self.listener.close()


class Request:
    def __init__(self, head, connection):
        first, *fields = head.split("\r\n")
        self.method, self.path = (first.split(" ") + ["", ""])[:2]
        self.headers = {name.lower(): value for name, value in (field.split(": ", 1) for field in fields if ": " in field)}
        self.connection, self.body, self.at = connection, b"", time.monotonic()


def answer(status, body=b"", *fields):
    """The bytes of an answer: `answer("200 OK", page)`."""
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", ""]).encode() + body


def drip(head, piece, seconds):
    """Sends the head and then a piece every so many seconds, for ever."""
    ended = threading.Event()

    def send(request):
        request.connection.sendall(head)
        while not ended.wait(seconds):
            request.connection.sendall(piece)

    return send
