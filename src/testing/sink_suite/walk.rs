//! Sources, commits and crashes by chance, until everything is finished.

use fastrand::Rng;

use super::desk::{Desk, polled};
use super::pages::Listing;
use super::run::{Begun, Run};
use super::{Held, Place, Wrong, compare, seed, wrong};
use crate::sink::Guarantee;

/// How many worlds there are.
const WORLDS: u64 = 12;
/// So many crashes, and then the rest is pulled in peace.
const CRASHES: u32 = 14;

pub(super) async fn each_record_is_there_once_whatever_happens(place: &dyn Place) -> Held {
    let seed = seed();
    for number in 0..WORLDS {
        let mut random = Rng::with_seed(seed.wrapping_add(number));
        let mut history = Vec::new();
        let walked = walk(place, number, &mut random, &mut history).await;
        walked.map_err(|wrong| {
            let history = history.join(", ");
            wrong.at(format!("world {number} of HEADWATER_SEED={seed}, after [{history}]"))
        })?;
    }
    Ok(())
}

async fn walk(place: &dyn Place, world: u64, random: &mut Rng, history: &mut Vec<String>) -> Held {
    let listings: Vec<Listing> = (0..random.usize(1..=4))
        .map(|number| {
            let sizes: Vec<usize> = (0..random.usize(1..=14))
                .map(|_| if random.u32(..12) == 0 { 300 } else { random.usize(0..4) })
                .collect();
            Listing::new(format!("suite_walk_{world}_{number}"), "a", &sizes)
        })
        .collect();
    let all: Vec<&Listing> = listings.iter().collect();
    let names: Vec<&str> = listings.iter().map(|listing| listing.name.as_str()).collect();
    let mut desk = Desk::new(place);
    desk.is_own = random.u32(..4) == 0;
    // What a commit leaves behind that was durable and not stored is there twice, where the sink says so.
    let mut is_exact = true;
    for _ in 0..CRASHES {
        if desk.is_over(&names).await? {
            return look(place, &all, is_exact).await;
        }
        history.push("open".into());
        let mut run = desk.open(&names).await?;
        is_exact &= run.sink.guarantee() == Guarantee::ExactlyOnce || place.key().is_some();
        let mut stepping = Steps { begun: None, random, history };
        let ended = stepping.steps(&mut run, &all).await?;
        drop(stepping);
        if ended {
            history.push("close".into());
            run.sink.close().await?;
            drop(run);
        } else {
            history.push("crash".into());
            desk.crash(run);
        }
    }
    if !desk.is_over(&names).await? {
        history.push("open for the rest".into());
        let mut run = desk.open(&names).await?;
        run.pull(&all).await?;
        run.sink.close().await?;
    }
    look(place, &all, is_exact).await
}

async fn look(place: &dyn Place, listings: &[&Listing], is_exact: bool) -> Held {
    for listing in listings {
        if is_exact {
            compare::is_there(place, listing, 0).await?;
            continue;
        }
        let read = place.committed(&listing.name).await?;
        let is_there = |record: &&str| {
            let id = record.split('"').nth(3).unwrap_or_default();
            read.iter().any(|line| line.contains(id))
        };
        if let Some(missing) = listing.records().into_iter().find(|record| !is_there(record)) {
            return Err(wrong(format!("{}: the record {missing} is not there", listing.name)));
        }
    }
    Ok(())
}

struct Steps<'a> {
    begun: Option<Begun>,
    random: &'a mut Rng,
    history: &'a mut Vec<String>,
}

impl Steps<'_> {
    /// Does this and that; whether the run came to an end in order.
    async fn steps(&mut self, run: &mut Run, all: &[&Listing]) -> Result<bool, Wrong> {
        let steps = self.random.u32(1..24);
        for _ in 0..steps {
            // A call that is dropped in the middle is the end of the run.
            let polls = if self.random.u32(..14) == 0 { self.random.u32(0..4) } else { u32::MAX };
            match polled(polls, self.step(run, all)).await {
                Some(Ok(true)) => {}
                Some(Ok(false)) => return Ok(false),
                Some(Err(wrong)) => return Err(wrong),
                None => {
                    self.history.push(format!("dropped after {polls} polls"));
                    return Ok(false);
                }
            }
        }
        if self.random.bool() {
            return Ok(false);
        }
        self.end_commit(run).await?;
        if self.random.bool() {
            self.history.push("commit".into());
            run.commit().await?;
        }
        Ok(true)
    }

    /// One step; `false` if the crash comes here.
    async fn step(&mut self, run: &mut Run, all: &[&Listing]) -> Result<bool, Wrong> {
        let is_free = self.begun.is_none();
        match self.random.u32(..10) {
            0..=5 => {
                if run.sink.is_full() {
                    self.end_commit(run).await?;
                    run.commit().await?;
                }
                let listing = all[self.random.usize(..all.len())];
                let page = run.pages(&listing.name) + 1;
                self.history.push(format!("{} page {page}", listing.name));
                run.write_next(listing).await?;
            }
            6 if is_free => {
                self.history.push("begin".into());
                let begun = run.begin().await?;
                if begun.is_on_its_way() {
                    self.begun = Some(begun);
                } else {
                    let checkpoints = begun.durable().await?;
                    run.save(&checkpoints).await?;
                }
            }
            7 if is_free => {
                self.history.push("commit, and no checkpoint".into());
                let durable = run.begin().await?.durable().await?;
                drop(durable);
                return Ok(false);
            }
            8 if is_free => {
                self.history.push("commit, and a checkpoint that nobody hears of".into());
                let checkpoints = run.begin().await?.durable().await?;
                run.store.save(&run.lease, &checkpoints).await?;
                return Ok(false);
            }
            _ => self.end_commit(run).await?,
        }
        Ok(true)
    }

    async fn end_commit(&mut self, run: &mut Run) -> Held {
        let Some(begun) = self.begun.take() else { return Ok(()) };
        self.history.push("durable".into());
        let checkpoints = begun.durable().await?;
        run.save(&checkpoints).await
    }
}
