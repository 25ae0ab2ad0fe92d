//! What keeps the launcher itself from doing as it was told. Printed in one place, by `main`.

use std::io;

/// An error and, by its variant, the exit status.
#[derive(Debug, PartialEq)]
pub enum Error {
    /// Bad usage or configuration: status 2, and nothing was started.
    Usage(String),
    /// The command was understood and its answer is no: status 1.
    No(String),
}

impl Error {
    /// The exit status that goes with the error.
    pub fn status(&self) -> u8 {
        match self {
            Error::Usage(_) => 2,
            Error::No(_) => 1,
        }
    }

    /// One line, without a period.
    pub fn message(&self) -> &str {
        match self {
            Error::Usage(message) | Error::No(message) => message,
        }
    }
}

/// An error in words, without Rust's "(os error 2)".
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}
