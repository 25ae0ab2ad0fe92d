//! Where plugins are looked for: what variables and documents say, taken as LMCache takes it.

use super::source::{Document, Notation, Source};
use crate::document::{Step, Value};
use crate::error::Error;
use crate::escape::quoted;
use crate::lmcache::{LOCATIONS_VARIABLES, unquoted};
use crate::nearest::nearest;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The keys of a document, the present one and its older alias.
const KEYS: [&str; 2] = ["runtime_plugin_locations", "plugin_locations"];

/// A place where plugins are looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Location {
    pub path: PathBuf,
    /// What named it: a variable, or a place in a document. None for an argument.
    pub place: Option<String>,
}

/// Which kind of source the locations are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Arguments,
    Environment,
    File,
}

/// What is done about an item of a list that is empty, as a template leaves it where a value is not set.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum EmptyItem {
    Refused,
    /// With PROGRAM, which nothing empty may keep from starting.
    LeftOut,
}

/// What the variables name. Of two that are set LMCache takes the older, also where it is empty; an empty one means that
/// there are none.
pub(super) fn of_variables(empty: EmptyItem, warnings: &mut Vec<String>) -> Result<Option<Vec<Location>>, Error> {
    let [newer, older] = LOCATIONS_VARIABLES;
    let (name, text) = match (std::env::var_os(newer), std::env::var_os(older)) {
        (Some(_), Some(text)) => {
            warnings
                .push(format!("{newer} and {older} are both set: {older} counts, as in LMCache; unset one of them"));
            (older, text)
        }
        (None, Some(text)) => (older, text),
        (Some(text), None) => (newer, text),
        (None, None) => return Ok(None),
    };
    let locations = of_variable(name, &text, empty, warnings)?;
    if locations.is_empty() {
        warnings.push(format!("{name} names no plugin locations: it is empty"));
    }
    Ok(Some(locations))
}

/// One path, or a JSON array of them.
fn of_variable(
    name: &str,
    text: &OsString,
    empty: EmptyItem,
    warnings: &mut Vec<String>,
) -> Result<Vec<Location>, Error> {
    let value = text.as_bytes();
    let (start, text) = unquoted(value);
    match text {
        b"" => Ok(Vec::new()),
        [b'[', ..] => {
            // Blanks at the end are of the array: it may be missing its own.
            let rest = &value[start..];
            let text = if rest.trim_ascii_end() == text { rest } else { text };
            let source = Source::variable(name, Notation::Json, text.to_vec(), start);
            list(&source.read(warnings)?, &[], empty, warnings)
        }
        path => Ok(vec![Location { path: OsStr::from_bytes(path).into(), place: Some(name.into()) }]),
    }
}

/// What a document names; `None` where it says nothing about it, or `null`, which LMCache writes for that.
pub(super) fn of_document(
    document: &Document<'_>,
    empty: EmptyItem,
    warnings: &mut Vec<String>,
) -> Result<Option<Vec<Location>>, Error> {
    let Document { value: Value::Object(members), places } = document else { return Ok(None) };
    let given: Vec<&str> = members.iter().map(|(key, _)| &**key).filter(|key| KEYS.contains(key)).collect();
    if let [first, last] = given[..] {
        let place = places.of(&[Step::Member(last)]);
        warnings.push(format!("{place}: `{first}` and `{last}` are both given: the last counts, as in LMCache"));
    }
    let nested = ["mp_config", "runtime_plugin_config", "locations"].map(Step::Member);
    let top = given.last().map(|&key| vec![Step::Member(key)]);
    for path in top.into_iter().chain([nested.to_vec()]) {
        if document.value.at(&path).is_none_or(|named| *named == Value::Null) {
            continue;
        }
        let locations = list(document, &path, empty, warnings)?;
        if locations.is_empty() {
            warnings.push(format!("{}: {} names no plugin locations: it is empty", places.of(&path), label(&path)));
        }
        return Ok(Some(locations));
    }
    Ok(None)
}

