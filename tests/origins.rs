//! Where a server can send us, and with what: every vector, in the body, in a `Link` header and in a redirect.
//!
//! `cargo test --test origins -- --nocapture` prints the table.

mod adversarial_input;
#[path = "origins/kinds.rs"]
mod kinds;

use adversarial_input::next_url::{Way, pages, pointing};
use futures::StreamExt;
use futures::future::BoxFuture;
use headwater::auth::{ApiKey, Auth, Bearer};
use headwater::error::ErrorKind;
use headwater::prelude::*;
use headwater::testing::{Reply, Scripted, Seen};
use headwater::{Position, Secret};
use serde_json::json;
use url::Url;

const HOME: &str = "https://api.example.com/v1/items?limit=2";
const FILES: &str = "https://files.example.com";

const TOKEN: &str = "c4nary-of-the-bearer-token";
const KEY: &str = "c4nary-of-the-key-in-the-query";
/// What `adversarial_input::next_url` puts on every template.
const BY_HAND: &str = "h4nd-written-header";

/// A bearer token and a key in the query, both at once.
#[derive(Debug)]
struct Both(Bearer, ApiKey);

fn both() -> Both {
    Both(Bearer::new(TOKEN).unwrap(), ApiKey::query("key", KEY))
}

impl Auth for Both {
    fn authorize<'a>(&'a self, request: &'a mut Request) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.0.authorize(request).await?;
            self.1.authorize(request).await
        })
    }

    fn secrets(&self) -> Vec<Secret> {
        [self.0.secrets(), self.1.secrets()].concat()
    }

    fn sent(&self) -> Vec<(&'static str, Secret)> {
        [self.0.sent(), self.1.sent()].concat()
    }

    fn query_parameters(&self) -> Vec<String> {
        self.1.query_parameters()
    }
}

/// What has to become of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is asked with credentials, and this is the URL (without the key).
    Home(&'static str),
    /// It is an error of the kind `Origin`, and nothing is sent.
    Refused,
    /// It is no URL: an error, and nothing is sent.
    NoUrl,
}
use Fate::{Home, NoUrl, Refused};

