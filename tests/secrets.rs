//! Canary secrets in every place where a credential may be, and a look into everything that a person may see:
//! not one of them is there, in any spelling. Over a scripted transport, over HTTP/1.1, and over HTTP/2 with TLS.
//!
//! `cargo test --test secrets -- --nocapture` prints the table: place by place, how many hits where.

mod adversarial_input;
#[path = "secrets/places.rs"]
mod more_places;
mod parrot;
#[path = "secrets/probes.rs"]
mod probes;

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adversarial_input::redact::{SPELLINGS, within_base64};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use futures::future::BoxFuture;
use headwater::auth::{ApiKey, Auth, Basic, Bearer};
use headwater::error::ErrorKind;
use headwater::paginate::from_fn;
use headwater::prelude::*;
use headwater::sink::Jsonl;
use headwater::{Http, Mark, Response, Secret, SourceBuilder, Transport};
use parrot::{Api, Heard, Line, Said, Script};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;
use url::form_urlencoded::byte_serialize;

const CANARY: &str = "c4n4ry/s3cr3t+v4lue==";
/// The one that comes later.
const SECOND: &str = "c4n4ry/t0k3n+s3c0nd/v4lue";
/// Where a person may look.
const SURFACES: [&str; 6] = ["log", "errors", "Debug", "report", "checkpoints", "events"];

/// Everything that was logged, at every level, by every crate.
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

impl Log {
    /// Runs something with all its threads under this log.
    fn during<T>(&self, work: impl Future<Output = T>) -> T {
        static LOG_CRATE: std::sync::Once = std::sync::Once::new();
        LOG_CRATE.call_once(|| tracing_log::LogTracer::init().expect("no other logger"));
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(self.clone())
            .with_ansi(false)
            .without_time()
            .finish();
        let dispatch = tracing::Dispatch::new(subscriber);
        let everywhere = dispatch.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_start(move || std::mem::forget(tracing::dispatcher::set_default(&everywhere)))
            .build()
            .expect("a runtime");
        tracing::dispatcher::with_default(&dispatch, || runtime.block_on(work))
    }

    fn taken(&self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut *self.0.lock().unwrap())).into_owned()
    }
}

/// The spellings of a secret, each a text that must not be seen.
fn spellings(secret: &str) -> Vec<String> {
    let mut spellings: Vec<String> = SPELLINGS.iter().map(|(_, spell)| spell(secret)).collect();
    spellings.extend((0..3).map(|phase| within_base64(secret, phase)));
    spellings
}

/// What is made at run time: signatures.
static NOTED: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn note(word: &str) {
    if word.len() >= 16 {
        NOTED.lock().unwrap().push(word.to_owned());
    }
}

/// How often a secret, in whatever spelling, or a part of it is in a text.
fn hits(text: &str) -> usize {
    let mut words: Vec<String> = [CANARY, SECOND].iter().flat_map(|secret| spellings(secret)).collect();
    words.extend(["c4n4ry", "v4lue", "s3c0nd"].map(str::to_owned));
    // A client's secret is form-encoded before it is Basic (RFC 6749 §2.3.1).
    let coded = [CANARY, SECOND].map(|secret| byte_serialize(secret.as_bytes()).collect::<String>());
    words.extend(coded.iter().flat_map(|coded| (0..3).map(|phase| within_base64(coded, phase))));
    // What every assertion begins with, and every line of the key behind it.
    words.push("eyJ0eXAiOiJKV1Qi".to_owned());
    words.extend(more_places::KEY_FILE.lines().filter(|line| line.len() > 40).map(str::to_owned));
    words.extend(NOTED.lock().unwrap().iter().cloned());
    words.sort();
    words.dedup();
    words.iter().map(|word| text.matches(word.as_str()).count()).sum()
}

/// All that a run leaves for people to see, surface by surface.
#[derive(Default)]
struct Seen([String; SURFACES.len()]);

impl Seen {
    fn add(&mut self, surface: &str, text: impl std::fmt::Display) {
        let at = SURFACES.iter().position(|other| *other == surface).expect("a surface");
        let _ = writeln!(self.0[at], "{text}");
    }

