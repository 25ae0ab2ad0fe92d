"""LMCache hosts that end in every way, with the plugins that are the hardest to end."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
import os
import signal

from hosts import Host, host

PLUGINS = {
    # Says its last words when it is asked to end.
    "all_loop.sh": """#!/bin/sh
trap 'echo last words; exit 0' TERM
n=0
echo >"$CHECK_DIRECTORY/up.loop"
while :; do
    n=$((n + 1))
    echo "$n" >"$CHECK_DIRECTORY/count.new"
    mv "$CHECK_DIRECTORY/count.new" "$CHECK_DIRECTORY/count"
    sleep 0.1
done
""",
    "all_stubborn.sh": """#!/bin/sh
trap '' TERM INT HUP
echo >"$CHECK_DIRECTORY/up.stubborn"
while :; do sleep 1000; done
""",
    "all_children.sh": """#!/bin/sh
sleep 1000 &
setsid sleep 1000 &
echo >"$CHECK_DIRECTORY/up.children"
wait
""",
    "all_daemon.py": """#!/usr/bin/env python3
import os, signal
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(os.environ["CHECK_DIRECTORY"] + "/up.daemon", "w").close()
while True:
    signal.pause()
""",
}


@dataclass(frozen=True)
class Ending:
    """One way for a host to end."""

    name: str
    options: tuple[str, ...] = ()
    command: str = ""
    signal: int = 0
    # As a terminal does it: to every process of the host's group.
    is_to_group: bool = False
    # Whether the drop-in, and LMCache with the bridge, are still there to log the end.
    last_words: tuple[str, ...] = ()


ENDINGS = [
    Ending("stops its services", command="stop", last_words=("drop-in", "bridge")),
    Ending("exits", command="exit", last_words=("drop-in",)),
    Ending("raises", command="raise", last_words=("drop-in",)),
    Ending(
        "SIGTERM, handled",
        ("--handle-term",),
        signal=signal.SIGTERM,
        last_words=("drop-in",),
    ),
    Ending("Ctrl-C", signal=signal.SIGINT, is_to_group=True, last_words=("drop-in",)),
    Ending("SIGTERM", signal=signal.SIGTERM),
    Ending("SIGKILL", signal=signal.SIGKILL),
    Ending("SIGSEGV", signal=signal.SIGSEGV),
    Ending("SIGKILL, forked workers live on", ("--fork",), signal=signal.SIGKILL),
    Ending("SIGKILL, spawned workers live on", ("--spawn",), signal=signal.SIGKILL),
    Ending("exits with a forked child", ("--handle-term",), "fork-exit"),
]
QUICK = {"stops its services", "SIGKILL", "SIGKILL, forked workers live on"}


def check(quick: bool) -> bool:
    """Every ending with the bridge and the drop-in; LMCache alone as a control."""
    jobs = [
        (way, ending)
        for ending in ENDINGS
        for way in ("bridge", "drop-in")
        if not quick or ending.name in QUICK
    ]
    with ThreadPoolExecutor(max_workers=8) as executor:
        control = executor.submit(survivors_of_original)
        results = list(executor.map(lambda job: attempt(*job), jobs))
    for (way, ending), problem in zip(jobs, results):
        good = "nothing left"
        if way in ending.last_words:
            good += ", last words logged"
        print(f"{way:8} {ending.name:34} {problem or good}")
    survivors = control.result()
    print(f"{'control':8} {'SIGKILL of LMCache without ours':34} {survivors} left")
    return survivors > 0 and not any(results)


def attempt(way: str, ending: Ending) -> str:
    """One host, one ending; the problem, if there is one."""
    try:
        with host() as one:
            run(one, way, ending)
    except Exception as error:
        return f"FAILED: {error}"
    return ""


def run(one: Host, way: str, ending: Ending) -> None:
    """Start a host, wait for its plugins, end it, and wait until all are gone."""
    start(one, way, *ending.options)
    if ending.command == "fork-exit":
        one.tell("fork-exit")
        assert one.process.stdout is not None
        one.process.stdout.readline()
        # A forked child that ended must not have taken the plugins with it.
        progress(one)
        one.process.terminate()
    elif ending.command:
        one.tell(ending.command)
    elif ending.is_to_group:
        one.interrupt()
    else:
        one.process.send_signal(ending.signal)
    one.process.wait()
    one.wait_until(f"nothing left of {one.left()}", lambda: not one.left())
    for pid in one.workers:
        if not os.path.exists(f"/proc/{pid}/exe"):
            raise AssertionError(f"worker {pid} did not outlive the host")
    if way in ending.last_words and "last words" not in one.log():
        raise AssertionError(f"the last words are not in the log:\n{one.log()}")


def start(one: Host, way: str, *options: str) -> None:
    """Start a host and wait until each of its plugins is up."""
    for name, text in PLUGINS.items():
        one.plugin(name, text)
    one.start(way, *options)
    for name in ("loop", "stubborn", "children", "daemon"):
        up = one.directory / f"up.{name}"
        one.wait_until(f"plugin {name} is up", up.exists)
    if not one.left():
        raise AssertionError("the plugins cannot be seen: this test would show nothing")


def progress(one: Host) -> None:
    """Wait until the looping plugin has counted on."""
    count = one.directory / "count"
    one.wait_until("the loop counts", count.exists)
    seen = int(count.read_text())
    one.wait_until("the loop counts on", lambda: int(count.read_text()) > seen + 2)


def survivors_of_original() -> int:
    """How many processes outlive a host that LMCache's own launcher serves."""
    with host() as one:
        start(one, "original")
        one.process.kill()
        one.process.wait()
        # They are not about to end: the loop goes on.
        progress(one)
        return len(one.left())