const VECTORS: &[(&str, Fate)] = &[
    // Our own origin, in every spelling.
    ("?page=2", Home("https://api.example.com/v1/items?page=2")),
    ("more", Home("https://api.example.com/v1/more")),
    ("/v2?x=%2F", Home("https://api.example.com/v2?x=%2F")),
    ("//api.example.com/v2", Home("https://api.example.com/v2")),
    ("///api.example.com/v2", NoUrl),
    ("/\\api.example.com/v2", Home("https://api.example.com/v2")),
    ("\\v2", Home("https://api.example.com/v2")),
    ("https:v2", Home("https://api.example.com/v1/v2")),
    ("https:evil.example", Home("https://api.example.com/v1/evil.example")),
    ("https:/evil.example", Home("https://api.example.com/evil.example")),
    ("HTTPS://API.Example.COM/v2", Home("https://api.example.com/v2")),
    ("https://api.example.com:443/v2", Home("https://api.example.com/v2")),
    ("https://api.example.com:00443/v2", Home("https://api.example.com/v2")),
    ("https://api.example.com:/v2", Home("https://api.example.com/v2")),
    ("https://@api.example.com/v2", Home("https://api.example.com/v2")),
    ("https://%61pi.example.com/v2", Home("https://api.example.com/v2")),
    ("https://ａｐｉ.example.com/v2", Home("https://api.example.com/v2")),
    ("https://api。example。com/v2", Home("https://api.example.com/v2")),
    ("https://api.exam\u{AD}ple.com/v2", Home("https://api.example.com/v2")),
    ("https://api.exam\tple.com/v\n2", Home("https://api.example.com/v2")),
    (" \u{1}/v2 ", Home("https://api.example.com/v2")),
    ("/a/../../b", Home("https://api.example.com/b")),
    ("/v1/%2e%2e/b", Home("https://api.example.com/b")),
    ("/v1/..//evil.example/x", Home("https://api.example.com//evil.example/x")),
    ("/@evil.example", Home("https://api.example.com/@evil.example")),
    ("/v2#@evil.example/", Home("https://api.example.com/v2")),
    ("?next=https://evil.example/", Home("https://api.example.com/v1/items?next=https://evil.example/")),
    ("evil.example/x", Home("https://api.example.com/v1/evil.example/x")),
    // Another host, one way or another.
    ("//evil.example/x", Refused),
    ("///evil.example/x", NoUrl),
    ("////evil.example/x", NoUrl),
    ("/\\evil.example", Refused),
    ("\\\\evil.example\\x", Refused),
    ("\\/evil.example", Refused),
    ("https:///evil.example", Refused),
    ("https:\\\\evil.example", Refused),
    ("https:/\\/evil.example", Refused),
    ("https://evil.example", Refused),
    (" //evil.example", Refused),
    ("\t/\n/evil.example", Refused),
    ("\u{0}//evil.example", Refused),
    ("https://evil.example#@api.example.com/", Refused),
    ("https://evil.example?@api.example.com/", Refused),
    ("https://evil.example\\@api.example.com/", Refused),
    ("https://api.example.com.evil.example/", Refused),
    ("https://evil-api.example.com/", Refused),
    ("https://v2.api.example.com/", Refused),
    ("https://example.com/", Refused),
    ("https://api-example.com/", Refused),
    ("https://api.example.co/", Refused),
    ("https://api.example.com./v2", Refused),
    ("https://api..example.com/", Refused),
    // User names: of another host, and of our own.
    ("https://api.example.com@evil.example/", Refused),
    ("https://api.example.com:443@evil.example/", Refused),
    ("https://api.example.com%2F@evil.example/", Refused),
    ("https://user@api.example.com/v2", Refused),
    ("https://user:password@api.example.com/v2", Refused),
    ("//user@api.example.com/v2", Refused),
    ("https://evil.example;@api.example.com/", Refused),
    ("https://api.example.com%40evil.example/", NoUrl),
    // Ports.
    ("https://api.example.com:8443/", Refused),
    ("https://api.example.com:80/", Refused),
    ("https://api.example.com:0/", Refused),
    ("//api.example.com:444/", Refused),
    ("https://api.example.com:65536/", NoUrl),
    ("https://api.example.com:443:443/", NoUrl),
    ("https://api.example.com:-443/", NoUrl),
    // Names that look like ours (UTS 46).
    ("https://\u{430}pi.example.com/", Refused),
    ("https://xn--pi-7kc.example.com/", Refused),
    ("https://api.ex\u{430}mple.com/", Refused),
    ("https://api.example.c\u{43E}m/", Refused),
    ("https://api.exam\u{DF}le.com/", Refused),
    ("https://api.examp\u{142}e.com/", Refused),
    ("https://api.example.com\u{0}.evil.example/", NoUrl),
    ("https://api.example.com%00.evil.example/", NoUrl),
    ("https://api.example.com evil.example/", NoUrl),
    // Schemes.
    ("http://api.example.com/v2", Refused),
    ("http://api.example.com:443/v2", Refused),
    ("HTTP://api.example.com/v2", Refused),
    ("ws://api.example.com/", Refused),
    ("wss://api.example.com/", Refused),
    ("ftp://api.example.com/", Refused),
    ("file:///etc/passwd", Refused),
    ("file:/etc/passwd", Refused),
    ("data:application/json,[]", Refused),
    ("javascript:alert(1)", Refused),
    ("blob:https://api.example.com/v2", Refused),
    ("view-source:https://api.example.com/", Refused),
    ("gopher://api.example.com:443/", Refused),
    // Addresses of this machine, its networks, and the metadata services.
    ("https://127.0.0.1/", Refused),
    ("https://2130706433/", Refused),
    ("https://0x7f000001/", Refused),
    ("https://0177.0.0.1/", Refused),
    ("https://127.1/", Refused),
    ("https://0/", Refused),
    ("https://localhost/", Refused),
    ("https://10.0.0.1/", Refused),
    ("https://192.168.0.1/", Refused),
    ("https://169.254.169.254/latest/meta-data/", Refused),
    ("http://169.254.169.254/latest/meta-data/", Refused),
    ("https://0xA9FEA9FE/", Refused),
    ("https://metadata.google.internal/", Refused),
    ("https://100.100.100.200/", Refused),
    ("https://[::1]/", Refused),
    ("https://[::]/", Refused),
    ("https://[0:0:0:0:0:ffff:7f00:1]/", Refused),
    ("https://[::ffff:169.254.169.254]/", Refused),
    ("https://[fe80::1]/", Refused),
    ("https://[fd00:ec2::254]/", Refused),
    ("https://[fe80::1%25eth0]/", NoUrl),
    ("https://[::1/", NoUrl),
    ("https://256.0.0.1/", NoUrl),
    ("https://1.2.3.4.5/", NoUrl),
    ("https://", NoUrl),
    ("//", NoUrl),
];

