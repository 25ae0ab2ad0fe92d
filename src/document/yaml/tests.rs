//! Documents and what PyYAML's safe loader makes of them.

use super::super::json;
use super::parse;

fn read(text: &str) -> Result<String, String> {
    let document = parse(text.as_bytes()).map_err(|error| format!("{}:{}: {error}", error.line, error.column))?;
    let mut out = String::new();
    json::write(&document.value, &mut out);
    Ok(out)
}

fn assert_read(documents: &[(&str, &str)]) {
    for (text, expected) in documents {
        assert_eq!(read(text).as_deref(), Ok(*expected), "{text:?}");
    }
}

fn assert_refused(documents: &[(&str, &str)]) {
    for (text, expected) in documents {
        assert_eq!(read(text), Err((*expected).to_owned()), "{text:?}");
    }
}

#[test]
fn collections_nest_in_blocks_and_in_flow() {
    assert_read(&[
        ("", "null"),
        ("# nothing\n", "null"),
        ("a", "\"a\""),
        ("- a\n- - b\n  - c\n-\n", r#"["a",["b","c"],null]"#),
        ("a: 1\nb:\n  c: 2\n  d:\n  - 3\n  - e: 4\n    f: 5\n", r#"{"a":1,"b":{"c":2,"d":[3,{"e":4,"f":5}]}}"#),
        ("a:\n- b\nc:\n  - d\n", r#"{"a":["b"],"c":["d"]}"#),
        ("? a\n: b\n? c\n", r#"{"a":"b","c":null}"#),
        ("[a, {b: c, d}, [e], f: g, ]", r#"["a",{"b":"c","d":null},["e"],{"f":"g"}]"#),
        ("{'a':1,\"b\":2,c: 3}", r#"{"a":1,"b":2,"c":3}"#),
        ("a: [b,\nc,\n  d] # e\n", r#"{"a":["b","c","d"]}"#),
        ("%YAML 1.1\n---\na: b\n...\n", r#"{"a":"b"}"#),
        ("\u{feff}a: b\r\nc: d\r\n", r#"{"a":"b","c":"d"}"#),
    ]);
    assert_refused(&[
        ("a: b: c", "1:5: a `:` with a space after it cannot be inside a value: expected quotes"),
        ("a: - b", "1:4: a list cannot begin on this line: expected a value"),
        ("a: 1\nb\n", "2:1: expected a key with `:` after it, on one line"),
        ("a:\n  b: 1\n c: 2\n", "3:2: indented as no line above: begin it at column 1 or 3"),
        ("a:\n\tb: 1\n", "2:1: a tab cannot indent or precede a value: expected spaces"),
        ("[a, b", "1:6: expected `,` or `]`, found the end of the file"),
        ("{a: b", "1:6: expected `,` or `}`, found the end of the file"),
        ("[a]]", "1:4: there is no `[` or `{` that this could close"),
        ("--- a\n--- b\n", "2:1: a second document: expected the end of the file"),
        ("%YAML 2.0\n--- a\n", "1:1: expected version 1.1 or 1.2 of YAML"),
        ("a: @b", "1:4: `@` and `` ` `` are reserved: expected a value, or the text in quotes"),
    ]);
}

#[test]
fn plain_scalars_have_the_types_of_yaml_1_1() {
    assert_read(&[
        ("[yes, No, on, OFF, true, False, y, n, yEs]", r#"[true,false,true,false,true,false,"y","n","yEs"]"#),
        ("[~, null, Null, NULL, nUll, '']", r#"[null,null,null,null,"nUll",""]"#),
        ("[0, -0, +1, 010, 08, 0o17, 0x1F, -0b101, 1_000, 0_7]", r#"[0,0,1,8,"08","0o17",31,-5,1000,7]"#),
        ("[12:30, 190:20:30, -1:30, 1:60, 0:30]", r#"[750,685230,-90,"1:60","0:30"]"#),
        (
            "[123456789012345678901234567890, 0xffffffffffffffffffff]",
            "[123456789012345678901234567890,1208925819614629174706175]",
        ),
        ("[1.5, .5, 1., -1.50, +0.1, 00.5, 1_0.0_1]", "[1.5,0.5,1.0,-1.50,0.1,0.5,10.01]"),
        ("[1.5e+3, 1.E-3, .5e+3, 1e3, 1.5e3, 1e+3, -.5]", r#"[1.5e+3,1e-3,0.5e+3,"1e3","1.5e3","1e+3","-.5"]"#),
        ("[1:30.5, 0:0.25, -0.0, 1:30.1, -12:59.99]", "[90.5,0.25,-0.0,90.1,-779.99]"),
        ("[a:b, http://x, a#b, -x, ?x, '-', 1.2.3]", r#"["a:b","http://x","a#b","-x",{"x":null},"-","1.2.3"]"#),
        ("[!!str 1, !!int '2', !!float 3, !!bool Yes, !!null x, ! '4', !!str ]", r#"["1",2,3.0,true,null,4,""]"#),
        ("!!omap [a: 1, b: 2]", r#"[["a",1],["b",2]]"#),
    ]);
    assert_refused(&[
        ("a: 2001-01-01", "1:4: a date is no JSON: expected the text in quotes"),
        ("a: 2001-12-14 21:59:43.10 -5", "1:4: a date is no JSON: expected the text in quotes"),
        ("a: .inf", "1:4: infinity and NaN are no JSON: expected a number"),
        ("a: 1.0e+309", "1:4: a number too large for a float"),
        ("a: 0x_", "1:4: not an integer"),
        ("a: =", "1:4: `=` stands for no value: expected the text in quotes"),
        ("!!set {a}", "1:1: a set is no JSON: expected a list"),
        ("!!binary aGk=", "1:1: binary data is no JSON: expected a string"),
        (
            "!x a",
            "1:1: unknown tag: expected one of !!str !!int !!float !!bool !!null !!seq !!map !!omap !!pairs, \
             or quotes around a value that begins with `!`",
        ),
        ("!x!y a", "1:1: no `%TAG` declares the handle with which this tag begins"),
    ]);
}

#[test]
fn scalars_fold_as_their_style_says() {
    assert_read(&[
        ("a: b\n  c\n\n  d # e\n", r#"{"a":"b c\nd"}"#),
        ("'it''s\n  a  \n\n  b'", r#""it's a\nb""#),
        (r#""\x41\u00e9\U0001F600\t\/\_""#, "\"Aé😀\\t/\u{a0}\""),
        ("\"a\\\n  b\\n\n c\"", r#""ab\n c""#),
        ("a: |\n  b\n   c\n\n  d\n\ne: 1\n", r#"{"a":"b\n c\n\nd\n","e":1}"#),
        ("a: >\n  b\n  c\n\n  d\n   e\n  f\n", r#"{"a":"b c\nd\n e\nf\n"}"#),
        ("- |-\n  a\n\n- >+\n  b\n\n- |1\n  c\n", r#"["a","b\n\n"," c\n"]"#),
        ("a: |\nb: 1\n", r#"{"a":"","b":1}"#),
    ]);
    assert_refused(&[
        ("a: 'b\nc: d\n", "1:4: expected a closing `'`"),
        (r#""\q""#, r"1:2: not an escape of YAML: a backslash itself is written `\\`"),
        (r#""\ud83d\ude00""#, r"1:2: this escape alone stands for no character: expected one such as `\U0001F600`"),
        ("a: |x\n", "1:5: expected `+`, `-`, an indentation from 1 to 9, or the end of the line"),
        ("'a\n--- b'", "2:1: a document marker cannot be inside quotes: expected the closing quote"),
        ("a: \"b\" c", "1:8: expected a key or the end of the mapping, found a scalar"),
        ("a: b\u{7}", "1:5: a control character: expected an escape in double quotes"),
    ]);
    assert_eq!(parse(b"a: \xff").map(drop).map_err(|error| error.message), Err("not UTF-8".into()));
    assert_eq!(parse(b"\xff\xfea\0").map(drop).map_err(|error| error.message), Err("UTF-16: expected UTF-8".into()));
}

#[test]
fn keys_become_what_python_makes_of_them() {
    assert_read(&[
        (
            "{2: a, 1.50: b, null: c, yes: d, 0x10: e, -0.0: f}",
            r#"{"2":"a","1.5":"b","null":"c","true":"d","16":"e","-0.0":"f"}"#,
        ),
        ("{1: a, true: b, 1.0: c, '1': d}", r#"{"1":"d"}"#),
        ("{0.1234567890123456: a, 0.10000000000000001: b}", r#"{"0.1234567890123456":"a","0.1":"b"}"#),
        ("{0.0001: a, 0.00001: b, 1.25e-7: c, 100.0: d}", r#"{"0.0001":"a","1e-05":"b","1.25e-07":"c","100.0":"d"}"#),
        ("{.inf: a, -.inf: b, .nan: c, .NaN: d}", r#"{"Infinity":"a","-Infinity":"b","NaN":"d"}"#),
        ("a: 1\nb: 2\na: 3\n", r#"{"a":3,"b":2}"#),
        ("{=: 1}", r#"{"=":1}"#),
    ]);
    assert_refused(&[
        ("[a]: b", "1:1: a collection cannot be a key: expected a scalar"),
        ("2001-01-01: a", "1:1: a date cannot be a key in JSON: expected the text in quotes"),
    ]);
    let long = |length| "k".repeat(length) + ": a";
    assert!(read(&long(1024)).is_ok());
    assert!(read(&long(1025)).is_err());
}

#[test]
fn keys_given_twice_are_warned_of_once() {
    let text = "a: &a\n  x: 1\n  x: 2\nb: *a\nc: {<<: *a, x: 3}\n1: d\n'1': e\n";
    let warnings = parse(text.as_bytes()).unwrap().warnings;
    let places: Vec<_> =
        warnings.iter().map(|warning| (warning.line, warning.column, warning.message.as_str())).collect();
    let message = "this key was given before in the same mapping: the last value counts";
    assert_eq!(places, [(3, 3, message), (7, 1, message)]);
}

#[test]
fn aliases_and_merge_keys_repeat_what_came_before() {
    assert_read(&[
        ("a: &a [1]\nb: *a\nc: &c\nd: *c\n", r#"{"a":[1],"b":[1],"c":null,"d":null}"#),
        ("a: &a {x: 1, y: 2}\nb:\n  z: 0\n  <<: *a\n  x: 3\n", r#"{"a":{"x":1,"y":2},"b":{"x":3,"y":2,"z":0}}"#),
        ("<<: [{a: 1}, {a: 2, b: 3}]\nc: 4", r#"{"a":1,"b":3,"c":4}"#),
        ("<<: {<<: {a: 1}, b: 2}", r#"{"a":1,"b":2}"#),
        ("'<<': {a: 1}", r#"{"<<":{"a":1}}"#),
    ]);
    assert_refused(&[
        ("*a", "1:1: no anchor of this name comes before the alias: a text with `*` wants quotes"),
        ("&a [*a]", "1:5: an alias to what it is itself part of"),
        ("[&a b, &a c]", "1:8: a second anchor of this name: a text with `&` wants quotes"),
        ("<<: a", "1:5: expected a mapping to merge, or a list of them"),
        ("- <<", "1:3: `<<` stands for no value: expected the text in quotes"),
    ]);
}

#[test]
fn the_cause_is_named_and_not_its_consequence() {
    let space = "a space is missing behind this `:`: write `key: value`";
    let template = "is a template's: render the template first, or write the text in quotes";
    let deeper = "indented more than the line above, whose value it would continue: begin it at column";
    for (text, place, message) in [
        ("chunk_size:256\nlocal_cpu: true\n", "1:11", space),
        ("local_cpu: true\nchunk_size:256\nx: 1\n", "2:11", space),
        ("a:\n  - b:1\n    c: 2\n", "2:6", space),
        ("a: http://x\nb\nc: 1\n", "2:1", "expected a key with `:` after it, on one line"),
        ("a: 1\n  b: 2\n", "2:3", deeper),
        ("a:\n  b: 1\n\n  # why\n    c: 2\n", "5:5", deeper),
        ("a:\n   b: 1\n  c: 2\n", "3:3", "indented as no line above: begin it at column 1 or 4"),
        ("a: {{ .Values.x }}\n", "1:4", template),
        ("a: 1\n{{- if .Values.x }}\nb: 2\n", "2:1", template),
        ("a:\n  - {{ x }}\n", "2:5", template),
        ("a: {% x %}\n", "1:4", template),
        ("a: x\n\tb: 1\n", "2:1", "a tab cannot indent or precede a value: expected spaces"),
        ("a:\n  b: x\n  \tc: 1\n", "3:3", "a tab cannot indent or precede a value: expected spaces"),
        ("a: [1, 2\nb: 3\n", "1:4", "this bracket is not closed before line 2: expected `,` or `]`"),
        ("a: {b: 1\nc: 2\n", "1:4", "this bracket is not closed before line 2: expected `,` or `}`"),
        ("a: [\n  \"x\"\n  \"y\"\n]\n", "3:3", "expected `,` or `]`, found a scalar"),
        ("a: 'it's'\n", "1:8", "text behind a closing `'`: inside of '...' that sign is written twice"),
    ] {
        let found = read(text).expect_err(text);
        assert!(found.starts_with(&[place, ": "].concat()) && found.contains(message), "{text:?}: {found}");
    }
}

#[test]
fn what_every_version_merges_alike_is_read() {
    assert_read(&[
        ("{<<: [{retries: 1}, {retries: 1}]}", r#"{"retries":1}"#),
        ("{<<: [{t: 1.50}, {t: 1.5}]}", r#"{"t":1.50}"#),
        ("{<<: [{o: {a: 1, b: 2}}, {o: {b: 2, a: 1}}]}", r#"{"o":{"a":1,"b":2}}"#),
        ("{<<: [{retries: 1}, {retries: 9}], retries: 5}", r#"{"retries":5}"#),
        ("{<<: {<<: [{retries: 1}, {retries: 9}], retries: 5}}", r#"{"retries":5}"#),
        // Two texts in memory, as of all long keys: the last one counts everywhere. One text: the first one.
        ("{<<: {retries: 1}, <<: {retries: 2}}", r#"{"retries":2}"#),
        ("{<<: {retries: 1, retries: 2}}", r#"{"retries":2}"#),
        ("{<<: {<<: {retries: 1}, retries: 2}}", r#"{"retries":2}"#),
        ("{<<: [{a: 1}, {a: 2}]}", r#"{"a":1}"#),
        ("{<<: [{&k retries: 1}, {*k : 2}]}", r#"{"retries":1}"#),
        ("a: &a {x: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: [*a, *b]}\n", r#"{"a":{"x":1},"b":{"x":2},"c":{"x":1}}"#),
        ("{<<: {1: a, true: a}}", r#"{"1":"a"}"#),
        (r#"{<<: {"\u2028": 1, "\u2028": 2}}"#, "{\"\u{2028}\":2}"),
    ]);
}

#[test]
fn what_depends_on_the_version_of_pyyaml_is_refused() {
    let refused = |place: &str, key: &str| {
        let reason = "is merged with several values, and the version of PyYAML decides which one counts: \
                      expected it once, or beside the `<<`";
        Err(format!("{place}: the key `{key}` {reason}"))
    };
    for (text, place, key) in [
        ("s: {<<: [{retries: 1}, {retries: 9}]}", "1:25", "retries"),
        ("{<<: {a: 1}, <<: {a: 2}}", "1:19", "a"),
        ("{<<: {a: 1, a: 2}}", "1:13", "a"),
        ("{<<: {<<: {a: 1}, a: 2}}", "1:19", "a"),
        ("x: &x {<<: {a: 1}, a: 2}\ny: {<<: *x}\n", "1:20", "a"),
        ("x: &x {<<: {retries: 1}, retries: 2}\ny: {<<: [*x, {retries: 3}]}\n", "2:15", "retries"),
        ("a:\n  <<:\n  - retries: 1\n  - {timeout: 2}\n  - retries: 9\n", "5:5", "retries"),
        ("{<<: [{'': 1}, {retries: 2}], <<: {'': 3}}", "1:36", ""),
        ("{<<: {é: 1, é: 2}}", "1:13", "é"),
        ("{<<: [{日: 1}, {日: 2}]}", "1:16", "日"),
        ("{<<: [{retries: 1}, {retries: 1.0}]}", "1:22", "retries"),
        ("{<<: [{retries: [1]}, {retries: [2]}]}", "1:24", "retries"),
        // Other keys in Python, but one text: 1 and "1", null and "~".
        ("{<<: {1: 1, '1': 2}}", "1:13", "1"),
        ("{<<: {~: 1, '~': 2}}", "1:13", "~"),
        // One key in Python, and the first gives its name.
        ("{<<: [{on: 1}, {1: 1}]}", "1:17", "1"),
        ("{<<: [{'1': x}, {on: x}, {0x1: x}]}", "1:27", "true"),
        // The loaders in C and in Python do not agree whether these share their text.
        (r#"{<<: {"\L": 1, "\L": 2}}"#, "1:16", "\u{2028}"),
        ("<<:\n- a: 1\n- ? |\n    a", "3:5", "a"),
    ] {
        assert_eq!(read(text), refused(place, key), "{text:?}");
    }
}

#[test]
fn each_value_is_found_where_it_stands() {
    use super::super::{Part, Step};
    use Step::{Element, Member};
    let text = "# b: 0\na: &x {b: 1, \"c\\x41\": [2, 3]}\nd:\n- *x\n- {<<: *x, b: 4}\n? e\n: !!str 5\na.b: 6\n";
    let nothing = "a: # b\n  # c\nd:\n- 1\n-\n\n- \n";
    for (path, expected) in [
        (&[Member("a")][..], ": # b\n"),
        (&[Member("d"), Element(1)], "-\n\n- \n"),
        (&[Member("d"), Element(2)], "- \n"),
    ] {
        let tree = parse(nothing.as_bytes()).unwrap().tree;
        let found = &nothing[tree.offset(path, Part::Value) - 1..];
        assert_eq!(found.get(..expected.len()), Some(expected), "{path:?}");
    }
    for (path, part, expected) in [
        (&[][..], Part::Value, "a: &x"),
        (&[Member("a"), Member("b")], Part::Value, "1,"),
        (&[Member("a"), Member("b")], Part::Key, "b: 1"),
        (&[Member("a"), Member("cA"), Element(1)], Part::Value, "3]"),
        (&[Member("d"), Element(0)], Part::Value, "&x {b"),
        (&[Member("d"), Element(1), Member("b")], Part::Value, "4}"),
        (&[Member("d"), Element(1), Member("cA")], Part::Value, "[2, 3]"),
        (&[Member("e")], Part::Value, "!!str 5"),
        (&[Member("a.b")], Part::Value, "6"),
        (&[Member("d"), Element(9)], Part::Value, "- *x"),
        (&[Member("nowhere"), Member("b")], Part::Key, "a: &x"),
    ] {
        let tree = parse(text.as_bytes()).unwrap().tree;
        let found = &text[tree.offset(path, part)..];
        assert!(found.starts_with(expected), "{path:?}: {found}");
    }
}

#[test]
fn what_only_one_of_the_loaders_of_pyyaml_reads_is_refused() {
    assert_refused(&[
        ("{a:}", "1:3: a `:` right before `,` or a bracket: expected a space between them"),
        ("[a :, b]", "1:4: a `:` right before `,` or a bracket: expected a space between them"),
        ("a: !\nb: 1\n", "2:1: expected a value after `!`, found a key"),
        ("[?, a]", "1:3: expected a key after `?`, found `,`"),
        ("%X y\n---\n", "1:3: expected `%YAML` or `%TAG` before this"),
        ("%YAML 1.3\n---\n", "1:1: expected version 1.1 or 1.2 of YAML"),
        ("a: 1\n\u{FEFF}b: 2\n", "2:1: a byte order mark: expected it at the beginning of the file only"),
        ("a: |\n  \tb\n", "2:3: a tab cannot begin a block: expected spaces, or the indentation after the `|` or `>`"),
    ]);
}
