//! Rows 25 to 27 and 57: where the server sends us.

use std::sync::Arc;

use headwater::auth::Bearer;
use headwater::error::ErrorKind::Redirect;
use headwater::prelude::*;

use super::pull::{ONE_PAGE, PAGE, Pull, fatal};
use super::table::{Table, want};
use crate::fault_server::tls::{Identity, root};
use crate::fault_server::{Ask, Reply, Server};

pub(crate) async fn rows(table: &mut Table) {
    inside(table).await;
    elsewhere(table).await;
    allowed(table).await;
    downgraded(table).await;
    private(table).await;
}

fn redirect(status: &str, target: &str) -> Reply {
    Reply::status(status, &format!("location: {target}\r\n"), "")
}

async fn inside(table: &mut Table) {
    for status in
        ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]
    {
        let server = Server::start(move |ask| match ask.target() {
            "/" => redirect(status, "/there?x=1#part"),
            _ => Reply::json(PAGE),
        });
        let server = server.await;
        let pulled = Pull::get(server.url("/")).run().await;
        table.line(
            25,
            &format!("{} to /there: no fault", &status[..3]),
            &server,
            &pulled,
            want(ONE_PAGE, 2).bytes(37),
        );
        table.check(25, server.asks()[1].target() == "/there?x=1", "the target is asked for");
    }
    let to_itself = || redirect("302 Found", "/");
    fatal(table, 25, "302 to itself", Redirect, 0, &["go round in a circle"], to_itself).await;
    for (fault, length, words) in [
        ("302 in a circle of three", 3, "go round in a circle"),
        ("302 for ever", 1000, "too many redirects"),
    ] {
        let server = Server::start(move |ask| {
            let at: usize = ask.target().trim_start_matches('/').parse().unwrap_or(0);
            redirect("302 Found", &format!("/{}", (at + 1) % length))
        });
        let server = server.await;
        let pulled = Pull::get(server.url("/0")).run().await;
        // The first request and ten more.
        table.line(25, fault, &server, &pulled, want("Redirect", length.min(11)).says(&[words]));
    }
    let words = ["a redirect without a readable Location"];
    fatal(table, 25, "302 to nowhere", Redirect, 0, &words, || Reply::status("302 Found", "", "")).await;
    let words = ["not a redirect that can be followed"];
    fatal(table, 25, "300", Redirect, 0, &words, || redirect("300 Multiple Choices", "/b")).await;
    let post = Server::start(|_| redirect("302 Found", "/b")).await;
    let url = post.url("/");
    let pulled =
        Pull::with(move |http| Pages::new(http, Request::post(url).expect("a URL").repeatable(), Single));
    let words = ["turn a POST into a GET"];
    table.line(25, "302 to a POST", &post, &pulled.run().await, want("Redirect", 1).says(&words));
}

/// A pull with credentials in every place, of a server that points elsewhere.
fn with_credentials(url: String, change: impl FnOnce(Pages) -> Pages + 'static) -> Pull {
    Pull::with(move |http| {
        let request = Request::get(url).expect("a URL").query("api_key", "canary-in-the-query");
        let request = request.header("x-custom", "canary-in-a-header").expect("a header");
        let bearer = Bearer::new("canary-of-the-bearer").expect("a token");
        change(Pages::new(http, request, NextUrl::body("next").missing_ends()).auth(bearer))
    })
    .client(|client| client.root_certificate(root()))
}

