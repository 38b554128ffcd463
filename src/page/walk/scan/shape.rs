//! What the items of a list have in common: the text between their values.
//!
//! The records of an API are alike. From the end of one value to the beginning of the next stands what the grammar is
//! made of and the keys, and nearly always it is the same as in a record before:
//!
//! ```text
//! {"id":1,"user":{"login":"a"},"ok":true}
//! ^^^^^^ ^^^^^^^^^^^^^^^^^    ^^^^^^^    ^
//! ```
//!
//! Such a *joint* is read once. Behind a joint the one is expected that came there the last time, and to compare a text
//! is faster than to read it. It is not a guess about the grammar: the same text, read at the same place among the same
//! brackets, is valid again and leads to the same place.
//!
//! Whatever is not expected is read, and learnt. A list whose records are not alike is soon given up.

use super::joint::{Near, joint};
use super::likeness::Likeness;
use super::stencil::Stencil;
use super::token::scalar;

const WORD: usize = size_of::<u64>();
/// So many joints are learnt; hardly a record has more.
const MOST: usize = 512;
/// There is room for so many from the start.
const USUAL: usize = 64;
/// Longer ones are not learnt.
const LONGEST: usize = 256;
/// So many are expected behind one.
const ALTERNATIVES: usize = 3;
/// So many may be unexpected before that is held against the list.
const FREE: u32 = 256;

/// The joints of a list.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    joints: Vec<Joint>,
    text: Vec<u8>,
    /// What an item began with, the last time.
    first: Option<u16>,
    likeness: Likeness,
    given_up: bool,
    /// Whether there are items that are not plain, as far as anything is known of them.
    unplain: bool,
    stencil: Stencil,
}

#[derive(Debug, Clone)]
struct Joint {
    start: usize,
    length: usize,
    /// Its first bytes, and which bits of them count.
    head: u64,
    mask: u64,
    before: Near,
    after: Near,
    /// Whether the item ends with it; otherwise a value follows.
    ends: bool,
    /// What came behind that value, the last first.
    next: [Option<u16>; ALTERNATIVES],
}

/// A joint and the value behind it, passed.
struct Passed {
    index: u16,
    end: usize,
    /// What may follow; `None` at the end of the item.
    following: Option<[Option<u16>; ALTERNATIVES]>,
}

impl Joint {
    #[inline]
    fn pass(&self, bytes: &[u8], at: usize, index: u16) -> Option<Passed> {
        let end = at + self.length;
        Some(match self.ends {
            true => Passed { index, end, following: None },
            false => Passed { index, end: scalar(bytes, end)?, following: Some(self.next) },
        })
    }
}

impl Shape {
    /// Where the item at a place ends. `None`: it is left to the reader that knows no shape.
    pub(super) fn pass(&mut self, bytes: &[u8], start: usize) -> Option<usize> {
        if self.given_up {
            return None;
        }
        if let Some(end) = self.stencil.pass(bytes, start) {
            return Some(end);
        }
        let unexpected = self.likeness.unfit;
        let end = self.item(bytes, start);
        match end {
            Some(end) if self.likeness.unfit == unexpected => self.stencil.saw(&bytes[start..end]),
            Some(_) => {}
            None => self.given_up = true,
        }
        end
    }

    pub(super) fn saw_no_item(&mut self) {
        self.unplain = true;
    }

    pub(super) fn is_plain(&self) -> bool {
        !self.unplain && !self.given_up
    }

    fn item(&mut self, bytes: &[u8], mut at: usize) -> Option<usize> {
        let mut here = None;
        let mut next = [self.first, None, None];
        loop {
            let expected = next.into_iter().flatten().find_map(|index| {
                // What fits may be no more than the beginning of what stands here: then no value follows.
                self.joints
                    .get(usize::from(index))
                    .filter(|joint| self.fits(joint, bytes, at))?
                    .pass(bytes, at, index)
            });
            let passed = match expected {
                Some(passed) => {
                    self.likeness.fitted += 1;
                    passed
                }
                // An item may be as large as a list: not only behind it is this looked at.
                None if self.likeness.is_lost(FREE) => return None,
                None => {
                    let index = self.learn(here, bytes, at)?;
                    self.joints.get(usize::from(index))?.pass(bytes, at, index)?
                }
            };
            at = passed.end;
            let Some(following) = passed.following else { return Some(at) };
            (here, next) = (Some(passed.index), following);
        }
    }

