//! A link that is a whole request (STAC API, "Item Search", paging): `{href, method, body, headers, merge}`.

use http::Method;
use serde_json::{Map, Value, json};

use super::super::ends::More;
use super::super::link::Link;
use super::super::{Answer, RawJson};
use crate::error::{Error, ErrorKind, Result};
use crate::request::redact::is_sensitive_header;
use crate::request::{Position, Request, Target};

/// The names under which a link has its URL: in JSON, and as an attribute in XML.
const URLS: [&str; 6] = ["href", "url", "uri", "@href", "@url", "@uri"];

/// The URL of a link object; empty if it says that there is none.
pub(super) fn url_of(link: &Map<String, Value>) -> Option<&str> {
    URLS.iter().find_map(|name| match link.get(*name)? {
        Value::String(url) => Some(url.as_str()),
        Value::Null | Value::Bool(false) => Some(""),
        _ => None,
    })
}

/// The URL standard drops blanks and control characters at the ends, and nothing else.
pub(super) fn is_blank(url: &str) -> bool {
    url.trim_matches(|c| c <= ' ').is_empty()
}

/// The position that a link object leads to as a request: a URL if it is a plain GET.
pub(super) fn position_of(
    by: &Link,
    answer: &Answer<'_>,
    raw: RawJson<'_>,
    link: &Map<String, Value>,
    more: More,
) -> Result<Option<Position>> {
    let wrong = |what: &str| Error::new(ErrorKind::Cursor, format!("the next request {what}"));
    let href = url_of(link).ok_or_else(|| wrong("has no \"href\""))?;
    if is_blank(href) {
        return more.deny("the next request has an empty URL").map(|()| None);
    }
    let method = link.get("method").and_then(Value::as_str).unwrap_or("GET").to_ascii_uppercase();
    let headers = harmless(link.get("headers"));
    if method == "GET" && headers.is_empty() {
        return by.next(answer, href);
    }
    if method != "GET" && method != "POST" {
        return Err(wrong("is neither GET nor POST"));
    }
    if !raw.keeps_digits() {
        return Err(wrong("has a number in it that is too large to be sent back as it is"));
    }
    let mut position = json!({"href": String::from(by.resolve(answer, href)?), "method": method});
    if method == "POST" {
        if let Some(body) = link.get("body").filter(|body| !body.is_null()) {
            position["body"] = body.clone();
        }
        if link.get("merge").and_then(Value::as_bool) == Some(true) {
            position["merge"] = true.into();
        }
    }
    if !headers.is_empty() {
        position["headers"] = Value::Object(headers);
    }
    Ok(Some(Position::Json(position)))
}

/// The request at a stored position; `None` if the position is none of a whole request.
pub(super) fn request_of(by: &Link, template: &Request, position: &Position) -> Result<Option<Request>> {
    if let Position::Url(url) = position {
        return get(by.request_to(template, url)?).map(Some);
    }
    let Position::Json(Value::Object(link)) = position else { return Ok(None) };
    let Some(href) = link.get("href").and_then(Value::as_str) else { return Ok(None) };
    let mut request = by.request_to(template, href)?;
    if link.get("method").and_then(Value::as_str) == Some("POST") {
        let first = request.body().cloned();
        request.drop_body();
        request.set_method(Method::POST);
        let is_merged = link.get("merge").and_then(Value::as_bool) == Some(true);
        if let Some(body) = merged(first.filter(|_| is_merged), link.get("body")) {
            request = request.json(body);
        }
    } else {
        request = get(request)?;
    }
    harmless(link.get("headers"))
        .into_iter()
        .try_fold(request, |request, (name, value)| Target::header(name).put(request, &value))
        .map(Some)
}

fn get(mut request: Request) -> Result<Request> {
    request.clear_body();
    request.set_method(Method::GET);
    Ok(request)
}

/// The fields of a body over those of the first one.
fn merged(first: Option<Value>, body: Option<&Value>) -> Option<Value> {
    match (first, body) {
        (Some(Value::Object(mut fields)), Some(Value::Object(others))) => {
            fields.extend(others.iter().map(|(name, value)| (name.clone(), value.clone())));
            Some(Value::Object(fields))
        }
        (first, None) => first,
        (_, Some(body)) => Some(body.clone()),
    }
}

