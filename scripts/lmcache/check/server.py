"""The real `lmcache server`, of two releases, started in each of the four ways, scraped, and ended in every way.

LMCache's own launcher is the control: what ignores SIGTERM outlives its server.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen
import json
import os
import signal
import threading
import time

from classes import BRIDGE
from hosts import Host, host
from packages import with_class

REPORTER = Path(__file__).parents[2] / "plugins" / "all_metrics_reporter.py"
KEY = "a-key-that-no-log-has"
# The server's own end included, which alone takes some seconds on a busy machine.
LIMIT_SECONDS = 30.0

# How a plugin comes by the key of a server: in which way it is started, and whether it then has it.
BY_VARIABLE = "key in a variable"
BY_SETTING = "as PROGRAM, and the plugin's setting names the file"
KEYS = {
    BY_VARIABLE: ("program", True),
    "key in a file that the server is told of": ("class", True),
    "the same, as PROGRAM": ("program", False),
    BY_SETTING: ("program", True),
}

PLUGINS = {
    "all_hello.sh": """#!/bin/sh
trap 'echo last words; exit 0' TERM
echo "hello beside $LMCACHE_PLUGIN_PARENT_PID"
while :; do sleep 0.1; done
""",
    "all_stubborn.sh": """#!/bin/sh
