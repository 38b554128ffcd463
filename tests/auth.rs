//! Tokens that have an end: fetched once, renewed early, renewed when they are refused, and never shown.

#[path = "auth/hostile.rs"]
mod hostile;
#[path = "support/pulled.rs"]
mod pulled;
#[path = "auth/stores.rs"]
mod stores;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use headwater::auth::{Auth, Basic, FileTokenStore, JwtGrant, OAuth2, SessionToken};
use headwater::paginate::Cursor;
use headwater::testing::{Reply, Scripted};
use headwater::{ErrorKind, Request, RetryPolicy, Source, SourceBuilder};
use serde_json::{Value, json};

use pulled::pulled;

const TOKEN_URL: &str = "https://login.example.com/token";
// The key pair in tests/auth/ was made for this test, and opens nothing.
const SECRET: &str = "client-s3cret-of-24-chars";

/// An API of 5 pages that lets in whoever brings the newest token, and the endpoint that hands tokens out.
#[derive(Clone)]
struct Service {
    handed_out: Arc<AtomicU64>,
    /// The refresh token that is valid.
    refresh: Arc<Mutex<String>>,
}

impl Service {
    fn new() -> Self {
        Self { handed_out: Arc::default(), refresh: Arc::new(Mutex::new("refresh-token-number-0".into())) }
    }

    fn newest(&self) -> String {
        format!("access-token-number-{}", self.handed_out.load(Ordering::Relaxed))
    }

    /// Makes the token that is out invalid.
    fn revoke(&self) {
        self.handed_out.fetch_add(1, Ordering::Relaxed);
    }

    fn endpoint(&self, lifetime: u64) -> Scripted {
        let service = self.clone();
        Scripted::from_fn(move |request, _| {
            let field = |name: &str| {
                let mut fields = request.form_fields().iter();
                fields.find(|(other, _)| other == name).map(|(_, value)| value.clone()).unwrap_or_default()
            };
            let mut refresh = service.refresh.lock().unwrap();
            match field("grant_type").as_str() {
                "client_credentials" => {}
                "refresh_token" if field("refresh_token") == *refresh => {
                    let number: u64 = refresh.rsplit('-').next().unwrap().parse().unwrap();
                    *refresh = format!("refresh-token-number-{}", number + 1);
                }
                _ => {
                    let said = json!({"error": "invalid_grant", "error_description": format!("{} is revoked", field("refresh_token"))});
                    return Reply::status(400).body(said.to_string());
                }
            }
            service.handed_out.fetch_add(1, Ordering::Relaxed);
            let mut answer =
                json!({"access_token": service.newest(), "token_type": "Bearer", "expires_in": lifetime});
            if field("grant_type") == "refresh_token" {
                answer["refresh_token"] = refresh.as_str().into();
            }
            Reply::json(answer.to_string()).delay(Duration::from_millis(100))
        })
    }

    fn api(&self) -> Scripted {
        let service = self.clone();
        Scripted::from_fn(move |request, _| {
            let sent = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
            if sent != Some(format!("Bearer {}", service.newest())) {
                return Reply::status(401)
                    .body(format!("{{\"error\":\"{} is not valid\"}}", sent.unwrap_or_default()))
                    .delay(Duration::from_secs(1));
            }
            let page = request.url().query_pairs().find(|(name, _)| name == "cursor");
            let page: u64 = page.map_or(0, |(_, value)| value.parse().unwrap());
            let next = (page < 4).then(|| (page + 1).to_string());
            Reply::json(json!({"data": [page], "next": next}).to_string()).delay(Duration::from_secs(60))
        })
    }
}

fn items(api: &Scripted, auth: impl Auth + 'static) -> SourceBuilder {
    Source::get("items", "https://api.example.com/items")
        .transport(api.clone())
        .auth(auth)
        .records("data")
        .paginate(Cursor::body("next"))
        .retry(RetryPolicy::exponential().base(Duration::ZERO).max_attempts(3))
}

fn by_client(endpoint: &Scripted) -> OAuth2 {
    OAuth2::client_credentials(TOKEN_URL, "my client", SECRET)
        .unwrap()
        .scope("read")
        .transport(endpoint.clone())
}

