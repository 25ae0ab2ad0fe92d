"""How the launcher and others are run beside one another, timed, and looked at in /proc."""
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

LINE = 100
# Perl starts in two milliseconds and writes blocks of ready lines, so that the producer is never what is measured.
PRODUCER = """#!/bin/sh
exec perl -e '$block = ("x" x 99 . "\\n") x 655; for ($n = {bytes}; $n > 0;) {{ $n -= syswrite STDOUT, $block, $n }}'
"""
# Each line is the time at which it was written.
CLOCK = f"""#!{sys.executable} -S
import os, time
for _ in range({{lines}}):
    os.write(1, b"%d\\n" % time.monotonic_ns())
    time.sleep(0.001)
"""
# A line every millisecond, for some seconds.
PACED = """#!/bin/sh
exec perl -MTime::HiRes=usleep -e 'for (1..8000) { syswrite STDOUT, "x" x 99 . "\\n"; usleep 900 }'
"""
SLEEPER = "#!/bin/sh\nexec sleep 1000\n"


class Bench:
    def __init__(self, launcher, work, runs):
        self.launcher, self.work, self.runs = launcher, work, runs

    def run(self, options=""):
        return f"{shlex.quote(self.launcher)} run --quiet --parent-pid 0 {options} "

    def plugins(self, count, text):
        """A new directory of `count` plugins that all do the same."""
        directory = Path(tempfile.mkdtemp(dir=self.work))
        for number in range(count):
            plugin = directory / f"all_{number:02}.sh"
            plugin.write_text(text)
            plugin.chmod(0o755)
        return directory

    def seconds(self, command, stdin=subprocess.DEVNULL):
        begin = time.perf_counter()
        subprocess.run(["/bin/sh", "-c", command], stdin=stdin, check=True)
        return time.perf_counter() - begin

    def pair(self, ours, theirs):
        """Medians of our time, of theirs, and of the ratios, over alternating runs. The first of each is not counted."""
        times = []
        for round_ in range(self.runs + 1):
            order = (ours, theirs) if round_ % 2 else (theirs, ours)
            measured = [self.seconds(command) for command in order]
            times.append(measured if round_ % 2 else measured[::-1])
        del times[0]
        ratios = [our / their for our, their in times]
        return median(our for our, _ in times), median(their for _, their in times), median(ratios)

    def check(self, peer):
        """That what a plugin prints comes through `peer`, for a program that does nothing is fast."""
        if peer.size and not peer.is_endless:
            plugin = str(self.plugins(1, PRODUCER.format(bytes=1000 * LINE)) / "all_00.sh")
            shown = subprocess.run(
                ["/bin/sh", "-c", peer.command([plugin])], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True
            ).stdout
            if shown.count(b"x" * (LINE - 1)) != 1000:
                sys.exit(f"{peer.name} does not forward what its plugin prints")

    def rate(self, peer, count, has_file):
        """Bytes a second of `count` plugins through `peer`, into a pipe or a file, without its start and end: a single
        line of each shows what these take; for one that has no end the time is from the first byte to the last."""
        file = self.work / "out"

        def took(bytes_):
            each = bytes_ // count // LINE * LINE
            directory = self.plugins(count, PRODUCER.format(bytes=each))
            command = peer.command(sorted(map(str, directory.iterdir())))
            if peer.is_endless:
                return self.seconds_of_endless(command, each * count, file if has_file else None)
            return self.seconds(f"{{ {command}; }} " + (f">{shlex.quote(str(file))}" if has_file else "| cat >/dev/null"))

        start, all_ = 0 if peer.is_endless else took(LINE * count), took(peer.size)
        file.unlink(missing_ok=True)
        return peer.size / (all_ - min(start, all_ / 2))  # a start that chance made long is not all there is

    def seconds_of_endless(self, command, bytes_, file):
        """From the first byte to the last of so many."""
        out = file.open("wb") if file else subprocess.PIPE
        with subprocess.Popen(["/bin/sh", "-c", "exec " + command], stdin=subprocess.DEVNULL, stdout=out) as process:
            if file:
                wait_for_size(file, 1)
                begin = time.perf_counter()
                wait_for_size(file, bytes_)
                elapsed = time.perf_counter() - begin
            else:
                os.read(process.stdout.fileno(), 1)
                elapsed = self.seconds(f"exec head -c {bytes_ - 1} >/dev/null", process.stdout)
            process.terminate()
        return elapsed

    def at_rest(self, others, seconds):
        """Memory, and then wake-ups and CPU over `seconds`, of all programs at once, each beside its sleeping plugins."""
        directory = self.plugins(10, SLEEPER)
        commands = {"launcher": self.run() + shlex.quote(str(directory))}
        for peer in others:
            commands[peer.name] = peer.command([str(self.plugins(1, SLEEPER) / "all_00.sh")])
        with Group(commands) as group:
            group.wait_for_plugins(10 + len(others))
            time.sleep(3)  # what a program does at its start is not rest
            before = {name: group.counters(name) for name in commands}
            time.sleep(seconds)
            after = {name: group.counters(name) for name in commands}
            return {
                name: {
                    "pss": group.pss(name),
                    "wakeups": after[name][0] - before[name][0],
                    "cpu_ms": (after[name][1] - before[name][1]) / 1e6,
                }
                for name in commands
            }


