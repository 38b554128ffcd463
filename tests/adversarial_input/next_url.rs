//! Next links and redirects: whatever a server says, nothing is asked of an origin that was not allowed, and no
//! credential goes to any but our own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use headwater::auth::{ApiKey, Bearer};
use headwater::error::ErrorKind;
use headwater::testing::{Reply, Scripted, Seen};
use headwater::{Page, Pages, Position, Request, Result, paginate::LinkHeader, paginate::NextUrl};
use serde_json::json;
use url::Url;

use super::collected;

/// Where a server can point to a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Body,
    Header,
    /// A list of links in the body.
    List,
    /// A whole request in the body.
    Whole,
    Redirect,
}

pub(crate) const WAYS: [Way; 5] = [Way::Body, Way::Header, Way::List, Way::Whole, Way::Redirect];

const HOMES: [&str; 5] = [
    "https://api.example.com/v1/items?limit=2",
    "http://api.example.com:8080/v1/",
    "https://[2001:db8::1]/items",
    "http://127.0.0.1:9000/a/b/../c?x=%2F",
    "https://xn--mnchen-3ya.example/",
];
const ALLOWED: &str = "https://files.example.com";

/// What the words begin with that stand for a credential in a stored link.
const PLACE: &str = "headwater-credential-";

const TOKEN: &str = "t0ken-of-the-bearer";
const KEY: &str = "k3y-in-the-query";
const BY_HAND: &str = "h4nd-written-header";

/// The home, as a digit, and the link.
pub(crate) fn fuzz(data: &[u8]) {
    let Some((home, link)) = data.split_first() else { return };
    check(usize::from(*home) % HOMES.len(), &String::from_utf8_lossy(link));
}

pub(crate) fn check(home: usize, link: &str) {
    for way in WAYS {
        resolves_as_a_url(way, HOMES[home], link);
        stays_home(way, HOMES[home], link);
    }
}

