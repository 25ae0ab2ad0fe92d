"""Generated plugin trees: what an operator, a container image or a ConfigMap may hold.

Every plugin reports how it was run into $PARITY_REPORT/<its pid>/, and is a shell
script and a Python program at once, so that whichever interpreter a launcher
chooses, the report is the same.
"""

from dataclasses import dataclass, field
from pathlib import Path
from random import Random
import os
import shutil
import socket

REPORT = rb"""# -*- coding: latin-1 -*-
''':'
d=$PARITY_REPORT/$$
mkdir "$d"
cp /proc/$$/cmdline /proc/$$/environ "$d"
readlink /proc/$$/exe /proc/$$/cwd /proc/$$/fd/0 >"$d/links"
exit 0
'''
import os, shutil
d = "%s/%d" % (os.environ["PARITY_REPORT"], os.getpid())
os.mkdir(d)
for name in ("cmdline", "environ"):
    with open("/proc/self/" + name, "rb") as a, open(d + "/" + name, "wb") as b:
        b.write(a.read())
with open(d + "/links", "wb") as f:
    for name in ("exe", "cwd", "fd/0"):
        f.write(os.readlink(os.fsencode("/proc/self/" + name)) + b"\n")
"""

# First lines, by how often they are seen. @ stands for the tree's own programs.
PLAIN_FIRST_LINES = [
    (8, b""),
    (6, b"#!/bin/sh\n"),
    (4, b"#!/bin/bash\n"),
    (4, b"#!@/python3\n"),
    (2, b"#! /bin/sh\n"),
    (2, b"#!/no/such/interpreter\n"),
]
FIRST_LINES = [
    *PLAIN_FIRST_LINES,
    (6, b"#!/usr/bin/env python3\n"),
    (3, b"#!/usr/bin/env bash\n"),
    (2, b"#!/bin/bash -e\n"),
    (2, b"#!/usr/bin/env -S python3 -X utf8\n"),
    (2, b"#!@/python3 -u\n"),
    (2, b"#!python3\n"),
    (1, b"#!/opt/venv/bin/python\n"),
    (1, b"#!/bin/sh\t\n"),
    (1, b"#!/bin/sh\r\n"),
    (1, b"\xef\xbb\xbf#!/bin/sh\n"),
    (1, b"  #!/bin/sh\n"),
    (1, b"#!/bin/sh\n# caf\xe9\n"),
    (1, b"#!\n"),
    (1, b"# #!/bin/sh\n"),
]

ROLES = ["WORKER", "WORKER", "SCHEDULER", "worker", "scheduler", "MY", None]
WORKER_IDS = [0, 0, 1, 2, 3, -1]
FIRST_PARTS = [
    "scheduler", "worker", "all", "worker", "all", "WORKER", "Scheduler", "ALL",
    "my", "server", "heartbeat", "schedular", "x", "", "w-0", "all.v2", "r\u00f4le",
]  # fmt: skip
SECOND_PARTS = [
    "0", "1", "2", "00", "01", "3", "-1", "0x", "plugin", "foo", "test", "a b", "",
    "99999999999999999999999", "\u0663", "\u00b2", "it's", "1.5", "0.tar",
]  # fmt: skip
PLAIN_SUFFIXES = [".sh", ".py"]
ODD_SUFFIXES = [".pl", ".rb", "", ".SH", ".sh.bak", ".py~", ".disabled", ".pyc", ".txt"]
PLAIN_DIRECTORIES = ["", "", "", "", "a", "a", "a/b", "metrics", "with space"]
ODD_DIRECTORIES = [".hidden", "odd.sh"]

# What PATH offers: everything, no `python`, no `bash`.
PROGRAMS = {
    "all": ["python", "python3", "bash"],
    "python3 alone": ["python3", "bash"],
    "no bash": ["python", "python3"],
}