trap '' TERM INT
setsid sleep 1000 &
while :; do sleep 1; done
""",
}

WAYS = ("own", "bridge", "class", "program")


@dataclass(frozen=True)
class Ending:
    """One way for a server to end."""

    name: str
    signal: int
    # To every process of its group, as a terminal does it; or to the server that PROGRAM is.
    to: str = "process"
    # Whether somebody is still there to log what the plugins say.
    last_words: bool = False


ENDINGS = (
    Ending("SIGTERM", signal.SIGTERM, last_words=True),
    Ending("Ctrl-C", signal.SIGINT, to="group", last_words=True),
    Ending("SIGKILL", signal.SIGKILL),
    Ending("SIGSEGV", signal.SIGSEGV),
    Ending("SIGKILL of PROGRAM alone", signal.SIGKILL, to="program", last_words=True),
)


@dataclass(frozen=True)
class Release:
    """LMCache of one version, and whether its server asks for a key."""

    version: str
    site: Path
    wants_key: bool

    @property
    def package(self) -> Path:
        """LMCache itself."""
        return self.site / "lmcache"


def releases() -> list[Release]:
    """The two releases that check-lmcache has installed."""
    found = []
    for site in os.environ["LMCACHE_SITES"].split(":"):
        (version,) = Path(site).glob("lmcache-*.dist-info")
        release = version.name.removeprefix("lmcache-").removesuffix(".dist-info")
        wants_key = Path(site, "lmcache", "security", "api_key.py").exists()
        found.append(Release(release, Path(site), wants_key))
    return found


def check() -> bool:
    """Every release, way and ending, each with its outcome on a line."""
    jobs = [
        (release, way, ending)
        for release in releases()
        for way in WAYS
        for ending in ENDINGS
        if ending.to != "program" or way == "program"
    ]
    with gateway() as pushes, ThreadPoolExecutor(max_workers=2) as executor:
        results = list(executor.map(lambda job: attempt(*job, pushes), jobs))
        keys = list(executor.map(lambda key: attempt_with(key, pushes), KEYS))
    for (release, way, ending), result in zip(jobs, results):
        print(f"{release.version:9} {way:8} {ending.name:25} {result}")
    for key, result in zip(KEYS, keys):
        print(f"{key:52} {result}")
    return not any("FAILED" in result for result in results + keys)


def attempt(release: Release, way: str, ending: Ending, pushes: "Pushes") -> str:
    """One server, one ending, and what came of it."""
    try:
        with host() as one:
            server = Server(one, release, way, pushes.url)
            server.start()
            pushed = pushes.wait_for(server.job)
            return f"{pushed} metrics scraped; {server.end(ending)}"
    except Exception as error:
        return f"FAILED: {error}"


def attempt_with(key: str, pushes: "Pushes") -> str:
    """One server that wants a key which the plugin has in this way, and what came of it."""
    way, is_known = KEYS[key]
    try:
        with host() as one:
            server = Server(one, releases()[-1], way, pushes.url, key)
            server.start()
            if is_known:
                result = f"{pushes.wait_for(server.job)} metrics scraped"
            else:
                one.wait_until("the refusal", lambda: refusals(one))
                (result,) = refusals(one)
            if KEY in one.log():
                raise AssertionError("the log has the key")
            return result
    except Exception as error:
        return f"FAILED: {error}"


def refusals(one: Host) -> list[str]:
    """What the plugin has said of an answer 401."""
    lines = one.log().splitlines()
    return [line for line in lines if REPORTER.name in line and " 401" in line]


class Server:
    """One `lmcache server` with its plugins, in a directory of its own."""

    numbers = count()

    def __init__(
        self,
        one: Host,
        release: Release,
        way: str,
        pushgateway: str,
        key: str = BY_VARIABLE,
    ) -> None:
        self.one, self.release, self.way, self.key = one, release, way, key
        number = next(self.numbers)
        self.job = f"job-{number}"
        self.port, self.http_port = 15000 + number, 18000 + number
        self.settings = {
            "plugin.all_metrics_reporter.pushgateway": pushgateway,
            "plugin.all_metrics_reporter.job": self.job,
            "plugin.all_metrics_reporter.interval": 1,
        }
        self.key_file = one.directory / "key"
        if key == BY_SETTING:
            setting = "plugin.all_metrics_reporter.scrape_bearer_token_file"
            self.settings[setting] = str(self.key_file)

    def start(self) -> None:
        """Start it as its user would, and wait until it and a plugin have said so."""
        one, site = self.one, self.release.site
        for name, text in {**PLUGINS, REPORTER.name: REPORTER.read_text()}.items():
            one.plugin(name, text)
        if self.way == "class":
            site = with_class(self.release.package, one.directory / "site")
        variables = {
            "PYTHONPATH": str(site),
            "LMCACHE_TRACK_USAGE": "false",
            "LMCACHE_DISABLE_BANNER": "1",
        }
        self.key_file.write_text(KEY + "\n")
        self.key_file.chmod(0o600)
        if self.release.wants_key and self.key == BY_VARIABLE:
            variables["LMCACHE_API_KEY"] = KEY
        one.spawn(self.command(), is_logged=True, **variables)
        one.wait_until("the server answers", lambda: healthy(one, self.http_port))
        pid = self.pid() if self.way != "own" else ""
        line = f"hello beside {pid}"
        one.wait_until(f"the line {line}", lambda: line in one.log())
        self.refuses_without_key()

    def command(self) -> list[str]:
        """The command line of its way."""
        python = Path(os.environ["LMCACHE_SERVER_PYTHON"])
        server = [str(python.with_name("lmcache")), "server", "--l1-size-gb=0.1"]
        server += ["--eviction-policy=LRU", f"--port={self.port}"]
        server += [f"--http-port={self.http_port}"]
        if self.key != BY_VARIABLE:
            server += [f"--api-key-file={self.key_file}"]
        plugins, settings = str(self.one.plugins), self.settings
        if self.way == "program":
            url = f"http://127.0.0.1:{self.http_port}/metrics"
            extra = json.dumps({**settings, "plugin.all_metrics_reporter.url": url})
            run = [os.environ["LAUNCHER"], "run", plugins, "--extra-config", extra]
            return [*run, "--grace-period=3", "--", *server]
        if self.way == "bridge":
            settings = {**settings, "plugin.launcher.locations": [plugins]}
            plugins = str(BRIDGE)
        server += ["--runtime-plugin-locations", plugins]
        return [*server, "--runtime-plugin-config", json.dumps(settings)]

    def refuses_without_key(self) -> None:
        """A release with keys wants one; no log may have it."""
        expected = 401 if self.release.wants_key else 200
        url = f"http://127.0.0.1:{self.http_port}/metrics"
        if (status := status_of(Request(url))) != expected:
            raise AssertionError(f"/metrics without a key: {status}")
        with_key = Request(url, headers={"Authorization": f"Bearer {KEY}"})
        if status_of(with_key) != 200:
            raise AssertionError("/metrics with the key is refused")

    def pid(self) -> int:
        """The server itself: with PROGRAM, the process that has the port's command line."""
        if self.way != "program":
            return self.one.process.pid
        wanted = f"--port={self.port}"
        for pid, command in self.one.processes():
            if wanted in command and "--extra-config" not in command:
                return pid
        raise AssertionError("there is no server")

    def end(self, ending: Ending) -> str:
        """End it, wait until nothing is left, and say how long that took."""
        one = self.one
        begin = time.monotonic()
        if ending.to == "group":
            one.interrupt()
        elif ending.to == "program":
            os.kill(self.pid(), ending.signal)
        else:
            one.process.send_signal(ending.signal)
        one.process.wait(60)
        if self.way == "own":
            if ending.last_words:
                # What ends when it is asked to is given the time.
                one.wait_until("hello ends", lambda: not running(one, "all_hello.sh"))
            if not (left := one.left()):
                raise AssertionError("nothing is left: this shows nothing")
            return f"{len(left)} processes left (control)"
        one.wait_until(f"nothing left of {one.left()}", lambda: not one.left())
        seconds = time.monotonic() - begin
        if seconds > LIMIT_SECONDS:
            raise AssertionError(f"the end took {seconds:.1f} s")
        words = ""
        # LMCache does not read the bridge any more when its server stops.
        if ending.last_words and self.way != "bridge":
            if "last words" not in one.log():
                raise AssertionError(f"no last words in the log:\n{one.log()}")
            words = ", last words logged"
        if KEY in one.log():
            raise AssertionError("the log has the key")
        return f"nothing left after {seconds:.1f} s{words}"


