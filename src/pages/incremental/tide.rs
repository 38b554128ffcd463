//! The arithmetic of the mark: which record is new, and what is remembered of it.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use super::{Incremental, Kind};
use crate::error::{Error, ErrorKind, Result};
use crate::request::{HighWater, Level, Timestamp, capped};

/// So many records are remembered at the mark, and a lookback below it.
const MOST_SEEN: usize = 1_000_000;

/// What is known while a run goes on.
#[derive(Debug)]
pub(super) struct Tide {
    rules: Incremental,
    since: Option<Level>,
    top: Option<Value>,
    began: Option<i64>,
    /// Where the next run begins, as things stand.
    floor: Option<i64>,
    /// What this run has seen near the top, and more, which is dropped from time to time.
    seen: Vec<(i64, u64)>,
    /// The same, to be looked up.
    here: HashSet<u64>,
    kept: usize,
    /// What earlier runs have seen.
    known: HashSet<u64>,
}

impl Tide {
    pub(super) fn new(rules: Incremental, water: HighWater) -> Self {
        let known = water.since.iter().flat_map(|level| level.seen.iter().map(|(_, hash)| *hash)).collect();
        let (top, seen) = water.top.map_or((None, Vec::new()), |top| (Some(top.value), top.seen.to_vec()));
        let here = seen.iter().map(|(_, hash)| *hash).collect();
        let HighWater { since, began, .. } = water;
        let mut tide = Self { rules, since, top, began, floor: None, kept: seen.len(), seen, here, known };
        tide.settle();
        tide
    }

    /// Notes when the run began, by the server's clock, unless that is known. Where the API means "after", what changes in
    /// the rest of that second would be left out by it, if its times know no more than seconds: the second before, then.
    pub(super) fn begins(&mut self, at: Timestamp) {
        if self.rules.kind == Kind::Timestamp {
            let before = if self.rules.exclusive { 1_000_000 } else { 0 };
            self.began.get_or_insert(at.0.saturating_sub(before));
            self.settle();
        }
    }

    /// Finds where the next run begins.
    fn settle(&mut self) {
        let since = self.since.as_ref().map(|since| &since.value);
        self.floor = self.top.as_ref().and_then(|top| {
            capped(top, self.began, since).map_or_else(|| self.rules.order(top), |cap| self.rules.order(&cap))
        });
    }

    /// Whether a value lies below all that the run is about.
    pub(super) fn is_below(&self, value: &Value) -> bool {
        self.since.as_ref().is_some_and(|since| self.rules.is_below(value, since))
    }

    /// Takes a record with this value and identity, unless it is known, or out of the range.
    ///
    /// # Errors
    /// `Record` if more would have to be remembered than there is room for.
    pub(super) fn take(&mut self, value: &Value, identity: &str) -> Result<bool> {
        let is_beyond = |until: &Value| self.rules.compare(value, until) != Ordering::Less;
        if self.is_below(value) || self.rules.until.as_ref().is_some_and(is_beyond) {
            return Ok(false);
        }
        self.rise(value);
        if self.rules.exclusive && self.rules.lookback == 0 && self.began.is_none() {
            return Ok(true);
        }
        let hash = xxh3_64(format!("{identity}\n{value}").as_bytes());
        if self.known.contains(&hash) {
            return Ok(false);
        }
        // A page may begin with the moment at which the one before ended, and what was there comes again. Without a key
        // two records of one text are two records.
        if self.rules.key.is_some() && self.here.contains(&hash) {
            return Ok(false);
        }
        let order = self.rules.order(value);
        if self.is_near(order, Some(value)) {
            self.seen.push((self.rules.order(value).unwrap_or_default(), hash));
            self.here.insert(hash);
            self.tidy()?;
        }
        Ok(true)
    }

    /// Moves the top up to a value. It is never below where the run began: with a lookback, all that comes may be.
    fn rise(&mut self, value: &Value) {
        let since = self.since.as_ref().map(|since| &since.value);
        let is_higher = |top: &Value| self.rules.compare(value, top) == Ordering::Greater;
        match (&self.top, since) {
            (None, Some(since)) if !is_higher(since) => self.top = Some(since.clone()),
            (Some(top), _) if !is_higher(top) => return,
            _ => {
                self.top = Some(value.clone());
                if self.rules.kind == Kind::Text {
                    self.seen.clear();
                    self.here.clear();
                }
            }
        }
        self.settle();
    }

