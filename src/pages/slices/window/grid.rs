//! Where slices begin and end. Pure arithmetic on whole numbers: milliseconds since 1970 (UTC), ids, or indices.

use std::time::Duration;

use chrono::{DateTime, Datelike, Months, Utc};

use crate::error::{Error, Result};

/// How wide a slice is.
///
/// ```
/// use std::time::Duration;
/// use headwater::pages::{Step, Window};
/// let hours = Window::time("2024-01-01", "now").every(Duration::from_secs(6 * 3600));
/// let months = Window::time("2024-01-01", "now").every(Step::months(1));
/// let ids = Window::ids(1..2_000_000).every(10_000);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step(pub(super) Stride);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stride {
    /// The whole range is one slice.
    Whole,
    /// So many milliseconds.
    Time(u128),
    Months(u32),
    Ids(i128),
}

impl Step {
    /// So many days of 24 hours, in UTC.
    pub fn days(days: u32) -> Self {
        Self(Stride::Time(u128::from(days) * 86_400_000))
    }

    /// So many calendar months, in UTC. Counted from the start of the window: from the 31st on, a month without one
    /// ends a slice with its last day.
    pub fn months(months: u32) -> Self {
        Self(Stride::Months(months))
    }

    /// So many calendar years.
    pub fn years(years: u32) -> Self {
        Self::months(years.saturating_mul(12))
    }
}

impl From<Duration> for Step {
    fn from(step: Duration) -> Self {
        // A width of less than a millisecond is refused when the window is put together.
        let whole = step.subsec_nanos().is_multiple_of(1_000_000);
        Self(Stride::Time(if whole { step.as_millis() } else { 0 }))
    }
}

macro_rules! ids {
    ($($number:ty),*) => {$(
        impl From<$number> for Step {
            /// So many ids.
            fn from(ids: $number) -> Self {
                Self(Stride::Ids(ids as i128))
            }
        }
    )*};
}
ids!(i32, u32, i64, u64, usize);

/// Boundaries at equal steps from an anchor.
#[derive(Debug, Clone)]
pub(super) struct Grid {
    pub(super) anchor: i64,
    pub(super) step: Cells,
}

/// A step that can be walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cells {
    Whole,
    Wide(u64),
    Months(u32),
}

impl Grid {
    /// Where the first slice of a range ends.
    pub(super) fn first(&self, from: i64, to: i64) -> i64 {
        let cell = match self.step {
            Cells::Whole => return to,
            _ => self.cell(from),
        };
        self.boundary(cell + 1).map_or(to, |boundary| boundary.min(to))
    }

    /// Where the last slice of a range begins.
    pub(super) fn last(&self, from: i64, to: i64) -> i64 {
        let cell = match self.step {
            Cells::Whole => return from,
            _ => self.cell(to - 1),
        };
        self.boundary(cell).map_or(from, |boundary| boundary.max(from))
    }

    /// The number of the cell that a point lies in.
    fn cell(&self, point: i64) -> i128 {
        match self.step {
            Cells::Whole => 0,
            Cells::Wide(width) => {
                (i128::from(point) - i128::from(self.anchor)).div_euclid(i128::from(width.max(1)))
            }
            Cells::Months(months) => {
                let (Some(anchor), Some(at)) = (utc(self.anchor), utc(point)) else { return 0 };
                let count = |time: DateTime<Utc>| i128::from(time.year()) * 12 + i128::from(time.month0());
                let mut cell = (count(at) - count(anchor)).div_euclid(i128::from(months.max(1)));
                // The day decides: at most one less.
                while self.boundary(cell).is_some_and(|boundary| boundary > point) {
                    cell -= 1;
                }
                cell
            }
        }
    }

    /// Where a cell begins; `None` beyond what can be counted.
    fn boundary(&self, cell: i128) -> Option<i64> {
        match self.step {
            Cells::Whole => None,
            Cells::Wide(width) => {
                i64::try_from(i128::from(self.anchor) + cell.checked_mul(i128::from(width.max(1)))?).ok()
            }
            Cells::Months(months) => {
                let by = cell.checked_mul(i128::from(months.max(1)))?;
                let count = Months::new(u32::try_from(by.unsigned_abs()).ok()?);
                let anchor = utc(self.anchor)?;
                let at =
                    if by < 0 { anchor.checked_sub_months(count) } else { anchor.checked_add_months(count) };
                Some(at?.timestamp_millis())
            }
        }
    }
}

fn utc(millis: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(millis)
}

/// Where a range is cut in two, whole grains from its beginning; `None` if it is no wider than one.
pub(super) fn middle(from: i64, to: i64, grain: u64) -> Option<i64> {
    let grain = grain.max(1);
    let grains = to.abs_diff(from).div_ceil(grain);
    if grains < 2 {
        return None;
    }
    from.checked_add_unsigned(grains / 2 * grain)
}

