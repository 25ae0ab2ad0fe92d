"""Settings that are not right, of any plugin: status 2, one line that names the setting and does
not quote its value, before anything else is done."""

import concurrent.futures
import json
import os
import subprocess
import sys

from bench import PLUGINS, check


def start(file, config, env):
    interpreter = sys.executable if file.endswith(".py") else "sh"
    environment = {**os.environ, "LMCACHE_PLUGIN_ROLE": "worker", "LMCACHE_PLUGIN_WORKER_ID": "0", **env}
    environment["LMCACHE_PLUGIN_CONFIG"] = config if isinstance(config, str) else json.dumps(config)
    return subprocess.run([interpreter, os.path.join(PLUGINS, file)], env=environment, capture_output=True, text=True, timeout=20)


def extra(file, settings):
    return {"extra_config": {f"plugin.{os.path.splitext(file)[0]}.{name}": value for name, value in settings.items()}}


def check_wrong(bench, file, good, wrong):
    """Each of the wrong values with the good ones beside it; and configurations that are none."""
    cases = [(name, extra(file, {**good, name: value}), value) for name, values in wrong.items() for value in values]
    cases += [("LMCACHE_PLUGIN_CONFIG", config, None) for config in ("{", "[]", "5", '{"extra_config": 5}', '{"extra_config": "{"}', "[" * 100_000)]
    env = {"LMCACHE_PLUGIN_LAUNCHER_BIN": bench.launcher}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(lambda case: start(file, case[1], env), cases))
    for (name, _, value), process in zip(cases, ended):
        said = process.stdout + process.stderr
        quoted = isinstance(value, str) and len(value) > 3 and value.strip() in said and value not in name
        if process.returncode != 2 or said.count("\n") != 1 or name not in said or quoted:
            raise AssertionError(f"{file}: {name} {value!r}: status {process.returncode}, {said!r}")
    print(f"ok    {file}: {len(cases)} wrong settings, each status 2 and one line with its name", flush=True)


def check_same_lines(files, begin, end):
    """Of plugins that repeat lines because each is one file."""
    parts = []
    for file in files:
        with open(os.path.join(PLUGINS, file)) as opened:
            parts.append(opened.read().partition(begin)[2].partition(end)[0])
    check(f"{len(parts[0].splitlines())} lines from `{begin}` on are the same in {' and '.join(files)}", lambda: parts[0] and len(set(parts)) == 1, 0)


def check_not_enabled(bench, file, settings):
    process = start(file, extra(file, settings), {"LMCACHE_PLUGIN_LAUNCHER_BIN": bench.launcher})
    check(f"{file}: not enabled is one line, and status 0", lambda: process.returncode == 0 and process.stdout.startswith("not enabled: set ") and process.stdout.count("\n") == 1, 0)
