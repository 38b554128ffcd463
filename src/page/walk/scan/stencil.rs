//! An item as a stencil for those behind it: which bytes must be the same, and where any digit or any plain character
//! will do.
//!
//! ```text
//! {"id":17,"at":"10:00","ok":true}
//! ======10==="====="=============    = the same, 1 a digit but zero, 0 a digit, " a plain character
//! ```
//!
//! Sixteen bytes are compared at once. What fits is as valid as the item that the stencil was cut from, and as long: a
//! digit in the place of a digit, or a plain character in the place of another, changes no token and ends none. A value
//! whose length changes is noted, and from then on it is read; what stands between such values is still compared. An item
//! with other keys or other brackets does not fit, and is left to the joints (`shape`).

use std::ops::Range;

use super::likeness::Likeness;
use super::token::{blanks, number, scalar, string};

const WIDTH: usize = 16;
type Row = [u8; WIDTH];
/// Larger items are mostly text, which is as fast to read.
const LARGEST: usize = 16 * 1024;
/// There is room for so many values from the start.
const USUAL: usize = 64;
/// So many items without a surprise come before one that a stencil is cut from: a short list is not worth it.
const BEFORE: u32 = 3;
/// So many are cut for one list.
const MOST: u32 = 2;
/// So many items may not fit before that is held against the stencil.
const FREE: u32 = 3;

/// The stencil of a list, once it has one.
#[derive(Debug, Clone, Default)]
pub(super) struct Stencil {
    /// The length of the item; 0 if there is none.
    length: usize,
    /// The least that each byte may be, and how much more it may be. Behind the end there is room for another width.
    least: Vec<u8>,
    more: Vec<u8>,
    /// All bits are set of a byte that may be no quote and no backslash.
    plain: Vec<u8>,
    values: Vec<Value>,
    /// Those that are read.
    read: Vec<Value>,
    seen: u32,
    cut: u32,
    likeness: Likeness,
}

/// Where a value stands in the item.
#[derive(Debug, Clone, Copy)]
struct Value {
    start: usize,
    end: usize,
}

impl Stencil {
    /// Where an item ends that fits.
    #[inline]
    pub(super) fn pass(&mut self, bytes: &[u8], start: usize) -> Option<usize> {
        if self.length == 0 {
            return None;
        }
        let end = self.fit(bytes, start);
        match end {
            Some(_) => self.likeness.fitted += 1,
            None => self.did_not_fit(),
        }
        end
    }

    /// Takes notice of an item in which nothing was unexpected.
    #[inline]
    pub(super) fn saw(&mut self, item: &[u8]) {
        if self.length > 0 || self.cut == MOST {
            return;
        }
        self.seen += 1;
        if self.seen > BEFORE {
            self.replace(item);
        }
    }

    fn fit(&mut self, bytes: &[u8], mut at: usize) -> Option<usize> {
        let (mut from, mut index) = (0, 0);
        loop {
            let next = self.read.get(index).copied();
            let until = next.map_or(self.length, |value| value.start);
            if !self.fits(from..until, bytes, at) {
                let value = self.changed(from..until, bytes.get(at..)?)?;
                self.read.insert(index, value);
                continue;
            }
            at += until - from;
            let Some(value) = next else { return Some(at) };
            at = scalar(bytes, at)?;
            (from, index) = (value.end, index + 1);
        }
    }

    /// Whether a part of the item stands here too.
    #[inline]
    fn fits(&self, part: Range<usize>, bytes: &[u8], at: usize) -> bool {
        let length = part.len();
        if length < WIDTH {
            let planes =
                (wide(&self.least, part.start), wide(&self.more, part.start), wide(&self.plain, part.start));
            let ((Some(least), Some(more), Some(plain)), Some(found)) = (planes, wide(bytes, at)) else {
                // Too near the end of the text to look.
                return false;
            };
            let mut any = [0; WIDTH];
            note_unlike(&mut any, found, least, more, plain);
            return u128::from_le_bytes(any) << (8 * (WIDTH - length)) == 0;
        }
        let planes = (self.least.get(part.clone()), self.more.get(part.clone()), self.plain.get(part));
        let ((Some(least), Some(more), Some(plain)), Some(found)) = (planes, bytes.get(at..at + length))
        else {
            return false;
        };
        let mut any = [0; WIDTH];
        let rows = in_widths(found).iter().zip(in_widths(least)).zip(in_widths(more)).zip(in_widths(plain));
        for (((found, least), more), plain) in rows {
            note_unlike(&mut any, found, least, more, plain);
        }
        // What is left over, with some before it once more.
        let planes = (least.last_chunk(), more.last_chunk(), plain.last_chunk());
        let ((Some(least), Some(more), Some(plain)), Some(found)) = (planes, found.last_chunk()) else {
            return false;
        };
        note_unlike(&mut any, found, least, more, plain);
        u128::from_le_bytes(any) == 0
    }

