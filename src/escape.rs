//! Bytes of any kind as the inside of a JSON string, and as one line of text. Pure.

/// Appends `bytes` as the inside of a JSON string (RFC 8259, section 7): escapes only what must be, and what is not
/// UTF-8 becomes U+FFFD.
pub fn json(bytes: &[u8], out: &mut Vec<u8>) {
    let mut rest = bytes;
    loop {
        let plain = rest.iter().position(|&byte| !is_plain(byte)).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..plain]);
        let Some(&byte) = rest.get(plain) else { return };
        rest = &rest[plain..];
        if byte < 0x80 {
            escape_ascii(byte, out);
            rest = &rest[1..];
        } else {
            let end = rest.iter().position(u8::is_ascii).unwrap_or(rest.len());
            for chunk in rest[..end].utf8_chunks() {
                out.extend_from_slice(chunk.valid().as_bytes());
                if !chunk.invalid().is_empty() {
                    out.extend_from_slice("\u{fffd}".as_bytes());
                }
            }
            rest = &rest[end..];
        }
    }
}

fn is_plain(byte: u8) -> bool {
    (0x20..0x80).contains(&byte) && byte != b'"' && byte != b'\\'
}

fn escape_ascii(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        }
    }
}

/// Appends `bytes` so that they stay on one line: control characters in the notation of JSON, the rest as it is.
pub fn one_line(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        if byte < 0x20 || byte == 0x7f {
            escape_ascii(byte, out);
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
