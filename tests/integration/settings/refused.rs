//! What is no configuration, and is refused: documents, variables, files.

use crate::sandbox::Sandbox;

#[test]
fn a_malformed_variable_is_refused_with_its_name_and_offset() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\ntouch started\n")]);
    // The offset counts from 0 or from 1.
    let cases = [
        ("LMCACHE_RUNTIME_PLUGIN_LOCATIONS", r#"["plugins", "#, ["12", "13"]),
        ("LMCACHE_PLUGIN_LOCATIONS", r#"["plugins" "b"]"#, ["11", "12"]),
        ("LMCACHE_RUNTIME_PLUGIN_CONFIG", r#"{"abcdefghijklm": }"#, ["18", "19"]),
        ("LMCACHE_PLUGIN_CONFIG", r#"{"abcdefghijk": 01}"#, ["16", "17"]),
    ];
    for (name, value, offsets) in cases {
        let done = sandbox.launcher(["run"]).env(name, value).output();
        done.assert_refused(&[name]);
        assert!(offsets.iter().any(|offset| done.stderr.contains(offset)), "{offsets:?}: {}", done.stderr);
    }
    assert!(!sandbox.path("started").exists());
}

#[test]
fn a_document_is_refused_even_where_the_locations_come_from_elsewhere() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\ntouch started\n")]);
    for name in ["LMCACHE_RUNTIME_PLUGIN_CONFIG", "LMCACHE_PLUGIN_CONFIG"] {
        for value in ["{", "[1, 2]", "null"] {
            sandbox.launcher(["run", "plugins"]).env(name, value).output().assert_refused(&[name]);
        }
    }
    assert!(!sandbox.path("started").exists());
}

#[test]
fn a_file_that_was_typed_is_refused_even_where_all_comes_from_elsewhere() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\ntouch started\n")]);
    sandbox.write("lmcache.yaml", "a: 1\nb: *nowhere\n");
    for name in ["LMCACHE_RUNTIME_PLUGIN_CONFIG", "LMCACHE_PLUGIN_CONFIG"] {
        let launch = sandbox.launcher(["run", "--config", "lmcache.yaml", "plugins"]).env(name, "{}");
        launch.output().assert_refused(&["lmcache.yaml:2:4"]);
    }
    assert!(!sandbox.path("started").exists());
}

#[test]
fn locations_that_are_no_paths_are_refused() {
    let sandbox = Sandbox::new();
    for value in ["7", "true", "{\"a\": 1}", "[\"a\", 7]", "[[\"a\"]]", "[null]", "[\"\"]"] {
        let document = format!("{{\"plugin_locations\": {value}}}");
        let done = sandbox.launcher(["run"]).env("LMCACHE_PLUGIN_CONFIG", &document).output();
        done.assert_refused(&["plugin_locations"]);
        sandbox.write("lmcache.yaml", &document);
        let done = sandbox.launcher(["run", "--config", "lmcache.yaml"]).output();
        done.assert_refused(&["lmcache.yaml", "plugin_locations"]);
    }
}

#[test]
fn a_malformed_file_is_refused_with_file_line_and_column() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\ntouch started\n")]);
    let cases = [
        ("a: 1\nb: [1, 2\nc: 3\n", "lmcache.yaml:"),
        ("a: 1\n b: 2\n", "lmcache.yaml:2:"),
        ("a: 1\nb: \"open\n", "lmcache.yaml:"),
        ("a: 1\nb: !!python/object:os.system x\n", "lmcache.yaml:2:4"),
        ("a: *nowhere\n", "lmcache.yaml:1:4"),
        ("- a\n- b\n", "lmcache.yaml"),
    ];
    for (content, mention) in cases {
        sandbox.write("lmcache.yaml", content);
        let done = sandbox.launcher(["run", "--config", "lmcache.yaml"]).output();
        done.assert_refused(&[mention]);
        let list = sandbox.launcher(["list", "--config", "lmcache.yaml"]).output();
        list.assert_refused(&[mention]);
    }
    assert!(!sandbox.path("started").exists());
}

#[test]
fn a_configuration_file_that_is_not_there_is_refused() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\ntouch started\n")]);
    sandbox.launcher(["run", "--config", "gone.yaml", "plugins"]).output().assert_refused(&["gone.yaml"]);
    let variable = sandbox.launcher(["run", "plugins"]).env("LMCACHE_CONFIG_FILE", "gone.yaml").output();
    variable.assert_refused(&["gone.yaml"]);
    assert!(!sandbox.path("started").exists());
}

#[test]
fn the_configuration_is_never_logged() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\n")]);
    let secret = "hunter2";
    for document in [r#"{"token": "hunter2"}"#, r#"{"token": "hunter2", oops}"#, r#"{"token": hunter2}"#] {
        for command in ["run", "list", "check"] {
            let launch = sandbox.launcher([command, "--format", "json", "plugins"]);
            let done = launch.env("LMCACHE_PLUGIN_CONFIG", document).output();
            assert!(!done.text().contains(secret) && !done.stderr.contains(secret), "{command}: {}", done.stderr);
        }
    }
    for yaml in ["token: hunter2\nx: [\n", "x: !secret hunter2\n", "token: \"hunter2\n"] {
        sandbox.write("lmcache.yaml", yaml);
        let done = sandbox.launcher(["run", "--config", "lmcache.yaml", "plugins"]).output();
        done.assert_refused(&["lmcache.yaml:"]);
        assert!(!done.stderr.contains(secret), "{}", done.stderr);
    }
}

#[test]
fn an_unknown_setting_of_the_launcher_is_told_the_nearest() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho here\n")]);
    sandbox.write("lmcache.yaml", "extra_config:\n  plugin.launcher.grace_perod: 1\n");
    let done = sandbox.run_json(&["--config", "lmcache.yaml"]).output();
    assert_eq!(done.status.code(), Some(0));
    let warnings = done.events("warning");
    assert_eq!(warnings.len(), 1);
    let text = format!("{:?}", warnings[0]);
    assert!(text.contains("grace_perod") && text.contains("grace_period"), "{text}");
}

#[test]
fn a_file_that_is_none_or_without_end_is_refused() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\n")]);
    sandbox.mkfifo("fifo.yaml");
    sandbox.link("fifo.yaml", "link.yaml");
    sandbox.write("large.yaml", "#".repeat((16 << 20) + 1));
    sandbox.write("just.yaml", "#".repeat(16 << 20));
    sandbox.link("just.yaml", "good.yaml");
    for (name, problem) in [
        ("fifo.yaml", "no regular file"),
        ("link.yaml", "no regular file"),
        ("/dev/zero", "no regular file"),
        ("plugins", "a directory"),
        ("large.yaml", "larger than 16 MiB"),
    ] {
        sandbox.launcher(["list", "--config", name, "plugins"]).output().assert_refused(&[name, problem]);
    }
    assert_eq!(sandbox.launcher(["list", "--config", "good.yaml", "plugins"]).output().status.code(), Some(0));
}
