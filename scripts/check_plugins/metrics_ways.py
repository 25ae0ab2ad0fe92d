"""The metrics reporter with credentials, proxies and keys, the launcher's own metrics, and OTLP."""

import glob
import json
import os
import re
import shutil
import socket
import subprocess
import threading

from bench import PLUGINS, REPOSITORY, check, end, free_port
from fake import Fake, answer
from gateway import Gateway, check_ways
from reporting import PAGE, PLUGIN, SECRET, Source, check_no_secret, reporter, value


def check_connections(bench, servers):
    source = Source()
    gateway = Gateway(bench, servers.address["pushgateway"])
    check_ways(bench, gateway, lambda name, address, **settings: reporter(bench, name, source, pushgateway=address, **settings), lambda: value(servers, source) == ["1"])
    proxy = Fake(lambda request: answer("202 Accepted"))
    running = reporter(bench, "proxy", source, {"http_proxy": f"http://user:{SECRET}@{proxy.address}", "no_proxy": ""}, pushgateway="http://gateway.example:9091")
    check("a proxy of the environment is used for the server", lambda: "takes our metrics" in bench.tail("proxy") and proxy.requests[-1].path.startswith("http://gateway.example:9091/metrics/job/lmcache/"))
    check("with its password, and not for scraping", lambda: proxy.requests[-1].headers["proxy-authorization"].startswith("Basic ") and all(request.method in ("PUT", "DELETE") for request in proxy.requests), 0)
    end(running)
    check_no_secret(bench, "proxy")
    for what in ("http://a:b", "socks5://127.0.0.1:9", f"http://user:{SECRET}@:x"):
        running = reporter(bench, "no-proxy", source, {"http_proxy": what, "no_proxy": ""}, pushgateway="http://gateway.example:9091")
        check("a proxy that is none is an error", lambda: "is not asked: http_proxy of the environment is no http:// URL" in bench.tail("no-proxy"))
        end(running)
        os.unlink(bench.path("no-proxy.log"))
    asked = Fake(lambda request: answer("202 Accepted"))
    running = reporter(bench, "query", source, pushgateway=f"{asked.address}/below/?token={SECRET}")
    check("an address with a path and a query: both are sent", lambda: asked.requests and re.fullmatch(r"/below/metrics/job/lmcache/.*\?token=" + SECRET, asked.requests[0].path))
    end(running)
    check_no_secret(bench, "query")
    path = bench.path("socket_7000")
    listening = Source(PAGE % 5)
    listening.listener.close()
    listening.listener = socket.socket(socket.AF_UNIX)
    listening.listener.bind(path)
    listening.listener.listen()
    threading.Thread(target=listening.serve, daemon=True).start()
    listening.address = path
    running = bench.plugin(PLUGIN, {"url": "unix:" + path, "interval": 0.2, "pushgateway": servers.url["pushgateway"]}, "unix")
    check("a Unix socket is scraped", lambda: value(servers, listening) == ["5"])
    end(running)


def check_keys(bench, servers):
    """LMCache's API key, from where its server has it; a fake one, that says what it was asked with."""
    source = Source(lambda request: answer("200 OK", PAGE % 9) if request.headers.get("authorization") == "Bearer " + SECRET else answer("401 Unauthorized"))
    bench.write("key", SECRET + "\n")
    ways = {
        "a setting": ({}, {"scrape_bearer_token_file": bench.path("key")}),
        "LMCACHE_API_KEY": ({"LMCACHE_API_KEY": SECRET}, {}),
        "LMCACHE_API_KEY_FILE": ({"LMCACHE_API_KEY_FILE": bench.path("key")}, {}),
        "LMCACHE_HTTP_API_KEY": ({"LMCACHE_HTTP_API_KEY": SECRET}, {}),
        "LMCACHE_HTTP_API_KEY_FILE": ({"LMCACHE_HTTP_API_KEY_FILE": bench.path("key")}, {}),
    }
    for what, (env, options) in ways.items():
        running = reporter(bench, "key-" + what, source, env, pushgateway=servers.url["pushgateway"], **options)
        check(f"LMCache's API key from {what}", lambda: value(servers, source) == ["9"])
        end(running)
        check_no_secret(bench, "key-" + what)
    config = {"mp_config": {"api_key_files": [bench.path("key")]}, "http_config": {"http_host": "127.0.0.1", "http_port": int(source.address.split(":")[1])}}
    config["runtime_plugin_extra_config"] = {"plugin.all_metrics_reporter.pushgateway": servers.url["pushgateway"], "plugin.all_metrics_reporter.interval": 0.2}
    running = bench.plugin(PLUGIN, {}, "key-document", {"LMCACHE_PLUGIN_CONFIG": json.dumps(config)})
    check("and from the multiprocess server's own document, with its address", lambda: value(servers, source) == ["9"])
    end(running)
    running = reporter(bench, "key-none", source, pushgateway=servers.url["pushgateway"])
    check("without one, one line says what to set", lambda: re.search("refuses: 401 Unauthorized: set .*scrape_bearer_token_file or LMCACHE_API_KEY_FILE .* or LMCACHE_API_KEY", bench.tail("key-none")))
    end(running)
    elsewhere = Source(lambda request: answer("401 Unauthorized"))
    elsewhere.listener.close()
    elsewhere.listener = socket.create_server(("127.0.0.2", 0))
    threading.Thread(target=elsewhere.serve, daemon=True).start()
    url = "http://127.0.0.2:%d/metrics" % elsewhere.listener.getsockname()[1]
    running = bench.plugin(PLUGIN, {"url": url, "interval": 0.2, "pushgateway": servers.url["pushgateway"]}, "key-elsewhere", {"LMCACHE_API_KEY": SECRET})
    check("another host is not sent it", lambda: elsewhere.requests and not any("authorization" in request.headers for request in elsewhere.requests))
    end(running)


