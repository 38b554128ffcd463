//! The table: what is expected of each line, what happened, and whether that is the same.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::pull::Pulled;
use crate::fault_server::Server;

/// The cap on a page in every line that does not say otherwise.
pub(crate) const CAP: usize = 1024 * 1024;
/// hyper's read buffer, at its largest.
pub(crate) const READ_BUFFER: usize = 8 * 1024 + 400 * 1024;

/// The most memory that a pull may take. While the buffer of a page grows to the cap there is the old one of
/// half its size beside it; the HTTP client has up to three read buffers: one that is handed over, one in its
/// queue, one that is being filled; and 256 KiB are for all else: TLS, headers, tasks, the test's server.
pub(crate) const fn most_memory(cap: usize) -> usize {
    cap + cap / 2 + 3 * READ_BUFFER + 256 * 1024
}

/// No wait of these tests is longer: a bound that is only there to find a line that hangs.
const GENEROUS: Duration = Duration::from_secs(30);

/// What a line is expected to say.
#[derive(Debug, Clone)]
pub(crate) struct Want {
    outcome: String,
    attempts: usize,
    bytes: RangeInclusive<u64>,
    waited: RangeInclusive<Duration>,
    took: RangeInclusive<Duration>,
    says: Vec<&'static str>,
    memory: usize,
}

/// Expects an outcome ("1 page, 3 records", or the kind of an error) and a number of attempts.
pub(crate) fn want(outcome: impl Into<String>, attempts: usize) -> Want {
    Want {
        outcome: outcome.into(),
        attempts,
        bytes: 0..=0,
        waited: Duration::ZERO..=GENEROUS,
        took: Duration::ZERO..=GENEROUS,
        says: Vec::new(),
        memory: most_memory(CAP),
    }
}

impl Want {
    /// Expects this many decoded bytes of bodies.
    pub(crate) fn bytes(self, bytes: u64) -> Self {
        self.bytes_in(bytes..=bytes)
    }

    pub(crate) fn bytes_in(mut self, bytes: RangeInclusive<u64>) -> Self {
        self.bytes = bytes;
        self
    }

    /// Expects told waits of this length together, exactly or a little more.
    pub(crate) fn waits(mut self, millis: u64) -> Self {
        let least = Duration::from_millis(millis);
        self.waited = least..=least + GENEROUS;
        self.took = least..=least + GENEROUS;
        self
    }

    /// Expects it to take at least this long: the time-outs of all attempts.
    pub(crate) fn takes(mut self, millis: u64) -> Self {
        let least = Duration::from_millis(millis);
        self.took = least..=least + GENEROUS;
        self
    }

    /// Expects these words in the error.
    pub(crate) fn says(mut self, words: &[&'static str]) -> Self {
        self.says.extend(words);
        self
    }

    /// Expects no more memory than a page of this cap may take.
    pub(crate) fn cap(mut self, cap: usize) -> Self {
        self.memory = most_memory(cap);
        self
    }
}

/// What happened, line by line.
#[derive(Debug, Default)]
pub(crate) struct Table {
    lines: Vec<[String; 8]>,
    rows: Vec<u8>,
    wrong: Vec<String>,
}

impl Table {
    /// A line whose attempts are the requests that the server has seen.
    pub(crate) fn line(&mut self, row: u8, fault: &str, server: &Server, pulled: &Pulled, want: Want) {
        self.judge(row, fault, server.requests(), pulled, want);
    }

    /// A line of a server that does not get as far as a request: its attempts are connections.
    pub(crate) fn line_of_connections(
        &mut self,
        row: u8,
        fault: &str,
        server: &Server,
        pulled: &Pulled,
        want: Want,
    ) {
        self.judge(row, fault, server.connections(), pulled, want);
    }

