//! Numbers as YAML 1.1 writes them, turned into the text that JSON has for the same value: digit by digit,
//! so that an integer may be of any size and a float stays what it is.

use std::borrow::Cow;

use super::float;

/// Decimal digits of an integer that Python still turns into text.
const MAX_DIGITS: usize = 4300;

/// The decimal digits of an integer in any of the notations: `-0x1F`, `0b11`, `017`, `1_000`, `12:30`.
pub(super) fn integer(text: Cow<'_, str>) -> Result<Cow<'_, str>, &'static str> {
    const NOT_AN_INTEGER: &str = "not an integer";
    if is_decimal(&text) && text.len() <= MAX_DIGITS && (!text.starts_with('0') || text == "0") {
        return Ok(text);
    }
    let text = text.replace('_', "");
    let (sign, digits) = split_sign(&text);
    let magnitude = if digits == "0" {
        "0".to_owned()
    } else if let Some(binary) = digits.strip_prefix("0b") {
        from_base(binary, 2).ok_or(NOT_AN_INTEGER)?
    } else if let Some(hexadecimal) = digits.strip_prefix("0x") {
        from_base(hexadecimal, 16).ok_or(NOT_AN_INTEGER)?
    } else if digits.starts_with('0') {
        // Python takes `0o` for the base as well, where the tag says that this is an integer.
        from_base(digits.strip_prefix("0o").unwrap_or(digits), 8).ok_or(NOT_AN_INTEGER)?
    } else if digits.contains(':') {
        sexagesimal(digits).ok_or(NOT_AN_INTEGER)?
    } else if is_decimal(digits) {
        digits.to_owned()
    } else {
        return Err(NOT_AN_INTEGER);
    };
    if magnitude.len() > MAX_DIGITS {
        return Err("an integer of more than 4300 digits");
    }
    Ok(if sign == "-" && magnitude != "0" { "-".to_owned() + &magnitude } else { magnitude }.into())
}

fn split_sign(text: &str) -> (&str, &str) {
    text.split_at(usize::from(text.starts_with(['+', '-'])))
}

fn is_decimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn from_base(digits: &str, base: u32) -> Option<String> {
    if digits.is_empty() {
        return None;
    }
    let mut number = Natural::default();
    number.append(digits, base)?;
    Some(number.into_text())
}

fn sexagesimal(digits: &str) -> Option<String> {
    let mut parts = digits.split(':');
    let mut number = Natural::default();
    let first = parts.next().filter(|first| is_decimal(first))?;
    number.append(first, 10)?;
    for part in parts {
        if !is_decimal(part) || part.len() > 9 {
            return None;
        }
        number.multiply_and_add(60, part.parse().ok()?);
    }
    Some(number.into_text())
}

/// A natural number of any size, the least significant nine digits first. Grows no further once it is
/// too large for anyone, which keeps the time for it linear.
#[derive(Default)]
struct Natural(Vec<u32>);

impl Natural {
    const UNIT: u64 = 1_000_000_000;

    fn multiply_and_add(&mut self, factor: u32, summand: u32) {
        if self.0.len() > MAX_DIGITS / 9 + 1 {
            return;
        }
        let mut carry = u64::from(summand);
        for nine in &mut self.0 {
            carry += u64::from(*nine) * u64::from(factor);
            *nine = (carry % Self::UNIT) as u32;
            carry /= Self::UNIT;
        }
        while carry > 0 {
            self.0.push((carry % Self::UNIT) as u32);
            carry /= Self::UNIT;
        }
    }

    /// Appends `digits` to the number, as many at a time as fit.
    fn append(&mut self, digits: &str, base: u32) -> Option<()> {
        let (mut factor, mut summand) = (1u32, 0);
        for digit in digits.chars() {
            if factor > u32::MAX / base {
                self.multiply_and_add(factor, summand);
                (factor, summand) = (1, 0);
            }
            factor *= base;
            summand = summand * base + digit.to_digit(base)?;
        }
        self.multiply_and_add(factor, summand);
        Some(())
    }

