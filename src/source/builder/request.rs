//! What is asked.

use std::time::Duration;

use super::SourceBuilder;

impl SourceBuilder {
    /// Adds a query parameter to the first request; see [`Request::query`].
    pub fn query(self, name: &str, value: impl AsRef<str>) -> Self {
        self.change(|request| Ok(request.query(name, value)))
    }

    /// Adds a header to every request; see [`Request::header`].
    pub fn header(self, name: &str, value: impl AsRef<str>) -> Self {
        self.change(|request| request.header(name, value))
    }

    /// Sets how long a whole request may take. The default is the transport's: 120 s.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.change(|request| Ok(request.timeout(timeout)))
    }
}