def check_launcher(bench, servers):
    """The launcher's own metrics; a stand-in for its command, which does what is asked of it."""
    source = Source()
    page = "# HELP lmcache_plugin_up Whether it runs.\n# TYPE lmcache_plugin_up gauge\nlmcache_plugin_up{plugin=\"a.sh\"} 1\n# TYPE lmcache:g gauge\nlmcache:g{of=\"launcher\"} 3\n"
    bench.write("page", page)
    ways = {
        "well": (f"cat {bench.path('page')}", "says how its plugins are", {"1", "3"}),
        "not well": (f"cat {bench.path('page')}; exit 1", "says how its plugins are", {"1", "3"}),
        "away": ("exit 2", "is away: its status command ended with 2", set()),
        "silent": ("exec sleep 60", "is away: no answer within 1s", set()),
        "endless": ("exec yes", "refuses: its status is over 4 MiB", set()),
        "dripping": ("while echo '# x'; do sleep 0.1; done", "is away: no answer within 1s", set()),
        "no metrics": ("echo what is this", "refuses: line 1 of its page is no metric", set()),
    }
    for what, (script, said, values) in ways.items():
        bench.write("launcher-stand-in", f"#!/bin/sh\n[ \"$*\" = 'status --format prometheus' ] || exit 7\n{script}\n")
        os.chmod(bench.path("launcher-stand-in"), 0o755)
        env = {"LMCACHE_PLUGIN_LAUNCHER_BIN": bench.path("launcher-stand-in"), "LMCACHE_PLUGIN_LAUNCHER_CONTROL": "/a/socket"}
        running = reporter(bench, "launcher-" + what, source, env, pushgateway=servers.url["pushgateway"])
        check(f"a launcher that is {what}: it {said}", lambda: f"the launcher {said}\n" in bench.tail("launcher-" + what))
        check("LMCache's metrics arrive all the same, once each", lambda: sorted(value(servers, source)) == sorted(["1", *values]), 5)
        if values:
            source.page = lambda request: answer("500 Oops")
            check("and the launcher's where LMCache has none", lambda: set(value(servers, source)) == values)
            source.page = PAGE % 1
        seconds = end(running)
        check(f"ended in {seconds:.2f} s", lambda: seconds < 3 and not value(servers, source), 2)


def check_own_launcher(bench, servers):
    """The metrics of the launcher above the plugin, after another plugin of it was restarted twice."""
    source = Source()
    bench.write("crashes.sh", f"echo >> {bench.path('runs')}\n[ $(wc -l < {bench.path('runs')}) -gt 2 ] || exit 3\nexec sleep 600\n")
    config = {"url": source.url + "/metrics", "pushgateway": servers.url["pushgateway"], "interval": 0.2}
    document = {"extra_config": {f"plugin.all_metrics_reporter.{name}": value for name, value in config.items()}}
    command = [bench.launcher, "run", "--control", bench.path("control"), "--restart", "on-failure", "--parent-pid", str(os.getpid())]
    running = bench.start("launcher", *command, os.path.join(PLUGINS, PLUGIN), bench.path("crashes.sh"), env={"LMCACHE_PLUGIN_CONFIG": json.dumps(document)})
    for metric, expected in (("restarts_total", "2"), ("up", "1"), ("last_exit_status", "3")):
        selector = f'lmcache_plugin_{metric}{{plugin="crashes.sh",job="lmcache",endpoint="{source.address}"}}'
        check(f"Prometheus has {metric} {expected} of a plugin that was restarted twice", lambda: servers.metric("prometheus", selector) == [expected])
    check("and LMCache's own beside it", lambda: servers.metric("prometheus", f'lmcache:g{{endpoint="{source.address}"}}') == ["1"])
    end(running)