    /// The value of a part of the item that is another here, if that is all that is.
    #[cold]
    fn changed(&self, part: Range<usize>, found: &[u8]) -> Option<Value> {
        let is_unlike = |(place, byte): &(usize, &u8)| {
            let ends = matches!(byte, b'"' | b'\\') && self.plain[*place] > 0;
            ends || byte.wrapping_sub(self.least[*place]) > self.more[*place]
        };
        let (place, _) = part.clone().zip(found).find(is_unlike)?;
        let before = self.values.partition_point(|value| value.start <= place);
        let value = *self.values.get(before.checked_sub(1)?)?;
        // That a number is longer shows behind it.
        (part.start <= value.start && place <= value.end).then_some(value)
    }

    #[cold]
    fn did_not_fit(&mut self) {
        self.likeness.unfit += 1;
        if self.likeness.is_lost(FREE) {
            (self.length, self.seen) = (0, 0);
        }
    }

    #[cold]
    fn replace(&mut self, item: &[u8]) {
        let cut = self.cut + 1;
        *self = Self::cut_from(item).unwrap_or_default();
        self.cut = cut;
    }

    /// Cuts one from an item, which is valid. A number that stands alone could be longer than one like it, and nothing
    /// behind it would show that.
    fn cut_from(item: &[u8]) -> Option<Self> {
        if item.len() > LARGEST || !matches!(item.first(), Some(b'{' | b'[')) {
            return None;
        }
        let plane = || vec![0; item.len() + WIDTH];
        let mut stencil = Self {
            length: item.len(),
            least: plane(),
            more: plane(),
            plain: plane(),
            values: Vec::with_capacity(USUAL),
            read: Vec::with_capacity(USUAL),
            ..Self::default()
        };
        stencil.least[..item.len()].copy_from_slice(item);
        let mut at = 0;
        while let Some(first) = item.get(at) {
            let start = at;
            at = match first {
                b'"' => string(item, at)?,
                b'-' | b'0'..=b'9' => number(item, at)?,
                b't' | b'n' => at + 4,
                b'f' => at + 5,
                _ => {
                    at += 1;
                    continue;
                }
            };
            // A key is a string before a colon.
            if item.get(blanks(item, at)) == Some(&b':') {
                continue;
            }
            match first {
                b'"' => stencil.any_plain(item, start + 1, at - 1),
                b'-' | b'0'..=b'9' => stencil.any_digits(item, start, at),
                _ => {}
            }
            stencil.values.push(Value { start, end: at });
        }
        Some(stencil)
    }

    /// What is plain in a string may be anything that is; escapes are to be the same.
    fn any_plain(&mut self, item: &[u8], mut at: usize, end: usize) {
        while at < end {
            if item[at] == b'\\' {
                at += if item[at + 1] == b'u' { 6 } else { 2 };
                continue;
            }
            (self.least[at], self.more[at], self.plain[at]) = (b' ', u8::MAX - b' ', u8::MAX);
            at += 1;
        }
    }

    /// A digit may be any other, but for the first of several (RFC 8259 §6: no zero leads).
    fn any_digits(&mut self, item: &[u8], start: usize, end: usize) {
        let first = start + usize::from(item[start] == b'-');
        let leads = first + 1 < end && item[first + 1].is_ascii_digit();
        for at in (start..end).filter(|at| item[*at].is_ascii_digit()) {
            let least = if leads && at == first { b'1' } else { b'0' };
            (self.least[at], self.more[at]) = (least, b'9' - least);
        }
    }
}

#[inline]
fn in_widths(bytes: &[u8]) -> &[Row] {
    bytes.as_chunks().0
}

#[inline]
fn wide(bytes: &[u8], at: usize) -> Option<&Row> {
    bytes.get(at..)?.first_chunk()
}

/// Sets bits where a byte does not fit. The compiler does all of them at once.
#[inline(always)]
fn note_unlike(any: &mut Row, found: &Row, least: &Row, more: &Row, plain: &Row) {
    for index in 0..WIDTH {
        let byte = found[index];
        let ends = all(byte == b'"') | all(byte == b'\\');
        any[index] |= all(byte.wrapping_sub(least[index]) > more[index]) | (ends & plain[index]);
    }
}

