//! Cursors: any JSON in the place of a token.

use headwater::error::ErrorKind;
use headwater::paginate::Cursor;
use headwater::testing::{Reply, Scripted};
use headwater::{JsonPath, Page, Pages, Position, Request};
use serde_json::Value;

use super::grammar::{Document, Kind, Node, decoded};
use super::{collected, lines};

/// The path of the token, and the body.
pub(crate) fn fuzz(data: &[u8]) {
    let ([path], body) = lines(data);
    check(&path, body);
}

/// What stands in the place of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Missing,
    End,
    Text(String),
    /// By its digits.
    Number(String),
    /// An array or an object, with something in it.
    Whole(Vec<u8>),
    /// Neither a token nor the end.
    Other,
    /// The path is there twice.
    Twice,
}

pub(crate) fn check(path: &str, body: &[u8]) {
    let (Some(document), Ok(path)) = (Document::read(body), JsonPath::parse(path)) else { return };
    let token = token(&document, &document.at(path.segments()));
    for missing_ends in [false, true] {
        let paginator = Cursor::body(path.to_string()).into_query("after");
        let paginator = if missing_ends { paginator.missing_ends() } else { paginator };
        follows(&token, missing_ends, paginator, body);
    }
    if !matches!(token, Token::Twice) {
        into_a_body(&token, &path, body);
    }
    of_the_last_record(&path, body);
}

fn token(document: &Document<'_>, nodes: &[&Node]) -> Token {
    let node = match nodes {
        [] => return Token::Missing,
        [node] => node,
        _ => return Token::Twice,
    };
    let bytes = document.bytes(node);
    match node.kind {
        Kind::Null => Token::End,
        Kind::Boolean if bytes == b"false" => Token::End,
        Kind::Number => Token::Number(String::from_utf8_lossy(bytes).into_owned()),
        Kind::String => match decoded(bytes) {
            Some(text) if text.is_empty() => Token::End,
            Some(text) => Token::Text(text),
            None => Token::Other,
        },
        Kind::Array(_) | Kind::Object(_) if !matches!(bytes, [_, inside @ .., _] if inside.trim_ascii().is_empty()) => {
            Token::Whole(bytes.to_vec())
        }
        _ => Token::Other,
    }
}

/// The token goes into the query as it stands in the body.
fn follows(token: &Token, missing_ends: bool, paginator: Cursor, body: &[u8]) {
    let body = body.to_vec();
    let api = Scripted::from_fn(move |_, nth| match nth {
        1 => Reply::json(body.clone()),
        _ => Reply::status(404),
    });
    let first = Request::get("https://api.example.com/items?limit=2").expect("a URL");
    let given = collected(Pages::new(api.clone(), first, paginator));
    // An answer that makes no sense is asked for once more, without a token.
    let tokens = api.requests().into_iter().map(|seen| {
        let url = url::Url::parse(&seen.url).expect("a URL");
        let after = url.query_pairs().filter(|(name, _)| name == "after");
        after.map(|(_, value)| value.into_owned()).collect::<Vec<_>>()
    });
    let asked = tokens.skip(1).find(|tokens| !tokens.is_empty());
    let next = given[0].as_ref().map(|page| page.next().cloned()).map_err(|error| error.kind());
    match token {
        Token::End => assert_eq!(next, Ok(None)),
        Token::Missing if missing_ends => assert_eq!(next, Ok(None)),
        Token::Missing | Token::Whole(_) | Token::Other => assert_eq!(next, Err(ErrorKind::Cursor)),
        Token::Twice => assert_eq!(next, Err(ErrorKind::NotJson)),
        Token::Text(text) | Token::Number(text) => {
            assert_eq!(asked, Some(vec![text.clone()]));
            stays_when_stored(&given[0].as_ref().expect("a page").next().cloned());
            return;
        }
    }
    assert_eq!(asked, None, "nothing more is asked");
}

/// A number stays a number in a body, a string a string.
fn into_a_body(token: &Token, path: &JsonPath, body: &[u8]) {
    let body = body.to_vec();
    let api = Scripted::from_fn(move |_, nth| match nth {
        1 => Reply::json(body.clone()),
        _ => Reply::status(404),
    });
    let first = Request::post("https://api.example.com/search").expect("a URL").repeatable();
    let paginator = Cursor::body(path.to_string()).into_body("page.after").missing_ends();
    let given = collected(Pages::new(api.clone(), first, paginator));
    let asked = api.requests().get(1).map(|seen| seen.body.clone().expect("a body")["page"]["after"].clone());
    match token {
        Token::Text(text) => assert_eq!(asked, Some(Value::from(text.as_str()))),
        // What has no type in Rust is sent as a string, so that no digit is lost.
        Token::Number(digits) => {
            let asked = asked.expect("a second request");
            assert_eq!(asked.as_str().map_or_else(|| asked.to_string(), str::to_owned), *digits);
        }
        // As it was, or not at all: what has no type in Rust, or goes too deep, is refused.
        Token::Whole(text) => match asked {
            Some(asked) => assert_eq!(serde_json::from_slice::<Value>(text).expect("it was read"), asked),
            None => assert_eq!(given[0].as_ref().expect_err("no page").kind(), ErrorKind::Cursor),
        },
        _ => assert_eq!(asked, None),
    }
    if let Some(Ok(page)) = given.first() {
        stays_when_stored(&page.next().cloned());
    }
}

/// The same, out of the last record.
fn of_the_last_record(path: &JsonPath, record: &[u8]) {
    let document = Document::read(record).expect("it was read before");
    let token = token(&document, &document.at(path.segments()));
    let body = [b"[0,", document.bytes(document.root()), b"]"].concat();
    let api = Scripted::new([Reply::json(body), Reply::status(404)]);
    let first = Request::get("https://api.example.com/items").expect("a URL");
    let pages =
        Pages::new(api.clone(), first, Cursor::last_record(path.to_string()).into_query("after")).select("");
    let page: Result<Page, _> = collected(pages).remove(0);
    match (token, page.map(|page| page.next().cloned()).map_err(|error| error.kind())) {
        (Token::Text(text) | Token::Number(text), Ok(Some(Position::Cursor(cursor)))) => {
            assert_eq!(cursor, text)
        }
        // A record without its key is never the end.
        (
            Token::Missing | Token::Whole(_) | Token::Other | Token::End | Token::Twice,
            Err(ErrorKind::Cursor),
        ) => {}
        (token, next) => panic!("{token:?} became {next:?}"),
    }
}

/// A position is stored as JSON, and read again as it was.
fn stays_when_stored(next: &Option<Position>) {
    let stored = serde_json::to_string(next).expect("a position has a JSON form");
    assert_eq!(serde_json::from_str::<Option<Position>>(&stored).expect("it can be read"), *next);
}
