#!/usr/bin/env python3
"""Ships the lines of a log file as RFC 5424 syslog over TCP (octet counting, RFC 6587).

Plain syslog never says that a line has arrived: TCP's acknowledgement only means that the
server's kernel has the bytes, and what the server had not read when it ended is lost. So the
lines go in batches, a connection each. At the end of a batch we close our direction, and the
server's own clean close, which it makes after it has read all there was, confirms the batch;
only then the saved position moves on. Nothing is lost when the server or this plugin ends at
any moment; sent again is at most one batch, and only if the connection broke in the middle.

Settings: see README.md beside this file (extra_config, plugin.all_log_reporter.*).
"""

import fcntl
import json
import os
import re
import select
import signal
import socket
import struct
import sys
import termios
import threading
import zlib
from datetime import datetime, timezone

NAME = "all_log_reporter"
BATCH_BYTES = 256 << 10  # read at a time, and sent again at worst
MAX_DELAY = 60  # seconds between two tries while the server is away
SETTLE_POLLS = 3  # polls without a new byte after which a rotated file counts as complete
STOP_SECONDS = 3  # from SIGTERM to our end, to ship what is still there: within the usual grace
SEVERITY = re.compile(rb"\b(?:(CRITICAL|FATAL)|(ERROR)|(WARN(?:ING)?)|(DEBUG))\b")
SEVERITIES = (6, 2, 3, 4, 7)  # by the group that matched; none: informational


def say(text):
    print(text, flush=True)


def read_settings():
    """Our part of the configuration, with the prefix taken off."""
    config = json.loads(os.environ.get("LMCACHE_PLUGIN_CONFIG") or "{}")
    # LMCache's engines and its multiprocess server name this mapping differently.
    extra = config.get("extra_config") or config.get("runtime_plugin_extra_config") or {}
    prefix = f"plugin.{NAME}."
    return {key[len(prefix) :]: value for key, value in extra.items() if key.startswith(prefix)}


class Position:
    """How far the log is shipped, kept on disk: inode, offset, and a mark, the checksum of the
    bytes just before the offset. By the mark we find our place again in a copy with another
    inode, and tell a file that was truncated and grew again from the one we were reading."""

    MARKED = 256  # bytes
    FORMAT = "%20d %20d %10d\n"  # one size, so that one write replaces it

    def __init__(self, path):
        self.file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self.inode = self.offset = self.mark = 0

    def lock(self):
        """False while another reporter follows this log: no line is to go out twice."""
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        saved = os.pread(self.file, 100, 0).split()
        if len(saved) == 3:
            self.inode, self.offset, self.mark = map(int, saved)
        return True

    def move(self, inode, offset, before):
        self.inode, self.offset, self.mark = inode, offset, zlib.crc32(before[-self.MARKED :])
        os.pwrite(self.file, (self.FORMAT % (self.inode, self.offset, self.mark)).encode(), 0)

    def read(self, file, size):
        """The marked bytes before our place and those after it, in one read, so that no
        truncation comes in between; None when this is not where we were."""
        marked = min(self.offset, self.MARKED)
        data = os.pread(file, marked + size, self.offset - marked)
        return (data[:marked], data[marked:]) if zlib.crc32(data[:marked]) == self.mark else None


