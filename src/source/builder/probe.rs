//! A look before the definition is made.

use std::sync::Arc;

use futures::StreamExt;

use super::{SourceBuilder, slices};
use crate::error::{Error, ErrorKind, Result};
use crate::mark::Mark;
use crate::paginate::Single;
use crate::request::redact::Redactor;
use crate::source::probe::Question;
use crate::source::{Probe, Shared};

impl SourceBuilder {
    /// Asks for the first page, and says what it sees: where the records are, which dialect the API speaks, what says how
    /// large a page is, its limits, what the records look like, with the evidence for each, and the code of a source. The
    /// request goes out with what was set here: credentials, headers, retries, rules, the format.
    ///
    /// # Errors
    /// As for any page, and `Config` for what is wrong with the definition.
    pub async fn probe(mut self) -> Result<Probe> {
        self.paginator = Some(Arc::new(Single));
        self.records = Some("".into());
        self.parts = slices::Parts::default();
        self.settings.incremental = None;
        let request = self.request.as_ref().map_or_else(|_| None, |request| Some(request.clone()));
        let name = self.name.clone();
        let is_graphql = self.settings.is_graphql;
        let (format, has_rules) = (self.settings.format.definition(), !self.settings.rules.is_empty());
        let has_auth = self.auth.is_some();
        let prepared = self.prepare(name.as_str().into(), None)?;
        let mut pages = (prepared.open)(Mark::start(), &Shared::new())?;
        let page = pages.next().await;
        let page =
            page.ok_or_else(|| Error::new(ErrorKind::Empty, "the stream ended before its first page"))??;
        let Some(request) = request else { return Err(Error::config("there is no request")) };
        let redactor = Redactor::new(&(prepared.secrets)());
        let question = Question {
            request: &request,
            shown: &redactor.url(request.url()),
            name: &name,
            is_graphql,
            format,
            has_auth,
            has_headers: request.headers().keys().any(|name| name != "content-type"),
            has_rules,
        };
        let probe = Probe::of(&page, &question)?;
        // A server repeats what it was sent: in links, in headers, in the names of fields.
        Ok(probe.wiped(|text| redactor.text(text)))
    }
}
