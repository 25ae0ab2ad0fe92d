//! Where locations and the configuration come from, what plugins receive, and what is refused.

mod empty;
mod refused;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use crate::json::Json;
use crate::sandbox::{Launch, Output, Sandbox};

/// Prints the configuration it was given, as it is, from both variables.
const PRINT: &str = "#!/bin/sh\nprintf '%s\\n' \"$LMCACHE_PLUGIN_CONFIG\"\n\
                     [ \"$LMCACHE_PLUGIN_CONFIG\" = \"$LMCACHE_RUNTIME_PLUGIN_CONFIG\" ] || echo differs\n";

/// A sandbox with a directory for each source, each with a plugin of the directory's name.
fn sources(names: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    for name in names {
        sandbox.write(format!("{name}/{name}.sh"), "#!/bin/sh\n");
    }
    sandbox
}

/// The plugins that would run with these arguments and variables.
fn names(sandbox: &Sandbox, arguments: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
    let launch = sandbox.launcher(["list", "--format", "json"]).args(arguments);
    let done = variables.iter().fold(launch, |launch, (name, value)| launch.env(name, value)).output();
    assert_eq!(done.status.code(), Some(0));
    let records = done.records();
    records.iter().filter(|record| record["decision"] == "run").map(|record| record["name"].text()).collect()
}

/// What a plugin gets as its configuration.
fn configuration(sandbox: &Sandbox, options: &[&str], variables: &[(&str, &str)]) -> String {
    sandbox.plugin("all_config.sh", PRINT);
    let launch = sandbox.launcher(["run"]).args(options).args(["plugins"]);
    let done = variables.iter().fold(launch, |launch, (name, value)| launch.env(name, value)).output();
    assert_eq!(done.status.code(), Some(0));
    done.lines_of("all_config.sh").join("\n")
}