    #[inline]
    fn fits(&self, joint: &Joint, bytes: &[u8], at: usize) -> bool {
        let Some(head) = bytes.get(at..).and_then(<[u8]>::first_chunk) else { return false };
        if (u64::from_le_bytes(*head) ^ joint.head) & joint.mask != 0 {
            return false;
        }
        joint.length <= WORD || {
            let text = self.text.get(joint.start..joint.start + joint.length);
            text.zip(bytes.get(at..at + joint.length)).is_some_and(|(text, found)| are_the_same(text, found))
        }
    }

    /// Reads what is not expected.
    #[cold]
    fn learn(&mut self, here: Option<u16>, bytes: &[u8], at: usize) -> Option<u16> {
        self.likeness.unfit += 1;
        if self.joints.is_empty() {
            self.joints.reserve(USUAL);
            self.text.reserve(USUAL * 16);
        }
        let before = match here {
            Some(here) => self.joints.get(usize::from(here))?.after,
            None => Near::default(),
        };
        let mut after = before;
        let (end, ends) = joint(bytes, at, &mut after, here.is_some())?;
        let text = &bytes[at..end];
        self.unplain |= !is_plain(text);
        let mut head = [0; WORD];
        let count = text.len().min(head.len());
        head[..count].copy_from_slice(&text[..count]);
        let head = u64::from_le_bytes(head);
        let is_it = |joint: &Joint| {
            joint.head == head
                && joint.length == text.len()
                && joint.before == before
                && joint.ends == ends
                && self.text.get(joint.start..joint.start + joint.length) == Some(text)
        };
        let index = match self.joints.iter().position(is_it) {
            Some(index) => index,
            None if self.joints.len() == MOST || text.len() > LONGEST => return None,
            None => {
                let mask = if count == WORD { u64::MAX } else { (1 << (8 * count)) - 1 };
                self.joints.push(Joint {
                    start: self.text.len(),
                    length: text.len(),
                    head,
                    mask,
                    before,
                    after,
                    ends,
                    next: [None; ALTERNATIVES],
                });
                self.text.extend_from_slice(text);
                self.joints.len() - 1
            }
        };
        let index = u16::try_from(index).ok()?;
        match here {
            None => self.first = Some(index),
            Some(here) => {
                let next = &mut self.joints.get_mut(usize::from(here))?.next;
                next.rotate_right(1);
                next[0] = Some(index);
            }
        }
        Some(index)
    }
}

/// Whether a joint has no line break, no escape, and no key that begins with two underscores.
fn is_plain(joint: &[u8]) -> bool {
    !joint.iter().any(|byte| matches!(byte, b'\n' | b'\r' | b'\\'))
        && !joint.windows(3).any(|three| three == b"\"__")
}

