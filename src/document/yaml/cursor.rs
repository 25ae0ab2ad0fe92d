//! A position in a text that knows its line and its column, and the characters that YAML tells apart.

use super::Result;
use super::malformed;

/// Moves forward through a text. Between characters only, so that any two positions enclose valid UTF-8.
pub(super) struct Cursor<'a> {
    pub(super) text: &'a str,
    /// Bytes before the position.
    pub(super) offset: usize,
    /// Characters before the position.
    pub(super) index: usize,
    /// Line breaks before the position.
    pub(super) line: usize,
    /// Characters between the beginning of the line and the position; byte order marks do not count.
    pub(super) column: usize,
}

/// What stands for the end of the text: a character that cannot occur in it.
pub(super) const END: u8 = 0;

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Cursor<'a> {
        Cursor { text, offset: 0, index: 0, line: 0, column: 0 }
    }

    /// The byte `ahead` of the position.
    #[inline(always)]
    pub(super) fn peek(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.offset + ahead).copied().unwrap_or(END)
    }

    /// What is left of the text.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.offset..]
    }

    /// The next `length` bytes, which must end between characters.
    pub(super) fn ahead(&self, length: usize) -> &'a str {
        &self.text[self.offset..self.offset + length]
    }

    /// Moves over `length` bytes, none of them in a line break.
    #[inline]
    pub(super) fn advance(&mut self, length: usize) {
        let bytes = &self.text.as_bytes()[self.offset..self.offset + length];
        let (mut characters, mut marks) = (length, 0);
        if !bytes.is_ascii() {
            characters = bytes.iter().filter(|&byte| byte & 0xC0 != 0x80).count();
            marks = bytes.windows(3).filter(|bytes| *bytes == b"\xEF\xBB\xBF").count();
        }
        self.offset += length;
        self.index += characters;
        self.column += characters - marks;
    }

    /// Moves over `length` bytes and returns them.
    pub(super) fn take(&mut self, length: usize) -> &'a str {
        let taken = self.ahead(length);
        self.advance(length);
        taken
    }

    /// Bytes of the line break that begins `ahead` of the position, 0 where there is none.
    #[inline]
    pub(super) fn break_length(&self, ahead: usize) -> usize {
        match self.peek(ahead) {
            b'\n' => 1,
            b'\r' => 1 + usize::from(self.peek(ahead + 1) == b'\n'),
            0xC2 if self.peek(ahead + 1) == 0x85 => 2,
            0xE2 if self.peek(ahead + 1) == 0x80 && matches!(self.peek(ahead + 2), 0xA8 | 0xA9) => 3,
            _ => 0,
        }
    }

    #[inline]
    pub(super) fn at_break(&self) -> bool {
        self.break_length(0) > 0
    }

    /// Is the byte `ahead` the end of the text or of a line?
    #[inline]
    pub(super) fn is_line_end(&self, ahead: usize) -> bool {
        self.peek(ahead) == END || self.break_length(ahead) > 0
    }

    /// Is the byte `ahead` a space, or the end of the text or of a line?
    #[inline]
    pub(super) fn is_space_or_end(&self, ahead: usize) -> bool {
        self.peek(ahead) == b' ' || self.is_line_end(ahead)
    }

    /// Is the byte `ahead` a space, a tab, or the end of the text or of a line?
    #[inline]
    pub(super) fn is_blank_or_end(&self, ahead: usize) -> bool {
        matches!(self.peek(ahead), b' ' | b'\t') || self.is_line_end(ahead)
    }

    /// Moves over a line break and returns what it stands for in a scalar; without one, stays and returns nothing.
    pub(super) fn take_break(&mut self) -> &'static str {
        if self.peek(0) == b'\n' {
            self.index += 1;
            self.offset += 1;
            self.line += 1;
            self.column = 0;
            return "\n";
        }
        let stands_for = match (self.break_length(0), self.peek(2)) {
            (0, _) => return "",
            (3, 0xA8) => "\u{2028}",
            (3, _) => "\u{2029}",
            _ => "\n",
        };
        let length = self.break_length(0);
        self.index += if length == 2 && self.peek(0) == b'\r' { 2 } else { 1 };
        self.offset += length;
        self.line += 1;
        self.column = 0;
        stands_for
    }

    pub(super) fn skip_spaces(&mut self) {
        let mut length = 0;
        while self.peek(length) == b' ' {
            length += 1;
        }
        self.offset += length;
        self.index += length;
        self.column += length;
    }

    /// Skips a comment, if one begins here, up to the end of its line.
    pub(super) fn skip_comment(&mut self) {
        if self.peek(0) == b'#' {
            self.skip_line();
        }
    }

    /// Skips to the end of the line.
    pub(super) fn skip_line(&mut self) {
        let mut length = 0;
        while !self.is_line_end(length) {
            length += 1;
        }
        self.advance(length);
    }

    /// Is `---` or `...` here, with a blank or the end of the line after it?
    pub(super) fn at_document_marker(&self) -> bool {
        let rest = self.rest();
        (rest.starts_with(b"---") || rest.starts_with(b"...")) && self.is_blank_or_end(3)
    }

    /// Bytes of the name that begins `ahead` of the position: letters, digits, `-` and `_`.
    pub(super) fn name_length(&self, ahead: usize) -> usize {
        let mut length = 0;
        while matches!(self.peek(ahead + length), b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_') {
            length += 1;
        }
        length
    }

    #[cold]
    pub(super) fn refuse<T>(&self, message: &str) -> Result<T> {
        Err(malformed(self.text, self.offset, message))
    }
}
