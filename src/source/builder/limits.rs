//! How often it may be asked, and how often again.

use super::SourceBuilder;
use crate::hints::Signal;
use crate::limit::Limiter;
use crate::retry::RetryPolicy;

impl SourceBuilder {
    /// Sets how often the API may be asked. The default is [`Limiter::unlimited`], which still does what
    /// the server says.
    pub fn rate_limit(mut self, limiter: Limiter) -> Self {
        self.limiter = limiter;
        self
    }

    /// Sets what one request costs, in the units of the limiter: a query of 10 points, say, where the limiter counts
    /// points. The default is 1; see [`Limiter::acquire_cost`].
    pub fn cost(mut self, cost: u32) -> Self {
        self.settings.cost = cost;
        self
    }

    /// Asks for up to so many pages at once, behind the same limiter, and gives them out in their order. The default is 1.
    /// For sources whose positions are known ahead ([`Offset`](crate::paginate::Offset),
    /// [`PageNumber`](crate::paginate::PageNumber)) and whose answers are slow to come; see [`Lanes`](crate::pages::Lanes).
    /// With a window or a fan-out, each slice has so many.
    ///
    /// [`build`](Self::build) refuses more than one for a paginator that cannot know: a cursor comes with the page before it.
    pub fn lanes(mut self, lanes: usize) -> Self {
        self.settings.lanes = lanes.max(1);
        self
    }

    /// Declares where the API tells how long to wait, or how much is left of a budget, in a way of its own; see
    /// [`Signal`].
    pub fn signal(mut self, signal: Signal) -> Self {
        self.settings.signals.push(signal);
        self
    }

    /// Sets the rules of retrying. The default is [`RetryPolicy::exponential`].
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }
}
