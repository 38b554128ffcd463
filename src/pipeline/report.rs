//! What a run has done.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::error::Error;
use crate::meter::Counts;
use crate::paginate::Consistency;
use crate::sink::Guarantee;

/// What a run has done, source by source. Its `Display` is a table; it serialises to JSON.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The run; one that went on after it was broken off keeps it.
    pub run: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What a crash could have done to the records.
    pub guarantee: Guarantee,
    /// How long this process was at it.
    #[serde(serialize_with = "seconds")]
    pub duration: Duration,
    /// The sources, in the order they were given.
    pub sources: Vec<SourceReport>,
}

/// What was done for one source.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SourceReport {
    /// Its name.
    pub source: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed, in one redacted line.
    pub error: Option<String>,
    /// Records fetched and committed in this run, those before a break included.
    pub records: u64,
    /// Of these, the ones that are in the output.
    pub written: u64,
    /// And the ones that are not, for they did not fit its schema: they are kept with the reason.
    pub rejected: u64,
    /// Of these, the ones that were there when this process started.
    pub resumed_records: u64,
    /// Pages committed in this run, those before a break included.
    pub pages: u64,
    /// What this process asked, waited and received.
    #[serde(flatten)]
    pub counts: Counts,
    /// From its first request to its end.
    #[serde(serialize_with = "seconds")]
    pub duration: Duration,
    /// Whether it could be read exactly while it changed.
    pub consistency: Consistency,
    /// Where its records are.
    pub output: Option<String>,
    /// What a person should know, though it is no error: a count that lands on a declared ceiling, say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// How a source, or a whole run, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// Everything is there.
    Finished,
    /// It was stopped, and goes on next time.
    Stopped,
    /// It gave up; the next run tries again from the last commit.
    Failed,
}

impl Report {
    /// The source of this name.
    pub fn source(&self, name: &str) -> Option<&SourceReport> {
        self.sources.iter().find(|source| source.source == name)
    }

    /// All records together.
    pub fn records(&self) -> u64 {
        self.sources.iter().map(|source| source.records).sum()
    }

    /// All that were rejected.
    pub fn rejected(&self) -> u64 {
        self.sources.iter().map(|source| source.rejected).sum()
    }

    /// The report as JSON.
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists of them: this cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Finished => "finished",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head =
            ["source", "outcome", "records", "pages", "requests", "retries", "waited", "received", "time"];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(self.sources.iter().map(|source| {
            [
                source.source.clone(),
                source.outcome.to_string(),
                source.records.to_string(),
                source.pages.to_string(),
                source.counts.requests.to_string(),
                source.counts.retries.to_string(),
                format!("{:.1} s", source.counts.waited.as_secs_f64()),
                size(source.counts.bytes),
                format!("{:.1} s", source.duration.as_secs_f64()),
            ]
        }));
        let widths: [usize; 9] = std::array::from_fn(|column| {
            rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
        });
        for row in &rows {
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                // Words to the left, numbers to the right.
                if column < 2 {
                    write!(f, "{cell:<width$}  ")?;
                } else {
                    write!(f, "{cell:>width$}{}", if column + 1 < row.len() { "  " } else { "\n" })?;
                }
            }
        }
        write!(f, "{} records, {} in {:.1} s", self.records(), self.outcome, self.duration.as_secs_f64())?;
        // One that has failed before its first commit has nothing there yet.
        let has_output = |source: &&SourceReport| source.records > 0 || source.outcome == Outcome::Finished;
        for source in self.sources.iter().filter(has_output) {
            if let Some(output) = &source.output {
                write!(f, "\n{}: {output}", source.source)?;
            }
        }
        for source in self.sources.iter().filter(|source| source.consistency == Consistency::Shifting) {
            let name = &source.source;
            write!(
                f,
                "\nnote: {name} is paged by counting: rows inserted or removed during the run can shift"
            )?;
        }
        for source in self.sources.iter().filter(|source| source.rejected > 0) {
            let (name, written, rejected) = (&source.source, source.written, source.rejected);
            write!(f, "\nwarning: {name}: {rejected} records were rejected, {written} written")?;
        }
        for source in &self.sources {
            for warning in &source.warnings {
                write!(f, "\nwarning: {}: {warning}", source.source)?;
            }
        }
        for error in self.sources.iter().filter_map(|source| source.error.as_ref()) {
            write!(f, "\n{error}")?;
        }
        Ok(())
    }
}

/// A run that is not finished, with the report of what was done.
#[non_exhaustive]
pub struct RunError {
    /// The first thing that went wrong.
    pub error: Error,
    /// What was done; `None` if the run could not start.
    pub report: Option<Box<Report>>,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed =
            self.report.iter().flat_map(|report| &report.sources).filter(|source| source.error.is_some());
        match failed.count() {
            0 | 1 => self.error.fmt(f),
            2 => write!(f, "{} (and one more source failed)", self.error),
            count => write!(f, "{} (and {} more sources failed)", self.error, count - 1),
        }
    }
}

// What a person sees when `main` returns it: what was done, and what went wrong.
impl fmt::Debug for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.report {
            Some(report) => write!(f, "{self}\n\n{report}"),
            None => fmt::Display::fmt(self, f),
        }
    }
}

impl std::error::Error for RunError {}

impl From<Error> for RunError {
    /// For what goes wrong before a run: a program can have one error type.
    fn from(error: Error) -> Self {
        Self { error, report: None }
    }
}

impl From<RunError> for Error {
    fn from(error: RunError) -> Self {
        error.error
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((time.as_secs_f64() * 1000.0).round() / 1000.0)
}