/// Other homes: the same host in another spelling, and what only looks like it.
const HOMES: &[(&str, &str, Fate)] = &[
    ("http://127.0.0.1:9000/items", "http://2130706433:9000/2", Home("http://127.0.0.1:9000/2")),
    ("http://127.0.0.1:9000/items", "http://127.1:9000/2", Home("http://127.0.0.1:9000/2")),
    ("http://127.0.0.1:9000/items", "/2", Home("http://127.0.0.1:9000/2")),
    ("http://127.0.0.1:9000/items", "http://127.0.0.1/2", Refused),
    ("http://127.0.0.1:9000/items", "http://127.0.0.1:9001/2", Refused),
    ("http://127.0.0.1:9000/items", "http://127.0.0.2:9000/2", Refused),
    ("http://127.0.0.1:9000/items", "http://localhost:9000/2", Refused),
    ("http://127.0.0.1:9000/items", "http://[::ffff:127.0.0.1]:9000/2", Refused),
    ("http://127.0.0.1:9000/items", "https://127.0.0.1:9000/2", Refused),
    ("http://127.0.0.1:9000/items", "http://169.254.169.254:9000/", Refused),
    ("http://[::1]:9000/items", "http://[0:0:0:0:0:0:0:1]:9000/2", Home("http://[::1]:9000/2")),
    ("http://[::1]:9000/items", "http://127.0.0.1:9000/2", Refused),
    ("http://[::ffff:7f00:1]/items", "http://[::ffff:127.0.0.1]/2", Home("http://[::ffff:7f00:1]/2")),
    ("https://api.example.com:8443/items", "https://api.example.com/2", Refused),
    (
        "https://api.example.com:8443/items",
        "//api.example.com:8443/2",
        Home("https://api.example.com:8443/2"),
    ),
    ("http://api.example.com/items", "https://api.example.com/2", Refused),
    ("http://api.example.com/items", "http://api.example.com:80/2", Home("http://api.example.com/2")),
    ("https://api.example.com./items", "https://api.example.com/2", Refused),
    (
        "https://b\u{FC}cher.example/items",
        "https://xn--bcher-kva.example/2",
        Home("https://xn--bcher-kva.example/2"),
    ),
    (
        "https://b\u{FC}cher.example/items",
        "https://B\u{DC}CHER.example/2",
        Home("https://xn--bcher-kva.example/2"),
    ),
    ("https://b\u{FC}cher.example/items", "https://bucher.example/2", Refused),
    ("https://stra\u{DF}e.example/items", "https://strasse.example/2", Refused),
    ("http://169.254.169.254/items", "http://169.254.169.254/2", Home("http://169.254.169.254/2")),
    ("http://169.254.169.254/items", "http://169.254.170.2/2", Refused),
];

/// Nothing but what was allowed may be seen by a server.
fn check(seen: &Seen, home: &Url) {
    let url = Url::parse(&seen.url).unwrap();
    if url.origin() == home.origin() {
        let bearer = format!("Bearer {TOKEN}");
        let headers = (seen.header("authorization"), seen.header("x-by-hand"));
        assert_eq!(headers, (Some(bearer.as_str()), Some(BY_HAND)), "{seen:?}");
        assert!(url.query_pairs().any(|(name, value)| name == "key" && value == KEY), "{seen:?}");
    } else {
        is_bare(seen);
    }
}

