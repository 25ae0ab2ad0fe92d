//! Reading a file of the configuration: never for ever, and never without end.

use crate::error::plain;
use crate::escape::quoted;
use crate::sys;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Mutex, PoisonError};

/// The largest file that is read: far beyond any configuration.
const MAX_BYTES: u64 = 16 << 20;

/// What was read, or why it cannot be.
type Text = Result<Vec<u8>, String>;

/// Does this name stand for standard input?
pub(super) fn is_standard_input(path: &OsStr) -> bool {
    path == "-" || path == "/dev/stdin"
}

/// Is it a descriptor of ours, such as the shell's `<(command)`? That may be a pipe: it is there and not waited for.
fn is_descriptor(path: &OsStr) -> bool {
    [&b"/dev/fd/"[..], b"/proc/self/fd/"].iter().any(|start| path.as_bytes().starts_with(start))
}

/// Reads a file that was named as a configuration.
///
/// # Errors
/// Why it cannot be read, with its name.
pub(super) fn read(path: &OsStr) -> Text {
    let text = if is_standard_input(path) || is_descriptor(path) { once(path) } else { open(path).and_then(all) };
    text.map_err(|problem| format!("cannot read configuration `{}`: {problem}{}", quoted(path), hint(path)))
}

/// What a descriptor held. It can be read once only, and a reload wants it again.
fn once(path: &OsStr) -> Text {
    static READ: Mutex<Vec<(OsString, Text)>> = Mutex::new(Vec::new());
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, text)) = read.iter().find(|(name, _)| name == path) {
        return text.clone();
    }
    let text = match is_standard_input(path) {
        true => sys::duplicate_descriptor(0).map(File::from).map_err(|error| plain(&error)).and_then(all),
        false => open(path).and_then(all),
    };
    read.push((path.into(), text.clone()));
    text
}

fn open(path: &OsStr) -> Result<File, String> {
    let file = sys::open_options(is_descriptor(path)).read(true).open(path).map_err(|error| plain(&error))?;
    let metadata = file.metadata().map_err(|error| plain(&error))?;
    if metadata.is_dir() {
        return Err("it is a directory".into());
    }
    if !metadata.is_file() && !is_descriptor(path) {
        return Err("it is no regular file".into());
    }
    Ok(file)
}

fn all(source: File) -> Text {
    let mut text = Vec::new();
    source.take(MAX_BYTES + 1).read_to_end(&mut text).map_err(|error| plain(&error))?;
    if text.len() as u64 > MAX_BYTES {
        return Err("it is larger than 16 MiB".into());
    }
    Ok(text)
}

/// What the name itself shows to be wrong.
fn hint(path: &OsStr) -> &'static str {
    match path.as_bytes() {
        [b'"', .., b'"'] | [b'\'', .., b'\''] => "; the quotes are part of the name: leave them out",
        [b'~', ..] => "; `~` is not expanded: write the whole path",
        text if text.contains(&b'$') => "; `$` is not expanded: write the whole path",
        _ => "",
    }
}
