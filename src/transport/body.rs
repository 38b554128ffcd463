//! Reading a body to its end, and never more of it than the cap.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use http::{StatusCode, Version};

use super::buffers::Buffers;
use super::coding::{Coding, Decoder, Fault};
use super::failure::failure;
use crate::error::{Error, ErrorKind, Result};

/// Of the body of a failure, no more than this is kept: it is only for the error message and the rules.
const FAILURE_BYTES: usize = 64 * 1024;
/// The announced length is only trusted as far as it costs nothing.
const TRUSTED_BYTES: usize = 1024 * 1024;

/// The body of a success: whole, decoded, at most `cap` bytes.
pub(super) async fn page(incoming: &mut reqwest::Response, cap: usize, buffers: &Buffers) -> Result<Bytes> {
    let headers = incoming.headers();
    if framed_twice(headers) {
        // RFC 9112 §6.3: the sign of smuggling or of a broken proxy. Where the body ends is anyone's guess.
        let what = "the answer has both a Content-Length and a Transfer-Encoding";
        return Err(Error::new(ErrorKind::Encoding, what).once());
    }
    let coding = Coding::of(headers)?;
    let ends_by_close = ends_by_close(incoming);
    let announced = usize::try_from(incoming.content_length().unwrap_or(0)).unwrap_or(usize::MAX);
    if announced > cap {
        return Err(too_large(cap, &format!("the server announces {announced}")));
    }
    let expected = if coding == Coding::Plain { announced.min(TRUSTED_BYTES) } else { 0 };
    let mut body = Decoder::new(coding, buffers.take(expected), cap);
    loop {
        let chunk = match incoming.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(error) => return Err(stopped(failure(error), &body)),
        };
        if let Err(fault) = body.push(&chunk) {
            return Err(stopped(explain(fault, cap, body.taken()), &body));
        }
    }
    match body.finish() {
        Ok(whole) if whole.is_empty() && ends_by_close => {
            // A server that dies behind its headers looks just like one that had nothing to say.
            Err(Error::new(ErrorKind::Interrupted, "the connection was closed where a body was expected")
                .transient())
        }
        Ok(whole) => Ok(buffers.lend(whole)),
        Err(fault) => Err(stopped(explain(fault, cap, body.taken()), &body)),
    }
}

/// Whether nothing says how long the body is, so that it ends where the connection does (RFC 9112 §6.3). 204 and 205
/// have none.
fn ends_by_close(incoming: &reqwest::Response) -> bool {
    let headers = incoming.headers();
    let codings = headers.get_all(TRANSFER_ENCODING).iter().next_back();
    let is_chunked = codings.is_some_and(|codings| {
        let last = codings.as_bytes().rsplit(|byte| *byte == b',').next().unwrap_or_default();
        last.trim_ascii().eq_ignore_ascii_case(b"chunked")
    });
    incoming.version() <= Version::HTTP_11
        && !matches!(incoming.status(), StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT)
        && !headers.contains_key(CONTENT_LENGTH)
        && !is_chunked
}

fn stopped(error: Error, body: &Decoder) -> Error {
    error.at(|context| context.received = body.taken())
}

/// The beginning of a failure's body. That it breaks off does not matter: the status says enough.
pub(super) async fn beginning(incoming: &mut reqwest::Response) -> Bytes {
    let headers = incoming.headers();
    let Ok(coding) = Coding::of(headers) else { return Bytes::new() };
    if framed_twice(headers) {
        return Bytes::new();
    }
    let mut body = Decoder::new(coding, Vec::new(), FAILURE_BYTES);
    while let Ok(Some(chunk)) = incoming.chunk().await {
        if body.push(&chunk).is_err() {
            break;
        }
    }
    body.so_far().into()
}

fn framed_twice(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_LENGTH) && headers.contains_key(TRANSFER_ENCODING)
}

fn explain(fault: Fault, cap: usize, taken: u64) -> Error {
    match fault {
        Fault::Full => too_large(cap, &format!("stopped after {taken}")),
        Fault::Corrupt(error) => {
            Error::new(ErrorKind::Encoding, "the answer is not valid gzip").because(error).once()
        }
    }
}

fn too_large(cap: usize, seen: &str) -> Error {
    Error::new(ErrorKind::TooLarge, format!("more than {cap} bytes in one page: {seen}"))
        .advice("ask for smaller pages, or raise `max_page_bytes`")
}
