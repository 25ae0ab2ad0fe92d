"""Several launchers in one host, as vLLM's engine core has a worker's and a scheduler's.

They are stopped one after the other, by `stop_services` or at exit, and must be gone
together: vLLM kills an engine core that has not ended five seconds later.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock
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
# `manager`: in the main process, by LMCache's real manager, which wants torch.
METHODS = ("main", "spawn", "fork", "manager")
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
        python = sys.executable
        if method == "manager":
            python = os.environ["LMCACHE_SERVER_PYTHON"]
        command = [python, __file__, str(count), method, ending, control]
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


def serve(count: int, method: str, ending: str, control: str) -> None:
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
    kind = real_manager if method == "manager" else Manager
    managers = [kind(launcher) for launcher in launchers]
    for manager in managers:
        manager.start_services()
    print("ready", flush=True)
    # Not a line of standard input: a child of multiprocessing has none.
    while not (directory / "end").exists():
        time.sleep(0.01)
    note(0)
    if ending == "stop":
        for manager, launcher in zip(managers, launchers):
            if control:
                drop_in._launchers[:] = [launcher]
            manager.stop_services()
        note(1)


class Manager:
    """LMCacheManager, as far as it concerns the launcher."""

    def __init__(self, launcher) -> None:
        self.launcher = launcher

    def start_services(self) -> None:
        self.launcher.launch_plugins()

    def stop_services(self) -> None:
        with ThreadPoolExecutor(max_workers=1) as executor:
            executor.submit(self.launcher.stop_plugins).result(10)


def real_manager(launcher):
    """The real one, of this launcher and of nothing else."""
    from lmcache.integration.base_service_factory import BaseServiceFactory
    from lmcache.v1.manager import LMCacheManager

    nothing = {
        f"{name}.return_value": None for name in BaseServiceFactory.__abstractmethods__
    }
    factory = Mock(spec=BaseServiceFactory, **nothing)
    factory.maybe_create_runtime_plugin_launcher.return_value = launcher
    return LMCacheManager(LMCacheEngineConfig.from_defaults(), factory)


def main(count: str, method: str, ending: str, control: str) -> None:
    """Serve in this process or in one that is made as vLLM makes its engine core."""
    arguments = (int(count), method, ending, control)
    if method in ("main", "manager"):
        serve(*arguments)
        return
    context = multiprocessing.get_context(method)
    child = context.Process(target=serve, args=arguments)
    child.start()
    child.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
