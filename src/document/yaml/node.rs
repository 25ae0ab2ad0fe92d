//! What a document is made of before its values are: nodes, each with a tag, that several others may refer to.

use std::borrow::Cow;

/// A node. Others refer to it by its index.
pub(super) struct Node<'a> {
    pub(super) tag: Tag,
    /// Where it begins, its tag and anchor included.
    pub(super) offset: usize,
    pub(super) content: Content<'a>,
}

pub(super) enum Content<'a> {
    /// A collection whose end was not seen yet.
    Open,
    Scalar(Cow<'a, str>),
    Sequence(Vec<usize>),
    Mapping(Vec<Pair>),
}

/// The nodes of a key and of its value.
pub(super) type Pair = (usize, usize);

/// The types that PyYAML's safe loader knows.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Tag {
    Null,
    Bool,
    Int,
    Float,
    Str,
    Timestamp,
    Binary,
    /// `<<`: not a value but an instruction.
    Merge,
    /// `=`: YAML 1.1's default key, a string where it is a key and nothing elsewhere.
    Default,
    Seq,
    Omap,
    Pairs,
    Map,
    Set,
    /// `!`: whatever a plain scalar with this text is.
    Any,
    Unknown,
}

impl Tag {
    /// The type that is written out as `tag`.
    pub(super) fn named(tag: &str) -> Tag {
        if tag == "!" {
            return Tag::Any;
        }
        match tag.strip_prefix("tag:yaml.org,2002:").unwrap_or("") {
            "null" => Tag::Null,
            "bool" => Tag::Bool,
            "int" => Tag::Int,
            "float" => Tag::Float,
            "str" => Tag::Str,
            "timestamp" => Tag::Timestamp,
            "binary" => Tag::Binary,
            "merge" => Tag::Merge,
            "value" => Tag::Default,
            "seq" => Tag::Seq,
            "omap" => Tag::Omap,
            "pairs" => Tag::Pairs,
            "map" => Tag::Map,
            "set" => Tag::Set,
            _ => Tag::Unknown,
        }
    }

    /// The type that a plain scalar has without being told: the rules are YAML 1.1's, as PyYAML has them.
    pub(super) fn of_plain(text: &str) -> Tag {
        match text.as_bytes().first() {
            None => Tag::Null,
            Some(b'~' | b'n' | b'N' | b'y' | b'Y' | b't' | b'T' | b'f' | b'F' | b'o' | b'O') => match text {
                "~" | "null" | "Null" | "NULL" => Tag::Null,
                "yes" | "Yes" | "YES" | "no" | "No" | "NO" | "true" | "True" | "TRUE" | "false" | "False" | "FALSE"
                | "on" | "On" | "ON" | "off" | "Off" | "OFF" => Tag::Bool,
                _ => Tag::Str,
            },
            Some(b'<') if text == "<<" => Tag::Merge,
            Some(b'=') if text == "=" => Tag::Default,
            Some(b'+' | b'-' | b'.' | b'0'..=b'9') => of_number(text),
            Some(_) => Tag::Str,
        }
    }
}

impl Tag {
    /// The type that a scalar in any style has by the tag `!`. PyYAML overlooks a last line break, and then
    /// mostly fails: that is no type at all.
    pub(super) fn of_any(text: &str) -> Tag {
        match text.strip_suffix('\n') {
            Some(line) if Tag::of_plain(line) != Tag::Str => Tag::Unknown,
            _ => Tag::of_plain(text),
        }
    }
}

fn of_number(text: &str) -> Tag {
    if is_float(text) {
        Tag::Float
    } else if is_int(text) {
        Tag::Int
    } else if is_timestamp(text) {
        Tag::Timestamp
    } else {
        Tag::Str
    }
}

