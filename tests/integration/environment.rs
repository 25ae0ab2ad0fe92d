//! What a plugin finds when it starts: variables, standard input, directory, signals and descriptors.

use std::process::Stdio;

use crate::json::Json;
use crate::sandbox::{LAUNCHER, Sandbox, wait_for};

/// Prints its environment, one variable a line.
const PRINT: &str = "#!/bin/sh\nenv\n";

const NAMES: [&str; 4] = ["ROLE", "CONFIG", "WORKER_ID", "WORKER_COUNT"];

/// Asserts that both spellings of the four variables have these values.
#[track_caller]
fn assert_identity(lines: &[String], values: [&str; 4]) {
    for (name, value) in NAMES.iter().zip(values) {
        for prefix in ["LMCACHE_PLUGIN", "LMCACHE_RUNTIME_PLUGIN"] {
            let expected = format!("{prefix}_{name}={value}");
            assert!(lines.contains(&expected), "{expected} in {lines:#?}");
        }
    }
}

#[test]
fn all_nine_variables_and_unbuffered_python() {
    let sandbox = Sandbox::with([("all_env.sh", PRINT)]);
    let options = ["run", "--role", "WoRkEr", "--worker-id", "3", "--worker-count", "8", "plugins"];
    let lines = sandbox.launcher(options).output().lines_of("all_env.sh");
    assert_identity(&lines, ["WoRkEr", "{}", "3", "8"]);
    assert!(lines.contains(&format!("LMCACHE_PLUGIN_PARENT_PID={}", std::process::id())), "{lines:#?}");
    assert!(lines.contains(&"PYTHONUNBUFFERED=1".to_owned()), "{lines:#?}");
}

#[test]
fn the_defaults_are_worker_0_of_1() {
    let sandbox = Sandbox::with([("all_env.sh", PRINT)]);
    let lines = sandbox.launcher(["run", "--role", "r", "plugins"]).output().lines_of("all_env.sh");
    assert_identity(&lines, ["r", "{}", "0", "1"]);
}

#[test]
fn the_launchers_own_environment_is_passed_on() {
    let sandbox = Sandbox::with([("all_env.sh", PRINT)]);
    let done = sandbox.launcher(["run", "plugins"]).env("MODEL_NAME", "a b  c").env("EMPTY", "").output();
    let lines = done.lines_of("all_env.sh");
    assert!(lines.contains(&"MODEL_NAME=a b  c".to_owned()) && lines.contains(&"EMPTY=".to_owned()), "{lines:#?}");
}

#[test]
fn the_path_of_the_executable_is_absolute_however_that_was_called() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho \"$LMCACHE_PLUGIN_LAUNCHER_BIN\"\n")]);
    let by_descriptor = "import os\n\
                         fd = os.open(os.environ['LAUNCHER'], os.O_RDONLY)\n\
                         os.execve(fd, ['launcher', 'run', 'plugins'], os.environ)\n";
    let relative = "plugins=$PWD/plugins; cd \"${LAUNCHER%/*}\" && exec \"./${LAUNCHER##*/}\" run \"$plugins\"";
    let absolute = "exec \"$LAUNCHER\" run plugins";
    let of_process = "exec 3<\"$LAUNCHER\"; exec /proc/self/fd/3 run plugins";
    // The kernel passes its path to the interpreter, which makes it that of the configuration.
    let interpreter = "printf '#!%s --config\\nplugin_locations: plugins\\n' \"$LAUNCHER\" >y.yaml\n\
                       chmod +x y.yaml; exec \"$PWD/y.yaml\"";
    let searched =
        "plugins=$PWD/plugins; cd / && PATH=\"${LAUNCHER%/*}:$PATH\" exec \"${LAUNCHER##*/}\" run \"$plugins\"";
    for (program, words) in [
        ("sh", ["-c", absolute]),
        ("sh", ["-c", searched]),
        ("sh", ["-c", relative]),
        ("sh", ["-c", of_process]),
        ("sh", ["-c", interpreter]),
        ("python3", ["-c", by_descriptor]),
    ] {
        let done = sandbox.command(program, words).output();
        assert_eq!(done.lines_of("all_x.sh"), [LAUNCHER], "{words:?}");
    }
}

