//! Rows 5, 7, 11 and 12: how the body is framed and coded, and how much of it there is.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use headwater::error::ErrorKind::{Encoding, TooLarge};

use super::pull::{ONE_PAGE, PAGE, Pull, answered, fatal, once_more};
use super::table::{CAP, READ_BUFFER, Table, want};
use crate::fault_server::{Reply, Server};

/// The one thing that the issue of a bomb is measured by: how far above the cap it is stopped.
const SLACK: u64 = 64 * 1024;

pub(crate) async fn rows(table: &mut Table) {
    framing(table).await;
    endless(table).await;
    codings(table).await;
    gzip(table).await;
}

async fn framing(table: &mut Table) {
    let chunked = || Reply::head("transfer-encoding: chunked\r\n");
    let garbage = move || chunked().send("zz\r\n{}\r\n0\r\n\r\n").close();
    once_more(table, 5, "a chunk of the size \"zz\"", Encoding, 0, garbage).await;
    let huge = move || chunked().send("fffffffffffffffff\r\n{}").close();
    once_more(table, 5, "a chunk of 2^68 - 1 bytes", Encoding, 0, huge).await;
    let no_end = move || chunked().send("2\r\n{}garbage").close();
    once_more(table, 5, "no line end behind a chunk", Encoding, 2, no_end).await;
    let extension = move || chunked().send("2;").forever("x=y;".repeat(1000)).close();
    once_more(table, 5, "a chunk extension without end", Encoding, 0, extension).await;
    let trailers = move || chunked().chunk(PAGE).send("0\r\n").forever("x-trailer: 1\r\n".repeat(100));
    once_more(table, 5, "trailers without end", Encoding, PAGE.len() as u64, trailers).await;
    // hyper goes by the chunks, as RFC 9112 §6.1 allows; both together are what smuggling looks like.
    let both =
        || Reply::head("content-length: 37\r\ntransfer-encoding: chunked\r\n").chunk(PAGE).send("0\r\n\r\n");
    once_more(table, 5, "Content-Length and Transfer-Encoding", Encoding, 0, both).await;
    let coded = gzip_of(PAGE.as_bytes());
    let both = move || {
        let head = "content-encoding: gzip\r\ncontent-length: 57\r\ntransfer-encoding: chunked\r\n";
        Reply::head(head).chunk(&coded).send("0\r\n\r\n")
    };
    once_more(table, 5, "both, and gzip", Encoding, 0, both).await;
    let two = || Reply::head("content-length: 37\r\ncontent-length: 38\r\n").send(PAGE);
    once_more(table, 5, "two lengths that differ", Encoding, 0, two).await;
    let negative = || Reply::head("content-length: -1\r\n").send(PAGE);
    once_more(table, 5, "Content-Length: -1", Encoding, 0, negative).await;
    let ssh = || Reply::nothing().send("SSH-2.0-OpenSSH_9.9\r\n").close();
    once_more(table, 5, "a greeting of another protocol", Encoding, 0, ssh).await;
    let old =
        || Reply::nothing().send("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n").close();
    once_more(table, 5, "chunks in HTTP/1.0", Encoding, 0, old).await;

    let same = || Reply::head("content-length: 37\r\ncontent-length: 37\r\n").send(PAGE);
    answered(table, 5, "the same length twice: no fault", want(ONE_PAGE, 1).bytes(37), same).await;
    let in_words = || Reply::head("transfer-encoding: chunked\r\n").chunk(&PAGE[..9]).chunk(&PAGE[9..]);
    let whole = move || in_words().send("0\r\nx-checksum: 7\r\n\r\n");
    answered(table, 5, "chunks and a trailer: no fault", want(ONE_PAGE, 1).bytes(37), whole).await;
}