class Group:
    """Programs that run until the end of the `with` block."""

    def __init__(self, commands):
        self.running = {
            name: subprocess.Popen(
                ["/bin/sh", "-c", "exec " + command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, start_new_session=True
            )
            for name, command in commands.items()
        }

    def __enter__(self):
        return self

    def __exit__(self, *_):
        everything = [pid for name in self.running for pid in self.below(name)]
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pid in everything:  # what LMCache leaves behind
            if is_plugin(pid):
                os.kill(pid, signal.SIGKILL)

    def below(self, name):
        """The program's processes and all that they started."""
        children = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (fields := read(entry / "stat")):
                children.setdefault(int(fields.rpartition(")")[2].split()[1]), []).append(int(entry.name))
        found = [self.running[name].pid]
        for pid in found:
            found += children.get(pid, [])
        return found

    def own(self, name):
        return [pid for pid in self.below(name) if not is_plugin(pid)]

    def wait_for_plugins(self, count, seconds=60):
        deadline = time.monotonic() + seconds
        while sum(is_plugin(pid) for name in self.running for pid in self.below(name)) < count:
            if time.monotonic() > deadline:
                sys.exit(f"not all of {', '.join(self.running)} started their plugins")
            time.sleep(0.1)

    def pss(self, name):
        """kB, shared pages in proportion."""
        lines = [line for pid in self.own(name) for line in read(f"/proc/{pid}/smaps_rollup").splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))

    def counters(self, name):
        """Context switches and nanoseconds of CPU of all threads."""
        threads = [task for pid in self.own(name) for task in Path(f"/proc/{pid}/task").iterdir()]
        lines = [line for task in threads for line in read(task / "status").splitlines()]
        switches = sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
        return switches, sum(int(read(task / "schedstat").split()[0]) for task in threads)


class Crowd:
    """So many processes that are nobody's concern, until the end of the `with` block."""

    def __init__(self, count):
        loop = f"i=0; while [ $i -lt {count} ]; do sleep 1000 & i=$((i + 1)); done; echo; wait"
        self.shell = subprocess.Popen(["/bin/sh", "-c", loop], stdout=subprocess.PIPE, start_new_session=True)

    def __enter__(self):
        self.shell.stdout.readline()

    def __exit__(self, *_):
        os.killpg(self.shell.pid, signal.SIGKILL)
        self.shell.wait()


def read(path):
    """The text of a file of /proc; nothing when its process has gone."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def wait_for_size(file, bytes_):
    while file.stat().st_size < bytes_:
        time.sleep(0.001)


def is_sleeper(pid):
    return read(f"/proc/{pid}/cmdline").startswith("sleep\x001000")


def is_plugin(pid):
    return is_sleeper(pid) or read(f"/proc/{pid}/cmdline").startswith("perl\0")
