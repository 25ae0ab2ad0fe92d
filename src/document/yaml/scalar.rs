//! The text of scalars: plain, quoted, and in blocks. Folding is done here, types are not known.

use std::borrow::Cow;

use super::super::bytes::{ByteSet, byte_set};
use super::cursor::{Cursor, END};
use super::{Result, malformed};

/// Scans the plain scalar that begins here, inside a block collection at column `indent`.
/// Also says whether the position is now on a line after the scalar's last.
pub(super) fn plain<'a>(cursor: &mut Cursor<'a>, indent: isize, in_flow: bool) -> Result<(Cow<'a, str>, bool)> {
    let whole = cursor.text;
    let mut folded: Option<String> = None;
    // What follows `folded`: the part of the current line that surely belongs to the scalar.
    let (mut start, mut end) = (cursor.offset, cursor.offset);
    let mut separator: Option<Cow<'static, str>> = None;
    let mut on_new_line = false;
    while cursor.peek(0) != b'#' {
        let length = plain_length(cursor, in_flow);
        if in_flow && cursor.peek(length) == b':' && !cursor.is_blank_or_end(length + 1) {
            cursor.advance(length);
            return cursor.refuse("a `:` right before `,` or a bracket: expected a space between them");
        }
        if length == 0 {
            break;
        }
        if let Some(separator) = separator.take() {
            let text = folded.get_or_insert_default();
            text.push_str(&whole[start..end]);
            text.push_str(&separator);
            start = cursor.offset;
        }
        cursor.advance(length);
        end = cursor.offset;
        on_new_line = false;
        cursor.skip_spaces();
        if cursor.at_break() {
            on_new_line = true;
            separator = plain_breaks(cursor);
            if separator.is_none() {
                break;
            }
        } else if cursor.offset == end {
            break;
        }
        if !in_flow && cursor.column.cast_signed() <= indent {
            break;
        }
    }
    let text = match folded {
        Some(text) => (text + &whole[start..end]).into(),
        None => Cow::Borrowed(&whole[start..end]),
    };
    Ok((text, on_new_line))
}

/// Bytes up to what ends a plain scalar, or to the next blank.
fn plain_length(cursor: &Cursor<'_>, in_flow: bool) -> usize {
    static SPECIAL: ByteSet =
        byte_set!(b'\t' | b'\n' | b'\r' | b' ' | b',' | b':' | b'?' | b'[' | b']' | b'{' | b'}' | 0xC2 | 0xE2);
    let rest = cursor.rest();
    let mut length = 0;
    loop {
        length += SPECIAL.first_in(&rest[length..]).unwrap_or(rest.len() - length);
        let ends = match cursor.peek(length) {
            END | b' ' | b'\t' | b'\n' | b'\r' => true,
            0xC2 | 0xE2 => cursor.break_length(length) > 0,
            b':' => {
                cursor.is_blank_or_end(length + 1)
                    || (in_flow && matches!(cursor.peek(length + 1), b',' | b'[' | b']' | b'{' | b'}'))
            }
            b',' | b'?' | b'[' | b']' | b'{' | b'}' => in_flow,
            _ => false,
        };
        if ends {
            return length;
        }
        length += 1;
    }
}

/// Moves over the line breaks inside a plain scalar, and returns what they fold to; nothing if the document ends.
fn plain_breaks(cursor: &mut Cursor<'_>) -> Option<Cow<'static, str>> {
    let first = cursor.take_break();
    let mut more = String::new();
    while !cursor.at_document_marker() {
        cursor.skip_spaces();
        if !cursor.at_break() {
            return Some(fold(first, more));
        }
        more.push_str(cursor.take_break());
    }
    None
}

/// A single line break becomes a space; of several, the first goes away.
fn fold(first: &'static str, more: String) -> Cow<'static, str> {
    match (first, more.is_empty()) {
        ("\n", true) => " ".into(),
        ("\n", false) => more.into(),
        (first, _) => (first.to_owned() + &more).into(),
    }
}

/// Scans the scalar in quotes that begins here.
pub(super) fn quoted<'a>(cursor: &mut Cursor<'a>, quote: u8) -> Result<Cow<'a, str>> {
    let start = cursor.offset;
    let is_double = quote == b'"';
    cursor.advance(1);
    // Mostly the text stands there as it is.
    let length = quoted_length(cursor, is_double, false);
    if cursor.peek(length) == quote && (is_double || cursor.peek(length + 1) != quote) {
        let text = cursor.take(length);
        cursor.advance(1);
        return Ok(Cow::Borrowed(text));
    }
    let mut text = String::new();
    loop {
        text.push_str(cursor.take(quoted_length(cursor, is_double, true)));
        match cursor.peek(0) {
            b'\'' if !is_double && cursor.peek(1) == b'\'' => {
                text.push('\'');
                cursor.advance(2);
            }
            byte if byte == quote => {
                cursor.advance(1);
                return Ok(text.into());
            }
            b'\\' => escape(cursor, &mut text)?,
            END => {
                let message = if is_double { "expected a closing `\"`" } else { "expected a closing `'`" };
                return Err(malformed(cursor.text, start, message));
            }
            _ => quoted_spaces(cursor, &mut text)?,
        }
    }
}