def healthy(one: Host, port: int) -> bool:
    """Whether a server answers on this port; fails once its process has ended."""
    if one.process.poll() is not None:
        raise AssertionError(f"the server ended:\n{one.log()}")
    return status_of(Request(f"http://127.0.0.1:{port}/healthcheck")) == 200


def status_of(request: Request) -> int | None:
    """The status of the answer; none where nobody answers."""
    try:
        with urlopen(request, timeout=10) as answer:
            return answer.status
    except URLError as error:
        return getattr(error, "code", None)


def running(one: Host, name: str) -> bool:
    """Whether a plugin of this name still runs."""
    return any(name in command for _, command in one.processes())


class Pushes:
    """What a Pushgateway was given, by job."""

    def __init__(self) -> None:
        self.metrics: dict[str, int] = {}
        self.url = ""

    def wait_for(self, job: str) -> int:
        """The number of metrics in the first push of this job."""
        deadline = time.monotonic() + 60
        while job not in self.metrics:
            if time.monotonic() > deadline:
                raise AssertionError(f"no push of {job}")
            time.sleep(0.05)
        return self.metrics[job]


class gateway:
    """A stand-in for a Pushgateway: it counts what it is given."""

    def __enter__(self) -> Pushes:
        pushes = Pushes()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, pushes))
        pushes.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return pushes

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()


class Handler(BaseHTTPRequestHandler):
    """Takes every push."""

    def __init__(self, pushes: Pushes, *arguments: object) -> None:
        self.pushes = pushes
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        lines = [line for line in body.splitlines() if line[:1] not in (b"", b"#")]
        job = self.path.partition("/job/")[2].partition("/")[0]
        if lines:
            self.pushes.metrics.setdefault(job, len(lines))
        self.send_response(200)
        self.end_headers()

    do_POST = do_DELETE = do_PUT

    def log_message(self, *arguments: object) -> None:
        """Nothing: the check has its own words."""
