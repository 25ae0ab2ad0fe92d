"""The real servers, each started when a part asks for it, and what they are asked."""

import contextlib
import glob
import os
import socket

from bench import ROOT, VENV, ask, check, free_port

READY = {"pushgateway": "/-/ready", "prometheus": "/-/ready", "victoria": "/health", "alertmanager": "/-/ready", "discover": "/lmcache_infos"}


def libraries():
    return glob.glob(ROOT + "/usr/lib/*-linux-gnu")[0]


class Servers:
    """Addresses and processes by name; a name that begins like a server's is one more of its kind
    (`alertmanager-2`)."""

    def __init__(self, bench):
        self.bench = bench
        self.ports, self.address, self.url, self.processes = {}, {}, {}, {}
        self.queues = {}  # main_queue(...) of an rsyslog
        self.proxies, self.proxied = {}, {}  # of HAProxy: a name and its backend's address, and its own

    def reserve(self, *names):
        """Gives each an address, so that others can be told of it before it is up."""
        for name in names:
            self.ports[name] = free_port()
            self.address[name] = f"127.0.0.1:{self.ports[name]}"
            self.url[name] = "http://" + self.address[name]

    def start(self, *names):
        """Starts servers, again where one was ended, and waits until each answers."""
        for name in names:
            if name not in self.ports:
                self.reserve(name)
            kind = name.split("-")[0]
            self.processes[name] = getattr(self, "start_" + kind)(name)
        for name in names:
            kind = name.split("-")[0]
            if kind in READY:
                check(f"{name} is up", lambda: ask(self.url[name] + READY[kind]))
            else:
                check(f"{name} is up", lambda: socket.create_connection(("127.0.0.1", self.ports[name]), 1).close() is None)

    def start_pushgateway(self, name):
        return self.bench.start(name, ROOT + "/usr/bin/prometheus-pushgateway", f"--web.listen-address={self.address[name]}", "--persistence.file=")

    def start_prometheus(self, name):
        """It scrapes the Pushgateway, if there is one."""
        targets = f'"{self.address["pushgateway"]}"' if "pushgateway" in self.address else ""
        self.bench.write(
            name + ".yml",
            f"""
            global: {{scrape_interval: 1s}}
            scrape_configs:
            - {{job_name: pushgateway, honor_labels: true, static_configs: [{{targets: [{targets}]}}]}}
            """,
        )
        options = [f"--config.file={name}.yml", f"--storage.tsdb.path={name}", f"--web.listen-address={self.address[name]}"]
        return self.bench.start(name, ROOT + "/usr/bin/prometheus", *options)

    def start_victoria(self, name):
        options = [f"-storageDataPath={name}", f"-httpListenAddr={self.address[name]}", "-search.latencyOffset=0s"]
        return self.bench.start(name, ROOT + "/usr/bin/victoria-metrics", *options)

    def start_alertmanager(self, name):
        """One that is called short resolves after 3 s what it does not hear of, else it is 5 min."""
        timeout = "3s" if name.endswith("short") else "5m"
        self.bench.write(name + ".yml", f"{{global: {{resolve_timeout: {timeout}}}, route: {{receiver: none}}, receivers: [{{name: none}}]}}")
        options = [f"--config.file={name}.yml", f"--storage.path={name}", f"--web.listen-address={self.address[name]}", "--cluster.listen-address="]
        return self.bench.start(name, ROOT + "/usr/bin/prometheus-alertmanager", *options)

    def start_discover(self, name):
        service = glob.glob(VENV + "/lib/python*/site-packages/lmcache/tools/simple_discover_service.py")[0]
        return self.bench.start(name, VENV + "/bin/python", service, "--host", "127.0.0.1", "--port", str(self.ports[name]))

    def received(self, name="rsyslog"):
        """The file of what this rsyslog got."""
        return self.bench.path(name + ".received")

    def start_rsyslog(self, name):
        """With TLS if it is called so; then the certificates of the part are there."""
        files = " ".join(f'DefaultNetstreamDriver{key}="{self.bench.path(file)}"' for key, file in (("CAFile", "ca.crt"), ("CertFile", "server.crt"), ("KeyFile", "server.key")))
        driver = 'StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="x509/certvalid"' if name.endswith("-tls") else ""
        self.bench.write(
            name + ".conf",
            f"""
            global(workDirectory="{self.bench.directory}" {files if driver else ""})
            module(load="imtcp" {driver})
            {self.queues.get(name, 'main_queue(queue.timeoutShutdown="10000")')}
            template(name="line" type="string" string="%structured-data% %msg%\\n")
            input(type="imtcp" address="127.0.0.1" port="{self.ports[name]}")
            action(type="omfile" file="{self.received(name)}" template="line")
            """,
        )
        options = ["-n", "-iNONE", "-f", self.bench.path(name + ".conf"), "-M", libraries() + "/rsyslog"]
        return self.bench.start(name, ROOT + "/usr/sbin/rsyslogd", *options, env={"LD_LIBRARY_PATH": libraries()})

    def start_haproxy(self, name):
        """A TCP proxy for each of our backends, as its manual begins."""
        listeners = ""
        for proxy, backend in self.proxies.items():
            self.proxied[proxy] = f"127.0.0.1:{free_port()}"
            listeners += f"listen {proxy}\n bind {self.proxied[proxy]}\n server one {backend}\n"
        times = "timeout connect 1s\n timeout client 8s\n timeout server 8s"
        self.bench.write(name + ".cfg", f"defaults\n mode tcp\n {times}\nlisten up\n bind {self.address[name]}\n server none 127.0.0.1:1\n{listeners}")
        return self.bench.start(name, ROOT + "/usr/sbin/haproxy", "-db", "-f", name + ".cfg", env={"LD_LIBRARY_PATH": libraries()})

    def start_nginx(self, name):
        """An HTTP server that has nothing to serve."""
        self.bench.write(
            name + ".conf",
            f"""
            daemon off; master_process off; pid {name}.pid; error_log stderr;
            events {{}}
            http {{
                {" ".join(f"{kind}_temp_path {name}.{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))}
                access_log off; server {{ listen {self.address[name]}; return 404; }}
            }}
            """,
        )
        return self.bench.start(name, ROOT + "/usr/sbin/nginx", "-p", self.bench.directory, "-c", name + ".conf", "-e", "stderr")

    def metric(self, server, selector):
        """The values of the series, by an instant query."""
        if server.startswith("victoria"):
            ask(self.url[server] + "/internal/force_flush")  # else it takes seconds to show what it has
        return [series["value"][1] for series in ask(self.url[server] + "/api/v1/query", query=selector)["data"]["result"]]

    def alerts(self, server="alertmanager"):
        return [alert for alert in ask(self.url[server] + "/api/v2/alerts", active="true") if alert["labels"]["alertname"] == "LMCacheProcess"]

    def nodes(self, **parameters):
        infos = ask(self.url["discover"] + "/lmcache_infos", **parameters)["processInfos"]
        return {address: node["lmCacheInfoEntities"][0] for address, node in infos.items()}


@contextlib.contextmanager
def alertmanager_template():
    """Links the one file that is looked for at a fixed place, unless the package is installed."""
    place = "/usr/share/prometheus/alertmanager"
    if os.path.exists(place):
        yield
        return
    os.makedirs(os.path.dirname(place), exist_ok=True)
    if os.path.islink(place):  # of a run that was killed, in a directory that is gone
        os.unlink(place)
    os.symlink(ROOT + place, place)
    try:
        yield
    finally:
        os.unlink(place)
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(place))
