//! A named source: everything that is needed to pull one list of an API, put together.

mod builder;
mod merge;
mod name;
mod probe;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures::StreamExt;
use futures::stream::BoxStream;

pub use builder::SourceBuilder;
pub(crate) use merge::{Arrival, Merge};
pub use probe::{Field, Probe, Proposal, Schema, Size};

use crate::checkpoint::Definition;
use crate::error::{Error, Result};
use crate::mark::Mark;
use crate::meter::Meter;
use crate::page::Select;
use crate::pages::Paged;
use crate::paginate::Consistency;
use crate::records::{Batch, RecordsExt};
use crate::retry::RetryPolicy;
use crate::transport::{Http, Transport};

/// A named source of batches, ready to be pulled from any mark.
///
/// [`Source::get`] builds one from its parts; [`Source::from_pages`] takes a page stream composed by hand.
/// Either way it is the same combinators.
pub struct Source {
    name: Arc<str>,
    label: Arc<str>,
    definition: Definition,
    consistency: Consistency,
    restarts_on_expiry: bool,
    start: Start,
}

type Start = Box<dyn Fn(Mark, &Shared) -> Result<Started> + Send + Sync>;

/// What the sources of a run share, as far as they have none of their own.
pub(crate) struct Shared {
    transport: OnceLock<Arc<dyn Transport>>,
    /// Policies without a budget of their own take this one's.
    pub(crate) retry: RetryPolicy,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self { transport: OnceLock::new(), retry: RetryPolicy::exponential() }
    }

    /// One client for all sources that have none of their own, made when the first of them starts.
    fn transport(&self) -> Result<Arc<dyn Transport>> {
        if let Some(known) = self.transport.get() {
            return Ok(known.clone());
        }
        let made: Arc<dyn Transport> = Arc::new(Http::new()?);
        Ok(self.transport.get_or_init(|| made).clone())
    }
}

/// A source that is being pulled.
pub(crate) struct Started {
    pub(crate) batches: BoxStream<'static, Result<Batch>>,
    pub(crate) meter: Meter,
}

impl Source {
    /// Starts the definition of a source that is asked for by GET.
    ///
    /// ```
    /// use headwater::{Limiter, RetryPolicy, Source, paginate::Cursor};
    ///
    /// let invoices = Source::get("stripe_invoices", "https://api.stripe.com/v1/invoices")
    ///     .bearer("sk_test_123")
    ///     .query("limit", "100")
    ///     .records("data")
    ///     .paginate(Cursor::last_record("id").into_query("starting_after").until_false("has_more"))
    ///     .rate_limit(Limiter::per_second(25.0).burst(50))
    ///     .retry(RetryPolicy::exponential().max_attempts(5))
    ///     .build()?;
    /// # Ok::<(), headwater::Error>(())
    /// ```
    pub fn get(name: impl Into<String>, url: impl AsRef<str>) -> SourceBuilder {
        SourceBuilder::new(name.into(), crate::request::Request::get(url))
    }

    /// Starts the definition of a source that is asked for by POST: with [`json`](SourceBuilder::json) or
    /// [`form`](SourceBuilder::form). If it only reads, declare it [`repeatable`](SourceBuilder::repeatable).
    pub fn post(name: impl Into<String>, url: impl AsRef<str>) -> SourceBuilder {
        SourceBuilder::new(name.into(), crate::request::Request::post(url))
    }

