//! Where the configuration comes from: the environment's JSON, the YAML or JSON file, and what is merged over it.
//! It can hold secrets: nothing here puts a value of it into a message.

use crate::cli::{Arguments, Opt};
use crate::document::{Malformed, Members, Value, json, yaml};
use crate::error::{Error, plain};
use crate::lmcache::variable_of_lmcache;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::mem::ManuallyDrop;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The most bytes of one environment string, name, `=` and the final NUL included (MAX_ARG_STRLEN, execve(2)).
pub const VARIABLE_LIMIT: usize = 131_072;

/// What the longest of the two variables adds to the document: `LMCACHE_RUNTIME_PLUGIN_CONFIG=` and a NUL.
const VARIABLE_OVERHEAD: usize = "LMCACHE_RUNTIME_PLUGIN_CONFIG=".len() + 1;

/// The document that plugins receive.
#[derive(Debug, PartialEq)]
pub enum Configuration {
    Fits(OsString),
    /// Larger than one variable may be, even without its white space.
    TooLarge {
        bytes: usize,
        compacted: usize,
    },
}

impl Configuration {
    /// Why no plugin can be started with it, with both sizes.
    pub fn problem(&self) -> Option<String> {
        match self {
            Configuration::Fits(_) => None,
            Configuration::TooLarge { bytes, compacted } => Some(format!(
                "the configuration has {bytes} bytes, {compacted} when compacted, and Linux caps one environment \
                 variable at {VARIABLE_LIMIT} bytes with its name: shorten extra_config"
            )),
        }
    }
}

/// The configuration and what the launcher itself reads in it.
pub struct Loaded {
    pub configuration: Configuration,
    /// `None` where no source names any.
    pub locations: Option<Vec<PathBuf>>,
    /// The members of `extra_config`, or of `runtime_plugin_extra_config` in the multiprocess server's shape, with scalars
    /// as text and collections only named.
    pub extra: Vec<(String, String)>,
    /// The file or variable that `extra` is from, for messages.
    pub source: String,
}

/// How a document is written, which its place tells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Notation {
    YamlFile,
    JsonFile,
    /// On the command line or in a variable.
    Json,
    /// In the variable that LMCache writes.
    PythonJson,
}

/// A text and where it is from.
struct Source {
    name: String,
    notation: Notation,
    text: Vec<u8>,
}

impl Source {
    fn file(name: String, text: Vec<u8>) -> Source {
        let notation = if name.ends_with(".json") { Notation::JsonFile } else { Notation::YamlFile };
        Source { name, notation, text }
    }

    fn read(&self, warnings: &mut Vec<String>) -> Result<Document<'_>, Error> {
        let parsed = match self.notation {
            Notation::YamlFile => yaml::parse(&self.text).map(|document| {
                warnings.extend(document.warnings.iter().map(|warning| self.place(warning)));
                document.value
            }),
            Notation::JsonFile | Notation::Json => json::parse(&self.text),
            Notation::PythonJson => json::parse_python(&self.text),
        };
        match parsed {
            Ok(value) => Ok(Document { source: self, value }),
            Err(malformed) => Err(Error::Usage(self.place(&malformed))),
        }
    }

    /// An error about the member `key`, which is searched in the text for its place.
    fn wrong(&self, key: &str, problem: &str) -> Error {
        let offset = self.text.windows(key.len()).position(|window| window == key.as_bytes()).unwrap_or(0);
        self.refuse(offset, &format!("`{key}` {problem}"))
    }

    fn refuse(&self, offset: usize, message: &str) -> Error {
        Error::Usage(self.place(&Malformed::at(&self.text, offset, message)))
    }

    /// `file:line:column: message`, or variable and offset.
    fn place(&self, malformed: &Malformed) -> String {
        let name = &self.name;
        if self.is_file() {
            format!("{name}:{}:{}: {malformed}", malformed.line, malformed.column)
        } else {
            format!("{name}, offset {}: {malformed}", malformed.offset)
        }
    }

    fn is_file(&self) -> bool {
        matches!(self.notation, Notation::YamlFile | Notation::JsonFile)
    }
}

/// What a source holds.
struct Document<'a> {
    source: &'a Source,
    value: Value<'a>,
}

impl Document<'_> {
    /// The locations that this document names. `null` is what LMCache writes for a setting that is not set.
    fn locations(&self) -> Result<Option<Vec<PathBuf>>, Error> {
        let set = |value: &&Value| **value != Value::Null;
        for key in ["runtime_plugin_locations", "plugin_locations"] {
            if let Some(value) = self.value.get(key).filter(set) {
                return paths(value).map(Some).map_err(|problem| self.source.wrong(key, problem));
            }
        }
        let nested = self.value.get("mp_config").and_then(|mp_config| mp_config.get("runtime_plugin_config"));
        match nested.and_then(|config| config.get("locations")).filter(set) {
            Some(value) => paths(value).map(Some).map_err(|problem| self.source.wrong("locations", problem)),
            None => Ok(None),
        }
    }

    /// # Errors
    /// Usage, for anything but a mapping. A file of comments alone is one in which nothing is set.
    fn expect_mapping(&self) -> Result<(), Error> {
        match self.value {
            Value::Object(_) => Ok(()),
            Value::Null if self.source.is_file() => Ok(()),
            _ => Err(self.source.refuse(0, "the configuration is not a mapping")),
        }
    }
}

