//! The quickstart as a process of its own.

use std::path::Path;
use std::process::{Output, Stdio};

use headwater::testing::Resource;
use tokio::process::{Child, Command};

use super::{example, files, ids_in};

pub(crate) const SOURCES: [&str; 3] = ["customers", "invoices", "issues"];

/// The command, with both outputs piped.
pub(crate) fn command(out: &Path) -> Command {
    let mut command = example("quickstart");
    command.arg("--output").arg(out).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn start(out: &Path) -> Child {
    command(out).spawn().expect("the example can be started")
}

/// Runs it to its end; what it printed.
///
/// # Panics
/// If it does not end well.
pub(crate) async fn run(out: &Path) -> String {
    finished(super::run(&mut command(out)).await)
}

/// What a run printed that ended well.
pub(crate) fn finished(output: Output) -> String {
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    text
}

/// What a run printed.
pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Every file of each source has every record once, in order. There may be several: an older one is from a run
/// that was killed between its last commit and its exit.
///
/// # Panics
/// If a source has no file, or one that is not so.
pub(crate) fn assert_complete(out: &Path, records: u64) {
    for source in SOURCES {
        let expected: Vec<String> = Resource::new(source, records).ids().collect();
        let files = files(out, source);
        assert!(!files.is_empty(), "{source} has no file");
        for file in files {
            assert!(
                ids_in(&file) == expected,
                "{} does not hold every record once, in order",
                file.display()
            );
        }
    }
}
