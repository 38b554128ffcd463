//! A source of many parts: windows, and children of parents on one level or two.

use std::time::Duration;

use chrono::DateTime;
use headwater::pages::{Fanout, Window};
use headwater::{Request, Source, SourceBuilder};

use super::items::Item;
use super::listing::Listing;
use super::mutants::Mutant;
use super::oracle::{Invariant, SourceView};
use super::paging::{Paging, Query};
use super::shapes::{Ask, Asked, At, Broken, Dress};

/// 2026-05-01T00:00:00Z.
const BEGINNING: i64 = 1_777_593_600;

/// The ids of parents begin here, so that there is room for new ones before them.
const FIRST_PARENT: usize = 1000;

#[derive(Debug)]
pub(crate) struct Parts {
    levels: usize,
    /// The parents, and how many each has below it if there are two levels.
    tops: Vec<Option<usize>>,
    /// Whose each row is, and where it stands in a window.
    rows: Vec<(Owner, i64)>,
    /// How the tops, those below them and the rows are paged.
    lists: [(Paging, usize); 3],
    /// How many pages of such a list are asked for at once.
    lanes: [usize; 3],
    window: Option<Range>,
    /// How many parents go into one request.
    joined: Option<usize>,
    copies: bool,
    /// Whether each process finds one more parent, at the front.
    shifts: bool,
    concurrency: [usize; 2],
}

type Owner = [Option<usize>; 2];

#[derive(Debug)]
struct Range {
    times: bool,
    width: i64,
    step: Option<u32>,
    inclusive: bool,
    newest_first: bool,
    concurrency: usize,
    ceiling: Option<usize>,
    says_total: bool,
}

impl Range {
    fn random(random: &mut fastrand::Rng, size: usize) -> Self {
        let width = random.i64(20..80);
        let ceiling = random.bool().then(|| random.usize(size + 3..size * 3 + 4));
        Self {
            times: random.bool(),
            width,
            step: (ceiling.is_none() || random.bool()).then(|| random.u32(5..40)),
            inclusive: random.bool(),
            newest_first: random.u8(0..3) == 0,
            concurrency: random.usize(1..5),
            says_total: ceiling.is_some() && random.bool(),
            ceiling,
        }
    }

    fn shown(at: i64) -> String {
        let time = DateTime::from_timestamp(BEGINNING + at, 0).expect("a time");
        time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    fn read(&self, text: &str) -> Option<i64> {
        if !self.times {
            return text.parse().ok();
        }
        Some(DateTime::parse_from_rfc3339(text).ok()?.timestamp() - BEGINNING)
    }

    /// `declared` is false for a source that knows nothing of the server's ceiling.
    fn window(&self, declared: bool) -> Window {
        let window = if self.times {
            let window = Window::time(Self::shown(0).as_str(), Self::shown(self.width).as_str());
            match self.step {
                Some(step) => window.every(Duration::from_secs(step.into())),
                None => window,
            }
        } else {
            let window = Window::ids(0..self.width);
            match self.step {
                Some(step) => window.every(step),
                None => window,
            }
        };
        let window = window.concurrency(self.concurrency);
        let window = if self.inclusive { window.inclusive_end() } else { window };
        let window = if self.newest_first { window.newest_first() } else { window };
        match self.ceiling.filter(|_| declared) {
            Some(ceiling) if self.says_total => window.ceiling(ceiling as u64).total_at("total"),
            Some(ceiling) => window.ceiling(ceiling as u64),
            None => window,
        }
    }
}

impl Parts {
    pub(crate) fn random(random: &mut fastrand::Rng) -> (Self, Vec<Item>) {
        let levels = random.usize(0..3);
        let joined = (levels == 1 && random.u8(0..4) == 0).then(|| random.usize(1..5));
        let shifts = levels > 0 && random.u8(0..3) == 0;
        let list = |random: &mut fastrand::Rng| (Paging::random(random), random.usize(1..5));
        let mut lists = [list(random), list(random), list(random)];
        if shifts {
            lists[0].0 = Paging::After;
        }
        let lanes = lists.map(|(paging, _)| match paging.has_lanes() && random.bool() {
            true => random.usize(2..5),
            false => 1,
        });
        let windowed = joined.is_none() && (levels == 0 || random.u8(0..3) == 0);
        let window = windowed.then(|| Range::random(random, lists[2].1));
        let tops = match levels {
            0 => Vec::new(),
            1 => vec![None; random.usize(0..12)],
            _ => (0..random.usize(0..6)).map(|_| Some(random.usize(0..5))).collect(),
        };
        let owners: Vec<Owner> = match levels {
            0 => vec![[None, None]],
            1 => (0..tops.len()).map(|top| [Some(top), None]).collect(),
            _ => {
                let below = |(top, mids): (usize, &Option<usize>)| {
                    (0..mids.unwrap_or(0)).map(move |mid| [Some(top), Some(mid)])
                };
                tops.iter().enumerate().flat_map(below).collect()
            }
        };
        let copies = levels > 0 && joined.is_none() && random.bool();
        let (mut rows, mut items) = (Vec::new(), Vec::new());
        for owner in owners {
            let count = random.i64(0..if levels == 0 { 50 } else { 9 });
            // All over the range, or close together somewhere.
            let width = window.as_ref().map_or(100, |range| range.width);
            let spread = if random.bool() { (width / count.max(1)).max(1) } else { 1 };
            let first = random.i64(0..=(width - spread * count).max(0));
            for at in (0..count.min(width)).map(|number| first + number * spread) {
                let copied = match owner {
                    [Some(top), Some(mid)] if copies => {
                        format!("\"top\":{},\"mid\":{},", FIRST_PARENT + top, FIRST_PARENT + mid)
                    }
                    [Some(top), None] if copies => format!("\"top\":{},", FIRST_PARENT + top),
                    _ => String::new(),
                };
                items.push(Item::plain(random, rows.len(), "").with_copied(&copied));
                rows.push((owner, at));
            }
        }
        let concurrency = [random.usize(1..5), random.usize(1..5)];
        (Self { levels, tops, rows, lists, lanes, window, joined, copies, shifts, concurrency }, items)
    }

