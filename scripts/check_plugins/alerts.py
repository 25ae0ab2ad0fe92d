"""The process alert by itself: servers, clocks, processes and limits as people have them."""

import importlib.util
import os
import signal
import sys

import settings
from bench import PLUGINS, check, descendants, end
from fake import Fake, answer, drip
from gateway import Gateway, check_ways
from servers import Servers, alertmanager_template

PLUGIN = "worker_process_alert.py"
SECRET = "s3cret-of-this-check"
MIB = 1 << 20
CGROUP = "/sys/fs/cgroup/memory"  # version 1, where this machine has it

# Processes with memory in places. Each says when it has all of it.
HOGS = {
    "itself": "keep.append(b'x' * size)",
    "child": "os.fork() or keep.append(b'x' * size)",
    "grandchild": "os.fork() or os.fork() or keep.append(b'x' * size)",
    "shared": "keep.append(mmap.mmap(-1, size)); [os.fork() or touch() for _ in range(3)]; touch()",
    "huge": "keep.append(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40000)); touch()",
}
HOG = """import mmap, os, signal, time
size, keep = %d << 20, []
def touch():
    for at in range(0, size, 4096): keep[0][at] = 1
    if os.getppid() == first: signal.pause()
first = os.getpid()
%s
print('ready', flush=True)
signal.pause()
"""


def run(bench):
    servers = Servers(bench)
    with alertmanager_template():
        servers.start("alertmanager", "alertmanager-short", "alertmanager-2")
        check_settings(bench)
        check_start(bench, servers)
        check_every_alertmanager(bench, servers)
        check_repetition(bench, servers)
        check_clocks(bench, servers)
        check_identity(bench, servers)
        check_connections(bench, servers)
        check_refusals(bench)
        check_deadlines(bench)
        check_memory(bench, servers)
        check_cgroups(bench, servers)


def watcher(bench, name, target, alertmanager, env=None, **options):
    """Starts one that is in a hurry, with a limit that is crossed unless another is given."""
    limits = {} if any(option.startswith("max_") for option in options) else {"max_fds": 0}
    hurry = {"alertmanager": alertmanager, "for": 0, "interval": 0.2, "resend": 1, "timeout": 1}
    return bench.plugin(PLUGIN, {**hurry, **limits, **options}, name, {"LMCACHE_PLUGIN_PARENT_PID": str(target), **(env or {})})


def hog(bench, kind, mib):
    name = f"hog-{kind}-{mib}"
    process = bench.start(name, sys.executable, "-c", HOG % (mib, HOGS[kind]))
    check(f"a process with {mib} MiB ({kind})", lambda: "ready" in bench.tail(name))
    return process


def alerts_of(servers, target, server="alertmanager"):
    return [alert for alert in servers.alerts(server) if alert["labels"]["process"].startswith(f"{target}-")]


def check_settings(bench):
    good = {"alertmanager": "http://127.0.0.1:9", "max_fds": 1}
    numbers = ["abc", "5", -1, True, [], {}, float("nan"), float("inf")]
    wrong = {
        "alertmanager": ["", 5, [], [5], ["http://a", "http://a"], "ftp://h", "http://", "http://h:0", "a b", {"a": "b"}],
        **{name: numbers for name in ("max_rss_mib", "max_cgroup_percent", "max_cpu_percent", "max_fds", "max_threads")},
        **{name: [None, *numbers] for name in ("for", "interval", "resend", "timeout")},
        "labels": [None, "a", ["a"], {"limit": "x"}, {"a b": "c"}, {"a-b": "c"}, {"1a": "c"}, {"a": 5}, {"a": ""}, {"a": None}],
        "annotations": [None, "a", {"a b": "c"}, {"a": 5}],
        "generator_url": [5, "not a url", "host/path"],
        "instance": [None, 5, ""],
        "headers": ["a", {"a": 5}, {"a": "b\nc"}],
        "key_file": ["/without-a-certificate"],
        "max_rss": [5],
    }
    settings.check_wrong(bench, PLUGIN, good, wrong)
    settings.check_not_enabled(bench, PLUGIN, {"interval": 5, "max_fds": 1})
    settings.check_same_lines([PLUGIN, "all_metrics_reporter.py"], "# ---- settings", "# ---- what is ")


