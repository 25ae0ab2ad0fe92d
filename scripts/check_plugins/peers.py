"""Peers that misbehave as no real server does on demand."""

import contextlib
import socket
import struct
import threading
import time


class Peer:
    """Listens; what it does with a connection is its function, or its subclass says."""

    def __init__(self, serve=None, host="127.0.0.1"):
        self.serve = serve or self.serve
        self.listener = socket.create_server((host, 0), backlog=64, family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.address = (f"[{host}]" if ":" in host else host) + ":%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def serve(self, connection):
        raise NotImplementedError

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self.run, args=(connection,), daemon=True).start()

    def run(self, connection):
        with contextlib.suppress(OSError), connection:
            self.serve(connection)


def closes(connection):
    pass


def reads_once_and_closes(connection):
    connection.recv(1 << 20)


def resets(connection):
    connection.recv(1 << 20)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def talks(connection):
    connection.sendall(b"220 ready\r\n")
    while connection.recv(1 << 16):
        pass


class Hole(Peer):
    """Takes connections, in the kernel, and never reads."""

    def accept(self):
        pass


class Syslog(Peer):
    """Reads at a rate, answers the end of what it reads as a syslog server does, and keeps it."""

    def __init__(self, bytes_a_second=None, host="127.0.0.1"):
        self.rate, self.received = bytes_a_second, bytearray()
        super().__init__(host=host)

    def serve(self, connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        while data := connection.recv(2048 if self.rate else 1 << 16):
            self.received += data
            if self.rate:
                time.sleep(len(data) / self.rate)  # the pace of the peer, nothing waits for it


class Serial(Syslog):
    """Serves one connection after the other."""

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                self.run(self.listener.accept()[0])
