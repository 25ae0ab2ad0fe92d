//! Directives (`%YAML`, `%TAG`) and tags (`!!str`): what both are made of are handles and URIs.

use std::borrow::Cow;

use super::Result;
use super::cursor::Cursor;
use super::token::Kind;

/// Scans the directive that begins here, with its line.
pub(super) fn directive<'a>(cursor: &mut Cursor<'a>) -> Result<Kind<'a>> {
    cursor.advance(1);
    let length = cursor.name_length(0);
    if length == 0 {
        return cursor.refuse("expected the name of a directive after `%`");
    }
    let name = cursor.take(length);
    if !cursor.is_space_or_end(0) {
        return cursor.refuse("the name of a directive is made of letters, digits, `-` and `_`");
    }
    let kind = match name {
        "YAML" => {
            cursor.skip_spaces();
            let major = number(cursor)?;
            if cursor.peek(0) != b'.' {
                return cursor.refuse("expected a version such as 1.1");
            }
            cursor.advance(1);
            let minor = number(cursor)?;
            if !cursor.is_space_or_end(0) {
                return cursor.refuse("expected the end of the version");
            }
            let version = (major.trim_start_matches('0'), minor.trim_start_matches('0'));
            Kind::YamlDirective { is_known: matches!(version, ("1", "1" | "2")) }
        }
        "TAG" => {
            cursor.skip_spaces();
            let handle = handle(cursor)?;
            if cursor.peek(0) != b' ' {
                return cursor.refuse("expected a space after the handle");
            }
            cursor.skip_spaces();
            let prefix = uri(cursor)?;
            if !cursor.is_space_or_end(0) {
                return cursor.refuse("expected the end of the prefix");
            }
            Kind::TagDirective { handle, prefix }
        }
        _ => return cursor.refuse("expected `%YAML` or `%TAG` before this"),
    };
    end_line(cursor)?;
    Ok(kind)
}

/// Moves over what may be left of a line: spaces, a comment, the line break.
pub(super) fn end_line(cursor: &mut Cursor<'_>) -> Result<()> {
    cursor.skip_spaces();
    cursor.skip_comment();
    if !cursor.is_line_end(0) {
        return cursor.refuse("expected a comment or the end of the line");
    }
    cursor.take_break();
    Ok(())
}

fn number<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str> {
    let mut length = 0;
    while cursor.peek(length).is_ascii_digit() {
        length += 1;
    }
    if length == 0 { cursor.refuse("expected a version such as 1.1") } else { Ok(cursor.take(length)) }
}

/// Scans the tag that begins here.
pub(super) fn tag<'a>(cursor: &mut Cursor<'a>) -> Result<Kind<'a>> {
    let (handle, suffix) = if cursor.peek(1) == b'<' {
        cursor.advance(2);
        let suffix = uri(cursor)?;
        if cursor.peek(0) != b'>' {
            return cursor.refuse("expected `>` at the end of the tag");
        }
        cursor.advance(1);
        (None, suffix)
    } else if cursor.is_blank_or_end(1) {
        cursor.advance(1);
        (None, Cow::Borrowed("!"))
    } else {
        let mut length = 1;
        while cursor.peek(length) != b'!' && !cursor.is_space_or_end(length) {
            length += 1;
        }
        let handle = if cursor.peek(length) == b'!' { handle(cursor)? } else { cursor.take(1) };
        (Some(handle), uri(cursor)?)
    };
    if !cursor.is_space_or_end(0) {
        return cursor.refuse("expected a space after the tag");
    }
    Ok(Kind::Tag { handle, suffix })
}

/// `!`, `!!` or `!name!`.
fn handle<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str> {
    if cursor.peek(0) != b'!' {
        return cursor.refuse("expected a handle that begins with `!`");
    }
    if cursor.peek(1) == b' ' {
        return Ok(cursor.take(1));
    }
    let length = 1 + cursor.name_length(1);
    if cursor.peek(length) != b'!' {
        cursor.advance(length);
        return cursor.refuse("expected `!` at the end of the handle");
    }
    Ok(cursor.take(length + 1))
}

fn uri<'a>(cursor: &mut Cursor<'a>) -> Result<Cow<'a, str>> {
    let mut length = 0;
    while is_in_uri(cursor.peek(length)) {
        length += 1;
    }
    if length == 0 {
        return cursor.refuse("expected a tag");
    }
    let raw = cursor.ahead(length);
    let decoded = if raw.contains('%') { decode(cursor, raw)?.into() } else { Cow::Borrowed(raw) };
    cursor.advance(length);
    Ok(decoded)
}

fn is_in_uri(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-;/?:@&=+$,_.!~*'()[]%".contains(&byte)
}

/// Replaces `%41` by `A`: escapes in a row are the bytes of UTF-8.
fn decode(cursor: &Cursor<'_>, raw: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = (rest.next().and_then(hex), rest.next().and_then(hex));
        match digits {
            (Some(high), Some(low)) => bytes.push(high * 16 + low),
            _ => return cursor.refuse("expected two hexadecimal digits after each `%` of the tag"),
        }
    }
    String::from_utf8(bytes).or_else(|_| cursor.refuse("the escapes of the tag are not UTF-8"))
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
