//! What options and `extra_config` come to. Tests run where no variable of LMCache is set.

use super::*;
use crate::cli::{self, Request};

/// What `run` with these arguments is to do.
fn resolve(words: &[&str]) -> Result<Settings, String> {
    let words = ["run"].iter().chain(words).map(OsString::from);
    match cli::parse(words).map_err(|error| error.message().to_owned())? {
        Request::Do(_, arguments) => Settings::resolve(&arguments).map_err(|error| error.message().to_owned()),
        Request::Help(_) | Request::Version => Err("no command that does something".into()),
    }
}

fn settings(words: &[&str]) -> Settings {
    resolve(words).unwrap_or_else(|problem| panic!("{words:?}: {problem}"))
}

/// The same with `extra_config`.
fn with_extra(extra: &str) -> Settings {
    settings(&["--extra-config", extra])
}

fn policy(settings: &Settings, file_name: &str) -> (Restart, u64) {
    let Policy { restart, grace_period } = settings.policy(file_name);
    (restart, u64::try_from(grace_period.as_millis()).unwrap())
}

#[test]
fn without_options_all_is_as_the_help_says() {
    let settings = settings(&[]);
    assert_eq!((settings.format, settings.stderr), (Format::Text, Stderr::Merged));
    assert!(!settings.is_quiet && !settings.is_watching);
    assert_eq!((settings.nice, settings.oom_score_adj), (None, None));
    assert_eq!((settings.parent, settings.parent_fd, settings.log_fd), (ParentPid::AtStart, None, 1));
    assert_eq!(settings.control, None);
    assert_eq!(policy(&settings, "all_x.sh"), (Restart::Never, 5_000));
    assert_eq!(
        (settings.grace_period(), settings.longest_grace_period()),
        (Duration::from_secs(5), Duration::from_secs(5))
    );
    assert_eq!(settings.identity.role, None);
    assert_eq!((settings.identity.worker_id, settings.identity.worker_count), (0, 1));
    assert_eq!(settings.identity_as_given, ["", "0", "1"]);
    assert_eq!(settings.warnings, [""; 0]);
}

#[test]
fn each_option_does_what_it_says() {
    assert_eq!(settings(&["--format", "json"]).format, Format::Json);
    assert_eq!(settings(&["--format", "text"]).format, Format::Text);
    assert_eq!(settings(&["--stderr", "separate"]).stderr, Stderr::Separate);
    assert_eq!(settings(&["--stderr", "merged"]).stderr, Stderr::Merged);
    assert!(settings(&["--quiet"]).is_quiet);
    assert!(settings(&["--watch"]).is_watching);
    assert_eq!(settings(&["--log-fd", "3"]).log_fd, 3);
    assert_eq!(settings(&["--parent-fd", "0"]).parent_fd, Some(0));
    assert_eq!(settings(&["--parent-pid", "7"]).parent, ParentPid::Given(7));
    assert_eq!(settings(&["--parent-pid", "0"]).parent, ParentPid::None);
    assert_eq!(settings(&["--", "vllm"]).parent, ParentPid::None, "PROGRAM outlives its parent");
    assert_eq!(settings(&["--parent-pid", "7", "--", "vllm"]).parent, ParentPid::Given(7));
    for (words, expected) in [
        (&["--restart", "never"][..], (Restart::Never, 5_000)),
        (&["--restart", "on-failure"], (Restart::OnFailure, 5_000)),
        (&["--restart", "always", "--grace-period", "0.5"], (Restart::Always, 500)),
    ] {
        assert_eq!(policy(&settings(words), "all_x.sh"), expected);
    }
    let named = settings(&["--role", "Worker", "--worker-id", "-1", "--worker-count", "08"]);
    assert_eq!(named.identity.role.as_deref(), Some("Worker"));
    assert_eq!((named.identity.worker_id, named.identity.worker_count), (-1, 8));
    assert_eq!(named.identity_as_given, ["Worker", "-1", "08"], "passed on as given");
    assert_eq!(settings(&["--role", ""]).identity.role, None);
}

#[test]
fn numbers_have_bounds() {
    for (option, least, most) in [
        ("--nice", "-20", "19"),
        ("--oom-score-adj", "-1000", "1000"),
        ("--parent-pid", "0", "2147483647"),
        ("--parent-fd", "0", "2147483647"),
        ("--log-fd", "0", "2147483647"),
    ] {
        assert!(resolve(&[option, least]).is_ok() && resolve(&[option, most]).is_ok(), "{option}");
        let below = (least.parse::<i64>().unwrap() - 1).to_string();
        let above = (most.parse::<i64>().unwrap() + 1).to_string();
        for wrong in [&below, &above, "x"] {
            let expected = format!("`{option}` takes a whole number from {least} to {most}, not `{wrong}`");
            assert_eq!(resolve(&[option, wrong]).err(), Some(expected));
        }
    }
    assert_eq!(
        (settings(&["--nice", "-20"]).nice, settings(&["--oom-score-adj", "-1000"]).oom_score_adj),
        (Some(-20), Some(-1000))
    );
    assert!(settings(&["--worker-count", "1"]).warnings.is_empty());
    for count in ["0", "-1"] {
        let expected = format!("the worker count is {count}: expected at least 1, this process");
        assert_eq!(settings(&["--worker-count", count]).warnings, [expected]);
    }
}