#[test]
fn identity_comes_from_the_command_line_then_the_newer_then_the_older_variables() {
    let sandbox = Sandbox::with([("all_env.sh", PRINT)]);
    let launch = |options: &[&str], variables: &[(&str, &str)]| {
        let launch = sandbox.launcher(["run"]).args(options).args(["plugins"]);
        variables.iter().fold(launch, |launch, (name, value)| launch.env(name, value)).output().lines_of("all_env.sh")
    };
    let older =
        [("LMCACHE_PLUGIN_ROLE", "old"), ("LMCACHE_PLUGIN_WORKER_ID", "1"), ("LMCACHE_PLUGIN_WORKER_COUNT", "2")];
    let newer = [
        ("LMCACHE_RUNTIME_PLUGIN_ROLE", "new"),
        ("LMCACHE_RUNTIME_PLUGIN_WORKER_ID", "3"),
        ("LMCACHE_RUNTIME_PLUGIN_WORKER_COUNT", "4"),
    ];
    assert_identity(&launch(&[], &older), ["old", "{}", "1", "2"]);
    assert_identity(&launch(&[], &newer), ["new", "{}", "3", "4"]);
    let both = [older, newer].concat();
    assert_identity(&launch(&[], &both), ["new", "{}", "3", "4"]);
    let options = ["--role", "typed", "--worker-id", "-1", "--worker-count=6"];
    assert_identity(&launch(&options, &both), ["typed", "{}", "-1", "6"]);
}

#[test]
fn an_identity_that_is_no_number_is_refused_by_name() {
    let sandbox = Sandbox::with([("all_env.sh", PRINT)]);
    for name in ["LMCACHE_PLUGIN_WORKER_ID", "LMCACHE_RUNTIME_PLUGIN_WORKER_COUNT"] {
        sandbox.launcher(["run", "plugins"]).env(name, "first").output().assert_refused(&[name]);
    }
}

#[test]
fn standard_input_is_dev_null() {
    let sandbox = Sandbox::with([("all_stdin.sh", "#!/bin/sh\nreadlink /proc/self/fd/0; cat\n")]);
    let mut running = sandbox.launcher(["run", "plugins"]).stdin(Stdio::piped()).start();
    running.write("not for plugins\n");
    assert_eq!(running.wait().lines_of("all_stdin.sh"), ["/dev/null"]);
}

#[test]
fn the_working_directory_is_the_launchers() {
    let sandbox = Sandbox::with([("deep/down/all_pwd.sh", "#!/bin/sh\npwd\n")]);
    let done = sandbox.launcher(["run", "plugins"]).output();
    assert_eq!(done.lines_of("all_pwd.sh"), [sandbox.text("").trim_end_matches('/')]);
}

#[test]
fn the_umask_is_the_launchers() {
    // A socket is made with another one.
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\numask\ntouch ran\n")]);
    let script = "umask 0027; exec \"$LAUNCHER\" run --control s --parent-pid 0 plugins -- sh -c 'umask; until [ -e ran ]; do sleep 0.02; done'";
    let done = sandbox.command("sh", ["-c", script]).output();
    assert_eq!(done.lines_of("all_x.sh"), ["0027"]);
    assert_eq!(done.text().lines().filter(|line| *line == "0027").count(), 1, "the program's: {}", done.text());
}

#[test]
fn no_stray_descriptors() {
    let sandbox =
        Sandbox::with([("all_fds.sh", "#!/bin/sh\nexec ls /proc/self/fd\n"), ("all_other.sh", "#!/bin/sh\n")]);
    // Descriptors 5 and 9 of the caller are open across its exec, as a careless parent leaves them.
    let script = "exec \"$LAUNCHER\" run --parent-fd 7 plugins 5</dev/null 7<&0 9>&1";
    let done = sandbox.command("sh", ["-c", script]).stdin(Stdio::piped()).output();
    // The fourth is the directory that `ls` itself reads.
    assert_eq!(done.lines_of("all_fds.sh"), ["0", "1", "2", "3"]);
}

#[test]
fn the_limit_of_descriptors_is_the_launchers_own() {
    let limits = "#!/bin/sh\necho \"$(ulimit -Sn) $(ulimit -Hn)\"\ntouch ran\n";
    let sandbox = Sandbox::with([("all_x.sh", limits)]);
    let program = "echo \"$(ulimit -Sn) $(ulimit -Hn)\"; until [ -e ran ]; do sleep 0.02; done";
    let script = "ulimit -Sn 200; ulimit -Hn 300; exec \"$LAUNCHER\" run --parent-pid 0 plugins -- sh -c \"$0\"";
    let done = sandbox.command("bash", ["-c", script, program]).output();
    assert_eq!(done.lines_of("all_x.sh"), ["200 300"]);
    assert_eq!(done.text().lines().filter(|line| *line == "200 300").count(), 1, "the program's: {}", done.text());
}

