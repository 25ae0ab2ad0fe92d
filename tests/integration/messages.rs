//! What a broken configuration is told: the place, the fault, and what to do about it. Each message whole, so that it is
//! read by whoever changes it: does its reader know what to do next?

use crate::sandbox::Sandbox;

/// The error, or what `check` finds, but for the line that counts.
fn told(sandbox: &Sandbox, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let launch = sandbox.launcher(["check"]).args(arguments);
    let done = variables.iter().fold(launch, |launch, (name, value)| launch.env(name, value)).output();
    assert_ne!(done.status.code(), Some(0), "{}", done.text());
    let lines = done.text() + &done.stderr;
    let told: Vec<&str> = lines.lines().filter(|line| !line.ends_with(" problem")).collect();
    told.join("\n").replace("lmcache-plugin-launcher: ", "").replace(sandbox.text("").trim_end_matches('/'), "$PWD")
}

fn assert_told(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\n")]);
        sandbox.write("lmcache.yaml", text);
        assert_eq!(told(&sandbox, &["--config", "lmcache.yaml"], &[]), *expected, "{text}");
    }
}

#[test]
fn locations_in_a_file() {
    assert_told(&[
        (
            "runtime_plugin_locations: 5\n",
            "lmcache.yaml:1:27: `runtime_plugin_locations` wants a path or a list of paths, not a number",
        ),
        (
            "# plugin_locations are set below\nchunk_size: 1\nplugin_locations: 5\n",
            "lmcache.yaml:3:19: `plugin_locations` wants a path or a list of paths, not a number",
        ),
        (
            "runtime_plugin_locations:\n  - plugins\n  - 5\n",
            "lmcache.yaml:3:5: `runtime_plugin_locations` wants paths, not a number",
        ),
        (
            "runtime_plugin_locations: [plugins, [x]]\n",
            "lmcache.yaml:1:37: `runtime_plugin_locations` wants paths, not a list",
        ),
        (
            "runtime_plugin_locations:\n- plugins\n-\n",
            "lmcache.yaml:3:2: an item of `runtime_plugin_locations` is empty: write a path, or remove it",
        ),
        (
            "runtime_plugin_locations: [\"\"]\n",
            "lmcache.yaml:1:28: an item of `runtime_plugin_locations` is empty: write a path, or remove it",
        ),
        (
            "runtime_plugin_locations: {a: b}\n",
            "lmcache.yaml:1:27: `runtime_plugin_locations` wants a path or a list of paths, not a mapping",
        ),
        (
            "\"runtime_plugin_loc\\x61tions\": true\n",
            "lmcache.yaml:1:32: `runtime_plugin_locations` wants a path or a list of paths, not a boolean",
        ),
        (
            "mp_config:\n  runtime_plugin_config:\n    locations: [5]\n",
            "lmcache.yaml:3:17: `locations` wants paths, not a number",
        ),
        (
            "plugin_locations: plugins\nruntime_plugin_locations: plugins\n",
            "configuration: lmcache.yaml:2:27: `plugin_locations` and `runtime_plugin_locations` are both given: the last counts, as in LMCache",
        ),
        (
            "runtime_plugin_locations: \"\"\n",
            "configuration: lmcache.yaml:1:27: `runtime_plugin_locations` names no plugin locations: it is empty",
        ),
        (
            "runtime_plugin_locations: nowhere\n",
            "nowhere: No such file or directory; named by lmcache.yaml:1:27; it is relative to the working directory `$PWD`",
        ),
        (
            "runtime_plugin_locations: [\"~/plugins\"]\n",
            "~/plugins: No such file or directory; named by lmcache.yaml:1:28; `~` is not expanded: write the whole path; it is relative to the working directory `$PWD`",
        ),
        (
            "runtime_plugin_locations: [\"$HOME/plugins\"]\n",
            "$HOME/plugins: No such file or directory; named by lmcache.yaml:1:28; `$` and the name of a variable are not expanded: write the whole path; it is relative to the working directory `$PWD`",
        ),
        (
            "runtime_plugin_locations: [\"plugins/*.sh\"]\n",
            "plugins/*.sh: No such file or directory; named by lmcache.yaml:1:28; `*` and `?` are not expanded: name the directory; it is relative to the working directory `$PWD`",
        ),
        (
            "runtime_plugin_locations:\n  -plugins\n  -more\n",
            "-plugins -more: No such file or directory; named by lmcache.yaml:2:3; an item of a list is `- ` and the path; it is relative to the working directory `$PWD`",
        ),
        (
            "runtime_plugin_locations: /a:/b\n",
            "/a:/b: No such file or directory; named by lmcache.yaml:1:27; several paths are a list: [\"a\", \"b\"]",
        ),
        (
            "runtime_plugin_locations: '{{ .Values.plugins }}'\n",
            "{{ .Values.plugins }}: No such file or directory; named by lmcache.yaml:1:27; `{{ }}` is a template's, which was not rendered; it is relative to the working directory `$PWD`",
        ),
    ]);
}

