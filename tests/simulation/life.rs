//! One process: from its start to its end, however it ends.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use headwater::pipeline::{Outcome, Report, RunError};
use headwater::sink::Jsonl;
use headwater::testing::CrashFs;
use headwater::{Limiter, Pipeline, Shutdown};
use tokio::time::{Instant, sleep_until};

use super::disk::OUT;
use super::hub::Hub;
use super::mutants::Mutant;
use super::oracle::Invariant;
use super::server::Connection;
use super::watch::WatchedSink;
use super::world::World;

/// What is going to happen to a process.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fate {
    /// It may go on to its end.
    Free,
    /// It dies at this await.
    DiesAtStep(u64),
    /// It dies at this time.
    DiesAfter(Duration),
    /// It is asked to finish its pages.
    StopsAfter(Duration),
    /// It is asked to finish its pages, and then to stop at once.
    StopsTwice(Duration, Duration),
    StopsAtOnce(Duration),
    /// A call of the disk fails.
    DiskFails(u64, std::io::ErrorKind),
}

impl Fate {
    pub(crate) fn random(random: &mut fastrand::Rng) -> Self {
        // As likely within a millisecond as within hours.
        let time =
            |random: &mut fastrand::Rng| Duration::from_millis(1 << random.u32(0..24)).mul_f64(random.f64());
        match random.u8(0..20) {
            0..=4 => Self::Free,
            5..=11 => Self::DiesAtStep((f64::from(1 << random.u32(0..11)) * (1.0 + random.f64())) as u64),
            12..=14 => Self::DiesAfter(time(random)),
            15 => Self::StopsAfter(time(random)),
            16 => Self::StopsTwice(time(random), time(random)),
            17 => Self::StopsAtOnce(time(random)),
            _ => {
                let kind =
                    if random.bool() { std::io::ErrorKind::StorageFull } else { std::io::ErrorKind::Other };
                Self::DiskFails(random.u64(1..60), kind)
            }
        }
    }

    /// What is asked of the process, and when.
    fn orders(self) -> Vec<(Duration, Order)> {
        match self {
            Self::DiesAfter(time) => vec![(time, Order::Die)],
            Self::StopsAfter(time) => vec![(time, Order::Stop)],
            Self::StopsTwice(time, more) => vec![(time, Order::Stop), (time + more, Order::StopNow)],
            Self::StopsAtOnce(time) => vec![(time, Order::StopNow)],
            _ => Vec::new(),
        }
    }

    /// After this time a process hangs: no wait that is allowed takes so long.
    const PATIENCE: Duration = Duration::from_secs(10 * 86_400);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Die,
    Stop,
    StopNow,
}

/// How a process ended.
pub(crate) enum End {
    Died,
    Finished(Report),
    /// With the report if there is one.
    Unfinished(RunError),
}

impl End {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Died => "died",
            Self::Finished(_) => "finished",
            Self::Unfinished(error) => match error.report.as_ref().map(|report| report.outcome) {
                None => "could not start",
                Some(Outcome::Stopped) => "stopped",
                Some(_) => "failed",
            },
        }
    }
}

/// Lives one life on a clock of its own.
pub(crate) fn live(hub: &Hub, world: &Arc<World>, disk: &CrashFs, fate: Fate) -> End {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let end = runtime.block_on(async {
        hub.begin(if let Fate::DiesAtStep(step) = fate { Some(step) } else { None });
        if let Fate::DiskFails(call, kind) = fate {
            disk.fail(disk.calls() + call, kind);
            hub.state().disk_may_fail = true;
        }
        hub.state().note(format_args!("life begins: {fate:?}"));
        let end = run(hub, world, disk, fate).await;
        hub.state().note(format_args!("life ends: {}", end.name()));
        // A task that was told to end does so when it is next polled.
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let mut state = hub.state();
        let in_flight = state.in_flight;
        state.oracle.check(tasks == 0 && in_flight == 0, Invariant::NothingLeftBehind, || {
            format!("{tasks} tasks and {in_flight} requests are left behind by a run that {}", end.name())
        });
        drop(state);
        hub.end();
        end
    });
    drop(runtime);
    end
}

