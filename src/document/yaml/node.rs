//! What a document is made of before its values are: nodes, each with a tag, that several others may refer to.

use std::borrow::Cow;
use std::ops::{Index, Range};

/// The number of a node.
pub(super) type NodeId = u32;

/// The nodes of a key and of its value.
pub(super) type Pair = [NodeId; 2];

/// A node. It is small, as there is one for every scalar and every collection.
pub(super) struct Node {
    pub(super) tag: Tag,
    /// Where it begins, its tag and anchor included.
    offset: u32,
    pub(super) content: Content,
}

#[derive(Clone, Copy)]
pub(super) enum Content {
    /// A collection whose end was not seen yet.
    Open,
    /// A scalar that stands in the text as it is.
    Verbatim(Span),
    /// A scalar whose text had to be made: its number among these.
    Folded(u32),
    Sequence(Span),
    Mapping(Span),
}

/// A stretch of the text or of the children. 32 bits are enough: see [`super::MAX_BYTES`].
#[derive(Clone, Copy)]
pub(super) struct Span {
    start: u32,
    length: u32,
}

impl Span {
    fn range(self) -> Range<usize> {
        self.start as usize..self.start as usize + self.length as usize
    }

    pub(super) fn len(self) -> usize {
        self.length as usize
    }
}

impl Node {
    pub(super) fn offset(&self) -> usize {
        self.offset as usize
    }
}

/// All nodes of a document.
pub(super) struct Nodes<'a> {
    text: &'a str,
    nodes: Vec<Node>,
    /// The scalars that do not stand in the text as they are.
    folded: Vec<String>,
    /// What collections hold, those of one collection together: items, or keys and values by turns.
    children: Vec<NodeId>,
    /// The same of the collections that are open, the innermost last.
    pending: Vec<NodeId>,
}

impl<'a> Nodes<'a> {
    /// `text` has at most [`super::MAX_BYTES`], which make fewer nodes than there are numbers for.
    pub(super) fn new(text: &'a str) -> Nodes<'a> {
        Nodes { text, nodes: Vec::new(), folded: Vec::new(), children: Vec::new(), pending: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    fn add(&mut self, tag: Tag, offset: usize, content: Content) -> NodeId {
        self.nodes.push(Node { tag, offset: offset as u32, content });
        self.nodes.len() as NodeId - 1
    }

    /// Adds a scalar whose text, if it is borrowed, is that at `start`.
    pub(super) fn add_scalar(&mut self, tag: Tag, offset: usize, start: usize, text: Cow<'a, str>) -> NodeId {
        let content = match text {
            Cow::Borrowed(text) => {
                debug_assert_eq!(text, &self.text[start..start + text.len()]);
                Content::Verbatim(Span { start: start as u32, length: text.len() as u32 })
            }
            Cow::Owned(text) => {
                self.folded.push(text);
                Content::Folded(self.folded.len() as u32 - 1)
            }
        };
        self.add(tag, offset, content)
    }

    /// Begins a collection, and returns it with the mark that [`Nodes::end`] wants.
    pub(super) fn begin(&mut self, tag: Tag, offset: usize) -> (NodeId, usize) {
        (self.add(tag, offset, Content::Open), self.pending.len())
    }

    /// Adds a child to the innermost collection that is open.
    pub(super) fn hold(&mut self, child: NodeId) {
        self.pending.push(child);
    }

    /// Ends a collection.
    pub(super) fn end(&mut self, collection: NodeId, mark: usize, content: fn(Span) -> Content) {
        let span = Span { start: self.children.len() as u32, length: (self.pending.len() - mark) as u32 };
        self.children.extend(self.pending.drain(mark..));
        self.nodes[collection as usize].content = content(span);
    }

    /// The text of a scalar.
    pub(super) fn scalar(&self, node: &Node) -> Option<Cow<'a, str>> {
        match node.content {
            Content::Verbatim(span) => Some(Cow::Borrowed(&self.text[span.range()])),
            Content::Folded(number) => Some(Cow::Owned(self.folded[number as usize].clone())),
            _ => None,
        }
    }

    /// Where a node stands for a reader: the null that is written as nothing, behind what comes before it.
    pub(super) fn place(&self, id: NodeId) -> usize {
        let node = &self[id];
        let is_nothing = node.tag == Tag::Null && matches!(node.content, Content::Verbatim(span) if span.len() == 0);
        let is_marked = matches!(self.text.as_bytes().get(node.offset()), Some(b'&' | b'!'));
        if is_nothing && !is_marked { self.end_of_token_before(node.offset()) } else { node.offset() }
    }

    /// The end of the sign (`:`, `-`, `?`) before an offset, with blanks and comments between the two.
    fn end_of_token_before(&self, offset: usize) -> usize {
        let mut text = self.text.as_bytes()[..offset].trim_ascii_end();
        loop {
            let line = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |index| index + 1);
            let is_comment = |index: &usize| {
                let before = text[line..*index].trim_ascii_end().last();
                text[*index] == b'#' && before.is_none_or(|last| b":-?,".contains(last))
            };
            match (line..text.len()).find(is_comment) {
                Some(index) => text = text[..index].trim_ascii_end(),
                None => return text.len(),
            }
        }
    }

    /// What a sequence holds.
    pub(super) fn items(&self, span: Span) -> &[NodeId] {
        &self.children[span.range()]
    }

    /// What a mapping holds.
    pub(super) fn pairs(&self, span: Span) -> &[Pair] {
        self.items(span).as_chunks().0
    }
}

impl Index<NodeId> for Nodes<'_> {
    type Output = Node;

