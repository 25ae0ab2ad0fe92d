"""Single cases: what plugins get to read, the multiprocess server, and failures."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv

from classes import BRIDGE, DROP_IN, drop_in, original
from hosts import Host, host
from lmcache.v1.config import LMCacheEngineConfig
from lmcache.v1.multiprocess import mp_runtime_plugin_launcher as multiprocess
from together import SLOW

LAUNCHER = os.environ["LAUNCHER"]

YAML = """\
chunk_size: 0x200
local_cpu: yes
max_local_cpu_size: 5.5
remote_url: "lm://localhost:65432"
lmcache_instance_id: instance-1
blend_recompute_ratios: [0.15, 1e-1]
plugin_locations: &here
  - {plugins}
extra_config:
  plugin.frontend.port: 8_080
  plugin.frontend.name: "caf\\u00e9 \\U0001F600"
  nested: {{flag: off, list: [~, 1, 1.0, "1", 2026-11-22x]}}
  folded: >
    two
    lines
  again: *here
"""

# Built on LMCache's configuration class, as the plugin in its documentation is.
CONFIG_PLUGIN = f"""#!{sys.executable}
import json, os, sys
from lmcache.v1.config import LMCacheEngineConfig

role = os.getenv("LMCACHE_RUNTIME_PLUGIN_ROLE")
worker_id = os.getenv("LMCACHE_RUNTIME_PLUGIN_WORKER_ID")
config = LMCacheEngineConfig.from_json(os.getenv("LMCACHE_RUNTIME_PLUGIN_CONFIG"))
with open(os.environ["CHECK_RESULT"], "w") as result:
    json.dump([role, worker_id, config.to_dict()], result)
"""

ENVIRONMENT_PLUGIN = """#!/bin/sh
cat /proc/$$/environ >"$CHECK_RESULT.$(basename "$0").new"
mv "$CHECK_RESULT.$(basename "$0").new" "$CHECK_RESULT.$(basename "$0")"
"""


def check() -> bool:
    """Every case, with its outcome on a line."""
    outcomes = [outcome(case) for case in CASES_OF_THIS_PROCESS]
    # The others mostly wait, each for processes of its own.
    with ThreadPoolExecutor(max_workers=len(CASES_OF_HOSTS)) as executor:
        outcomes += executor.map(outcome, CASES_OF_HOSTS)
    for case, text in zip(CASES_OF_THIS_PROCESS + CASES_OF_HOSTS, outcomes):
        print(f"{(case.__doc__ or '').strip().splitlines()[0]:75} {text}")
    return all(text == "ok" for text in outcomes)


def outcome(case: Callable[[], None]) -> str:
    """`ok`, or what went wrong."""
    try:
        case()
    except Exception as error:
        return f"FAILED: {type(error).__name__}: {error}"
    return "ok"


def from_yaml() -> None:
    """LMCache's from_json reads what plugins get from lmcache.yaml."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        plugin = directory / "plugins" / "scheduler_foo_plugin.py"
        plugin.parent.mkdir()
        plugin.write_text(CONFIG_PLUGIN)
        yaml = directory / "lmcache.yaml"
        yaml.write_text(YAML.format(plugins=plugin.parent))
        result = directory / "result"
        subprocess.run(
            [LAUNCHER, "run", "--role=SCHEDULER", "--worker-id=-1", f"--config={yaml}"],
            env={**os.environ, "CHECK_RESULT": str(result)},
            check=True,
            capture_output=True,
            timeout=60,
        )
        expected = LMCacheEngineConfig.from_file(str(yaml)).to_dict()
        role, worker_id, seen = json.loads(result.read_text())
        expect((role, worker_id), ("SCHEDULER", "-1"))
        expect(seen, expected)


