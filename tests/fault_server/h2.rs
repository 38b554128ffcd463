//! HTTP/2 frames by hand (RFC 9113), as far as a server needs them that misbehaves.

use std::collections::HashMap;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::{Server, tls::Identity};
use crate::fault_rows::pull::PAGE;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
/// HPACK: `:status: 200`, entry 8 of the static table.
const STATUS_200: &[u8] = &[0x88];
/// A literal without indexing, its name that of the same entry.
const STATUS_421: &[u8] = &[0x08, 3, b'4', b'2', b'1'];

/// Error codes (RFC 9113 §7).
pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const INTERNAL_ERROR: u32 = 2;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// What to do about one request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// A page.
    Page(Bytes),
    /// 421, with a body of two bytes.
    Misdirected,
    /// RST_STREAM at once.
    Refuse(u32),
    /// The beginning of a body, then RST_STREAM.
    Break(Bytes, u32),
    /// GOAWAY that leaves this request out (RFC 9113 §6.8), and close.
    GoAway(u32),
    /// The same, with a text for people in it.
    GoAwaySaying(&'static str),
    /// The beginning of a body, then GOAWAY that counts this request in, and close.
    GoAwayInBody(Bytes, u32),
    /// Closes without a word.
    Close,
    /// A body without end, as fast as the windows allow.
    Endless,
    /// Header lines without end.
    HeaderFlood,
    /// A page behind this many frames of header lines, of 15 KiB each.
    LargeHeaders(usize),
    /// A frame on a stream that does not exist.
    Nonsense,
}

/// HTTP/2 over TLS. `script` is asked with the number of the request, from 1.
pub(crate) async fn start(script: impl Fn(usize) -> Act + Send + Sync + 'static) -> Server {
    let acceptor = Identity::good().acceptor("h2");
    let script = std::sync::Arc::new(script);
    let connected = move |socket, connection, log: std::sync::Arc<super::Log>| {
        let (acceptor, script) = (acceptor.clone(), script.clone());
        async move {
            let socket = acceptor.accept(socket).await.expect("TLS with a client that trusts it");
            let ask = |head: &str| script(log.ask(connection, head).nth);
            // That the connection ends is what the tests want.
            let _ = Connection { socket, streams: HashMap::new(), window: 65_535, initial: 65_535 }
                .serve(ask)
                .await;
        }
    };
    Server::accept("https", connected).await
}

struct Connection {
    socket: TlsStream<TcpStream>,
    /// The streams that are sent to without end, and how much the client still takes on each.
    streams: HashMap<u32, i64>,
    window: i64,
    initial: i64,
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Connection {
    async fn serve(mut self, ask: impl Fn(&str) -> Act) -> std::io::Result<()> {
        let mut preface = [0; 24];
        self.socket.read_exact(&mut preface).await?;
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        self.send(SETTINGS, 0, 0, &[]).await?;
        loop {
            let frame = self.read().await?;
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => {
                    for setting in frame.payload.chunks_exact(6) {
                        // SETTINGS_INITIAL_WINDOW_SIZE
                        if setting[..2] == [0, 4] {
                            self.initial = number(&setting[2..]);
                        }
                    }
                    self.send(SETTINGS, ACK, 0, &[]).await?;
                }
                PING if frame.flags & ACK == 0 => self.send(PING, ACK, 0, &frame.payload).await?,
                WINDOW_UPDATE if frame.stream == 0 => self.window += number(&frame.payload),
                WINDOW_UPDATE => {
                    if let Some(window) = self.streams.get_mut(&frame.stream) {
                        *window += number(&frame.payload);
                    }
                }
                RST_STREAM => drop(self.streams.remove(&frame.stream)),
                HEADERS => {
                    let act = ask(&String::from_utf8_lossy(&frame.payload));
                    self.act(frame.stream, act).await?;
                }
                _ => {}
            }
            self.pour().await?;
        }
    }

