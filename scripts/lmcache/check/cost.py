"""What launching ten plugins costs the host: time, threads, descriptors."""

from statistics import median
import json
import subprocess
import sys

from hosts import host

PLUGINS = 10
MEASURE = """
import json, os, sys, time
sys.path.insert(0, sys.argv[1])
import classes
from lmcache.v1.config import LMCacheEngineConfig

module = getattr(classes, sys.argv[2])
config = LMCacheEngineConfig.from_defaults(runtime_plugin_locations=[sys.argv[3]])
launcher = module.RuntimePluginLauncher(config, "WORKER", 1, 0)

def owned():
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))

before = owned()
begin = time.perf_counter()
launcher.launch_plugins()
seconds = time.perf_counter() - begin
after = owned()
print(json.dumps([seconds * 1000, after[0] - before[0], after[1] - before[1]]))
sys.stdout.flush()
launcher.stop_plugins()
"""


def check(quick: bool) -> bool:
    """Measure both classes in turns, print, and say whether ours is no dearer."""
    results: dict[str, list[list[float]]] = {"original": [], "drop_in": []}
    with host() as one:
        for number in range(PLUGINS):
            one.plugin(f"all_{number}x.sh", "#!/bin/sh\nexec sleep 1000\n")
        for _ in range(5 if quick else 15):
            for name in results:
                results[name].append(measure(name, str(one.plugins)))
    print(
        f"launch_plugins() with {PLUGINS} plugins, median of {len(results['drop_in'])}:"
    )
    medians = {}
    for name, label in (("original", "LMCache"), ("drop_in", "drop-in")):
        time, threads, descriptors = map(median, zip(*results[name]))
        medians[name] = time
        print(f"{label:8} {time:6.2f} ms, {threads:g} threads, {descriptors:g} pipes")
    dearest = [max(column) for column in zip(*results["drop_in"])]
    return medians["drop_in"] <= medians["original"] and dearest[1:] <= [1, 1]


def measure(name: str, plugins: str) -> list[float]:
    """Milliseconds, threads and descriptors of one launch in a new process."""
    directory = __file__.rpartition("/")[0]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, directory, name, plugins],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)