/// The two ways of a server to point somewhere.
fn pointing(target: &str) -> [(&'static str, u64, Reply); 2] {
    let page = format!(r#"{{"data":[{{"id":1}}],"next":"{target}"}}"#);
    [("302", 0, redirect("302 Found", target)), ("a next link", page.len() as u64, Reply::json(&page))]
}

fn no_canary(asks: &[Ask]) -> bool {
    !asks.iter().any(|ask| ask.head.contains("canary"))
}

/// It is refused before a connection is made.
async fn refused(table: &mut Table, row: u8, what: &str, target: &str, decoy: &Server, says: &'static str) {
    for (way, bytes, reply) in pointing(target) {
        let server = Server::start(move |_| reply.clone()).await;
        let pulled = with_credentials(server.url("/"), |pages| pages).run().await;
        let outcome = if way == "302" { "Origin" } else { "Origin after 1 page, 1 record" };
        let want = want(outcome, 1).bytes(bytes).says(&[says]);
        table.line(row, &format!("{way} to {what}"), &server, &pulled, want);
        table.check(row, server.asks()[0].head.contains("canary-of-the-bearer"), "home gets the credentials");
    }
    table.check(row, decoy.connections() == 0, &format!("{target} was connected to"));
}

async fn elsewhere(table: &mut Table) {
    let other = Server::start(|_| Reply::json(PAGE)).await;
    let says = "the server points from http://127.0.0.1";
    refused(table, 26, "another port", &other.url("/"), &other, says).await;
    let dressed = other.url("/").replace("http://", "http://user:pass@");
    refused(table, 26, "a URL with a user name", &dressed, &other, "a user name in it").await;
    refused(table, 26, "a file: URL", "file:///etc/passwd", &other, "a file: URL").await;
}

async fn allowed(table: &mut Table) {
    let other = Arc::new(Server::start(|_| Reply::json(r#"{"data":[{"id":2}]}"#)).await);
    for (way, bytes, reply) in pointing(&other.url("/")) {
        let server = Server::start(move |_| reply.clone()).await;
        let before = other.requests();
        let url = other.url("/");
        let pulled = with_credentials(server.url("/"), move |pages| pages.allow_origin(&url)).run().await;
        let outcome = if way == "302" { "1 page, 1 record" } else { "2 pages, 2 records" };
        let fault = format!("{way} to a port that was allowed: no fault");
        let want = want(outcome, 2).bytes(bytes + 19);
        // One request at each.
        table.check(26, server.requests() == 1 && other.requests() == before + 1, "each is asked once");
        table.line_without_server(26, &fault, &pulled, want);
    }
    table.check(26, no_canary(&other.asks()), "a credential went to the other origin");
    table.check(
        26,
        other.asks().iter().all(|ask| !ask.head.contains("authorization")),
        "an authorization too",
    );
}

async fn downgraded(table: &mut Table) {
    let plain = Server::start(|_| Reply::json(PAGE)).await;
    for (way, bytes, reply) in pointing(&plain.url("/")) {
        let server = Server::tls(&Identity::good(), move |_| reply.clone()).await;
        let url = plain.url("/");
        // Not even an origin that was allowed.
        let pulled = with_credentials(server.url("/"), move |pages| pages.allow_origin(&url)).run().await;
        let outcome = if way == "302" { "Origin" } else { "Origin after 1 page, 1 record" };
        let want = want(outcome, 1).bytes(bytes).says(&["from https to http", "not encrypted"]);
        table.line(27, &format!("{way} from https to http"), &server, &pulled, want);
    }
    table.check(27, plain.connections() == 0, "the plain server was connected to");
}

async fn private(table: &mut Table) {
    let decoy = Server::start(|_| Reply::json(PAGE)).await;
    let port = decoy.port();
    let says = "the server points from http://127.0.0.1";
    for (what, target) in [
        ("the metadata service", "http://169.254.169.254/latest/meta-data/".to_owned()),
        ("metadata in IPv6", "http://[fd00:ec2::254]/latest/meta-data/".to_owned()),
        ("10.0.0.1", "http://10.0.0.1/".to_owned()),
        ("192.168.0.1, without a scheme", "//192.168.0.1/".to_owned()),
        ("localhost", format!("http://localhost:{port}/")),
        ("0x7f000001", format!("http://0x7f000001:{port}/")),
        ("127.1", format!("http://127.1:{port}/")),
        ("::ffff:127.0.0.1", format!("http://[::ffff:127.0.0.1]:{port}/")),
        ("0.0.0.0", format!("http://0.0.0.0:{port}/")),
    ] {
        refused(table, 57, what, &target, &decoy, says).await;
    }
}
