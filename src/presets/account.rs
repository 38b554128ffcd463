//! What the sources of one credential share.

use std::fmt;
use std::sync::Arc;

use url::Url;

use crate::auth::Auth;
use crate::error::{Error, Result};
use crate::limit::Limiter;
use crate::request::{Request, is_loopback};
use crate::source::{Source, SourceBuilder};

/// Who asks, where, and how often.
#[derive(Clone)]
pub(super) struct Account {
    base: String,
    auth: Arc<dyn Auth>,
    limiter: Limiter,
    /// For what the vendor counts apart as well.
    strict: Option<Limiter>,
    /// The vendor's domain, where the credentials are for all of its hosts.
    family: Option<&'static str>,
}

impl Account {
    pub(super) fn new(base: impl Into<String>, auth: impl Auth + 'static, limiter: Limiter) -> Self {
        let base = base.into().trim_end_matches('/').to_owned();
        Self { base, auth: Arc::new(auth), limiter, strict: None, family: None }
    }

    /// `https://` before a host, and the vendor's domain behind a name that has none.
    pub(super) fn site(name: &str, domain: &str) -> String {
        match name.trim_end_matches('/') {
            url if is_absolute(url) => url.to_owned(),
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

    pub(super) fn family(mut self, domain: &'static str) -> Self {
        self.family = Some(domain);
        self
    }

    /// Counts a source by the stricter limit, too.
    pub(super) fn strictly(&self, source: SourceBuilder) -> SourceBuilder {
        match &self.strict {
            Some(strict) => source.rate_limit(strict.clone().and(self.limiter.clone())),
            None => source,
        }
    }

    pub(super) fn get(&self, name: &str, path: &str) -> SourceBuilder {
        self.source(path, |url| Source::get(name, url))
    }

    /// A POST that only reads.
    pub(super) fn post(&self, name: &str, path: &str) -> SourceBuilder {
        self.source(path, |url| Source::post(name, url).repeatable())
    }

    pub(super) fn graphql(&self, name: &str, path: &str, query: &str) -> SourceBuilder {
        self.source(path, |url| Source::graphql(name, url, query))
    }

    /// What is wrong with the address comes out of `build`, as everything else does.
    fn source(&self, path: &str, make: impl FnOnce(&str) -> SourceBuilder) -> SourceBuilder {
        let source = match self.url(path) {
            Ok(url) => make(&url),
            Err(error) => make(&self.base).refused(error),
        };
        source.authorized(self.auth.clone()).rate_limit(self.limiter.clone())
    }

    /// The address of a path, or of a URL to which the credentials may go. No error quotes either: a secret may stand in it.
    fn url(&self, path: &str) -> Result<String> {
        let base = Request::get(&self.base)?;
        let base = base.url();
        if self.base.contains(['?', '#']) {
            return Err(Error::config("the address of an API has a query or a fragment")
                .advice("give the preset the address up to its path, and the rest to the source: `.query(name, value)`"));
        }
        if base.scheme() != "https" && !is_loopback(base) {
            let host = shown(base);
            return Err(Error::config(format!("credentials are only sent over https, and {host} is not"))
                .advice("give its https URL; plain http is for this machine: localhost, 127.0.0.1, [::1]"));
        }
        if !is_absolute(path) {
            return Ok(format!("{}/{}", self.base, path.trim_start_matches('/')));
        }
        let target = Request::get(path)?;
        if target.url().origin() == base.origin() || (self.is_family(base) && self.is_family(target.url())) {
            return Ok(path.to_owned());
        }
        let (target, base) = (shown(target.url()), shown(base));
        Err(Error::config(format!("{target} is not {base}, for which the credentials of this preset are"))
            .advice("give the path alone; for another server make a preset of its own, or use `Source::get`"))
    }

    fn is_family(&self, url: &Url) -> bool {
        let is_host = |host: &str| {
            self.family
                .and_then(|domain| host.strip_suffix(domain))
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        url.scheme() == "https" && url.port().is_none() && url.host_str().is_some_and(is_host)
    }
}

/// Whether a text begins as a URL does (RFC 3986 §3.1). A path may have one further on, in its query.
fn is_absolute(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
    })
}

/// Scheme, host and port: what stands around them may be a secret.
fn shown(url: &Url) -> String {
    url.origin().ascii_serialization()
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = Url::parse(&self.base).map_or_else(|_| "no URL".to_owned(), |url| shown(&url));
        f.debug_struct("Account").field("origin", &origin).finish_non_exhaustive()
    }
}
