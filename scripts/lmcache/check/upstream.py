"""LMCache's own tests of its launcher, as its source has them, with our class in the place of its own."""

from pathlib import Path
from xml.etree import ElementTree
import os
import subprocess
import tarfile
import tempfile

from packages import with_class
from server import releases

TESTS = [
    "tests/v1/plugin/test_runtime_plugin_launcher.py",
    "tests/v1/multiprocess/test_mp_runtime_plugin_launcher.py",
    "tests/v1/multiprocess/test_http_server.py",
    "tests/v1/test_manager.py",
]
ONE_PROCESS = (
    "wants a Popen of `INTERPRETER FILE` for each plugin; ours is one launcher"
)
WHOLE_LINE = (
    "wants shutil.which called with the whole first line, which loses its argument"
)
# These are about how LMCache's class does it, and ours does it in another way.
NOT_OURS = {
    "test_launch_plugins_python_file": ONE_PROCESS,
    "test_launch_plugins_role_filtering": ONE_PROCESS,
    "test_launch_plugins_worker_id_filtering": ONE_PROCESS,
    "test_get_interpreter_python": WHOLE_LINE,
    "test_get_interpreter_bash": WHOLE_LINE,
    "test_get_interpreter_no_shebang": WHOLE_LINE,
}


def check() -> bool:
    """Run them with LMCache's class, as a control, and with ours."""
    release = releases()[0]
    with tempfile.TemporaryDirectory(prefix="lmcache-tests-") as name:
        directory = Path(name)
        with tarfile.open(os.environ["LMCACHE_SOURCE"]) as source:
            members = [one for one in source if one.name.partition("/")[2] in TESTS]
            source.extractall(directory, members, filter="data")
        (root,) = directory.glob("lmcache-*")
        theirs = run(root, release.site)
        ours = run(root, with_class(release.package, directory / "site"))
    for label, (passed, failed) in (("LMCache's class", theirs), ("ours", ours)):
        print(f"{label:16} {passed} passed, {len(failed)} failed")
    for test in sorted(ours[1]):
        print(f"    {test}: {NOT_OURS.get(test, 'FAILED')}")
    return not theirs[1] and ours[1] == NOT_OURS.keys() and ours[0] > 0


def run(root: Path, site: Path) -> tuple[int, set[str]]:
    """How many tests pass with the LMCache of this directory, and which do not."""
    report = root / "report.xml"
    subprocess.run(
        [
            os.environ["LMCACHE_SERVER_PYTHON"],
            "-m",
            "pytest",
            # The conftest of all tests is for machines with a GPU.
            "--noconftest",
            "--import-mode=importlib",
            "-p",
            "no:cacheprovider",
            f"--junitxml={report}",
            *TESTS,
        ],
        cwd=root,
        env={
            **os.environ,
            "PYTHONPATH": str(site),
            "LMCACHE_PLUGIN_LAUNCHER_BIN": os.environ["LAUNCHER"],
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=600,
    )
    cases = list(ElementTree.parse(report).iter("testcase"))
    bad = {"failure", "error"}
    failed = {case.get("name", "") for case in cases if bad & {one.tag for one in case}}
    return len(cases) - len(failed), failed
