//! From text to tokens. Owns all knowledge of indentation, and of simple keys: keys without a `?` are only
//! known as such when their `:` is found, which must be on the same line and within 1024 characters.

use std::collections::VecDeque;

use super::cursor::{Cursor, END};
use super::scalar;
use super::token::{Kind, Token};
use super::{Result, malformed};

/// Where a key might have begun, if a `:` follows.
struct SimpleKey {
    /// The flow collections around it.
    level: usize,
    /// The number its first token has, counted from the start of the text.
    token_number: usize,
    /// In a block mapping whatever begins at the indentation of the keys must be a key.
    required: bool,
    offset: usize,
    index: usize,
    line: usize,
    column: usize,
}

const BYTE_ORDER_MARK: &[u8] = "\u{FEFF}".as_bytes();

/// Makes tokens on demand, as few as it can. What is done for every token is inlined, which a build for size would not
/// do by itself.
pub(super) struct Scanner<'a> {
    cursor: Cursor<'a>,
    tokens: VecDeque<Token<'a>>,
    /// Tokens that were taken out of `tokens`.
    taken: usize,
    /// Is the first of `tokens` sure to be the next?
    is_certain: bool,
    is_done: bool,
    /// Flow collections around the position.
    level: usize,
    /// Column of the block collection around the position, -1 outside of any.
    indent: isize,
    indents: Vec<isize>,
    allow_simple_key: bool,
    /// At most one for each level, the outermost first: so also in the order of their tokens.
    simple_keys: VecDeque<SimpleKey>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Scanner<'a> {
        Scanner {
            cursor: Cursor::new(text),
            tokens: VecDeque::new(),
            taken: 0,
            is_certain: false,
            is_done: false,
            level: 0,
            indent: -1,
            indents: Vec::new(),
            allow_simple_key: true,
            simple_keys: VecDeque::new(),
        }
    }

    /// The next token, which stays where it is.
    #[inline(always)]
    pub(super) fn peek(&mut self) -> Result<&Kind<'a>> {
        self.fill()?;
        Ok(self.tokens.front().map_or(&Kind::StreamEnd, |token| &token.kind))
    }

    /// Where the next token begins.
    #[inline(always)]
    pub(super) fn offset(&mut self) -> Result<usize> {
        self.fill()?;
        Ok(self.tokens.front().map_or(self.cursor.offset, |token| token.offset))
    }

    /// Takes the next token.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Result<Token<'a>> {
        self.fill()?;
        self.taken += 1;
        self.is_certain = false;
        Ok(self.tokens.pop_front().unwrap_or(Token { offset: self.cursor.offset, kind: Kind::StreamEnd }))
    }

    /// Scans until the next token is certain: as long as it could turn out to begin a key, it is not.
    #[inline(always)]
    fn fill(&mut self) -> Result<()> {
        if self.is_certain { Ok(()) } else { self.scan_until_certain() }
    }

    fn scan_until_certain(&mut self) -> Result<()> {
        while !self.is_done {
            if !self.tokens.is_empty() {
                self.drop_stale_keys()?;
                if self.simple_keys.front().is_none_or(|key| key.token_number != self.taken) {
                    break;
                }
            }
            self.scan()?;
        }
        self.is_certain = true;
        Ok(())
    }

    fn scan(&mut self) -> Result<()> {
        self.skip_to_token()?;
        self.drop_stale_keys()?;
        self.unwind(self.column());
        let cursor = &self.cursor;
        let at_line_start = cursor.column == 0;
        match cursor.peek(0) {
            END => self.stream_end(),
            b'%' if at_line_start => self.directive(),
            b'-' | b'.' if at_line_start && cursor.at_document_marker() => self.document_marker(),
            b'[' => self.flow_start(Kind::FlowSequenceStart),
            b'{' => self.flow_start(Kind::FlowMappingStart),
            b']' => self.flow_end(Kind::FlowSequenceEnd),
            b'}' => self.flow_end(Kind::FlowMappingEnd),
            b',' => self.flow_entry(),
            b'-' if cursor.is_blank_or_end(1) => self.block_entry(),
            b'?' if self.level > 0 || cursor.is_blank_or_end(1) => self.key(),
            b':' if self.level > 0 || cursor.is_blank_or_end(1) => self.value(),
            b'*' => self.anchor_or_alias(Kind::Alias, "expected the name of an anchor after `*`"),
            b'&' => self.anchor_or_alias(Kind::Anchor, "expected a name after `&`"),
            b'!' => self.tag(),
            style @ (b'|' | b'>') if self.level == 0 => self.block_scalar(style),
            quote @ (b'\'' | b'"') => {
                self.may_begin_key()?;
                let offset = self.cursor.offset;
                let text = scalar::quoted(&mut self.cursor, quote)?;
                self.push_at(offset, Kind::Scalar { text, plain: false })
            }
            _ if self.at_plain_scalar() => self.plain_scalar(),
            b'\t' => cursor.refuse("a tab cannot indent or precede a value: expected spaces"),
            b'@' | b'`' => cursor.refuse("`@` and `` ` `` are reserved: expected a value, or the text in quotes"),
            b'%' => cursor.refuse("a value cannot begin with `%`: expected the text in quotes"),
            _ => cursor.refuse("a value cannot begin like this: expected the text in quotes"),
        }
    }

    fn at_plain_scalar(&self) -> bool {
        match self.cursor.peek(0) {
            b'-' => !self.cursor.is_blank_or_end(1),
            b'?' | b':' => self.level == 0 && !self.cursor.is_blank_or_end(1),
            b',' | b'[' | b']' | b'{' | b'}' | b'#' | b'&' | b'*' | b'!' | b'|' | b'>' | b'\'' | b'"' | b'%' | b'@'
            | b'`' => false,
            _ => !self.cursor.is_blank_or_end(0),
        }
    }

    fn column(&self) -> isize {
        self.cursor.column.cast_signed()
    }

    fn push(&mut self, kind: Kind<'a>) -> Result<()> {
        self.push_at(self.cursor.offset, kind)
    }

    fn push_at(&mut self, offset: usize, kind: Kind<'a>) -> Result<()> {
        self.tokens.push_back(Token { offset, kind });
        Ok(())
    }

    fn skip_to_token(&mut self) -> Result<()> {
        let is_mark = |cursor: &Cursor<'_>| cursor.peek(0) == 0xEF && cursor.rest().starts_with(BYTE_ORDER_MARK);
        if self.cursor.offset == 0 && is_mark(&self.cursor) {
            self.cursor.advance(3);
        }
        loop {
            if self.cursor.column == 0 && is_mark(&self.cursor) {
                return self.cursor.refuse("a byte order mark: expected it at the beginning of the file only");
            }
            self.cursor.skip_spaces();
            self.cursor.skip_comment();
            if self.cursor.take_break().is_empty() {
                return Ok(());
            }
            if self.level == 0 {
                self.allow_simple_key = true;
            }
        }
    }

    // Simple keys.

    /// Forgets the keys that are too far behind. As they are in order, those that are left are not.
    fn drop_stale_keys(&mut self) -> Result<()> {
        while let Some(key) = self.simple_keys.front() {
            if key.line == self.cursor.line && self.cursor.index - key.index <= 1024 {
                break;
            }
            self.refuse_if_required(key)?;
            self.simple_keys.pop_front();
        }
        Ok(())
    }

    fn refuse_if_required(&self, key: &SimpleKey) -> Result<()> {
        if key.required {
            return Err(malformed(self.cursor.text, key.offset, "expected a key with `:` after it, on one line"));
        }
        Ok(())
    }

    /// Notes that what begins here may turn out to be a key.
    fn may_begin_key(&mut self) -> Result<()> {
        if self.allow_simple_key {
            self.drop_key()?;
            self.simple_keys.push_back(SimpleKey {
                level: self.level,
                token_number: self.taken + self.tokens.len(),
                required: self.level == 0 && self.indent == self.column(),
                offset: self.cursor.offset,
                index: self.cursor.index,
                line: self.cursor.line,
                column: self.cursor.column,
            });
        }
        self.allow_simple_key = false;
        Ok(())
    }

    fn take_key(&mut self) -> Option<SimpleKey> {
        if self.simple_keys.back()?.level == self.level { self.simple_keys.pop_back() } else { None }
    }

    /// Forgets the key that might have begun at this level.
    fn drop_key(&mut self) -> Result<()> {
        match self.take_key() {
            Some(key) => self.refuse_if_required(&key),
            None => Ok(()),
        }
    }

    // Indentation.

    /// Ends the block collections that are indented more than `column`.
    fn unwind(&mut self, column: isize) {
        if self.level > 0 {
            return;
        }
        while self.indent > column {
            self.indent = self.indents.pop().unwrap_or(-1);
            self.tokens.push_back(Token { offset: self.cursor.offset, kind: Kind::BlockEnd });
        }
    }

    /// Begins a block collection at `column`, unless the one around is there already.
    fn indent_to(&mut self, column: isize) -> bool {
        let is_deeper = self.indent < column;
        if is_deeper {
            self.indents.push(self.indent);
            self.indent = column;
        }
        is_deeper
    }

    // The tokens, one function each.

    fn stream_end(&mut self) -> Result<()> {
        self.unwind(-1);
        self.drop_key()?;
        self.allow_simple_key = false;
        self.simple_keys.clear();
        self.is_done = true;
        self.push(Kind::StreamEnd)
    }

    fn directive(&mut self) -> Result<()> {
        self.unwind(-1);
        self.drop_key()?;
        self.allow_simple_key = false;
        let offset = self.cursor.offset;
        let kind = super::directive::directive(&mut self.cursor)?;
        self.push_at(offset, kind)
    }

    fn document_marker(&mut self) -> Result<()> {
        self.unwind(-1);
        self.drop_key()?;
        self.allow_simple_key = false;
        self.push(if self.cursor.peek(0) == b'-' { Kind::DocumentStart } else { Kind::DocumentEnd })?;
        self.cursor.advance(3);
        Ok(())
    }

    fn flow_start(&mut self, kind: Kind<'a>) -> Result<()> {
        self.may_begin_key()?;
        self.level += 1;
        self.allow_simple_key = true;
        self.push(kind)?;
        self.cursor.advance(1);
        Ok(())
    }

    fn flow_end(&mut self, kind: Kind<'a>) -> Result<()> {
        self.drop_key()?;
        if self.level == 0 {
            return self.cursor.refuse("there is no `[` or `{` that this could close");
        }
        self.level -= 1;
        self.allow_simple_key = false;
        self.push(kind)?;
        self.cursor.advance(1);
        Ok(())
    }

    fn flow_entry(&mut self) -> Result<()> {
        self.allow_simple_key = true;
        self.drop_key()?;
        self.push(Kind::FlowEntry)?;
        self.cursor.advance(1);
        Ok(())
    }

    fn block_entry(&mut self) -> Result<()> {
        if self.level == 0 {
            if !self.allow_simple_key {
                return self.cursor.refuse("a list cannot begin on this line: expected a value");
            }
            if self.indent_to(self.column()) {
                self.push(Kind::BlockSequenceStart)?;
            }
        }
        self.allow_simple_key = true;
        self.drop_key()?;
        self.push(Kind::BlockEntry)?;
        self.cursor.advance(1);
        Ok(())
    }

    fn key(&mut self) -> Result<()> {
        if self.level == 0 {
            if !self.allow_simple_key {
                return self.cursor.refuse("a mapping cannot begin on this line: expected a value");
            }
            if self.indent_to(self.column()) {
                self.push(Kind::BlockMappingStart)?;
            }
        }
        self.allow_simple_key = self.level == 0;
        self.drop_key()?;
        self.push(Kind::Key)?;
        self.cursor.advance(1);
        Ok(())
    }

    fn value(&mut self) -> Result<()> {
        if let Some(key) = self.take_key() {
            // What was scanned since then was the key.
            let position = key.token_number - self.taken;
            self.tokens.insert(position, Token { offset: key.offset, kind: Kind::Key });
            if self.level == 0 && self.indent_to(key.column.cast_signed()) {
                self.tokens.insert(position, Token { offset: key.offset, kind: Kind::BlockMappingStart });
            }
            self.allow_simple_key = false;
        } else {
            if self.level == 0 {
                if !self.allow_simple_key {
                    return self.cursor.refuse("a `:` with a space after it cannot be inside a value: expected quotes");
                }
                if self.indent_to(self.column()) {
                    self.push(Kind::BlockMappingStart)?;
                }
            }
            self.allow_simple_key = self.level == 0;
        }
        self.push(Kind::Value)?;
        self.cursor.advance(1);
        Ok(())
    }

    fn anchor_or_alias(&mut self, kind: fn(&'a str) -> Kind<'a>, expected: &str) -> Result<()> {
        self.may_begin_key()?;
        let offset = self.cursor.offset;
        self.cursor.advance(1);
        let length = self.cursor.name_length(0);
        if length == 0 {
            return self.cursor.refuse(expected);
        }
        let name = self.cursor.take(length);
        let may_follow = matches!(self.cursor.peek(0), b'?' | b':' | b',' | b']' | b'}' | b'%' | b'@' | b'`');
        if !may_follow && !self.cursor.is_blank_or_end(0) {
            return self.cursor.refuse("the name of an anchor is made of letters, digits, `-` and `_`");
        }
        self.push_at(offset, kind(name))
    }

    fn tag(&mut self) -> Result<()> {
        self.may_begin_key()?;
        let offset = self.cursor.offset;
        let kind = super::directive::tag(&mut self.cursor)?;
        self.push_at(offset, kind)
    }

    fn block_scalar(&mut self, style: u8) -> Result<()> {
        self.allow_simple_key = true;
        self.drop_key()?;
        let offset = self.cursor.offset;
        let text = scalar::block(&mut self.cursor, style, self.indent)?;
        self.push_at(offset, Kind::Scalar { text, plain: false })
    }

    fn plain_scalar(&mut self) -> Result<()> {
        self.may_begin_key()?;
        let offset = self.cursor.offset;
        let (text, on_new_line) = scalar::plain(&mut self.cursor, self.indent, self.level > 0)?;
        // The lines after the scalar's own were looked at already.
        self.allow_simple_key = on_new_line;
        self.push_at(offset, Kind::Scalar { text, plain: true })
    }
}
