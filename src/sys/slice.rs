//! Parts of slices, for the paths that every byte of a log takes: optimized for size, the compiler calls a function for
//! each `[a..b]`. A place beyond the end is the end.

/// Everything from `at` on.
#[inline(always)]
pub fn tail(slice: &[u8], at: usize) -> &[u8] {
    let at = at.min(slice.len());
    // SAFETY: `at` is at most the length.
    unsafe { std::slice::from_raw_parts(slice.as_ptr().add(at), slice.len() - at) }
}

/// As [`tail`], to be written to.
#[inline(always)]
pub fn tail_mut(slice: &mut [u8], at: usize) -> &mut [u8] {
    let at = at.min(slice.len());
    // SAFETY: as above, and the whole is borrowed for as long.
    unsafe { std::slice::from_raw_parts_mut(slice.as_mut_ptr().add(at), slice.len() - at) }
}

/// Everything before `at`.
#[inline(always)]
pub fn head(slice: &[u8], at: usize) -> &[u8] {
    // SAFETY: no more than the length.
    unsafe { std::slice::from_raw_parts(slice.as_ptr(), at.min(slice.len())) }
}

/// As [`head`], to be written to.
#[inline(always)]
pub fn head_mut(slice: &mut [u8], at: usize) -> &mut [u8] {
    // SAFETY: as above, and the whole is borrowed for as long.
    unsafe { std::slice::from_raw_parts_mut(slice.as_mut_ptr(), at.min(slice.len())) }
}