    pub(crate) fn name(&self) -> &'static str {
        match (self.levels, &self.window) {
            (0, _) if self.lanes[2] > 1 => "window with lanes",
            (_, Some(_)) if self.has_lanes() => "fan-out to windows, with lanes",
            (_, None) if self.has_lanes() => "fan-out with lanes",
            (0, Some(Range { ceiling: Some(_), .. })) => "window with a ceiling",
            (0, _) => "window",
            (1, None) if self.joined.is_some() => "fan-out of joined ids",
            (1, None) => "fan-out",
            (1, Some(_)) => "fan-out to windows",
            (_, None) => "fan-out on two levels",
            (_, Some(_)) => "fan-out on two levels to windows",
        }
    }

    /// Whether several pages of any of its lists are asked for at once.
    pub(crate) fn has_lanes(&self) -> bool {
        let of_rows = self.lanes[2] > 1;
        match self.levels {
            0 => of_rows,
            1 => of_rows || self.lanes[0] > 1,
            _ => of_rows || self.lanes[..2].iter().any(|lanes| *lanes > 1),
        }
    }

    pub(crate) fn source(
        &self,
        listing: &Listing,
        dress: Dress<'_>,
        mutant: Option<Mutant>,
    ) -> SourceBuilder {
        let declared = mutant != Some(Mutant::CeilingsAreNotDeclared);
        let times = if mutant == Some(Mutant::AllPartsAreOpenAtOnce) { 8 } else { 1 };
        let url = listing.url();
        let levels = self.levels;
        let times_lanes = if mutant == Some(Mutant::LanesAreMoreThanDeclared) { 2 } else { 1 };
        let list = |number: usize, name: &str, path: &str| {
            let source = self.lists[number].0.on(Source::get(name, format!("{url}{path}")).records("data"));
            dress(match self.lanes[number] {
                1 => source,
                lanes => source.lanes(times_lanes * lanes),
            })
        };
        let query = if self.window.is_some() { "?start={start}&end={end}" } else { "" };
        let rows = match levels {
            0 => list(2, &listing.name, &format!("/rows{query}")),
            1 if self.joined.is_some() => list(2, &listing.name, "/many?ids={ids}"),
            1 => list(2, &listing.name, &format!("/tops/{{top}}/rows{query}")),
            _ => list(2, &listing.name, &format!("/tops/{{top}}/mids/{{mid}}/rows{query}")),
        };
        let rows = match &self.window {
            Some(range) => rows.window(range.window(declared)),
            None => rows,
        };
        if levels == 0 {
            return rows;
        }
        let tops = Fanout::over(list(0, "tops", "/tops")).concurrency(times * self.concurrency[0]);
        let tops = match self.joined {
            Some(most) => tops.bind_joined("ids", "id", most, ","),
            None => tops.bind("top", "name"),
        };
        let tops = if self.copies { tops.copy("id", "top") } else { tops };
        if levels == 1 {
            return rows.fanout(tops);
        }
        let mids = list(1, "mids", "/tops/{top}/mids").fanout(tops);
        let mids = Fanout::over(mids).bind("mid", "id").concurrency(times * self.concurrency[1]);
        rows.fanout(if self.copies { mids.copy("top", "top").copy("id", "mid") } else { mids })
    }

