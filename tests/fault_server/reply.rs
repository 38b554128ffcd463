//! What to do about one request, step by step.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// One thing to do on a connection.
#[derive(Debug, Clone)]
enum Step {
    Send(Bytes),
    /// Until the other side has had enough.
    Forever(Bytes, Duration),
    Pause(Duration),
    Close,
    /// FIN without a farewell: of TLS there is no close_notify.
    Cut,
    /// RST instead of FIN.
    Reset,
    /// Neither answers nor closes.
    Hang,
}

/// What to do about one request. Without a closing step the connection is ready for the next one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply(Vec<Step>);

impl Reply {
    pub(crate) fn nothing() -> Self {
        Self::default()
    }

    /// An answer as it should be.
    pub(crate) fn json(body: impl AsRef<[u8]>) -> Self {
        Self::status("200 OK", "", body)
    }

    /// A well-formed answer of this status line, these header lines (each ended by CRLF) and this body.
    pub(crate) fn status(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        Self::nothing()
            .send(format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len()))
            .send(body)
    }

    /// A head without a length: whatever follows is sent by steps.
    pub(crate) fn head(headers: &str) -> Self {
        Self::nothing().send(format!("HTTP/1.1 200 OK\r\n{headers}\r\n"))
    }

    pub(crate) fn send(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.push(Step::Send(Bytes::copy_from_slice(bytes.as_ref())));
        self
    }

    /// Sends bytes that are shared and not copied, so that they do not count as memory of the client.
    pub(crate) fn send_shared(mut self, bytes: &Bytes) -> Self {
        self.0.push(Step::Send(bytes.clone()));
        self
    }

    pub(crate) fn chunk(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.send(format!("{:x}\r\n", bytes.len())).send(bytes).send("\r\n")
    }

    pub(crate) fn forever(self, bytes: impl AsRef<[u8]>) -> Self {
        self.drip(bytes, Duration::ZERO)
    }

    pub(crate) fn forever_shared(mut self, bytes: &Bytes) -> Self {
        self.0.push(Step::Forever(bytes.clone(), Duration::ZERO));
        self
    }

    pub(crate) fn drip(mut self, bytes: impl AsRef<[u8]>, pause: Duration) -> Self {
        self.0.push(Step::Forever(Bytes::copy_from_slice(bytes.as_ref()), pause));
        self
    }

    pub(crate) fn pause(mut self, time: Duration) -> Self {
        self.0.push(Step::Pause(time));
        self
    }

    pub(crate) fn close(mut self) -> Self {
        self.0.push(Step::Close);
        self
    }

    pub(crate) fn cut(mut self) -> Self {
        self.0.push(Step::Cut);
        self
    }

    pub(crate) fn reset(mut self) -> Self {
        self.0.push(Step::Reset);
        self
    }

    pub(crate) fn hang(mut self) -> Self {
        self.0.push(Step::Hang);
        self
    }
}

/// A connection of either kind.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {
    /// The next close is an RST.
    fn reset(&self);
}

impl Wire for TcpStream {
    fn reset(&self) {
        self.set_zero_linger().expect("a socket option");
    }
}

impl Wire for TlsStream<TcpStream> {
    fn reset(&self) {
        self.get_ref().0.reset();
    }
}

/// Takes the steps of a reply, and says whether the connection is still of use.
pub(super) async fn play(wire: &mut impl Wire, reply: Reply) -> bool {
    for step in reply.0 {
        match step {
            Step::Send(bytes) => {
                if wire.write_all(&bytes).await.is_err() || wire.flush().await.is_err() {
                    return false;
                }
            }
            Step::Forever(bytes, pause) => {
                while wire.write_all(&bytes).await.is_ok() && wire.flush().await.is_ok() {
                    if pause.is_zero() {
                        tokio::task::yield_now().await;
                    } else {
                        tokio::time::sleep(pause).await;
                    }
                }
                return false;
            }
            Step::Pause(time) => tokio::time::sleep(time).await,
            Step::Close => {
                let _ = wire.shutdown().await;
                return false;
            }
            Step::Cut => return false,
            Step::Reset => {
                wire.reset();
                return false;
            }
            Step::Hang => {
                // Until the client hangs up.
                while wire.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
                return false;
            }
        }
    }
    true
}
