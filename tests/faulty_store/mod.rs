//! An object store that fails, dies or freezes at a call, before or behind it.
#![allow(dead_code, reason = "each test file uses its part")]

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use tokio::sync::Semaphore;

/// What happens at the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// The process is gone before it.
    DiesBefore,
    /// It takes effect, and then the process is gone.
    DiesBehind,
    /// It takes effect, and its answer is an error. What comes later works.
    LosesAnswer,
    /// It is made twice, as by a client that has repeated it.
    Repeats,
    /// The process stands still before it, until it is woken.
    FreezesBefore,
    /// It takes effect, and then the process stands still.
    FreezesBehind,
}

#[derive(Debug, Clone)]
pub(crate) struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    plan: Arc<Plan>,
}

#[derive(Debug)]
struct Plan {
    fault: Fault,
    at: u64,
    calls: AtomicU64,
    is_dead: AtomicBool,
    frozen: Semaphore,
    wakes: Semaphore,
    seen: Mutex<Vec<String>>,
}

fn gone(call: &str) -> Error {
    Error::Generic { store: "faulty", source: format!("told to fail at {call}").into() }
}

impl FaultyStore {
    /// Has the fault at this call, counted from 1. Signs of life and looks at the clock do not count.
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, fault: Fault, at: u64) -> Self {
        let (calls, is_dead) = (AtomicU64::new(0), AtomicBool::new(false));
        let (frozen, wakes) = (Semaphore::new(0), Semaphore::new(0));
        Self {
            inner,
            plan: Arc::new(Plan { fault, at, calls, is_dead, frozen, wakes, seen: Mutex::default() }),
        }
    }

    /// Whether the call was reached.
    pub(crate) fn was_reached(&self) -> bool {
        self.plan.calls.load(SeqCst) >= self.plan.at
    }

    /// The calls until now.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.plan.seen.lock().unwrap().clone()
    }

    /// Waits until it stands still.
    pub(crate) async fn is_frozen(&self) {
        self.plan.frozen.acquire().await.unwrap().forget();
    }

    /// Has it go on.
    pub(crate) fn wake(&self) {
        self.plan.wakes.add_permits(1);
    }
}

impl Plan {
    async fn around<'a, T: Send>(
        &self,
        name: &str,
        path: &Path,
        call: impl Fn() -> BoxFuture<'a, Result<T>> + Send + Sync,
    ) -> Result<T> {
        if path.as_ref().contains("_headwater/beats") {
            return if self.is_dead.load(SeqCst) { Err(gone(name)) } else { call().await };
        }
        if self.is_dead.load(SeqCst) {
            return Err(gone(name));
        }
        self.seen.lock().unwrap().push(format!("{name} {path}"));
        if self.calls.fetch_add(1, SeqCst) + 1 != self.at {
            return call().await;
        }
        match self.fault {
            Fault::None => call().await,
            Fault::DiesBefore => {
                self.is_dead.store(true, SeqCst);
                Err(gone(name))
            }
            Fault::DiesBehind => {
                let _ = call().await;
                self.is_dead.store(true, SeqCst);
                Err(gone(name))
            }
            Fault::LosesAnswer => {
                let _ = call().await;
                Err(gone(name))
            }
            Fault::Repeats => {
                let _ = call().await;
                call().await
            }
            Fault::FreezesBefore => {
                self.freeze().await;
                call().await
            }
            Fault::FreezesBehind => {
                let done = call().await;
                self.freeze().await;
                done
            }
        }
    }

    async fn freeze(&self) {
        self.frozen.add_permits(1);
        self.wakes.acquire().await.unwrap().forget();
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({})", self.inner)
    }
}

/// The trait as `async_trait` has written it.
impl ObjectStore for FaultyStore {
    fn put_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> BoxFuture<'c, Result<PutResult>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        let name = if opts.mode == PutMode::Create { "create" } else { "put" };
        Box::pin(async move {
            let put = || self.inner.put_opts(location, payload.clone(), opts.clone());
            self.plan.around(name, location, put).await
        })
    }

    fn put_multipart_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b Path,
        opts: PutMultipartOptions,
    ) -> BoxFuture<'c, Result<Box<dyn MultipartUpload>>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            let begin = || self.inner.put_multipart_opts(location, opts.clone());
            let inner = self.plan.around("begin parts", location, begin).await?;
            let (plan, path) = (self.plan.clone(), location.clone());
            Ok(Box::new(Parts { inner: Arc::new(tokio::sync::Mutex::new(inner)), plan, path }) as Box<_>)
        })
    }

    fn get_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b Path,
        options: GetOptions,
    ) -> BoxFuture<'c, Result<GetResult>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            let get = || self.inner.get_opts(location, options.clone());
            self.plan.around("get", location, get).await
        })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, plan) = (self.inner.clone(), self.plan.clone());
        locations
            .and_then(move |path| {
                let (inner, plan) = (inner.clone(), plan.clone());
                async move {
                    let delete = || {
                        let one = stream::once(std::future::ready(Ok(path.clone()))).boxed();
                        inner.delete_stream(one).try_collect::<Vec<_>>().boxed()
                    };
                    plan.around("delete", &path, delete).await?;
                    Ok(path)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, plan) = (self.inner.clone(), self.plan.clone());
        let prefix = prefix.cloned().unwrap_or_default();
        async move {
            let list = || inner.list(Some(&prefix)).try_collect::<Vec<_>>().boxed();
            let listed = plan.around("list", &prefix, list).await?;
            Ok(stream::iter(listed.into_iter().map(Ok)))
        }
        .boxed()
        .try_flatten_stream()
        .boxed()
    }

    fn list_with_delimiter<'a, 'b, 'c>(
        &'a self,
        prefix: Option<&'b Path>,
    ) -> BoxFuture<'c, Result<ListResult>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        self.inner.list_with_delimiter(prefix)
    }

    fn copy_opts<'a, 'b, 'd, 'c>(
        &'a self,
        from: &'b Path,
        to: &'d Path,
        options: CopyOptions,
    ) -> BoxFuture<'c, Result<()>>
    where
        'a: 'c,
        'b: 'c,
        'd: 'c,
        Self: 'c,
    {
        self.inner.copy_opts(from, to, options)
    }
}

struct Parts {
    inner: Arc<tokio::sync::Mutex<Box<dyn MultipartUpload>>>,
    plan: Arc<Plan>,
    path: Path,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parts({})", self.path)
    }
}

impl MultipartUpload for Parts {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (plan, path) = (self.plan.clone(), self.path.clone());
        // Its place among the parts is given now.
        let part = self.inner.try_lock().expect("nobody else has it").put_part(data);
        let part = Once(tokio::sync::Mutex::new(Some(part)));
        Box::pin(async move { plan.around("part", &path, || part.once().boxed()).await })
    }

    fn complete<'a, 'c>(&'a mut self) -> BoxFuture<'c, Result<PutResult>>
    where
        'a: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            let inner = &self.inner;
            let complete = || async { inner.lock().await.complete().await }.boxed();
            self.plan.around("complete", &self.path, complete).await
        })
    }

    fn abort<'a, 'c>(&'a mut self) -> BoxFuture<'c, Result<()>>
    where
        'a: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            let inner = &self.inner;
            let abort = || async { inner.lock().await.abort().await }.boxed();
            self.plan.around("abort", &self.path, abort).await
        })
    }
}

/// A part that is put once, however often it is asked for.
struct Once(tokio::sync::Mutex<Option<UploadPart>>);

impl Once {
    async fn once(&self) -> Result<()> {
        match self.0.lock().await.take() {
            Some(part) => part.await,
            None => Ok(()),
        }
    }
}
