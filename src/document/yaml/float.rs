//! The few floats whose value must be known: those that are keys, and those to the base 60. All arithmetic is exact,
//! on integers of 128 bits, which is enough for floats of everyday size and far smaller than the general case.

/// A positive float: the mantissa has 53 bits, and is to be multiplied by two to the power of the exponent.
#[derive(Clone, Copy, PartialEq)]
struct Binary {
    mantissa: u128,
    exponent: i32,
}

const MANTISSA_BITS: u32 = 53;

/// The float that is nearest to `digits`, of which `point` stand before the decimal point; none outside of everyday size.
pub(super) fn nearest(digits: &str, point: i64) -> Option<f64> {
    if digits.is_empty() {
        return Some(0.0);
    }
    if digits.len() > 19 || !(-3..=15).contains(&point) {
        return None;
    }
    let scale = point as i32 - digits.len() as i32;
    let Binary { mantissa, exponent } = binary(digits.parse().ok()?, scale)?;
    let biased = u64::try_from(exponent + 1075).ok()?;
    Some(f64::from_bits(biased << 52 | (mantissa as u64 & ((1 << 52) - 1))))
}

/// The float nearest to `digits` times ten to the power of `scale`; of two equally near, the even one.
fn binary(digits: u128, scale: i32) -> Option<Binary> {
    let power = 10u128.checked_pow(scale.unsigned_abs())?;
    let (numerator, divisor) = if scale < 0 { (digits, power) } else { (digits.checked_mul(power)?, 1) };
    if numerator == 0 {
        return None;
    }
    let shift = numerator.leading_zeros();
    let quotient = (numerator << shift) / divisor;
    let is_inexact = (numerator << shift) % divisor > 0;
    let dropped = (128 - quotient.leading_zeros()).checked_sub(MANTISSA_BITS).filter(|bits| *bits > 1)?;
    let mut mantissa = quotient >> dropped;
    let (rest, half) = (quotient - (mantissa << dropped), 1 << (dropped - 1));
    if rest > half || (rest == half && (is_inexact || mantissa & 1 == 1)) {
        mantissa += 1;
    }
    let exponent = dropped as i32 - shift as i32;
    if mantissa == 1 << MANTISSA_BITS {
        return Some(Binary { mantissa: mantissa >> 1, exponent: exponent + 1 });
    }
    Some(Binary { mantissa, exponent })
}

/// The shortest digits that stand for `value` alone, and how many of them are before the decimal point, as Python
/// chooses them; none outside of everyday size.
pub(super) fn shortest(value: f64) -> Option<(String, i64)> {
    if value == 0.0 {
        return Some((String::new(), 0));
    }
    if !(1e-4..1e15).contains(&value) {
        return None;
    }
    let bits = value.to_bits();
    let value = Binary { mantissa: u128::from(bits & ((1 << 52) - 1) | 1 << 52), exponent: (bits >> 52) as i32 - 1075 };
    for length in 15..=17 {
        // So many places after the decimal point give as many digits.
        let (rounded, places) = (0..=21)
            .filter_map(|places| Some((rounded(value, places)?, places)))
            .find(|(rounded, _)| *rounded >= 10u128.pow(length - 1))?;
        if binary(rounded, -places) == Some(value) {
            let digits = rounded.to_string();
            return Some((digits.trim_end_matches('0').to_owned(), digits.len() as i64 - i64::from(places)));
        }
        if value.mantissa == 1 << 52 {
            // The neighbours of a power of two are not equally far: the nearest digits need not be the right ones.
            return None;
        }
    }
    None
}

/// `value` times ten to the power of `places`, rounded to an integer.
fn rounded(value: Binary, places: i32) -> Option<u128> {
    let product = value.mantissa.checked_mul(10u128.pow(places.unsigned_abs()))?;
    let dropped = value.exponent.unsigned_abs();
    let (whole, half) = (product >> dropped, 1 << (dropped - 1));
    let rest = product - (whole << dropped);
    Some(whole + u128::from(rest > half || (rest == half && whole & 1 == 1)))
}
