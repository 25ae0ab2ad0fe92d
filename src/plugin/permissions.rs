//! Whom root would trust by running what is there.

use crate::sys;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// What others could do to a file or directory that root is about to trust.
pub fn writable_by_others(metadata: &Metadata) -> Option<String> {
    if !sys::is_root() {
        return None;
    }
    if metadata.mode() & 0o002 != 0 {
        Some("everybody can write it, and it runs as root: chmod o-w".into())
    } else if metadata.uid() != 0 {
        Some(format!("user {} can write it, and it runs as root: chown root", metadata.uid()))
    } else if metadata.mode() & 0o020 != 0 && metadata.gid() != 0 {
        Some(format!("group {} can write it, and it runs as root: chmod g-w", metadata.gid()))
    } else {
        None
    }
}
