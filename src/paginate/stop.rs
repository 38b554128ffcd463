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

/// What ends a source whose positions are counted: a flag, a count in the body, or a page without rows.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    pub(super) flag: Flag,
    /// What is counted, and the path of how many there are.
    pub(super) count: Option<String>,
    unit: &'static str,
}

impl Counted {
    pub(super) fn new(unit: &'static str) -> Self {
        Self { flag: Flag::default(), count: None, unit }
    }

    pub(super) fn reads(&self) -> Result<Vec<JsonPath>> {
        let count = self.count.as_ref().map(|path| JsonPath::parse(path)).transpose()?;
        Ok(self.flag.path()?.into_iter().chain(count).collect())
    }

    /// Whether the source is at its end with this page, up to which `done` were counted.
    pub(super) fn ended(&self, answer: &Answer<'_>, done: u64) -> Result<bool> {
        let more = self.flag.read(answer, 0)?;
        let left = self.left(answer, done)?;
        if more == More::No || left == Some(0) {
            return Ok(true);
        }
        if answer.record_count()? > 0 {
            return Ok(false);
        }
        match (more, left) {
            (More::Yes, _) => {
                Err(contradiction("a page without rows, though the source says that there is more"))
            }
            (_, Some(left)) => {
                let what =
                    format!("a page without rows, though by the count there are {left} {} more", self.unit);
                Err(contradiction(what))
            }
            _ => Ok(true),
        }
    }

    fn left(&self, answer: &Answer<'_>, done: u64) -> Result<Option<u64>> {
        let Some(path) = &self.count else { return Ok(None) };
        let index = usize::from(self.flag.0.is_some());
        let value = answer.value(index).ok_or_else(|| missing("the count", path))?;
        let count = value.as_u64().ok_or_else(|| {
            Error::new(
                ErrorKind::Cursor,
                format!("the count \"{path}\" is {}, not a whole number", value.kind()),
            )
        })?;
        Ok(Some(count.saturating_sub(done)))
    }

    pub(super) fn definition(&self) -> String {
        let count =
            self.count.as_ref().map_or_else(String::new, |path| format!(" until {path} {}", self.unit));
        format!("{count}{}", self.flag.definition())
    }
}

/// The source says that there is more and does not say where.
pub(super) fn contradiction(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Truncated, what.into())
        .advice("nothing was skipped, but the source has more than it hands out; the checkpoint stays here")
}