    fn into_text(self) -> String {
        let mut text = Vec::with_capacity(9 * self.0.len());
        for mut nine in self.0 {
            for _ in 0..9 {
                text.push(char::from(b'0' + (nine % 10) as u8));
                nine /= 10;
            }
        }
        while text.last() == Some(&'0') {
            text.pop();
        }
        if text.is_empty() { "0".to_owned() } else { text.into_iter().rev().collect() }
    }
}

/// A finite float, taken apart: the digits of its whole and its fractional part, and its exponent.
struct Float {
    sign: &'static str,
    whole: String,
    fraction: String,
    exponent: Option<String>,
}

/// The JSON number with the value of a float: `1_0.` is `10.0`, `.5e-3` is `0.5e-3`.
pub(super) fn float(text: Cow<'_, str>) -> Result<Cow<'_, str>, &'static str> {
    if is_json_float(&text) {
        return Ok(text);
    }
    let float = Float::parse(&text)?;
    let mut json = [float.sign, &float.whole].concat();
    if !float.fraction.is_empty() || float.exponent.is_none() {
        json.push('.');
        json.push_str(if float.fraction.is_empty() { "0" } else { &float.fraction });
    }
    if let Some(exponent) = float.exponent {
        json.push('e');
        json.push_str(&exponent);
    }
    Ok(json.into())
}

/// Is this a float that JSON writes just so? Most are.
fn is_json_float(text: &str) -> bool {
    match text.split_once('.') {
        Some((whole, fraction)) => {
            is_decimal(whole) && is_decimal(fraction) && whole.len() <= 300 && (!whole.starts_with('0') || whole == "0")
        }
        None => false,
    }
}

impl Float {
    fn parse(text: &str) -> Result<Float, &'static str> {
        const NOT_A_FLOAT: &str = "not a float";
        let text = text.replace('_', "").to_ascii_lowercase();
        let (sign, number) = split_sign(&text);
        let sign = if sign == "-" { "-" } else { "" };
        if matches!(number, ".inf" | ".nan") {
            return Err("infinity and NaN are no JSON: expected a number");
        }
        if number.contains(':') {
            let (digits, point) =
                sexagesimal_float(number).ok_or("a number to the base 60 of this size: expected a decimal number")?;
            let (whole, fraction) = written_out(&digits, point);
            return Ok(Float { sign, whole, fraction, exponent: None });
        }
        let (mantissa, exponent) = match number.split_once('e') {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (number, None),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_digits = |text: &str| text.is_empty() || is_decimal(text);
        if !is_digits(whole) || !is_digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
            return Err(NOT_A_FLOAT);
        }
        if exponent.is_some_and(|exponent| !is_decimal(split_sign(exponent).1)) {
            return Err(NOT_A_FLOAT);
        }
        let significant = whole.trim_start_matches('0');
        let float = Float {
            sign,
            whole: if significant.is_empty() { "0".to_owned() } else { significant.to_owned() },
            fraction: fraction.to_owned(),
            exponent: exponent.map(str::to_owned),
        };
        // The largest float is 1.7976931348623157e308.
        let (digits, point) = float.significance();
        if point > 309 || (point == 309 && digits.as_str() >= "17976931348623158") {
            return Err("a number too large for a float");
        }
        Ok(float)
    }

    /// The digits without zeros at either end, and how many of them are before the decimal point.
    /// Zero has no digits.
    fn significance(&self) -> (String, i64) {
        let (digits, point) = significance(&self.whole, &self.fraction);
        let shift = self.exponent.as_deref().map_or(0, |exponent| {
            // An exponent beyond all measure is as good as any other.
            let (sign, digits) = split_sign(exponent);
            let digits = digits.trim_start_matches('0');
            let magnitude = if digits.len() > 15 { i64::MAX / 4 } else { digits.parse().unwrap_or(0) };
            if sign == "-" { -magnitude } else { magnitude }
        });
        let point = if digits.is_empty() { 0 } else { point + shift };
        (digits, point)
    }
}

