//! No message quotes a value of the configuration, however the document is damaged.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::sandbox::{LAUNCHER, Launch, Output, Sandbox};

/// What every value is.
const SECRET: &str = "hunter2";

/// Documents in which every value is the secret, some of them where a value of another kind belongs.
const DOCUMENTS: [&str; 3] = [
    "password: hunter2\n\"token\": \"hunter2\"\nkey: 'hunter2'\nlist: [hunter2, \"hunter2\", {a: hunter2}]\n\
     map: {a: hunter2, b: 'hunter2'}\nblock: |\n  hunter2\nitems:\n- hunter2\n- a: hunter2\n  b: hunter2\n",
    "extra_config:\n  plugin.all_x.restart: hunter2\n  plugin.all_x.grace_period: \"hunter2\"\n  plugin.x.token: hunter2\n\
     chunk_size: hunter2\nmp: &x hunter2\nagain: *x\nmerged: {<<: {a: hunter2}, b: hunter2}\n",
    "extra_config:\n  plugin.launcher.restart: hunter2\n  plugin.launcher.quiet: hunter2\nworker: hunter2\n",
];

/// What a slip of the finger, a template or a shell makes of a document: one change each.
fn damaged(document: &str) -> Vec<String> {
    let mut found = vec![document.to_owned()];
    for (index, char) in document.char_indices().step_by(3) {
        let (before, after) = (&document[..index], &document[index + char.len_utf8()..]);
        found.push([before, after].concat());
    }
    let signs = [
        "*", "!", "!!", "!<", "&", "@", "%", "`", "|", ">", "\"", "'", "- ", "? ", "{", "[", "}", "]", ": ", "<<: ",
        "\t", "\u{1}",
    ];
    for (number, (index, _)) in document.match_indices(SECRET).enumerate() {
        let (before, after) = document.split_at(index);
        for (sign, other) in signs.iter().zip(0..) {
            // Before one value and behind the next.
            let (secret, rest) = after.split_at(if (number + other) % 2 == 0 { 0 } else { SECRET.len() });
            found.push([before, secret, sign, rest].concat());
        }
        found.push([before, "\n", after].concat());
        found.push([before, "\\x", after].concat());
        found.push([before, "!", SECRET, "!", after].concat());
        found.push(before.to_owned());
    }
    let lines: Vec<&str> = document.split_inclusive('\n').collect();
    for index in 0..lines.len() {
        let mut changed = lines.clone();
        changed.remove(index);
        found.push(changed.concat());
        let indented = [" ", lines[index]].concat();
        found.push([&lines[..index], &[&indented[..]], &lines[index + 1..]].concat().concat());
        found.push([&lines[..index], &[lines[index]; 2], &lines[index + 1..]].concat().concat());
    }
    found
}

#[track_caller]
fn assert_kept(done: &Output, document: &str) {
    let said = done.text() + &done.stderr;
    assert!(!said.contains(SECRET), "{said}\nof\n{document}");
}

#[test]
fn no_command_quotes_a_value() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\n")]);
    let documents: Vec<String> = DOCUMENTS.iter().flat_map(|document| damaged(document)).collect();
    assert!(documents.len() > 400, "{}", documents.len());
    for (number, document) in documents.iter().enumerate() {
        sandbox.write("lmcache.yaml", document);
        let options = ["--config", "lmcache.yaml", "plugins"];
        // Every document meets `check`, and each of the others in turn, the document in a variable among them.
        assert_kept(&sandbox.launcher(["check"]).args(options).output(), document);
        let other = match number % 4 {
            0 => sandbox.launcher(["list"]).args(options),
            1 => sandbox.launcher(["run", "--format", "json"]).args(options),
            2 => sandbox.launcher(["get", "/password/nowhere", "--config", "lmcache.yaml"]),
            _ => sandbox.launcher(["check", "plugins"]).env("LMCACHE_PLUGIN_CONFIG", document),
        };
        assert_kept(&other.output(), document);
    }
}

