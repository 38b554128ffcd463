//! The real transport against a server that says just what a test wants, byte for byte.

use std::time::Duration;

use headwater::error::{ErrorKind, Transience};
use headwater::prelude::*;
use headwater::{Response, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers every request with these bytes, in pieces with pauses between them, and closes.
async fn server(pieces: Vec<Vec<u8>>, pause: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let pieces = pieces.clone();
            tokio::spawn(async move {
                let mut seen = Vec::new();
                let mut buffer = [0; 4096];
                while !seen.windows(4).any(|end| end == b"\r\n\r\n") {
                    match socket.read(&mut buffer).await {
                        Ok(0) | Err(_) => return,
                        Ok(read) => seen.extend_from_slice(&buffer[..read]),
                    }
                }
                for piece in pieces {
                    if socket.write_all(&piece).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(pause).await;
                }
            });
        }
    });
    url
}

async fn answer(http: &Http, head: &str, body: &[u8]) -> Result<Response> {
    let mut bytes = format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n").into_bytes();
    bytes.extend_from_slice(body);
    let url = server(vec![bytes], Duration::ZERO).await;
    http.send(&Request::get(url)?).await
}

#[tokio::test]
async fn a_failure_keeps_its_status_and_headers_whatever_it_is_coded_in() {
    let http = Http::new().unwrap();
    let head = "503 Busy\r\ncontent-encoding: br\r\nretry-after: 7\r\ncontent-length: 3";
    let response = answer(&http, head, b"\x01\x02\x03").await.unwrap();
    assert_eq!(response.status, 503);
    assert_eq!(response.headers["retry-after"], "7");
}

#[tokio::test]
async fn a_page_in_an_unknown_coding_is_refused_and_a_plain_one_is_not() {
    let http = Http::new().unwrap();
    let coded = |coding: &str| format!("200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: 2");
    for plain in ["identity", "Identity", "UTF-8"] {
        assert_eq!(answer(&http, &coded(plain), b"[]").await.unwrap().body, "[]", "{plain}");
    }
    for foreign in ["br", "zstd", "deflate"] {
        let error = answer(&http, &coded(foreign), b"[]").await.unwrap_err();
        assert_eq!(
            (error.kind(), error.transience()),
            (ErrorKind::Encoding, Transience::Permanent),
            "{foreign}"
        );
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_transient() {
    let http = Http::new().unwrap();
    for head in ["200 OK\r\ncontent-length: 100", "200 OK\r\ntransfer-encoding: chunked"] {
        let error = answer(&http, head, b"5\r\n[1,2,").await.unwrap_err();
        assert_eq!(
            (error.kind(), error.transience()),
            (ErrorKind::Interrupted, Transience::Transient),
            "{error}"
        );
    }
}

#[tokio::test]
async fn corrupt_gzip_is_asked_for_once_more() {
    let http = Http::new().unwrap();
    let error = answer(&http, "200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 9", b"not gzip!")
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.transience()), (ErrorKind::Encoding, Transience::Once), "{error}");
}

#[tokio::test]
async fn a_page_above_the_cap_is_refused_before_and_while_it_is_read() {
    let http = Http::builder().max_page_bytes(1000).build().unwrap();
    let announced = answer(&http, "200 OK\r\ncontent-length: 1001", b"").await.unwrap_err();
    assert_eq!(announced.kind(), ErrorKind::TooLarge);
    let endless = answer(&http, "200 OK", &[b' '; 100_000]).await.unwrap_err();
    assert_eq!(endless.kind(), ErrorKind::TooLarge);
    assert_eq!(answer(&http, "200 OK", &[b' '; 1000]).await.unwrap().body.len(), 1000);
}

#[tokio::test]
async fn silence_and_a_slow_drip_end_in_a_timeout() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".to_vec();
    let silent = server(vec![head.clone(), b"[".to_vec()], Duration::from_secs(60)).await;
    let http = Http::builder().read_timeout(Duration::from_millis(100)).build().unwrap();
    let error = http.send(&Request::get(silent).unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.transience()), (ErrorKind::Timeout, Transience::Transient));
    let drip = [vec![head], vec![b" ".to_vec(); 1000]].concat();
    let dripping = server(drip, Duration::from_millis(20)).await;
    let request = Request::get(dripping).unwrap().timeout(Duration::from_millis(300));
    let error = http.send(&request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "each read is in time, the whole is not");
}

#[tokio::test]
async fn nobody_there_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let error = Http::new().unwrap().send(&Request::get(url).unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.transience()), (ErrorKind::Connect, Transience::Transient));
}

#[tokio::test]
async fn a_body_that_is_not_there_is_an_empty_answer_only_if_the_server_says_so() {
    let http = Http::new().unwrap();
    let raw = async |answer: &str| {
        let url = server(vec![answer.as_bytes().to_vec()], Duration::ZERO).await;
        let answered = http.send(&Request::get(url).unwrap()).await;
        answered.map(|response| response.body.len()).map_err(|error| (error.kind(), error.transience()))
    };
    let died = Err((ErrorKind::Interrupted, Transience::Transient));
    for cut in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
    ] {
        assert_eq!(raw(cut).await, died, "{cut}");
    }
    for empty in [
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ] {
        assert_eq!(raw(empty).await, Ok(0), "{empty}");
    }
}
