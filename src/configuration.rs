//! Where the configuration comes from, and which source wins: the environment's JSON, then the YAML or JSON file; and
//! what is merged over it. It can hold secrets: nothing here puts a value of it into a message.

mod extra;
mod file;
mod locations;
pub mod room;
mod source;

use crate::cli::{Arguments, Opt};
use crate::document::{Value, json};
use crate::error::Error;
use crate::lmcache::{filled_variable_of_lmcache, unquoted};
use extra::Merged;
use locations::EmptyItem;
pub use locations::{Location, Origin};
use source::{Notation, Source};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::mem::ManuallyDrop;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

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
    /// The bytes that plugins receive, once under each name.
    pub fn len(&self) -> usize {
        match self {
            Configuration::Fits(text) => text.len(),
            Configuration::TooLarge { .. } => 0,
        }
    }

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

/// The texts that may say something, each read where it is needed.
pub struct Sources {
    environment: Option<Source>,
    /// What --config or LMCACHE_CONFIG_FILE names.
    file_name: Option<OsString>,
    file: OnceCell<Source>,
    replacement: Option<Source>,
    overlay: Option<Source>,
    nothing: Source,
}

impl Sources {
    /// # Errors
    /// Usage: `--extra-config @FILE` cannot be read. With PROGRAM that is a warning.
    pub fn find(arguments: &Arguments, warnings: &mut Vec<String>) -> Result<Sources, Error> {
        let nothing = "the configuration (neither --config nor the environment gives one)";
        Ok(Sources {
            environment: environment_source(),
            file_name: file_name(arguments),
            file: OnceCell::new(),
            replacement: replacement_source(),
            overlay: match overlay_source(arguments) {
                Err(problem) if !arguments.program.is_empty() => {
                    warnings.push(problem);
                    None
                }
                overlay => overlay.map_err(Error::Usage)?,
            },
            nothing: Source::variable(nothing, Notation::Json, b"{}".to_vec(), 0),
        })
    }

    fn file(&self) -> Result<Option<&Source>, String> {
        let Some(name) = &self.file_name else { return Ok(None) };
        if self.file.get().is_none() {
            let text = file::read(name)?;
            let _ = self.file.set(Source::file(name, text));
        }
        Ok(self.file.get())
    }

    /// Puts over a document what is merged into it.
    fn merge<'a>(
        &'a self,
        merged: &mut Merged<'a>,
        is_environment: bool,
        warnings: &mut Vec<String>,
    ) -> Result<(), Error> {
        let is_multiprocess = merged.value.get("mp_config").is_some();
        // LMCache had it already in what it left in the environment, and its multiprocess server does not read it.
        if let Some(replacement) = self.replacement.as_ref().filter(|_| !is_environment && !is_multiprocess) {
            merged.replace(replacement.read(warnings)?)?;
        }
        if let Some(overlay) = &self.overlay {
            merged.overlay(overlay.read(warnings)?)?;
        }
        Ok(())
    }
}

/// The configuration and what the launcher itself reads in it.
pub struct Loaded<'a> {
    pub configuration: Configuration,
    /// `None` where no source names any.
    pub locations: Option<Vec<Location>>,
    pub origin: Origin,
    /// What to say where there are no locations.
    pub none_named: String,
    merged: Merged<'a>,
}

impl<'a> Loaded<'a> {
    /// The members of `extra_config`, or of `runtime_plugin_extra_config` in the multiprocess server's shape.
    pub fn extra(&self) -> &[(Cow<'a, str>, Value<'a>)] {
        self.merged.extra()
    }

    /// The members of the document itself.
    pub fn members(&self) -> &[(Cow<'a, str>, Value<'a>)] {
        match &self.merged.value {
            Value::Object(members) => members,
            _ => &[],
        }
    }

    /// The file or variable that the document is from, for messages.
    pub fn source(&self) -> &str {
        self.merged.name()
    }

    /// Where a key of [`Loaded::members`] stands.
    pub fn place_of_key(&self, name: &str) -> String {
        self.merged.place_of_key(name)
    }

    /// Where the value of a member of [`Loaded::extra`] stands.
    pub fn place(&self, name: &str) -> String {
        self.merged.place(name)
    }
}

