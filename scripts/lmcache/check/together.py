"""Several launchers in one host, as vLLM's engine core has a worker's and a scheduler's.

They are stopped one after the other, by `stop_services` or at exit, and must be gone
together: vLLM kills an engine core that has not ended five seconds later.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import atexit
import json
import multiprocessing
import os
import sys
import time

from classes import drop_in
from hosts import Host, host
from lmcache.v1.config import LMCacheEngineConfig

LIMIT_SECONDS = 3.5
COUNTS = (1, 2, 4, 8)
METHODS = ("main", "spawn", "fork")
ENDINGS = ("stop", "exit")

# One that needs its grace period, and one that nothing but SIGKILL ends.
SLOW = """#!/bin/sh
end() { sleep 2.6; echo words >"$CHECK_DIRECTORY/words.$$"; exit; }
trap end TERM
echo >"$CHECK_DIRECTORY/up.$$"
while :; do sleep 0.1; done
"""
PLUGINS = {
    "all_slow.sh": SLOW,
    "all_stubborn.sh": """#!/bin/sh
trap '' TERM
echo >"$CHECK_DIRECTORY/up.$$"
while :; do sleep 1; done
""",
}


def check(quick: bool) -> bool:
    """Every count, process and ending; and a control that stops one by one."""
    counts, methods = ((2,), ("main",)) if quick else (COUNTS, METHODS)
    good = True
    print("launchers  " + "  ".join(f"{m} {e}" for m in methods for e in ENDINGS))
    for count in counts:
        row = [seconds(count, m, e) for m in methods for e in ENDINGS]
        print(f"{count:9}  " + "  ".join(f"{one:.2f} s" for one in row), flush=True)
        good = good and max(row) <= LIMIT_SECONDS
    alone = seconds(2, "main", "stop", "alone")
    print(f"control: two that are told one after the other: {alone:.2f} s")
    return good and alone > LIMIT_SECONDS


def seconds(count: int, method: str, ending: str, control: str = "") -> float:
    """From the first stop to the end of the last plugin; every slow one has ended well."""
    with host() as one:
        for name, text in PLUGINS.items():
            one.plugin(name, text)
        configuration = one.directory / "lmcache.yaml"
        configuration.write_text(f"runtime_plugin_locations: ['{one.plugins}']\n")
        command = [sys.executable, __file__, str(count), method, ending, control]
        one.launch(command, configuration)
        one.wait_until("the plugins are up", lambda: files(one, "up") == 2 * count)
        (one.directory / "end").touch()
        one.process.wait()
        one.wait_until("nothing left", lambda: not one.left())
        gone = time.monotonic()
        if files(one, "words") != count:
            raise AssertionError(f"last words of {files(one, 'words')} of {count}")
        begin, end = json.loads((one.directory / "times").read_text())
        # A process that was forked ends without a look at its atexit handlers.
        return gone - begin if end is None else end - begin


def files(one: Host, name: str) -> int:
    """How many files of this name the plugins have written."""
    return len(list(one.directory.glob(f"{name}.*")))


def serve(count: int, ending: str, control: str) -> None:
    """The host: launch, wait for the word, stop or exit, and write down the times."""
    directory = Path(os.environ["CHECK_DIRECTORY"])
    times: list[float | None] = [None, None]

    def note(index: int) -> None:
        times[index] = time.monotonic()
        (directory / "times").write_text(json.dumps(times))

    config = LMCacheEngineConfig.from_file(os.environ["LMCACHE_CONFIG_FILE"])
    # Run in reverse: this one after, and the one below before the launchers' own.
    atexit.register(lambda: ending == "exit" and note(1))
    launchers = [
        drop_in.RuntimePluginLauncher(config, "WORKER", count, number)
        for number in range(count)
    ]
    for launcher in launchers:
        launcher.launch_plugins()
    print("ready", flush=True)
    # Not a line of standard input: a child of multiprocessing has none.
    while not (directory / "end").exists():
        time.sleep(0.01)
    note(0)
    if ending == "stop":
        for launcher in launchers:
            if control:
                drop_in._launchers[:] = [launcher]
            with ThreadPoolExecutor(max_workers=1) as executor:
                executor.submit(launcher.stop_plugins).result(10)
        note(1)


def main(count: str, method: str, ending: str, control: str) -> None:
    """Serve in this process or in one that is made as vLLM makes its engine core."""
    if method == "main":
        serve(int(count), ending, control)
        return
    context = multiprocessing.get_context(method)
    child = context.Process(target=serve, args=(int(count), ending, control))
    child.start()
    child.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
