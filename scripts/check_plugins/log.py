"""The log reporter by itself: peers, proxies, files and rotations as people have them."""

import collections
import contextlib
import json
import os
import re
import signal
import subprocess
import time

import peers
from bench import PLUGINS, ROOT, check, end, free_port, is_alive, until
from certificates import make_certificates
from lines import Lines
from servers import Servers

LINES = 1_000_000
PLUGIN = "all_log_reporter.py"
# What README.md recommends, in a directory of this run.
DISK_QUEUE = 'main_queue(queue.type="Disk" queue.filename="main" queue.checkpointInterval="1" queue.timeoutShutdown="10000"'


def run(bench):
    servers = Servers(bench)
    servers.start("rsyslog")
    settings(bench)
    wrong_peers(bench, servers)
    headers(bench)
    tls(bench, servers)
    files(bench, servers)
    states(bench, servers)
    rotations(bench, servers)
    slow_server(bench)
    queues(bench, servers)
    if not bench.quick:
        kills(bench, servers, LINES)


class Following:
    """A log of its own, and a reporter that follows it."""

    def __init__(self, bench, name, server, lines=0, **settings):
        self.bench, self.name = bench, name
        self.path = bench.path(os.path.join(name, "w.log"))
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        self.settings = {"server": server, "file": self.path, "interval": 0.1, **settings}
        self.count = 0
        if lines:
            self.write(lines)

    def write(self, count, path=None):
        with open(path or self.path, "ab") as file:
            for _ in range(count):
                file.write(b"LMCache INFO: %s line %d,\n" % (self.name.encode(), self.count))
                self.count += 1

    def start(self, file=PLUGIN, **env):
        self.process = self.bench.plugin(file, self.settings, self.name, env=env)
        return self

    def said(self):
        return self.bench.tail(self.name)

    def has_said(self, what):
        return lambda: what in self.said()

    def position(self):
        with contextlib.suppress(OSError, IndexError), open(self.settings.get("state") or self.path.replace("w.log", ".w.log.shipped")) as file:
            return int(file.read().split()[1])
        return 0

    def numbers(self, received):
        """Of those of its lines that arrived, in order."""
        if isinstance(received, str):
            with open(received, "rb") as file:
                received = file.read()
        return [int(number) for number in re.findall(rb"INFO: %s line (\d+)," % self.name.encode(), received)]

    def has_all(self, received):
        return set(self.numbers(received)) == set(range(self.count))

    def has_each_once(self, received):
        return self.numbers(received) == list(range(self.count))


# ---- settings ----

WRONG = {
    "server": ["", "localhost", "host:0", "host:65536", "a b:514", "tls://host:514", 514, ["h:1"], True],
    "file": ["", 1, ["a"], {}],
    "from": ["middle", 0, None, True],
    "state": ["", 1],
    "interval": ["abc", None, 0, -1, True, [1], 1e300, "1"],
    "timeout": ["abc", None, 0, -1],
    "framing": ["lf", None, 1],
    "tls": ["yes", 1, None],
    "facility": [99, -1, 1.5, "local0", None],
    "hostname": ["a b", "", 1, "é", "x" * 256],
    "app_name": ["lm cache", "", None, "x" * 49],
    "sd_id": ["a=b", "a]b", 'a"b', "a b", ""],
    "max_line": [0, -1, "1", 100.5, None],
    "ca_file": ["", 1, "/without/tls"],
    "cert_file": ["", "/without/tls"],
    "key_file": ["", "/without/cert"],
    "server_name": ["a b", "without.tls"],
    "facilty": [16],
}


def settings(bench):
    started = []
    for name, values in WRONG.items():
        for value in values:
            given = {"server": "127.0.0.1:1", "file": bench.path("none.log"), name: value}
            started.append((name, value, bench.plugin(PLUGIN, given, f"wrong-{len(started)}")))
            if len(started) % 8 == 0:
                until(lambda: started[-1][2].poll() is not None, 20)

    def ends_well(name, value, process):
        said = bench.tail(process.name)
        is_secret = type(value) is str and len(value) > 4 and value in said
        return process.poll() == 2 and said.count("\n") == 1 and f".{name} " in said and not is_secret

    for name, value, process in started:
        if not until(lambda: process.poll() is not None, 20) or not ends_well(name, value, process):
            raise AssertionError(f"{name} = {value!r} ended with {process.poll()}: {bench.tail(process.name)}")
    check(f"{len(started)} wrong settings each end it with status 2 and one line that names the setting", lambda: True)
    for document in ("[", "[]", '{"extra_config": 1}', '{"extra_config": "{"}'):
        process = bench.plugin(PLUGIN, {}, f"wrong-document-{len(document)}", env={"LMCACHE_PLUGIN_CONFIG": document})
        check(f"so does the document {document}", lambda: process.poll() == 2 and bench.tail(process.name).count("\n") == 1)