/// All bits, or none.
#[inline(always)]
fn all(is: bool) -> u8 {
    if is { u8::MAX } else { 0 }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::super::joint::{Nesting, value};
    use super::*;

    const ITEM: &str = r#"{"id":1017,"zero":0,"list":[-0.5e+10,"é\n\u00e9 ab",{}, null ],"ok":true,"__at":"2026-05-17T10:00:00Z","e":""}"#;
    const BEHIND: &str = r#","a":1},{"a":"long enough"}]"#;

    fn cut(item: &str) -> Stencil {
        let mut stencil = Stencil::default();
        (0..=BEFORE).for_each(|_| stencil.saw(item.as_bytes()));
        stencil
    }

    fn fits(stencil: &mut Stencil, item: &str) -> bool {
        stencil.pass(format!("{item}{BEHIND}").as_bytes(), 0) == Some(item.len())
    }

    #[test]
    fn digits_and_characters_may_be_others_and_values_longer_or_shorter() {
        let mut stencil = cut(ITEM);
        for (part, other) in [
            ("1017", "9999"),
            ("0,", "7,"),
            ("-0.5e+10", "-3.7e+99"),
            (" ab", " }]"),
            ("17T10", "30T23"),
            // Of another length, or another type.
            ("1017", "-10.5"),
            ("true", "false"),
            ("true", "\"a, \\\"b\\\"\""),
            (r#""""#, "null"),
            ("null", "12345678901234567890"),
            ("-0.5e+10", "1"),
        ] {
            assert!(fits(&mut stencil, &ITEM.replacen(part, other, 1)), "{other} for {part}");
            assert!(fits(&mut stencil, ITEM), "after {other}");
        }
        assert_eq!(stencil.read.len(), 5, "{:?}", stencil.read);
    }

    #[test]
    fn what_has_another_form_does_not_fit() {
        for (part, other) in [
            ("1017", "0017"),
            ("id", "ib"),
            ("-0.5", "-00.5"),
            ("\\n", "\\x"),
            ("ab", "a\n"),
            ("ab", "a\\"),
            ("true", "trua"),
            ("{}", "[]"),
            ("{}", "{\"a\":1}"),
            (r#","e":"""#, ""),
            ("null ", "{}"),
            ("]", "}"),
        ] {
            let mut stencil = cut(ITEM);
            assert!(!fits(&mut stencil, &ITEM.replacen(part, other, 1)), "{other} for {part}");
            assert!(fits(&mut stencil, ITEM), "after {other}");
        }
        let mut stencil = cut(ITEM);
        assert!(
            !fits(&mut stencil, &ITEM.replacen("zero", "hero", 1)) && stencil.read.is_empty(),
            "{stencil:?}"
        );
        // Nothing behind it would show that it is longer.
        assert!(!fits(&mut cut("17"), "17"));
        // The text ends within it.
        assert_eq!(cut(ITEM).pass(&ITEM.as_bytes()[..40], 0), None);
    }

    #[test]
    fn whatever_fits_is_a_value_that_ends_there() {
        let seed =
            std::env::var("HEADWATER_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
        let mut fitted = 0;
        for round in 0..20_000 {
            let mut random = Rng::with_seed(seed.wrapping_add(round));
            let mut stencil = cut(ITEM);
            for _ in 0..5 {
                let mut item = ITEM.as_bytes().to_vec();
                for _ in 0..random.usize(1..4) {
                    let at = random.usize(..item.len());
                    let others: &[u8] = match item[at] {
                        b'0'..=b'9' => b"0123456789",
                        b'"' | b'{' | b'[' | b'\\' => b"\"{[\\",
                        _ => b"0aT\"\\,:}] .-e\n",
                    };
                    match random.u32(..5) {
                        0 => item.insert(at, *random.choice(others).unwrap()),
                        1 => drop(item.remove(at)),
                        _ => item[at] = *random.choice(others).unwrap(),
                    }
                }
                item.extend_from_slice(BEHIND.as_bytes());
                if let Some(end) = stencil.pass(&item, 0) {
                    fitted += 1;
                    let text = String::from_utf8_lossy(&item);
                    let ends = value(&item, 0, &mut Nesting::default());
                    assert_eq!(ends, Some(end), "seed {seed}, round {round}: {text}");
                }
            }
        }
        assert!(fitted > 5_000, "{fitted}");
    }

    #[test]
    fn a_stencil_that_seldom_fits_is_replaced_a_few_times() {
        let item = |kind: u32, id: u32| format!(r#"{{"{kind}":{id}}}"#);
        let mut stencil = Stencil::default();
        for kind in 0..10 {
            for id in 100..200 {
                if !fits(&mut stencil, &item(kind, id)) {
                    stencil.saw(item(kind, id).as_bytes());
                }
            }
        }
        assert_eq!((stencil.cut, stencil.length), (MOST, 0));
    }
}
