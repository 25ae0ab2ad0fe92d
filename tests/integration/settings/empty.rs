//! Variables that LMCache takes in another way than text says: empty ones, blanks, quotes, two names for one thing.

use super::{names, sources, with_program};
use crate::sandbox::Sandbox;

#[test]
fn a_variable_is_read_without_the_blanks_and_quotes_around() {
    let sandbox = sources(&["one", "two"]);
    for value in [" one ", "\"one\"", "'one'", "\t\"one\" ", "\"[\"one\"]\"", " [\"one\"] "] {
        for name in ["LMCACHE_RUNTIME_PLUGIN_LOCATIONS", "LMCACHE_PLUGIN_LOCATIONS"] {
            assert_eq!(names(&sandbox, &[], &[(name, value)]), ["one.sh"], "{value}");
        }
    }
}

#[test]
fn an_empty_variable_means_that_there_are_none() {
    let sandbox = sources(&["file", "newer"]);
    sandbox.write("lmcache.yaml", "runtime_plugin_locations: [file]\n");
    let file = ["--config", "lmcache.yaml"];
    for (variables, expected) in [
        (&[("LMCACHE_RUNTIME_PLUGIN_LOCATIONS", "")][..], &[][..]),
        (&[("LMCACHE_PLUGIN_LOCATIONS", " '' ")], &[]),
        (&[("LMCACHE_RUNTIME_PLUGIN_LOCATIONS", "newer"), ("LMCACHE_PLUGIN_LOCATIONS", "")], &[]),
        (&[("LMCACHE_RUNTIME_PLUGIN_LOCATIONS", ""), ("LMCACHE_PLUGIN_LOCATIONS", "newer")], &["newer.sh"]),
        (&[("LMCACHE_PLUGIN_CONFIG", "")], &["file.sh"]),
        (&[("LMCACHE_RUNTIME_PLUGIN_CONFIG", " "), ("LMCACHE_PLUGIN_CONFIG", "{}")], &["file.sh"]),
    ] {
        assert_eq!(names(&sandbox, &file, variables), expected, "{variables:?}");
    }
}

#[test]
fn the_last_of_both_names_in_a_document_counts() {
    let sandbox = sources(&["one", "two"]);
    for (document, expected) in [
        ("plugin_locations: one\nruntime_plugin_locations: two\n", &["two.sh"][..]),
        ("runtime_plugin_locations: two\nplugin_locations: one\n", &["one.sh"]),
        ("runtime_plugin_locations: two\nplugin_locations: []\n", &[]),
    ] {
        sandbox.write("lmcache.yaml", document);
        assert_eq!(names(&sandbox, &["--config", "lmcache.yaml"], &[]), expected, "{document}");
        let done = sandbox.launcher(["check", "--config", "lmcache.yaml"]).output();
        assert!(done.text().contains("are both given"), "{}", done.text());
    }
}

#[test]
fn what_is_nothing_to_lmcache_is_nothing() {
    let sandbox = Sandbox::new();
    for value in ["", "~", "false", "''", "[]", "{}", "0", "0.0"] {
        for key in ["runtime_plugin_locations", "plugin_locations", "extra_config"] {
            sandbox.write("lmcache.yaml", format!("{key}: {value}\n"));
            let done = with_program(&sandbox, &["--config", "lmcache.yaml"], &[]);
            assert_eq!((done.status.code(), &*done.stderr), (Some(7), ""), "{key}: {value}: {}", done.text());
        }
    }
    for document in ["", "# nothing\n", "[]\n", "false\n", "''\n"] {
        sandbox.write("lmcache.yaml", document);
        assert_eq!(with_program(&sandbox, &["--config", "lmcache.yaml"], &[]).status.code(), Some(7), "{document}");
    }
}

