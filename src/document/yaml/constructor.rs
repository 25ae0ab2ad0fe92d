//! From nodes to values: types, merge keys, and keys that are there twice.

mod merge;

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::super::value::repetitions;
use super::super::{Members, Value};
use super::node::{Content, Node, NodeId, Nodes, Pair, Tag};
use super::number::{self, NumberKey};
use super::{MAX_DEPTH, Result, malformed};
use merge::Version;

/// Builds values from the nodes of `text`.
pub(super) struct Constructor<'a, 'n> {
    text: &'a str,
    nodes: &'n Nodes<'a>,
    /// How much more may be built. Without aliases no document gets there: with them a small one could go on for ever.
    budget: usize,
    /// For each node, whether it is a key that was given before in the same mapping.
    repeated: Vec<bool>,
}

/// The cost of a node, beside that of its text.
const NODE_COST: usize = 16;

/// A key as a mapping of Python has it.
struct Key<'a> {
    /// What it becomes in JSON.
    name: Cow<'a, str>,
    /// For all but strings: the same for all keys that Python holds to be equal, and never beginning with `s`.
    identity: Option<String>,
}

impl<'a, 'n> Constructor<'a, 'n> {
    pub(super) fn new(text: &'a str, nodes: &'n Nodes<'a>) -> Constructor<'a, 'n> {
        Constructor { text, nodes, budget: 64 * text.len() + (4 << 20), repeated: vec![false; nodes.len()] }
    }

    /// Where a key was given that was there before, in the order of the document. An alias repeats what it stands for,
    /// but not its warnings.
    pub(super) fn repeated(&self) -> impl Iterator<Item = usize> {
        self.nodes.iter().zip(&self.repeated).filter(|(_, repeated)| **repeated).map(|(node, _)| node.offset())
    }

    /// The value of a node, inside `depth` collections.
    pub(super) fn value(&mut self, index: NodeId, depth: usize) -> Result<Value<'a>> {
        let node = &self.nodes[index];
        self.spend(NODE_COST, node)?;
        if let Some(text) = self.nodes.scalar(node) {
            return self.scalar(node, text);
        }
        if depth >= MAX_DEPTH {
            return self.refuse(node, "nested too deeply by aliases: at most 490 levels");
        }
        match (node.content, node.tag) {
            (Content::Sequence(items), Tag::Seq) => {
                let mut elements = Vec::with_capacity(items.len());
                for &item in self.nodes.items(items) {
                    elements.push(self.value(item, depth + 1)?);
                }
                Ok(Value::Array(elements))
            }
            (Content::Sequence(items), Tag::Omap | Tag::Pairs) => {
                let mut elements = Vec::with_capacity(items.len());
                for &item in self.nodes.items(items) {
                    elements.push(self.pair(item, depth + 1)?);
                }
                Ok(Value::Array(elements))
            }
            (Content::Mapping(_), Tag::Map) => self.mapping(index, depth),
            (_, Tag::Set) => self.refuse(node, "a set is no JSON: expected a list"),
            (_, Tag::Unknown) => self.refuse_tag(node),
            _ => self.refuse(node, "the tag does not fit the value after it"),
        }
    }

    fn scalar(&mut self, node: &Node, text: Cow<'a, str>) -> Result<Value<'a>> {
        self.spend(text.len(), node)?;
        let value = match node.tag {
            Tag::Str => return Ok(Value::String(text)),
            Tag::Null => Ok(Value::Null),
            Tag::Bool => boolean(&text).map(Value::Bool),
            Tag::Int => number::integer(text).map(Value::Number),
            Tag::Float => number::float(text).map(Value::Number),
            Tag::Timestamp => Err("a date is no JSON: expected the text in quotes"),
            Tag::Binary => Err("binary data is no JSON: expected a string"),
            Tag::Merge => Err("`<<` stands for no value: expected the text in quotes"),
            Tag::Default => Err("`=` stands for no value: expected the text in quotes"),
            Tag::Unknown => return self.refuse_tag(node),
            _ => Err("the tag does not fit the value after it: expected a collection"),
        };
        value.or_else(|message| self.refuse(node, message))
    }

    /// An entry of an ordered map: in JSON, an array of the key and the value.
    fn pair(&mut self, index: NodeId, depth: usize) -> Result<Value<'a>> {
        let node = &self.nodes[index];
        if let Content::Mapping(pairs) = node.content
            && let &[[key, value]] = self.nodes.pairs(pairs)
        {
            return Ok(Value::Array(vec![self.value(key, depth + 1)?, self.value(value, depth + 1)?]));
        }
        self.refuse(node, "expected a mapping with one key")
    }

    fn mapping(&mut self, index: NodeId, depth: usize) -> Result<Value<'a>> {
        let pairs = self.pairs(index);
        if !pairs.iter().any(|&[key, _]| self.nodes[key].tag == Tag::Merge) {
            return self.object(index, Cow::Borrowed(pairs), 0, depth);
        }
        let mut merged = self.merged(index, Version::Older, depth)?;
        let own_from = merged.len();
        merged.extend(self.own(index));
        self.object(index, Cow::Owned(merged), own_from, depth)
    }

    /// What a node holds that is a mapping.
    fn pairs(&self, index: NodeId) -> &'n [Pair] {
        match self.nodes[index].content {
            Content::Mapping(pairs) => self.nodes.pairs(pairs),
            _ => &[],
        }
    }

    /// The object with these members, of which those from `own_from` on were not merged in.
    fn object(&mut self, index: NodeId, nodes: Cow<'_, [Pair]>, own_from: usize, depth: usize) -> Result<Value<'a>> {
        let mut members = Members::with_capacity(nodes.len());
        let mut identities = Vec::new();
        for (position, &[key, value]) in nodes.iter().enumerate() {
            let key = self.key(key)?;
            if let Some(identity) = key.identity {
                identities.push((position, identity));
            }
            members.push((key.name, self.value(value, depth + 1)?));
        }
        if identities.is_empty() && repetitions(&members).is_empty() {
            return Ok(Value::Object(members));
        }
        let pairs = Pairs { nodes, members, identities: identities.into_iter().collect() };
        let united = pairs.unite(0..pairs.nodes.len(), |first, again| {
            if first >= own_from {
                self.repeated[pairs.nodes[again][0] as usize] = true;
            }
        });
        if own_from > 0 {
            self.check_merge(index, &pairs, &united, depth)?;
        }
        Ok(Value::Object(pairs.take(&united)))
    }

    fn key(&mut self, index: NodeId) -> Result<Key<'a>> {
        let node = &self.nodes[index];
        let Some(text) = self.nodes.scalar(node) else {
            return self.refuse(node, "a collection cannot be a key: expected a scalar");
        };
        self.spend(NODE_COST + text.len(), node)?;
        let key = match node.tag {
            Tag::Str | Tag::Default => return Ok(Key { name: text, identity: None }),
            Tag::Null => Ok(NumberKey { name: "null".to_owned(), value: "null".to_owned() }),
            Tag::Bool => boolean(&text).map(|value| {
                let (name, value) = if value { ("true", "1") } else { ("false", "0") };
                NumberKey { name: name.to_owned(), value: value.to_owned() }
            }),
            Tag::Int => {
                number::integer(text).map(|digits| NumberKey { name: digits.to_string(), value: digits.into_owned() })
            }
            Tag::Float => number::float_key(&text),
            Tag::Timestamp => Err("a date cannot be a key in JSON: expected the text in quotes"),
            Tag::Binary => Err("binary data cannot be a key in JSON: expected a string"),
            Tag::Unknown => return self.refuse_tag(node),
            _ => Err("the tag does not fit the key after it"),
        };
        match key {
            Ok(key) => Ok(Key { name: key.name.into(), identity: Some(key.value) }),
            Err(message) => self.refuse(node, message),
        }
    }

    fn spend(&mut self, cost: usize, node: &Node) -> Result<()> {
        match self.budget.checked_sub(cost) {
            Some(rest) => {
                self.budget = rest;
                Ok(())
            }
            None => self.refuse(node, "the aliases make too much of a small file"),
        }
    }

    /// What is read as a tag may be a value that wants quotes: it is not named.
    #[cold]
    fn refuse_tag<T>(&self, node: &Node) -> Result<T> {
        let known = "expected one of !!str !!int !!float !!bool !!null !!seq !!map !!omap !!pairs";
        self.refuse(node, &format!("unknown tag: {known}, or quotes around a value that begins with `!`"))
    }

    #[cold]
    fn refuse<T>(&self, node: &Node, message: &str) -> Result<T> {
        Err(malformed(self.text, node.offset(), message))
    }
}

