//! What is asked.

use std::time::Duration;

use serde_json::Value;

use super::SourceBuilder;

impl SourceBuilder {
    /// Adds a query parameter to the first request; see [`Request::query`](crate::Request::query).
    pub fn query(self, name: &str, value: impl AsRef<str>) -> Self {
        self.change(|request| Ok(request.query(name, value)))
    }

    /// Adds a header to every request; see [`Request::header`](crate::Request::header).
    pub fn header(self, name: &str, value: impl AsRef<str>) -> Self {
        self.change(|request| request.header(name, value))
    }

    /// Sends a JSON body; see [`Request::json`](crate::Request::json).
    pub fn json(self, body: impl Into<Value>) -> Self {
        self.change(|request| Ok(request.json(body.into())))
    }

    /// Adds a field to the form that is sent; see [`Request::form`](crate::Request::form).
    pub fn form(self, name: &str, value: impl Into<String>) -> Self {
        self.change(|request| Ok(request.form(name, value)))
    }

    /// Sets a variable of a GraphQL request; see [`Request::variable`](crate::Request::variable).
    pub fn variable(self, name: &str, value: impl Into<Value>) -> Self {
        self.change(|request| Ok(request.variable(name, value)))
    }

    /// Declares that a POST only reads, so that it may be sent again after a failure; see
    /// [`Request::repeatable`](crate::Request::repeatable).
    pub fn repeatable(self) -> Self {
        self.change(|request| Ok(request.repeatable()))
    }

    /// Sets how long a whole request may take. The default is the transport's: 120 s.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.change(|request| Ok(request.timeout(timeout)))
    }
}
