//! The man page and the help texts name the same commands and options.

use crate::sandbox::Sandbox;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The lines of one subsection of the page.
fn subsection(title: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/man/lmcache-plugin-launcher.1");
    let page = fs::read_to_string(path).expect("the page is there");
    let lines = page.lines().skip_while(|line| *line != format!(".Ss {title}")).skip(1);
    lines.take_while(|line| !line.starts_with(".Ss ")).map(|line| line.replace("\\-", "-")).collect()
}

/// The commands that the page explains.
fn commands_of_page() -> BTreeSet<String> {
    let heads = subsection("Commands").into_iter().filter_map(|line| line.strip_prefix(".It Cm ").map(str::to_owned));
    let commands = heads.filter_map(|head| head.split(' ').next().map(str::to_owned));
    // `help` is a word for --help, which the help texts do not list.
    commands.filter(|command| command != "help").collect()
}

/// The options that the page explains, each with its value's placeholder; empty for a switch.
fn options_of_page() -> BTreeMap<String, String> {
    let heads = subsection("Options").into_iter().filter_map(|line| line.strip_prefix(".It Fl Fl ").map(str::to_owned));
    let is_macro = |word: &&str| !["Ar", "Cm", "Ns"].contains(word);
    heads
        .map(|head| {
            let mut words = head.split(' ').filter(is_macro);
            let name = words.next().unwrap_or_default().to_owned();
            (format!("--{name}"), words.collect())
        })
        .collect()
}

/// The options that a help text has a row for.
fn options_of_help(text: &str) -> BTreeMap<String, String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("  ")).filter(|row| row.starts_with('-'));
    let heads = rows.map(|row| row.split("  ").next().unwrap_or_default());
    let options = heads.flat_map(|head| head.split(", ")).filter(|option| option.starts_with("--"));
    options.map(|option| option.split_once(' ').unwrap_or((option, ""))).map(|(n, v)| (n.into(), v.into())).collect()
}

#[test]
fn the_page_has_the_commands_of_the_help() {
    let help = Sandbox::new().launcher(["--help"]).output().text();
    let rows = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // What is indented further goes on with the row above.
    let rows = rows.filter_map(|row| row.strip_prefix("  ")).filter(|row| !row.starts_with(' '));
    let commands = rows.filter_map(|row| row.split(' ').next()).map(str::to_owned);
    assert_eq!(commands.collect::<BTreeSet<_>>(), commands_of_page(), "--help, and the page:\n{help}");
}

#[test]
fn the_page_has_the_options_of_all_commands() {
    let sandbox = Sandbox::new();
    let mut options = BTreeMap::new();
    for command in commands_of_page() {
        options.extend(options_of_help(&sandbox.launcher([&*command, "--help"]).output().text()));
    }
    options.extend(options_of_help(&sandbox.launcher(["--help"]).output().text()));
    assert!(options.len() > 10, "{options:?}");
    assert_eq!(options, options_of_page(), "COMMAND --help, and the page");
}
