//! A list by offset or page number, several pages of which are asked for at once. It may grow at its end meanwhile.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use headwater::checkpoint::Checkpoint;
use headwater::paginate::{End, Offset, PageNumber};
use headwater::{Pages, Position, Request, Source, SourceBuilder};

use super::items::Item;
use super::listing::Listing;
use super::mutants::Mutant;
use super::oracle::{Invariant, SourceView};
use super::paging::Query;
use super::server::Connection;
use super::shapes::{Ask, Asked, At, Broken};

#[derive(Debug)]
pub(crate) struct Counted {
    by_page: bool,
    pub(crate) lanes: usize,
    start: u64,
    /// What the server clamps to: one size, or one after the other.
    sizes: Vec<usize>,
    ends: Ends,
    /// When each row is there first; they rise.
    born: Vec<Duration>,
    /// The rows of each page number.
    chain: Vec<Range<usize>>,
    /// Whether what lies behind the end is refused, and not empty.
    refuses: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    EmptyPage,
    Flag,
    /// As many rows.
    Total,
    /// As many pages.
    Count,
}

impl Counted {
    pub(crate) fn random(random: &mut fastrand::Rng) -> (Self, Vec<Item>) {
        let by_page = random.bool();
        let kinds = if random.u8(0..5) < 2 { random.usize(2..4) } else { 1 };
        let sizes: Vec<usize> = (0..kinds).map(|_| random.usize(1..6)).collect();
        let ends = [Ends::EmptyPage, Ends::Flag, Ends::Total, Ends::Count]
            [random.usize(0..3 + usize::from(by_page))];
        let rows = random.usize(0..70);
        let (mut chain, mut row) = (Vec::new(), 0);
        while row < rows {
            let size = sizes[chain.len() % sizes.len()].min(rows - row);
            chain.push(row..row + size);
            row += size;
        }
        let mut born = vec![Duration::ZERO; rows];
        let grows = rows > 0 && random.u8(0..3) == 0;
        if grows {
            let slowly = [5_000, 600_000, 7_200_000][random.usize(0..3)];
            let first = random.usize(0..=chain.len());
            let mut time = Duration::ZERO;
            // By page number only whole pages come: rows that come to a page that was read are lost to everyone.
            for page in &chain[first..] {
                let mut cut = page.start;
                while cut < page.end {
                    time += Duration::from_millis(random.u64(0..slowly));
                    let more = if by_page { page.end - cut } else { random.usize(1..=page.end - cut) };
                    born[cut..cut + more].fill(time);
                    cut += more;
                }
            }
        }
        let refuses = !grows && kinds == 1 && random.u8(0..3) == 0;
        let items = (0..rows).map(|row| Item::plain(random, row, "")).collect();
        let counted = Self {
            by_page,
            lanes: random.usize(2..=8),
            start: random.u64(0..2),
            sizes,
            ends,
            born,
            chain,
            refuses,
        };
        (counted, items)
    }

