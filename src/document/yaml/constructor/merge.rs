//! Merge keys, as the versions of PyYAML read them. What depends on the version is refused.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::super::super::Value;
use super::super::node::{Content, NodeId, Pair, Tag};
use super::super::{MAX_DEPTH, Result};
use super::{Constructor, Member, Pairs};

/// The ways to merge.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Version {
    /// Before 6.0.4: the first mapping of a list counts, and of several merge keys the last one.
    Older,
    /// Since 6.0.4: the last one counts, but for a key whose text is in memory where that of an earlier one is.
    /// Of a few texts it is the loader that decides whether they are shared.
    Newer { shares_more: bool },
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
                Version::Newer { shares_more } => texts.insert(self.text_of(key, shares_more)),
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
    fn text_of(&self, key: NodeId, shares_more: bool) -> Text<'a> {
        let node = &self.nodes[key];
        let Some(text) = self.nodes.scalar(node) else { return Text::Of(key) };
        let mut characters = text.chars();
        let is_shared = match (characters.next(), characters.next()) {
            (None, _) => true,
            // The loader in Python shares these as escapes, and not what it joins from parts, as a block's lines.
            (Some('\n' | '\u{2028}' | '\u{2029}'), None) => shares_more,
            (Some('\0'..='\u{FF}'), None) => shares_more || !self.is_last_block(node.offset(), &text),
            _ => false,
        };
        if is_shared { Text::Shared(text) } else { Text::Of(key) }
    }

    /// Can this be a block scalar that the document ends with, without a line break?
    fn is_last_block(&self, offset: usize, text: &str) -> bool {
        self.text.ends_with(text) && self.text[offset..].contains(['|', '>'])
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
        for shares_more in [false, true] {
            let mut newer = self.merged(index, Version::Newer { shares_more }, depth)?;
            newer.extend(self.own(index));
            let newer = pairs.unite(newer.iter().map(|pair| position_of[pair]), |_, _| ());
            let newer: HashMap<&str, &Member> = newer.iter().map(|member| (pairs.name(member), member)).collect();
            for member in older {
                let other = newer.get(pairs.name(member));
                if other.is_some_and(|other| is_same(pairs.value(member), pairs.value(other))) {
                    continue;
                }
                let both = [Some(member), other.copied()].into_iter().flatten();
                let positions = both.flat_map(|member| [member.name, member.value]);
                let keys = positions.map(|position| &self.nodes[pairs.nodes[position][0]]);
                let Some(second) = keys.max_by_key(|node| node.offset()) else { continue };
                let key = pairs.name(member);
                let message = "is merged with several values, and the version of PyYAML decides which one counts: \
                               expected it once, or beside the `<<`";
                return self.refuse(second, &["the key `", key, "` ", message].concat());
            }
        }
        Ok(())
    }
}

/// Is this the same value for all who do not look at the order of members?
fn is_same(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || is_same_float(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let other: HashMap<&str, &Value<'_>> = other.iter().map(|(name, value)| (&**name, value)).collect();
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(&**name).is_some_and(|other| is_same(value, other)))
        }
        _ => one == other,
    }
}

fn is_same_float(one: &str, other: &str) -> bool {
    let bits = |text: &str| text.contains(['.', 'e']).then(|| text.parse::<f64>().ok().map(f64::to_bits)).flatten();
    bits(one).is_some_and(|one| bits(other) == Some(one))
}
