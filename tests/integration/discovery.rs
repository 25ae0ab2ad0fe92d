//! Which files are plugins, and in which order; each reached once.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;

use crate::sandbox::Sandbox;

const SHELL: &str = "#!/bin/sh\necho ran\n";

#[test]
fn a_directory_is_searched_to_the_bottom() {
    let sandbox = Sandbox::new();
    let deep = "d/".repeat(40) + "all_deep.sh";
    sandbox.plugin(&deep, SHELL);
    sandbox.plugin("sub/all_mid.py", "print('ran')\n");
    assert_eq!(sandbox.names_to_run(&[]), ["all_deep.sh", "all_mid.py"]);
}

#[test]
fn paths_are_as_reached_from_the_location() {
    let sandbox = Sandbox::with([("sub/all_x.sh", SHELL)]);
    let relative = sandbox.list(&[]);
    assert!(relative.len() == 1 && relative[0]["path"] == "plugins/sub/all_x.sh", "{relative:?}");
    let done = sandbox.launcher(["list", "--format=json", &sandbox.text("plugins")]).output();
    assert_eq!(done.records()[0]["path"].text(), sandbox.text("plugins/sub/all_x.sh"));
}

#[test]
fn every_file_has_one_record_with_decision_reason_and_command() {
    let files = [("all_a.sh", SHELL), ("scheduler_b.sh", SHELL), ("all_c.rb", "#!/no/such/interpreter\n")];
    let records = Sandbox::with(files).list(&["--role", "worker"]);
    let summary: Vec<_> = records.iter().map(|r| (r["name"].text(), r["decision"].text())).collect();
    let expected = [("all_a.sh", "run"), ("all_c.rb", "error"), ("scheduler_b.sh", "skip")];
    assert_eq!(summary, expected.map(|(name, decision)| (name.to_owned(), decision.to_owned())));
    assert!(records.iter().all(|record| !record["reason"].text().is_empty()), "{records:?}");
    assert_eq!(records[0]["command"].texts()[0], "/bin/sh");
    assert!(records[0]["command"].texts()[1].ends_with("plugins/all_a.sh"));
    assert!(!records[2].has("command"), "a command only where it runs");
}

#[test]
fn hidden_names_are_not_plugins() {
    let sandbox = Sandbox::with([(".all_x.sh", SHELL), (".git/hooks/all_y.sh", SHELL), ("all_seen.sh", SHELL)]);
    assert_eq!(sandbox.names_to_run(&[]), ["all_seen.sh"]);
}

#[test]
fn a_config_map_runs_each_plugin_once() {
    let sandbox = Sandbox::new();
    sandbox.plugin("..2026_11_22_07_18/all_a.sh", SHELL);
    sandbox.plugin("..2026_11_22_07_18/worker_b.py", "print('ran')\n");
    sandbox.link("..2026_11_22_07_18", "plugins/..data");
    sandbox.link("..data/all_a.sh", "plugins/all_a.sh");
    sandbox.link("..data/worker_b.py", "plugins/worker_b.py");
    assert_eq!(sandbox.names_to_run(&["--role", "worker"]), ["all_a.sh", "worker_b.py"]);
    let done = sandbox.launcher(["run", "--role", "worker", "plugins"]).output();
    assert_eq!(done.lines_of("all_a.sh"), ["ran"]);
    assert_eq!(done.lines_of("worker_b.py"), ["ran"]);
}

#[test]
fn a_fifo_or_socket_is_never_opened() {
    let sandbox = Sandbox::with([("all_x.sh", SHELL)]);
    sandbox.mkfifo("plugins/all_pipe.sh");
    sandbox.mkfifo("plugins/all_tube");
    let _socket = UnixListener::bind(sandbox.path("plugins/all_socket.sh")).expect("a socket");
    assert_eq!(sandbox.names_to_run(&[]), ["all_x.sh"]);
    for name in ["all_pipe.sh", "all_socket.sh"] {
        let listed = sandbox.list(&[]);
        let record = listed.iter().find(|record| record["name"] == name).expect("it is listed");
        assert!(record["decision"] == "skip" && !record["reason"].text().is_empty(), "{record:?}");
    }
    let done = sandbox.launcher(["run", "plugins", "plugins/all_pipe.sh"]).output();
    assert_eq!(done.lines_of("all_x.sh"), ["ran"]);
}

