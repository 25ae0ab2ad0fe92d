#!/usr/bin/env python3
"""Alerts when the process this plugin is attached to uses more than it should.

Reads memory, CPU, descriptors and threads from /proc and the cgroup, compares them with the
limits that are set, and tells each Alertmanager (v2 API) when one has been crossed for long enough
and when it is well again. What fires is posted again and again, without times of ours: by its own
clock Alertmanager resolves what it no longer hears of, should this plugin die.

Settings: see README.md beside this file (extra_config, plugin.worker_process_alert.*).
"""

import base64
import contextlib
import http.client
import json
import os
import queue
import re
import signal
import socket
import ssl
import sys
import threading
import time
import urllib.parse
import urllib.request
import zlib
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

NAME = "worker_process_alert"
MAX_DELAY = 60  # seconds between two tries while an Alertmanager is away
MAX_PAGE = 1 << 20  # bytes of an answer
TICKS = os.sysconf("SC_CLK_TCK")
# What is watched: the setting with its limit, and the unit of the value.
LIMITS = {
    "max_rss_mib": "MiB resident",
    "max_cgroup_percent": "% of the memory of its cgroup",
    "max_cpu_percent": "% CPU",
    "max_fds": "open descriptors",
    "max_threads": "threads",
}


class Stop(BaseException):
    """Raised by SIGTERM, out of whatever we were waiting for."""


# ---- settings: the same lines in each of these plugins, see README.md ----


def number(low, high):
    return f"a number from {low} to {high}", lambda value: type(value) in (int, float) and low <= value <= high


def text(what, pattern=r"[^\0\ud800-\udfff]+"):
    return what, lambda value: type(value) is str and re.fullmatch(pattern, value)


def url(value):
    """Whether it is the URL of a server; without a scheme it is http."""
    try:
        parts = urllib.parse.urlsplit(with_scheme(value))
        return parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and re.fullmatch(r"[!-~]+", value)
    except (ValueError, TypeError):  # .port raises where there is none
        return False


def with_scheme(value):
    return value if "://" in value else "http://" + value


def header_fields(value):
    pairs = value.items() if type(value) is dict else [("", "")]
    return all(re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) and type(field) is str and re.fullmatch(r"[ -~]+", field) for name, field in pairs)


FILE = (None, *text("the path of a file"))
# How we reach a server, and who we are to it.
CONNECTION = {
    "headers": (None, "a mapping of names to texts in ASCII", header_fields),
    "bearer_token_file": FILE,
    "basic_auth_file": FILE,
    "ca_file": FILE,
    "cert_file": FILE,
    "key_file": FILE,
}


def say(line):
    print(line, flush=True)


def wrong(line):
    """One line, which names a setting and never its value."""
    print(line, file=sys.stderr, flush=True)
    sys.exit(2)


def read_settings():
    """The whole configuration; and our part of it, checked, with the prefix taken off and the defaults put in."""
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
    return config, given


told = {}  # what was said last about each subject


def tell(subject, what, detail=""):
    """Says what has changed, once; a detail that differs is no change."""
    if told.get(subject) != what:
        told[subject] = what
        say(f"{subject} {what}: {detail}" if detail else f"{subject} {what}")


# ---- HTTP: the same lines in each of these plugins that speaks it, see README.md ----


class Fault(Exception):
    """A server is away or refuses: what we say of it, and what it said itself."""

    def __init__(self, what, detail=""):
        super().__init__(what, detail)


