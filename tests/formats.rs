//! What the bodies of pages are written in: JSON Lines, CSV and XML give the same records as JSON would.
//!
//! Tests with chance in them print their seed and take it back from `HEADWATER_SEED`.

#[path = "formats/apis.rs"]
mod apis;
#[path = "formats/attacks.rs"]
mod attacks;
#[path = "formats/chance.rs"]
mod chance;
#[path = "formats/csv.rs"]
mod csv;
#[path = "formats/naive.rs"]
mod naive;
#[path = "formats/selections.rs"]
mod selections;
#[path = "formats/xml.rs"]
mod xml;

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use headwater::page::{Format, Select};
use headwater::paginate::Single;
use headwater::testing::{Reply, Scripted};
use headwater::transport::{Response, Transport};
use headwater::{Batch, Error, Page, Pages, Request};

/// A transport with a cap of its own on the bytes of a page.
struct Capped(Scripted, usize);

impl Transport for Capped {
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, headwater::Result<Response>> {
        self.0.send(request)
    }

    fn max_page_bytes(&self) -> usize {
        self.1
    }
}

const MIB: usize = 1024 * 1024;

/// The page that a body becomes.
fn page(format: impl Into<Format>, body: impl Into<Bytes>, cap: usize) -> Result<Page, Error> {
    let api = Arc::new(Capped(Scripted::new([Reply::status(200).body(body)]), cap));
    let first = Request::get("https://api.example.com/items").expect("a URL");
    let mut pages = Box::pin(Pages::new(api, first, Single).format(format));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(pages.next()).expect("one page")
}

/// The JSON that a body becomes.
fn json(format: impl Into<Format>, body: impl Into<Bytes>) -> Result<String, Error> {
    page(format, body, MIB).map(|page| page.text().to_owned())
}

/// The records that a selection finds in a body.
fn records(format: impl Into<Format>, body: &str, select: impl Into<Select>) -> Result<Vec<String>, Error> {
    let batch = Batch::new(page(format, body.to_owned(), MIB)?, select)?;
    Ok(batch.records().map(|record| record.as_str().to_owned()).collect())
}
