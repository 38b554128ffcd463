//! The counts that are kept in a file, and how others stand to them.

use std::fmt::Write;

use super::callgrind::Count;
use super::{Outcome, ROWS};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");
const WITH: &str = "# Counted with: ";
const TOLERANCE: f64 = 0.05;

/// The counts that are kept, and what they were counted with.
pub(crate) struct Kept {
    pub(crate) with: String,
    rows: Vec<(String, String, Count)>,
}

impl Kept {
    /// Reads the file; one that is not there has no rows.
    pub(crate) fn read() -> Outcome<Self> {
        let text = match std::fs::read_to_string(FILE) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let with = text.lines().find_map(|line| line.strip_prefix(WITH)).unwrap_or_default().to_owned();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let rows = lines.map(|line| {
            let [part, list, instructions, allocations] =
                line.split_ascii_whitespace().collect::<Vec<_>>()[..]
            else {
                return Err(format!("{FILE}: {line:?} is no row").into());
            };
            let count = Count { instructions: instructions.parse()?, allocations: allocations.parse()? };
            Ok((part.to_owned(), list.to_owned(), count))
        });
        Ok(Self { with, rows: rows.collect::<Outcome<_>>()? })
    }

    pub(crate) fn write(with: &str, counts: &[Count]) -> Outcome<()> {
        let mut text = format!("# Written by: cargo bench --bench instructions -- --write\n{WITH}{with}\n");
        text.push_str("# part, pages, instructions for each record (or commit), allocations for each page (or commit)\n");
        for ((part, list), count) in ROWS.iter().zip(counts) {
            writeln!(text, "{part:<8}  {list:<11}  {:>9.1}  {:>6.2}", count.instructions, count.allocations)?;
        }
        Ok(std::fs::write(FILE, text)?)
    }

    pub(crate) fn row(&self, part: &str, list: &str) -> Option<Count> {
        let same = |row: &&(String, String, Count)| row.0 == part && row.1 == list;
        self.rows.iter().find(same).map(|row| row.2)
    }

    /// Whether it has a row that nobody counts any more.
    pub(crate) fn has_others(&self) -> bool {
        self.rows.iter().any(|row| !ROWS.contains(&(row.0.as_str(), row.1.as_str())))
    }
}

/// How a count stands to the one that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Unknown,
    Risen,
    Fallen,
    Same,
}

impl Verdict {
    pub(crate) fn of(now: Count, kept: Option<Count>) -> Self {
        let Some(kept) = kept else { return Self::Unknown };
        // The file has two digits: of nothing, one more in a hundred pages is not a rise.
        let more = |now: f64, kept: f64| now > kept * (1.0 + TOLERANCE) + 0.01;
        let less = |now: f64, kept: f64| now < kept * (1.0 - TOLERANCE) - 0.01;
        match () {
            () if more(now.instructions, kept.instructions) || more(now.allocations, kept.allocations) => {
                Self::Risen
            }
            () if less(now.instructions, kept.instructions) || less(now.allocations, kept.allocations) => {
                Self::Fallen
            }
            () => Self::Same,
        }
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Unknown => "not in the file",
            Self::Risen => "MORE THAN 5 % ABOVE",
            Self::Fallen => "more than 5 % below: lower the file with --write",
            Self::Same => "",
        }
    }
}
