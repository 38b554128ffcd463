//! Work on many files at once.

use super::Fs;

/// So many threads at most: they mostly wait for the disk.
pub(super) const AT_ONCE: usize = 32;

/// Does something with each, and gives the outcomes in the same order: on several threads, if the file system may
/// take long, otherwise one after the other.
pub(crate) fn each<T: Send, R: Send>(
    fs: &dyn Fs,
    items: &mut [T],
    work: impl Fn(&mut T) -> R + Sync,
) -> Vec<R> {
    let part = items.len().div_ceil(AT_ONCE).max(1);
    if !fs.blocks() || items.len() < 2 {
        return items.iter_mut().map(work).collect();
    }
    let work = &work;
    std::thread::scope(|scope| {
        let parts: Vec<_> = items
            .chunks_mut(part)
            .map(|items| scope.spawn(move || items.iter_mut().map(work).collect::<Vec<R>>()))
            .collect();
        let done = parts.into_iter().map(|part| match part.join() {
            Ok(outcomes) => outcomes,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        done.flatten().collect()
    })
}
