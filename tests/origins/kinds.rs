//! Every kind of credential, by every way to another origin: none goes along.

use super::*;

use std::sync::Arc;

use headwater::auth::{Basic, JwtGrant, OAuth2, SessionToken, SigV4};
use headwater::paginate::{Cursor, Delta, FollowUp, LinkHeader, Paginate};
use headwater::{Mark, SourceBuilder};

const SECRETS: [&str; 3] = ["c4nary", "h4nd", "k3y"];
const LOGIN: &str = "https://login.example.com/token";

fn login() -> Scripted {
    let answer = json!({"access_token": TOKEN, "token": TOKEN, "expires_in": 3600}).to_string();
    Scripted::from_fn(move |_, _| Reply::json(answer.clone()))
}

fn kinds() -> Vec<(&'static str, Box<dyn Auth>)> {
    let pem = include_str!("../auth/service_account.pem");
    let session = SessionToken::login(Request::post(LOGIN).unwrap()).unwrap().transport(login());
    vec![
        ("bearer", Box::new(Bearer::new(TOKEN).unwrap())),
        ("basic", Box::new(Basic::new("me", TOKEN).unwrap())),
        ("key in a header", Box::new(ApiKey::header("X-Key", TOKEN).unwrap())),
        ("key in the query", Box::new(ApiKey::query("q", "k3y"))),
        ("client", Box::new(OAuth2::client_credentials(LOGIN, "id", KEY).unwrap().transport(login()))),
        ("refresh", Box::new(OAuth2::refresh_token(LOGIN, "id", KEY, KEY).unwrap().transport(login()))),
        ("assertion", Box::new(JwtGrant::new(LOGIN, "me", pem).unwrap().transport(login()))),
        ("session", Box::new(session.clone())),
        ("session in a header", Box::new(session.header("X-Session").unwrap())),
        ("signature", Box::new(SigV4::new("c4nary-id", KEY, "eu-central-1", "s3").session_token(TOKEN))),
    ]
}

type MakePages = dyn Fn(&str, Scripted, Request) -> Pages;

/// A way to lead a source to a URL: its pages, and what the first answer is.
struct Lead {
    name: &'static str,
    pages: Box<MakePages>,
    answer: Box<dyn Fn(&str) -> Reply>,
}

fn lead<P: Paginate + 'static>(
    name: &'static str,
    paginator: impl Fn(&str) -> P + 'static,
    answer: impl Fn(&str) -> Reply + 'static,
) -> Lead {
    let pages = move |url: &str, api, first| Pages::new(api, first, paginator(url));
    Lead { name, pages: Box::new(pages), answer: Box::new(answer) }
}

fn said(body: serde_json::Value) -> Reply {
    Reply::json(body.to_string())
}

fn leads() -> Vec<Lead> {
    vec![
        lead("link", |_| NextUrl::body("next"), |url| said(json!({"next": url}))),
        lead(
            "list of links",
            |_| NextUrl::links("next"),
            |url| said(json!({"next": [{"rel": "next", "href": url}]})),
        ),
        lead(
            "header",
            |_| LinkHeader::new(),
            |url| said(json!({})).header("link", &format!("<{url}>; rel=next")),
        ),
        lead(
            "base",
            |_| NextUrl::body("next").base_body("base"),
            |url| said(json!({"base": url, "next": "?page=2"})),
        ),
        lead(
            "base and user name",
            |_| NextUrl::body("next").base_body("base"),
            |url| {
                let host = url.trim_start_matches("https:").trim_start_matches("http:");
                said(
                    json!({"base": "https://api.example.com", "next": format!("@{}", host.trim_start_matches('/'))}),
                )
            },
        ),
        lead(
            "kept parameters",
            |_| NextUrl::body("next").keep_query(["api_key", "limit"]),
            |url| said(json!({"next": url})),
        ),
        lead("upgraded", |_| NextUrl::body("next").upgrade_http(), |url| said(json!({"next": url}))),
        lead(
            "whole GET",
            |_| NextUrl::request("next"),
            |url| said(json!({"next": {"href": url, "headers": {"Authorization": "x", "X-More": "1"}}})),
        ),
        lead(
            "whole POST",
            |_| NextUrl::request("next"),
            |url| {
                said(json!({"next": {"href": url, "method": "POST", "body": {"token": "x"}, "merge": true}}))
            },
        ),
        lead(
            "whole POST without a body",
            |_| NextUrl::request("next"),
            |url| said(json!({"next": {"href": url, "method": "POST", "headers": {"X-More": "1"}}})),
        ),
        lead(
            "follow-up",
            |url| Cursor::body("next").into_query("cursor").follow(FollowUp::at(url)),
            |_| said(json!({"next": "abc"})),
        ),
        lead(
            "follow-up with what is kept",
            |url| Cursor::body("next").into_query("cursor").follow(FollowUp::at(url).keep(["api_key"])),
            |_| said(json!({"next": "abc"})),
        ),
        lead(
            "delta link",
            |_| Delta::new(NextUrl::body("next").missing_ends(), NextUrl::body("delta")),
            |url| said(json!({"delta": url})),
        ),
        lead("redirect", |_| NextUrl::body("next"), Reply::redirect),
        lead("redirect, 307", |_| NextUrl::body("next"), |url| Reply::status(307).header("location", url)),
    ]
}