#[test]
fn no_locations_in_a_file() {
    assert_told(&[
        (
            "",
            "no plugin locations: lmcache.yaml does not name any; write them into `runtime_plugin_locations`, or give a LOCATION",
        ),
        (
            "chunk_size: 256\n",
            "no plugin locations: lmcache.yaml does not name any; write them into `runtime_plugin_locations`, or give a LOCATION",
        ),
        (
            "runtime_plugin_locations:\n",
            "no plugin locations: lmcache.yaml does not name any; write them into `runtime_plugin_locations`, or give a LOCATION",
        ),
        (
            "runtime-plugin-locations: [plugins]\n",
            "no plugin locations: lmcache.yaml does not name any; lmcache.yaml:1:1: did you mean `runtime_plugin_locations` by `runtime-plugin-locations`?",
        ),
        (
            "runtimePluginLocations: [plugins]\n",
            "no plugin locations: lmcache.yaml does not name any; lmcache.yaml:1:1: did you mean `runtime_plugin_locations` by `runtimePluginLocations`?",
        ),
        (
            "plugin_location: [plugins]\n",
            "no plugin locations: lmcache.yaml does not name any; lmcache.yaml:1:1: did you mean `plugin_locations` by `plugin_location`?",
        ),
        (
            "extra_config:\n  runtime_plugin_locations: [plugins]\n",
            "no plugin locations: lmcache.yaml does not name any; lmcache.yaml:2:3: `runtime_plugin_locations` does not belong into `extra_config`: write it at the top level",
        ),
        (
            "lmcache:\n  server:\n    plugin_locations: [plugins]\n",
            "no plugin locations: lmcache.yaml does not name any; lmcache.yaml:3:5: `plugin_locations` does not belong into `server`: write it at the top level",
        ),
    ]);
}