@dataclass
class Tree:
    """One comparison: files on disk, and what both launchers are told about them."""

    number: int
    root: Path
    role: str | None = "WORKER"
    worker_id: int = 0
    worker_count: int = 4
    programs: str = "all"
    locations: list[str] = field(default_factory=list)
    large_config: bool = False

    def __str__(self) -> str:
        return (
            f"tree {self.number}: role {self.role}, worker {self.worker_id}, "
            f"PATH with {self.programs}, locations {self.locations}"
        )

    @property
    def plugins(self) -> Path:
        """The directory that the locations are in."""
        return self.root / "plugins"

    def path_variable(self) -> str:
        """The value of PATH for both launchers."""
        return str(self.root.parent / "programs" / self.programs)

    def write(self, name: str, first_line: bytes = b"", mode: int = 0o644) -> Path:
        """Write one plugin, and return its path."""
        path = self.plugins / name
        path.parent.mkdir(parents=True, exist_ok=True)
        first_line = first_line.replace(b"@", os.fsencode(self.path_variable()))
        path.write_bytes(first_line + REPORT)
        path.chmod(mode)
        return path

    def link(self, name: str, target: str) -> None:
        """Write a symbolic link."""
        path = self.plugins / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)


def make_programs(directory: Path) -> None:
    """Directories for PATH, of links to the programs that plugins and launchers use."""
    for name, interpreters in PROGRAMS.items():
        (directory / name).mkdir(parents=True)
        for program in ["sh", "env", "cp", "mkdir", "readlink", *interpreters]:
            found = shutil.which("python3" if program == "python" else program)
            if found is None:
                raise SystemExit(f"check-lmcache: needs {program} in PATH")
            (directory / name / program).symlink_to(os.path.realpath(found))


def generate(directory: Path, number: int, seed: int) -> Tree:
    """Tree `number` of this seed. The first ones are made by hand, a case each."""
    tree = Tree(number, directory / f"tree-{number}")
    tree.plugins.mkdir(parents=True)
    if number < len(BY_HAND):
        BY_HAND[number](tree)
        tree.locations = tree.locations or [str(tree.plugins)]
        return tree

    random = Random(f"{seed}/{number}")
    tree.role = random.choice(ROLES)
    tree.worker_id = random.choice(WORKER_IDS)
    tree.worker_count = random.choice([1, 2, 8])
    tree.programs = random.choices(list(PROGRAMS), [8, 2, 1])[0]
    tree.large_config = random.random() < 0.02
    suffixes, directories, first_lines = (
        PLAIN_SUFFIXES,
        PLAIN_DIRECTORIES,
        PLAIN_FIRST_LINES,
    )
    if random.random() < 0.4:
        suffixes = PLAIN_SUFFIXES * 5 + ODD_SUFFIXES
        directories = PLAIN_DIRECTORIES + ODD_DIRECTORIES
        first_lines = FIRST_LINES
    weights, lines = zip(*first_lines)
    for _ in range(random.randint(2, 9)):
        parts = [random.choice(FIRST_PARTS)]
        for options in (SECOND_PARTS, SECOND_PARTS):
            if random.random() < 0.6:
                parts.append(random.choice(options))
        name = os.path.join(
            random.choice(directories), "_".join(parts) + random.choice(suffixes)
        )
        if not os.path.lexists(tree.plugins / name) and parts != [""]:
            mode = random.choice([0o644, 0o755, 0o600])
            tree.write(name, random.choices(lines, weights)[0], mode)

    files = sorted(path for path in tree.plugins.rglob("*") if path.is_file())
    if files and random.random() < 0.15:
        suffix = random.choice([".sh", ".py", ""])
        tree.link(f"all_link{suffix}", str(random.choice(files)))
    if random.random() < 0.05:
        tree.link("all_dangling.sh", "nowhere")
    if random.random() < 0.05:
        tree.link("linked_directory", "a")
    tree.locations = random_locations(tree, files, random)
    return tree


def random_locations(tree: Tree, files: list[Path], random: Random) -> list[str]:
    """The ways in which people name locations."""
    base = str(tree.plugins)
    if random.random() < 0.2:
        # Both launchers run in the tree's root.
        base = random.choice(["plugins", "./plugins", "plugins/"])
    inside = [os.path.join(base, path.relative_to(tree.plugins)) for path in files]
    shape = random.random()
    if shape < 0.6 or not inside:
        return [base]
    if shape < 0.7:
        return [random.choice(inside)]
    if shape < 0.8:
        return [base, random.choice(inside)]
    if shape < 0.85:
        return [base, base]
    if shape < 0.9:
        return [str(tree.root / "missing"), base]
    return random.sample(inside, min(len(inside), 3))


