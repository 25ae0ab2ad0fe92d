"""What every part needs: the packages, a directory of its own, processes that do not outlive it,
conditions that are waited for, and one line an assertion."""

import contextlib
import glob
import hashlib
import importlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
WORK = os.path.join(REPOSITORY, "target", "check-plugins")
ROOT = os.path.join(WORK, "root")  # where the packages are unpacked
VENV = os.path.join(REPOSITORY, "target", "venv", "plugins")  # by scripts/venv
PLUGINS = os.path.join(REPOSITORY, "scripts", "plugins")
PACKAGES = [
    *("prometheus", "prometheus-pushgateway", "prometheus-alertmanager", "victoria-metrics"),
    *("rsyslog", "rsyslog-gnutls", "libestr0", "libfastjson4", "liblognorm5"),
    *("haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1", "nginx", "logrotate", "libpopt0"),
    "busybox",
]
TARGET = "x86_64-unknown-linux-musl"


# ---- what is needed ----


def sh(*command, **options):
    subprocess.run(command, check=True, stdout=sys.stderr, **options)


def unpack():
    """Debian's packages, below ROOT, again when the list of them has changed."""
    packages, stamp = os.path.join(WORK, "packages"), os.path.join(ROOT, hashlib.sha256(" ".join(PACKAGES).encode()).hexdigest())
    if os.path.exists(stamp):
        return
    for old in (packages, ROOT):
        shutil.rmtree(old, ignore_errors=True)
    os.makedirs(packages)
    if subprocess.run(["apt-cache", "show", *PACKAGES], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        sh("apt-get", "update", "-qq")
    sh("apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *PACKAGES, cwd=packages)
    for package in glob.glob(packages + "/*.deb"):
        sh("dpkg-deb", "-x", package, ROOT)
    shutil.rmtree(packages)
    open(stamp, "w").close()


def install():
    os.makedirs(WORK, exist_ok=True)
    unpack()
    sh(os.path.join(REPOSITORY, "scripts", "venv"), "plugins")


def find_launcher():
    if os.environ.get("LAUNCHER"):
        return os.path.abspath(os.environ["LAUNCHER"])
    sh("rustup", "target", "add", TARGET, cwd=REPOSITORY, stderr=subprocess.DEVNULL)
    sh("cargo", "build", "--release", "--quiet", "--target", TARGET, cwd=REPOSITORY)
    built = os.environ.get("CARGO_TARGET_DIR", os.path.join(REPOSITORY, "target"))
    return os.path.join(built, TARGET, "release", "lmcache-plugin-launcher")


# ---- conditions ----


def ask(url, **parameters):
    query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
    with urllib.request.urlopen(url + query, timeout=5) as answer:
        body = answer.read().decode()
    return json.loads(body) if body.startswith(("[", "{")) else body


def until(condition, seconds):
    """The first true value of the condition; None when there was none in time."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            value = condition()
            if value:
                return value
        if time.monotonic() > deadline:
            return None
        time.sleep(0.05)


def check(what, condition, seconds=20):
    """Waits for the condition and says so; its value."""
    began = time.monotonic()
    value = until(condition, seconds)
    if not value:
        raise AssertionError(f"{what} (not within {seconds} s)")
    print(f"ok    {what} ({time.monotonic() - began:.1f} s)", flush=True)
    return value


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# ---- processes ----


def end(process, number=signal.SIGTERM):
    """Signals and reaps; the time it took."""
    began = time.monotonic()
    if process.poll() is None:
        process.send_signal(number)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise AssertionError(f"{process.name} did not end within 20 s") from None
    return time.monotonic() - began


def descendants(pid):
    found = []
    for child in subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout.split():
        found += [int(child), *descendants(child)]
    return found


def command_line(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()
    return b""


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Bench:
    """One part's directory and processes."""

    def __init__(self, part, launcher, quick):
        self.directory = os.path.join(WORK, "run", part)
        self.launcher, self.quick = launcher, quick
        self.processes = []  # in order
        shutil.rmtree(self.directory, ignore_errors=True)
        os.makedirs(self.directory)

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, text):
        with open(self.path(name), "w") as file:
            file.write(re.sub(r"(?m)^ {12}", "", text))

    def start(self, name, *command, env=None):
        """Starts a process that logs to NAME.log and cannot outlive us."""
        with open(self.path(name + ".log"), "ab") as log:
            process = subprocess.Popen(
                [shutil.which("setpriv"), "--pdeathsig", "TERM", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(env or {})},
                cwd=self.directory,
            )
        process.name = name
        self.processes.append(process)
        return process

    def plugin(self, file, settings, name=None, env=None):
        """Starts one plugin by itself, with the settings of its own; it logs to NAME.log."""
        stem, suffix = os.path.splitext(os.path.basename(file))
        config = {"extra_config": {f"plugin.{stem}.{key}": value for key, value in settings.items()}}
        environment = {
            "LMCACHE_PLUGIN_CONFIG": json.dumps(config),
            "LMCACHE_PLUGIN_ROLE": "WORKER",
            "LMCACHE_PLUGIN_WORKER_ID": "0",
            "LMCACHE_PLUGIN_WORKER_COUNT": "1",
            "LMCACHE_PLUGIN_PARENT_PID": str(os.getpid()),
            "LMCACHE_PLUGIN_LAUNCHER_BIN": self.launcher,
            "PYTHONUNBUFFERED": "1",
        }
        interpreter = sys.executable if suffix == ".py" else "sh"
        return self.start(name or stem, interpreter, os.path.join(PLUGINS, file), env={**environment, **(env or {})})

    def end_everything(self):
        for process in reversed(self.processes):
            with contextlib.suppress(AssertionError):
                end(process)

    def tail(self, name, size=20_000):
        with open(self.path(name + ".log"), "rb") as file:
            file.seek(max(0, os.path.getsize(file.name) - size))
            return file.read().decode("utf-8", "replace")


def run(parts, quick):
    """Runs the parts one after the other; the exit status."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("interrupted"))
    install()
    launcher = find_launcher()
    began = time.monotonic()
    failed = []
    for part in parts:
        print(f"--- {part}", flush=True)
        bench = Bench(part, launcher, quick)
        try:
            importlib.import_module(part).run(bench)
        except AssertionError as error:
            failed.append(part)
            print(f"FAIL  {error}")
            for process in bench.processes:
                print(f"---- {process.name}, status {process.poll()}\n{bench.tail(process.name, 2000)}")
        finally:
            bench.end_everything()
    print((f"FAILED: {', '.join(failed)}" if failed else "all well") + f", in {time.monotonic() - began:.0f} s")
    return 1 if failed else 0
