//! The dialects: how each source is defined, which page a request asks for, and what a page looks like.

use headwater::paginate::{Cursor, LinkHeader, NextUrl, Offset, PageNumber, Single, from_fn};
use headwater::{Position, Request, Source, SourceBuilder};

use super::listing::Listing;

/// How a source is paged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Offset { ends: Ends, start: u64, sized: bool },
    Page { ends: Ends, start: u64 },
    Token { into_body: bool, ends: TokenEnds, number: bool },
    LastRecord { flag: bool },
    Link { relative: bool },
    NextUrl { relative: bool, missing: bool },
    Windows,
    Single,
}

/// What ends a counted source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    EmptyPage,
    Count,
    Flag,
}

/// What stands in the place of the token on the last page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenEnds {
    Null,
    Blank,
    False,
    Missing,
    Flag,
}

/// A page on the wire.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) body: String,
    pub(crate) link: Option<String>,
}

impl Dialect {
    pub(crate) fn random(random: &mut fastrand::Rng) -> Self {
        let ends = [Ends::EmptyPage, Ends::Count, Ends::Flag][random.usize(0..3)];
        match random.u8(0..12) {
            0 | 1 => Self::Offset { ends, start: random.u64(0..2), sized: random.bool() },
            2 | 3 => Self::Page { ends, start: random.u64(0..2) },
            4..=6 => {
                use TokenEnds::{Blank, False, Flag, Missing, Null};
                let ends = [Null, Blank, False, Missing, Flag][random.usize(0..5)];
                Self::Token { into_body: random.bool(), ends, number: random.bool() }
            }
            7 => Self::LastRecord { flag: random.bool() },
            8 => Self::Link { relative: random.bool() },
            9 => Self::NextUrl { relative: random.bool(), missing: random.bool() },
            10 => Self::Windows,
            _ => Self::Single,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Offset { .. } => "offset",
            Self::Page { .. } => "page number",
            Self::Token { into_body: false, .. } => "cursor into query",
            Self::Token { into_body: true, .. } => "cursor into POST body",
            Self::LastRecord { .. } => "last record",
            Self::Link { .. } => "link header",
            Self::NextUrl { .. } => "next url",
            Self::Windows => "closures",
            Self::Single => "single",
        }
    }

    /// Whether a page without rows may stand before the end.
    pub(crate) fn allows_gaps(self) -> bool {
        matches!(self, Self::Token { .. } | Self::Link { .. } | Self::NextUrl { .. } | Self::Windows)
    }

    /// Whether a page without rows is the only end.
    pub(crate) fn ends_empty(self) -> bool {
        matches!(
            self,
            Self::Offset { ends: Ends::EmptyPage, .. }
                | Self::Page { ends: Ends::EmptyPage, .. }
                | Self::LastRecord { flag: false }
        )
    }

    /// Whether the page can be a bare array.
    pub(crate) fn allows_bare(self) -> bool {
        self.ends_empty() || matches!(self, Self::Link { .. } | Self::Single)
    }

    /// The definition of the source.
    pub(crate) fn source(self, listing: &Listing) -> SourceBuilder {
        let elsewhere = listing.url_elsewhere();
        let url = listing.url();
        let get = || Source::get(&listing.name, &url);
        match self {
            Self::Offset { ends, start, sized } => {
                let offset = Offset::new(100).start(start);
                let offset = if sized { offset } else { offset.without_limit_param() };
                get().paginate(match ends {
                    Ends::EmptyPage => offset,
                    Ends::Count => offset.until_total("total"),
                    Ends::Flag => offset.until_false("more"),
                })
            }
            Self::Page { ends, start } => {
                let pages = PageNumber::new().start(start).size("per_page", 100);
                get().paginate(match ends {
                    Ends::EmptyPage => pages,
                    Ends::Count => pages.until_page_count("pages"),
                    Ends::Flag => pages.until_true("last"),
                })
            }
            Self::Token { into_body, ends, .. } => {
                let cursor = Cursor::body("next");
                let cursor =
                    if into_body { cursor.into_body("page.after") } else { cursor.into_query("after") };
                let cursor = match ends {
                    TokenEnds::Missing => cursor.missing_ends(),
                    TokenEnds::Flag => cursor.until_false("more"),
                    _ => cursor,
                };
                if into_body {
                    let request = Request::post(&url).expect("a good URL").repeatable();
                    let request = request.json(serde_json::json!({"page": {"size": 100}}));
                    Source::request(&listing.name, request).paginate(cursor)
                } else {
                    get().paginate(cursor)
                }
            }
            Self::LastRecord { flag } => {
                let cursor = Cursor::last_record("id").into_query("after");
                get().paginate(if flag { cursor.until_false("more") } else { cursor })
            }
            Self::Link { .. } => {
                get().query("per_page", "100").allow_origin(&elsewhere).paginate(LinkHeader::new())
            }
            Self::NextUrl { missing, .. } => {
                let next = NextUrl::body("next");
                get().allow_origin(&elsewhere).paginate(if missing { next.missing_ends() } else { next })
            }
            Self::Windows => {
                let windows = from_fn(
                    "windows",
                    |template, position| match position {
                        Position::Cursor(day) => Ok(template.with_query("window", day)),
                        _ => Ok(template),
                    },
                    |answer| Ok(answer.value(0).and_then(|end| end.as_token()).map(Position::Cursor)),
                );
                get().paginate(windows.reading(["next"]))
            }
            Self::Single => get().paginate(Single),
        }
    }

