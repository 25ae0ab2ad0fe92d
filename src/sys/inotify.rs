//! Changes in directories, as the kernel tells them (inotify(7)).

use super::libc::{self, check};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const IN_MODIFY: u32 = 0x2;
const IN_ATTRIB: u32 = 0x4;
const IN_CLOSE_WRITE: u32 = 0x8;
const IN_MOVED: u32 = 0xc0;
const IN_CREATE: u32 = 0x100;
const IN_DELETE: u32 = 0x200;
const IN_DELETE_SELF: u32 = 0x400;
const IN_MOVE_SELF: u32 = 0x800;
const IN_IGNORED: u32 = 0x8000;
const IN_ONLYDIR: u32 = 0x0100_0000;
const IN_MASK_ADD: u32 = 0x2000_0000;
/// Reading is no change; else our own search would be one.
const CHANGES: u32 =
    IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_MOVED | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF;

/// Directories that are watched.
pub struct Inotify(OwnedFd);

/// The number of a directory that is watched.
pub type WatchId = i32;

impl Inotify {
    /// # Errors
    /// EMFILE where this user has no more of them, ENOMEM.
    pub fn open() -> io::Result<Inotify> {
        // SAFETY: no memory is passed; the descriptor returned is ours alone.
        unsafe { Ok(Inotify(OwnedFd::from_raw_fd(check(libc::inotify_init1(libc::CLOEXEC | libc::NONBLOCK))?))) }
    }

    /// Watches a directory for what happens in it. One that is watched already keeps its number.
    ///
    /// # Errors
    /// ENOSPC where this user has no more watches; ENOENT, EACCES, ENOTDIR.
    pub fn watch(&self, directory: &Path) -> io::Result<WatchId> {
        self.add(directory, CHANGES)
    }

    /// Watches whether a directory stays where it is.
    ///
    /// # Errors
    /// As [`Inotify::watch`].
    pub fn watch_place(&self, directory: &Path) -> io::Result<WatchId> {
        self.add(directory, IN_DELETE_SELF | IN_MOVE_SELF)
    }

    fn add(&self, directory: &Path, events: u32) -> io::Result<WatchId> {
        let mask = events | IN_ONLYDIR | IN_MASK_ADD;
        let path = CString::new(directory.as_os_str().as_bytes())?;
        // SAFETY: `path` ends in NUL and is valid for the call.
        check(unsafe { libc::inotify_add_watch(self.0.as_raw_fd(), path.as_ptr(), mask) })
    }

    /// Tells `note` of what has happened: in which directory, to which name; to the directory itself where that is empty. The
    /// number is -1 where the kernel had to leave something out. What is left is for the next call: who writes there all
    /// the time would never be read to the end.
    // Else its 16 KiB are in the frame of whoever takes any news.
    #[inline(never)]
    pub fn take(&self, mut note: impl FnMut(WatchId, &[u8])) {
        let mut bytes = [0u8; 16 * 1024];
        let read = super::read(self.0.as_fd(), &mut bytes);
        let Some(mut rest) = read.ok().and_then(|count| bytes.get(..count)) else { return };
        // struct inotify_event: wd, mask, cookie, len, and a name of so many bytes, filled up with NUL.
        while let Some((head, behind)) = rest.split_first_chunk::<16>() {
            let word = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
            let Some((name, next)) = behind.split_at_checked(word(12) as usize) else { return };
            rest = next;
            if word(4) & IN_IGNORED == 0 {
                let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
                note(word(0).cast_signed(), &name[..end]);
            }
        }
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