#[test]
fn a_socket_that_the_configuration_names_is_told_by_its_place() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\n")]);
    sandbox.write("lmcache.yaml", "extra_config:\n  plugin.launcher.control: nowhere/hunter2\n");
    let place = "that lmcache.yaml:2:28 names: No such file or directory";
    for (arguments, status) in [
        (&["run", "plugins", "--config", "lmcache.yaml"][..], 2),
        (&["run", "plugins", "--config", "lmcache.yaml", "--", "true"], 0),
        (&["status", "--config", "lmcache.yaml"], 2),
        (&["stop", "all_x.sh", "--config", "lmcache.yaml"], 2),
    ] {
        let done = sandbox.launcher(arguments).output();
        assert_eq!(done.status.code(), Some(status), "{arguments:?}: {}", done.stderr);
        assert!((done.text() + &done.stderr).contains(place), "{arguments:?}: {}", done.stderr);
        assert_kept(&done, "a socket");
    }
}

#[test]
fn a_reload_quotes_no_value() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho ready\nexec sleep 1000\n")]);
    sandbox.write("lmcache.yaml", "a: 1\n");
    let running = sandbox.launcher(["run", "--config", "lmcache.yaml", "plugins"]).start();
    running.wait_for_stdout("] ready");
    let mut refusals = 0;
    for document in damaged(DOCUMENTS[0]).iter().step_by(8) {
        sandbox.write("lmcache.yaml", document);
        let list = sandbox.launcher(["list", "--config", "lmcache.yaml", "plugins"]).output();
        if list.status.code() == Some(2) {
            refusals += 1;
            running.signal("HUP");
            let said = || running.stdout().matches("not reloaded").count();
            crate::sandbox::wait_for("the reload is refused", || said() == refusals);
        }
    }
    assert!(refusals > 10, "{refusals}");
    running.signal("TERM");
    assert_kept(&running.wait(), "a reload");
}

/// A script that is given the launcher as its name, run by who is not root.
pub fn as_an_ordinary_user<'s>(sandbox: &'s Sandbox, script: &str) -> Launch<'s> {
    if fs::metadata("/proc/self").expect("proc").uid() != 0 {
        return sandbox.command("sh", ["-c", script, LAUNCHER]);
    }
    // Where that is built may be root's alone.
    assert_eq!(sandbox.launcher(["install", "."]).output().status.code(), Some(0));
    let user = ["--reuid", "54321", "--regid", "54321", "--clear-groups", "sh", "-c", script];
    sandbox.command("setpriv", user).args([sandbox.text("lmcache-plugin-launcher")])
}

#[test]
fn what_the_launcher_knows_is_hidden_from_other_processes_of_its_user() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\nexec sleep 1000\n")]);
    // The control is the plugin.
    let look = "look() {\n    \
            head -c 1 /proc/$2/environ >/dev/null 2>&1 && echo $1 shows its environment || echo $1 hides its environment\n    \
            ls /proc/$2/fd >/dev/null 2>&1 && echo $1 shows its descriptors || echo $1 hides its descriptors\n\
        }\n\
        \"$0\" run plugins >log & guard=$!\n\
        until grep -q 'started all_x.sh' log; do sleep 0.02; done\n\
        look guard $guard; look supervisor $(ps -o pid= --ppid $guard)\n\
        look plugin $(sed -n 's/.*started all_x.sh (pid \\([0-9]*\\)).*/\\1/p' log)\n\
        kill $guard; wait $guard\n";
    sandbox.mode("", 0o777);
    let text = as_an_ordinary_user(&sandbox, look).output().text();
    let said = |who: &str, does: &str| format!("{who} {does} its environment\n{who} {does} its descriptors\n");
    assert_eq!(text, said("guard", "hides") + &said("supervisor", "hides") + &said("plugin", "shows"));
}
