//! What is declared of a page stream before its first poll: where the records are, and how its answers are read.

use std::sync::Arc;

use super::Pages;
use crate::exchange::{Rule, Rules};
use crate::hints::Signal;
use crate::page::selection::Selection;
use crate::page::{Format, Select};
use crate::request::{Origin, Request};

impl Pages {
    /// Says where the records are. [`records`](crate::RecordsExt::records) does this by itself, unless
    /// there is a foreign adapter in between.
    ///
    /// A path that cannot be read comes out as the stream's first item, a `Config` error.
    pub fn select(self, records: impl Into<Select>) -> Self {
        let selection = Selection::new(&records.into()).map(Arc::new);
        self.change(|fetch| fetch.records = Some(selection))
    }

    /// Allows next links and redirects to another origin, given as a URL. Credentials and headers of the
    /// template do not go there, and a redirect back from there is followed without them too. A URL that holds a
    /// credential of 16 characters or more is refused, however it is spelled. A next link on a page from there leads back home as any other
    /// does: whoever is allowed may choose which page is asked for next.
    ///
    /// A URL that cannot be read comes out as the stream's first item, a `Config` error; so does a private address
    /// if the template's is public, and a link-local or metadata address if the template's is no such address.
    pub fn allow_origin(self, url: &str) -> Self {
        let origin = Request::get(url).and_then(|request| Origin::of(request.url()));
        self.change(|fetch| fetch.allowed.push(origin))
    }

    /// Allows pages whose records are the same, byte for byte, as those of the page before: a feed of readings that do not
    /// change, say. The guard against repeated positions stays.
    pub fn allow_identical_pages(self) -> Self {
        self.change(|fetch| {
            if let Some(guard) = &mut fetch.guard {
                guard.allow_identical_pages();
            }
        })
    }

    /// Sets how many pages without records may follow one another and still lead to another page; then it is an error of
    /// kind `Cycle`. The default is 10,000; the count starts anew with each run.
    pub fn allow_empty_pages(self, most: u64) -> Self {
        self.change(|fetch| {
            if let Some(guard) = &mut fetch.guard {
                guard.allow_empty_pages(most);
            }
        })
    }

    /// Allows positions that were there before, and identical pages. The guard against endless empty pages stays
    /// ([`allow_empty_pages`](Self::allow_empty_pages)); a list that goes round with records in it is then pulled for ever.
    pub fn allow_repeats(self) -> Self {
        self.change(|fetch| {
            if let Some(guard) = &mut fetch.guard {
                guard.allow_identical_pages();
                guard.allow_repeated_positions();
            }
        })
    }

    /// Declares that the server keeps the place and moves it on with each request, be its token the same or another: a
    /// scroll. Repeated positions are allowed. A page is then asked for once only, for behind a lost answer would come
    /// the page after the next; and another stream's place is not gone on with. Either is an error of kind
    /// `CursorExpired`, and so is a 404 behind the first page.
    ///
    /// Elasticsearch's scroll, Intercom's list of companies.
    pub fn scrolls(self) -> Self {
        self.change(|fetch| {
            fetch.scrolls = true;
            if let Some(guard) = &mut fetch.guard {
                guard.allow_repeated_positions();
            }
        })
    }

    /// Says what the bodies are written in, whatever their `Content-Type` says. The default is [`Format::Json`].
    /// Unless the template has an `Accept` header, the format's media type is asked for.
    pub fn format(self, format: impl Into<Format>) -> Self {
        self.change(|fetch| fetch.format = format.into())
    }

    /// Declares that an answer without a body is the end: 204, or a 200 that says that it is empty
    /// (`Content-Length: 0`).
    pub fn no_content_ends(self) -> Self {
        self.change(|fetch| fetch.no_content_ends = true)
    }

    /// Declares what answers mean where their status does not say; the first rule that fits counts, before the status.
    ///
    /// A rule that cannot be read comes out as the stream's first item, a `Config` error.
    pub fn rules(self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.change(|fetch| fetch.exchange.rules = Rules::new(rules.into_iter().collect()))
    }

    /// Declares one more rule, behind those that there are; see [`rules`](Self::rules).
    pub fn rule(self, rule: Rule) -> Self {
        self.change(|fetch| {
            let rules = std::mem::take(&mut fetch.exchange.rules);
            fetch.exchange.rules = rules.and(rule);
        })
    }

    /// Asks for the first page only if it has changed since the last run (RFC 9110 §13): the `ETag` and `Last-Modified`
    /// of the first page travel in the mark, and the run after this one sends them as `If-None-Match` and
    /// `If-Modified-Since`. 304 is then an empty page, and the end.
    ///
    /// Only for lists whose first page changes whenever any of them does (Kinto), or that have one page.
    pub fn conditional(self) -> Self {
        self.change(|fetch| fetch.conditional = true)
    }

    /// Declares where the API tells how long to wait, or how much is left of a budget, in a way of its own.
    ///
    /// A path or a header name that cannot be read comes out as the stream's first item, a `Config` error.
    pub fn signal(self, signal: Signal) -> Self {
        self.change(|fetch| fetch.signals.push(signal))
    }
}
