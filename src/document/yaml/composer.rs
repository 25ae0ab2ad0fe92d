//! From tokens to nodes: the grammar of collections, and what anchors, aliases and tags refer to.

use std::borrow::Cow;
use std::collections::HashMap;
use std::mem::discriminant;

use super::node::{Content, NodeId, Nodes, Span, Tag};
use super::scanner::Scanner;
use super::token::{Kind, Token};
use super::{MAX_DEPTH, Result, malformed};

/// Composes the single document of `text`: its nodes, and which is the root; none where the document is empty.
pub(super) fn compose(text: &str) -> Result<(Nodes<'_>, Option<NodeId>)> {
    let mut composer = Composer {
        text,
        scanner: Scanner::new(text),
        nodes: Nodes::new(text),
        anchors: HashMap::new(),
        handles: vec![("!", "!".into()), ("!!", "tag:yaml.org,2002:".into())],
    };
    let root = composer.stream()?;
    Ok((composer.nodes, root))
}

struct Composer<'a> {
    text: &'a str,
    scanner: Scanner<'a>,
    nodes: Nodes<'a>,
    anchors: HashMap<&'a str, NodeId>,
    /// What the handles of tags stand for.
    handles: Vec<(&'a str, Cow<'a, str>)>,
}

/// Where a node stands, which decides what can be one.
#[derive(Clone, Copy, PartialEq)]
enum Context {
    Flow,
    Block,
    /// Below a key, where a list need not be indented more than the key.
    BlockOrIndentless,
}

/// Reads what a collection holds, the collections in it at this depth.
type Read<'a> = fn(&mut Composer<'a>, depth: usize) -> Result<()>;

impl<'a> Composer<'a> {
    fn stream(&mut self) -> Result<Option<NodeId>> {
        let is_explicit = match self.scanner.peek()? {
            Kind::StreamEnd => return Ok(None),
            kind => is_directive(kind) || *kind == Kind::DocumentStart,
        };
        let is_empty = is_explicit && {
            self.directives()?;
            matches!(self.scanner.peek()?, Kind::DocumentStart | Kind::DocumentEnd | Kind::StreamEnd)
                || is_directive(self.scanner.peek()?)
        };
        let root = if is_empty { self.empty()? } else { self.node(Context::Block, 0)? };
        while *self.scanner.peek()? == Kind::DocumentEnd {
            self.scanner.next()?;
        }
        match self.scanner.peek()? {
            Kind::StreamEnd => Ok(Some(root)),
            Kind::DocumentStart => self.refuse_next("a second document: expected the end of the file"),
            _ => self.refuse_found("expected the end of the document"),
        }
    }

    /// Takes the directives, and the `---` that must follow.
    fn directives(&mut self) -> Result<()> {
        let mut has_version = false;
        let mut declared = Vec::new();
        loop {
            if *self.scanner.peek()? != Kind::DocumentStart && !is_directive(self.scanner.peek()?) {
                return self.refuse_found("expected `---`");
            }
            let Token { offset, kind } = self.scanner.next()?;
            match kind {
                Kind::YamlDirective { .. } if has_version => return self.refuse(offset, "a second `%YAML`"),
                Kind::YamlDirective { is_known: true } => has_version = true,
                Kind::YamlDirective { .. } => return self.refuse(offset, "expected version 1.1 or 1.2 of YAML"),
                Kind::TagDirective { handle, prefix } => {
                    if declared.contains(&handle) {
                        return self.refuse(offset, "a second `%TAG` with this handle");
                    }
                    declared.push(handle);
                    self.handles.retain(|(name, _)| *name != handle);
                    self.handles.push((handle, prefix));
                }
                Kind::DocumentStart => return Ok(()),
                _ => {}
            }
        }
    }

