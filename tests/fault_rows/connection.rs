//! Rows 1 to 4 and 6: no connection, broken connections, silence.

use std::time::Duration;

use headwater::error::ErrorKind;
use headwater::prelude::*;
use tokio::net::TcpSocket;

use super::h2::trusting;
use super::pull::{ATTEMPTS, ONE_PAGE, PAGE, Pull, once_more, retried};
use super::table::{Table, want};
use crate::fault_server::tls::Identity;
use crate::fault_server::{Reply, Server};

pub(crate) async fn rows(table: &mut Table) {
    nobody_there(table).await;
    broken(table).await;
    silent(table).await;
    pooled(table).await;
}

async fn nobody_there(table: &mut Table) {
    let connect = || want("Connect", ATTEMPTS).says(&["gave up after 4 attempts"]);
    // RFC 6761 §6.4: names in .invalid never exist. A label has at most 63 bytes (RFC 1035 §2.3.4), so that the
    // resolver of this machine says so by itself, whatever the network is like.
    let name = format!("{}.invalid", "n".repeat(64));
    let pulled = Pull::get(format!("http://{name}/")).run().await;
    table.line_without_server(1, "a name that does not exist", &pulled, connect());

    // Bound, and not listening: nobody else can take the port.
    let bound = bound();
    let address = bound.local_addr().expect("its address");
    let pulled = Pull::get(format!("http://{address}/")).run().await;
    table.line_without_server(2, "a port where nobody listens", &pulled, connect());
    // The server comes up while it is being asked for.
    let late = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Server::start_on(bound.listen(16).expect("a listener"), |_| Reply::json(PAGE))
    });
    let pulled = Pull::get(format!("http://{address}/")).attempts(1000).run().await;
    let server = late.await.expect("the server has started");
    table.check(2, pulled.counts.requests > 1, "the first attempts find nobody");
    table.check(2, server.requests() == 1, "one request gets there");
    let found = want(ONE_PAGE, pulled.counts.requests as usize).bytes(PAGE.len() as u64);
    table.line_without_server(2, "refused, until the server is up after 100 ms", &pulled, found);

    // A listener that accepts nothing, with its queue filled: the kernel drops what comes then.
    let full = self::bound().listen(1).expect("a queue");
    let address = full.local_addr().expect("its address");
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let connect = tokio::net::TcpStream::connect(address);
        waiting.push(tokio::time::timeout(Duration::from_millis(50), connect).await);
    }
    let pulled = Pull::get(format!("http://{address}/"))
        .client(|client| client.connect_timeout(Duration::from_millis(100)))
        .run()
        .await;
    let want = want("Timeout", ATTEMPTS).takes(400).says(&["gave up after 4 attempts"]);
    table.line_without_server(2, "SYN without an answer; time-out 100 ms", &pulled, want);
}

/// A port of our own.
fn bound() -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    socket
}

