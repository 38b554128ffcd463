//! What happened, line by line, in virtual time. The same seed must give the same bytes.

use std::fmt::{Arguments, Write};
use std::time::Duration;

/// What a line begins with that tells of a broken invariant.
pub(crate) const BROKEN: &str = "BROKEN ";

#[derive(Debug, Default)]
pub(crate) struct Trace {
    text: String,
    lines: u64,
}

impl Trace {
    pub(crate) fn line(&mut self, at: Duration, what: Arguments<'_>) {
        self.lines += 1;
        // Writing into a string cannot fail.
        let _ = writeln!(self.text, "{:>10} {what}", at.as_millis());
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    /// The last lines, up to the one that tells of a broken invariant.
    pub(crate) fn tail(&self, lines: usize) -> String {
        let all: Vec<&str> = self.text.lines().collect();
        let end =
            all.iter().position(|line| line.contains(BROKEN)).map_or(all.len(), |at| at + 2).min(all.len());
        all[end.saturating_sub(lines)..end].join("\n")
    }
}