/// The headers that a server may choose: none that is a credential, that says where the request goes or how its body is
/// framed, and none that speaks for somebody else.
fn harmless(headers: Option<&Value>) -> Map<String, Value> {
    const REFUSED: [&str; 18] = [
        "host",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
        "content-length",
        "content-type",
        "content-encoding",
        "accept-encoding",
        "forwarded",
        "via",
        "origin",
        "referer",
        "from",
        "user-agent",
    ];
    const BEGINNINGS: [&str; 5] = ["proxy-", "sec-", "x-forwarded-", "x-http-method", "x-original-"];
    let is_harmless = |name: &str| {
        let name = name.to_ascii_lowercase();
        !REFUSED.contains(&name.as_str())
            && !BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
            && !is_sensitive_header(&name)
    };
    let Some(Value::Object(headers)) = headers else { return Map::new() };
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        // STAC has lists of values, too.
        Value::Array(items) => {
            let items: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            items.map(|items| items.join(", "))
        }
        _ => None,
    };
    let chosen = headers.iter().filter(|(name, _)| is_harmless(name));
    chosen.filter_map(|(name, value)| Some((name.clone(), text(value)?.into()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paginate::testing::page;
    use crate::paginate::{NextUrl, Paginate};

    fn next(body: &Value) -> Result<Option<Position>> {
        page(Position::Start, body.to_string()).to(&NextUrl::links("links").as_request())
    }

    fn request(template: &Request, body: &Value) -> Request {
        let position = next(body).unwrap().unwrap();
        NextUrl::links("links").as_request().request(template, &position).unwrap()
    }

    fn links(link: Value) -> Value {
        json!({"links": [{"rel": "self", "href": "/"}, link]})
    }

    fn search() -> Request {
        let search = Request::post("https://api.example.com/search").unwrap().repeatable();
        search.json(json!({"limit": 10, "collections": ["a"]}))
    }

    #[test]
    fn the_link_is_the_next_request() {
        let link = json!({"rel": "next", "href": "/search", "method": "POST", "body": {"token": "t", "limit": 10},
            "headers": {"Search-After": "x"}});
        let made = request(&search(), &links(link.clone()));
        assert_eq!((made.method(), made.url().path()), (&Method::POST, "/search"));
        assert_eq!(made.body(), Some(&json!({"token": "t", "limit": 10})));
        assert_eq!(made.headers()["search-after"], "x");
        assert!(made.is_repeatable());
        let mut merged = link;
        merged["merge"] = true.into();
        let made = request(&search(), &links(merged));
        assert_eq!(made.body(), Some(&json!({"token": "t", "limit": 10, "collections": ["a"]})));
        let made = request(&search(), &links(json!({"rel": "next", "href": "/items?token=t"})));
        assert_eq!(
            (made.method(), made.url().query(), made.has_body()),
            (&Method::GET, Some("token=t"), false)
        );
        assert_eq!(next(&links(json!({"rel": "prev", "href": "/"}))).unwrap(), None);
    }

    #[test]
    fn a_post_that_the_server_chose_is_not_sent_twice_unless_declared() {
        let get = Request::get("https://api.example.com/search").unwrap();
        let link = links(json!({"rel": "next", "href": "/search", "method": "post", "body": {"token": "t"}}));
        assert!(!request(&get, &link).is_repeatable());
        assert!(request(&get.repeatable(), &link).is_repeatable());
    }

    #[test]
    fn a_server_sets_no_header_that_could_do_harm() {
        let evil = json!({"Authorization": "x", "Cookie": "x", "HOST": "x", "X-Api-Key": "x", "Content-Length": "1",
            "Transfer-Encoding": "chunked", "X-Forwarded-For": "x", "Proxy-Authorization": "x", "Prefer": "a"});
        let link = json!({"rel": "next", "href": "/search", "method": "POST", "headers": evil});
        let position = next(&links(link)).unwrap().unwrap();
        assert_eq!(
            position,
            Position::Json(json!({"href": "https://api.example.com/search", "method": "POST",
                "headers": {"Prefer": "a"}}))
        );
        let by_hand = Position::Json(json!({"href": "/", "method": "POST", "headers": evil}));
        let paginator = NextUrl::links("links").as_request();
        let made = paginator.request(&search().header("Authorization", "own").unwrap(), &by_hand).unwrap();
        assert_eq!(made.headers()["authorization"], "own");
        assert!(!made.headers().contains_key("cookie"));
    }

    #[test]
    fn what_cannot_be_a_request_is_an_error() {
        for link in [
            json!({"rel": "next", "href": "/x", "method": "DELETE"}),
            json!({"rel": "next", "method": "POST"}),
            json!({"rel": "next", "href": 7}),
            json!({"rel": "next", "href": "https://["}),
        ] {
            assert_eq!(next(&links(link.clone())).unwrap_err().kind(), ErrorKind::Cursor, "{link}");
        }
        assert_eq!(next(&links(json!({"rel": "next", "href": null, "method": "POST"}))).unwrap(), None);
        let crlf = json!({"href": "/", "method": "GET", "headers": {"X-A": "a\r\nB: c"}});
        let paginator = NextUrl::links("links").as_request();
        assert!(paginator.request(&search(), &Position::Json(crlf)).is_err());
    }
}
