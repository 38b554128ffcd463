//! The limiter on a paused clock: exact schedules.

mod budgets;
mod costs;
mod flight;

use futures::FutureExt;

use super::*;

async fn times(limiter: &Limiter, permits: usize) -> Vec<u128> {
    let start = Instant::now();
    let mut times = Vec::new();
    for _ in 0..permits {
        drop(limiter.acquire().await);
        times.push(start.elapsed().as_millis());
    }
    times
}

#[tokio::test(start_paused = true)]
async fn twenty_five_a_second_with_burst_fifty_is_exactly_that_schedule() {
    let limiter = Limiter::per_second(25.0).burst(50);
    let expected: Vec<u128> = (0..50).map(|_| 0).chain((1..=100).map(|n| n * 40)).collect();
    assert_eq!(times(&limiter, 150).await, expected);
}

#[tokio::test(start_paused = true)]
async fn clones_share_one_budget_first_come_first_served() {
    let limiter = Limiter::per_second(10.0);
    let start = Instant::now();
    let tasks = (0..20).map(|n| {
        let limiter = limiter.clone();
        async move {
            drop(limiter.acquire().await);
            (n, start.elapsed().as_millis())
        }
    });
    let times = futures::future::join_all(tasks).await;
    assert_eq!(times, (0..20).map(|n| (n, n * 100)).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_rate_can_be_a_fraction() {
    assert_eq!(times(&Limiter::per_second(0.4), 3).await, [0, 2500, 5000]);
    assert_eq!(times(&Limiter::per_minute(3.0), 2).await, [0, 20_000]);
}

#[tokio::test(start_paused = true)]
async fn a_told_wait_closes_the_gate_for_everyone_and_no_burst_follows() {
    let limiter = Limiter::per_second(10.0).burst(5);
    let hints = Hints { retry_after: Some(Duration::from_secs(3)), ..Hints::default() };
    limiter.clone().observe(&hints);
    assert_eq!(times(&limiter, 3).await, [3000, 3100, 3200]);
}

fn budget(remaining: u64, reset: u64) -> Hints {
    Hints { remaining: Some(remaining), reset: Some(Duration::from_secs(reset)), ..Hints::default() }
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_than_remain_until_the_reset() {
    let limiter = Limiter::unlimited();
    limiter.observe(&budget(2, 30));
    assert_eq!(times(&limiter, 4).await, [0, 0, 30_000, 30_000]);
}

#[tokio::test(start_paused = true)]
async fn requests_on_their_way_count_against_what_remains() {
    let limiter = Limiter::unlimited();
    let on_their_way = [limiter.acquire().await, limiter.acquire().await, limiter.acquire().await];
    // The server had seen the first only.
    limiter.observe(&budget(3, 30));
    assert_eq!(times(&limiter, 2).await, [0, 30_000]);
    drop(on_their_way);
}

#[tokio::test(start_paused = true)]
async fn a_used_up_budget_stays_closed_whatever_another_budget_says() {
    let limiter = Limiter::unlimited();
    limiter.observe(&budget(0, 60));
    limiter.observe(&budget(3000, 600));
    assert_eq!(times(&limiter, 1).await, [60_000]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_reset_is_woken_when_more_remains() {
    let limiter = Limiter::per_second(1.0);
    let permit = limiter.acquire().await;
    limiter.observe(&budget(1, 600));
    let waiters = [tokio::spawn(limiter.acquire()), tokio::spawn(limiter.acquire())];
    tokio::task::yield_now().await;
    let start = Instant::now();
    permit.answered(&budget(50, 600));
    for waiter in waiters {
        waiter.await.unwrap().answered(&Hints::default());
    }
    assert_eq!(start.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_dies_does_not_keep_the_window_shut() {
    let limiter = Limiter::unlimited();
    let (dies, answers) = (limiter.acquire().await, limiter.acquire().await);
    answers.answered(&budget(1, 600));
    let waiter = tokio::spawn(limiter.acquire());
    tokio::task::yield_now().await;
    let start = Instant::now();
    drop(dies);
    drop(waiter.await.unwrap());
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_sliding_window_does_not_stall() {
    let limiter = Limiter::per_second(10.0);
    let start = Instant::now();
    for _ in 0..201 {
        limiter.acquire().await.answered(&budget(49, 60));
    }
    assert_eq!(start.elapsed(), Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn those_behind_move_up_when_one_leaves() {
    let limiter = Limiter::per_second(1.0);
    drop(limiter.acquire().await);
    let mut queue: Vec<_> = (0..10).map(|_| Box::pin(limiter.acquire())).collect();
    for waiter in &mut queue {
        assert!(waiter.as_mut().now_or_never().is_none());
    }
    let last = tokio::spawn(queue.pop().unwrap());
    tokio::task::yield_now().await;
    let start = Instant::now();
    drop(queue);
    drop(last.await.unwrap());
    assert_eq!(start.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn no_answer_can_close_the_gate_for_longer_than_the_cap() {
    let limiter = Limiter::unlimited().max_wait(Duration::from_secs(60));
    limiter.observe(&Hints { retry_after: Some(Duration::from_secs(1_000_000)), ..Hints::default() });
    assert_eq!(times(&limiter, 1).await, [60_000]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_polled_does_not_starve_the_others() {
    let limiter = Limiter::per_second(10.0);
    drop(limiter.acquire().await);
    let mut idle: Vec<_> = (0..3).map(|_| limiter.acquire()).collect();
    for waiter in &mut idle {
        assert!(waiter.now_or_never().is_none());
    }
    let start = Instant::now();
    for _ in 0..100 {
        drop(limiter.acquire().await);
    }
    // They are waited for once, a token each, and then no more.
    assert!(start.elapsed() <= Duration::from_millis(103 * 100 + 100), "{:?}", start.elapsed());
    drop(idle);
    assert_eq!(times(&limiter, 2).await, [100, 200]);
}

#[tokio::test(start_paused = true)]
async fn in_no_window_are_there_more_than_burst_plus_rate() {
    let limiter = Limiter::per_second(7.0).burst(4);
    let mut random = fastrand::Rng::with_seed(7);
    let mut times = Vec::new();
    for _ in 0..300 {
        tokio::time::sleep(Duration::from_millis(random.u64(0..400))).await;
        drop(limiter.acquire().await);
        times.push(Instant::now());
    }
    for (first, start) in times.iter().enumerate() {
        for (last, end) in times.iter().enumerate().skip(first) {
            let bound = 4.0 + 7.0 * (*end - *start).as_secs_f64() + 1e-6;
            assert!((last - first + 1) as f64 <= bound, "{} in {:?}", last - first + 1, *end - *start);
        }
    }
}
