//! How a plugin is run: by its first line, else by its ending, never through the execute bit.

use std::fs;

use crate::json::Json;
use crate::namespace;
use crate::sandbox::Sandbox;

/// The command of the only plugin, without the file at its end.
fn interpreter(name: &str, content: &str) -> Vec<String> {
    let sandbox = Sandbox::with([(name, content)]);
    let mut command = sandbox.list(&[])[0]["command"].texts();
    assert!(command.pop().expect("not empty").ends_with(&format!("plugins/{name}")));
    command
}

/// A directory with these programs alone, to stand as PATH.
fn programs(sandbox: &Sandbox, names: &[(&str, &str)]) -> String {
    fs::create_dir_all(sandbox.path("bin")).expect("a directory");
    for (name, target) in names {
        let _ = fs::remove_file(sandbox.path("bin").join(name));
        sandbox.link(target, format!("bin/{name}"));
    }
    sandbox.text("bin")
}

#[test]
fn the_first_line_is_split_as_execve_splits_it() {
    let cases: [(&str, &[&str]); 9] = [
        ("#!/bin/sh\n", &["/bin/sh"]),
        ("#!/bin/bash -e\n", &["/bin/bash", "-e"]),
        ("#!  /bin/bash \t -e  \n", &["/bin/bash", "-e"]),
        ("#!/bin/bash -e -u\n", &["/bin/bash", "-e -u"]),
        ("#!/bin/sh", &["/bin/sh"]),
        ("#!/usr/bin/env python3\n", &["/usr/bin/env", "python3"]),
        ("#!/usr/bin/env -S python3 -X utf8\n", &["/usr/bin/env", "-S python3 -X utf8"]),
        ("#!/bin/bash\t-e\n", &["/bin/bash", "-e"]),
        ("#!/bin/bash -e\r\n", &["/bin/bash", "-e"]),
    ];
    for (line, expected) in cases {
        assert_eq!(interpreter("all_x", line), expected, "{line:?}");
    }
}

#[test]
fn arguments_of_the_first_line_are_honoured() {
    let sandbox = Sandbox::with([
        ("all_e.sh", "#!/bin/bash -e\nfalse\necho unreachable\n"),
        ("all_env.py", "#!/usr/bin/env -S python3 -X utf8\nimport sys\nprint(sys.flags.utf8_mode)\n"),
        ("all_w.pl", "#!/usr/bin/perl -w\nprint \"warnings: $^W\\n\";\n"),
    ]);
    let done = sandbox.launcher(["run", "plugins"]).output();
    assert_eq!(done.lines_of("all_e.sh"), [""; 0]);
    assert_eq!(done.lines_of("all_env.py"), ["1"]);
    assert_eq!(done.lines_of("all_w.pl"), ["warnings: 1"]);
    assert_eq!(done.status.code(), Some(1), "bash -e failed");
}

#[test]
fn a_byte_order_mark_and_crlf_are_forgiven() {
    let sandbox = Sandbox::with([
        ("all_bom.py", "\u{feff}#!/usr/bin/env python3\nprint('ran')\n"),
        ("all_crlf.py", "#!/usr/bin/env python3\r\nprint('ran')\r\n"),
        ("all_both.pl", "\u{feff}#!/usr/bin/perl\r\nprint \"ran\\n\";\r\n"),
    ]);
    let done = sandbox.launcher(["run", "plugins"]).output();
    for name in ["all_bom.py", "all_crlf.py", "all_both.pl"] {
        assert_eq!(done.lines_of(name), ["ran"], "{name}");
    }
    assert_eq!(done.status.code(), Some(0));
}

#[test]
fn the_execute_bit_does_not_matter() {
    let sandbox = Sandbox::with([("all_a.sh", "#!/bin/sh\necho ran\n"), ("all_b.py", "print('ran')\n")]);
    for mode in [0o444, 0o644, 0o755] {
        sandbox.mode("plugins/all_a.sh", mode);
        sandbox.mode("plugins/all_b.py", mode);
        let done = sandbox.launcher(["run", "plugins"]).output();
        assert_eq!((done.lines_of("all_a.sh"), done.lines_of("all_b.py")), (vec!["ran".into()], vec!["ran".into()]));
    }
}

#[test]
fn a_noexec_mount_does_not_matter() {
    let sandbox = Sandbox::with([("all_a.sh", "#!/bin/sh\necho ran\n")]);
    let script = "mount -t tmpfs -o noexec none plugins && printf '#!/bin/sh\\necho ran\\n' >plugins/all_n.sh && \
                  chmod 755 plugins/all_n.sh && ! plugins/all_n.sh 2>/dev/null && exec \"$LAUNCHER\" run plugins";
    let done = namespace::command(&sandbox, &["--mount"], &["sh", "-c", script]).output();
    assert_eq!(done.lines_of("all_n.sh"), ["ran"]);
    assert_eq!(done.status.code(), Some(0));
}

#[test]
fn a_name_without_a_slash_is_searched_in_path() {
    let sandbox = Sandbox::with([("all_x.tool", "#!shell -e\necho ran\n")]);
    let path = programs(&sandbox, &[("shell", "/bin/sh")]);
    let done = sandbox.launcher(["run", "plugins"]).env("PATH", path).output();
    assert_eq!(done.lines_of("all_x.tool"), ["ran"]);
}

