//! What a source gives out, in a word.

use futures::StreamExt;
use headwater::{Mark, SourceBuilder};

/// How many records came, and the last error.
pub(crate) async fn pulled(source: SourceBuilder) -> (usize, Option<headwater::Error>) {
    let mut batches = source.build().unwrap().batches(Mark::start()).unwrap();
    let (mut records, mut end) = (0, None);
    while let Some(batch) = batches.next().await {
        match batch {
            Ok(batch) => records += batch.len(),
            Err(error) => end = Some(error),
        }
    }
    (records, end)
}
