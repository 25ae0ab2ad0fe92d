"""HAProxy before a server, as people put it there: TLS with client certificates, passwords, tokens,
redirects, a backend that is away or silent. And what a plugin makes of each."""

import os
import socket
import subprocess

from bench import ROOT, check, end, free_port
from certificates import make_certificates
from servers import libraries

PASSWORD, TOKEN = "s3cret-password", "s3cret-token"
REDIRECTS = ("301", "302", "303", "307", "308")


class Gateway:
    """What is behind the first part of the path is the backend's path."""

    def __init__(self, bench, backend):
        self.bench = bench
        make_certificates(bench)
        subprocess.run(["openssl", "genrsa", "-aes128", "-passout", "pass:abcd", "-out", bench.path("locked.key")], check=True, stderr=subprocess.DEVNULL)
        for name in ("server", "client"):
            with open(bench.path(name + ".crt")) as certificate, open(bench.path(name + ".key")) as key:
                bench.write(name + ".pem", certificate.read() + key.read())
        self.silent = socket.create_server(("127.0.0.1", 0), backlog=64)  # takes connections, in the kernel
        self.plain, self.tls, self.elsewhere = (f"127.0.0.1:{free_port()}" for _ in range(3))
        redirects = "".join(f"\n http-request redirect code {code} location http://u:{TOKEN}@{self.elsewhere}/x?t={TOKEN} if {{ path_beg /{code}/ }}" for code in REDIRECTS)
        bench.write(
            "gateway.cfg",
            f"""
            defaults
             mode http
             timeout connect 1s
             timeout client 5s
             timeout server 1s
            userlist people
             user kv insecure-password {PASSWORD}
            frontend plain
             bind {self.plain}{redirects}
             http-request auth if {{ path_beg /password/ }} !{{ http_auth(people) }}
             http-request deny deny_status 401 if {{ path_beg /token/ }} !{{ req.hdr(authorization) -m str "Bearer {TOKEN}" }}
             use_backend away if {{ path_beg /away/ }}
             use_backend silent if {{ path_beg /silent/ }}
             default_backend well
            frontend tls
             bind {self.tls} ssl crt {bench.path("server.pem")} ca-file {bench.path("ca.crt")} verify required
             default_backend well
            backend well
             http-request replace-path /[a-z0-9]+(/.*) \\1
             server one {backend}
            backend away
             server one 127.0.0.1:1
            backend silent
             server one 127.0.0.1:{self.silent.getsockname()[1]}
            """,
        )
        bench.start("gateway", ROOT + "/usr/sbin/haproxy", "-db", "-f", "gateway.cfg", env={"LD_LIBRARY_PATH": libraries()})
        check("HAProxy is up", lambda: socket.create_connection(self.plain.split(":"), 1).close() is None)

    def file(self, name, text):
        self.bench.write(name, text)
        return self.bench.path(name)


