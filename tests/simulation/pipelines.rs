//! The pipeline of a world, as a program would put it together.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{Stream, StreamExt};
use headwater::page::Select;
use headwater::paginate::{Consistency, LinkHeader};
use headwater::testing::CrashFs;
use headwater::{
    Limiter, Meter, Page, Paged, Pages, PagesExt, Pipeline, Request, RetryPolicy, Shutdown, Source,
    SourceBuilder,
};

use super::hub::Hub;
use super::listing::Listing;
use super::mutants::Mutant;
use super::server::Connection;
use super::shapes::Shape;
use super::watch::WatchedSink;
use super::world::{Api, World};

/// What a process runs.
pub(crate) fn pipeline(hub: &Hub, world: &World, disk: &CrashFs, shutdown: &Shutdown) -> Pipeline {
    let (mutant, life, now) = {
        let state = hub.state();
        (state.mutant, u64::from(state.life), state.wall())
    };
    let limiters: Vec<Limiter> = world.apis.iter().map(Api::limiter).collect();
    let sources = world.listings.iter().enumerate().map(|(number, listing)| {
        let api = &world.apis[listing.api];
        let limiter = limiter(api, &limiters[listing.api], mutant);
        let retry = api.retry(world.seed ^ (life << 8) ^ number as u64);
        let retry = match mutant {
            Some(Mutant::PagesAreTriedTooOften) => retry.max_attempts(api.max_attempts + 1),
            _ => retry,
        };
        let connection = Connection::new(hub.clone(), number);
        if listing.by_hand {
            by_hand(listing, connection, limiter, retry)
        } else {
            built(listing, connection, limiter, retry, mutant)
        }
    });
    let sink = world.output.sink(disk, world.buffer);
    let observer = hub.clone();
    let pipeline = Pipeline::new()
        .sources(sources)
        .sink(WatchedSink::new(sink, hub.clone(), disk.clone()))
        .commit_every(world.commit_every)
        .started_at(now)
        .shutdown(shutdown.clone())
        .observe(move |event| observer.event(event));
    if world.fail_fast { pipeline.fail_fast() } else { pipeline }
}

fn limiter(api: &Api, shared: &Limiter, mutant: Option<Mutant>) -> Limiter {
    match (mutant, api.rate) {
        (Some(Mutant::SourcesDoNotShareTheirLimiter), _) => api.limiter(),
        (Some(Mutant::LimiterIsTooFast), Some((rate, burst))) => {
            Limiter::per_second(rate * 1.2).burst(burst).max_wait(api.limiter_max_wait)
        }
        (Some(Mutant::BurstIsTooLarge), Some((_, burst))) => shared.clone().burst(burst + 1),
        _ => shared.clone(),
    }
}

/// A source from the builder.
fn built(
    listing: &Listing,
    connection: Connection,
    limiter: Limiter,
    retry: RetryPolicy,
    mutant: Option<Mutant>,
) -> Source {
    let dress = |source: SourceBuilder| {
        let source = match mutant {
            Some(Mutant::CredentialsAreForgotten) => source,
            _ => listing.credentials.give(listing, source),
        };
        source.rate_limit(limiter.clone()).retry(retry.clone()).transport(connection.clone())
    };
    if let (Some(Mutant::PagesComeAsTheyFinish), Some(Shape::Counted(counted))) = (mutant, &listing.shape) {
        let pages = counted.one_by_one(connection, Request::get(listing.url()).expect("a good URL"));
        let pages = listing.credentials.give_by_hand(listing, pages.named(listing.name.as_str()));
        let source =
            Source::from_pages(&listing.name, "swapped", "data", Consistency::Shifting, move |mark| {
                Swapped { pages: pages.resume(mark).rate_limit(limiter).retry(retry), held: None }
            });
        return source.expect("a good definition");
    }
    if let Some(shape) = &listing.shape {
        return shape.source(listing, &dress, mutant).build().expect("a good definition");
    }
    let source = dress(listing.dialect.source(listing)).records(listing.path);
    let source = if listing.no_content { source.no_content_ends() } else { source };
    let far = mutant == Some(Mutant::SourcesRunFarAhead);
    let source = source.prefetch(if far { 30 } else { listing.prefetch });
    source.build().expect("a good definition")
}

/// The same from a page stream that is composed by hand.
fn by_hand(listing: &Listing, connection: Connection, limiter: Limiter, retry: RetryPolicy) -> Source {
    let request = Request::get(listing.url()).expect("a good URL").query("per_page", "100");
    let pages = Pages::new(connection, request, LinkHeader::new())
        .named(listing.name.as_str())
        .allow_origin(&listing.url_elsewhere());
    let pages = listing.credentials.give_by_hand(listing, pages);
    let source = Source::from_pages(&listing.name, "links", listing.path, Consistency::Stable, move |mark| {
        pages.resume(mark).rate_limit(limiter).retry(retry)
    });
    source.expect("a good definition")
}

/// A mistaken stream of pages, which gives out each second one before the first.
struct Swapped<S> {
    pages: S,
    /// What waits, and whether the one behind it has gone out.
    held: Option<(Page, bool)>,
}

impl<S: Paged + Unpin> Stream for Swapped<S> {
    type Item = headwater::Result<Page>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some((page, _)) = this.held.take_if(|(_, overtaken)| *overtaken) {
                return Poll::Ready(Some(Ok(page)));
            }
            let page = ready!(this.pages.poll_next_unpin(cx));
            match (page, &mut this.held) {
                (Some(Ok(page)), held @ None) => *held = Some((page, false)),
                (None, held) => return Poll::Ready(held.take().map(|(page, _)| Ok(page))),
                (item, Some((_, overtaken))) => {
                    *overtaken = true;
                    return Poll::Ready(item);
                }
                (item, None) => return Poll::Ready(item),
            }
        }
    }
}

impl<S: Paged + Unpin> Paged for Swapped<S> {
    fn select(&mut self, records: &Select) {
        self.pages.select(records);
    }

    fn meter(&self) -> Meter {
        self.pages.meter()
    }

    fn count_into(&mut self, meter: &Meter) {
        self.pages.count_into(meter);
    }
}