def check_start(bench, servers):
    """What is wrong is known at the start, not when the first alert should fire."""
    well = watcher(bench, "start-well", os.getpid(), servers.address["alertmanager"], max_fds=1e6)
    check("at the start, with nothing to tell, Alertmanager takes our alerts; its address had no scheme", lambda: f"{servers.url['alertmanager']} takes our alerts" in bench.tail("start-well"))
    lost = watcher(bench, "start-lost", os.getpid(), servers.url["alertmanager"] + "/elsewhere", max_fds=1e6)
    check("a wrong path is an error at the start", lambda: "refuses: 404 Not Found" in bench.tail("start-lost"))
    end(well), end(lost)
    check("nothing fired", lambda: not servers.alerts(), 0)


def check_every_alertmanager(bench, servers):
    both = ["alertmanager", "alertmanager-2"]
    running = watcher(bench, "both", os.getpid(), [servers.url[server] for server in both], labels={"team": "kv", "severity": "page"}, annotations={"runbook": "https://example.org/"}, generator_url="http://example.org/x")
    for server in both:
        alert = check(f"{server} has the alert", lambda: alerts_of(servers, os.getpid(), server))[0]
        check("with the labels and annotations that were set", lambda: (alert["labels"]["team"], alert["labels"]["severity"], alert["annotations"]["runbook"], alert["generatorURL"]) == ("kv", "page", "https://example.org/", "http://example.org/x"), 0)
    end(servers.processes["alertmanager-2"], signal.SIGKILL)
    check("one of them is away", lambda: f"{servers.url['alertmanager-2']} is away: Connection refused" in bench.tail("both"))
    servers.start("alertmanager-2")
    check("it has the alert again when it is back", lambda: alerts_of(servers, os.getpid(), "alertmanager-2"))
    seconds = end(running)
    check(f"stopped in {seconds:.2f} s: resolved in both", lambda: not any(alerts_of(servers, os.getpid(), server) for server in both), 2)


def check_repetition(bench, servers):
    """Alertmanager here forgets what it does not hear of for 3 s."""
    tick = Fake(lambda request: answer("200 OK"))  # hears from it once a second
    running = watcher(bench, "slow-looks", os.getpid(), [servers.url["alertmanager-short"], tick.url], interval=3600)
    check("an alert fires", lambda: alerts_of(servers, os.getpid(), "alertmanager-short"))

    def fires_for_seven_more():
        if not alerts_of(servers, os.getpid(), "alertmanager-short"):
            raise AssertionError("the alert flaps with an interval far above resend")
        return len(tick.requests) > 8

    check("and does not flap, though the next look is an hour away", fires_for_seven_more)
    end(running, signal.SIGKILL)
    check("the plugin was SIGKILLed: Alertmanager resolves it", lambda: not alerts_of(servers, os.getpid(), "alertmanager-short"))


def check_clocks(bench, servers):
    bench.write("sitecustomize.py", "import os, time\nright = time.time\ntime.time = lambda: right() + float(os.environ['SHIFT'])\n")
    for shift in (-600, 600, -40_000_000):
        process = hog(bench, "itself", 1)
        env = {"PYTHONPATH": bench.directory, "SHIFT": str(shift)}
        running = watcher(bench, f"clock{shift:+}", process.pid, servers.url["alertmanager"], env)
        check(f"a clock that is wrong by {shift} s: the alert fires", lambda: alerts_of(servers, process.pid))
        end(process)
        check("and resolves when it should", lambda: not alerts_of(servers, process.pid) and running.poll() == 0, 5)


def check_identity(bench, servers):
    processes = [hog(bench, "itself", 1), hog(bench, "itself", 2)]
    running = [watcher(bench, f"same-{process.pid}", process.pid, servers.url["alertmanager"], instance="same") for process in processes]
    check("two processes that are called the same: two alerts", lambda: all(len(alerts_of(servers, process.pid)) == 1 for process in processes))
    end(running[0])
    check("the end of one is not the end of the other", lambda: [len(alerts_of(servers, process.pid)) for process in processes] == [0, 1])
    end(running[1])
    for process in processes:
        end(process)


def check_connections(bench, servers):
    gateway = Gateway(bench, servers.address["alertmanager"])
    check_ways(bench, gateway, lambda name, address, **options: watcher(bench, name, os.getpid(), address, **options), lambda: alerts_of(servers, os.getpid()))


