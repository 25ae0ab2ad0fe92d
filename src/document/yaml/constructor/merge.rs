//! Merge keys, as the versions of PyYAML read them. What depends on the version is refused.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::super::super::Value;
use super::super::node::{Content, Node, NodeId, Pair, Tag};
use super::super::number;
use super::super::{MAX_DEPTH, Result};
use super::{Constructor, Identity, Member, Pairs};

/// The ways to merge.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Version {
    /// Before 6.0.4: the first mapping of a list counts, and of several merge keys the last one.
    Older,
    /// Since 6.0.4: the last one counts, but for a key whose text is in memory where that of an earlier one is.
    /// Of a few texts it is the loader, in C or in Python, that decides whether they are.
    Newer { in_c: bool },
}

/// What tells the text of one key from that of another.
#[derive(PartialEq, Eq, Hash)]
enum Text<'a> {
    Shared(Cow<'a, str>),
    Of(NodeId),
}

impl<'a> Constructor<'a, '_> {
    /// What the merge keys of a mapping bring in, the least important first.
    pub(super) fn merged(&mut self, index: NodeId, version: Version, depth: usize) -> Result<Vec<Pair>> {
        let mut merged = Vec::new();
        let mut texts = HashSet::new();
        for source in self.sources(index, version)? {
            if depth >= MAX_DEPTH {
                return self.refuse(&self.nodes[source], "nested too deeply by merge keys: at most 490 levels");
            }
            let inherited = self.merged(source, version, depth + 1)?;
            let own = self.own(source);
            if version == Version::Older {
                // The other versions merge no more than this one, and are asked at most twice.
                self.spend(super::NODE_COST * (1 + inherited.len() + own.len()), &self.nodes[source])?;
            }
            merged.extend(inherited.into_iter().chain(own).filter(|&[key, _]| match version {
                Version::Older => true,
                Version::Newer { in_c } => texts.insert(self.text_of(key, in_c)),
            }));
        }
        Ok(merged)
    }

    /// The mappings that the merge keys of a mapping name.
    fn sources(&self, index: NodeId, version: Version) -> Result<Vec<NodeId>> {
        let mut sources = Vec::new();
        for &[_, source] in self.pairs(index).iter().filter(|&&[key, _]| self.nodes[key].tag == Tag::Merge) {
            match self.nodes[source].content {
                Content::Mapping(_) => sources.push(source),
                Content::Sequence(items) => {
                    let first = sources.len();
                    for &item in self.nodes.items(items) {
                        if !matches!(self.nodes[item].content, Content::Mapping(_)) {
                            return self.refuse(&self.nodes[item], "expected a mapping to merge");
                        }
                        sources.push(item);
                    }
                    if version == Version::Older {
                        sources[first..].reverse();
                    }
                }
                _ => return self.refuse(&self.nodes[source], "expected a mapping to merge, or a list of them"),
            }
        }
        Ok(sources)
    }

    /// What a mapping holds beside merge keys.
    pub(super) fn own(&self, index: NodeId) -> Vec<Pair> {
        self.pairs(index).iter().copied().filter(|&[key, _]| self.nodes[key].tag != Tag::Merge).collect()
    }

    /// CPython keeps one string of each character up to U+00FF, and one empty string.
    fn text_of(&self, key: NodeId, in_c: bool) -> Text<'a> {
        let node = &self.nodes[key];
        let Some(text) = self.nodes.scalar(node) else { return Text::Of(key) };
        let mut characters = text.chars();
        let is_shared = match (characters.next(), characters.next()) {
            (None, _) => true,
            (Some('\0'..='\u{FF}'), None) => in_c || !self.is_joined(node),
            // In Python the text of these escapes is always the same one.
            (Some('\u{2028}' | '\u{2029}'), None) => {
                !in_c && [r#""\L""#, r#""\P""#].iter().any(|escape| self.written(node).starts_with(escape))
            }
            _ => false,
        };
        if is_shared { Text::Shared(text) } else { Text::Of(key) }
    }

    /// Does the loader in Python put the one character of this scalar together from parts? So it does with a block
    /// and the line break after it, also where that is the end of the file.
    fn is_joined(&self, node: &Node) -> bool {
        let written = self.written(node);
        written.starts_with(['|', '>']) && !written.lines().next().is_some_and(|header| header.contains('-'))
    }

    /// The text from a scalar on, without its anchor and tag.
    fn written(&self, node: &Node) -> &'a str {
        let mut written = &self.text[node.offset()..];
        while written.starts_with(['&', '!']) {
            written = written.split_once([' ', '\n']).map_or("", |(_, rest)| rest.trim_start());
        }
        written
    }

    /// Refuses a mapping that merges, if another version makes something else of it than these members.
    pub(super) fn check_merge(
        &mut self,
        index: NodeId,
        pairs: &Pairs<'a, '_>,
        older: &[Member],
        depth: usize,
    ) -> Result<()> {
        let position_of: HashMap<Pair, usize> = pairs.nodes.iter().copied().zip(0..).collect();
        for in_c in [false, true] {
            let mut newer = self.merged(index, Version::Newer { in_c }, depth)?;
            newer.extend(self.own(index));
            let newer = pairs.unite(newer.iter().map(|pair| position_of[pair]), |_, _| ());
            let mut index_of: HashMap<Identity<'_>, usize> =
                newer.iter().zip(0..).map(|(member, index)| ((false, pairs.name(member)), index)).collect();
            for member in older {
                let other = index_of.remove(&(false, pairs.name(member))).map(|index| &newer[index]);
                if other.is_none_or(|other| !is_same(pairs.value(member), pairs.value(other))) {
                    return self.refuse_merge(pairs, member, other.unwrap_or(member));
                }
            }
            if let Some(&index) = index_of.values().min() {
                return self.refuse_merge(pairs, &newer[index], &newer[index]);
            }
        }
        Ok(())
    }

    /// Refuses the last of the keys that these two members are made from.
    fn refuse_merge(&self, pairs: &Pairs<'a, '_>, one: &Member, other: &Member) -> Result<()> {
        let positions = [one.name, one.value, other.name, other.value];
        let keys = positions.map(|position| &self.nodes[pairs.nodes[position][0]]);
        let last = keys.into_iter().fold(keys[0], |last, key| if key.offset() > last.offset() { key } else { last });
        let message = "is merged with several values, and the version of PyYAML decides which one counts: \
                       expected it once, or beside the `<<`";
        self.refuse(last, &["the key `", pairs.name(one), "` ", message].concat())
    }
}

/// Is this the same value for all who do not look at the order of members?
fn is_same(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || number::is_same_float(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let index_of: HashMap<Identity<'_>, usize> =
                other.iter().zip(0..).map(|((name, _), index)| ((false, &**name), index)).collect();
            let has =
                |name: &str, value| index_of.get(&(false, name)).is_some_and(|&index| is_same(value, &other[index].1));
            one.len() == other.len() && one.iter().all(|(name, value)| has(name, value))
        }
        _ => one == other,
    }
}
