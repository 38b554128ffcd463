//! Empty buffers, used again: an allocator gives large ones back to the system, which clears each page of memory anew.

use std::sync::{Arc, Mutex, PoisonError};

/// So many bytes are kept.
const KEPT: usize = 16 * 1024 * 1024;
/// Larger ones, of large pages, are not kept.
const LARGEST: usize = 1024 * 1024;

/// Buffers that are not in use. A clone shares them: they come back from wherever their lines were written.
#[derive(Debug, Clone, Default)]
pub(super) struct Spare(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Spare {
    /// An empty buffer: the one that came last, for it is still in the caches.
    pub(super) fn take(&self) -> Vec<u8> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let buffer = kept.buffers.pop().unwrap_or_default();
        kept.bytes -= buffer.capacity();
        buffer
    }

    pub(super) fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let size = buffer.capacity();
        if size > 0 && size <= LARGEST && kept.bytes + size <= KEPT {
            kept.bytes += size;
            kept.buffers.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Spare {
        pub(in super::super) fn count(&self) -> usize {
            self.0.lock().unwrap().buffers.len()
        }
    }

    #[test]
    fn buffers_are_used_again_up_to_a_bound() {
        let spare = Spare::default();
        spare.give_back(vec![b'x'; 1000]);
        let again = spare.clone().take();
        assert!(again.is_empty() && again.capacity() >= 1000);
        (0..100).for_each(|_| spare.give_back(Vec::with_capacity(LARGEST)));
        spare.give_back(Vec::with_capacity(LARGEST + 1));
        let kept: usize =
            std::iter::repeat_with(|| spare.take().capacity()).take_while(|size| *size > 0).sum();
        assert_eq!(kept, KEPT);
    }
}