async fn endless(table: &mut Table) {
    let above = |slack: u64| {
        let want = want("TooLarge", 1).says(&["more than 1048576 bytes in one page", "stopped after"]);
        want.bytes_in(CAP as u64 + 1..=CAP as u64 + slack)
    };
    let announced = || Reply::head("content-length: 1048577\r\n").forever([b' '; 16 * 1024]);
    let want_announced = want("TooLarge", 1).says(&["the server announces 1048577"]);
    answered(table, 7, "Content-Length one above the cap", want_announced, announced).await;
    let until_close = || Reply::head("").forever([b' '; 16 * 1024]);
    answered(table, 7, "no length, no end", above(SLACK), until_close).await;
    let small_chunks = || {
        let chunk = [b"4000\r\n".to_vec(), vec![b' '; 0x4000], b"\r\n".to_vec()].concat();
        Reply::head("transfer-encoding: chunked\r\n").forever(chunk)
    };
    answered(table, 7, "16 KiB chunks without end", above(SLACK), small_chunks).await;
    // A chunk of 1 TiB comes in pieces as large as the client's read buffer, which cannot be set: a part of the
    // last piece is above the cap. Nothing of that is kept. (hyper reads into all that its buffer has room for, and a
    // buffer that had to grow may have twice what was asked for.)
    let blanks = Bytes::from(vec![b' '; CAP]);
    let head = "transfer-encoding: chunked\r\n";
    let one_chunk = move || Reply::head(head).send("10000000000\r\n").forever_shared(&blanks);
    answered(table, 7, "one chunk of 1 TiB", above(2 * READ_BUFFER as u64), one_chunk).await;
    let exact = || Reply::json(PAGE.to_owned() + &" ".repeat(CAP - PAGE.len()));
    let body = exact();
    answered(table, 7, "a page of just the cap: no fault", want(ONE_PAGE, 1).bytes(CAP as u64), move || {
        body.clone()
    })
    .await;

    let flood = || Reply::nothing().send("HTTP/1.1 200 OK\r\n").forever("x-flood: 1\r\n".repeat(1000));
    fatal(table, 7, "header lines without end", TooLarge, 0, &["headers"], flood).await;
    let line = || Reply::nothing().send("HTTP/1.1 200 OK\r\nx-flood: ").forever([b'a'; 16 * 1024]);
    fatal(table, 7, "a header line without end", TooLarge, 0, &["headers"], line).await;
    let status = || Reply::nothing().send("HTTP/1.1 200 ").forever([b'a'; 16 * 1024]);
    fatal(table, 7, "a status line without end", TooLarge, 0, &["headers"], status).await;
    let hints =
        || Reply::nothing().drip("HTTP/1.1 103 Early Hints\r\n\r\n", std::time::Duration::from_millis(5));
    let server = Server::start(move |_| hints()).await;
    let patience = std::time::Duration::from_millis(150);
    let pulled = Pull::get(server.url("/")).client(|client| client.timeout(patience)).run().await;
    table.line(7, "103 Early Hints without end; 150 ms", &server, &pulled, want("Timeout", 4).takes(600));
    // The body of a failure is for the message only: the status counts.
    let failure = || Reply::nothing().send("HTTP/1.1 404 Not Found\r\n\r\n").forever([b'a'; 16 * 1024]);
    let most = want("Status", 1).bytes(64 * 1024).says(&["404"]);
    answered(table, 7, "404 with a body without end", most, failure).await;
}

async fn codings(table: &mut Table) {
    let coded = |coding: &'static str| move || Reply::status("200 OK", coding, gzip_of(gzip_of(b"[]")));
    for (fault, head) in [
        ("Content-Encoding: br", "content-encoding: br\r\n"),
        ("Content-Encoding: zstd", "content-encoding: zstd\r\n"),
        ("Content-Encoding: deflate", "content-encoding: deflate\r\n"),
        ("Content-Encoding: gzip, gzip", "content-encoding: gzip, gzip\r\n"),
        ("gzip, and gzip in a second line", "content-encoding: gzip\r\ncontent-encoding: gzip\r\n"),
        ("Content-Encoding: br, gzip", "content-encoding: br, gzip\r\n"),
    ] {
        fatal(table, 11, fault, Encoding, 0, &["content coding", "gzip is understood"], coded(head)).await;
    }
    for (fault, head) in [
        ("Content-Encoding: identity: no fault", "content-encoding: identity\r\n"),
        ("Content-Encoding: UTF-8: no fault", "content-encoding: UTF-8\r\n"),
    ] {
        let plain = move || Reply::status("200 OK", head, PAGE);
        answered(table, 11, fault, want(ONE_PAGE, 1).bytes(37), plain).await;
    }
}

