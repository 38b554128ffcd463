//! The declared signals of a source, read from every answer.

use http::HeaderName;

use super::body::Paths;
use crate::error::{Error, Result};
use crate::hints::{Found, Hints, Place, Signal};
use crate::page::{Format, JsonPath};
use crate::transport::Response;

/// What is a number or a time is no longer.
const LONGEST_VALUE: usize = 256;

/// Signals whose places can be read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signals {
    list: Vec<Signal>,
    headers: Vec<HeaderName>,
    paths: Paths,
}

impl Signals {
    /// # Errors
    /// `Config` if a path, or the name of a header, cannot be read, or a budget is 0.
    pub(crate) fn new(list: Vec<Signal>) -> Result<Self> {
        let (mut headers, mut paths) = (Vec::new(), Vec::<&str>::new());
        for place in list.iter().flat_map(Signal::places) {
            match place {
                Place::Header(name) => headers.push(HeaderName::try_from(name).map_err(|error| {
                    Error::config(format!("the signal {name:?} is no header name")).because(error)
                })?),
                Place::Body(path) => {
                    JsonPath::parse(path)?;
                    paths.push(path);
                }
            }
        }
        if list.iter().any(Signal::is_of_nothing) {
            return Err(Error::config("a signal declares a budget of 0, of which nothing is ever left"));
        }
        let paths = Paths::new(paths.into_iter());
        Ok(Self { list, headers, paths })
    }

    /// Looks at paths in bodies of this format.
    pub(crate) fn read_in(&mut self, format: &Format, cap: usize) {
        self.paths.read_in(format, cap);
    }

    /// What an answer says about waiting: in the headers that are read by default, and where it was declared.
    pub(crate) fn read(&self, response: &Response) -> Hints {
        let Response { headers, received_at, .. } = response;
        let mut hints = Hints::read_but(headers, *received_at, &self.headers);
        if self.list.is_empty() {
            return hints;
        }
        let mut found = Found::new(headers, *received_at);
        let looked = self.paths.look(response);
        found.body =
            self.paths.names().filter_map(|name| Some((name, looked.scalar(name, LONGEST_VALUE)?))).collect();
        for signal in &self.list {
            signal.read(&found, &mut hints);
        }
        hints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_refused() {
        use crate::hints::{At, Unit};
        for at in [At::header("retry after"), At::body("a..b")] {
            assert!(Signals::new(vec![Signal::wait(at, Unit::Seconds)]).is_err());
        }
        assert!(Signals::new(vec![Signal::used(At::header("x-used"), 0)]).is_err());
    }
}
