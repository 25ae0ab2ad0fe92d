//! Bytes to lines: a stream that arrives in chunks of any size leaves in lines, and in pieces where a line is too long.
//! Pure: the same bytes give the same lines, however they were cut.

pub mod copy;

use crate::sys::slice::{head, tail};

use copy::{Newline, Stop};

/// The most bytes of one piece.
pub const PIECE_LIMIT: usize = 64 * 1024;

/// Above this, the buffer of a half line is given back when the line ends.
const KEPT_CAPACITY: usize = 1024;

/// A line, or a part of one that is over [`PIECE_LIMIT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Not the first of its line.
    pub is_continuation: bool,
    /// More of the line follows.
    pub is_partial: bool,
}

const WHOLE: Piece = Piece { is_continuation: false, is_partial: false };

/// Takes the lines of a stream.
pub trait Lines {
    /// A line or a part of one, without its end.
    fn take(&mut self, line: &[u8], piece: Piece);

    /// Takes the line that `bytes` begin with and returns the place of its `\n`; takes nothing when there is none, or
    /// when the line is better taken by [`Lines::take`]. A shortcut, for who can find the end while copying.
    fn copy(&mut self, bytes: &[u8]) -> Option<usize>;
}

#[cfg(test)]
impl<F: FnMut(&[u8], Piece)> Lines for F {
    fn take(&mut self, line: &[u8], piece: Piece) {
        self(line, piece);
    }

    fn copy(&mut self, _: &[u8]) -> Option<usize> {
        None
    }
}

/// Splits one stream.
#[derive(Debug, Default)]
pub struct Splitter {
    /// The line that has begun, without what was already passed on in pieces.
    begun: Vec<u8>,
    is_continuation: bool,
    /// The line was passed on before its end: a newline that comes now ends it, and no other.
    is_shown: bool,
}

impl Splitter {
    /// Takes the next bytes of the stream and passes on every line that they complete, without its `\n` or `\r\n`.
    #[inline(always)]
    pub fn feed(&mut self, mut chunk: &[u8], lines: &mut impl Lines) {
        // As a rule no line has begun, and they are whole lines.
        if self.begun.is_empty() && !self.is_shown {
            chunk = copied(chunk, lines);
        }
        if !chunk.is_empty() {
            self.feed_any(chunk, lines);
        }
    }

    #[inline(never)]
    fn feed_any(&mut self, mut chunk: &[u8], lines: &mut impl Lines) {
        if self.is_shown {
            self.is_shown = false;
            chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
        }
        if !self.begun.is_empty() {
            let end = newline(chunk);
            self.extend(&chunk[..end.unwrap_or(chunk.len())], lines);
            let Some(end) = end else { return };
            self.end_line(lines);
            chunk = &chunk[end + 1..];
        }
        loop {
            chunk = copied(chunk, lines);
            let Some(end) = newline(chunk) else { break };
            let line = &chunk[..end];
            if line.len() <= PIECE_LIMIT {
                lines.take(without_carriage_return(line), WHOLE);
            } else {
                self.extend(line, lines);
                self.end_line(lines);
            }
            chunk = &chunk[end + 1..];
        }
        self.extend(chunk, lines);
    }

    /// Passes on a last line that has no newline. The stream may go on with a new line.
    pub fn finish(&mut self, lines: &mut impl Lines) {
        if self.begun.len() > PIECE_LIMIT {
            // A `\r` was kept for a line end that never came.
            self.pass_on_piece(lines);
        }
        if !self.begun.is_empty() {
            lines.take(&self.begun, Piece { is_continuation: self.is_continuation, is_partial: false });
            self.forget();
        }
    }

    /// Whether a line has begun and would be overwritten on a terminal, such as a progress bar.
    pub fn is_overwritten(&self) -> bool {
        self.begun.last() == Some(&b'\r')
    }

    /// Passes on a line that would be overwritten as it stands, before its end.
    pub fn show(&mut self, lines: &mut impl Lines) {
        if self.is_overwritten() {
            self.finish(lines);
            self.is_shown = true;
        }
    }

    fn end_line(&mut self, lines: &mut impl Lines) {
        let piece = Piece { is_continuation: self.is_continuation, is_partial: false };
        lines.take(without_carriage_return(&self.begun), piece);
        self.forget();
    }

    fn forget(&mut self) {
        self.is_continuation = false;
        self.begun.clear();
        self.begun.shrink_to(KEPT_CAPACITY);
    }

