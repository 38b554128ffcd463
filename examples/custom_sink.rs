//! A sink of your own, in under 40 lines: durable, exactly once, and held to it.
//!
//! ```text
//! cargo run --example custom_sink
//! ```
//!
//! It appends lines to a file for each source. Its state is how long the file was at the last commit; when it is opened
//! again, whatever came behind that is cut off. That is all there is to "exactly once": the checkpoint, which holds the
//! state and the position together, is stored behind each commit by the pipeline.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::{BoxFuture, ready};
use headwater::Annotator;
use headwater::checkpoint::{CheckpointStore, FileStore, SinkState};
use headwater::prelude::*;
use headwater::sink::{Guarantee, Opening, Sink, SinkStates};
use headwater::testing::sink_suite::{self, Place};
use headwater::testing::{MockApi, Paging, Resource};

/// Lines in `{dir}/{source}.txt`: the folder, and the files that are open.
#[derive(Debug)]
struct Lines(PathBuf, BTreeMap<String, File>);

impl Sink for Lines {
    fn definition(&self) -> String {
        "lines of my own".into()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        Some(Arc::new(FileStore::new(self.0.join("checkpoints"))))
    }

    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
        let committed = opening.committed.state().and_then(|state| state.0.as_u64()).unwrap_or(0);
        let path = self.0.join(format!("{}.txt", opening.source));
        let opened = File::options().create(true).append(true).open(path).and_then(|file| {
            file.metadata()?.len().checked_sub(committed).ok_or(io::ErrorKind::UnexpectedEof)?;
            file.set_len(committed)?; // What was not committed is gone …
            file.sync_all()?;
            File::open(&self.0)?.sync_all()?; // … for good, and the name of the file is there for good.
            self.1.insert(opening.source.into(), file);
            Ok(SinkState(committed.into()))
        });
        Box::pin(ready(opened.map_err(failed)))
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        let mut lines = Vec::new();
        Annotator::new(source).append_batch(batch, &mut lines);
        Box::pin(ready((&self.1[source]).write_all(&lines).map_err(failed)))
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        let synced = self.1.iter().map(|(source, file)| {
            file.sync_data()?;
            Ok((source.as_str().into(), SinkState(file.metadata()?.len().into())))
        });
        Box::pin(ready(synced.collect::<io::Result<_>>().map_err(failed)))
    }
}

fn failed(error: io::Error) -> Error {
    Error::new(ErrorKind::Sink, "the lines cannot be written").because(error)
}

/// Where the suite finds what the sink has written.
struct Folder(tempfile::TempDir);

impl Place for Folder {
    fn sink(&self) -> Box<dyn Sink> {
        Box::new(Lines(self.0.path().to_owned(), BTreeMap::new()))
    }

    fn committed<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move {
            let path = self.0.path().join(format!("{source}.txt"));
            let text = std::fs::read_to_string(path).map_err(failed)?;
            Ok(text.lines().map(str::to_owned).collect())
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Folder(tempfile::tempdir()?);
    // Any API will do; this one is embedded, so that the example runs without a network.
    let api =
        MockApi::builder().resource(Resource::new("invoices", 1_000).paging(Paging::Cursor)).start().await?;
    let invoices = Source::get("invoices", api.url("/invoices"))
        .records("data")
        .paginate(Cursor::last_record("id").into_query("starting_after").until_false("has_more"))
        .build()?;
    println!("{}", Pipeline::new().source(invoices).sink(folder.sink()).run().await?);
    println!("{} lines", folder.committed("invoices").await?.len());

    // Dropped at any call, with commits lost, by chance and through pipelines: or it would panic here.
    sink_suite::run(&folder).await;
    println!("all {} behaviours hold", sink_suite::names().count());
    Ok(())
}
