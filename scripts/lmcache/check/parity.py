"""Both launchers over the same trees: which files run, how, and in what environment."""

from collections import Counter
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
import json
import logging
import os
import shutil
import tempfile
import threading

from classes import BRIDGE, drop_in, original
from differences import (
    ADDED_VARIABLES,
    EVERYWHERE_ROWS,
    ROWS,
    why_command,
    why_not_run,
    why_only_ours,
)
from lmcache.v1.config import LMCacheEngineConfig
from trees import Tree, generate, make_programs

DEADLINE_SECONDS = 120.0
# The bridge runs the same program; every so many trees it is compared with the drop-in.
BRIDGE_EVERY = 5


@dataclass
class Run:
    """One plugin as a launcher started it, and as it found itself started."""

    path: str
    command: list[str]
    cmdline: list[bytes] = field(default_factory=list)
    exe: bytes = b""
    cwd: bytes = b""
    stdin: bytes = b""
    environment: dict[bytes, bytes] = field(default_factory=dict)


@dataclass
class Verdict:
    """What the comparison of one tree came to."""

    tree: str
    explained: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)
    plugins: int = 0
    bridged: bool = False


def compare(count: int, seed: int, readme_rows: set[str]) -> bool:
    """Compare `count` trees, print the result, and say whether all is explained."""
    with tempfile.TemporaryDirectory(prefix="lmcache-parity-") as name:
        make_programs(Path(name) / "programs")
        jobs = [(Path(name), number, seed, readme_rows) for number in range(count)]
        # Processes, not threads: PATH and the directory belong to the process.
        with get_context("fork").Pool(os.cpu_count()) as pool:
            verdicts = list(pool.imap_unordered(judge_job, jobs, chunksize=4))

    rows: Counter[str] = Counter()
    for verdict in verdicts:
        rows += verdict.explained
        for text in verdict.unexplained:
            print(f"unexplained: {verdict.tree}\n    {text}")
    noticed = control(seed)
    unexplained = sum(1 for verdict in verdicts if verdict.unexplained)
    explained = sum(1 for v in verdicts if v.explained and not v.unexplained)
    identical = count - unexplained - explained
    print(f"plugins run by LMCache: {sum(v.plugins for v in verdicts)}")
    print(f"trees run through the bridge as well: {sum(v.bridged for v in verdicts)}")
    print("rows met: " + ", ".join(f"{row} {n}" for row, n in rows.most_common()))
    unmet = [row for row in ROWS if row not in rows]
    missing = [row for row in ROWS + EVERYWHERE_ROWS if row not in readme_rows]
    if unmet:
        print(f"rows that no tree met: {', '.join(unmet)}")
    if missing:
        print(f"rows that the table of differences lacks: {', '.join(missing)}")
    if unexplained:
        print(f"to repeat: scripts/check-lmcache --seed {seed}")
    print(
        f"compared {count} trees, identical {identical}, "
        f"explained {explained}, unexplained {unexplained}"
    )
    return noticed and not (unexplained or unmet or missing)


def judge_job(job: tuple[Path, int, int, set[str]]) -> Verdict:
    """Generate one tree, run it both ways, and judge; in a process of its own."""
    directory, number, seed, readme_rows = job
    logging.disable(logging.CRITICAL)
    tree = generate(directory, number, seed)
    os.environ["PATH"] = tree.path_variable()
    os.chdir(tree.root)
    config = LMCacheEngineConfig.from_defaults(
        runtime_plugin_locations=tree.locations,
        extra_config={"numbers": list(range(15_000 if tree.large_config else 3))},
    )
    theirs = run_original(tree, config)
    ours = run_drop_in(tree, config)
    verdict = judge(tree, theirs, ours, config.to_json(), readme_rows)
    # With too large a configuration LMCache starts no plugin, so no bridge either.
    if number % BRIDGE_EVERY == 0 and not tree.large_config:
        verdict.bridged = True
        if shared(run_bridge(tree)) != shared(ours):
            verdict.unexplained.append("the bridge does not run what the drop-in runs")
    shutil.rmtree(tree.root)
    return verdict


