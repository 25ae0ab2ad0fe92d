//! Bytes of any kind as the inside of a JSON string, and as one line of text. Pure.

use crate::columns::columns_of;
use crate::lines::copy::{self, Special};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// A byte becomes so many at most: a control character, `\u0000`.
pub const JSON_GROWTH: usize = 6;

/// Appends `bytes` as the inside of a JSON string, as [`json_into`] has it.
pub fn json(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + JSON_GROWTH * bytes.len(), 0);
    let length = json_into(bytes, &mut out[start..]);
    out.truncate(start + length);
}

/// Writes `bytes` as the inside of a JSON string (RFC 8259, section 7) and returns its length: escapes only what must
/// be, and what is not UTF-8 becomes U+FFFD. `to` is [`JSON_GROWTH`] times as long as `bytes`, or longer.
pub fn json_into(bytes: &[u8], to: &mut [u8]) -> usize {
    let (mut rest, mut total) = (bytes, 0);
    loop {
        let plain = copy::until::<Special>(rest, &mut to[total..]);
        total += plain;
        rest = &rest[plain..];
        let Some(&byte) = rest.first() else { return total };
        if byte < 0x80 {
            let (escaped, length) = ascii(byte);
            to[total..][..JSON_GROWTH].copy_from_slice(&escaped);
            total += length;
            rest = &rest[1..];
        } else {
            let end = rest.iter().position(u8::is_ascii).unwrap_or(rest.len());
            for chunk in rest[..end].utf8_chunks() {
                let replacement = if chunk.invalid().is_empty() { "" } else { "\u{fffd}" };
                for part in [chunk.valid(), replacement] {
                    to[total..][..part.len()].copy_from_slice(part.as_bytes());
                    total += part.len();
                }
            }
            rest = &rest[end..];
        }
    }
}

/// The escape of an ASCII character, and how many bytes of the array it has.
fn ascii(byte: u8) -> ([u8; JSON_GROWTH], usize) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let letter = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => return ([b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]], 6),
    };
    ([b'\\', letter, 0, 0, 0, 0], 2)
}

/// Appends prose so that it stays on one line and shows all that is in it: what cannot be seen (controls, line
/// separators, spaces but the plain one, marks of direction, what has no width) in the notation of JSON.
pub fn one_line(bytes: &[u8], out: &mut Vec<u8>) {
    escaped(bytes, &[], false, out);
}

/// Appends a name, of a file or a word of a command, so that no two look the same and none ends a label: as
/// [`one_line`], and `\` and `]` behind a `\`. Bytes that are no character are kept but for a terminal, which shows all
/// of them alike.
pub fn name(bytes: &[u8], is_for_terminal: bool, out: &mut Vec<u8>) {
    escaped(bytes, b"\\]", is_for_terminal, out);
}

/// A name, or a word of the command line, for a message: as [`name`], but it is a backtick that it cannot end.
pub fn quoted(name: impl AsRef<OsStr>) -> String {
    let mut out = Vec::new();
    escaped(name.as_ref().as_bytes(), b"\\`", true, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

fn escaped(bytes: &[u8], marked: &[u8], is_all_shown: bool, out: &mut Vec<u8>) {
    let start = out.len();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match u8::try_from(character) {
                Ok(byte) if marked.contains(&byte) => out.extend_from_slice(&[b'\\', byte]),
                Ok(byte @ (0..0x20 | 0x7f)) => {
                    let (escaped, length) = ascii(byte);
                    out.extend_from_slice(&escaped[..length]);
                }
                // The first one must not change what stands before the name.
                _ if is_unseen(character) || out.len() == start && columns_of(character) == 0 => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
                    }
                }
                _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        for &byte in chunk.invalid() {
            // Up to 0x9f it is a control character to a terminal that does not read UTF-8.
            if is_all_shown || byte <= 0x9f {
                out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
            } else {
                out.push(byte);
            }
        }
    }
}

/// Whether a character shows nothing, looks like a space, or changes how others look (Unicode: Cc, Zs, Zl, Zp,
/// Default_Ignorable_Code_Point, and what is blank by its name).
fn is_unseen(character: char) -> bool {
    match character {
        ' ' => false,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' => true,
        '\u{2800}' | '\u{13430}'..='\u{1343f}' | '\u{16fe4}' | '\u{1d159}' => true,
        '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' => true,
        '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}' => true,
        _ => character.is_control() || character.is_whitespace(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        json(bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn any_bytes_become_the_inside_of_a_json_string() {
        for (bytes, expected) in [
            (&b"plain"[..], "plain"),
            (b"a\"b\\c", "a\\\"b\\\\c"),
            (b"\0\x01\t\r\x1f\x7f", "\\u0000\\u0001\\t\\r\\u001f\x7f"),
            ("gr\u{fc}n \u{1f600}".as_bytes(), "gr\u{fc}n \u{1f600}"),
            (b"a\xffb", "a\u{fffd}b"),
            (b"\xe2\x82", "\u{fffd}"),
            (b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}"),
            (b"\xc3\xa9\xff\xc3\xa9x", "\u{e9}\u{fffd}\u{e9}x"),
            (b"", ""),
        ] {
            assert_eq!(escaped(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn names_show_all_that_is_in_them() {
        for (bytes, prose, of_name) in [
            (&b"all_x.sh"[..], "all_x.sh", "all_x.sh"),
            (b"two words", "two words", "two words"),
            (b"a\nb", "a\\nb", "a\\nb"),
            (b"a\\nb", "a\\nb", "a\\\\nb"),
            (b"x] [launcher] y", "x] [launcher] y", "x\\] [launcher\\] y"),
            (b"\x1b[2J\x7f", "\\u001b[2J\\u007f", "\\u001b[2J\\u007f"),
            ("\u{85}\u{9b}".as_bytes(), "\\u0085\\u009b", "\\u0085\\u009b"),
            (b"\x9b31m", "\\x9b31m", "\\x9b31m"),
            ("\u{2028}\u{202e}\u{200b}\u{feff}\u{a0}".as_bytes(), "\\u2028\\u202e\\u200b\\ufeff\\u00a0", ""),
            ("\u{2800}\u{1d159}".as_bytes(), "\\u2800\\ud834\\udd59", ""),
            ("\u{301}e\u{301}".as_bytes(), "\\u0301e\u{301}", ""),
            ("\u{e0041}".as_bytes(), "\\udb40\\udc41", ""),
            ("gr\u{fc}n \u{76e3}\u{1f680}".as_bytes(), "gr\u{fc}n \u{76e3}\u{1f680}", ""),
        ] {
            let (mut line, mut shown) = (Vec::new(), Vec::new());
            one_line(bytes, &mut line);
            name(bytes, true, &mut shown);
            assert_eq!(String::from_utf8(line).unwrap(), prose, "{bytes:?}");
            assert_eq!(
                String::from_utf8(shown).unwrap(),
                if of_name.is_empty() { prose } else { of_name },
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn bytes_that_are_no_character_are_kept_but_for_who_cannot_tell_them_apart() {
        for (is_for_terminal, expected) in [(false, &b"a\xff\xed\xa0\\x80"[..]), (true, b"a\\xff\\xed\\xa0\\x80")] {
            let mut shown = Vec::new();
            name(b"a\xff\xed\xa0\x80", is_for_terminal, &mut shown);
            assert_eq!(shown, expected);
        }
        assert_eq!(quoted(OsStr::from_bytes(b"a`\xff\\n\n]")), "a\\`\\xff\\\\n\\n]");
    }
}
