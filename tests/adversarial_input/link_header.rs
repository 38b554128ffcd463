//! `Link` headers: what is well formed by the grammar of RFC 8288 is read by that grammar, and nothing makes the
//! parser panic or hang.

use std::time::UNIX_EPOCH;

use futures::future::BoxFuture;
use headwater::error::ErrorKind;
use headwater::paginate::LinkHeader;
use headwater::{Pages, Position, Request, Response, Transport};
use http::header::{HeaderMap, HeaderValue, LINK};
use url::Url;

use super::collected;

const PAGE: &str = "https://api.example.com/v1/items?limit=2";

/// The lines of the header.
pub(crate) fn fuzz(data: &[u8]) {
    check(&data.split(|byte| *byte == b'\n').collect::<Vec<_>>());
}

pub(crate) fn check(lines: &[&[u8]]) {
    let values: Result<Vec<HeaderValue>, _> =
        lines.iter().map(|line| HeaderValue::from_bytes(line)).collect();
    // The rest cannot come in over HTTP.
    let Ok(values) = values else { return };
    let next = read(values.clone());
    let links: Option<Vec<Vec<Link>>> = values
        .iter()
        .map(|value| Grammar(String::from_utf8_lossy(value.as_bytes()).chars().collect(), 0).line())
        .collect();
    if let Some(links) = links {
        let expected = links.concat().into_iter().find(Link::is_next).map(|link| link.target);
        let resolved = expected.map(|target| {
            let mut url =
                Url::parse(PAGE).and_then(|page| page.join(&target)).map_err(|_| ErrorKind::Cursor)?;
            url.set_fragment(None);
            Ok(url)
        });
        assert_eq!(next.clone().transpose(), resolved, "what is well formed is read by the grammar");
    }
    // RFC 9110 §5.3: several lines are one line, with commas between them.
    let one_by_one: Vec<_> = values.iter().map(|value| read(vec![value.clone()])).collect();
    if one_by_one.iter().all(Result::is_ok) {
        let joined = values.iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b", "[..]);
        assert_eq!(read(vec![HeaderValue::from_bytes(&joined).expect("a header value")]), next);
        assert_eq!(
            one_by_one.into_iter().find_map(|next| next.transpose()).transpose(),
            next,
            "the first one counts"
        );
    }
}

/// The next URL that the library finds.
fn read(lines: Vec<HeaderValue>) -> Result<Option<Url>, ErrorKind> {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(LINK, line);
    }
    let pages = Pages::new(Answers(headers), Request::get(PAGE).expect("a URL"), LinkHeader::new());
    let page = collected(futures::StreamExt::take(pages, 1)).remove(0).map_err(|error| error.kind())?;
    Ok(page.next().cloned().map(|next| {
        let Position::Url(next) = next else { panic!("{next} is no URL") };
        Url::parse(PAGE).and_then(|page| page.join(&next)).expect("a stored URL can be read")
    }))
}

/// A transport that always gives the same headers, whatever bytes are in them.
#[derive(Clone)]
struct Answers(HeaderMap);

impl Transport for Answers {
    fn send<'a>(&'a self, _: &'a Request) -> BoxFuture<'a, headwater::Result<Response>> {
        let (status, headers) = (http::StatusCode::OK, self.0.clone());
        Box::pin(async move { Ok(Response { status, headers, body: "[1]".into(), received_at: UNIX_EPOCH }) })
    }
}

#[derive(Clone)]
struct Link {
    target: String,
    parameters: Vec<(String, String)>,
}

impl Link {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// RFC 8288 §3.2 and §3.3: the first `rel` counts, and the anchor must be the page itself.
    fn is_next(&self) -> bool {
        let rel = self.parameter("rel").unwrap_or_default();
        // Not to the letter, on purpose: single quotes around the value are no part of it.
        let rel = rel.strip_prefix('\'').and_then(|rel| rel.strip_suffix('\'')).unwrap_or(rel);
        let page = Url::parse(PAGE).expect("a URL");
        let here = self.parameter("anchor").is_none_or(|anchor| page.join(anchor).as_ref() == Ok(&page));
        here && rel.split([' ', '\t', '\n', '\x0c', '\r']).any(|rel| rel.eq_ignore_ascii_case("next"))
    }
}

/// The grammar of RFC 8288 §3, to the letter.
struct Grammar(Vec<char>, usize);

impl Grammar {
    fn peek(&self) -> Option<char> {
        self.0.get(self.1).copied()
    }

    fn takes(&mut self, c: char) -> bool {
        let there = self.peek() == Some(c);
        self.1 += usize::from(there);
        there
    }

    fn run(&mut self, fits: impl Fn(char) -> bool) -> String {
        let run: String = self.0[self.1..].iter().take_while(|c| fits(**c)).collect();
        self.1 += run.chars().count();
        run
    }

    fn blanks(&mut self) {
        self.run(|c| matches!(c, ' ' | '\t'));
    }

    /// `Link = #link-value`, with empty elements (RFC 9110 §5.6.1.2).
    fn line(mut self) -> Option<Vec<Link>> {
        let mut links = Vec::new();
        loop {
            self.blanks();
            if self.peek() == Some('<') {
                links.push(self.link()?);
                self.blanks();
            }
            if self.peek().is_none() {
                return Some(links);
            }
            if !self.takes(',') {
                return None;
            }
        }
    }

    /// `link-value = "<" URI-Reference ">" *( OWS ";" OWS link-param )`
    fn link(&mut self) -> Option<Link> {
        self.takes('<').then_some(())?;
        let target = self.run(|c| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '"'));
        self.takes('>').then_some(())?;
        let mut parameters = Vec::new();
        loop {
            let before = self.1;
            self.blanks();
            if !self.takes(';') {
                self.1 = before;
                return Some(Link { target, parameters });
            }
            self.blanks();
            parameters.push(self.parameter()?);
        }
    }

    /// `link-param = token BWS [ "=" BWS ( token / quoted-string ) ]`
    fn parameter(&mut self) -> Option<(String, String)> {
        let name = self.token()?;
        let before = self.1;
        self.blanks();
        if !self.takes('=') {
            self.1 = before;
            return Some((name, String::new()));
        }
        self.blanks();
        let value = if self.takes('"') { self.quoted()? } else { self.token()? };
        Some((name, value))
    }

    fn token(&mut self) -> Option<String> {
        let token = self.run(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c));
        (!token.is_empty()).then_some(token)
    }

    fn quoted(&mut self) -> Option<String> {
        let mut value = String::new();
        loop {
            let c = self.peek()?;
            self.1 += 1;
            match c {
                '"' => return Some(value),
                '\\' => {
                    value.push(self.peek()?);
                    self.1 += 1;
                }
                c => value.push(c),
            }
        }
    }
}
