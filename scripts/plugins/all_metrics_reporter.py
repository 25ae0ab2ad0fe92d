#!/usr/bin/env python3
"""Pushes LMCache's Prometheus metrics to a Pushgateway, to VictoriaMetrics or by OTLP.

Scrapes the /metrics of the process this plugin is attached to, adds what the launcher says of
its plugins, and pushes both under job, instance, endpoint, role and worker. Whatever could not
be scraped and pushed as a whole is not pushed, and what the Pushgateway has of us is deleted.

Settings: see README.md beside this file (extra_config, plugin.all_metrics_reporter.*).
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
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request

NAME = "all_metrics_reporter"
MAX_DELAY = 60  # seconds between two tries while a server is away
MAX_PAGE = 32 << 20  # bytes of metrics we are willing to hold
MAX_STATUS = 4 << 20  # and of those about the launcher
TARGETS = ("pushgateway", "victoriametrics", "otlp")


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


# ---- what is pushed ----


SETTINGS = {  # name: (default, what it is to be, whether a value is that); null is right where it is the default
    **{target: (None, "a URL", url) for target in TARGETS},
    "url": (None, "a URL, or unix: and the path of a socket", lambda value: url(value) or re.fullmatch(r"unix:/[!-~]+", str(value))),
    "interval": (15, *number(0.1, 86400)),
    "timeout": (5, *number(0.1, 600)),
    "match": ("lmcache", "a regular expression", lambda value: pattern(value)),
    "job": ("lmcache", *text("a text", r"[^\0-\x1f\x7f\ud800-\udfff]+")),
    "instance": (socket.gethostname(), *text("a text", r"[^\0-\x1f\x7f\ud800-\udfff]+")),
    **CONNECTION,
    **{"scrape_" + name: kind for name, kind in CONNECTION.items()},
}


def pattern(value):
    """The compiled expression; None if it is none."""
    with contextlib.suppress(re.error, TypeError, RecursionError, OverflowError):
        return re.compile(value)


class Family:
    """The samples of one metric, each [name, labels as they are escaped, value, timestamp or None]."""

    def __init__(self, name):
        self.name, self.type, self.help, self.samples = name, "untyped", "", []

    def has(self, sample_name):
        parts = {"histogram": ("_bucket", "_sum", "_count", "_created"), "summary": ("_sum", "_count", "_created"), "counter": ("_total", "_created")}
        return sample_name in (self.name, *(self.name + part for part in parts.get(self.type, ())))


TYPES = ("counter", "gauge", "histogram", "summary")
LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
SAMPLE = re.compile(r'\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})?\s*([^\s#]+)(?:\s+(-?[0-9.]+))?\s*(?:\s#.*)?')
COMMENT = re.compile(r"#\s+(HELP|TYPE)\s+([a-zA-Z_:][a-zA-Z0-9_:]*)(?: (.*))?")


def parse(page, wanted=None):
    """The families of a page of metrics, by name; of those samples whose name matches."""
    if page and not page.endswith(b"\n"):
        raise Fault("is away: its page is cut")
    families, family = {}, None
    for index, line in enumerate(page.decode("utf-8", "replace").split("\n"), 1):
        comment = COMMENT.match(line)
        if comment:
            kind, name, rest = comment.groups(default="")
            family = families.setdefault(name, Family(name))
            if kind == "TYPE":
                family.type = rest.strip() if rest.strip() in TYPES else "untyped"
            else:
                family.help = rest.rstrip("\r")
        if line.lstrip().startswith("#") or not line.strip():
            continue
        sample = SAMPLE.fullmatch(line)
        labels = sample and read_labels(sample.group(2) or "")
        if labels is None or not is_value(sample.group(3)):
            raise Fault(f"refuses: line {index} of its page is no metric")
        name = sample.group(1)
        if wanted and not wanted.match(name):
            continue
        if not family or not family.has(name):
            family = families.setdefault(name, Family(name))
        at = sample.group(4)  # in whole milliseconds; another format has seconds
        family.samples.append([name, labels, sample.group(3), at if at and "." not in at else None])
    return {name: family for name, family in families.items() if family.samples}


def read_labels(text):
    labels, at = {}, 0
    while at < len(text.rstrip()):
        label = LABEL.match(text, at)
        if not label:
            return None
        labels[label.group(1)] = label.group(2)
        at = label.end()
    return labels


def escape(value):
    return value.replace("\\", r"\\").replace('"', r'\"').replace("\n", r"\n")


def is_value(text):
    try:
        return float(text) is not None
    except ValueError:
        return False


def add_labels(families, identity, defaults):
    """Makes room for the labels that the target adds, as Prometheus does, and adds those which the
    process may have set itself: LMCache's own word on role and worker is the better one."""
    for family in families.values():
        for sample in family.samples:
            labels = sample[1]
            for label in identity.keys() & labels.keys():
                room = "exported_" + label
                while room in labels:
                    room = "exported_" + room
                labels[room] = labels.pop(label)
            sample[1] = {**defaults, **labels}