def control(seed: int) -> bool:
    """Whether the comparison notices a launcher that is told another worker id."""
    run_as_told = globals()["run_drop_in"]
    globals()["run_drop_in"] = lambda tree, config: run_as_told(
        replace(tree, worker_id=tree.worker_id + 1), config
    )
    try:
        with tempfile.TemporaryDirectory(prefix="lmcache-control-") as name:
            make_programs(Path(name) / "programs")
            with get_context("fork").Pool(1) as pool:
                job = (Path(name), 0, seed, set(ROWS))
                verdict = pool.apply(judge_job, (job,))
    finally:
        globals()["run_drop_in"] = run_as_told
    found = len(verdict.unexplained)
    print(
        f"control: a launcher with another worker id: {found} unexplained differences"
    )
    return found > 0


def run_original(tree: Tree, config: LMCacheEngineConfig) -> list[Run]:
    """Run the tree with LMCache's own class."""
    reports = start_reports(tree, "theirs")
    launcher = original.RuntimePluginLauncher(
        config, tree.role, tree.worker_count, tree.worker_id
    )
    launcher.launch_plugins()
    runs = []
    for process in launcher.plugin_processes:
        process.wait(DEADLINE_SECONDS)
        interpreter, path = process.args
        runs.append(read_report(Run(path, [interpreter, path]), reports, process.pid))
    return runs


def run_drop_in(tree: Tree, config: LMCacheEngineConfig) -> list[Run]:
    """Run the tree with the drop-in class; the launcher ends when its plugins have."""
    reports = start_reports(tree, "ours")
    records: list[dict] = []
    describe = drop_in._describe

    def keep(record: dict, stopping: bool) -> tuple[int, str]:
        records.append(record)
        return describe(record, stopping)

    drop_in._describe = keep
    try:
        launcher = drop_in.RuntimePluginLauncher(
            config, tree.role, tree.worker_count, tree.worker_id
        )
        launcher.launch_plugins()
        for process in launcher.plugin_processes:
            process.wait(DEADLINE_SECONDS)
        for thread in threading.enumerate():
            if thread.name == "runtime-plugin-output":
                thread.join(DEADLINE_SECONDS)
    finally:
        drop_in._describe = describe
    return [
        read_report(
            Run(record["command"][-1], record["command"]), reports, record["pid"]
        )
        for record in records
        if record["event"] == "started"
    ]


def run_bridge(tree: Tree) -> list[Run]:
    """Run the tree with LMCache's own class and the bridge as its only plugin."""
    reports = start_reports(tree, "bridge")
    locations = [str(Path(location)) for location in tree.locations]
    os.environ["LMCACHE_LAUNCHER_LOCATIONS"] = json.dumps(locations)
    config = LMCacheEngineConfig.from_defaults(runtime_plugin_locations=[str(BRIDGE)])
    launcher = original.RuntimePluginLauncher(
        config, tree.role, tree.worker_count, tree.worker_id
    )
    launcher.launch_plugins()
    launcher.plugin_processes[0].wait(DEADLINE_SECONDS)
    del os.environ["LMCACHE_LAUNCHER_LOCATIONS"]
    return [
        read_report(Run("", []), reports, int(report.name))
        for report in reports.iterdir()
    ]


def shared(runs: list[Run]) -> list[tuple]:
    """What the bridge and the drop-in have in common, of reported runs."""
    return sorted(
        (run.cmdline, run.exe, run.cwd, run.stdin, identity(run.environment))
        for run in runs
        if run.cmdline
    )


def identity(environment: dict[bytes, bytes]) -> list[bytes]:
    """The role, the worker id and the worker count in both spellings."""
    return [
        environment.get(prefix + name, b"missing")
        for prefix in (b"LMCACHE_PLUGIN_", b"LMCACHE_RUNTIME_PLUGIN_")
        for name in (b"ROLE", b"WORKER_ID", b"WORKER_COUNT")
    ]


def start_reports(tree: Tree, name: str) -> Path:
    """An empty directory that the plugins report to."""
    reports = tree.root / name
    reports.mkdir()
    os.environ["PARITY_REPORT"] = str(reports)
    return reports


def read_report(run: Run, reports: Path, pid: int) -> Run:
    """Add what the plugin itself saw. A program that reports nothing has none."""
    report = reports / str(pid)
    if (report / "links").exists():
        run.cmdline = (report / "cmdline").read_bytes().split(b"\0")[:-1]
        run.exe, run.cwd, run.stdin = (report / "links").read_bytes().splitlines()
        variables = (report / "environ").read_bytes().split(b"\0")[:-1]
        run.environment = dict(v.split(b"=", 1) for v in variables)
        del run.environment[b"PARITY_REPORT"]
    return run


