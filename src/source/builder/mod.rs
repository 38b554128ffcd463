//! The parts of a source, put together. What is set has a file for each theme.

mod access;
mod answers;
mod growth;
mod limits;
mod names;
mod paging;
mod probe;
mod request;
mod slices;
mod streams;
mod transforms;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};

use super::{Shared, Source, Start, Started, name};
use crate::auth::Auth;
use crate::checkpoint::{Definition, MARK, RANGE};
use crate::error::{Error, Result};
use crate::exchange::{Rule, Secrets, Signals};
use crate::limit::Limiter;
use crate::mark::Mark;
use crate::page::Select;
use crate::page::selection::Selection;
use crate::pages::{Paged, PagesExt};
use crate::paginate::{Consistency, Paginate};
use crate::records::{RecordsExt, Transform};
use crate::request::Request;
use crate::request::redact::{Redactor, is_sensitive};
use crate::retry::RetryPolicy;
use crate::transport::Transport;
use slices::{Make, Parts};
use streams::{Settings, Streams};

/// The definition of a [`Source`]. Whatever is wrong with a part comes out of [`build`](Self::build).
#[must_use = "a source is only made by `build`"]
pub struct SourceBuilder {
    name: String,
    request: Result<Request>,
    auth: Option<Result<Arc<dyn Auth>>>,
    records: Option<Select>,
    paginator: Option<Arc<dyn Paginate>>,
    limiter: Limiter,
    retry: RetryPolicy,
    transport: Option<Arc<dyn Transport>>,
    prefetch: usize,
    label: Option<String>,
    restart_on_expiry: bool,
    ignore_origin_changes: bool,
    settings: Settings,
    parts: Parts,
    transform: Transform,
}

impl SourceBuilder {
    pub(super) fn new(name: String, request: Result<Request>) -> Self {
        Self {
            name,
            request,
            auth: None,
            records: None,
            paginator: None,
            limiter: Limiter::unlimited(),
            retry: RetryPolicy::exponential(),
            transport: None,
            prefetch: 0,
            label: None,
            restart_on_expiry: false,
            ignore_origin_changes: false,
            settings: Settings::default(),
            parts: Parts::default(),
            transform: Transform::new(),
        }
    }

    /// The same, for an API that says by `errors` that an answer is none.
    pub(super) fn graphql(name: String, request: Result<Request>) -> Self {
        let mut builder = Self::new(name, request);
        builder.settings.is_graphql = true;
        builder
    }

    fn change(mut self, change: impl FnOnce(Request) -> Result<Request>) -> Self {
        self.request = self.request.and_then(change);
        self
    }

    /// Sends over this transport. The default is one [`Http`](crate::Http) client for the whole pipeline. The parent of a
    /// fan-out takes it over, unless it has one of its own.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Fetches this many pages ahead while the last one is written. The default is 0: the pipeline itself
    /// lets a source be one page ahead.
    pub fn prefetch(mut self, pages: usize) -> Self {
        self.prefetch = pages;
        self
    }

    /// Makes the source. Nothing is sent yet.
    ///
    /// # Errors
    /// `Config`: what is wrong with the first part that is not right, and with which source.
    pub fn build(self) -> Result<Source> {
        name::check(&self.name)?;
        let name: Arc<str> = self.name.as_str().into();
        let place = name.clone();
        self.put_together(name).map_err(|error| error.at(|context| context.source = Some(place)))
    }

    fn put_together(mut self, name: Arc<str>) -> Result<Source> {
        let transform = std::mem::take(&mut self.transform);
        transform.check()?;
        let label = self.label.as_deref().map_or_else(|| name.clone(), Arc::from);
        let restarts_on_expiry = self.restart_on_expiry;
        let Prepared { mut definition, consistency, records, secrets, open } =
            self.prepare(name.clone(), None)?;
        if !transform.is_empty() {
            definition = definition.with("transform", transform.definition());
        }
        let start: Start = Box::new(move |mark, shared| {
            let pages = open(mark, shared)?;
            let meter = pages.meter();
            let secrets = secrets.clone();
            // What stands around the pages quotes records.
            let wiped = move |error: Error| {
                let redactor = Redactor::new(&secrets());
                error.redacted(|text| redactor.text(text))
            };
            let batches = pages.batches(&records);
            let batches = match transform.is_empty() {
                true => batches.map_err(wiped).boxed(),
                false => batches.transform_batches(transform.clone()).map_err(wiped).boxed(),
            };
            Ok(Started { batches, meter })
        });
        Ok(Source { name, label, definition, consistency, restarts_on_expiry, start })
    }