    /// Starts the definition of a source that is asked for by a GraphQL query. An answer with `errors` is none, though
    /// its status is 200: [`Rule::graphql`](crate::exchange::Rule::graphql) counts, behind the rules that are declared.
    ///
    /// ```
    /// use headwater::{Source, paginate::Cursor};
    ///
    /// let query = "query($after: String) { issues(first: 50, after: $after) {
    ///     nodes { id title } pageInfo { hasNextPage endCursor } } }";
    /// let issues = Source::graphql("linear_issues", "https://api.linear.app/graphql", query)
    ///     .records("data.issues.nodes")
    ///     .paginate(
    ///         Cursor::body("data.issues.pageInfo.endCursor")
    ///             .into_body("variables.after")
    ///             .until_false("data.issues.pageInfo.hasNextPage"),
    ///     )
    ///     .build()?;
    /// # Ok::<(), headwater::Error>(())
    /// ```
    pub fn graphql(name: impl Into<String>, url: impl AsRef<str>, query: impl Into<String>) -> SourceBuilder {
        SourceBuilder::graphql(name.into(), crate::request::Request::graphql(url, query))
    }

    /// Asks for the first page of an API, and says which dialect it speaks, with the evidence, and the code of a source;
    /// see [`Probe`]. With credentials, use [`SourceBuilder::probe`].
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> headwater::Result<()> {
    /// use headwater::Source;
    /// println!("{}", Source::probe("https://pokeapi.co/api/v2/pokemon").await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for any page, and `Config` for a URL that cannot be read.
    pub async fn probe(url: impl AsRef<str>) -> Result<Probe> {
        Self::get("source", url).probe().await
    }

    /// Starts the definition of a source from a request of any method.
    pub fn request(name: impl Into<String>, request: crate::request::Request) -> SourceBuilder {
        SourceBuilder::new(name.into(), Ok(request))
    }

    /// Takes a page stream composed by hand. `pages` makes it from the mark to go on from; `records` says
    /// where the records are. `definition` stands for the closure in the checkpoint: change it when the
    /// meaning of the closure changes.
    ///
    /// # Errors
    /// `Config` if the name cannot be a file name.
    pub fn from_pages<S, F>(
        name: impl Into<String>,
        definition: &str,
        records: impl Into<Select>,
        consistency: Consistency,
        pages: F,
    ) -> Result<Self>
    where
        S: Paged + Send + 'static,
        F: FnOnce(Mark) -> S + Send + 'static,
    {
        let name = name.into();
        name::check(&name)?;
        let records = records.into();
        let definition = Definition::new().with("closure", definition).with("records", records.definition());
        let pages = Mutex::new(Some(pages));
        let start: Start = Box::new(move |mark, _| {
            let pages = pages.lock().unwrap_or_else(PoisonError::into_inner).take();
            let pages =
                pages.ok_or_else(|| Error::config("a page stream made by hand cannot be started twice"))?;
            let pages = pages(mark);
            let meter = pages.meter();
            Ok(Started { batches: pages.batches(&records).boxed(), meter })
        });
        let name: Arc<str> = name.into();
        Ok(Self { label: name.clone(), name, definition, consistency, restarts_on_expiry: false, start })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What `__source` says in its records: the name, but for a [backfill](SourceBuilder::backfill).
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Whether it can be read exactly while it changes.
    pub fn consistency(&self) -> Consistency {
        self.consistency
    }

    /// Whether it begins anew when its position has expired.
    pub(crate) fn restarts_on_expiry(&self) -> bool {
        self.restarts_on_expiry
    }

    /// Takes out what the checkpoint remembers of the definition.
    pub(crate) fn take_definition(&mut self) -> Definition {
        std::mem::take(&mut self.definition)
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        self.name.clone()
    }

    /// Pulls the source from a mark, without a pipeline: a stream of batches with their marks.
    ///
    /// # Errors
    /// `Config` if the HTTP client cannot be made.
    pub fn batches(self, mark: Mark) -> Result<BoxStream<'static, Result<Batch>>> {
        Ok((self.start)(mark, &Shared::new())?.batches)
    }

    /// Pulls the source from a mark, with what the run shares.
    pub(crate) fn start(&self, mark: Mark, shared: &Shared) -> Result<Started> {
        (self.start)(mark, shared)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .field("consistency", &self.consistency)
            .finish_non_exhaustive()
    }
}
