//! The part in Rust of the comparison with other tools, of which `python3 benches/peers/run.py` is the whole: the server
//! that all of them pull from, and the contestants that need no Python. Each is a process of its own, so that its
//! CPU time and its peak memory are its own.
//!
//! ```text
//! peers download|download_synced|by_hand|headwater URL DIRECTORY    # pulls the list at this URL into the directory
//! HEADWATER_BENCH_SERVE=1 peers                                     # serves, prints its address, ends with its input
//! ```
//!
//! `cargo bench` leaves it out: the comparison takes minutes, and packages of PyPI.

mod arguments;
mod contestants;
mod sample;
mod server;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use arguments::Asked;
use server::Server;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const CONTESTANTS: [&str; 4] = ["download", "download_synced", "by_hand", "headwater"];

/// On a worker of the runtime, where each is at its best: on the main thread every piece of a body would cross from the
/// thread of the connection.
fn pull(contestant: String, url: String, dir: String) -> Outcome<()> {
    let work = async move {
        let dir = Path::new(&dir);
        if contestant == "headwater" {
            let http = headwater::Http::builder().no_proxy().build()?;
            return contestants::headwater(&http, &url, dir).await;
        }
        let client = reqwest::Client::builder().no_proxy().build()?;
        match &*contestant {
            "download" => contestants::download(&client, &url, dir, false).await,
            "download_synced" => contestants::download(&client, &url, dir, true).await,
            "by_hand" => contestants::by_hand(&client, &url, dir).await,
            other => Err(format!("{other} is none of {CONTESTANTS:?}").into()),
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(runtime.spawn(work))?
}

/// Each of them once, with three pages.
fn test() -> Outcome<()> {
    let server = Server::start()?;
    let url = server.url(&sample::ISSUES, 3, Duration::ZERO);
    for contestant in CONTESTANTS {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let program = std::env::current_exe()?;
        let ended = Command::new(program).args([contestant, &url]).arg(dir.path()).status()?;
        if !ended.success() || std::fs::read_dir(dir.path())?.next().is_none() {
            return Err(format!("{contestant} pulled nothing: {ended}").into());
        }
    }
    Ok(())
}

fn main() -> Outcome<()> {
    server::serve_if_asked()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [contestant, url, dir] = &arguments[..] {
        return pull(contestant.clone(), url.clone(), dir.clone());
    }
    match arguments::asked() {
        Asked::Nothing => Ok(()),
        Asked::Test => test(),
        Asked::Bench => {
            println!(
                "peers: left out, for it takes minutes and packages of PyPI: python3 benches/peers/run.py"
            );
            Ok(())
        }
    }
}
