//! What a document was built from, kept for who wants to know where in the text a value stands.

use super::super::{Part, Step};
use super::node::{Content, NodeId, Nodes, Pair, Tag};

/// The nodes of a document that was read.
pub struct Tree<'a> {
    pub(super) nodes: Nodes<'a>,
    /// None where the document is empty.
    pub(super) root: Option<NodeId>,
}

impl Tree<'_> {
    /// Where a part of the value at `path` stands; where there is no such value, the last one on the way to it. A value
    /// behind an alias stands at its anchor.
    pub fn offset(&self, path: &[Step<'_>], part: Part) -> usize {
        let Some(root) = self.root else { return 0 };
        let mut found = [root; 2];
        for &step in path {
            let [_, value] = found;
            match self.find(value, step) {
                Some(pair) => found = pair,
                None => return self.nodes.place(value),
            }
        }
        let [key, value] = found;
        self.nodes.place(if part == Part::Key { key } else { value })
    }

    /// The key and the value to which a step leads; an element is both itself.
    fn find(&self, from: NodeId, step: Step<'_>) -> Option<Pair> {
        match (self.nodes[from].content, step) {
            (Content::Sequence(items), Step::Element(index)) => {
                self.nodes.items(items).get(index).map(|&item| [item; 2])
            }
            (Content::Mapping(pairs), Step::Member(name)) => self.member(self.nodes.pairs(pairs), name),
            _ => None,
        }
    }

    /// The last member of that name counts, and only without one those that are merged in.
    fn member(&self, pairs: &[Pair], name: &str) -> Option<Pair> {
        let is_merge = |pair: &&Pair| self.nodes[pair[0]].tag == Tag::Merge;
        let is_it = |pair: &&Pair| {
            let key = &self.nodes[pair[0]];
            key.tag == Tag::Str && self.nodes.scalar(key).is_some_and(|text| text == name)
        };
        let own = pairs.iter().rfind(is_it).copied();
        own.or_else(|| pairs.iter().filter(is_merge).find_map(|&[_, source]| self.merged(source, name)))
    }

    fn merged(&self, source: NodeId, name: &str) -> Option<Pair> {
        match self.nodes[source].content {
            Content::Mapping(pairs) => self.member(self.nodes.pairs(pairs), name),
            Content::Sequence(items) => self.nodes.items(items).iter().find_map(|&item| self.merged(item, name)),
            _ => None,
        }
    }
}
