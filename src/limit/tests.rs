//! The limiter on a paused clock: exact schedules.

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

// ---- Several budgets

#[tokio::test(start_paused = true)]
async fn a_request_is_within_all_budgets() {
    let limiter = Limiter::per_second(10.0).and(Limiter::quota(12, Duration::from_secs(60)));
    let expected: Vec<u128> = (0..12).map(|n| n * 100).chain([60_000, 60_100, 60_200]).collect();
    assert_eq!(times(&limiter, 15).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_day_s_budget_can_be_used_at_any_speed() {
    let limiter = Limiter::per_second(10.0).and(Limiter::per_day(1000.0));
    let times = times(&limiter, 1001).await;
    assert_eq!((times[999], times[1000]), (99_900, 86_400_000));
    assert_eq!(self::times(&Limiter::per_day(0.5), 2).await, [0, 2 * 86_400_000]);
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_for_its_route_does_not_slow_down_those_on_the_credential() {
    let credential = Limiter::per_second(10.0);
    let route = Limiter::quota(1, Duration::from_secs(3600)).and(credential.clone());
    drop(route.acquire().await);
    let waits = tokio::spawn(route.acquire());
    tokio::task::yield_now().await;
    assert_eq!(times(&credential, 50).await, (1..=50).map(|n| n * 100).collect::<Vec<_>>());
    let start = Instant::now();
    drop(waits.await.unwrap());
    assert_eq!(start.elapsed(), Duration::from_secs(3595));
}

#[tokio::test(start_paused = true)]
async fn one_that_has_waited_for_its_route_is_not_overtaken_for_ever() {
    let credential = Limiter::per_second(10.0);
    let route = Limiter::per_second(1.0).and(credential.clone());
    let crowd: Vec<_> = (0..20)
        .map(|_| {
            let credential = credential.clone();
            tokio::spawn(async move {
                for _ in 0..50 {
                    drop(credential.acquire().await);
                }
            })
        })
        .collect();
    let start = Instant::now();
    for _ in 0..10 {
        drop(route.acquire().await);
    }
    // Twenty stand in the queue before each of them: two seconds each.
    assert!(start.elapsed() <= Duration::from_secs(21), "{:?}", start.elapsed());
    for one in crowd {
        one.await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::from_millis(100 * 1009));
}

#[tokio::test(start_paused = true)]
async fn routes_share_the_budget_of_their_credential() {
    let credential = Limiter::per_second(10.0);
    let one = Limiter::per_second(8.0).and(credential.clone());
    let two = Limiter::per_second(8.0).and(credential);
    let start = Instant::now();
    let pull = |limiter: Limiter| async move {
        for _ in 0..20 {
            drop(limiter.acquire().await);
        }
    };
    tokio::join!(pull(one), pull(two));
    // Forty at ten a second; alone, each would take 2.4 s.
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_millis(3900) && elapsed < Duration::from_secs(4), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_limiter_added_to_itself_is_one_budget() {
    let limiter = Limiter::per_second(10.0);
    assert_eq!(times(&limiter.clone().and(limiter), 3).await, [0, 100, 200]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn limiters_that_share_budgets_in_another_order_do_not_lock_up() {
    let (a, b) = (Limiter::unlimited().in_flight(3), Limiter::unlimited().in_flight(2));
    let both = [a.clone().and(b.clone()), b.clone().and(a.clone()), a, b];
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let limiter = both[n % 4].clone();
            tokio::spawn(async move {
                for _ in 0..500 {
                    let permit = limiter.acquire().await;
                    tokio::task::yield_now().await;
                    permit.answered(&Hints::default());
                }
            })
        })
        .collect();
    let all = futures::future::join_all(tasks);
    assert!(tokio::time::timeout(Duration::from_secs(30), all).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_said_of_a_route_does_not_close_the_credential() {
    let credential = Limiter::unlimited();
    let route = Limiter::unlimited().and(credential.clone());
    let hints = Hints { retry_after: Some(Duration::from_secs(30)), ..Hints::default() };
    route.acquire().await.refused(&hints);
    assert_eq!(times(&credential, 1).await, [0]);
    assert_eq!(times(&route, 1).await, [30_000]);
}

// ---- Costs

#[tokio::test(start_paused = true)]
async fn a_request_costs_what_it_says() {
    let limiter = Limiter::per_second(10.0).burst(10);
    let start = Instant::now();
    let mut times = Vec::new();
    for cost in [5, 5, 5, 1, 20, 1] {
        drop(limiter.acquire_cost(cost).await);
        times.push(start.elapsed().as_millis());
    }
    // 20 need the whole burst, and leave a debt of 10.
    assert_eq!(times, [0, 0, 500, 600, 1600, 2700]);
}

#[tokio::test(start_paused = true)]
async fn a_large_one_is_not_overtaken_by_small_ones() {
    let limiter = Limiter::per_second(1.0).burst(10);
    drop(limiter.acquire_cost(10).await);
    let start = Instant::now();
    let wait = |cost| {
        let limiter = limiter.clone();
        async move {
            drop(limiter.acquire_cost(cost).await);
            start.elapsed().as_secs()
        }
    };
    assert_eq!(tokio::join!(wait(8), wait(1), wait(1), wait(5)), (8, 9, 10, 15));
}

#[tokio::test(start_paused = true)]
async fn a_budget_in_points_is_counted_in_requests_like_the_one_that_told_it() {
    let told = |remaining, cost| Hints { cost: Some(cost), ..budget(remaining, 60) };
    let limiter = Limiter::unlimited();
    limiter.acquire().await.answered(&told(25, 10));
    assert_eq!(times(&limiter, 3).await, [0, 0, 60_000]);
    // Here the limiter counts in points as well: 12 are left, and a request takes 5.
    let limiter = Limiter::unlimited();
    limiter.acquire_cost(5).await.answered(&told(12, 5));
    let start = Instant::now();
    for _ in 0..2 {
        drop(limiter.acquire_cost(5).await);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    drop(limiter.acquire_cost(5).await);
    assert_eq!(start.elapsed(), Duration::from_secs(60));
    // Not even one fits: the gate is closed.
    let limiter = Limiter::unlimited();
    limiter.acquire().await.answered(&told(9, 10));
    assert_eq!(times(&limiter, 1).await, [60_000]);
}

// ---- What the server announces

#[tokio::test(start_paused = true)]
async fn an_announced_pace_is_kept_from_the_first_answer_on() {
    let hints = Hints { pace: Some(Duration::from_millis(500)), ..Hints::default() };
    for limiter in [Limiter::unlimited(), Limiter::per_second(10.0)] {
        limiter.acquire().await.answered(&hints);
        assert_eq!(times(&limiter, 3).await, [500, 1000, 1500]);
    }
    let slower = Limiter::per_second(1.0);
    slower.acquire().await.answered(&hints);
    assert_eq!(times(&slower, 2).await, [1000, 2000], "it does not go beyond its own rate");
}

#[tokio::test(start_paused = true)]
async fn a_back_off_on_success_closes_the_gate() {
    let limiter = Limiter::unlimited();
    let hints = Hints { backoff: Some(Duration::from_secs(3)), ..Hints::default() };
    limiter.acquire().await.answered(&hints);
    assert_eq!(times(&limiter, 2).await, [3000, 3000]);
}

// ---- In flight

#[tokio::test(start_paused = true)]
async fn no_more_are_on_their_way_than_the_cap() {
    let limiter = Limiter::unlimited().in_flight(3);
    let start = Instant::now();
    let tasks = (0..9).map(|_| {
        let limiter = limiter.clone();
        async move {
            let permit = limiter.acquire().await;
            tokio::time::sleep(Duration::from_millis(700)).await;
            permit.answered(&Hints::default());
            start.elapsed().as_millis()
        }
    });
    let times = futures::future::join_all(tasks).await;
    assert_eq!(times, [700, 700, 700, 1400, 1400, 1400, 2100, 2100, 2100]);
}

#[tokio::test(start_paused = true)]
async fn a_permit_held_by_hand_counts_until_it_is_dropped() {
    let limiter = Limiter::unlimited().in_flight(1);
    let permit = limiter.acquire().await;
    let waiter = tokio::spawn(limiter.acquire());
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!waiter.is_finished());
    let start = Instant::now();
    drop(permit);
    drop(waiter.await.unwrap());
    assert_eq!(start.elapsed(), Duration::ZERO);
}