    pub(crate) fn name(&self) -> &'static str {
        if self.by_page { "lanes over page numbers" } else { "lanes over offsets" }
    }

    pub(crate) fn source(&self, listing: &Listing, mutant: Option<Mutant>) -> SourceBuilder {
        let ends = if mutant == Some(Mutant::TotalsAreNotDeclared) { Ends::EmptyPage } else { self.ends };
        let lanes =
            if mutant == Some(Mutant::LanesAreMoreThanDeclared) { 2 * self.lanes } else { self.lanes };
        let source = Source::get(&listing.name, listing.url()).records("data").lanes(lanes);
        if self.by_page {
            return source.paginate(self.numbers(ends));
        }
        let offset = match mutant {
            Some(Mutant::ForeseenPagesAreBelieved) => Offset::new(self.sizes[0] as u64).step_by_limit(),
            _ => Offset::new(100),
        };
        source.paginate(self.offsets(offset, ends))
    }

    /// The pages, one request after the other.
    pub(crate) fn one_by_one(&self, connection: Connection, request: Request) -> Pages {
        if self.by_page {
            Pages::new(connection, request, self.numbers(self.ends))
        } else {
            Pages::new(connection, request, self.offsets(Offset::new(100), self.ends))
        }
    }

    fn numbers(&self, ends: Ends) -> PageNumber {
        let numbers = PageNumber::new().start(self.start).size("per_page", 100);
        match ends {
            Ends::EmptyPage => numbers,
            Ends::Flag => numbers.until_false("more"),
            Ends::Total => numbers.until(End::total("total")),
            Ends::Count => numbers.until_page_count("pages"),
        }
    }

    fn offsets(&self, offset: Offset, ends: Ends) -> Offset {
        let offset = offset.start(self.start);
        match ends {
            Ends::EmptyPage | Ends::Count => offset,
            Ends::Flag => offset.until_false("more"),
            Ends::Total => offset.until_total("total"),
        }
    }

    /// How many rows are there by then.
    fn there(&self, now: Duration) -> usize {
        self.born.partition_point(|born| *born <= now)
    }

    fn grows(&self) -> bool {
        self.born.last().is_some_and(|born| !born.is_zero())
    }

    /// Whether it is known which page is asked for: by number, or by an offset in a list that has one size and stays.
    fn has_places(&self) -> bool {
        self.by_page || (self.sizes.len() == 1 && !self.grows())
    }

    /// Whether a page may be asked for by a second stream, for the first one had guessed wrong what lies before it, or had
    /// been told of an end that is none any more.
    pub(crate) fn may_ask_again(&self) -> bool {
        match self.ends {
            _ if !self.has_places() => true,
            Ends::Total => self.by_page && self.sizes.len() > 1,
            Ends::Flag => self.grows(),
            _ => false,
        }
    }

    /// Whether all that is asked for is known to be there.
    fn knows_its_end(&self) -> bool {
        match self.ends {
            Ends::Count => true,
            Ends::Total => self.sizes.len() == 1,
            _ => false,
        }
    }

    /// What is asked for, as a number of pages or rows, and the rows that are there.
    fn cut(&self, query: &Query, now: Duration) -> Option<(usize, Range<usize>)> {
        let there = self.there(now);
        let asked = query.get(if self.by_page { "page" } else { "offset" })?.parse::<u64>().ok()?;
        let asked = usize::try_from(asked.checked_sub(self.start)?).ok()?;
        if self.by_page {
            let rows = self.chain.get(asked).filter(|rows| rows.end <= there);
            return Some((asked, rows.cloned().unwrap_or(there..there)));
        }
        let size = self.sizes[asked % self.sizes.len()];
        let is_torn = self.has_places() && asked < there && !asked.is_multiple_of(size);
        (!is_torn).then(|| (asked, asked.min(there)..(asked + size).min(there).max(asked.min(there))))
    }

    /// Whether no client that knows the list would ask for it, if the list stays as it is.
    fn is_beyond(&self, asked: usize) -> bool {
        let end = if self.by_page { self.chain.len() } else { self.born.len() };
        !self.grows() && asked > 0 && (asked > end || (asked == end && self.ends != Ends::EmptyPage))
    }

    pub(crate) fn ask(&self, listing: &Listing, query: &Query, at: At) -> Option<Ask> {
        let there = self.there(at.now);
        let (asked, rows) = self.cut(query, at.now)?;
        let fields = match self.ends {
            Ends::EmptyPage => "\"end\":\"unknown\"".to_owned(),
            Ends::Flag => format!("\"more\":{}", rows.end < there),
            Ends::Total => format!("\"total\":{there}"),
            Ends::Count => {
                format!("\"pages\":{}", self.chain.iter().filter(|rows| rows.end <= there).count())
            }
        };
        let key = match query.get("page") {
            Some(number) => format!("page {number}"),
            None => format!("offset {}", query.get("offset")?),
        };
        let rows: Vec<usize> = rows.collect();
        let is_beyond = self.is_beyond(asked);
        let answer = if is_beyond && self.refuses {
            Asked::Refused
        } else {
            Asked::Page { body: listing.page_of(&rows, &fields), rows }
        };
        let counts = !self.grows() && self.has_places() && !self.may_ask_again() && !is_beyond;
        let page = self.has_places().then(|| if self.by_page { asked } else { asked / self.sizes[0] });
        let again = self.may_ask_again();
        Some(Ask {
            lane: key.clone(),
            list: key.clone(),
            first: asked == 0,
            key,
            counts,
            answer,
            page,
            beyond: is_beyond,
            again,
        })
    }

    /// Whether a page may be asked for as far ahead as this.
    pub(crate) fn sent(&self, name: &str, ask: &Ask, view: &mut SourceView) -> Result<(), Broken> {
        let Some(page) = ask.page else { return Ok(()) };
        let broken = |what: String| Err((Invariant::FewRequestsAgain, format!("{name}: {} {what}", ask.key)));
        if page > view.handed + self.lanes {
            return broken(format!(
                "is asked for by {} lanes, and the sink has got {} pages yet",
                self.lanes, view.handed
            ));
        }
        if !ask.beyond || self.may_ask_again() {
            return Ok(());
        }
        view.beyond.insert(ask.key.clone());
        let most = if self.knows_its_end() { 0 } else { self.lanes - 1 };
        if view.beyond.len() > most {
            return broken(format!("lies behind the end, as {:?} do, and {most} may", view.beyond));
        }
        Ok(())
    }

    /// What is wrong with what is durable: the first rows, in order, and a mark that stands behind them.
    pub(crate) fn check(
        &self,
        checkpoint: &Checkpoint,
        rows: &BTreeSet<usize>,
        at: At,
    ) -> Result<(), String> {
        let pages = usize::try_from(checkpoint.mark.pages).map_err(|_| "too many pages")?;
        let count = rows.len();
        if rows.last().is_some_and(|last| last + 1 != count) {
            return Err(format!("{count} records, and not the first ones"));
        }
        let behind = match &checkpoint.mark.next {
            None if count < at.begun.map_or(0, |begun| self.there(begun)) => {
                return Err(format!("finished with {count} records, and more were there when it began"));
            }
            None => return Ok(()),
            Some(Position::Start) => pages == 0 && count == 0,
            Some(Position::Offset(offset)) => *offset == self.start + count as u64,
            Some(Position::Page(number)) => {
                let before = pages.checked_sub(1).and_then(|last| self.chain.get(last)).map(|rows| rows.end);
                *number == self.start + pages as u64 && before == Some(count)
            }
            Some(_) => false,
        };
        if behind {
            Ok(())
        } else {
            Err(format!("{count} records, {pages} pages, and the mark says {:?}", checkpoint.mark.next))
        }
    }

    /// The rows that are there by then.
    pub(crate) fn expected(&self, at: At) -> Vec<usize> {
        (0..self.there(at.now)).collect()
    }
}
