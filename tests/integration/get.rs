//! `get POINTER`: one value of the configuration, for plugins without jq and python.

use crate::json::Json;
use crate::sandbox::{Output, Sandbox};

const DOCUMENT: &str = r#"{"chunk_size": 256, "name": "a \"b\"\n", "local": true, "none": null, "ratio": 1.50,
    "extra_config": {"plugin.frontend.port": 8080, "a/b": 1, "m~n": 2, "": 3, "list": [10, {"deep": "x"}]}}"#;

fn get(arguments: &[&str]) -> Output {
    Sandbox::new().launcher(["get"]).args(arguments).env("LMCACHE_PLUGIN_CONFIG", DOCUMENT).output()
}

#[test]
fn strings_are_bare_and_everything_else_is_json() {
    let cases = [
        ("/chunk_size", "256\n"),
        ("/name", "a \"b\"\n\n"),
        ("/local", "true\n"),
        ("/none", "null\n"),
        ("/ratio", "1.50\n"),
        ("/extra_config/plugin.frontend.port", "8080\n"),
        ("/extra_config/a~1b", "1\n"),
        ("/extra_config/m~0n", "2\n"),
        ("/extra_config/", "3\n"),
        ("/extra_config/list/0", "10\n"),
        ("/extra_config/list/1/deep", "x\n"),
    ];
    for (pointer, expected) in cases {
        let done = get(&[pointer]);
        assert_eq!((done.status.code(), done.text().as_str()), (Some(0), expected), "{pointer}");
    }
    assert_eq!(Json::parse(&get(&["/extra_config/list"]).text()), Json::parse(r#"[10, {"deep": "x"}]"#));
    assert_eq!(Json::parse(&get(&[""]).text()), Json::parse(DOCUMENT));
}

#[test]
fn what_is_not_there_is_status_1_or_the_default() {
    for pointer in
        ["/nothing", "/chunk_size/x", "/extra_config/list/2", "/extra_config/list/-", "/extra_config/list/00"]
    {
        let done = get(&[pointer]);
        assert_eq!(done.status.code(), Some(1), "{pointer}");
        assert_eq!((done.text().as_str(), done.stderr.lines().count()), ("", 1), "{pointer}: {}", done.stderr);
        let default = get(&[pointer, "--default", "fall back"]);
        assert_eq!((default.status.code(), default.text().as_str()), (Some(0), "fall back\n"));
    }
    assert_eq!(get(&["/chunk_size", "--default=1"]).text(), "256\n");
}

#[test]
fn where_the_document_ends_is_said() {
    for (pointer, expected) in [
        ("/extra_config/k", "`/extra_config` has no `k`; it has `plugin.frontend.port`, `a/b`, `m~n`, ``, `list`"),
        ("/chunk_siez", "the document has no `chunk_siez`; did you mean `chunk_size`?"),
        ("/extra_config/list/7", "`/extra_config/list` is a list of 2 elements, /0 to /1: it has no `7`"),
        ("/name/x/y", "`/name` is a string and has no `x`"),
    ] {
        let done = get(&[pointer]);
        assert!(done.stderr.contains(expected), "{pointer}: {}", done.stderr);
    }
}

#[test]
fn a_pointer_that_is_none_is_bad_usage() {
    for pointer in ["chunk_size", "/a~2b", "/a~"] {
        get(&[pointer]).assert_refused(&["Pointer"]);
    }
}

#[test]
fn a_file_is_read_with_config() {
    let sandbox = Sandbox::new();
    sandbox.write("lmcache.yaml", "chunk_size: 256\nlist: [a, b]\nport: 0x10\n");
    let get = |pointer: &str| sandbox.launcher(["get", pointer, "--config", "lmcache.yaml"]).output().text();
    assert_eq!((get("/chunk_size"), get("/list/1"), get("/port")), ("256\n".into(), "b\n".into(), "16\n".into()));
    let variable = sandbox.launcher(["get", "/list/0"]).env("LMCACHE_CONFIG_FILE", "lmcache.yaml").output();
    assert_eq!(variable.text(), "a\n");
}

#[test]
fn any_document_will_do() {
    let sandbox = Sandbox::new();
    for (name, content, expected) in
        [("list.yaml", "- 1\n- 2\n", "[1,2]"), ("text.json", "\"text\"", "text"), ("number.yaml", "7\n", "7")]
    {
        sandbox.write(name, content);
        let done = sandbox.launcher(["get", "", "--config", name]).output();
        assert_eq!(done.status.code(), Some(0), "{name}: {}", done.stderr);
        assert_eq!(done.text().replace(' ', "").trim_end(), expected);
    }
    let done = sandbox.launcher(["get", "/1"]).env("LMCACHE_PLUGIN_CONFIG", "[10, 20]").output();
    assert_eq!(done.text(), "20\n");
}

#[test]
fn malformed_is_status_2() {
    let sandbox = Sandbox::new();
    sandbox.write("lmcache.yaml", "a: [\n");
    sandbox.launcher(["get", "/a", "--config", "lmcache.yaml"]).output().assert_refused(&["lmcache.yaml:"]);
    let done = sandbox.launcher(["get", "/a"]).env("LMCACHE_PLUGIN_CONFIG", "{").output();
    done.assert_refused(&["LMCACHE_PLUGIN_CONFIG"]);
}

#[test]
fn a_shell_plugin_reads_its_configuration_with_it() {
    let plugin =
        "#!/bin/sh\nport=$(\"$LAUNCHER\" get /extra_config/plugin.frontend.port --default 80)\necho \"port $port\"\n";
    let sandbox = Sandbox::with([("all_x.sh", plugin)]);
    sandbox.write("lmcache.yaml", "extra_config:\n  plugin.frontend.port: 9090\n");
    let done = sandbox.launcher(["run", "--config", "lmcache.yaml", "plugins"]).output();
    assert_eq!(done.lines_of("all_x.sh"), ["port 9090"]);
}
