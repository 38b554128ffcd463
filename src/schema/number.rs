//! Numbers by their text: whether a type holds exactly this value.

use std::borrow::Cow;

/// A number as its significant digits and a power of ten: `digits` × 10^`exponent`. Zero has no digits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Normal {
    is_negative: bool,
    /// The first and the last are not `0`.
    digits: String,
    exponent: i64,
}

/// Reads a number of JSON's grammar (RFC 8259 §6). An exponent beyond what can be counted saturates: no type holds
/// such a number, unless it is zero.
fn normal(text: &str) -> Option<Normal> {
    if !is_number(text) {
        return None;
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, saturating(exponent)),
        None => (text, 0),
    };
    let (is_negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => (true, mantissa),
        None => (false, mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = String::with_capacity(whole.len() + fraction.len());
    digits.push_str(whole);
    digits.push_str(fraction);
    let kept = digits.trim_end_matches('0').len();
    let dropped = digits.len() - kept;
    digits.truncate(kept);
    let leading = digits.len() - digits.trim_start_matches('0').len();
    digits.drain(..leading);
    if digits.is_empty() {
        return Some(Normal { is_negative, digits, exponent: 0 });
    }
    let exponent = exponent.saturating_sub(fraction.len() as i64).saturating_add(dropped as i64);
    Some(Normal { is_negative, digits, exponent })
}

/// Whether the text is a number of JSON's grammar.
pub(super) fn is_number(text: &str) -> bool {
    fn digits(text: &str) -> &str {
        text.trim_start_matches(|c: char| c.is_ascii_digit())
    }
    let rest = text.strip_prefix('-').unwrap_or(text);
    let behind = digits(rest);
    let whole = &rest[..rest.len() - behind.len()];
    if whole.is_empty() || (whole.len() > 1 && whole.starts_with('0')) {
        return false;
    }
    let mut rest = behind;
    if let Some(fraction) = rest.strip_prefix('.') {
        let behind = digits(fraction);
        if behind.len() == fraction.len() {
            return false;
        }
        rest = behind;
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let behind = digits(exponent);
        if behind.len() == exponent.len() {
            return false;
        }
        rest = behind;
    }
    rest.is_empty()
}

fn saturating(exponent: &str) -> i64 {
    // A quarter of the range: sums of it with a length cannot overflow.
    const FAR: i64 = i64::MAX / 4;
    let (is_negative, digits) = match exponent.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, exponent.strip_prefix('+').unwrap_or(exponent)),
    };
    let far = digits.parse::<i64>().map_or(FAR, |value| value.min(FAR));
    if is_negative { -far } else { far }
}

/// The value as 64 bits, if it is whole and within them.
pub(super) fn int64(text: &str) -> Option<i64> {
    if let Ok(value) = text.parse() {
        return Some(value);
    }
    let Normal { is_negative, mut digits, exponent } = normal(text)?;
    if digits.is_empty() {
        return Some(0);
    }
    if exponent < 0 || digits.len() as i64 + exponent > 19 {
        return None;
    }
    digits.extend(std::iter::repeat_n('0', usize::try_from(exponent).ok()?));
    if is_negative {
        digits.insert(0, '-');
    }
    digits.parse().ok()
}

/// The value as a double, if the double's shortest text is the same decimal value.
pub(super) fn float64(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    if !value.is_finite() {
        return None;
    }
    // Up to 15 digits come back whatever they are; without an exponent they are far from the ends of the range.
    let is_short = text.len() <= 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-'));
    if is_short && text.bytes().filter(u8::is_ascii_digit).count() <= 15 {
        return Some(value);
    }
    (normal(text)? == normal(&format!("{value:e}"))?).then_some(value)
}

/// The value in plain digits, without an exponent, if a decimal of that size holds it.
pub(super) fn decimal(text: &str, precision: u8, scale: u8) -> Option<Cow<'_, str>> {
    let normal = normal(text)?;
    let (whole, fraction) = sizes(&normal);
    if fraction > i64::from(scale) || whole > i64::from(precision) - i64::from(scale) {
        return None;
    }
    let is_plain = !text.contains(['e', 'E']);
    let behind = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    // Zeros at the end are a part of the text, but must not ask for more room than there is.
    if is_plain && behind <= usize::from(scale) {
        return Some(Cow::Borrowed(text));
    }
    Some(Cow::Owned(plain(&normal)))
}

/// How many digits stand before the point and behind it.
pub(super) fn size(text: &str) -> Option<(i64, i64)> {
    normal(text).map(|normal| sizes(&normal))
}

fn sizes(normal: &Normal) -> (i64, i64) {
    if normal.digits.is_empty() {
        return (0, 0);
    }
    let whole = (normal.digits.len() as i64).saturating_add(normal.exponent).max(0);
    (whole, normal.exponent.saturating_neg().max(0))
}

/// The plain text of a number that is known to be short.
fn plain(normal: &Normal) -> String {
    let Normal { is_negative, digits, exponent } = normal;
    let mut text = String::new();
    if *is_negative {
        text.push('-');
    }
    let point = digits.len() as i64 + exponent;
    let zeros = |count: i64| std::iter::repeat_n('0', usize::try_from(count).unwrap_or(0));
    if point <= 0 {
        text.push('0');
        if !digits.is_empty() {
            text.push('.');
            text.extend(zeros(-point));
            text.push_str(digits);
        }
    } else if *exponent >= 0 {
        text.push_str(digits);
        text.extend(zeros(*exponent));
    } else {
        let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
        text.push_str(whole);
        text.push('.');
        text.push_str(fraction);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_what_has_a_whole_value() {
        for (text, value) in [
            ("0", 0),
            ("-0", 0),
            ("-0.0e9", 0),
            ("1.0", 1),
            ("1e3", 1000),
            ("12.50e1", 125),
            ("100e-2", 1),
            ("9223372036854775807", i64::MAX),
            ("9.223372036854775807e18", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(int64(text), Some(value), "{text}");
        }
        for text in
            ["9223372036854775808", "-9223372036854775809", "1.5", "1e-1", "1e19", "1e99999999999999999999"]
        {
            assert_eq!(int64(text), None, "{text}");
        }
        assert_eq!(int64("0e99999999999999999999"), Some(0));
    }

    #[test]
    fn a_double_is_what_gives_the_text_back() {
        for text in
            ["0.1", "1e23", "-0.0", "1.7976931348623157e308", "5e-324", "19.99", "123456789012345.6", "2.50"]
        {
            assert_eq!(float64(text).map(f64::to_bits), text.parse().ok().map(f64::to_bits), "{text}");
        }
        for text in [
            "0.1234567890123456789",
            "1e400",
            "-1e400",
            "1e-400",
            "9007199254740993",
            "9223372036854775807",
            "1e99999999999999999999",
            "1e-99999999999999999999",
        ] {
            assert_eq!(float64(text), None, "{text}");
        }
    }

    #[test]
    fn a_decimal_has_room_for_every_digit() {
        for (text, expected) in [
            ("12.34", "12.34"),
            ("12.3400", "12.34"),
            ("-0.05", "-0.05"),
            ("1e2", "100"),
            ("5e-2", "0.05"),
            ("0.000", "0"),
            ("1.25e1", "12.5"),
            ("999.99", "999.99"),
        ] {
            assert_eq!(decimal(text, 5, 2).as_deref(), Some(expected), "{text}");
        }
        for text in
            ["1000", "0.001", "1e3", "1e99999999999999999999", "1e-99999999999999999999", "12,5", "+1", "01"]
        {
            assert_eq!(decimal(text, 5, 2), None, "{text}");
        }
    }
}
