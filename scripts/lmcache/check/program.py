"""LMCache inside of the launcher's PROGRAM, both with one configuration: the plugins run once."""

from concurrent.futures import ThreadPoolExecutor
import os
import sys

from classes import BRIDGE
from hosts import HOST, host

PLUGIN = """#!/bin/sh
echo "$$" >>"$CHECK_DIRECTORY/starts"
exec sleep 1000
"""
WAYS = ("original", "bridge", "drop-in")


def check() -> bool:
    """Each way, by file and by variable; and a control in which both are told to run them."""
    jobs = [(way, place) for way in WAYS for place in ("file", "variable")]
    jobs.append(("original", "argument"))
    with ThreadPoolExecutor(max_workers=4) as executor:
        results = list(executor.map(lambda job: attempt(*job), jobs))
    for (way, place), result in zip(jobs, results):
        print(f"{way:8} plugins named by {place:8} {result}")
    return not any("FAILED" in result for result in results)


def attempt(way: str, place: str) -> str:
    """How often the plugin is started where both are told of it in this place."""
    is_control = place == "argument"
    try:
        starts, processes, log = starts_of(way, place)
        expected = (2, 1) if is_control else (1, 0)
        if (starts, processes) != expected:
            raise AssertionError(f"{starts} starts, {processes} by LMCache\n{log}")
    except Exception as error:
        return f"FAILED: {error}"
    control = ", once by LMCache (control)" if is_control else ""
    return f"started {starts} times{control}"


def starts_of(way: str, place: str) -> tuple[int, int, str]:
    """Run LMCache as PROGRAM until it is up, and count: starts, and processes of its launcher."""
    with host() as one:
        one.plugin("all_once.sh", PLUGIN)
        location = str(BRIDGE if way == "bridge" else one.plugins)
        named = (
            "" if place == "variable" else f"runtime_plugin_locations: ['{location}']\n"
        )
        configuration = one.directory / "lmcache.yaml"
        configuration.write_text(
            f"{named}extra_config: {{plugin.launcher.locations: ['{one.plugins}']}}\n"
        )
        # Standard output is PROGRAM's alone, so that it can say that it is ready.
        command = [os.environ["LAUNCHER"], "run", "--role=worker", "--log-fd=2"]
        if place == "argument":
            command.append(location)
        kind = "drop-in" if way == "drop-in" else "original"
        command += ["--", sys.executable, str(HOST), kind]
        variables = {"LMCACHE_RUNTIME_PLUGIN_LOCATIONS": location}
        one.launch(command, configuration, **(variables if place == "variable" else {}))
        starts = one.directory / "starts"
        count = 2 if place == "argument" else 1
        one.wait_until("the plugin runs", lambda: lines(starts) >= count)
        one.tell("count")
        assert one.process.stdout is not None
        processes = int(one.process.stdout.readline())
        one.tell("stop")
        one.process.wait(60)
        one.wait_until("nothing left", lambda: not one.left())
        return lines(starts), processes, one.log()


def lines(path) -> int:
    """How many lines a file has that may not be there yet."""
    return path.read_text().count("\n") if path.exists() else 0
