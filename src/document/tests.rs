//! What no configuration may do to the readers: panic, hang, or come back changed.

use super::{Value, json, yaml};

/// A small generator of random numbers (xorshift), seeded so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn choice<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// Pieces that mean something to one of the readers, and some that mean nothing.
const PIECES: &[&str] = &[
    "a",
    "b",
    "1",
    "-",
    "- ",
    "? ",
    ": ",
    ":",
    "\n",
    "\n  ",
    "\n    ",
    " ",
    "\t",
    "[",
    "]",
    "{",
    "}",
    ",",
    ", ",
    "#",
    " # ",
    "&a ",
    "*a",
    "!",
    "! ",
    "!!str ",
    "!!int ",
    "!!float ",
    "!!omap ",
    "!<x>",
    "|",
    ">",
    "|-\n ",
    ">+2\n ",
    "\"",
    "'",
    "\\",
    "\\n",
    "\\u00e9",
    "\\ud83d",
    "\\ude00",
    "\\x4",
    "%",
    "%YAML 1.1\n",
    "%TAG !e! x\n",
    "---",
    "...",
    "\n---\n",
    "<<",
    "<<: ",
    "=",
    "~",
    "null",
    "true",
    "yes",
    "0x1F",
    "017",
    "1_000",
    "12:30",
    "1:30.5",
    ".5",
    "1.",
    "1.5e+3",
    "1e400",
    "-0",
    ".inf",
    ".nan",
    "2001-01-01",
    "\r",
    "\r\n",
    "\u{85}",
    "\u{2028}",
    "\u{feff}",
    "é",
    "😀",
    "@",
    "`",
    "\0",
    "\u{7f}",
    "\"a\":",
    "{\"a\": ",
    "[1, ",
    "false",
    "-1.5E-3",
    "99999999999999999999",
];

fn random_document(random: &mut Random) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..random.below(30) {
        match random.below(40) {
            0 => text.push(random.below(256) as u8),
            1 if !text.is_empty() => {
                let piece = text[random.below(text.len())..].to_vec();
                text.extend(piece);
            }
            _ => text.extend(random.choice(PIECES).as_bytes()),
        }
    }
    text
}

/// What is written must be read as the same again.
fn assert_round_trip(value: &Value<'_>, document: &[u8]) {
    let mut text = String::new();
    json::write(value, &mut text);
    assert_eq!(json::parse(text.as_bytes()).as_ref(), Ok(value), "{text} of {:?}", String::from_utf8_lossy(document));
}

#[test]
fn random_documents_are_read_or_refused_with_a_place_inside_them() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut accepted = [0, 0];
    for _ in 0..10_000 {
        let document = random_document(&mut random);
        let results = [yaml::parse(&document).map(|document| document.value), json::parse(&document)];
        for (result, accepted) in results.into_iter().zip(&mut accepted) {
            match result {
                Ok(value) => {
                    *accepted += 1;
                    assert_round_trip(&value, &document);
                }
                Err(malformed) => {
                    assert!(malformed.offset <= document.len(), "{malformed:?} in {document:?}");
                    assert!(malformed.line >= 1 && malformed.column >= 1, "{malformed:?} in {document:?}");
                }
            }
        }
    }
    assert!(accepted[0] > 500 && accepted[1] > 25, "too few documents were readable: {accepted:?}");
}

#[test]
fn every_json_document_that_yaml_reads_too_has_the_same_value() {
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    for _ in 0..500 {
        let value = random_value(&mut random, 0);
        let mut text = String::new();
        json::write(&value, &mut text);
        assert_eq!(json::parse(text.as_bytes()).as_ref(), Ok(&value), "{text}");
        // A key without quotes around it would be limited to 1024 characters: these are shorter.
        assert_eq!(yaml::parse(text.as_bytes()).map(|document| document.value).as_ref(), Ok(&value), "{text}");
    }
}

