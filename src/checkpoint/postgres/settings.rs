//! How a server is reached: the connection string, TLS, time-outs.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{Error, Result};
use crate::request::Secret;

/// How long a connection may take, unless the connection string says so.
const CONNECT: Duration = Duration::from_secs(10);

/// What a connection is made with.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(super) url: Secret,
    pub(crate) schema: Option<String>,
    /// What no statement takes longer than.
    pub(crate) statement: Duration,
    /// How long a lost connection is made again.
    pub(crate) retry: Duration,
    /// Read once: the system has many root certificates.
    pub(super) tls: Arc<OnceLock<rustls::ClientConfig>>,
}

/// The settings, read.
pub(super) struct Reachable {
    pub(super) config: tokio_postgres::Config,
    pub(super) tls: MakeRustlsConnect,
}

impl Settings {
    pub(crate) fn new(url: Secret) -> Self {
        Self {
            url,
            schema: None,
            statement: Duration::from_secs(300),
            retry: Duration::from_secs(60),
            tls: Arc::default(),
        }
    }

    /// The host and the database, without who one is there.
    pub(crate) fn place(&self) -> String {
        let Ok((config, _)) = self.read() else { return "postgres".into() };
        let host = config.get_hosts().first().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(path) => path.display().to_string(),
        });
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
        format!("postgres at {}:{port}/{database}", host.unwrap_or_default())
    }

    /// The connection string without what is ours in it, and the file of the root certificate.
    fn read(&self) -> Result<(tokio_postgres::Config, Option<String>)> {
        // What is wrong with it may quote it, and a password with it.
        let unreadable = |what: &str| {
            Error::config(format!("the connection string of the database cannot be used: {what}")).advice(
                "write postgres://user:password@host:5432/database?sslmode=verify-full, with % before what is special in a \
                 password",
            )
        };
        let url = self.url.expose();
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(unreadable("it does not begin with postgres://"));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut root, mut rest) = (SslMode::Prefer, None, Vec::new());
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", value)) => {
                    mode = match value {
                        "disable" => SslMode::Disable,
                        "prefer" => SslMode::Prefer,
                        "require" | "verify-full" => SslMode::Require,
                        _ => {
                            return Err(unreadable(
                                "sslmode is none of disable, prefer, require, verify-full",
                            ));
                        }
                    };
                }
                Some(("sslrootcert", path)) => {
                    let path = percent_encoding::percent_decode_str(path).decode_utf8();
                    root = Some(path.map_err(|_| unreadable("sslrootcert is no text"))?.into_owned());
                }
                _ => rest.push(parameter),
            }
        }
        let plain = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        let mut config: tokio_postgres::Config =
            plain.parse().map_err(|_| unreadable("a part of it is not understood"))?;
        config.ssl_mode(mode);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_application_name().is_none() {
            config.application_name("headwater");
        }
        config.keepalives_idle(Duration::from_secs(30));
        config.tcp_user_timeout(Duration::from_secs(60));
        Ok((config, root))
    }

    pub(super) fn reachable(&self) -> Result<Reachable> {
        let (config, root) = self.read()?;
        let client = match self.tls.get() {
            Some(client) => client.clone(),
            None => {
                let client = client(&config, root.as_deref())?;
                self.tls.get_or_init(|| client).clone()
            }
        };
        Ok(Reachable { config, tls: MakeRustlsConnect::new(client) })
    }
}

fn client(config: &tokio_postgres::Config, root: Option<&str>) -> Result<rustls::ClientConfig> {
    let unusable = |what: String| Error::config(what).advice("sslrootcert names a file in PEM");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable("TLS cannot be used".into()).because(error))?;
    let mut roots = rustls::RootCertStore::empty();
    match root {
        _ if config.get_ssl_mode() == SslMode::Disable => {}
        None => {
            let builder = builder.with_platform_verifier().map_err(|error| {
                unusable("the system's root certificates cannot be used".into()).because(error)
            })?;
            return Ok(builder.with_no_client_auth());
        }
        Some(path) => {
            let unread = |error| unusable(format!("{path} cannot be read")).because(error);
            for certificate in CertificateDer::pem_file_iter(path).map_err(unread)? {
                let certificate = certificate.map_err(unread)?;
                let added = roots.add(certificate);
                added.map_err(|error| unusable(format!("{path} is no root certificate")).because(error))?;
            }
        }
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_that_cannot_be_used_is_not_quoted() {
        for url in [
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h:port/d",
            "postgres://u@h/d?password_=hunter2",
            "postgres://u:hunter2@h/d?sslmode=verify-ca",
            "postgres://u@h/d?hunter2=1",
        ] {
            let settings = Settings::new(Secret::new(url));
            let error = settings.read().unwrap_err();
            assert!(!format!("{error} {settings:?} {}", settings.place()).contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_place_is_told_without_who_one_is_there() {
        let place = |url: &str| Settings::new(Secret::new(url)).place();
        let url = "postgresql://me:hunter2@db.example.com:6432/sales?sslmode=verify-full&connect_timeout=3";
        assert_eq!(place(url), "postgres at db.example.com:6432/sales");
        assert_eq!(place("postgres:///sales?host=/run/pg"), "postgres at /run/pg:5432/sales");
    }
}
