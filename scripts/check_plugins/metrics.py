"""The metrics reporter by itself: servers, proxies and pages as people have them."""

import contextlib
import json
import os
import re
import signal
import socket
import sys

import engine
import metrics_ways
import settings
from bench import PLUGINS, VENV, ask, check, end, free_port, until
from fake import Fake, answer, drip
from reporting import PAGE, PLUGIN, SECRET, Source, check_no_secret, group, reporter, value
from servers import Servers

BOTH_ROLES = b'# TYPE lmcache:g gauge\nlmcache:g{role="scheduler"} 0\nlmcache:g{role="worker"} 42\n'


def run(bench):
    servers = Servers(bench)
    servers.start("pushgateway", "prometheus", "victoria")
    check_settings(bench)
    check_two_roles(bench, servers)
    check_labels(bench, servers)
    check_nothing_stale(bench, servers)
    check_refusals(bench, servers)
    check_deadlines(bench, servers)
    metrics_ways.check_connections(bench, servers)
    metrics_ways.check_keys(bench, servers)
    metrics_ways.check_launcher(bench, servers)
    metrics_ways.check_own_launcher(bench, servers)
    metrics_ways.check_collector(bench)


def check_settings(bench):
    good = {"pushgateway": "http://127.0.0.1:9", "url": "http://127.0.0.1:9"}
    numbers = [None, "abc", "5", 0, -1, True, [], {}, 1e300, float("nan"), float("inf")]
    wrong = {
        "interval": numbers,
        "timeout": numbers,
        "match": [None, 5, "(", "*", []],
        "job": [None, 5, "", "a\nb"],
        "instance": [None, True, ""],
        "headers": ["a", ["a: b"], {"a b": "c"}, {"a": 5}, {"a": "b\nc"}, {"a": "é"}],
        **{name: ["", 5, "ftp://h", "http://", "http://h:0", "http://h:99999", "http://h:x", "http://[::1", "a b", "http://h\n", []] for name in ("pushgateway", "url")},
        **{name: [5, "", "a\0b", []] for name in ("bearer_token_file", "basic_auth_file", "ca_file", "cert_file", "scrape_ca_file", "scrape_bearer_token_file")},
        "key_file": ["/without-a-certificate"],
        "victoriametrics": ["http://two.targets"],
        "intervall": [5],
    }
    settings.check_wrong(bench, PLUGIN, good, wrong)
    settings.check_not_enabled(bench, PLUGIN, {"interval": 5})


def check_two_roles(bench, servers):
    """LMCache's own metrics with two managers in one process, whose endpoints show the same page."""
    port = next(port for port in iter(free_port, None) if can_be_bound(port + 1))
    config = {"chunk_size": 256, "internal_api_server_enabled": True, "internal_api_server_port_start": port}
    bench.write("lmcache.yaml", json.dumps(config))
    process = bench.start("engine", VENV + "/bin/python", engine.__file__, "lmcache.yaml", "0", "scheduler", "worker")
    check("LMCache is up in both roles", lambda: os.path.exists(bench.path("config.json")) and "worker" in ask(f"http://127.0.0.1:{port + 1}/metrics"), 60)
    with open(bench.path("config.json")) as file:
        document = json.load(file)
    for kind in ("pushgateway", "victoriametrics"):
        document["extra_config"] = {f"plugin.all_metrics_reporter.{name}": value for name, value in {kind: servers.url[kind.removesuffix("metrics")], "interval": 0.2}.items()}
        env = {"LMCACHE_PLUGIN_CONFIG": json.dumps(document)}
        running = [bench.plugin(PLUGIN, {}, f"{kind}-{role}", {**env, "LMCACHE_PLUGIN_ROLE": role}) for role in ("scheduler", "worker")]
        for role, endpoint, expected in (("scheduler", port, "1"), ("worker", port, "2"), ("scheduler", port + 1, "1"), ("worker", port + 1, "2")):
            selector = f'lmcache:num_retrieve_requests_total{{role="{role}",endpoint="127.0.0.1:{endpoint}",job="lmcache"}}'
            check(f"{kind}: {role} of port_start + {endpoint - port} has its own value", lambda: servers.metric("victoria" if kind == "victoriametrics" else "prometheus", selector) == [expected], 40)
        for reporter_of_role in running:
            end(reporter_of_role)
    end(process)


def can_be_bound(port):
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return True