def check_refusals(bench):
    elsewhere, server = Fake(lambda request: answer("200 OK")), Fake(lambda request: b"")
    for status in ("301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"):
        server.answer = lambda request: answer(status, b"", f"Location: http://user:{SECRET}@{elsewhere.address}/new?token={SECRET}")
        running = watcher(bench, status[:3], os.getpid(), server.url, headers={"Authorization": SECRET})
        check(f"{status[:3]} is an error that names the target", lambda: f"refuses: {status}: it redirects to http://{elsewhere.address}/new\n" in bench.tail(status[:3]))
        end(running)
    check("nobody followed a redirect", lambda: not elsewhere.requests, 0)
    for what, reply in {
        "stalled": drip(b"HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\n", b"", 60),
        "dripping": drip(b"HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\n", b"x", 0.3),
        "cut": lambda request: b"HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\nx",
        "chunked": lambda request: b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\nzz",
        "echoing": lambda request: answer("500 Oops", str(request.headers).encode()),
    }.items():
        server.answer = reply
        running = watcher(bench, what, os.getpid(), server.url, headers={"X-Key": SECRET})
        check(f"an error body that is {what}: one line", lambda: bench.tail(what).count("refuses: 500 Oops") == 1)
        count = len(server.requests)
        check("and tried again", lambda: len(server.requests) > count and bench.tail(what).count("refuses: 500 Oops") == 1 and "Traceback" not in bench.tail(what))
        end(running)
        check("no secret in the log", lambda: SECRET not in bench.tail(what), 0)


def check_deadlines(bench):
    silent = [Fake(drip(b"", b"", 60)) for _ in range(3)]
    running = watcher(bench, "silent", os.getpid(), [server.url for server in silent], timeout=30)
    check("three Alertmanagers are asked, and none answers", lambda: all(server.requests for server in silent))
    seconds = end(running)
    check(f"SIGTERM: ended with 0 in {seconds:.2f} s", lambda: running.returncode == 0 and seconds < 4, 0)


def check_memory(bench, servers):
    def fires(kind, mib, limit):
        process = hog(bench, kind, mib)
        tick = Fake(lambda request: answer("200 OK"))  # hears from it once a second
        running = watcher(bench, f"memory-{kind}", process.pid, [servers.url["alertmanager"], tick.url], max_rss_mib=limit)
        check("it is watched, for some looks", lambda: len(tick.requests) >= 3)  # one at the start, one a second
        found = alerts_of(servers, process.pid)
        end(running)
        for child in descendants(process.pid):
            os.kill(child, signal.SIGKILL)
        end(process)
        return found

    for kind in ("itself", "child", "grandchild"):
        check(f"memory counts: {kind}", lambda: fires(kind, 300, 250), 0)
    check("memory that four processes share counts once: no false alarm", lambda: not fires("shared", 200, 400), 0)
    before = read_number("/proc/sys/vm/nr_hugepages")
    write("/proc/sys/vm/nr_hugepages", before + 60)
    try:
        if read_number("/proc/sys/vm/nr_hugepages") == before + 60:
            check("huge pages count", lambda: fires("huge", 100, 90), 0)
        else:
            print("      this kernel gives no huge pages now: not checked")
    finally:
        write("/proc/sys/vm/nr_hugepages", before)


def read_number(path):
    with open(path) as file:
        return int(file.read())


def write(path, value):
    with open(path, "w") as file:
        file.write(str(value))


def check_cgroups(bench, servers):
    check_cgroup_trees(bench)
    if not os.path.exists(CGROUP + "/memory.limit_in_bytes"):
        print("      no cgroup of version 1 here: only the trees above were checked")
        return
    directory = f"{CGROUP}/check-plugins-{os.getpid()}"
    process = hog(bench, "itself", 1)
    os.makedirs(directory + "/inner")
    try:
        write(directory + "/memory.limit_in_bytes", 100 * MIB)
        write(directory + "/inner/cgroup.procs", process.pid)
        tick = Fake(lambda request: answer("200 OK"))  # hears from it once a second
        # Page cache fills the group, which is no reason to worry.
        cache = bench.start("cache", "sh", "-c", f"echo $$ > {directory}/inner/cgroup.procs; head -c {90 * MIB} /dev/zero > {bench.path('cache')}; exec tail -f /dev/null")
        check("page cache takes 80 of 100 MiB of a cgroup", lambda: read_number(directory + "/memory.usage_in_bytes") > 80 * MIB)
        running = watcher(bench, "cgroup", process.pid, [servers.url["alertmanager"], tick.url], max_cgroup_percent=60)
        check("it is watched, for some looks", lambda: len(tick.requests) >= 3)
        check("nothing fires", lambda: "firing" not in bench.tail("cgroup"), 0)
        hungry = bench.start("hungry", "sh", "-c", f"echo $$ > {directory}/inner/cgroup.procs; exec {sys.executable} -c 'import time; x = b\"x\" * {70 * MIB}; time.sleep(600)'")
        check("another process of it takes 70 of 100 MiB, which its parent has for a limit: an alert", lambda: alerts_of(servers, process.pid))
        end(hungry, signal.SIGKILL)
        check("and its end when that is gone", lambda: not alerts_of(servers, process.pid))
        end(cache, signal.SIGKILL), end(running), end(process)
    finally:
        for process in bench.processes:
            process.poll()
        for inner in ("/inner", ""):
            os.rmdir(directory + inner)