    fn add_error(&mut self, error: &Error) {
        let context = error.context();
        self.add("errors", format_args!("{error}\n{error:?}\n{error:#?}\n{context:?}\n{context:#?}"));
        self.add("errors", format_args!("{} {:?} {:?}", error.message(), error.help(), error.hints()));
    }

    fn hits(&self) -> [usize; SURFACES.len()] {
        std::array::from_fn(|surface| hits(&self.0[surface]))
    }
}

/// A place for a secret: the API's script, and the source that asks it.
struct Place {
    name: &'static str,
    script: Script,
    /// Makes the source, from where the API is and how it is spoken to.
    source: Box<dyn Fn(&Api) -> SourceBuilder>,
    /// The same as a page stream by hand, where that is no different.
    auth: Option<fn() -> Box<dyn Auth>>,
}

/// A whole run, and a page stream by hand, and all that is seen of both.
fn seen(place: &Place, line: Line) -> Seen {
    let log = Log::default();
    let mut seen = Seen::default();
    log.during(async {
        let api = Api::new(line, place.script.clone());
        run((place.source)(&api), &mut seen).await;
        if let Some(auth) = place.auth {
            let api = Api::new(line, place.script.clone());
            stream(&api, auth(), &mut seen).await;
        }
    });
    seen.add("log", log.taken());
    seen
}

async fn run(source: SourceBuilder, seen: &mut Seen) {
    let out = tempfile::tempdir().unwrap();
    seen.add("Debug", format_args!("{source:?} {source:#?}"));
    let source = source.build().unwrap();
    seen.add("Debug", format_args!("{source:?} {source:#?}"));
    let events = Arc::new(Mutex::new(String::new()));
    let noted = events.clone();
    let pipeline = Pipeline::new().source(source).sink(Jsonl::dir(out.path())).observe(move |event| {
        let _ = writeln!(noted.lock().unwrap(), "{event:?} {event:#?}");
    });
    seen.add("Debug", format_args!("{pipeline:?} {pipeline:#?}"));
    let report = match pipeline.run().await {
        Ok(report) => report,
        Err(failure) => {
            seen.add("errors", format_args!("{failure} {failure:?} {failure:#?}"));
            seen.add_error(&failure.error);
            *failure.report.expect("it had begun")
        }
    };
    seen.add("report", format_args!("{report} {report:?} {report:#?} {}", report.to_json()));
    seen.add("events", events.lock().unwrap());
    files(out.path(), seen);
}

/// The names of all files, and what is in those that hold no records.
fn files(dir: &Path, seen: &mut Seen) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        seen.add("checkpoints", path.display());
        if path.is_dir() {
            files(&path, seen);
        } else if path.extension().is_none_or(|extension| extension != "jsonl") {
            seen.add("checkpoints", String::from_utf8_lossy(&std::fs::read(path).unwrap()));
        }
    }
}

async fn stream(api: &Api, auth: Box<dyn Auth>, seen: &mut Seen) {
    let first = Request::get(format!("{}/items", api.home)).unwrap();
    seen.add("Debug", format_args!("{first:?} {auth:?} {auth:#?}"));
    let pages =
        Pages::new(api.transport.clone(), first, NextUrl::body("next")).auth(Arc::<dyn Auth>::from(auth));
    seen.add("Debug", format_args!("{pages:?} {pages:#?}"));
    let mut pages = std::pin::pin!(pages.rate_limit(Limiter::unlimited()).retry(patient()));
    while let Some(page) = pages.next().await {
        match page {
            Ok(page) => {
                seen.add("Debug", format_args!("{page:?} {page:#?} {:?}", page.mark()));
                seen.add("checkpoints", serde_json::to_string(&page.mark()).unwrap());
            }
            Err(error) => seen.add_error(&error),
        }
    }
}

fn patient() -> RetryPolicy {
    RetryPolicy::exponential().base(Duration::ZERO).max_attempts(2)
}

fn items(api: &Api) -> SourceBuilder {
    at(api, "/items")
}

fn at(api: &Api, target: &str) -> SourceBuilder {
    with_parts(api, Source::get("items", format!("{}{target}", api.home)))
}

fn with_parts(api: &Api, source: SourceBuilder) -> SourceBuilder {
    source.records("data").paginate(NextUrl::body("next")).retry(patient()).transport(api.transport.clone())
}