# ---- the peer ----


def wrong_peers(bench, servers):
    hole, reset = peers.Hole(), peers.Peer(peers.resets)
    servers.proxies = {"refused": f"127.0.0.1:{free_port()}", "never-reads": hole.address, "resets": reset.address, "works": servers.address["rsyslog"]}
    servers.start("haproxy", "nginx")
    addresses = {f"haproxy-{name}": address for name, address in servers.proxied.items()}
    addresses["nginx"] = servers.address["nginx"]
    addresses["refused"] = f"127.0.0.1:{free_port()}"
    for serve in (peers.closes, peers.reads_once_and_closes, peers.resets, peers.talks):
        addresses[serve.__name__.replace("_", "-")] = peers.Peer(serve).address
    make_certificates(bench)
    servers.start("rsyslog-tls")
    addresses["tls-server"] = servers.address["rsyslog-tls"]
    followings = {name: Following(bench, name, address, 100, timeout=1).start() for name, address in addresses.items()}
    works = followings.pop("haproxy-works")
    check("a proxy with a server takes lines, and they are there", lambda: works.position() == os.path.getsize(works.path) and works.has_each_once(servers.received()))
    check("the others are said not to take them, or to hang", lambda: all("does not take our lines" in f.said() or "hangs" in f.said() for f in followings.values()))
    # HAProxy has made its last try after three seconds, and lets idle connections go after eight.
    check("the proxy has given up on its server", lambda: "closes" in followings["haproxy-never-reads"].said(), 30)
    for name, following in followings.items():
        check(f"{name}: nothing is confirmed", lambda: following.position() == 0 and "takes our lines" not in following.said(), 0)
        print("      " + following.said().splitlines()[1])
    seconds = {name: end(following.process) for name, following in followings.items()}
    check(f"each ended with 0 on SIGTERM, in at most {max(seconds.values()):.1f} s", lambda: max(seconds.values()) < 5 and all(f.process.returncode == 0 for f in followings.values()), 0)

    # What would be confirmed, did nobody look at idle connections.
    with open(os.path.join(PLUGINS, PLUGIN)) as file:
        source = file.read()
    line = "    def watch(self, seconds, *connections):\n"
    os.mkdir(bench.path("blind"))
    with open(bench.path("blind/" + PLUGIN), "w") as file:
        file.write(source.replace(line, line + "        return\n"))
    blind = Following(bench, "blind", servers.proxied["refused"], 100, timeout=1)
    blind.start(file=bench.path("blind/" + PLUGIN))
    check("a reporter that does not look at the witness believes a proxy whose server refuses", lambda: "takes our lines" in blind.said(), 30)
    end(blind.process)

    # The backend goes away in the middle, and comes back.
    changing = Following(bench, "backend-changes", servers.proxied["works"], 100).start()
    check("lines arrive through the proxy", lambda: changing.position() == os.path.getsize(changing.path))
    end(servers.processes["rsyslog"])
    changing.write(100)
    check("its server is gone, and that is noticed", changing.has_said("does not take our lines"))
    check("nothing is confirmed meanwhile", lambda: changing.position() < os.path.getsize(changing.path), 0)
    servers.start("rsyslog")
    check("its server is back, and each line is there", lambda: changing.has_each_once(servers.received()), 40)
    end(changing.process)
    end(works.process)

    serial = peers.Serial()
    one = Following(bench, "one-at-a-time", serial.address, 1_000, timeout=1).start()
    check("a server of one connection at a time: lines are confirmed, too", lambda: one.position() == os.path.getsize(one.path) and one.has_each_once(bytes(serial.received)), 30)
    end(one.process)
    six = peers.Syslog(host="::1")
    one = Following(bench, "version-6", six.address, 100).start()
    check("an address of IP version 6", lambda: one.has_each_once(bytes(six.received)))
    end(one.process)


