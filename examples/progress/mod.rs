//! A bar for each source on a terminal, plain lines otherwise.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::Mutex;

use headwater::pipeline::Event;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Shows the events of a run.
pub(crate) struct Progress {
    bars: Option<MultiProgress>,
    /// How many records each source is expected to have.
    expected: u64,
    sources: Mutex<HashMap<String, Shown>>,
}

struct Shown {
    bar: ProgressBar,
    /// The last line was printed at this many records.
    printed: u64,
}

impl Progress {
    pub(crate) fn new(expected: u64) -> Self {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        Self { bars, expected, sources: Mutex::default() }
    }

    pub(crate) fn show(&self, event: &Event<'_>) {
        let mut sources = self.sources.lock().expect("nothing panics while it is held");
        match *event {
            Event::Started { source, resumed_records } => {
                let bar = self.bar(source);
                bar.set_position(resumed_records);
                sources.insert(source.to_owned(), Shown { bar, printed: resumed_records });
                self.line(|| match resumed_records {
                    0 => format!("{source}: started"),
                    records => format!("{source}: goes on after {records} records"),
                });
            }
            Event::Skipped { source, records } => {
                self.line(|| format!("{source}: was finished before, {records} records"));
            }
            Event::Page { source, records, .. } => {
                let Some(shown) = sources.get_mut(source) else { return };
                shown.bar.set_position(records);
                if records >= shown.printed + self.expected / 4 {
                    shown.printed = records;
                    self.line(|| format!("{source}: {records} records"));
                }
            }
            Event::Finished { source, records } => {
                if let Some(shown) = sources.get(source) {
                    shown.bar.finish();
                }
                self.line(|| format!("{source}: finished, {records} records"));
            }
            Event::Failed { source, .. } => {
                if let Some(shown) = sources.get(source) {
                    shown.bar.abandon_with_message("failed");
                }
                // The error itself is in the report.
                self.line(|| format!("{source}: failed"));
            }
            Event::Waiting { source, remaining } => {
                self.line(|| format!("{source}: waits for {:.0} s", remaining.as_secs_f64()));
            }
            Event::Stopping => eprintln!("stopping: each source finishes its page"),
            _ => {}
        }
    }

    fn bar(&self, source: &str) -> ProgressBar {
        let Some(bars) = &self.bars else { return ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{prefix:12} {bar:40} {pos:>7}/{len} {per_sec} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        bars.add(ProgressBar::new(self.expected)).with_style(style).with_prefix(source.to_owned())
    }

    fn line(&self, text: impl FnOnce() -> String) {
        if self.bars.is_none() {
            eprintln!("{}", text());
        }
    }
}
