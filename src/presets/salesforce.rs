//! Salesforce.

use super::account::Account;
use crate::auth::Auth;
use crate::exchange::{Verdict, When};
use crate::limit::Limiter;
use crate::paginate::{End, NextUrl};
use crate::source::SourceBuilder;

/// Salesforce: the rows of a SOQL query by `nextRecordsUrl`, a path, until `done`; 2,000 rows a page, which a header may
/// change. A used-up limit is a 403 ("Execute a SOQL Query",
/// <https://developer.salesforce.com/docs/platform/api-rest/guide/dome-query.html>).
///
/// ```
/// use headwater::auth::Bearer;
/// use headwater::presets::Salesforce;
/// let salesforce = Salesforce::new("your-domain.my.salesforce.com", Bearer::new("00D_token")?);
/// let accounts = salesforce.query("accounts", "SELECT Id, Name FROM Account").build()?;
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Salesforce(Account);

/// The version of the API that is asked for.
const VERSION: &str = "v62.0";

impl Salesforce {
    /// Takes the instance and credentials: [`OAuth2`](crate::auth::OAuth2), or a `Bearer`.
    pub fn new(instance: &str, auth: impl Auth + 'static) -> Self {
        Self(Account::new(Account::site(instance, "my.salesforce.com"), auth, Limiter::unlimited()))
    }

    /// The rows of a SOQL query.
    pub fn query(&self, name: &str, soql: &str) -> SourceBuilder {
        self.0
            .get(name, &format!("/services/data/{VERSION}/query"))
            .query("q", soql)
            .records("records")
            .paginate(NextUrl::body("nextRecordsUrl").until(End::when_true("done")))
            .rule(When::status(403).body("*.errorCode", "REQUEST_LIMIT_EXCEEDED").means(Verdict::Wait))
    }
}
