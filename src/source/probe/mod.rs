//! A look at the first page of an API: what it speaks, and the source that would pull it.

mod asked;
mod code;
mod counted;
mod dialect;
mod failure;
mod schema;
mod token;
mod tree;

use std::fmt;

use http::HeaderMap;
use serde::Serialize;
use serde_json::Value;

pub use dialect::Proposal;
pub use schema::{Field, Schema};

use crate::error::{Error, ErrorKind, Result};
use crate::page::Page;
use crate::request::Request;
use asked::Asked;
use dialect::{Seen, proposals};
use failure::Failure;
use tree::arrays;

/// So many records are looked at.
const MOST: usize = 1_000;
/// So much is shown of a header.
const LONGEST_LIMIT: usize = 100;

/// What was seen on the first page of an API, with the evidence, and the builder code for it.
///
/// It proposes. Nothing of it is used at run time: what you take over into your code is what is done. Made by
/// [`Source::probe`](crate::Source::probe) and [`SourceBuilder::probe`](crate::SourceBuilder::probe); `Display` prints it
/// for a person.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use headwater::Source;
/// use headwater::testing::{MockApi, Paging, Resource};
/// let api = MockApi::builder().resource(Resource::new("items", 250).paging(Paging::Link)).start().await?;
/// let probe = Source::probe(api.url("items")).await?;
/// assert!(probe.dialects[0].paginator.contains("LinkHeader"));
/// println!("{}", probe.code);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Probe {
    /// The method of the request.
    pub method: String,
    /// What was asked, without credentials.
    pub url: String,
    /// The status of the answer.
    pub status: u16,
    /// Where the records seem to be, the likeliest first, and how many are there. `bars.*` is a map of arrays.
    pub records: Vec<(String, usize)>,
    /// What says how many records a page has.
    pub size: Option<Size>,
    /// The dialects that the page may speak, the surest first.
    pub dialects: Vec<Proposal>,
    /// The headers that speak of limits.
    pub limits: Vec<(String, String)>,
    /// What the records look like.
    pub schema: Schema,
    /// The source, as it would be written in Rust. If the answer looks like an error, a comment that says so.
    pub code: String,
}

/// What says how many records a page has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Size {
    /// The name of the parameter.
    pub parameter: String,
    /// What was seen that speaks for it.
    pub evidence: String,
}

/// What was asked, and with what.
pub(super) struct Question<'a> {
    pub(super) request: &'a Request,
    /// The URL without credentials.
    pub(super) shown: &'a str,
    pub(super) name: &'a str,
    pub(super) is_graphql: bool,
    /// The definition of the format; `None` is JSON.
    pub(super) format: Option<String>,
    pub(super) has_auth: bool,
    pub(super) has_headers: bool,
    pub(super) has_rules: bool,
}

impl Probe {
    /// Looks at a page.
    pub(super) fn of(page: &Page, question: &Question<'_>) -> Result<Self> {
        let body: Value = serde_json::from_slice(page.body()).map_err(|error| {
            Error::new(ErrorKind::NotJson, "the first page cannot be read").because(error)
        })?;
        let arrays = arrays(&body, question.format.as_deref() == Some("xml"));
        let path = arrays.first().map(|found| found.path.as_str());
        let rows = arrays.first().map_or(0, |found| found.items.len());
        let items: Vec<&Value> =
            arrays.first().map(|found| found.items.iter().copied().take(MOST).collect()).unwrap_or_default();
        let asked = Asked::of(question.request, question.is_graphql);
        let (size, param) = asked::size(&asked, &body, path, rows).unzip();
        let status = page.status.as_u16();
        let records = arrays.iter().find(|found| !found.is_failures()).map_or(0, |found| found.items.len());
        let failure = Failure::of(&body, status, records, question.request.url());
        let seen = Seen {
            asked: &asked,
            headers: &page.headers,
            body: &body,
            records: path.map(|path| (path, rows)),
            last: arrays.first().and_then(|found| found.items.last().copied()),
            size: param.as_ref(),
        };
        let dialects = match &failure {
            Some(failure) => vec![failure.proposal()],
            None => proposals(&seen),
        };
        let schema = Schema::of(&items);
        let code = match (&failure, dialects.first()) {
            (None, Some(dialect)) => code::code(question, path.unwrap_or_default(), dialect, &schema),
            (failure, _) => failure.as_ref().map(Failure::code).unwrap_or_default(),
        };
        let records = arrays.iter().take(5).map(|found| (found.path.clone(), found.items.len())).collect();
        Ok(Self {
            method: question.request.method().to_string(),
            url: question.shown.to_owned(),
            status,
            records,
            size,
            dialects,
            limits: limits(&page.headers),
            schema,
            code,
        })
    }
}

impl Probe {
    /// Without the credentials that the server may have repeated.
    pub(super) fn wiped(mut self, wipe: impl Fn(&str) -> String) -> Self {
        let Self { method: _, url, status: _, records, size, dialects, limits, schema, code } = &mut self;
        let texts = [url, code].into_iter().chain(records.iter_mut().map(|(path, _)| path));
        let sizes = size.iter_mut().flat_map(|size| [&mut size.parameter, &mut size.evidence]);
        let dialects = dialects.iter_mut().flat_map(|found| {
            [&mut found.paginator, &mut found.evidence].into_iter().chain(&mut found.doubt)
        });
        let limits = limits.iter_mut().flat_map(|(name, value)| [name, value]);
        let fields = schema.fields.iter_mut().map(|field| &mut field.path);
        let keys = [&mut schema.key, &mut schema.changed].into_iter().flatten();
        for text in texts.chain(sizes).chain(dialects).chain(limits).chain(fields).chain(keys) {
            *text = wipe(text);
        }
        for (_, value) in &mut self.limits {
            // Cut behind the wiping: half a credential is one still.
            *value = value.chars().take(LONGEST_LIMIT).collect();
        }
        self
    }
}

fn limits(headers: &HeaderMap) -> Vec<(String, String)> {
    let speaks = |name: &str| {
        [
            "ratelimit",
            "rate-limit",
            "retry-after",
            "quota",
            "call-limit",
            "limit-info",
            "backoff",
            "used-weight",
            "api-usage",
        ]
        .iter()
        .any(|part| name.contains(part))
    };
    let found = headers.iter().filter(|(name, _)| speaks(name.as_str()));
    found.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("…").to_owned())).collect()
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}: status {}", self.method, self.url, self.status)?;
        match self.records.split_first() {
            None => writeln!(f, "records   none: the page has no array")?,
            Some(((path, count), others)) => {
                writeln!(f, "records   {path:?}: {count}")?;
                for (path, count) in others {
                    writeln!(f, "          or {path:?}: {count}")?;
                }
            }
        }
        for (number, proposal) in self.dialects.iter().enumerate() {
            let head = if number == 0 { "dialect   " } else { "       or " };
            writeln!(f, "{head}{}\n          because {}", proposal.paginator, proposal.evidence)?;
            if let Some(doubt) = &proposal.doubt {
                writeln!(f, "          but {doubt}")?;
            }
        }
        if let Some(size) = &self.size {
            writeln!(f, "size      {:?}: {}", size.parameter, size.evidence)?;
        }
        for (name, value) in &self.limits {
            writeln!(f, "limit     {name}: {value}")?;
        }
        for field in &self.schema.fields {
            let part = match field.present {
                present if present == self.schema.records => String::new(),
                present => format!(", in {present} of {}", self.schema.records),
            };
            writeln!(f, "field     {}: {}{part}", field.path, field.types.join(" or "))?;
        }
        writeln!(f, "\n{}", self.code)
    }
}