#[test]
fn a_link_to_a_fifo_is_not_opened_either() {
    let sandbox = Sandbox::new();
    sandbox.mkfifo("pipe");
    sandbox.link("../pipe", "plugins/all_pipe.sh");
    assert_eq!(sandbox.names_to_run(&[]), [""; 0]);
}

#[test]
fn linked_directories_below_a_location_are_not_entered() {
    let sandbox = Sandbox::with([("all_x.sh", SHELL)]);
    sandbox.write("elsewhere/all_y.sh", SHELL);
    sandbox.link("../elsewhere", "plugins/elsewhere");
    sandbox.link(".", "plugins/loop");
    sandbox.link("all_self.sh", "plugins/all_self.sh");
    sandbox.link("gone", "plugins/all_gone.sh");
    assert_eq!(sandbox.names_to_run(&[]), ["all_x.sh"]);
    assert_eq!(sandbox.launcher(["run", "plugins"]).output().lines_of("all_x.sh"), ["ran"]);
}

#[test]
fn a_location_may_itself_be_a_link() {
    let sandbox = Sandbox::with([("all_x.sh", SHELL)]);
    sandbox.link("plugins", "linked");
    let done = sandbox.launcher(["run", "linked"]).output();
    assert_eq!(done.lines_of("all_x.sh"), ["ran"]);
}

#[test]
fn a_file_reached_twice_runs_once() {
    let sandbox = Sandbox::with([("all_a.sh", SHELL), ("sub/all_b.sh", SHELL), ("all_c.sh", SHELL)]);
    sandbox.link("all_c.sh", "plugins/all_linked.sh");
    fs::hard_link(sandbox.path("plugins/all_a.sh"), sandbox.path("plugins/all_hard.sh")).expect("a hard link");
    sandbox.link("plugins", "again");
    let locations = ["plugins", "plugins/sub", "./plugins/../plugins", "again", "plugins/all_a.sh"];
    let done = sandbox.launcher(["run"]).args(locations).output();
    assert_eq!(done.status.code(), Some(0));
    let ran = done.text().lines().filter(|line| line.ends_with("] ran")).count();
    assert_eq!(ran, 3, "{}", done.text());
}

#[test]
fn files_of_two_file_systems_may_have_the_same_number() {
    let sandbox = Sandbox::new();
    for name in ["one", "two"] {
        std::fs::create_dir(sandbox.path(name)).expect("a directory");
    }
    let script = "for name in one two; do\n    \
            mount -t tmpfs none $name && printf '#!/bin/sh\\necho ran\\n' >$name/all_$name.sh || exit 9\n\
        done\n\
        exec \"$LAUNCHER\" run one two";
    let done = crate::namespace::command(&sandbox, &["--mount"], &["sh", "-c", script]).output();
    for name in ["all_one.sh", "all_two.sh"] {
        assert_eq!(done.lines_of(name), ["ran"], "{}", done.text());
    }
}

#[test]
fn backups_are_not_plugins() {
    let endings =
        "~ .bak .orig .rej .swp .tmp .save .dpkg-old .dpkg-dist .dpkg-new .rpmnew .rpmsave .rpmorig .disabled";
    let sandbox = Sandbox::with([("all_x.sh", SHELL)]);
    for ending in endings.split_whitespace() {
        sandbox.plugin(format!("all_x.sh{ending}"), SHELL);
        sandbox.mode(format!("plugins/all_x.sh{ending}"), 0o755);
    }
    assert_eq!(sandbox.names_to_run(&[]), ["all_x.sh"]);
}

#[test]
fn a_file_counts_by_its_ending_or_its_first_bytes() {
    let files = [
        ("all_a.py", "print('ran')\n"),
        ("all_b.sh", "echo ran\n"),
        ("all_c.pl", "#!/usr/bin/perl\nprint \"ran\\n\";\n"),
        ("all_d", "#!/bin/sh\necho ran\n"),
        ("all_e.txt", "just text\n"),
        ("all_f.json", "{}"),
        ("all_g.pl", "print \"no first line\\n\";\n"),
        ("all_h.py.txt", "print('no')\n"),
        ("README.md", "# Plugins\n"),
        ("all_empty", ""),
        ("all_hash", "#"),
    ];
    let sandbox = Sandbox::with(files);
    for name in ["all_e.txt", "all_g.pl"] {
        sandbox.mode(format!("plugins/{name}"), 0o755);
    }
    assert_eq!(sandbox.names_to_run(&[]), ["all_a.py", "all_b.sh", "all_c.pl", "all_d"]);
    let done = sandbox.launcher(["run", "plugins"]).output();
    assert_eq!(done.status.code(), Some(0));
    for name in ["all_a.py", "all_b.sh", "all_c.pl", "all_d"] {
        assert_eq!(done.lines_of(name), ["ran"], "{name}");
    }
}

