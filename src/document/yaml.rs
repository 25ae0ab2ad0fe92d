//! YAML as PyYAML's safe loader reads it: equal to it, or refused with a place.
//!
//! From bytes to values in four steps: `scanner` makes tokens, `composer` nodes, `constructor` values.

mod cause;
mod composer;
mod constructor;
mod cursor;
mod directive;
mod float;
mod node;
mod number;
mod scalar;
mod scanner;
#[cfg(test)]
mod tests;
mod token;
mod tree;

use super::bytes::{ByteSet, byte_set};
use super::value::Place;
use super::{Malformed, Value};
use constructor::Constructor;
pub use tree::Tree;

/// Collections inside each other, at most: as many as PyYAML reads before Python's stack ends.
const MAX_DEPTH: usize = 490;

/// The longest text: no byte makes more than two nodes, whose numbers have 32 bits.
const MAX_BYTES: usize = 1 << 30;

/// What a YAML file holds.
pub struct Document<'a> {
    /// The single document of the file; `Null` for an empty one.
    pub value: Value<'a>,
    /// What is legal but surely not meant: a key given twice.
    pub warnings: Vec<Malformed>,
    /// Where each value stands.
    pub tree: Tree<'a>,
}

/// What all the parts return. The error is boxed because results are passed around for every token.
type Result<T> = std::result::Result<T, Box<Malformed>>;

#[cold]
fn malformed(text: &str, offset: usize, message: &str) -> Box<Malformed> {
    Box::new(Malformed::at(text.as_bytes(), offset, message))
}

/// Reads one YAML document.
///
/// # Errors
/// The place where the file is not YAML, or holds what JSON cannot carry.
pub fn parse(text: &[u8]) -> std::result::Result<Document<'_>, Malformed> {
    let text = readable(text)?;
    read(text).map_err(|error| cause::of(text, *error))
}

fn read(text: &str) -> Result<Document<'_>> {
    let (nodes, root) = composer::compose(text)?;
    let Some(root) = root else {
        return Ok(Document { value: Value::Null, warnings: Vec::new(), tree: Tree { nodes, root } });
    };
    let mut constructor = Constructor::new(text, &nodes);
    let value = constructor.value(root, 0)?;
    let mut place = Place::START;
    let warnings = constructor.repeated().map(|offset| {
        place.move_to(text.as_bytes(), offset);
        place.says("this key was given before in the same mapping: the last value counts")
    });
    let warnings = warnings.collect();
    Ok(Document { value, warnings, tree: Tree { nodes, root: Some(root) } })
}

/// What is a control character, or begins one.
static SUSPECT: ByteSet = byte_set!(0..=8 | 11 | 12 | 14..=31 | 0x7F | 0xC2 | 0xEF);

/// The text, if it is UTF-8 and made of characters that YAML allows.
fn readable(text: &[u8]) -> std::result::Result<&str, Malformed> {
    if text.len() > MAX_BYTES {
        return Err(Malformed::at(text, 0, "more than 1 GiB"));
    }
    if text.starts_with(b"\xFF\xFE") || text.starts_with(b"\xFE\xFF") {
        return Err(Malformed::at(text, 0, "UTF-16: expected UTF-8"));
    }
    let string = match std::str::from_utf8(text) {
        Ok(string) => string,
        Err(error) => return Err(Malformed::at(text, error.valid_up_to(), "not UTF-8")),
    };
    let is_control = |&(offset, byte): &(usize, &u8)| SUSPECT.has(*byte) && is_control(*byte, &text[offset + 1..]);
    match text.iter().enumerate().find(is_control) {
        Some((offset, _)) => {
            Err(Malformed::at(text, offset, "a control character: expected an escape in double quotes"))
        }
        None => Ok(string),
    }
}

/// Do this byte and those after it make one of the characters that must not stand in a file?
fn is_control(byte: u8, rest: &[u8]) -> bool {
    match byte {
        b'\t' | b'\n' | b'\r' | 0x20..=0x7E => false,
        0..=0x1F | 0x7F => true,
        // U+0080 to U+009F, but for the line break among them.
        0xC2 => matches!(rest.first(), Some(0x80..=0x84 | 0x86..=0x9F)),
        // U+FFFE and U+FFFF.
        0xEF => matches!(rest, [0xBF, 0xBE | 0xBF, ..]),
        _ => false,
    }
}
