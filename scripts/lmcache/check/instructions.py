"""The instructions for use with LMCache, executed as they are written: README.md and scripts/lmcache/README.md."""

from pathlib import Path
import os
import re
import sys
import tempfile

from hosts import HOST, Host, host
from packages import overlay
from server import healthy, releases
import lmcache

ROOT = Path(__file__).resolve().parents[3]
MAX_LINES = 10
PLUGIN = """#!/bin/sh
echo "hello from ${LMCACHE_RUNTIME_PLUGIN_ROLE:-a server}, beside $LMCACHE_PLUGIN_PARENT_PID"
exec sleep 1000
"""

# LMCache inside of the process, in scripts/lmcache/README.md.
IN_PROCESS = ["Without changing LMCache", "In place of LMCache's class"]
# The multiprocess server, in README.md, and whether LMCache's own launcher runs the plugins.
SERVER = {
    "LMCache's own launcher": True,
    "The bridge: nothing of LMCache is changed": False,
    "The class: in the place of LMCache's own": False,
    "The server as PROGRAM": False,
}


def check(readme: Path, quick: bool) -> bool:
    """Execute each block in a fresh directory, and look for what its plugin says."""
    details = readme.parent / "scripts" / "lmcache" / "README.md"
    jobs = [(title, block_of(details, title), follow) for title in IN_PROCESS]
    if not quick:
        jobs += [(title, block_of(readme, title), follow_server) for title in SERVER]
    return all([outcome(*job) for job in jobs])


def block_of(page: Path, title: str) -> str:
    """The first shell block below the heading of this title."""
    lines = iter(page.read_text().splitlines())
    for line in lines:
        if line.startswith("#") and line.lstrip("# ") == title:
            break
    block: list[str] = []
    for line in lines:
        if line == "```" or line.startswith("#") and not block:
            break
        if block or line == "```sh":
            block.append(line)
    return "\n".join(block[1:])


def outcome(title: str, block: str, follow_block) -> bool:
    """Follow one block, and say what came of it."""
    lines = len(block.splitlines())
    try:
        if not 0 < lines <= MAX_LINES:
            raise AssertionError(f"{lines} lines")
        with (
            tempfile.TemporaryDirectory(prefix="lmcache-readme-") as name,
            host() as one,
        ):
            one.plugin("all_hello.sh", PLUGIN)
            follow_block(one, Path(name), title, block)
            one.wait_until("nothing left", lambda: SERVER.get(title) or not one.left())
    except Exception as error:
        print(f"{title:42} FAILED: {error}")
        return False
    print(f"{title:42} {lines} lines, executed: the plugin's line is in the log")
    return True


def follow(one: Host, directory: Path, title: str, block: str) -> None:
    """Execute a block, and start a host of LMCache after it."""
    variables = installed(directory, Path(lmcache.__file__).parent)
    # What the block itself prints is not the host's.
    script = (
        f"set -eu\nexec 3>&1 >/dev/null\n{block}\n"
        'exec python3 "$HOST_SCRIPT" original >&3 3>&-\n'
    )
    variables["PYTHONPATH"] += f":{HOST.parent}"
    configuration = one.directory / "lmcache.yaml"
    command = ["sh", "-c", script]
    one.launch(command, configuration, HOST_SCRIPT=str(HOST), **variables)
    wait_for_hello(one, "WORKER", str(one.process.pid))
    one.tell("stop")
    one.process.wait()


def follow_server(one: Host, directory: Path, title: str, block: str) -> None:
    """Execute a block whose last command is a server, and stop that as a terminal does."""
    variables = installed(directory, releases()[0].package)
    one.spawn(["sh", "-euc", block], is_logged=True, **variables)
    one.wait_until("the server answers", lambda: healthy(one, 8080))
    # LMCache's own launcher does not say.
    wait_for_hello(one, "a server", "" if SERVER[title] else "[0-9]+")
    one.interrupt()
    one.process.wait(60)


def wait_for_hello(one: Host, whom: str, beside: str) -> None:
    """Wait for the plugin's line; `beside` is a regular expression."""
    line = rf"all_hello\.sh\] hello from {whom}, beside {beside}"
    one.wait_until(f"the line {line}", lambda: re.search(line, one.log()))


def installed(directory: Path, package: Path) -> dict[str, str]:
    """The variables of a user who has installed the launcher, and this LMCache."""
    programs = directory / "programs"
    programs.mkdir()
    python = Path(os.environ.get("LMCACHE_SERVER_PYTHON", sys.executable))
    (programs / "lmcache").symlink_to(python.with_name("lmcache"))
    (programs / "python3").symlink_to(sys.executable)
    prefix = os.environ.get("INSTALLED") or lay_out(directory / "prefix")
    # With a plugin directory of its own, for the block that replaces a file there.
    overlay(package, directory / "site")
    return {
        "PATH": f"{programs}:{prefix}/bin:{os.environ['PATH']}",
        "PYTHONPATH": str(directory / "site"),
        # As in a shell where nothing else has been set.
        "LMCACHE_PLUGIN_LAUNCHER_BIN": "",
        "LMCACHE_TRACK_USAGE": "false",
    }


def lay_out(prefix: Path) -> Path:
    """The launcher with all that comes with it, as wheel, archive and Debian package lay it."""
    share = prefix / "share" / "lmcache-plugin-launcher"
    share.mkdir(parents=True)
    for part in ("lmcache", "plugins", "container"):
        (share / part).symlink_to(ROOT / "scripts" / part)
    (prefix / "bin").mkdir()
    launcher = prefix / "bin" / "lmcache-plugin-launcher"
    launcher.symlink_to(os.environ["LAUNCHER"])
    return prefix
