//! What must hold for every input, as one function for each kind of input. The fuzzers in `fuzz/` call `fuzz` of
//! each with bytes that they grow; `cargo test` calls the same with inputs from proptest, with the seeds and with
//! every input that once failed.
#![allow(dead_code, reason = "a fuzzer takes one of them")]

pub(crate) mod annotate;
pub(crate) mod checkpoint;
pub(crate) mod cursor;
pub(crate) mod grammar;
pub(crate) mod hints;
pub(crate) mod link_header;
pub(crate) mod next_url;
pub(crate) mod page_walk;
pub(crate) mod redact;

use futures::{Stream, StreamExt};
use headwater::{Page, Result};

/// What a fuzzer calls with each of its inputs.
pub(crate) type Check = fn(&[u8]);

/// The checks, by the names of their fuzzers.
pub(crate) const TARGETS: [(&str, Check); 8] = [
    ("page_walk", page_walk::fuzz),
    ("annotate", annotate::fuzz),
    ("link_header", link_header::fuzz),
    ("hints", hints::fuzz),
    ("checkpoint", checkpoint::fuzz),
    ("next_url", next_url::fuzz),
    ("redact", redact::fuzz),
    ("cursor", cursor::fuzz),
];

/// The first lines of an input, as text, and the bytes behind them. So a seed can be written by hand.
fn lines<const N: usize>(data: &[u8]) -> ([String; N], &[u8]) {
    let mut rest = data;
    let lines = std::array::from_fn(|_| {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        rest = rest.get(end + 1..).unwrap_or_default();
        line
    });
    (lines, rest)
}

/// All that a page stream gives; nothing in it waits.
fn collected(pages: impl Stream<Item = Result<Page>>) -> Vec<Result<Page>> {
    // No test of one input needs more.
    futures::executor::block_on(pages.take(8).collect())
}
