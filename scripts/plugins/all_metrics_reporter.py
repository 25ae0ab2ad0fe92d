#!/usr/bin/env python3
"""Pushes LMCache's Prometheus metrics to a Pushgateway or to VictoriaMetrics.

Scrapes the /metrics of the process this plugin is attached to and pushes what it got under
job, instance, role and worker. What the Pushgateway holds is never stale: the group is
deleted when LMCache's endpoint goes away and when the plugin stops.

Settings: see README.md beside this file (extra_config, plugin.all_metrics_reporter.*).
"""

import base64
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


def grouping_path(labels):
    """The Pushgateway's grouping key; values that a path cannot hold go in base64."""
    path = "/metrics"
    for label, value in labels.items():
        if value and "/" not in value:
            path += f"/{label}/{urllib.parse.quote(value, safe='')}"
        else:  # "=" alone is how the Pushgateway writes an empty value
            path += f"/{label}@base64/{base64.urlsafe_b64encode(value.encode()).decode() or '='}"
    return path


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
    interval, timeout = float(settings.get("interval", 15)), float(settings.get("timeout", 5))
    pattern, headers = settings.get("match", "lmcache"), settings.get("headers") or {}
    labels = {
        "job": settings.get("job", "lmcache"),
        "instance": settings.get("instance", socket.gethostname()),
        "role": role.lower(),
        "worker": worker_id,
    }
    if pushgateway:
        target = pushgateway.rstrip("/") + grouping_path(labels)
    else:
        extra_labels = urllib.parse.urlencode([("extra_label", f"{label}={value}") for label, value in labels.items()])
        target = f"{victoriametrics.rstrip('/')}/api/v1/import/prometheus?{extra_labels}"
    server = pushgateway or victoriametrics

    def forget():
        """Takes our group off the Pushgateway. VictoriaMetrics keeps history: nothing to delete."""
        if pushgateway:
            send("DELETE", target, min(timeout, 2), headers=headers)

    say(f"pushing {source} to {server} every {interval:g}s")
    state = None  # the last thing said
    failures = 0
    pushed = False  # whether the gateway may hold a group of ours
    try:
        while True:
            started = time.monotonic()
            away = source
            try:
                page = select(scrape(source, timeout), pattern)
                away = server
                if page:
                    pushed = True  # before the try: the answer may be what gets lost
                    send("PUT" if pushgateway else "POST", target, timeout, page, {"Content-Type": "text/plain; version=0.0.4", **headers})
                failures, news = 0, f"pushing {page.count(b'TYPE ')} metrics" if page else f"no metric of {source} matches {pattern}"
                state_now = bool(page)
            except Fault as fault:
                failures, news, state_now = failures + 1, f"{away} is away: {fault}", away
                if away == source and pushed:
                    try:
                        forget()
                        pushed = False
                    except Fault:
                        pass  # tried again at the next failure, and when we stop
            if state_now != state:
                state = state_now
                say(news)
            delay = min(MAX_DELAY, 2 ** min(failures - 1, 6)) if failures else interval
            time.sleep(max(0, started + delay - time.monotonic()))
    except Stop:
        # Nothing is retried from here on, and a second signal changes nothing.
        if not pushed:
            say("stopped")
            return 0
        try:
            forget()
            say("stopped, group deleted" if pushgateway else "stopped")
        except Fault as fault:
            say(f"stopped, but the group could not be deleted: {fault}")
    return 0


def on_signal(number, _frame):
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