def within(seconds, work, abort):
    """What work() returns. It has a thread to itself, so that neither the deadline nor a signal waits
    for anything it does, be it a name server; abort() is called in any case, and ends its waiting."""
    answers = queue.SimpleQueue()

    def run():
        try:
            answers.put((work(), None))
        except Exception as error:  # whatever a broken peer makes the library raise
            answers.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise Fault(f"is away: no answer within {seconds:g}s") from None
    finally:
        abort()
    if error:
        raise error
    return result


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Server:
    """One server: how to reach it, who we are to it, and its name without any secret."""

    def __init__(self, url, settings, prefix="", use_proxy=True):
        self.parts = urllib.parse.urlsplit(url if url.startswith("unix:") else with_scheme(url))
        self.timeout, self.settings = settings["timeout"], {name: settings[prefix + name] for name in CONNECTION}
        self.prefix, self.use_proxy, self.api_key = f"plugin.{NAME}.{prefix}", use_proxy, None
        self.wanted = f"{self.prefix}bearer_token_file or {self.prefix}basic_auth_file"  # at a 401
        self.secrets = []  # of the exchange that is under way
        self.place = self.parts.netloc.rpartition("@")[2] or self.parts.path  # of a Unix socket: its path
        self.root = self.parts.path.rstrip("/") if self.parts.netloc else ""
        self.name = f"{self.parts.scheme}:{'//' if self.parts.netloc else ''}{self.place}{self.root}"
        if self.settings["key_file"] and not self.settings["cert_file"]:
            wrong(f"{self.prefix}key_file is to come with {self.prefix}cert_file")
        ways = [name for name in ("bearer_token_file", "basic_auth_file") if self.settings[name]]
        ways += ["headers"] * ("authorization" in (name.lower() for name in self.settings["headers"] or {}))
        if len(ways) > 1:
            wrong(f"{self.prefix}{ways[0]} and {self.prefix}{ways[1]} both say who we are")

    def read(self, setting):
        """A secret out of its file, which may come late and change."""
        try:
            secret = read_secret(self.settings[setting])
        except (OSError, ValueError) as error:
            raise Fault(f"is not asked: {self.prefix}{setting}: {reason(error)}") from None
        if not secret or not secret.isprintable():
            raise Fault(f"is not asked: {self.prefix}{setting} is to have one line")
        return secret

    def authorization(self):
        """Headers that say who we are, by the settings, the URL, or the key that LMCache's own variables hold."""
        headers = dict(self.settings["headers"] or {})
        token = password = None
        if "authorization" in (name.lower() for name in headers):
            pass
        elif self.settings["bearer_token_file"]:
            token = self.read("bearer_token_file")
        elif self.settings["basic_auth_file"]:
            password = self.read("basic_auth_file")
        elif "@" in self.parts.netloc:
            password = urllib.parse.unquote(self.parts.netloc.rpartition("@")[0])
        elif self.api_key:
            token = self.api_key()
        if token:
            if not (token.isascii() and token.isprintable()):  # the library would quote it
                raise Fault("is not asked: the token has characters that no header can hold")
            headers["Authorization"] = "Bearer " + token
        if password:
            headers["Authorization"] = basic(password)
        self.secrets = [token, password, (password or "").partition(":")[2], self.parts.query]
        self.secrets += [part for field in headers.values() for part in (field, field.partition(" ")[2])]
        return headers

    def connection(self):
        """A connection that is opened when it is used, and what its requests have before their path."""
        scheme, host, port = self.parts.scheme, self.parts.hostname, self.parts.port
        if scheme == "unix":
            return UnixConnection(self.place, self.timeout), "", {}
        context = None
        if scheme == "https":
            try:
                context = ssl.create_default_context(cafile=self.settings["ca_file"])
                # Certificates of one's own CA often lack what Python 3.13 began to insist on.
                context.verify_flags &= ~ssl.VERIFY_X509_STRICT
                if self.settings["cert_file"]:
                    # A password is none, where the library would ask the terminal for one.
                    context.load_cert_chain(self.settings["cert_file"], self.settings["key_file"], password="")
            except OSError as error:  # SSLError is one
                raise Fault(f"is not asked: {self.prefix}ca_file, cert_file or key_file: {reason(error)}") from None
        via = urllib.request.getproxies().get(scheme) if self.use_proxy and not urllib.request.proxy_bypass(host) else None
        if not via:
            if context:
                return http.client.HTTPSConnection(host, port, timeout=self.timeout, context=context), "", {}
            return http.client.HTTPConnection(host, port, timeout=self.timeout), "", {}
        if not url(via) or with_scheme(via).startswith("https"):
            raise Fault(f"is not asked: {scheme}_proxy of the environment is no http:// URL")
        proxy = urllib.parse.urlsplit(with_scheme(via))
        user = urllib.parse.unquote(proxy.netloc.rpartition("@")[0])
        login = {"Proxy-Authorization": basic(user)} if user else {}
        if context:
            tunnel = http.client.HTTPSConnection(proxy.hostname, proxy.port or 80, timeout=self.timeout, context=context)
            tunnel.set_tunnel(host, port, login)
            return tunnel, "", {}
        return http.client.HTTPConnection(proxy.hostname, proxy.port or 80, timeout=self.timeout), f"http://{self.place}", login

    def exchange(self, method, path="", body=None, headers=None, timeout=None):
        """One request and its whole answer, within the timeout: the head and body of a 2xx. All else is a Fault."""
        given_up, opened, head = threading.Event(), [], []

        def work():
            ours = self.authorization()
            connection, before, login = self.connection()
            opened.append(connection)
            connection.connect()
            if given_up.is_set():  # a request that comes later than what we do next could undo it
                return connection.close()
            whole_path = before + ((self.root + path) or "/") + ("?" + self.parts.query if self.parts.query else "")
            connection.request(method, whole_path, body, {**(headers or {}), **ours, **login})
            answer = connection.getresponse()
            head.append(answer)
            return answer.read(MAX_PAGE + 1) if answer.status < 300 else answer.read(2000)

        def abort():
            given_up.set()
            for connection in opened:
                with contextlib.suppress(OSError, AttributeError):
                    connection.sock.shutdown(socket.SHUT_RDWR)
                connection.close()

        try:
            page = within(timeout or self.timeout, work, abort)
        except Exception as error:
            page = b""
            if not head or head[0].status < 300:
                raise error if isinstance(error, Fault) else Fault("is away: " + self.hide(reason(error))) from None
        answer = head[0]
        if answer.status >= 300:
            raise self.refusal(answer, page)
        if len(page) > MAX_PAGE:
            raise Fault(f"refuses: its answer is over {MAX_PAGE >> 20} MiB")
        if answer.length:
            raise Fault("is away: its answer is cut")
        if answer.headers.get_content_type() == "text/html":
            raise Fault("refuses: it answers with a page for people, is the address right?")
        return answer.headers, page

    def refusal(self, answer, page):
        """The fault that an answer is which is none of success."""
        what = f"refuses: {answer.status} {self.hide(answer.reason)}".rstrip()
        if answer.status == 401:
            return Fault(f"{what}: set {self.wanted}")
        if answer.status < 400:
            try:
                target = urllib.parse.urlsplit(urllib.parse.urljoin(self.name, answer.headers.get("Location") or ""))
            except ValueError:
                return Fault(f"{what}: it redirects to what is no URL")
            return Fault(f"{what}: it redirects to {self.hide(target.scheme + '://' + target.netloc.rpartition('@')[2] + target.path)}")
        return Fault(what, self.hide(page.decode("utf-8", "replace")))

    def hide(self, words):
        """What a server or the library says, without the secrets that it may have said again."""
        for secret in self.secrets:
            words = words.replace(secret, "***") if secret and len(secret) > 3 else words
        return printable(words)[:200]