    /// A line of a server that does not exist: its attempts are what the library has counted.
    pub(crate) fn line_without_server(&mut self, row: u8, fault: &str, pulled: &Pulled, want: Want) {
        self.judge(row, fault, pulled.counts.requests as usize, pulled, want);
    }

    /// Something that is not a cell, but must hold as well.
    pub(crate) fn check(&mut self, row: u8, holds: bool, what: &str) {
        if !holds {
            self.wrong.push(format!("row {row}: {what}"));
        }
    }

    fn judge(&mut self, row: u8, fault: &str, attempts: usize, pulled: &Pulled, want: Want) {
        let mut wrong = Vec::new();
        let mut expect = |holds: bool, what: String| {
            if !holds {
                wrong.push(what);
            }
        };
        let Pulled { outcome, counts, peak, took, text, .. } = pulled;
        expect(*outcome == want.outcome, format!("outcome {outcome}, not {}", want.outcome));
        expect(attempts == want.attempts, format!("{attempts} attempts, not {}", want.attempts));
        let counted = counts.requests as usize;
        expect(counted == attempts, format!("{attempts} attempts, and {counted} in the report"));
        let bytes = counts.bytes;
        expect(want.bytes.contains(&bytes), format!("{bytes} bytes, not {:?}", want.bytes));
        let waited = counts.waited;
        expect(want.waited.contains(&waited), format!("waited {waited:?}, not {:?}", want.waited));
        expect(want.took.contains(took), format!("took {took:?}, not {:?}", want.took));
        expect(*peak <= want.memory, format!("{peak} bytes of memory, more than {}", want.memory));
        for words in &want.says {
            expect(text.contains(words), format!("\"{words}\" is not said"));
        }
        expect(!text.contains(char::is_control), "a control character in the error".to_owned());
        let verdict = if wrong.is_empty() { "ok" } else { "WRONG" };
        self.lines.push([
            row.to_string(),
            fault.to_owned(),
            outcome.clone(),
            attempts.to_string(),
            counts.bytes.to_string(),
            format!("{} ms", waited.as_millis()),
            format!("{} KiB", peak.div_ceil(1024)),
            verdict.to_owned(),
        ]);
        self.rows.push(row);
        if !wrong.is_empty() {
            self.wrong.push(format!("row {row}, {fault}: {}\n    it said: {text}", wrong.join("; ")));
        }
    }

    /// The rows of a list that have no line.
    pub(crate) fn missing(&self, rows: impl Iterator<Item = u8>) -> Vec<u8> {
        rows.filter(|row| !self.rows.contains(row)).collect()
    }

    pub(crate) fn wrong(&self) -> &[String] {
        &self.wrong
    }

    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The lines, each under the title of its row.
    pub(crate) fn print(&self, titles: &[(u8, &str)]) {
        let head = ["row", "what the server did", "outcome", "attempts", "bytes", "waited", "memory", ""];
        let mut lines = vec![head.map(str::to_owned)];
        lines.extend(self.lines.iter().cloned());
        lines[1..].sort_by_key(|line| line[0].parse::<u8>().ok());
        let widths: [usize; 8] = std::array::from_fn(|column| {
            lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
        });
        let show = |line: &[String; 8]| {
            let [row, fault, outcome, attempts, bytes, waited, memory, verdict] = line;
            let [w0, w1, w2, w3, w4, w5, w6, _] = widths;
            println!(
                "{row:>w0$}  {fault:<w1$}  {outcome:<w2$}  {attempts:>w3$}  {bytes:>w4$}  {waited:>w5$}  \
                 {memory:>w6$}  {verdict}"
            );
        };
        show(&lines[0]);
        let mut shown = None;
        for line in &lines[1..] {
            let title = titles.iter().find(|(row, _)| row.to_string() == line[0]);
            if shown != Some(&line[0]) {
                println!("{:>width$}  {}", "", title.map_or("?", |(_, title)| title), width = widths[0]);
            }
            shown = Some(&line[0]);
            show(line);
        }
    }
}
