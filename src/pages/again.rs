//! Whether a request that has failed may be sent again.
//!
//! Retrying asks for the same page once more. That is wrong where the server does something with each request: where a
//! POST writes, and where the server keeps the place itself and moves it on (a scroll). Its positions say nothing of the
//! place: a page whose answer is lost is gone, and so is what was given out behind the last commit of a run that broke off.

use crate::error::{Context, Error, ErrorKind};
use crate::exchange::START_AFRESH;

/// A failure of a request that must not be sent twice: whether the server acted on it cannot be known (RFC 9110
/// §9.2.2), unless it was not reached, or says that it has done nothing.
pub(super) fn unrepeatable(error: Error) -> Error {
    if is_undone(&error) { error } else { error.not_again() }
}

/// A failure behind the first page of a scroll: the server may have moved on, or has closed it.
pub(super) fn lost(error: Error) -> Error {
    let is_closed = error.context().status.is_some_and(|status| status.as_u16() == 404);
    if is_undone(&error) || !(error.is_transient() || is_closed) {
        return error;
    }
    let mut context = Context::default();
    let error = error.at(|known| context = std::mem::take(known));
    let what = "the server keeps the place of this list, and may have moved on: the page is lost";
    Error::new(ErrorKind::CursorExpired, what)
        .at(|unknown| *unknown = context)
        .advice(START_AFRESH)
        .because(error.to_string())
}

/// Says that a scroll which another run has begun cannot be gone on with.
pub(super) fn begun_before() -> Error {
    let what =
        "the server keeps the place of this list, and it is not known how far an earlier run had moved it on";
    Error::new(ErrorKind::CursorExpired, what).advice(START_AFRESH)
}

/// Whether the server was not reached, or says that it has done nothing.
fn is_undone(error: &Error) -> bool {
    if error.context().is_unsent {
        return true;
    }
    match error.context().status.map(|status| status.as_u16()) {
        // RFC 9110 §15.5.20, RFC 8470 §5.2, RFC 9110 §15.6.4.
        Some(421 | 425) => true,
        Some(503) => error.hints().retry_after.is_some(),
        _ => matches!(error.kind(), ErrorKind::Connect | ErrorKind::RateLimited),
    }
}
