//! One process: from its start to its end, however it ends.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use headwater::Shutdown;
use headwater::pipeline::{Outcome, Report, RunError};
use headwater::testing::CrashFs;
use tokio::time::{Instant, sleep_until};

use super::hub::Hub;
use super::oracle::Invariant;
use super::pipelines::pipeline;
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
        for _ in 0..12 {
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