/// The next request of a source that was led to a URL, or what kept it back.
async fn led(lead: &Lead, auth: Box<dyn Auth>, url: &str) -> (Vec<Seen>, Option<Error>) {
    let answer = (lead.answer)(url);
    let last = json!({"next": null, "delta": "/delta?token=1", "base": "/"});
    let api =
        Scripted::from_fn(move |_, number| if number == 1 { answer.clone() } else { said(last.clone()) });
    let auth: Arc<dyn Auth> = Arc::from(auth);
    let pages = |mark: Mark| {
        let first = Request::get(HOME).unwrap().query("api_key", "k3y").query("sig", "k3y/short");
        let first = first.header("X-By-Hand", BY_HAND).unwrap();
        let pages = (lead.pages)(url, api.clone(), first).auth(auth.clone());
        pages.allow_origin(FILES).allow_origin("https://xn--bcher-kva.example").resume(mark)
    };
    let mut error = None;
    let mut kept = None;
    for page in pages(Mark::start()).take(3).collect::<Vec<_>>().await {
        match page {
            Ok(page) => kept = Some(serde_json::to_value(page.mark()).unwrap()),
            Err(failed) => error = Some(failed),
        }
    }
    // The next run begins with what this one has kept.
    if let Some(after) = kept.as_ref().and_then(|mark| mark.get("after")).filter(|after| !after.is_null()) {
        let mark = Mark::at(serde_json::from_value(after.clone()).unwrap());
        error = error.or(pages(mark).take(1).collect::<Vec<_>>().await.into_iter().find_map(Result::err));
    }
    (api.requests(), error)
}

#[tokio::test]
async fn no_kind_of_credential_goes_along_by_any_way() {
    let (mut runs, mut asked, mut refused) = (0, 0, 0);
    for lead in leads() {
        for (url, is_allowed) in [
            ("https://files.example.com/a", true),
            ("//FILES.example.com:443/a", true),
            ("https://b\u{fc}cher.example/a", true),
            ("http://files.example.com/a", false),
            ("http://api.example.com/v1/items", false),
            ("https://api.example.com:8443/v1/items", false),
            ("https://api.example.com./v1/items", false),
            ("https://files.example.com./a", false),
            ("https://user:pw@api.example.com/v1/items", false),
            ("https://xn--pi-7kc.example.com/", false),
            ("https://evil.example/a", false),
        ] {
            let is_header = lead.name.starts_with("header") || lead.name.starts_with("redirect");
            if is_header && !url.is_ascii() {
                continue;
            }
            for (kind, auth) in kinds() {
                let (seen, error) = led(&lead, auth, url).await;
                let what = format!("{} by {} to {url}: {error:?}", kind, lead.name);
                runs += 1;
                assert!(seen[0].url.starts_with("https://api.example.com/v1/items"), "{what}");
                for seen in &seen[1..] {
                    let url = Url::parse(&seen.url).unwrap();
                    if url.origin() == Url::parse(HOME).unwrap().origin() {
                        continue;
                    }
                    asked += 1;
                    assert!(is_allowed, "{what}: {seen:?}");
                    let shown = format!("{seen:?}").to_lowercase();
                    assert!(!SECRETS.iter().any(|secret| shown.contains(secret)), "{what}: {shown}");
                    is_bare(seen);
                }
                let is_home = seen.len() > 1
                    && seen[1..].iter().all(|seen| seen.url.starts_with("https://api.example.com/"));
                assert!(error.is_some() || is_allowed || is_home, "{what}: {seen:?}");
                refused += u32::from(error.is_some());
                if let Some(error) = error {
                    let text = format!("{error} {error:?} {:#?}", error.context());
                    assert!(!SECRETS.iter().any(|secret| text.contains(secret)), "{what}");
                }
            }
        }
    }
    println!("{runs} runs, {refused} refused, {asked} requests to an allowed origin, no credential on any");
    assert!(runs > 1000 && asked > 100 && refused > 300, "{runs} {asked} {refused}");
}

#[tokio::test]
async fn a_value_from_a_record_cannot_choose_the_host() {
    let child = |url: &str| Source::get("items", url).records("").paginate(headwater::paginate::Single);
    let parents = |value: &str, child: SourceBuilder| {
        let body = json!([{"v": value}]).to_string();
        let api = Scripted::from_fn(move |request, _| match request.url().path() {
            "/parents" => Reply::json(body.clone()),
            _ => Reply::json("[]"),
        });
        let parents = Source::get("parents", "https://api.example.com/parents").records("");
        let parents = parents.paginate(headwater::paginate::Single).transport(api.clone());
        let fanout = headwater::pages::Fanout::over(parents).bind("v", "v");
        (api.clone(), child.transport(api).bearer(TOKEN).fanout(fanout))
    };
    for url in [
        "https://{v}/items",
        "https://{v}.example.com/items",
        "https://api.example.com:{v}/",
        "{v}",
        "//{v}/",
    ] {
        assert_eq!(
            parents("evil.example", child(url)).1.build().unwrap_err().kind(),
            ErrorKind::Config,
            "{url}"
        );
    }
    for value in [
        "//evil.example/x",
        "..//evil.example",
        "\\\\evil.example",
        "@evil.example",
        "#@evil.example",
        "?x",
        "%2f%2fevil.example",
        "https://evil.example/",
        "\u{2f}\u{2f}evil",
        "a@b:c",
    ] {
        let (api, source) = parents(value, child("https://api.example.com/{v}").header("X-Value", "v={v}"));
        let out = headwater::sink::Memory::new();
        Pipeline::new().source(source.build().unwrap()).sink(out).run().await.unwrap();
        let seen = api.requests();
        assert_eq!(seen.len(), 2, "{value}");
        let url = Url::parse(&seen[1].url).unwrap();
        assert_eq!(url.origin(), Url::parse(HOME).unwrap().origin(), "{value}: {url}");
        assert_eq!(url.path_segments().unwrap().count(), 1, "{value}: {url}");
        assert_eq!(seen[1].header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    }
}