    /// Adds bytes that hold no newline to the line that has begun. A piece is passed on only when it is certain that
    /// more of the line follows: a `\r` just behind the limit may belong to the line end.
    fn extend(&mut self, mut bytes: &[u8], lines: &mut impl Lines) {
        loop {
            let total = self.begun.len() + bytes.len();
            let may_end_here = total == PIECE_LIMIT + 1 && bytes.last().or(self.begun.last()) == Some(&b'\r');
            if total <= PIECE_LIMIT || may_end_here {
                self.begun.extend_from_slice(bytes);
                return;
            }
            let (taken, rest) = bytes.split_at(PIECE_LIMIT.saturating_sub(self.begun.len()));
            self.begun.extend_from_slice(taken);
            bytes = rest;
            self.pass_on_piece(lines);
        }
    }

    /// Passes on as much of the line as fits into one piece. More than that must have begun.
    fn pass_on_piece(&mut self, lines: &mut impl Lines) {
        let end = character_boundary(&self.begun[..PIECE_LIMIT]);
        lines.take(&self.begun[..end], Piece { is_continuation: self.is_continuation, is_partial: true });
        self.begun.drain(..end);
        self.is_continuation = true;
    }
}

/// What is left when the lines that can be copied have been.
#[inline(always)]
fn copied<'a>(mut chunk: &'a [u8], lines: &mut impl Lines) -> &'a [u8] {
    while let Some(end) = lines.copy(head(chunk, PIECE_LIMIT + 1)) {
        chunk = tail(chunk, end + 1);
    }
    chunk
}

/// The line without the `\r` of its end.
#[inline(always)]
pub fn without_carriage_return(line: &[u8]) -> &[u8] {
    match line {
        [rest @ .., b'\r'] => rest,
        _ => line,
    }
}

/// Where to cut so that no UTF-8 sequence is torn: before a sequence that the end cuts short.
fn character_boundary(bytes: &[u8]) -> usize {
    for back in 1..=3 {
        let Some(&byte) = bytes.get(bytes.len().wrapping_sub(back)) else { break };
        let length = match byte {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            0x80..=0xbf => continue,
            _ => break,
        };
        return if length > back { bytes.len() - back } else { bytes.len() };
    }
    bytes.len()
}