fn percent(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn page(next: impl Into<Value>) -> Said {
    Said { status: 200, headers: Vec::new(), body: json!({"data": [1], "next": next.into()}).to_string() }
}

fn status(status: u16, body: impl Into<String>) -> Said {
    Said { status, headers: Vec::new(), body: body.into() }
}

fn script(says: impl Fn(&Heard) -> Said + Send + Sync + 'static) -> Script {
    Arc::new(says)
}

/// Everything that was heard, and the canary in every spelling.
fn repeated(heard: &Heard) -> String {
    let spelled = spellings(CANARY).join(" ");
    format!("{} {} {} {spelled}", heard.target, heard.headers, heard.body)
}

/// An API that repeats whatever it was sent: in a next link, in headers, and in the bodies of errors. Each error
/// shows another part, for an excerpt is short.
fn parrot() -> Script {
    script(|heard| match heard.nth {
        1 => {
            let sign = if heard.target.contains('?') { '&' } else { '?' };
            let mut said = page(format!("{}{sign}page=2", heard.target));
            said.headers =
                vec![("x-echo", percent(&heard.headers)), ("set-cookie", format!("t={}", percent(CANARY)))];
            said
        }
        2 => status(503, repeated(heard)),
        _ => {
            let text = repeated(heard);
            // From a blank on: half a secret is none that anyone could know.
            let half =
                text.match_indices(' ').map(|(at, _)| at).find(|at| *at > text.len() / 2).unwrap_or_default();
            status(400, text[half..].to_owned())
        }
    })
}

/// An API whose next link holds the canary in one way or another.
fn leaking(next: impl Fn() -> String + Send + Sync + 'static) -> Script {
    script(move |heard| match heard.nth {
        1 => page(next()),
        _ => status(400, repeated(heard)),
    })
}

/// A token so long that the beginning of a body, cut somewhere, ends within one, and is short once they are masked.
fn long() -> String {
    format!("{CANARY}{}", "0".repeat(1000))
}

/// Each error body is one spelling, so that each is at the beginning of an excerpt.
fn spelling_by_spelling() -> Script {
    script(|heard| {
        let spelled = spellings(CANARY);
        let index = usize::try_from(heard.nth).unwrap() - 1;
        match spelled.get(index) {
            Some(spelled) => status(503, format!("the key is {spelled}, it says")),
            None => status(400, STANDARD.encode(format!("user:{CANARY}"))),
        }
    })
}

/// A login that gets its tokens at run time, and a new one for every request: those of before are still on their way.
#[derive(Debug)]
struct Login {
    endpoint: String,
    transport: Hidden,
    client_secret: Secret,
    tokens: Mutex<Vec<Secret>>,
}

struct Hidden(Arc<dyn Transport>);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden")
    }
}

impl Login {
    fn new(api: &Api) -> Self {
        Self {
            endpoint: format!("{}/token", api.home),
            transport: Hidden(api.transport.clone()),
            client_secret: CANARY.into(),
            tokens: Mutex::default(),
        }
    }

    async fn log_in(&self) -> Result<String> {
        let body = json!({"client_secret": self.client_secret.expose(), "grant_type": "client_credentials"});
        let answer: Response = self.transport.0.send(&Request::post(&self.endpoint)?.json(body)).await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let token = serde_json::from_str::<Value>(&text)
            .ok()
            .and_then(|answer| Some(answer.get("access_token")?.as_str()?.to_owned()));
        // As careless as can be.
        token.ok_or_else(|| {
            Error::new(ErrorKind::Unauthorized, format!("the token endpoint said {text}"))
                .because(io::Error::other(text.clone()))
                .advice(format!("was it {}?", self.client_secret.expose()))
                .at(|context| context.excerpt = Some(text))
        })
    }
}

impl Auth for Login {
    fn authorize<'a>(&'a self, request: &'a mut Request) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let token = self.log_in().await?;
            self.tokens.lock().unwrap().push(Secret::new(token.clone()));
            let with_token = request.clone().header("Authorization", format!("Bearer {token}"))?;
            *request = with_token;
            Ok(())
        })
    }

    fn secrets(&self) -> Vec<Secret> {
        let tokens = self.tokens.lock().unwrap().clone();
        tokens.into_iter().chain([self.client_secret.clone()]).collect()
    }
}

