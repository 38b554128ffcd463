//! Where a page stands in its source: a value that can be seen, stored and resumed from.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::slices::Progress;

/// The position of a page: what a paginator needs to ask for it.
///
/// A position is plain data. It is stored in the checkpoint, and a run that starts from a stored position
/// goes on with that page.
///
/// ```
/// use headwater::Position;
/// let stored = serde_json::to_string(&Position::Offset(200))?;
/// assert_eq!(stored, r#"{"offset":200}"#);
/// assert_eq!(serde_json::from_str::<Position>(&stored)?, Position::Offset(200));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Position {
    /// The first page: the request as it was defined.
    #[default]
    Start,
    /// The number of rows to skip.
    Offset(u64),
    /// The number of the page, as the source counts them.
    Page(u64),
    /// An opaque token, or the key of the last record that was seen.
    Cursor(String),
    /// The URL of the page, without credentials; from the path on if it is of the template's origin.
    Url(String),
    /// Anything else, as JSON.
    Json(serde_json::Value),
    /// Many positions at once: how far each open slice of a window or a fan-out has come, and what has not begun.
    Slices(Arc<Progress>),
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("start"),
            Self::Offset(rows) => write!(f, "offset {rows}"),
            Self::Page(number) => write!(f, "page number {number}"),
            Self::Cursor(token) => write!(f, "cursor \"{}\"", token.escape_debug()),
            Self::Url(url) => write!(f, "url {url}"),
            Self::Json(value) => write!(f, "{value}"),
            Self::Slices(progress) => write!(f, "slices, {} of them open", progress.open()),
        }
    }
}
