//! What stands between the values of a JSON text (RFC 8259 §2): brackets, commas, keys and their colons.

use super::token::{blanks, colon, scalar, string};

/// The brackets around a place, from the outermost in.
pub(super) trait Brackets {
    /// Gives `None` where they are too many.
    fn enter(&mut self, is_object: bool) -> Option<()>;
    fn leave(&mut self);
    fn is_outside(&self) -> bool;
    fn is_in_object(&self) -> bool;
}

/// Reads from the end of a value, or from the beginning of an item, to the next value, or to the end of the item. Says
/// where that is, and whether the item ends there.
#[inline]
pub(super) fn joint(
    bytes: &[u8],
    mut at: usize,
    around: &mut impl Brackets,
    mut is_behind_value: bool,
) -> Option<(usize, bool)> {
    loop {
        if is_behind_value && around.is_outside() {
            return Some((at, true));
        }
        at = blanks(bytes, at);
        let found = *bytes.get(at)?;
        match (found, around.is_in_object()) {
            (b',', true) if is_behind_value => at = key(bytes, blanks(bytes, at + 1))?,
            (b',', false) if is_behind_value => at += 1,
            (b'}', true) | (b']', false) if is_behind_value => {
                around.leave();
                at += 1;
                continue;
            }
            _ if is_behind_value => return None,
            (b'{' | b'[', _) => {
                let inside = blanks(bytes, at + 1);
                // In ASCII each bracket stands two before the one that closes it.
                if *bytes.get(inside)? == found + 2 {
                    (at, is_behind_value) = (inside + 1, true);
                    continue;
                }
                around.enter(found == b'{')?;
                at = if found == b'{' { key(bytes, inside)? } else { inside };
            }
            _ => return Some((at, false)),
        }
        is_behind_value = false;
    }
}

/// Where a key and its colon end.
fn key(bytes: &[u8], at: usize) -> Option<usize> {
    colon(bytes, string(bytes, at)?)
}

/// Where the value at a place ends.
pub(super) fn value(bytes: &[u8], at: usize, nesting: &mut Nesting) -> Option<usize> {
    nesting.depth = 0;
    let mut next = joint(bytes, at, nesting, false)?;
    while let (at, false) = next {
        next = joint(bytes, scalar(bytes, at)?, nesting, true)?;
    }
    Some(next.0)
}

/// Brackets to any depth: a bit for each, set for an object. The last 64 are at hand.
#[derive(Debug, Clone, Default)]
pub(super) struct Nesting {
    depth: usize,
    near: u64,
    far: Vec<u64>,
}

impl Brackets for Nesting {
    #[inline]
    fn enter(&mut self, is_object: bool) -> Option<()> {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.far.push(self.near);
        }
        self.near = self.near << 1 | u64::from(is_object);
        self.depth += 1;
        Some(())
    }

    #[inline]
    fn leave(&mut self) {
        self.depth -= 1;
        self.near >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.near = self.far.pop().unwrap_or_default();
        }
    }

    #[inline]
    fn is_outside(&self) -> bool {
        self.depth == 0
    }

    #[inline]
    fn is_in_object(&self) -> bool {
        self.near & 1 == 1
    }
}

/// Brackets that can be compared, and are no more than 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Near {
    depth: u32,
    bits: u64,
}

impl Brackets for Near {
    fn enter(&mut self, is_object: bool) -> Option<()> {
        self.depth = Some(self.depth + 1).filter(|depth| *depth <= u64::BITS)?;
        self.bits = self.bits << 1 | u64::from(is_object);
        Some(())
    }

    fn leave(&mut self) {
        self.depth -= 1;
        self.bits >>= 1;
    }

    fn is_outside(&self) -> bool {
        self.depth == 0
    }

    fn is_in_object(&self) -> bool {
        self.bits & 1 == 1
    }
}
