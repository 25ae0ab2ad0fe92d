//! What a command answers on standard output.

use crate::error::Error;
use std::io::{self, Write};

/// Writes an answer to standard output in one go.
///
/// # Errors
/// No: nobody took it.
pub fn print(text: &[u8]) -> Result<u8, Error> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text).and_then(|()| stdout.flush());
    written.map(|()| 0).map_err(|error| Error::No(format!("cannot write output: {error}")))
}
