//! What is done with the link to the next page, wherever it came from.

use url::Url;

use super::ends::{Done, Ends, More};
use super::{Answer, foreign, missing};
use crate::error::{Error, ErrorKind, Result};
use crate::page::JsonPath;
use crate::request::{Origin, Position, Request, remove_query};

/// How a link is resolved, what is added to it and taken from it, and when it is not followed.
#[derive(Debug, Clone, Default)]
pub(super) struct Link {
    pub(super) base: Option<Base>,
    pub(super) keep: Vec<String>,
    pub(super) strip: Vec<String>,
    /// Whether a link of http to the page's own host is asked over https.
    pub(super) upgrade: bool,
    pub(super) ends: Ends,
}

/// What a link is relative to, if not to its page.
#[derive(Debug, Clone)]
pub(super) enum Base {
    /// A text at a path of the body, which the link is written behind.
    Body(String),
    /// A URL or a path, which it is resolved against.
    Url(String),
}

impl Link {
    /// The paths that it looks at; those of the caller come behind them.
    pub(super) fn reads(&self) -> Result<Vec<JsonPath>> {
        let mut reads = self.ends.reads()?;
        if let Some(Base::Body(path)) = &self.base {
            reads.push(JsonPath::parse(path)?);
        }
        Ok(reads)
    }

    /// How many paths those are.
    pub(super) fn captures(&self) -> usize {
        self.ends.captures() + usize::from(matches!(self.base, Some(Base::Body(_))))
    }

    pub(super) fn judge(&self, answer: &Answer<'_>) -> Result<More> {
        self.ends.judge(answer, Done::counted(answer))
    }

    /// The position that a link leads to; `None` if it leads here again, and that is the end.
    pub(super) fn next(&self, answer: &Answer<'_>, target: &str) -> Result<Option<Position>> {
        let url = self.resolve(answer, target)?;
        if self.ends.ends_repeated() && is_here(answer, &url) {
            return Ok(None);
        }
        Ok(Some(Position::Url(url.into())))
    }

    /// Resolves a link: against the page that it stands in (RFC 3986 §5), or by its base.
    pub(super) fn resolve(&self, answer: &Answer<'_>, target: &str) -> Result<Url> {
        let unreadable =
            |error| Error::new(ErrorKind::Cursor, "the link to the next page is not a URL").because(error);
        let mut url = match &self.base {
            None => answer.url().join(target),
            Some(Base::Url(base)) => {
                let root = if base.ends_with('/') { base.clone() } else { format!("{base}/") };
                answer.url().join(&root).and_then(|root| root.join(target))
            }
            Some(Base::Body(path)) => {
                let value = answer.value(self.ends.captures());
                let base = value.ok_or_else(|| missing("the base of the next URL", path))?;
                let base = base.as_token().filter(|base| !base.is_empty()).ok_or_else(|| {
                    let what = format!("the base \"{path}\" of the next URL is {}, not a text", base.kind());
                    Error::new(ErrorKind::Cursor, what)
                })?;
                match is_absolute(target) {
                    true => answer.url().join(target),
                    false => answer.url().join(&behind(&base, target)),
                }
            }
        }
        .map_err(unreadable)?;
        url.set_fragment(None);
        if self.upgrade && url.scheme() == "http" && url.port().is_none() && is_same_host(answer.url(), &url)
        {
            // It cannot fail: both are special schemes (URL standard, §4.4).
            let _ = url.set_scheme("https");
        }
        if !self.strip.is_empty() {
            remove_query(&mut url, |name| self.strip.iter().any(|stripped| stripped == name));
        }
        Ok(url)
    }

    /// The request for a page whose position is a URL.
    pub(super) fn request_at(&self, template: &Request, position: &Position) -> Result<Request> {
        match position {
            Position::Start => Ok(template.clone()),
            Position::Url(url) => self.request_to(template, url),
            other => Err(foreign(other, "next-link")),
        }
    }

    pub(super) fn request_to(&self, template: &Request, url: &str) -> Result<Request> {
        let mut url = template
            .url()
            .join(url)
            .map_err(|error| Error::config("the URL of the position cannot be read").because(error))?;
        // Parameters of the first request may be keys: they go to its origin only.
        if !self.keep.is_empty() && Origin::of(&url).ok() == Origin::of(template.url()).ok() {
            let has: Vec<String> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
            let mut kept = template.url().clone();
            remove_query(&mut kept, |name| {
                !self.keep.iter().any(|kept| kept == name) || has.iter().any(|has| has == name)
            });
            let parts: Vec<&str> =
                url.query().into_iter().chain(kept.query()).filter(|q| !q.is_empty()).collect();
            let query = parts.join("&");
            url.set_query((!query.is_empty()).then_some(&query));
        }
        Ok(template.clone().at_url(url))
    }

    /// A part of the fingerprint; empty if nothing is declared.
    pub(super) fn definition(&self) -> String {
        let base = match &self.base {
            None => String::new(),
            Some(Base::Body(path)) => format!(" behind {path}"),
            Some(Base::Url(url)) => format!(" relative to {url}"),
        };
        let names = |what: &str, names: &[String]| match names {
            [] => String::new(),
            names => format!(" {what} {names:?}"),
        };
        let (keep, strip) = (names("keeping", &self.keep), names("stripping", &self.strip));
        let upgrade = if self.upgrade { " upgraded" } else { "" };
        format!("{base}{keep}{strip}{upgrade}{}", self.ends.definition(None))
    }
}

/// Whether a URL is of the host of a page that came over https, at the usual port.
fn is_same_host(page: &Url, url: &Url) -> bool {
    page.scheme() == "https" && page.port().is_none() && page.host() == url.host()
}

/// Whether a URL is the one that was asked for.
fn is_here(answer: &Answer<'_>, url: &Url) -> bool {
    let asked = match answer.position() {
        Position::Url(asked) => answer.url().join(asked).ok(),
        _ => None,
    };
    url == answer.url() || Some(url) == asked.as_ref()
}

fn is_absolute(target: &str) -> bool {
    target.trim_start_matches(|c| c <= ' ').starts_with("//") || Url::parse(target).is_ok()
}

/// Confluence: `/rest/api/content?start=25` behind `https://x.atlassian.net/wiki`.
fn behind(base: &str, target: &str) -> String {
    let between = if target.starts_with(['/', '?']) { "" } else { "/" };
    format!("{}{between}{target}", base.trim_end_matches('/'))
}
