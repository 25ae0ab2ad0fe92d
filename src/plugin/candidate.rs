//! A file that may be a plugin, as far as it was looked at.

use super::interpreter::{self, FirstLine};
use super::search::Opened;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// See the module.
pub struct Candidate {
    pub path: PathBuf,
    pub file_name: String,
    pub opened: Opened,
    pub first_line: FirstLine,
    pub is_elf: bool,
    /// Named itself, and not found in a directory.
    pub is_location: bool,
}

impl Candidate {
    pub fn is_executable(&self) -> bool {
        self.opened.metadata.mode() & 0o111 != 0
    }

    /// Why it is no plugin, where it is none.
    pub fn is_no_plugin(&self) -> Option<&'static str> {
        if self.is_location || interpreter::suffix(&self.file_name).is_some() || self.first_line.is_script {
            return None;
        }
        match (self.is_elf, self.is_executable()) {
            (true, true) => None,
            (true, false) => Some("an ELF file without permission to execute"),
            (false, _) => Some("not a plugin: neither .py, .sh, `#!` nor an executable ELF"),
        }
    }
}
