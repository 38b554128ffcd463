//! `Link: <https://…>; rel="next"` (RFC 8288).

use http::header::LINK;

use super::end::End;
use super::ends::More;
use super::link::{Base, Link as Following};
use super::{Answer, Consistency, Paginate};
use crate::error::{Error, ErrorKind, Result};
use crate::page::JsonPath;
use crate::request::{Position, Request};

/// Paging by the `Link` header (RFC 8288): GitHub, GitLab, Shopify, Okta, Sentry and many more.
///
/// The whole grammar is read: several header lines, several links in one, extra parameters, quoted and bare
/// values, several relations in one `rel`, commas and semicolons inside URLs and quotes. The target may be
/// relative. No next link is the end; a header that cannot be read is an error, for it may have held one.
///
/// ```
/// use headwater::paginate::LinkHeader;
/// let github = LinkHeader::new();
/// // Sentry always sends a next link, and says in a parameter whether it leads to anything
/// let sentry = LinkHeader::new().until_param("results", "false");
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct LinkHeader {
    relation: String,
    end: Option<(String, String)>,
    link: Following,
}

impl Default for LinkHeader {
    fn default() -> Self {
        Self::new()
    }
}

impl LinkHeader {
    /// Follows `rel="next"`.
    pub fn new() -> Self {
        Self { relation: "next".into(), end: None, link: Following::default() }
    }

    /// Follows another relation.
    pub fn relation(mut self, relation: impl Into<String>) -> Self {
        self.relation = relation.into();
        self
    }

    /// Ends when the link has a parameter with this value (Sentry: `results="false"`).
    pub fn until_param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.end = Some((name.into(), value.into()));
        self
    }

    /// Ends for this reason, too (Okta's log always has a next link: [`End::empty_page`]).
    pub fn until(mut self, end: End) -> Self {
        self.link.ends.push(end);
        self
    }

    /// Puts what stands at this path of the body before a link that is not absolute.
    pub fn base_body(mut self, path: impl Into<String>) -> Self {
        self.link.base = Some(Base::Body(path.into()));
        self
    }

    /// Resolves links against this URL or path, instead of the page's.
    pub fn relative_to(mut self, url: impl Into<String>) -> Self {
        self.link.base = Some(Base::Url(url.into()));
        self
    }

    /// Takes these parameters over from the first request, if the link has none of the name.
    pub fn keep_query<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.link.keep.extend(names.into_iter().map(Into::into));
        self
    }

    /// Drops these parameters from the link.
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
}

impl Paginate for LinkHeader {
    fn reads(&self) -> Result<Vec<JsonPath>> {
        self.link.reads()
    }

    fn needs_records(&self) -> bool {
        self.link.ends.needs_records()
    }

    fn request(&self, template: &Request, position: &Position) -> Result<Request> {
        self.link.request_at(template, position)
    }

    fn says_more(&self, answer: &Answer<'_>) -> bool {
        self.link.judge(answer).is_ok_and(More::is_claimed)
    }

    fn next(&self, answer: &Answer<'_>) -> Result<Option<Position>> {
        let more = self.link.judge(answer)?;
        if more == More::No {
            return Ok(None);
        }
        let mut unreadable = None;
        for line in answer.headers().get_all(LINK) {
            // Targets are ASCII, but a `title` may be in any old encoding.
            let line = String::from_utf8_lossy(line.as_bytes());
            let (links, fault) = parse(&line);
            for link in links.iter().filter(|link| link.is(&self.relation)) {
                // RFC 8288 §3.2: with an anchor, the link is about another resource.
                let elsewhere = |anchor| answer.url().join(anchor).ok().as_ref() != Some(answer.url());
                if link.parameter("anchor").is_some_and(elsewhere) {
                    continue;
                }
                let ended =
                    self.end.as_ref().is_some_and(|(name, value)| link.parameter(name) == Some(value));
                return if ended { Ok(None) } else { self.link.next(answer, link.target) };
            }
            unreadable = unreadable.or(fault);
        }
        match unreadable {
            None => more.deny("no next link").map(|()| None),
            Some(fault) => {
                Err(Error::new(ErrorKind::Cursor, format!("the Link header cannot be read: {fault}")))
            }
        }
    }

    fn binds(&self, _: &str) -> bool {
        false
    }

    fn consistency(&self) -> Consistency {
        Consistency::Stable
    }

    fn definition(&self) -> String {
        format!("link header {} {:?}{}", self.relation, self.end, self.link.definition())
    }
}

/// One link of a header line.
#[derive(Debug, PartialEq, Eq)]
struct Link<'a> {
    target: &'a str,
    parameters: Vec<(String, String)>,
}

impl Link<'_> {
    // RFC 8288 §3.3: only the first `rel` counts; relations are separated by blanks, in any case. No relation has single
    // quotes in it; servers that take them for quotes have.
    fn is(&self, relation: &str) -> bool {
        self.parameter("rel").is_some_and(|rel| {
            let inside = rel.strip_prefix('\'').and_then(|rel| rel.strip_suffix('\'')).unwrap_or(rel);
            inside.split_ascii_whitespace().any(|rel| rel.eq_ignore_ascii_case(relation))
        })
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// Reads a header line by the algorithm of RFC 8288, appendix B.2: the links up to the first fault, and the
/// fault.
fn parse(line: &str) -> (Vec<Link<'_>>, Option<&'static str>) {
    let mut links = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return (links, None);
        }
        let Some(after) = rest.strip_prefix('<') else {
            return (links, Some("a link does not start with \"<\""));
        };
        let Some((target, after)) = after.split_once('>') else {
            return (links, Some("a link has no \">\""));
        };
        let (parameters, after) = match parameters(after) {
            Ok(read) => read,
            Err(fault) => return (links, Some(fault)),
        };
        links.push(Link { target, parameters });
        rest = after;
    }
}

