"""Starting LMCache hosts as processes, and finding all that descends from them."""

from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Callable, Iterator
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid

from classes import BRIDGE

HOST = Path(__file__).with_name("host.py")
MARK_VARIABLE = "LMCACHE_CHECK_MARK"
DEADLINE_SECONDS = 60.0


class Host:
    """One host process in a directory of its own, with its plugins in `plugins`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.plugins = directory / "plugins"
        self.plugins.mkdir()
        self.mark = uuid.uuid4().hex
        self.log_path = directory / "log"
        self.workers: list[int] = []
        self.process: subprocess.Popen

    def plugin(self, name: str, text: str) -> None:
        """Write a plugin."""
        (self.plugins / name).write_text(text)

    def start(self, way: str, *options: str, **variables: str) -> None:
        """Start the host in one of the ways `original`, `bridge`, `drop-in`."""
        locations = BRIDGE if way == "bridge" else self.plugins
        configuration = self.directory / "lmcache.yaml"
        configuration.write_text(
            f"runtime_plugin_locations: ['{locations}']\n"
            f"extra_config: {{plugin.launcher.locations: ['{self.plugins}']}}\n"
        )
        kind = "drop-in" if way == "drop-in" else "original"
        command = [sys.executable, str(HOST), kind, *options]
        self.launch(command, configuration, **variables)

    def launch(self, command: list[str], configuration: Path, **variables: str) -> None:
        """Start a host process and wait until its plugins are launched."""
        self.spawn(command, LMCACHE_CONFIG_FILE=str(configuration), **variables)
        assert self.process.stdout is not None
        ready = self.process.stdout.readline().split()
        if ready[:1] != ["ready"]:
            raise AssertionError(f"the host did not start:\n{self.log()}")
        self.workers = [int(pid) for pid in ready[1:]]

    def spawn(
        self, command: list[str], is_logged: bool = False, **variables: str
    ) -> None:
        """Start a process here, with our mark; its standard output is read, or logged."""
        environment = {
            **os.environ,
            MARK_VARIABLE: self.mark,
            "CHECK_DIRECTORY": str(self.directory),
            "LMCACHE_PLUGIN_LAUNCHER_BIN": os.environ["LAUNCHER"],
            **variables,
        }
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.directory,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log if is_logged else subprocess.PIPE,
                stderr=log,
                text=True,
                # A process group of its own, as a job of a terminal has it.
                start_new_session=True,
            )

    def tell(self, command: str) -> None:
        """Give the host a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def interrupt(self) -> None:
        """Ctrl-C, as a terminal does it: to the whole group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def log(self) -> str:
        """What the host has logged so far."""
        if not self.log_path.exists():
            return ""
        return self.log_path.read_text(errors="replace")

    def processes(self) -> list[tuple[int, str]]:
        """Every living process of this host, with its command line."""
        return marked_processes(self.mark)

    def left(self) -> list[str]:
        """Every living process of this host but itself and its workers."""
        known = {self.process.pid, *self.workers}
        return [
            f"{pid} {name}"
            for pid, name in self.processes()
            # Python's own attendant of spawned workers, which lives as long as they do.
            if pid not in known and "resource_tracker" not in name
        ]

    def wait_until(self, what: str, condition: Callable[[], object]) -> None:
        """Wait for a condition, and fail with the log if it does not come."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited in vain for: {what}\n{self.log()}")
            time.sleep(0.02)

    def clean(self) -> None:
        """End whatever is left."""
        self.process.kill()
        self.process.wait()
        while marked := marked_processes(self.mark):
            for pid, _ in marked:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@contextmanager
def host() -> Iterator[Host]:
    """A host that is not started yet; nothing of it is left afterwards."""
    with tempfile.TemporaryDirectory(prefix="lmcache-host-") as name:
        one = Host(Path(name))
        try:
            yield one
        finally:
            if hasattr(one, "process"):
                one.clean()


def marked_processes(mark: str) -> list[tuple[int, str]]:
    """The processes that have this mark in their environment, less zombies."""
    found = []
    text = f"{MARK_VARIABLE}={mark}".encode()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            # A zombie's environment is empty.
            if text in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                command = Path(f"/proc/{name}/cmdline").read_bytes()
                found.append((int(name), command.replace(b"\0", b" ").decode()))
        except OSError:
            # It has ended, or is another user's.
            continue
    return found
