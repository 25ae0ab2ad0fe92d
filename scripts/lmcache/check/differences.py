"""The differences on purpose: rows of the README's table, by their first column.

Each row's case is recognized from the files on disk and from what was asked for, never
from what a launcher did; and a difference counts as explained only if ours did what
the row says.
"""

from pathlib import Path
import os
import re
import shutil

from trees import Tree

# What the comparison can meet, and what shows in every plugin.
ROWS = [
    "short-name",
    "ascii-digits",
    "shebang-argument",
    "shebang-blank",
    "shebang-encoding",
    "no-bash",
    "any-program",
    "hidden",
    "once",
    "regular-files",
    "large-config",
    "package",
]
EVERYWHERE_ROWS = ["environment", "parent", "stdin"]

ADDED_VARIABLES = {
    b"LMCACHE_PLUGIN_PARENT_PID",
    b"LMCACHE_PLUGIN_LAUNCHER_BIN",
    b"LMCACHE_PLUGIN_LAUNCHER_LOCATIONS",
}


def rows_of_readme(readme: Path) -> set[str]:
    """The first columns of the README's tables that read like `a-row`."""
    text = readme.read_text() if readme.exists() else ""
    return set(re.findall(r"^\| *`([a-z0-9-]+)` *\|", text, re.MULTILINE))


def why_not_run(path: str, tree: Tree) -> str | None:
    """The row by which ours leaves out a file that LMCache runs under this path."""
    if any(part.startswith(".") for part in below_location(path, tree)):
        return "hidden"
    if not os.path.isfile(path):
        return "regular-files"
    if (
        re.fullmatch(r"__.+__\.py", Path(path).name.lower())
        and path not in tree.locations
    ):
        return "package"
    parts = Path(path).stem.lower().split("_")
    if tree.role is None:
        return None
    role = tree.role.lower()
    if len(parts) == 1 and parts[0] in {"scheduler", "worker"} - {role}:
        return "short-name"
    if len(parts) == 2 and parts[0] in ("all", role) and is_ascii_digits(parts[1]):
        return "short-name" if int(parts[1]) != tree.worker_id else None
    return None


def why_only_ours(path: str, tree: Tree) -> str | None:
    """The row by which ours runs a file that LMCache does not."""
    if tree.large_config:
        return "large-config"
    if not path.endswith((".py", ".sh")):
        return "any-program"
    parts = Path(path).stem.lower().split("_")
    if len(parts) > 2 and parts[1].isdigit() and not is_ascii_digits(parts[1]):
        return "ascii-digits"
    if path.endswith(".sh") and tree.programs == "no bash":
        return "no-bash"
    return None


def why_command(path: str, command: list[str], tree: Tree) -> str | None:
    """The row by which ours runs `path` with a command that is not LMCache's."""
    if command != contract_command(path, tree):
        return None
    head = Path(path).read_bytes()[:8192]
    first_line = head.split(b"\n")[0]
    if first_line.startswith(b"\xef\xbb\xbf"):
        return "shebang-encoding"
    if first_line.lstrip().startswith(b"#!") and first_line[:1] != b"#":
        return "shebang-blank"
    try:
        head.decode()
    except UnicodeDecodeError:
        return "shebang-encoding"
    if first_line.startswith(b"#!") and len(first_line[2:].split(None, 1)) > 1:
        return "shebang-argument"
    return None


def contract_command(path: str, tree: Tree) -> list[str]:
    """What the README promises to run for this file, with every program's full path."""
    programs = tree.path_variable()
    with open(path, "rb") as file:
        first_line = file.readline().removeprefix(b"\xef\xbb\xbf")
    if first_line.startswith(b"\x7fELF"):
        return [path]
    if first_line.startswith(b"#!"):
        words = os.fsdecode(first_line[2:]).strip().split(None, 1)
        found = shutil.which(words[0], path=programs) if words else None
        if found is not None:
            return [found, *words[1:], path]
    for program in fallbacks(path):
        found = shutil.which(program, path=programs)
        if found is not None:
            return [found, path]
    return []


def fallbacks(path: str) -> list[str]:
    """The interpreters of a file whose first line names none that exists."""
    if path.endswith(".py"):
        return ["python", "python3"]
    return ["bash", "sh"] if path.endswith(".sh") else []


def below_location(path: str, tree: Tree) -> tuple[str, ...]:
    """The parts of a path below the location that it was reached through."""
    for location in tree.locations:
        if os.path.isdir(location) and Path(path).is_relative_to(location):
            return Path(path).relative_to(location).parts
    return ()


def is_ascii_digits(text: str) -> bool:
    """Whether the naming rule takes this for a worker id."""
    return text.isascii() and text.isdigit()