/// What is left of a text that is being matched.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    /// Skips bytes of the set, and returns how many.
    fn skip(&mut self, is_in_set: fn(u8) -> bool) -> usize {
        let length = self.0.iter().take_while(|&&byte| is_in_set(byte)).count();
        self.0 = &self.0[length..];
        length
    }

    /// Skips one byte, if it is one of `bytes`.
    fn one(&mut self, bytes: &[u8]) -> bool {
        let there = self.0.first().is_some_and(|byte| bytes.contains(byte));
        self.0 = &self.0[usize::from(there)..];
        there
    }

    /// Skips digits if there are at least `least` and at most `most`.
    fn digits(&mut self, least: usize, most: usize) -> bool {
        (least..=most).contains(&self.skip(|byte| byte.is_ascii_digit()))
    }

    /// Skips `:` with a number below 60 after it, again and again; returns how often, and nothing if a number is larger.
    fn sexagesimal(&mut self) -> Option<usize> {
        let mut count = 0;
        while self.one(b":") {
            let digits = self.0;
            match self.skip(|byte| byte.is_ascii_digit()) {
                1 => {}
                2 if digits[0] <= b'5' => {}
                _ => return None,
            }
            count += 1;
        }
        Some(count)
    }

    /// Skips an exponent, if one is there. Its sign must be.
    fn exponent(&mut self) -> bool {
        !self.one(b"eE") || (self.one(b"+-") && self.digits(1, usize::MAX))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn is_digit_or_underscore(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'_'
}

fn is_float(text: &str) -> bool {
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let mut rest = Rest(text.as_bytes());
    let is_signed = rest.one(b"+-");
    if matches!(rest.0, b".inf" | b".Inf" | b".INF") {
        return true;
    }
    match rest.0 {
        [b'.', b'0'..=b'9', ..] if !is_signed => {
            rest.one(b".");
            rest.skip(is_digit_or_underscore);
            rest.exponent() && rest.is_empty()
        }
        [b'0'..=b'9', ..] => {
            rest.skip(is_digit_or_underscore);
            let Some(sexagesimal) = rest.sexagesimal() else { return false };
            if !rest.one(b".") {
                return false;
            }
            rest.skip(is_digit_or_underscore);
            (sexagesimal > 0 || rest.exponent()) && rest.is_empty()
        }
        _ => false,
    }
}

fn is_int(text: &str) -> bool {
    let mut rest = Rest(text.as_bytes());
    rest.one(b"+-");
    match rest.0 {
        b"0" => true,
        [b'0', b'b', digits @ ..] => all(digits, |byte| matches!(byte, b'0' | b'1' | b'_')),
        [b'0', b'x', digits @ ..] => all(digits, |byte| byte.is_ascii_hexdigit() || byte == b'_'),
        [b'0', digits @ ..] => all(digits, |byte| matches!(byte, b'0'..=b'7' | b'_')),
        [b'1'..=b'9', ..] => {
            rest.skip(is_digit_or_underscore);
            rest.sexagesimal().is_some() && rest.is_empty()
        }
        _ => false,
    }
}

fn all(bytes: &[u8], is_in_set: fn(u8) -> bool) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_in_set(byte))
}

fn is_timestamp(text: &str) -> bool {
    let is_date = |form: &[u8], bytes: &[u8]| {
        form.len() == bytes.len()
            && form
                .iter()
                .zip(bytes)
                .all(|(form, byte)| if *form == b'0' { byte.is_ascii_digit() } else { form == byte })
    };
    if is_date(b"0000-00-00", text.as_bytes()) {
        return true;
    }
    let mut rest = Rest(text.as_bytes());
    let is_day = rest.digits(4, 4) && rest.one(b"-") && rest.digits(1, 2) && rest.one(b"-") && rest.digits(1, 2);
    let is_separated = is_day && (rest.one(b"Tt") || rest.skip(|byte| matches!(byte, b' ' | b'\t')) > 0);
    let is_time = is_separated && rest.digits(1, 2) && rest.one(b":") && rest.digits(2, 2);
    if !(is_time && rest.one(b":") && rest.digits(2, 2)) {
        return false;
    }
    if rest.one(b".") {
        rest.skip(|byte| byte.is_ascii_digit());
    }
    rest.skip(|byte| matches!(byte, b' ' | b'\t'));
    let has_zone = rest.one(b"Z") || !rest.one(b"+-") || (rest.digits(1, 2) && (!rest.one(b":") || rest.digits(2, 2)));
    has_zone && rest.is_empty()
}
