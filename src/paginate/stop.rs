//! What an API says about its end, besides the next position itself.

use super::{Answer, missing};
use crate::error::{Error, ErrorKind, Result};
use crate::page::JsonPath;

/// A flag in the body that says whether there is more.
#[derive(Debug, Clone, Default)]
pub(super) struct Flag(Option<(String, bool)>);

/// What the flag said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum More {
    Yes,
    No,
    /// There is no flag.
    Unknown,
}

impl Flag {
    pub(super) fn ends_when(path: &str, value: bool) -> Self {
        Self(Some((path.to_owned(), value)))
    }

    pub(super) fn path(&self) -> Result<Option<JsonPath>> {
        self.0.as_ref().map(|(path, _)| JsonPath::parse(path)).transpose()
    }

    /// Reads the flag, which was captured at `index`.
    pub(super) fn read(&self, answer: &Answer<'_>, index: usize) -> Result<More> {
        let Some((path, end)) = &self.0 else { return Ok(More::Unknown) };
        let value = answer.value(index).ok_or_else(|| missing("the flag", path))?;
        match value.as_bool() {
            Some(value) if value == *end => Ok(More::No),
            Some(_) => Ok(More::Yes),
            None => Err(Error::new(
                ErrorKind::Cursor,
                format!("the flag \"{path}\" is {}, neither true nor false", value.kind()),
            )),
        }
    }

    pub(super) fn definition(&self) -> String {
        self.0.as_ref().map_or_else(String::new, |(path, end)| format!(" until {path}={end}"))
    }
}

/// The source says that there is more and does not say where.
pub(super) fn contradiction(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Truncated, what.into())
        .advice("nothing was skipped, but the source has more than it hands out; the checkpoint stays here")
}
