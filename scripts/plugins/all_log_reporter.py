#!/usr/bin/env python3
"""Ships the lines of a log file as RFC 5424 syslog, over TCP or TLS (RFC 6587, RFC 5425).

Syslog never says that a line has arrived, and TCP's acknowledgement only means that the server's
kernel has the bytes. So the lines go in batches, a connection each: at the end of a batch we close
our direction, and a server closes the other when it has read all there was. That close confirms
the batch, and the saved position moves on, if nothing speaks against it:

- a syslog server never answers: a peer that does is something else;
- it never closes first: a peer that does has refused, lost its backend, or is going down;
- a process that is killed closes all its connections, and a proxy without a backend does so, too:
  so an older, idle connection, the witness, has to outlive that of the batch.

Whatever is not confirmed is sent again; the copies have the same inode and offset.

Settings: see README.md beside this file (extra_config, plugin.all_log_reporter.*).
"""

import contextlib
import errno
import fcntl
import functools
import json
import os
import re
import select
import signal
import socket
import ssl
import stat
import struct
import sys
import termios
import threading
import time
import zlib
from datetime import datetime, timezone

NAME = "all_log_reporter"
MIN_BATCH, MAX_BATCH = 16 << 10, 256 << 10  # bytes read at a time, and sent again at worst
SLOW_BATCH = 1  # seconds; the next batch is smaller, so that a slow server can confirm one while we stop
PROBATION = 1  # seconds that a new peer has to stay connected in silence, before and in its first batch
SETTLE = 0.05  # seconds in which the witness hears that a process ended
PATIENCE = 2  # seconds for an unknown server to confirm, before the witness may be what it waits for
MAX_DELAY = 60  # seconds between two tries while the server is away
MAX_LOOK = 5  # seconds between two looks while a file is
SETTLE_POLLS = 3  # polls without a new byte after which a rotated file counts as complete
STOP_SECONDS = 4  # from SIGTERM to our end, to ship what is still there: within the usual grace

# ---- settings: the same lines in each of these plugins, see README.md ----


def number(low, high):
    return f"a number from {low} to {high}", lambda value: type(value) in (int, float) and low <= value <= high


def whole(low, high):
    return f"a whole number from {low} to {high}", lambda value: type(value) is int and low <= value <= high


def text(what, pattern=r"[^\0\ud800-\udfff]+"):
    return what, lambda value: type(value) is str and re.fullmatch(pattern, value)


def one_of(*values):
    return " or ".join(map(json.dumps, values)), lambda value: (type(value), value) in [(type(one), one) for one in values]


SETTINGS = {  # name: (default, what it is to be, whether a value is that); null is right where it is the default
    "server": (None, *text("HOST:PORT", r"([^\s:/@\[\]]+|\[[0-9A-Fa-f:.%\w]+\]):([1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])")),
    "file": (None, *text("the path of a log")),
    "from": ("start", *one_of("start", "end")),
    "state": (None, *text("the path of a file")),
    "interval": (1, *number(0.05, 3600)),
    "timeout": (5, *number(0.1, 3600)),
    "framing": ("octet-counting", *one_of("octet-counting", "newline")),
    "tls": (False, *one_of(True, False)),
    "ca_file": (None, *text("the path of a file")),
    "cert_file": (None, *text("the path of a file")),
    "key_file": (None, *text("the path of a file")),
    "server_name": (None, *text("a host name", r"[\w.:-]+")),
    "facility": (16, *whole(0, 23)),  # local0
    "hostname": (None, *text("1 to 255 printable ASCII characters without blanks", r"[!-~]{1,255}")),
    "app_name": ("lmcache", *text("1 to 48 printable ASCII characters without blanks", r"[!-~]{1,48}")),
    "sd_id": ("lmcache@32473", *text('1 to 32 printable ASCII characters without blank, =, ], "', r'[!#-<>-\\^-~]{1,32}')),
    "max_line": (7680, *whole(480, 1 << 20)),  # with the header below rsyslog's 8 KiB
}


def say(line):
    print(line, flush=True)


def wrong(line):
    """One line, which names a setting and never its value."""
    print(line, file=sys.stderr, flush=True)
    sys.exit(2)


