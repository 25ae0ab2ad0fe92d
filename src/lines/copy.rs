//! Copies bytes up to the first one that matters, sixteen at a step: one pass both finds the end of a line and moves
//! it, and a short copy costs no call of `memcpy`. Pure.

#[cfg(target_arch = "x86_64")]
use crate::sys::sixteen;
use crate::sys::slice::head_mut;
#[cfg(not(target_arch = "x86_64"))]
use portable as sixteen;

/// Bytes that end a copy.
pub trait Stop {
    /// The place of the first of them.
    fn find(block: &[u8; 16]) -> Option<usize>;
    fn is(byte: u8) -> bool;
}

/// `\n`.
pub struct Newline;

/// What cannot stand in a JSON string as it is, or is not ASCII: control characters, `"`, `\`, all above 0x7f.
pub struct Special;

impl Stop for Newline {
    #[inline(always)]
    fn find(block: &[u8; 16]) -> Option<usize> {
        sixteen::newline(block)
    }

    fn is(byte: u8) -> bool {
        byte == b'\n'
    }
}

impl Stop for Special {
    #[inline(always)]
    fn find(block: &[u8; 16]) -> Option<usize> {
        sixteen::special(block)
    }

    fn is(byte: u8) -> bool {
        !matches!(byte, 0x20..0x80) || byte == b'"' || byte == b'\\'
    }
}

/// Copies the bytes before the first `S` of `from`, all if there is none, and returns how many these are. `to` is at
/// least as long; what it holds behind them is undefined.
#[inline(always)]
pub fn until<S: Stop>(from: &[u8], to: &mut [u8]) -> usize {
    let (blocks, rest) = from.as_chunks();
    let (to_blocks, to_rest) = head_mut(to, from.len()).as_chunks_mut();
    for (index, (block, to_block)) in blocks.iter().zip(to_blocks).enumerate() {
        // As a number: two moves, where an array may be a call.
        *to_block = u128::from_ne_bytes(*block).to_ne_bytes();
        if let Some(place) = S::find(block) {
            return index * 16 + place;
        }
    }
    for (index, (&byte, to_byte)) in rest.iter().zip(to_rest).enumerate() {
        if S::is(byte) {
            return blocks.len() * 16 + index;
        }
        *to_byte = byte;
    }
    from.len()
}

/// The same in plain arithmetic: a subtraction sets the high bit of a byte that is less. It may borrow from the bytes
/// above, so that only the first mark counts.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
    const ONES: u128 = u128::MAX / 0xff;
    const HIGH: u128 = ONES << 7;

    #[inline(always)]
    pub fn newline(block: &[u8; 16]) -> Option<usize> {
        first(equal(u128::from_le_bytes(*block), b'\n'))
    }

    #[inline(always)]
    pub fn special(block: &[u8; 16]) -> Option<usize> {
        let block = u128::from_le_bytes(*block);
        first(equal(block, b'"') | equal(block, b'\\') | block.wrapping_sub(ONES * 0x20) | block)
    }

    #[inline(always)]
    fn equal(block: u128, byte: u8) -> u128 {
        let block = block ^ (ONES * u128::from(byte));
        block.wrapping_sub(ONES) & !block
    }

    #[inline(always)]
    fn first(marks: u128) -> Option<usize> {
        let marks = marks & HIGH;
        (marks != 0).then_some(marks.trailing_zeros() as usize / 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_stop_is_found_wherever_it_is() {
        for byte in 0..=u8::MAX {
            for later in [b' ', b'!', b'\n', 0x0b, b'"', b'#', b'\\', 0x7f, 0x80, 0xff] {
                for at in 0..16 {
                    let mut block = [later; 16];
                    block[..at].fill(b'a');
                    block[at] = byte;
                    let newline = block.iter().position(|&byte| Newline::is(byte));
                    let special = block.iter().position(|&byte| Special::is(byte));
                    assert_eq!((Newline::find(&block), portable::newline(&block)), (newline, newline), "{block:?}");
                    assert_eq!((Special::find(&block), portable::special(&block)), (special, special), "{block:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_before_the_stop_is_copied() {
        for length in 0..50 {
            let mut from: Vec<u8> = (b'A'..b'A' + 50).filter(|&byte| byte != b'\\').take(length).collect();
            for at in (0..=length).rev() {
                if let Some(byte) = from.get_mut(at) {
                    *byte = b'\n';
                }
                let mut to = [0; 64];
                assert_eq!(until::<Newline>(&from, &mut to), at.min(from.len()));
                assert_eq!(to[..at.min(from.len())], from[..at.min(from.len())]);
            }
        }
    }
}
