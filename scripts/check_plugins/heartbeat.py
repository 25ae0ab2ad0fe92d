"""The heartbeat by itself: services, proxies and tools as people have them."""

import contextlib
import http.server
import json
import os
import shutil
import ssl
import threading
import urllib.parse

from bench import ROOT, check, end, until
from certificates import make_certificates
from peers import Hole

PLUGIN = "all_heartbeat.sh"
TOOLS = ("sh", "sed", "od", "tr", "sleep", "timeout")  # and one to send with

WRONG = {
    "url": ["ftp://host/", "http://a b/", 'http://a"b/', "/path", "http://"],
    "interval": ["abc", None, 0, -1, "", True, [1], {}, 1e300, 100_000],
    "timeout": ["abc", None, 0, -1, "5s"],
    "parameters": ["yes", None, 0],
    "version": [None, 'a"b', "a\nb"],
    "api_address": ["a\\b"],
    "headers": ["Authorization: x", ["a"], {"A b": "c"}, {"A": 'b"c'}, {"A": "b\r\nC: d"}],
    "bearer_token_file": ['a"b'],
    "ca_file": ['a"b'],
    "intervall": [1],
}


class Service(http.server.ThreadingHTTPServer):
    """Answers with a status of ours, and keeps what it was asked."""

    def __init__(self):
        self.status, self.asked, self.location = 200, [], None
        super().__init__(("127.0.0.1", 0), Answer)
        self.address = "127.0.0.1:%d" % self.server_port
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        pass  # a client that goes in the middle


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        self.send_response(self.server.status)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def run(bench):
    settings(bench)
    for tool in ("curl", "wget", "busybox"):
        answers(bench, tool)
    addresses(bench)
    certificates(bench)
    launchers(bench)


def settings(bench):
    started = []
    for name, values in WRONG.items():
        for value in values:
            started.append((name, value, bench.plugin(PLUGIN, {"url": "http://127.0.0.1:1/", name: value}, f"wrong-{len(started)}")))
    for name, value, process in started:
        until(lambda: process.poll() is not None, 20)
        said = bench.tail(process.name)
        if process.poll() != 2 or said.count("\n") != 1 or f"plugin.all_heartbeat.{name}" not in said:
            raise AssertionError(f"{name} = {value!r} ended with {process.poll()}: {said[:500]}")
    check(f"{len(started)} wrong settings each end it with status 2 and one line that names the setting", lambda: True)
    off = bench.plugin(PLUGIN, {"url": None, "interval": 1}, "off")
    check("without a URL it says so and ends with 0", lambda: off.poll() == 0 and "not enabled" in bench.tail("off"))


def path_with(bench, tool):
    """A PATH with nothing but what README.md names, and the tool: with bash beside curl, and
    with nothing that is not of busybox."""
    path = bench.path("bin-" + tool)
    os.makedirs(path, exist_ok=True)
    for name in [*TOOLS, tool]:
        target = shutil.which("bash" if (name, tool) == ("sh", "curl") else name)
        with contextlib.suppress(FileExistsError):
            os.symlink(ROOT + "/bin/busybox" if tool == "busybox" else target, os.path.join(path, name))
    return path


def answers(bench, tool):
    service, elsewhere, hole = Service(), Service(), Hole()
    env = {"PATH": path_with(bench, tool)}
    with open(bench.path("the token"), "w") as file:
        file.write("s3cret-token\n")
    settings = {
        "url": f"http://user:passw0rd@{service.address}/beat?key=s3cret",
        "interval": 0.2,
        "headers": {"X-Scope": "a b", "X-Other": "c=d,e:f{g}"},
        "bearer_token_file": bench.path("the token"),
    }
    process = bench.plugin(PLUGIN, settings, tool, env=env)
    said = lambda: bench.tail(tool)
    check(f"{tool}: it is heard", lambda: "takes our heartbeats" in said() and len(service.asked) > 2)
    path, headers = service.asked[-1]
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(path).query))
    check(f"{tool}: with the query of the URL, and our parameters", lambda: query["key"] == "s3cret" and query["pid"] == str(os.getpid()) and query["version"] == "unknown", 0)
    check(f"{tool}: with the headers, and the token", lambda: headers["X-Scope"] == "a b" and headers["X-Other"] == "c=d,e:f{g}" and headers["Authorization"] == "Bearer s3cret-token", 0)
    for status, reason in ((503, "HTTP 503"), (401, "HTTP 401"), (302, "HTTP 302")):
        service.location = f"http://user:passw0rd@{elsewhere.address}/else?key=s3cret" if status == 302 else None
        service.status = status
        check(f"{tool}: {reason} is a change, and said", lambda: reason in said(), 40)
    check(f"{tool}: with the target of the redirect", lambda: f"leads to http://{elsewhere.address}/else\n" in said(), 0)
    if tool != "busybox":  # which cannot be kept from it
        check(f"{tool}: which nobody goes to", lambda: not elsewhere.asked, 0)
    service.status, service.location = 200, None
    check(f"{tool}: it is heard again", lambda: said().count("takes our heartbeats") == 2, 40)
    os.unlink(bench.path("the token"))
    check(f"{tool}: a token that is not there is said", lambda: "no token in bearer_token_file" in said())
    end(process)
    check(f"{tool}: each of it once, and no secret", lambda: len(set(said().splitlines())) == len(said().splitlines()) - 1 and not any(secret in said() for secret in ("s3cret", "passw0rd")), 0)

    away = {"refused": "127.0.0.1:1", "unknown": "nowhere.invalid", "hangs": hole.address}
    processes = {name: bench.plugin(PLUGIN, {"url": address + "/?key=s3cret", "interval": 0.2, "timeout": 1}, f"{tool}-{name}", env=env) for name, address in away.items()}
    for name, process in processes.items():
        check(f"{tool}, a service that {name}: said with a reason", lambda: "is away, trying on: " in bench.tail(process.name))
        print("      " + bench.tail(process.name).splitlines()[1])
    seconds = max(end(process) for process in processes.values())
    check(f"{tool}: they ended with 0 on SIGTERM, in at most {seconds:.1f} s", lambda: seconds < 2 and all(process.returncode == 0 for process in processes.values()), 0)