def merge(families, more):
    """Adds families; of one that is there already, with its HELP and TYPE, the series that are new."""
    for name, family in more.items():
        ours = families.setdefault(name, family)
        if ours is not family and ours.type == family.type:
            there = [sample[:2] for sample in ours.samples]
            ours.samples += [sample for sample in family.samples if sample[:2] not in there]


def render(families, identity=None, with_time=True):
    """The page in the text format."""
    lines = []
    for family in families.values():
        if family.help:
            lines.append(f"# HELP {family.name} {family.help}")
        lines.append(f"# TYPE {family.name} {family.type}")
        for name, labels, value, at in family.samples:
            labels = ",".join(f'{label}="{text}"' for label, text in {**labels, **(identity or {})}.items())
            lines.append(f"{name}{{{labels}}} {value}" + (f" {at}" if at and with_time else ""))
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


# ---- where it is pushed to ----


class Pushgateway(Server):
    """Holds the last values of our group until they are replaced or deleted."""

    holds_group = True  # one that was killed before us may have left it

    def push(self, families, identity):
        self.holds_group = True  # before we know: it may be the answer that gets lost
        page = render(families, with_time=False)  # it takes no timestamps
        self.exchange("PUT", self.group(identity), page, {"Content-Type": "text/plain; version=0.0.4"})

    def group(self, identity):
        path = "/metrics"
        for label, value in identity.items():
            if "/" not in value and value.strip("."):
                path += f"/{label}/{urllib.parse.quote(value, safe='', errors='replace')}"
            else:  # what a path cannot hold goes in base64
                path += f"/{label}@base64/{base64.urlsafe_b64encode(value.encode('utf-8', 'replace')).decode()}"
        return path

    def forget(self, identity):
        if self.holds_group:
            self.exchange("DELETE", self.group(identity), timeout=min(self.timeout, 2))
            self.holds_group = False


class VictoriaMetrics(Server):
    """Keeps a history: there is nothing to take back."""

    def push(self, families, identity):
        escaped = {label: escape(value) for label, value in identity.items()}
        self.exchange("POST", "/api/v1/import/prometheus", render(families, escaped), {"Content-Type": "text/plain; version=0.0.4"})

    def forget(self, identity):
        pass


class OpenTelemetry(Server):
    """A collector, or whatever else takes OTLP/HTTP in JSON; it keeps no state of ours either."""

    def push(self, families, identity):
        resource = {"service.name": identity["job"], "service.instance.id": identity["instance"]}
        now = time.time_ns()
        try:
            metrics = [otlp_metric(family, {"endpoint": identity["endpoint"]}, now) for family in families.values()]
        except (ValueError, OverflowError):
            raise Fault("is not asked: a histogram or summary of the page has no numbers where it should") from None
        scopes = [{"scope": {"name": NAME}, "metrics": metrics}]
        body = json.dumps({"resourceMetrics": [{"resource": {"attributes": attributes(resource)}, "scopeMetrics": scopes}]})
        _, page = self.exchange("POST", "/v1/metrics", body.encode(), {"Content-Type": "application/json"})
        try:
            partial = (json.loads(page or "{}") or {}).get("partialSuccess") or {}
            rejected = int(partial.get("rejectedDataPoints") or 0)
        except (ValueError, AttributeError, TypeError):
            raise Fault("refuses: its answer is none of OTLP, is the address right?") from None
        if rejected:
            raise Fault(f"refuses: {rejected} data points", printable(partial.get("errorMessage") or "")[:200])

    def forget(self, identity):
        pass


def attributes(labels):
    return [{"key": label, "value": {"stringValue": value}} for label, value in labels.items()]