#[test]
fn no_empty_value_keeps_program_from_starting() {
    let sandbox = Sandbox::new();
    sandbox.write("lmcache.yaml", "runtime_plugin_locations:\n- \n- ''\nextra_config: ' '\n");
    let keys = ["restart", "grace_period", "format", "quiet", "stderr", "control", "watch", "locations"];
    let settings: Vec<String> = keys.iter().map(|key| format!("  plugin.launcher.{key}: ''\n")).collect();
    sandbox.write("settings.yaml", ["extra_config:\n", &*settings.concat()].concat());
    assert_eq!(with_program(&sandbox, &["--config", "settings.yaml"], &[]).status.code(), Some(7));
    for name in [
        "LMCACHE_CONFIG_FILE",
        "LMCACHE_PLUGIN_CONFIG",
        "LMCACHE_EXTRA_CONFIG",
        "LMCACHE_PLUGIN_ROLE",
        "LMCACHE_PLUGIN_WORKER_ID",
        "LMCACHE_RUNTIME_PLUGIN_WORKER_COUNT",
        "LMCACHE_RUNTIME_PLUGIN_LOCATIONS",
    ] {
        let done = with_program(&sandbox, &["--config", "lmcache.yaml"], &[(name, "")]);
        assert_eq!(done.status.code(), Some(7), "{name}: {}", done.stderr);
    }
    let done = with_program(&sandbox, &["--config", "lmcache.yaml"], &[]);
    for place in ["lmcache.yaml:2:2: an item of", "lmcache.yaml:3:3: an item of"] {
        assert!(done.text().contains(place), "{}", done.text());
    }
    sandbox.write("empty", "\n");
    for arguments in [["--config", ""], ["--extra-config", ""], ["--extra-config", "@"], ["--extra-config", "@empty"]] {
        assert_eq!(with_program(&sandbox, &arguments, &[]).status.code(), Some(7), "{arguments:?}");
    }
    let done = with_program(&sandbox, &["--extra-config", "@gone"], &[]);
    assert!(done.status.code() == Some(7) && done.text().contains("cannot read configuration `gone`"));
    assert_eq!(with_program(&sandbox, &["--config", "gone.yaml"], &[]).status.code(), Some(7));
}

#[test]
fn locations_that_lmcache_in_program_would_find_are_named() {
    let sandbox = sources(&["one", "two"]);
    sandbox.write("lmcache.yaml", "runtime_plugin_locations: [two, one]\n");
    let file = [("LMCACHE_CONFIG_FILE", "lmcache.yaml")];
    let said = |arguments: &[&str], variables: &[(&str, &str)]| {
        let done = with_program(&sandbox, arguments, variables);
        assert_eq!(done.status.code(), Some(7));
        done.text().lines().find(|line| line.contains("a second time")).map(str::to_owned)
    };
    let twice = said(&["one"], &file).expect("the file names it, too");
    assert!(twice.contains("plugins of `one` are named by lmcache.yaml:1:33"), "{twice}");
    assert!(said(&["one/one.sh"], &file).is_some(), "a part of it");
    assert!(said(&["plugins"], &file).is_none(), "another");
    assert!(said(&[], &file).is_none(), "the file's own");
    let variable = [file[0], ("LMCACHE_PLUGIN_LOCATIONS", "two")];
    assert!(said(&["one"], &variable).is_none(), "the variable comes before the file for LMCache, too");
    assert!(said(&["two"], &variable).is_some_and(|said| said.contains("LMCACHE_PLUGIN_LOCATIONS")));
}

#[test]
fn program_is_not_told_of_locations_that_we_run() {
    let sandbox = sources(&["one"]);
    sandbox.write("lmcache.yaml", "plugin_locations: [one]\n");
    let seen = |arguments: &[&str], variables: &[(&str, &str)]| {
        let program = "echo \"${LMCACHE_RUNTIME_PLUGIN_LOCATIONS-unset} ${LMCACHE_PLUGIN_LOCATIONS-unset}.\"";
        let launch = sandbox.launcher(["run"]).args(arguments).args(["--", "sh", "-c", program]);
        let done = variables.iter().fold(launch, |launch, (name, value)| launch.env(name, value)).output();
        let is_said = done.text().contains("PROGRAM gets LMCACHE_RUNTIME_PLUGIN_LOCATIONS empty");
        (done.text().lines().find(|line| line.ends_with('.')).map(str::to_owned), is_said)
    };
    let hidden = (Some(" unset.".to_owned()), true);
    assert_eq!(seen(&[], &[("LMCACHE_CONFIG_FILE", "lmcache.yaml")]), hidden);
    assert_eq!(seen(&["--config", "lmcache.yaml"], &[]), hidden);
    assert_eq!(seen(&[], &[("LMCACHE_PLUGIN_LOCATIONS", "one")]), hidden);
    assert_eq!(seen(&[], &[("LMCACHE_RUNTIME_PLUGIN_LOCATIONS", "one")]), hidden);
    assert_eq!(seen(&["one"], &[("LMCACHE_PLUGIN_LOCATIONS", "x")]), (Some("unset x.".into()), false));
    assert_eq!(seen(&[], &[]), (Some("unset unset.".into()), false));
    let quiet = seen(&["--config", "lmcache.yaml", "--quiet"], &[]);
    assert_eq!(quiet, (hidden.0, false));
}
