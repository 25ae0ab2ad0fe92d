//! What was found: files, each with what is decided about it, and locations that cannot be used.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// What was found at the locations.
#[derive(Debug, Default)]
pub struct Plan {
    /// Locations as given, files below each by path.
    pub entries: Vec<Entry>,
    /// Locations, or directories below them, that cannot be searched.
    pub bad_locations: Vec<BadLocation>,
    /// What others could do to the directories that were searched.
    pub directory_advice: Vec<(PathBuf, String)>,
}

/// A location that is missing or cannot be read.
#[derive(Debug)]
pub struct BadLocation {
    pub location: PathBuf,
    pub problem: String,
    /// It is not there, and not only out of reach for now.
    pub is_gone: bool,
}

/// One file.
#[derive(Debug, PartialEq)]
pub struct Entry {
    /// As reached from the location.
    pub path: PathBuf,
    /// The file name, with as many parent directories as tell it from the other plugins that run.
    pub name: OsString,
    pub decision: Decision,
    /// What is said when it runs, too.
    pub warnings: Vec<String>,
    /// What only `check` says.
    pub advice: Vec<String>,
    /// Of one that runs.
    pub fingerprint: Fingerprint,
    /// It may be a plugin, but its content is out of reach for now.
    pub is_unreadable: bool,
    /// A location in which there is no file at all.
    pub is_empty_directory: bool,
}

/// Whether a file runs here.
#[derive(Debug, PartialEq)]
pub enum Decision {
    Run {
        command: Vec<OsString>,
        reason: String,
    },
    Skip {
        reason: String,
    },
    /// It should run here and cannot.
    Error {
        reason: String,
    },
}

impl Entry {
    pub fn new(path: PathBuf, decision: Decision) -> Entry {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_os_string();
        Entry {
            path,
            name,
            decision,
            warnings: Vec::new(),
            advice: Vec::new(),
            fingerprint: Fingerprint::default(),
            is_unreadable: false,
            is_empty_directory: false,
        }
    }

    pub fn skip(path: PathBuf, reason: impl Into<String>) -> Entry {
        Entry::new(path, Decision::Skip { reason: reason.into() })
    }
}

impl Plan {
    /// The names of what runs here.
    pub fn names(&self) -> impl Iterator<Item = &OsStr> {
        let runs = |entry: &&Entry| matches!(entry.decision, Decision::Run { .. });
        self.entries.iter().filter(runs).map(|entry| entry.name.as_os_str())
    }

    /// Whether something that should run here cannot, or a location cannot be used.
    pub fn has_failed(&self) -> bool {
        let is_error = |entry: &Entry| matches!(entry.decision, Decision::Error { .. });
        !self.bad_locations.is_empty() || self.entries.iter().any(is_error)
    }
}

/// What tells a file from others, and its content from what it was before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    pub device: u64,
    pub inode: u64,
    pub digest: u64,
}
