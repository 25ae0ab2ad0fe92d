//! Every notice in every look.

use super::*;

/// Text for whoever reads a pipe.
pub const LOOK: Look =
    Look { format: Format::Text, is_quiet: false, is_terminal: false, has_colour: false, label_width: 0 };

/// What stands around the words of a notice on a terminal with colours.
const PLAIN: [&str; 2] = ["\x1b[1m[launcher]\x1b[0m ", "\x1b[0m\n"];
const ATTENTION: [&str; 2] = ["\x1b[1m[launcher]\x1b[0;33m ", "\x1b[0m\n"];
const PROBLEM: [&str; 2] = ["\x1b[1m[launcher]\x1b[0;31m ", "\x1b[0m\n"];

fn text(notice: &Notice, look: &Look) -> Option<String> {
    notice.record(look).map(|record| String::from_utf8(record).unwrap())
}

/// The record in JSON behind its time and the name of its event.
fn json(notice: &Notice) -> String {
    let record = text(notice, &Look { format: Format::Json, ..LOOK }).unwrap();
    let rest = record.strip_prefix("{\"time\":\"").unwrap();
    let rest = rest.split_at(timestamp::now().len()).1.strip_prefix("\",\"event\":").unwrap();
    rest.strip_suffix("}\n").unwrap().to_owned()
}

