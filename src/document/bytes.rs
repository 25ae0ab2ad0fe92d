//! Sets of bytes, one look-up for each byte of a text.

/// Made by [`byte_set`].
pub(super) struct ByteSet(pub(super) [bool; 256]);

impl ByteSet {
    #[inline(always)]
    pub(super) fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte)]
    }

    /// The place of the first byte of the set.
    #[inline(always)]
    pub(super) fn first_in(&self, text: &[u8]) -> Option<usize> {
        // A plain loop: in a build for size an iterator is a call for each text.
        let mut index = 0;
        while index < text.len() {
            if self.has(text[index]) {
                return Some(index);
            }
            index += 1;
        }
        None
    }
}

/// The set of the bytes that match a pattern.
macro_rules! byte_set {
    ($pattern:pat) => {{
        let mut set = [false; 256];
        let mut byte = 0;
        while byte < set.len() {
            set[byte] = matches!(byte as u8, $pattern);
            byte += 1;
        }
        $crate::document::bytes::ByteSet(set)
    }};
}
pub(super) use byte_set;
