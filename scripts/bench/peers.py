"""The programs to compare with: how each is installed, below target/bench, and how it is told to run plugins."""
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SCRIPTS = HERE.parent
CACHE = ROOT / "target" / "bench"
LOG = CACHE / "install.log"


def launcher():
    """The binary that is measured: $LAUNCHER, or a release build of this tree."""
    if os.environ.get("LAUNCHER"):
        return os.environ["LAUNCHER"]
    target = "x86_64-unknown-linux-musl" if os.uname().machine == "x86_64" else "aarch64-unknown-linux-musl"
    build = ["cargo", "build", "--quiet", "--release", "--target", target]
    subprocess.run(["rustup", "--quiet", "target", "add", target], cwd=ROOT, check=False, stderr=subprocess.DEVNULL)
    subprocess.run(build, cwd=ROOT, check=True)
    directory = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return str(ROOT / directory / target / "release" / "lmcache-plugin-launcher")


class Peer:
    """A program that runs plugins, or only forwards lines. `command(plugins)` is shell text that does it for all of them
    at once and writes to standard output; `size` is how many bytes it is given to forward, for about a second of work;
    `is_endless` when it goes on after its plugins have ended."""

    def __init__(self, name, command, size=10_000_000, *, is_endless=False, supervises=True):
        self.name, self.command, self.size = name, command, size
        self.is_endless, self.supervises = is_endless, supervises


def install_all():
    """Installs what can be installed here; says what cannot."""
    CACHE.mkdir(parents=True, exist_ok=True)
    LOG.write_bytes(b"")
    return [peer for install in (tools, lmcache, honcho, supervisord, concurrently, horust) for peer in attempt(install)]


def attempt(install):
    try:
        return install()
    except (OSError, subprocess.SubprocessError) as error:
        print(f"left out: {install.__name__}: {error} (see {LOG})", file=sys.stderr)
        return []


def do(*command, seconds=600):
    with LOG.open("ab") as log:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=seconds)


def together(plugins):
    """Shell text that runs all of them at once, with one standard output."""
    return "{ " + " & ".join(map(shlex.quote, plugins)) + " & wait; }"


def tools():
    if not shutil.which("s6-log"):
        do("apt-get", "update")
        do("apt-get", "install", "-y", "s6")
    label = "[all_00.sh]"
    return [
        Peer("cat", lambda plugins: f"{together(plugins)} | cat", 1_000_000_000, supervises=False),
        Peer("sed", lambda plugins: f"{together(plugins)} | sed 's/^/{label} /'", 200_000_000, supervises=False),
        Peer("s6-log", lambda plugins: f"{together(plugins)} | s6-log 'p{label}' 1", 200_000_000, supervises=False),
    ]


def tini():
    """An init that does nothing but run one program."""
    if not shutil.which("tini"):
        do("apt-get", "update")
        do("apt-get", "install", "-y", "tini")
    return "tini"


def pinned(*command):
    """What a script that installs pinned tools prints: the place of one."""
    with LOG.open("ab") as log:
        script = [str(SCRIPTS / command[0]), *command[1:]]
        done = subprocess.run(script, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, timeout=600)
    return Path(done.stdout.strip())


def lmcache():
    python_ = pinned("venv", "lmcache")
    host = f"{python_} {HERE / 'lmcache_host.py'}"
    return [Peer("LMCache 0.5.6", lambda plugins: f"{host} {shlex.join(plugins)} 2>&1")]


def honcho():
    program = pinned("venv", "peers").parent / "honcho"

    def command(plugins):
        procfile = Path(plugins[0]).parent / "Procfile"
        # A dot is not for its names.
        procfile.write_text("".join(f"{Path(plugin).stem}: {shlex.quote(plugin)}\n" for plugin in plugins))
        return f"{program} -f {shlex.quote(str(procfile))} start"

    return [Peer("honcho", command, 3_000_000)]


def supervisord():
    program = pinned("venv", "peers").parent / "supervisord"

    def command(plugins):
        settings = Path(plugins[0]).parent / "supervisord.conf"
        head = f"""[supervisord]
nodaemon=true
silent=true
logfile=/dev/null
logfile_maxbytes=0
pidfile={settings}.pid
"""
        programs = (
            f"""[program:{Path(plugin).name}]
command={plugin}
autorestart=false
startsecs=0
stdout_logfile=/dev/fd/1
stdout_logfile_maxbytes=0
"""
            for plugin in plugins
        )
        settings.write_text(head + "".join(programs))
        return f"{program} -c {shlex.quote(str(settings))} 2>/dev/null"

    return [Peer("supervisord", command, 200_000_000, is_endless=True)]


def concurrently():
    program = pinned("node-modules") / ".bin" / "concurrently"

    def command(plugins):
        names = ",".join(Path(plugin).name for plugin in plugins)
        return f"{program} --no-color -n {names} {shlex.join(plugins)}"

    return [Peer("concurrently", command, 30_000_000)]


def horust():
    """Hands its standard output on to what it starts, so that it is compared at rest only."""
    program = pinned("cargo-tool", "horust")

    def command(plugins):
        service = Path(plugins[0]).parent / "horust.toml"
        service.write_text(f"command = {json.dumps(plugins[0])}\n")
        return f"{program} --services-path {shlex.quote(str(service))}"

    return [Peer("Horust", command, 0)]
