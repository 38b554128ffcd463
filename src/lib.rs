//! headwater
pub mod auth;
pub mod checkpoint;
pub mod error;
pub mod fs;
pub mod hints;
pub mod limit;
pub mod mark;
pub mod meter;
pub mod page;
pub mod pages;
pub mod paginate;
pub mod pipeline;
pub mod records;
pub mod request;
pub mod retry;
pub mod sink;
pub mod source;
pub mod transport;

#[cfg(feature = "testing")]
pub mod testing;

pub use error::{Error, ErrorKind, Result};
pub use hints::Hints;
pub use limit::Limiter;
pub use mark::Mark;
pub use meter::{Counts, Meter};
pub use page::{JsonPath, Page};
pub use pages::{PageStream, Paged, Pages, PagesExt};
pub use pipeline::{Pipeline, Report, RunError, Shutdown};
pub use records::{Annotator, Batch, Record, RecordsExt};
pub use request::{Origin, Position, Request, Secret};
pub use retry::RetryPolicy;
pub use source::{Source, SourceBuilder};
pub use transport::{Http, Response, Transport};