/// Bytes that stand for themselves inside quotes.
fn quoted_length(cursor: &Cursor<'_>, is_double: bool, up_to_blank: bool) -> usize {
    static SPECIAL: ByteSet = byte_set!(b'\t' | b'\n' | b'\r' | b' ' | b'"' | b'\'' | b'\\' | 0xC2 | 0xE2);
    let rest = cursor.rest();
    let mut length = 0;
    loop {
        length += SPECIAL.first_in(&rest[length..]).unwrap_or(rest.len() - length);
        let ends = match cursor.peek(length) {
            END | b'\n' | b'\r' => true,
            b'"' | b'\\' => is_double,
            b'\'' => !is_double,
            b' ' | b'\t' => up_to_blank,
            0xC2 | 0xE2 => cursor.break_length(length) > 0,
            _ => false,
        };
        if ends {
            return length;
        }
        length += 1;
    }
}

/// Blanks inside a line are kept, those around line breaks are not.
fn quoted_spaces(cursor: &mut Cursor<'_>, text: &mut String) -> Result<()> {
    let blanks = cursor.take(blanks_length(cursor));
    if cursor.at_break() {
        let first = cursor.take_break();
        let mut more = String::new();
        quoted_breaks(cursor, &mut more)?;
        text.push_str(&fold(first, more));
    } else {
        text.push_str(blanks);
    }
    Ok(())
}

fn quoted_breaks(cursor: &mut Cursor<'_>, text: &mut String) -> Result<()> {
    loop {
        if cursor.at_document_marker() {
            return cursor.refuse("a document marker cannot be inside quotes: expected the closing quote");
        }
        cursor.advance(blanks_length(cursor));
        if !cursor.at_break() {
            return Ok(());
        }
        text.push_str(cursor.take_break());
    }
}

fn blanks_length(cursor: &Cursor<'_>) -> usize {
    let mut length = 0;
    while matches!(cursor.peek(length), b' ' | b'\t') {
        length += 1;
    }
    length
}

fn escape(cursor: &mut Cursor<'_>, text: &mut String) -> Result<()> {
    let char = match cursor.peek(1) {
        b'0' => '\0',
        b'a' => '\u{7}',
        b'b' => '\u{8}',
        b't' | b'\t' => '\t',
        b'n' => '\n',
        b'v' => '\u{B}',
        b'f' => '\u{C}',
        b'r' => '\r',
        b'e' => '\u{1B}',
        b' ' => ' ',
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'N' => '\u{85}',
        b'_' => '\u{A0}',
        b'L' => '\u{2028}',
        b'P' => '\u{2029}',
        b'x' => return code_escape(cursor, 2, text),
        b'u' => return code_escape(cursor, 4, text),
        b'U' => return code_escape(cursor, 8, text),
        _ if cursor.break_length(1) > 0 => {
            cursor.advance(1);
            cursor.take_break();
            return quoted_breaks(cursor, text);
        }
        _ => return cursor.refuse("not an escape of YAML: a backslash itself is written `\\\\`"),
    };
    text.push(char);
    cursor.advance(2);
    Ok(())
}

