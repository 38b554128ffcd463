//! Who may be asked, and who may see the credentials.
//!
//! Credentials belong to the origin (RFC 6454 §4: scheme, host and port) of the request they were given
//! for. A next link or a redirect is text from a server: it may point anywhere. So every URL that is about
//! to be asked goes through [`Origins::check`]: the home origin is asked with credentials, an origin that
//! was allowed by name without them, and any other is refused.

use url::Url;

use crate::error::{Error, ErrorKind, Result};

/// A scheme, a host and a port (RFC 6454 §4), as the URL standard normalises them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// Takes the origin of a URL.
    ///
    /// # Errors
    /// `Config` if the URL is neither `http` nor `https`, or has no host.
    pub fn of(url: &Url) -> Result<Self> {
        match (url.scheme(), url.host_str(), url.port_or_known_default()) {
            (scheme @ ("http" | "https"), Some(host), Some(port)) if !host.is_empty() => {
                Ok(Self { scheme: scheme.to_owned(), host: host.to_owned(), port })
            }
            (scheme, ..) => {
                Err(Error::config(format!("a URL must be http or https with a host, not {scheme}")))
            }
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

/// What an origin may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The request with its credentials and headers.
    Home,
    /// The request without credentials and without the template's headers.
    Allowed,
}

/// The home origin and the ones that were allowed besides it.
#[derive(Debug, Clone)]
pub(crate) struct Origins {
    home: Origin,
    allowed: Vec<Origin>,
}

impl Origins {
    pub(crate) fn new(home: Origin, allowed: Vec<Origin>) -> Self {
        Self { home, allowed }
    }

    /// Decides about a URL that came from a server.
    pub(crate) fn check(&self, url: &Url) -> Result<Trust> {
        let refuse = |why: String| Error::new(ErrorKind::Origin, why);
        let Ok(origin) = Origin::of(url) else {
            return Err(refuse(format!("the server points to a {}: URL", url.scheme())));
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("the server points to a URL with a user name in it".into()));
        }
        if origin == self.home {
            return Ok(Trust::Home);
        }
        if self.home.scheme == "https" && origin.scheme == "http" {
            return Err(refuse(format!("the server points from https to {origin}, which is not encrypted")));
        }
        if self.allowed.contains(&origin) {
            return Ok(Trust::Allowed);
        }
        Err(refuse(format!("the server points from {} to {origin}", self.home))
            .advice("if that is right, allow it with `allow_origin`; credentials will not go there"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins() -> Origins {
        let home = Origin::of(&Url::parse("https://api.example.com/v1").unwrap()).unwrap();
        let cdn = Origin::of(&Url::parse("https://cdn.example.com").unwrap()).unwrap();
        Origins::new(home, vec![cdn])
    }

    fn check(text: &str) -> Result<Trust> {
        let base = Url::parse("https://api.example.com/v1/items").unwrap();
        origins().check(&base.join(text).unwrap())
    }

    #[test]
    fn the_home_origin_is_recognised_in_every_spelling() {
        for same in ["?page=2", "/v2", "//api.example.com/x", "https://API.example.com:443/", "\\x"] {
            assert_eq!(check(same).unwrap(), Trust::Home, "{same}");
        }
        assert_eq!(check("https://cdn.example.com/file").unwrap(), Trust::Allowed);
    }

    #[test]
    fn every_other_origin_is_refused() {
        for other in [
            "//evil.example/x",
            "https://api.example.com@evil.example/",
            "https://user:pw@api.example.com/",
            "https://api.example.com:8443/",
            "https://api.example.com./",
            "http://api.example.com/",
            "\\\\evil.example\\x",
            "https://[::1]/",
            "http://169.254.169.254/latest/meta-data",
            "file:///etc/passwd",
            "data:text/plain,x",
        ] {
            assert_eq!(check(other).unwrap_err().kind(), ErrorKind::Origin, "{other}");
        }
    }
}