/// Loads the configuration for `run`, `list` and `check`.
///
/// # Errors
/// Usage: the first source that is malformed, or that was named and cannot be read. With PROGRAM, a file that cannot be
/// read is a warning: it never keeps PROGRAM from running.
pub fn load<'a>(arguments: &Arguments, sources: &'a Sources, warnings: &mut Vec<String>) -> Result<Loaded<'a>, Error> {
    let has_program = !arguments.program.is_empty();
    if has_program && arguments.value(Opt::Config).is_some_and(file::is_standard_input) {
        return Err(Error::Usage("`--config -` reads standard input, which with PROGRAM is PROGRAM's".into()));
    }
    let empty = if has_program { EmptyItem::LeftOut } else { EmptyItem::Refused };
    let (mut locations, mut origin) = match &arguments.operands[..] {
        [] => (locations::of_variables(empty, warnings)?, Origin::Environment),
        operands => (Some(operands.iter().map(argument).collect()), Origin::Arguments),
    };
    let environment = sources.environment.as_ref().map(|source| source.read(warnings)).transpose()?;
    if let Some(document) = &environment {
        document.expect_mapping()?;
        if locations.is_none() {
            locations = locations::of_document(document, empty, warnings)?;
        }
    }
    // LMCACHE_CONFIG_FILE stays set inside plugins: the file is read where it can still say something.
    let is_needed = arguments.value(Opt::Config).is_some() || environment.is_none() || locations.is_none();
    let file = match if is_needed { sources.file() } else { Ok(None) } {
        Err(problem) if has_program => {
            warnings.push(problem);
            None
        }
        Err(problem) => return Err(Error::Usage(problem)),
        Ok(source) => source.map(|source| source.read(warnings)).transpose()?,
    };
    let mut named = None;
    if let Some(document) = &file {
        document.expect_mapping()?;
        // Malformed ones are told of also where others count.
        let mut about_these = Vec::new();
        named = locations::of_document(document, empty, &mut about_these)?;
        if locations.is_none() {
            (locations, origin) = (named.take(), Origin::File);
            warnings.append(&mut about_these);
        }
    }
    if let (Some(ours), Origin::Arguments, true) = (&locations, origin, has_program) {
        // LMCache in PROGRAM lets the variables come first, too.
        let theirs = locations::of_variables(empty, &mut Vec::new()).unwrap_or_default().or(named);
        warnings.extend(locations::started_twice(ours, &theirs.unwrap_or_default()));
    }
    let read = file.as_ref().or(environment.as_ref());
    let none_named = locations::none_named(read.filter(|_| locations.is_none()));
    if locations.is_none() && read.is_some() {
        warnings.push(none_named.clone());
    }
    let is_environment = environment.is_some();
    let document = match environment.or(file) {
        Some(document) => document,
        None => sources.nothing.read(warnings)?,
    };
    let mut merged = Merged::new(document);
    merged.read_text()?;
    merged.judge(warnings);
    sources.merge(&mut merged, is_environment, warnings)?;
    let original = sources.environment.as_ref().filter(|_| merged.is_original).map(|source| &source.text[..]);
    let configuration = fit(original, &merged.value);
    Ok(Loaded { configuration, locations, origin, none_named, merged })
}

fn argument(path: &OsString) -> Location {
    Location { path: path.into(), place: None }
}

/// Prints one value for `get`: of `--config`, else of the environment's JSON, else of LMCACHE_CONFIG_FILE.
///
/// # Errors
/// Usage, as [`load`]; No where the document has no such value and there is no default.
pub fn get(arguments: &Arguments) -> Result<Vec<u8>, Error> {
    let pointer = arguments.operands[0].to_str().ok_or_else(|| Error::Usage("POINTER is not UTF-8".into()))?;
    let warnings = &mut Vec::new();
    let sources = Sources::find(arguments, warnings)?;
    let environment = sources.environment.as_ref().filter(|_| arguments.value(Opt::Config).is_none());
    let source = match environment {
        Some(source) => Some(source),
        None => sources.file().map_err(Error::Usage)?,
    };
    let document = source.unwrap_or(&sources.nothing).read(warnings)?;
    let mut merged = Merged::new(document);
    sources.merge(&mut merged, environment.is_some(), warnings)?;
    if merged.is_extra(pointer) {
        merged.read_text()?;
    }
    // The process ends next: to take a large document apart before would only cost time.
    let merged = ManuallyDrop::new(merged);
    let found = merged.value.pointer(pointer).map_err(|problem| Error::Usage(format!("`{pointer}`: {problem}")))?;
    let mut line = match (found, arguments.value(Opt::Default)) {
        (Ok(Value::String(text)), _) => text.as_bytes().to_vec(),
        (Ok(value), _) => {
            let mut text = String::new();
            json::write(value, &mut text);
            text.into_bytes()
        }
        (Err(_), Some(default)) => default.as_bytes().to_vec(),
        (Err(end), None) => {
            return Err(Error::No(format!("{}: {end}; --default gives a value to what is not there", merged.name())));
        }
    };
    line.push(b'\n');
    Ok(line)
}

/// The JSON that LMCache, or a launcher, left in the environment.
fn environment_source() -> Option<Source> {
    let (name, text) = filled_variable_of_lmcache("CONFIG")?;
    Some(Source::variable(&name, Notation::PythonJson, text.into_vec(), 0))
}

fn file_name(arguments: &Arguments) -> Option<OsString> {
    let typed = arguments.value(Opt::Config).map(OsStr::to_os_string);
    typed.or_else(|| std::env::var_os("LMCACHE_CONFIG_FILE")).filter(|name| !name.is_empty())
}

/// The files that are read: what they say may change.
pub fn files(arguments: &Arguments) -> Vec<OsString> {
    let of_extra = match arguments.value(Opt::ExtraConfig).map(OsStr::as_bytes) {
        Some([b'@', name @ ..]) => Some(OsStr::from_bytes(name).to_os_string()),
        _ => None,
    };
    file_name(arguments).into_iter().chain(of_extra).filter(|name| !file::is_standard_input(name)).collect()
}

/// What LMCache puts in the place of the file's `extra_config`.
fn replacement_source() -> Option<Source> {
    const NAME: &str = "LMCACHE_EXTRA_CONFIG";
    let value = std::env::var_os(NAME)?;
    let (start, text) = unquoted(value.as_bytes());
    let text = if text.is_empty() { b"null" } else { text };
    Some(Source::variable(NAME, Notation::PythonJson, text.to_vec(), start))
}

/// What `--extra-config` says, itself or in the file that it names. Blank it says nothing.
fn overlay_source(arguments: &Arguments) -> Result<Option<Source>, String> {
    let source = match arguments.value(Opt::ExtraConfig).map(OsStr::as_bytes) {
        None | Some([b'@']) => return Ok(None),
        Some([b'@', name @ ..]) => {
            let name = OsStr::from_bytes(name);
            Source::json_file(name, file::read(name)?)
        }
        Some(text) => Source::variable("--extra-config", Notation::Json, text.to_vec(), 0),
    };
    Ok(Some(source).filter(|source| !source.text.trim_ascii().is_empty()))
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