/// `\x`, `\u` and `\U`.
fn code_escape(cursor: &mut Cursor<'_>, digits: usize, text: &mut String) -> Result<()> {
    let Some(code) = hexadecimal(cursor, 2, digits) else {
        return cursor.refuse("expected two hexadecimal digits after `\\x`, four after `\\u`, eight after `\\U`");
    };
    match char::from_u32(code) {
        Some(char) => text.push(char),
        None => return cursor.refuse("this escape alone stands for no character: expected one such as `\\U0001F600`"),
    }
    cursor.advance(2 + digits);
    Ok(())
}

fn hexadecimal(cursor: &Cursor<'_>, ahead: usize, digits: usize) -> Option<u32> {
    let mut code = 0;
    for place in ahead..ahead + digits {
        code = code << 4 | char::from(cursor.peek(place)).to_digit(16)?;
    }
    Some(code)
}

/// Scans the literal (`|`) or folded (`>`) block that begins here, inside a block collection at column `indent`.
pub(super) fn block<'a>(cursor: &mut Cursor<'a>, style: u8, indent: isize) -> Result<Cow<'a, str>> {
    cursor.advance(1);
    let (chomping, increment) = block_header(cursor)?;
    super::directive::end_line(cursor)?;
    let least = (indent + 1).max(1).cast_unsigned();
    let mut breaks = String::new();
    let indent = match increment {
        Some(increment) => {
            block_breaks(cursor, least + increment - 1, &mut breaks);
            least + increment - 1
        }
        None => {
            let found = block_indentation(cursor, &mut breaks);
            if cursor.peek(0) == b'\t' {
                return cursor
                    .refuse("a tab cannot begin a block: expected spaces, or the indentation after the `|` or `>`");
            }
            found.max(least)
        }
    };
    let is_inside = |cursor: &Cursor<'_>| cursor.column == indent && cursor.peek(0) != END;
    let is_indented = |cursor: &Cursor<'_>| matches!(cursor.peek(0), b' ' | b'\t');
    let mut text = String::new();
    let mut line_break = "";
    while is_inside(cursor) {
        text.push_str(&breaks);
        let was_indented = is_indented(cursor);
        let start = cursor.offset;
        cursor.skip_line();
        text.push_str(&cursor.text[start..cursor.offset]);
        line_break = cursor.take_break();
        breaks.clear();
        block_breaks(cursor, indent, &mut breaks);
        if !is_inside(cursor) {
            break;
        }
        if style == b'>' && line_break == "\n" && !was_indented && !is_indented(cursor) {
            if breaks.is_empty() {
                text.push(' ');
            }
        } else {
            text.push_str(line_break);
        }
    }
    if chomping != b'-' {
        text.push_str(line_break);
    }
    if chomping == b'+' {
        text.push_str(&breaks);
    }
    Ok(text.into())
}

/// What is done with the last line breaks (`+`, `-` or neither), and the indentation where it is given.
fn block_header(cursor: &mut Cursor<'_>) -> Result<(u8, Option<usize>)> {
    let mut chomping = END;
    let mut increment = None;
    for _ in 0..2 {
        match cursor.peek(0) {
            sign @ (b'+' | b'-') if chomping == END => chomping = sign,
            digit @ b'1'..=b'9' if increment.is_none() => increment = Some(usize::from(digit - b'0')),
            _ => break,
        }
        cursor.advance(1);
    }
    if !cursor.is_space_or_end(0) {
        return cursor.refuse("expected `+`, `-`, an indentation from 1 to 9, or the end of the line");
    }
    Ok((chomping, increment))
}

/// Moves over empty lines to the first character of the block, and returns the largest indentation on the way.
fn block_indentation(cursor: &mut Cursor<'_>, breaks: &mut String) -> usize {
    let mut largest = 0;
    loop {
        cursor.skip_spaces();
        largest = largest.max(cursor.column);
        if !cursor.at_break() {
            return largest;
        }
        breaks.push_str(cursor.take_break());
    }
}

/// Moves over empty lines and over at most `indent` spaces of the line after them.
fn block_breaks(cursor: &mut Cursor<'_>, indent: usize, breaks: &mut String) {
    loop {
        while cursor.column < indent && cursor.peek(0) == b' ' {
            cursor.advance(1);
        }
        if !cursor.at_break() {
            return;
        }
        breaks.push_str(cursor.take_break());
    }
}
