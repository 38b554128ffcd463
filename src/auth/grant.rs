//! What the ways to get a token have in common: settings, and the token that was got by them, which clones share.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::BoxFuture;
use http::header::{AUTHORIZATION, HeaderName};

use super::renewing::{EARLY, Renewing, Token};
use crate::error::Result;
use crate::request::{Request, Secret};

/// The settings of a way to get a token.
pub(super) trait Grant: Clone + Send + Sync + 'static {
    /// What the token is called in a link that is stored; see [`Auth::sent`](super::Auth::sent).
    const NAME: &'static str;

    /// Gets a token.
    fn fetch(self) -> BoxFuture<'static, Result<Token>>;

    /// What must be wiped from texts, besides the tokens.
    fn secrets(&self) -> Vec<Secret>;

    /// The header that the token goes into, and what stands before it.
    fn header(&self) -> (HeaderName, &'static str) {
        (AUTHORIZATION, "Bearer ")
    }

    /// How long before its end a token is renewed.
    fn early(&self) -> Duration {
        EARLY
    }
}

/// Settings, and the token of the moment: made at the first use, and shared by clones from then on.
#[derive(Clone)]
pub(super) struct Tokens<G> {
    grant: G,
    renewing: Arc<OnceLock<Renewing>>,
}

impl<G: Grant> Tokens<G> {
    pub(super) fn new(grant: G) -> Self {
        Self { grant, renewing: Arc::default() }
    }

    pub(super) fn grant(&self) -> &G {
        &self.grant
    }

    /// With other settings it shares no token with those that it was cloned from.
    pub(super) fn change(mut self, change: impl FnOnce(&mut G)) -> Self {
        change(&mut self.grant);
        self.renewing = Arc::default();
        self
    }

    fn renewing(&self) -> &Renewing {
        self.renewing.get_or_init(|| {
            let grant = self.grant.clone();
            let (header, prefix) = grant.header();
            Renewing::new(header, prefix, grant.early(), move || grant.clone().fetch())
        })
    }

    // The methods of `Auth`.

    pub(super) fn authorize<'a>(&'a self, request: &'a mut Request) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.renewing().authorize(request))
    }

    pub(super) fn renew<'a>(&'a self, refused: &'a Request) -> BoxFuture<'a, Result<bool>> {
        self.renewing().refused(refused);
        Box::pin(async { Ok(true) })
    }

    pub(super) fn secrets(&self) -> Vec<Secret> {
        self.grant.secrets().into_iter().chain(self.renewing().secrets()).collect()
    }

    pub(super) fn sent(&self) -> Vec<(&'static str, Secret)> {
        self.renewing().current().map(|token| (G::NAME, token)).into_iter().collect()
    }
}
