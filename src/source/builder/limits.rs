//! How often it may be asked, and how often again.

use super::SourceBuilder;
use crate::limit::Limiter;
use crate::retry::RetryPolicy;

impl SourceBuilder {
    /// Sets how often the API may be asked. The default is [`Limiter::unlimited`], which still does what
    /// the server says.
    pub fn rate_limit(mut self, limiter: Limiter) -> Self {
        self.limiter = limiter;
        self
    }

    /// Sets the rules of retrying. The default is [`RetryPolicy::exponential`].
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }
}