    /// Puts it together up to its stream of pages. A parent without a transport of its own takes that of its child.
    fn prepare(self, name: Arc<str>, childs: Option<Arc<dyn Transport>>) -> Result<Prepared> {
        if !self.transform.is_empty() {
            return Err(Error::config("the parent of a fan-out gives its records as they came")
                .advice("say `keep`, `rename` and the like on the source itself"));
        }
        let own = self.transport.or(childs);
        let request = self.request?;
        let auth = self.auth.transpose()?;
        let records = self.records.or_else(|| self.settings.format.select()).ok_or_else(|| {
            Error::config("where are the records?").advice(
                "say it with `.records(\"data\")`, or `.records(\"\")` if the page itself is the array",
            )
        })?;
        Selection::new(&records)?;
        self.settings.format.check()?;
        let paginator = self.paginator.ok_or_else(|| {
            Error::config("how does the API page?")
                .advice("say it with `.paginate(…)`; `.paginate(Single)` if one answer has it all")
        })?;
        paginator.reads()?;
        if self.settings.lanes > 1 && !paginator.foresees() {
            let what = "the position of a page is only known from the page before it: there can be no lanes";
            return Err(Error::config(what).advice(
                "`prefetch(1)` fetches on while a page is written; a `window` is pulled in several slices at once",
            ));
        }
        let mut settings = self.settings;
        if settings.is_graphql {
            // Behind those that were declared: the first that fits counts.
            settings.rules.extend(Rule::graphql());
        }
        for url in &settings.allowed {
            Request::get(url)?;
        }
        Signals::new(settings.signals.clone())?;
        let mut definition = definition(&request, &records, &*paginator);
        for rule in &settings.rules {
            rule.check()?;
        }
        if !settings.rules.is_empty() {
            let rules: Vec<String> = settings.rules.iter().map(|rule| format!("{rule}\n")).collect();
            definition = definition.with("rules", rules.concat());
        }
        self.limiter.check_cost(settings.cost)?;
        paginator.check(&request)?;
        let names = self.parts.check_names(&request, &*paginator, settings.incremental.is_some());
        if let Some(incremental) = &settings.incremental {
            incremental.check()?;
            definition = definition.with("incremental", incremental.definition());
            definition = definition.with(MARK, incremental.mark_definition());
            if let Some(range) = incremental.range_definition() {
                definition = definition.with(RANGE, range);
            }
        }
        if !self.ignore_origin_changes {
            definition = definition.with("origin", request.url().origin().ascii_serialization());
        }
        if let Some(format) = settings.format.definition() {
            definition = definition.with("format", format);
        }
        let composition = self.parts.prepare(&request, self.restart_on_expiry, own.as_ref())?;
        // Behind what says more.
        names?;
        definition = composition.define(definition);
        composition.check(settings.conditional, settings.incremental.is_some())?;
        let consistency = composition.consistency(paginator.consistency());
        let secrets = composition.secrets(auth.clone(), &request);
        let all = secrets.clone();
        let streams = Streams {
            name,
            request,
            paginator,
            auth,
            hidden: composition.hidden(),
            limiter: self.limiter,
            retry: self.retry,
            limit: composition.limit.clone(),
            settings,
        };
        let ahead = self.prefetch;
        let open: Open = Box::new(move |mark, shared| {
            let transport = match &own {
                Some(own) => own.clone(),
                None => shared.transport()?,
            };
            let mut streams = streams.clone();
            streams.retry = streams.retry.with_budget_of(&shared.retry);
            let make: Make = Arc::new(move |slice| streams.pages(&transport, slice));
            let pages = composition.open(make, mark, all.clone(), shared)?;
            Ok(match ahead {
                0 => pages,
                ahead => Box::new(pages.prefetch(ahead)),
            })
        });
        Ok(Prepared { definition, consistency, records, secrets, open })
    }
}

/// A source that is put together up to its stream of pages.
struct Prepared {
    definition: Definition,
    consistency: Consistency,
    records: Select,
    secrets: Secrets,
    open: Open,
}

/// Opens the stream of pages at a mark.
type Open = Box<dyn Fn(Mark, &Shared) -> Result<BoxPages> + Send + Sync>;

type BoxPages = Box<dyn Paged + Send + Unpin>;

/// What the checkpoint remembers: everything that decides which records come, and no credential.
fn definition(request: &Request, records: &Select, paginator: &dyn Paginate) -> Definition {
    let mut definition = Definition::new()
        .with("method", request.method().as_str())
        .with("path", request.url().path())
        .with("records", records.definition())
        .with("paginate", paginator.definition());
    // A credential that was put here by hand may change from day to day, and its hash is nobody's business.
    let meaning =
        |name: &str, value: &str| if is_sensitive(name) { String::new() } else { format!("{value}\n") };
    let mut parts: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in request.url().query_pairs() {
        *parts.entry(format!("query {name}")).or_default() += &meaning(&name, &value);
    }
    for (name, value) in request.headers() {
        let (sensitive, value) = (value.is_sensitive(), String::from_utf8_lossy(value.as_bytes()));
        let kept = if sensitive { String::new() } else { format!("{value}\n") };
        *parts.entry(format!("header {name}")).or_default() += &kept;
    }
    for (part, meaning) in parts {
        definition = definition.with(part, meaning);
    }
    if let Some(body) = request.body_definition() {
        definition = definition.with("body", body);
    }
    definition
}

impl fmt::Debug for SourceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceBuilder")
            .field("name", &self.name)
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}
