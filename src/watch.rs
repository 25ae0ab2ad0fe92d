//! `--watch`: what changed on disk, that is, the places where something was found or looked for, and when enough has
//! happened to reload. Set up by the loader's thread, as file systems may make it wait; the supervisor only takes what the
//! kernel tells.

use crate::sys::{Inotify, WatchId};
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

/// Reload when nothing has changed for so long.
const QUIET: Duration = Duration::from_secs(1);
/// Reload so long after the first change, whether or not it is quiet.
const LONGEST: Duration = Duration::from_secs(10);
/// As many symbolic links as the kernel follows in one path (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// What is watched: directories only. A file that is replaced, as editors do it, is another one; its directory stays.
pub struct Watch {
    inotify: Inotify,
    /// Directories of which these names matter.
    names: Vec<(WatchId, OsString)>,
    /// Directories of which every name matters that is not hidden.
    all: Vec<WatchId>,
    /// There were not watches enough for all.
    is_exhausted: bool,
}

impl Watch {
    /// # Errors
    /// EMFILE where this user has no more of them, ENOMEM.
    pub fn open() -> io::Result<Watch> {
        Ok(Watch { inotify: Inotify::open()?, names: Vec::new(), all: Vec::new(), is_exhausted: false })
    }

    /// Watches what `path` leads to: every symbolic link on the way, and the last name or the first that is missing; of
    /// the directories between, whether they stay. Kubernetes updates a file by another `..data`, a link on the way.
    pub fn follow(&mut self, path: &Path) {
        let Ok(path) = std::path::absolute(path) else { return };
        let names = |path: &Path| path.components().map(|part| part.as_os_str().to_os_string()).collect::<Vec<_>>();
        let mut rest: VecDeque<OsString> = names(&path).into();
        let mut directory = PathBuf::from("/");
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            let here = directory.join(&name);
            let target = fs::read_link(&here).ok().filter(|_| links < MOST_LINKS);
            if target.is_some() || rest.is_empty() || fs::symlink_metadata(&here).is_err() {
                self.note(&directory, Some(&name));
            }
            match target {
                Some(target) => {
                    links += 1;
                    names(&target).into_iter().rev().for_each(|name| rest.push_front(name));
                }
                None if fs::symlink_metadata(&here).is_err() => return,
                None if Path::new(&name).components().eq([Component::ParentDir]) => drop(directory.pop()),
                None => {
                    directory = here;
                    let added = self.inotify.watch_place(&directory);
                    self.heed(added);
                }
            }
        }
    }

    /// Watches a location: the way to it and, if it is a directory, all below it that is searched.
    pub fn search(&mut self, location: &Path) {
        self.follow(location);
        let mut directories = vec![location.to_path_buf()];
        while let Some(directory) = directories.pop() {
            let Ok(entries) = fs::read_dir(&directory) else { continue };
            self.note(&directory, None);
            for entry in entries.filter_map(Result::ok) {
                if entry.file_name().as_bytes().starts_with(b".") {
                    continue;
                }
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => directories.push(entry.path()),
                    Ok(kind) if kind.is_symlink() => self.follow(&entry.path()),
                    _ => {}
                }
            }
        }
    }

    fn note(&mut self, directory: &Path, name: Option<&OsStr>) {
        let added = self.inotify.watch(directory);
        match (self.heed(added), name) {
            (Some(id), Some(name)) => self.names.push((id, name.to_os_string())),
            (Some(id), None) => self.all.push(id),
            (None, _) => {}
        }
    }

    /// What is not there has gone, and whoever held it tells; or it is nothing that we could read anyway.
    fn heed(&mut self, added: io::Result<WatchId>) -> Option<WatchId> {
        self.is_exhausted |= added.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull);
        added.ok()
    }

    /// Why not everything is watched.
    pub fn problem(&self) -> Option<String> {
        self.is_exhausted.then(|| "no more inotify watches (fs.inotify.max_user_watches)".into())
    }

    /// Takes some of what has happened, and says whether any of it matters.
    pub fn take(&self) -> bool {
        let mut matters = false;
        self.inotify.take(|id, name| {
            let is_hidden = name.starts_with(b".");
            matters |= id < 0
                || name.is_empty()
                || !is_hidden && self.all.contains(&id)
                || self.names.iter().any(|(of, wanted)| *of == id && wanted.as_bytes() == name);
        });
        matters
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// When to reload: once it is quiet, or has not been for too long. Pure.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes {
    /// The first and the last since the last reload.
    since: Option<(Instant, Instant)>,
}

impl Changes {
    pub fn note(&mut self, now: Instant) {
        self.since = Some((self.since.map_or(now, |(first, _)| first), now));
    }

    /// When they are to be acted on.
    pub fn due(&self) -> Option<Instant> {
        self.since.map(|(first, last)| (last + QUIET).min(first + LONGEST))
    }

    /// Whether they are to be acted on now; they are then forgotten.
    pub fn take_due(&mut self, now: Instant) -> bool {
        let is_due = self.due().is_some_and(|due| due <= now);
        if is_due {
            self.since = None;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changes at these tenths of a second; the reloads that follow, in tenths.
    fn reloads(changes: &[u64]) -> Vec<u64> {
        let start = Instant::now();
        let at = |tenth: u64| start + Duration::from_millis(100 * tenth);
        let mut state = Changes::default();
        let mut reloads = Vec::new();
        for tenth in 0..400 {
            if state.take_due(at(tenth)) {
                reloads.push(tenth);
            }
            if changes.contains(&tenth) {
                state.note(at(tenth));
            }
        }
        reloads
    }

    #[test]
    fn a_reload_comes_after_a_second_of_quiet_and_ten_at_most() {
        for (changes, expected) in [
            (vec![], vec![]),
            (vec![5], vec![15]),
            (vec![0, 9, 18], vec![28]),
            (vec![0, 10], vec![10, 20]),
            (vec![0, 30], vec![10, 40]),
            // A storm of twenty-five seconds.
            ((0..250).collect(), vec![100, 200, 259]),
        ] {
            assert_eq!(reloads(&changes), expected, "{changes:?}");
        }
    }
}