fn is_bare(seen: &Seen) {
    let shown = format!("{seen:?}");
    assert!(![TOKEN, KEY, BY_HAND].iter().any(|secret| shown.contains(secret)), "{shown}");
    let harmless = ["accept", "content-type"];
    assert!(seen.headers.keys().all(|name| harmless.contains(&name.as_str())), "{shown}");
    assert!(seen.body.is_none(), "{shown}");
}

/// What became of a link; `None` where it cannot be said this way.
fn run(way: Way, home: &str, link: &str, allowed: bool) -> Option<(Vec<Seen>, Option<Error>)> {
    let (api, pages) = pages(way, home, pointing(way, link)?);
    let pages = if allowed { pages.auth(both()).allow_origin(FILES) } else { pages.auth(both()) };
    let given: Vec<_> = futures::executor::block_on(pages.take(4).collect());
    let home = Url::parse(home).unwrap();
    api.requests().iter().for_each(|seen| check(seen, &home));
    Some((api.requests(), given.into_iter().find_map(Result::err)))
}

/// A URL without the key.
fn without_key(url: &str) -> String {
    let mut url = Url::parse(url).unwrap();
    let kept: Vec<&str> =
        url.query().unwrap_or_default().split('&').filter(|pair| !pair.starts_with("key=")).collect();
    let kept = kept.join("&");
    url.set_query((!kept.is_empty()).then_some(&kept));
    url.into()
}

/// What became of a link, in a word, and whether that was its fate.
fn outcome(way: Way, home: &str, link: &str, fate: Fate) -> (&'static str, bool) {
    let Some((seen, error)) = run(way, home, link, false) else { return ("-", true) };
    match error.map(|error| error.kind()) {
        None if seen.len() == 2 => ("home", fate_is_home(fate, &seen[1].url)),
        Some(ErrorKind::Origin) => ("refused", fate == Refused && seen.len() == 1),
        Some(ErrorKind::Cursor | ErrorKind::Redirect) => ("no URL", fate == NoUrl && seen.len() == 1),
        _ => ("?", false),
    }
}

fn fate_is_home(fate: Fate, url: &str) -> bool {
    matches!(fate, Home(expected) if expected == without_key(url))
}

