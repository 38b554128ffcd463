use headwater::prelude::*;

fn main() {
    let request = Request::get("https://api.example.com/items").unwrap();
    let pages = Pages::new(Http::new().unwrap(), request, LinkHeader::new());
    let _ = pages.retry(RetryPolicy::exponential()).rate_limit(Limiter::per_second(1.0));
}
