//! AWS Signature Version 4.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use futures::future::BoxFuture;
use http::header::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, dispatcher};

use super::Auth;
use crate::error::{Error, Result};
use crate::request::{Request, Secret};

/// Signs each request for AWS (Signature Version 4): method, URL, headers and body.
///
/// The key never goes out. A signature is worth nothing after minutes, and for no other request; the last ones are wiped
/// from texts all the same. What `aws-sigv4` traces of the request that it signs, headers and session token in it, is
/// not heard.
///
/// ```
/// use headwater::auth::SigV4;
/// let auth = SigV4::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "eu-central-1", "s3");
/// ```
#[derive(Clone)]
pub struct SigV4 {
    id: String,
    secret: Secret,
    session: Option<Secret>,
    region: String,
    service: String,
    signed: Arc<Mutex<VecDeque<Secret>>>,
}

/// So many signatures are kept in mind: an answer that repeats one may yet come in.
const EARLIER: usize = 16;

impl SigV4 {
    /// Takes the id and the secret of an access key, the region, and the service as the signature names it (`s3`,
    /// `dynamodb`, `execute-api`).
    pub fn new(
        id: impl Into<String>,
        secret: impl Into<Secret>,
        region: impl Into<String>,
        service: impl Into<String>,
    ) -> Self {
        Self {
            id: id.into(),
            secret: secret.into(),
            session: None,
            region: region.into(),
            service: service.into(),
            signed: Arc::default(),
        }
    }

    /// Adds the session token of temporary credentials.
    #[must_use]
    pub fn session_token(mut self, token: impl Into<Secret>) -> Self {
        self.session = Some(token.into());
        self
    }

    fn sign(&self, request: &mut Request, now: SystemTime) -> Result<()> {
        let failed = || Error::config("the request cannot be signed");
        encode_query(request);
        let session = self.session.as_ref().map(|token| token.expose().to_owned());
        let identity = Credentials::new(&self.id, self.secret.expose(), session, None, "headwater").into();
        let mut settings = SigningSettings::default();
        if self.service == "s3" {
            // S3 signs the path as it is, and wants the hash of the body in a header.
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
            .time(now)
            .settings(settings)
            .build()
            .map_err(|_| failed())?;
        let body = request.encoded_body().unwrap_or_default();
        let headers =
            request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let signable = SignableRequest::new(
            request.method().as_str(),
            request.url().as_str(),
            headers,
            SignableBody::Bytes(body.as_bytes()),
        )
        .map_err(|_| failed())?;
        let output = unheard(|| sign(signable, &params.into())).map_err(|_| failed())?;
        let (instructions, signature) = output.into_parts();
        let mut earlier = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        earlier.push_front(signature.into());
        earlier.truncate(EARLIER);
        drop(earlier);
        let signed: Vec<(String, String)> =
            instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        for (name, value) in signed {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| failed())?;
            let mut value = HeaderValue::from_str(&value).map_err(|_| failed())?;
            value.set_sensitive(true);
            request.headers_mut().insert(name, value);
        }
        Ok(())
    }
}

/// Does something without a trace: it goes to no subscriber. Where there is none, there is none to be kept from it.
fn unheard<T>(work: impl FnOnce() -> T) -> T {
    let is_heard = dispatcher::get_default(|current| !current.is::<NoSubscriber>());
    if is_heard { dispatcher::with_default(&Dispatch::none(), work) } else { work() }
}

/// What AWS leaves as it is in a query ("Create a signed AWS API request", `UriEncode`).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Writes the query as it is signed, `%20` for a blank and `%2F` for a slash. Who checks the signature may take the query
/// as it came, botocore does, and not every service reads `+` as a blank.
fn encode_query(request: &mut Request) {
    let mut url = request.url().clone();
    let Some(query) = url.query() else { return };
    let encode = |text: &str| {
        let text = text.replace('+', " ");
        let bytes: Vec<u8> = percent_decode_str(&text).collect();
        percent_encode(&bytes, UNRESERVED).to_string()
    };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) => format!("{}={}", encode(name), encode(value)),
        None => encode(pair),
    });
    let encoded = pairs.collect::<Vec<_>>().join("&");
    url.set_query(Some(&encoded));
    *request = request.clone().at_url(url);
}

impl Auth for SigV4 {
    fn authorize<'a>(&'a self, request: &'a mut Request) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.sign(request, SystemTime::now()) })
    }

    fn secrets(&self) -> Vec<Secret> {
        let signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        let fixed = [self.secret.clone()].into_iter().chain(self.session.clone());
        fixed.chain(signed.iter().cloned()).collect()
    }
}

impl fmt::Debug for SigV4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigV4")
            .field("region", &self.region)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// The example of AWS's own document, "Signature calculations for the Authorization header": GET Bucket (List
    /// objects), 2013-05-24.
    #[test]
    fn the_example_of_aws_comes_out_to_the_letter() {
        let auth =
            SigV4::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1", "s3");
        let mut request =
            Request::get("https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J").unwrap();
        auth.sign(&mut request, UNIX_EPOCH + Duration::from_secs(1_369_353_600)).unwrap();
        let signed = request.headers()["authorization"].to_str().unwrap();
        assert!(signed.contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date"), "{signed}");
        assert!(
            signed.ends_with("Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
            "{signed}"
        );
        assert_eq!(request.headers()["x-amz-date"], "20130524T000000Z");
        assert!(!format!("{request:?} {auth:?}").contains("wJalr"));
    }

    #[test]
    fn the_query_goes_out_as_it_is_signed() {
        let auth = SigV4::new("AKIAIOSFODNN7EXAMPLE", "secret", "us-east-1", "s3");
        let first = Request::get("https://h.example/b?versions&delimiter=/&x=a%2bb~&y=%c3%bc").unwrap();
        let mut request = first.with_query("marker", "a b/+<ü>=");
        auth.sign(&mut request, UNIX_EPOCH).unwrap();
        let expected = "versions&delimiter=%2F&x=a%2Bb~&y=%C3%BC&marker=a%20b%2F%2B%3C%C3%BC%3E%3D";
        assert_eq!(request.url().query(), Some(expected));
    }
}
