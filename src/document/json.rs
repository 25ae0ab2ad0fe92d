//! JSON as RFC 8259 defines it.

#[cfg(test)]
mod tests;

use super::bytes::{ByteSet, byte_set};
use super::value::{let_last_win, repetitions};
use super::{Malformed, Members, Part, Step, Value};
use std::borrow::Cow;

/// Arrays and objects inside each other, at most: far beyond any configuration, far from the end of a small stack.
const MAX_DEPTH: usize = 512;

/// Reads one JSON document. A byte order mark is skipped; where a name is repeated, the last one counts.
///
/// # Errors
/// The place of the first byte that RFC 8259 does not allow.
pub fn parse(text: &[u8]) -> Result<Value<'_>, Malformed> {
    read(text, false)
}

/// Reads what Python's `json.dumps` wrote: JSON and, as numbers, `NaN`, `Infinity` and `-Infinity`. LMCache's own
/// configuration has such a number.
///
/// # Errors
/// As [`parse`], for anything else.
pub fn parse_python(text: &[u8]) -> Result<Value<'_>, Malformed> {
    read(text, true)
}

/// Where a part of the value at `path` stands in a text that one of the two has read; where there is no such value, the
/// last one on the way to it.
pub fn offset(text: &[u8], path: &[Step<'_>], part: Part) -> usize {
    let text = std::str::from_utf8(text).unwrap_or_default();
    let start = if text.starts_with('\u{FEFF}') { 3 } else { 0 };
    let mut reader = Reader { text, position: start, is_python: true };
    reader.skip_space();
    for (index, &step) in path.iter().enumerate() {
        let Ok(Some((key, value))) = reader.find(step) else { break };
        reader.position = if part == Part::Key && index + 1 == path.len() { key } else { value };
    }
    reader.position
}

fn read(bytes: &[u8], is_python: bool) -> Result<Value<'_>, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|error| Malformed::at(bytes, error.valid_up_to(), "not UTF-8"))?;
    let start = if text.starts_with('\u{FEFF}') { 3 } else { 0 };
    let mut reader = Reader { text, position: start, is_python };
    let value = reader.value(0)?;
    reader.skip_space();
    match reader.peek() {
        None => Ok(value),
        Some(_) => reader.refuse("expected the end of the document"),
    }
}

