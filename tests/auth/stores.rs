//! Refresh tokens that the server replaces, and where they are kept.

use super::*;

use futures::future::BoxFuture;
use headwater::Secret;
use headwater::auth::TokenStore;
use headwater::error::Result;
use headwater::testing::CrashFs;

const FIRST: &str = "refresh-token-number-0";

/// A store on a disk that is full now and then.
#[derive(Debug, Clone)]
struct Full {
    disk: FileTokenStore,
    is_full: Arc<std::sync::atomic::AtomicBool>,
}

impl TokenStore for Full {
    fn load<'a>(&'a self, given: &'a Secret) -> BoxFuture<'a, Result<Option<Secret>>> {
        self.disk.load(given)
    }

    fn save<'a>(&'a self, given: &'a Secret, token: &'a Secret) -> BoxFuture<'a, Result<()>> {
        if self.is_full.load(Ordering::Relaxed) {
            return Box::pin(async { Err(headwater::Error::new(ErrorKind::Checkpoint, "the disk is full")) });
        }
        self.disk.save(given, token)
    }

    fn lock(&self) -> BoxFuture<'_, Result<Box<dyn std::fmt::Debug + Send + Sync>>> {
        self.disk.lock()
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_could_not_be_stored_is_stored_before_it_is_used() {
    let service = Service::new();
    let (api, endpoint) = (service.api(), service.endpoint(3600));
    let fs = Arc::new(CrashFs::new());
    let store = Full { disk: FileTokenStore::on(fs, "/state/token"), is_full: Arc::new(true.into()) };
    let auth = by_refresh(&endpoint, FIRST).store(store.clone());
    for _ in 0..3 {
        let error = pulled(items(&api, auth.clone())).await.1.unwrap();
        assert_eq!(error.kind(), ErrorKind::Checkpoint, "{error}");
        // Once, and not once for each attempt: each time the server would replace it again.
        assert_eq!((endpoint.requests().len(), api.requests().len()), (1, 0));
    }
    store.is_full.store(false, Ordering::Relaxed);
    let (records, error) = pulled(items(&api, auth)).await;
    assert!(error.is_none() && records == 5, "{error:?}");
    let kept = store.load(&FIRST.into()).await.unwrap().unwrap();
    assert_eq!(kept.expose(), *service.refresh.lock().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_used_is_found_out_before_the_server_replaces_anything() {
    let service = Service::new();
    let (api, endpoint) = (service.api(), service.endpoint(3600));
    let dir = tempfile::tempdir().unwrap();
    // A folder in the place of the file: it can be locked, and not be replaced.
    let path = dir.path().join("token");
    std::fs::create_dir_all(path.join("x")).unwrap();
    let auth = by_refresh(&endpoint, FIRST).store(FileTokenStore::new(&path));
    let error = pulled(items(&api, auth.clone())).await.1.unwrap();
    assert_eq!((error.kind(), endpoint.requests().len()), (ErrorKind::Checkpoint, 0), "{error}");
    assert!(error.to_string().contains("os error"), "{error}");
    // No folder at all is found out before the server replaces anything.
    std::fs::write(dir.path().join("file"), "").unwrap();
    let auth = by_refresh(&endpoint, FIRST).store(FileTokenStore::new(dir.path().join("file/token")));
    let error = pulled(items(&api, auth)).await.1.unwrap();
    assert_eq!((error.kind(), endpoint.requests().len()), (ErrorKind::Checkpoint, 0), "{error}");
}

#[tokio::test(start_paused = true)]
async fn two_processes_share_a_store() {
    let service = Service::new();
    // Each page takes a minute: a token of 100 s serves one.
    let (api, endpoint) = (service.api(), service.endpoint(100));
    let dir = tempfile::tempdir().unwrap();
    // What one knows, the other does not.
    let process = || by_refresh(&endpoint, FIRST).store(FileTokenStore::new(dir.path().join("token")));
    let (one, other) = (process(), process());
    // The service lets in the newest token only, so they take turns.
    for _ in 0..3 {
        for auth in [&one, &other] {
            let mut request = Request::get("https://api.example.com/items").unwrap();
            auth.authorize(&mut request).await.unwrap();
            tokio::time::sleep(Duration::from_secs(90)).await;
        }
    }
    assert_eq!(*service.refresh.lock().unwrap(), "refresh-token-number-6");
    // And all at once.
    let many: Vec<_> = (0..8).map(|_| process()).collect();
    let at_once = join_all(many.iter().map(|auth| async move {
        let mut request = Request::get("https://api.example.com/items").unwrap();
        auth.authorize(&mut request).await
    }));
    assert!(at_once.await.iter().all(Result::is_ok));
    assert_eq!(*service.refresh.lock().unwrap(), "refresh-token-number-14");
    assert_eq!(pulled(items(&api, process())).await.0, 5);
}

#[tokio::test(start_paused = true)]
async fn a_crash_leaves_the_old_token_or_the_new_one_and_the_old_one_is_said_to_be_gone() {
    let service = Service::new();
    let (api, endpoint) = (service.api(), service.endpoint(3600));
    let fs = Arc::new(CrashFs::new());
    let store = |fs: &Arc<CrashFs>| FileTokenStore::on(fs.clone(), "/state/token");
    assert_eq!(pulled(items(&api, by_refresh(&endpoint, FIRST).store(store(&fs)))).await.0, 5);
    let before = fs.operations();
    assert_eq!(pulled(items(&api, by_refresh(&endpoint, FIRST).store(store(&fs)))).await.0, 5);
    let mut found = [0, 0];
    for operations in before..=fs.operations() {
        for image in fs.crash(operations).all() {
            let fs = Arc::new(CrashFs::from_image(image));
            let kept = store(&fs).load(&FIRST.into()).await.unwrap().unwrap();
            let is_new = kept.expose() == *service.refresh.lock().unwrap();
            found[usize::from(is_new)] += 1;
            if !is_new {
                assert_eq!(kept.expose(), "refresh-token-number-1");
                let error =
                    pulled(items(&api, by_refresh(&endpoint, FIRST).store(store(&fs)))).await.1.unwrap();
                assert_eq!(error.kind(), ErrorKind::Unauthorized);
                assert!(error.to_string().contains("what was granted is still valid"), "{error}");
                assert!(!error.to_string().contains("refresh-token-number"), "{error}");
            }
        }
    }
    assert!(found.iter().all(|found| *found > 0), "{found:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_its_owner_s_even_if_one_was_left_that_is_not() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let left = dir.path().join("token.new");
    std::fs::write(&left, "left").unwrap();
    std::fs::set_permissions(&left, std::fs::Permissions::from_mode(0o666)).unwrap();
    let store = FileTokenStore::new(dir.path().join("token"));
    store.save(&FIRST.into(), &"another".into()).await.unwrap();
    let _held = store.lock().await.unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}", entry.path());
    }
    assert!(!format!("{store:?}").contains("another"));
}
