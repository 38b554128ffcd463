//! Endpoints that answer what no endpoint should.

use super::*;

use futures::StreamExt;
use headwater::exchange::{Verdict, When};
use headwater::pages::PagesExt;
use headwater::{Limiter, Pages};

/// Five pages, one second each, for whoever brings any token.
fn open_api() -> Scripted {
    Scripted::from_fn(|request, number| {
        assert!(request.headers().contains_key("authorization"));
        let next = (number % 5 != 0).then_some(number);
        Reply::json(json!({"data": [number], "next": next}).to_string()).delay(Duration::from_secs(1))
    })
}

fn answering(body: impl Into<String>) -> Scripted {
    let body = body.into();
    Scripted::from_fn(move |_, _| Reply::json(body.clone()))
}

#[tokio::test(start_paused = true)]
async fn whatever_the_lifetime_says_a_token_is_fetched_no_more_often_than_that() {
    // How often the token is fetched for five pages, a second each.
    for (lifetime, fetches) in [
        ("null", 1),
        ("0", 1),
        ("-1", 1),
        ("\"3600\"", 1),
        ("\"soon\"", 1),
        ("\"NaN\"", 1),
        ("[3600]", 1),
        ("3600.5", 1),
        ("1e300", 1),
        ("1e18", 1),
        ("4", 3),
    ] {
        let endpoint = answering(format!(r#"{{"access_token":"t0k3n","expires_in":{lifetime}}}"#));
        let (records, error) = pulled(items(&open_api(), by_client(&endpoint))).await;
        assert!(error.is_none(), "{lifetime}: {error:?}");
        assert_eq!((records, endpoint.requests().len()), (5, fetches), "{lifetime}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_used_is_an_error_that_shows_none_of_it() {
    let endless = format!("{SECRET}{}", "x".repeat(10 * 1024 * 1024));
    let long = format!("{SECRET}{}", "x".repeat(100 * 1024));
    for (access, kind) in [
        ("", ErrorKind::Unauthorized),
        ("s3cret\r\nEvil: 1", ErrorKind::Unauthorized),
        ("s3cret\u{0}", ErrorKind::Unauthorized),
        ("s3cret-\u{fc}\u{1f511}", ErrorKind::Unauthorized),
        (long.as_str(), ErrorKind::Unauthorized),
        (endless.as_str(), ErrorKind::TooLarge),
    ] {
        let endpoint = answering(json!({"access_token": access}).to_string());
        let session = SessionToken::login(Request::post(TOKEN_URL).unwrap()).unwrap();
        let session = session.token_at("access_token").transport(endpoint.clone());
        let api = open_api();
        let pulls = [pulled(items(&api, by_client(&endpoint))).await, pulled(items(&api, session)).await];
        for (records, error) in pulls {
            let error = error.unwrap();
            assert_eq!((records, error.kind()), (0, kind), "{error}");
            assert!(!error.to_string().contains("s3cret") && error.to_string().len() < 1000, "{error}");
        }
        assert!(api.requests().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_needs_a_proof_is_not_sent_as_a_bearer_token() {
    for kind in [json!("mac"), json!("DPoP"), json!("N_A")] {
        let endpoint = answering(json!({"access_token": "t0k3n", "token_type": kind}).to_string());
        let api = open_api();
        let error = pulled(items(&api, by_client(&endpoint))).await.1.unwrap();
        assert_eq!((error.kind(), api.requests().len()), (ErrorKind::Unauthorized, 0));
        assert!(error.help().is_some_and(|help| help.contains("bearer")), "{error}");
    }
    for kind in [json!("bearer"), json!("Bearer"), json!("BEARER"), json!("bot"), json!(null)] {
        let endpoint = answering(json!({"access_token": "t0k3n", "token_type": kind}).to_string());
        let (records, error) = pulled(items(&open_api(), by_client(&endpoint))).await;
        assert!(error.is_none() && records == 5, "{kind}: {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_refuses_with_status_200_is_believed_and_echoes_nothing() {
    let refresh = "refresh-token-number-0";
    for status in [200, 400] {
        let said = json!({"error": "invalid_grant", "error_description": format!("{refresh} of {SECRET}\nis\u{1b}[2J gone")});
        let endpoint = Scripted::from_fn(move |_, _| Reply::status(status).body(said.to_string()));
        let error = pulled(items(&open_api(), by_refresh(&endpoint, refresh))).await.1.unwrap();
        assert_eq!((error.kind(), endpoint.requests().len()), (ErrorKind::Unauthorized, 1), "{error}");
        let text = error.to_string();
        assert!(text.contains("invalid_grant"), "{text}");
        assert!(!text.contains(refresh) && !text.contains("s3cret"), "{text}");
        assert!(!text.contains('\n') && !text.contains('\u{1b}'), "{text:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_endpoint_says_about_waiting_is_kept() {
    for status in [429, 503] {
        let endpoint = Scripted::new([
            Reply::status(status).header("retry-after", "120"),
            Reply::json(r#"{"access_token":"t0k3n"}"#),
        ]);
        let (records, error) = pulled(items(&open_api(), by_client(&endpoint))).await;
        assert!(error.is_none() && records == 5, "{status}: {error:?}");
        let times = endpoint.times();
        assert!(times[1] - times[0] >= Duration::from_secs(120), "{status}: {times:?}");
    }
    let login =
        Scripted::new([Reply::status(503).header("retry-after", "120"), Reply::json(r#"{"token":"t0k3n"}"#)]);
    let session = SessionToken::login(Request::post(TOKEN_URL).unwrap()).unwrap().transport(login.clone());
    assert_eq!(pulled(items(&open_api(), session)).await.0, 5);
    assert!(login.times()[1] >= Duration::from_secs(120), "{:?}", login.times());
}

#[tokio::test(start_paused = true)]
async fn a_redirect_of_the_endpoint_takes_no_secret_along() {
    for status in [301, 302, 303, 307, 308] {
        let endpoint =
            Scripted::from_fn(move |_, _| Reply::status(status).header("location", "https://evil.example/"));
        let error = pulled(items(&open_api(), by_client(&endpoint))).await.1.unwrap();
        assert_eq!((error.kind(), endpoint.urls()), (ErrorKind::Unauthorized, vec![TOKEN_URL.to_owned()]));
        let session = SessionToken::login(Request::post(TOKEN_URL).unwrap()).unwrap();
        assert!(pulled(items(&open_api(), session.transport(endpoint.clone()))).await.1.is_some());
        assert_eq!(endpoint.urls(), [TOKEN_URL, TOKEN_URL]);
    }
}

#[tokio::test(start_paused = true)]
async fn fifty_sources_that_are_refused_at_once_renew_once() {
    let service = Service::new();
    let (api, endpoint) = (service.api(), service.endpoint(3600));
    let auth = by_client(&endpoint);
    let revoke = async {
        tokio::time::sleep(Duration::from_secs(90)).await;
        service.revoke();
    };
    let pulls = join_all((0..50).map(|_| pulled(items(&api, auth.clone()))));
    let (pulls, ()) = futures::join!(pulls, revoke);
    assert!(pulls.iter().all(|(records, error)| *records == 5 && error.is_none()), "{pulls:?}");
    assert_eq!((endpoint.requests().len(), api.requests().len()), (2, 50 * 6));
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_always_says_renew_does_not_go_round() {
    let service = Service::new();
    let (api, endpoint) = (open_api(), service.endpoint(3600));
    let source = items(&api, by_client(&endpoint)).rule(When::any().means(Verdict::Renew));
    let error = pulled(source).await.1.unwrap();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert_eq!((api.requests().len(), endpoint.requests().len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_in_the_middle_of_a_run_that_is_limited() {
    let service = Service::new();
    let endpoint = service.endpoint(3600);
    let revoked = service.clone();
    let api = Scripted::from_fn(move |request, number| {
        if number == 3 {
            revoked.revoke();
        }
        let sent = request.headers()["authorization"].to_str().unwrap().to_owned();
        if sent != format!("Bearer {}", revoked.newest()) {
            return Reply::status(401);
        }
        let page = request.url().query_pairs().find(|(name, _)| name == "cursor");
        let page: u64 = page.map_or(0, |(_, value)| value.parse().unwrap());
        Reply::json(json!({"data": [page], "next": (page < 4).then(|| (page + 1).to_string())}).to_string())
    });
    let source = items(&api, by_client(&endpoint)).rate_limit(Limiter::per_second(1.0).burst(1));
    let (records, error) = pulled(source).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!((records, api.requests().len(), endpoint.requests().len()), (5, 6, 2));
}

/// A transport may panic, and a runtime may end; whoever asks next is not served that forever.
#[test]
fn a_fetch_that_was_lost_is_begun_anew() {
    let endpoint =
        Scripted::from_fn(|_, _| Reply::json(r#"{"access_token":"t0k3n"}"#).delay(Duration::from_secs(3600)));
    let fast = Scripted::from_fn(|_, number| {
        assert!(number > 1, "a transport that panics");
        Reply::json(r#"{"access_token":"t0k3n"}"#)
    });
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let mut request = Request::get("https://api.example.com/items").unwrap();
    let auth = by_client(&fast);
    runtime().block_on(async {
        assert!(auth.authorize(&mut request).await.unwrap_err().is_transient());
        auth.authorize(&mut request).await.unwrap();
    });
    let auth = by_client(&endpoint);
    let first = runtime();
    first.block_on(async {
        let left = tokio::time::timeout(Duration::from_secs(1), auth.authorize(&mut request)).await;
        assert!(left.is_err());
    });
    drop(first);
    runtime().block_on(async {
        assert!(auth.authorize(&mut request).await.unwrap_err().is_transient());
        auth.authorize(&mut request).await.unwrap();
    });
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_hangs_is_the_transport_s_to_time_out_and_asked_again() {
    let endpoint = Scripted::new([
        Reply::error(ErrorKind::Timeout).transient().delay(Duration::from_secs(120)),
        Reply::json(r#"{"access_token":"t0k3n"}"#),
    ]);
    let first = Request::get("https://api.example.com/items").unwrap();
    let pages = Pages::new(open_api(), first, Cursor::body("next")).auth(by_client(&endpoint));
    let pages: Vec<_> = pages.retry(RetryPolicy::exponential().max_attempts(2)).collect().await;
    assert!(pages.iter().all(Result::is_ok) && pages.len() == 5, "{pages:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_must_not_be_sent_twice_may_wait_for_its_token() {
    let endpoint = Scripted::new([
        Reply::status(503),
        Reply::error(ErrorKind::Timeout).transient(),
        Reply::json(r#"{"access_token":"t0k3n"}"#),
    ]);
    let api = Scripted::from_fn(|_, _| Reply::json(r#"{"data":[1]}"#));
    let post = Request::post("https://api.example.com/items").unwrap().json(json!({}));
    let source = Source::request("items", post).transport(api.clone()).auth(by_client(&endpoint));
    let source = source.records("data").paginate(headwater::paginate::Single);
    let source = source.retry(RetryPolicy::exponential().base(Duration::ZERO).max_attempts(3));
    let (records, error) = pulled(source).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!((records, api.requests().len(), endpoint.requests().len()), (1, 1, 3));
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut_off() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let _ = socket.read(&mut [0; 4096]).await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"access_token\":\"";
        let mut sent = head.len();
        socket.write_all(head).await.unwrap();
        while socket.write_all(&[b'x'; 64 * 1024]).await.is_ok() {
            sent += 64 * 1024;
        }
        sent
    });
    // The client that is made where none is given.
    let auth = OAuth2::client_credentials(format!("http://{address}/token"), "id", SECRET).unwrap();
    let error = pulled(items(&open_api(), auth)).await.1.unwrap();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert!(!error.to_string().contains("xxxx"), "{error}");
    let sent = server.await.unwrap();
    assert!(sent < 32 * 1024 * 1024, "{sent} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_of_any_length_is_not_kept() {
    let long = "r".repeat(100 * 1024);
    let endpoint = answering(json!({"access_token": "t0k3n", "refresh_token": long}).to_string());
    let error = pulled(items(&open_api(), by_refresh(&endpoint, "refresh-token-number-0"))).await.1.unwrap();
    assert_eq!((error.kind(), endpoint.requests().len()), (ErrorKind::Unauthorized, 1), "{error}");
    assert!(error.to_string().len() < 1000);
}
