//! A look at the first page of an API: what it speaks, and the source that would pull it.

mod dialect;
mod schema;
mod tree;

use std::fmt;

use http::HeaderMap;
use serde::Serialize;
use serde_json::Value;
use url::Url;

pub use dialect::Proposal;
pub use schema::{Field, Schema};

use crate::error::{Error, ErrorKind, Result};
use crate::page::Page;
use dialect::{Seen, proposals};
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
    /// What was asked, without credentials.
    pub url: String,
    /// The status of the answer.
    pub status: u16,
    /// Where the records seem to be, the likeliest first, and how many are there.
    pub records: Vec<(String, usize)>,
    /// What says how many records a page has.
    pub size: Option<Size>,
    /// The dialects that the page may speak, the surest first.
    pub dialects: Vec<Proposal>,
    /// The headers that speak of limits.
    pub limits: Vec<(String, String)>,
    /// What the records look like.
    pub schema: Schema,
    /// The source, as it would be written in Rust.
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

const SIZES: [&str; 20] = [
    "limit",
    "per_page",
    "perpage",
    "per-page",
    "page_size",
    "pagesize",
    "maxresults",
    "max_results",
    "$top",
    "top",
    "rows",
    "first",
    "size",
    "count",
    "itemsperpage",
    "pagelen",
    "page[size]",
    "page_limit",
    "_limit",
    "take",
];

impl Probe {
    /// Looks at a page. `shown` is the URL without credentials.
    pub(super) fn of(page: &Page, url: &Url, shown: &str, name: &str) -> Result<Self> {
        let body: Value = serde_json::from_slice(page.body()).map_err(|error| {
            Error::new(ErrorKind::NotJson, "the first page cannot be read").because(error)
        })?;
        let arrays = arrays(&body);
        let rows = arrays.first().map(|(path, items)| (path.as_str(), items.len()));
        let items = arrays.first().map_or(&[][..], |(_, items)| &items[..items.len().min(MOST)]);
        let seen = Seen { url, headers: &page.headers, body: &body, records: rows, last: items.last() };
        let dialects = proposals(&seen);
        let schema = Schema::of(items);
        let size = size(url, &body, rows.map_or(0, |(_, rows)| rows));
        let limits = limits(&page.headers);
        let records: Vec<_> =
            arrays.iter().take(5).map(|(path, items)| (path.clone(), items.len())).collect();
        let code = code(name, shown, &records, &dialects, &schema);
        Ok(Self {
            url: shown.to_owned(),
            status: page.status.as_u16(),
            records,
            size,
            dialects,
            limits,
            schema,
            code,
        })
    }
}

impl Probe {
    /// Without the credentials that the server may have repeated.
    pub(super) fn wiped(mut self, wipe: impl Fn(&str) -> String) -> Self {
        let Self { url, status: _, records, size, dialects, limits, schema, code } = &mut self;
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

fn size(url: &Url, body: &Value, rows: usize) -> Option<Size> {
    let is_size = |name: &str| SIZES.contains(&name.to_ascii_lowercase().as_str());
    if let Some((name, value)) = url.query_pairs().find(|(name, _)| is_size(name)) {
        let number = value.parse().map_or_else(|_| String::new(), |size: u64| format!("={size}"));
        let evidence = format!("the URL says {name}{number}, and {rows} records came");
        return Some(Size { parameter: name.into_owned(), evidence });
    }
    // Many APIs repeat what was asked, or what they took for it.
    let leaves = tree::leaves(body, None);
    leaves.iter().find_map(|leaf| {
        let number = leaf.value.as_u64().filter(|number| *number > 0 && *number <= 100_000)?;
        let is_likely = SIZES.contains(&leaf.name.as_str()) && leaf.name != "count" && number >= rows as u64;
        is_likely.then(|| Size {
            parameter: leaf.path.rsplit('.').next().unwrap_or_default().to_owned(),
            evidence: format!("`{}` is {number}, and {rows} records came", leaf.path),
        })
    })
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

fn code(
    name: &str,
    url: &str,
    records: &[(String, usize)],
    dialects: &[Proposal],
    schema: &Schema,
) -> String {
    let records = records.first().map_or("", |(path, _)| path.as_str());
    let paginator = dialects.first().map_or("Single", |proposal| proposal.paginator.as_str());
    let mut code =
        format!("Source::get({name:?}, {url:?})\n    .records({records:?})\n    .paginate({paginator})\n");
    if let (Some(changed), key) = (&schema.changed, &schema.key) {
        let key = key.as_ref().map_or_else(String::new, |key| format!(".key({key:?})"));
        code += &format!("    // for what is new only: .incremental(Incremental::by({changed:?}){key})\n");
    }
    code + "    .build()?"
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "GET {}: status {}", self.url, self.status)?;
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