def slow_server(bench):
    server = peers.Syslog(bytes_a_second=150_000)
    backlog = Following(bench, "slow", server.address, 20_000).start()
    check("a server that reads 150 kB a second has some of 20,000 lines", lambda: backlog.position() > 100_000, 30)
    seconds = end(backlog.process)
    check(f"SIGTERM amid the backlog: ended in {seconds:.2f} s", lambda: backlog.process.returncode == 0 and seconds < 5, 0)
    server.rate = None
    backlog.start()
    check("the next one ships the rest", lambda: backlog.position() == os.path.getsize(backlog.path), 60)
    check("each line exactly once", lambda: backlog.has_each_once(bytes(server.received)), 0)
    end(backlog.process)


def tls(bench, servers):
    address = servers.address["rsyslog-tls"]
    certificates = {"tls": True, "ca_file": bench.path("ca.crt"), "cert_file": bench.path("client.crt"), "key_file": bench.path("client.key")}
    good = Following(bench, "tls", address, 5_000, **certificates).start()
    other = Following(bench, "tls-other-ca", address, 100, tls=True, ca_file=bench.path("other-ca.crt")).start()
    named = Following(bench, "tls-other-name", address, 100, **certificates, server_name="elsewhere").start()
    unknown = Following(bench, "tls-no-client-certificate", address, 100, tls=True, ca_file=bench.path("ca.crt")).start()
    missing = Following(bench, "tls-no-ca-file", address, 100, tls=True, ca_file=bench.path("later.crt"), cert_file=certificates["cert_file"], key_file=certificates["key_file"]).start()
    plain = Following(bench, "tls-to-plain", servers.address["rsyslog"], 100, **certificates).start()
    received = servers.received("rsyslog-tls")
    check("TLS, each side's certificate verified: lines are there", lambda: good.position() == os.path.getsize(good.path) and good.has_each_once(received))
    check("another CA, another name, no client certificate, no CA file, no TLS: refused, each with its reason", lambda: all(f.has_said("does not take our lines")() for f in (other, named, unknown, missing, plain)))
    for following in (other, named, unknown, missing, plain):
        check(f"{following.name}: nothing is confirmed", lambda: following.position() == 0 and not following.numbers(received), 0)
        print("      " + following.said().splitlines()[1])
    os.link(bench.path("ca.crt"), bench.path("later.crt"))
    check("the CA file is there at last: its lines arrive", lambda: missing.has_each_once(received), 30)
    for following in (good, other, named, unknown, missing, plain):
        end(following.process)


# ---- header and lines ----


