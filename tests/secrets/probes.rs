//! A probe, the presets, and what is made of credentials: none of it shows them.

use super::*;

use headwater::auth::{FileTokenStore, JwtGrant, OAuth2, SessionToken, SigV4};
use headwater::paginate::{Delta, FollowUp};
use headwater::presets::*;

#[test]
fn a_probe_shows_no_credential() {
    let repeats = script(|heard| {
        let all = format!("{} {} {}", heard.target, heard.headers, spellings(CANARY).join(" "));
        let link = format!("<https://api.example.com/items?t={}&page=2>; rel=next", percent(CANARY));
        let body = json!({
            "data": [{"id": 1, "echo": all, CANARY: 1, "updated_at": "2026-01-01T00:00:00Z"}],
            "next": format!("/items/{CANARY}?page=2"), "next_cursor": CANARY, "next_page_token": all,
            "limit": 1, "meta": {"next_token": CANARY, "has_more": true},
        });
        let headers = vec![
            ("link", link),
            ("x-ratelimit-limit", percent(CANARY)),
            ("x-ratelimit-note", CANARY.to_owned()),
            ("x-next-page", CANARY.to_owned()),
            ("retry-after", "1".to_owned()),
        ];
        Said { status: 200, headers, body: body.to_string() }
    });
    type Way = fn(SourceBuilder) -> SourceBuilder;
    let ways: [(&str, Way); 4] = [
        ("bearer", |source| source.bearer(CANARY)),
        ("key", |source| source.api_key_query("limit", CANARY)),
        ("by hand", |source| source.query("api_key", CANARY)),
        ("header", |source| source.header("X-Auth-Token", CANARY)),
    ];
    for (name, way) in ways {
        let api = Api::new(Line::Scripted, repeats.clone());
        let source = way(items(&api));
        let probe = futures::executor::block_on(source.probe()).unwrap();
        let json = serde_json::to_string(&probe).unwrap();
        let text = format!("{probe}\n{probe:?}\n{probe:#?}\n{json}\n{}", probe.code);
        assert!(text.contains("next_cursor") || text.contains("LinkHeader"), "{text}");
        assert_eq!(hits(&text), 0, "{name}: {probe}\n{json}");
    }
}

#[test]
fn a_delta_link_is_kept_without_the_credential_in_it_and_asked_with_it() {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = asked.clone();
    let talks = script(move |heard| {
        noted.lock().unwrap().push(heard.target.clone());
        let body = match heard.nth {
            1 => json!({"data": [1], "next": format!("/items?access_token={}&page=2", percent(CANARY))}),
            2 => {
                json!({"data": [2], "delta": format!("/delta/{CANARY}?access_token={}&t=1", percent(CANARY))})
            }
            _ => return status(400, repeated(heard)),
        };
        status(200, body.to_string())
    });
    let out = tempfile::tempdir().unwrap();
    let mut seen = Seen::default();
    let log = Log::default();
    log.during(async {
        let api = Api::new(Line::Http1, talks);
        for _ in 0..2 {
            let delta = Delta::new(NextUrl::body("next").missing_ends(), NextUrl::body("delta"));
            let source = items(&api).bearer(CANARY).paginate(delta).build().unwrap();
            let pipeline = Pipeline::new().source(source).sink(Jsonl::dir(out.path()));
            match pipeline.run().await {
                Ok(report) => seen.add("report", format_args!("{report} {report:?} {}", report.to_json())),
                Err(failure) => seen.add_error(&failure.error),
            }
            files(out.path(), &mut seen);
        }
    });
    seen.add("log", log.taken());
    assert!(
        seen.0.iter().take(2).all(|text| !text.is_empty()) && seen.0[4].contains("delta"),
        "{:?}",
        seen.0
    );
    assert_eq!(seen.hits(), [0; SURFACES.len()], "{:?}", seen.0);
    let delta = format!("/delta/{CANARY}?access_token={}&t=1", percent(CANARY));
    assert_eq!(asked.lock().unwrap()[2], delta);
}

#[test]
fn no_preset_and_no_way_to_get_a_token_can_be_printed() {
    let bearer = || Bearer::new(CANARY).unwrap();
    let url = "https://login.example.com/token";
    let login =
        Request::post(format!("{url}/{CANARY}")).unwrap().query("x", CANARY).json(json!({"x": CANARY}));
    let dir = tempfile::tempdir().unwrap();
    let shown = [
        format!("{:?}", Airtable::new(CANARY).unwrap()),
        format!("{:?}", Discord::bot(CANARY).unwrap()),
        format!("{:?}", GitHub::new(CANARY).unwrap()),
        format!("{:?}", GitLab::new(CANARY).unwrap()),
        format!("{:?}", Google::new(bearer())),
        format!("{:?}", HubSpot::new(CANARY).unwrap()),
        format!("{:?}", Intercom::new(CANARY).unwrap()),
        format!("{:?}", Jira::new("x.atlassian.net", CANARY, CANARY).unwrap()),
        format!("{:?}", MicrosoftGraph::new(bearer())),
        format!("{:?}", Notion::new(CANARY).unwrap()),
        format!("{:?}", Okta::new("x.okta.com", CANARY).unwrap()),
        format!("{:?}", Shopify::new("x", CANARY).unwrap()),
        format!("{:?}", Slack::new(CANARY).unwrap()),
        format!("{:?}", Zendesk::new("x", "me@example.com", CANARY).unwrap()),
        format!("{:?}", GitHub::new(CANARY).unwrap().list("issues", "/issues")),
        format!("{:#?}", GitHub::new(CANARY).unwrap().list("issues", "/issues").build().unwrap()),
        format!("{:#?}", OAuth2::client_credentials(url, "me", CANARY).unwrap().param("x", CANARY)),
        format!(
            "{:#?}",
            OAuth2::refresh_token(url, "me", CANARY, CANARY).unwrap().store(FileTokenStore::new(dir.path()))
        ),
        format!("{:#?}", SessionToken::login(login).unwrap().login_with(bearer())),
        format!("{:#?}", JwtGrant::new(url, "me", more_places::KEY_FILE).unwrap()),
        format!("{:?}", FollowUp::at("/x").json(json!({"x": CANARY})).query("api_key", CANARY)),
        format!("{:?}", headwater::request::Bindings::new().with("api_key", CANARY)),
        format!("{:#?}", SigV4::new("me", CANARY, "eu-central-1", "s3").session_token(CANARY)),
    ];
    for shown in shown {
        assert_eq!(hits(&shown), 0, "{shown}");
    }
    // Nor one that was refused.
    let broken = more_places::KEY_FILE.replace("MII", "MMI");
    let refused = [
        JwtGrant::new(url, "me", broken.as_str()).map(drop),
        JwtGrant::google(&json!({"private_key": broken, "client_email": "me"}).to_string()).map(drop),
        OAuth2::client_credentials(format!("http://h.example/?client_secret={CANARY}"), "me", CANARY)
            .map(drop),
        OAuth2::client_credentials(format!("https://me:{}@h.example/", percent(CANARY)), "me", CANARY)
            .map(drop),
        SessionToken::login(Request::post("http://h.example/").unwrap().query("x", CANARY)).map(drop),
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert_eq!(hits(&format!("{error} {error:?} {error:#?}")), 0, "{error}");
    }
}
