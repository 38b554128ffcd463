//! Several budgets at once.

use super::*;

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
    assert_eq!(super::times(&Limiter::per_day(0.5), 2).await, [0, 2 * 86_400_000]);
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

#[tokio::test(start_paused = true)]
async fn in_no_window_is_there_more_than_each_of_several_budgets_allows() {
    const WINDOW: Duration = Duration::from_secs(20);
    for seed in 0..6 {
        let credential = Limiter::per_second(5.0).burst(8).and(Limiter::quota(60, WINDOW));
        let route = Limiter::per_second(3.0).burst(2).in_flight(2).and(credential.clone());
        let log = std::sync::Mutex::new(Vec::new());
        let tasks = (0..6_u64).map(|n| {
            let (route, credential, log) = (&route, &credential, &log);
            async move {
                let mut random = fastrand::Rng::with_seed(seed * 100 + n);
                let of_route = n % 2 == 0;
                for _ in 0..20 {
                    let cost = random.u32(1..4);
                    let limiter = if of_route { route } else { credential };
                    let permit = limiter.acquire_cost(cost).await;
                    let start = Instant::now();
                    tokio::time::sleep(Duration::from_millis(random.u64(0..900))).await;
                    drop(permit);
                    log.lock().unwrap().push((start, Instant::now(), cost, of_route));
                }
            }
        });
        let all = futures::future::join_all(tasks);
        tokio::time::timeout(Duration::from_secs(3600), all).await.expect("nobody waits for ever");
        let mut log = log.into_inner().unwrap();
        log.sort();
        let within = |of_route: bool, start: Instant, end: Instant| {
            let in_it =
                log.iter().filter(|(at, _, _, route)| *at >= start && *at <= end && (*route || !of_route));
            in_it.map(|(_, _, cost, _)| f64::from(*cost)).sum::<f64>()
        };
        for (start, ..) in &log {
            for (end, ..) in log.iter().filter(|(end, ..)| end >= start) {
                let time = (*end - *start).as_secs_f64() + 1e-6;
                assert!(within(false, *start, *end) <= 8.0 + 5.0 * time, "seed {seed}");
                // What costs more than the burst of 2 leaves a debt of 1.
                assert!(within(true, *start, *end) <= 2.0 + 1.0 + 3.0 * time, "seed {seed}");
                assert!(*end - *start >= WINDOW || within(false, *start, *end) <= 60.0, "seed {seed}");
            }
            let on_their_way =
                log.iter().filter(|(at, end, _, route)| *route && at <= start && end > start).count();
            assert!(on_their_way <= 2, "seed {seed}: {on_their_way}");
        }
    }
}