fn paths(value: &Value<'_>) -> Result<Vec<PathBuf>, &'static str> {
    let path = |value: &Value<'_>| match value {
        Value::String(path) if path.is_empty() => Err("names an empty path"),
        Value::String(path) => Ok(PathBuf::from(&**path)),
        _ => Err("wants a path or a list of paths"),
    };
    match value {
        Value::Array(values) => values.iter().map(path).collect(),
        value => Ok(vec![path(value)?]),
    }
}

/// Loads the configuration for `run`, `list` and `check`.
///
/// # Errors
/// Usage: the first source that is malformed, or that was named and cannot be read. With PROGRAM, a file that cannot be
/// read is a warning: it never keeps PROGRAM from running.
pub fn load(arguments: &Arguments, warnings: &mut Vec<String>) -> Result<Loaded, Error> {
    let mut locations = match &arguments.operands[..] {
        [] => variable_locations()?,
        operands => Some(operands.iter().map(PathBuf::from).collect()),
    };
    let environment = environment_source();
    let environment = environment.as_ref().map(|source| source.read(warnings)).transpose()?;
    if let Some(document) = &environment {
        document.expect_mapping()?;
        if locations.is_none() {
            locations = document.locations()?;
        }
    }
    // LMCACHE_CONFIG_FILE stays set inside plugins: the file is read where it can still say something.
    let is_needed = arguments.value(Opt::Config).is_some() || environment.is_none() || locations.is_none();
    let file = match file_name(arguments).filter(|_| is_needed) {
        None => None,
        Some(name) => match read_file(&name) {
            Ok(text) => Some(Source::file(name, text)),
            Err(problem) if !arguments.program.is_empty() => {
                warnings.push(problem);
                None
            }
            Err(problem) => return Err(Error::Usage(problem)),
        },
    };
    let file = file.as_ref().map(|source| source.read(warnings)).transpose()?;
    if let Some(document) = &file {
        document.expect_mapping()?;
        let named = document.locations()?;
        locations = locations.or(named);
    }
    let overlay = overlay_source(arguments);
    let overlay = overlay.as_ref().map(overlay_members).transpose()?;
    if let (None, Some(document)) = (&locations, file.as_ref().or(environment.as_ref())) {
        warnings.push(format!("{} names no plugin locations", document.source.name));
    }
    let nothing = nothing();
    let Document { source, value } = match environment.or(file) {
        Some(document) => document,
        None => nothing.read(warnings)?,
    };
    let is_passed_on = !source.is_file() && overlay.is_none();
    let (value, name) = merge(value, overlay, &source.name)?;
    let extra = match extra_member(&value).and_then(|key| value.get(key)) {
        Some(Value::Object(members)) => members.iter().map(|(key, value)| (key.to_string(), bare(value))).collect(),
        _ => Vec::new(),
    };
    let original = is_passed_on.then_some(&source.text[..]);
    Ok(Loaded { configuration: fit(original, &value), locations, extra, source: name })
}

/// Prints one value for `get`: of `--config`, else of the environment's JSON, else of LMCACHE_CONFIG_FILE.
///
/// # Errors
/// Usage, as [`load`]; No where the document has no such value and there is no default.
pub fn get(arguments: &Arguments) -> Result<Vec<u8>, Error> {
    let pointer = arguments.operands[0].to_str().ok_or_else(|| Error::Usage("POINTER is not UTF-8".into()))?;
    let environment = if arguments.value(Opt::Config).is_some() { None } else { environment_source() };
    let source = match (environment, file_name(arguments)) {
        (Some(source), _) => source,
        (None, Some(name)) => {
            let text = read_file(&name).map_err(Error::Usage)?;
            Source::file(name, text)
        }
        (None, None) => nothing(),
    };
    let document = source.read(&mut Vec::new())?;
    let overlay = overlay_source(arguments);
    let overlay = overlay.as_ref().map(overlay_members).transpose()?;
    let (value, name) = merge(document.value, overlay, &source.name)?;
    // The process ends next: to take a large document apart before would only cost time.
    let value = ManuallyDrop::new(value);
    let found = value.pointer(pointer).map_err(|problem| Error::Usage(format!("`{pointer}`: {problem}")))?;
    let mut line = match (found, arguments.value(Opt::Default)) {
        (Some(Value::String(text)), _) => text.as_bytes().to_vec(),
        (Some(value), _) => {
            let mut text = String::new();
            json::write(value, &mut text);
            text.into_bytes()
        }
        (None, Some(default)) => default.as_bytes().to_vec(),
        (None, None) => {
            return Err(Error::No(format!("{name} has nothing at `{pointer}`; --default gives it a value")));
        }
    };
    line.push(b'\n');
    Ok(line)
}

fn nothing() -> Source {
    let name = "the configuration (neither --config nor the environment gives one)".into();
    Source { name, notation: Notation::Json, text: b"{}".to_vec() }
}