/// Asserts which program runs a file without a first line, where these alone are in PATH. Each of them is `echo` by
/// another name, so that it prints the file it was to run.
#[track_caller]
fn assert_falls_back(name: &str, available: &[&str], expected: Option<&str>) {
    let sandbox = Sandbox::with([(name, "text\n")]);
    let available: Vec<_> = available.iter().map(|program| (*program, "/bin/echo")).collect();
    let path = programs(&sandbox, &available);
    let listed = sandbox.launcher(["list", "--format=json", "plugins"]).env("PATH", &path).output();
    let record = listed.records().remove(0);
    let done = sandbox.launcher(["run", "plugins"]).env("PATH", &path).output();
    let Some(program) = expected else {
        assert!(record["decision"] == "error", "{record:?}");
        assert_eq!(done.status.code(), Some(1));
        return;
    };
    let found = record["command"].texts()[0].clone();
    assert!(found == program || found == format!("{path}/{program}"), "{name}: {found}");
    assert!(done.lines_of(name).concat().ends_with(&format!("plugins/{name}")), "{}", done.text());
    assert_eq!(done.status.code(), Some(0));
}

#[test]
fn without_a_first_line_the_ending_decides() {
    assert_falls_back("all_x.py", &["python", "python3", "bash"], Some("python"));
    assert_falls_back("all_x.py", &["python3", "sh"], Some("python3"));
    assert_falls_back("all_x.py", &["bash", "sh"], None);
    assert_falls_back("all_x.sh", &["bash", "sh", "python"], Some("bash"));
    assert_falls_back("all_x.sh", &["sh"], Some("sh"));
    assert_falls_back("all_x.sh", &["python", "python3"], None);
}

#[test]
fn a_missing_interpreter_falls_back_with_a_warning() {
    let sandbox = Sandbox::with([
        ("all_a.py", "#!/opt/none/python3.99 -u\nprint('ran')\n"),
        ("all_b.sh", "#!/opt/none/zsh\necho ran\n"),
    ]);
    let path = programs(&sandbox, &[("python3", "/usr/bin/env"), ("sh", "/bin/sh")]);
    let python = sandbox.command("python3", ["-c", "import sys; print(sys.executable)"]).output().text();
    programs(&sandbox, &[("python3", python.trim())]);
    let done = sandbox.run_json(&[]).env("PATH", path).output();
    assert_eq!(done.status.code(), Some(0));
    let printed: Vec<_> = done.events("output").iter().map(|record| record["message"].text()).collect();
    assert_eq!(printed, ["ran", "ran"]);
    let warnings: Vec<_> = done.events("warning").iter().map(|record| format!("{record:?}")).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings.iter().any(|warning| warning.contains("/opt/none/python3.99")), "{warnings:?}");
    assert!(warnings.iter().any(|warning| warning.contains("/opt/none/zsh")), "{warnings:?}");
}

#[test]
fn an_interpreter_that_is_none_is_told_as_what_it_is() {
    let sandbox = Sandbox::with([("all_a", "#!/etc/passwd\n"), ("all_b", "#!/etc\n"), ("all_c", "#!/none/sh\n")]);
    sandbox.link("loop", "loop");
    sandbox.plugin("all_d", format!("#!{}\n", sandbox.text("loop")));
    let reason = |record: &Json| record["reason"].text().rsplit_once('`').expect("a name").1.to_owned();
    let reasons: Vec<String> = sandbox.list(&[]).iter().map(reason).collect();
    assert_eq!(reasons, [" is not executable", " is no program", " does not exist", " is out of reach"]);
}

#[test]
fn a_missing_interpreter_without_a_fallback_fails_the_plugin() {
    let sandbox = Sandbox::with([("all_x.rb", "#!/opt/none/ruby\n"), ("all_y.sh", "#!/bin/sh\necho ran\n")]);
    let done = sandbox.run_json(&[]).output();
    assert_eq!(done.status.code(), Some(1));
    let failed = done.events("failed");
    assert!(failed.len() == 1 && failed[0]["plugin"] == "all_x.rb", "{failed:?}");
    assert!(failed[0]["reason"].text().contains("/opt/none/ruby"));
    assert_eq!(done.events("output").len(), 1, "the other plugin runs");
}

#[test]
fn an_executable_that_is_no_program_fails_the_plugin() {
    let sandbox = Sandbox::with([("all_broken", "\u{7f}ELF and nothing else"), ("all_y.sh", "#!/bin/sh\necho ran\n")]);
    sandbox.mode("plugins/all_broken", 0o755);
    let done = sandbox.run_json(&[]).output();
    assert_eq!(done.status.code(), Some(1));
    let failed = done.events("failed");
    assert!(failed.len() == 1 && failed[0]["plugin"] == "all_broken", "{:?}", done.records());
    assert_eq!(done.events("output").len(), 1, "the other plugin runs");
}

#[test]
fn the_statuses_of_a_run_that_ends_by_itself() {
    let cases = [("exit 0", 0), ("exit 3", 1), ("kill -KILL $$", 1), ("exit 0 # with another", 0)];
    for (body, status) in cases {
        let sandbox = Sandbox::with([("all_ok.sh", "#!/bin/sh\n")]);
        sandbox.plugin("all_x.sh", format!("#!/bin/sh\n{body}\n"));
        assert_eq!(sandbox.launcher(["run", "plugins"]).output().status.code(), Some(status), "{body}");
    }
}
