"""All plugins below one launcher, beside LMCache's own configuration, metrics and API server."""

import collections
import contextlib
import json
import os
import re
import signal
import socket
import sys
import threading
import time

import engine
from bench import PLUGINS, ROOT, VENV, ask, check, command_line, descendants, end, is_alive, until
from lines import Lines
from servers import Servers, alertmanager_template

LINES = 100_000


def run(bench):
    with alertmanager_template():
        run_all(bench)


def run_all(bench):
    quick = bench.quick
    servers = Servers(bench)
    servers.reserve("pushgateway", "api")
    servers.start("pushgateway", "prometheus", "victoria", "alertmanager", "discover", "rsyslog")
    lines = Lines(bench.path("engine-worker-0.log"), servers.received())
    host = socket.gethostname()
    settings = {
        "all_metrics_reporter.pushgateway": servers.url["pushgateway"],
        "all_metrics_reporter.interval": 1,
        "all_log_reporter.server": f"127.0.0.1:{servers.ports['rsyslog']}",
        "all_log_reporter.file": bench.path("engine-{role}-{worker_id}.log"),
        "all_log_reporter.interval": 0.2,
        "worker_process_alert.alertmanager": servers.url["alertmanager"],
        "worker_process_alert.max_rss_mib": 300,
        "worker_process_alert.max_threads": 1000,
        "worker_process_alert.for": 1,
        "worker_process_alert.interval": 0.5,
        "all_heartbeat.url": servers.url["discover"] + "/heartbeat",
        "all_heartbeat.interval": 1,
        "all_heartbeat.version": "0.5.6",
    }
    document = {"chunk_size": 256, "internal_api_server_enabled": True, "internal_api_server_port_start": servers.ports["api"] - 1}
    document["extra_config"] = {f"plugin.{name}": value for name, value in settings.items()}
    bench.write("lmcache.yaml", json.dumps(document, indent=1))  # which is YAML, too
    target = bench.start("engine", VENV + "/bin/python", engine.__file__, "lmcache.yaml", "0")
    check("LMCache's own configuration and internal API server are up", lambda: os.path.exists(bench.path("config.json")) and ask(servers.url["api"] + "/metrics"), 60)
    with open(bench.path("config.json")) as file:
        config = file.read()

    def launch(name, *options, env=None):
        command = [bench.launcher, "run", "--role", "worker", "--parent-pid", str(target.pid), *options, PLUGINS]
        return bench.start(name, *command, env={"LMCACHE_PLUGIN_CONFIG": config, **(env or {})})

    running = launch("launcher")
    ours = f'{{job="lmcache",instance="{host}",role="worker",worker="%d"}}'
    counter = "lmcache:num_retrieve_requests_total" + ours
    check("Prometheus has the metric, pushed through the Pushgateway", lambda: servers.metric("prometheus", counter % 0) == ["1"])
    node = f"http://{host}:{servers.ports['api']}"
    check("the discover service lists the node, its process and version", lambda: (servers.nodes()[node]["pid"], servers.nodes()[node]["version"]) == (target.pid, "0.5.6") if node in servers.nodes() else None)

    # A second worker, to VictoriaMetrics, and without curl.
    minimal = bench.path("bin")
    os.mkdir(minimal)
    for tool in ("sh", "readlink", "od", "tr", "sed", "sleep", "timeout", "wget"):
        os.symlink(ROOT + "/bin/busybox", os.path.join(minimal, tool))
    os.symlink(sys.executable, os.path.join(minimal, "python3"))
    other = {
        "all_metrics_reporter.pushgateway": None,
        "all_metrics_reporter.victoriametrics": servers.url["victoria"],
        "all_metrics_reporter.url": servers.url["api"] + "/metrics",
        "all_log_reporter.server": None,
        "worker_process_alert.alertmanager": None,
        "all_heartbeat.api_address": "http://second:1/?a=b&c=d e",
    }
    extra = json.dumps({f"plugin.{name}": value for name, value in other.items()})
    second = launch("launcher-2", "--worker-id", "1", "--extra-config", extra, env={"PATH": minimal})
    check("VictoriaMetrics has the metric, imported", lambda: servers.metric("victoria", counter % 1) == ["1"], 40)
    check("the discover service lists the second node, by busybox wget, its odd address intact", lambda: "http://second:1/?a=b&c=d e" in servers.nodes())
    seconds = end(second)
    check(f"the second launcher ended with 0 on SIGTERM, in {seconds:.2f} s", lambda: second.returncode == 0 and seconds < 5, 0)

    # A third, all of whose servers take connections and never answer.
    hole, taken = socket.create_server(("127.0.0.1", 0), backlog=64), []
    nowhere = f"127.0.0.1:{hole.getsockname()[1]}"
    hanging = {
        "all_metrics_reporter.pushgateway": "http://" + nowhere,
        "all_metrics_reporter.url": servers.url["api"] + "/metrics",
        "all_metrics_reporter.timeout": 1,
        "all_log_reporter.server": nowhere,
        "all_log_reporter.file": bench.path("lmcache.yaml"),
        "all_log_reporter.timeout": 1,
        "worker_process_alert.alertmanager": "http://" + nowhere,
        "worker_process_alert.max_fds": 1,
        "worker_process_alert.timeout": 1,
        "all_heartbeat.url": f"http://{nowhere}/heartbeat",
        "all_heartbeat.timeout": 1,
    }
    third = launch("launcher-3", "--worker-id", "2", "--extra-config", json.dumps({f"plugin.{name}": value for name, value in hanging.items()}))
    check("each plugin says that its server hangs", lambda: bench.tail("launcher-3").count("is away") == 3 and "hangs, waiting" in bench.tail("launcher-3"))
    check("and goes on trying, in silence", lambda: connections_to(hole, taken) >= 8, 30)
    check("not a line of it is said twice", lambda: max(collections.Counter(re.findall(r"(?m)^\[all_[hlm].*|^\[worker_p.*", bench.tail("launcher-3"))).values()) == 1, 0)
    seconds = end(third)
    check(f"it ended with 0 on SIGTERM nevertheless, in {seconds:.2f} s", lambda: third.returncode == 0 and seconds < 5 and "killed" not in bench.tail("launcher-3"), 0)
    hole.close()

    check("no alert at first", lambda: not servers.alerts(), 0)
    target.send_signal(signal.SIGUSR1)
    alert = check("an alert fires in Alertmanager once the limit is crossed", servers.alerts)[0]
    check("its labels say what and where", lambda: alert["labels"] == {**alert["labels"], "limit": "max_rss_mib", "role": "worker", "worker": "0", "instance": host}, 0)
    print(f"      {alert['annotations']['summary']}")
    target.send_signal(signal.SIGUSR2)
    check("it resolves once the process is well again", lambda: not servers.alerts())

    lines.write(LINES * 3 // 10)
    lines.rotate()
    check(f"the first {lines.written} lines are in rsyslog's file, across a rotation", lambda: lines.all_there() and lines.is_confirmed(), 60)
    end(servers.processes["rsyslog"])
    lines.write(LINES * 3 // 10)
    check("the log reporter notices that rsyslog is away", lambda: "does not take our lines" in bench.tail("launcher"))
    servers.start("rsyslog")
    check(f"{lines.written} lines are there after a restart of rsyslog", lines.all_there, 60)
    writer = threading.Thread(target=lines.write, args=(LINES - lines.written, 10_000))
    at = lines.written
    writer.start()
    until(lambda: lines.written > at + LINES // 10, 60)
    seconds = end(running)
    check(f"the launcher ended with 0 on SIGTERM amid the lines, in {seconds:.2f} s", lambda: running.returncode == 0 and seconds < 5, 0)
    check("the group is gone from the Pushgateway", lambda: "lmcache:" not in ask(servers.url["pushgateway"] + "/metrics"))
    check("and the metric from Prometheus", lambda: servers.metric("prometheus", counter % 0) == [])
    running = launch("launcher", "--restart", "on-failure")
    writer.join()
    check(f"{lines.written} lines are there after a restart of the plugin", lines.all_there, 60)
    check(f"each of the {LINES} lines exactly once, in order", lambda: lines.numbers() == list(range(LINES)), 0)

    if not quick:
        writer = threading.Thread(target=lines.write, args=(LINES // 2, 10_000))
        writer.start()
        while writer.is_alive():
            arrived = os.path.getsize(servers.received())
            until(lambda: os.path.getsize(servers.received()) > arrived + 1_000_000 or not writer.is_alive(), 20)
            end(servers.processes["rsyslog"])
            servers.start("rsyslog")
            arrived = os.path.getsize(servers.received())
            until(lambda: os.path.getsize(servers.received()) > arrived + 500_000 or not writer.is_alive(), 20)
            for pid in descendants(running.pid):
                if b"all_log_reporter" in command_line(pid):
                    os.kill(pid, signal.SIGKILL)
        check("rsyslog restarted and the plugin SIGKILLed amid the lines, again and again: none lost", lines.all_there, 90)
        with open(servers.received(), "rb") as file:
            copies = collections.Counter(re.findall(rb'inode="\d+" offset="\d+"', file.read()))
        again = sum(copies.values()) - len(copies)
        check(f"{again} of them sent twice, to be known by their inode and offset", lambda: len(lines.numbers()) - again == lines.written == len(copies), 0)

    children = check("the launcher is back with its plugins", lambda: len(descendants(running.pid)) >= 6 and descendants(running.pid))
    beat = lambda: servers.nodes(hour=1)[node]["lastReportTime"]
    at = beat()
    check("the node is renewed", lambda: beat() > at)
    end(running, signal.SIGKILL)
    check(f"the launcher was SIGKILLed: its {len(children)} processes are gone", lambda: not any(is_alive(pid) for pid in children))
    at, killed = beat(), time.monotonic()
    check("the node is not renewed for 5 s, five times its interval", lambda: time.monotonic() > killed + 5 and beat() == at, 6)
    if not quick:
        check("a minute later the discover service no longer lists it", lambda: node not in servers.nodes(minute=1), 70)


def connections_to(listener, taken):
    """How many there have been. They are taken to be counted, and kept open."""
    listener.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            taken.append(listener.accept()[0])
    return len(taken)
