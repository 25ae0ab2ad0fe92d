//! A text of the configuration, what it holds, and the names of places in it. It can hold secrets: nothing here puts a
//! value of it into a message.

use crate::document::{Malformed, Part, Step, Value, json, yaml};
use crate::error::Error;
use crate::escape::quoted;
use std::ffi::OsStr;
use std::path::Path;

/// How a document is written, which its place tells.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Notation {
    YamlFile,
    JsonFile,
    /// On the command line or in a variable.
    Json,
    /// In a variable that LMCache writes, or reads with Python's parser.
    PythonJson,
}

/// A text and where it is from.
pub(super) struct Source {
    name: String,
    notation: Notation,
    pub(super) text: Vec<u8>,
    /// Bytes of the variable before the text.
    start: usize,
}

impl Source {
    pub(super) fn file(path: &OsStr, text: Vec<u8>) -> Source {
        let is_json = Path::new(path).extension().is_some_and(|extension| extension == "json");
        let notation = if is_json { Notation::JsonFile } else { Notation::YamlFile };
        let name = if path == "-" { "standard input".into() } else { quoted(path) };
        Source { name, notation, text, start: 0 }
    }

    /// A file of JSON, whatever its name.
    pub(super) fn json_file(path: &OsStr, text: Vec<u8>) -> Source {
        Source { notation: Notation::JsonFile, ..Source::file(path, text) }
    }

    /// A variable or an argument, of which `start` bytes stand before the text.
    pub(super) fn variable(name: &str, notation: Notation, text: Vec<u8>, start: usize) -> Source {
        Source { name: name.into(), notation, text, start }
    }

    pub(super) fn is_file(&self) -> bool {
        matches!(self.notation, Notation::YamlFile | Notation::JsonFile)
    }

    /// # Errors
    /// Usage: the place where the text is malformed.
    pub(super) fn read(&self, warnings: &mut Vec<String>) -> Result<Document<'_>, Error> {
        let places = |tree| Places { source: self, tree };
        let read = match self.notation {
            Notation::YamlFile => yaml::parse(&self.text).map(|yaml::Document { value, warnings: found, tree }| {
                warnings.extend(found.iter().map(|warning| self.says(warning)));
                Document { value, places: places(Some(tree)) }
            }),
            Notation::JsonFile | Notation::Json => {
                json::parse(&self.text).map(|value| Document { value, places: places(None) })
            }
            Notation::PythonJson => {
                json::parse_python(&self.text).map(|value| Document { value, places: places(None) })
            }
        };
        read.map_err(|malformed| Error::Usage(self.says(&malformed)))
    }

    fn says(&self, malformed: &Malformed) -> String {
        format!("{}: {malformed}", self.place(malformed))
    }

    /// `file:line:column`, or variable and offset.
    fn place(&self, malformed: &Malformed) -> String {
        let name = &self.name;
        if self.is_file() {
            format!("{name}:{}:{}", malformed.line, malformed.column)
        } else {
            format!("{name}, offset {}", self.start + malformed.offset)
        }
    }
}

/// What a source holds.
pub(super) struct Document<'a> {
    pub(super) value: Value<'a>,
    pub(super) places: Places<'a>,
}

impl Document<'_> {
    /// # Errors
    /// Usage, for anything but a mapping. LMCache takes a file that holds nothing for one in which nothing is set.
    pub(super) fn expect_mapping(&self) -> Result<(), Error> {
        match &self.value {
            Value::Object(_) => Ok(()),
            value if value.is_nothing() && self.places.source.is_file() => Ok(()),
            value => {
                let cause = match value {
                    Value::String(text) if text.contains(':') => "; a space is missing behind its `:`",
                    _ => "",
                };
                let problem = format!("the configuration is {}, not a mapping of `key: value`{cause}", value.kind());
                Err(self.places.refuse(&[], &problem))
            }
        }
    }
}

/// Where the values of a document stand.
pub(super) struct Places<'a> {
    source: &'a Source,
    /// Of YAML. JSON is simply read again.
    tree: Option<yaml::Tree<'a>>,
}

impl Places<'_> {
    pub(super) fn name(&self) -> &str {
        &self.source.name
    }

    /// The place of the value at `path`.
    pub(super) fn of(&self, path: &[Step<'_>]) -> String {
        self.of_part(path, Part::Value)
    }

    /// The place of the key at the end of `path`.
    pub(super) fn of_key(&self, path: &[Step<'_>]) -> String {
        self.of_part(path, Part::Key)
    }

    fn of_part(&self, path: &[Step<'_>], part: Part) -> String {
        let offset = match &self.tree {
            Some(tree) => tree.offset(path, part),
            None => json::offset(&self.source.text, path, part),
        };
        self.source.place(&Malformed::at(&self.source.text, offset, ""))
    }

    /// An error about the value at `path`.
    pub(super) fn refuse(&self, path: &[Step<'_>], problem: &str) -> Error {
        Error::Usage(format!("{}: {problem}", self.of(path)))
    }
}
