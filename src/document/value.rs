//! The value that both notations are read into, and the error that names a place in a document.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

/// A document, or a part of one, as JSON can carry it. What stands in the text as it is stays there.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    /// A number as JSON writes it: kept as text, so that no digit is lost.
    Number(Cow<'a, str>),
    String(Cow<'a, str>),
    Array(Vec<Value<'a>>),
    /// Members in order of first appearance, each name once.
    Object(Members<'a>),
}

/// One step from a value into what it holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step<'p> {
    Member(&'p str),
    Element(usize),
}

/// What of a member is looked for. Of an element it is always the value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    Key,
    Value,
}

/// The members of an object. While they are collected a name may still be there twice.
pub type Members<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

impl<'a> Value<'a> {
    /// The member called `name`, where this is an object that has one.
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        match self {
            Value::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The value to which a path leads.
    pub fn at(&self, path: &[Step<'_>]) -> Option<&Value<'a>> {
        path.iter().try_fold(self, |value, step| match (value, step) {
            (value, Step::Member(name)) => value.get(name),
            (Value::Array(elements), Step::Element(index)) => elements.get(*index),
            (_, Step::Element(_)) => None,
        })
    }

    /// Whether Python holds it to be nothing: what LMCache takes for a setting that is not set.
    pub fn is_nothing(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Bool(is_true) => !is_true,
            Value::Number(text) => !text.split(['e', 'E']).next().is_some_and(|digits| digits.contains(NOT_ZERO)),
            Value::String(text) => text.is_empty(),
            Value::Array(elements) => elements.is_empty(),
            Value::Object(members) => members.is_empty(),
        }
    }

    pub fn is_collection(&self) -> bool {
        matches!(self, Value::Array(_) | Value::Object(_))
    }

    /// What kind of value it is, for a message that must not quote it.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "a mapping",
        }
    }

    /// The same value, independent of the text that it was read from.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(is_true) => Value::Bool(is_true),
            Value::Number(text) => Value::Number(text.into_owned().into()),
            Value::String(text) => Value::String(text.into_owned().into()),
            Value::Array(elements) => Value::Array(elements.into_iter().map(Value::into_owned).collect()),
            Value::Object(members) => Value::Object(
                members.into_iter().map(|(name, value)| (name.into_owned().into(), value.into_owned())).collect(),
            ),
        }
    }
}

/// What makes a number more than nothing: a digit that counts, or a letter of `NaN` and `Infinity`.
const NOT_ZERO: fn(char) -> bool = |char| matches!(char, '1'..='9' | 'N' | 'I');

/// Where a document stops making sense, and what was expected there.
#[derive(Clone, Debug, PartialEq)]
pub struct Malformed {
    /// Bytes before the place.
    pub offset: usize,
    /// Line of the place, from 1.
    pub line: usize,
    /// Column of the place in characters, from 1.
    pub column: usize,
    /// What is wrong, and what was expected: a clause without a period.
    pub message: String,
}

impl Malformed {
    /// `message` about the byte at `offset` of `text`.
    #[cold]
    pub fn at(text: &[u8], offset: usize, message: &str) -> Malformed {
        let mut place = Place::START;
        place.move_to(text, offset);
        place.says(message)
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A place that moves forward through a text, so that many places cost one pass.
pub(super) struct Place {
    offset: usize,
    line: usize,
    column: usize,
}

impl Place {
    pub(super) const START: Place = Place { offset: 0, line: 1, column: 1 };

    /// Moves on to `offset`, which must not lie behind.
    pub(super) fn move_to(&mut self, text: &[u8], offset: usize) {
        while self.offset < offset.min(text.len()) {
            // A byte order mark is no character of the first line.
            let byte = text[self.offset];
            self.offset += 1;
            if byte == b'\n' || (byte == b'\r' && text.get(self.offset) != Some(&b'\n')) {
                self.line += 1;
                self.column = 1;
            } else if byte & 0xC0 != 0x80 && !(self.offset == 1 && byte == 0xEF) {
                self.column += 1;
            }
        }
    }

    pub(super) fn says(&self, message: &str) -> Malformed {
        Malformed { offset: self.offset, line: self.line, column: self.column, message: message.to_owned() }
    }
}

/// A member whose name was there before: (its index, the index of the first of that name).
pub(super) type Repetition = (usize, usize);

/// All repetitions, in order.
pub(super) fn repetitions(members: &Members<'_>) -> Vec<Repetition> {
    let mut found = Vec::new();
    if members.len() <= 16 {
        for (index, (name, _)) in members.iter().enumerate() {
            if let Some(first) = members[..index].iter().position(|(earlier, _)| earlier == name) {
                found.push((index, first));
            }
        }
    } else {
        let mut first_of = HashMap::with_capacity(members.len());
        for (index, (name, _)) in members.iter().enumerate() {
            let first = *first_of.entry(&**name).or_insert(index);
            if first != index {
                found.push((index, first));
            }
        }
    }
    found
}

/// Lets the last value of a name win, at the place of its first.
pub(super) fn let_last_win(members: &mut Members<'_>, repetitions: &[Repetition]) {
    if repetitions.is_empty() {
        return;
    }
    for &(index, first) in repetitions {
        let (earlier, later) = members.split_at_mut(index);
        std::mem::swap(&mut earlier[first].1, &mut later[0].1);
    }
    let mut index = 0;
    let mut rest = repetitions;
    members.retain(|_| {
        let repeated = matches!(rest.first(), Some((next, _)) if *next == index);
        if repeated {
            rest = &rest[1..];
        }
        index += 1;
        !repeated
    });
}