struct Reader<'a> {
    text: &'a str,
    position: usize,
    is_python: bool,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.position..]
    }

    fn refuse<T>(&self, message: &str) -> Result<T, Malformed> {
        Err(Malformed::at(self.text.as_bytes(), self.position, message))
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.position += 1;
        }
    }

    /// Skips `byte` and what space surrounds it, where it comes next.
    fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        let there = self.peek() == Some(byte);
        if there {
            self.position += 1;
            self.skip_space();
        }
        there
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, Malformed> {
        self.skip_space();
        match self.peek() {
            Some(b'{' | b'[') if depth == MAX_DEPTH => self.refuse("nested too deeply: at most 512 levels"),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(b'-' | b'N' | b'I') if self.is_python && self.constant().is_some() => self.python_number(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(byte) => self.refuse(self.no_value(byte)),
            None => self.refuse("expected a value, found the end of the document"),
        }
    }

    /// What to write instead of what begins with this byte.
    #[cold]
    fn no_value(&self, byte: u8) -> &'static str {
        let before = self.text.as_bytes()[..self.position].trim_ascii_end().last();
        match byte {
            b']' | b'}' if before == Some(&b',') => "expected a value: no comma comes before the end",
            b'\'' => "expected a value: strings have double quotes",
            b'/' | b'#' => "expected a value: JSON has no comments",
            b'T' | b'F' | b'N' => "expected a value: JSON writes true, false and null",
            _ => "expected a value",
        }
    }

    /// The number that Python writes and JSON has not, where one comes next.
    fn constant(&self) -> Option<&'static str> {
        ["NaN", "Infinity", "-Infinity"].into_iter().find(|word| self.rest().starts_with(word.as_bytes()))
    }

    fn python_number(&mut self) -> Result<Value<'a>, Malformed> {
        let word = self.constant().unwrap_or_default();
        self.word(word, Value::Number(word.into()))
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, Malformed> {
        if !self.rest().starts_with(word.as_bytes()) {
            return self.refuse("expected a value");
        }
        self.position += word.len();
        Ok(value)
    }

    fn array(&mut self, depth: usize) -> Result<Value<'a>, Malformed> {
        let mut elements = Vec::new();
        self.take(b'[');
        if self.take(b']') {
            return Ok(Value::Array(elements));
        }
        loop {
            elements.push(self.value(depth)?);
            if !self.take(b',') {
                break;
            }
        }
        if !self.take(b']') {
            return self.refuse("expected `,` or `]`");
        }
        Ok(Value::Array(elements))
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, Malformed> {
        let mut members = Members::new();
        self.take(b'{');
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            match self.peek() {
                Some(b'"') => {}
                Some(b'}') => return self.refuse("expected a name in double quotes: no comma comes before the end"),
                _ => return self.refuse("expected a name in double quotes"),
            }
            let name = self.string()?;
            if !self.take(b':') {
                return self.refuse("expected `:`");
            }
            members.push((name, self.value(depth)?));
            if !self.take(b',') {
                break;
            }
        }
        if !self.take(b'}') {
            return self.refuse("expected `,` or `}`");
        }
        let repeated = repetitions(&members);
        let_last_win(&mut members, &repeated);
        Ok(Value::Object(members))
    }

    /// Where the key and the value are to which a step leads from the value that comes next, without moving.
    fn find(&self, step: Step<'_>) -> Result<Option<(usize, usize)>, Malformed> {
        let mut reader = Reader { ..*self };
        let (open, close) = if matches!(step, Step::Member(_)) { (b'{', b'}') } else { (b'[', b']') };
        let mut found = None;
        if !reader.take(open) || reader.take(close) {
            return Ok(found);
        }
        for index in 0.. {
            let key = reader.position;
            let is_it = match step {
                Step::Element(wanted) => wanted == index,
                Step::Member(wanted) => {
                    let is_it = reader.string()? == wanted;
                    reader.take(b':');
                    is_it
                }
            };
            if is_it {
                found = Some((key, reader.position));
            }
            reader.value(0)?;
            if !reader.take(b',') {
                break;
            }
        }
        Ok(found)
    }

    fn number(&mut self) -> Result<Value<'a>, Malformed> {
        let start = self.position;
        if self.peek() == Some(b'-') {
            self.position += 1;
        }
        if self.peek() == Some(b'0') {
            self.position += 1;
            if matches!(self.peek(), Some(b'0'..=b'9')) {
                return self.refuse("a number must not begin with 0");
            }
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.position += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.position += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.position += 1;
            }
            self.digits()?;
        }
        Ok(Value::Number(self.text[start..self.position].into()))
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.position;
        while let Some(b'0'..=b'9') = self.peek() {
            self.position += 1;
        }
        if self.position == start { self.refuse("expected a digit") } else { Ok(()) }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let mut string = Cow::Borrowed("");
        self.position += 1;
        loop {
            let start = self.position;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..=0x1F)) {
                self.position += 1;
            }
            string += &self.text[start..self.position];
            match self.peek() {
                Some(b'"') => {
                    self.position += 1;
                    return Ok(string);
                }
                Some(b'\\') => string.to_mut().push(self.escape()?),
                Some(_) => return self.refuse("a control character in a string must be written as an escape"),
                None => return self.refuse("expected `\"`, found the end of the document"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Malformed> {
        let start = self.position;
        self.position += 2;
        Ok(match self.text.as_bytes().get(start + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{C}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let high = self.code_unit()?;
                let paired = matches!(high, 0xD800..=0xDBFF) && self.rest().starts_with(b"\\u");
                let code = if paired {
                    self.position += 2;
                    let low = self.code_unit()?;
                    if matches!(low, 0xDC00..=0xDFFF) {
                        0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00)
                    } else {
                        high
                    }
                } else {
                    high
                };
                match char::from_u32(code) {
                    Some(char) => char,
                    None => {
                        self.position = start;
                        return self.refuse("half of a surrogate pair stands for no character");
                    }
                }
            }
            _ => {
                self.position = start;
                return self.refuse("expected one of the escapes \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX");
            }
        })
    }

    fn code_unit(&mut self) -> Result<u32, Malformed> {
        let mut code = 0;
        for _ in 0..4 {
            match self.peek().and_then(|byte| char::from(byte).to_digit(16)) {
                Some(digit) => code = code * 16 + digit,
                None => return self.refuse("expected four hexadecimal digits"),
            }
            self.position += 1;
        }
        Ok(code)
    }
}

/// Appends `value` to `out`, compact and always valid.
pub fn write(value: &Value<'_>, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(text) => out.push_str(text),
        Value::String(text) => write_string(text, out),
        Value::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(element, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (index, (name, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(name, out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
    }
}

/// Appends `text` as a JSON string, with no escape but those it needs.
pub fn write_string(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    static ESCAPED: ByteSet = byte_set!(b'"' | b'\\' | 0..=0x1F);
    out.push('"');
    let mut rest = text;
    while let Some(length) = ESCAPED.first_in(rest.as_bytes()) {
        let byte = rest.as_bytes()[length];
        out.push_str(&rest[..length]);
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ => {
                out.push_str("\\u00");
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
        rest = &rest[length + 1..];
    }
    out.push_str(rest);
    out.push('"');
}