/// A token endpoint and an API in one: the first token is the canary, and then the second one.
fn with_tokens(refuses: bool) -> Script {
    let given = Mutex::new(0);
    script(move |heard| {
        if heard.target == "/token" {
            let mut given = given.lock().unwrap();
            *given += 1;
            return match *given {
                1 => status(200, json!({"access_token": CANARY}).to_string()),
                _ if refuses => status(400, repeated(heard)),
                _ => status(200, json!({"access_token": SECOND}).to_string()),
            };
        }
        if heard.target == "/items" {
            return page(format!("/items/{CANARY}?t={}&page=2", percent(CANARY)));
        }
        status(400, format!("{} {}", spellings(SECOND).join(" "), repeated(heard)))
    })
}

/// A transport that quotes what it was given.
struct Gossip;

impl Transport for Gossip {
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response>> {
        let told = format!(
            "{} {:?}",
            request.url(),
            request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned())
        );
        Box::pin(async move {
            Err(Error::new(ErrorKind::Connect, format!("cannot send {told}"))
                .because(io::Error::other(told))
                .transient())
        })
    }
}

fn place(name: &'static str, script: Script, source: impl Fn(&Api) -> SourceBuilder + 'static) -> Place {
    Place { name, script, source: Box::new(source), auth: None }
}

fn with_auth(name: &'static str, auth: fn() -> Box<dyn Auth>) -> Place {
    Place {
        auth: Some(auth),
        ..place(name, parrot(), move |api| items(api).auth(Arc::<dyn Auth>::from(auth())))
    }
}

fn places() -> Vec<Place> {
    let elsewhere = || {
        script(|heard| {
            let location =
                format!("https://evil.example/?u={}&t={}", percent(&heard.target), percent(CANARY));
            Said { headers: vec![("location", location)], ..status(302, "") }
        })
    };
    let nearby = || {
        script(|heard| match heard.nth {
            1 => {
                let location = format!("/items/{}?api_key={}&page=2", percent(CANARY), percent(CANARY));
                Said { headers: vec![("location", location)], ..status(307, "") }
            }
            _ => status(400, repeated(heard)),
        })
    };
    let linked = || {
        script(|heard| match heard.nth {
            1 => {
                let link = format!("</items?access_token={}&page=2>; rel=next", percent(CANARY));
                Said { headers: vec![("link", link)], ..page(Value::Null) }
            }
            _ => status(400, repeated(heard)),
        })
    };
    vec![
        with_auth("bearer token", || Box::new(Bearer::new(CANARY).unwrap())),
        with_auth("basic: the user name alone", || Box::new(Basic::new(CANARY, "").unwrap())),
        with_auth("basic: the password", || Box::new(Basic::new("user", CANARY).unwrap())),
        with_auth("key in a header", || Box::new(ApiKey::header("X-Api-Key", CANARY).unwrap())),
        with_auth("key in the query", || Box::new(ApiKey::query("api_key", CANARY))),
        with_auth("key in the query, by a plain name", || Box::new(ApiKey::query("q", CANARY))),
        place("key in the query, by hand", parrot(), |api| items(api).query("api_key", CANARY)),
        place("key in a header, by hand", parrot(), |api| items(api).header("X-Auth-Token", CANARY)),
        place("key in the URL", parrot(), |api| at(api, &format!("/items?token={}", percent(CANARY)))),
        place("request body", script(|_| status(400, "bad")), |api| {
            let request =
                Request::post(format!("{}/items", api.home)).unwrap().json(json!({"password": CANARY}));
            with_parts(api, Source::request("items", request))
        }),
        place("next link: a parameter", leaking(|| format!("/items?x={}&page=2", percent(CANARY))), |api| {
            items(api).bearer(CANARY)
        }),
        place("next link: in the path", leaking(|| format!("/items/{}/2", percent(CANARY))), |api| {
            items(api).bearer(CANARY)
        }),
        place(
            "next link: base64 of a pair",
            leaking(|| format!("/items?a={}", percent(&STANDARD.encode(format!("u:{CANARY}"))))),
            |api| items(api).bearer(CANARY),
        ),
        place(
            "next link: to another origin",
            leaking(|| format!("https://evil.example/steal?t={CANARY}")),
            |api| items(api).bearer(CANARY),
        ),
        place(
            "next link: the host",
            leaking(|| "https://c4n4ry-of-a-host.evil.example/".to_owned()),
            |api| items(api).bearer("c4n4ry-of-a-host"),
        ),
        place(
            "next link: the user name",
            leaking(|| format!("https://{}:x@evil.example/", percent(CANARY))),
            |api| items(api).bearer(CANARY),
        ),
        place("next link: no URL", leaking(|| format!("https://[{CANARY}]/")), |api| {
            items(api).bearer(CANARY)
        }),
        place("Link header", linked(), |api| items(api).bearer(CANARY).paginate(LinkHeader::new())),
        place("redirect to another origin", elsewhere(), |api| items(api).api_key_query("api_key", CANARY)),
        place("redirect at home", nearby(), |api| items(api).api_key_query("api_key", CANARY)),
        place("error body, every spelling", spelling_by_spelling(), |api| {
            items(api).bearer(CANARY).retry(patient().max_attempts(100).budget(1.0, 100))
        }),
        place("error body, longer than what is read", script(|_| status(400, long().repeat(40))), |api| {
            items(api).bearer(long())
        }),
        place("page that is no JSON", script(|heard| status(200, repeated(heard))), |api| {
            items(api).bearer(CANARY)
        }),
        place("OAuth: tokens that come and go", with_tokens(false), |api| items(api).auth(Login::new(api))),
        place("OAuth: the endpoint's own error", with_tokens(true), |api| items(api).auth(Login::new(api))),
        place("a paginator that quotes", script(|_| page(CANARY)), |api| {
            let quoting = from_fn(
                "quoting",
                |template, _| Ok(template),
                |answer| {
                    Err(Error::new(ErrorKind::Cursor, format!("not {:?}", answer.body()))
                        .advice(answer.body().to_owned()))
                },
            );
            items(api).bearer(CANARY).paginate(quoting)
        }),
        place("a transport that quotes", script(|_| page(CANARY)), |api| {
            items(api).bearer(CANARY).transport(Gossip)
        }),
    ]
}

