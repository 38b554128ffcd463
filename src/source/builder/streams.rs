//! The streams of a source: one, or one for each of its slices.

use std::sync::Arc;

use super::BoxPages;
use crate::auth::Auth;
use crate::exchange::{Rule, Secrets};
use crate::hints::Signal;
use crate::limit::Limiter;
use crate::page::Format;
use crate::pages::incremental::Incremental;
use crate::pages::{Ceiling, Lanes, Limit, Pages, PagesExt, RateLimit, Retry, Slice};
use crate::paginate::Paginate;
use crate::request::Request;
use crate::retry::RetryPolicy;
use crate::transport::Transport;

/// All that a stream of pages is made of. A clone shares the limiter and the credentials.
#[derive(Clone)]
pub(super) struct Streams {
    pub(super) name: Arc<str>,
    pub(super) request: Request,
    pub(super) paginator: Arc<dyn Paginate>,
    pub(super) auth: Option<Arc<dyn Auth>>,
    pub(super) hidden: Option<Secrets>,
    pub(super) limiter: Limiter,
    pub(super) retry: RetryPolicy,
    pub(super) limit: Option<Limit>,
    pub(super) settings: Settings,
}

/// What a builder sets, and every stream is made with.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) cost: u32,
    pub(super) lanes: usize,
    pub(super) allowed: Vec<String>,
    pub(super) signals: Vec<Signal>,
    pub(super) rules: Vec<Rule>,
    pub(super) is_graphql: bool,
    pub(super) allow_identical_pages: bool,
    pub(super) allow_empty_pages: Option<u64>,
    pub(super) allow_repeats: bool,
    pub(super) scrolls: bool,
    pub(super) no_content_ends: bool,
    pub(super) format: Format,
    pub(super) conditional: bool,
    pub(super) incremental: Option<Incremental>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cost: 1,
            lanes: 1,
            allowed: Vec::new(),
            signals: Vec::new(),
            rules: Vec::new(),
            is_graphql: false,
            allow_identical_pages: false,
            allow_empty_pages: None,
            allow_repeats: false,
            scrolls: false,
            no_content_ends: false,
            format: Format::Json,
            conditional: false,
            incremental: None,
        }
    }
}

impl Streams {
    /// The pages of one slice, one request after the other.
    fn asked(&self, transport: &Arc<dyn Transport>, slice: &Slice) -> Retry<RateLimit<Pages>> {
        let settings = &self.settings;
        let mut pages = Pages::with_parts(transport.clone(), self.request.clone(), self.paginator.clone());
        let grown = settings.incremental.as_ref().map(|incremental| incremental.bindings(slice.mark()));
        pages = pages.named(self.name.clone()).within_with(slice, &grown.unwrap_or_default());
        pages = pages.rules(settings.rules.iter().cloned());
        if let Some(auth) = &self.auth {
            pages = pages.shared_auth(auth.clone());
        }
        if let Some(secrets) = &self.hidden {
            pages = pages.hiding(secrets.clone());
        }
        for url in &settings.allowed {
            pages = pages.allow_origin(url);
        }
        for signal in &settings.signals {
            pages = pages.signal(signal.clone());
        }
        if settings.allow_identical_pages {
            pages = pages.allow_identical_pages();
        }
        if let Some(most) = settings.allow_empty_pages {
            pages = pages.allow_empty_pages(most);
        }
        if settings.allow_repeats {
            pages = pages.allow_repeats();
        }
        if settings.scrolls {
            pages = pages.scrolls();
        }
        if settings.conditional {
            pages = pages.conditional();
        }
        pages = pages.format(settings.format.clone());
        if settings.no_content_ends {
            pages = pages.no_content_ends();
        }
        pages.rate_limit(self.limiter.clone()).cost(settings.cost).retry(self.retry.clone())
    }

    /// Makes the pages of one slice.
    pub(super) fn pages(&self, transport: &Arc<dyn Transport>, slice: &Slice) -> BoxPages {
        let settings = &self.settings;
        let pages: BoxPages = match settings.lanes {
            1 => Box::new(self.asked(transport, slice)),
            lanes => {
                let (streams, transport, around) = (self.clone(), transport.clone(), slice.clone());
                let lane = move |mark| streams.asked(&transport, &around.clone().at(mark));
                Box::new(Lanes::new(lanes, slice.mark().clone(), lane))
            }
        };
        let pages: BoxPages = match &self.limit {
            None => pages,
            Some(limit) => Box::new(Ceiling::with(pages, limit.clone(), slice.mark().rows)),
        };
        match &settings.incremental {
            None => pages,
            Some(incremental) => Box::new(pages.incremental(incremental.clone(), slice.mark())),
        }
    }
}