    fn node(&mut self, context: Context, depth: usize) -> Result<NodeId> {
        if let Kind::Alias(name) = *self.scanner.peek()? {
            return self.alias(name);
        }
        let head = self.head()?;
        let is_block = context != Context::Flow;
        match self.scanner.peek()? {
            Kind::Scalar { .. } => match self.scanner.next()? {
                Token { offset, kind: Kind::Scalar { text, plain } } => Ok(self.scalar(&head, offset, text, plain)),
                _ => self.refuse(head.offset, "expected a scalar"),
            },
            Kind::FlowSequenceStart => self.sequence(&head, depth, Self::flow_sequence),
            Kind::FlowMappingStart => self.mapping(&head, depth, Self::flow_mapping),
            Kind::BlockSequenceStart if is_block => self.sequence(&head, depth, Self::block_sequence),
            Kind::BlockMappingStart if is_block => self.mapping(&head, depth, Self::block_mapping),
            Kind::BlockEntry if context == Context::BlockOrIndentless => {
                self.sequence(&head, depth, Self::indentless_sequence)
            }
            // A null for one of PyYAML's loaders, the empty string for the other.
            _ if head.tag == Some(Tag::Any) => self.refuse_found("expected a value after `!`"),
            _ if head.anchor.is_some() || head.tag.is_some() => Ok(self.scalar(&head, head.offset, "".into(), true)),
            _ => self.refuse_found("expected a value"),
        }
    }

    /// What cannot be a name of ours may be the beginning of a password: no message has it.
    fn alias(&mut self, name: &str) -> Result<NodeId> {
        let offset = self.scanner.next()?.offset;
        let Some(&index) = self.anchors.get(name) else {
            return self.refuse(offset, "no anchor of this name comes before the alias: a text with `*` wants quotes");
        };
        let node = &self.nodes[index];
        match (node.content, node.tag) {
            (Content::Open, _) => self.refuse(offset, "an alias to what it is itself part of"),
            // As a key this would be a string, and elsewhere an error, depending on which was seen first.
            (_, Tag::Default) => self.refuse(offset, "an alias to `=`: expected the text in quotes"),
            _ => Ok(index),
        }
    }

