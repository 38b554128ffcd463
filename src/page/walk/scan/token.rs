//! The smallest parts of JSON text: where each of them ends.

/// Where the string, number or literal at a place ends.
#[inline]
pub(super) fn scalar(bytes: &[u8], at: usize) -> Option<usize> {
    match *bytes.get(at)? {
        b'"' => string(bytes, at),
        b'-' | b'0'..=b'9' => number(bytes, at),
        b't' => literal(bytes, at, b"true"),
        b'f' => literal(bytes, at, b"false"),
        b'n' => literal(bytes, at, b"null"),
        _ => None,
    }
}

#[inline]
pub(super) fn blanks(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

#[inline]
pub(super) fn colon(bytes: &[u8], at: usize) -> Option<usize> {
    let at = blanks(bytes, at);
    (*bytes.get(at)? == b':').then_some(at + 1)
}

fn literal(bytes: &[u8], at: usize, text: &[u8]) -> Option<usize> {
    bytes.get(at..)?.starts_with(text).then_some(at + text.len())
}

pub(super) fn number(bytes: &[u8], mut at: usize) -> Option<usize> {
    at += usize::from(bytes[at] == b'-');
    at = match bytes.get(at)? {
        b'0' => at + 1,
        _ => digits(bytes, at)?,
    };
    if bytes.get(at) == Some(&b'.') {
        at = digits(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        at = digits(bytes, at)?;
    }
    Some(at)
}

/// One digit or more.
fn digits(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let other = no_digit(u64::from_le_bytes(*word));
        if other != 0 {
            at += other.trailing_zeros() as usize / 8;
            return (at > start).then_some(at);
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    (at > start).then_some(at)
}

/// Eight bytes at once: the top bit of each that is no digit.
#[inline]
fn no_digit(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let value = word ^ (EACH * u64::from(b'0'));
    (((value & (EACH * 0x7f)) + EACH * 0x76) | value) & (EACH * 0x80)
}

#[inline]
pub(super) fn string(bytes: &[u8], at: usize) -> Option<usize> {
    if *bytes.get(at)? != b'"' {
        return None;
    }
    let mut at = at + 1;
    loop {
        at = plain(bytes, at);
        match *bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at = escape(bytes, at + 1)?,
            // A control character (RFC 8259 §7).
            _ => return None,
        }
    }
}

fn escape(bytes: &[u8], at: usize) -> Option<usize> {
    match *bytes.get(at)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 1),
        b'u' => {
            let digits = bytes.get(at + 1..at + 5)?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some(at + 5)
        }
        _ => None,
    }
}

/// Where the first byte stands that is not just a part of a string: a quote, a backslash, a control character.
#[inline]
fn plain(bytes: &[u8], mut at: usize) -> usize {
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let special = special(u64::from_le_bytes(*word));
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | ..0x20)) {
        at += 1;
    }
    at
}

/// Eight bytes at once: the top bit of the first that is special is set, and of none before it. (A borrow may set a bit
/// behind the first, never before it.)
#[inline]
fn special(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let is_zero = |word: u64| word.wrapping_sub(EACH) & !word;
    let control = word.wrapping_sub(EACH * 0x20) & !word;
    (control | is_zero(word ^ (EACH * u64::from(b'"'))) | is_zero(word ^ (EACH * u64::from(b'\\'))))
        & (EACH * 0x80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_found_wherever_it_stands() {
        for length in 0..40 {
            for at in 0..length {
                for byte in 0..=127_u8 {
                    let mut text = vec![b'x'; length];
                    text[at] = byte;
                    let ends = matches!(byte, b'"' | b'\\' | ..0x20);
                    assert_eq!(plain(&text, 0), if ends { at } else { length }, "{byte} at {at} of {length}");
                }
            }
        }
        assert_eq!(plain("ü€😀ü€😀\u{7f}\"".as_bytes(), 0), 19);
    }

    #[test]
    fn a_number_ends_wherever_its_digits_do() {
        for length in 1..40 {
            for at in 0..=length {
                for byte in 0..=255_u8 {
                    let mut text = vec![b'7'; length];
                    if let Some(place) = text.get_mut(at) {
                        *place = byte;
                    }
                    let end = if byte.is_ascii_digit() { length } else { at };
                    assert_eq!(digits(&text, 0), (end > 0).then_some(end), "{byte} at {at} of {length}");
                }
            }
        }
    }
}
