//! The stores of the clouds, with limits so that no call hangs.

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
macro_rules! cloud {
    ($feature:literal, $(#[$doc:meta])* $name:ident, $builder:ty, $key:ident, $scheme:literal, $container:ident) => {
        $(#[$doc])*
        #[cfg_attr(docsrs, doc(cfg(feature = $feature)))]
        #[derive(Clone)]
        #[must_use = "it does nothing unless it is built"]
        pub struct $name {
            builder: $builder,
            container: String,
            prefix: String,
        }

        /// Without what the builder has in it: that may be a key.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.place())
            }
        }

        impl $name {
            /// Takes what stands in the environment, and the place: the name, and the prefix behind a `/`.
            pub fn new(place: impl AsRef<str>) -> Self {
                let place = place.as_ref().trim_start_matches(concat!($scheme, "://"));
                let (container, prefix) = place.split_once('/').unwrap_or((place, ""));
                let builder = <$builder>::from_env()
                    .$container(container)
                    .with_retry(retries())
                    // One by one: what else the environment says stays.
                    .with_config($key::Client(ClientConfigKey::Timeout), REQUEST)
                    .with_config($key::Client(ClientConfigKey::ConnectTimeout), CONNECT);
                Self { builder, container: container.to_owned(), prefix: prefix.to_owned() }
            }

            /// Changes what else the builder of `object_store` knows. Its timeouts are set: a request has 120 s, and 3 minutes with
            /// all that repeat it.
            pub fn configure(mut self, change: impl FnOnce($builder) -> $builder) -> Self {
                self.builder = change(self.builder);
                self
            }

            /// Makes the sink.
            ///
            /// # Errors
            /// `Config` if something is missing or does not fit.
            pub fn build(self) -> Result<Objects> {
                let (prefix, place) = (self.prefix.clone(), self.place());
                Ok(Objects::at(self.store()?, &prefix, place))
            }

            /// Makes the store alone: to read with [`committed`](crate::sink::objects::committed), or for
            /// [`ObjectsStore`](crate::checkpoint::ObjectsStore).
            ///
            /// # Errors
            /// As for [`build`](Self::build).
            pub fn store(self) -> Result<Arc<dyn ObjectStore>> {
                let place = self.place();
                if self.container.is_empty() {
                    return Err(Error::config(concat!("the place must be `name/prefix`, behind ", $scheme, "://")));
                }
                let built = self.builder.build().map_err(|error| {
                    Error::config(format!("{place} cannot be used")).because(cause(&error))
                })?;
                Ok(Arc::new(built))
            }

            fn place(&self) -> String {
                format!("{}://{}/{}", $scheme, self.container, self.prefix)
            }
        }
    };
}

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
mod clouds {
    use std::fmt;
    use std::sync::Arc;
    use std::time::Duration;

    #[cfg(feature = "s3")]
    use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
    #[cfg(feature = "azure")]
    use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
    #[cfg(feature = "gcs")]
    use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
    use object_store::{ClientConfigKey, ObjectStore, RetryConfig};

    use crate::checkpoint::objects::cause;
    use crate::error::{Error, Result};
    #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
    use crate::request::Secret;
    use crate::sink::objects::Objects;

    /// A part must go through a slow line in this time.
    const REQUEST: &str = "120s";
    const CONNECT: &str = "10s";
    const WITH_RETRIES: Duration = Duration::from_secs(180);

    fn retries() -> RetryConfig {
        RetryConfig { max_retries: 10, retry_timeout: WITH_RETRIES, ..RetryConfig::default() }
    }

    #[cfg(feature = "s3")]
    cloud!(
        "s3",
        /// S3, and what speaks it: R2, MinIO, Ceph.
        ///
        /// What is not given comes from the environment, as `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`,
        /// `AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ALLOW_HTTP` say, or from the machine's role.
        ///
        /// ```no_run
        /// use headwater::{Secret, sink::objects::S3};
        /// let sink = S3::new("bucket/github")
        ///     .endpoint("https://storage.example.com")
        ///     .access_key("AKIDEXAMPLE", Secret::env("STORAGE_SECRET")?)
        ///     .build()?;
        /// # Ok::<(), headwater::Error>(())
        /// ```
        S3,
        AmazonS3Builder,
        AmazonS3ConfigKey,
        "s3",
        with_bucket_name
    );

