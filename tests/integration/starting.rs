//! What happens between the moment at which a plugin is forked and the one at which it runs, whatever else starts then.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::sandbox::Sandbox;

#[test]
fn a_thousand_starts_of_which_every_third_fails_are_told_apart() {
    let sandbox = Sandbox::new();
    // Executable, and no program: the kernel finds out only when it is to run it.
    sandbox.write("garbage", "\u{7f}ELF, and then nothing of the kind");
    sandbox.mode("garbage", 0o755);
    let garbage = format!("#!{}\n", sandbox.text("garbage"));
    for n in 0..1_000 {
        let good = format!("#!/bin/sh\nexit {}\n", n % 200);
        sandbox.plugin(format!("all_{n:03}.sh"), if n % 3 == 0 { &garbage } else { &good });
    }
    let done = sandbox.run_json(&[]).output();
    assert_eq!(done.status.code(), Some(1));
    let named =
        |event: &str| -> Vec<String> { done.events(event).iter().map(|record| record["plugin"].text()).collect() };
    let numbers = |is_meant: fn(usize) -> bool| -> Vec<String> {
        (0..1_000).filter(|n| is_meant(*n)).map(|n| format!("all_{n:03}.sh")).collect()
    };
    assert_eq!(named("started"), numbers(|n| n % 3 != 0), "in the order of their names");
    assert_eq!(named("failed"), numbers(|n| n % 3 == 0));
    let mut ended = named("exited");
    ended.sort();
    assert_eq!(ended, numbers(|n| n % 3 != 0));
    for record in done.events("exited") {
        let n: usize = record["plugin"].text()[4..7].parse().expect("a number");
        assert_eq!(record["code"].number(), (n % 200) as f64, "{record:?}");
    }
    for record in done.events("failed") {
        assert!(record["reason"].text().contains("Exec format error"), "{record:?}");
    }
}

#[test]
fn a_plugin_can_be_looked_into_by_its_own_user_and_the_launcher_cannot() {
    let look = "#!/bin/sh\nfor pid in $$ $PPID; do stat -c %u /proc/$pid/status; done\nid -u\n";
    let sandbox = Sandbox::with([("all_x.sh", look)]);
    sandbox.launcher(["install", "."]).output();
    let launcher = sandbox.text("lmcache-plugin-launcher");
    fs::set_permissions(sandbox.path(""), fs::Permissions::from_mode(0o755)).expect("open to all");
    // What nobody may look into is root's (proc(5)), which root cannot see.
    let others: &[&str] = match fs::metadata("/proc/self").expect("proc").uid() {
        0 => &["--reuid", "54321", "--regid", "54321", "--clear-groups"],
        _ => &[],
    };
    for options in [&[][..], &["--oom-score-adj", "500"]] {
        let command = sandbox.command("setpriv", others).args([&launcher, "run"]).args(options).args(["plugins"]);
        let lines = command.output().lines_of("all_x.sh");
        let [plugin, supervisor, user] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!((plugin, supervisor.as_str()), (user, "0"), "{options:?}");
        assert_ne!(user, "0", "the control");
    }
}

#[test]
fn who_may_not_have_enough_processes_ends_well_only_if_its_plugin_ran() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho ran\n")]);
    sandbox.launcher(["install", "."]).output();
    fs::set_permissions(sandbox.path(""), fs::Permissions::from_mode(0o755)).expect("open to all");
    // Root may have any number; of another user, or in a namespace of its own, there are no others.
    let words: &[&str] = match fs::metadata("/proc/self").expect("proc").uid() {
        0 => &["setpriv", "--reuid", "54322", "--regid", "54322", "--clear-groups"],
        _ => &["unshare", "--user", "--map-root-user"],
    };
    let ended_well: Vec<bool> = (2..=8)
        .map(|most| {
            let launch = sandbox.command(words[0], &words[1..]).args(["prlimit", &format!("--nproc={most}")]);
            // A warning comes first: with one thread it is the log that has it, and nobody looks for plugins.
            let variables = ["LMCACHE_PLUGIN_LOCATIONS", "LMCACHE_RUNTIME_PLUGIN_LOCATIONS"];
            let launch = variables.into_iter().fold(launch, |launch, name| launch.env(name, "plugins"));
            let done = launch.args(["./lmcache-plugin-launcher", "run"]).output();
            let ended_well = done.status.code() == Some(0);
            assert_eq!(ended_well, done.text().contains("[all_x.sh] ran\n"), "{most}: {}", done.text());
            ended_well
        })
        .collect();
    assert!(!ended_well[0] && ended_well[6], "the control: {ended_well:?}");
}

#[test]
fn who_has_too_few_descriptors_to_begin_says_so_with_status_2() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho here\n")]);
    for program in ["", " -- sh -c 'touch run; sleep 1000'"] {
        // Enough for the guard, and not for the supervisor.
        let script = format!("ulimit -n 12; exec \"$LAUNCHER\" run --grace-period 0.1 plugins{program}");
        let done = sandbox.command("sh", ["-c", &script]).output();
        assert_eq!(done.status.code(), Some(2), "{program}: {}", done.stderr);
        assert!(done.stderr.contains("cannot start: "), "{program}: {}", done.stderr);
        assert!(!done.text().contains("here"), "{}", done.text());
        sandbox.assert_nothing_left(std::time::Duration::ZERO);
    }
}
