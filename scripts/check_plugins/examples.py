"""The examples: what they say, and what they make of wrong settings."""

from bench import check, end, until

INTERVALS = ["abc", None, 0, -1, "", True, [1], {}, "1;date", 1e300]
WRONG = {
    "all_plugin.sh": ("interval", INTERVALS),
    "scheduler_foo_plugin.py": ("interval", INTERVALS),
    "worker_0_test.sh": ("greeting", [None, "", [1], {"a": 1}]),
}


def run(bench):
    for file, (setting, values) in WRONG.items():
        stem = file.split(".")[0]
        started = [bench.plugin(file, {setting: value}, f"{stem}-wrong-{index}") for index, value in enumerate(values)]
        for value, process in zip(values, started):
            until(lambda: process.poll() is not None, 10)
            said = bench.tail(process.name)
            if process.poll() != 2 or said.count("\n") != 1 or f"plugin.{stem}.{setting} " not in said:
                raise AssertionError(f"{file}, {setting} = {value!r} ended with {process.poll()}: {said[:500]}")
        check(f"{file}: each of {len(values)} wrong settings ends it with status 2 and one line that names it", lambda: True)
    beats = [bench.plugin(file, {"interval": 0.1}, f"{file}-well") for file in ("all_plugin.sh", "scheduler_foo_plugin.py")]
    greeter = bench.plugin("worker_0_test.sh", {"greeting": 'a "good" morning'}, "greeter")
    alone = bench.plugin("all_plugin.sh", {"interval": 0.1}, "no-launcher", env={"LMCACHE_PLUGIN_LAUNCHER_BIN": "/nonexistent"})
    for process in beats:
        check(f"{process.name} beats at the interval that was set", lambda: "alive, beat 5" in bench.tail(process.name))
    check("worker_0_test.sh greets as it was told", lambda: bench.tail("greeter").startswith('a "good" morning from role WORKER, worker 0 of 1'))
    check("all_plugin.sh goes without a launcher, every 10 s", lambda: "a line every 10s" in bench.tail("no-launcher"))
    for process in [*beats, greeter, alone]:
        seconds = end(process)
        check(f"{process.name} says that it goes, and ends with 0, in {seconds:.2f} s", lambda: "SIGTERM received" in bench.tail(process.name) and process.returncode == 0 and seconds < 2, 0)
