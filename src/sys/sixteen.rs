//! Sixteen bytes at once, in SSE2.
#![cfg(target_arch = "x86_64")]

use std::arch::x86_64::{
    __m128i, _mm_cmpeq_epi8, _mm_cmplt_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
};

/// The place of the first `\n`.
#[inline(always)]
pub fn newline(block: &[u8; 16]) -> Option<usize> {
    // SAFETY: every x86_64 has SSE2, and the block has the sixteen bytes that are read.
    first(unsafe { equal(_mm_loadu_si128(block.as_ptr().cast()), b'\n') })
}

/// The place of the first byte that is a control character, `"`, `\`, or above 0x7f.
#[inline(always)]
pub fn special(block: &[u8; 16]) -> Option<usize> {
    // SAFETY: as above.
    first(unsafe {
        let block = _mm_loadu_si128(block.as_ptr().cast());
        let quoted = _mm_or_si128(equal(block, b'"'), equal(block, b'\\'));
        // The comparison is signed: what is above 0x7f is negative.
        _mm_or_si128(quoted, _mm_cmplt_epi8(block, _mm_set1_epi8(0x20)))
    })
}

#[inline(always)]
fn equal(block: __m128i, byte: u8) -> __m128i {
    // SAFETY: every x86_64 has SSE2.
    unsafe { _mm_cmpeq_epi8(block, _mm_set1_epi8(byte as i8)) }
}

#[inline(always)]
fn first(marks: __m128i) -> Option<usize> {
    // SAFETY: every x86_64 has SSE2.
    let bits = unsafe { _mm_movemask_epi8(marks) };
    (bits != 0).then_some(bits.trailing_zeros() as usize)
}
