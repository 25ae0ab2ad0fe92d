//! `extra_config`: what is merged into it, and where each of its members comes from.

use super::source::{Document, Places};
use crate::document::{Malformed, Members, Part, Step, Value, json};
use crate::error::Error;
use std::borrow::Cow;

/// A document with everything that is merged over it.
pub(super) struct Merged<'a> {
    pub(super) value: Value<'a>,
    /// Whether the document is what its source holds.
    pub(super) is_original: bool,
    key: &'static str,
    base: Places<'a>,
    /// What `extra_config` was, where it was a string of JSON.
    text: Option<String>,
    /// What LMCACHE_EXTRA_CONFIG put in the place of the whole.
    replacement: Option<Places<'a>>,
    overlay: Option<(Vec<String>, Places<'a>)>,
}

/// The member that holds plugin parameters, in either shape of document.
fn key_of(value: &Value<'_>) -> &'static str {
    if value.get("mp_config").is_some() { "runtime_plugin_extra_config" } else { "extra_config" }
}

impl<'a> Merged<'a> {
    pub(super) fn new(document: Document<'a>) -> Merged<'a> {
        let Document { value, places } = document;
        let key = key_of(&value);
        Merged { value, is_original: true, key, base: places, text: None, replacement: None, overlay: None }
    }

    /// Does a JSON Pointer lead into `extra_config`?
    pub(super) fn is_extra(&self, pointer: &str) -> bool {
        pointer.strip_prefix('/').and_then(|path| path.strip_prefix(self.key)).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Puts what a string holds in its place: LMCache reads it as JSON.
    pub(super) fn read_text(&mut self) -> Result<(), Error> {
        let Some(Value::String(text)) = self.value.get(self.key) else { return Ok(()) };
        let read = if text.trim().is_empty() {
            Value::Null
        } else {
            match json::parse_python(text.as_bytes()) {
                Ok(value) => value.into_owned(),
                Err(malformed) => {
                    let Malformed { offset, message, .. } = malformed;
                    let problem = format!("`{}`, offset {offset} of the JSON in it: {message}", self.key);
                    return Err(self.base.refuse(&[Step::Member(self.key)], &problem));
                }
            }
        };
        self.text = Some(text.to_string());
        if let Some(value) = self.member() {
            *value = read;
        }
        Ok(())
    }

    /// Says where LMCache would fail at start.
    pub(super) fn judge(&self, warnings: &mut Vec<String>) {
        let is_right = |value: &Value<'_>| match value {
            Value::Object(_) | Value::Null => true,
            // What JSON holds in a string is taken as it is.
            value => self.text.is_none() && value.is_nothing(),
        };
        if let Some(value) = self.value.get(self.key).filter(|value| !is_right(value)) {
            let place = self.base.of(&[Step::Member(self.key)]);
            let (key, kind) = (self.key, value.kind());
            warnings.push(format!("{place}: `{key}` is {kind}, with which LMCache fails at start: write a mapping"));
        }
    }

    fn member(&mut self) -> Option<&mut Value<'a>> {
        match &mut self.value {
            Value::Object(members) => members.iter_mut().find(|(name, _)| name == self.key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Puts another `extra_config` in the place of the document's own, or takes it away.
    pub(super) fn replace(&mut self, by: Document<'a>) -> Result<(), Error> {
        let Document { value, places } = by;
        self.is_original = false;
        self.text = None;
        let members = self.members()?;
        members.retain(|(name, _)| name != "extra_config");
        match value {
            Value::Object(_) => members.push(("extra_config".into(), value)),
            Value::Null => {}
            value => return Err(places.refuse(&[], &format!("{}, not a JSON object", value.kind()))),
        }
        self.replacement = Some(places);
        Ok(())
    }

    /// Puts the members of an object over those of the same name.
    pub(super) fn overlay(&mut self, over: Document<'a>) -> Result<(), Error> {
        let Document { value, places } = over;
        let Value::Object(over) = value else {
            return Err(places.refuse(&[], "not a JSON object"));
        };
        self.is_original = false;
        self.read_text()?;
        let key = self.key;
        let members = self.members()?;
        let index = members.iter().position(|(name, _)| name == key).unwrap_or_else(|| {
            members.push((key.into(), Value::Null));
            members.len() - 1
        });
        let mut extra = match std::mem::replace(&mut members[index].1, Value::Null) {
            Value::Object(extra) => extra,
            value if value.is_nothing() => Vec::new(),
            value => {
                let problem =
                    format!("`{key}` is {} and not a mapping, so that --extra-config cannot be merged", value.kind());
                return Err(self.base.refuse(&[Step::Member(key)], &problem));
            }
        };
        let names = over.iter().map(|(name, _)| name.to_string()).collect();
        for (name, value) in over {
            match extra.iter_mut().find(|(existing, _)| *existing == name) {
                Some(member) => member.1 = value,
                None => extra.push((name, value)),
            }
        }
        members[index].1 = Value::Object(extra);
        self.overlay = Some((names, places));
        Ok(())
    }

    /// The members of the document; a file that holds nothing becomes one in which nothing is set.
    fn members(&mut self) -> Result<&mut Members<'a>, Error> {
        if self.value.is_nothing() {
            self.value = Value::Object(Vec::new());
        }
        match &mut self.value {
            Value::Object(members) => Ok(members),
            _ => {
                Err(self.base.refuse(&[], "the configuration is not a mapping, so that nothing can be merged into it"))
            }
        }
    }

    /// The members of `extra_config`.
    pub(super) fn extra(&self) -> &[(Cow<'a, str>, Value<'a>)] {
        match self.value.get(self.key) {
            Some(Value::Object(members)) => members,
            _ => &[],
        }
    }

    pub(super) fn name(&self) -> &str {
        self.base.name()
    }

    /// Where a key of the document itself stands.
    pub(super) fn place_of_key(&self, name: &str) -> String {
        self.base.of_key(&[Step::Member(name)])
    }

    /// Where the value of a member of `extra_config` stands.
    pub(super) fn place(&self, name: &str) -> String {
        if let Some((names, places)) = &self.overlay
            && names.iter().any(|own| own == name)
        {
            return places.of(&[Step::Member(name)]);
        }
        match (&self.replacement, &self.text) {
            (Some(places), _) => places.of(&[Step::Member(name)]),
            (None, Some(text)) => {
                let offset = json::offset(text.as_bytes(), &[Step::Member(name)], Part::Value);
                format!("{}, offset {offset} of the JSON in it", self.base.of(&[Step::Member(self.key)]))
            }
            (None, None) => self.base.of(&[Step::Member(self.key), Step::Member(name)]),
        }
    }
}