def read_settings():
    """Our part of the configuration, checked, with the prefix taken off and the defaults put in."""
    prefix = f"plugin.{NAME}."
    try:
        config = json.loads(os.environ.get("LMCACHE_PLUGIN_CONFIG") or "{}")
        # LMCache's engines and its multiprocess server name this mapping differently.
        extra = config.get("extra_config") or config.get("runtime_plugin_extra_config") or {}
        extra = json.loads(extra) if isinstance(extra, str) else extra
        given = {key[len(prefix) :]: value for key, value in extra.items() if key.startswith(prefix)}
    except (ValueError, AttributeError, RecursionError):
        wrong("LMCACHE_PLUGIN_CONFIG is to be a JSON object, and so is its extra_config")
    for name in given:
        if name not in SETTINGS:
            wrong(f"{prefix}{name} is no setting; there are {', '.join(SETTINGS)}")
    for name, (default, expected, is_right) in SETTINGS.items():
        value = given.setdefault(name, default)
        if value is not default and not is_right(value):
            wrong(f"{prefix}{name} is to be {expected}")
    return given


told = {}  # the last line about each subject


def tell(subject, line):
    """Says what has changed, once."""
    if told.get(subject) != line:
        told[subject] = line
        say(line)


def reason(error):
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


# ---- the log ----


class Position:
    """How far the log is shipped, kept on disk: inode, offset, and a mark, the checksum of the
    bytes just before the offset. By the mark we find our place again in a copy with another
    inode, and tell a file that was truncated and grew again from the one we were reading.
    Behind them are the identities of the older generations, which are not ours to ship."""

    MARKED = 256  # bytes
    SIZE = 512  # bytes of the record: one size, so that one write replaces it, on a full disk too
    OLDER = 40  # generations, as many as fit

    def __init__(self, path):
        self.path = path
        self.file = None
        self.inode = self.offset = self.mark = 0
        self.older = []
        self.is_new = False  # nothing was looked at before

    def open(self):
        """Raises OSError; False while another reporter follows this log: no line is to go out twice."""
        if self.file is None:
            try:
                self.file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                self.is_new = True
            except FileExistsError:
                self.file = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.is_new = False
            return False
        return True

    def load(self):
        """False when what is saved is no position."""
        saved = os.pread(self.file, self.SIZE, 0)
        numbers = [int(field) for field in saved.split() if field.isdigit() and len(field) <= 20]
        if len(numbers) != len(saved.split()) or len(numbers) < 3 or numbers[1] >> 62:
            return self.is_new
        self.inode, self.offset, self.mark, *self.older = numbers
        return True

    def move(self, inode, offset, before):
        self.inode, self.offset, self.mark = inode, offset, zlib.crc32(before[-self.MARKED :])
        self.save()

    def save(self):
        record = " ".join(map(str, [self.inode, self.offset, self.mark, *self.older[-self.OLDER :]]))
        try:
            os.pwrite(self.file, record.ljust(self.SIZE - 1).encode() + b"\n", 0)
            if told.get("state"):
                tell("state", f"our position is saved in {self.path}")
        except OSError as error:
            tell("state", f"cannot save our position in {self.path}, a restart would send lines again: {reason(error)}")

    def read(self, file, size):
        """The marked bytes before our place and those after it, in one read, so that no
        truncation comes in between; None when this is not where we were."""
        marked = min(self.offset, self.MARKED)
        data = os.pread(file, marked + size, self.offset - marked)
        is_ours = len(data) >= marked and zlib.crc32(data[:marked]) == self.mark
        return (data[:marked], data[marked:]) if is_ours else None


