//! The body of an answer: a few pieces of known length, which may break off.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// Long enough for hyper to flush the part before the break.
const BEFORE_THE_BREAK: Duration = Duration::from_millis(2);

/// A body that announces its whole length, also when it is going to break off.
#[derive(Debug)]
pub(super) struct PageBody {
    pieces: VecDeque<Bytes>,
    left: u64,
    breaks: Option<Pin<Box<Sleep>>>,
}

impl PageBody {
    pub(super) fn new(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        let pieces: VecDeque<Bytes> = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        let left = length(&pieces);
        Self { pieces, left, breaks: None }
    }

    /// Keeps the first half, after which the connection is closed.
    pub(super) fn cut(mut self) -> Self {
        let mut room = usize::try_from(self.left / 2).unwrap_or(usize::MAX);
        for piece in &mut self.pieces {
            piece.truncate(room);
            room -= piece.len();
        }
        self.pieces.retain(|piece| !piece.is_empty());
        self.breaks = Some(Box::pin(sleep(BEFORE_THE_BREAK)));
        self
    }
}

fn length(pieces: &VecDeque<Bytes>) -> u64 {
    pieces.iter().map(|piece| piece.len() as u64).sum()
}

impl Body for PageBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(piece) = self.pieces.pop_front() {
            self.left -= piece.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if let Some(breaks) = &mut self.breaks {
            ready!(breaks.as_mut().poll(cx));
            return Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into())));
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.breaks.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use futures::stream::{StreamExt, poll_fn};

    use super::*;

    async fn read(mut body: PageBody) -> (Vec<u8>, bool) {
        let mut read = Vec::new();
        let mut frames = poll_fn(move |cx| Pin::new(&mut body).poll_frame(cx));
        while let Some(frame) = frames.next().await {
            match frame {
                Ok(frame) => read.extend(frame.into_data().unwrap()),
                Err(_) => return (read, false),
            }
        }
        (read, true)
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_body_announces_all_and_gives_half() {
        let pieces = || ["{".into(), "12345678".into(), "}".into()];
        assert_eq!(read(PageBody::new(pieces())).await, (b"{12345678}".to_vec(), true));
        let cut = PageBody::new(pieces()).cut();
        assert_eq!(cut.size_hint().exact(), Some(10));
        assert_eq!(read(cut).await, (b"{1234".to_vec(), false));
    }
}
