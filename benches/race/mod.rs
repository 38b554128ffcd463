//! Contestants that work through pages in memory, by turns.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures::future::{BoxFuture, ready};
use headwater::paginate::PageNumber;
use headwater::transport::{Response, Transport};
use headwater::{Pages, Request};
use http::{HeaderMap, StatusCode};

use super::sample::Shape;

pub(crate) const ROUNDS: usize = 25;
/// How long a contestant is at it in one round.
const TURN: Duration = Duration::from_millis(20);

/// Two pages, which are handed out by turns.
pub(crate) fn pages(shape: &Shape) -> [Bytes; 2] {
    [1, 2].map(|number| shape.page(number, u64::MAX).into())
}

/// Hands out its pages by turns, for ever.
struct Memory {
    pages: [Bytes; 2],
    asked: AtomicUsize,
}

impl Transport for Memory {
    fn send<'a>(&'a self, _: &'a Request) -> BoxFuture<'a, headwater::Result<Response>> {
        let turn = self.asked.fetch_add(1, Ordering::Relaxed) % 2;
        Box::pin(ready(Ok(Response {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: self.pages[turn].clone(),
            received_at: SystemTime::now(),
        })))
    }
}

/// The pages as a source has them.
pub(crate) fn pulled(pages: [Bytes; 2]) -> Pages {
    let request = Request::get("https://api.example.com/items").expect("a URL");
    let memory = Memory { pages, asked: AtomicUsize::new(0) };
    Pages::new(memory, request, PageNumber::new().until_false("has_more")).allow_identical_pages()
}

/// Seconds per page of each contestant: the median of rounds in which they take turns.
pub(crate) fn race<T, const N: usize>(
    mut contestants: [Box<dyn FnMut() -> T>; N],
    rounds: usize,
) -> [f64; N] {
    let mut times: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    for round in 0..=rounds {
        for (work, times) in contestants.iter_mut().zip(&mut times) {
            let mut pages = 0_u32;
            let start = Instant::now();
            while start.elapsed() < TURN {
                black_box(work());
                pages += 1;
            }
            // The first round is for the caches.
            if round > 0 {
                times.push(start.elapsed().as_secs_f64() / f64::from(pages));
            }
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    })
}