#[test]
fn locations_come_from_the_first_source_that_has_them() {
    let sandbox = sources(&["argument", "newer", "older", "newer_config", "older_config", "file"]);
    sandbox.write("lmcache.yaml", "runtime_plugin_locations: [file]\n");
    let mut variables = vec![
        ("LMCACHE_RUNTIME_PLUGIN_LOCATIONS", "newer"),
        ("LMCACHE_PLUGIN_LOCATIONS", "older"),
        ("LMCACHE_RUNTIME_PLUGIN_CONFIG", r#"{"runtime_plugin_locations": ["newer_config"]}"#),
        ("LMCACHE_PLUGIN_CONFIG", r#"{"runtime_plugin_locations": ["older_config"]}"#),
        ("LMCACHE_CONFIG_FILE", "lmcache.yaml"),
    ];
    assert_eq!(names(&sandbox, &["argument"], &variables), ["argument.sh"]);
    // Of the two variables LMCache takes the older; of the documents it leaves both, which are the same.
    for (expected, next) in
        [("older.sh", 1), ("newer.sh", 0), ("newer_config.sh", 0), ("older_config.sh", 0), ("file.sh", 0)]
    {
        assert_eq!(names(&sandbox, &[], &variables), [expected]);
        variables.remove(next);
    }
    assert_eq!(names(&sandbox, &["--config", "lmcache.yaml"], &[]), ["file.sh"]);
}

#[test]
fn a_variable_holds_one_path_or_a_json_array() {
    let sandbox = sources(&["one", "two"]);
    for name in ["LMCACHE_RUNTIME_PLUGIN_LOCATIONS", "LMCACHE_PLUGIN_LOCATIONS"] {
        assert_eq!(names(&sandbox, &[], &[(name, "two")]), ["two.sh"]);
        assert_eq!(names(&sandbox, &[], &[(name, r#"["two", "one"]"#)]), ["two.sh", "one.sh"]);
        assert_eq!(names(&sandbox, &[], &[(name, "[]")]), [""; 0]);
    }
}

#[test]
fn a_document_has_locations_under_three_keys() {
    let sandbox = sources(&["one", "two"]);
    let documents = [
        r#"{"runtime_plugin_locations": ["one", "two"]}"#,
        r#"{"plugin_locations": ["one", "two"]}"#,
        r#"{"mp_config": {"port": 5555, "runtime_plugin_config": {"locations": ["one", "two"], "extra_config": {}}}}"#,
    ];
    for document in documents {
        assert_eq!(names(&sandbox, &[], &[("LMCACHE_PLUGIN_CONFIG", document)]), ["one.sh", "two.sh"], "{document}");
        sandbox.write("lmcache.yaml", document);
        assert_eq!(names(&sandbox, &["--config", "lmcache.yaml"], &[]), ["one.sh", "two.sh"], "{document}");
    }
}

#[test]
fn a_single_string_counts_as_a_list_of_one() {
    let sandbox = sources(&["one"]);
    for key in ["runtime_plugin_locations", "plugin_locations"] {
        sandbox.write("lmcache.yaml", format!("{key}: one\n"));
        assert_eq!(names(&sandbox, &["--config", "lmcache.yaml"], &[]), ["one.sh"]);
    }
}

#[test]
fn a_json_file_is_read_as_strict_json() {
    let sandbox = sources(&["one"]);
    sandbox.write("lmcache.json", "{\"plugin_locations\": [\"one\"]}\n");
    assert_eq!(names(&sandbox, &["--config", "lmcache.json"], &[]), ["one.sh"]);
    for content in ["plugin_locations: [one]\n", "{\"plugin_locations\": [\"one\",]}", "{'plugin_locations': []}"] {
        sandbox.write("lmcache.json", content);
        let done = sandbox.launcher(["run", "--config", "lmcache.json"]).output();
        done.assert_refused(&["lmcache.json:1:"]);
    }
}

#[test]
fn the_environments_document_is_passed_on_byte_for_byte() {
    let document = "{\n    \"chunk_size\" : 256,\n\t\"b\": [1.50, 1e3, 12345678901234567890123],\n  \
                    \"name\": \"\\u00e9 é \\/\",  \"b\": null\n}";
    for name in ["LMCACHE_RUNTIME_PLUGIN_CONFIG", "LMCACHE_PLUGIN_CONFIG"] {
        assert_eq!(configuration(&Sandbox::new(), &[], &[(name, document)]), document);
    }
}

#[test]
fn the_environments_document_wins_over_the_file() {
    let sandbox = Sandbox::new();
    sandbox.write("lmcache.yaml", "from: file\n");
    let variables = [("LMCACHE_PLUGIN_CONFIG", r#"{"from": "environment"}"#)];
    assert_eq!(configuration(&sandbox, &["--config", "lmcache.yaml"], &variables), variables[0].1);
}

#[test]
fn the_yaml_file_is_passed_on_as_json() {
    let sandbox = Sandbox::new();
    let yaml = "# the usual file\nchunk_size: 256\nlocal_cpu: yes   # YAML 1.1\nmax_local_cpu_size: 5.0\nremote_url: ~\n\
                plugin_locations: [\"plugins\"]\nblend_special_str: ' # # '\nmode: 0o17\nbase: 010\n\
                extra_config:\n  plugin.frontend.port: 8080\n  nested:\n  - {a: 1, b: \"tab\\there\"}\n  - - deep\n";
    sandbox.write("lmcache.yaml", yaml);
    let expected = r#"{"chunk_size": 256, "local_cpu": true, "max_local_cpu_size": 5.0, "remote_url": null,
        "plugin_locations": ["plugins"], "blend_special_str": " # # ", "mode": "0o17", "base": 8,
        "extra_config": {"plugin.frontend.port": 8080, "nested": [{"a": 1, "b": "tab\there"}, ["deep"]]}}"#;
    let found = configuration(&sandbox, &["--config", "lmcache.yaml"], &[]);
    assert_eq!(Json::parse(&found), Json::parse(expected));
    // LMCACHE_CONFIG_FILE names the same file.
    assert_eq!(configuration(&sandbox, &[], &[("LMCACHE_CONFIG_FILE", "lmcache.yaml")]), found);
}

#[test]
fn the_command_line_names_the_file_over_the_environment() {
    let sandbox = Sandbox::new();
    sandbox.write("typed.yaml", "from: typed\n");
    sandbox.write("variable.yaml", "from: variable\n");
    let variables = [("LMCACHE_CONFIG_FILE", "variable.yaml")];
    let found = configuration(&sandbox, &["--config", "typed.yaml"], &variables);
    assert!(Json::parse(&found)["from"] == "typed");
}

#[test]
fn no_document_is_an_empty_one() {
    assert_eq!(configuration(&Sandbox::new(), &[], &[]), "{}");
}

#[test]
fn extra_config_is_merged_over_the_documents_own() {
    let extra = ["--extra-config", r#"{"b": 3, "plugin.x.port": 80}"#];
    let merged = |document: &str| {
        let variables = [("LMCACHE_PLUGIN_CONFIG", document)];
        Json::parse(&configuration(&Sandbox::new(), &extra, &variables))
    };
    let cases = [
        (
            r#"{"chunk_size": 1, "extra_config": {"a": 1, "b": 2}}"#,
            r#"{"chunk_size": 1, "extra_config": {"a": 1, "b": 3, "plugin.x.port": 80}}"#,
        ),
        (r#"{"chunk_size": 1}"#, r#"{"chunk_size": 1, "extra_config": {"b": 3, "plugin.x.port": 80}}"#),
        (r#"{"extra_config": null}"#, r#"{"extra_config": {"b": 3, "plugin.x.port": 80}}"#),
        (
            r#"{"mp_config": {}, "runtime_plugin_extra_config": {"b": 2}}"#,
            r#"{"mp_config": {}, "runtime_plugin_extra_config": {"b": 3, "plugin.x.port": 80}}"#,
        ),
        (r#"{"mp_config": {}}"#, r#"{"mp_config": {}, "runtime_plugin_extra_config": {"b": 3, "plugin.x.port": 80}}"#),
    ];
    for (document, expected) in cases {
        assert_eq!(merged(document), Json::parse(expected), "{document}");
    }
}

#[test]
fn extra_config_works_with_a_file_and_with_nothing() {
    let sandbox = Sandbox::new();
    let extra = ["--extra-config", r#"{"a": [1]}"#];
    let found = configuration(&sandbox, &extra, &[]);
    assert_eq!(Json::parse(&found), Json::parse(r#"{"extra_config": {"a": [1]}}"#));
    sandbox.write("lmcache.yaml", "extra_config: {a: 0, b: 1}\n");
    let found = configuration(&sandbox, &["--config", "lmcache.yaml", extra[0], extra[1]], &[]);
    assert_eq!(Json::parse(&found), Json::parse(r#"{"extra_config": {"a": [1], "b": 1}}"#));
}

/// A JSON file with this many entries, in LMCache's indented form.
fn large(sandbox: &Sandbox, entries: usize) -> usize {
    let lines: Vec<String> = (0..entries).map(|n| format!("            \"key_{n}\":            {n}")).collect();
    let document = format!("{{\n    \"extra_config\": {{\n{}\n    }}\n}}\n", lines.join(",\n"));
    sandbox.write("lmcache.json", &document);
    document.len()
}

#[test]
fn a_configuration_too_large_for_one_variable_is_compacted() {
    let sandbox = Sandbox::new();
    assert!(large(&sandbox, 4000) > 131_072);
    let found = configuration(&sandbox, &["--config", "lmcache.json"], &[]);
    let extra = &Json::parse(&found)["extra_config"];
    assert!(extra["key_0"] == 0.0 && extra["key_3999"] == 3999.0);
}

#[test]
fn what_one_variable_can_just_hold_is_passed_on_as_it_is() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\nprintf %s \"$LMCACHE_PLUGIN_CONFIG\" | wc -c\n")]);
    // With the longer of the two names, `=` and the final NUL.
    let most = 131_072 - "LMCACHE_RUNTIME_PLUGIN_CONFIG=".len() - 1;
    let compact = "{\"a\":1}".len();
    for (length, passed_on) in [(most, most), (most + 1, compact)] {
        let document = format!("{{\"a\":{}1}}", " ".repeat(length - "{\"a\":1}".len()));
        let done = sandbox.launcher(["run", "plugins"]).env("LMCACHE_PLUGIN_CONFIG", document).output();
        let lines = done.lines_of("all_x.sh");
        assert_eq!(
            lines.iter().map(|line| line.trim()).collect::<Vec<_>>(),
            [passed_on.to_string()],
            "{}",
            done.text()
        );
    }
}

#[test]
fn a_configuration_too_large_even_then_fails_the_plugin_with_both_sizes() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho ran\n")]);
    large(&sandbox, 20_000);
    let done = sandbox.launcher(["run", "--format", "json", "--config", "lmcache.json", "plugins"]).output();
    assert_eq!(done.status.code(), Some(1));
    assert!(done.events("output").is_empty() && done.events("started").is_empty());
    let failed = done.events("failed");
    assert!(failed.len() == 1 && failed[0]["plugin"] == "all_x.sh", "{failed:?}");
    let reason = failed[0]["reason"].text().replace(',', "");
    let numbers: Vec<usize> = reason.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
    assert!(numbers.contains(&131_072), "the limit: {reason}");
    assert!(numbers.iter().any(|size| *size > 131_072), "the size: {reason}");
}

#[test]
fn settings_in_extra_config_stand_below_the_command_line() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho here\n")]);
    sandbox.write("lmcache.yaml", "extra_config:\n  plugin.launcher.format: json\n  plugin.launcher.quiet: true\n");
    let from_file = sandbox.launcher(["run", "--config", "lmcache.yaml", "plugins"]).output();
    let records = from_file.records();
    assert!(records.len() == 1 && records[0]["event"] == "output", "JSON, and quiet: {records:?}");
    let typed = sandbox.launcher(["run", "--config", "lmcache.yaml", "--format", "text", "plugins"]).output();
    assert_eq!(typed.text(), "[all_x.sh] here\n");
}

/// What `run` does with these variables before PROGRAM: its status and what it says.
fn with_program(sandbox: &Sandbox, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let launch = sandbox.launcher(["run"]).args(arguments).args(["--", "sh", "-c", "exit 7"]);
    variables.iter().fold(launch, |launch, (name, value)| launch.env(name, value)).output()
}

#[test]
fn extra_config_may_be_a_string_of_json() {
    let sandbox = Sandbox::new();
    sandbox.write("lmcache.yaml", "extra_config: '{\"k\": [1], \"plugin.launcher.format\": \"text\"}'\n");
    let get = |pointer: &str| sandbox.launcher(["get", pointer, "--config", "lmcache.yaml"]).output().text();
    assert_eq!(get("/extra_config/k"), "[1]\n");
    // The document itself is the file's.
    assert_eq!(get("/extra_config"), "{\"k\": [1], \"plugin.launcher.format\": \"text\"}\n");
    let found = configuration(&sandbox, &["--config", "lmcache.yaml", "--extra-config", r#"{"b": 2}"#], &[]);
    let expected = r#"{"extra_config": {"k": [1], "plugin.launcher.format": "text", "b": 2}}"#;
    assert_eq!(Json::parse(&found), Json::parse(expected));
}

#[test]
fn a_variable_replaces_extra_config_of_the_file_whole() {
    let sandbox = Sandbox::new();
    sandbox.write("lmcache.yaml", "a: 1\nextra_config: {b: 2}\n");
    let file = ["--config", "lmcache.yaml"];
    for (value, expected) in [
        (r#"{"c": 3}"#, r#"{"a": 1, "extra_config": {"c": 3}}"#),
        (r#" '{"c": 3}' "#, r#"{"a": 1, "extra_config": {"c": 3}}"#),
        ("", r#"{"a": 1}"#),
        ("null", r#"{"a": 1}"#),
        ("{}", r#"{"a": 1, "extra_config": {}}"#),
    ] {
        let variables = [("LMCACHE_EXTRA_CONFIG", value)];
        assert_eq!(Json::parse(&configuration(&sandbox, &file, &variables)), Json::parse(expected), "{value}");
        let done = sandbox.launcher(["get", ""]).args(file).env(variables[0].0, value).output();
        assert_eq!(Json::parse(&done.text()), Json::parse(expected), "get with {value}");
    }
    // The overlay is over it, and a document from the environment has had it.
    let variables = [("LMCACHE_EXTRA_CONFIG", r#"{"c": 3}"#)];
    let overlay = [&file[..], &["--extra-config", r#"{"d": 4}"#]].concat();
    let expected = Json::parse(r#"{"a": 1, "extra_config": {"c": 3, "d": 4}}"#);
    assert_eq!(Json::parse(&configuration(&sandbox, &overlay, &variables)), expected);
    let variables = [variables[0], ("LMCACHE_PLUGIN_CONFIG", r#"{"extra_config": {"b": 2}}"#)];
    assert_eq!(configuration(&sandbox, &[], &variables), r#"{"extra_config": {"b": 2}}"#);
}

#[test]
fn an_overlay_may_be_in_a_file() {
    let sandbox = Sandbox::new();
    sandbox.write("secret", r#"{"token": "t"}"#);
    let found = configuration(&sandbox, &["--extra-config", "@secret"], &[]);
    assert_eq!(Json::parse(&found), Json::parse(r#"{"extra_config": {"token": "t"}}"#));
    sandbox.write("secret", "{\n\"token\": t}");
    sandbox.launcher(["run", "--extra-config", "@secret"]).output().assert_refused(&["secret:2:10"]);
    sandbox.launcher(["run", "--extra-config", "@gone"]).output().assert_refused(&["gone"]);
}

#[test]
fn standard_input_is_a_file_once() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\n")]);
    for name in ["-", "/dev/stdin"] {
        let script = "printf 'plugin_locations: [plugins]\n' | \"$LAUNCHER\" list --config \"$0\"";
        let done = sandbox.command("sh", ["-c", script, name]).output();
        assert!(done.text().contains("all_x.sh"), "{name}: {}", done.stderr);
        with_program(&sandbox, &["--config", name], &[]).assert_refused(&["--config -", "PROGRAM"]);
    }
    let script = "printf 'a: [' | \"$LAUNCHER\" list --config -";
    sandbox.command("sh", ["-c", script]).output().assert_refused(&["standard input:1:"]);
    let script = "\"$LAUNCHER\" list --config <(echo 'plugin_locations: [plugins]')";
    let done = sandbox.command("bash", ["-c", script]).output();
    assert!(done.text().contains("all_x.sh"), "a pipe of the shell: {}", done.stderr);
}

#[test]
fn paths_need_not_be_text() {
    let sandbox = Sandbox::new();
    let name = |suffix: &[u8]| OsString::from_vec([b"\xff", suffix].concat());
    sandbox.write(Path::new(&name(b"p")).join("all_x.sh"), "#!/bin/sh\necho here\n");
    sandbox.write(name(b".yaml"), "chunk_size: 256\n");
    let run = |launch: Launch<'_>| launch.output().lines_of("all_x.sh");
    assert_eq!(run(sandbox.launcher(["run"]).args([name(b"p")])), ["here"]);
    assert_eq!(run(sandbox.launcher(["run"]).env("LMCACHE_PLUGIN_LOCATIONS", name(b"p"))), ["here"]);
    let get = sandbox.launcher(["get", "/chunk_size", "--config"]).args([name(b".yaml")]).output();
    assert_eq!((get.text().as_str(), get.stderr.as_str()), ("256\n", ""));
    let get = sandbox.launcher(["get", "/chunk_size"]).env("LMCACHE_CONFIG_FILE", name(b".yaml")).output();
    assert_eq!(get.text(), "256\n");
}
