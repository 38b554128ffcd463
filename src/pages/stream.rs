//! `Pages`: the source of it all, by `unfold`.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::stream::{self, FusedStream, Stream, Unfold};

use super::fetch::{Fetch, Step};
use super::{PageStream, Paged, Slice};
use crate::auth::Auth;
use crate::error::{Error, ErrorKind, Result};
use crate::exchange::{Exchange, Rules, Secrets, Signals};
use crate::mark::Mark;
use crate::meter::Meter;
use crate::page::selection::Selection;
use crate::page::{Format, Page, Select};
use crate::paginate::Paginate;
use crate::paginate::guard::Guard;
use crate::request::origin::Origins;
use crate::request::place::Named;
use crate::request::{Bindings, Origin, Request, Secret};
use crate::transport::Transport;

/// The pages of a source, one request each, as a stream.
///
/// See the [module](super) for the contract. Nothing is sent before the first poll, and nothing between
/// two polls.
///
/// ```no_run
/// use futures::StreamExt;
/// use headwater::{Http, Limiter, Pages, PagesExt, RecordsExt, Request, RetryPolicy, paginate::Cursor};
///
/// # async fn run() -> headwater::Result<()> {
/// let mut records = Pages::new(
///     Http::new()?,
///     Request::get("https://api.example.com/v1/invoices")?.query("limit", "100"),
///     Cursor::last_record("id").into_query("starting_after").until_false("has_more"),
/// )
/// .rate_limit(Limiter::per_second(25.0).burst(50))
/// .retry(RetryPolicy::exponential().max_attempts(5))
/// .records("data");
/// while let Some(record) = records.next().await {
///     println!("{}", record?.as_str());
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a stream does nothing unless it is polled"]
pub struct Pages {
    stage: Stage,
    meter: Meter,
}

// Boxed, for it is moved into each step and out again.
type Unfolding = Unfold<Box<Fetch>, fn(Box<Fetch>) -> Step, Step>;

enum Stage {
    /// Not polled yet: still open to changes.
    Idle(Box<Fetch>),
    Running(Pin<Box<Unfolding>>),
    Ended,
}

impl Pages {
    /// Takes what sends, what to ask for first, and how to go on.
    pub fn new(transport: impl Transport, template: Request, paginator: impl Paginate) -> Self {
        Self::with_parts(Arc::new(transport), template, Arc::new(paginator))
    }

    pub(crate) fn with_parts(
        transport: Arc<dyn Transport>,
        template: Request,
        paginator: Arc<dyn Paginate>,
    ) -> Self {
        let meter = Meter::new();
        let home = Origin::of(template.url());
        let exchange = Exchange {
            transport,
            auth: None,
            // A template has an origin: `Request` sees to that.
            origins: Origins::home(home.unwrap_or_else(|_| unreachable!("a request has an origin"))),
            written: written_credentials(&template),
            hidden: None,
            rules: Rules::default(),
            meter: meter.clone(),
            signals: Signals::default(),
            waited_for: Arc::default(),
        };
        let fetch = Fetch {
            exchange,
            template,
            paginator,
            source: None,
            records: None,
            plan: None,
            allowed: Vec::new(),
            signals: Vec::new(),
            mark: Mark::start(),
            guard: Some(Guard::default()),
            scrolls: false,
            is_open: false,
            no_content_ends: false,
            format: Format::Json,
            conditional: false,
            wrong: None,
            slice: None,
            lanes: 1,
        };
        Self { stage: Stage::Idle(Box::new(fetch)), meter }
    }

    pub(super) fn change(mut self, change: impl FnOnce(&mut Fetch)) -> Self {
        if let Stage::Idle(fetch) = &mut self.stage {
            change(fetch);
        }
        self
    }

    /// Puts credentials on every request to the origin of the template, and on no other.
    pub fn auth(self, auth: impl Auth + 'static) -> Self {
        self.shared_auth(Arc::new(auth))
    }

    pub(crate) fn shared_auth(self, auth: Arc<dyn Auth>) -> Self {
        self.change(|fetch| fetch.exchange.auth = Some(auth))
    }

    /// Names the source in errors.
    pub fn named(self, source: impl Into<Arc<str>>) -> Self {
        self.change(|fetch| fetch.source = Some(source.into()))
    }

    /// Goes on from a mark: a stored position, or `Mark::at(position)`. A mark after the last page gives an
    /// empty stream.
    pub fn resume(self, mark: Mark) -> Self {
        self.change(|fetch| fetch.mark = mark)
    }

    /// Makes it the pages of one slice of a [`Window`](super::Window) or a [`Fanout`](super::Fanout): fills the template
    /// with what is bound there, goes on from the slice's mark, and names the slice in errors.
    ///
    /// A value that cannot stand where it would go comes out as the stream's first item.
    pub fn within(self, slice: &Slice) -> Self {
        self.within_with(slice, &Bindings::new())
    }