/// How a message calls the value at a path.
fn label(path: &[Step<'_>]) -> String {
    match path.last() {
        Some(Step::Member(name)) => format!("`{name}`"),
        Some(Step::Element(_)) | None => "the list".into(),
    }
}

/// The path or the list of paths that stands at `path` of a document.
fn list(
    document: &Document<'_>,
    path: &[Step<'_>],
    empty: EmptyItem,
    warnings: &mut Vec<String>,
) -> Result<Vec<Location>, Error> {
    let Document { value, places } = document;
    let label = label(path);
    let location = |text: &str, path: &[Step<'_>]| Location { path: text.into(), place: Some(places.of(path)) };
    let items = match value.at(path).unwrap_or(&Value::Null) {
        value if value.is_nothing() => return Ok(Vec::new()),
        Value::String(text) => return Ok(vec![location(text, path)]),
        Value::Array(items) => items,
        other => {
            let problem = format!("{label} wants a path or a list of paths, not {}", other.kind());
            return Err(places.refuse(path, &problem));
        }
    };
    let mut locations = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let path = &[path, &[Step::Element(index)]].concat();
        match item {
            Value::String(text) if !text.is_empty() => locations.push(location(text, path)),
            Value::String(_) | Value::Null if empty == EmptyItem::LeftOut => {
                warnings.push(format!("{}: an item of {label} is empty and left out", places.of(path)));
            }
            Value::String(_) | Value::Null => {
                return Err(places.refuse(path, &format!("an item of {label} is empty: write a path, or remove it")));
            }
            other => {
                return Err(places.refuse(path, &format!("{label} wants paths, not {}", other.kind())));
            }
        }
    }
    Ok(locations)
}

/// What is said of LOCATION arguments of which LMCache in PROGRAM would start plugins, too.
pub(super) fn started_twice(ours: &[Location], theirs: &[Location]) -> Vec<String> {
    // Where there is nothing to compare with no file system is asked: one may not answer.
    if theirs.is_empty() {
        return Vec::new();
    }
    let canonical = |location: &Location| location.path.canonicalize().ok();
    let theirs: Vec<_> = theirs.iter().filter_map(|their| Some((canonical(their)?, their))).collect();
    let twice = ours.iter().filter_map(|our| {
        let path = canonical(our)?;
        let (_, their) = theirs.iter().find(|(their, _)| path.starts_with(their) || their.starts_with(&path))?;
        let (our, place) = (quoted(&our.path), their.place.as_deref().unwrap_or_default());
        Some(format!(
            "plugins of `{our}` are named by {place}, too: LMCache in PROGRAM starts them a second time; leave LOCATION \
             out, or give PROGRAM an empty LMCACHE_RUNTIME_PLUGIN_LOCATIONS"
        ))
    });
    twice.collect()
}

/// What to say where no source names a location: the key of the document just read that is probably meant for it.
pub(super) fn none_named(read: Option<&Document<'_>>) -> String {
    let Some(Document { value, places }) = read else {
        return "no plugin locations: give a LOCATION, or name them in `runtime_plugin_locations` of --config FILE"
            .into();
    };
    let start = format!("no plugin locations: {} does not name any", places.name());
    let Some((path, meant)) = near_key(value, &[]) else {
        return format!("{start}; write them into `runtime_plugin_locations`, or give a LOCATION");
    };
    let place = places.of_key(&path);
    match &path[..] {
        [.., outside, _] => {
            format!(
                "{start}; {place}: `{meant}` does not belong into {}: write it at the top level",
                label(&[*outside])
            )
        }
        found => format!("{start}; {place}: did you mean `{meant}` by {}?", label(found)),
    }
}

/// The path to a key that is nearly, or in another mapping than, one of ours, and which that is.
fn near_key<'v>(value: &'v Value<'_>, outside: &[Step<'v>]) -> Option<(Vec<Step<'v>>, &'static str)> {
    const DEEPEST: usize = 3;
    let Value::Object(members) = value else { return None };
    let path_to = |key: &'v str| [outside, &[Step::Member(key)]].concat();
    // At the top the right key is one without a value.
    let near = |key: &str| nearest(key, KEYS).filter(|near| !outside.is_empty() || *near != key);
    let here = members.iter().find_map(|(key, _)| Some((path_to(key), near(key)?)));
    here.or_else(|| {
        let inner = members.iter().filter(|_| outside.len() < DEEPEST);
        inner.into_iter().find_map(|(key, value)| near_key(value, &path_to(key)))
    })
}