def headers(bench):
    server = peers.Syslog()
    role = 'a "quoted"] \\ role'
    following = Following(bench, "headers", server.address, app_name="vllm", facility=3, hostname="h1", interval=0.05)
    lines = {  # severity, and the time where it is that of the line
        b"[2026-11-22 10:00:00,123] LMCache INFO: no ERROR found": (6, "2026-11-22T10:00:00.123+00:00"),
        b"\x1b[33;20m[2026-11-22 10:00:00,456] LMCache WARNING:\x1b[0m careful": (4, "2026-11-22T10:00:00.456+00:00"),
        b"\x1b[31mERROR\x1b[0m 2026-11-22T10:00:00.5+01:00 bad": (3, "2026-11-22T10:00:00.5+01:00"),
        b"CRITICAL 2026-11-22T10:00:00Z worse": (2, "2026-11-22T10:00:00Z"),
        b"DEBUG 2026-13-45 10:00:00 no such day": (7, None),
        b"INFO 01-02 03:04:05 [core.py:1] of vLLM, without a year": (6, "20[0-9-]+-01-02T03:04:05[+]00:00"),
        b"no level, no time": (6, None),
        b"WARNING: \xff\x00 bytes": (4, None),
    }
    with open(following.path, "wb") as file:
        file.write(b"".join(line + b"\n" for line in lines))
    following.start(LMCACHE_PLUGIN_ROLE=role, TZ="UTC", LMCACHE_PLUGIN_PARENT_PID="12")
    check("lines with levels, times and odd bytes arrive", lambda: following.position() == os.path.getsize(following.path))
    frames = frames_of(bytes(server.received))
    escaped = r'role="a \"quoted\"\] \\ role" worker="0"'.encode()
    for (line, (severity, moment)), frame in zip(lines.items(), frames):
        pattern = rb"<%d>1 %s h1 vllm 12 - \[lmcache@32473 %s inode=\"\d+\" offset=\"\d+\"\] %s"
        moment = (moment or r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z").replace("+00:00", "[+]00:00").replace("+01", "[+]01")
        match = re.fullmatch(pattern % (24 + severity, moment.encode(), re.escape(escaped), re.escape(line)), frame, re.S)
        check(f"{line[:40]!r}: severity {severity}, its time", lambda: match, 0)
    with open(following.path, "ab") as file:
        file.write(b"the end, unterminated")
    end(following.process)
    check("an unterminated last line is sent at the stop", lambda: frames_of(bytes(server.received))[-1].endswith(b"] the end, unterminated"), 0)

    server.received.clear()
    framed = Following(bench, "newlines", server.address, 10, framing="newline").start()
    check("newlines as framing: a line a message", lambda: len(re.findall(rb"(?m)^<134>1 .*newlines line \d,$", bytes(server.received))) == 10)
    end(framed.process)
    server.received.clear()
    hole = Following(bench, "hole", server.address, 10)
    with open(hole.path, "r+b") as file:
        file.truncate(0)
        file.seek(40 << 20)
        file.write(b"LMCache INFO: hole line 0,\n")
    hole.count = 1
    hole.start()
    check("a hole of 40 MiB of NULs before the first line: the line arrives, not the hole", lambda: hole.has_all(bytes(server.received)) and len(server.received) < 1000)
    check("and that is said", hole.has_said("NUL bytes"), 0)
    end(hole.process)


def frames_of(data):
    frames = []
    while data:
        size, _, data = data.partition(b" ")
        frames.append(data[: int(size)])
        data = data[int(size) :]
    return frames


# ---- files ----


def files(bench, servers):
    server, received = servers.address["rsyslog"], servers.received()
    late = Following(bench, "late-directory", server)
    os.rmdir(os.path.dirname(late.path))
    late.start()
    from_end = Following(bench, "from-end", server, 100, **{"from": "end"}).start()
    created = Following(bench, "created-later", server, **{"from": "end"}).start()
    again = Following(bench, "created-between", server, **{"from": "end"}).start()
    removed = Following(bench, "removed", server, 100).start()
    shared = Following(bench, "shared", server, 100).start()
    directory = Following(bench, "a-directory", server)
    os.mkdir(directory.path)
    directory.start()
    check("a directory that is not there is waited for", late.has_said("trying on"))
    check("so is a log", lambda: "trying on" in created.said() and "trying on" in again.said() and "trying on" in directory.said())
    end(again.process)
    again.write(10)
    again.start()
    os.makedirs(os.path.dirname(late.path))
    late.write(10)
    created.write(10)
    os.rmdir(directory.path)
    directory.write(10)
    for following in (late, created, again, directory):
        check(f"{following.name}: all lines are there from the first on", lambda: following.has_each_once(received))
    check("`from: end` sends nothing of what was there", lambda: from_end.position() == os.path.getsize(from_end.path), 0)
    from_end.write(10)
    check("and what came then", lambda: from_end.numbers(received) == list(range(100, 110)))

    check("100 lines", lambda: removed.position() > 0)
    os.truncate(removed.path, 0)
    os.unlink(removed.path)
    until(lambda: time.monotonic() < 0, 1)
    removed.write(50)
    check("truncated, removed and made again: each line is there", lambda: removed.has_each_once(received))

    second = Following(bench, "shared-2", server, file=shared.path).start()
    check("a second reporter of the same log stands by", second.has_said("standing by"))
    end(shared.process, signal.SIGKILL)
    shared.write(10)
    check("and takes over when the first is killed", lambda: shared.has_each_once(received))
    check("nobody ended meanwhile", lambda: all(is_alive(f.process.pid) for f in (late, from_end, created, again, removed, directory, second)), 0)
    for following in (late, from_end, created, again, removed, directory, second):
        end(following.process)

    # Root may read everything: so as somebody else.
    somebody = Following(bench, "unreadable", server, 10, state=bench.path("unreadable.state"))
    os.chmod(somebody.path, 0)
    process = as_nobody(bench, somebody)
    check("an unreadable log is waited for", somebody.has_said("Permission denied"))
    os.chmod(somebody.path, 0o644)
    check("and its lines arrive once it can be read", lambda: somebody.has_each_once(received) and is_alive(process.pid))
    end(process)


def as_nobody(bench, following):
    open(following.settings["state"], "w").close()
    os.chmod(following.settings["state"], 0o666)
    with open(following.settings["state"], "w") as file:
        file.write("0 0 0\n")
    config = {"extra_config": {f"plugin.all_log_reporter.{key}": value for key, value in following.settings.items()}}
    command = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "python3", "-c"]
    with open(os.path.join(PLUGINS, PLUGIN)) as file:
        source = file.read()
    return bench.start(following.name, "setpriv", *command, source, env={"LMCACHE_PLUGIN_CONFIG": json.dumps(config), "LMCACHE_PLUGIN_ROLE": "worker"})


