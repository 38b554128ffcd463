//! A refresh token, and what the server puts in its place (RFC 6749 §6, RFC 9700 §4.14).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::TokenStore;
use super::renewing::Token;
use super::token_endpoint::Granted;
use crate::error::Result;
use crate::request::Secret;

/// So many tokens that were replaced are still wiped from texts.
const EARLIER: usize = 8;

/// The refresh token of a configuration, and the one that is valid by now.
#[derive(Clone)]
pub(super) struct RefreshToken {
    given: Secret,
    store: Option<Arc<dyn TokenStore>>,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    /// The newest is the last.
    tokens: Vec<Secret>,
    /// The newest could not be stored yet.
    is_unsaved: bool,
}

impl RefreshToken {
    pub(super) fn granted(given: Secret) -> Self {
        Self { given, store: None, known: Arc::default() }
    }

    pub(super) fn keep_in(&mut self, store: impl TokenStore) {
        self.store = Some(Arc::new(store));
    }

    /// The same, which knows nothing of what its clones have learnt.
    pub(super) fn apart(self) -> Self {
        Self { known: Arc::default(), ..self }
    }

    pub(super) fn secrets(&self) -> Vec<Secret> {
        [self.given.clone()].into_iter().chain(self.known().tokens.iter().cloned()).collect()
    }

    /// Exchanges the valid one for a token. Where there is a store, nobody else uses it meanwhile, and what takes its
    /// place is stored before anything else is done.
    pub(super) async fn exchange(&self, ask: impl AsyncFnOnce(&Secret) -> Result<Granted>) -> Result<Token> {
        let _alone = match &self.store {
            Some(store) => Some(store.lock().await?),
            None => None,
        };
        let valid = self.valid().await?;
        let granted = ask(&valid).await?;
        if let Some(next) = granted.refresh.filter(|next| next.expose() != valid.expose()) {
            self.learn(&next);
            self.known().is_unsaved = self.store.is_some();
            self.save().await?;
        }
        Ok(granted.token)
    }

    /// The one that is valid: what another process has stored is newer than what is known here, unless that could not
    /// be stored.
    async fn valid(&self) -> Result<Secret> {
        self.save().await?;
        let stored = match &self.store {
            Some(store) => store.load(&self.given).await?,
            None => None,
        };
        let newest = self.known().tokens.last().cloned();
        let valid = stored.or(newest).unwrap_or_else(|| self.given.clone());
        self.learn(&valid);
        Ok(valid)
    }

    /// Stores what could not be stored before. It is not used until it is: the server would replace it once more.
    async fn save(&self) -> Result<()> {
        let unsaved = {
            let known = self.known();
            known.tokens.last().filter(|_| known.is_unsaved).cloned()
        };
        if let (Some(token), Some(store)) = (unsaved, &self.store) {
            store.save(&self.given, &token).await?;
            self.known().is_unsaved = false;
        }
        Ok(())
    }

    fn learn(&self, token: &Secret) {
        let mut known = self.known();
        if known.tokens.last().is_none_or(|last| last.expose() != token.expose()) {
            known.tokens.push(token.clone());
            let surplus = known.tokens.len().saturating_sub(EARLIER);
            known.tokens.drain(..surplus);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // It is consistent between any two statements, so a poisoned lock is no reason to stop.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
