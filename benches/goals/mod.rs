//! What the benches measure against their goals: each prints its rows and keeps them in a file, from which `summary` makes
//! the one table.

// Each benchmark uses a part of it.
#![allow(dead_code, reason = "each bench uses its part")]

use std::fmt::{self, Display};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The benches that have goals, in the order of the table.
pub(crate) const BENCHES: [&str; 7] =
    ["end_to_end", "records", "latency", "sources", "memory", "postgres", "steps"];

const AT_MOST: &str = "at most";
const AT_LEAST: &str = "at least";
const MEASURED: &str = "measured";

/// Which side of the figure is the good one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

/// What was measured, and what it should be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    what: String,
    measured: f64,
    goal: Goal,
    /// `x`, `%` or `KiB`.
    unit: String,
}

impl Row {
    pub(crate) fn is_reached(&self) -> bool {
        match self.goal {
            Goal::AtMost(goal) => self.measured <= goal,
            Goal::AtLeast(goal) => self.measured >= goal,
        }
    }

    fn verdict(&self) -> &'static str {
        if self.is_reached() { "reached" } else { "missed" }
    }

    fn words(&self) -> (&'static str, f64) {
        match self.goal {
            Goal::AtMost(goal) => (AT_MOST, goal),
            Goal::AtLeast(goal) => (AT_LEAST, goal),
        }
    }

    fn to_line(&self) -> String {
        let (side, goal) = self.words();
        format!("{}\t{}\t{side}\t{goal}\t{}\t{}\n", self.what, self.measured, self.unit, self.verdict())
    }

    fn from_line(line: &str) -> Option<Self> {
        let [what, measured, side, goal, unit, _] = line.split('\t').collect::<Vec<_>>()[..] else {
            return None;
        };
        let goal = goal.parse().ok()?;
        let goal = match side {
            AT_MOST => Goal::AtMost(goal),
            AT_LEAST => Goal::AtLeast(goal),
            _ => return None,
        };
        Some(Self { what: what.to_owned(), measured: measured.parse().ok()?, goal, unit: unit.to_owned() })
    }
}

impl Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (side, goal) = self.words();
        let digits = if self.unit == "x" { 2 } else { 1 };
        let measured = format!("{:.digits$} {}", self.measured, self.unit);
        let goal = format!("{goal} {}", self.unit);
        write!(f, "{:<60}  {measured:>9}  {side:>8} {goal:<7}  {}", self.what, self.verdict())
    }
}

/// The line above rows.
pub(crate) fn heading(title: &str) -> String {
    format!("{title:<60}  {:>9}  {:>8} {:<7}  verdict", MEASURED, "goal", "")
}

/// The rows of one bench.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Goals {
    bench: &'static str,
    /// In UTC.
    pub(crate) measured_at: String,
    pub(crate) rows: Vec<Row>,
}

impl Goals {
    pub(crate) fn of(bench: &'static str) -> Self {
        let measured_at = chrono::Utc::now().format("%Y-%m-%d %H:%M:%S UTC").to_string();
        Self { bench, measured_at, rows: Vec::new() }
    }

    pub(crate) fn at_most(&mut self, what: impl Into<String>, measured: f64, goal: f64, unit: &str) {
        self.rows.push(Row { what: what.into(), measured, goal: Goal::AtMost(goal), unit: unit.to_owned() });
    }

    pub(crate) fn at_least(&mut self, what: impl Into<String>, measured: f64, goal: f64, unit: &str) {
        self.rows.push(Row { what: what.into(), measured, goal: Goal::AtLeast(goal), unit: unit.to_owned() });
    }

    pub(crate) fn print(&self) {
        println!("\n{}", heading(self.bench));
        self.rows.iter().for_each(|row| println!("{row}"));
    }

    /// Puts the rows in the place of those of the run before.
    pub(crate) fn keep(&self) -> io::Result<()> {
        self.keep_in(&dir())
    }

    pub(crate) fn keep_in(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        let lines = self.rows.iter().map(Row::to_line);
        let text: String =
            std::iter::once(format!("{MEASURED}\t{}\n", self.measured_at)).chain(lines).collect();
        fs::write(file(dir, self.bench), text)
    }

    /// The rows that were kept; `None` where there are none yet, or those of another version.
    pub(crate) fn kept(bench: &'static str) -> Option<Self> {
        Self::kept_in(&dir(), bench)
    }

    pub(crate) fn kept_in(dir: &Path, bench: &'static str) -> Option<Self> {
        let text = fs::read_to_string(file(dir, bench)).ok()?;
        let mut lines = text.lines();
        let (_, measured_at) = lines.next()?.split_once('\t').filter(|(first, _)| *first == MEASURED)?;
        let rows = lines.map(Row::from_line).collect::<Option<_>>()?;
        Some(Self { bench, measured_at: measured_at.to_owned(), rows })
    }
}

fn dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("goals")
}

fn file(dir: &Path, bench: &str) -> PathBuf {
    dir.join(format!("{bench}.tsv"))
}
