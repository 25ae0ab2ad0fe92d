//! How many columns a terminal gives to a text: two to a wide character, none to one that stands on another; and text
//! in lines of so many. Pure.

/// Characters of two columns: East Asian Width W and F (Unicode 14, UAX 11), gaps that nothing is assigned to included.
#[rustfmt::skip]
const WIDE: &[(u32, u32)] = &[
    (0x1100, 0x115f), (0x231a, 0x231b), (0x2329, 0x232a), (0x23e9, 0x23ec), (0x23f0, 0x23f0), (0x23f3, 0x23f3),
    (0x25fd, 0x25fe), (0x2614, 0x2615), (0x2648, 0x2653), (0x267f, 0x267f), (0x2693, 0x2693), (0x26a1, 0x26a1),
    (0x26aa, 0x26ab), (0x26bd, 0x26be), (0x26c4, 0x26c5), (0x26ce, 0x26ce), (0x26d4, 0x26d4), (0x26ea, 0x26ea),
    (0x26f2, 0x26f3), (0x26f5, 0x26f5), (0x26fa, 0x26fa), (0x26fd, 0x26fd), (0x2705, 0x2705), (0x270a, 0x270b),
    (0x2728, 0x2728), (0x274c, 0x274c), (0x274e, 0x274e), (0x2753, 0x2755), (0x2757, 0x2757), (0x2795, 0x2797),
    (0x27b0, 0x27b0), (0x27bf, 0x27bf), (0x2b1b, 0x2b1c), (0x2b50, 0x2b50), (0x2b55, 0x2b55), (0x2e80, 0x3029),
    (0x302e, 0x303e), (0x3041, 0x3096), (0x309b, 0x3247), (0x3250, 0x4dbf), (0x4e00, 0xa4c6), (0xa960, 0xa97c),
    (0xac00, 0xd7a3), (0xf900, 0xfad9), (0xfe10, 0xfe19), (0xfe30, 0xfe6b), (0xff01, 0xff60), (0xffe0, 0xffe6),
    (0x16fe0, 0x16fe3), (0x16ff0, 0x1b2fb), (0x1f004, 0x1f004), (0x1f0cf, 0x1f0cf), (0x1f18e, 0x1f18e),
    (0x1f191, 0x1f19a), (0x1f200, 0x1f320), (0x1f32d, 0x1f335), (0x1f337, 0x1f37c), (0x1f37e, 0x1f393),
    (0x1f3a0, 0x1f3ca), (0x1f3cf, 0x1f3d3), (0x1f3e0, 0x1f3f0), (0x1f3f4, 0x1f3f4), (0x1f3f8, 0x1f43e),
    (0x1f440, 0x1f440), (0x1f442, 0x1f4fc), (0x1f4ff, 0x1f53d), (0x1f54b, 0x1f54e), (0x1f550, 0x1f567),
    (0x1f57a, 0x1f57a), (0x1f595, 0x1f596), (0x1f5a4, 0x1f5a4), (0x1f5fb, 0x1f64f), (0x1f680, 0x1f6c5),
    (0x1f6cc, 0x1f6cc), (0x1f6d0, 0x1f6d2), (0x1f6d5, 0x1f6df), (0x1f6eb, 0x1f6ec), (0x1f6f4, 0x1f6fc),
    (0x1f7e0, 0x1f7f0), (0x1f90c, 0x1f93a), (0x1f93c, 0x1f945), (0x1f947, 0x1f9ff), (0x1fa70, 0x1faf6),
    (0x20000, 0x2ffff),
];

