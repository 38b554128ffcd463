//! Row 8, and row 7 once more: HTTP/2.

use bytes::Bytes;

use super::pull::{ATTEMPTS, ONE_PAGE, PAGE, Pull};
use super::table::{CAP, Table, Want, want};
use crate::fault_server::h2::{
    self, Act, CANCEL, ENHANCE_YOUR_CALM, INTERNAL_ERROR, NO_ERROR, REFUSED_STREAM,
};
use crate::fault_server::tls;

const WHOLE: u64 = PAGE.len() as u64;

pub(crate) async fn rows(table: &mut Table) {
    let page = || Act::Page(PAGE.into());
    always(table, 8, "a page over HTTP/2: no fault", want(ONE_PAGE, 1).bytes(WHOLE), page()).await;
    let half = || Bytes::from_static(&PAGE.as_bytes()[..17]);
    for (fault, bytes, act) in [
        // RFC 9113 §8.7: surely not worked on. The client would repeat it by itself, were that not switched off.
        ("RST_STREAM, REFUSED_STREAM", 0, Act::Refuse(REFUSED_STREAM)),
        ("RST_STREAM, INTERNAL_ERROR", 0, Act::Refuse(INTERNAL_ERROR)),
        ("RST_STREAM, CANCEL", 0, Act::Refuse(CANCEL)),
        ("RST_STREAM, ENHANCE_YOUR_CALM", 0, Act::Refuse(ENHANCE_YOUR_CALM)),
        ("17 bytes, then RST_STREAM", 17, Act::Break(half(), INTERNAL_ERROR)),
        ("GOAWAY, NO_ERROR, the request left out", 0, Act::GoAway(NO_ERROR)),
        ("GOAWAY, ENHANCE_YOUR_CALM", 0, Act::GoAway(ENHANCE_YOUR_CALM)),
        ("17 bytes, then GOAWAY and close", 17, Act::GoAwayInBody(half(), NO_ERROR)),
        ("close without a word", 0, Act::Close),
        ("DATA on a stream that does not exist", 0, Act::Nonsense),
    ] {
        let again = act.clone();
        let server = h2::start(move |nth| if nth == 3 { page() } else { again.clone() }).await;
        let pulled = trusting(server.url("/")).run().await;
        let recovered = want(ONE_PAGE, 3).bytes(2 * bytes + WHOLE);
        table.line(8, &format!("{fault}; twice"), &server, &pulled, recovered);
        let never = want("Interrupted", ATTEMPTS).bytes(ATTEMPTS as u64 * bytes);
        always(table, 8, fault, never.says(&["gave up after 4 attempts"]), act).await;
    }

    // A connection of HTTP/2 takes any number of requests: only leaving it behind brings another.
    let server = h2::start(move |nth| if nth == 1 { Act::Misdirected } else { page() }).await;
    let pulled = trusting(server.url("/")).run().await;
    table.line(
        34,
        "HTTP/2: 421 on the first connection",
        &server,
        &pulled,
        want(ONE_PAGE, 2).bytes(2 + WHOLE),
    );
    table.check(34, server.connections() == 2, "the request came again on the same connection");

    let above = want("TooLarge", 1).bytes_in(CAP as u64 + 1..=CAP as u64 + 64 * 1024);
    // HTTP/2 buffers what the window allows, and a stream's window is 2 MiB.
    let above = above.says(&["more than 1048576 bytes in one page"]).cap(CAP + 2 * 1024 * 1024);
    always(table, 7, "HTTP/2: DATA without end", above, Act::Endless).await;
    let large = want(ONE_PAGE, 1).bytes(WHOLE);
    always(table, 7, "HTTP/2: 30 KiB of headers: no fault", large, Act::LargeHeaders(2)).await;
    // The client only says that the answer breaks the rules.
    let too_large = want("Encoding", 2).says(&["gave up after 2 attempts"]);
    always(table, 7, "HTTP/2: 450 KiB of headers", too_large, Act::LargeHeaders(30)).await;
    let flood = want("TooLarge", 1).says(&["headers"]);
    always(table, 7, "HTTP/2: CONTINUATION without end", flood, Act::HeaderFlood).await;
}

async fn always(table: &mut Table, row: u8, fault: &str, want: Want, act: Act) {
    let server = h2::start(move |_| act.clone()).await;
    let pulled = trusting(server.url("/")).run().await;
    table.line(row, fault, &server, &pulled, want);
}

pub(crate) fn trusting(url: String) -> Pull {
    Pull::get(url).client(|client| client.root_certificate(tls::root()))
}