def check_labels(bench, servers):
    source, other = Source(BOTH_ROLES), Source(PAGE % 7)
    first = reporter(bench, "two-roles", source, pushgateway=servers.url["pushgateway"])
    check("one process with two roles: the Pushgateway has both values", lambda: value(servers, source) == ["0", "42"])
    check("each under its own role", lambda: 'role="scheduler"' in group(servers, source)[0] and 'role="worker"' in group(servers, source)[1], 0)
    history = reporter(bench, "two-roles-victoria", source, victoriametrics=servers.url["victoria"])
    for role, expected in (("scheduler", "0"), ("worker", "42")):
        check(f"and VictoriaMetrics the {role}'s", lambda: servers.metric("victoria", f'lmcache:g{{role="{role}",job="lmcache",instance="{socket.gethostname()}"}}') == [expected], 40)
    second = reporter(bench, "second-engine", other, pushgateway=servers.url["pushgateway"])
    check("two engines on one host with the same settings: both are there", lambda: (value(servers, source), value(servers, other)) == (["0", "42"], ["7"]))
    seconds = end(second)
    check(f"one stops in {seconds:.2f} s: its values go, the other's stay", lambda: (value(servers, source), value(servers, other)) == (["0", "42"], []), 2)
    source.page = b'lmcache:g{job="a",instance="b"} 1 1700000000000\nlmcache:g{job="c",instance="b",exported_job="d",say="}\\"\\\\ \xe2\x80\xa8"} 2\n'
    check("labels and times that would get in the way arrive as Prometheus would have them", lambda: value(servers, source) == ["1", "2"] and all('exported_job="' in line and 'job="lmcache"' in line for line in group(servers, source)))
    check("Prometheus has them from the Pushgateway", lambda: sorted(servers.metric("prometheus", f'lmcache:g{{endpoint="{source.address}",exported_instance="b"}}')) == ["1", "2"])
    end(first)
    end(history)


