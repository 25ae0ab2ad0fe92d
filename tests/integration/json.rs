//! A reader of RFC 8259 that shares nothing with the one under test. It fails the test on anything that is not JSON.

use std::ops::Index;

#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(f64),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub fn parse(text: &str) -> Json {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value();
        reader.blank();
        assert_eq!(reader.at, text.len(), "nothing follows the value: {text:?}");
        value
    }

    /// The text of a string.
    #[track_caller]
    pub fn text(&self) -> String {
        match self {
            Json::String(text) => text.clone(),
            other => panic!("a string was expected: {other:?}"),
        }
    }

    /// The value of a number.
    #[track_caller]
    pub fn number(&self) -> f64 {
        match self {
            Json::Number(number) => *number,
            other => panic!("a number was expected: {other:?}"),
        }
    }

    /// The elements of an array, as strings.
    #[track_caller]
    pub fn texts(&self) -> Vec<String> {
        match self {
            Json::Array(elements) => elements.iter().map(Json::text).collect(),
            other => panic!("an array was expected: {other:?}"),
        }
    }

    pub fn has(&self, key: &str) -> bool {
        self[key] != Json::Null
    }
}

/// The value of a key, the last one if there are several; null when there is none.
impl Index<&str> for Json {
    type Output = Json;

    fn index(&self, key: &str) -> &Json {
        match self {
            Json::Object(entries) => {
                entries.iter().rev().find(|(name, _)| name == key).map_or(&Json::Null, |(_, value)| value)
            }
            _ => &Json::Null,
        }
    }
}

impl PartialEq<&str> for Json {
    fn eq(&self, other: &&str) -> bool {
        matches!(self, Json::String(text) if text == other)
    }
}

impl PartialEq<f64> for Json {
    fn eq(&self, other: &f64) -> bool {
        matches!(self, Json::Number(number) if number == other)
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn blank(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn takes(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    #[track_caller]
    fn wants(&mut self, token: &str) {
        assert!(self.takes(token), "{token:?} was expected at byte {} of {:?}", self.at, self.text);
    }

    fn value(&mut self) -> Json {
        self.blank();
        match self.rest().chars().next() {
            Some('{') => Json::Object(self.members("{", "}", |reader| {
                let key = reader.string();
                reader.blank();
                reader.wants(":");
                (key, reader.value())
            })),
            Some('[') => Json::Array(self.members("[", "]", Self::value)),
            Some('"') => Json::String(self.string()),
            _ if self.takes("null") => Json::Null,
            _ if self.takes("true") => Json::Bool(true),
            _ if self.takes("false") => Json::Bool(false),
            _ => self.number(),
        }
    }

    fn members<T>(&mut self, open: &str, close: &str, member: impl Fn(&mut Self) -> T) -> Vec<T> {
        let mut members = Vec::new();
        self.wants(open);
        self.blank();
        if self.takes(close) {
            return members;
        }
        loop {
            self.blank();
            members.push(member(self));
            self.blank();
            if self.takes(close) {
                return members;
            }
            self.wants(",");
        }
    }

    fn number(&mut self) -> Json {
        let rest = self.rest();
        let length = rest.find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')).unwrap_or(rest.len());
        let digits = &rest[..length];
        let unsigned = digits.strip_prefix('-').unwrap_or(digits);
        let is_number = unsigned.starts_with(|c: char| c.is_ascii_digit())
            && unsigned.ends_with(|c: char| c.is_ascii_digit())
            && !(unsigned.starts_with('0') && unsigned[1..].starts_with(|c: char| c.is_ascii_digit()));
        let number = digits.parse().ok().filter(|_| is_number);
        let number = number.unwrap_or_else(|| panic!("a value was expected at byte {} of {:?}", self.at, self.text));
        self.at += length;
        Json::Number(number)
    }

    fn string(&mut self) -> String {
        let mut units: Vec<u16> = Vec::new();
        self.wants("\"");
        loop {
            let next = self.rest().chars().next().expect("the string ends");
            self.at += next.len_utf8();
            match next {
                '"' => return String::from_utf16(&units).expect("surrogates come in pairs"),
                '\\' => units.push(self.escape()),
                control if control < ' ' => panic!("control characters are escaped: {:?}", self.text),
                other => units.extend_from_slice(other.encode_utf16(&mut [0; 2])),
            }
        }
    }

    fn escape(&mut self) -> u16 {
        let escape = self.rest().chars().next().expect("the escape ends");
        self.at += escape.len_utf8();
        match escape {
            '"' | '\\' | '/' => escape as u16,
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'u' => {
                let digits = self.rest().get(..4).expect("four digits");
                let unit = u16::from_str_radix(digits, 16).expect("hexadecimal digits");
                self.at += 4;
                unit
            }
            other => panic!("no escape of JSON: {other:?} in {:?}", self.text),
        }
    }
}