#[test]
fn the_launcher_itself_may_have_as_many_descriptors_as_it_is_allowed() {
    let sandbox = Sandbox::new();
    for n in 0..30 {
        sandbox.plugin(format!("all_{n}.sh"), "#!/bin/sh\nexec sleep 1000\n");
    }
    let script = "ulimit -Sn 30; exec \"$LAUNCHER\" run plugins";
    let running = sandbox.command("bash", ["-c", script]).start();
    wait_for("all are started", || running.stdout().matches("[launcher] started ").count() == 30);
}

#[test]
fn what_a_launcher_above_told_is_not_passed_on() {
    let print = "echo \"${LMCACHE_PLUGIN_PARENT_PID-none} ${LMCACHE_PLUGIN_LAUNCHER_CONTROL-none}\"";
    let sandbox = Sandbox::with([("all_x.sh", &*format!("#!/bin/sh\n{print}\n"))]);
    let launch = |words: &[&str]| {
        let launch = sandbox.launcher(["run", "--quiet", "plugins", "--parent-pid", "0"]).args(words);
        // Where plugins are run by a launcher already its socket is no wish for one.
        let launch = launch.env("LMCACHE_PLUGIN_LAUNCHER_LOCATIONS", "[]");
        launch.env("LMCACHE_PLUGIN_PARENT_PID", "1").env("LMCACHE_PLUGIN_LAUNCHER_CONTROL", "/above").output()
    };
    assert_eq!(launch(&[]).lines_of("all_x.sh"), ["none none"]);
    let done = launch(&["--", "sh", "-c", print]);
    assert!(done.text().lines().any(|line| line == "1 none"), "the socket is not the program's: {}", done.text());
}

#[test]
fn signals_are_neither_blocked_nor_ignored() {
    let sandbox = Sandbox::with([("all_signals.sh", "#!/bin/sh\ngrep -E 'Sig(Blk|Ign)' /proc/self/status\n")]);
    let script = "import os, signal, sys\n\
                  signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n\
                  for s in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGUSR1, signal.SIGCHLD):\n    \
                      signal.signal(s, signal.SIG_IGN)\n\
                  os.execv(sys.argv[1], sys.argv[1:])\n";
    sandbox.write("ignoring.py", script);
    let done = sandbox.command("python3", ["ignoring.py", crate::sandbox::LAUNCHER, "run", "plugins"]).output();
    assert_default_signals(&done.lines_of("all_signals.sh"));
}

/// Asserts that the two lines of /proc/self/status tell of no signal, but for 32 and 33: those are the C library's
/// own, which glibc leaves ignored in what it spawns, such as the launcher.
pub fn assert_default_signals(lines: &[String]) {
    assert_eq!(lines.len(), 2, "{lines:?}");
    for line in lines {
        let mask = line.split_whitespace().nth(1).and_then(|mask| u64::from_str_radix(mask, 16).ok());
        assert_eq!(mask.expect("a mask") & !(0b11 << 31), 0, "{line}");
    }
}

#[test]
fn each_plugin_leads_a_process_group_of_its_own() {
    let group = "#!/bin/sh\nread stat < /proc/$$/stat\nset -- ${stat##*) }\necho $$ $3\n";
    let sandbox = Sandbox::with([("all_a.sh", group), ("all_b.sh", group)]);
    let done = sandbox.launcher(["run", "plugins"]).output();
    for name in ["all_a.sh", "all_b.sh"] {
        let line = done.lines_of(name).remove(0);
        let (pid, group) = line.split_once(' ').expect("two numbers");
        assert_eq!(pid, group, "{name} leads its group");
    }
}

#[test]
fn a_python_plugin_reads_its_configuration() {
    let plugin = "#!/usr/bin/env python3\n\
                  import json, os\n\
                  config = json.loads(os.environ['LMCACHE_PLUGIN_CONFIG'])\n\
                  print(json.dumps(config['extra_config']))\n";
    let sandbox = Sandbox::with([("all_config.py", plugin)]);
    let yaml = "chunk_size: 256\nlocal_cpu: true\nplugin_locations: [\"plugins\"]\n\
                extra_config:\n  plugin.frontend.port: 8080\n  nested:\n    deeper: [1, two]\n";
    sandbox.write("lmcache.yaml", yaml);
    let done = sandbox.launcher(["run", "--role", "worker", "--config", "lmcache.yaml"]).output();
    let found = Json::parse(&done.lines_of("all_config.py").concat());
    let expected = r#"{"plugin.frontend.port": 8080, "nested": {"deeper": [1, "two"]}}"#;
    assert_eq!(found, Json::parse(expected));
}
