//! A connection to a virtual server: a transport that takes its time, in virtual time.

use futures::future::BoxFuture;
use headwater::{Request, Response, Transport};
use tokio::time::sleep;

use super::answers::Want;
use super::hub::Hub;
use super::mutants::Mutant;

/// A connection to the API of one source.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    hub: Hub,
    source: usize,
}

impl Connection {
    pub(crate) fn new(hub: Hub, source: usize) -> Self {
        Self { hub, source }
    }

    async fn exchange(&self, request: &Request) -> headwater::Result<Response> {
        let hop = request.url().query_pairs().find(|(name, _)| name == "hop");
        let hop = hop.map_or(0, |(_, hop)| hop.parse::<u32>().expect("a number"));
        let (want, takes) = self.hub.state().receive(self.source, request, hop);
        let mut in_flight = InFlight::new(&self.hub, self.source, want);
        self.hub.step().await;
        sleep(takes).await;
        let answer = self.hub.state().answer(self.source, &in_flight.want, request, hop);
        sleep(answer.takes).await;
        self.hub.step().await;
        if self.hub.state().mutant == Some(Mutant::AnswersGetLost) && self.hub.state().one_in(20) {
            return std::future::pending().await;
        }
        in_flight.arrived = true;
        let response = self.hub.state().arrive(self.source, &in_flight.want, answer);
        Mutant::look(&self.hub, response)
    }
}

impl Transport for Connection {
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, headwater::Result<Response>> {
        if self.hub.state().mutant == Some(Mutant::TransportRetriesByItself) {
            return Box::pin(async move {
                let first = self.exchange(request).await?;
                if first.status.is_success() { Ok(first) } else { self.exchange(request).await }
            });
        }
        Box::pin(self.exchange(request))
    }
}

/// Counts the exchanges that are going on.
struct InFlight {
    hub: Hub,
    source: usize,
    want: Want,
    arrived: bool,
}

impl InFlight {
    fn new(hub: &Hub, source: usize, want: Want) -> Self {
        hub.state().in_flight += 1;
        Self { hub: hub.clone(), source, want, arrived: false }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.hub.state();
        state.in_flight -= 1;
        if !self.arrived {
            // A poll that was dropped is over, too.
            let (world, now) = (state.world.clone(), state.now());
            state.oracle.answered(&world, self.source, &self.want.lane, None, now);
        }
    }
}
