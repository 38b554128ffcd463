//! Rows 9 and 10: certificates and proxies.

use headwater::error::ErrorKind;

use super::h2::trusting;
use super::pull::{ATTEMPTS, ONE_PAGE, PAGE, Pull, client};
use super::table::{Table, Want, want};
use crate::fault_server::tls::{Identity, root};
use crate::fault_server::{Reply, Server};

pub(crate) async fn rows(table: &mut Table) {
    certificates(table).await;
    tunnels(table).await;
    plain_proxies(table).await;
}

async fn certificates(table: &mut Table) {
    let good = Server::tls(&Identity::good(), |_| Reply::json(PAGE)).await;
    let pulled = trusting(good.url("/")).run().await;
    table.line(
        9,
        "a certificate of a root that was given: no fault",
        &good,
        &pulled,
        want(ONE_PAGE, 1).bytes(37),
    );

    let wrong_name = Identity::for_name("other.example", |_| {});
    for (fault, identity, says) in [
        ("expired in 2021", Identity::expired(), "Expired"),
        ("for other.example", wrong_name, "NotValidForName"),
        ("self-signed", Identity::self_signed(), "UnknownIssuer"),
    ] {
        let server = Server::tls(&identity, |_| Reply::json(PAGE)).await;
        let pulled = trusting(server.url("/")).run().await;
        let words = if says == "NotValidForName" { "not valid for name" } else { says };
        let want = want("Tls", 1).says(&["invalid peer certificate"]);
        table.line_of_connections(9, &format!("certificate: {fault}"), &server, &pulled, want);
        let said = pulled.text.contains(words) || pulled.text.contains(&words.to_lowercase());
        table.check(9, said, &format!("{words} is not in: {}", pulled.text));
        table.check(9, server.requests() == 0, "nothing is sent to a server that is not trusted");
    }
    let unknown = Server::tls(&Identity::good(), |_| Reply::json(PAGE)).await;
    let pulled = Pull::get(unknown.url("/")).run().await;
    let want_tls = || want("Tls", 1);
    table.line_of_connections(9, "certificate: of an unknown authority", &unknown, &pulled, want_tls());

    // The first bytes of the client's hello look like nothing to this server, so its answer comes unasked.
    let plain = Server::start_eager(Reply::json(PAGE)).await;
    let pulled = trusting(plain.url("/").replace("http:", "https:")).run().await;
    table.line_of_connections(9, "plain HTTP where TLS was expected", &plain, &pulled, want_tls());
    let closing = Server::start_eager(Reply::nothing().close()).await;
    let pulled = trusting(closing.url("/").replace("http:", "https:")).run().await;
    table.line_of_connections(9, "FIN in the handshake: R", &closing, &pulled, want("Connect", ATTEMPTS));
}

const URL: &str = "http://api.example.test/items";
const SECURE_URL: &str = "https://api.example.test/items";
const PASSWORD: &str = "hunter2-of-the-proxy";

fn through(proxy: &Server, url: &'static str) -> Pull {
    let proxy = format!("http://puller:{PASSWORD}@127.0.0.1:{}", proxy.port());
    Pull::get(url).client(|client| client.proxy(proxy))
}

async fn line(table: &mut Table, url: &'static str, fault: &str, want: Want, reply: Reply) {
    let proxy = Server::start(move |_| reply.clone()).await;
    let pulled = through(&proxy, url).run().await;
    table.line(10, fault, &proxy, &pulled, want);
    table.check(10, !pulled.text.contains(PASSWORD), "the proxy's password is in an error");
    // "puller:hunter2-of-the-proxy" in base64
    let credentials = "proxy-authorization: basic chvsbgvyomh1bnrlcjitb2ytdghllxbyb3h5";
    table.check(
        10,
        proxy.asks().iter().all(|ask| ask.head.contains(credentials)),
        "the proxy gets its password",
    );
}

async fn tunnels(table: &mut Table) {
    let refused = |status: &'static str| Reply::status(status, "", "no");
    let wants = want("Connect", 1).says(&["the proxy wants credentials (407)"]);
    line(table, SECURE_URL, "CONNECT: 407", wants, refused("407 Proxy Authentication Required")).await;
    for (fault, status) in [("CONNECT: 502", "502 Bad Gateway"), ("CONNECT: 503", "503 Service Unavailable")]
    {
        line(table, SECURE_URL, fault, want("Connect", ATTEMPTS), refused(status)).await;
    }
    let closes = Reply::nothing().close();
    line(table, SECURE_URL, "CONNECT: FIN", want("Connect", ATTEMPTS), closes).await;
    for broken in ["no url", "socks5://127.0.0.1:1", "hunter2-of-the-proxy"] {
        let error = client().proxy(broken).build().expect_err("it is refused");
        table.check(10, error.kind() == ErrorKind::Config, "a proxy that is none is an error");
        table.check(10, !error.to_string().contains(PASSWORD), "the proxy's URL is in an error");
    }
    let settings = client().proxy(format!("http://puller:{PASSWORD}@127.0.0.1:1"));
    let shown = format!("{settings:?} {:?}", settings.clone().build().expect("a client"));
    table.check(10, !shown.contains(PASSWORD), "the proxy's password is in a Debug form");
    let empty = client().root_certificate("no certificate").build().expect_err("it is refused");
    table.check(9, empty.kind() == ErrorKind::Config, "a root that is none is an error");
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let garbage = client().root_certificate(garbage).build().expect_err("it is refused");
    table.check(9, garbage.kind() == ErrorKind::Config, "a root that cannot be read is an error");
    table.check(9, client().root_certificate(root()).build().is_ok(), "a root is taken");
}

async fn plain_proxies(table: &mut Table) {
    line(table, URL, "proxied: no fault", want(ONE_PAGE, 1).bytes(37), Reply::json(PAGE)).await;
    let wants = want("Connect", 1).bytes(2).says(&["the proxy wants credentials", "407"]);
    let refused = Reply::status("407 Proxy Authentication Required", "", "no");
    line(table, URL, "proxied: 407", wants, refused).await;
    let gateway = Reply::status("502 Bad Gateway", "", "no");
    line(table, URL, "proxied: 502", want("Status", ATTEMPTS).bytes(8).says(&["502"]), gateway.clone()).await;
    let proxy =
        Server::start(move |ask| if ask.nth == 3 { Reply::json(PAGE) } else { gateway.clone() }).await;
    let pulled = through(&proxy, URL).run().await;
    table.line(10, "proxied: 502; twice", &proxy, &pulled, want(ONE_PAGE, 3).bytes(4 + 37));
    // No proxy elsewhere can reach this machine's loopback addresses.
    let local = Server::start(|_| Reply::json(PAGE)).await;
    let url = local.url("/");
    let around = format!("http://127.0.0.1:{}", proxy.port());
    let pulled = Pull::get(url).client(|client| client.proxy(around)).run().await;
    table.line(10, "a loopback address: around the proxy", &local, &pulled, want(ONE_PAGE, 1).bytes(37));
}