    fn index(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }
}

/// The types that PyYAML's safe loader knows.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Tag {
    Null,
    Bool,
    Int,
    Float,
    Str,
    Timestamp,
    Binary,
    /// `<<`: not a value but an instruction.
    Merge,
    /// `=`: YAML 1.1's default key, a string where it is a key and nothing elsewhere.
    Default,
    Seq,
    Omap,
    Pairs,
    Map,
    Set,
    /// `!`: whatever a plain scalar with this text is.
    Any,
    Unknown,
}

impl Tag {
    /// The type that is written out as `tag`.
    pub(super) fn named(tag: &str) -> Tag {
        if tag == "!" {
            return Tag::Any;
        }
        match tag.strip_prefix("tag:yaml.org,2002:").unwrap_or("") {
            "null" => Tag::Null,
            "bool" => Tag::Bool,
            "int" => Tag::Int,
            "float" => Tag::Float,
            "str" => Tag::Str,
            "timestamp" => Tag::Timestamp,
            "binary" => Tag::Binary,
            "merge" => Tag::Merge,
            "value" => Tag::Default,
            "seq" => Tag::Seq,
            "omap" => Tag::Omap,
            "pairs" => Tag::Pairs,
            "map" => Tag::Map,
            "set" => Tag::Set,
            _ => Tag::Unknown,
        }
    }

    /// The type that a plain scalar has without being told: the rules are YAML 1.1's, as PyYAML has them.
    pub(super) fn of_plain(text: &str) -> Tag {
        match text.as_bytes().first() {
            None => Tag::Null,
            Some(b'~' | b'n' | b'N' | b'y' | b'Y' | b't' | b'T' | b'f' | b'F' | b'o' | b'O') => match text {
                "~" | "null" | "Null" | "NULL" => Tag::Null,
                "yes" | "Yes" | "YES" | "no" | "No" | "NO" | "true" | "True" | "TRUE" | "false" | "False" | "FALSE"
                | "on" | "On" | "ON" | "off" | "Off" | "OFF" => Tag::Bool,
                _ => Tag::Str,
            },
            Some(b'<') if text == "<<" => Tag::Merge,
            Some(b'=') if text == "=" => Tag::Default,
            Some(b'+' | b'-' | b'.' | b'0'..=b'9') => of_number(text),
            Some(_) => Tag::Str,
        }
    }
}

impl Tag {
    /// The type that a scalar in any style has by the tag `!`. PyYAML overlooks a last line break, and then
    /// mostly fails: that is no type at all.
    pub(super) fn of_any(text: &str) -> Tag {
        match text.strip_suffix('\n') {
            Some(line) if Tag::of_plain(line) != Tag::Str => Tag::Unknown,
            _ => Tag::of_plain(text),
        }
    }
}

fn of_number(text: &str) -> Tag {
    if is_float(text) {
        Tag::Float
    } else if is_int(text) {
        Tag::Int
    } else if is_timestamp(text) {
        Tag::Timestamp
    } else {
        Tag::Str
    }
}

