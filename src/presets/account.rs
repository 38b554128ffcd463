//! What the sources of one credential share.

use std::fmt;
use std::sync::Arc;

use crate::auth::Auth;
use crate::limit::Limiter;
use crate::source::{Source, SourceBuilder};

/// Who asks, where, and how often.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) base: String,
    auth: Arc<dyn Auth>,
    limiter: Limiter,
    /// For what the vendor counts apart as well.
    strict: Option<Limiter>,
}

impl Account {
    pub(super) fn new(base: impl Into<String>, auth: impl Auth + 'static, limiter: Limiter) -> Self {
        let base = base.into().trim_end_matches('/').to_owned();
        Self { base, auth: Arc::new(auth), limiter, strict: None }
    }

    /// `https://` before a host, and the vendor's domain behind a name that has none.
    pub(super) fn site(name: &str, domain: &str) -> String {
        match name {
            url if url.contains("://") => url.to_owned(),
            host if host.contains('.') => format!("https://{host}"),
            name => format!("https://{name}.{domain}"),
        }
    }

    pub(super) fn at(mut self, base: impl Into<String>) -> Self {
        self.base = base.into().trim_end_matches('/').to_owned();
        self
    }

    pub(super) fn strict(mut self, limiter: Limiter) -> Self {
        self.strict = Some(limiter);
        self
    }

    /// Counts a source by the stricter limit, too.
    pub(super) fn strictly(&self, source: SourceBuilder) -> SourceBuilder {
        match &self.strict {
            Some(strict) => source.rate_limit(strict.clone().and(self.limiter.clone())),
            None => source,
        }
    }

    pub(super) fn url(&self, path: &str) -> String {
        if path.contains("://") {
            path.to_owned()
        } else {
            format!("{}/{}", self.base, path.trim_start_matches('/'))
        }
    }

    fn with(&self, source: SourceBuilder) -> SourceBuilder {
        source.authorized(self.auth.clone()).rate_limit(self.limiter.clone())
    }

    pub(super) fn get(&self, name: &str, path: &str) -> SourceBuilder {
        self.with(Source::get(name, self.url(path)))
    }

    /// A POST that only reads.
    pub(super) fn post(&self, name: &str, path: &str) -> SourceBuilder {
        self.with(Source::post(name, self.url(path)).repeatable())
    }

    pub(super) fn graphql(&self, name: &str, path: &str, query: &str) -> SourceBuilder {
        self.with(Source::graphql(name, self.url(path), query))
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("base", &self.base).finish_non_exhaustive()
    }
}
