#!/usr/bin/env python3
"""Pushes LMCache's Prometheus metrics to a Pushgateway or to VictoriaMetrics.

Scrapes the /metrics of the process this plugin is attached to and pushes what it got under
job, instance, role and worker. What the Pushgateway holds is never stale: the group is
deleted when LMCache's endpoint goes away and when the plugin stops.

Settings: see README.md beside this file (extra_config, plugin.all_metrics_reporter.*).
"""

import base64
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

NAME = "all_metrics_reporter"
MAX_DELAY = 60  # seconds between two tries while something is away
CONTENT_TYPE = {"Content-Type": "text/plain; version=0.0.4"}
MAX_PAGE = 32 << 20  # bytes of metrics we are willing to hold


class Stop(BaseException):
    """Raised by SIGTERM, out of whatever we were waiting for."""


class Fault(Exception):
    """Something we talk to is away or refuses; says what in one line."""


def say(text):
    print(text, flush=True)


def read_settings():
    """The whole configuration, and our part of it with the prefix taken off."""
    config = json.loads(os.environ.get("LMCACHE_PLUGIN_CONFIG") or "{}")
    # LMCache's engines and its multiprocess server name this mapping differently.
    extra = config.get("extra_config") or config.get("runtime_plugin_extra_config") or {}
    prefix = f"plugin.{NAME}."
    return config, {key[len(prefix) :]: value for key, value in extra.items() if key.startswith(prefix)}


def metrics_url(config, role, worker_id):
    """Where LMCache serves its metrics: by the rule of its internal API server, which is
    port_start for the scheduler and port_start + 1 + N for worker N. None: not here."""
    if "http_config" in config:  # the multiprocess server
        http_config = config["http_config"] or {}
        host, port = http_config.get("http_host") or "127.0.0.1", http_config.get("http_port") or 8080
    else:
        index = 0 if role.lower() == "scheduler" else 1 + worker_id
        indexes = config.get("internal_api_server_include_index_list")
        if not config.get("internal_api_server_enabled") or (indexes and index not in indexes):
            return None
        host = config.get("internal_api_server_host") or "127.0.0.1"
        port = (config.get("internal_api_server_port_start") or 6999) + index
        if config.get("internal_api_server_socket_path_prefix"):
            return f"unix:{config['internal_api_server_socket_path_prefix']}_{port}"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}/metrics" if ":" in host else f"http://{host}:{port}/metrics"


def send(method, url, timeout, body=None, headers=None, opener=urllib.request.build_opener()):
    """One HTTP exchange; returns the body of the answer."""
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with opener.open(request, timeout=timeout) as answer:
            return answer.read(MAX_PAGE)
    except urllib.error.HTTPError as error:
        detail = error.read(300).decode("utf-8", "replace").strip().replace("\n", " ")
        raise Fault(f"{error.code} {error.reason} {detail}".strip()) from None
    except (OSError, http.client.HTTPException) as error:
        raise Fault(str(getattr(error, "reason", error)) or type(error).__name__) from None


def scrape(url, timeout):
    if not url.startswith("unix:"):
        # This is the neighbour's port: no proxy of the environment in between.
        return send("GET", url, timeout, opener=urllib.request.build_opener(urllib.request.ProxyHandler({})))
    connection = http.client.HTTPConnection("localhost", timeout=timeout)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.settimeout(timeout)
        connection.sock.connect(url[len("unix:") :])
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        if answer.status != 200:
            raise Fault(f"{answer.status} {answer.reason}")
        return answer.read(MAX_PAGE)
    except (OSError, http.client.HTTPException) as error:
        raise Fault(str(error) or type(error).__name__) from None
    finally:
        connection.close()


def select(page, pattern):
    """The lines of a metrics page, HELP and TYPE included, whose metric name matches."""
    name = re.compile(rb"(?:# (?:HELP|TYPE) )?([a-zA-Z_:][a-zA-Z0-9_:]*)")
    wanted = re.compile(pattern.encode())
    lines = ((name.match(line), line) for line in page.splitlines())
    return b"".join(line + b"\n" for found, line in lines if found and wanted.match(found.group(1)))