OTLP_PAGE = b"""# HELP lmcache:requests_total Requests.
# TYPE lmcache:requests_total counter
lmcache:requests_total{path="a\\\\b\\"c"} 12
# TYPE lmcache:hit_rate gauge
lmcache:hit_rate{role="scheduler"} 0.25
lmcache:hit_rate{role="worker"} NaN
# TYPE lmcache:seconds histogram
lmcache:seconds_bucket{le="0.5"} 1
lmcache:seconds_bucket{le="2"} 3
lmcache:seconds_bucket{le="+Inf"} 7
lmcache:seconds_sum 21.5
lmcache:seconds_count 7
# TYPE lmcache:lag summary
lmcache:lag{quantile="0.5"} 1.5
lmcache:lag{quantile="0.9"} NaN
lmcache:lag_sum 3
lmcache:lag_count 2
lmcache:untyped +Inf
"""


def check_collector(bench):
    """OTLP/HTTP in JSON: by the schema's own reader, and by a collector."""
    python = environment("collector")
    source, taker = Source(OTLP_PAGE), Fake(lambda request: answer("200 OK", b"{}", "Content-Type: application/json"))
    running = reporter(bench, "otlp", source, otlp=taker.address)
    check("OTLP is posted to /v1/metrics", lambda: "takes our metrics" in bench.tail("otlp") and taker.requests[0].path == "/v1/metrics" and taker.requests[0].headers["content-type"] == "application/json")
    end(running)
    bench.write("otlp.json", taker.requests[0].body.decode())
    read = subprocess.run([python, "-c", READ_OTLP, bench.path("otlp.json")], capture_output=True, text=True)
    expected = [
        "resource service.name=lmcache service.instance.id=" + socket.gethostname(),
        'lmcache:requests_total sum cumulative monotonic 12.0 path=a\\b"c',
        "lmcache:hit_rate gauge 0.25 nan",
        "lmcache:seconds histogram cumulative 7 21.5 [0.5, 2.0] [1, 2, 4]",
        "lmcache:lag summary 2 3.0 [(0.5, 1.5), (0.9, nan)]",
        "lmcache:untyped gauge inf",
    ]
    check("the schema's own reader finds what was on the page", lambda: read.stdout.splitlines() == expected or print(read.stdout, read.stderr), 0)
    odd = Source(b'# TYPE lmcache:h histogram\nlmcache:h_bucket{le="x"} 1\nlmcache:h_count NaN\n')
    running = reporter(bench, "otlp-odd", odd, otlp=taker.address)
    check("a histogram without numbers is an error", lambda: "is not asked: a histogram or summary" in bench.tail("otlp-odd"))
    end(running)
    agent = bench.path("rotel-agent")
    shutil.copy(glob.glob(os.path.dirname(os.path.dirname(python)) + "/lib/python*/site-packages/rotel/rotel-agent")[0], agent)
    os.chmod(agent, 0o755)
    address = f"127.0.0.1:{free_port()}"
    bench.start("collector", agent, "start", "--otlp-http-endpoint", address, "--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}", "--exporter", "blackhole", "--debug-log", "metrics", "--debug-log-verbosity", "detailed")
    check("a collector is up", lambda: socket.create_connection(address.split(":"), 1).close() is None)
    running = reporter(bench, "otlp-collector", source, otlp="http://" + address)
    # Of this collector's kinds only the summary is not read from JSON.
    for what in ("Name: lmcache:requests_total", "DataType: Sum", "Value: 12", "Value: 0.25", "Name: lmcache:seconds", "DataType: Histogram", "Count: 7", "endpoint: Str(" + source.address, "role: Str(scheduler)"):
        check(f"the collector has {what}", lambda: what in bench.tail("collector", 200_000))
    end(running)


READ_OTLP = """
import json, sys
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
request = json_format.Parse(open(sys.argv[1]).read(), ExportMetricsServiceRequest())
resource = request.resource_metrics[0]
print("resource", *(f"{a.key}={a.value.string_value}" for a in resource.resource.attributes))
for metric in resource.scope_metrics[0].metrics:
    kind = metric.WhichOneof("data")
    data = getattr(metric, kind)
    words = [metric.name, kind] + ["cumulative"] * (getattr(data, "aggregation_temporality", 0) == 2) + ["monotonic"] * getattr(data, "is_monotonic", False)
    for point in data.data_points:
        if kind in ("sum", "gauge"):
            words.append(point.as_double)
        elif kind == "histogram":
            words += [point.count, point.sum, list(point.explicit_bounds), list(point.bucket_counts)]
        else:
            words += [point.count, point.sum, [(q.quantile, q.value) for q in point.quantile_values]]
        words += [f"{a.key}={a.value.string_value}" for a in point.attributes if a.key == "path"]
    print(*words)
"""


def environment(name):
    """The Python that has what is pinned under this name."""
    return subprocess.run([os.path.join(REPOSITORY, "scripts", "venv"), name], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