class Log:
    """The followed file and its rotated generations, as one stream of lines."""

    def __init__(self, path, position, begin_at_end):
        self.path, self.position = path, position
        self.begin_at_end = begin_at_end
        self.file = None  # the generation we are in
        self.before = b""  # the marked bytes before the lines that were read last
        self.idle_polls = 0
        directory, name = os.path.split(path)
        self.directory = directory or "."
        # PATH.1, PATH-20261122, PATH.2026-11-22_10-00; before the suffix a date alone: x-1.log is another log than x.log.
        stem, suffix = map(re.escape, os.path.splitext(name))
        self.rotated = re.compile(rf"{stem}{suffix}[.-](\d[\d_.-]*)|{stem}[.-](\d{{4}}[\d_.-]{{4,}}){suffix}")

    def generations(self):
        """As identify() has them, oldest first, the current file last. The order is that of the
        names: late writes and copies make times lie."""
        found = []
        for entry in os.scandir(self.directory):
            match = self.rotated.fullmatch(entry.name)
            if match and entry.name != os.path.basename(self.path):
                tag = match[1] or match[2]
                counted = len(tag) < 4 and tag.isdigit()
                found.append(((counted, -int(tag)) if counted else (counted, tag), entry.path))
        paths = [path for _, path in sorted(found)] + [self.path]
        return [entry for entry in map(identify, paths) if entry]

    def take(self, path, offset=0, before=b""):
        """Goes on in this file, from this offset. What is older is none of ours."""
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if self.file is not None:
            os.close(self.file)
        self.file, self.idle_polls = file, 0
        inode = os.fstat(file).st_ino
        older = []
        for _, other, identity in self.generations():
            if other == inode:
                self.position.older = older
                break
            older.append(identity)
        self.position.move(inode, offset, before)

    def later(self):
        """The generations that are not known to be older than our place."""
        return [entry for entry in self.generations() if entry[0] == self.path or entry[2] not in self.position.older]

    def find_place(self):
        """Opens the generation that holds our place, else the first one that came later."""
        position, places, later = self.position, [], self.later()
        for path, inode, _ in later:
            with open(path, "rb", buffering=0) as file:
                data = position.read(file.fileno(), 0)
            if data and (inode == position.inode or position.offset):
                places.append((inode == position.inode, path, data[0]))
        if places:
            _, path, before = max(places)
            self.take(path, position.offset, before)
        elif not later or later[-1][0] != self.path:
            if not position.inode:
                self.begin_at_end = False  # what is created from now on is new
                position.save()
            raise OSError(errno.ENOENT, "No such regular file")
        elif position.inode:
            self.take(later[0][0])
            say(f"our place in {self.path} is gone (truncated, or rotated away): from the beginning of {later[0][0]}")
        else:
            self.take(self.path)
            if self.begin_at_end:
                size = os.fstat(self.file).st_size
                position.move(position.inode, size, os.pread(self.file, Position.MARKED, max(0, size - Position.MARKED)))

    def next_generation(self):
        """Our file is complete: on to the one that came after it."""
        generations = self.generations()
        inodes = [inode for _, inode, _ in generations]
        is_there = self.position.inode in inodes
        after = generations[inodes.index(self.position.inode) + 1 :] if is_there else self.later()
        if after:
            self.take(after[0][0])

    def read(self, size, is_last=False):
        """Whole lines after our position, at most this many bytes; empty: none for now. At last
        also a line without its newline. Raises OSError for what may heal."""
        data = self.position.read(self.file, size) if self.file is not None else None
        if data is None:
            self.find_place()
            data = self.position.read(self.file, size) or (b"", b"")
        self.before, chunk = data
        complete = chunk.rfind(b"\n") + 1
        if complete or len(chunk) == size:  # a line longer than a batch goes in pieces
            self.idle_polls = 0
            return chunk[: complete or size]
        try:
            is_rotated = os.stat(self.path).st_ino != self.position.inode
        except FileNotFoundError:
            is_rotated = False  # between two steps of a rotation
        # Its writer may have a rotated file open still: it is complete when it stays as it is.
        self.idle_polls = self.idle_polls + 1 if is_rotated else 0
        if is_rotated and not chunk and (is_last or self.idle_polls > SETTLE_POLLS):
            self.next_generation()
            return self.read(size, is_last) if is_last else b""
        return chunk if is_last or self.idle_polls > SETTLE_POLLS else b""

    def end(self):
        """The inode and the size of the current file."""
        try:
            status = os.stat(self.path)
            return status.st_ino, status.st_size
        except OSError:
            return 0, 0

    def is_before(self, end):
        return self.position.inode != end[0] or self.position.offset < end[1]

    def shipped(self, chunk):
        """These bytes, the first of what was read last, have arrived."""
        self.position.move(self.position.inode, self.position.offset + len(chunk), self.before + chunk)


def identify(path):
    """Path, inode, and a number that stands for the beginning too, since inodes are used again;
    None for what is no regular file, or gone."""
    try:
        status, beginning = os.stat(path), b""
        if not stat.S_ISREG(status.st_mode):
            return None
        with contextlib.suppress(PermissionError), open(path, "rb", buffering=0) as file:
            beginning = file.read(Position.MARKED)
        return path, status.st_ino, zlib.crc32(beginning, status.st_ino & 0xFFFFFFFF)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return None
        raise


# ---- the lines ----

