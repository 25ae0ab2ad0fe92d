"""Locations and extra_config, resolved by the real LMCacheEngineConfig and by ours.

Generated environments and files: what people, templates and container runtimes make of
them. Ours has to take the same, or to refuse what LMCache fails at; any other difference
has to be a row of the table. Paths that are named do not exist, so that `list` tells
them all, in order; what plugins receive is what a plugin prints.
"""

from dataclasses import dataclass
from pathlib import Path
from random import Random
import json
import os
import subprocess
import tempfile

from lmcache.v1.config import LMCacheEngineConfig
import yaml

NEWER, OLDER = "LMCACHE_RUNTIME_PLUGIN_LOCATIONS", "LMCACHE_PLUGIN_LOCATIONS"
EXTRA = "LMCACHE_EXTRA_CONFIG"

# The differences on purpose that the comparison can meet.
ROWS = ["array", "empty-item", "escapes", "extra-config", "malformed"]

PATHS = ["/no/a", "no/b", "no c", "no/\u00e9", "[no", "~/no", "$NO/x", "-no"]
VARIABLES = [
    *PATHS,
    "",
    " ",
    '""',
    "''",
    '"',
    " /no/a\t",
    '"/no/a"',
    "'/no/a'",
    ' " /no/a " ',
    '""/no/a""',
    "\"/no/a'",
    '"/no/a\\tb"',
    '["/no/a"]',
    '["/no/a", "no/b"]',
    '"["/no/a"]"',
    "[",
    "null",
    "[]",
    "\u00a0/no/a\u3000",
]
LOCATIONS = [
    "/no/a",
    "no/b",
    ["/no/a"],
    ["/no/a", "no/b"],
    '["/no/a"]',
    " /no/a ",
    [],
    "",
    None,
    False,
    {},
    0,
    0.0,
    True,
    5,
    {"a": 1},
    [5],
    [["/no/a"]],
    [None],
    [""],
    ["/no/a", ""],
]
OBJECTS = [{}, {"a": 1}, {"a": {"b": [1, "x"]}, "plugin.x.port": 80}]
EXTRAS = [
    *OBJECTS,
    *[json.dumps(value) for value in OBJECTS],
    "",
    " ",
    "null",
    "{oops",
    "[1]",
    "[]",
    "5",
    "false",
    None,
    False,
    True,
    [],
    ["a"],
    5,
    0,
]
EXTRA_VARIABLES = [
    *[json.dumps(value) for value in OBJECTS],
    *[f"'{json.dumps(value)}'" for value in OBJECTS],
    ' {"a": 2} ',
    '"{\\"a\\": 2}"',
    "",
    " ",
    "''",
    "null",
    "{oops",
    "[1]",
    "0",
    "7",
    '{"a": NaN}',
    '{"a": 1, "a": 2}',
]


# A plugin that prints what it was given.
PRINT = '#!/bin/sh\nprintf "%s\\n" "$LMCACHE_PLUGIN_CONFIG"\n'

# Locations and extra_config, or the error.
Result = tuple[list[str], object] | str


@dataclass
class Case:
    """One environment, and a file where there is one."""

    environment: dict[str, str]
    members: list[tuple[str, object]] | None

    def __str__(self) -> str:
        return f"{self.environment} with the file {self.members}"

    def text(self) -> str:
        """The file: JSON is YAML, and keeps the order of the members."""
        lines = [f"{key}: {json.dumps(value)}\n" for key, value in self.members or []]
        return "".join(lines)


def generate(random: Random) -> Case:
    """A case with a few of everything."""
    environment = {}
    for name, values in ((NEWER, VARIABLES), (OLDER, VARIABLES), (EXTRA, EXTRA_VARIABLES)):
        if random.random() < 0.3:
            environment[name] = random.choice(values)
    members: list[tuple[str, object]] | None = None
    if random.random() < 0.9:
        members = [("chunk_size", 256)]
        for key in ("runtime_plugin_locations", "plugin_locations"):
            if random.random() < 0.5:
                members.append((key, random.choice(LOCATIONS)))
        if random.random() < 0.5:
            members.append(("extra_config", random.choice(EXTRAS)))
        random.shuffle(members)
    return Case(environment, members)


