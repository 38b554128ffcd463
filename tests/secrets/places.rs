//! More places: what is got at run time, what a request is made of behind the first, and other formats.

use super::*;

use headwater::auth::{FileTokenStore, JwtGrant, OAuth2, SessionToken, SigV4};
use headwater::exchange::{Rule, Verdict, When};
use headwater::page::Format;
use headwater::pages::Fanout;
use headwater::paginate::{Cursor, FollowUp};

pub(crate) const KEY_FILE: &str = include_str!("../auth/service_account.pem");

/// A login, and an API behind it that counts its own requests from 1.
fn behind_login(login: impl Fn(&Heard) -> Said + Send + Sync + 'static, api: Script) -> Script {
    let asked = Mutex::new(0);
    script(move |heard| {
        let mut asked = asked.lock().unwrap();
        // The first one of a line.
        *asked = if heard.nth == 1 { 0 } else { *asked };
        if heard.target.starts_with("/token") {
            return login(heard);
        }
        *asked += 1;
        api(&Heard { nth: *asked, ..heard.clone() })
    })
}

fn token(value: &'static str) -> impl Fn(&Heard) -> Said {
    move |_| {
        let mut said =
            status(200, json!({"access_token": value, "token": value, "expires_in": 3600}).to_string());
        said.headers.push(("x-token", value.to_owned()));
        said
    }
}

/// An endpoint that refuses, and repeats all that it was sent, one part after the other.
fn refuses(part: fn(&Heard) -> String) -> impl Fn(&Heard) -> Said {
    move |heard| status(400, json!({"error": "invalid_grant", "error_description": part(heard)}).to_string())
}

/// A header is known by its name; the value alone is not.
fn without_its_name(heard: &Heard) -> String {
    let basic = heard.headers.lines().find_map(|line| line.split_once("Basic "));
    basic.map(|(_, value)| format!("not {value}")).unwrap_or_default()
}

fn endpoint(api: &Api) -> String {
    format!("{}/token", api.home)
}

fn client(api: &Api) -> OAuth2 {
    OAuth2::client_credentials(endpoint(api), "me", CANARY).unwrap().transport(api.transport.clone())
}

fn refresh(api: &Api) -> OAuth2 {
    OAuth2::refresh_token(endpoint(api), "me", SECOND, CANARY).unwrap().transport(api.transport.clone())
}

fn session(api: &Api) -> SessionToken {
    let login = Request::post(endpoint(api)).unwrap().json(json!({"user": "me", "password": CANARY}));
    SessionToken::login(login).unwrap().transport(api.transport.clone())
}

fn service(api: &Api) -> JwtGrant {
    JwtGrant::new(endpoint(api), "me", KEY_FILE).unwrap().transport(api.transport.clone())
}

/// Repeats what is signed and the signature, as S3 does when they do not fit.
fn mismatch() -> Script {
    script(|heard| {
        let lines = heard.headers.lines().find_map(|line| line.split_once("Signature="));
        let signature = lines.map(|(_, signature)| signature.trim().to_owned()).unwrap_or_default();
        note(&signature);
        let session = heard.headers.lines().find_map(|line| line.strip_prefix("x-amz-security-token: "));
        let body = format!(
            "<Error><Code>SignatureDoesNotMatch</Code><SignatureProvided>{signature}</SignatureProvided>\
             <StringToSign>x-amz-security-token:{}</StringToSign></Error>",
            session.unwrap_or_default()
        );
        match heard.nth {
            1 => status(503, signature),
            _ => status(403, body),
        }
    })
}

fn graphql() -> Script {
    script(|heard| match heard.nth {
        1 => page("abc"),
        _ => status(
            200,
            json!({"errors": [{"message": format!("{} {}", heard.headers, heard.body)}]}).to_string(),
        ),
    })
}

/// The first page leads on by a token, and then the API speaks.
fn with_cursor(next: impl Fn() -> Value + Send + Sync + 'static) -> Script {
    script(move |heard| match heard.nth {
        1 => page(next()),
        _ => status(400, repeated(heard)),
    })
}

fn whole(next: fn() -> Value) -> Script {
    with_cursor(next)
}