def from_to_json() -> None:
    """A plugin built on LMCache's configuration class runs unchanged (drop-in)."""
    with tempfile.TemporaryDirectory() as name:
        plugin = Path(name) / "scheduler_foo_plugin.py"
        plugin.write_text(CONFIG_PLUGIN)
        result = Path(name) / "result"
        os.environ["CHECK_RESULT"] = str(result)
        config = LMCacheEngineConfig.from_defaults(
            runtime_plugin_locations=[name], extra_config={"key": ["v\u00e4lue", 1.0]}
        )
        launcher = drop_in.RuntimePluginLauncher(config, "SCHEDULER", 1, -1)
        launcher.launch_plugins()
        launcher.plugin_processes[0].wait(60)
        role, worker_id, seen = json.loads(result.read_text())
        expect((role, worker_id), ("SCHEDULER", "-1"))
        expect(seen, config.to_dict())


@dataclass
class ServerConfig:
    """As much of the multiprocess server's configuration as makes a document."""

    host: str = "localhost"
    port: int = 5555
    runtime_plugin_config: Any = None


@dataclass
class PluginConfig:
    """The multiprocess server's own RuntimePluginConfig needs torch to be imported."""

    locations: list[str] = field(default_factory=list)
    extra_config: dict = field(default_factory=dict)


def multiprocess_server() -> None:
    """MPRuntimePluginLauncher gives plugins the same with the drop-in class."""
    environments = []
    for module in (original, drop_in):
        with tempfile.TemporaryDirectory() as name:
            plugins = Path(name) / "plugins"
            plugins.mkdir()
            for plugin in ("scheduler_x.sh", "worker_7_y.sh"):
                (plugins / plugin).write_text(ENVIRONMENT_PLUGIN)
            os.environ["CHECK_RESULT"] = f"{name}/result"
            multiprocess.RuntimePluginLauncher = module.RuntimePluginLauncher
            plugin_config = PluginConfig(["plugins"], {"plugin.x.port": 1})
            server = ServerConfig(runtime_plugin_config=plugin_config)
            back = os.getcwd()
            os.chdir(name)
            try:
                launcher = multiprocess.MPRuntimePluginLauncher(
                    plugin_config, mp_config=server, http_config=ServerConfig()
                )
                launcher.launch_plugins()
                for process in launcher._inner.plugin_processes:
                    process.wait(60)
                launcher.stop_plugins()
            finally:
                os.chdir(back)
            seen = {}
            for plugin in ("scheduler_x.sh", "worker_7_y.sh"):
                variables = Path(f"{name}/result.{plugin}").read_bytes().split(b"\0")
                seen[plugin] = sorted(
                    variable
                    for variable in variables
                    if variable.startswith((b"LMCACHE_PLUGIN_", b"LMCACHE_RUNTIME_"))
                    and not variable.startswith(OWN_VARIABLES)
                )
            environments.append(seen)
    expect(environments[1], environments[0])
    if len(environments[1]["scheduler_x.sh"]) != 8:
        raise AssertionError(f"eight variables expected: {environments[1]}")


OWN_VARIABLES = (b"LMCACHE_PLUGIN_PARENT_PID=", b"LMCACHE_PLUGIN_LAUNCHER_")


def bridge_refuses_itself() -> None:
    """A launcher among its own plugins refuses, and the others run."""
    with host() as one:
        one.plugin("all_launcher.sh", BRIDGE.read_text())
        one.plugin("all_good.sh", "#!/bin/sh\necho good; exec sleep 1000\n")
        one.start("bridge")
        one.wait_until(
            "the other plugin runs", lambda: "[all_good.sh] good" in one.log()
        )
        # LMCache's prefix, the launcher's prefix, and the message of the second one.
        second = "[all_launcher.sh] lmcache-plugin-launcher: "
        one.wait_until("a refusal", lambda: second in one.log())
        one.wait_until(
            "its end", lambda: "exited all_launcher.sh: status 2" in one.log()
        )


