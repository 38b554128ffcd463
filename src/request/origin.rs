//! Who may be asked, and who may see the credentials.
//!
//! Credentials belong to the origin (RFC 6454 §4: scheme, host and port) of the request they were given
//! for. A next link or a redirect is text from a server: it may point anywhere. So every URL that is about
//! to be asked goes through [`Origins::check`]: the home origin is asked with credentials, an origin that
//! was allowed by name without them, and any other is refused.
//!
//! An origin that is nearer to this machine than the home is not even allowed by name: a private address for a
//! public home, or a link-local or metadata address for any but its like. Only what the URL says counts here; what a
//! name resolves to does not.

use url::Url;

use super::reach::Reach;
use crate::error::{Error, ErrorKind, Result};

/// A scheme, a host and a port (RFC 6454 §4), as the URL standard normalises them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: String,
    host: String,
    port: u16,
    reach: Reach,
}

impl Origin {
    /// Takes the origin of a URL.
    ///
    /// # Errors
    /// `Config` if the URL is neither `http` nor `https`, or has no host.
    pub fn of(url: &Url) -> Result<Self> {
        match (url.scheme(), url.host(), url.port_or_known_default()) {
            (scheme @ ("http" | "https"), Some(host), Some(port)) => {
                Ok(Self { scheme: scheme.to_owned(), host: host.to_string(), port, reach: Reach::of(&host) })
            }
            (scheme, ..) => {
                Err(Error::config(format!("a URL must be http or https with a host, not {scheme}")))
            }
        }
    }

    /// Whether a URL is of this origin.
    fn is_of(&self, url: &Url) -> bool {
        url.scheme() == self.scheme
            && url.host_str() == Some(&self.host)
            && url.port_or_known_default() == Some(self.port)
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
    /// Only the home.
    pub(crate) fn home(home: Origin) -> Self {
        Self { home, allowed: Vec::new() }
    }

    /// Another one besides, unless it is nearer to this machine than the home.
    pub(crate) fn allow(&mut self, origin: Origin) -> Result<()> {
        if origin.reach > self.home.reach {
            let near = if origin.reach == Reach::Link { "link-local or metadata" } else { "private" };
            let what =
                format!("{origin} cannot be allowed: it is a {near} address, and {} is not", self.home);
            return Err(Error::config(what).advice(
                "a server out there must not choose what is asked in here; fetch that by a source of its own",
            ));
        }
        self.allowed.push(origin);
        Ok(())
    }

    /// Decides about a URL that came from a server.
    pub(crate) fn check(&self, url: &Url) -> Result<Trust> {
        let refuse = |why: String| Error::new(ErrorKind::Origin, why);
        let is_named = !url.username().is_empty() || url.password().is_some();
        if !is_named && self.home.is_of(url) {
            return Ok(Trust::Home);
        }
        let Ok(origin) = Origin::of(url) else {
            return Err(refuse(format!("the server points to a {}: URL", url.scheme())));
        };
        if is_named {
            return Err(refuse("the server points to a URL with a user name in it".into()));
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
        let mut origins = Origins::home(home);
        origins.allow(cdn).unwrap();
        origins
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
        for (home, same) in [
            ("http://[::1]:8080", "http://[0:0:0:0:0:0:0:1]:8080/x"),
            ("http://127.0.0.1", "http://127.1:80/x"),
            ("https://bücher.example", "https://xn--bcher-kva.example/x"),
        ] {
            let origins = Origins::home(Origin::of(&Url::parse(home).unwrap()).unwrap());
            assert_eq!(origins.check(&Url::parse(same).unwrap()).unwrap(), Trust::Home, "{same}");
        }
    }

    #[test]
    fn what_is_nearer_than_home_cannot_be_allowed() {
        let origin = |text: &str| Origin::of(&Url::parse(text).unwrap()).unwrap();
        let allow = |home: &str, other: &str| Origins::home(origin(home)).allow(origin(other));
        for (home, other) in [
            ("https://api.example.com", "https://10.0.0.1"),
            ("https://api.example.com", "https://localhost"),
            ("https://api.example.com", "https://[::ffff:169.254.169.254]"),
            ("http://10.0.0.1", "http://169.254.169.254"),
        ] {
            assert_eq!(allow(home, other).unwrap_err().kind(), ErrorKind::Config, "{home} {other}");
        }
        for (home, other) in [
            ("http://127.0.0.1:8080", "http://localhost:9090"),
            ("http://10.0.0.1", "https://files.example.com"),
            ("http://169.254.169.254", "http://169.254.170.2"),
        ] {
            allow(home, other).unwrap();
        }
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