    /// Which page of the chain is asked for; `None` if there is no such page.
    pub(crate) fn page_of(self, listing: &Listing, request: &Request) -> Option<usize> {
        let query = |name: &str| {
            let mut pairs = request.url().query_pairs();
            pairs.find(|(other, _)| other == name).map(|(_, value)| value.into_owned())
        };
        let page = match self {
            Self::Offset { start, .. } => {
                let rows: u64 = query("offset")?.parse().ok()?;
                let rows = usize::try_from(rows.checked_sub(start)?).ok()?;
                listing.chain.iter().position(|page| page.start == rows)?
            }
            Self::Page { start, .. } => {
                let number: u64 = query("page")?.parse().ok()?;
                usize::try_from(number.checked_sub(start)?).ok()?
            }
            Self::Token { into_body: true, .. } => {
                let body = request.body()?;
                if body["page"]["size"] != 100 {
                    return None;
                }
                match &body["page"]["after"] {
                    serde_json::Value::Null => 0,
                    serde_json::Value::String(token) => listing.page_of_token(token)?,
                    number => listing.page_of_token(&number.to_string())?,
                }
            }
            Self::Token { .. } => page_after(listing, query("after"))?,
            Self::LastRecord { .. } => match query("after") {
                None => 0,
                Some(id) => {
                    let rows: usize = id.parse().ok()?;
                    listing.chain.iter().position(|page| page.end == rows)? + 1
                }
            },
            Self::Link { .. } | Self::NextUrl { .. } => page_after(listing, query("token"))?,
            Self::Windows => page_after(listing, query("window"))?,
            Self::Single => 0,
        };
        (page < listing.chain.len()).then_some(page)
    }

    /// The page as the server sends it.
    pub(crate) fn page(self, listing: &Listing, page: usize) -> Page {
        let last = page + 1 == listing.chain.len();
        let token = (!last).then(|| listing.tokens[page + 1].as_str());
        let flag = |name: &str, value: bool| format!("\"{name}\":{value}");
        let quoted = |text: &str| serde_json::to_string(text).expect("a string");
        let target = |relative: bool| {
            let token = url::form_urlencoded::byte_serialize(token.unwrap_or_default().as_bytes());
            let query = format!("?token={}", token.collect::<String>());
            let repeated = listing.credentials.in_links(listing);
            match (relative, listing.elsewhere) {
                (true, _) => query + &repeated,
                (false, true) => listing.url_elsewhere() + &query,
                (false, false) => listing.url() + &query + &repeated,
            }
        };
        let mut link = None;
        let mut fields = Vec::new();
        match self {
            Self::Offset { ends: Ends::Count, .. } => {
                fields.push(format!("\"total\":{}", listing.items.len()));
            }
            Self::Page { ends: Ends::Count, .. } => fields.push(format!("\"pages\":{}", listing.chain.len())),
            Self::Page { ends: Ends::Flag, .. } => fields.push(flag("last", last)),
            Self::Offset { ends: Ends::Flag, .. } | Self::LastRecord { flag: true } => {
                fields.push(flag("more", !last));
            }
            Self::Token { ends, number, .. } => {
                let next = match (token, ends) {
                    (Some(token), _) if number => Some(token.to_owned()),
                    (Some(token), _) => Some(quoted(token)),
                    (None, TokenEnds::Missing) => None,
                    (None, TokenEnds::Blank) => Some("\"\"".to_owned()),
                    (None, TokenEnds::False) => Some("false".to_owned()),
                    (None, TokenEnds::Null) => Some("null".to_owned()),
                    // With a flag the flag decides, whatever stands there.
                    (None, TokenEnds::Flag) => Some("\"stale\"".to_owned()),
                };
                fields.extend(next.map(|next| format!("\"next\":{next}")));
                fields.extend((ends == TokenEnds::Flag).then(|| flag("more", !last)));
            }
            Self::Link { relative } => {
                let first = format!("<{}>; rel=\"first\"", listing.url());
                let next = format!("<{}>; title=\"a, b\"; rel=\"next last\"", target(relative));
                link = Some(if last { first } else { format!("{first}, {next}") });
            }
            Self::NextUrl { relative, missing } => match (last, missing) {
                (true, true) => {}
                (true, false) => fields.push("\"next\":null".to_owned()),
                (false, _) => fields.push(format!("\"next\":{}", quoted(&target(relative)))),
            },
            Self::Windows => fields.extend(token.map(|token| format!("\"next\":{}", quoted(token)))),
            _ => {}
        }
        Page { body: listing.body(page, &fields), link }
    }
}

fn page_after(listing: &Listing, token: Option<String>) -> Option<usize> {
    match token {
        None => Some(0),
        Some(token) => listing.page_of_token(&token),
    }
}