class Log:
    """The followed file and its rotated generations, as one stream of lines."""

    def __init__(self, path, position, from_end):
        self.path, self.position, self.from_end = path, position, from_end
        self.file = None  # the generation we are in
        self.before = b""  # the marked bytes before the lines that were read last
        self.idle_polls = 0

    def generations(self):
        """Paths, oldest first: PATH.1, PATH-20261122, PATH.2026-11-22 ..., and PATH itself last."""
        directory, name = os.path.split(self.path)
        rotated = re.compile(re.escape(name) + r"[.-]\d[\d_.-]*")
        found = [entry for entry in os.scandir(directory or ".") if rotated.fullmatch(entry.name)]
        found.sort(key=lambda entry: entry.stat().st_mtime_ns)
        return [entry.path for entry in found] + [self.path]

    def take(self, path, offset=0, before=b""):
        """Goes on in this file, from this offset."""
        if self.file is not None:
            os.close(self.file)
        self.file = os.open(path, os.O_RDONLY)
        self.idle_polls = 0
        self.position.move(os.fstat(self.file).st_ino, offset, before)

    def find_place(self):
        """Opens the generation that holds our place, else the current file."""
        places = []
        for path in self.generations():
            try:
                file = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue
            same, data = os.fstat(file).st_ino == self.position.inode, self.position.read(file, 0)
            os.close(file)
            if data and (same or self.position.offset):
                places.append((same, path, data[0]))
        if places:
            _, path, before = max(places)
            self.take(path, self.position.offset, before)
        elif self.position.inode:
            self.take(self.path)
            say(f"our place in {self.path} is gone (truncated, or rotated away): from its beginning")
        else:
            self.take(self.path)
            if self.from_end:
                size = os.fstat(self.file).st_size
                before = os.pread(self.file, Position.MARKED, max(0, size - Position.MARKED))
                self.position.move(self.position.inode, size, before)

    def next_generation(self):
        """Our file is complete: on to the one that came after it."""
        paths = self.generations()
        after = [index + 1 for index, path in enumerate(paths) if os.stat(path).st_ino == self.position.inode]
        self.take(paths[after[0] if after else -1])

    def read(self):
        """Whole lines after our position, at most BATCH_BYTES of them; empty: none for now."""
        try:
            data = self.position.read(self.file, BATCH_BYTES) if self.file is not None else None
            if data is None:
                self.find_place()
                return b""
            self.before, chunk = data
            complete = chunk.rfind(b"\n") + 1
            if complete or len(chunk) == BATCH_BYTES:  # a line longer than a batch goes in pieces
                self.idle_polls = 0
                return chunk[: complete or BATCH_BYTES]
            if os.stat(self.path).st_ino == self.position.inode:
                self.idle_polls = 0
                return b""
            # Rotated. Its writer may have it open still: it is complete when it stays as it is.
            self.idle_polls += 1
            if self.idle_polls <= SETTLE_POLLS:
                return b""
            if not chunk:
                self.next_generation()
            return chunk  # at last a last line without its newline
        except FileNotFoundError:
            return b""  # not there yet, or between two steps of a rotation

    def shipped(self, chunk):
        """These bytes, the first of what was read last, have arrived."""
        self.position.move(self.position.inode, self.position.offset + len(chunk), self.before + chunk)


class Syslog:
    """The server, and how a line is written for it."""

    def __init__(self, settings, role, worker_id):
        host, _, port = settings["server"].rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(f"plugin.{NAME}.server is to be HOST:PORT")
        self.address = (host.strip("[]"), int(port))
        self.name = settings["server"]
        self.timeout = float(settings.get("timeout", 5))
        self.facility = int(settings.get("facility", 16))  # local0
        self.max_line = int(settings.get("max_line", 7680))  # with the header below rsyslog's 8 KiB
        host = settings.get("hostname", socket.gethostname())
        pid = os.environ.get("LMCACHE_PLUGIN_PARENT_PID") or "-"
        self.origin = f"{host} {settings.get('app_name', 'lmcache')} {pid} - [{settings.get('sd_id', 'lmcache@32473')}"
        self.origin += f' role="{role}" worker="{worker_id}"'
        self.state = None

    def tell(self, state, text):
        if state != self.state:
            self.state = state
            say(text)

    def frames(self, chunk, inode, offset):
        """Yields a frame for each line, and where in the chunk that line ends."""
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        begin = 0
        for line in chunk.removesuffix(b"\n").split(b"\n"):
            level = SEVERITY.search(line, 0, 100)
            priority = self.facility * 8 + SEVERITIES[level.lastindex if level else 0]
            end = min(begin + len(line) + 1, len(chunk))
            line = line.removesuffix(b"\r")
            frame = b""
            for start in range(0, len(line) or 1, self.max_line):
                header = f'<{priority}>1 {now} {self.origin} inode="{inode}" offset="{offset + begin + start}"] '
                message = header.encode() + line[start : start + self.max_line]
                frame += b"%d %s" % (len(message), message)
            yield frame, end
            begin = end

    def deliver(self, payload):
        """Sends a batch on a connection of its own and waits for the server's close. Returns how
        many bytes the server has read for certain; raises OSError when nobody can tell."""
        with socket.create_connection(self.address, self.timeout) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
            connection.setblocking(False)
            sent = finished = 0
            while True:
                readable, writable, _ = select.select([connection], [] if finished else [connection], [], self.timeout)
                if not readable and not writable:
                    # Breaking off would only mean to send it all again, into the same buffer.
                    self.tell("stalled", f"{self.name} hangs, waiting for it to {'confirm' if finished else 'read on'}")
                if readable and not connection.recv(4096):  # a reset raises
                    break
                if writable:
                    sent += connection.send(payload[sent : sent + 65536])
                    if sent == len(payload):
                        connection.shutdown(socket.SHUT_WR)
                        finished = 1
            # The server closed without a reset, so it had read all that it had acknowledged.
            # SIOCOUTQ (TIOCOUTQ) is what it had not; our FIN counts as a byte there.
            queued = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))[0]
            return min(sent, sent + finished - queued)


