#!/usr/bin/env python3
"""Example: a plugin in Python that runs on the scheduler (the first part of its name).

It shows all that a plugin is given: role, worker id, worker count and the configuration
as JSON in the environment, a SIGTERM when it is time to go, and a line of log per print.

extra_config: plugin.scheduler_foo_plugin.interval   seconds between two lines, 0.1 to 86400 (10)
"""

import json
import os
import signal
import sys
import threading

NAME = "scheduler_foo_plugin"


def wrong(line):
    """A wrong setting: one line that names it, never its value, and status 2."""
    print(line, file=sys.stderr)
    sys.exit(2)


def main():
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    role = os.environ.get("LMCACHE_PLUGIN_ROLE") or "(none)"
    worker_id = os.environ.get("LMCACHE_PLUGIN_WORKER_ID", "0")
    worker_count = os.environ.get("LMCACHE_PLUGIN_WORKER_COUNT", "1")
    try:
        config = json.loads(os.environ.get("LMCACHE_PLUGIN_CONFIG") or "{}")
        # LMCache's engines and its multiprocess server name this mapping differently.
        extra = config.get("extra_config") or config.get("runtime_plugin_extra_config") or {}
        extra = json.loads(extra) if isinstance(extra, str) else extra
        interval = extra.get(f"plugin.{NAME}.interval", 10)
    except (ValueError, AttributeError):
        wrong("LMCACHE_PLUGIN_CONFIG is to be a JSON object, and so is its extra_config")
    if type(interval) not in (int, float) or not 0.1 <= interval <= 86400:
        wrong(f"plugin.{NAME}.interval is to be a number of seconds from 0.1 to 86400")

    # The configuration can hold secrets: count its keys, never print it.
    print(f"role {role}, worker {worker_id} of {worker_count}, {len(config)} configuration keys", flush=True)
    beats = 0
    while not stop.wait(interval):
        beats += 1
        print(f"alive, beat {beats}", flush=True)
    print("SIGTERM received, cleaning up and leaving", flush=True)


if __name__ == "__main__":
    main()