#[test]
fn extra_config() {
    assert_told(&[
        (
            "runtime_plugin_locations: [plugins]\nextra_config: [a]\n",
            "configuration: lmcache.yaml:2:15: `extra_config` is a list, with which LMCache fails at start: write a mapping",
        ),
        (
            "runtime_plugin_locations: [plugins]\nextra_config: yes\n",
            "configuration: lmcache.yaml:2:15: `extra_config` is a boolean, with which LMCache fails at start: write a mapping",
        ),
        (
            "runtime_plugin_locations: [plugins]\nextra_config: '{oops'\n",
            "lmcache.yaml:2:15: `extra_config`, offset 1 of the JSON in it: expected a name in double quotes",
        ),
        (
            "runtime_plugin_locations: [plugins]\nextra_config: '[1]'\n",
            "configuration: lmcache.yaml:2:15: `extra_config` is a list, with which LMCache fails at start: write a mapping",
        ),
        (
            "runtime_plugin_locations: [plugins]\nextra_config: '{\"plugin.launcher.restart\": \"bogus\", \"k\": 1}'\n",
            "lmcache.yaml:2:15, offset 28 of the JSON in it: `plugin.launcher.restart` takes never or on-failure or always",
        ),
        (
            "runtime_plugin_locations: [plugins]\nextra_config:\n  plugin.launcher.restart: alway\n",
            "lmcache.yaml:3:28: `plugin.launcher.restart` takes never or on-failure or always",
        ),
        (
            "runtime_plugin_locations: [plugins]\nextra_config: {plugin.launcher.grace_period: soon}\n",
            "lmcache.yaml:2:46: `plugin.launcher.grace_period` takes seconds, such as 5 or 0.5",
        ),
        (
            "runtime_plugin_locations: [plugins]\nextra_config: {plugin.launcher.quiet: 1}\n",
            "lmcache.yaml:2:39: `plugin.launcher.quiet` takes true or false",
        ),
        (
            "runtime_plugin_locations: [plugins]\nextra_config: {plugin.launcher.format: xml}\n",
            "lmcache.yaml:2:40: `plugin.launcher.format` takes text or json",
        ),
        (
            "runtime_plugin_locations: [plugins]\nextra_config: {plugin.launcher.stderr: }\n",
            "configuration: lmcache.yaml:2:39: `plugin.launcher.stderr` is empty and has no effect",
        ),
        (
            "runtime_plugin_locations: [plugins]\nextra_config: {plugin.launcher.control: 1}\n",
            "lmcache.yaml:2:41: `plugin.launcher.control` takes the path of a socket, not a number",
        ),
        (
            "runtime_plugin_locations: [plugins]\nextra_config: {plugin.launcher.watch: maybe}\n",
            "lmcache.yaml:2:39: `plugin.launcher.watch` takes true or false",
        ),
        (
            "runtime_plugin_locations: [plugins]\nextra_config: {plugin.all_x.restart: alway}\n",
            "configuration: lmcache.yaml:2:38: `plugin.all_x.restart` takes never or on-failure or always",
        ),
        (
            "runtime_plugin_locations: [plugins]\nextra_config: {plugin.all_x.grace_period: [1]}\n",
            "configuration: lmcache.yaml:2:43: `plugin.all_x.grace_period` takes seconds, such as 5 or 0.5",
        ),
    ]);
}

#[test]
fn settings_without_effect() {
    assert_told(&[
        (
            "runtime_plugin_locations: [plugins]\nextra_config: {plugin.launcher.grace_perod: 1}\n",
            "configuration: lmcache.yaml:2:45: `plugin.launcher.grace_perod` is unknown and has no effect; did you mean `plugin.launcher.grace_period`?",
        ),
        (
            "runtime_plugin_locations: [plugins]\nextra_config: {plugin.launcher.nonsense: 1}\n",
            "configuration: lmcache.yaml:2:42: `plugin.launcher.nonsense` is unknown and has no effect; known are restart, grace_period, format, quiet, stderr, control, watch, locations",
        ),
        (
            "runtime_plugin_locations: [plugins]\nextra_config: {plugin.launcher: {restart: always}}\n",
            "configuration: lmcache.yaml:2:33: `plugin.launcher` is a mapping and has no effect: write one key for each setting, such as `plugin.launcher.restart`",
        ),
        (
            "runtime_plugin_locations: [plugins]\nextra_config: {plugin: {launcher: {restart: always}}}\n",
            "configuration: lmcache.yaml:2:24: `plugin` is a mapping and has no effect: write one key for each setting, such as `plugin.launcher.restart`",
        ),
        (
            "runtime_plugin_locations: [plugins]\nplugin.launcher.restart: always\n",
            "configuration: lmcache.yaml:2:1: `plugin.launcher.restart` has no effect here: it belongs into `extra_config`",
        ),
        (
            "runtime_plugin_locations: [plugins]\nextra_config: {plugin.all_x.sh.restart: always}\n",
            "configuration: lmcache.yaml: `plugin.all_x.sh.restart` has no effect: leave the suffix out, `plugin.all_x.restart`",
        ),
        (
            "runtime_plugin_locations: [plugins]\nextra_config: {plugin.nosuch.restart: always}\n",
            "configuration: lmcache.yaml: `plugin.nosuch.restart` has no effect: no plugin here is called `nosuch`",
        ),
        (
            "runtime_plugin_locations: [plugins]\nextra_config: {plugin.launchr.restart: always}\n",
            "configuration: lmcache.yaml: `plugin.launchr.restart` has no effect: did you mean `plugin.launcher.restart`?",
        ),
        (
            "runtime_plugin_locations: [plugins]\nextra_config: {Plugin.Launcher.Restart: always}\n",
            "configuration: lmcache.yaml: `Plugin.Launcher.Restart` has no effect: did you mean `plugin.launcher.restart`?",
        ),
        (
            "runtime_plugin_locations: [plugins]\nextra_config: {plugin.ALL_X.restart: always}\n",
            "configuration: lmcache.yaml: `plugin.ALL_X.restart` has no effect: did you mean `plugin.all_x.restart`?",
        ),
    ]);
}