def read_secret(path):
    """The file's text; what is no regular file is not waited for."""
    with open(path, encoding="utf-8", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
        return file.read(65536).strip()


def basic(user_and_password):
    return "Basic " + base64.b64encode(user_and_password.encode()).decode()


def reason(error):
    """The library's errors in a few words; of other kinds the name alone, they may quote anything."""
    if isinstance(error, http.client.BadStatusLine) and not isinstance(error, OSError):
        return "its answer is no HTTP"
    if isinstance(error, (OSError, http.client.HTTPException)):
        words = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return re.sub(r"^\[[A-Z0-9_: ]+\] | \(_ssl\.c:\d+\)$", "", words)
    return type(error).__name__


def printable(text):
    return "".join(letter if letter.isprintable() else " " for letter in str(text)).strip()


# ---- what is set and watched ----


def urls(value):
    """Whether it is the URL of a server, or a list of them that are different."""
    return url(value) or type(value) is list and value and all(map(url, value)) and len(set(value)) == len(value)


def names_and_texts(value):
    """By Alertmanager's rule for names."""
    return type(value) is dict and all(re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", name) and type(field) is str and field for name, field in value.items())


SETTINGS = {  # name: (default, what it is to be, whether a value is that); null is right where it is the default
    "alertmanager": (None, "a URL, or a list of URLs", urls),
    **{limit: (None, *number(0, 1e12)) for limit in LIMITS},
    "for": (60, *number(0, 86400)),
    "interval": (5, *number(0.1, 3600)),
    "resend": (60, *number(0.5, 240)),  # below the 5 minutes after which Alertmanager takes silence for the end
    "timeout": (5, *number(0.1, 600)),
    "instance": (socket.gethostname(), *text("a text")),
    # One of them tells our own alerts apart.
    "labels": ({}, "a mapping of label names to texts, without `limit`", lambda value: names_and_texts(value) and "limit" not in value),
    "annotations": ({}, "a mapping of label names to texts", names_and_texts),
    "generator_url": (None, "a URL", lambda value: url(value) and "://" in value),
    **CONNECTION,
}


class Gone(Exception):
    """The watched process has ended."""


def read_stat(pid):
    """Parent, CPU seconds, threads and start of a process; Gone if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name in parentheses may hold anything: the fields begin after the last one.
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        raise Gone from None
    # One whose first thread has ended while others run looks like a zombie, too.
    if not fields or fields[0] == b"X" or (fields[0] == b"Z" and int(fields[17]) <= 1):
        raise Gone
    return {"parent": int(fields[1]), "cpu": (int(fields[11]) + int(fields[12])) / TICKS, "threads": int(fields[17]), "started": fields[19].decode()}


def descendants(pid):
    """The process and those below it, but for the branch that leads to us: the launcher and its plugins."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(Gone, OSError):
                parents[int(entry)] = read_stat(entry)["parent"]
    ours, branch = set(), os.getpid()
    while branch in parents and branch != pid and branch not in ours:
        ours.add(branch)
        branch = parents[branch]
    family, left = [], [pid]
    while left:
        family.append(left.pop())
        left += [child for child, parent in parents.items() if parent == family[-1] and child not in ours]
    return family


def resident_mib(pid):
    """Resident memory of the process and its descendants, with huge pages, which the kernel counts
    apart. What processes share would count twice: of files and shared memory only the largest counts."""
    of_each, shared = 0, [(0, 0)]
    for member in descendants(pid):
        fields = {}
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{member}/status", "rb") as file:
            fields = {name: int(rest.split()[0]) for name, _, rest in (line.partition(b":") for line in file) if rest.endswith(b" kB\n")}
        of_each += fields.get(b"RssAnon", fields.get(b"VmRSS", 0)) + fields.get(b"HugetlbPages", 0)
        shared.append((fields.get(b"RssFile", 0), fields.get(b"RssShmem", 0)))
    return (of_each + sum(map(max, zip(*shared)))) / 1024


def cgroup_percent(pid, root=""):
    """How full the cgroup of the process is, or that one above it which is fullest. 0 without a limit."""
    with open(f"{root}/proc/self/mountinfo") as file:
        mounts = [line.split() for line in file]
    with open(f"{root}/proc/{pid}/cgroup") as file:
        groups = [line.rstrip("\n").split(":", 2) for line in file]
    fullest = 0
    for mount in mounts:
        top, place, kind, options = mount[3], mount[4], mount[mount.index("-") + 1], mount[-1].split(",")
        for number, controllers, path in groups:
            # Version 2 has the number 0 and no controllers; of version 1 each controller has its own tree.
            if not (kind == "cgroup2" and number == "0" or kind == "cgroup" and {"memory", "hugetlb"} & {*controllers.split(",")} & {*options}):
                continue
            # A container may see a part of the tree: then of paths elsewhere only its top.
            below = os.path.relpath(path, top) if f"{path}/".startswith(top.rstrip("/") + "/") else ""
            while below not in ("", "."):
                fullest = max(fullest, percent_used(f"{root}{place}/{below}"))
                below = os.path.dirname(below)
            fullest = max(fullest, percent_used(root + place))
    return fullest


def percent_used(directory):
    """The largest share of a limit that one cgroup uses: of memory, without the page cache that can go at
    any time, or of huge pages, which have limits of their own."""

    def read(name):
        with contextlib.suppress(OSError), open(f"{directory}/{name}") as file:
            return file.read().strip()
        return ""

    cache = dict(line.split(" ", 1) for line in read("memory.stat").splitlines())
    kinds = [("memory.current", "memory.max"), ("memory.usage_in_bytes", "memory.limit_in_bytes")]
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            page = re.fullmatch(r"(hugetlb\..+\.)(current|usage_in_bytes)", name)
            kinds += [(name, page[1] + {"current": "max", "usage_in_bytes": "limit_in_bytes"}[page[2]])] if page else []
    fullest = 0
    for used, limit in kinds:
        free = {"memory.current": "inactive_file", "memory.usage_in_bytes": "total_inactive_file"}.get(used)
        used, limit = read(used), read(limit)
        if used.isdigit() and limit.isdigit() and int(limit):  # "max" is none
            fullest = max(fullest, 100 * (int(used) - int(cache.get(free, 0))) / int(limit))
    return fullest


class Process:
    """A process and its consumption; a process id used again is not taken for it."""

    def __init__(self, pid):
        self.pid = pid
        self.started = read_stat(pid)["started"]
        self.cpu_before = None

    def identity(self):
        """What no other process has, on any host, whatever its name: the kernel's boot, our view of
        process ids, and when it began."""
        boot, view = "", ""
        with contextlib.suppress(OSError), open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read()
        with contextlib.suppress(OSError):
            view = os.readlink("/proc/self/ns/pid")
        return f"{self.pid}-{zlib.crc32(f'{boot} {view} {self.started}'.encode()):08x}"

    def measure(self, wanted):
        """The value behind each setting of `wanted`; one that needs a second look is missing."""
        stat, now = read_stat(self.pid), time.monotonic()
        if stat["started"] != self.started:
            raise Gone
        values = {"max_threads": stat["threads"]}
        if self.cpu_before:
            used, at = self.cpu_before
            values["max_cpu_percent"] = 100 * (stat["cpu"] - used) / max(now - at, 1 / TICKS)
        self.cpu_before = (stat["cpu"], now)
        more = {
            "max_rss_mib": lambda: resident_mib(self.pid),
            "max_cgroup_percent": lambda: cgroup_percent(self.pid),
            "max_fds": lambda: len(os.listdir(f"/proc/{self.pid}/fd")),
        }
        for setting, look in more.items():
            if setting in wanted:
                try:
                    values[setting] = look()
                except OSError as error:
                    read_stat(self.pid)  # it may have ended meanwhile
                    tell(f"{setting} of process {self.pid}", f"cannot be seen: {error.strerror}")
        return {setting: values[setting] for setting in wanted if setting in values}


class Watch:
    """One limit: whether its alert fires, and since when the value has been on the other side."""

    def __init__(self, setting, limit, hold):
        self.setting, self.limit, self.hold = setting, limit, hold
        self.is_firing, self.turned, self.value = False, None, 0

    def look(self, value, now):
        """Takes a new value in, and says when the alert begins or ends."""
        self.value = value
        if (value > self.limit) == self.is_firing:
            self.turned = None
            return
        self.turned = now if self.turned is None else self.turned
        if now - self.turned >= self.hold:
            self.is_firing, self.turned = not self.is_firing, None
            say(f"{'firing' if self.is_firing else 'resolved'}: {self}")

    def __str__(self):
        return f"{self.value:.0f} {LIMITS[self.setting]}, limit {self.limit:g}"


# ---- where alerts go ----


class Alertmanager(Server):
    """One of them, and what it has heard of us."""

    def __init__(self, address, settings):
        super().__init__(address, settings)
        self.resend = settings["resend"]
        self.open = {}  # limits of which it may have an alert -> whether it took the last word on them
        self.next_post = 0  # monotonic; the first is at the start, and shows whether it takes alerts at all
        self.failures, self.fault = 0, None
        self.ahead = 0  # seconds of its clock before ours
        self.lock = threading.Lock()  # what we say last arrives last

    def is_due(self, watches, now):
        """There is news, or it is time to say again what fires; if nothing does, that we are here."""
        news = {watch.setting for watch in watches if watch.is_firing} != {setting for setting, is_known in self.open.items() if is_known}
        return now >= self.next_post or (news and not self.failures)

    def post(self, alert_of, watches, timeout=None):
        """Posts what fires, and the end of what it heard of and no longer does."""
        if not self.lock.acquire(timeout=1):  # an exchange that SIGTERM did not wait for
            self.fault = Fault("is away: it has not answered yet")
            return
        try:
            self.exchange_alerts(alert_of, watches, timeout)
        finally:
            self.lock.release()

    def exchange_alerts(self, alert_of, watches, timeout):
        firing = {watch.setting for watch in watches if watch.is_firing}
        self.open.update(dict.fromkeys(firing - set(self.open), False))  # before we know: the answer may get lost
        ended = datetime.fromtimestamp(time.time() + self.ahead, timezone.utc).isoformat()
        alerts = [alert_of(watch) if watch.setting in firing else {**alert_of(watch), "endsAt": ended} for watch in watches if watch.setting in self.open]
        try:
            head, _ = self.exchange("POST", "/api/v2/alerts", json.dumps(alerts).encode(), {"Content-Type": "application/json"}, timeout)
        except Fault as fault:
            self.fault, self.failures = fault, self.failures + 1
            self.next_post = time.monotonic() + min(MAX_DELAY, self.resend, 2 ** min(self.failures - 1, 6))
            return
        with contextlib.suppress(ValueError, TypeError):
            self.ahead = parsedate_to_datetime(head["Date"]).timestamp() - time.time()
        self.fault, self.failures, self.open = None, 0, dict.fromkeys(firing, True)
        self.next_post = time.monotonic() + self.resend


def post_to_all(alertmanagers, alert_of, watches, timeout=None):
    """To all at the same time: none waits for another."""
    threads = [threading.Thread(target=one.post, args=(alert_of, watches, timeout), daemon=True) for one in alertmanagers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def watch_for_good(process, watches, alertmanagers, alert_of, interval):
    """Measures and reports until the process has ended or a signal comes."""
    next_look = time.monotonic()
    while True:
        now = time.monotonic()
        if now >= next_look:
            next_look = now + interval
            values = process.measure([watch.setting for watch in watches])
            for watch in watches:
                if watch.setting in values:
                    watch.look(values[watch.setting], now)
        due = [one for one in alertmanagers if one.is_due(watches, now)]
        post_to_all(due, alert_of, watches)
        for one in due:
            tell(one.name, *(one.fault.args if one.fault else ["takes our alerts"]))
        time.sleep(max(0, min([next_look, *(one.next_post for one in alertmanagers)]) - time.monotonic()))


def main():
    settings = read_settings()[1]
    limits = [setting for setting in LIMITS if settings[setting] is not None]
    if not settings["alertmanager"] or not limits:
        say(f"not enabled: set plugin.{NAME}.alertmanager to a URL, and a limit: {', '.join(LIMITS)}")
        return 0
    addresses = settings["alertmanager"] if isinstance(settings["alertmanager"], list) else [settings["alertmanager"]]
    alertmanagers = [Alertmanager(address, settings) for address in addresses]
    watches = [Watch(setting, settings[setting], settings["for"]) for setting in limits]
    # Started by LMCache itself there is no such variable, and it is our parent.
    pid = os.environ.get("LMCACHE_PLUGIN_PARENT_PID") or os.getppid()
    if "LMCACHE_PLUGIN_PARENT_PID" not in os.environ and "LMCACHE_PLUGIN_LAUNCHER_BIN" in os.environ:
        say("nothing to watch: the launcher is attached to no process, see its --parent-pid")
        return 0
    if not str(pid).isdigit():
        wrong("LMCACHE_PLUGIN_PARENT_PID is to be a process id")
    try:
        process = Process(int(pid))
    except Gone:
        say(f"process {pid} has ended")
        return 0
    ours = {
        "alertname": "LMCacheProcess",
        "severity": "warning",
        "instance": settings["instance"],
        "process": process.identity(),
        "role": os.environ.get("LMCACHE_PLUGIN_ROLE", "").lower(),
        "worker": os.environ.get("LMCACHE_PLUGIN_WORKER_ID") or "0",
        **settings["labels"],
    }

    def alert_of(watch):
        annotations = {"summary": f"process {pid} on {settings['instance']}: {watch}", **settings["annotations"]}
        link = {"generatorURL": settings["generator_url"]} if settings["generator_url"] else {}
        return {"labels": {**ours, "limit": watch.setting}, "annotations": annotations, **link}

    say(f"watching process {pid}: " + ", ".join(f"{watch.limit:g} {LIMITS[watch.setting]}" for watch in watches))
    try:
        watch_for_good(process, watches, alertmanagers, alert_of, settings["interval"])
    except Gone:
        say(f"process {pid} has ended")
    except Stop:
        say("stopped")
    # Nobody will look after the open alerts from here on: one attempt to close them.
    for watch in watches:
        watch.is_firing = False
    left = [one for one in alertmanagers if one.open]
    post_to_all(left, alert_of, watches, min(2, settings["timeout"]))
    for one in left:
        if one.fault:
            say(f"open alerts were left to expire: {one.name} {one.fault.args[0]}")
    return 0


def on_signal(_number, _frame):
    # A second signal must not interrupt the goodbye.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Stop


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    try:
        sys.exit(main())
    except Stop:
        pass  # before there was anything to clean up