    /// The same, with what else is bound. What is filled in is not filled again: so it is filled at once.
    pub(crate) fn within_with(self, slice: &Slice, others: &Bindings) -> Self {
        let name = slice.describe();
        let mut bindings = others.clone();
        for (name, value) in slice.bindings().iter() {
            bindings.insert(name, value.clone());
        }
        self.change(|fetch| {
            fetch.mark = slice.mark().clone();
            fetch.slice = (!name.is_empty()).then(|| name.into());
        })
        .bind(&bindings)
    }

    /// Fills the template; see [`Request::fill`].
    ///
    /// A value that cannot stand where it would go comes out as the stream's first item; so does one that has a
    /// placeholder of the paginator's in it.
    pub fn bind(self, bindings: &Bindings) -> Self {
        self.change(|fetch| {
            let (template, paginator) = (&fetch.template, &fetch.paginator);
            let later =
                |name: &str| bindings.get(name).is_none() && paginator.binds(name) && template.mentions(name);
            if let Some((name, inner)) = bindings.name_in_a_value(later) {
                let what =
                    format!("a value for {{{name}}} has {{{inner}}} in it, which stands for a position");
                fetch.wrong = Some(Error::new(ErrorKind::Record, what));
                return;
            }
            match fetch.template.clone().fill(bindings) {
                Ok(filled) => {
                    fetch.exchange.written = written_credentials(&filled);
                    fetch.template = filled;
                }
                Err(error) => fetch.wrong = Some(error),
            }
        })
    }

    /// Keeps the credentials of others out of sight.
    pub(crate) fn hiding(self, secrets: Secrets) -> Self {
        self.change(|fetch| fetch.exchange.hidden = Some(secrets))
    }

    /// The counters of this stream.
    pub fn meter(&self) -> Meter {
        self.meter.clone()
    }
}

/// The credentials that stand in the template, named by where.
fn written_credentials(template: &Request) -> Vec<Named> {
    let named = |place: &'static str| move |(number, secret)| (format!("{place}{number}"), secret);
    let query = template.sensitive_query().into_iter().map(|(_, value)| Secret::from(value));
    let query = query.enumerate().map(named("query"));
    let headers = template.sensitive_headers().enumerate().map(named("header"));
    let body = template.sensitive_body().into_iter().enumerate().map(named("body"));
    query.chain(headers).chain(body).collect()
}

impl Stream for Pages {
    type Item = Result<Page>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match std::mem::replace(&mut this.stage, Stage::Ended) {
                Stage::Idle(fetch) => {
                    this.stage = Stage::Running(Box::pin(stream::unfold(
                        fetch,
                        Fetch::step as fn(Box<Fetch>) -> Step,
                    )));
                }
                Stage::Running(mut unfold) => {
                    let Poll::Ready(item) = unfold.as_mut().poll_next(cx) else {
                        this.stage = Stage::Running(unfold);
                        return Poll::Pending;
                    };
                    let ended = match &item {
                        None => true,
                        Some(Ok(page)) => page.next().is_none(),
                        Some(Err(error)) => !error.is_transient(),
                    };
                    // Known as soon as the last item is out, so that no permit is spent on the `None`.
                    if !ended {
                        this.stage = Stage::Running(unfold);
                    }
                    return Poll::Ready(item);
                }
                Stage::Ended => return Poll::Ready(None),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.stage {
            Stage::Ended => (0, Some(0)),
            _ => (0, None),
        }
    }
}

impl FusedStream for Pages {
    fn is_terminated(&self) -> bool {
        match &self.stage {
            Stage::Idle(fetch) => fetch.mark.next.is_none(),
            Stage::Running(_) => false,
            Stage::Ended => true,
        }
    }
}

impl Paged for Pages {
    fn select(&mut self, records: &Select) {
        if let Stage::Idle(fetch) = &mut self.stage {
            // A path that could not be read stays the error that it is.
            if !matches!(fetch.records, Some(Err(_))) {
                fetch.records = Some(Selection::new(records).map(Arc::new));
            }
        }
    }

    fn meter(&self) -> Meter {
        self.meter.clone()
    }

    fn count_into(&mut self, meter: &Meter) {
        if let Stage::Idle(fetch) = &mut self.stage {
            fetch.exchange.meter = meter.clone();
            self.meter = meter.clone();
        }
    }

    fn in_lane(&mut self, lanes: usize) -> Option<Guard> {
        let Stage::Idle(fetch) = &mut self.stage else { return None };
        fetch.lanes = lanes;
        fetch.guard.take()
    }
}

impl PageStream for Pages {}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::Idle(_) => "idle",
            Stage::Running(_) => "running",
            Stage::Ended => "ended",
        };
        f.debug_struct("Pages").field("stage", &stage).field("counts", &self.meter.counts()).finish()
    }
}