#[tokio::test(start_paused = true)]
async fn ten_sources_fetch_one_token_between_them() {
    let service = Service::new();
    let (api, endpoint) = (service.api(), service.endpoint(3600));
    let auth = by_client(&endpoint);
    let pulls = join_all((0..10).map(|_| pulled(items(&api, auth.clone())))).await;
    for (records, error) in pulls {
        assert!(error.is_none(), "{error:?}");
        assert_eq!(records, 5);
    }
    let asked = endpoint.requests();
    assert_eq!(asked.len(), 1);
    // RFC 6749 §2.3.1: "my client" is form-encoded before it is Basic.
    assert_eq!(
        asked[0].header("authorization"),
        Some("Basic bXkrY2xpZW50OmNsaWVudC1zM2NyZXQtb2YtMjQtY2hhcnM=")
    );
    assert_eq!(api.requests().len(), 50, "and none was refused");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_before_its_end() {
    let service = Service::new();
    // Each page takes a minute; a token of three minutes is renewed a minute before its end.
    let (api, endpoint) = (service.api(), service.endpoint(180));
    assert_eq!(pulled(items(&api, by_client(&endpoint))).await.0, 5);
    assert_eq!((api.requests().len(), endpoint.requests().len()), (5, 3));
}

#[tokio::test(start_paused = true)]
async fn an_api_that_refuses_every_token_ends_the_source_and_shows_none() {
    let service = Service::new();
    let (endpoint, closed) = (
        service.endpoint(3600),
        Scripted::from_fn(|request, _| {
            let sent = request.headers()["authorization"].to_str().unwrap().to_owned();
            Reply::status(401).body(format!("{{\"error\":\"bad token {sent}\"}}"))
        }),
    );
    let error = pulled(items(&closed, by_client(&endpoint))).await.1.unwrap();
    assert_eq!((error.kind(), closed.requests().len()), (ErrorKind::Unauthorized, 2));
    assert!(!error.to_string().contains("access-token-number"), "{error}");
}

fn by_refresh(endpoint: &Scripted, given: &str) -> OAuth2 {
    OAuth2::refresh_token(TOKEN_URL, "id", SECRET, given).unwrap().transport(endpoint.clone())
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_is_replaced_is_kept_for_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state/example.token");
    let service = Service::new();
    let (api, endpoint) = (service.api(), service.endpoint(100));
    let auth = || by_refresh(&endpoint, "refresh-token-number-0").store(FileTokenStore::new(&file));
    for _ in 0..3 {
        let (records, error) = pulled(items(&api, auth())).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(records, 5);
    }
    assert!(service.refresh.lock().unwrap().ends_with("-15"), "a token of 100 s serves one page");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0, "for its owner only");
    }
    // A person grants a new one: what was kept for the old one no longer counts.
    *service.refresh.lock().unwrap() = "refresh-token-number-100".into();
    assert_eq!(pulled(items(&api, auth())).await.1.unwrap().kind(), ErrorKind::Unauthorized);
    let granted = by_refresh(&endpoint, "refresh-token-number-100").store(FileTokenStore::new(&file));
    assert_eq!(pulled(items(&api, granted)).await.0, 5);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_may_leave_and_the_replaced_refresh_token_is_still_kept() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::new();
    let endpoint = service.endpoint(3600);
    let store = FileTokenStore::new(dir.path().join("token"));
    let auth = by_refresh(&endpoint, "refresh-token-number-0").store(store.clone());
    let mut request = Request::get("https://api.example.com/items").unwrap();
    let left = tokio::time::timeout(Duration::from_millis(50), auth.authorize(&mut request)).await;
    assert!(left.is_err(), "the endpoint takes longer");
    let kept = async {
        use headwater::auth::TokenStore;
        loop {
            if let Some(token) = store.load(&"refresh-token-number-0".into()).await.unwrap() {
                return token;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert_eq!(kept.await.expose(), "refresh-token-number-1");
}

#[tokio::test(start_paused = true)]
async fn what_the_endpoint_refuses_is_said_without_a_secret() {
    let service = Service::new();
    let (api, endpoint) = (service.api(), service.endpoint(3600));
    let error = pulled(items(&api, by_refresh(&endpoint, "refresh-token-of-yesterday"))).await.1.unwrap();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    let text = error.to_string();
    assert!(
        text.contains("no token from login.example.com: status 400 Bad Request (invalid_grant"),
        "{text}"
    );
    assert!(!text.contains("yesterday") && !text.contains("s3cret"), "{text}");
    assert_eq!((endpoint.requests().len(), api.requests().len()), (1, 0), "it is not asked again");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_down_is_asked_again() {
    let service = Service::new();
    let good = service.endpoint(3600);
    let endpoint = Scripted::new([
        Reply::status(503).header("retry-after", "30"),
        Reply::error(ErrorKind::Connect).transient(),
        Reply::json(r#"{"access_token":"access-token-number-1","expires_in":"3600"}"#),
    ]);
    service.handed_out.store(1, Ordering::Relaxed);
    let (records, error) = pulled(items(&service.api(), by_client(&endpoint))).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!((records, endpoint.requests().len(), good.requests().len()), (5, 3, 0));
    for nonsense in ["", "[]", r#"{"access_token":""}"#, r#"{"token":"oh-my-secret-token-value"}"#] {
        let endpoint = Scripted::from_fn(move |_, _| Reply::json(nonsense));
        let error = pulled(items(&service.api(), by_client(&endpoint))).await.1.unwrap();
        assert!(!error.to_string().contains("oh-my-secret"), "{error}");
    }
}

#[test]
fn tokens_are_only_asked_for_over_https() {
    let key = include_str!("auth/service_account.pem");
    type Way = fn(&str, &str) -> headwater::Result<()>;
    let ways: [(&str, Way); 4] = [
        ("client", |url, _| OAuth2::client_credentials(url, "id", SECRET).map(drop)),
        ("refresh", |url, _| OAuth2::refresh_token(url, "id", SECRET, SECRET).map(drop)),
        ("assertion", |url, key| JwtGrant::new(url, "me", key).map(drop)),
        ("login", |url, _| {
            let login = Request::post(url).unwrap().json(json!({"password": SECRET}));
            SessionToken::login(login).map(drop)
        }),
    ];
    for (name, way) in ways {
        for url in [
            "http://login.example.com/token",
            "http://10.0.0.1/",
            "http://127.0.0.1.example.com/",
            "http://[::2]/",
        ] {
            let error = way(url, key).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{name} {url}");
            assert!(error.help().is_some_and(|help| help.contains("https")), "{error}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
        for url in [
            "https://login.example.com/token",
            "http://127.0.0.1:8080/",
            "http://[::1]/",
            "http://localhost/",
        ] {
            way(url, key).unwrap_or_else(|error| panic!("{name} {url}: {error}"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_is_opened_once_and_again_when_it_is_refused() {
    let sessions = Arc::new(AtomicU64::new(0));
    let counter = sessions.clone();
    let login = Scripted::from_fn(move |request, _| {
        assert_eq!(request.headers()["authorization"], "Basic bWU6cGFzc3dvcmQ=");
        Reply::json(format!(
            r#"{{"data":{{"session":"s-{}"}}}}"#,
            counter.fetch_add(1, Ordering::Relaxed) + 1
        ))
    });
    let api = Scripted::from_fn(move |request, number| {
        let session = request.headers()["x-session"].to_str().unwrap().to_owned();
        if number == 3 {
            return Reply::status(401);
        }
        Reply::json(
            json!({"data": [format!("{session} {number}")], "next": (number < 5).then_some(number)})
                .to_string(),
        )
    });
    let auth = SessionToken::login(Request::post("https://api.example.com/login").unwrap())
        .unwrap()
        .login_with(Basic::new("me", "password").unwrap())
        .token_at("data.session")
        .transport(login.clone())
        .header("X-Session")
        .unwrap();
    let (records, error) = pulled(items(&api, auth)).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!((records, login.requests().len()), (4, 2));
    let sent: Vec<_> =
        api.requests().iter().map(|seen| seen.header("x-session").unwrap().to_owned()).collect();
    assert_eq!(sent, ["s-1", "s-1", "s-1", "s-2", "s-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_service_account_signs_an_assertion() {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
    let endpoint = Scripted::from_fn(|request, _| {
        let fields: std::collections::BTreeMap<_, _> = request.form_fields().iter().cloned().collect();
        assert_eq!(fields["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
        let key = DecodingKey::from_rsa_pem(include_bytes!("auth/service_account.pub")).unwrap();
        let mut rules = Validation::new(Algorithm::RS256);
        rules.set_audience(&[TOKEN_URL]);
        let claims = decode::<Value>(&fields["assertion"], &key, &rules).unwrap();
        assert_eq!(claims.header.kid.as_deref(), Some("key-1"));
        assert_eq!(claims.claims["iss"], "robot@example.iam.gserviceaccount.com");
        assert_eq!(claims.claims["scope"], "drive.readonly");
        assert_eq!(claims.claims["exp"].as_u64().unwrap() - claims.claims["iat"].as_u64().unwrap(), 3600);
        Reply::json(r#"{"access_token":"access-token-number-0","expires_in":3599}"#)
    });
    let key_file = json!({
        "type": "service_account",
        "client_email": "robot@example.iam.gserviceaccount.com",
        "private_key": include_str!("auth/service_account.pem"),
        "private_key_id": "key-1",
        "token_uri": TOKEN_URL,
    });
    let auth =
        JwtGrant::google(&key_file.to_string()).unwrap().scope("drive.readonly").transport(endpoint.clone());
    assert!(!format!("{auth:?}").contains("PRIVATE"));
    let (records, error) = pulled(items(&Service::new().api(), auth)).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!((records, endpoint.requests().len()), (5, 1));
    let bad = JwtGrant::new(TOKEN_URL, "me", "-----BEGIN SECRET-----").unwrap_err();
    assert!(!bad.to_string().contains("BEGIN SECRET"), "{bad}");
}