/// The JSON that LMCache, or a launcher, left in the environment.
fn environment_source() -> Option<Source> {
    let (name, text) = variable_of_lmcache("CONFIG").filter(|(_, text)| !text.is_empty())?;
    Some(Source { name, notation: Notation::PythonJson, text: text.into_vec() })
}

/// LMCACHE_RUNTIME_PLUGIN_LOCATIONS: one path, or a JSON array of them.
fn variable_locations() -> Result<Option<Vec<PathBuf>>, Error> {
    let Some((variable, text)) = variable_of_lmcache("LOCATIONS").filter(|(_, text)| !text.is_empty()) else {
        return Ok(None);
    };
    let bytes = text.as_bytes();
    if bytes.trim_ascii_start().starts_with(b"[") {
        let source = Source { name: variable, notation: Notation::Json, text: bytes.to_vec() };
        let document = source.read(&mut Vec::new())?;
        return paths(&document.value).map(Some).map_err(|problem| source.refuse(0, problem));
    }
    Ok(Some(vec![PathBuf::from(text)]))
}

fn file_name(arguments: &Arguments) -> Option<String> {
    let name = arguments.value(Opt::Config).map(OsStr::to_os_string);
    let name = name.or_else(|| std::env::var_os("LMCACHE_CONFIG_FILE").filter(|name| !name.is_empty()));
    name.map(|name| name.to_string_lossy().into_owned())
}

fn read_file(name: &str) -> Result<Vec<u8>, String> {
    fs::read(Path::new(name)).map_err(|error| format!("cannot read configuration `{name}`: {}", plain(&error)))
}

fn overlay_source(arguments: &Arguments) -> Option<Source> {
    let text = arguments.value(Opt::ExtraConfig)?.as_bytes().to_vec();
    Some(Source { name: "--extra-config".into(), notation: Notation::Json, text })
}

/// The members of the object of `--extra-config`.
fn overlay_members(source: &Source) -> Result<Members<'_>, Error> {
    match source.read(&mut Vec::new())?.value {
        Value::Object(members) => Ok(members),
        _ => Err(source.refuse(0, "not a JSON object")),
    }
}

/// The member that holds plugin parameters, in either shape of document.
fn extra_member(value: &Value<'_>) -> Option<&'static str> {
    match value {
        Value::Object(_) if value.get("mp_config").is_some() => Some("runtime_plugin_extra_config"),
        Value::Object(_) => Some("extra_config"),
        _ => None,
    }
}

/// Puts the members of the overlay over those of the same name.
fn merge<'a>(value: Value<'a>, overlay: Option<Members<'a>>, name: &str) -> Result<(Value<'a>, String), Error> {
    let Some(overlay) = overlay else { return Ok((value, name.to_string())) };
    let mut members = match value {
        Value::Object(members) => members,
        Value::Null => Vec::new(),
        _ => return Err(Error::Usage(format!("{name}: --extra-config wants a mapping to merge into"))),
    };
    let is_multiprocess = members.iter().any(|(key, _)| key == "mp_config");
    let key = if is_multiprocess { "runtime_plugin_extra_config" } else { "extra_config" };
    let index = members.iter().position(|(name, _)| name == key).unwrap_or_else(|| {
        members.push((key.into(), Value::Null));
        members.len() - 1
    });
    let mut extra = match std::mem::replace(&mut members[index].1, Value::Null) {
        Value::Object(extra) => extra,
        Value::Null => Vec::new(),
        _ => return Err(Error::Usage(format!("{name}: `{key}` is not a mapping, so --extra-config cannot be merged"))),
    };
    for (key, value) in overlay {
        match extra.iter_mut().find(|(name, _)| *name == key) {
            Some(member) => member.1 = value,
            None => extra.push((key, value)),
        }
    }
    members[index].1 = Value::Object(extra);
    Ok((Value::Object(members), format!("{name} with --extra-config")))
}

/// The text for the environment: the original byte for byte where there is one and it fits, else compact JSON.
fn fit(original: Option<&[u8]>, value: &Value<'_>) -> Configuration {
    let limit = VARIABLE_LIMIT - VARIABLE_OVERHEAD;
    let bytes = match original {
        Some(text) if text.len() <= limit => return Configuration::Fits(OsStr::from_bytes(text).into()),
        Some(text) => Some(text.len()),
        None => None,
    };
    let mut compact = String::new();
    match value {
        Value::Null => compact.push_str("{}"),
        value => json::write(value, &mut compact),
    }
    if compact.len() <= limit {
        Configuration::Fits(compact.into())
    } else {
        Configuration::TooLarge { bytes: bytes.unwrap_or(compact.len()), compacted: compact.len() }
    }
}

/// A scalar as text; a collection by name.
fn bare(value: &Value<'_>) -> String {
    match value {
        Value::String(text) | Value::Number(text) => text.to_string(),
        Value::Bool(true) => "true".into(),
        Value::Bool(false) => "false".into(),
        Value::Null => "null".into(),
        Value::Array(_) | Value::Object(_) => "a collection".into(),
    }
}