    /// Whether the next run asks for it again, as things stand. Strings have no distance: they are near if they are the
    /// same.
    fn is_near(&self, order: Option<i64>, value: Option<&Value>) -> bool {
        match (self.rules.kind, &self.top, order) {
            (Kind::Text, Some(top), _) => {
                value.is_none_or(|value| self.rules.compare(value, top) == Ordering::Equal)
            }
            (_, Some(_), Some(order)) => {
                order >= self.floor.unwrap_or(i64::MIN).saturating_sub(self.rules.lookback)
            }
            _ => false,
        }
    }

    /// Drops what is far, when there is much of it.
    fn tidy(&mut self) -> Result<()> {
        if self.seen.len() < 1024 + 2 * self.kept {
            return Ok(());
        }
        let seen = std::mem::take(&mut self.seen);
        self.seen = seen.into_iter().filter(|(order, _)| self.is_near(Some(*order), None)).collect();
        self.here = self.seen.iter().map(|(_, hash)| *hash).collect();
        self.kept = self.seen.len();
        if self.kept < MOST_SEEN {
            return Ok(());
        }
        let what =
            format!("{} records are at the mark, above it, or less than the lookback below", self.kept);
        Err(Error::new(ErrorKind::Record, what).advice(
            "take a finer field or a shorter lookback, and no field whose times lie in the future; of numbers and strings, if the API leaves out what is at the mark, say `exclusive()`",
        ))
    }

    /// Down to where all that was taken is known.
    fn reach(&self) -> Option<i64> {
        let floor = self.floor.filter(|_| self.rules.kind != Kind::Text)?;
        // Of what does not come again nothing is remembered.
        let forgets = self.rules.exclusive && self.rules.lookback == 0 && self.began.is_none();
        let reach = if forgets { floor.saturating_add(1) } else { floor.saturating_sub(self.rules.lookback) };
        let start = self.since.as_ref().and_then(|since| self.rules.start(since));
        Some(reach.max(start.unwrap_or(i64::MIN)))
    }

