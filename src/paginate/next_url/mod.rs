//! The URL of the next page, in the body or in a header of its own.

mod request;

use serde_json::{Map, Value};

use super::end::End;
use super::ends::More;
use super::link::{Base, Link};
use super::{Answer, ChangeLink, Consistency, Paginate, RawJson, missing};
use crate::error::{Error, ErrorKind, Result};
use crate::page::JsonPath;
use crate::request::{Position, Request};
use request::{is_blank, position_of, request_of, url_of};

/// Paging by a URL: absolute, or relative to the page that it stands in.
///
/// The URL is the whole truth: none of the template's query is added to it, unless [`keep_query`](NextUrl::keep_query)
/// says so. `null`, `""` and `false` are the end, and so is a list of links without the relation; that the URL or the
/// list is missing altogether is an error unless declared.
///
/// ```
/// use headwater::paginate::{End, NextUrl};
/// let django = NextUrl::body("next");
/// let odata = NextUrl::body("/@odata.nextLink").missing_ends();
/// // Kinto: a header of its own
/// let kinto = NextUrl::header("Next-Page").missing_ends();
/// // FHIR: {"link": [{"relation": "next", "url": "…"}]}
/// let fhir = NextUrl::links("link");
/// // STAC: the link is a whole request, with method, body and headers
/// let stac = NextUrl::links("links").as_request();
/// // Confluence: "/rest/api/…" behind "https://x.atlassian.net/wiki"
/// let confluence = NextUrl::body("_links.next").base_body("_links.base").missing_ends();
/// // Meta: the links carry the token; it is neither stored nor sent in the URL
/// let meta = NextUrl::body("paging.next").strip_query(["access_token"]).missing_ends();
/// // Zendesk: there is always a link, and only the flag counts
/// let zendesk = NextUrl::body("links.next").until(End::when_false("meta.has_more"));
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct NextUrl {
    from: From,
    relation: String,
    is_request: bool,
    missing_ends: bool,
    link: Link,
}

#[derive(Debug, Clone)]
enum From {
    Body(String),
    Header(String),
    Links(String),
}

impl NextUrl {
    /// Takes the URL at a path of the body.
    pub fn body(path: impl Into<String>) -> Self {
        Self::new(From::Body(path.into()))
    }

    /// Takes the URL that a header consists of. (For RFC 8288's `Link` there is [`LinkHeader`](super::LinkHeader).)
    pub fn header(name: impl Into<String>) -> Self {
        Self::new(From::Header(name.into()))
    }

    /// Takes the URL out of a list of links at a path of the body: the `href`, `url` or `uri` of the one whose `rel` or
    /// `relation` is `next`. A list without it is the end.
    pub fn links(path: impl Into<String>) -> Self {
        Self::new(From::Links(path.into()))
    }

    /// Takes the whole next request at a path of the body: `{href, method, body, headers, merge}`, as STAC has it.
    ///
    /// With `merge`, the body is laid over that of the first request. Method GET and POST; a POST is sent again after a
    /// failure only if the first request was declared [`repeatable`](Request::repeatable). Headers that could do harm
    /// (credentials, cookies, `Host`, framing) are left out.
    pub fn request(path: impl Into<String>) -> Self {
        Self::body(path).as_request()
    }

    fn new(from: From) -> Self {
        let (is_request, missing_ends) = (false, false);
        Self { from, relation: "next".into(), is_request, missing_ends, link: Link::default() }
    }