#[test]
fn no_canary_is_seen_in_any_place_by_any_line() {
    let mut leaks = Vec::new();
    println!("{:<40}{:<10}{}", "place", "line", SURFACES.map(|surface| format!("{surface:>13}")).concat());
    for place in places().into_iter().chain(more_places::places()) {
        for line in [Line::Scripted, Line::Http1, Line::Http2] {
            let seen = seen(&place, line);
            let hits = seen.hits();
            println!(
                "{:<40}{:<10}{}",
                place.name,
                format!("{line:?}"),
                hits.map(|hits| format!("{hits:>13}")).concat()
            );
            for (surface, text) in SURFACES.iter().zip(&seen.0) {
                if crate::hits(text) > 0 {
                    leaks.push(format!("{} by {line:?}, {surface}:\n{text}", place.name));
                }
            }
            // What was not there cannot be clean.
            assert!(seen.0[0].contains("a source failed"), "{}: the log was not on", place.name);
            assert!(
                seen.0[1..].iter().all(|text| !text.trim().is_empty()),
                "{}: a surface is empty",
                place.name
            );
            if line != Line::Scripted && place.name != "a transport that quotes" {
                assert!(
                    seen.0[0].contains("reqwest") && seen.0[0].contains("hyper"),
                    "{}: no log of the client",
                    place.name
                );
            }
            if line == Line::Http2 && place.name != "a transport that quotes" {
                assert!(
                    seen.0[0].contains("h2::") && seen.0[0].contains("rustls"),
                    "{}: no log of HTTP/2",
                    place.name
                );
            }
        }
    }
    assert!(leaks.is_empty(), "{} leaks\n{}", leaks.len(), leaks.join("\n\n"));
    assert!(places().len() >= 12);
}

