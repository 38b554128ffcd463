//! The fault catalogue, over real sockets: what can go wrong on the network or in an answer, row by row, what the
//! server did, and what came of it.
//!
//! ```sh
//! cargo test --test faults -- --nocapture
//! ```
//!
//! prints the table. Each line is a pull through the public combinators, and each of its cells is declared
//! beside it: the records or the kind of the error, the requests that the server has seen, the decoded bytes, the
//! waits, and the most memory that was in use.

mod fault_rows;
mod fault_server;

use fault_rows::pull::Pulled;
use fault_rows::table::{CAP, Table, Want, most_memory, want};

#[global_allocator]
static MEMORY: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

/// The catalogue: R retried with back-off, R1 once more, W waited as told, L stopped at a cap, F given up at once.
const ROWS: &[(u8, &str)] = &[
    (0, "odd, and no fault"),
    (1, "name resolution fails: R"),
    (2, "connection refused, connecting takes too long: R"),
    (3, "connection breaks before the answer: R, if the request may be repeated"),
    (4, "body breaks off: R, the whole page"),
    (5, "garbled framing: R1"),
    (6, "silence and slow drip: time-outs for one read and for the whole, then R"),
    (7, "endless body, header flood: L"),
    (8, "HTTP/2 resets and goodbyes: R"),
    (9, "TLS: F"),
    (10, "proxies: 407 F, 5xx R"),
    (11, "unknown and stacked content codings: F"),
    (12, "corrupt gzip: R1; decompression bomb: L"),
    (13, "invalid UTF-8: F, with the offset; one byte-order mark is dropped"),
    (14, "truncated JSON, trailing bytes: R1"),
    (15, "nesting a million deep: no fault within the cap"),
    (16, "numbers of any length: kept"),
    (17, "duplicate keys, lone surrogates: kept"),
    (18, "pretty-printed JSON: one line a record"),
    (19, "HTML with status 200: R, then F with an excerpt"),
    (20, "an error with status 200: F"),
    (21, "record path missing: F, with the paths that hold arrays"),
    (22, "cursor missing where one must be: F"),
    (23, "no body: F, unless declared as the end"),
    (24, "206 and 304 that nobody asked for: F"),
    (25, "redirects inside the origin: followed; circles, more than ten: F"),
    (26, "redirects and next links to another origin: F, unless it was allowed; no credential goes there"),
    (27, "https to http: F"),
    (28, "expired cursors: CursorExpired"),
    (29, "401 in mid-run: F; credentials cannot be refreshed yet"),
    (30, "403: W with a limit's marks, else F"),
    (31, "statuses that stay: F"),
    (32, "408: R; 425: R1"),
    (33, "409 and 423: F"),
    (34, "421: R1, on a new connection"),
    (35, "429 with Retry-After in any form: W"),
    (36, "429 with a reset: W; with nothing: R"),
    (37, "Retry-After in the past, negative, garbage: R"),
    (38, "Retry-After of hours: F, with the time to come back"),
    (39, "hints that contradict each other: the longest"),
    (40, "clocks that are wrong: dates count from the answer's own Date"),
    (41, "5xx: R; with Retry-After: W"),
    (42, "a position that comes again: F"),
    (43, "the same page under a new position: F, unless it was allowed"),
    (44, "empty and short pages, a total that changes: no fault"),
    (45, "a page size that the server cuts down: no fault"),
    (46, "rows inserted while offsets count: the report says so"),
    (53, "a stream that is dropped or not polled: nothing left behind, nothing lost"),
    (57, "links to private addresses: F, without a connection"),
    (58, "control characters from a server: escaped"),
];

#[tokio::test]
async fn every_row_of_the_catalogue_does_what_it_must() {
    let mut table = Table::default();
    fault_rows::connection::rows(&mut table).await;
    fault_rows::framing::rows(&mut table).await;
    fault_rows::h2::rows(&mut table).await;
    fault_rows::tls::rows(&mut table).await;
    fault_rows::json::rows(&mut table).await;
    fault_rows::body::rows(&mut table).await;
    fault_rows::status::rows(&mut table).await;
    fault_rows::limits::rows(&mut table).await;
    fault_rows::redirects::rows(&mut table).await;
    fault_rows::paging::rows(&mut table).await;
    fault_rows::runs::rows(&mut table).await;
    fault_rows::odd::rows(&mut table).await;
    table.print(ROWS);
    println!("{} lines, {} wrong", table.len(), table.wrong().len());
    let missing = table.missing(ROWS.iter().map(|(row, _)| *row));
    assert!(missing.is_empty(), "rows without a line: {missing:?}");
    assert!(table.wrong().is_empty(), "\n{}", table.wrong().join("\n"));
}

#[test]
fn a_cell_that_is_wrong_and_a_row_that_is_missing_are_found() {
    let pulled = |outcome: &str, text: &str| Pulled { text: text.to_owned(), ..Pulled::shown(outcome) };
    let judge = |pulled: &Pulled, want: Want| {
        let mut table = Table::default();
        table.line_without_server(7, "a fault", pulled, want);
        (table.wrong().len(), table.missing([6, 7].into_iter()))
    };
    let page = pulled("1 page, 3 records", "");
    assert_eq!(judge(&page, want("1 page, 3 records", 0)), (0, vec![6]));
    for wrong in [
        want("1 page, 2 records", 0),
        want("1 page, 3 records", 1),
        want("1 page, 3 records", 0).bytes(1),
        want("1 page, 3 records", 0).waits(1),
        want("1 page, 3 records", 0).takes(1),
        want("1 page, 3 records", 0).says(&["words"]),
    ] {
        assert_eq!(judge(&page, wrong.clone()).0, 1, "{wrong:?}");
    }
    let escapes = pulled("Status", "\u{1b}[31m");
    assert_eq!(judge(&escapes, want("Status", 0)).0, 1, "a control character");
    let large = Pulled { peak: most_memory(CAP) + 1, ..pulled("Status", "") };
    assert_eq!(judge(&large, want("Status", 0)).0, 1, "too much memory");
}