/// Characters that stand on the one before: marks of the scripts that plugins are likeliest to be named in.
#[rustfmt::skip]
const COMBINING: &[(u32, u32)] = &[
    (0x300, 0x36f), (0x483, 0x489), (0x591, 0x5bd), (0x5bf, 0x5bf), (0x5c1, 0x5c2), (0x5c4, 0x5c5), (0x610, 0x61a),
    (0x64b, 0x65f), (0x670, 0x670), (0x6d6, 0x6dc), (0x6df, 0x6e4), (0x900, 0x902), (0x93a, 0x93a), (0x93c, 0x93c),
    (0x941, 0x948), (0x94d, 0x94d), (0x951, 0x957), (0x981, 0x981), (0x9c1, 0x9c4), (0x9cd, 0x9cd), (0xbc0, 0xbc0),
    (0xbcd, 0xbcd), (0xe31, 0xe31), (0xe34, 0xe3a), (0xe47, 0xe4e), (0xeb1, 0xeb1), (0xeb4, 0xebc), (0xec8, 0xecd),
    (0x1160, 0x11ff), (0x1ab0, 0x1ace), (0x1dc0, 0x1dff), (0x20d0, 0x20f0), (0x302a, 0x302d), (0x3099, 0x309a),
    (0xfe20, 0xfe2f),
];

/// The columns of a text without control characters; of bytes that are not UTF-8, those of U+FFFD.
pub fn columns(text: &[u8]) -> usize {
    String::from_utf8_lossy(text).chars().map(columns_of).sum()
}

/// The columns of one character.
pub fn columns_of(character: char) -> usize {
    let code = u32::from(character);
    let is_in = |ranges: &[(u32, u32)]| {
        let after = ranges.partition_point(|&(first, _)| first <= code);
        after > 0 && code <= ranges[after - 1].1
    };
    match code {
        0..0x300 => 1,
        _ if is_in(WIDE) => 2,
        _ if is_in(COMBINING) => 0,
        _ => 1,
    }
}

/// The text in lines of at most `width` columns, broken at spaces; within a word only where it is wider than a line.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let wide = columns(word.as_bytes());
        if used > 0 && used + 1 + wide > width {
            lines.push(String::new());
            used = 0;
        } else if used > 0 {
            push(&mut lines, " ");
            used += 1;
        }
        for character in word.chars() {
            let wide = columns_of(character);
            if used + wide > width && used > 0 {
                lines.push(String::new());
                used = 0;
            }
            push(&mut lines, character.encode_utf8(&mut [0; 4]));
            used += wide;
        }
    }
    lines
}

fn push(lines: &mut [String], text: &str) {
    if let Some(line) = lines.last_mut() {
        line.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_and_combining_characters_count_as_a_terminal_shows_them() {
        for (text, expected) in [
            ("", 0),
            ("all_x.sh", 8),
            ("gr\u{fc}n", 4),
            ("gru\u{308}n", 4),
            ("\u{76e3}\u{8996}.sh", 7),
            ("\u{ac00}", 2),
            ("\u{ff21}", 2),
            ("\u{1f680}", 2),
            ("\u{e01}\u{e34}", 1),
            ("\u{2192}", 1),
        ] {
            assert_eq!(columns(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(columns(b"a\xffb"), 3);
    }

    #[test]
    fn text_is_broken_at_spaces_and_words_only_where_they_must_be() {
        for (text, width, lines) in [
            ("", 5, &[""][..]),
            ("one two", 7, &["one two"]),
            ("one two", 6, &["one", "two"]),
            ("a longwordindeed b", 6, &["a", "longwo", "rdinde", "ed b"]),
            ("\u{76e3}\u{8996} x", 5, &["\u{76e3}\u{8996}", "x"]),
            ("\u{76e3}\u{8996}", 3, &["\u{76e3}", "\u{8996}"]),
            ("wide", 0, &["w", "i", "d", "e"]),
        ] {
            assert_eq!(wrap(text, width), lines, "{text} in {width}");
        }
    }

    #[test]
    fn the_tables_are_in_order() {
        for table in [WIDE, COMBINING] {
            assert!(table.windows(2).all(|pair| pair[0].0 <= pair[0].1 && pair[0].1 < pair[1].0));
        }
    }
}