def documented_names(tree: Tree) -> None:
    """The names in LMCache's documentation."""
    tree.write("scheduler_foo_plugin.py")
    tree.write("worker_0_test.sh")
    tree.write("worker_1_test.sh")
    tree.write("all_plugin.sh")


def short_names(tree: Tree) -> None:
    """Scopes without a description."""
    for name in ("worker_0.sh", "worker_1.sh", "scheduler.py", "worker.py", "all.sh"):
        tree.write(name)


def shebang_arguments(tree: Tree) -> None:
    """First lines with an argument."""
    tree.write("all_a.sh", b"#!/bin/bash -e\n")
    tree.write("all_b.py", b"#!/usr/bin/env -S python3 -X utf8\n")


def other_programs(tree: Tree) -> None:
    """Programs that are neither Python nor shell by name."""
    tree.write("all_collector.pl", b"#!/bin/sh\n")
    tree.write("all_heartbeat", b"#!/bin/sh\n", 0o755)
    shutil.copy(shutil.which("true") or "/bin/true", tree.plugins / "all_binary")


def config_map(tree: Tree) -> None:
    """A directory as Kubernetes mounts a ConfigMap."""
    tree.write("..2026_11_22/all_plugin.sh", b"#!/bin/sh\n")
    tree.write("..2026_11_22/worker_0_x.py")
    tree.link("..data", "..2026_11_22")
    tree.link("all_plugin.sh", "..data/all_plugin.sh")
    tree.link("worker_0_x.py", "..data/worker_0_x.py")


def listed_twice(tree: Tree) -> None:
    """Overlapping locations."""
    plugin = tree.write("all_plugin.sh", b"#!/bin/sh\n")
    tree.locations = [str(tree.plugins), str(tree.plugins), str(plugin)]


def not_files(tree: Tree) -> None:
    """Names of plugins on things that are none."""
    tree.write("directory.sh/all_inner.sh")
    tree.link("all_dangling.sh", "nowhere")
    with socket.socket(socket.AF_UNIX) as listener:
        # A path that is too long for a socket address is reached through /proc.
        directory = os.open(tree.plugins, os.O_PATH)
        listener.bind(f"/proc/self/fd/{directory}/all_socket.sh")
        os.close(directory)


def odd_first_lines(tree: Tree) -> None:
    """First lines that LMCache and the kernel read differently."""
    tree.write("all_bom.sh", b"\xef\xbb\xbf#!/bin/sh\n")
    tree.write("all_blank.sh", b"  #!/bin/sh\n")
    tree.write("all_latin.sh", b"#!/bin/sh\n# caf\xe9\n")


def foreign_digits(tree: Tree) -> None:
    """Digits that are not ASCII."""
    tree.write("worker_\u0663_x.sh")
    tree.write("worker_\u00b2_x.sh")


def no_bash(tree: Tree) -> None:
    """A slim image without bash."""
    tree.programs = "no bash"
    tree.write("all_plugin.sh")


def large_config(tree: Tree) -> None:
    """A configuration that fits only without its indentation."""
    tree.large_config = True
    tree.write("all_plugin.sh")


def multiprocess_server(tree: Tree) -> None:
    """No role: every plugin runs."""
    tree.role = None
    for name in ("scheduler_x.sh", "worker_7_y.py", "my_tool.py", "worker_3.sh"):
        tree.write(name)


def python_package(tree: Tree) -> None:
    """A package beside the plugins, where every plugin runs."""
    tree.role = None
    tree.write("all_x.py")
    tree.write("lib/__init__.py")
    tree.write("lib/__main__.py")


BY_HAND = [
    documented_names,
    short_names,
    shebang_arguments,
    other_programs,
    config_map,
    listed_twice,
    not_files,
    odd_first_lines,
    foreign_digits,
    no_bash,
    large_config,
    multiprocess_server,
    python_package,
]
