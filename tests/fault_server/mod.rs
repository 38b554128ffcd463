//! A server that does just what a test wants with its socket, byte by byte: HTTP libraries are too well-behaved
//! to be at fault.
//!
//! A [`Server`] asks its script what to do about each request; the [`Reply`] is a list of steps on the
//! connection. It counts the connections and keeps the requests.

pub(crate) mod h2;
mod reply;
pub(crate) mod tls;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) use reply::Reply;
use reply::{Wire, play};

/// A request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// The how manieth of this server, from 1.
    pub(crate) nth: usize,
    /// The how manieth connection it came on, from 1.
    pub(crate) connection: usize,
    /// The request line and the headers, in lower case.
    pub(crate) head: String,
    pub(crate) at: Instant,
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

    /// Plain TCP with a listener that is there already.
    pub(crate) fn start_on(
        listener: TcpListener,
        script: impl Fn(&Ask) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let script: Arc<Script> = Arc::new(script);
        let serve = move |socket, connection, log| serve(socket, connection, log, script.clone());
        Self::accept_on(listener, "http", serve)
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
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self::accept_on(listener, scheme, connected)
    }

    fn accept_on<F>(
        listener: TcpListener,
        scheme: &'static str,
        connected: impl Fn(TcpStream, usize, Arc<Log>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let port = listener.local_addr().expect("its address").port();
        let log = Arc::new(Log::default());
        let task = tokio::spawn({
            let log = log.clone();
            async move {
                // With the server go its connections.
                let mut connections = tokio::task::JoinSet::new();
                while let Ok((socket, _)) = listener.accept().await {
                    // What a script sends in pieces arrives in pieces, and at once.
                    socket.set_nodelay(true).expect("a socket option");
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
        let ask =
            Ask { nth: asks.len() + 1, connection, head: head.to_ascii_lowercase(), at: Instant::now() };
        asks.push(ask.clone());
        ask
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

/// Reads to the end of the headers; bodies of requests are not waited for.
async fn read_head(wire: &mut impl Wire) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(wire.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}
