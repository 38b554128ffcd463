//! What was simulated, in figures.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use headwater::ErrorKind;

#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    pub(crate) worlds: u64,
    pub(crate) lives: u64,
    pub(crate) runs: u64,
    pub(crate) virtual_time: Duration,
    pub(crate) requests: u64,
    pub(crate) hops: u64,
    pub(crate) pages: u64,
    pub(crate) repeated: u64,
    pub(crate) records: u64,
    pub(crate) waits: u64,
    pub(crate) lines: u64,
    /// A hash of all traces, whatever their order.
    pub(crate) traces: u64,
    /// How processes ended.
    pub(crate) ends: BTreeMap<&'static str, u64>,
    pub(crate) dialects: BTreeMap<&'static str, u64>,
    /// What worlds write to.
    pub(crate) outputs: BTreeMap<&'static str, u64>,
    /// The longest marks in bytes.
    marks: BTreeMap<&'static str, u64>,
    faults: BTreeMap<String, u64>,
    errors: BTreeMap<String, u64>,
}

impl Tally {
    pub(crate) fn fault(&mut self, name: String) {
        *self.faults.entry(name).or_default() += 1;
    }

    pub(crate) fn failed(&mut self, kind: ErrorKind) {
        *self.errors.entry(format!("{kind:?}")).or_default() += 1;
    }

    pub(crate) fn longest(&mut self, name: &'static str, bytes: u64) {
        let longest = self.marks.entry(name).or_default();
        *longest = bytes.max(*longest);
    }

    pub(crate) fn end(&mut self, how: &'static str) {
        *self.ends.entry(how).or_default() += 1;
    }

    pub(crate) fn faults(&self) -> u64 {
        self.faults.values().sum()
    }

    pub(crate) fn add(&mut self, other: Self) {
        fn merge<K: Ord>(into: &mut BTreeMap<K, u64>, from: BTreeMap<K, u64>) {
            for (key, count) in from {
                *into.entry(key).or_default() += count;
            }
        }
        self.worlds += other.worlds;
        self.lives += other.lives;
        self.runs += other.runs;
        self.virtual_time += other.virtual_time;
        self.requests += other.requests;
        self.hops += other.hops;
        self.pages += other.pages;
        self.repeated += other.repeated;
        self.records += other.records;
        self.waits += other.waits;
        self.lines += other.lines;
        self.traces = self.traces.wrapping_add(other.traces);
        merge(&mut self.ends, other.ends);
        merge(&mut self.dialects, other.dialects);
        merge(&mut self.outputs, other.outputs);
        for (name, bytes) in other.marks {
            self.longest(name, bytes);
        }
        merge(&mut self.faults, other.faults);
        merge(&mut self.errors, other.errors);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.virtual_time.as_secs_f64() / 86_400.0;
        writeln!(f, "{} worlds, {days:.1} days of virtual time", self.worlds)?;
        writeln!(f, "{} trace lines, all together {:016x}", self.lines, self.traces)?;
        writeln!(f, "{} processes, {} finished runs, {} records", self.lives, self.runs, self.records)?;
        writeln!(
            f,
            "{} requests ({} of them hops of redirects), {} pages ({} of them once more), {} faults, {} told waits",
            self.requests,
            self.hops,
            self.pages,
            self.repeated,
            self.faults(),
            self.waits
        )?;
        let mut table = |title: &str, rows: Vec<(&str, u64)>| -> fmt::Result {
            writeln!(f, "{title}")?;
            for (name, count) in rows {
                writeln!(f, "  {name:<36}{count:>10}")?;
            }
            Ok(())
        };
        table("how processes ended", self.ends.iter().map(|(name, count)| (*name, *count)).collect())?;
        table("dialects", self.dialects.iter().map(|(name, count)| (*name, *count)).collect())?;
        table("outputs, in worlds", self.outputs.iter().map(|(name, count)| (*name, *count)).collect())?;
        table("longest marks, in bytes", self.marks.iter().map(|(name, bytes)| (*name, *bytes)).collect())?;
        table("faults", self.faults.iter().map(|(name, count)| (name.as_str(), *count)).collect())?;
        table("sources that gave up, by error", self.errors.iter().map(|(n, c)| (n.as_str(), *c)).collect())
    }
}
