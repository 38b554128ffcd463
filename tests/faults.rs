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

use fault_rows::table::Table;

#[global_allocator]
static MEMORY: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

/// The catalogue: R retried with back-off, R1 once more, W waited as told, L stopped at a cap, F given up at once.
const ROWS: &[(u8, &str)] = &[
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
];

#[tokio::test]
async fn every_row_of_the_catalogue_does_what_it_must() {
    let mut table = Table::default();
    fault_rows::connection::rows(&mut table).await;
    fault_rows::framing::rows(&mut table).await;
    fault_rows::h2::rows(&mut table).await;
    fault_rows::tls::rows(&mut table).await;
    table.print(ROWS);
    println!("{} lines, {} wrong", table.len(), table.wrong().len());
    let missing = table.missing(ROWS.iter().map(|(row, _)| *row));
    assert!(missing.is_empty(), "rows without a line: {missing:?}");
    assert!(table.wrong().is_empty(), "\n{}", table.wrong().join("\n"));
}
