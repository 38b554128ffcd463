//! Which files there are, and how they are written.

use super::compress::Compression;

/// See [`Jsonl::buffer`](crate::sink::Jsonl::buffer).
const BUFFER: usize = 256 * 1024;
/// Of each a frame is made, and larger ones compress better.
const COMPRESSED_BUFFER: usize = 512 * 1024;
/// A sync is begun when so many bytes wait for one, so that the disk is at work while pages come, and little is left for
/// the commit.
const SYNC_AHEAD: u64 = 16 * 1024 * 1024;

#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) compression: Compression,
    /// What was gathered is appended when it comes to so many bytes.
    pub(crate) buffer: Option<usize>,
    /// So many bytes are not synced before that is begun, ahead of the commit.
    pub(crate) sync_ahead: u64,
}

impl Default for Layout {
    fn default() -> Self {
        Self { compression: Compression::none(), buffer: None, sync_ahead: SYNC_AHEAD }
    }
}

impl Layout {
    pub(super) fn buffer(&self) -> usize {
        let default = if self.compression.is_none() { BUFFER } else { COMPRESSED_BUFFER };
        self.buffer.unwrap_or(default)
    }
}