fn random_value(random: &mut Random, depth: usize) -> Value<'static> {
    match random.below(if depth < 4 { 7 } else { 5 }) {
        0 => Value::Null,
        1 => Value::Bool(random.below(2) == 0),
        2 => Value::Number(
            (*random.choice(&["0", "-1", "1.5", "0.10", "-0.0", "1.5e+3", "123456789012345678901234567890"])).into(),
        ),
        3 | 4 => Value::String(random_text(random).into()),
        5 => Value::Array((0..random.below(4)).map(|_| random_value(random, depth + 1)).collect()),
        _ => {
            let names: std::collections::BTreeSet<String> = (0..random.below(4)).map(|_| random_text(random)).collect();
            Value::Object(names.into_iter().map(|name| (name.into(), random_value(random, depth + 1))).collect())
        }
    }
}

/// JSON lets the control character U+007F stand as it is, YAML does not.
fn random_text(random: &mut Random) -> String {
    let text: String = (0..random.below(6)).map(|_| *random.choice(PIECES)).collect();
    text.replace(['\u{7f}', '\u{85}', '\u{2028}'], "")
}

/// Deep, long and wide documents: the time is linear, so that these are done in no time.
#[test]
fn extreme_documents_end() {
    let documents: &[(&str, String, bool)] = &[
        ("brackets", "[".repeat(300_000), false),
        ("braces", "{a: ".repeat(300_000), false),
        ("JSON braces", "{\"a\":".repeat(300_000), false),
        ("dashes", "- ".repeat(300_000), false),
        ("question marks", "? ".repeat(300_000), false),
        ("indentation", (0..1000).map(|depth| " ".repeat(depth) + "a:\n").collect(), false),
        ("legal brackets", "[".repeat(490) + &"]".repeat(490), true),
        ("a long line", "a: ".to_owned() + &"word ".repeat(200_000), true),
        ("a long quoted line", "a: \"".to_owned() + &"word\\n ".repeat(100_000) + "\"", true),
        ("many lines", "a:\n".to_owned() + &"  word\n".repeat(100_000), true),
        ("many keys", (0..50_000).map(|key| format!("key{key}: {key}\n")).collect(), true),
        ("many keys of one name", "key: 1\n".repeat(50_000), true),
        ("many numbers as keys", (0..50_000).map(|key| format!("{key}: {key}\n")).collect(), true),
        ("many anchors", (0..50_000).map(|key| format!("- &a{key} x\n- *a{key}\n")).collect(), true),
        ("an integer that is too long", "0x".to_owned() + &"f".repeat(500_000), false),
        ("many long integers", ("- 0x".to_owned() + &"f".repeat(3500) + "\n").repeat(20), true),
        ("a long float", "- 1.".to_owned() + &"5".repeat(500_000), true),
        ("comments", "# comment\n".repeat(100_000), true),
        ("laughs", laughs("[", "]"), false),
        ("long laughs", long_laugh("\"\\n", "\""), false),
        ("laughs that say nothing", long_laugh("!!null \"\\n", "\""), false),
        ("merged laughs", laughs("{<<: [", "]}").replace("&a0 {<<: [x,x,x,x,x,x,x,x,x]}", "&a0 {x: 1}"), false),
        ("a chain of aliases", "- &a0 []\n".to_owned() + &chain("[*a", "]"), false),
        ("a chain of merge keys", "- &a0 {}\n".to_owned() + &chain("{<<: *a", "}"), false),
    ];
    for (name, document, is_legal) in documents {
        assert_eq!(yaml::parse(document.as_bytes()).is_ok(), *is_legal, "{name}");
        assert_eq!(json::parse(document.as_bytes()).is_ok(), *name == "legal brackets", "{name}");
    }
}

/// Each line holds the one before nine times.
fn laughs(open: &str, close: &str) -> String {
    let line = |number: usize| {
        let item = if number == 0 { "x".to_owned() } else { format!("*a{}", number - 1) };
        format!("a{number}: &a{number} {open}{}{close}\n", [item.as_str(); 9].join(","))
    };
    (0..12).map(line).collect()
}

/// A long text that is not in the file as it is, and many aliases to it.
fn long_laugh(open: &str, close: &str) -> String {
    format!("a: &a {open}{}{close}\nb: [{}]\n", "x".repeat(500_000), "*a,".repeat(150_000))
}

/// Each line holds the one before.
fn chain(open: &str, close: &str) -> String {
    (1..1000).map(|number| format!("- &a{number} {open}{}{close}\n", number - 1)).collect()
}