def judge(
    tree: Tree, theirs: list[Run], ours: list[Run], config: str, rows: set[str]
) -> Verdict:
    """Compare the runs of each real file, and find the row of each difference."""
    verdict = Verdict(str(tree), plugins=len(theirs))

    def differ(row: str | None, text: str) -> None:
        if row in rows:
            verdict.explained[row] += 1
        else:
            verdict.unexplained.append(text + (f" (row {row})" if row else ""))

    by_file: dict[str, tuple[list[Run], list[Run]]] = {}
    for side, runs in enumerate((theirs, ours)):
        for run in runs:
            real = os.path.realpath(run.path)
            by_file.setdefault(real, ([], []))[side].append(run)

    for their_runs, our_runs in by_file.values():
        if len(our_runs) > 1:
            differ(None, f"ours runs {our_runs[0].path} {len(our_runs)} times")
        elif not our_runs:
            for run in their_runs:
                row = why_not_run(run.path, tree)
                differ(row, f"LMCache alone runs {run.command}")
        elif not their_runs:
            run = our_runs[0]
            differ(why_only_ours(run.path, tree), f"ours alone runs {run.command}")
        else:
            for extra in surplus(their_runs, our_runs[0]):
                row = why_not_run(extra.path, tree) or "once"
                differ(row, f"LMCache also runs {extra.command}")
            compare_runs(tree, their_runs, our_runs[0], differ)
        for run in our_runs:
            for problem in problems_of(run, config):
                differ(None, f"{run.path}: {problem}")
    return verdict


def surplus(theirs: list[Run], ours: Run) -> list[Run]:
    """LMCache's runs of one file but for the one that corresponds to ours."""
    match = next((run for run in theirs if run.path == ours.path), theirs[0])
    return [run for run in theirs if run is not match]


def compare_runs(tree: Tree, their_runs: list[Run], ours: Run, differ) -> None:
    """Compare command, process and environment of one file that both ran."""
    theirs = next((run for run in their_runs if run.path == ours.path), None)
    if theirs is None:
        # The path is part of what a plugin sees, unless another row chose it.
        theirs = their_runs[0]
        if os.path.normpath(theirs.path) == os.path.normpath(ours.path):
            differ(None, f"ours passes the path {ours.path}, LMCache {theirs.path}")
            return
    if resolved(ours.command) != theirs.command and theirs.path == ours.path:
        row = why_command(ours.path, resolved(ours.command), tree)
        differ(row, f"LMCache runs {theirs.command}, ours {ours.command}")
    elif theirs.path == ours.path and seen_command(theirs) != seen_command(ours):
        differ(None, f"LMCache: {seen_command(theirs)}, ours: {seen_command(ours)}")
    if not theirs.cmdline or not ours.cmdline:
        return
    if theirs.cwd != ours.cwd:
        differ(None, f"LMCache runs it in {theirs.cwd!r}, ours in {ours.cwd!r}")
    for name in (theirs.environment.keys() | ours.environment.keys()) - ADDED_VARIABLES:
        if theirs.environment.get(name) != ours.environment.get(name):
            differ(None, f"{ours.path}: the environment differs in {name!r}")


def seen_command(run: Run) -> tuple[bytes, list[bytes]]:
    """The program and the arguments that a plugin found itself run with."""
    return run.exe, run.cmdline


def problems_of(run: Run, config: str) -> list[str]:
    """What every plugin of ours has to find, beyond what LMCache gives it."""
    if not run.cmdline:
        return []
    problems = []
    if run.stdin != b"/dev/null":
        problems.append(f"standard input is {run.stdin!r}")
    if ADDED_VARIABLES - run.environment.keys():
        problems.append("a variable of the launcher's own is missing")
    if run.environment.get(b"LMCACHE_PLUGIN_PARENT_PID") != b"%d" % os.getpid():
        problems.append("LMCACHE_PLUGIN_PARENT_PID is not the host")
    for name in (b"LMCACHE_PLUGIN_CONFIG", b"LMCACHE_RUNTIME_PLUGIN_CONFIG"):
        given = os.fsdecode(run.environment.get(name, b"null"))
        if json.loads(given) != json.loads(config):
            problems.append(f"{name!r} is not LMCache's configuration")
    return problems


def resolved(command: list[str]) -> list[str]:
    """A command with its program's full path."""
    return [shutil.which(command[0]) or command[0], *command[1:]]
