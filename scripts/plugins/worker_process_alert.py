#!/usr/bin/env python3
"""Alerts when the process this plugin is attached to uses more than it should.

Reads resident memory, CPU, descriptors and threads from /proc, compares them with the limits
that are set, and tells Alertmanager (v2 API) when one has been crossed for long enough and
when it is well again. A firing alert is sent again and again, each time with an end a few
rounds ahead: should this plugin die, Alertmanager resolves the alert by itself.

Settings: see README.md beside this file (extra_config, plugin.worker_process_alert.*).
"""

import http.client
import json
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone

NAME = "worker_process_alert"
MAX_DELAY = 60  # seconds between two tries while Alertmanager is away
TICKS = os.sysconf("SC_CLK_TCK")
# What is watched: the setting with its limit, and the unit of the value.
LIMITS = {"max_rss_mib": "MiB resident", "max_cpu_percent": "% CPU", "max_fds": "open descriptors", "max_threads": "threads"}


class Stop(BaseException):
    """Raised by SIGTERM, out of whatever we were waiting for."""


class Gone(Exception):
    """The watched process has ended."""


def say(text):
    print(text, flush=True)


def read_settings():
    """Our part of the configuration, with the prefix taken off."""
    config = json.loads(os.environ.get("LMCACHE_PLUGIN_CONFIG") or "{}")
    # LMCache's engines and its multiprocess server name this mapping differently.
    extra = config.get("extra_config") or config.get("runtime_plugin_extra_config") or {}
    prefix = f"plugin.{NAME}."
    return {key[len(prefix) :]: value for key, value in extra.items() if key.startswith(prefix)}


