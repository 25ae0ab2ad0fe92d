//! Reading a file of the configuration: never for ever, and never without end.

use crate::error::plain;
use crate::sys;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::OnceLock;

/// The largest file that is read: far beyond any configuration.
const MAX_BYTES: u64 = 16 << 20;

/// Does this name stand for standard input?
pub(super) fn is_standard_input(path: &OsStr) -> bool {
    path == "-" || path == "/dev/stdin"
}

/// Reads a file that was named as a configuration.
///
/// # Errors
/// Why it cannot be read, with its name.
pub(super) fn read(path: &OsStr) -> Result<Vec<u8>, String> {
    let text = if is_standard_input(path) { standard_input() } else { open(path).and_then(all) };
    text.map_err(|problem| format!("cannot read configuration `{}`: {problem}{}", path.to_string_lossy(), hint(path)))
}

/// What standard input held. It can be read once only, and a reload wants it again.
fn standard_input() -> Result<Vec<u8>, String> {
    static TEXT: OnceLock<Result<Vec<u8>, String>> = OnceLock::new();
    let input = || sys::duplicate_descriptor(0).map(File::from).map_err(|error| plain(&error));
    TEXT.get_or_init(|| input().and_then(all)).clone()
}

fn open(path: &OsStr) -> Result<File, String> {
    const O_NOCTTY: i32 = 0o400;
    const O_NONBLOCK: i32 = 0o4000;
    // A descriptor of ours, such as the shell's <(command), may be a pipe: it is there already and not waited for.
    let is_descriptor = [&b"/dev/fd/"[..], b"/proc/self/fd/"].iter().any(|start| path.as_bytes().starts_with(start));
    let flags = if is_descriptor { O_NOCTTY } else { O_NOCTTY | O_NONBLOCK };
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| plain(&error))?;
    let metadata = file.metadata().map_err(|error| plain(&error))?;
    if metadata.is_dir() {
        return Err("it is a directory".into());
    }
    if !metadata.is_file() && !is_descriptor {
        return Err("it is no regular file".into());
    }
    Ok(file)
}

fn all(source: File) -> Result<Vec<u8>, String> {
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
