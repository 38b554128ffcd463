//! A dialect of one's own, from two closures.

use std::fmt;

use super::{Answer, Consistency, Paginate};
use crate::error::Result;
use crate::page::JsonPath;
use crate::request::{Position, Request};

/// Makes a paginator from two closures: one turns the template and a position into a request, the other
/// says where the next page stands.
///
/// `name` stands for the closures in the fingerprint of the source: change it when their meaning changes.
///
/// ```
/// use headwater::{Position, paginate::from_fn};
///
/// // ?after_date=… taken from "window.end" until it is null
/// let windows = from_fn(
///     "windows by date",
///     |template, position| match position {
///         Position::Cursor(date) => Ok(template.with_query("after_date", date)),
///         _ => Ok(template),
///     },
///     |answer| Ok(answer.value(0).and_then(|end| end.as_token()).map(Position::Cursor)),
/// )
/// .reading(["window.end"]);
/// ```
pub fn from_fn<R, N>(name: impl Into<String>, request: R, next: N) -> FromFn<R, N>
where
    R: Fn(Request, &Position) -> Result<Request> + Send + Sync + 'static,
    N: Fn(&Answer<'_>) -> Result<Option<Position>> + Send + Sync + 'static,
{
    FromFn {
        name: name.into(),
        request,
        next,
        reads: Vec::new(),
        consistency: Consistency::Stable,
        records: false,
    }
}

/// The paginator of [`from_fn`].
#[must_use]
pub struct FromFn<R, N> {
    name: String,
    request: R,
    next: N,
    reads: Vec<String>,
    consistency: Consistency,
    records: bool,
}

impl<R, N> FromFn<R, N> {
    /// Names the paths whose values the second closure finds with [`Answer::value`], in this order.
    pub fn reading<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.reads = paths.into_iter().map(Into::into).collect();
        self
    }

    /// Says that the second closure uses the records of the page.
    pub fn with_records(mut self) -> Self {
        self.records = true;
        self
    }

    /// Says that rows can shift between the pages ([`Consistency::Shifting`]).
    pub fn shifting(mut self) -> Self {
        self.consistency = Consistency::Shifting;
        self
    }
}

impl<R, N> Paginate for FromFn<R, N>
where
    R: Fn(Request, &Position) -> Result<Request> + Send + Sync + 'static,
    N: Fn(&Answer<'_>) -> Result<Option<Position>> + Send + Sync + 'static,
{
    fn reads(&self) -> Result<Vec<JsonPath>> {
        self.reads.iter().map(|path| JsonPath::parse(path)).collect()
    }

    fn needs_records(&self) -> bool {
        self.records
    }

    fn request(&self, template: &Request, position: &Position) -> Result<Request> {
        (self.request)(template.clone(), position)
    }

    fn next(&self, answer: &Answer<'_>) -> Result<Option<Position>> {
        (self.next)(answer)
    }

    fn consistency(&self) -> Consistency {
        self.consistency
    }

    fn definition(&self) -> String {
        format!("closure {} reading {:?}", self.name, self.reads)
    }
}

impl<R, N> fmt::Debug for FromFn<R, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFn").field("name", &self.name).field("reads", &self.reads).finish_non_exhaustive()
    }
}
