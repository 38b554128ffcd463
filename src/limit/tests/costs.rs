//! Costs, and what the server announces.

use super::*;

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