    #[cfg(feature = "s3")]
    impl S3 {
        /// Where a store is that is not Amazon's. One that begins with `http://` is used without TLS.
        pub fn endpoint(self, url: impl Into<String>) -> Self {
            let url = url.into();
            let allow_http = url.starts_with("http://");
            self.configure(|builder| builder.with_endpoint(url).with_allow_http(allow_http))
        }

        /// Which region (default: `AWS_REGION`, or `us-east-1`).
        pub fn region(self, region: impl Into<String>) -> Self {
            self.configure(|builder| builder.with_region(region))
        }

        /// Who asks.
        pub fn access_key(self, id: impl Into<String>, secret: impl Into<Secret>) -> Self {
            let secret = secret.into();
            self.configure(|builder| builder.with_access_key_id(id).with_secret_access_key(secret.expose()))
        }

        /// The token that belongs to a key which is only lent.
        pub fn session_token(self, token: impl Into<Secret>) -> Self {
            let token = token.into();
            self.configure(|builder| builder.with_token(token.expose()))
        }
    }

    #[cfg(feature = "gcs")]
    cloud!(
        "gcs",
        /// Google Cloud Storage.
        ///
        /// What is not given comes from the environment, as `GOOGLE_SERVICE_ACCOUNT` or `GOOGLE_APPLICATION_CREDENTIALS` say, or
        /// from the machine's role.
        ///
        /// ```no_run
        /// use headwater::{Secret, sink::objects::Gcs};
        /// let sink = Gcs::new("bucket/github").service_account(Secret::env("SERVICE_ACCOUNT_JSON")?).build()?;
        /// # Ok::<(), headwater::Error>(())
        /// ```
        Gcs,
        GoogleCloudStorageBuilder,
        GoogleConfigKey,
        "gs",
        with_bucket_name
    );

    #[cfg(feature = "gcs")]
    impl Gcs {
        /// Who asks: the JSON of a service account's key.
        pub fn service_account(self, json: impl Into<Secret>) -> Self {
            let json = json.into();
            self.configure(|builder| builder.with_service_account_key(json.expose()))
        }
    }

    #[cfg(feature = "azure")]
    cloud!(
        "azure",
        /// Azure Blob Storage.
        ///
        /// What is not given comes from the environment, as `AZURE_STORAGE_ACCOUNT_NAME`, `AZURE_STORAGE_ACCOUNT_KEY` say, or
        /// from the machine's identity.
        ///
        /// ```no_run
        /// use headwater::{Secret, sink::objects::Azure};
        /// let sink = Azure::new("container/github").account("example", Secret::env("AZURE_KEY")?).build()?;
        /// # Ok::<(), headwater::Error>(())
        /// ```
        Azure,
        MicrosoftAzureBuilder,
        AzureConfigKey,
        "az",
        with_container_name
    );

    #[cfg(feature = "azure")]
    impl Azure {
        /// Who asks.
        pub fn account(self, name: impl Into<String>, key: impl Into<Secret>) -> Self {
            let key = key.into();
            self.configure(|builder| builder.with_account(name).with_access_key(key.expose()))
        }

        /// Where a store is that is not Microsoft's. One that begins with `http://` is used without TLS.
        pub fn endpoint(self, url: impl Into<String>) -> Self {
            let url = url.into();
            let allow_http = url.starts_with("http://");
            self.configure(|builder| builder.with_endpoint(url).with_allow_http(allow_http))
        }
    }
}

#[cfg(feature = "azure")]
pub use clouds::Azure;
#[cfg(feature = "gcs")]
pub use clouds::Gcs;
#[cfg(feature = "s3")]
pub use clouds::S3;
