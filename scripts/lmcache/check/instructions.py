"""The README's instructions under "With LMCache", executed as they are written."""

from pathlib import Path
import os
import shutil
import sys
import tempfile

from hosts import HOST, host
import lmcache

ROOT = Path(__file__).resolve().parents[3]
MAX_LINES = 10
PLUGIN = """#!/bin/sh
echo "hello from $LMCACHE_RUNTIME_PLUGIN_ROLE, beside $LMCACHE_PLUGIN_PARENT_PID"
exec sleep 1000
"""


def check(readme: Path) -> bool:
    """Execute each block in a fresh directory, and start a host with what it made."""
    blocks = blocks_of(readme)
    if len(blocks) != 2:
        print(f"FAILED: two blocks expected under `## With LMCache`, not {len(blocks)}")
        return False
    return all([follow(title, block) for title, block in blocks])


def blocks_of(readme: Path) -> list[tuple[str, str]]:
    """Title and text of the shell blocks in the section's subsections."""
    blocks: list[tuple[str, list[str]]] = []
    section = title = ""
    is_inside = False
    for line in readme.read_text().splitlines() if readme.exists() else []:
        if is_inside:
            is_inside = line != "```"
            if is_inside:
                blocks[-1][1].append(line)
        elif line.startswith("## "):
            section = line
        elif line.startswith("### "):
            title = line.removeprefix("### ")
        elif line == "```sh" and section == "## With LMCache":
            blocks.append((title, []))
            is_inside = True
    return [(title, "\n".join(lines)) for title, lines in blocks]


def overlay(source: Path, target: Path, copied: tuple[str, ...]) -> None:
    """Link all of `source` into `target`, but for one directory, which is copied."""
    if not copied:
        shutil.copytree(source, target)
        return
    target.mkdir(parents=True)
    for entry in source.iterdir():
        if entry.name == copied[0]:
            overlay(entry, target / entry.name, copied[1:])
        else:
            (target / entry.name).symlink_to(entry)


def follow(title: str, block: str) -> bool:
    """Execute one block, start a host after it, and wait for a plugin's line."""
    lines = len(block.splitlines())
    try:
        if lines > MAX_LINES:
            raise AssertionError(f"{lines} lines")
        with (
            tempfile.TemporaryDirectory(prefix="lmcache-readme-") as name,
            host() as one,
        ):
            directory = Path(name)
            (one.directory / "scripts").symlink_to(ROOT / "scripts")
            # LMCache's package with a plugin directory of its own, for the block that
            # replaces a file there.
            package = directory / "site" / "lmcache"
            overlay(Path(lmcache.__file__).parent, package, ("v1", "plugin"))
            programs = directory / "programs"
            programs.mkdir()
            (programs / "lmcache-plugin-launcher").symlink_to(os.environ["LAUNCHER"])
            (programs / "python3").symlink_to(sys.executable)
            # What the block itself prints is not the host's.
            script = (
                f"set -eu\nexec 3>&1 >/dev/null\n{block}\n"
                'exec "$HOST_PYTHON" "$HOST_SCRIPT" original >&3 3>&-\n'
            )
            (one.directory / "plugins" / "all_hello.sh").write_text(PLUGIN)
            one.launch(
                ["sh", "-c", script],
                one.directory / "lmcache.yaml",
                PATH=f"{programs}:{os.environ['PATH']}",
                PYTHONPATH=f"{package.parent}:{HOST.parent}",
                HOST_PYTHON=sys.executable,
                HOST_SCRIPT=str(HOST),
                # As in a shell where nothing else has been set.
                LMCACHE_PLUGIN_LAUNCHER_BIN="",
            )
            line = f"[all_hello.sh] hello from WORKER, beside {one.process.pid}"
            one.wait_until(f"the line {line}", lambda: line in one.log())
            one.tell("stop")
            one.process.wait()
            one.wait_until("nothing left", lambda: not one.left())
    except Exception as error:
        print(f"{title:34} FAILED: {error}")
        return False
    print(f"{title:34} {lines} lines, executed: the plugin's line is in LMCache's log")
    return True
