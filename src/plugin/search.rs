//! Locations to files. Opens regular files only, each once, and never waits for one; what the supervisor later wants to
//! know of a file is learned here.

use super::entry::{BadLocation, Fingerprint, Plan};
use super::interpreter::HEAD_BYTES;
use super::missing::explain;
use super::permissions::writable_by_others;
use crate::configuration::Location;
use crate::error::plain;
use crate::sys;
use std::collections::BinaryHeap;
use std::collections::hash_map::DefaultHasher;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::hash::Hasher;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The largest file whose content is read for its digest.
const MAX_DIGESTED: u64 = 16 << 20;

/// A file that was met.
pub struct Met {
    pub path: PathBuf,
    /// Named itself, and not found in a directory.
    pub is_location: bool,
}

/// A regular file, open.
pub struct Opened {
    file: File,
    pub metadata: Metadata,
    /// Its first bytes.
    pub head: Vec<u8>,
}

/// Why a file is no candidate.
pub enum Refusal {
    /// It is nothing that could be opened.
    NoFile(&'static str),
    Unreadable(String),
}

/// The files of one location in the order of their paths.
pub fn files(location: &Location, plan: &mut Plan) -> Vec<Met> {
    let path = &location.path;
    match fs::metadata(path) {
        Err(error) => {
            let problem = explain(location, &error);
            let is_gone = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
            plan.bad_locations.push(BadLocation { location: path.clone(), problem, is_gone });
            return Vec::new();
        }
        Ok(metadata) if metadata.is_file() => return vec![Met { path: path.clone(), is_location: true }],
        Ok(metadata) if !metadata.is_dir() => {
            let problem = "neither a file nor a directory".into();
            plan.bad_locations.push(BadLocation { location: path.clone(), problem, is_gone: false });
            return Vec::new();
        }
        Ok(_) => {}
    }
    let mut found = Vec::new();
    let mut directories = vec![path.clone()];
    while let Some(directory) = directories.pop() {
        if let Err(error) = search(&directory, &mut directories, &mut found) {
            let problem = format!("cannot be searched: {}", plain(&error));
            plan.bad_locations.push(BadLocation { location: directory, problem, is_gone: false });
        } else if let Ok(metadata) = fs::metadata(&directory)
            && let Some(advice) = writable_by_others(&metadata)
        {
            plan.directory_advice.push((directory, advice));
        }
    }
    let found: BinaryHeap<OsString> = found.into_iter().collect();
    found.into_sorted_vec().into_iter().map(|path| Met { path: path.into(), is_location: false }).collect()
}

fn search(directory: &Path, directories: &mut Vec<PathBuf>, found: &mut Vec<OsString>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().as_bytes().starts_with(b".") {
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => directories.push(entry.path()),
            _ => found.push(entry.path().into_os_string()),
        }
    }
    Ok(())
}

/// Opens a file that was met.
///
/// # Errors
/// Why it is none.
pub fn open(path: &Path) -> Result<Opened, Refusal> {
    let unreadable = |error: &io::Error| Refusal::Unreadable(cannot_be_read(error));
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Refusal::NoFile("a symbolic link to nothing"));
        }
        Err(error) => return Err(unreadable(&error)),
        Ok(metadata) if metadata.is_dir() => {
            return Err(Refusal::NoFile("a symbolic link to a directory is not followed"));
        }
        Ok(metadata) if !metadata.is_file() => return Err(Refusal::NoFile("not a regular file")),
        Ok(_) => {}
    }
    // Should a FIFO have taken its place since, it is not waited for.
    let file = sys::open_options(false).read(true).open(path).map_err(|error| unreadable(&error))?;
    let metadata = file.metadata().map_err(|error| unreadable(&error))?;
    if !metadata.is_file() {
        return Err(Refusal::NoFile("not a regular file"));
    }
    let mut head = Vec::new();
    (&file).take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(|error| unreadable(&error))?;
    Ok(Opened { file, metadata, head })
}

fn cannot_be_read(error: &io::Error) -> String {
    format!("cannot be read: {}", plain(error))
}

impl Opened {
    /// Reads the rest of the file, too. Of one that is very large, the time of its change stands for the content.
    ///
    /// # Errors
    /// Why it cannot be read to its end.
    pub fn fingerprint(&mut self) -> Result<Fingerprint, String> {
        let metadata = &self.metadata;
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.head);
        if metadata.len() > MAX_DIGESTED {
            for number in [metadata.len(), metadata.mtime().cast_unsigned(), metadata.mtime_nsec().cast_unsigned()] {
                hasher.write_u64(number);
            }
        } else {
            let mut block = [0; 8192];
            loop {
                match self.file.read(&mut block) {
                    Ok(0) => break,
                    Ok(count) => hasher.write(&block[..count]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(cannot_be_read(&error)),
                }
            }
        }
        Ok(Fingerprint { device: metadata.dev(), inode: metadata.ino(), digest: hasher.finish() })
    }
}
