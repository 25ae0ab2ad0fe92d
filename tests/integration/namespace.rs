//! Commands in namespaces of their own: as root, or as an ordinary user who is root in there.

use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::sandbox::{Launch, Sandbox};

/// The command, in new namespaces of these kinds (options of `unshare`).
pub fn command<'s>(sandbox: &'s Sandbox, kinds: &[&str], command: &[&str]) -> Launch<'s> {
    let words = words(kinds);
    sandbox.command(words[0], &words[1..]).args(command)
}

/// What stands before such a command.
pub fn words<'k>(kinds: &[&'k str]) -> Vec<&'k str> {
    [&["unshare"], user_namespace(), kinds].concat()
}

/// What an ordinary user needs to be allowed the rest.
fn user_namespace() -> &'static [&'static str] {
    static OPTIONS: OnceLock<&'static [&'static str]> = OnceLock::new();
    OPTIONS.get_or_init(|| {
        let works = |options: &&'static [&'static str]| {
            let mut unshare = Command::new("unshare");
            unshare.args(*options).args(["--pid", "--fork", "--mount-proc", "true"]).stderr(Stdio::null());
            unshare.status().is_ok_and(|status| status.success())
        };
        let options: [&'static [&'static str]; 2] = [&[], &["--user", "--map-root-user"]];
        options.into_iter().find(works).expect("namespaces can be made here: being PID 1 cannot be shown without")
    })
}

/// What stands before a command that is to run in the PID namespace of this process.
pub fn enter(target: u32) -> Vec<String> {
    let user = if user_namespace().is_empty() { &[][..] } else { &["--user", "--preserve-credentials"] };
    let words = ["nsenter", "--pid", "--target"].into_iter().chain(user.iter().copied());
    let mut words: Vec<String> = words.map(str::to_owned).collect();
    words.insert(3, target.to_string());
    words
}