def check_cgroup_trees(bench):
    """What kernels show that this machine does not run: files as they have them."""
    spec = importlib.util.spec_from_file_location("plugin", os.path.join(PLUGINS, PLUGIN))
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    v2 = "1 0 0:1 %s /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    v1 = "1 0 0:1 %s /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n2 0 0:2 / /sys/fs/cgroup/hugetlb rw - cgroup cgroup rw,hugetlb\n"
    trees = {
        "version 2": (v2 % "/", "0::/a/b\n", {"a/b/memory.current": 90, "a/b/memory.max": 100, "a/b/memory.stat": "anon 5\ninactive_file 40\nfile 3"}, 50),
        "version 2, the limit above": (v2 % "/", "0::/a/b\n", {"a/b/memory.current": 10, "a/b/memory.max": "max", "a/memory.current": 80, "a/memory.max": 100}, 80),
        "version 2 without a limit": (v2 % "/", "0::/a\n", {"a/memory.current": 90, "a/memory.max": "max"}, 0),
        "version 2 in a container": (v2 % "/", "0::/\n", {"memory.current": 30, "memory.max": 40}, 75),
        "version 2 in a container with the host's names": (v2 % "/docker/x", "0::/docker/x\n", {"memory.current": 30, "memory.max": 40}, 75),
        "version 2, huge pages": (v2 % "/", "0::/a\n", {"a/memory.current": 1, "a/memory.max": 100, "a/hugetlb.2MB.current": 9, "a/hugetlb.2MB.max": 10, "a/hugetlb.1GB.current": 0, "a/hugetlb.1GB.max": "max"}, 90),
        "version 1": (v1 % "/", "4:memory:/a\n3:cpu:/b\n", {"memory/a/memory.usage_in_bytes": 90, "memory/a/memory.limit_in_bytes": 100, "memory/a/memory.stat": "inactive_file 1\ntotal_inactive_file 30"}, 60),
        "version 1 without a limit": (v1 % "/", "4:memory:/a\n", {"memory/a/memory.usage_in_bytes": 1 << 30, "memory/a/memory.limit_in_bytes": 9223372036854771712}, 0),
        "version 1 in a container": (v1 % "/docker/x", "4:memory:/docker/x\n", {"memory/memory.usage_in_bytes": 9, "memory/memory.limit_in_bytes": 10}, 90),
        "version 1, huge pages": (v1 % "/", "4:hugetlb:/a\n", {"hugetlb/a/hugetlb.2MB.usage_in_bytes": 7, "hugetlb/a/hugetlb.2MB.limit_in_bytes": 10}, 70),
        "no memory controller": (v2 % "/", "0::/a\n", {"a/cgroup.procs": 5}, 0),
        "no cgroups": ("1 0 0:1 / / rw - ext4 /dev/x rw\n", "", {}, 0),
    }
    for index, (what, (mounts, groups, files, expected)) in enumerate(trees.items()):
        root = bench.path(f"tree-{index}")
        for path, content in {"proc/self/mountinfo": mounts, "proc/7/cgroup": groups, **{"sys/fs/cgroup/" + name: value for name, value in files.items()}}.items():
            os.makedirs(os.path.dirname(f"{root}/{path}"), exist_ok=True)
            write(f"{root}/{path}", content)
        found = plugin.cgroup_percent(7, root)
        check(f"cgroup of {what}: {expected}%", lambda: round(found) == expected, 0)
