//! The value that both notations are read into, and the error that names a place in a document.

use std::fmt;

/// A document, or a part of one, as JSON can carry it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// A number as JSON writes it: kept as text, so that no digit is lost.
    Number(String),
    String(String),
    Array(Vec<Value>),
    /// Members in order of first appearance, each name once.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// The member called `name`, where this is an object that has one.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }
}

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

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