#[test]
fn the_notation_of_a_file() {
    assert_told(&[
        (
            "chunk_size:256\n",
            "lmcache.yaml:1:1: the configuration is a string, not a mapping of `key: value`; a space is missing behind its `:`",
        ),
        (
            "chunk_size:256\nlocal_cpu: true\n",
            "lmcache.yaml:1:11: a space is missing behind this `:`: write `key: value`",
        ),
        (
            "chunk_size: 256\n  local_cpu: true\n",
            "lmcache.yaml:2:3: indented more than the line above, whose value it would continue: begin it at column 1, or leave that value out",
        ),
        ("a:\n   b: 1\n  c: 2\n", "lmcache.yaml:3:3: indented as no line above: begin it at column 1 or 4"),
        (
            "chunk_size: {{ .Values.x }}\n",
            "lmcache.yaml:1:13: `{{` is a template's: render the template first, or write the text in quotes",
        ),
        ("a:\n\tb: 1\n", "lmcache.yaml:2:1: a tab cannot indent or precede a value: expected spaces"),
        ("a: [1, 2\nb: 3\n", "lmcache.yaml:1:4: this bracket is not closed before line 2: expected `,` or `]`"),
        ("a: \"x\nb: 3\n", "lmcache.yaml:1:4: expected a closing `\"`"),
        ("a: 'it's'\n", "lmcache.yaml:1:8: text behind a closing `'`: inside of '...' that sign is written twice"),
        (
            "password: *x\n",
            "lmcache.yaml:1:11: no anchor of this name comes before the alias: a text with `*` wants quotes",
        ),
        (
            "a: !secret x\n",
            "lmcache.yaml:1:4: unknown tag: expected one of !!str !!int !!float !!bool !!null !!seq !!map !!omap !!pairs, or quotes around a value that begins with `!`",
        ),
        ("a: 2024-01-01\n", "lmcache.yaml:1:4: a date is no JSON: expected the text in quotes"),
        ("[plugins]\n", "lmcache.yaml:1:1: the configuration is a list, not a mapping of `key: value`"),
        (
            "runtime_plugin_locations: [plugins]\na: 1\na: 2\n",
            "configuration: lmcache.yaml:3:1: this key was given before in the same mapping: the last value counts",
        ),
    ]);
}