fn boolean(text: &str) -> std::result::Result<bool, &'static str> {
    let is_one_of = |words: [&str; 3]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_one_of(["true", "yes", "on"]) {
        Ok(true)
    } else if is_one_of(["false", "no", "off"]) {
        Ok(false)
    } else {
        Err("not a boolean: expected true or false")
    }
}

/// The pairs of a mapping, some of which may have the same key.
struct Pairs<'a, 'p> {
    nodes: Cow<'p, [Pair]>,
    members: Members<'a>,
    /// Those of the keys that are no strings, by position.
    identities: HashMap<usize, String>,
}

/// What a key is compared by: whether it is another one than its text, and which.
type Identity<'i> = (bool, &'i str);

/// A member of an object: the positions of the pairs that its name and its value are from.
struct Member {
    name: usize,
    value: usize,
}

impl<'a> Pairs<'a, '_> {
    /// What is left of the pairs at these positions, the last value of a key at the place of its first. `note` is told
    /// where a key is first and again. Python compares the keys themselves, then JSON their names: 1 and true are one
    /// key, 1 and "1" become one.
    fn unite(&self, positions: impl Iterator<Item = usize>, mut note: impl FnMut(usize, usize)) -> Vec<Member> {
        let pairs = positions.map(|position| Member { name: position, value: position }).collect();
        let identity = |position: usize| match self.identities.get(&position) {
            Some(identity) => (true, identity.as_str()),
            None => (false, &*self.members[position].0),
        };
        let keys = unite(pairs, &identity, &mut note);
        unite(keys, &|position| (false, &*self.members[position].0), &mut note)
    }

    fn name(&self, member: &Member) -> &str {
        &self.members[member.name].0
    }

    fn value(&self, member: &Member) -> &Value<'a> {
        &self.members[member.value].1
    }

    fn take(mut self, members: &[Member]) -> Members<'a> {
        let mut take = |member: &Member| {
            let name = std::mem::take(&mut self.members[member.name].0);
            (name, std::mem::replace(&mut self.members[member.value].1, Value::Null))
        };
        members.iter().map(&mut take).collect()
    }
}

/// One member for each identity that a name has.
fn unite<'i>(
    members: Vec<Member>,
    identity: &dyn Fn(usize) -> Identity<'i>,
    note: &mut dyn FnMut(usize, usize),
) -> Vec<Member> {
    let mut united: Vec<Member> = Vec::new();
    let mut index_of = HashMap::new();
    for member in members {
        match index_of.entry(identity(member.name)) {
            Entry::Vacant(entry) => {
                entry.insert(united.len());
                united.push(member);
            }
            Entry::Occupied(entry) => {
                let first = &mut united[*entry.get()];
                note(first.name, member.name);
                first.value = member.value;
            }
        }
    }
    united
}