    /// Takes the anchor and the tag that may stand before a node, in either order.
    fn head(&mut self) -> Result<Head<'a>> {
        let mut head = Head { offset: self.scanner.offset()?, anchor: None, tag: None };
        loop {
            match self.scanner.peek()? {
                Kind::Anchor(_) if head.anchor.is_none() => {}
                Kind::Tag { .. } if head.tag.is_none() => {}
                _ => return Ok(head),
            }
            let Token { offset, kind } = self.scanner.next()?;
            match kind {
                Kind::Anchor(name) if self.anchors.contains_key(name) => {
                    return self.refuse(offset, "a second anchor of this name: a text with `&` wants quotes");
                }
                Kind::Anchor(name) => head.anchor = Some(name),
                Kind::Tag { handle: None, suffix } => head.tag = Some(Tag::named(&suffix)),
                Kind::Tag { handle: Some(handle), suffix } => {
                    let Some((_, prefix)) = self.handles.iter().find(|(name, _)| *name == handle) else {
                        // Which one is not said: it may be a value that wants quotes.
                        return self.refuse(offset, "no `%TAG` declares the handle with which this tag begins");
                    };
                    head.tag = Some(Tag::named(&[prefix, &*suffix].concat()));
                }
                _ => {}
            }
        }
    }

    fn set_anchor(&mut self, head: &Head<'a>, node: NodeId) {
        if let Some(name) = head.anchor {
            self.anchors.insert(name, node);
        }
    }

    /// The scalar whose token begins at `offset`.
    fn scalar(&mut self, head: &Head<'a>, offset: usize, text: Cow<'a, str>, plain: bool) -> NodeId {
        let tag = match head.tag {
            None if plain => Tag::of_plain(&text),
            None => Tag::Str,
            Some(Tag::Any) => Tag::of_any(&text),
            Some(tag) => tag,
        };
        let quote = usize::from(!plain);
        let node = self.nodes.add_scalar(tag, head.offset, offset + quote, text);
        self.set_anchor(head, node);
        node
    }

    /// The null that stands where nothing is written.
    fn empty(&mut self) -> Result<NodeId> {
        let offset = self.scanner.offset()?;
        Ok(self.nodes.add_scalar(Tag::Null, offset, offset, "".into()))
    }

    fn sequence(&mut self, head: &Head<'a>, depth: usize, read: Read<'a>) -> Result<NodeId> {
        self.collection(head, Tag::Seq, Content::Sequence, depth, read)
    }

    fn mapping(&mut self, head: &Head<'a>, depth: usize, read: Read<'a>) -> Result<NodeId> {
        self.collection(head, Tag::Map, Content::Mapping, depth, read)
    }

    fn collection(
        &mut self,
        head: &Head<'a>,
        tag: Tag,
        content: fn(Span) -> Content,
        depth: usize,
        read: Read<'a>,
    ) -> Result<NodeId> {
        if depth == MAX_DEPTH {
            return self.refuse(head.offset, "nested too deeply: at most 490 levels");
        }
        let tag = head.tag.filter(|tag| *tag != Tag::Any).unwrap_or(tag);
        let (node, mark) = self.nodes.begin(tag, head.offset);
        self.set_anchor(head, node);
        read(self, depth + 1)?;
        self.nodes.end(node, mark, content);
        Ok(node)
    }

    // What collections hold, each from its first token to its last.

    fn block_sequence(&mut self, depth: usize) -> Result<()> {
        self.scanner.next()?;
        while self.take(&Kind::BlockEntry)? {
            let item = match self.scanner.peek()? {
                Kind::BlockEntry | Kind::BlockEnd => self.empty()?,
                _ => self.node(Context::Block, depth)?,
            };
            self.nodes.hold(item);
        }
        if !self.take(&Kind::BlockEnd)? {
            return self.refuse_found("expected `-` or the end of the list");
        }
        Ok(())
    }

    /// A list that is not indented more than the key before it: ends where no `-` follows.
    fn indentless_sequence(&mut self, depth: usize) -> Result<()> {
        while self.take(&Kind::BlockEntry)? {
            let item = match self.scanner.peek()? {
                Kind::BlockEntry | Kind::Key | Kind::Value | Kind::BlockEnd => self.empty()?,
                _ => self.node(Context::Block, depth)?,
            };
            self.nodes.hold(item);
        }
        Ok(())
    }

    fn block_mapping(&mut self, depth: usize) -> Result<()> {
        self.scanner.next()?;
        while self.take(&Kind::Key)? {
            let key = self.block_mapping_part(depth)?;
            self.nodes.hold(key);
            let value = if self.take(&Kind::Value)? { self.block_mapping_part(depth)? } else { self.empty()? };
            self.nodes.hold(value);
        }
        if !self.take(&Kind::BlockEnd)? {
            return self.refuse_found("expected a key or the end of the mapping");
        }
        Ok(())
    }

    fn block_mapping_part(&mut self, depth: usize) -> Result<NodeId> {
        match self.scanner.peek()? {
            Kind::Key | Kind::Value | Kind::BlockEnd => self.empty(),
            _ => self.node(Context::BlockOrIndentless, depth),
        }
    }

    fn flow_sequence(&mut self, depth: usize) -> Result<()> {
        let start = self.scanner.next()?.offset;
        let mut is_first = true;
        while !self.take(&Kind::FlowSequenceEnd)? {
            if !std::mem::take(&mut is_first) && !self.take(&Kind::FlowEntry)? {
                return self.refuse_open(start, "expected `,` or `]`");
            }
            let offset = self.scanner.offset()?;
            if self.take(&Kind::Key)? {
                // PyYAML's C loader takes what comes next for the key, whatever it is.
                if matches!(self.scanner.peek()?, Kind::Value | Kind::FlowEntry | Kind::FlowSequenceEnd) {
                    return self.refuse_found("expected a key after `?`");
                }
                // `[a: b]` is a list of mappings with one key each.
                let head = Head { offset, anchor: None, tag: None };
                let item = self.mapping(&head, depth, Self::single_pair)?;
                self.nodes.hold(item);
            } else if *self.scanner.peek()? != Kind::FlowSequenceEnd {
                let item = self.node(Context::Flow, depth)?;
                self.nodes.hold(item);
            }
        }
        Ok(())
    }

    fn single_pair(&mut self, depth: usize) -> Result<()> {
        let key = self.flow_part(depth)?;
        self.nodes.hold(key);
        let value = self.flow_value(depth)?;
        self.nodes.hold(value);
        Ok(())
    }

    fn flow_mapping(&mut self, depth: usize) -> Result<()> {
        let start = self.scanner.next()?.offset;
        let mut is_first = true;
        while !self.take(&Kind::FlowMappingEnd)? {
            if !std::mem::take(&mut is_first) && !self.take(&Kind::FlowEntry)? {
                return self.refuse_open(start, "expected `,` or `}`");
            }
            if self.take(&Kind::Key)? {
                self.single_pair(depth)?;
            } else if *self.scanner.peek()? != Kind::FlowMappingEnd {
                let key = self.node(Context::Flow, depth)?;
                self.nodes.hold(key);
                let value = self.empty()?;
                self.nodes.hold(value);
            }
        }
        Ok(())
    }

    fn flow_value(&mut self, depth: usize) -> Result<NodeId> {
        if self.take(&Kind::Value)? { self.flow_part(depth) } else { self.empty() }
    }

    /// A key or a value inside brackets or braces, where nothing may stand for null.
    fn flow_part(&mut self, depth: usize) -> Result<NodeId> {
        match self.scanner.peek()? {
            Kind::Value | Kind::FlowEntry | Kind::FlowSequenceEnd | Kind::FlowMappingEnd => self.empty(),
            _ => self.node(Context::Flow, depth),
        }
    }

    /// Takes the next token if it is of this kind.
    fn take(&mut self, kind: &Kind<'a>) -> Result<bool> {
        let there = discriminant(self.scanner.peek()?) == discriminant(kind);
        if there {
            self.scanner.next()?;
        }
        Ok(there)
    }

    #[cold]
    fn refuse<T>(&self, offset: usize, message: &str) -> Result<T> {
        Err(malformed(self.text, offset, message))
    }

    #[cold]
    fn refuse_next<T>(&mut self, message: &str) -> Result<T> {
        let offset = self.scanner.offset()?;
        self.refuse(offset, message)
    }

    /// Refuses the next token inside of brackets; on another line, where nothing of a list or mapping can begin like it,
    /// the bracket that began at `start`.
    #[cold]
    fn refuse_open<T>(&mut self, start: usize, expected: &str) -> Result<T> {
        let offset = self.scanner.offset()?;
        let lines = self.text[start..offset].matches('\n').count();
        let is_outside = matches!(
            self.scanner.peek()?,
            Kind::Value | Kind::StreamEnd | Kind::DocumentStart | Kind::DocumentEnd | Kind::BlockEnd
        );
        if lines == 0 || !is_outside {
            return self.refuse_found(expected);
        }
        let line = self.text[..offset].matches('\n').count() + 1;
        self.refuse(start, &format!("this bracket is not closed before line {line}: {expected}"))
    }

    /// Refuses the next token, by name.
    #[cold]
    fn refuse_found<T>(&mut self, expected: &str) -> Result<T> {
        let found = self.scanner.peek()?.name();
        self.refuse_next(&[expected, ", found ", found].concat())
    }
}

/// What may stand before a node, and where that begins.
struct Head<'a> {
    offset: usize,
    anchor: Option<&'a str>,
    tag: Option<Tag>,
}

fn is_directive(kind: &Kind<'_>) -> bool {
    matches!(kind, Kind::YamlDirective { .. } | Kind::TagDirective { .. })
}