/// Compares texts of one length, longer than a word, of which the first word is known to be the same. (They are short: a
/// call of `memcmp` takes longer.)
#[inline]
fn are_the_same(text: &[u8], found: &[u8]) -> bool {
    let mut at = WORD;
    while at + WORD <= text.len() {
        if text[at..at + WORD] != found[at..at + WORD] {
            return false;
        }
        at += WORD;
    }
    text[text.len() - WORD..] == found[found.len() - WORD..]
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use fastrand::Rng;

    use super::super::joint::{Nesting, value};
    use super::super::token::blanks;
    use super::*;

    /// A value, out of few pieces, so that the same comes again.
    fn write_value(random: &mut Rng, levels: u32, out: &mut String) {
        match random.u32(..if levels == 0 { 5 } else { 9 }) {
            0 => write!(out, "{}", random.i64(-9..1_000_000_000_000)).unwrap(),
            1 => out.push_str(["true", "false", "null", "-0.5e+3", "0"][random.usize(..5)]),
            2 => write!(out, "\"{}\"", "é\\n\\\"x".repeat(random.usize(..4))).unwrap(),
            3 => out.push_str(["{}", "[]", "{ }", "[\n]"][random.usize(..4)]),
            4 => write!(out, "\"{}\"", "a".repeat(random.usize(..20))).unwrap(),
            5 | 6 => {
                let items = random.usize(1..4);
                for item in 0..items {
                    out.push_str(if item == 0 { "[" } else { "," });
                    write_value(random, levels - 1, out);
                }
                out.push_str([" ]", "]"][random.usize(..2)]);
            }
            _ => {
                let fields = random.usize(1..5);
                for field in 0..fields {
                    out.push_str(if field == 0 { "{" } else { "," });
                    out.push_str(
                        ["\"id\":", "\"name\": ", "\"a long key\":", "\"\":", "\"__x\\u0041\":"][field],
                    );
                    write_value(random, levels - 1, out);
                }
                out.push('}');
            }
        }
    }

    /// Goes through a list with a shape, and says of each item where it ends, or that it is no JSON.
    fn check(shape: &mut Shape, list: &[u8]) -> Result<(), String> {
        let mut at = blanks(list, 1);
        loop {
            let end = value(list, at, &mut Nesting::default());
            if let Some(passed) = shape.pass(list, at)
                && end != Some(passed)
            {
                return Err(format!("{at}: {passed}, not {end:?}: {}", String::from_utf8_lossy(list)));
            }
            let Some(end) = end else { return Ok(()) };
            if list.get(blanks(list, end)) != Some(&b',') {
                return Ok(());
            }
            at = blanks(list, blanks(list, end) + 1);
        }
    }

    #[test]
    fn an_item_ends_where_it_ends_whatever_came_before() {
        let seed =
            std::env::var("HEADWATER_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
        for round in 0..3_000 {
            let mut random = Rng::with_seed(seed.wrapping_add(round));
            let some: Vec<String> = (0..random.usize(1..4))
                .map(|_| {
                    let mut text = String::new();
                    write_value(&mut random, 4, &mut text);
                    text
                })
                .collect();
            let items: Vec<&str> =
                (0..random.usize(1..12)).map(|_| &*some[random.usize(..some.len())]).collect();
            let mut list = format!("[{}]", items.join([",", " , "][random.usize(..2)])).into_bytes();
            check(&mut Shape::default(), &list)
                .unwrap_or_else(|wrong| panic!("seed {seed}, round {round}, {wrong}"));
            // Damaged: a byte changed, left out, or doubled.
            for _ in 0..10 {
                let at = random.usize(1..list.len());
                match random.u32(..3) {
                    0 => list[at] = *random.choice(b"{}[],:\"\\ 0a-e.\n").unwrap(),
                    1 => drop(list.remove(at)),
                    _ => list.insert(at, list[at]),
                }
                check(&mut Shape::default(), &list)
                    .unwrap_or_else(|wrong| panic!("seed {seed}, round {round}, damaged, {wrong}"));
                if list.len() < 3 {
                    break;
                }
            }
        }
    }

    #[test]
    fn records_that_are_alike_are_compared() {
        let record = |id: usize| {
            let labels = vec![format!(r#"{{"id":{id},"name":"x"}}"#); id % 4].join(",");
            let owner = if id.is_multiple_of(3) { "null" } else { r#"{"login":"a"}"# };
            format!(r#"{{"id":{id},"labels":[{labels}],"owner":{owner},"ok":true}}"#)
        };
        let list = format!("[{}]", (0..1_000).map(record).collect::<Vec<_>>().join(","));
        let mut shape = Shape::default();
        check(&mut shape, list.as_bytes()).unwrap();
        assert!(!shape.given_up && shape.likeness.unfit * 10 < shape.likeness.fitted, "{shape:?}");
    }

    #[test]
    fn a_list_without_a_shape_is_given_up() {
        let list =
            format!("[{}]", (0..1_000).map(|id| format!(r#"{{"{id}":{id}}}"#)).collect::<Vec<_>>().join(","));
        let mut shape = Shape::default();
        check(&mut shape, list.as_bytes()).unwrap();
        assert!(shape.given_up && shape.joints.len() < 2 * FREE as usize, "{} joints", shape.joints.len());
        // Neither is one whose items are large, and have few keys in an order that nobody foresees, read so to its end.
        let mut random = Rng::with_seed(7);
        let fields: Vec<String> = (0..10_000).map(|_| format!(r#""{}":1"#, random.u8(..))).collect();
        let mut shape = Shape::default();
        check(&mut shape, format!("[{{{}}}]", fields.join(",")).as_bytes()).unwrap();
        assert!(shape.given_up && shape.likeness.unfit < 2 * FREE, "{} were read", shape.likeness.unfit);
        let deep = format!("[{}{}]", "[".repeat(1_000), "]".repeat(1_000));
        let mut shape = Shape::default();
        check(&mut shape, deep.as_bytes()).unwrap();
        assert!(shape.given_up);
    }
}