# The first level in a line is its own: others come in what it says. LMCache and vLLM colour it.
SEVERITY = re.compile(rb"(?:\b|\x1b\[[\d;]*m)(?:(CRITICAL|FATAL)|(ERROR)|(WARN(?:ING)?)|(NOTICE)|(INFO)|(DEBUG|TRACE))\b")
SEVERITIES = (6, 2, 3, 4, 5, 6, 7)  # by the group that matched; none: informational
# Of LMCache and ISO 8601 2026-11-22 10:00:00,123; of vLLM 11-22 10:00:00.
TIME = re.compile(rb"(?<![\d-])(?:(\d{4})-)?(\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,6})\d*)?(?:(Z)|([+-][0-2]\d):?([0-5]\d))?(?![\d:])")


@functools.lru_cache(1024)
def with_offset(year, day, clock, zone):
    """The second of a line for its header and the offset behind it; None when there is none such.
    A line that names no zone is in ours, and one without a year is not from the future."""
    try:
        now = datetime.now()
        moment = datetime.strptime(f"{year or now.year}-{day} {clock}", "%Y-%m-%d %H:%M:%S")
        if not year and (moment - now).days >= 1:
            moment = moment.replace(year=now.year - 1)
        zone = zone or "{:%z}".format(moment.astimezone())
        return moment.isoformat(), zone if zone == "Z" else f"{zone[:3]}:{zone[-2:]}"
    except (ValueError, OverflowError, OSError):
        return None


def time_of(line):
    found = TIME.search(line, 0, 100)
    if found:
        year, day, clock, fraction, utc, hours, minutes = (group and group.decode() for group in found.groups())
        second = with_offset(year, day, clock, utc or (hours and hours + minutes))
        if second:
            return second[0] + (f".{fraction}" if fraction else "") + second[1]
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parameter(value):
    """For a quoted value of structured data, in one line."""
    value = value.encode("utf-8", "replace").decode()
    return re.sub(r'(["\\\]])', r"\\\1", re.sub(r"[\0-\x1f\x7f]", " ", value))


class Frames:
    """How a line is written for the server."""

    def __init__(self, settings, role, worker_id):
        host = settings["hostname"] or re.sub(r"[^!-~]", "_", socket.gethostname())[:255] or "-"
        pid = os.environ.get("LMCACHE_PLUGIN_PARENT_PID", "")
        self.origin = f"{host} {settings['app_name']} {pid if re.fullmatch('[0-9]+', pid) else '-'} - [{settings['sd_id']}"
        self.origin += f' role="{parameter(role)}" worker="{parameter(worker_id)}"'
        self.facility, self.max_line = settings["facility"], settings["max_line"]
        self.is_counted = settings["framing"] == "octet-counting"

    def of(self, chunk, inode, offset):
        frames = bytearray()
        for line in chunk.removesuffix(b"\n").split(b"\n"):
            begin, offset = offset, offset + len(line) + 1
            content = line.lstrip(b"\0")
            if len(content) < len(line):
                # A writer that does not append goes on where it was after a copytruncate.
                tell("hole", "skipping NUL bytes: a log was truncated under a writer that does not append")
                begin += len(line) - len(content)
                if not content:
                    continue
            content = content.removesuffix(b"\r")
            level = SEVERITY.search(content, 0, 100)
            header = f"<{self.facility * 8 + SEVERITIES[level.lastindex if level else 0]}>1 {time_of(content)} {self.origin} inode"
            for start in range(0, len(content) or 1, self.max_line):
                message = f'{header}="{inode}" offset="{begin + start}"] '.encode() + content[start : start + self.max_line]
                frames += b"%d %s" % (len(message), message) if self.is_counted else message + b"\n"
        return frames


# ---- the server ----


def attempt(call, *arguments):
    """What a call on a socket that does not block returns; None where it would have."""
    try:
        return call(*arguments)
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return None


def heard(connection):
    """Whether the peer has closed; one that talks is an error."""
    data = attempt(connection.recv, 4096)
    if data:
        raise ConnectionError("it answers, so it is no syslog server")
    return data == b""


def close_our_side(connection):
    if isinstance(connection, ssl.SSLSocket):
        try:
            attempt(connection.unwrap)  # says in TLS that there is no more
        except OSError as error:
            if error.errno not in (0, ssl.SSL_ERROR_EOF):  # the peer was quick: it has closed in answer
                raise
    socket.socket.shutdown(connection, socket.SHUT_WR)  # TLS's own would forget the keys