/// The reply that points to the link; `None` where it cannot be said that way.
pub(crate) fn pointing(way: Way, link: &str) -> Option<Reply> {
    let sendable = link.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    match way {
        Way::Body => Some(Reply::json(json!({"items": [1], "next": link}).to_string())),
        Way::List => {
            let links = json!([{"rel": "self", "href": "/"}, {"rel": "next", "href": link}]);
            Some(Reply::json(json!({"items": [1], "next": links}).to_string()))
        }
        Way::Whole => {
            // A header of its own, so that it is kept as a request and not as a URL.
            let next = json!({"href": link, "method": "GET", "headers": {"Prefer": "x"}});
            Some(Reply::json(json!({"items": [1], "next": next}).to_string()))
        }
        Way::Header => {
            let fits = sendable && !link.contains('>');
            let reply = || Reply::json(r#"{"items":[1],"next":null}"#);
            fits.then(|| reply().header("link", &format!("<{link}>; rel=next")))
        }
        Way::Redirect => sendable.then(|| Reply::redirect(link)),
    }
}

/// The stream over a script of two answers: the one that points, and the last.
pub(crate) fn pages(way: Way, home: &str, reply: Reply) -> (Scripted, Pages) {
    let api = Scripted::from_fn(move |_, nth| match nth {
        1 => reply.clone(),
        _ => Reply::json(r#"{"items":[2],"next":null}"#),
    });
    let first = Request::get(home).expect("a URL").header("X-By-Hand", BY_HAND).expect("a header");
    let pages = match way {
        Way::Header => Pages::new(api.clone(), first, LinkHeader::new()),
        Way::List => Pages::new(api.clone(), first, NextUrl::links("next")),
        Way::Whole => Pages::new(api.clone(), first, NextUrl::request("next")),
        _ => Pages::new(api.clone(), first, NextUrl::body("next")),
    };
    (api, pages.select("items"))
}

/// With a bearer token only: the second request, if there is one, goes where the URL standard says.
fn resolves_as_a_url(way: Way, home: &str, link: &str) {
    let Some(reply) = pointing(way, link) else { return };
    let (api, pages) = pages(way, home, reply);
    let given = collected(pages.auth(Bearer::new(TOKEN).expect("a token")));
    let base = Url::parse(home).expect("a URL");
    // What the URL standard drops from the ends.
    let trimmed = link.trim_matches(|c| c <= ' ');
    let without_fragment = |mut url: Url| {
        url.set_fragment(None);
        url
    };
    let (kinds, second) = match base.join(trimmed).map(without_fragment) {
        _ if !matches!(way, Way::Header | Way::Redirect) && trimmed.is_empty() => (None, None),
        Err(_) => (Some(vec![ErrorKind::Cursor, ErrorKind::Redirect]), None),
        // A server that writes a place for a credential itself gets nothing.
        Ok(url) if url.as_str().contains(PLACE) => {
            assert_eq!(api.urls().len(), 1, "{way:?} {link:?}");
            return said_nothing(&given, TOKEN);
        }
        // So does one that repeats the token in a spelling that cannot be kept out of the checkpoint.
        Ok(url) if refused_for_its_spelling(&given) => {
            assert!(may_hold_the_token(url.as_str()), "{way:?} {link:?}");
            assert_eq!(api.urls().len(), 1, "{way:?} {link:?}");
            return said_nothing(&given, TOKEN);
        }
        Ok(url) => {
            let is_home = url.origin() == base.origin() && matches!(url.scheme(), "http" | "https");
            if !is_home || !url.username().is_empty() || url.password().is_some() {
                (Some(vec![ErrorKind::Origin]), None)
            } else if way == Way::Redirect && url == base {
                (Some(vec![ErrorKind::Redirect]), None)
            } else {
                (None, Some(url))
            }
        }
    };
    let urls = api.urls();
    assert_eq!(urls.get(1).map(String::as_str), second.as_ref().map(Url::as_str), "{way:?} {link:?}");
    match (kinds, given.iter().find_map(|page| page.as_ref().err())) {
        (Some(kinds), Some(error)) => assert!(kinds.contains(&error.kind()), "{error}"),
        (None, None) => {}
        (kinds, error) => panic!("{way:?} {link:?}: expected was {kinds:?}, and it is {error:?}"),
    }
    // The stored position leads to the same URL, but for the place of a credential.
    if let (Some(second), Some(Position::Url(stored))) =
        (second, given.first().and_then(|page| page.as_ref().ok()?.next()))
        && !stored.contains(PLACE)
    {
        assert_eq!(base.join(stored), Ok(second), "{stored}");
    }
    said_nothing(&given, TOKEN);
}

fn refused_for_its_spelling(given: &[Result<Page>]) -> bool {
    let error = given.first().and_then(|page| page.as_ref().err());
    let reasons = ["repeats a credential", "by a URL with a credential in it"];
    error.is_some_and(|error| reasons.iter().any(|reason| error.message().contains(reason)))
}

/// Whether a part of the token stands in a text in any of the usual spellings, percent-encoded any number of times.
fn may_hold_the_token(text: &str) -> bool {
    let hex: String = TOKEN.bytes().map(|byte| format!("{byte:02x}")).collect();
    // The middle of each phase, without what its neighbours decide.
    let base64 = (0..3).map(|phase| {
        let encoded = STANDARD_NO_PAD.encode(format!("{}{TOKEN}", "x".repeat(phase)));
        encoded[4..encoded.len() - 4].to_lowercase()
    });
    let spellings: Vec<String> = [TOKEN.to_owned(), hex].into_iter().chain(base64).collect();
    let mut text = text.to_lowercase();
    for _ in 0..4 {
        let plain: String = text.chars().filter(|c| !matches!(c, '\\' | 'u' | '&' | '#' | ';')).collect();
        if spellings.iter().any(|spelling| text.contains(spelling) || plain.contains(spelling)) {
            return true;
        }
        text = percent_encoding::percent_decode_str(&text).decode_utf8_lossy().to_lowercase();
    }
    false
}

/// With every kind of credential, and another origin allowed.
fn stays_home(way: Way, home: &str, link: &str) {
    let Some(reply) = pointing(way, link) else { return };
    let (api, pages) = pages(way, home, reply);
    let given = collected(pages.auth(ApiKey::query("key", KEY)).allow_origin(ALLOWED));
    let home = Url::parse(home).expect("a URL");
    for seen in api.requests() {
        if Url::parse(&seen.url).expect("a URL").origin() == home.origin() {
            assert!(seen.url.contains(KEY) && seen.header("x-by-hand") == Some(BY_HAND), "{seen:?}");
        } else {
            is_bare(&seen, Url::parse(ALLOWED).expect("a URL"));
        }
    }
    said_nothing(&given, KEY);
}

/// A request to the allowed origin, with nothing in it that is anyone's business.
fn is_bare(seen: &Seen, allowed: Url) {
    let url = Url::parse(&seen.url).expect("a URL");
    assert_eq!(url.origin(), allowed.origin(), "{seen:?}");
    assert!(url.username().is_empty() && url.password().is_none(), "{seen:?}");
    let harmless = ["accept", "content-type"];
    assert!(seen.headers.keys().all(|name| harmless.contains(&name.as_str())), "{seen:?}");
    assert!(seen.body.is_none(), "{seen:?}");
    assert!(!format!("{seen:?}").contains(KEY), "{seen:?}");
}

fn said_nothing(given: &[Result<Page>], secret: &str) {
    for error in given.iter().filter_map(|page| page.as_ref().err()) {
        let text = format!("{error} {error:?} {:?}", error.context());
        assert!(!text.contains(secret), "{text}");
    }
}
