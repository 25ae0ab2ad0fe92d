//! Bytes of any kind as the inside of a JSON string, and as one line of text. Pure.

use crate::lines::copy::{self, Special};

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

/// Appends `bytes` so that they stay on one line: control characters in the notation of JSON, the rest as it is.
pub fn one_line(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        if byte < 0x20 || byte == 0x7f {
            let (escaped, length) = ascii(byte);
            out.extend_from_slice(&escaped[..length]);
        } else {
            out.push(byte);
        }
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
}