class Process:
    """A process and its consumption; a process id used again is not taken for it."""

    def __init__(self, pid):
        self.pid = pid
        self.started = self.stat()["started"]
        self.cpu_before = None

    def stat(self):
        try:
            with open(f"/proc/{self.pid}/stat", "rb") as file:
                # The name in parentheses may hold anything: the fields begin after the last one.
                fields = file.read().rpartition(b")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            raise Gone from None
        if fields[0] in (b"Z", b"X"):
            raise Gone
        return {"cpu": (int(fields[11]) + int(fields[12])) / TICKS, "threads": int(fields[17]), "started": fields[19]}

    def measure(self, wanted):
        """The value behind each setting of `wanted`; one that needs a second look is missing."""
        stat = self.stat()
        if stat["started"] != self.started:
            raise Gone
        now = time.monotonic()
        values = {"max_threads": stat["threads"]}
        if self.cpu_before:
            used, at = self.cpu_before
            values["max_cpu_percent"] = 100 * (stat["cpu"] - used) / max(now - at, 1 / TICKS)
        self.cpu_before = (stat["cpu"], now)
        try:
            with open(f"/proc/{self.pid}/status", "rb") as file:
                for line in file:
                    if line.startswith(b"VmRSS:"):
                        values["max_rss_mib"] = int(line.split()[1]) / 1024
            if "max_fds" in wanted:
                values["max_fds"] = len(os.listdir(f"/proc/{self.pid}/fd"))
        except (FileNotFoundError, ProcessLookupError):
            raise Gone from None
        return {setting: values[setting] for setting in wanted if setting in values}


class Watch:
    """One limit and the alert that belongs to it: well, firing, or ended and not yet reported."""

    def __init__(self, setting, limit, hold):
        self.setting, self.limit, self.hold = setting, float(limit), hold
        self.starts = self.ends = None  # of the alert
        self.turned = None  # since when the value has been on the other side of the limit
        self.told = None  # when Alertmanager last took the alert
        self.value = 0

    def look(self, value, now):
        """Takes a new value in; the news in a word when the alert begins or ends."""
        self.value = value
        firing = self.starts is not None and self.ends is None
        if (value > self.limit) == firing:
            self.turned = None
            return None
        self.turned = now if self.turned is None else self.turned
        if now - self.turned < self.hold:
            return None
        self.turned = None
        if firing:
            self.ends = wall_clock()
            return "resolved"
        # Crossed again before Alertmanager heard of the end: the old alert goes on.
        self.starts, self.ends, self.told = self.starts or wall_clock(), None, None
        return "firing"

    def is_due(self, now, resend):
        return self.starts and (self.ends or self.told is None or now - self.told >= resend)

    def was_told(self, now):
        self.told = now
        if self.ends:
            self.starts = self.ends = self.told = None

    def __str__(self):
        return f"{self.value:.0f} {LIMITS[self.setting]}, limit {self.limit:g}"


def wall_clock():
    return datetime.now(timezone.utc)


class Alertmanager:
    """Where alerts go, and what every alert of ours says."""

    def __init__(self, settings, pid):
        self.url = settings["alertmanager"].rstrip("/")
        self.headers = {"Content-Type": "application/json", **(settings.get("headers") or {})}
        self.timeout = float(settings.get("timeout", 5))
        self.resend = float(settings.get("resend", 60))
        self.generator = settings.get("generator_url")
        self.summary = f"process {pid} on {socket.gethostname()}"
        self.labels = {
            "alertname": "LMCacheProcess",
            "severity": "warning",
            "instance": socket.gethostname(),
            "role": os.environ.get("LMCACHE_PLUGIN_ROLE", "").lower(),
            "worker": os.environ.get("LMCACHE_PLUGIN_WORKER_ID", "0"),
            **(settings.get("labels") or {}),
        }

    def alert(self, watch):
        ends = watch.ends or wall_clock() + timedelta(seconds=3 * self.resend + self.timeout)
        alert = {
            "labels": {**self.labels, "limit": watch.setting},
            "annotations": {"summary": f"{self.summary}: {watch}"},
            "startsAt": watch.starts.isoformat(),
            "endsAt": ends.isoformat(),
        }
        return {**alert, "generatorURL": self.generator} if self.generator else alert

    def post(self, watches, timeout=None):
        """None, or the reason why Alertmanager did not take them."""
        body = json.dumps([self.alert(watch) for watch in watches]).encode()
        request = urllib.request.Request(f"{self.url}/api/v2/alerts", body, self.headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=timeout or self.timeout):
                return None
        except urllib.error.HTTPError as error:
            return f"{error.code} {error.read(300).decode('utf-8', 'replace').strip()}"
        except (OSError, http.client.HTTPException) as error:
            return str(getattr(error, "reason", error)) or type(error).__name__


def watch_for_good(process, watches, alertmanager, interval):
    """Measures and reports until the process has ended or a signal comes."""
    failures, next_try = 0, 0
    while True:
        try:
            values = process.measure([watch.setting for watch in watches])
        except PermissionError:
            say(f"may not look into /proc/{process.pid}/fd: max_fds is not watched")
            watches[:] = [watch for watch in watches if watch.setting != "max_fds"]
            continue
        now = time.monotonic()
        for watch in watches:
            news = watch.setting in values and watch.look(values[watch.setting], now)
            if news:
                say(f"{news}: {watch}")
        due = [watch for watch in watches if watch.is_due(now, alertmanager.resend)]
        if due and now >= next_try:
            fault = alertmanager.post(due)
            if not fault:
                for watch in due:
                    watch.was_told(now)
            if fault and not failures:
                say(f"{alertmanager.url} is away: {fault}")
            elif failures and not fault:
                say(f"{alertmanager.url} is back")
            failures = failures + 1 if fault else 0
            next_try = time.monotonic() + min(MAX_DELAY, 2 ** min(failures, 6)) if fault else 0
        time.sleep(interval)


def main():
    settings = read_settings()
    limits = [setting for setting in LIMITS if settings.get(setting) is not None]
    if not settings.get("alertmanager") or not limits:
        say(f"not enabled: set plugin.{NAME}.alertmanager to a URL, and a limit: {', '.join(LIMITS)}")
        return 0
    # Started by LMCache itself there is no such variable, and it is our parent.
    pid = int(os.environ.get("LMCACHE_PLUGIN_PARENT_PID") or os.getppid())
    alertmanager = Alertmanager(settings, pid)
    watches = [Watch(setting, settings[setting], float(settings.get("for", 60))) for setting in limits]
    try:
        process = Process(pid)
        say(f"watching process {pid}: " + ", ".join(f"{watch.limit:g} {LIMITS[watch.setting]}" for watch in watches))
        watch_for_good(process, watches, alertmanager, float(settings.get("interval", 5)))
    except Gone:
        say(f"process {pid} has ended")
    except Stop:
        say("stopped")
    # Nobody will look after the open alerts from here on: one attempt to close them.
    for watch in watches:
        watch.ends = watch.ends or (watch.starts and wall_clock())
    left = [watch for watch in watches if watch.starts]
    fault = left and alertmanager.post(left, min(2, alertmanager.timeout))
    if fault:
        say(f"open alerts were left to expire: {fault}")
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
