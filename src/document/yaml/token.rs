//! The tokens that the scanner makes of a text and the composer builds nodes from.

use std::borrow::Cow;

/// A token and where it begins.
pub(super) struct Token<'a> {
    pub(super) offset: usize,
    pub(super) kind: Kind<'a>,
}

/// What a token is. Collections in block style have no signs of their own: their starts and ends are
/// tokens without text, made from indentation.
#[derive(PartialEq)]
pub(super) enum Kind<'a> {
    StreamEnd,
    YamlDirective { is_known: bool },
    TagDirective { handle: &'a str, prefix: Cow<'a, str> },
    DocumentStart,
    DocumentEnd,
    BlockSequenceStart,
    BlockMappingStart,
    BlockEnd,
    FlowSequenceStart,
    FlowSequenceEnd,
    FlowMappingStart,
    FlowMappingEnd,
    FlowEntry,
    BlockEntry,
    Key,
    Value,
    Alias(&'a str),
    Anchor(&'a str),
    Tag { handle: Option<&'a str>, suffix: Cow<'a, str> },
    Scalar { text: Cow<'a, str>, plain: bool },
}

impl Kind<'_> {
    /// How an error message calls the token.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Kind::StreamEnd => "the end of the file",
            Kind::YamlDirective { .. } | Kind::TagDirective { .. } => "a directive",
            Kind::DocumentStart => "`---`",
            Kind::DocumentEnd => "`...`",
            Kind::BlockSequenceStart => "an indented list",
            Kind::BlockMappingStart => "an indented mapping",
            Kind::BlockEnd => "the end of the indented block",
            Kind::FlowSequenceStart => "`[`",
            Kind::FlowSequenceEnd => "`]`",
            Kind::FlowMappingStart => "`{`",
            Kind::FlowMappingEnd => "`}`",
            Kind::FlowEntry => "`,`",
            Kind::BlockEntry => "`-`",
            Kind::Key => "a key",
            Kind::Value => "`:`",
            Kind::Alias(_) => "an alias",
            Kind::Anchor(_) => "an anchor",
            Kind::Tag { .. } => "a tag",
            Kind::Scalar { .. } => "a scalar",
        }
    }
}
