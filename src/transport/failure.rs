//! What a failure of the client means for the next attempt.

use std::error::Error as StdError;
use std::io;

use crate::error::{Error, ErrorKind};

/// Turns a failure of the client into an error, without its URL.
pub(super) fn failure(error: reqwest::Error) -> Error {
    let error = error.without_url();
    sort(&error).because(error)
}

/// Sorts a failure by what it means for the next attempt.
fn sort(error: &reqwest::Error) -> Error {
    let causes = causes(error);
    let mentions =
        |words: &[&str]| causes.iter().any(|cause| words.iter().any(|word| cause.to_string().contains(word)));

    if error.is_timeout() {
        return Error::new(ErrorKind::Timeout, "no answer in time").transient();
    }
    // rustls says so in the error that it hides in an `io::Error`. A corrupt message is what a server that
    // speaks something else than TLS at this port looks like.
    const TLS: [&str; 4] = [
        "invalid peer certificate",
        "received fatal alert",
        "peer is incompatible",
        "received corrupt message",
    ];
    if mentions(&TLS) {
        return Error::new(ErrorKind::Tls, "the server's certificate or protocol was not accepted");
    }
    if error.is_connect() {
        if mentions(&["proxy authorization required"]) {
            return Error::new(ErrorKind::Connect, "the proxy wants credentials (407)");
        }
        return Error::new(ErrorKind::Connect, "could not connect").transient();
    }
    if error.is_builder() {
        return Error::config("the request cannot be sent");
    }
    // Above 408 KiB, or in more frames than any honest server needs for so much.
    if mentions(&["head is too large", "too_many_continuations"]) {
        // Asking again brings the same flood.
        return Error::new(ErrorKind::TooLarge, "the headers of the answer are too large");
    }
    let unreadable =
        causes.iter().any(|cause| cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse));
    let corrupt = causes
        .iter()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| matches!(cause.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput));
    // What h2 says of an answer that breaks the rules, or whose headers are too large but do end.
    if unreadable || corrupt || mentions(&["stream error detected: unspecific protocol error"]) {
        return Error::new(ErrorKind::Encoding, "the answer is garbled").once();
    }
    Error::new(ErrorKind::Interrupted, "the answer is not complete").transient()
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> Vec<&'a (dyn StdError + 'static)> {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause);
        next = cause.source();
    }
    causes
}