#[test]
fn every_vector_meets_its_fate_in_the_body_the_header_and_a_redirect() {
    let all = VECTORS.iter().map(|(link, fate)| (HOME, *link, *fate)).chain(HOMES.iter().copied());
    let (mut vectors, mut runs, mut wrong) = (0, 0, Vec::new());
    println!("{:<10}{:<10}{:<10}link, and the home it is given by", "body", "header", "redirect");
    for (home, link, fate) in all {
        let outcomes = [Way::Body, Way::Header, Way::Redirect].map(|way| outcome(way, home, link, fate));
        vectors += 1;
        runs += outcomes.iter().filter(|(word, _)| *word != "-").count();
        let [body, header, redirect] = outcomes.map(|(word, _)| word);
        println!("{body:<10}{header:<10}{redirect:<10}{}  {home}", link.escape_debug());
        if outcomes.iter().any(|(_, right)| !right) {
            wrong.push(format!("{link:?} from {home}: {body}, {header}, {redirect}, and not {fate:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{vectors} vectors, {runs} runs, no credential off the origin");
    assert!(vectors >= 40 && runs >= 120, "{vectors} vectors, {runs} runs");
}

#[test]
fn an_allowed_origin_is_asked_without_credentials() {
    for way in [Way::Body, Way::Header, Way::Redirect] {
        // The server may repeat the key, under any name; it does not go along.
        for link in [
            "https://files.example.com/part/2".to_owned(),
            "//FILES.example.com:443/part/2".to_owned(),
            format!("https://files.example.com/part/2?key={KEY}"),
            format!("https://files.example.com/part/2?t={TOKEN}"),
            format!("https://files.example.com/part/2?t={}", TOKEN.replace("of", "%6Ff")),
        ] {
            let (seen, error) = run(way, HOME, &link, true).unwrap();
            assert!(error.is_none(), "{error:?}");
            assert_eq!(seen[1].url, "https://files.example.com/part/2", "{way:?} {link}");
        }
        // What is not that origin is not allowed with it.
        for link in [
            "http://files.example.com/",
            "https://files.example.com:8443/",
            "https://files.example.com./",
            "https://x.files.example.com/",
            "https://user@files.example.com/",
        ] {
            let (seen, error) = run(way, HOME, link, true).unwrap();
            assert_eq!(error.unwrap().kind(), ErrorKind::Origin, "{link}");
            assert_eq!(seen.len(), 1);
        }
    }
}

#[test]
fn a_url_with_a_credential_in_it_does_not_leave_home_however_it_is_spelled() {
    use base64::Engine;
    let base64 = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("u:{TOKEN}"));
    for way in [Way::Body, Way::Header, Way::Redirect] {
        for link in [
            format!("https://files.example.com/{TOKEN}/2"),
            format!("https://files.example.com/2?a=1;t={TOKEN}"),
            format!("https://files.example.com/2?auth={base64}"),
            format!("https://files.example.com/2?u=https%3A%2F%2Fapi.example.com%2F%3Fkey%3D{KEY}"),
            format!("https://files.example.com/{}/2", TOKEN.replace("of", "%6Ff")),
        ] {
            let (seen, error) = run(way, HOME, &link, true).unwrap();
            let error = error.unwrap_or_else(|| panic!("{link} is asked as {}", seen[1].url));
            assert_eq!((error.kind(), seen.len()), (ErrorKind::Origin, 1), "{link}: {error}");
            assert!(!error.to_string().contains("c4nary"), "{error}");
        }
    }
}

#[test]
fn a_key_that_was_written_by_hand_does_not_leave_home() {
    let request = first().query("api_key", KEY);
    let away = format!("https://files.example.com/a?x=1&api_key={KEY}&y=2");
    let near = format!("/v1/items?api_key={KEY}&page=3");
    let replies =
        [Reply::json(json!({ "next": away }).to_string()), Reply::json(json!({"next": null}).to_string())];
    let (seen, given) = ask(request.clone(), replies);
    assert!(given.iter().all(Result::is_ok), "{given:?}");
    assert_eq!(seen[1].url, "https://files.example.com/a?x=1&y=2");
    is_bare(&seen[1]);
    // At home it comes back in its place.
    let replies =
        [Reply::json(json!({ "next": near }).to_string()), Reply::json(json!({"next": null}).to_string())];
    let (seen, _) = ask(request, replies);
    assert_eq!(seen[1].url, format!("https://api.example.com/v1/items?api_key={KEY}&page=3&key={KEY}"));
}

#[test]
fn an_origin_without_encryption_is_refused_though_it_was_allowed() {
    for way in [Way::Body, Way::Header, Way::Redirect] {
        let (api, pages) = pages(way, HOME, pointing(way, "http://files.example.com/a").unwrap());
        let pages = pages.auth(both()).allow_origin("http://files.example.com");
        let given: Vec<_> = futures::executor::block_on(pages.take(4).collect());
        assert_eq!(given.into_iter().find_map(Result::err).unwrap().kind(), ErrorKind::Origin, "{way:?}");
        assert_eq!(api.requests().len(), 1);
    }
}

/// Asks through a script, with all credentials and another origin allowed.
fn ask(request: Request, replies: impl IntoIterator<Item = Reply>) -> (Vec<Seen>, Vec<Result<Page>>) {
    let api = Scripted::new(replies);
    let pages = Pages::new(api.clone(), request, NextUrl::body("next")).auth(both()).allow_origin(FILES);
    let given = futures::executor::block_on(pages.take(4).collect());
    (api.requests(), given)
}

fn first() -> Request {
    Request::get(HOME).unwrap().header("X-By-Hand", BY_HAND).unwrap()
}

#[test]
fn a_redirect_that_comes_back_from_there_is_followed_as_a_stranger() {
    let (seen, given) = ask(
        first(),
        [
            Reply::redirect("https://files.example.com/a"),
            Reply::redirect("https://api.example.com/v1/delete-all"),
            Reply::redirect("https://api.example.com/v1/b"),
            Reply::json(r#"{"next":"/v1/items?page=2"}"#),
            Reply::json(r#"{"next":null}"#),
        ],
    );
    assert!(given.iter().all(Result::is_ok), "{given:?}");
    check(&seen[0], &Url::parse(HOME).unwrap());
    seen[1..4].iter().for_each(is_bare);
    // The next page is a new request.
    check(&seen[4], &Url::parse(HOME).unwrap());
}

#[test]
fn a_next_link_on_a_page_from_there_leads_home_as_any_other() {
    let (seen, given) = ask(
        first(),
        [
            Reply::json(r#"{"next":"https://files.example.com/a"}"#),
            Reply::json(r#"{"next":"b"}"#),
            Reply::json(r#"{"next":"https://api.example.com/v1/items?page=3"}"#),
            Reply::json(r#"{"next":null}"#),
        ],
    );
    assert!(given.iter().all(Result::is_ok), "{given:?}");
    is_bare(&seen[1]);
    is_bare(&seen[2]);
    assert_eq!(seen[2].url, "https://files.example.com/b");
    check(&seen[3], &Url::parse(HOME).unwrap());
}

#[test]
fn a_body_does_not_leave_home() {
    let post = || {
        let request = Request::post("https://api.example.com/search").unwrap().json(json!({"secret": KEY}));
        request.header("X-By-Hand", BY_HAND).unwrap()
    };
    for status in [307, 308] {
        let away = Reply::status(status).header("location", "https://files.example.com/a");
        let (seen, given) = ask(post(), [away]);
        assert_eq!(seen.len(), 1);
        assert_eq!(given[0].as_ref().unwrap_err().kind(), ErrorKind::Origin);
    }
    // 303 asks for the result by GET, without a body.
    let away = Reply::status(303).header("location", "https://files.example.com/a");
    let (seen, given) = ask(post(), [away, Reply::json(r#"{"next":null}"#)]);
    assert!(given.iter().all(Result::is_ok), "{given:?}");
    assert_eq!(seen[1].method, http::Method::GET);
    is_bare(&seen[1]);
    // And inside the origin it goes along with 307.
    let near = Reply::status(307).header("location", "/search/2");
    let (seen, _) = ask(post(), [near, Reply::json(r#"{"next":null}"#)]);
    assert_eq!(seen[1].body, Some(json!({"secret": KEY})));
}

#[test]
fn an_address_that_is_nearer_than_home_cannot_be_allowed() {
    let try_allow = |home: &str, other: &str| {
        let api = Scripted::new([Reply::json(r#"{"next":null}"#)]);
        let pages =
            Pages::new(api.clone(), Request::get(home).unwrap(), NextUrl::body("next")).allow_origin(other);
        let page = futures::executor::block_on(pages.take(1).collect::<Vec<_>>()).remove(0);
        (page.map(drop).map_err(|error| error.kind()), api.requests().len())
    };
    for (home, other) in [
        (HOME, "http://169.254.169.254"),
        (HOME, "https://[::ffff:a9fe:a9fe]"),
        (HOME, "https://metadata.google.internal"),
        (HOME, "https://10.1.2.3"),
        (HOME, "https://localhost:8080"),
        (HOME, "https://127.1"),
        ("http://192.168.1.1/", "http://169.254.169.254"),
    ] {
        assert_eq!(try_allow(home, other), (Err(ErrorKind::Config), 0), "{home} {other}");
    }
    for (home, other) in [
        (HOME, "https://files.example.com"),
        ("http://127.0.0.1:9000/", "http://localhost:9001"),
        ("http://10.0.0.1/", "http://192.168.0.1"),
        ("http://169.254.169.254/", "http://[fe80::1]"),
    ] {
        assert_eq!(try_allow(home, other), (Ok(()), 1), "{home} {other}");
    }
}

#[test]
fn a_stored_position_is_checked_like_any_other_link() {
    for stored in
        ["https://evil.example/", "//evil.example/", "http://api.example.com/", "file:///etc/passwd"]
    {
        let api = Scripted::new([Reply::json(r#"{"next":null}"#)]);
        let pages = Pages::new(api.clone(), first(), NextUrl::body("next")).auth(both());
        let mark = headwater::Mark::at(Position::Url(stored.into()));
        let given: Vec<_> = futures::executor::block_on(pages.resume(mark).take(2).collect());
        assert_eq!(given[0].as_ref().unwrap_err().kind(), ErrorKind::Origin, "{stored}");
        assert!(api.requests().is_empty());
    }
}