    /// Takes the link of a list as a whole request; see [`NextUrl::request`].
    #[allow(
        clippy::wrong_self_convention,
        reason = "reads as a sentence: the next of the links, as a request"
    )]
    pub fn as_request(mut self) -> Self {
        self.is_request = true;
        self
    }

    /// Follows another relation of the list.
    pub fn relation(mut self, relation: impl Into<String>) -> Self {
        self.relation = relation.into();
        self
    }

    /// Declares that the API leaves the URL, or the list, out on its last page.
    pub fn missing_ends(mut self) -> Self {
        self.missing_ends = true;
        self
    }

    /// Ends for this reason, too.
    pub fn until(mut self, end: End) -> Self {
        self.link.ends.push(end);
        self
    }

    /// Ends when the flag at this path is false (`has_more`).
    pub fn until_false(self, path: &str) -> Self {
        self.until(End::when_false(path))
    }

    /// Ends when the flag at this path is true (`done`).
    pub fn until_true(self, path: &str) -> Self {
        self.until(End::when_true(path))
    }

    /// Puts what stands at this path of the body before a URL that is not absolute.
    pub fn base_body(mut self, path: impl Into<String>) -> Self {
        self.link.base = Some(Base::Body(path.into()));
        self
    }

    /// Resolves the URL against this one, or this path, instead of the page's: OData's service root.
    pub fn relative_to(mut self, url: impl Into<String>) -> Self {
        self.link.base = Some(Base::Url(url.into()));
        self
    }

    /// Takes these parameters over from the first request, if the URL has none of the name.
    pub fn keep_query<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.link.keep.extend(names.into_iter().map(Into::into));
        self
    }

    /// Drops these parameters from the URL: a token that the server puts there, say.
    pub fn strip_query<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.link.strip.extend(names.into_iter().map(Into::into));
        self
    }

    /// Asks over https where the API writes `http://` and its own host, as it does behind a proxy that ends TLS without
    /// saying so (NASA's NeoWs, Django without `SECURE_PROXY_SSL_HEADER`). Without it such a link is refused: nothing that was
    /// asked for by https goes on by http.
    pub fn upgrade_http(mut self) -> Self {
        self.link.upgrade = true;
        self
    }

    /// Takes the text of a URL.
    fn follow(&self, answer: &Answer<'_>, target: &str, more: More) -> Result<Option<Position>> {
        if is_blank(target) {
            return more.deny("the next URL is empty").map(|()| None);
        }
        self.link.next(answer, target)
    }

    fn in_header(&self, answer: &Answer<'_>, name: &str, more: More) -> Result<Option<Position>> {
        match answer.headers().get(name).map(|value| value.to_str()) {
            Some(Ok(target)) => self.follow(answer, target, more),
            Some(Err(_)) => Err(Error::new(
                ErrorKind::Cursor,
                format!("the next URL in the header {name} cannot be read"),
            )),
            None => self.gone("the next URL in the header", name, more),
        }
    }

    fn in_value(&self, answer: &Answer<'_>, path: &str, more: More) -> Result<Option<Position>> {
        let Some(value) = answer.value(self.link.captures()) else {
            return self.gone("the next URL", path, more);
        };
        if value.is_null() || value.text() == "false" {
            return more.deny("there is no next URL").map(|()| None);
        }
        if self.is_request && value.text().starts_with('{') {
            return self.follow_object(answer, path, value, more);
        }
        if !value.text().starts_with('"') {
            let why = format!("the next URL \"{path}\" is {}, not a string", value.kind());
            return Err(Error::new(ErrorKind::Cursor, why));
        }
        match value.as_token() {
            Some(target) => self.follow(answer, &target, more),
            None => Err(Error::new(ErrorKind::Cursor, format!("the next URL \"{path}\" cannot be read"))),
        }
    }

    fn follow_object(
        &self,
        answer: &Answer<'_>,
        path: &str,
        raw: RawJson<'_>,
        more: More,
    ) -> Result<Option<Position>> {
        match serde_json::from_str(raw.text()) {
            Ok(link) => position_of(&self.link, answer, raw, &link, more),
            Err(_) => {
                Err(Error::new(ErrorKind::Cursor, format!("the next request \"{path}\" cannot be read")))
            }
        }
    }

    fn in_list(&self, answer: &Answer<'_>, path: &str, more: More) -> Result<Option<Position>> {
        let Some(value) = answer.value(self.link.captures()) else {
            return self.gone("the list of links", path, more);
        };
        let wrong = |what: String| Error::new(ErrorKind::Cursor, what);
        let links: Vec<Value> = match serde_json::from_str(value.text()) {
            Ok(Value::Null) => Vec::new(),
            Ok(Value::Array(links)) => links,
            // Out of XML, one element is no list.
            Ok(link @ Value::Object(_)) => vec![link],
            Ok(_) => return Err(wrong(format!("the list of links \"{path}\" is {}", value.kind()))),
            Err(_) => return Err(wrong(format!("the list of links \"{path}\" cannot be read"))),
        };
        let mut links = links.iter().filter_map(Value::as_object);
        let Some(link) = links.find(|link| is_of(link, &self.relation)) else {
            return more.deny(&format!("no link of the relation {}", self.relation)).map(|()| None);
        };
        if self.is_request {
            return position_of(&self.link, answer, value, link, more);
        }
        match url_of(link) {
            Some(target) => self.follow(answer, target, more),
            None => Err(wrong(format!("the link of the relation {} has no URL", self.relation))),
        }
    }

    fn gone(&self, what: &str, path: &str, more: More) -> Result<Option<Position>> {
        if self.missing_ends {
            return more.deny(&format!("{what} \"{path}\" is not there")).map(|()| None);
        }
        Err(missing(what, path)
            .advice("if the API leaves it out on its last page, say so with `missing_ends()`"))
    }
}