def check_nothing_stale(bench, servers):
    """Each page that cannot be had whole: the old values have to go."""
    source = Source()
    running = reporter(bench, "stale", source, pushgateway=servers.url["pushgateway"])
    full = PAGE % 123456
    pages = {
        "a page without a metric for us": b"# TYPE other gauge\nother 1\n",
        "an empty page": b"",
        "404": lambda request: answer("404 Not Found"),
        "500 with half a body": lambda request: b"HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\nhalf",
        "no answer": drip(b"", b"", 60),
        "one byte a second": drip(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(full), b"#", 0.5),
        "a head of one byte a second": drip(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x", 0.5),
        "a page cut by its length": lambda request: answer("200 OK", full)[:-5],
        "a page cut in a chunk": lambda request: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n" + full[:-4],
        "a page of unknown length, cut": lambda request: b"HTTP/1.1 200 OK\r\n\r\n" + full[:-4],
        "a page of 33 MiB": lambda request: b"HTTP/1.1 200 OK\r\n\r\n" + full * ((33 << 20) // len(full)),
        "a page for people": lambda request: answer("200 OK", b"<html>\n", "Content-Type: text/html"),
        "a line that is no metric": full + b"what is this\n",
        "labels that are none": b'lmcache:g{a="b"c} 1\n',
        "a value that is no number": b"lmcache:g one\n",
        "a connection that is closed": lambda request: b"",
        "a TLS alert": lambda request: b"\x15\x03\x01\x00\x02\x02\x46",
        "a status line that is none": lambda request: b"SSH-2.0-OpenSSH\r\n",
        "a redirect": lambda request: answer("302 Found", b"", "Location: http://127.0.0.1:1/"),
        "a page that the Pushgateway refuses": b"# TYPE lmcache:g gauge\nlmcache:g 1\nlmcache:g 2\n",
    }
    for what, page in pages.items():
        source.page = PAGE % 1
        if not until(lambda: value(servers, source) == ["1"], 10):
            raise AssertionError(f"the values are back before {what}")
        source.page = page
        check(f"{what}: the old values are gone", lambda: not value(servers, source), 5)
    log = bench.tail("stale")
    check("a line was said of each, and no traceback", lambda: len(log.splitlines()) >= 2 * len(pages) and "Traceback" not in log and running.poll() is None, 0)
    source.page = PAGE % 1
    until(lambda: value(servers, source) == ["1"], 10)
    end(running, signal.SIGKILL)
    source.page = b""
    check("SIGKILLed: they stay, which cannot be helped", lambda: value(servers, source) == ["1"], 0)
    running = reporter(bench, "stale-again", source, pushgateway=servers.url["pushgateway"])
    check("but the next one without metrics deletes what it was left", lambda: not value(servers, source))
    end(running)


def check_refusals(bench, servers):
    """Servers that do not take what they are sent; nothing counts as pushed, nothing follows."""
    source, elsewhere = Source(), Fake(lambda request: answer("200 OK"))
    target = Fake(lambda request: answer("200 OK"))
    for status in ("301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"):
        redirecting = Fake(lambda request: answer(status, b"", f"Location: http://user:{SECRET}@{elsewhere.address}/new?token={SECRET}"))
        for kind in ("pushgateway", "victoriametrics", "otlp"):
            name = f"redirect-{status[:3]}-{kind}"
            running = reporter(bench, name, source, headers={"Authorization": SECRET}, **{kind: redirecting.url})
            check(f"{status[:3]} of {kind} is an error that names the target", lambda: f"refuses: {status}: it redirects to http://{elsewhere.address}/new\n" in bench.tail(name))
            end(running)
            check_no_secret(bench, name)
    check("nobody followed a redirect", lambda: not elsewhere.requests, 0)
    away = Fake(lambda request: answer("503 Service Unavailable"))
    running = reporter(bench, "backoff", source, pushgateway=away.url)
    pushes = check("a server that refuses is tried four times", lambda: [request.at for request in away.requests if request.method == "PUT"][3:] and [request.at for request in away.requests if request.method == "PUT"])
    check("after 1, 2 and 4 seconds, whatever the interval", lambda: all(later - before > delay * 0.9 for before, later, delay in zip(pushes, pushes[1:], (1, 2, 4))), 0)
    check("and one line is said", lambda: bench.tail("backoff").count(" refuses: ") == 1, 0)
    end(running)
    states = ["503 Service Unavailable", "503 Service Unavailable", "401 Unauthorized", "401 Unauthorized", "202 Accepted"]
    target.answer = lambda request: answer(states.pop(0) if len(states) > 1 else states[0], f"you sent {request.headers}".encode())
    running = reporter(bench, "changes", source, pushgateway=target.url, headers={"X-Key": SECRET})
    check("503, then 401, then well: three lines", lambda: "takes our metrics" in bench.tail("changes"))
    said = [line.split(" ", 1)[1] for line in bench.tail("changes").splitlines() if line.startswith(target.url)]
    check("each with its reason", lambda: [line[:13] for line in said] == ["refuses: 503 ", "refuses: 401 ", "takes our met"], 0)
    check_no_secret(bench, "changes")
    end(running)
    for what, reply in {
        "a page for people": answer("200 OK", b"<html>welcome", "Content-Type: text/html; charset=utf-8"),
        "an error whose body never ends": drip(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 100\r\n\r\n", b"x", 0.3),
        "an error whose body is cut": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 100\r\n\r\nx",
        "a redirect to what is no URL": answer("302 Found", b"", "Location: http://[::1"),
        "an error in control characters": answer("500 \x1b[31mred", b"\x1b[2J\x00\xff"),
    }.items():
        target.answer = reply if callable(reply) else lambda request: reply
        name = what.replace(" ", "-")
        running = reporter(bench, name, source, pushgateway=target.url)
        check(f"{what} is an error in one line", lambda: re.search(r" refuses: (it answers|502 Bad Gateway|500 |302 Found: it redirects to what is no URL).*\n", bench.tail(name)))
        end(running)
        check("no traceback, no control characters", lambda: "Traceback" not in bench.tail(name) and bench.tail(name).replace("\n", "").isprintable(), 0)
    target.answer = lambda request: answer("200 OK", b'{"partialSuccess":{"rejectedDataPoints":"3","errorMessage":"too old"}}', "Content-Type: application/json")
    running = reporter(bench, "partial", source, otlp=target.url)
    check("a partial success of OTLP is none", lambda: "refuses: 3 data points: too old" in bench.tail("partial"))
    end(running)


def check_deadlines(bench, servers):
    """SIGTERM is heard whatever a server, a proxy or a name server does."""
    source = Source()
    stalled = Source(drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"#", 0.4))
    for what, options in {
        "a scrape that drips": {"source": stalled, "pushgateway": servers.url["pushgateway"], "timeout": 60},
        "a push that is never answered": {"source": source, "pushgateway": Fake(drip(b"", b"", 60)).url, "timeout": 60},
        "an answer that drips": {"source": source, "pushgateway": Fake(drip(b"HTTP/1.1 500 X\r\nY: ", b"z", 0.4)).url, "timeout": 60},
    }.items():
        running = reporter(bench, "deadline", **options)
        options["source"].requests.clear()
        until(lambda: options["source"].requests, 10)
        seconds = end(running)
        check(f"SIGTERM amid {what}: ended with 0 in {seconds:.2f} s", lambda: running.returncode == 0 and seconds < 3, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.99", 53))
        bench.write("resolv.conf", "nameserver 127.0.0.99\noptions timeout:30 attempts:5\n")
        script = f'mount --bind {bench.path("resolv.conf")} /etc/resolv.conf && exec "$@"'
        config = {f"plugin.all_metrics_reporter.{name}": value for name, value in {"url": source.url, "pushgateway": "http://no-such-host.example", "interval": 0.2, "timeout": 1}.items()}
        command = ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, os.path.join(PLUGINS, PLUGIN)]
        running = bench.start("name-server", *command, env={"LMCACHE_PLUGIN_CONFIG": json.dumps({"extra_config": config})})
        silent.settimeout(10)
        silent.recv(512)
        check("a name server that does not answer is an error after the timeout", lambda: "no answer within 1s" in bench.tail("name-server"), 5)
        seconds = end(running)
        check(f"and SIGTERM does not wait for it: ended with 0 in {seconds:.2f} s", lambda: running.returncode == 0 and seconds < 3.5, 0)