    /// What stands behind the page.
    pub(super) fn water(&self) -> HighWater {
        let water = HighWater { since: self.since.clone(), top: None, began: self.began };
        let Some(top) = self.top.clone() else { return water };
        // What earlier runs have seen stays known, as far as the next one asks for it again.
        let before = self.since.iter().flat_map(|since| {
            let value = (self.rules.kind == Kind::Text).then_some(&since.value);
            since.seen.iter().filter(move |(order, _)| self.is_near(Some(*order), value))
        });
        let here = self.seen.iter().filter(|(order, _)| self.is_near(Some(*order), None));
        let mut seen: Vec<(i64, u64)> = before.chain(here).copied().collect();
        seen.sort_unstable();
        seen.dedup();
        HighWater { top: Some(Level { value: top, seen: Arc::new(seen), reach: self.reach() }), ..water }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::request::Mark;

    /// What of a list is taken by a run, and what the next one begins with.
    fn run(rules: &Incremental, water: HighWater, list: &[(Value, &str)]) -> (Vec<String>, HighWater) {
        run_at(None, rules, water, list)
    }

    fn run_at(
        began: Option<&str>,
        rules: &Incremental,
        water: HighWater,
        list: &[(Value, &str)],
    ) -> (Vec<String>, HighWater) {
        let mark = Mark { high: Some(water), ..Mark::start() };
        let mut tide = Tide::new(rules.clone(), rules.begin(&mark));
        if let Some(began) = began {
            tide.begins(Timestamp::read(&json!(began)).unwrap());
        }
        let taken = list.iter().filter(|(value, key)| tide.take(value, key).unwrap());
        let taken = taken.map(|(_, key)| (*key).to_owned()).collect();
        // As a checkpoint keeps it.
        let stored = serde_json::to_string(&tide.water().next_run()).unwrap();
        (taken, serde_json::from_str(&stored).unwrap())
    }

    #[test]
    fn what_comes_again_at_the_seam_of_two_pages_is_taken_once() {
        // The pages of Zendesk's exports by time begin with the second at which the one before ended.
        let list = [(json!(1), "a"), (json!(2), "b"), (json!(2), "b"), (json!(2), "c"), (json!(3), "b")];
        let by_key = Incremental::by("n").integer().key("id");
        assert_eq!(run(&by_key, HighWater::default(), &list).0, ["a", "b", "c", "b"], "b has changed since");
        let by_text = Incremental::by("n").integer();
        assert_eq!(run(&by_text, HighWater::default(), &list).0, ["a", "b", "b", "c", "b"]);
        let text = [(json!("x"), "a"), (json!("y"), "b"), (json!("y"), "b"), (json!("z"), "b")];
        let by_string = Incremental::by("n").string().key("id");
        assert_eq!(run(&by_string, HighWater::default(), &text).0, ["a", "b", "b"]);
    }

    #[test]
    fn only_what_is_new_is_taken_at_the_boundary() {
        let rules = Incremental::by("n").integer();
        let (taken, water) =
            run(&rules, HighWater::default(), &[(json!(1), "a"), (json!(2), "b"), (json!(2), "c")]);
        assert_eq!(taken, ["a", "b", "c"]);
        let (taken, water) =
            run(&rules, water, &[(json!(2), "b"), (json!(2), "c"), (json!(2), "d"), (json!(3), "e")]);
        assert_eq!(taken, ["d", "e"]);
        let (taken, water) = run(&rules, water, &[(json!(2), "late"), (json!(3), "e"), (json!(3), "f")]);
        assert_eq!(taken, ["f"], "what lies below the mark is not asked for");
        let (taken, water) = run(&rules, water, &[]);
        assert!(taken.is_empty());
        assert_eq!(run(&rules, water, &[(json!(3), "e"), (json!(3), "f"), (json!(3), "g")]).0, ["g"]);
    }

    #[test]
    fn a_lookback_takes_what_is_late_and_nothing_twice() {
        let rules = Incremental::by("at").lookback(std::time::Duration::from_secs(60));
        let at = |second: u64| json!(format!("2026-05-17T10:{:02}:{:02}Z", second / 60, second % 60));
        let first = [(at(0), "a"), (at(50), "b"), (at(100), "c")];
        let (taken, water) = run(&rules, HighWater::default(), &first);
        assert_eq!(taken, ["a", "b", "c"]);
        let mark = Mark { high: Some(water.clone()), ..Mark::start() };
        let bindings = rules.bindings(&mark);
        let request = crate::request::Request::get("https://h.example/?since={since}")
            .unwrap()
            .fill(&bindings)
            .unwrap();
        assert_eq!(request.url().query(), Some("since=2026-05-17T10%3A00%3A40Z"));
        let again = [(at(45), "late"), (at(50), "b"), (at(100), "c"), (at(50), "changed"), (at(130), "d")];
        let (taken, water) = run(&rules, water, &again);
        assert_eq!(taken, ["late", "changed", "d"]);
        assert_eq!(run(&rules, water, &[(at(100), "c"), (at(130), "d"), (at(130), "e")]).0, ["e"]);
    }

    /// Where the next run begins.
    fn mark(water: &HighWater) -> &Value {
        &water.since.as_ref().unwrap().value
    }

    #[test]
    fn a_time_far_in_the_future_moves_the_mark_no_further_than_the_run() {
        let noon = |minute: u32| json!(format!("2026-05-17T12:{minute:02}:00Z"));
        let wrong = (json!("2099-01-01T00:00:00Z"), "wrong clock");
        for rules in [
            Incremental::by("at").key("id"),
            Incremental::by("at").key("id").exclusive(),
            Incremental::by("at").key("id").descending(),
            Incremental::by("at").lookback(std::time::Duration::from_secs(60)),
        ] {
            let mut first = vec![(noon(1), "a"), (noon(9), "b"), wrong.clone()];
            let mut second = vec![(noon(15), "c"), (noon(25), "d"), wrong.clone()];
            if rules.descending {
                first.reverse();
                second.reverse();
            }
            let (taken, water) = run_at(Some("2026-05-17T12:10:00.7Z"), &rules, HighWater::default(), &first);
            assert_eq!(taken.len(), 3);
            let cap = if rules.exclusive { json!("2026-05-17T12:09:59Z") } else { noon(10) };
            assert_eq!(mark(&water), &cap, "{rules:?}");
            let (mut taken, water) = run_at(Some("2026-05-17T12:20:00Z"), &rules, water, &second);
            taken.sort();
            assert_eq!(taken, ["c", "d"], "nothing is lost, and the wrong one is known: {rules:?}");
            let again = [(noon(25), "d"), wrong.clone()];
            let again: Vec<_> =
                if rules.descending { again.into_iter().rev().collect() } else { again.into() };
            let (taken, water) = run_at(Some("2026-05-17T12:30:00Z"), &rules, water, &again);
            assert!(taken.is_empty(), "{rules:?}: {taken:?}");
            // Once it is mended at the source, the mark is that of the list again.
            let (_, water) = run_at(Some("2026-05-17T12:40:00Z"), &rules, water, &[(noon(31), "e")]);
            assert_eq!(mark(&water), &noon(31));
        }
    }

    #[test]
    fn what_is_known_reaches_down_to_the_mark_however_coarse_the_times_are() {
        let began = "2026-05-17T12:10:00.7Z";
        for (today, later) in [
            (json!(1_779_019_800), json!(1_779_019_803)),
            (json!("2026-05-17"), json!("2026-05-18")),
            (json!("2026-05-17 12:10"), json!("2026-05-17 12:11")),
            (json!("2026-05-17T12:10:00.5Z"), json!("2026-05-17T12:10:03Z")),
        ] {
            let rules = Incremental::by("at").key("id");
            let list = [(today.clone(), "a"), (later.clone(), "b")];
            let (taken, water) = run_at(Some(began), &rules, HighWater::default(), &list);
            assert_eq!(taken, ["a", "b"]);
            assert!(rules.compare(mark(&water), &today).is_le(), "{water:?}");
            let (taken, _) = run_at(Some("2026-05-19"), &rules, water, &[(today, "a"), (later, "b")]);
            assert!(taken.is_empty(), "{taken:?}");
        }
    }

    #[test]
    fn times_that_lie_in_the_future_by_right_are_asked_for_until_they_are_past() {
        let rules = Incremental::by("due").key("id").since("2030-01-01");
        let due = |day: &str| json!(format!("2030-01-{day}"));
        let (taken, water) =
            run_at(Some("2026-05-17"), &rules, HighWater::default(), &[(due("05"), "a"), (due("09"), "b")]);
        assert_eq!(taken, ["a", "b"]);
        assert_eq!(mark(&water), &json!("2030-01-01"), "never before the first beginning");
        let list =
            [(due("05"), "a"), (due("07"), "new"), (due("09"), "b"), (json!("2029-01-01"), "too early")];
        assert_eq!(run_at(Some("2026-06-17"), &rules, water, &list).0, ["new"]);
    }

    #[test]
    fn a_mark_never_goes_back() {
        let rules = Incremental::by("n").integer().key("id").lookback_by(60);
        let first = [(json!(0), "a"), (json!(50), "b"), (json!(100), "c")];
        let (_, water) = run(&rules, HighWater::default(), &first);
        // What was there has gone, and all that comes is late.
        let (taken, water) = run(&rules, water, &[(json!(45), "late")]);
        assert_eq!(taken, ["late"]);
        assert_eq!(mark(&water), &json!(100));
        assert!(run(&rules, water, &[(json!(0), "a"), (json!(45), "late"), (json!(50), "b")]).0.is_empty());
    }

    #[test]
    fn a_lookback_that_grows_takes_nothing_twice() {
        let list = |late: &[(i64, &'static str)]| -> Vec<(Value, &'static str)> {
            let all = [(0, "a"), (50, "b"), (100, "c")].into_iter().chain(late.iter().copied());
            all.map(|(n, id)| (json!(n), id)).collect()
        };
        let rules = |lookback| Incremental::by("n").integer().key("id").lookback_by(lookback);
        let (_, water) = run(&rules(0), HighWater::default(), &list(&[]));
        let (taken, water) = run(&rules(60), water, &list(&[(70, "before it was there"), (110, "d")]));
        assert_eq!(taken, ["d"]);
        let (taken, water) = run(&rules(60), water, &list(&[(105, "late"), (120, "e")]));
        assert_eq!(taken, ["late", "e"]);
        let late = [(70, "too early"), (105, "late"), (115, "again late"), (120, "e")];
        let (taken, water) = run(&rules(60), water, &list(&late));
        assert_eq!(taken, ["again late"]);
        let (taken, _) = run(&rules(10), water, &list(&[(111, "new"), (120, "e"), (115, "again late")]));
        assert_eq!(taken, ["new"], "a smaller one needs no less than is known");
    }

    #[test]
    fn strings_rise_byte_by_byte() {
        let rules = Incremental::by("id").string();
        let (_, water) =
            run(&rules, HighWater::default(), &[(json!("a"), "1"), (json!("b"), "2"), (json!("b"), "3")]);
        let (taken, water) = run(&rules, water, &[(json!("a"), "0"), (json!("b"), "2"), (json!("b"), "4")]);
        assert_eq!(taken, ["4"]);
        assert_eq!(run(&rules, water, &[(json!("b"), "3"), (json!("b"), "4"), (json!("c"), "5")]).0, ["5"]);
    }

    #[test]
    fn memory_is_bounded() {
        let rules = Incremental::by("n").integer();
        let mut tide = Tide::new(rules, HighWater::default());
        for number in 0..100_000 {
            assert!(tide.take(&json!(number), "x").unwrap());
            assert!(tide.seen.len() <= 1026);
        }
        assert_eq!(tide.water().top.unwrap().seen.len(), 1);
        let full = (0..).find_map(|number| tide.take(&json!(100_000), &number.to_string()).err()).unwrap();
        assert_eq!(full.kind(), ErrorKind::Record);
    }
}
