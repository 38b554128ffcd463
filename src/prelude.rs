//! What nearly every user needs: `use headwater::prelude::*;`.

pub use crate::error::{Error, ErrorKind, Result};
pub use crate::page::Page;
pub use crate::pages::{Fanout, Incremental, PageStream, Paged, Pages, PagesExt, Window};
pub use crate::paginate::{Cursor, Delta, End, FollowUp, LinkHeader, NextUrl, Offset, PageNumber, Single};
pub use crate::records::{Batch, Record, RecordsExt};
pub use crate::{Http, Limiter, Pipeline, Request, RetryPolicy, Secret, Source};
