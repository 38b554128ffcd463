//! Stopping a run: gently, or at once.

use tokio_util::sync::CancellationToken;

/// A handle that stops a run. A clone stops the same run.
///
/// ```
/// use headwater::{Pipeline, Shutdown};
/// let shutdown = Shutdown::new();
/// let pipeline = Pipeline::new().shutdown(shutdown.clone());
/// // from anywhere:
/// shutdown.finish_pages();
/// ```
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    gentle: CancellationToken,
    now: CancellationToken,
}

impl Shutdown {
    /// Has not been used.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets each source finish the page that it is fetching, commits, and ends the run.
    pub fn finish_pages(&self) {
        self.gentle.cancel();
    }

    /// Ends the run at once. What was not committed is pulled again next time.
    pub fn at_once(&self) {
        self.gentle.cancel();
        self.now.cancel();
    }

    /// Is stopped with this one, and can be stopped alone.
    pub(super) fn child(&self) -> Self {
        Self { gentle: self.gentle.child_token(), now: self.now.child_token() }
    }

    pub(super) fn gentle(&self) -> &CancellationToken {
        &self.gentle
    }

    pub(super) fn now(&self) -> &CancellationToken {
        &self.now
    }

    /// Catches signals from now on: the first stops gently, the second at once. `None` where they cannot be
    /// caught.
    pub(super) fn on_signals(&self) -> Option<impl Future<Output = ()> + Send + 'static> {
        let Ok(mut signals) = Signals::new() else {
            tracing::warn!("signals cannot be caught here; a run is stopped by its handle only");
            return None;
        };
        let shutdown = self.clone();
        Some(async move {
            signals.next().await;
            tracing::info!("stopping: each source finishes its page; a second signal stops at once");
            shutdown.finish_pages();
            signals.next().await;
            tracing::warn!("stopping at once");
            shutdown.at_once();
        })
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