#[test]
fn an_executable_elf_counts_and_is_run_directly() {
    let sandbox = Sandbox::new();
    let pwd = ["/bin/pwd", "/usr/bin/pwd"].into_iter().find_map(|path| fs::read(path).ok()).expect("pwd is there");
    sandbox.plugin("all_tool", &pwd);
    sandbox.mode("plugins/all_tool", 0o755);
    sandbox.plugin("all_data", &pwd);
    assert_eq!(sandbox.names_to_run(&[]), ["all_tool"], "the one without the execute bit is data");
    let command =
        &sandbox.list(&[]).into_iter().find(|record| record["name"] == "all_tool").expect("listed")["command"];
    assert_eq!(command.texts().len(), 1);
    let done = sandbox.launcher(["run", "plugins"]).output();
    assert_eq!(done.lines_of("all_tool"), [sandbox.text("").trim_end_matches('/')]);
}

#[test]
fn locations_in_the_order_given_then_by_path() {
    let sandbox = Sandbox::new();
    for name in ["z/all_b.sh", "z/all_a.sh", "z/all_c.sh", "a/all_e.sh", "a/all_d.sh", "m/all_single.sh"] {
        sandbox.write(name, SHELL);
    }
    let done = sandbox.launcher(["list", "--format=json", "z", "m/all_single.sh", "a"]).output();
    let names: Vec<_> = done.records().iter().map(|record| record["name"].text()).collect();
    assert_eq!(names, ["all_a.sh", "all_b.sh", "all_c.sh", "all_single.sh", "all_d.sh", "all_e.sh"]);
    let started = sandbox.launcher(["run", "--format=json", "z", "m/all_single.sh", "a"]).output();
    let started: Vec<_> = started.events("started").iter().map(|record| record["plugin"].text()).collect();
    assert_eq!(started, names, "they start in that order");
}

#[test]
fn a_missing_location_is_reported_and_the_others_run() {
    let sandbox = Sandbox::with([("all_x.sh", SHELL)]);
    let done = sandbox.launcher(["run", "gone", "plugins"]).output();
    assert_eq!(done.status.code(), Some(1));
    assert_eq!(done.lines_of("all_x.sh"), ["ran"]);
    let told: Vec<_> = done.lines_of("launcher").into_iter().filter(|line| line.contains("gone")).collect();
    let directory = sandbox.text("");
    let place = format!("it is relative to the working directory `{}`", directory.trim_end_matches('/'));
    assert_eq!(told, [format!("failed gone: No such file or directory; {place}")], "once: {}", done.text());

    let listed = sandbox.launcher(["list", "--format=json", "gone", "plugins", "plugins/all_x.sh/below"]).output();
    let records = listed.records();
    let problems: Vec<_> = records.iter().filter(|record| record.has("location")).collect();
    assert_eq!(problems.len(), 2, "{records:?}");
    assert!(problems[0]["location"] == "gone" && problems[0].has("problem"));
    assert!(problems[1]["location"] == "plugins/all_x.sh/below" && problems[1].has("problem"));
}

#[test]
fn an_empty_directory_ends_well() {
    let done = Sandbox::new().launcher(["run", "plugins"]).output();
    assert_eq!(done.status.code(), Some(0));
}

#[test]
fn names_may_hold_any_bytes() {
    let sandbox = Sandbox::with([("all_with space and 'quotes'.sh", SHELL)]);
    let name = OsStr::from_bytes(b"all_\xff\xfe.sh");
    sandbox.plugin(name, SHELL);
    let done = sandbox.launcher(["run", "plugins"]).output();
    assert_eq!(done.status.code(), Some(0));
    assert_eq!(done.lines_of("all_with space and 'quotes'.sh"), ["ran"]);
    let expected = b"[all_\xff\xfe.sh] ran\n";
    assert!(done.stdout.windows(expected.len()).any(|window| window == expected), "the name's bytes are kept");
    let json = sandbox.run_json(&[]).output();
    assert!(json.events("output").iter().any(|record| record["plugin"] == "all_\u{fffd}\u{fffd}.sh"));
}