#[test]
fn each_notice_as_text_as_json_in_colours_and_with_quiet() {
    let plugin = OsStr::new("all_x.sh");
    let [well, badly, killed] = [Change::Exited(0), Change::Exited(3), Change::Signaled(15)];
    let command = [OsString::from("/bin/sh"), OsString::from("a b")];
    let counts = ReloadCounts { started: 1, restarted: 2, stopped: 3, unchanged: 4 };
    let alive = Status {
        state: "running",
        pid: Some(7),
        uptime: Duration::from_millis(1_500),
        restarts: 2,
        last: Some(badly),
        lines: 10,
        bytes: 99,
    };
    let gone = Status { state: "backoff", pid: None, last: None, ..alive };
    let path = Path::new("plugins/all_x.sh");
    let reason = "a\nreason";
    for (notice, words, members, colours, is_said_with_quiet) in [
        (
            Notice::Started { plugin, pid: 7, command: &command },
            "started all_x.sh (pid 7): /bin/sh a b",
            r#""started","plugin":"all_x.sh","pid":7,"command":["/bin/sh","a b"]"#,
            PLAIN,
            false,
        ),
        (
            Notice::Exited { plugin, change: well, is_wanted: false },
            "exited all_x.sh: status 0",
            r#""exited","plugin":"all_x.sh","code":0"#,
            PLAIN,
            false,
        ),
        (
            Notice::Exited { plugin, change: badly, is_wanted: false },
            "exited all_x.sh: status 3",
            r#""exited","plugin":"all_x.sh","code":3"#,
            PROBLEM,
            true,
        ),
        (
            Notice::Exited { plugin, change: killed, is_wanted: true },
            "exited all_x.sh: signal 15 (SIGTERM)",
            r#""exited","plugin":"all_x.sh","signal":15"#,
            PLAIN,
            false,
        ),
        (
            Notice::ProgramExited { program: OsStr::new("vllm"), change: well },
            "exited vllm: status 0",
            r#""exited","program":"vllm","code":0"#,
            PLAIN,
            false,
        ),
        (
            Notice::ProgramExited { program: OsStr::new("vllm"), change: killed },
            "exited vllm: signal 15 (SIGTERM)",
            r#""exited","program":"vllm","signal":15"#,
            PROBLEM,
            false,
        ),
        (
            Notice::Failed { plugin, reason },
            r"failed all_x.sh: a\nreason",
            r#""failed","plugin":"all_x.sh","reason":"a\nreason""#,
            PROBLEM,
            true,
        ),
        (
            Notice::Skipped { plugin, reason },
            r"skipped all_x.sh: a\nreason",
            r#""skipped","plugin":"all_x.sh","reason":"a\nreason""#,
            PLAIN,
            false,
        ),
        (
            Notice::Restarting { plugin, reason, delay: Duration::from_millis(250), count: 2 },
            r"restarting all_x.sh in 0.25 s (restart 2): a\nreason",
            r#""restarting","plugin":"all_x.sh","reason":"a\nreason","delay":0.25,"count":2"#,
            ATTENTION,
            true,
        ),
        (
            Notice::Status { plugin, path, status: &alive },
            "status all_x.sh: running, pid 7, up 1.5 s, restarts 2, last status 3, 10 lines, 99 bytes",
            r#""status","plugin":"all_x.sh","path":"plugins/all_x.sh","state":"running","pid":7,"uptime":1.5,"restarts":2,"code":3,"lines":10,"bytes":99"#,
            PLAIN,
            true,
        ),
        (
            Notice::Status { plugin, path, status: &gone },
            "status all_x.sh: backoff, restarts 2, 10 lines, 99 bytes",
            r#""status","plugin":"all_x.sh","path":"plugins/all_x.sh","state":"backoff","restarts":2,"lines":10,"bytes":99"#,
            PLAIN,
            true,
        ),
        (
            Notice::Reloaded { counts: &counts },
            "reloaded: 1 started, 2 restarted, 3 stopped, 4 unchanged",
            r#""reloaded","started":1,"restarted":2,"stopped":3,"unchanged":4"#,
            PLAIN,
            false,
        ),
        (Notice::Stopping { reason }, r"stopping: a\nreason", r#""stopping","reason":"a\nreason""#, PLAIN, false),
        (
            Notice::Killed { plugin: Some(plugin), pid: 7 },
            "killed all_x.sh (pid 7): it had not ended",
            r#""killed","plugin":"all_x.sh","pid":7"#,
            PROBLEM,
            true,
        ),
        (
            Notice::Killed { plugin: None, pid: 7 },
            "killed pid 7: it had not ended",
            r#""killed","pid":7"#,
            PROBLEM,
            true,
        ),
        (
            Notice::Warning { plugin: Some(plugin), reason },
            r"warning: all_x.sh: a\nreason",
            r#""warning","plugin":"all_x.sh","reason":"a\nreason""#,
            ATTENTION,
            true,
        ),
        (
            Notice::Warning { plugin: None, reason },
            r"warning: a\nreason",
            r#""warning","reason":"a\nreason""#,
            ATTENTION,
            true,
        ),
        (Notice::Stopped, "stopped", r#""stopped""#, PLAIN, false),
    ] {
        let plain = format!("[launcher] {words}\n");
        assert_eq!(text(&notice, &LOOK).as_ref(), Some(&plain));
        assert_eq!(text(&notice, &Look { is_quiet: true, ..LOOK }), is_said_with_quiet.then_some(plain));
        let coloured = text(&notice, &Look { is_terminal: true, has_colour: true, ..LOOK });
        assert_eq!(coloured, Some([colours[0], words, colours[1]].concat()));
        assert_eq!(json(&notice), members);
        let look = Look { format: Format::Json, is_quiet: true, ..LOOK };
        assert_eq!(text(&notice, &look).is_some(), is_said_with_quiet, "{words}");
    }
}

#[test]
fn a_notice_is_padded_as_the_lines_of_plugins_are() {
    for (label_width, expected) in
        [(0, "[launcher] stopped\n"), (10, "[launcher] stopped\n"), (13, "[launcher]    stopped\n")]
    {
        assert_eq!(text(&Notice::Stopped, &Look { label_width, ..LOOK }).as_deref(), Some(expected));
    }
}

#[test]
fn a_name_that_could_forge_a_notice_is_shown_escaped() {
    let plugin = OsStr::new("all_x\n[launcher] stopped.sh");
    let found = text(&Notice::Failed { plugin, reason: "" }, &LOOK).unwrap();
    assert_eq!(found.matches('\n').count(), 1, "{found}");
}