def check_ways(bench, gateway, start, has_arrived):
    """start(name, address, **settings) starts the plugin; has_arrived() asks the server behind."""

    os.mkfifo(bench.path("fifo"))

    def path(name):
        return f"http://{gateway.plain}/{name}"

    tls = {"ca_file": bench.path("ca.crt"), "cert_file": bench.path("client.crt"), "key_file": bench.path("client.key")}
    works = {
        "a token from a file": (path("token"), {"bearer_token_file": gateway.file("token", TOKEN + "\n")}),
        "a password from a file": (path("password"), {"basic_auth_file": gateway.file("password", f"kv:{PASSWORD}\n")}),
        "a password in the URL": (path("password").replace("//", f"//kv:{PASSWORD}@"), {}),
        "a token as a header": (path("token"), {"headers": {"Authorization": "Bearer " + TOKEN}}),
        "TLS with a client certificate": (f"https://{gateway.tls}/tls", tls),
        "TLS, key and certificate in one file": (f"https://{gateway.tls}/tls", {"ca_file": tls["ca_file"], "cert_file": bench.path("client.pem")}),
    }
    for what, (address, settings) in works.items():
        running = start(what, address, **settings)
        check(f"{what}: it arrives", has_arrived)
        end(running)
        check("and is gone when the plugin is", lambda: not has_arrived(), 5)
    refused = {
        "no token": (path("token"), {}, "refuses: 401 Unauthorized: set plugin."),
        "another token": (path("token"), {"bearer_token_file": gateway.file("other-token", "another")}, "refuses: 401 Unauthorized: set plugin."),
        "no token file": (path("token"), {"bearer_token_file": bench.path("no-such-file")}, "bearer_token_file: No such file or directory"),
        "an empty token file": (path("token"), {"bearer_token_file": gateway.file("empty", "")}, "bearer_token_file is to have one line"),
        "a token with a line break": (path("token"), {"bearer_token_file": gateway.file("two-lines", f"{TOKEN}\n{TOKEN}")}, "bearer_token_file is to have one line"),
        "a token file that is a FIFO": (path("token"), {"bearer_token_file": bench.path("fifo")}, "bearer_token_file is to have one line"),
        "a token that is not ASCII": (path("token"), {"bearer_token_file": gateway.file("umlaut", TOKEN + "ä")}, "characters that no header can hold"),
        "another password": (path("password").replace("//", f"//kv:not-{PASSWORD}@"), {}, "refuses: 401 Unauthorized: set plugin."),
        "another CA": (f"https://{gateway.tls}/tls", {**tls, "ca_file": bench.path("other-ca.crt")}, "certificate verify failed"),
        "the system's CAs": (f"https://{gateway.tls}/tls", {**tls, "ca_file": None}, "certificate verify failed"),
        "no client certificate": (f"https://{gateway.tls}/tls", {"ca_file": tls["ca_file"]}, " is away: "),
        "a key with a password": (f"https://{gateway.tls}/tls", {**tls, "key_file": bench.path("locked.key")}, "ca_file, cert_file or key_file: "),
        "no CA file": (f"https://{gateway.tls}/tls", {**tls, "ca_file": bench.path("no-such-file")}, "ca_file, cert_file or key_file: No such file or directory"),
        "TLS where there is none": (f"https://{gateway.plain}/tls", tls, " is away: "),
        "no TLS where there is": (f"http://{gateway.tls}/tls", {}, " is away: "),
        "a backend that is away": (path("away"), {"timeout": 10}, "refuses: 503 Service Unavailable"),
        "a backend that is silent": (path("silent"), {"timeout": 3}, "refuses: 504 Gateway Time-out"),
        **{f"redirect {code}": (path(code), {}, f"it redirects to http://{gateway.elsewhere}/x\n") for code in REDIRECTS},
    }
    running = {what: start(what, address, **settings) for what, (address, settings, _) in refused.items()}
    for what, (_, _, reason) in refused.items():
        check(f"{what}: an error that says so", lambda: reason in bench.tail(what))
        end(running[what])
    check("nothing of it has arrived", lambda: not has_arrived(), 0)
    logs = {what: bench.tail(what) for what in (*works, *refused)}
    leaks = [what for what, log in logs.items() if PASSWORD in log or TOKEN in log or "Traceback" in log or log.count("\n") > 8]
    check(f"no secret in any of {len(logs)} logs, no traceback, no line twice", lambda: not leaks, 0)
    late = bench.path("late")
    running = start("late", path("token"), bearer_token_file=late)
    check("a token file that is not there yet", lambda: "No such file" in bench.tail("late"))
    for content, said in ((TOKEN, "takes our"), ("expired", "refuses: 401"), (TOKEN + "\n", "takes our")):
        gateway.file("late", content)
        check(f"it changes, and the next line says: {said}", lambda: said in bench.tail("late").splitlines()[-1])
    check("it has arrived", has_arrived, 0)
    end(running)