#[test]
fn a_choice_that_is_none_is_told_the_choices() {
    for (words, expected) in [
        (["--restart", "sometimes"], "`--restart` takes never or on-failure or always, not `sometimes`"),
        (["--format", "xml"], "`--format` takes text or json, not `xml`"),
        (["--stderr", "apart"], "`--stderr` takes merged or separate, not `apart`"),
        (["--grace-period", "soon"], "`--grace-period` takes seconds, such as 5 or 0.5, not `soon`"),
        (["--worker-id", "one"], "`--worker-id` takes a whole number, not `one`"),
    ] {
        assert_eq!(resolve(&words).err().as_deref(), Some(expected));
    }
}

#[test]
fn status_knows_a_form_more() {
    for (words, expected) in [
        (&["status"][..], Some(Form::Text)),
        (&["status", "--format", "text"], Some(Form::Text)),
        (&["status", "--format", "json"], Some(Form::Json)),
        (&["status", "--format", "prometheus"], Some(Form::Prometheus)),
        (&["status", "--format", "xml"], None),
    ] {
        let Ok(Request::Do(_, arguments)) = cli::parse(words.iter().map(OsString::from)) else { panic!("{words:?}") };
        assert!(status_form(&arguments).ok() == expected, "{words:?}");
    }
}

