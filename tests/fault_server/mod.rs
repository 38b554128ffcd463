//! A server that does just what a test wants with its socket, byte by byte: HTTP libraries are too well-behaved
//! to be at fault.
//!
//! A [`Server`] asks its script what to do about each request; the [`Reply`] is a list of steps on the
//! connection. It counts the connections and keeps the requests.

pub(crate) mod h2;
pub(crate) mod tls;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::server::TlsStream;

/// A request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// The how manieth of this server, from 1.
    pub(crate) nth: usize,
    /// The how manieth connection it came on, from 1.
    pub(crate) connection: usize,
    /// The request line and the headers, in lower case.
    pub(crate) head: String,
}

impl Ask {
    /// The path and the query.
    pub(crate) fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// The value of a query parameter.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let query = self.target().split_once('?')?.1;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

/// One thing to do on a connection.
#[derive(Debug, Clone)]
enum Step {
    Send(Bytes),
    /// Until the other side has had enough.
    Forever(Bytes, Duration),
    Pause(Duration),
    Close,
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

    pub(crate) fn reset(mut self) -> Self {
        self.0.push(Step::Reset);
        self
    }

    pub(crate) fn hang(mut self) -> Self {
        self.0.push(Step::Hang);
        self
    }
}

type Script = dyn Fn(&Ask) -> Reply + Send + Sync;

/// What a server has seen.
#[derive(Debug, Default)]
pub(crate) struct Log {
    connections: AtomicUsize,
    /// Connections that the other side has closed, or that the script has.
    ended: AtomicUsize,
    asks: Mutex<Vec<Ask>>,
}

/// A listening server; it stops when it is dropped.
pub(crate) struct Server {
    scheme: &'static str,
    port: u16,
    log: Arc<Log>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Plain TCP.
    pub(crate) async fn start(script: impl Fn(&Ask) -> Reply + Send + Sync + 'static) -> Self {
        let script: Arc<Script> = Arc::new(script);
        let serve = move |socket, connection, log| serve(socket, connection, log, script.clone());
        Self::accept("http", serve).await
    }

    /// Plain TCP at a port that is known before.
    pub(crate) async fn start_at(port: u16, script: impl Fn(&Ask) -> Reply + Send + Sync + 'static) -> Self {
        let script: Arc<Script> = Arc::new(script);
        let serve = move |socket, connection, log| serve(socket, connection, log, script.clone());
        Self::accept_at(port, "http", serve).await
    }

    /// Plays one reply on each connection, whatever comes in.
    pub(crate) async fn start_eager(reply: Reply) -> Self {
        let serve = move |mut socket: TcpStream, _, _| {
            let steps = reply.clone();
            async move {
                // The client has begun to speak.
                let _ = socket.read_u8().await;
                play(&mut socket, steps).await;
                while socket.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
            }
        };
        Self::accept("http", serve).await
    }

    /// HTTP/1.1 over TLS.
    pub(crate) async fn tls(
        identity: &tls::Identity,
        script: impl Fn(&Ask) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let acceptor = identity.acceptor("http/1.1");
        let script: Arc<Script> = Arc::new(script);
        let serve = move |socket, connection, log| {
            let (acceptor, script) = (acceptor.clone(), script.clone());
            async move {
                // That the client hangs up is what some tests want.
                if let Ok(socket) = acceptor.accept(socket).await {
                    serve(socket, connection, log, script).await;
                }
            }
        };
        Self::accept("https", serve).await
    }

    /// Does something with each connection.
    async fn accept<F>(
        scheme: &'static str,
        connected: impl Fn(TcpStream, usize, Arc<Log>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::accept_at(0, scheme, connected).await
    }

    async fn accept_at<F>(
        port: u16,
        scheme: &'static str,
        connected: impl Fn(TcpStream, usize, Arc<Log>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let log = Arc::new(Log::default());
        let task = tokio::spawn({
            let log = log.clone();
            async move {
                // With the server go its connections.
                let mut connections = tokio::task::JoinSet::new();
                while let Ok((socket, _)) = listener.accept().await {
                    let connection = log.connections.fetch_add(1, SeqCst) + 1;
                    let (done, log) = (connected(socket, connection, log.clone()), log.clone());
                    connections.spawn(async move {
                        done.await;
                        log.ended.fetch_add(1, SeqCst);
                    });
                }
            }
        });
        Self { scheme, port, log, task }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self, target: &str) -> String {
        format!("{}://127.0.0.1:{}{target}", self.scheme, self.port)
    }

    pub(crate) fn connections(&self) -> usize {
        self.log.connections.load(SeqCst)
    }

    pub(crate) fn ended(&self) -> usize {
        self.log.ended.load(SeqCst)
    }

    pub(crate) fn requests(&self) -> usize {
        self.log.asks().len()
    }

    pub(crate) fn asks(&self) -> Vec<Ask> {
        self.log.asks().clone()
    }
}

impl Log {
    fn asks(&self) -> std::sync::MutexGuard<'_, Vec<Ask>> {
        self.asks.lock().expect("no test panics with it")
    }

    /// Notes a request.
    fn ask(&self, connection: usize, head: &str) -> Ask {
        let mut asks = self.asks();
        let ask = Ask { nth: asks.len() + 1, connection, head: head.to_ascii_lowercase() };
        asks.push(ask.clone());
        ask
    }
}

/// A connection of either kind.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {
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

/// Plays the script, request by request.
async fn serve(mut wire: impl Wire, connection: usize, log: Arc<Log>, script: Arc<Script>) {
    while let Some(head) = read_head(&mut wire).await {
        let reply = script(&log.ask(connection, &head));
        if !play(&mut wire, reply).await {
            return;
        }
    }
}

/// Takes the steps of a reply, and says whether the connection is still of use.
async fn play(wire: &mut impl Wire, reply: Reply) -> bool {
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

/// Reads to the end of the headers; bodies of requests are not waited for.
async fn read_head(wire: &mut impl Wire) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(wire.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}
