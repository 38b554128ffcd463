//! A world by its seed: APIs with their limits and faults, and the lists that they hold.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headwater::{Limiter, RetryPolicy};

use super::faults::Fault;
use super::listing::Listing;
use super::outputs::Output;

/// 2026-05-17T10:00:00Z, when every world begins.
pub(crate) fn wall(time: Duration) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_779_012_000) + time
}

/// The most that a clock is set ahead, in seconds.
pub(crate) const CLOCK_AHEAD: u64 = 2 * 86_400;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) apis: Vec<Api>,
    pub(crate) listings: Vec<Listing>,
    pub(crate) output: Output,
    pub(crate) commit_every: Duration,
    pub(crate) fail_fast: bool,
    /// Whether somebody sets the clock between two processes, back and forth.
    pub(crate) clock_jumps: bool,
    /// The longest time that a write takes.
    pub(crate) sink_pace: u64,
    /// The longest time that a commit takes, and that it takes to store the checkpoints behind it.
    pub(crate) commit_pace: u64,
    pub(crate) store_pace: u64,
    /// So many bytes are gathered before they go to the file.
    pub(crate) buffer: usize,
    /// How many runs are to be finished.
    pub(crate) runs: u32,
}

/// One API: its sources share a limiter.
#[derive(Debug)]
pub(crate) struct Api {
    /// Requests a second, and the burst; `None` for no limit of our own.
    pub(crate) rate: Option<(f64, u32)>,
    pub(crate) limiter_max_wait: Duration,
    pub(crate) max_attempts: u32,
    pub(crate) max_wait: Duration,
    own_budget: bool,
    pub(crate) latency: u64,
    /// How far its clock is behind or ahead, in seconds.
    skew: (u64, u64),
    /// Of a thousand requests.
    pub(crate) passing: u16,
    pub(crate) lasting: u16,
    pub(crate) redirects: u16,
    pub(crate) slow_downs: u16,
    pub(crate) longest_wait: u64,
    /// A budget of the server: requests in each period.
    pub(crate) window: Option<Window>,
    /// From when to when everything fails, and how.
    pub(crate) outages: Vec<(Duration, Duration, Fault)>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) requests: u64,
    pub(crate) period: Duration,
    pub(crate) style: u8,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let apis: Vec<Api> = (0..random.usize(1..=2)).map(|_| Api::random(&mut random)).collect();
        // More between two commits than the sink keeps in memory.
        let large = random.u8(0..24) == 0;
        let listings: Vec<Listing> = (0..random.usize(1..=4))
            .map(|number| Listing::random(&mut random, number, apis.len(), large))
            .collect();
        Self {
            seed,
            output: Output::random(seed, &listings),
            apis,
            commit_every: Duration::from_millis(random.u64(1..4000)),
            fail_fast: random.u8(0..6) == 0,
            clock_jumps: random.u8(0..4) == 0,
            sink_pace: [0, 0, 20, 3000][random.usize(0..4)],
            commit_pace: [0, 20, 3000, 20_000][random.usize(0..4)],
            buffer: [1, 500, 256 * 1024, 256 * 1024][random.usize(0..4)],
            store_pace: [0, 0, 20, 1000][random.usize(0..4)],
            runs: match random.u8(0..4) {
                runs if listings.iter().any(Listing::grows) => 2 + u32::from(runs) / 2,
                0 => 2,
                _ => 1,
            },
            listings,
        }
    }
}

impl Api {
    fn random(random: &mut fastrand::Rng) -> Self {
        let rates = [0.05, 0.2, 0.5, 1.0, 3.0, 7.5, 25.0, 100.0];
        let limited = random.u8(0..4) > 0;
        let rate = limited.then(|| (rates[random.usize(0..rates.len())], random.u32(1..6)));
        let minutes = |count: u64| Duration::from_secs(60 * count);
        let waits = [minutes(1), minutes(15), minutes(15), minutes(120)];
        let window = (random.u8(0..3) == 0).then(|| Window {
            requests: random.u64(2..12),
            period: Duration::from_secs([10, 60, 600, 3600][random.usize(0..4)]),
            style: random.u8(0..4),
        });
        let outages = (0..random.u64(0..3)).map(|_| {
            let from = Duration::from_secs(random.u64(0..7200));
            let fault = match random.u8(0..5) {
                0 => Fault::Refused,
                1 => Fault::Html,
                2 => Fault::Status(401),
                3 => Fault::CursorExpired,
                _ => Fault::Status(503),
            };
            (from, from + Duration::from_secs(random.u64(1..7200)), fault)
        });
        Self {
            rate,
            outages: outages.collect(),
            limiter_max_wait: waits[random.usize(0..4)],
            max_attempts: random.u32(1..8),
            max_wait: waits[random.usize(0..4)],
            own_budget: random.bool(),
            skew: [(0, 0), (0, 0), (40 * 86_400, 0), (0, 7200)][random.usize(0..4)],
            latency: [1, 50, 400, 8000][random.usize(0..4)],
            passing: [0, 30, 100, 300][random.usize(0..4)],
            lasting: [0, 0, 5, 15][random.usize(0..4)],
            redirects: [0, 0, 50, 300][random.usize(0..4)],
            slow_downs: [0, 0, 20, 100][random.usize(0..4)],
            longest_wait: [5, 60, 900][random.usize(0..3)],
            window,
        }
    }

    /// The time of day at the server.
    pub(crate) fn clock(&self, now: Duration) -> SystemTime {
        wall(now) - Duration::from_secs(self.skew.0) + Duration::from_secs(self.skew.1)
    }

    pub(crate) fn limiter(&self) -> Limiter {
        let limiter = match self.rate {
            Some((rate, burst)) => Limiter::per_second(rate).burst(burst),
            None => Limiter::unlimited(),
        };
        limiter.max_wait(self.limiter_max_wait)
    }

    pub(crate) fn retry(&self, seed: u64) -> RetryPolicy {
        let policy = RetryPolicy::exponential()
            .max_attempts(self.max_attempts)
            .max_wait(self.max_wait)
            .base(Duration::from_millis(200))
            .seed(seed);
        if self.own_budget { policy.budget(0.5, 20) } else { policy }
    }
}
