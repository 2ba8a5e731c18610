//! What the tests in `tests/api` begin with: one API server that all of them share, namespaces of their own, clients with chosen rights.

use crate::assets::{Assets, CONTROL_PLANE};
use crate::control_plane::{ControlPlane, Settings};
use crate::error::Result;
use crate::{kubeconfig, tokens};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, PostParams};
use serde_json::json;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An API server under test: the shared one, one of a test's own, or a cluster that was there.
pub struct ApiServer {
    own: Option<ControlPlane>,
    kubeconfig: String,
}

/// The API server that the suite shares, started by whoever asks first.
///
/// None, with a line that says so, when its programs are not there; with `CI=true` that is a failure.
/// `FORESHADOW_TEST_KUBECONFIG` names a kubeconfig of a cluster to use instead.
pub fn shared() -> Option<&'static ApiServer> {
    static SHARED: OnceLock<Option<ApiServer>> = OnceLock::new();
    SHARED
        .get_or_init(|| available("tests against an API server").map(|assets| on_a_thread(async move || ApiServer::shared(&assets).await)))
        .as_ref()
}

/// An API server of a test's own, to be killed and started again. None as [`shared`].
pub async fn own() -> Option<ApiServer> {
    let assets = available("a test with an API server of its own")?;
    let plane = ControlPlane::start(&assets, &Settings::default()).await.unwrap_or_else(|e| panic!("{e}"));
    Some(ApiServer::of(plane).unwrap_or_else(|e| panic!("{e}")))
}

/// The programs, or a visible word about their absence.
fn available(what: &str) -> Option<Assets> {
    let assets = Assets::find().unwrap_or_else(|e| panic!("{e}"));
    if assets.has(CONTROL_PLANE) {
        return Some(assets);
    }
    let reason = "kube-apiserver and etcd are not there: `cargo test-cluster -- --api-only` gets them, or set KUBEBUILDER_ASSETS";
    assert!(std::env::var("CI").is_err(), "{what}: {reason}");
    // Past the capture of the test harness, which hides what a passing test prints.
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("SKIPPED {what}: {reason}\n"));
    None
}

/// Starting waits for processes, on a runtime that outlives no test.
fn on_a_thread<T: Send + 'static>(work: impl AsyncFnOnce() -> Result<T> + Send + 'static) -> T {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap_or_else(|e| panic!("{e}"));
        runtime.block_on(work()).unwrap_or_else(|e| panic!("{e}"))
    };
    std::thread::spawn(run).join().unwrap_or_else(|_| panic!("the API server did not start"))
}

impl ApiServer {
    async fn shared(assets: &Assets) -> Result<Self> {
        if let Some(file) = std::env::var_os("FORESHADOW_TEST_KUBECONFIG") {
            let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            return Ok(Self { own: None, kubeconfig: text });
        }
        Self::of(ControlPlane::start(assets, &Settings::default()).await?)
    }

    fn of(plane: ControlPlane) -> Result<Self> {
        let kubeconfig = plane.kubeconfig()?;
        Ok(Self { own: Some(plane), kubeconfig })
    }

    /// Kubeconfig of an administrator, as text.
    pub fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    /// The processes behind it.
    ///
    /// # Panics
    /// When it is a cluster that was there.
    pub fn control_plane(&mut self) -> &mut ControlPlane {
        self.own.as_mut().expect("a cluster that was there is not ours to stop")
    }

    /// A client with all rights. Belongs to the runtime of the caller, so each test makes its own.
    pub async fn admin(&self) -> kube::Client {
        client(kubeconfig::parse(&self.kubeconfig).await)
    }

    /// A client with the rights of a ServiceAccount, by impersonation (the account need not exist).
    pub async fn service_account(&self, namespace: &str, name: &str) -> kube::Client {
        let groups = ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}"), "system:authenticated".into()];
        self.user(&format!("system:serviceaccount:{namespace}:{name}"), groups.to_vec()).await
    }

    /// A client with the rights of any user and groups.
    pub async fn user(&self, user: &str, groups: Vec<String>) -> kube::Client {
        let config = kubeconfig::parse(&self.kubeconfig).await.map(|mut config| {
            config.auth_info.impersonate = Some(user.to_owned());
            config.auth_info.impersonate_groups = Some(groups);
            config
        });
        client(config)
    }

    /// A token of a ServiceAccount that exists, for `audience` (empty: the API server itself), good for ten minutes.
    pub async fn token(&self, namespace: &str, name: &str, audience: &str) -> String {
        let token = tokens::request(&self.admin().await, namespace, name, audience, 600).await;
        token.expect("an account that exists gets a token")
    }

    /// A namespace of the test's own; its name begins with `prefix`. It goes with the server.
    pub async fn namespace(&self, prefix: &str) -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        // A cluster that was there may hold those of an earlier run.
        let name = format!("{prefix}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let namespace =
            serde_json::from_value::<Namespace>(json!({ "metadata": { "name": name } })).expect("a namespace needs only a name");
        let created = Api::<Namespace>::all(self.admin().await).create(&PostParams::default(), &namespace).await;
        created.expect("an administrator makes namespaces");
        name
    }
}

fn client(config: Result<kube::Config>) -> kube::Client {
    let config = config.unwrap_or_else(|e| panic!("{e}"));
    kube::Client::try_from(config).expect("a kubeconfig that was read makes a client")
}