def bridge_without_plugins() -> None:
    """The bridge says what is missing: the plugins, the launcher."""
    for variables, status, words in [
        ({"LMCACHE_PLUGIN_LAUNCHER_BIN": LAUNCHER}, 2, "plugin.launcher.locations"),
        ({"LMCACHE_PLUGIN_LAUNCHER_BIN": "/no/launcher"}, 127, "/no/launcher"),
    ]:
        environment = {"PATH": os.environ["PATH"], **variables}
        command = ["sh", str(BRIDGE)]
        done = subprocess.run(command, env=environment, capture_output=True, timeout=60)
        expect(done.returncode, status)
        if words not in done.stderr.decode() or done.stderr.count(b"\n") != 1:
            raise AssertionError(f"stderr: {done.stderr!r}")


def bridge_unread() -> None:
    """Where LMCache has stopped reading the bridge, its end still leaves nothing."""
    with host() as one:
        # One byte that is not UTF-8 ends LMCache's capture; the rest fills the pipe.
        one.plugin("all_flood.sh", "#!/bin/sh\nprintf '\\377\\n'; exec yes flood\n")
        one.plugin(
            "all_quiet.sh", "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 9; done\n"
        )
        one.start("bridge")
        one.wait_until("its end", lambda: "Error capturing output" in one.log())
        one.process.kill()
        one.process.wait()
        one.wait_until("nothing left", lambda: not one.left())


def bridge_json() -> None:
    """With --format json the bridge passes on bytes that are not UTF-8."""
    with host() as one:
        one.plugin("all_bytes.sh", "#!/bin/sh\nprintf '\\377\\n'; echo after\n")
        one.start("bridge", LMCACHE_LAUNCHER_OPTIONS="--format json")
        line = '"plugin":"all_bytes.sh","message":"after"'
        one.wait_until("the line after them", lambda: line in one.log())


def bridge_grace() -> None:
    """LMCache stops the bridge once more when it exits: the grace period goes on."""
    with host() as one:
        one.plugin("all_slow.sh", SLOW)
        one.start("bridge")
        one.wait_until("it is up", lambda: list(one.directory.glob("up.*")))
        one.tell("stop-late-exit")
        one.process.wait(60)
        one.wait_until("nothing left", lambda: not one.left())
        if not list(one.directory.glob("words.*")):
            raise AssertionError("there were no last words")


def installed_by_pip() -> None:
    """A launcher among the programs of LMCache's Python is found without PATH (drop-in)."""
    with tempfile.TemporaryDirectory() as name:
        venv.create(name, symlinks=True)
        installed = Path(name, "bin", "lmcache-plugin-launcher")
        installed.symlink_to(LAUNCHER)
        found = subprocess.run(
            [str(installed.with_name("python")), "-c", FIND, str(DROP_IN.parent)],
            env={"PATH": "/nowhere", "PYTHONPATH": sysconfig.get_path("purelib")},
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=60,
        )
        expect(found.stdout.splitlines()[-1], str(installed))


FIND = """
import sys
sys.path.insert(0, sys.argv[1])
import runtime_plugin_launcher
print(runtime_plugin_launcher.find_launcher())
"""


def no_launcher() -> None:
    """A missing launcher is one error, and LMCache goes on (drop-in)."""
    with host() as one:
        one.plugin("all_x.sh", "#!/bin/sh\n")
        start_drop_in_with(one, "/no/launcher")
        one.tell("stop")
        expect(one.process.wait(60), 0)
        expect(one.log().count("LMCache ERROR"), 1)
        if "/no/launcher" not in one.log():
            raise AssertionError(f"the log does not name it:\n{one.log()}")


