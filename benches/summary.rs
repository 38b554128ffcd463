//! The goals of all benches in one table, as each was measured last. Measures nothing itself: `cargo bench` runs it at
//! the end, for benches run in the order of their names.
//!
//! ```text
//! cargo bench                      # all benches, and then the table
//! cargo bench --bench summary      # the table of what was measured before
//! ```

mod arguments;
mod goals;

use arguments::Asked;
use goals::{BENCHES, Goals, heading};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Each bench with its rows, if it has any yet, and how many goals are reached.
fn table(kept: &[(&str, Option<Goals>)]) -> String {
    let mut lines = vec![heading("goals")];
    for (bench, goals) in kept {
        match goals {
            Some(goals) => {
                lines.push(format!("\n{bench}, measured {}", goals.measured_at));
                lines.extend(goals.rows.iter().map(ToString::to_string));
            }
            None => lines.push(format!("\n{bench}, not measured yet: cargo bench --bench {bench}")),
        }
    }
    let rows = || kept.iter().filter_map(|(_, goals)| goals.as_ref()).flat_map(|goals| &goals.rows);
    let (all, reached) = (rows().count(), rows().filter(|row| row.is_reached()).count());
    let waiting = kept.iter().filter(|(_, goals)| goals.is_none()).count();
    let mut sum = format!("\nreached: {reached}, missed: {}", all - reached);
    if waiting > 0 {
        sum.push_str(&format!(", benches not measured yet: {waiting}"));
    }
    lines.push(sum);
    lines.join("\n")
}

/// What is kept comes back as it was, and a bench that never ran is named with its command.
fn test() -> Outcome<()> {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut goals = Goals::of("latency");
    goals.at_least("as fast", 7.0, 7.0, "x");
    goals.at_least("as fast, nearly", 6.9, 7.0, "x");
    goals.at_most("memory", 1.0 / 3.0, 20.0, "KiB");
    goals.at_most("nothing to compare with", f64::NAN, 2.0, "%");
    goals.keep_in(dir.path())?;
    let kept = Goals::kept_in(dir.path(), "latency").ok_or("the rows are gone")?;
    let verdicts: Vec<bool> = kept.rows.iter().map(|row| row.is_reached()).collect();
    assert_eq!(verdicts, [true, false, true, false]);
    assert_eq!(kept.rows[..3], goals.rows[..3]);
    assert_eq!(kept.measured_at, goals.measured_at);
    assert_eq!(Goals::kept_in(dir.path(), "memory"), None);
    let table = table(&[("latency", Some(kept)), ("memory", None)]);
    assert!(table.contains("cargo bench --bench memory"), "{table}");
    assert!(table.ends_with("reached: 2, missed: 2, benches not measured yet: 1"), "{table}");
    Ok(())
}

fn main() -> Outcome<()> {
    match arguments::asked() {
        Asked::Nothing => {}
        Asked::Test => test()?,
        Asked::Bench => println!("\n{}", table(&BENCHES.map(|bench| (bench, Goals::kept(bench))))),
    }
    Ok(())
}