/// Do two numbers of JSON stand for the same float, as far as their digits tell?
pub(super) fn is_same_float(one: &str, other: &str) -> bool {
    let value = |text: &str| {
        let float = Float::parse(text).ok().filter(|_| text.contains(['.', 'e']))?;
        Some((float.sign, float.significance()))
    };
    value(one).is_some_and(|one| value(other) == Some(one))
}

fn significance(whole: &str, fraction: &str) -> (String, i64) {
    let digits = [whole, fraction].concat();
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return (String::new(), 0);
    }
    let leading_zeros = (digits.len() - significant.len()) as i64;
    (significant.trim_end_matches('0').to_owned(), whole.len() as i64 - leading_zeros)
}

/// The digits of a float to the base 60, added up as Python does.
fn sexagesimal_float(text: &str) -> Option<(String, i64)> {
    let mut value = 0.0;
    let mut base = 1.0;
    // Powers of 60 up to this one are floats themselves.
    if text.split(':').count() > 10 {
        return None;
    }
    for part in text.rsplit(':') {
        let (whole, fraction) = part.split_once('.').unwrap_or((part, ""));
        if !is_decimal(whole) || !(fraction.is_empty() || is_decimal(fraction)) {
            return None;
        }
        let (digits, point) = significance(whole, fraction);
        value += float::nearest(&digits, point)? * base;
        base *= 60.0;
    }
    float::shortest(value)
}

/// Digits as they are written without an exponent: the whole part, and the fractional one.
fn written_out(digits: &str, point: i64) -> (String, String) {
    let before = point.max(0) as usize;
    let whole = match digits.get(..before) {
        Some("") => "0".to_owned(),
        Some(whole) => whole.to_owned(),
        None => [digits, &"0".repeat(before - digits.len())].concat(),
    };
    let zeros = "0".repeat((-point).max(0) as usize);
    (whole, zeros + digits.get(before..).unwrap_or_default())
}

/// A number as the key of a mapping.
pub(super) struct NumberKey {
    /// The name it gets in JSON.
    pub(super) name: String,
    /// The same for all numbers that Python holds to be equal.
    pub(super) value: String,
}

/// A float as a key: Python turns it into the shortest text that is read as the same float. Up to fifteen
/// digits those are its own.
pub(super) fn float_key(text: &str) -> Result<NumberKey, &'static str> {
    let lower = text.replace('_', "").to_ascii_lowercase();
    let special = match (split_sign(&lower).1, lower.starts_with('-')) {
        (".nan", _) => Some("NaN"),
        (".inf", false) => Some("Infinity"),
        (".inf", true) => Some("-Infinity"),
        _ => None,
    };
    if let Some(name) = special {
        return Ok(NumberKey { name: name.to_owned(), value: name.to_owned() });
    }
    let float = Float::parse(text)?;
    let (mut digits, mut point) = float.significance();
    if digits.is_empty() {
        return Ok(NumberKey { name: [float.sign, "0.0"].concat(), value: "0".to_owned() });
    }
    if digits.len() > 15 {
        (digits, point) = float::nearest(&digits, point).and_then(float::shortest).ok_or(UNFIT_KEY)?;
    }
    if !(-290..=15).contains(&point) {
        return Err(UNFIT_KEY);
    }
    if point < -3 {
        let (first, rest) = digits.split_at(1);
        let separator = if rest.is_empty() { "" } else { "." };
        let exponent = (1 - point).to_string();
        let zero = if exponent.len() < 2 { "0" } else { "" };
        let name = [float.sign, first, separator, rest, "e-", zero, &exponent].concat();
        return Ok(NumberKey { value: name.clone(), name });
    }
    let (whole, fraction) = written_out(&digits, point);
    let whole = [float.sign, &whole].concat();
    if fraction.is_empty() {
        Ok(NumberKey { name: [&whole, ".0"].concat(), value: whole })
    } else {
        let name = [&whole, ".", &fraction].concat();
        Ok(NumberKey { value: name.clone(), name })
    }
}

const UNFIT_KEY: &str = "a float of this size or precision cannot be a key: expected the key in quotes";
