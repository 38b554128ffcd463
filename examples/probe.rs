//! Says what an API speaks: `cargo run --example probe -- https://pokeapi.co/api/v2/pokemon`.
//!
//! Without a URL it looks at an embedded mock API, in each of its dialects. A bearer token is taken from `PROBE_TOKEN`.

use headwater::Source;
use headwater::testing::{MockApi, Paging, Resource};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(url) = std::env::args().nth(1) {
        let source = Source::get("source", url);
        let source = match std::env::var("PROBE_TOKEN") {
            Ok(token) => source.bearer(token),
            Err(_) => source,
        };
        println!("{}", source.probe().await?);
        return Ok(());
    }
    let dialects = [("offset", Paging::Offset), ("cursor", Paging::Cursor), ("link", Paging::Link)];
    let api = dialects.iter().fold(MockApi::builder(), |api, (name, paging)| {
        api.resource(Resource::new(*name, 250).paging(*paging))
    });
    let api = api.start().await?;
    for (name, _) in dialects {
        println!("{}\n", Source::probe(api.url(name)).await?);
    }
    Ok(())
}
