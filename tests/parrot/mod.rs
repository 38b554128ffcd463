//! An API that does as a script says and hears everything: as a scripted transport, over loopback, and over HTTP/2
//! with TLS. The servers run on threads of their own, so that only the client's side is in a test's log.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use headwater::testing::{Reply, Scripted};
use headwater::{Http, Transport};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// What came in with a request.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    /// The number of the request, from 1.
    pub(crate) nth: u64,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: String,
    pub(crate) body: String,
}

/// What goes out.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

/// What the API says to what it hears.
pub(crate) type Script = Arc<dyn Fn(&Heard) -> Said + Send + Sync>;

/// How the API is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    Scripted,
    Http1,
    Http2,
}

/// An API that listens until this is dropped.
pub(crate) struct Api {
    pub(crate) home: String,
    pub(crate) transport: Arc<dyn Transport>,
    _server: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Api {
    pub(crate) fn new(line: Line, script: Script) -> Self {
        match line {
            Line::Scripted => {
                let home = "https://api.example.com".to_owned();
                Self { home, transport: Arc::new(scripted(script)), _server: None }
            }
            Line::Http1 => {
                let (server, address) = serve(None, script);
                let http = Http::builder().no_proxy().build().expect("a client");
                Self { home: format!("http://{address}"), transport: Arc::new(http), _server: Some(server) }
            }
            Line::Http2 => {
                let (acceptor, certificate) = identity();
                let (server, address) = serve(Some(acceptor), script);
                let http = Http::builder().no_proxy().root_certificate(certificate).build();
                let transport = Arc::new(http.expect("a client"));
                Self { home: format!("https://{address}"), transport, _server: Some(server) }
            }
        }
    }
}

fn scripted(script: Script) -> Scripted {
    Scripted::from_fn(move |request, nth| {
        let url = request.url();
        let headers = request.headers().iter();
        let heard = Heard {
            nth,
            target: url[url::Position::BeforePath..].to_owned(),
            headers: headers.map(|(name, value)| format!("{name}: {}\n", text(value.as_bytes()))).collect(),
            body: request.encoded_body().unwrap_or_default(),
        };
        let said = script(&heard);
        let reply = Reply::status(said.status).body(said.body);
        said.headers.iter().fold(reply, |reply, (name, value)| reply.header(name, value))
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A certificate for this machine, in both hands.
fn identity() -> (TlsAcceptor, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a key that fits");
    config.alpn_protocols = vec![b"h2".to_vec()];
    (TlsAcceptor::from(Arc::new(config)), made.cert.pem())
}

fn serve(tls: Option<TlsAcceptor>, script: Script) -> (tokio::sync::oneshot::Sender<()>, SocketAddr) {
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("its address");
    listener.set_nonblocking(true).expect("a socket option");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).expect("a listener");
            let heard = Arc::new(AtomicU64::new(0));
            let accept = async {
                while let Ok((socket, _)) = listener.accept().await {
                    tokio::spawn(converse(socket, tls.clone(), script.clone(), heard.clone()));
                }
            };
            tokio::select! {
                () = accept => {}
                _ = stopped => {}
            }
        });
    });
    (stop, address)
}

/// One connection. That the client hangs up is no matter.
async fn converse(socket: TcpStream, tls: Option<TlsAcceptor>, script: Script, heard: Arc<AtomicU64>) {
    let answer = hyper::service::service_fn(move |request| {
        let nth = heard.fetch_add(1, Ordering::Relaxed) + 1;
        answer(request, nth, script.clone())
    });
    match tls {
        None => {
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), answer)
                .await;
        }
        Some(acceptor) => {
            let Ok(socket) = acceptor.accept(socket).await else { return };
            let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = http2.serve_connection(TokioIo::new(socket), answer).await;
        }
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
    nth: u64,
    script: Script,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let headers = head.headers.iter();
    let heard = Heard {
        nth,
        target: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        headers: headers.map(|(name, value)| format!("{name}: {}\n", text(value.as_bytes()))).collect(),
        body: body.collect().await.map(|body| text(&body.to_bytes())).unwrap_or_default(),
    };
    let said = script(&heard);
    let answer = hyper::Response::builder().status(said.status);
    let answer = said.headers.iter().fold(answer, |answer, (name, value)| answer.header(*name, value));
    Ok(answer.body(Full::new(said.body.into())).expect("an answer"))
}