#[test]
fn extra_config_sets_what_the_command_line_does_not() {
    assert_eq!(with_extra(r#"{"plugin.launcher.format": "json"}"#).format, Format::Json);
    assert_eq!(with_extra(r#"{"plugin.launcher.stderr": "separate"}"#).stderr, Stderr::Separate);
    assert_eq!(
        with_extra(r#"{"plugin.launcher.control": "/run/x"}"#).control.map(|named| named.0),
        Some("/run/x".into())
    );
    assert_eq!(with_extra(r#"{"plugin.launcher.control": ""}"#).control, None);
    assert_eq!(with_extra(r#"{"plugin.launcher.locations": ["x"]}"#).warnings, [""; 0], "the bridge's");
    for (value, expected) in [("true", true), ("false", false), (r#""true""#, true), (r#""false""#, false)] {
        let both = format!(r#"{{"plugin.launcher.quiet": {value}, "plugin.launcher.watch": {value}}}"#);
        let found = with_extra(&both);
        assert_eq!((found.is_quiet, found.is_watching), (expected, expected), "{value}");
        assert!(settings(&["--extra-config", &both, "--quiet"]).is_quiet);
        assert!(settings(&["--extra-config", &both, "--watch"]).is_watching);
    }
    let extra = r#"{"plugin.launcher.restart": "always", "plugin.launcher.grace_period": 0.25,
                    "plugin.launcher.format": "json", "plugin.launcher.stderr": "separate"}"#;
    assert_eq!(policy(&with_extra(extra), "all_x.sh"), (Restart::Always, 250));
    let typed = ["--restart", "never", "--grace-period", "2", "--format", "text", "--stderr", "merged"];
    let typed = settings(&[&["--extra-config", extra], &typed[..]].concat());
    assert_eq!(policy(&typed, "all_x.sh"), (Restart::Never, 2_000));
    assert_eq!((typed.format, typed.stderr), (Format::Text, Stderr::Merged));
}

#[test]
fn a_plugin_has_a_policy_of_its_own() {
    let extra = r#"{"plugin.launcher.restart": "on-failure", "plugin.all_x.restart": "always",
                    "plugin.all_x.grace_period": 9, "plugin.y.z.grace_period": 0.5, "plugin.all_x.port": 1}"#;
    let found = with_extra(extra);
    assert_eq!(found.warnings, [""; 0]);
    assert_eq!(policy(&found, "all_x.sh"), (Restart::Always, 9_000));
    assert_eq!(policy(&found, "y.z.py"), (Restart::OnFailure, 500));
    assert_eq!(policy(&found, "all_xy.sh"), (Restart::OnFailure, 5_000));
    assert_eq!(found.grace_period(), Duration::from_secs(5));
    assert_eq!(found.longest_grace_period(), Duration::from_secs(9));
    let typed = settings(&["--extra-config", extra, "--restart", "never"]);
    assert_eq!(policy(&typed, "all_x.sh"), (Restart::Never, 9_000), "the command line is above what the file says");
    let typed = settings(&["--extra-config", extra, "--grace-period", "1"]);
    assert_eq!(policy(&typed, "all_x.sh"), (Restart::Always, 1_000));
    assert_eq!(typed.longest_grace_period(), Duration::from_secs(1));
}

#[test]
fn a_wrong_setting_of_the_launcher_is_an_error_and_an_empty_one_a_warning() {
    for (member, expected) in [
        (r#""plugin.launcher.restart": "maybe""#, "`plugin.launcher.restart` takes never or on-failure or always"),
        (r#""plugin.launcher.restart": 1"#, "`plugin.launcher.restart` takes never or on-failure or always"),
        (r#""plugin.launcher.restart": []"#, "`plugin.launcher.restart` takes never or on-failure or always"),
        (r#""plugin.launcher.grace_period": true"#, "`plugin.launcher.grace_period` takes seconds, such as 5 or 0.5"),
        (r#""plugin.launcher.quiet": "yes""#, "`plugin.launcher.quiet` takes true or false"),
        (r#""plugin.launcher.control": 1"#, "`plugin.launcher.control` takes the path of a socket, not a number"),
        (r#""plugin.launcher.control": {}"#, "`plugin.launcher.control` takes the path of a socket, not a mapping"),
    ] {
        let problem = resolve(&["--extra-config", &format!("{{{member}}}")]).err().unwrap_or_default();
        assert!(problem.ends_with(expected), "{member}: {problem}");
    }
    for (member, expected) in [
        (r#""plugin.launcher.restart": """#, "`plugin.launcher.restart` is empty and has no effect"),
        (r#""plugin.launcher.quiet": null"#, "`plugin.launcher.quiet` is empty and has no effect"),
        (r#""plugin.launcher.control": null"#, "`plugin.launcher.control` is empty and has no effect"),
        (
            r#""plugin.launcher.nonsense": """#,
            "`plugin.launcher.nonsense` is unknown and has no effect; known are restart, \
            grace_period, format, quiet, stderr, control, watch, locations",
        ),
        (
            r#""plugin.launcher.grace_perod": 1"#,
            "`plugin.launcher.grace_perod` is unknown and has no effect; did you mean \
            `plugin.launcher.grace_period`?",
        ),
        (
            r#""plugin": {}"#,
            "`plugin` is a mapping and has no effect: write one key for each setting, such as \
            `plugin.launcher.restart`",
        ),
        (
            r#""plugin.launcher": {}"#,
            "`plugin.launcher` is a mapping and has no effect: write one key for each setting, \
            such as `plugin.launcher.restart`",
        ),
        (r#""plugin.all_x.restart": "maybe""#, "`plugin.all_x.restart` takes never or on-failure or always"),
        (r#""plugin.all_x.grace_period": "soon""#, "`plugin.all_x.grace_period` takes seconds, such as 5 or 0.5"),
    ] {
        let warnings = with_extra(&format!("{{{member}}}")).warnings;
        assert!(warnings.len() == 1 && warnings[0].ends_with(expected), "{member}: {warnings:?}");
    }
    for member in [r#""plugin": 1"#, r#""plugin.launcher": "x""#, r#""plugins": {}"#] {
        assert_eq!(with_extra(&format!("{{{member}}}")).warnings, [""; 0], "{member}");
    }
}

#[test]
fn settings_of_plugins_that_are_not_there_are_named() {
    let found = with_extra(r#"{"plugin.all_x.restart": "always", "plugin.nosuch.restart": "always", "plugin.a.b": 1}"#);
    let told = found.without_effect(&["all_x".into()]);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].ends_with(": `plugin.nosuch.restart` has no effect: no plugin here is called `nosuch`"),
        "{told:?}"
    );
}

#[test]
fn only_a_program_that_would_find_our_locations_is_told_of_none() {
    for (program, origin, has_locations, expected) in [
        (&["--", "vllm"][..], Origin::File, true, true),
        (&["--", "vllm"], Origin::Environment, true, true),
        (&["--", "vllm"], Origin::Arguments, true, false),
        (&["--", "vllm"], Origin::File, false, false),
        (&[], Origin::File, true, false),
    ] {
        let mut settings = settings(program);
        settings.origin = origin;
        settings.locations = has_locations.then(Vec::new);
        assert_eq!(settings.environment_of_program().is_some(), expected, "{program:?} {has_locations}");
    }
}

#[test]
fn seconds_are_decimal() {
    for (text, expected) in [
        ("5", Some(Duration::from_secs(5))),
        ("0", Some(Duration::ZERO)),
        ("0.25", Some(Duration::from_millis(250))),
        (".5", Some(Duration::from_millis(500))),
        ("1.", Some(Duration::from_secs(1))),
        ("1.0000000019", Some(Duration::new(1, 1))),
        ("1000000000", Some(Duration::from_secs(1_000_000_000))),
        ("1000000001", None),
        ("", None),
        (".", None),
        ("-1", None),
        ("1.x", None),
        ("1e3", None),
        ("1s", None),
        ("inf", None),
    ] {
        assert_eq!(seconds(text), expected, "{text}");
    }
}
