//! The memory that bodies are read into, used again from page to page.
//!
//! An allocator gives a large block back to the system when it is freed, and the system clears each of its pages when it
//! is asked for again: for a stream of pages that costs more than copying them does.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// So many blocks are kept, of at most so many bytes each.
const KEPT: usize = 8;
const LARGEST: usize = 1024 * 1024;
/// A smaller one costs an allocator nothing.
const SMALLEST: usize = 32 * 1024;

/// Blocks that are not in use. A clone shares them.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffers {
    kept: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Buffers {
    /// An empty buffer for a body of so many bytes; 0 if that is not known.
    pub(super) fn take(&self, expected: usize) -> Vec<u8> {
        if expected > 0 && expected < SMALLEST {
            return Vec::with_capacity(expected);
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut buffer = kept.unwrap_or_default();
        if buffer.capacity() < expected {
            // Its bytes are not wanted, so they need not move.
            buffer = Vec::with_capacity(expected);
        }
        buffer
    }

    /// Makes a body of what was read. The block comes back when the last slice of it is dropped.
    pub(super) fn lend(&self, mut body: Vec<u8>) -> Bytes {
        if body.capacity() < SMALLEST || body.capacity() > LARGEST {
            return body.into();
        }
        if body.len() < body.capacity() / 2 {
            // Whoever keeps a small page must not keep a large block by it.
            let small = Bytes::copy_from_slice(&body);
            self.give_back(std::mem::take(&mut body));
            return small;
        }
        Bytes::from_owner(Lent { body, home: self.clone() })
    }

    fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(buffer);
        }
    }
}

struct Lent {
    body: Vec<u8>,
    home: Buffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.body));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(buffers: &Buffers, length: usize) -> Vec<u8> {
        let mut body = buffers.take(length);
        body.resize(length, b'x');
        body
    }

    fn kept(buffers: &Buffers) -> usize {
        buffers.kept.lock().unwrap().len()
    }

    #[test]
    fn the_memory_of_a_page_is_that_of_the_page_before() {
        let buffers = Buffers::default();
        let first = buffers.lend(filled(&buffers, 100_000));
        let (place, record) = (first.as_ptr(), first.slice(10..20));
        drop(first);
        assert_eq!(kept(&buffers), 0, "a record still holds it");
        assert_eq!(record, "xxxxxxxxxx");
        drop(record);
        let second = filled(&buffers, 90_000);
        assert_eq!(second.as_ptr(), place);
        assert_eq!(buffers.lend(second), vec![b'x'; 90_000]);
    }

    #[test]
    fn no_more_is_kept_than_a_few_blocks() {
        let buffers = Buffers::default();
        let pages: Vec<Bytes> = (0..20).map(|_| buffers.lend(filled(&buffers, 100_000))).collect();
        drop(pages);
        assert_eq!(kept(&buffers), KEPT);
        let buffers = Buffers::default();
        drop(buffers.lend(filled(&buffers, LARGEST + 1)));
        drop(buffers.lend(filled(&buffers, SMALLEST - 1)));
        assert_eq!(kept(&buffers), 0);
    }

    #[test]
    fn a_small_page_does_not_hold_a_large_block() {
        let buffers = Buffers::default();
        drop(buffers.lend(filled(&buffers, LARGEST)));
        let mut body = buffers.take(0);
        body.extend_from_slice(b"[1,2,3]");
        let page = buffers.lend(body);
        assert_eq!((kept(&buffers), &page[..]), (1, &b"[1,2,3]"[..]));
        // A vector that is told its size takes no more than that.
        assert!(buffers.take(100).capacity() < 200);
        assert_eq!(kept(&buffers), 1);
    }
}