async fn broken(table: &mut Table) {
    let interrupted = ErrorKind::Interrupted;
    retried(table, 3, "RST before the answer", interrupted, 0, || Reply::nothing().reset()).await;
    retried(table, 3, "FIN before the answer", interrupted, 0, || Reply::nothing().close()).await;
    let half_a_head = || Reply::nothing().send("HTTP/1.1 200 OK\r\nconte").close();
    retried(table, 3, "FIN in the headers", interrupted, 0, half_a_head).await;
    unrepeatable(table).await;

    let short = || Reply::head("content-length: 100\r\n").send(r#"{"data":[{"id":1}"#).close();
    retried(table, 4, "17 bytes of 100, then FIN", interrupted, 17, short).await;
    let reset = || {
        let reply = Reply::head("content-length: 100\r\n").send(r#"{"data":[{"id":1}"#);
        // RST overtakes what was not read yet.
        reply.pause(Duration::from_millis(30)).reset()
    };
    retried(table, 4, "17 bytes of 100, then RST", interrupted, 17, reset).await;
    let chunked = || Reply::head("transfer-encoding: chunked\r\n");
    // All of the page is there, and still it is not whole.
    let no_last_chunk = move || chunked().chunk(PAGE).close();
    retried(table, 4, "no last chunk", interrupted, PAGE.len() as u64, no_last_chunk).await;
    let cut = move || chunked().send("25\r\n{\"data\"").close();
    retried(table, 4, "FIN in the middle of a chunk", interrupted, 7, cut).await;
    // Without a length the end of the connection is the end of the body (RFC 9112 §6.3): only the JSON tells.
    let half = || Reply::head("").send(&PAGE[..17]).close();
    once_more(table, 4, "no length, FIN after 17 bytes", ErrorKind::NotJson, 17, half).await;
    // Under TLS there is a farewell; a body that ends without one is not whole, though it looks so.
    let server = Server::tls(&Identity::good(), |_| Reply::head("").send(PAGE).cut()).await;
    let pulled = trusting(server.url("/")).run().await;
    let want_cut = want("Interrupted", ATTEMPTS).bytes(ATTEMPTS as u64 * 37);
    table.line(4, "TLS, no length, no close_notify", &server, &pulled, want_cut);
    let server = Server::tls(&Identity::good(), |_| Reply::head("").send(PAGE).close()).await;
    let pulled = trusting(server.url("/")).run().await;
    table.line(4, "TLS, no length, close_notify: no fault", &server, &pulled, want(ONE_PAGE, 1).bytes(37));
}

/// RFC 9110 §9.2.2: what became of a POST cannot be known, unless it was declared to be harmless.
async fn unrepeatable(table: &mut Table) {
    for (repeatable, attempts) in [(false, 1), (true, ATTEMPTS)] {
        let server = Server::start(|_| Reply::nothing().reset()).await;
        let url = server.url("/");
        let pulled = Pull::with(move |http| {
            let request = Request::post(url).expect("a URL");
            let request = if repeatable { request.repeatable() } else { request };
            Pages::new(http, request, Single)
        });
        let fault = if repeatable { "RST to a POST that is `repeatable()`" } else { "RST to a POST" };
        let want = want("Interrupted", attempts);
        let want = if repeatable { want } else { want.says(&["declare it `repeatable()`"]) };
        table.line(3, fault, &server, &pulled.run().await, want);
    }
}

async fn silent(table: &mut Table) {
    let half_a_head = Reply::nothing().send("HTTP/1.1 200 OK\r\nconte").hang();
    let half_a_body = Reply::head("content-length: 37\r\n").send("{\"data\"").hang();
    for (fault, bytes, reply) in [
        ("no answer; 100 ms between reads", 0, Reply::nothing().hang()),
        ("half a head, then silence", 0, half_a_head),
        ("half a body, then silence", 7, half_a_body),
    ] {
        for recovers in [true, false] {
            let reply = reply.clone();
            let server =
                Server::start(
                    move |ask| if recovers && ask.nth == 3 { Reply::json(PAGE) } else { reply.clone() },
                );
            let server = server.await;
            let patience = Duration::from_millis(100);
            let pulled =
                Pull::get(server.url("/")).client(|client| client.read_timeout(patience)).run().await;
            let (what, want) = if recovers {
                let want = want(ONE_PAGE, 3).takes(200).bytes(2 * bytes + PAGE.len() as u64);
                (format!("{fault}; twice"), want)
            } else {
                let want = want("Timeout", ATTEMPTS).takes(400).bytes(ATTEMPTS as u64 * bytes);
                (fault.to_owned(), want.says(&["gave up after 4 attempts"]))
            };
            table.line(6, &what, &server, &pulled, want);
        }
    }
    // Each read is in time, the whole is not.
    for recovers in [true, false] {
        let server = Server::start(move |ask| {
            let drip = || Reply::head("content-length: 1000\r\n").drip(" ", Duration::from_millis(10));
            if recovers && ask.nth == 3 { Reply::json(PAGE) } else { drip() }
        });
        let server = server.await;
        let whole = Duration::from_millis(200);
        let pulled = Pull::get(server.url("/")).client(|client| client.timeout(whole)).run().await;
        // At least one byte each time; 20 are sent in 200 ms.
        let (what, want) = if recovers {
            let some = 2 + PAGE.len() as u64..=2 * 40 + PAGE.len() as u64;
            ("a byte each 10 ms, 200 ms for all; twice", want(ONE_PAGE, 3).takes(400).bytes_in(some))
        } else {
            let want = want("Timeout", ATTEMPTS).takes(800).bytes_in(4..=4 * 40);
            ("a byte each 10 ms, 200 ms for all", want.says(&["gave up after 4 attempts"]))
        };
        table.line(6, what, &server, &pulled, want);
    }
}

/// The race of every client that keeps connections: the server closes one while the next request is on its way.
async fn pooled(table: &mut Table) {
    let page = |ask: &crate::fault_server::Ask, then: fn(Reply) -> Reply| {
        let number: u64 = ask.query("cursor").unwrap_or("1").parse().expect("a number");
        let next = if number < 10 { format!("\"{}\"", number + 1) } else { "null".to_owned() };
        then(Reply::json(format!(r#"{{"data":[{{"id":{number}}}],"next":{next}}}"#)))
    };
    let idle = Server::start(move |ask| page(ask, Reply::close)).await;
    let pulled = Pull::get(idle.url("/")).run().await;
    table.check(3, idle.connections() == 10, "each page has a connection of its own");
    let want = super::table::want("10 pages, 10 records", pulled.counts.requests as usize).bytes(10 * 30 + 3);
    table.check(3, (10..=19).contains(&pulled.counts.requests), "each page is asked for once or twice");
    table.line_without_server(3, "FIN on the idle connection after each page", &pulled, want);

    // The request has arrived on the old connection, and the server hangs up.
    let server = Server::start(move |ask| {
        let first = ask.connection == 1 || ask.target().contains("cursor=6") && ask.connection == 2;
        if ask.nth > 1 && first { Reply::nothing().close() } else { page(ask, |reply| reply) }
    })
    .await;
    let pulled = Pull::get(server.url("/")).run().await;
    let want = super::table::want("10 pages, 10 records", 12).bytes(10 * 30 + 3);
    table.line(3, "FIN when page 2 and page 6 are asked for", &server, &pulled, want);
}