class Pushgateway:
    """Holds the last values of our group until they are replaced or deleted."""

    def __init__(self, url, labels, timeout, headers):
        self.url, self.timeout, self.headers = url.rstrip("/"), timeout, headers
        self.group = self.url + "/metrics"
        for label, value in labels.items():
            if value and "/" not in value:
                self.group += f"/{label}/{urllib.parse.quote(value, safe='')}"
            else:  # what a path cannot hold goes in base64, and "=" stands for nothing
                self.group += f"/{label}@base64/{base64.urlsafe_b64encode(value.encode()).decode() or '='}"
        self.holds_group = False

    def push(self, page):
        self.holds_group = True  # before we know: it may be the answer that gets lost
        send("PUT", self.group, self.timeout, page, {**CONTENT_TYPE, **self.headers})

    def forget(self):
        if self.holds_group:
            send("DELETE", self.group, min(self.timeout, 2), headers=self.headers)
            self.holds_group = False


class VictoriaMetrics:
    """Keeps a history: there is nothing to take back."""

    def __init__(self, url, labels, timeout, headers):
        self.url, self.timeout, self.headers = url.rstrip("/"), timeout, headers
        extra_labels = [("extra_label", f"{label}={value}") for label, value in labels.items()]
        self.target = f"{self.url}/api/v1/import/prometheus?{urllib.parse.urlencode(extra_labels)}"

    def push(self, page):
        send("POST", self.target, self.timeout, page, {**CONTENT_TYPE, **self.headers})

    def forget(self):
        pass


def report(source, server, pattern, interval):
    """Scrapes and pushes until a signal comes."""
    said, failures = None, 0
    while True:
        started = time.monotonic()
        away = source
        try:
            page = select(scrape(source, server.timeout), pattern)
            if page:
                away = server.url
                server.push(page)
            away, failures = None, 0
            news = f"pushing {page.count(b'# TYPE ')} metrics" if page else f"no metric of {source} matches {pattern}"
        except Fault as fault:
            failures += 1
            news = f"{away} is away: {fault}"
        if away == source:
            with contextlib.suppress(Fault):  # then tried again at the next failure, and at the end
                server.forget()
        state = (away, not away and bool(page))
        if state != said:
            said = state
            say(news)
        delay = min(MAX_DELAY, 2 ** min(failures - 1, 6)) if failures else interval
        time.sleep(max(0, started + delay - time.monotonic()))


def main():
    config, settings = read_settings()
    pushgateway, victoriametrics = settings.get("pushgateway"), settings.get("victoriametrics")
    if not pushgateway and not victoriametrics:
        say(f"not enabled: set plugin.{NAME}.pushgateway or plugin.{NAME}.victoriametrics to a URL")
        return 0
    if pushgateway and victoriametrics:
        say(f"set only one of plugin.{NAME}.pushgateway and plugin.{NAME}.victoriametrics")
        return 1
    role = os.environ.get("LMCACHE_PLUGIN_ROLE", "")
    worker_id = os.environ.get("LMCACHE_PLUGIN_WORKER_ID", "0")
    source = settings.get("url") or metrics_url(config, role, int(worker_id))
    if not source:
        say(f"no metrics here: internal_api_server_enabled is off or its index list leaves us out; or set plugin.{NAME}.url")
        return 0
    labels = {
        "job": settings.get("job", "lmcache"),
        "instance": settings.get("instance", socket.gethostname()),
        "role": role.lower(),
        "worker": worker_id,
    }
    kind = Pushgateway if pushgateway else VictoriaMetrics
    server = kind(pushgateway or victoriametrics, labels, float(settings.get("timeout", 5)), settings.get("headers") or {})
    interval = float(settings.get("interval", 15))
    say(f"pushing {source} to {server.url} every {interval:g}s")
    try:
        report(source, server, settings.get("match", "lmcache"), interval)
    except Stop:
        try:
            server.forget()
            say("stopped")
        except Fault as fault:
            say(f"stopped, but the group could not be deleted: {fault}")
    return 0


def on_signal(_number, _frame):
    # A second signal must not interrupt the goodbye.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Stop


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    try:
        sys.exit(main())
    except Stop:
        pass  # before there was anything to clean up
    except (ValueError, TypeError, AttributeError) as error:
        sys.exit(f"a setting of plugin.{NAME} is not right: {error}")