async fn run(hub: &Hub, world: &Arc<World>, disk: &CrashFs, fate: Fate) -> End {
    let shutdown = Shutdown::new();
    let begun = Instant::now();
    let mut orders = fate.orders().into_iter();
    let mut order = orders.next();
    let patience = begun + Fate::PATIENCE;
    let mut run = Box::pin(pipeline(hub, world, disk, &shutdown).run());
    let mut crash = pin!(hub.crash());
    loop {
        let (at, what) = order.unwrap_or((Duration::ZERO, Order::Die));
        tokio::select! {
            biased;
            () = &mut crash => return End::Died,
            () = sleep_until(begun + at), if order.is_some() => {
                hub.state().note(format_args!("order: {what:?}"));
                match what {
                    Order::Die => return End::Died,
                    Order::Stop => shutdown.finish_pages(),
                    Order::StopNow => shutdown.at_once(),
                }
                order = orders.next();
            }
            () = sleep_until(patience) => {
                let what = "a process has not ended after ten days";
                hub.state().oracle.violated(Invariant::RunsFinish, what);
                return End::Died;
            }
            result = &mut run => {
                hub.state().oracle.reported();
                return match result {
                    Ok(report) => End::Finished(report),
                    Err(error) => End::Unfinished(error),
                };
            }
        }
    }
}

fn pipeline(hub: &Hub, world: &Arc<World>, disk: &CrashFs, shutdown: &Shutdown) -> Pipeline {
    let (mutant, life, now) = {
        let state = hub.state();
        (state.mutant, u64::from(state.life), state.wall())
    };
    let limiters: Vec<Limiter> = world.apis.iter().map(|api| api.limiter()).collect();
    let sources = world.listings.iter().enumerate().map(|(number, listing)| {
        let api = &world.apis[listing.api];
        let limiter = match (mutant, api.rate) {
            (Some(Mutant::SourcesDoNotShareTheirLimiter), _) => api.limiter(),
            (Some(Mutant::LimiterIsTooFast), Some((rate, burst))) => {
                Limiter::per_second(rate * 1.2).burst(burst).max_wait(api.limiter_max_wait)
            }
            (Some(Mutant::BurstIsTooLarge), Some((_, burst))) => {
                limiters[listing.api].clone().burst(burst + 1)
            }
            _ => limiters[listing.api].clone(),
        };
        let far = mutant == Some(Mutant::SourcesRunFarAhead);
        let source = listing.dialect.source(listing);
        let source = match mutant {
            Some(Mutant::CredentialsAreForgotten) => source,
            _ => listing.credentials.give(listing, source),
        };
        let source = source.records(listing.path).rate_limit(limiter);
        let source = if listing.no_content { source.no_content_ends() } else { source };
        let retry = api.retry(world.seed ^ (life << 8) ^ number as u64);
        let source = source.retry(match mutant {
            Some(Mutant::PagesAreTriedTooOften) => retry.max_attempts(api.max_attempts + 1),
            _ => retry,
        });
        let source = source.prefetch(if far { 30 } else { listing.prefetch });
        source.transport(Connection::new(hub.clone(), number)).build().expect("a good definition")
    });
    let sink = Jsonl::on(Arc::new(disk.clone()), OUT);
    let observer = hub.clone();
    let pipeline = Pipeline::new()
        .sources(sources)
        .sink(WatchedSink::new(sink, hub.clone(), disk.clone()))
        .commit_every(world.commit_every)
        .started_at(now)
        .shutdown(shutdown.clone())
        .observe(move |event| observer.event(event));
    if world.fail_fast { pipeline.fail_fast() } else { pipeline }
}