/// The same look at a secret that nobody was told of finds it everywhere.
#[test]
fn a_canary_that_nobody_was_told_of_is_seen_everywhere() {
    let talks = script(|heard| match heard.nth {
        1 => page(format!("/items?q={CANARY}&page=2")),
        2 => status(503, repeated(heard)),
        _ => status(400, repeated(heard)),
    });
    let control = place("control", talks, |api| items(api).query("q", CANARY));
    for line in [Line::Scripted, Line::Http1, Line::Http2] {
        let hits = seen(&control, line).hits();
        println!(
            "{:<40}{:<10}{}",
            "control",
            format!("{line:?}"),
            hits.map(|hits| format!("{hits:>13}")).concat()
        );
        assert!(hits.iter().all(|hits| *hits > 0), "{line:?}: {hits:?} of {SURFACES:?}");
    }
    // And in every spelling.
    for secret in [CANARY, SECOND] {
        for spelling in spellings(secret) {
            assert!(hits(&format!("<{spelling}>")) > 0, "{spelling}");
        }
    }
}

#[test]
fn a_place_in_a_stored_link_is_filled_at_home_again() {
    let api = Api::new(
        Line::Scripted,
        leaking(|| format!("/items/{CANARY}/2?a={}", percent(&STANDARD.encode(format!("u:{CANARY}"))))),
    );
    let first = Request::get(format!("{}/items", api.home)).unwrap();
    let pages = Pages::new(api.transport.clone(), first.clone(), NextUrl::body("next"))
        .auth(Bearer::new(CANARY).unwrap());
    let given = futures::executor::block_on(pages.take(1).collect::<Vec<_>>()).remove(0).unwrap();
    let stored = serde_json::to_string(&given.mark()).unwrap();
    assert_eq!(hits(&stored), 0, "{stored}");
    // The next run asks for what the server meant.
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = asked.clone();
    let api = Api::new(
        Line::Scripted,
        script(move |heard| {
            noted.lock().unwrap().push(heard.target.clone());
            page(Value::Null)
        }),
    );
    let mark: Mark = serde_json::from_str(&stored).unwrap();
    let pages = Pages::new(api.transport.clone(), first, NextUrl::body("next"))
        .auth(Bearer::new(CANARY).unwrap())
        .resume(mark);
    futures::executor::block_on(pages.collect::<Vec<_>>());
    let meant = format!("/items/{CANARY}/2?a={}", percent(&STANDARD.encode(format!("u:{CANARY}"))));
    assert_eq!(*asked.lock().unwrap(), [meant]);
}

/// Too short to be taken out of links, for it may be a word of its own; it is wiped all the same.
#[test]
fn a_short_secret_in_a_host_is_not_shown() {
    let talks = script(|_| Said {
        headers: vec![("location", "https://c4n4ry.evil.example/".into())],
        ..status(302, "")
    });
    let api = Api::new(Line::Scripted, talks);
    let first = Request::get(format!("{}/items", api.home)).unwrap();
    let pages =
        Pages::new(api.transport.clone(), first, NextUrl::body("next")).auth(Bearer::new("c4n4ry").unwrap());
    let error = futures::executor::block_on(pages.collect::<Vec<_>>()).remove(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Origin);
    assert_eq!(
        hits(&format!("{error} {error:?} {:?} {:#?}", error.context(), error.context())),
        0,
        "{error}"
    );
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
        assert_eq!(hits(&format!("{auth:?} {auth:#?}")), 0, "{auth:?}");
    }
    // Nor one that was refused.
    let broken = format!("{CANARY}\r\nX: 1");
    let refused = [
        Bearer::new(broken.as_str()).map(drop),
        Basic::new("user", broken.as_str()).map(drop),
        Basic::new(format!("a:{CANARY}"), "").map(drop),
        ApiKey::header("X-Key", broken.as_str()).map(drop),
        Request::get(format!("https://user:{}@api.example.com/", percent(CANARY))).map(drop),
        Request::get(format!("https://[{CANARY}")).map(drop),
        Request::get("https://api.example.com/").unwrap().header("X-Key", &broken).map(drop),
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert_eq!(hits(&format!("{error} {error:?} {error:#?}")), 0, "{error}");
    }
    let proxy = format!("http://user:{}@127.0.0.1:9", percent(CANARY));
    let builder = Http::builder().proxy(proxy);
    assert_eq!(hits(&format!("{builder:?} {builder:#?}")), 0, "{builder:?}");
    let http = builder.build().unwrap();
    assert_eq!(hits(&format!("{http:?} {http:#?}")), 0, "{http:?}");
}