/// What is left of a text that is being matched.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    /// Skips bytes of the set, and returns how many.
    fn skip(&mut self, is_in_set: fn(u8) -> bool) -> usize {
        let length = self.0.iter().take_while(|&&byte| is_in_set(byte)).count();
        self.0 = &self.0[length..];
        length
    }

    /// Skips one byte, if it is one of `bytes`.
    fn one(&mut self, bytes: &[u8]) -> bool {
        let there = self.0.first().is_some_and(|byte| bytes.contains(byte));
        self.0 = &self.0[usize::from(there)..];
        there
    }

    /// Skips digits if there are at least `least` and at most `most`.
    fn digits(&mut self, least: usize, most: usize) -> bool {
        (least..=most).contains(&self.skip(|byte| byte.is_ascii_digit()))
    }

    /// Skips `:` with a number below 60 after it, again and again; returns how often, and nothing if a number is larger.
    fn sexagesimal(&mut self) -> Option<usize> {
        let mut count = 0;
        while self.one(b":") {
            let digits = self.0;
            match self.skip(|byte| byte.is_ascii_digit()) {
                1 => {}
                2 if digits[0] <= b'5' => {}
                _ => return None,
            }
            count += 1;
        }
        Some(count)
    }

    /// Skips an exponent, if one is there. Its sign must be.
    fn exponent(&mut self) -> bool {
        !self.one(b"eE") || (self.one(b"+-") && self.digits(1, usize::MAX))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn is_digit_or_underscore(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'_'
}

fn is_float(text: &str) -> bool {
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let mut rest = Rest(text.as_bytes());
    let is_signed = rest.one(b"+-");
    if matches!(rest.0, b".inf" | b".Inf" | b".INF") {
        return true;
    }
    match rest.0 {
        [b'.', b'0'..=b'9', ..] if !is_signed => {
            rest.one(b".");
            rest.skip(is_digit_or_underscore);
            rest.exponent() && rest.is_empty()
        }
        [b'0'..=b'9', ..] => {
            rest.skip(is_digit_or_underscore);
            let Some(sexagesimal) = rest.sexagesimal() else { return false };
            if !rest.one(b".") {
                return false;
            }
            rest.skip(is_digit_or_underscore);
            (sexagesimal > 0 || rest.exponent()) && rest.is_empty()
        }
        _ => false,
    }
}

fn is_int(text: &str) -> bool {
    let mut rest = Rest(text.as_bytes());
    rest.one(b"+-");
    match rest.0 {
        b"0" => true,
        [b'0', b'b', digits @ ..] => all(digits, |byte| matches!(byte, b'0' | b'1' | b'_')),
        [b'0', b'x', digits @ ..] => all(digits, |byte| byte.is_ascii_hexdigit() || byte == b'_'),
        [b'0', digits @ ..] => all(digits, |byte| matches!(byte, b'0'..=b'7' | b'_')),
        [b'1'..=b'9', ..] => {
            rest.skip(is_digit_or_underscore);
            rest.sexagesimal().is_some() && rest.is_empty()
        }
        _ => false,
    }
}

fn all(bytes: &[u8], is_in_set: fn(u8) -> bool) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_in_set(byte))
}

fn is_timestamp(text: &str) -> bool {
    let is_date = |form: &[u8], bytes: &[u8]| {
        form.len() == bytes.len()
            && form
                .iter()
                .zip(bytes)
                .all(|(form, byte)| if *form == b'0' { byte.is_ascii_digit() } else { form == byte })
    };
    if is_date(b"0000-00-00", text.as_bytes()) {
        return true;
    }
    let mut rest = Rest(text.as_bytes());
    let is_day = rest.digits(4, 4) && rest.one(b"-") && rest.digits(1, 2) && rest.one(b"-") && rest.digits(1, 2);
    let is_separated = is_day && (rest.one(b"Tt") || rest.skip(|byte| matches!(byte, b' ' | b'\t')) > 0);
    let is_time = is_separated && rest.digits(1, 2) && rest.one(b":") && rest.digits(2, 2);
    if !(is_time && rest.one(b":") && rest.digits(2, 2)) {
        return false;
    }
    if rest.one(b".") {
        rest.skip(|byte| byte.is_ascii_digit());
    }
    rest.skip(|byte| matches!(byte, b' ' | b'\t'));
    let has_zone = rest.one(b"Z") || !rest.one(b"+-") || (rest.digits(1, 2) && (!rest.one(b":") || rest.digits(2, 2)));
    has_zone && rest.is_empty()
}
