//! What a bench is asked for on its command line.

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// `--list`: nothing.
    Nothing,
    /// One small round, to see that it runs: `--test`, or `cargo test --benches`, which gives no `--bench`.
    Test,
    /// `cargo bench`.
    Bench,
}

pub(crate) fn asked() -> Asked {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    match () {
        () if has("--list") => Asked::Nothing,
        () if has("--test") || !has("--bench") => Asked::Test,
        () => Asked::Bench,
    }
}
