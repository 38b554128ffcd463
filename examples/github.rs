//! A GitHub user's repositories, and the issues and commits of one of them, into JSON lines.
//!
//! ```text
//! export GITHUB_USER=octocat
//! export GITHUB_TOKEN=ghp_…            # not needed for public data, but 60 requests an hour go fast
//! cargo run --release --example github [-- --repo octocat/hello-world --output DIR]
//! ```
//!
//! Without `--repo`, it is the repository that the user pushed to last. Each list comes into a file of its
//! own, `out/github_issues_20260517T100000Z.jsonl`, every record once. GitHub counts pull requests among the
//! issues: those have a field `pull_request`.
//!
//! Stop it with Ctrl-C, or kill it, and start it again: it goes on where it was. When GitHub's hourly budget
//! is used up, it waits for the reset if that is near, and else says when to come back. A run that was broken
//! off goes on with the same repository only: name it, if another one was pushed to since.

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Parser;
use futures::StreamExt;
use futures::future::BoxFuture;
use headwater::auth::Bearer;
use headwater::prelude::*;
use headwater::{Response, Transport, sink::Jsonl};
use http::StatusCode;

/// Pulls a GitHub user's repositories, and the issues and commits of one of them; a token is taken from
/// GITHUB_TOKEN.
#[derive(Parser)]
struct Args {
    /// Whose repositories
    #[arg(long, env = "GITHUB_USER", value_parser = path_segment)]
    user: String,
    /// Whose issues and commits; by default those of the repository that the user pushed to last
    #[arg(long, value_name = "OWNER/NAME")]
    repo: Option<Repo>,
    /// The folder for the files
    #[arg(long, default_value = "out")]
    output: PathBuf,
    /// Where the API is: https://HOST/api/v3 for a GitHub Enterprise Server
    #[arg(long, default_value = "https://api.github.com")]
    base_url: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let pipeline = match pipeline(Args::parse()).await {
        Ok(pipeline) => pipeline,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    match pipeline.run().await {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            if let Some(report) = &failure.report {
                println!("{report}");
            }
            eprintln!("{failure}");
            ExitCode::from(if failure.error.kind() == ErrorKind::Stopped { 130 } else { 1 })
        }
    }
}

/// Three lists into one folder: one run, which is finished when all three are.
async fn pipeline(args: Args) -> Result<Pipeline> {
    let github = GitHub::new(&args.base_url)?;
    let repositories = github.list(&format!("/users/{}/repos", args.user))?.query("sort", "pushed");
    let repo = match args.repo {
        Some(repo) => repo,
        None => github.first(&repositories).await?,
    };
    eprintln!("the issues and commits are those of {}/{}", repo.owner, repo.name);
    let path = format!("/repos/{}/{}", repo.owner, repo.name);
    let issues = github.list(&format!("{path}/issues"))?.query("state", "all");
    let commits = github.list(&format!("{path}/commits"))?;
    Ok(Pipeline::new()
        .source(github.source("github_repos", repositories)?)
        .source(github.source("github_issues", issues)?)
        .source(github.source("github_commits", commits)?)
        .sink(Jsonl::dir(args.output))
        .stop_on_signals())
}

/// What all requests share.
struct GitHub {
    base_url: String,
    token: Option<Secret>,
    limiter: Limiter,
    transport: EmptyRepositories,
}

impl GitHub {
    fn new(base_url: &str) -> Result<Self> {
        let is_set = std::env::var_os("GITHUB_TOKEN").is_some_and(|token| !token.is_empty());
        Ok(Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            token: is_set.then(|| Secret::env("GITHUB_TOKEN")).transpose()?,
            // The hourly budget is in the headers, and the limiter reads them. The other limit is not: 900
            // requests in any minute.
            limiter: Limiter::per_minute(800.0).burst(100),
            transport: EmptyRepositories(Http::new()?),
        })
    }

    fn list(&self, path: &str) -> Result<Request> {
        Request::get(format!("{}{path}", self.base_url))?
            .query("per_page", "100")
            .header("Accept", "application/vnd.github+json")?
            .header("X-GitHub-Api-Version", "2022-11-28")
    }

    fn source(&self, name: &str, list: Request) -> Result<Source> {
        let source = Source::request(name, list)
            .records("")
            .paginate(LinkHeader::new())
            .rate_limit(self.limiter.clone())
            .retry(RetryPolicy::exponential())
            .transport(self.transport.clone());
        match &self.token {
            Some(token) => source.bearer(token.clone()).build(),
            None => source.build(),
        }
    }

    /// The first repository of a list. No pipeline and no files: a stream, of which one record is taken.
    async fn first(&self, list: &Request) -> Result<Repo> {
        let list = list.clone().with_query("per_page", "1");
        let mut pages = Pages::new(self.transport.clone(), list, LinkHeader::new());
        if let Some(token) = &self.token {
            pages = pages.auth(Bearer::new(token.clone())?);
        }
        let mut repositories = pages
            .rate_limit(self.limiter.clone())
            .retry(RetryPolicy::exponential())
            .records("")
            .parse::<Repository>();
        let first = repositories.next().await.transpose()?;
        let wrong = |what| Error::new(ErrorKind::Config, what).advice("name a repository with `--repo`");
        let first = first.ok_or_else(|| wrong("this user has none".to_owned()))?;
        first.full_name.parse().map_err(wrong)
    }
}

/// What we want to know of a repository.
#[derive(serde::Deserialize)]
struct Repository {
    full_name: String,
}

/// GitHub answers 409 when asked for the commits of a repository without any. That is an empty list, and no
/// failure.
#[derive(Clone)]
struct EmptyRepositories(Http);

impl Transport for EmptyRepositories {
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response>> {
        Box::pin(async move {
            let mut response = self.0.send(request).await?;
            let says = |text| String::from_utf8_lossy(&response.body).contains(text);
            if response.status == StatusCode::CONFLICT && says("Git Repository is empty") {
                response.status = StatusCode::OK;
                response.body = "[]".into();
            }
            Ok(response)
        })
    }
}

/// `owner/name`
#[derive(Clone)]
struct Repo {
    owner: String,
    name: String,
}

impl FromStr for Repo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (owner, name) = text.split_once('/').ok_or("a repository is named OWNER/NAME")?;
        Ok(Self { owner: path_segment(owner)?, name: path_segment(name)? })
    }
}

/// Accepts what GitHub allows in a name, so that none can lead to another path.
fn path_segment(name: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name == "." || name == ".." || !name.chars().all(allowed) {
        return Err("a name on GitHub is made of letters, digits, `-`, `_` and `.`".to_owned());
    }
    Ok(name.to_owned())
}