/// Whether a step fits to what is counted, in the unit that is counted in.
pub(super) fn cells(step: Step, is_time: bool, unit: u64) -> Result<Cells> {
    let refuse = |why: &str| Err(Error::config(format!("the step of the window {why}")));
    match step.0 {
        Stride::Whole => Ok(Cells::Whole),
        Stride::Time(_) | Stride::Months(_) if !is_time => refuse("is a time, and the window counts ids"),
        Stride::Ids(_) if is_time => refuse("is a number of ids, and the window is one of time"),
        Stride::Months(0) => refuse("must be a month or more"),
        Stride::Time(0) => refuse("must be a millisecond or more, whole milliseconds"),
        Stride::Months(months) => Ok(Cells::Months(months)),
        Stride::Time(millis) if millis % u128::from(unit) != 0 => {
            refuse("is finer than the format of its times can say")
        }
        Stride::Time(millis) => Ok(Cells::Wide(u64::try_from(millis).unwrap_or(u64::MAX))),
        Stride::Ids(ids) if ids < 1 => refuse("must be one id or more"),
        Stride::Ids(ids) => Ok(Cells::Wide(u64::try_from(ids).unwrap_or(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(&format!("{text}T00:00:00Z")).unwrap().timestamp_millis()
    }

    fn forwards(grid: &Grid, mut from: i64, to: i64) -> Vec<(i64, i64)> {
        let mut slices = Vec::new();
        while from < to {
            let end = grid.first(from, to);
            slices.push((from, end));
            from = end;
        }
        slices
    }

    fn backwards(grid: &Grid, from: i64, mut to: i64) -> Vec<(i64, i64)> {
        let mut slices = Vec::new();
        while from < to {
            let start = grid.last(from, to);
            slices.push((start, to));
            to = start;
        }
        slices.reverse();
        slices
    }

    #[test]
    fn months_are_counted_from_the_start_and_have_as_many_days_as_they_have() {
        let grid = Grid { anchor: at("2024-01-31"), step: Cells::Months(1) };
        let ends: Vec<i64> =
            forwards(&grid, grid.anchor, at("2024-05-01")).into_iter().map(|(_, end)| end).collect();
        assert_eq!(ends, ["2024-02-29", "2024-03-31", "2024-04-30", "2024-05-01"].map(at));
        let grid = Grid { anchor: at("2023-01-31"), step: Cells::Months(1) };
        assert_eq!(grid.first(grid.anchor, at("2024-01-01")), at("2023-02-28"));
        // Of a leap day, a year later.
        let grid = Grid { anchor: at("2024-02-29"), step: Cells::Months(12) };
        let ends: Vec<i64> =
            forwards(&grid, grid.anchor, at("2028-03-01")).into_iter().map(|(_, end)| end).collect();
        let expected = ["2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29", "2028-03-01"];
        assert_eq!(ends, expected.map(at));
    }

    #[test]
    fn the_ends_of_what_can_be_counted_are_no_trap() {
        let grid = Grid { anchor: 0, step: Cells::Wide(u64::MAX) };
        assert_eq!(forwards(&grid, i64::MIN, i64::MAX).len(), 2);
        let grid = Grid { anchor: 0, step: Cells::Months(u32::MAX) };
        assert_eq!(grid.first(0, i64::MAX), i64::MAX);
        assert_eq!(middle(i64::MIN, i64::MAX, 1), Some(-1));
    }

    fn any_grid() -> impl Strategy<Value = Grid> {
        let wide = (-1_000_i64..1_000, 1_u64..500)
            .prop_map(|(anchor, width)| Grid { anchor, step: Cells::Wide(width) });
        let months = (0_i64..2_000_000_000_000, 1_u32..30)
            .prop_map(|(anchor, months)| Grid { anchor, step: Cells::Months(months) });
        prop_oneof![wide, months]
    }

    proptest! {
        #[test]
        fn slices_tile_a_range_exactly_from_both_ends(
            grid in any_grid(), before in 0_i64..5_000, length in 0_i64..20_000, scale in 0_u32..8,
        ) {
            let scale = if matches!(grid.step, Cells::Months(_)) { 10_i64.pow(scale) } else { 1 };
            let (from, to) = (grid.anchor + (before - 1_000) * scale, grid.anchor + (before - 1_000 + length) * scale);
            let slices = forwards(&grid, from, to);
            prop_assert_eq!(&slices, &backwards(&grid, from, to));
            let mut at = from;
            for (start, end) in slices {
                prop_assert!(start == at && end > start);
                at = end;
            }
            prop_assert_eq!(at, to.max(from));
        }

        #[test]
        fn halves_tile_a_slice_exactly_and_end(from in -5_000_i64..5_000, width in 1_i64..5_000, grain in 1_u64..70) {
            let mut left = vec![(from, from + width)];
            let mut smallest = Vec::new();
            while let Some((start, end)) = left.pop() {
                match middle(start, end, grain) {
                    Some(half) => {
                        prop_assert!(start < half && half < end);
                        prop_assert_eq!(half.abs_diff(start) % grain, 0);
                        left.extend([(half, end), (start, half)]);
                    }
                    None => {
                        prop_assert!(end.abs_diff(start) <= grain);
                        smallest.push((start, end));
                    }
                }
            }
            prop_assert_eq!(smallest[0].0, from);
            prop_assert!(smallest.windows(2).all(|pair| pair[0].1 == pair[1].0));
            prop_assert_eq!(smallest[smallest.len() - 1].1, from + width);
        }
    }
}