def otlp_metric(family, identity, now):
    """A family in OTLP's words. JSON has no NaN and no infinities: there they are texts."""
    series = {}  # labels but le and quantile -> the point they make
    for name, labels, value, at in family.samples:
        unescaped = {label: re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), text) for label, text in labels.items()}
        bound = unescaped.pop({"histogram": "le", "summary": "quantile"}.get(family.type), None)
        part = name[len(family.name) :]
        if part == "_created":
            continue
        point = series.setdefault(tuple(sorted(unescaped.items())), {"": 0.0, "_sum": 0.0, "_count": 0.0, "bounds": []})
        point["attributes"] = attributes({**unescaped, **identity})
        point["timeUnixNano"] = str(int(at) * 1_000_000 if at else now)
        if bound is None:
            point["" if part == "_total" else part] = float(value)
        else:
            point["bounds"].append((float(bound), float(value)))
    points = series.values()
    if family.type == "histogram":
        data = {"histogram": {"aggregationTemporality": 2, "dataPoints": [histogram_point(point) for point in points]}}
    elif family.type == "summary":
        data = {"summary": {"dataPoints": [summary_point(point) for point in points]}}
    else:
        values = [{**common(point), "asDouble": json_number(point[""])} for point in points]
        is_sum = {"aggregationTemporality": 2, "isMonotonic": True} if family.type == "counter" else {}
        data = {"sum" if is_sum else "gauge": {**is_sum, "dataPoints": values}}
    return {"name": family.name, "description": family.help, **data}


def common(point):
    return {"attributes": point["attributes"], "timeUnixNano": point["timeUnixNano"]}


def json_number(value):
    return value if value - value == 0 else {"inf": "Infinity", "-inf": "-Infinity"}.get(str(value), "NaN")


def histogram_point(point):
    """Prometheus counts all up to a bound, OTLP those between two."""
    bounds = sorted(point["bounds"])
    upto = [int(count) for _, count in bounds] or [int(point["_count"])]
    counts = [count - before for count, before in zip(upto, [0, *upto])]
    limits = [json_number(bound) for bound, _ in bounds if bound != float("inf")]
    counts += [int(point["_count"]) - upto[-1]] if bounds and bounds[-1][0] != float("inf") else []
    return {**common(point), "count": int(point["_count"]), "sum": json_number(point["_sum"]), "explicitBounds": limits, "bucketCounts": counts}


def summary_point(point):
    quantiles = [{"quantile": json_number(quantile), "value": json_number(value)} for quantile, value in point["bounds"]]
    return {**common(point), "count": int(point["_count"]), "sum": json_number(point["_sum"]), "quantileValues": quantiles}


# ---- where it comes from ----


def metrics_url(config, role, worker_id):
    """Where LMCache serves its metrics: by the rule of its internal API server, which is
    port_start for the scheduler and port_start + 1 + N for worker N. None: not here."""
    if "http_config" in config:  # the multiprocess server
        http_config = config["http_config"] or {}
        host, port = http_config.get("http_host") or "127.0.0.1", http_config.get("http_port") or 8080
    else:
        index = 0 if role.lower() == "scheduler" else 1 + int(worker_id)
        indexes = config.get("internal_api_server_include_index_list")
        if not config.get("internal_api_server_enabled") or (indexes and index not in indexes):
            return None
        host = config.get("internal_api_server_host") or "127.0.0.1"
        port = int(config.get("internal_api_server_port_start") or 6999) + index
        if config.get("internal_api_server_socket_path_prefix"):
            return f"unix:{config['internal_api_server_socket_path_prefix']}_{port}"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    found = f"http://[{host}]:{port}/metrics" if ":" in host else f"http://{host}:{port}/metrics"
    if not url(found):
        raise ValueError
    return found


class LMCache(Server):
    """The process we are attached to."""

    def __init__(self, address, settings, config):
        super().__init__(address, settings, "scrape_", use_proxy=False)  # the neighbour's port: nothing in between
        self.key_files = (config.get("mp_config") or {}).get("api_key_files") or []
        # Where another server's address was given by hand, LMCache's key is none of its business.
        if not settings["url"] or self.parts.hostname in (None, "localhost", "127.0.0.1", "::1"):
            self.api_key = self.find_key
        self.wanted = f"{self.prefix}bearer_token_file or LMCACHE_API_KEY_FILE to a file with LMCache's API key, or LMCACHE_API_KEY to the key"
        self.endpoint = re.sub("/metrics$", "", self.place + self.root)  # tells two engines of a host apart

    def find_key(self):
        """The key, from where LMCache's own server takes those that it accepts."""
        names = ("LMCACHE_API_KEY", "LMCACHE_HTTP_API_KEY")
        for path in [*(os.environ.get(name + "_FILE") for name in names), *self.key_files]:
            with contextlib.suppress(OSError, ValueError, TypeError):
                return read_secret(path)
        return next(filter(None, map(os.environ.get, names)), None)

    def scrape(self, wanted):
        path = "" if self.parts.netloc else "/metrics"
        return parse(self.exchange("GET", path, headers={"Accept": "text/plain;version=0.0.4"})[1], wanted)


