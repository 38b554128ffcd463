//! Answers and refusals.

use headwater::testing::Reply;
use serde_json::{Value, json};

/// An answer, or a refusal.
pub(crate) type Served = Result<Reply, Reply>;

/// An answer in JSON, whatever its status.
pub(crate) fn answer(status: u16, body: Value) -> Reply {
    Reply::status(status).header("content-type", "application/json").body(body.to_string())
}

/// A page in JSON.
pub(crate) fn ok(body: Value) -> Served {
    Ok(answer(200, body))
}

/// A refusal with a reason.
pub(crate) fn refuse(status: u16, why: impl Into<String>) -> Reply {
    answer(status, json!({ "error": why.into() }))
}

/// Refuses with this status unless it is so.
pub(crate) fn demand(so: bool, status: u16, why: impl Into<String>) -> Result<(), Reply> {
    if so { Ok(()) } else { Err(refuse(status, why)) }
}

/// Refuses with a 400 unless it is so.
pub(crate) fn require(so: bool, why: impl Into<String>) -> Result<(), Reply> {
    demand(so, 400, why)
}

/// A text as it stands in a query.
pub(crate) fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
