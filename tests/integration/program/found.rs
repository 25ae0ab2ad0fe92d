//! Where PROGRAM is looked for.

use crate::sandbox::Sandbox;

#[test]
fn the_whole_path_is_searched_as_execvp_does() {
    let sandbox = Sandbox::new();
    let program = |path: &str, mode| {
        sandbox.write(path, format!("#!/bin/sh\necho {path}\n"));
        sandbox.mode(path, mode);
    };
    // One that may not be executed, not by root either, ends no search.
    program("first/tool", 0o644);
    program("second/tool", 0o755);
    program("here", 0o755);
    let path = "first:second::/bin";
    // An empty directory is the working directory.
    for (name, expected) in [("tool", "second/tool\n"), ("here", "here\n")] {
        let done = sandbox.launcher(["run", "--", name]).env("PATH", path).output();
        assert_eq!(done.text(), expected, "{}", done.stderr);
        let bare = sandbox.command("/usr/bin/env", [name]).env("PATH", path).output();
        assert_eq!(bare.text(), expected, "the control: {}", bare.stderr);
    }
}