class Server:
    def __init__(self, settings):
        host, _, port = settings["server"].rpartition(":")
        self.name, self.address = settings["server"], (host.strip("[]"), int(port))
        self.timeout = settings["timeout"]
        self.settings = settings
        self.batch = MIN_BATCH  # bytes
        self.seconds = PROBATION  # that the last batch took
        self.witness = self.peer = self.tls = None
        self.is_parallel = self.is_serial = False  # known to serve several connections, or one at a time

    def connect(self, address):
        connection = socket.create_connection(address, self.timeout)
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_hostname=self.settings["server_name"] or self.address[0])
            connection.setblocking(False)
            return connection
        except BaseException:
            connection.close()
            raise

    def make_tls(self):
        """Anew with each witness: certificates are renewed."""
        if not self.settings["tls"]:
            return
        try:
            self.tls = ssl.create_default_context(cafile=self.settings["ca_file"])
            # Certificates of one's own CA often lack what Python 3.13 began to insist on.
            self.tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
            if self.settings["cert_file"]:
                # Where a key is encrypted, it is not the time to ask for a password.
                self.tls.load_cert_chain(self.settings["cert_file"], self.settings["key_file"], lambda: "")
        except OSError as error:
            raise ConnectionError(f"ca_file, cert_file or key_file: {reason(error)}") from None

    def watch(self, seconds, *connections):
        """Neither may close in this time."""
        deadline = time.monotonic() + seconds
        while True:
            left = deadline - time.monotonic()
            for connection in select.select(connections, [], [], max(0, left))[0]:
                if heard(connection):
                    raise ConnectionError("it closes by itself, so nothing says that it has what we sent")
            if left <= 0:
                return

    def keeps_witness(self):
        """Whether the one we have is still there: an idle connection may be closed."""
        try:
            if self.witness:
                self.watch(0, self.witness)
        except OSError:
            self.forget()
        return self.witness is not None

    def forget(self):
        if self.witness:
            self.witness.close()
        self.witness, self.batch = None, MIN_BATCH

    def deliver(self, payload):
        """Has a batch confirmed by a witness; raises OSError when it is not."""
        is_known = self.keeps_witness() or self.is_serial
        if not is_known:
            self.make_tls()
            self.witness = self.connect(self.address)
            self.peer = self.witness.getpeername()[:2]
            self.watch(PROBATION, self.witness)
        began = time.monotonic()
        self.send(payload, is_known)
        self.seconds = time.monotonic() - began
        if self.witness:
            self.watch(SETTLE, self.witness)
            self.is_parallel = True
        else:
            # A proxy that has lost its server closes each connection at about the same age.
            with self.connect(self.peer) as later:
                self.watch(min(1.5 * self.seconds + SETTLE, MAX_DELAY), later)
            self.is_serial = True
        if is_known and self.seconds < SLOW_BATCH / 4:
            self.batch = min(MAX_BATCH, self.batch * 2)
        elif self.seconds > SLOW_BATCH:
            self.batch = max(MIN_BATCH, self.batch // 2)

    def send(self, payload, is_known):
        """Sends a batch on a connection of its own and waits for the server's close, however long."""
        with self.connect(self.peer) as connection:
            sent, is_finished = 0, False
            while True:
                is_unknown = self.witness and not self.is_parallel
                patience = min(PATIENCE, self.timeout) if is_unknown else self.timeout
                readable, writable, _ = select.select([connection], [] if is_finished else [connection], [], patience)
                if not readable and not writable:
                    if is_unknown:
                        self.watch(0, self.witness)
                        self.forget()  # a server of one connection at a time waits for its end
                    else:
                        # Breaking off would only mean to send it all again, into the same buffer.
                        tell("server", f"{self.name} hangs, waiting for it to {'confirm' if is_finished else 'read on'}")
                if readable and heard(connection):
                    break
                if writable:
                    sent += attempt(connection.send, payload[sent : sent + 65536]) or 0
                    if sent == len(payload):
                        self.watch(0 if is_known else PROBATION, connection)
                        close_our_side(connection)
                        is_finished = True
            # SIOCOUTQ (TIOCOUTQ) is what its kernel has not acknowledged; our FIN counts as a byte there.
            if not is_finished or struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))[0] > 1:
                raise ConnectionError("it closed before we did, so nothing says that it has the last lines")

    def takes(self, payload):
        """False, and why is said, when a batch is not confirmed."""
        try:
            self.deliver(memoryview(payload))
        except (OSError, ValueError) as error:  # ValueError: of a name that is none
            self.forget()
            self.is_serial = False
            tell("server", f"{self.name} does not take our lines: {reason(error)}")
            return False
        tell("server", f"{self.name} takes our lines")
        return True