    fn name_of(id: usize) -> String {
        format!("p/{id} é")
    }

    /// A page of parents with these ids.
    fn parents(&self, number: usize, ids: &[usize], query: &Query, lane: String) -> Option<Ask> {
        let (paging, size) = self.lists[number];
        let lanes = self.lanes[number];
        let cut = paging.cut(ids, size, query, lanes)?;
        let records = ids[cut.from..cut.to].iter();
        let records: Vec<String> =
            records.map(|id| format!("{{\"id\":{id},\"name\":\"{}\"}}", Self::name_of(*id))).collect();
        let body = format!("{{\"data\":[{}],{}}}", records.join(","), cut.fields);
        let answer = Asked::Page { rows: Vec::new(), body };
        Some(Ask::new(lane.as_str(), format!("{lane}{}", cut.place), cut.first, answer).of(&cut, lanes))
    }

    pub(crate) fn ask(&self, listing: &Listing, request: &Request, query: &Query, at: At) -> Option<Ask> {
        let decode =
            |segment: &str| percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned();
        // Behind the version and the name.
        let path: Vec<String> = request.url().path_segments()?.skip(2).map(decode).collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let lane = path.join(" / ");
        let top = |name: &str| {
            let id: usize = name.strip_prefix("p/")?.strip_suffix(" é")?.parse().ok()?;
            Some(id)
        };
        let known = |id: usize| id.checked_sub(FIRST_PARENT).filter(|top| *top < self.tops.len());
        match path[..] {
            ["tops"] => {
                let new = if self.shifts { (at.life as usize).min(FIRST_PARENT) } else { 0 };
                let ids: Vec<usize> = (FIRST_PARENT - new..FIRST_PARENT + self.tops.len()).collect();
                self.parents(0, &ids, query, lane)
            }
            ["tops", name, "mids"] => {
                let below = known(top(name)?).and_then(|top| self.tops[top]).unwrap_or(0);
                let ids: Vec<usize> = (FIRST_PARENT..FIRST_PARENT + below).collect();
                self.parents(1, &ids, query, lane)
            }
            ["rows"] => self.page(listing, query, lane, &[[None, None]]),
            ["tops", name, "rows"] => {
                let owner = known(top(name)?).map(|top| [Some(top), None]);
                self.page(listing, query, lane, owner.as_slice())
            }
            ["tops", name, "mids", mid, "rows"] => {
                let mid = mid.parse::<usize>().ok()?.checked_sub(FIRST_PARENT)?;
                let owner = [known(top(name)?), Some(mid)];
                self.page(listing, query, lane, &[owner])
            }
            ["many"] => {
                let ids = query.get("ids")?;
                let owners: Option<Vec<Owner>> =
                    ids.split(',').map(|id| Some([known(id.parse().ok()?), None])).collect();
                let owners: Vec<Owner> = owners?.into_iter().filter(|owner| owner[0].is_some()).collect();
                self.page(listing, query, format!("many {ids}"), &owners)
            }
            _ => None,
        }
    }

