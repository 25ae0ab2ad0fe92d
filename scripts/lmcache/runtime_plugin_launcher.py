# SPDX-License-Identifier: Apache-2.0
"""Runtime plugins, run by the ``lmcache-plugin-launcher`` program.

A drop-in for ``lmcache/v1/plugin/runtime_plugin_launcher.py``: the same class,
the same arguments, the same attributes. Which files run, how, and what becomes
of them is the program's business; this module starts it, passes on what it
says, and stops it.

The server pays one child process, one thread and one pipe, whatever the number
of plugins. The pipe carries the program's log to the server, and its other end
tells the program that the server is gone, however the server ended: no plugin
outlives it.
"""

# Standard
from pathlib import Path
from typing import Any, Protocol
import atexit
import json
import logging
import os
import shutil
import subprocess
import sysconfig
import tempfile
import threading
import time

# First Party
from lmcache.logging import init_logger

logger = init_logger(__name__)

LAUNCHER_NAME = "lmcache-plugin-launcher"
LAUNCHER_VARIABLE = "LMCACHE_PLUGIN_LAUNCHER_BIN"
CONFIG_VARIABLE = "LMCACHE_RUNTIME_PLUGIN_CONFIG"
OLD_CONFIG_VARIABLE = "LMCACHE_PLUGIN_CONFIG"

# Linux's limit on one ``NAME=value`` of the environment with its final zero.
MAX_VARIABLE_BYTES = 131_072

# The plugins' time from SIGTERM to SIGKILL. A vLLM engine core has about five
# seconds to shut down, for everything that it does then: all launchers of a
# process have stopped, and their last lines are read, after these times.
GRACE_PERIOD_SECONDS = 3.0
STOP_TIMEOUT_SECONDS = GRACE_PERIOD_SECONDS + 0.3
LAST_LINES_TIMEOUT_SECONDS = STOP_TIMEOUT_SECONDS + 0.2

# What the program reports, with the level and the words to log it by. _describe
# has the exceptions.
EVENTS: dict[str, tuple[int, str]] = {
    "output": (logging.INFO, "[%(plugin)s] %(message)s"),
    "started": (logging.INFO, "Launched runtime plugin: %(plugin)s with %(command)s"),
    "skipped": (logging.INFO, "Skipping %(plugin)s: %(reason)s"),
    "exited": (logging.WARNING, "Runtime plugin %(plugin)s exited with %(status)s"),
    "failed": (logging.ERROR, "Runtime plugin %(plugin)s failed: %(reason)s"),
    "restarting": (logging.WARNING, "Restarting %(plugin)s in %(delay)s s: %(reason)s"),
    "killed": (logging.WARNING, "Killed %(plugin)s (pid %(pid)s)"),
    "warning": (logging.WARNING, "%(plugin)s: %(reason)s"),
    "status": (logging.INFO, "%(plugin)s: %(state)s, restarted %(restarts)s times"),
    "stopping": (logging.INFO, "Stopping runtime plugins: %(reason)s"),
    "stopped": (logging.INFO, "Runtime plugins are stopped"),
}


# Every launcher of this process, and of those that it was forked from.
_launchers: list["RuntimePluginLauncher"] = []


class RuntimePluginConfig(Protocol):
    """What the launcher needs of a configuration object."""

    runtime_plugin_locations: list[str] | None

    def to_json(self) -> str:
        """Serialize the configuration for the plugins."""