# ---- the whole ----


def follow(log, server, frames, interval, stop):
    """Ships until told to stop, and then what is still there, if the server takes it."""
    failures, end = 0, None
    while True:
        is_last, chunk = stop.is_set(), b""
        if is_last and not end:
            end = log.end()  # its writer may go on
        try:
            chunk = log.read(server.batch, is_last)
            is_well = True
            if told.get("log"):
                tell("log", f"{log.path} can be read")
        except OSError as error:
            is_well = False
            tell("log", f"cannot read {log.path}, trying on: {reason(error)}")
            if error.errno == errno.ESTALE:
                log.file = None  # of a network file system: to be opened anew
        if chunk:
            payload = frames.of(chunk, log.position.inode, log.position.offset)
            is_well = not payload or server.takes(payload)
            if is_well:
                log.shipped(chunk)
        # A batch is not begun that would not be confirmed: it would be sent again.
        if is_last and not (is_well and chunk and log.is_before(end) and time.monotonic() + 3 * server.seconds < stop.deadline):
            return
        failures = 0 if is_well else failures + 1
        if failures:
            stop.wait(min(MAX_DELAY if chunk else MAX_LOOK, 2 ** min(failures - 1, 6)))
        elif len(chunk) < MIN_BATCH // 2:  # else there is more
            stop.wait(interval)


def wait_for_position(position, path, interval, stop):
    """False when we are to stop before the position is ours."""
    delay = interval
    while True:
        try:
            if position.open():
                if not position.load():
                    say(f"{position.path} holds no position: {path} is sent from its beginning")
                told.pop("state", None)
                return True
            tell("state", f"another reporter follows {path}: standing by")
            delay = interval
        except OSError as error:
            tell("state", f"cannot open {position.path}, trying on: {reason(error)}")
            delay = min(MAX_LOOK, delay * 2)
        if stop.wait(delay):
            return False


def main():
    settings = read_settings()
    if not settings["server"] or not settings["file"]:
        say(f"not enabled: set plugin.{NAME}.server to HOST:PORT and plugin.{NAME}.file to the log to ship")
        return
    for name, needed in (("ca_file", "tls"), ("cert_file", "tls"), ("server_name", "tls"), ("key_file", "cert_file")):
        if settings[name] and not settings[needed]:
            wrong(f"plugin.{NAME}.{name} is to come with plugin.{NAME}.{needed}")
    sys.stdout.reconfigure(errors="backslashreplace")  # a path need not be UTF-8
    stop = threading.Event()

    def end(*_):
        if not stop.is_set():  # it is sent more than once
            stop.deadline = time.monotonic() + STOP_SECONDS
            stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)

    role, worker_id = os.environ.get("LMCACHE_PLUGIN_ROLE", "").lower(), os.environ.get("LMCACHE_PLUGIN_WORKER_ID", "0")
    fill = lambda path: path.replace("{role}", role).replace("{worker_id}", worker_id)
    path = fill(settings["file"])
    directory, name = os.path.split(path)
    position = Position(fill(settings["state"] or os.path.join(directory, f".{name}.shipped")))
    if not wait_for_position(position, path, settings["interval"], stop):
        return say("stopped")
    say(f"following {path} from byte {position.offset}, to {settings['server']}")
    log = Log(path, position, position.is_new and settings["from"] == "end")
    server, frames = Server(settings), Frames(settings, role, worker_id)

    # In a thread, because a lookup or a connect that hangs cannot be interrupted: it is left
    # behind. The position on disk is right at any moment.
    failed = []

    def work():
        try:
            follow(log, server, frames, settings["interval"], stop)
        except Exception as error:
            failed.append(f"cannot go on: {type(error).__name__}: {error}")
        stop.set()

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    stop.wait()
    worker.join(STOP_SECONDS)
    if failed:
        sys.exit(failed[0])
    say(f"stopped at byte {position.offset}" + (", the rest goes out at the next start" if worker.is_alive() else ""))


if __name__ == "__main__":
    main()
