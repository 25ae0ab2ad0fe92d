//! `install DIR`: a copy of this executable, whole, executable, also over one that runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::sandbox::{self, Sandbox};

const NAME: &str = "lmcache-plugin-launcher";

#[test]
fn it_copies_itself_and_prints_the_path() {
    let sandbox = Sandbox::new();
    let done = sandbox.launcher(["install", "plugins"]).output();
    assert_eq!(done.status.code(), Some(0));
    assert_eq!(done.text(), format!("plugins/{NAME}\n"));
    let copy = sandbox.path("plugins").join(NAME);
    assert_eq!(fs::metadata(&copy).expect("it is there").permissions().mode() & 0o7777, 0o755);
    assert!(fs::read(&copy).expect("readable") == fs::read(sandbox::LAUNCHER).expect("readable"), "the same bytes");
    let version = sandbox.command(copy.to_str().expect("UTF-8"), ["--version"]).output();
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(fs::read_dir(sandbox.path("plugins")).expect("a directory").count(), 1, "nothing else is left there");
}

#[test]
fn the_mode_does_not_depend_on_the_umask() {
    let sandbox = Sandbox::new();
    let done = sandbox.command("sh", ["-c", "umask 077; \"$LAUNCHER\" install plugins"]).output();
    assert_eq!(done.status.code(), Some(0));
    let mode = fs::metadata(sandbox.path("plugins").join(NAME)).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

#[test]
fn it_replaces_a_copy_that_runs() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho ready\nexec sleep 1000\n")]);
    fs::create_dir(sandbox.path("bin")).expect("a directory");
    assert_eq!(sandbox.launcher(["install", "bin"]).output().status.code(), Some(0));
    let copy = sandbox.text("bin/lmcache-plugin-launcher");
    let running = sandbox.command(&copy, ["run", "plugins"]).start();
    running.wait_for_stdout("] ready");
    for program in [sandbox::LAUNCHER, &copy] {
        let again = sandbox.command(program, ["install", "bin"]).output();
        assert_eq!(again.status.code(), Some(0), "{}", again.stderr);
    }
    running.signal("TERM");
    assert_eq!(running.wait().status.code(), Some(0));
    assert_eq!(fs::read_dir(sandbox.path("bin")).expect("a directory").count(), 1);
}

#[test]
fn a_place_that_cannot_be_written_is_told() {
    let sandbox = Sandbox::new();
    sandbox.write("file", "");
    let done = sandbox.launcher(["install", "file"]).output();
    let told = "lmcache-plugin-launcher: cannot install `file/lmcache-plugin-launcher`: Not a directory\n";
    assert_eq!((done.status.code(), &*done.stderr), (Some(1), told));
}

#[test]
fn it_works_without_proc() {
    let sandbox = Sandbox::new();
    let script = "mount -t tmpfs none /proc && ! [ -e /proc/self ] && exec \"$LAUNCHER\" install plugins";
    let done = crate::namespace::command(&sandbox, &["--mount"], &["sh", "-c", script]).output();
    assert_eq!(done.status.code(), Some(0), "{}", done.stderr);
    assert!(fs::read(sandbox.path("plugins").join(NAME)).expect("a copy") == fs::read(sandbox::LAUNCHER).expect("it"));
}

#[test]
fn the_bridge_comes_with_it_where_asked_for() {
    let sandbox = Sandbox::new();
    let done = sandbox.launcher(["install", "--bridge", "plugins"]).output();
    assert_eq!(done.status.code(), Some(0), "{}", done.stderr);
    assert_eq!(done.text(), format!("plugins/{NAME}\nplugins/all_launcher.sh\n"));
    let bridge = sandbox.path("plugins/all_launcher.sh");
    assert_eq!(fs::metadata(&bridge).expect("it is there").permissions().mode() & 0o7777, 0o755);
    // As LMCache starts it, with nothing set: it finds the launcher beside it.
    let run = sandbox.command("sh", [bridge.to_str().expect("UTF-8")]);
    let run = run.env("LMCACHE_LAUNCHER_LOCATIONS", "/no/plugins").output();
    assert!(run.text().contains("/no/plugins"), "{} {}", run.text(), run.stderr);
    assert_eq!(fs::read_dir(sandbox.path("plugins")).expect("a directory").count(), 2, "nothing else is left there");
}

#[test]
fn nothing_is_written_through_a_link() {
    let sandbox = Sandbox::new();
    sandbox.write("victim", "untouched\n");
    sandbox.link("../victim", "plugins/all_launcher.sh");
    sandbox.link("../victim", format!("plugins/{NAME}"));
    // A name that is made of our pid can be taken before we are there: exec keeps the pid.
    let script = format!("ln -s ../victim plugins/.{NAME}.$$; exec \"$LAUNCHER\" install --bridge plugins");
    let done = sandbox.command("sh", ["-c", &script]).output();
    assert_eq!(done.status.code(), Some(0), "{}", done.stderr);
    assert!(sandbox.read("victim") == "untouched\n", "what a link points to was written");
    for name in [NAME, "all_launcher.sh"] {
        let target = fs::symlink_metadata(sandbox.path("plugins").join(name)).expect("it is there");
        assert!(target.is_file(), "{name} has taken the link's place");
    }
}

#[test]
fn a_full_disk_leaves_the_older_copy() {
    let sandbox = Sandbox::new();
    let script = format!(
        "mount -t tmpfs -o size=64k none plugins && echo older >plugins/{NAME} && echo older >plugins/all_launcher.sh\n\
         \"$LAUNCHER\" install --bridge plugins; echo \"status $?\"; cat plugins/*; ls -A plugins"
    );
    let done = crate::namespace::command(&sandbox, &["--mount"], &["sh", "-c", &script]).output();
    assert_eq!(done.text(), format!("status 1\nolder\nolder\nall_launcher.sh\n{NAME}\n"), "{}", done.stderr);
    assert!(done.stderr.contains("No space left on device"), "{}", done.stderr);
}
