//! The cap on requests in flight.

use super::*;

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

#[tokio::test(start_paused = true)]
async fn one_that_waits_for_a_place_and_is_not_polled_does_not_keep_it() {
    let limiter = Limiter::unlimited().in_flight(1);
    let permit = limiter.acquire().await;
    let mut idle: Vec<_> = (0..3).map(|_| limiter.acquire()).collect();
    for waiter in &mut idle {
        assert!(waiter.now_or_never().is_none());
    }
    drop(permit);
    let start = Instant::now();
    assert_eq!(times(&limiter, 100).await.len(), 100);
    // They are waited for once, and then no more.
    assert!(start.elapsed() <= Duration::from_secs(2), "{:?}", start.elapsed());
    drop(idle);
}
