"""The launcher's own metrics, as `status --format prometheus` has them: promtool takes them, and says what it does not."""

import os
import subprocess

from bench import ROOT, check, end


def run(bench):
    control = bench.path("control")

    def ask(*words):
        return subprocess.run([bench.launcher, *words, "--control", control], stdin=subprocess.DEVNULL, capture_output=True, text=True)

    def promtool(text):
        words = [ROOT + "/usr/bin/promtool", "check", "metrics"]
        ended = subprocess.run(words, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return ended.returncode, ended.stdout

    def has(*samples):
        text = ask("status", "--format", "prometheus").stdout
        return all(f"\nlmcache_plugin_{sample}\n" in text for sample in samples)

    odd = 'all odd "name\\.sh'
    bench.write("all_restarted.sh", "#!/bin/sh\necho line\nexec sleep 600\n")
    bench.write(odd, "#!/bin/sh\nexit 3\n")
    files = [bench.path("all_restarted.sh"), bench.path(odd)]
    running = bench.start("launcher", bench.launcher, "run", "--control", control, "--parent-pid", str(os.getpid()), *files)
    check("the launcher answers", lambda: has('up{plugin="all_restarted.sh"} 1', 'log_lines_total{plugin="all_restarted.sh"} 1'))
    for _ in range(2):
        check("a plugin is restarted", lambda: ask("restart", "all_restarted.sh").returncode == 0)
    check("its metrics tell", lambda: has('restarts_total{plugin="all_restarted.sh"} 2', 'log_lines_total{plugin="all_restarted.sh"} 3'))
    label = '"all odd \\"name\\\\.sh"'
    check("another has failed", lambda: has(f"healthy{{plugin={label}}} 0", f"last_exit_status{{plugin={label}}} 3"))
    text = ask("status", "--format", "prometheus").stdout
    check("promtool check metrics has nothing to say", lambda: promtool(text) == (0, ""))
    check("and would have, of a counter that is called like none", lambda: promtool(text.replace("restarts_total", "restarts"))[0] != 0)
    end(running)
