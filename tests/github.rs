//! The GitHub example against a mock of GitHub: three lists by `Link` header, both kinds of limit, and a run
//! that is killed.
//!
//! The mock is in this file, because what matters is how GitHub differs from an ordinary API: next links lead
//! to other paths, limits are 403, and an empty repository is a 409.

mod support;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use headwater::checkpoint::{CheckpointStore, FileStore};
use serde_json::{Value, json};
use support::{assert_once_each, eventually, example, records, run, succeeded, text};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

const TOKEN: &str = "ghp_0123456789abcdef";

/// A GitHub Enterprise Server at `/api/v3`, with one user, who has pushed to `octocat/repo-0` last.
struct GitHub {
    base_url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    token: Option<&'static str>,
    empty_repository: bool,
    /// Pages that are not answered, as if the network were slow.
    stalled: HashSet<Page>,
    /// The page that meets the secondary limit, once.
    secondary_limit_at: Option<Page>,
    /// The page at which another program turns out to have used up the hour's budget, once.
    used_up_at: Option<Page>,
    resets_at: Option<u64>,
    requests: Vec<Asked>,
}

/// A list, by its path behind the user or the repository, and the number of a page. Page 0 is the one with
/// which the repository is chosen.
type Page = (&'static str, usize);

struct Asked {
    page: Page,
    at: Instant,
    status: u16,
}

/// What each list holds: how many, and the field with the id.
fn list(name: &str) -> (usize, &'static str) {
    match name {
        "repos" => (230, "id"),
        "issues" => (450, "id"),
        "commits" => (612, "sha"),
        other => panic!("there is no list of {other}"),
    }
}

fn record(name: &str, number: usize) -> Value {
    let time = "2026-05-17T10:00:00Z";
    match name {
        "repos" => {
            let repo = format!("repo-{number}");
            json!({"id": number, "name": repo, "full_name": format!("octocat/{repo}"), "pushed_at": time})
        }
        "issues" => json!({"id": number, "number": number, "title": "leak \"é\"\n", "updated_at": time}),
        _ => json!({"sha": format!("{number:040x}"), "commit": {"message": "fix", "author": {"date": time}}}),
    }
}

fn ids(name: &str) -> Vec<String> {
    let (count, field) = list(name);
    let id = |number| match &record(name, number)[field] {
        Value::String(id) => id.clone(),
        other => other.to_string(),
    };
    (0..count).map(id).collect()
}

impl GitHub {
    async fn start(state: State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/api/v3", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(state));
        tokio::spawn({
            let (base_url, state) = (base_url.clone(), state.clone());
            async move {
                while let Ok((socket, _)) = listener.accept().await {
                    tokio::spawn(serve(socket, base_url.clone(), state.clone()));
                }
            }
        });
        Self { base_url, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn program(&self, out: &Path) -> Command {
        let mut command = example("github");
        command.env("GITHUB_USER", "octocat").args(["--base-url", &self.base_url, "--output"]).arg(out);
        if let Some(token) = self.state().token {
            command.env("GITHUB_TOKEN", token);
        }
        command
    }

    /// Which pages were asked for since the last call, in order.
    fn pages_asked(&self) -> Vec<Page> {
        let mut pages: Vec<_> = self.state().requests.drain(..).map(|asked| asked.page).collect();
        pages.sort_unstable();
        pages
    }
}

/// All pages that a run without any trouble asks for, in order.
fn all_pages() -> Vec<Page> {
    let pages = |name| (1..=list(name).0.div_ceil(100)).map(move |number| (name, number));
    pages("commits").chain(pages("issues")).chain([("repos", 0)]).chain(pages("repos")).collect()
}

/// Starts a program that will be killed.
fn start(program: &mut Command) -> Child {
    program.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn assert_complete(out: &Path) {
    for name in ["repos", "issues", "commits"] {
        assert_once_each(&records(out, &format!("github_{name}")), list(name).1, &ids(name));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_lists_come_exactly_once() {
    let github = GitHub::start(State { token: Some(TOKEN), ..State::default() }).await;
    let out = tempfile::tempdir().unwrap();
    let report = succeeded(&run(&mut github.program(out.path())).await);
    assert_complete(out.path());
    assert!(report.contains("1292 records, finished"), "{report}");
    assert_eq!(github.pages_asked(), all_pages());
}

#[tokio::test(flavor = "multi_thread")]
async fn both_limits_are_sat_out() {
    let secondary: Page = ("issues", 3);
    let primary: Page = ("commits", 2);
    let github = GitHub::start(State {
        token: Some(TOKEN),
        secondary_limit_at: Some(secondary),
        used_up_at: Some(primary),
        ..State::default()
    })
    .await;
    let out = tempfile::tempdir().unwrap();
    succeeded(&run(&mut github.program(out.path())).await);
    assert_complete(out.path());

    let state = github.state();
    let of = |page: Page| {
        let asked = state.requests.iter().filter(move |asked| asked.page == page);
        asked.map(|asked| (asked.status, asked.at)).collect::<Vec<_>>()
    };
    for page in [secondary, primary] {
        let asked = of(page);
        assert!(asked.len() >= 2, "{page:?} was refused once, and asked for {} times", asked.len());
        assert_eq!((asked[0].0, asked[asked.len() - 1].0), (403, 200));
    }
    // A second is the least that either asks for, measured from when the answer came in; and that was later
    // than when it was made.
    for page in [secondary, primary] {
        let early = of(page).windows(2).any(|pair| pair[1].1 - pair[0].1 < Duration::from_secs(1));
        assert!(!early, "{page:?} was asked for again too early");
    }
    // After the first answer of an empty budget, each list may have had one request under way, no more:
    // all of them wait for the reset.
    let refusals = state.requests.iter().filter(|asked| asked.status == 403).count();
    assert!(refusals <= 1 + 3, "{refusals} requests were refused");
    assert!(state.resets_at.is_some_and(|reset| reset <= now()), "it ended before the reset");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_goes_on_behind_what_it_had_committed() {
    let stalled = HashSet::from([("issues", 3), ("commits", 5)]);
    let github = GitHub::start(State { token: Some(TOKEN), stalled, ..State::default() }).await;
    let out = tempfile::tempdir().unwrap();

    let mut program = start(&mut github.program(out.path()));
    let store = FileStore::new(out.path().join(".headwater"));
    for (name, committed) in [("github_repos", 230), ("github_issues", 200), ("github_commits", 400)] {
        eventually("the commit before the stalled page", async || {
            let checkpoint = store.load(name).await.unwrap()?;
            (checkpoint.records == committed).then_some(())
        })
        .await;
    }
    eventually("a request for each stalled page", async || {
        let state = github.state();
        let asked = |page: &Page| state.requests.iter().any(|asked| asked.page == *page);
        state.stalled.iter().all(asked).then_some(())
    })
    .await;
    // On Unix that is SIGKILL.
    program.kill().await.unwrap();
    github.pages_asked();
    github.state().stalled.clear();

    // Another repository's issues do not belong behind what is there.
    let other = run(github.program(out.path()).args(["--repo", "octocat/other"])).await;
    assert_eq!(other.status.code(), Some(1));
    assert!(text(&other.stderr).contains("definition changed"), "{}", text(&other.stderr));
    assert_eq!(github.pages_asked(), []);

    succeeded(&run(&mut github.program(out.path())).await);
    assert_complete(out.path());
    let expected = [
        ("commits", 5),
        ("commits", 6),
        ("commits", 7),
        ("issues", 3),
        ("issues", 4),
        ("issues", 5),
        ("repos", 0),
    ];
    assert_eq!(github.pages_asked(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_it_still_gives_each_record_once() {
    // The last page does not come as long as the runs are killed: a finished run would be followed by a new
    // one, with files of its own.
    let last: Page = ("commits", 7);
    let github =
        GitHub::start(State { token: Some(TOKEN), stalled: HashSet::from([last]), ..State::default() }).await;
    let out = tempfile::tempdir().unwrap();
    for requests in [1, 2, 3, 5, 7, 9, 12] {
        let mut program = start(&mut github.program(out.path()));
        eventually("a request", async || {
            let state = github.state();
            let is_last = state.requests.iter().any(|asked| asked.page == last);
            (is_last || state.requests.len() >= requests).then_some(())
        })
        .await;
        program.kill().await.unwrap();
        github.pages_asked();
    }
    github.state().stalled.clear();
    succeeded(&run(&mut github.program(out.path())).await);
    assert_complete(out.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_without_commits_is_no_failure() {
    let github = GitHub::start(State { empty_repository: true, ..State::default() }).await;
    let out = tempfile::tempdir().unwrap();
    let report = succeeded(&run(github.program(out.path()).args(["--repo", "octocat/repo-0"])).await);
    assert!(report.contains("680 records, finished"), "{report}");
    assert_eq!(records(out.path(), "github_issues").len(), 450);
    let commits = support::files(out.path(), "github_commits");
    assert!(commits.iter().all(|file| file.metadata().unwrap().len() == 0), "{commits:?}");
    // The repository was named, so none was looked for.
    assert!(!github.pages_asked().contains(&("repos", 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_is_an_error_that_does_not_show_it() {
    let github = GitHub::start(State { token: Some(TOKEN), ..State::default() }).await;
    let out = tempfile::tempdir().unwrap();
    let output = run(github.program(out.path()).env("GITHUB_TOKEN", "ghp_expired98765")).await;
    let complained = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complained}");
    assert!(complained.contains("401") && !complained.contains("98765"), "{complained}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_elsewhere_is_refused() {
    let github = GitHub::start(State::default()).await;
    let out = tempfile::tempdir().unwrap();
    for arguments in
        [["--repo", "octocat"], ["--repo", "octocat/../x"], ["--repo", "../repo-0"], ["--user", "a?b"]]
    {
        let output = run(github.program(out.path()).args(arguments)).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(github.pages_asked(), []);
}

/// Serves one connection, HTTP/1.1 with keep-alive.
async fn serve(socket: TcpStream, base_url: String, state: Arc<Mutex<State>>) {
    let (reader, mut writer) = socket.into_split();
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(first)) = lines.next_line().await {
        let mut headers = BTreeMap::new();
        while let Ok(Some(line)) = lines.next_line().await {
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let target = first.split(' ').nth(1).expect("a request line");
        let url = url::Url::parse(&base_url).and_then(|base| base.join(target)).expect("a target");
        let page = page_of(&url);
        if state.lock().unwrap().stalled.contains(&page) {
            state.lock().unwrap().note(page, 0);
            return std::future::pending().await;
        }
        let (status, headers, body) = state.lock().unwrap().answer(&base_url, &headers, page);
        let mut answer = format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\n", body.len());
        answer.extend(headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")));
        answer += "\r\n";
        answer += &body;
        if writer.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Which page a URL means. Next links lead to other paths than the first page, as they do at GitHub.
fn page_of(url: &url::Url) -> Page {
    let query: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    let query = |name: &str| query.get(name).map(String::as_str);
    let path = url.path().strip_prefix("/api/v3").expect("the base URL");
    let name = match (path, query("sort"), query("state")) {
        ("/users/octocat/repos" | "/user/583231/repos", Some("pushed"), None) => "repos",
        ("/repos/octocat/repo-0/issues" | "/repositories/1296269/issues", None, Some("all")) => "issues",
        ("/repos/octocat/repo-0/commits" | "/repositories/1296269/commits", None, None) => "commits",
        _ => panic!("nobody should ask for {url}"),
    };
    match (query("per_page"), query("page")) {
        (Some("1"), None) => (name, 0),
        (Some("100"), page) => (name, page.map_or(1, |page| page.parse().expect("a number"))),
        _ => panic!("nobody should ask for {url}"),
    }
}

type Answer = (u16, Vec<(&'static str, String)>, String);

impl State {
    fn note(&mut self, page: Page, status: u16) {
        self.requests.push(Asked { page, at: Instant::now(), status });
    }

    fn answer(&mut self, base_url: &str, request: &BTreeMap<String, String>, page: Page) -> Answer {
        let (status, headers, body) = self.decide(base_url, request, page);
        self.note(page, status);
        let (remaining, reset) = match self.resets_at {
            Some(reset) if now() < reset => (0, reset),
            _ => (4900_usize.saturating_sub(self.requests.len()), now() + 3000),
        };
        let mut all = vec![
            ("date", httpdate::fmt_http_date(SystemTime::now())),
            ("content-type", "application/json; charset=utf-8".to_owned()),
            ("x-ratelimit-limit", "5000".to_owned()),
            ("x-ratelimit-remaining", remaining.to_string()),
            ("x-ratelimit-reset", reset.to_string()),
            ("x-ratelimit-resource", "core".to_owned()),
        ];
        all.extend(headers);
        (status, all, body.to_string())
    }

    fn decide(
        &mut self,
        base_url: &str,
        request: &BTreeMap<String, String>,
        (name, page): Page,
    ) -> (u16, Vec<(&'static str, String)>, Value) {
        let sent = |name: &str| request.get(name).map(String::as_str);
        let message =
            |text: &str| json!({"message": text, "documentation_url": "https://docs.github.com/rest"});
        if sent("authorization") != self.token.map(|token| format!("Bearer {token}")).as_deref() {
            return (401, Vec::new(), message("Bad credentials"));
        }
        let version = (sent("accept"), sent("x-github-api-version"));
        if version != (Some("application/vnd.github+json"), Some("2022-11-28"))
            || sent("user-agent").is_none()
        {
            return (400, Vec::new(), message("This is not what the example sends"));
        }
        if self.used_up_at == Some((name, page)) {
            self.used_up_at = None;
            self.resets_at = Some(now() + 2);
        }
        if self.resets_at.is_some_and(|reset| now() < reset) {
            return (403, Vec::new(), message("API rate limit exceeded for user ID 583231."));
        }
        if self.secondary_limit_at == Some((name, page)) {
            self.secondary_limit_at = None;
            let headers = vec![("retry-after", "1".to_owned())];
            return (403, headers, message("You have exceeded a secondary rate limit."));
        }
        if self.empty_repository && name == "commits" {
            return (409, Vec::new(), message("Git Repository is empty."));
        }
        let (count, _) = list(name);
        let (from, to) = if page == 0 { (0, 1) } else { ((page - 1) * 100, (page * 100).min(count)) };
        let body = (from..to).map(|number| record(name, number)).collect();
        (200, links(base_url, name, page.max(1), if page == 0 { 1 } else { 100 }), body)
    }
}

/// The links to the next and to the last page; on the last one, to the first.
fn links(base_url: &str, name: &str, page: usize, size: usize) -> Vec<(&'static str, String)> {
    let path = match name {
        "repos" => "/user/583231/repos?sort=pushed&",
        "issues" => "/repositories/1296269/issues?state=all&",
        _ => "/repositories/1296269/commits?",
    };
    let link = |page, rel| format!("<{base_url}{path}per_page={size}&page={page}>; rel=\"{rel}\"");
    let last = list(name).0.div_ceil(size);
    let links = if page < last {
        [link(page + 1, "next"), link(last, "last")]
    } else {
        [link(page - 1, "prev"), link(1, "first")]
    };
    vec![("link", links.join(", "))]
}

/// Seconds since 1970, as GitHub counts: rounded down.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