def states(bench, servers):
    server, received = servers.address["rsyslog"], servers.received()
    contents = {"empty": "", "nuls": "\0" * 512, "negative": "1 -5 0\n", "words": "one two three\n", "half": "17 3", "huge": f"1 {1 << 70} 0\n", "far": f"1 {1 << 50} 0\n"}
    damaged = {}
    for name, content in contents.items():
        following = damaged[name] = Following(bench, "state-" + name, server, 10)
        with open(following.path.replace("w.log", ".w.log.shipped"), "w") as file:
            file.write(content)
        following.start()
    for name, following in damaged.items():
        check(f"a state that is {name}: said, and all lines are there", lambda: following.has_each_once(received) and ("from its beginning" in following.said() or "from the beginning" in following.said()))
        end(following.process)
    full = Following(bench, "state-full", server, 10, state="/dev/full").start()
    check("a state on a full disk: said, and lines go on", lambda: full.has_each_once(received) and "cannot save our position" in full.said())
    full.write(10)
    check("and on, each once", lambda: full.has_each_once(received))
    end(full.process)
    nowhere = Following(bench, "state-nowhere", server, 10, state=bench.path("not/there/yet")).start()
    check("a state that cannot be made is waited for", nowhere.has_said("trying on"))
    os.makedirs(bench.path("not/there"))
    check("and lines go once it can", lambda: nowhere.has_each_once(received))
    end(nowhere.process)


# ---- rotation ----

ROTATIONS = {  # what logrotate is told
    "create": "rotate 5\n create",
    "copytruncate": "rotate 5\n copytruncate",
    "dateext": "rotate 5\n dateext\n dateformat -%Y%m%d-%s\n create",
    "extension": "rotate 5\n dateext\n dateformat -%Y%m%d-%s\n extension .log\n create",
    "delaycompress": "rotate 5\n compress\n delaycompress\n create",
}


def rotate(bench, following, how):
    """By the real logrotate."""
    bench.write(following.name + ".rotate", f'"{following.path}" {{\n su root root\n missingok\n {ROTATIONS[how]}\n}}\n')
    os.chmod(bench.path(following.name + ".rotate"), 0o644)
    subprocess.run([ROOT + "/usr/sbin/logrotate", "--force", "--state", bench.path(following.name + ".rotated"), bench.path(following.name + ".rotate")], check=True, env={**os.environ, "LD_LIBRARY_PATH": ROOT + "/usr/lib/x86_64-linux-gnu"})


