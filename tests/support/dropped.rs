//! Runs that end in the middle, without a word.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use headwater::error::ErrorKind;
use headwater::pipeline::Event;
use headwater::{Pipeline, Report};
use tokio::sync::Notify;

/// Drops a run when so many pages have come, some of them committed and some not, and runs it again to its end.
///
/// # Panics
/// If it ended before that, or if the second run fails or did not go on where the first one was.
pub(crate) async fn in_the_middle(pages: u64, pipeline: impl Fn() -> Pipeline) -> Report {
    let reached = Arc::new(Notify::new());
    let run = pipeline().commit_every(Duration::from_millis(20)).observe({
        let (reached, seen, committed) = (reached.clone(), AtomicU64::new(0), AtomicBool::new(false));
        move |event| match event {
            Event::Committed => committed.store(true, Ordering::Relaxed),
            Event::Page { .. } => {
                let seen = seen.fetch_add(1, Ordering::Relaxed) + 1;
                if seen >= pages && committed.load(Ordering::Relaxed) {
                    reached.notify_one();
                }
            }
            _ => {}
        }
    });
    tokio::select! {
        ended = run.run() => panic!("the run ended before it was dropped: {:?}", ended.map(|report| report.to_string())),
        () = reached.notified() => {}
    }
    let report = again(&pipeline).await;
    let resumed: u64 = report.sources.iter().map(|source| source.resumed_records).sum();
    assert!(resumed > 0, "nothing was there to go on from: {report}");
    report
}

/// A write of the dropped run may still be on its way, and holds the lock until it has landed.
async fn again(pipeline: impl Fn() -> Pipeline) -> Report {
    loop {
        match pipeline().run().await {
            Err(failure) if failure.error.kind() == ErrorKind::Locked => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            other => return other.unwrap_or_else(|failure| panic!("{failure}")),
        }
    }
}