/// The place of the first `\n`.
fn newline(bytes: &[u8]) -> Option<usize> {
    let (blocks, rest) = bytes.as_chunks();
    for (index, block) in blocks.iter().enumerate() {
        if let Some(place) = Newline::find(block) {
            return Some(index * 16 + place);
        }
    }
    rest.iter().position(|&byte| byte == b'\n').map(|place| blocks.len() * 16 + place)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pieces = Vec<(Vec<u8>, Piece)>;

    fn split(chunks: &[&[u8]]) -> Pieces {
        let mut splitter = Splitter::default();
        let mut pieces = Vec::new();
        let mut emit = |bytes: &[u8], piece| pieces.push((bytes.to_vec(), piece));
        chunks.iter().for_each(|chunk| splitter.feed(chunk, &mut emit));
        splitter.finish(&mut emit);
        pieces
    }

    /// The same by the plainest means: the whole stream at once, byte by byte.
    fn naive(stream: &[u8]) -> Pieces {
        let mut pieces = Vec::new();
        let mut lines: Vec<&[u8]> = stream.split(|&byte| byte == b'\n').collect();
        let last = lines.pop().unwrap_or_default();
        let ended = lines.into_iter().map(without_carriage_return);
        for line in ended.chain((!last.is_empty()).then_some(last)) {
            let mut rest = line;
            let mut is_continuation = false;
            while rest.len() > PIECE_LIMIT {
                let end = character_boundary(&rest[..PIECE_LIMIT]);
                pieces.push((rest[..end].to_vec(), Piece { is_continuation, is_partial: true }));
                rest = &rest[end..];
                is_continuation = true;
            }
            pieces.push((rest.to_vec(), Piece { is_continuation, is_partial: false }));
        }
        pieces
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % limit as u64) as usize
        }
    }

    #[test]
    fn lines_do_not_depend_on_how_the_stream_was_cut() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for round in 0..300 {
            let alphabet: &[u8] =
                [&b"ab\n\r"[..], b"\n", b"\r\n", "x\u{e9}\u{20ac}\u{1f600}".as_bytes(), b"\0\xff\x80a\n"][round % 5];
            let mut stream = Vec::new();
            for _ in 0..random.below(12) {
                let length = match random.below(6) {
                    0 => PIECE_LIMIT - 2 + random.below(5),
                    1 => 2 * PIECE_LIMIT - 2 + random.below(5),
                    _ => random.below(40),
                };
                if random.below(3) == 0 {
                    stream.extend(std::iter::repeat_n(b'z', length));
                } else {
                    let letters: Vec<u8> =
                        alphabet.iter().copied().filter(|_| length < 100 || random.below(2) == 0).collect();
                    stream.extend(letters.iter().cycle().take(length.min(letters.len() * 100_000)));
                }
                stream.extend_from_slice([&b"\n"[..], b"\r\n", b"\r", b""][random.below(4)]);
            }
            let expected = naive(&stream);
            for _ in 0..4 {
                let mut chunks = Vec::new();
                let mut rest = &stream[..];
                while !rest.is_empty() {
                    let most = [3, 100, 5000, 70_000, 200_000][random.below(5)];
                    let (chunk, next) = rest.split_at((1 + random.below(most)).min(rest.len()));
                    chunks.push(chunk);
                    rest = next;
                }
                assert!(split(&chunks) == expected, "round {round}: {} bytes in {} chunks", stream.len(), chunks.len());
            }
        }
    }

    #[test]
    fn a_line_that_is_overwritten_is_shown_as_it_stands() {
        for (before, after, expected) in [
            ("10%\r20%\r", "100%\r\n", &["10%\r20%\r", "100%"][..]),
            ("10%\r", "\nnext\n", &["10%\r", "next"]),
            ("10%\r", "\r\nnext\n", &["10%\r", "", "next"]),
            ("10%\r", "", &["10%\r"]),
            ("10%", "\n\n", &["10%", ""]),
            ("a\n", "\n", &["a", ""]),
        ] {
            let (mut taken, mut copied) = (Vec::new(), Vec::new());
            feed_and_show(before, after, &mut |line: &[u8], _| taken.push(line.to_vec()));
            feed_and_show(before, after, &mut Copying(|line: &[u8]| copied.push(line.to_vec())));
            let expected: Vec<&[u8]> = expected.iter().map(|line| line.as_bytes()).collect();
            assert_eq!(taken, expected, "{before:?} {after:?}");
            assert_eq!(copied, expected, "{before:?} {after:?}, copied");
        }
    }

    fn feed_and_show(before: &str, after: &str, lines: &mut impl Lines) {
        let mut splitter = Splitter::default();
        splitter.feed(before.as_bytes(), lines);
        splitter.show(lines);
        splitter.feed(b"", lines);
        splitter.feed(after.as_bytes(), lines);
        splitter.finish(lines);
    }

    /// Lines that are copied where they can be.
    struct Copying<F>(F);

    impl<F: FnMut(&[u8])> Lines for Copying<F> {
        fn take(&mut self, line: &[u8], _: Piece) {
            (self.0)(line);
        }

        fn copy(&mut self, bytes: &[u8]) -> Option<usize> {
            let end = newline(bytes)?;
            (self.0)(without_carriage_return(&bytes[..end]));
            Some(end)
        }
    }

    #[test]
    fn a_piece_tears_no_character_and_waits_for_no_bad_one() {
        for (bytes, expected) in [
            (&b""[..], 0),
            (b"abc", 3),
            (b"a\xc3", 1),
            (b"a\xc3\xa9", 3),
            (b"a\xe2", 1),
            (b"a\xe2\x82", 1),
            (b"a\xe2\x82\xac", 4),
            (b"a\xf0", 1),
            (b"a\xf0\x9f", 1),
            (b"a\xf0\x9f\x98", 1),
            (b"a\xf0\x9f\x98\x80", 5),
            (b"a\x80", 2),
            (b"a\xff", 2),
            (b"\xc3\xa9\x80", 3),
            (b"\x80\x80\x80\x80", 4),
        ] {
            assert_eq!(character_boundary(bytes), expected, "{bytes:x?}");
        }
    }

    #[test]
    fn a_line_end_has_one_carriage_return_at_most() {
        for (line, expected) in [("", ""), ("a", "a"), ("a\r", "a"), ("\r", ""), ("\r\r", "\r"), ("\ra", "\ra")] {
            assert_eq!(without_carriage_return(line.as_bytes()), expected.as_bytes(), "{line:?}");
        }
    }

    #[test]
    fn the_limit_counts_the_line_without_its_end() {
        for end in ["\n", "\r\n", ""] {
            for (length, pieces) in [(65_535, 1), (65_536, 1), (65_537, 2), (131_072, 2), (131_073, 3)] {
                let stream = ["x".repeat(length).as_bytes(), end.as_bytes()].concat();
                assert_eq!(split(&[&stream]).len(), pieces, "{length} {end:?}");
            }
        }
    }

    #[test]
    fn a_newline_is_found_wherever_it_is() {
        for length in 0..40 {
            let mut bytes = vec![0x8a_u8; length];
            assert_eq!(newline(&bytes), None);
            for at in (0..length).rev() {
                bytes[at] = b'\n';
                assert_eq!(newline(&bytes), Some(at));
            }
        }
    }
}
