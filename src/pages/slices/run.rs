//! The task of one slice: it fetches while there is room, and holds a slice back that may be too large.

use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::mpsc::Sender;

use super::ceiling::Limit;
use crate::error::{Error, Result};
use crate::page::Page;

/// What comes from a slice.
pub(super) enum Event {
    // Boxed, for a channel has room for one of the largest.
    Page(Box<Page>),
    Failed(Error),
    /// It holds more than the source hands out, for this reason; none of its records has left.
    Full(String),
    /// Its stream has ended.
    Ended,
}

/// Pulls a slice. `rows` of its records were given out before.
pub(super) async fn run(
    pages: BoxStream<'static, Result<Page>>,
    sender: Sender<Event>,
    limit: Option<Limit>,
    rows: u64,
) {
    match limit {
        None => pull(pages, sender, |_| Ok(())).await,
        Some(limit) if rows == 0 => hold_back(pages, sender, limit).await,
        // It was whole when its first records left, so it can no longer be halved.
        Some(limit) => pull(pages, sender, move |page| limit.has_grown(page)).await,
    }
}

async fn pull(
    mut pages: BoxStream<'static, Result<Page>>,
    sender: Sender<Event>,
    check: impl Fn(&Page) -> Result<()>,
) {
    // A page is only begun when there is room for it. An error here: nobody listens any more, fine.
    while let Ok(room) = sender.reserve().await {
        let event = match pages.next().await {
            None => Event::Ended,
            Some(Err(error)) => Event::Failed(error),
            Some(Ok(page)) => match check(&page) {
                Ok(()) => Event::Page(Box::new(page)),
                Err(error) => Event::Failed(error),
            },
        };
        let goes_on = matches!(&event, Event::Page(page) if page.next().is_some());
        room.send(event);
        if !goes_on {
            return;
        }
    }
}

/// Gives nothing out before the slice is whole.
async fn hold_back(mut pages: BoxStream<'static, Result<Page>>, sender: Sender<Event>, limit: Limit) {
    let Ok(room) = sender.reserve().await else { return };
    let mut held: Vec<Page> = Vec::new();
    loop {
        let event = match pages.next().await {
            None => Event::Ended,
            Some(Err(error)) if limit.is_crossed_by(&held, &error) => {
                Event::Full(format!("the server refuses what is beyond: {error}"))
            }
            Some(Err(error)) => Event::Failed(error),
            Some(Ok(page)) => match limit.is_reached_by(&page, held.is_empty()) {
                Err(error) => Event::Failed(error),
                Ok(Some(why)) => Event::Full(why),
                Ok(None) => {
                    let (is_last, is_cut) = (page.next().is_none(), limit.may_have_cut(&held, &page));
                    held.push(page);
                    if !is_last {
                        continue;
                    }
                    if !is_cut {
                        break;
                    }
                    Event::Full(
                        "it ends where another page would lie beyond the ceiling; `total_at` tells"
                            .to_owned(),
                    )
                }
            },
        };
        room.send(event);
        return;
    }
    let mut held = held.into_iter();
    if let Some(first) = held.next() {
        room.send(Event::Page(Box::new(first)));
    }
    for page in held {
        if sender.send(Event::Page(Box::new(page))).await.is_err() {
            return;
        }
    }
}