def rotations(bench, servers):
    port = free_port()
    server, away = servers.address["rsyslog"], f"127.0.0.1:{port}"
    received = servers.received()
    followings = {}
    for how in ROTATIONS:
        following = followings[how] = Following(bench, "rotate-" + how, server, 100).start()
    for how, following in followings.items():
        check(f"{how}: the first lines are there", lambda: following.position() == os.path.getsize(following.path))
    # While the server is away, and nobody reads either.
    for following in followings.values():
        end(following.process)
        following.settings["server"] = away
        following.write(50)
        following.start()
    check("the server is away", lambda: all(f.has_said("does not take our lines")() for f in followings.values()))
    for turn in range(2):
        for how, following in followings.items():
            if how != "delaycompress" or turn == 0:  # compressed is out of reach
                rotate(bench, following, how)
            following.write(50)
        second = int(time.time())
        until(lambda: int(time.time()) > second, 2)  # or two would have the same date
    for following in followings.values():
        end(following.process)
        directory = os.path.dirname(following.path)
        os.symlink("/nonexistent", following.path + ".9")
        os.mkdir(following.path + ".2026")
        os.symlink(following.path + ".7", following.path + ".7")
        os.mkfifo(following.path + ".8")
        with open(os.path.join(directory, "w-1.log"), "w") as file:
            file.write("of another worker\n")
        for name in os.listdir(directory):
            if re.fullmatch(r"w\.log\.2", name):  # as by a late write, all of which is older
                os.utime(os.path.join(directory, name))
        following.settings["server"] = server
        following.start()
    for how, following in followings.items():
        check(f"rotations by logrotate ({how}), server away and reporter restarted: each line once, in order", lambda: following.has_each_once(received), 40)
    with open(received, "rb") as file:
        check("and nothing of another worker's log", lambda: b"of another worker" not in file.read(), 0)
    for following in followings.values():
        end(following.process)

    gone = Following(bench, "rotated-away", server, 100).start()
    check("100 lines", lambda: gone.position() == os.path.getsize(gone.path))
    end(gone.process)
    os.rename(gone.path, gone.path + ".1")
    gone.write(10)
    os.rename(gone.path + ".1", gone.path + ".2")
    os.rename(gone.path, gone.path + ".1")
    gone.write(10)
    os.unlink(gone.path + ".2")
    gone.start()
    check("our file is gone, two came later: the oldest of them is next, and that is said", lambda: gone.has_each_once(received) and "is gone" in gone.said())
    end(gone.process)


# ---- the server's queue ----


def queues(bench, servers):
    """What a server that is killed keeps depends on its queue: one that writes 1,000 lines a
    second, and is killed when it has confirmed 5,000."""
    for name, queue in {"memory": "main_queue(", "disk": DISK_QUEUE}.items():
        server = "rsyslog-" + name
        os.makedirs(bench.path(server))
        servers.queues[server] = queue + f' queue.spoolDirectory="{bench.path(server)}" queue.dequeueBatchSize="1" queue.dequeueSlowDown="1000")'
        servers.start(server)
        following = Following(bench, "queue-" + name, servers.address[server], 5_000).start()
        check(f"{name} queue: 5,000 lines are confirmed", lambda: following.position() == os.path.getsize(following.path), 60)
        end(servers.processes[server], signal.SIGKILL)
        end(following.process)
        servers.queues[server] = servers.queues[server].replace(' queue.dequeueBatchSize="1" queue.dequeueSlowDown="1000"', "")
        servers.start(server)
        if name == "disk":
            check("and all are there after the server was SIGKILLed", lambda: following.has_all(servers.received(server)), 60)
            print(f"      {len(following.numbers(servers.received(server))) - following.count} of them twice, by the server")
        else:
            end(servers.processes[server])
            check("and not all are there after the server was SIGKILLed", lambda: not following.has_all(servers.received(server)), 0)


def kills(bench, servers, count):
    """A million lines across three SIGKILLs of the server, in the middle of its work."""
    server = "rsyslog-kills"
    os.makedirs(bench.path(server))
    servers.queues[server] = DISK_QUEUE + f' queue.spoolDirectory="{bench.path(server)}")'
    servers.start(server)
    lines = Lines(bench.path("million.log"), servers.received(server))
    lines.write(count)
    process = bench.plugin(PLUGIN, {"server": servers.address[server], "file": lines.path, "interval": 0.2}, "kills")
    began = time.monotonic()
    size = lambda: os.path.getsize(servers.received(server))
    for kill in range(3):
        at = os.path.getsize(lines.path) * (kill + 1) // 4
        check(f"rsyslog has written {at >> 20} MiB", lambda: size() > at, 300)
        end(servers.processes[server], signal.SIGKILL)
        servers.start(server)
    check("the last line is confirmed", lines.is_confirmed, 600)
    check(f"each of {count} lines is there across three SIGKILLs of rsyslog, in {time.monotonic() - began:.0f} s", lines.all_there, 120)
    with open(servers.received(server), "rb") as file:
        copies = collections.Counter(re.findall(rb'inode="\d+" offset="\d+"', file.read()))
    again = sum(copies.values()) - len(copies)
    check(f"{again} of them twice, to be known by their inode and offset", lambda: len(lines.numbers()) - again == count == len(copies), 0)
    end(process)