def addresses(bench):
    """What is announced, by the configuration and the environment."""
    service = Service()
    host = os.uname().nodename
    api = {"internal_api_server_enabled": True, "internal_api_server_port_start": 7000}
    cases = {
        "the host and the port of worker 0": (api, {}, f"http://{host}:7001"),
        "worker 08": (api, {"LMCACHE_PLUGIN_WORKER_ID": "08"}, f"http://{host}:7009"),
        "the scheduler, whose id is -1": (api, {"LMCACHE_PLUGIN_ROLE": "scheduler", "LMCACHE_PLUGIN_WORKER_ID": "-1"}, f"http://{host}:7000"),
        "the host that it listens on": ({**api, "internal_api_server_host": "10.1.2.3"}, {"POD_IP": "10.9.9.9"}, "http://10.1.2.3:7001"),
        "the node where it listens on its loopback interface, as by default": ({**api, "internal_api_server_host": "127.0.0.1"}, {}, f"http://{host}:7001"),
        "POD_IP where it listens on all": ({**api, "internal_api_server_host": "0.0.0.0"}, {"POD_IP": "10.9.9.9"}, "http://10.9.9.9:7001"),
        "POD_IP of version 6": (api, {"POD_IP": "fd00::1"}, "http://[fd00::1]:7001"),
        "the setting `node`": ({**api, "node": "n1"}, {"POD_IP": "10.9.9.9"}, "http://n1:7001"),
        "a disabled API": ({**api, "internal_api_server_enabled": False}, {}, f"{host}/WORKER/0"),
        "a process that is not on its list": ({**api, "internal_api_server_include_index_list": [0, 2]}, {}, f"{host}/WORKER/0"),
        "one that is": ({**api, "internal_api_server_include_index_list": [0, 1]}, {}, f"http://{host}:7001"),
        "the multiprocess server": ({"http_config": {"http_host": "0.0.0.0", "http_port": 8080}, "mp_config": {}}, {"LMCACHE_PLUGIN_ROLE": ""}, f"http://{host}:8080"),
    }
    for index, (what, (document, env, expected)) in enumerate(cases.items()):
        document = dict(document)
        given = {"plugin.all_heartbeat.url": f"http://{service.address}/{index}", "plugin.all_heartbeat.interval": 0.2}
        if "node" in document:
            given["plugin.all_heartbeat.node"] = document.pop("node")
        document["runtime_plugin_extra_config" if "mp_config" in document else "extra_config"] = given
        process = bench.plugin(PLUGIN, {}, f"address-{index}", env={**env, "LMCACHE_PLUGIN_CONFIG": json.dumps(document, indent=1)})
        announced = lambda: [dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(path).query))["api_address"] for path, _ in service.asked if path.startswith(f"/{index}?")]
        check(f"{what}: {expected}", lambda: announced()[:1] == [expected])
        end(process)


def certificates(bench):
    make_certificates(bench)
    service = Service()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(bench.path("server.crt"), bench.path("server.key"))
    context.load_verify_locations(bench.path("ca.crt"))
    context.verify_mode = ssl.CERT_REQUIRED
    service.socket = context.wrap_socket(service.socket, server_side=True)
    good = {"ca_file": bench.path("ca.crt"), "cert_file": bench.path("client.crt"), "key_file": bench.path("client.key")}
    for tool in ("curl", "wget"):
        env = {"PATH": path_with(bench, tool)}
        url = {"url": f"https://{service.address}/", "interval": 0.2, "parameters": False}
        well = bench.plugin(PLUGIN, {**url, **good}, f"{tool}-tls", env=env)
        other = bench.plugin(PLUGIN, {**url, **good, "ca_file": bench.path("other-ca.crt")}, f"{tool}-tls-other", env=env)
        check(f"{tool}: TLS, each side's certificate verified", lambda: "takes our heartbeats" in bench.tail(well.name))
        check(f"{tool}: another CA is refused", lambda: "is away" in bench.tail(other.name))
        print("      " + bench.tail(other.name).splitlines()[1])
        end(well)
        end(other)
    process = bench.plugin(PLUGIN, {"url": f"https://{service.address}/", **good}, "busybox-tls", env={"PATH": path_with(bench, "busybox")})
    check("busybox does not verify: it is not asked to", lambda: process.poll() == 1 and "busybox does not verify" in bench.tail("busybox-tls"))


def launchers(bench):
    service = Service()
    renamed = bench.path("launch")
    shutil.copy(bench.launcher, renamed)
    settings = {"url": f"http://{service.address}/"}
    process = bench.plugin(PLUGIN, settings, "renamed", env={"LMCACHE_PLUGIN_LAUNCHER_BIN": renamed})
    check("a launcher of another name reads the settings, too", lambda: "takes our heartbeats" in bench.tail("renamed"))
    end(process)
    process = bench.plugin(PLUGIN, settings, "none", env={"LMCACHE_PLUGIN_LAUNCHER_BIN": "/nonexistent"})
    check("without one it says what is missing, and ends with 1", lambda: process.poll() == 1 and "LMCACHE_PLUGIN_LAUNCHER_BIN" in bench.tail("none"))
