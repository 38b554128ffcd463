//! What a mock API serves: resources, and the dialect each is paged in.

use super::Faults;

/// How a resource is paged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Paging {
    /// `?offset=200&limit=100` → `{"data":[…],"total":10000}`
    Offset,
    /// `?page=3&per_page=100` → `{"items":[…],"page":3,"pages":100}`
    Page,
    /// `?starting_after=inv_00000100&limit=100` → `{"object":"list","data":[…],"has_more":true}`, the
    /// dialect of Stripe. An unknown id is answered with 400.
    Cursor,
    /// `?page_token=…&page_size=100` → `{"data":[…],"next_page_token":"…"}`; `null` on the last page. An
    /// unknown token is answered with 400.
    Token,
    /// `?page=3&per_page=100` → `[…]` with a `Link` header as GitHub sends it: absolute URLs for `prev`,
    /// `next`, `last` and `first`, as far as there are such pages. Other parameters of the request are
    /// repeated in them.
    Link,
    /// `?page=3&page_size=100` → `{"count":10000,"next":"http://…","results":[…]}`, the dialect of Django;
    /// `null` on the last page. Other parameters of the request are repeated in the URL.
    NextUrl,
}

impl Paging {
    /// The path of the records in a page: `data`, `items`, `results`, or the page itself.
    pub fn records_path(self) -> &'static str {
        match self {
            Self::Offset | Self::Cursor | Self::Token => "data",
            Self::Page => "items",
            Self::NextUrl => "results",
            Self::Link => "",
        }
    }
}

/// A list of records that a [`MockApi`](super::MockApi) serves at `/{name}`.
///
/// ```
/// use headwater::testing::{Paging, Resource};
/// let invoices = Resource::new("invoices", 10_000).paging(Paging::Cursor);
/// assert_eq!(invoices.ids().next().as_deref(), Some("inv_00000001"));
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Resource {
    name: String,
    total: u64,
    paging: Paging,
    page_size: u64,
    max_page_size: u64,
    record_bytes: usize,
    faults: Faults,
}

impl Resource {
    /// Makes a resource of this many records: paged by offset, 100 to a page by default and at most, records
    /// of about 300 bytes, no faults.
    ///
    /// All records are rendered when the server starts and kept in memory.
    pub fn new(name: impl Into<String>, records: u64) -> Self {
        Self {
            name: name.into(),
            total: records,
            paging: Paging::Offset,
            page_size: 100,
            max_page_size: 100,
            record_bytes: 300,
            faults: Faults::none(),
        }
    }

    /// Sets the dialect. The default is [`Paging::Offset`].
    pub fn paging(mut self, paging: Paging) -> Self {
        self.paging = paging;
        self
    }

    /// Sets how many records a page has if the request does not say. The default is 100; 0 counts as 1. The
    /// largest size is raised to it.
    pub fn page_size(mut self, records: u64) -> Self {
        self.page_size = records.max(1);
        self.max_page_size = self.max_page_size.max(self.page_size);
        self
    }

    /// Sets how many records a page has at most. The default is 100; 0 counts as 1. A request for more gets
    /// this many, without a word about it. The size of a page by default is lowered to it.
    pub fn max_page_size(mut self, records: u64) -> Self {
        self.max_page_size = records.max(1);
        self.page_size = self.page_size.min(self.max_page_size);
        self
    }

    /// Sets the size of a record in bytes. The default is 300; below about 270 the fields take what they
    /// take.
    pub fn record_bytes(mut self, bytes: usize) -> Self {
        self.record_bytes = bytes;
        self
    }

    /// Sets what goes wrong. The default is nothing.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// The name, which is also the path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many records there are.
    pub fn len(&self) -> u64 {
        self.total
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The ids of all records, in the order they are served: the first three letters of the name and the
    /// number, from 1.
    pub fn ids(&self) -> impl Iterator<Item = String> + use<> {
        let resource = self.clone();
        (1..=self.total).map(move |number| resource.id(number))
    }

    pub(super) fn id(&self, number: u64) -> String {
        format!("{}{number:08}", self.prefix())
    }

    /// The number behind an id, if it is an id of this resource.
    pub(super) fn number(&self, id: &str) -> Option<u64> {
        let number = id.strip_prefix(&self.prefix())?.parse().ok()?;
        ((1..=self.total).contains(&number) && self.id(number) == id).then_some(number)
    }

    fn prefix(&self) -> String {
        format!("{}_", self.name.chars().take(3).collect::<String>())
    }

    pub(super) fn dialect(&self) -> Paging {
        self.paging
    }

    pub(super) fn default_size(&self) -> u64 {
        self.page_size
    }

    pub(super) fn largest_size(&self) -> u64 {
        self.max_page_size
    }

    pub(super) fn bytes_per_record(&self) -> usize {
        self.record_bytes
    }

    pub(super) fn faulty(&self) -> &Faults {
        &self.faults
    }
}