// Appendix B.3: up to the comma that ends the link.
type Parameters<'a> = (Vec<(String, String)>, &'a str);

fn parameters(mut rest: &str) -> Result<Parameters<'_>, &'static str> {
    let mut parameters = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if rest.is_empty() || rest.starts_with(',') {
            return Ok((parameters, rest));
        }
        rest = rest.strip_prefix(';').ok_or("something follows a link that is no parameter")?;
        rest = rest.trim_start_matches([' ', '\t', ';']);
        let end = rest.find(['=', ';', ',']).unwrap_or(rest.len());
        let name = rest[..end].trim().to_owned();
        rest = &rest[end..];
        let mut value = String::new();
        if let Some(after) = rest.strip_prefix('=') {
            let after = after.trim_start_matches([' ', '\t']);
            if let Some(quoted) = after.strip_prefix('"') {
                (value, rest) = quoted_string(quoted)?;
            } else {
                let end = after.find([';', ',']).unwrap_or(after.len());
                value = after[..end].trim().to_owned();
                if value.contains('"') {
                    return Err("a value has a quote in it, and does not begin with one");
                }
                rest = &after[end..];
            }
        }
        if !name.is_empty() {
            parameters.push((name, value));
        }
    }
}

/// RFC 9110 §5.6.4, behind the opening quote.
fn quoted_string(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    Err("a quoted value has no end")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paginate::testing::page;

    fn next(lines: &[&str]) -> Result<Option<String>> {
        let shown = lines.iter().fold(page(Position::Start, "{}"), |shown, line| shown.header("link", line));
        let next = shown.to(&LinkHeader::new())?;
        Ok(next.map(|position| position.to_string().replace("url https://api.example.com/v1/", "")))
    }

    #[test]
    fn the_whole_grammar_is_read() {
        for (lines, target) in [
            (&[r#"<a?page=2>; rel="next", <a?page=9>; rel="last""#][..], Some("a?page=2")),
            (&[r#"<a>; rel="prev""#, r#"<b>; rel="next""#], Some("b")),
            (&["<a>;rel=next"], Some("a")),
            (&["<a>;rel='next'"], Some("a")),
            (&["<a>;rel='up next'"], Some("a")),
            (&[r#"<a>; title="x, <y>; rel=\"next\""; rel="last", <b>; REL="up NEXT""#], Some("b")),
            (&["<a?q=1,2;3>; rel=\"next\""], Some("a?q=1,2;3")),
            (&["<a> ; ; rel = \"next\" ; results=\"true\""], Some("a")),
            (&[",, <a>; rel=next ,"], Some("a")),
            (&["<a>; rel=last; rel=next"], None),
            (&["<a>; rel=nextish"], None),
            (&["<a>; rel=next; anchor=\"/elsewhere\", <b>; rel=next"], Some("b")),
            (&["<a>; rel=next; anchor=\"\""], Some("a")),
            (&[""], None),
            (&[], None),
        ] {
            assert_eq!(next(lines).unwrap().as_deref(), target, "{lines:?}");
        }
    }

    #[test]
    fn a_header_that_cannot_be_read_is_never_the_end() {
        for broken in [
            "<a; rel=next",
            "a; rel=next",
            r#"<a>; rel="next"#,
            "<a> rel=next",
            r#"<b>; rel=last, <a>; rel="ne"#,
            r#"<a>; rel=next""#,
        ] {
            assert_eq!(next(&[broken]).unwrap_err().kind(), ErrorKind::Cursor, "{broken}");
        }
    }

    #[test]
    fn a_link_that_never_goes_away_needs_another_end() {
        let log = LinkHeader::new().until(End::empty_page());
        let shown = |data: &str| {
            page(Position::Start, format!("{{\"data\":{data}}}")).header("link", "<a>; rel=next")
        };
        assert!(shown("[1]").to(&log).unwrap().is_some());
        assert!(shown("[]").to(&log).unwrap().is_none());
        let flag = LinkHeader::new().until(End::when_false("more"));
        let lost = page(Position::Start, r#"{"more":true}"#).to(&flag).unwrap_err();
        assert_eq!(lost.kind(), ErrorKind::Truncated);
    }

    #[test]
    fn old_definitions_stay_as_they_were() {
        let sentry = LinkHeader::new().until_param("results", "false");
        assert_eq!(sentry.definition(), r#"link header next Some(("results", "false"))"#);
        assert_eq!(LinkHeader::new().definition(), "link header next None");
    }

    #[test]
    fn a_parameter_can_be_the_end() {
        let sentry = LinkHeader::new().until_param("results", "false");
        let link = |results: &str| {
            page(Position::Start, "{}").header("link", &format!("<a>; rel=next; results=\"{results}\""))
        };
        assert!(link("true").to(&sentry).unwrap().is_some());
        assert!(link("false").to(&sentry).unwrap().is_none());
    }
}