    async fn act(&mut self, stream: u32, act: Act) -> std::io::Result<()> {
        match act {
            Act::Page(body) => {
                self.send(HEADERS, END_HEADERS, stream, STATUS_200).await?;
                self.send(DATA, END_STREAM, stream, &body).await
            }
            Act::Misdirected => {
                self.send(HEADERS, END_HEADERS, stream, STATUS_421).await?;
                self.send(DATA, END_STREAM, stream, b"{}").await
            }
            Act::Refuse(code) => self.send(RST_STREAM, 0, stream, &code.to_be_bytes()).await,
            Act::Break(body, code) => {
                self.send(HEADERS, END_HEADERS, stream, STATUS_200).await?;
                self.send(DATA, 0, stream, &body).await?;
                self.send(RST_STREAM, 0, stream, &code.to_be_bytes()).await
            }
            Act::GoAway(code) => self.go_away(stream, code, "").await,
            Act::GoAwaySaying(text) => self.go_away(stream, INTERNAL_ERROR, text).await,
            Act::GoAwayInBody(body, code) => {
                self.send(HEADERS, END_HEADERS, stream, STATUS_200).await?;
                self.send(DATA, 0, stream, &body).await?;
                self.send(GOAWAY, 0, 0, &[stream.to_be_bytes(), code.to_be_bytes()].concat()).await?;
                self.close().await
            }
            Act::Close => self.close().await,
            Act::Endless => {
                self.streams.insert(stream, self.initial);
                self.send(HEADERS, END_HEADERS, stream, STATUS_200).await
            }
            Act::LargeHeaders(frames) => {
                let block = header_lines();
                self.send(HEADERS, 0, stream, &[STATUS_200, &block].concat()).await?;
                for _ in 2..frames {
                    self.send(CONTINUATION, 0, stream, &block).await?;
                }
                self.send(CONTINUATION, END_HEADERS, stream, &block).await?;
                self.send(DATA, END_STREAM, stream, PAGE.as_bytes()).await
            }
            Act::HeaderFlood => {
                let block = header_lines();
                self.send(HEADERS, 0, stream, &[STATUS_200, &block].concat()).await?;
                loop {
                    self.send(CONTINUATION, 0, stream, &block).await?;
                }
            }
            Act::Nonsense => self.send(DATA, 0, stream + 100, b"?").await,
        }
    }

    /// Sends to the streams without end what their windows allow.
    async fn pour(&mut self) -> std::io::Result<()> {
        const FRAME: usize = 16 * 1024;
        let streams: Vec<u32> = self.streams.keys().copied().collect();
        for stream in streams {
            while self.window >= FRAME as i64 && self.streams[&stream] >= FRAME as i64 {
                self.send(DATA, 0, stream, &[b' '; FRAME]).await?;
                self.window -= FRAME as i64;
                *self.streams.entry(stream).or_default() -= FRAME as i64;
            }
        }
        Ok(())
    }

    async fn go_away(&mut self, stream: u32, code: u32, text: &str) -> std::io::Result<()> {
        let last = stream.saturating_sub(2);
        let payload = [&last.to_be_bytes()[..], &code.to_be_bytes(), text.as_bytes()].concat();
        self.send(GOAWAY, 0, 0, &payload).await?;
        self.close().await
    }

    async fn close(&mut self) -> std::io::Result<()> {
        self.socket.shutdown().await?;
        Err(std::io::ErrorKind::ConnectionAborted.into())
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> std::io::Result<()> {
        let mut head = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        head.extend([kind, flags]);
        head.extend(stream.to_be_bytes());
        self.socket.write_all(&head).await?;
        self.socket.write_all(payload).await?;
        self.socket.flush().await
    }

    async fn read(&mut self) -> std::io::Result<Frame> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head).await?;
        let length = number(&[&[0], &head[..3]].concat()) as usize;
        let stream = number(&head[5..]) as u32 & 0x7fff_ffff;
        let mut payload = vec![0; length];
        self.socket.read_exact(&mut payload).await?;
        Ok(Frame { kind: head[3], flags: head[4], stream, payload })
    }
}

/// 150 literal fields without indexing (RFC 7541 §6.2.2), "x" and 100 bytes each.
fn header_lines() -> Vec<u8> {
    [&[0, 1, b'x', 100][..], &[b'a'; 100]].concat().repeat(150)
}

/// Four bytes in network order.
fn number(bytes: &[u8]) -> i64 {
    let bytes: [u8; 4] = bytes[..4].try_into().expect("four bytes");
    i64::from(u32::from_be_bytes(bytes))
}