async fn gzip(table: &mut Table) {
    const HEAD: &str = "content-encoding: gzip\r\n";
    let good = gzip_of(PAGE.as_bytes());
    let reply = |body: Vec<u8>| move || Reply::status("200 OK", HEAD, &body);
    let answer = reply(good.clone());
    let server = Server::start(move |_| answer()).await;
    let pulled = Pull::get(server.url("/")).run().await;
    table.line(12, "gzip: no fault", &server, &pulled, want(ONE_PAGE, 1).bytes(37));
    table.check(
        12,
        server.asks()[0].head.contains("accept-encoding: gzip\r\n"),
        "gzip is asked for, and no more",
    );
    let members = [gzip_of(&PAGE.as_bytes()[..9]), gzip_of(&PAGE.as_bytes()[9..])].concat();
    answered(table, 12, "gzip of two members: no fault", want(ONE_PAGE, 1).bytes(37), reply(members)).await;
    let mut bad_sum = good.clone();
    let sum = bad_sum.len() - 8;
    bad_sum[sum] ^= 1;
    once_more(table, 12, "a wrong checksum", Encoding, 37, reply(bad_sum)).await;
    let cut = good[..good.len() - 10].to_vec();
    once_more_about(table, "gzip cut short, the length fits", cut).await;
    once_more(table, 12, "JSON that calls itself gzip", Encoding, 0, reply(PAGE.into())).await;
    let tail = [&good[..], b"tail"].concat();
    once_more(table, 12, "four bytes behind the gzip", Encoding, 37, reply(tail)).await;

    let bomb = Bytes::from(bomb());
    let stopped = || {
        let want = want("TooLarge", 1).says(&["more than 1048576 bytes in one page", "stopped after"]);
        want.bytes_in(CAP as u64 + 1..=CAP as u64 + SLACK)
    };
    let shared = bomb.clone();
    let announced = move || {
        Reply::head(&format!("{HEAD}content-length: {}\r\n", shared.len())).send_shared(&shared).close()
    };
    answered(table, 12, &format!("{} bytes that are 256 MiB of blanks", bomb.len()), stopped(), announced)
        .await;
    let shared = bomb.clone();
    let in_one_chunk = move || {
        let reply = Reply::head(&format!("{HEAD}transfer-encoding: chunked\r\n"));
        reply.send(format!("{:x}\r\n", shared.len())).send_shared(&shared).send("\r\n0\r\n\r\n")
    };
    answered(table, 12, "the same in one chunk", stopped(), in_one_chunk).await;
    // Stored blocks of no bytes: input without end, and never a byte of output.
    let start = gzip_of(b"")[..10].to_vec();
    let hollow = move || Reply::head(HEAD).send(&start).forever([0, 0, 0, 0xff, 0xff].repeat(1000));
    let want_hollow = want("TooLarge", 1).says(&["stopped after 0"]);
    answered(table, 12, "gzip without end and without output", want_hollow, hollow).await;
}

/// How much of a cut gzip has come out is up to the decoder.
async fn once_more_about(table: &mut Table, fault: &str, body: Vec<u8>) {
    let reply = move || Reply::status("200 OK", "content-encoding: gzip\r\n", &body);
    let want = want("Encoding", 2).bytes_in(0..=2 * 37).says(&["gave up after 2 attempts"]);
    answered(table, 12, fault, want, reply).await;
}

fn gzip_of(plain: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain.as_ref()).expect("a buffer takes it");
    encoder.finish().expect("a buffer takes it")
}

/// A quarter of a gibibyte of blanks: the same compressed megabyte over and over, as members of one file.
fn bomb() -> Vec<u8> {
    gzip_of(vec![b' '; 1024 * 1024]).repeat(256)
}