#[test]
fn variables() {
    for (variables, expected) in [
        (
            &[("LMCACHE_PLUGIN_LOCATIONS", "[\"plugins\", 5]")][..],
            "LMCACHE_PLUGIN_LOCATIONS, offset 12: the list wants paths, not a number",
        ),
        (
            &[("LMCACHE_PLUGIN_LOCATIONS", " \"[\"plugins\" 5]\" ")][..],
            "LMCACHE_PLUGIN_LOCATIONS, offset 13: expected `,` or `]`",
        ),
        (
            &[("LMCACHE_PLUGIN_LOCATIONS", "\"nowhere\"")][..],
            "nowhere: No such file or directory; named by LMCACHE_PLUGIN_LOCATIONS; it is relative to the working directory `$PWD`",
        ),
        (
            &[("LMCACHE_PLUGIN_LOCATIONS", "")][..],
            "configuration: LMCACHE_PLUGIN_LOCATIONS names no plugin locations: it is empty",
        ),
        (
            &[("LMCACHE_RUNTIME_PLUGIN_LOCATIONS", "nowhere"), ("LMCACHE_PLUGIN_LOCATIONS", "plugins")][..],
            "configuration: LMCACHE_RUNTIME_PLUGIN_LOCATIONS and LMCACHE_PLUGIN_LOCATIONS are both set: LMCACHE_PLUGIN_LOCATIONS counts, as in LMCache; unset one of them",
        ),
        (
            &[("LMCACHE_PLUGIN_LOCATIONS", "plugins"), ("LMCACHE_EXTRA_CONFIG", "[1]")][..],
            "LMCACHE_EXTRA_CONFIG, offset 0: a list, not a JSON object",
        ),
        (
            &[("LMCACHE_PLUGIN_LOCATIONS", "plugins"), ("LMCACHE_EXTRA_CONFIG", "'{oops}'")][..],
            "LMCACHE_EXTRA_CONFIG, offset 2: expected a name in double quotes",
        ),
        (
            &[("LMCACHE_PLUGIN_LOCATIONS", "plugins"), ("LMCACHE_EXTRA_CONFIG", "{\"plugin.launcher.restart\": 5}")][..],
            "LMCACHE_EXTRA_CONFIG, offset 28: `plugin.launcher.restart` takes never or on-failure or always",
        ),
        (
            &[("LMCACHE_PLUGIN_CONFIG", "{\"plugin_locations\": [1]}")][..],
            "LMCACHE_PLUGIN_CONFIG, offset 22: `plugin_locations` wants paths, not a number",
        ),
        (
            &[("LMCACHE_PLUGIN_CONFIG", "{\"extra_config\": {\"plugin.launcher.restart\": \"x\"}}")][..],
            "LMCACHE_PLUGIN_CONFIG, offset 45: `plugin.launcher.restart` takes never or on-failure or always",
        ),
        (
            &[("LMCACHE_PLUGIN_CONFIG", "[]")][..],
            "LMCACHE_PLUGIN_CONFIG, offset 0: the configuration is a list, not a mapping of `key: value`",
        ),
        (
            &[("LMCACHE_CONFIG_FILE", "\"lmcache.yaml\"")][..],
            "cannot read configuration `\"lmcache.yaml\"`: No such file or directory; the quotes are part of the name: leave them out",
        ),
        (&[("LMCACHE_CONFIG_FILE", "plugins")][..], "cannot read configuration `plugins`: it is a directory"),
        (&[("LMCACHE_CONFIG_FILE", "/dev/zero")][..], "cannot read configuration `/dev/zero`: it is no regular file"),
        (
            &[("LMCACHE_PLUGIN_LOCATIONS", "plugins"), ("LMCACHE_PLUGIN_WORKER_ID", "x")][..],
            "LMCACHE_PLUGIN_WORKER_ID, offset 0: expected a whole number",
        ),
        (
            &[("LMCACHE_PLUGIN_LOCATIONS", "plugins"), ("LMCACHE_PLUGIN_WORKER_COUNT", "0")][..],
            "configuration: the worker count is 0: expected at least 1, this process",
        ),
    ] {
        let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\n")]);
        assert_eq!(told(&sandbox, &[], variables), expected, "{variables:?}");
    }
}