def ship(log, syslog, chunk):
    """Ships whole lines and moves the position; False when the server has not taken them all."""
    payload, ends = bytearray(), []
    for frame, end in syslog.frames(chunk, log.position.inode, log.position.offset):
        payload += frame
        ends.append((len(payload), end))
    try:
        read = syslog.deliver(memoryview(payload))
    except OSError as error:
        syslog.tell("away", f"{syslog.name} is away: {error}")
        return False
    arrived = [end for size, end in ends if size <= read]
    if arrived:
        log.shipped(chunk[: arrived[-1]])
    if read < len(payload):
        syslog.tell("away", f"{syslog.name} closed early, having read {len(arrived)} of {len(ends)} lines")
        return False
    syslog.tell("well", f"{syslog.name} takes our lines")
    return True


def follow(log, syslog, interval, stop):
    """Ships until told to stop, and then what is still there, if the server takes it."""
    failures = 0
    while True:
        chunk = log.read()
        if chunk and ship(log, syslog, chunk):
            failures = 0
            if len(chunk) > BATCH_BYTES // 2:
                continue  # catching up
        elif chunk:
            if stop.is_set():
                return
            failures += 1
            stop.wait(min(MAX_DELAY, 2 ** min(failures - 1, 6)))
            continue
        elif stop.is_set():
            return
        stop.wait(interval)


def main():
    settings = read_settings()
    if not settings.get("server") or not settings.get("file"):
        say(f"not enabled: set plugin.{NAME}.server to HOST:PORT and plugin.{NAME}.file to the log to ship")
        return 0
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    role, worker_id = os.environ.get("LMCACHE_PLUGIN_ROLE", "").lower(), os.environ.get("LMCACHE_PLUGIN_WORKER_ID", "0")
    path = settings["file"].replace("{role}", role).replace("{worker_id}", worker_id)
    directory, name = os.path.split(path)
    state = settings.get("state", os.path.join(directory, f".{name}.shipped"))
    position = Position(state.replace("{role}", role).replace("{worker_id}", worker_id))
    syslog = Syslog(settings, role, worker_id)
    interval = float(settings.get("interval", 1))

    if not position.lock():
        say(f"another reporter follows {path}: standing by")
        while not position.lock():
            if stop.wait(interval):
                return 0
    say(f"following {path} from byte {position.offset}, to {syslog.name}")
    log = Log(path, position, settings.get("from") == "end")

    # In a thread, because a lookup or a connect that hangs cannot be interrupted: it is left
    # behind. The position on disk is right at any moment.
    failed = []

    def work():
        try:
            follow(log, syslog, interval, stop)
        except Exception as error:
            failed.append(error)
        stop.set()

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    stop.wait()
    worker.join(STOP_SECONDS)
    if failed:
        say(f"cannot go on: {failed[0]}")
        return 1
    say(f"stopped at byte {position.offset}" + (", the rest goes out at the next start" if worker.is_alive() else ""))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError, TypeError, AttributeError) as error:
        sys.exit(f"cannot start: {error}")