class RuntimePluginLauncher:
    """Run the configured plugins next to an LMCache process.

    Args:
        config: Configuration with ``runtime_plugin_locations`` and ``to_json``.
        role: Role of this process, or None in MP mode, where every plugin runs.
        worker_count: Number of workers in all.
        worker_id: ID of this worker; -1 on the scheduler.
    """

    def __init__(
        self,
        config: RuntimePluginConfig,
        role: str | None,
        worker_count: int,
        worker_id: int,
    ) -> None:
        self.config = config
        self.role = role
        self.worker_count = worker_count
        self.worker_id = worker_id
        # The launcher's process, once it runs: it stands for all plugins.
        self.plugin_processes: list[subprocess.Popen] = []
        self._readers: list[threading.Thread] = []
        self._host_pid = os.getpid()
        # When the plugins were told to end, once they were.
        self._told_at: float | None = None
        _launchers.append(self)
        # Register cleanup handler
        atexit.register(self.stop_plugins)

    def launch_plugins(self) -> None:
        """Launch all configured plugins. Failures are logged, never raised."""
        locations = self._existing_locations()
        if not locations:
            return

        try:
            self._launch(find_launcher(), locations)
        except Exception as e:
            logger.error("Failed to launch runtime plugins: %s", e)

    def stop_plugins(self) -> None:
        """Stop all plugins, and everything they started, within 3.5 seconds.

        The first stop in a process is for all of its launchers: an engine core
        on one GPU has a worker's and a scheduler's, and stops them one after
        the other. So their plugins have their grace periods side by side, and
        each further stop only waits for what is left.

        Note: This method may be called via atexit during interpreter shutdown,
        when the logging system may already be closed. We avoid using logger
        here to prevent "I/O operation on closed file" errors.
        """
        for launcher in _launchers:
            launcher._tell_to_end()
        self._wait_for_end()

    def _tell_to_end(self) -> None:
        """Ask the launcher's process to stop the plugins; asked again, it goes on."""
        # A forked worker inherits the atexit handler, but not the plugins.
        if os.getpid() != self._host_pid or not self.plugin_processes:
            return
        if self._told_at is None:
            self._told_at = time.monotonic()
        for process in self.plugin_processes:
            try:
                if process.poll() is None:
                    process.terminate()
            except Exception:
                # Silently ignore errors during shutdown
                pass

    def _wait_for_end(self) -> None:
        """Wait until the plugins are gone and their last lines are logged."""
        told_at = self._told_at
        if os.getpid() != self._host_pid or told_at is None:
            return

        def left(seconds: float) -> float:
            return max(0.0, told_at + seconds - time.monotonic())

        for process in self.plugin_processes:
            try:
                process.wait(timeout=left(STOP_TIMEOUT_SECONDS))
            except subprocess.TimeoutExpired:
                # A killed launcher still leaves nothing behind: it is two
                # processes, and the other one ends the plugins.
                process.kill()
            except Exception:
                # Silently ignore errors during shutdown
                pass

        # The plugins' last lines may still be in the pipe.
        for reader in self._readers:
            reader.join(left(LAST_LINES_TIMEOUT_SECONDS))

    def _should_skip_plugin(self, file: Path, parts: list[str]) -> bool:
        """Whether a plugin of this name is for another role or worker.

        Args:
            file: The plugin, for its suffix.
            parts: The parts of its name.
        """
        with tempfile.TemporaryDirectory() as directory:
            plugin = Path(directory, "_".join(parts) + file.suffix)
            plugin.write_text("#!/bin/sh\n")
            decision = self._ask_about(plugin, self.role)["decision"]
        return decision == "skip"

    def _get_interpreter(self, file: Path) -> str:
        """The program that runs a plugin, without its argument.

        Args:
            file: The plugin.

        Raises:
            ValueError: If there is none.
        """
        record = self._ask_about(file, role=None)
        if "command" not in record:
            raise ValueError(
                f"Plugin type {file.suffix} not supported: {record['reason']}"
            )
        return record["command"][0]

    def _ask_about(self, file: Path, role: str | None) -> dict[str, Any]:
        """What the launcher would do with one file, by its own account."""
        answer = subprocess.run(
            [
                find_launcher(),
                "list",
                "--format=json",
                f"--role={role or ''}",
                f"--worker-id={self.worker_id}",
                _as_operand(str(file)),
            ],
            env=_environment("{}"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=True,
        )
        return json.loads(answer.stdout.splitlines()[0])

    def _existing_locations(self) -> list[str]:
        """The configured locations less those that do not exist."""
        locations = []
        for location in self.config.runtime_plugin_locations or []:
            if Path(location).exists():
                locations.append(location)
            else:
                logger.warning("Runtime plugin location %s does not exist", location)
        return locations

    def _launch(self, program: str, locations: list[str]) -> None:
        """Start the launcher on ``locations``, and the thread that logs it."""
        self._host_pid = os.getpid()
        self._told_at = None
        process = subprocess.Popen(
            [
                program,
                "run",
                "--format=json",
                f"--role={self.role or ''}",
                f"--worker-id={self.worker_id}",
                f"--worker-count={self.worker_count}",
                f"--grace-period={GRACE_PERIOD_SECONDS}",
                # The server is gone when its process has ended, or when no one
                # is left to read standard output. Neither alone is enough: the
                # pid may have ended before the launcher looks, and a forked
                # worker that outlives the server keeps the pipe open.
                f"--parent-pid={self._host_pid}",
                "--parent-fd=1",
                *(_as_operand(location) for location in locations),
            ],
            env=_environment(_fitting(self.config.to_json())),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Ctrl-C in a terminal is for the server, which then stops us.
            start_new_session=True,
        )
        self.plugin_processes.append(process)
        reader = threading.Thread(
            target=_log_output,
            args=(process,),
            name="runtime-plugin-output",
            daemon=True,
        )
        reader.start()
        self._readers.append(reader)


def find_launcher() -> str:
    """The launcher's path.

    As told, else from PATH, else next to this file, else among the programs
    of this Python, where ``pip install`` puts it.

    Raises:
        FileNotFoundError: If it is not there.
    """
    told = os.environ.get(LAUNCHER_VARIABLE)
    beside = Path(__file__).with_name(LAUNCHER_NAME)
    installed = Path(sysconfig.get_path("scripts"), LAUNCHER_NAME)
    candidates = [told] if told else [LAUNCHER_NAME, str(beside), str(installed)]
    for candidate in candidates:
        found = shutil.which(candidate)
        if found is not None:
            return found
    raise FileNotFoundError(
        f"cannot find {' or '.join(candidates)}: set {LAUNCHER_VARIABLE} to its path"
    )


def _environment(config: str) -> dict[str, str]:
    """The environment of a launcher with this configuration, and no other."""
    environment = {**os.environ, CONFIG_VARIABLE: config}
    environment.pop(OLD_CONFIG_VARIABLE, None)
    return environment


def _as_operand(location: str) -> str:
    """A location as LMCache has it in its messages, and that is not an option."""
    operand = str(Path(location))
    return f"./{operand}" if operand.startswith("-") else operand


def _fitting(config: str) -> str:
    """``config`` as it is, or without its indentation where that is needed.

    Args:
        config: The configuration as JSON.

    Returns:
        A JSON text that fits into one environment variable.

    Raises:
        ValueError: If there is no such text.
    """
    room = MAX_VARIABLE_BYTES - len(f"{CONFIG_VARIABLE}=\0")
    if len(config.encode()) <= room:
        return config
    compact = json.dumps(json.loads(config), separators=(",", ":"))
    if len(compact) <= room:
        return compact
    raise ValueError(
        f"the configuration takes {len(compact)} bytes as JSON, "
        f"and an environment variable has room for {room}"
    )


def _log_output(process: subprocess.Popen) -> None:
    """Log what the launcher writes until it ends."""
    assert process.stdout is not None, "The launcher does not have stdout"
    stopping = False
    with process.stdout as lines:
        for line in lines:
            # Whatever a line holds, the next one has to be read: a full pipe
            # would stop the plugins.
            try:
                record = json.loads(line)
                stopping = stopping or record["event"] == "stopping"
                level, text = _describe(record, stopping)
            except Exception:
                # Not a record: a message of the launcher on standard error.
                level = logging.ERROR
                text = line.decode(errors="replace").rstrip("\n")
            logger.log(level, "%s", text)

    # Status 1 means that some plugin failed, which has been logged by now.
    status = process.wait()
    if status not in (0, 1):
        logger.error("%s ended with status %d", LAUNCHER_NAME, status)


def _describe(record: dict[str, Any], stopping: bool) -> tuple[int, str]:
    """The level and the text of one record of the launcher's log.

    Args:
        record: The record.
        stopping: Whether the plugins are being stopped, so that it is no
            failure when one ends by a signal.
    """
    level, template = EVENTS[record["event"]]
    fields = {"plugin": "Runtime plugins", **record}
    if "command" in record:
        fields["command"] = " ".join(record["command"])
    if "signal" in record:
        fields["status"] = f"signal {record['signal']}"
    elif "code" in record:
        fields["status"] = f"code {record['code']}"
    if record["event"] == "exited" and (stopping or record.get("code") == 0):
        level = logging.INFO
    elif record.get("stream") == "stderr":
        # Only where the two streams are asked for apart.
        level = logging.WARNING
    return level, template % fields
