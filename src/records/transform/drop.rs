//! Fields dropped.

use super::tree::{Text, Tree, edit};
use super::{Outcome, Step};
use crate::error::Result;

/// See [`Transform::drop_fields`](super::Transform::drop_fields).
pub(super) struct Drop(pub(super) Tree);

impl Step for Drop {
    fn definition(&self) -> String {
        format!("drop {}", self.0)
    }

    fn may_concern(&self, text: &Text<'_>) -> bool {
        self.0.may_begin_in(text)
    }

    fn keeps_keys(&self) -> bool {
        true
    }

    fn apply(&self, record: &[u8], out: &mut Vec<u8>) -> Result<Outcome> {
        Ok(Outcome::of(edit(record, &self.0, out, &|_, _| true, &|_, out| out.extend_from_slice(b"[]"))))
    }
}
