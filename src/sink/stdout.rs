//! JSON lines on standard output.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;

use super::{Guarantee, Opening, Sink, SinkStates, unopened};
use crate::checkpoint::SinkState;
use crate::error::{Error, ErrorKind, Result};
use crate::records::{Annotator, Batch};

/// So many bytes are gathered before they are written.
const BUFFER: usize = 64 * 1024;

/// JSON lines on standard output, with `__source` and `__ingested_at` added to each record by the rules of
/// [`Annotator`](crate::Annotator).
///
/// Lines are written whole, and all of them are out at each commit. What was printed cannot be taken back, so after a crash
/// some records come twice: at least once. There are no checkpoints, unless the pipeline is given a
/// [store](crate::Pipeline::checkpoints). If nobody reads any more (`| head`), the run ends with an error of kind
/// [`Sink`](ErrorKind::Sink).
///
/// ```no_run
/// use headwater::{Pipeline, sink::Stdout};
/// let pipeline = Pipeline::new().sink(Stdout::new());
/// ```
#[derive(Debug)]
pub struct Stdout {
    out: Out,
    /// And whether something was written for them since the last commit.
    sources: BTreeMap<Arc<str>, (Annotator, bool)>,
    buffer: Vec<u8>,
}

/// Where the lines go.
#[derive(Clone)]
struct Out(Arc<Mutex<dyn Write + Send>>);

impl fmt::Debug for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Out")
    }
}

impl Default for Stdout {
    fn default() -> Self {
        Self::new()
    }
}

impl Stdout {
    /// Writes on the standard output of this process.
    pub fn new() -> Self {
        Self::on(io::stdout())
    }

    /// Writes somewhere else, a pipe say.
    pub fn on(out: impl Write + Send + 'static) -> Self {
        Self { out: Out(Arc::new(Mutex::new(out))), sources: BTreeMap::new(), buffer: Vec::new() }
    }

    /// Writes what has gathered, on a thread that may block: whoever reads may be slow.
    async fn print(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let (out, lines) = (self.out.clone(), std::mem::take(&mut self.buffer));
        let printed = tokio::task::spawn_blocking(move || {
            let mut out = out.0.lock().unwrap_or_else(PoisonError::into_inner);
            out.write_all(&lines).and_then(|()| out.flush()).map(|()| lines)
        });
        let printed = printed.await.map_err(io::Error::other).and_then(|printed| printed);
        self.buffer = printed.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => {
                Error::new(ErrorKind::Sink, "standard output was closed by the program that reads it")
                    .because(error)
            }
            _ => Error::new(ErrorKind::Sink, "standard output cannot be written").because(error),
        })?;
        self.buffer.clear();
        Ok(())
    }
}

impl Sink for Stdout {
    fn definition(&self) -> String {
        "jsonl on standard output".into()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::AtLeastOnce
    }

    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
        self.sources.insert(opening.source.into(), (Annotator::new(opening.label), false));
        Box::pin(async { Ok(SinkState::default()) })
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let (annotator, touched) = self.sources.get_mut(source).ok_or_else(|| unopened(source))?;
            annotator.append_batch(batch, &mut self.buffer);
            *touched = true;
            if self.buffer.len() < BUFFER { Ok(()) } else { self.print().await }
        })
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        Box::pin(async {
            self.print().await?;
            let touched = self.sources.iter_mut().filter(|(_, (_, touched))| *touched);
            let states = touched.map(|(source, (_, touched))| {
                *touched = false;
                (source.clone(), SinkState::default())
            });
            Ok(states.collect())
        })
    }

    fn location(&self, _: &SinkState) -> Option<String> {
        Some("standard output".into())
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::checkpoint::Lease;
    use crate::page::Page;
    use crate::request::Position;
    use crate::sink::Committed;

    #[derive(Clone, Default)]
    struct Pipe(Arc<Mutex<Vec<u8>>>, bool);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.1 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    async fn printed(pipe: Pipe) -> Result<SinkStates> {
        let mut sink = Stdout::on(pipe);
        let (committed, started_at) = (Committed::Nothing, SystemTime::UNIX_EPOCH);
        let lease = Lease::new(());
        sink.open(Opening { source: "s", label: "s", started_at, committed, lease: &lease }).await?;
        let page = Page::new(r#"[{"id":1}]"#, 1, Position::Start, None)?;
        sink.write("s", &Batch::new(page, "")?).await?;
        sink.commit().await
    }

    #[tokio::test]
    async fn lines_are_out_at_the_commit() {
        let pipe = Pipe::default();
        assert_eq!(printed(pipe.clone()).await.unwrap().len(), 1);
        assert!(pipe.0.lock().unwrap().starts_with(br#"{"id":1,"__source":"s","__ingested_at":"#));
    }

    #[tokio::test]
    async fn a_closed_pipe_is_an_error_that_says_so() {
        let error = printed(Pipe(Arc::default(), true)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Sink);
        assert!(error.to_string().contains("closed by the program that reads it"), "{error}");
    }
}