pub(crate) fn places() -> Vec<Place> {
    vec![
        place("OAuth2: client secret and token", behind_login(token(SECOND), parrot()), |api| {
            items(api).auth(client(api))
        }),
        place("OAuth2: client secret in the body", behind_login(token(SECOND), parrot()), |api| {
            items(api).auth(client(api).credentials_in_body())
        }),
        place(
            "OAuth2: the endpoint repeats the header",
            behind_login(refuses(without_its_name), parrot()),
            |api| items(api).auth(client(api)),
        ),
        place(
            "OAuth2: the endpoint repeats the body",
            behind_login(refuses(|heard| heard.body.clone()), parrot()),
            |api| items(api).auth(client(api).credentials_in_body()),
        ),
        place(
            "OAuth2: another parameter is one",
            behind_login(refuses(|heard| heard.body.clone()), parrot()),
            |api| {
                let auth = OAuth2::client_credentials(endpoint(api), "me", SECOND).unwrap();
                items(api).auth(auth.param("client_assertion", CANARY).transport(api.transport.clone()))
            },
        ),
        place("OAuth2: refresh token", behind_login(refuses(|heard| heard.body.clone()), parrot()), |api| {
            items(api).auth(refresh(api))
        }),
        place(
            "OAuth2: a refresh token that is replaced",
            behind_login(
                |_| {
                    status(
                        200,
                        json!({"access_token": "0th3r-t0k3n-of-24-chars", "refresh_token": SECOND})
                            .to_string(),
                    )
                },
                with_cursor(|| json!(format!("/items?a={}&page=2", percent(SECOND)))),
            ),
            |api| {
                let dir = tempfile::tempdir().unwrap().keep();
                items(api).auth(refresh(api).store(FileTokenStore::new(dir.join("token"))))
            },
        ),
        place(
            "OAuth2: no token at all",
            behind_login(|_| status(200, json!({"id_token": CANARY}).to_string()), parrot()),
            |api| items(api).auth(client(api)),
        ),
        place("JWT: the key, and the token", behind_login(token(CANARY), parrot()), |api| {
            items(api).auth(service(api))
        }),
        place(
            "JWT: the endpoint repeats the assertion",
            behind_login(refuses(|heard| heard.body.clone()), parrot()),
            |api| items(api).auth(service(api)),
        ),
        place("session: the login's body, and the token", behind_login(token(SECOND), parrot()), |api| {
            items(api).auth(session(api))
        }),
        place("session: a token in a header", behind_login(token(SECOND), parrot()), |api| {
            items(api).auth(session(api).token_in_header("x-token").header("X-Session").unwrap())
        }),
        place(
            "session: a password, refused",
            behind_login(|heard| status(401, repeated(heard)), parrot()),
            |api| {
                let login = SessionToken::login(Request::post(endpoint(api)).unwrap()).unwrap();
                let login =
                    login.login_with(Basic::new("me", CANARY).unwrap()).transport(api.transport.clone());
                items(api).auth(login)
            },
        ),
        place("session: a key in the login's query", behind_login(token(SECOND), parrot()), |api| {
            let login = Request::post(endpoint(api)).unwrap().query("api_key", CANARY);
            items(api).auth(SessionToken::login(login).unwrap().transport(api.transport.clone()))
        }),
        place("SigV4: secret, session token, signature", mismatch(), |api| {
            items(api)
                .auth(SigV4::new("AKIAIOSFODNN7EXAMPLE", CANARY, "eu-central-1", "s3").session_token(SECOND))
        }),
        place("SigV4: it is all repeated", parrot(), |api| {
            items(api)
                .auth(SigV4::new("AKIAIOSFODNN7EXAMPLE", CANARY, "eu-central-1", "s3").session_token(SECOND))
        }),
        place(
            "fan-out: the parent's key",
            script(|heard| match &*heard.target {
                "/parents" => page(Value::Null),
                _ => status(if heard.nth == 2 { 503 } else { 400 }, repeated(heard)),
            }),
            |api| {
                let parents = with_parts(api, Source::get("parents", format!("{}/parents", api.home)));
                let parents = parents.bearer(CANARY);
                at(api, "/items/{id}").fanout(Fanout::over(parents).bind("id", ""))
            },
        ),
        place("cursor: our own token", with_cursor(|| json!(CANARY)), |api| {
            items(api).bearer(CANARY).paginate(Cursor::body("next").into_query("cursor"))
        }),
        place("cursor: an object with our token", with_cursor(|| json!({"a": [CANARY], "b": 1})), |api| {
            let request = Request::post(format!("{}/items", api.home)).unwrap().repeatable().json(json!({}));
            let source = with_parts(api, Source::request("items", request));
            source.bearer(CANARY).paginate(Cursor::body("next").into_body("after"))
        }),
        place(
            "link: access_token of our own",
            with_cursor(|| json!(format!("/items?access_token={}", percent(CANARY)))),
            |api| items(api).bearer(CANARY),
        ),
        place(
            "link: access_token, dropped",
            with_cursor(|| json!(format!("/items?page=2&access_token={}", percent(CANARY)))),
            |api| items(api).paginate(NextUrl::body("next").strip_query(["access_token"])).bearer(CANARY),
        ),
        place("follow-up: another body", with_cursor(|| json!("abc")), |api| {
            let follow = FollowUp::at("/more").json(json!({"api_key": SECOND}));
            items(api).bearer(CANARY).paginate(Cursor::body("next").into_query("cursor").follow(follow))
        }),
        place(
            "whole request: its body",
            whole(|| json!({"href": "/items", "method": "POST", "body": {"x": CANARY}})),
            |api| items(api).bearer(CANARY).paginate(NextUrl::request("next")),
        ),
        place(
            "whole request: its headers",
            whole(|| json!({"href": "/items", "headers": {"X-More": CANARY}})),
            |api| items(api).bearer(CANARY).paginate(NextUrl::request("next")),
        ),
        place(
            "whole request: its URL",
            whole(|| json!({"href": format!("/items/{CANARY}"), "headers": {"X-More": "1"}})),
            |api| items(api).bearer(CANARY).paginate(NextUrl::request("next")),
        ),
        place(
            "rule: the token in the place of another",
            script(|heard| match heard.nth {
                1 => page("/items?page=2"),
                _ => status(410, json!({"token": CANARY}).to_string()),
            }),
            |api| {
                items(api).bearer(CANARY).rule(
                    When::status(410)
                        .means(Verdict::ContinueAt(headwater::JsonPath::parse("token").unwrap())),
                )
            },
        ),
        place("rule: an answer that fails", script(|heard| status(200, repeated(heard))), |api| {
            items(api).bearer(CANARY).rule(When::any().body_contains("c4n").means(Verdict::Fail))
        }),
        place("GraphQL: errors that repeat the header", graphql(), |api| {
            let request = Request::graphql(format!("{}/items", api.home), "{ a }")
                .unwrap()
                .variable("password", SECOND);
            let source = with_parts(api, Source::request("items", request)).bearer(CANARY);
            Rule::graphql()
                .into_iter()
                .fold(source, SourceBuilder::rule)
                .paginate(Cursor::body("next").into_body("variables.after"))
        }),
        place(
            "XML that repeats the header",
            script(|heard| match heard.nth {
                1 => status(200, format!("<r><data>1</data><next>{}</next></r>", CANARY)),
                _ => status(200, format!("<r><{CANARY}></r>")),
            }),
            |api| {
                items(api)
                    .bearer(CANARY)
                    .format(Format::xml())
                    .records("r.data")
                    .paginate(Cursor::body("r.next").into_query("c"))
            },
        ),
        place(
            "XML that is broken",
            script(|_| status(200, format!("<r><a {CANARY}=\"{CANARY}\" {CANARY}></r>"))),
            |api| {
                items(api)
                    .bearer(CANARY)
                    .format(Format::xml())
                    .records("r.data")
                    .paginate(NextUrl::body("r.next"))
            },
        ),
        place("CSV that is broken", script(|_| status(200, format!("a,b\n1,2\n{CANARY}\n"))), |api| {
            items(api).bearer(CANARY).format(Format::csv()).records("").paginate(NextUrl::header("next"))
        }),
        place(
            "CSV whose names are ours",
            script(|_| status(200, format!("{CANARY},{CANARY}\n1,2,3\n"))),
            |api| {
                items(api).bearer(CANARY).format(Format::csv()).records("").paginate(NextUrl::header("next"))
            },
        ),
        place("a record that has no key", script(|_| page(Value::Null)), |api| {
            items(api)
                .bearer(CANARY)
                .query("api_key", SECOND)
                .incremental(headwater::pages::Incremental::by("updated_at"))
        }),
        place(
            "a record whose time is our token",
            script(|_| {
                status(200, json!({"data": [{"id": 1, "updated_at": CANARY}], "next": null}).to_string())
            }),
            |api| items(api).bearer(CANARY).incremental(headwater::pages::Incremental::by("updated_at")),
        ),
        place(
            "a record whose fields are our token",
            script(|heard| match &*heard.target {
                "/parents" => status(200, json!({"data": [{CANARY: 1}], "next": null}).to_string()),
                _ => page(Value::Null),
            }),
            |api| {
                let parents = with_parts(api, Source::get("parents", format!("{}/parents", api.home)));
                at(api, "/items/{id}").fanout(Fanout::over(parents.bearer(CANARY)).bind("id", "id"))
            },
        ),
        place(
            "a window's total is our token",
            script(|_| status(200, json!({"data": [1, 2], "total": CANARY, "next": null}).to_string())),
            |api| items(api).bearer(CANARY).ceiling(1).total_at("total"),
        ),
    ]
}