class Launcher:
    """The launcher above us, which knows how its plugins are."""

    name = "the launcher"

    def scrape(self, timeout):
        command = os.environ.get("LMCACHE_PLUGIN_LAUNCHER_BIN") or "lmcache-plugin-launcher"
        try:
            process = subprocess.Popen([command, "status", "--format", "prometheus"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        except OSError as error:
            raise Fault(f"is not asked: {reason(error)}") from None

        def work():
            with process.stdout:
                page = process.stdout.read(MAX_STATUS + 1)
            if len(page) > MAX_STATUS:
                process.kill()
            return page, process.wait()

        page, status = within(timeout, work, process.kill)
        if len(page) > MAX_STATUS:
            raise Fault(f"refuses: its status is over {MAX_STATUS >> 20} MiB")
        if status not in (0, 1):  # 1: some plugin is not well, which is what we are here to tell
            raise Fault(f"is away: its status command ended with {status}")
        return parse(page)


# ---- the work ----


def report(source, launcher, target, labels, wanted, interval):
    """Scrapes and pushes until a signal comes. After each round the target either has what was
    scraped in it, or was asked to forget what it has."""
    identity, defaults = labels
    failures = refusals = 0
    while True:
        started, families, delay = time.monotonic(), {}, interval
        try:
            families = source.scrape(wanted)
            failures = 0
            tell(source.name, "has metrics for us" if families else f"has no metric that plugin.{NAME}.match wants", len(families) or "")
        except Fault as fault:
            failures += 1
            delay = min(interval, 2 ** min(failures - 1, 6))
            tell(source.name, *fault.args)
        if launcher:
            try:
                merge(families, launcher.scrape(source.timeout))
                tell(launcher.name, "says how its plugins are")
            except Fault as fault:
                tell(launcher.name, *fault.args)
        try:
            if families:
                add_labels(families, identity, defaults)
                target.push(families, identity)
                tell(target.name, "takes our metrics")
            else:
                target.forget(identity)
            refusals = 0
        except Fault as fault:
            refusals += 1
            delay = min(MAX_DELAY, 2 ** min(refusals - 1, 6))
            tell(target.name, *fault.args)
            with contextlib.suppress(Fault):  # tried again in the next round, and at the end
                target.forget(identity)
        time.sleep(max(0, started + delay - time.monotonic()))


def main():
    config, settings = read_settings()
    chosen = [name for name in TARGETS if settings[name]]
    if not chosen:
        say("not enabled: set one of " + ", ".join(f"plugin.{NAME}.{name}" for name in TARGETS) + " to a URL")
        return 0
    if len(chosen) > 1:
        wrong(f"plugin.{NAME}.{chosen[0]} and plugin.{NAME}.{chosen[1]} are two targets: set one of them")
    role, worker = os.environ.get("LMCACHE_PLUGIN_ROLE", ""), os.environ.get("LMCACHE_PLUGIN_WORKER_ID") or "0"
    try:
        address = settings["url"] or metrics_url(config, role, worker)
        if not address:
            say(f"no metrics here: internal_api_server_enabled is off, or its index list leaves us out; where a server is that no configuration tells of, says plugin.{NAME}.url")
            return 0
        source = LMCache(address, settings, config)
    except (ValueError, TypeError, AttributeError):
        wrong(f"internal_api_server_*, http_config, mp_config or the worker id is not as LMCache has it; plugin.{NAME}.url tells us the address, too")
    target = {"pushgateway": Pushgateway, "victoriametrics": VictoriaMetrics, "otlp": OpenTelemetry}[chosen[0]](settings[chosen[0]], settings)
    identity = {"job": settings["job"], "instance": settings["instance"], "endpoint": source.endpoint}
    defaults = {label: escape(value) for label, value in {"role": role.lower(), "worker": worker}.items() if value}
    launcher = Launcher() if os.environ.get("LMCACHE_PLUGIN_LAUNCHER_CONTROL") else None
    interval = settings["interval"]
    say(f"pushing {source.name} to {target.name} every {interval:g}s")
    try:
        report(source, launcher, target, (identity, defaults), pattern(settings["match"]), interval)
    except Stop:
        try:
            target.forget(identity)
            say("stopped")
        except Fault as fault:
            say(f"stopped, but our group could not be deleted: {target.name} {fault.args[0]}")
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