def stuck_launcher() -> None:
    """A launcher that does not end is killed within five seconds (drop-in)."""
    with host() as one:
        one.plugin("all_x.sh", "#!/bin/sh\n")
        stuck = one.directory / "stuck"
        stuck.write_text("#!/bin/sh\ntrap '' TERM\necho stuck\nexec sleep 1000\n")
        stuck.chmod(0o755)
        start_drop_in_with(one, str(stuck))
        one.wait_until("the launcher is up", lambda: "stuck" in one.log())
        begin = time.monotonic()
        one.tell("exit")
        expect(one.process.wait(60), 0)
        seconds = time.monotonic() - begin
        # An allowance for the end of an interpreter on a busy machine.
        if seconds > 5 + 1 + os.getloadavg()[0] / (os.cpu_count() or 1):
            raise AssertionError(f"it took {seconds:.1f} s")
        one.wait_until("nothing left", lambda: not one.left())


def killed_launcher() -> None:
    """A launcher that is killed is reported, and nothing is left (drop-in)."""
    with host() as one:
        one.plugin(
            "all_x.sh", "#!/bin/sh\ntrap '' TERM\necho up\nwhile :; do sleep 9; done\n"
        )
        one.start("drop-in")
        one.wait_until("the plugin is up", lambda: "[all_x.sh] up" in one.log())
        children = Path(f"/proc/{one.process.pid}/task").glob("*/children")
        for pid in " ".join(path.read_text() for path in children).split():
            os.kill(int(pid), 9)
        one.wait_until("a report", lambda: "ended with status -9" in one.log())
        one.wait_until("nothing left", lambda: not one.left())


def fifo() -> None:
    """LMCache waits at a FIFO named like a plugin; the drop-in passes it over."""
    with host() as one:
        os.mkfifo(one.plugins / "all_fifo.sh")
        one.start("drop-in")
        one.wait_until("a reason", lambda: "Skipping all_fifo.sh" in one.log())
    with host() as one:
        fifo = one.plugins / "all_fifo.sh"
        os.mkfifo(fifo)
        one.process = subprocess.Popen(
            [sys.executable, "-c", FIFO_HOST, str(one.plugins)],
            stderr=subprocess.DEVNULL,
        )

        def has_reader() -> bool:
            try:
                os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                return False
            return True

        one.wait_until("LMCache opens it for reading", has_reader)


FIFO_HOST = """
import sys
from lmcache.v1.config import LMCacheEngineConfig
from lmcache.v1.plugin.runtime_plugin_launcher import RuntimePluginLauncher
config = LMCacheEngineConfig.from_defaults(runtime_plugin_locations=sys.argv[1:])
RuntimePluginLauncher(config, "WORKER", 1, 0).launch_plugins()
"""


def start_drop_in_with(one: Host, launcher: str) -> None:
    """Start a host whose drop-in is told to use this launcher."""
    configuration = one.directory / "lmcache.yaml"
    configuration.write_text(f"runtime_plugin_locations: ['{one.plugins}']\n")
    command = [sys.executable, "-c", TOLD_HOST, str(Path(__file__).parent), launcher]
    one.launch(command, configuration)


# The drop-in is loaded with the launcher under test; this replaces it by another.
TOLD_HOST = """
import os, sys
sys.path.insert(0, sys.argv[1])
import classes, host
os.environ["LMCACHE_PLUGIN_LAUNCHER_BIN"] = sys.argv[2]
host.main(["drop-in"])
"""


def expect(seen: object, expected: object) -> None:
    """Fail unless both are equal, with what differs."""
    if isinstance(seen, dict) and isinstance(expected, dict):
        keys = {k for k in seen | expected if seen.get(k) != expected.get(k)}
        seen, expected = [{k: d.get(k) for k in keys} for d in (seen, expected)]
    if seen != expected:
        raise AssertionError(f"\n    seen     {seen}\n    expected {expected}")


# These set variables and the directory of the process.
CASES_OF_THIS_PROCESS: list[Callable[[], None]] = [
    from_yaml,
    from_to_json,
    multiprocess_server,
    bridge_without_plugins,
    installed_by_pip,
]
CASES_OF_HOSTS: list[Callable[[], None]] = [
    bridge_refuses_itself,
    bridge_unread,
    bridge_json,
    bridge_grace,
    no_launcher,
    stuck_launcher,
    killed_launcher,
    fifo,
]