def theirs(case: Case, path: Path) -> Result:
    """What LMCache takes, or why it fails, as at its own start."""
    for name in (NEWER, OLDER, EXTRA):
        os.environ.pop(name, None)
    os.environ.update(case.environment)
    try:
        if case.members is None:
            config = LMCacheEngineConfig.from_env()
            config.validate()
        else:
            config = LMCacheEngineConfig.from_file(str(path))
            config.update_config_from_env()
        locations = config.runtime_plugin_locations or []
        for location in locations:
            Path(location)
        return list(locations), config.extra_config
    except Exception as error:  # noqa: BLE001: whatever it is, LMCache does not start
        return f"{type(error).__name__}: {error}"
    finally:
        for name in (NEWER, OLDER, EXTRA):
            os.environ.pop(name, None)


def launcher(case: Case, path: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run ours in the environment of the case."""
    file = [] if case.members is None else ["--config", str(path)]
    return subprocess.run(
        [os.environ["LAUNCHER"], *arguments, *file],
        env={"PATH": os.environ["PATH"], **case.environment},
        cwd=path.parent,
        capture_output=True,
        text=True,
    )


def ours(case: Case, path: Path) -> Result:
    """What ours takes, or its message."""
    done = launcher(case, path, "list", "--format", "json")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    locations = [record["location"] for record in records]
    if done.returncode != 0 and "no plugin locations" not in done.stderr:
        return done.stderr.strip()
    done = launcher(case, path, "run", "--quiet", "--format", "json", "print.sh")
    outputs = [json.loads(line) for line in done.stdout.splitlines()]
    given = [record["message"] for record in outputs if record["event"] == "output"]
    return locations, json.loads(given[0]).get("extra_config")


def why(case: Case, path: Path, they: Result, we: Result) -> str | None:
    """The row by which both may differ, if ours does what the row says."""
    name = OLDER if OLDER in case.environment else NEWER
    text = unquoted(case.environment.get(name, ""))
    extra = case.environment.get(EXTRA, "")
    if isinstance(we, str):
        if f"{name}, offset" in we and text.startswith("["):
            return "array"
        if f"{EXTRA}, offset" in we:
            return "escapes" if "\\" in extra else "extra-config"
        if "is empty: write a path" in we:
            return "empty-item"
        if "`extra_config`, offset" in we:
            return "extra-config"
        # A variable comes before the file, which is judged all the same.
        is_judged = "lmcache.yaml:" in we and "_locations` wants" in we
        return "malformed" if is_judged and name in case.environment else None
    if isinstance(they, str):
        # LMCache does not start with an `extra_config` of another type; `check` says so.
        said = launcher(case, path, "check", "/no").stdout
        return "extra-config" if "with which LMCache fails at start" in said else None
    if text.startswith("[") and we[0] == json.loads(text):
        return "array"
    if "\\" in text and we[0] == [text]:
        return "escapes"
    return None


def unquoted(text: str) -> str:
    """Without the blanks and the one pair of quotes around."""
    text = text.strip()
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if is_quoted else text


def same(they: tuple[list[str], object], we: tuple[list[str], object]) -> bool:
    """Equal, where every kind of nothing is one."""
    return they[0] == we[0] and (they[1] or None) == (we[1] or None)


def check(count: int, seed: int, rows: set[str]) -> bool:
    """Compare so many cases; every row that explains a difference has to be there."""
    good = True
    used: dict[str, int] = {}
    equal = refused = 0
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "lmcache.yaml"
        path.with_name("print.sh").write_text(PRINT)
        for number in range(count):
            case = generate(Random(f"resolution/{seed}/{number}"))
            path.write_text(case.text())
            assert case.members is None or dict(case.members) == yaml.safe_load(case.text())
            they, we = theirs(case, path), ours(case, path)
            if isinstance(they, str) and isinstance(we, str):
                refused += 1
            elif not isinstance(they, str) and not isinstance(we, str) and same(they, we):
                equal += 1
            elif (row := why(case, path, they, we)) is None or row not in rows:
                print(f"  case {number} (seed {seed}): {case}\n    LMCache: {they}\n    ours: {we}\n    row: {row}")
                good = False
            else:
                used[row] = used.get(row, 0) + 1
    explained = ", ".join(f"{row} {times}" for row, times in sorted(used.items()))
    print(f"  {count} cases: {equal} the same, {refused} refused by both; by row: {explained}")
    return good
