//! The credentials of a source, and who gets to see them.

use headwater::auth::{ApiKey, Bearer};
use headwater::{Pages, Request, SourceBuilder};
use http::header::AUTHORIZATION;

use super::listing::Listing;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credentials {
    Nothing,
    Bearer,
    /// A key in the query, which the server repeats in its links.
    Key,
}

impl Credentials {
    pub(crate) fn random(random: &mut fastrand::Rng) -> Self {
        [Self::Nothing, Self::Bearer, Self::Key][random.usize(0..3)]
    }

    fn secret(listing: &Listing) -> String {
        format!("sk-live-9f8e7d6c5b4a-{}", listing.name)
    }

    pub(crate) fn give(self, listing: &Listing, source: SourceBuilder) -> SourceBuilder {
        match self {
            Self::Nothing => source,
            Self::Bearer => source.bearer(Self::secret(listing)),
            Self::Key => source.api_key_query("key", Self::secret(listing)),
        }
    }

    pub(crate) fn give_by_hand(self, listing: &Listing, pages: Pages) -> Pages {
        let secret = Self::secret(listing);
        match self {
            Self::Nothing => pages,
            Self::Bearer => pages.auth(Bearer::new(secret).expect("a good token")),
            Self::Key => pages.auth(ApiKey::query("key", secret)),
        }
    }

    /// What the server repeats of them in a link that leads home.
    pub(crate) fn in_links(self, listing: &Listing) -> String {
        if self == Self::Key { format!("&key={}", Self::secret(listing)) } else { String::new() }
    }

    /// Whether a request has them where they belong, and nowhere else.
    pub(crate) fn check(self, listing: &Listing, request: &Request) -> Result<(), String> {
        let secret = Self::secret(listing);
        let home = request.url().as_str().starts_with(&listing.url());
        let bearer = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let key = request.url().query_pairs().filter(|(name, _)| name == "key");
        let keys: Vec<String> = key.map(|(_, value)| value.into_owned()).collect();
        let expected = match self {
            Self::Bearer if home => (Some(format!("Bearer {secret}")), Vec::new()),
            Self::Key if home => (None, vec![secret]),
            _ => (None, Vec::new()),
        };
        if (bearer.map(str::to_owned), keys.clone()) == expected {
            return Ok(());
        }
        Err(format!("{}: {} has {bearer:?} and {keys:?}", listing.name, request.url()))
    }

    pub(crate) fn is_in(self, listing: &Listing, bytes: &[u8]) -> bool {
        self != Self::Nothing && memchr::memmem::find(bytes, Self::secret(listing).as_bytes()).is_some()
    }
}