/// Whether a link is of a relation: relations are separated by blanks, or in a list.
fn is_of(link: &Map<String, Value>, relation: &str) -> bool {
    let names = |text: &str| text.split_ascii_whitespace().any(|name| name.eq_ignore_ascii_case(relation));
    let rel = ["rel", "relation", "@rel", "@relation"].iter().find_map(|name| link.get(*name));
    match rel {
        Some(Value::String(text)) => names(text),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).any(names),
        _ => false,
    }
}

impl Paginate for NextUrl {
    fn reads(&self) -> Result<Vec<JsonPath>> {
        let mut reads = self.link.reads()?;
        if let From::Body(path) | From::Links(path) = &self.from {
            reads.push(JsonPath::parse(path)?);
        }
        Ok(reads)
    }

    fn needs_records(&self) -> bool {
        self.link.ends.needs_records()
    }

    fn request(&self, template: &Request, position: &Position) -> Result<Request> {
        if self.is_request
            && let Some(request) = request_of(&self.link, template, position)?
        {
            return Ok(request);
        }
        self.link.request_at(template, position)
    }

    fn says_more(&self, answer: &Answer<'_>) -> bool {
        self.link.judge(answer).is_ok_and(More::is_claimed)
    }

    fn next(&self, answer: &Answer<'_>) -> Result<Option<Position>> {
        let more = self.link.judge(answer)?;
        match &self.from {
            _ if more == More::No => Ok(None),
            From::Body(path) => self.in_value(answer, path, more),
            From::Header(name) => self.in_header(answer, name, more),
            From::Links(path) => self.in_list(answer, path, more),
        }
    }

    fn with_links(&self, position: Position, change: &mut ChangeLink<'_>) -> Result<Position> {
        match position {
            Position::Url(url) => change(url).map(Position::Url),
            Position::Json(Value::Object(mut link)) if self.is_request => {
                if let Some(Value::String(url)) = link.get_mut("href") {
                    *url = change(std::mem::take(url))?;
                }
                Ok(Position::Json(Value::Object(link)))
            }
            other => Ok(other),
        }
    }

    fn binds(&self, _: &str) -> bool {
        false
    }

    fn consistency(&self) -> Consistency {
        Consistency::Stable
    }

    fn definition(&self) -> String {
        let from = match &self.from {
            From::Body(path) => path.clone(),
            From::Header(name) => format!("in header {name}"),
            From::Links(path) => format!("{} of links {path}", self.relation),
        };
        let request = if self.is_request { " as request" } else { "" };
        let missing = if self.missing_ends { " missing ends" } else { "" };
        format!("next url {from}{request}{missing}{}", self.link.definition())
    }
}

#[cfg(test)]
mod tests;