    /// A page of the rows of these parents, or of the slice that is asked for.
    fn page(&self, listing: &Listing, query: &Query, lane: String, owners: &[Owner]) -> Option<Ask> {
        let (mut lane, mut slice) = (lane, i64::MIN..i64::MAX);
        if let Some(range) = &self.window {
            let (start, end) = (range.read(query.get("start")?)?, range.read(query.get("end")?)?);
            let end = if range.inclusive { end + 1 } else { end };
            if start < 0 || start >= end || end > range.width {
                return None;
            }
            lane = format!("{lane} {start}..{end}");
            slice = start..end;
        }
        let found: Vec<usize> = (0..self.rows.len())
            .filter(|row| owners.contains(&self.rows[*row].0) && slice.contains(&self.rows[*row].1))
            .collect();
        let (paging, size) = self.lists[2];
        let ceiling = self.window.as_ref().and_then(|range| range.ceiling);
        // The page that ends it, and whether the library is going to ask for so much.
        let last = found.len().saturating_sub(1) / size * size;
        // Where no total tells, one that ends with a full page may have been cut before the next.
        let tells = self.window.as_ref().is_some_and(|range| range.says_total);
        let is_full = found.len() >= 2 * size && found.len().is_multiple_of(size) && !tells;
        let reaches = if is_full { found.len() + size } else { last + size };
        let counts = ceiling.is_none_or(|ceiling| found.len() < ceiling && reaches <= ceiling);
        let ids: Vec<usize> = found.iter().map(|row| row + 1).collect();
        let lanes = self.lanes[2];
        let cut = paging.cut(&ids, size, query, lanes)?;
        let key = format!("{lane}{}", cut.place);
        let answer = if ceiling.is_some_and(|ceiling| cut.asked + size > ceiling) {
            Asked::Refused
        } else {
            let rows = found[cut.from..cut.to].to_vec();
            let total = self.window.as_ref().is_some_and(|range| range.says_total);
            let fields =
                if total { format!("{},\"total\":{}", cut.fields, found.len()) } else { cut.fields.clone() };
            Asked::Page { body: listing.page_of(&rows, &fields), rows }
        };
        Some(Ask { counts, ..Ask::new(lane, key, cut.first, answer) }.of(&cut, lanes))
    }

    /// Whether a page may be asked for as far behind the end of its list as this.
    pub(crate) fn sent(&self, name: &str, ask: &Ask, view: &mut SourceView) -> Result<(), Broken> {
        if !ask.beyond {
            return Ok(());
        }
        view.beyond.insert(ask.key.clone());
        let of_list =
            |key: &&String| key.strip_prefix(ask.list.as_str()).is_some_and(|at| at.starts_with(" at "));
        let (beyond, most) = (view.beyond.iter().filter(of_list).count(), self.lanes_of(&ask.list) - 1);
        if beyond <= most {
            return Ok(());
        }
        let what = format!("{name}: {} lies behind the end, as {beyond} do, and {most} may", ask.key);
        Err((Invariant::FewRequestsAgain, what))
    }

    fn lanes_of(&self, list: &str) -> usize {
        let number = match list {
            "tops" => 0,
            list if list.ends_with("mids") => 1,
            _ => 2,
        };
        self.lanes[number]
    }

    /// Streams that may have a page that was not given out yet: (of rows, of parents).
    fn open(&self) -> (usize, usize) {
        let slices = self.window.as_ref().map_or(0, |range| range.concurrency);
        match self.levels {
            0 => (slices, 0),
            1 => (self.concurrency[0] * (slices + 1), self.lanes[0]),
            _ => {
                let parents = self.concurrency[0] * self.lanes[1] + self.lanes[0] + 1;
                (self.concurrency[1] * (slices + 1), parents)
            }
        }
    }

    pub(crate) fn ahead(&self) -> usize {
        let (rows, parents) = self.open();
        // A slice that may be too large is held back as a whole.
        let held = match self.window.as_ref().and_then(|range| range.ceiling) {
            Some(ceiling) => ceiling.div_ceil(self.lists[2].1),
            None => self.lanes[2],
        };
        1 + rows * held + parents
    }

    /// What is wrong with the size of a mark: it has what is open, and a page of parents for each level.
    pub(crate) fn check_mark(&self, mark: &str) -> Result<(), String> {
        let slices = 1 + self.window.as_ref().map_or(0, |range| range.concurrency);
        let [tops, mids] = self.concurrency;
        let [(_, top_page), (_, mid_page), _] = self.lists;
        let (open, waiting) = match self.levels {
            0 => (slices - 1, 0),
            1 => (tops * slices, top_page + self.joined.map_or(0, |most| most - 1)),
            _ => (mids * slices + tops, top_page + mid_page),
        };
        let parents = if self.levels == 0 { 0 } else { open + waiting };
        // A slice can be halved as often as its width can.
        let bytes = 300 + 600 * open + 150 * waiting + if slices > 1 { 300 * (open + 1) } else { 0 };
        // The list of the parents may be long: its mark has the hashes of its last 64 positions.
        let bytes = bytes + if self.levels > 0 { 64 * 21 } else { 0 };
        for (what, count, most) in [
            ("open slices", mark.matches("\"slice\":").count(), open),
            ("parents", mark.matches("\"bindings\":").count(), parents),
            ("bytes", mark.len(), bytes),
        ] {
            if count > most {
                return Err(format!("{count} {what}, and not at most {most}"));
            }
        }
        Ok(())
    }
}
