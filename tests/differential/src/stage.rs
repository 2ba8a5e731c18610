//! One proxy with everything around it: backends for every scene, listeners' ports, and the scenes played on it.

use crate::backend::{Backend, Log, Seen};
use crate::client::{self, Client};
use crate::error::Error;
use crate::programs::{Product, Programs, Proxy};
use crate::scene::{Role, Scene};
use crate::transcript::{self, shown};
use crate::yaml::{self, Place};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// After the last step, what is still on its way to a backend may take this long.
const SETTLES: Duration = Duration::from_millis(150);
/// Lines of an access log may take this long.
const WRITTEN_WITHIN: Duration = Duration::from_secs(20);

/// One scene's surroundings.
#[derive(Debug)]
pub struct Set {
    /// Its place in the configuration.
    pub place: Place,
    backends: BTreeMap<Role, Backend>,
    // Ports of backends that are not there.
    _reserved: Vec<socket2::Socket>,
}

impl Set {
    /// Starts the backends of a scene and finds it a port; `log` is where its access log goes.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn new(nth: usize, scene: &Scene, log: PathBuf) -> Result<Self, Error> {
        let (mut backends, mut reserved, mut addresses) = (BTreeMap::new(), Vec::new(), Vec::new());
        for role in Role::ALL {
            if scene.absent.contains(&role) {
                let (socket, address) = reserve()?;
                reserved.push(socket);
                addresses.push(address);
                continue;
            }
            let replies = scene.replies.get(&role).cloned().unwrap_or_default();
            let backend = Backend::start(role, replies, scene.h2.contains(&role)).await.map_err(Error::failed("starting a backend"))?;
            addresses.push(backend.address);
            backends.insert(role, backend);
        }
        let backends_at = [addresses[0], addresses[1], addresses[2]];
        Ok(Self { place: Place { nth, listener: free_port()?, backends: backends_at, log }, backends, _reserved: reserved })
    }

    fn logs(&self) -> BTreeMap<Role, Arc<Log>> {
        let gone = || Arc::<Log>::default();
        Role::ALL.into_iter().map(|r| (r, self.backends.get(&r).map_or_else(gone, |b| b.log.clone()))).collect()
    }

    fn ports(&self) -> BTreeMap<u16, String> {
        let mut ports: BTreeMap<_, _> = Role::ALL.iter().zip(self.place.backends).map(|(r, a)| (a.port(), r.name().to_owned())).collect();
        ports.insert(self.place.listener.port(), "listener".into());
        ports
    }
}

/// A port that is bound and never listens: whoever connects is refused.
fn reserve() -> Result<(socket2::Socket, SocketAddr), Error> {
    let make = || {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
        let address = socket.local_addr()?.as_socket().ok_or_else(|| std::io::Error::other("no address"))?;
        Ok::<_, std::io::Error>((socket, address))
    };
    make().map_err(Error::failed("reserving a port"))
}

/// A free port below those that the kernel gives to outgoing connections, so that none of them takes it before the proxy does.
fn free_port() -> Result<SocketAddr, Error> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 18_000;
    // Two runs at a time are not to meet.
    let start = std::process::id().wrapping_mul(977);
    for _ in 0..COUNT {
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(nth) % COUNT;
        let address = SocketAddr::from(([127, 0, 0, 1], port as u16));
        if std::net::TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err(Error::Failed("no port is free".into()))
}

/// A running proxy that all the scenes are played on.
#[derive(Debug)]
pub struct Stage {
    product: Product,
    proxy: Proxy,
    own_address: String,
    stats: tokio::sync::Mutex<()>,
}

impl Stage {
    /// Starts a proxy with the configuration of all these scenes.
    ///
    /// # Errors
    /// When it does not take it.
    pub async fn start(programs: &Programs, product: Product, dir: &Path, scenes: &[(&Scene, Place)]) -> Result<Self, Error> {
        let proxy = Proxy::start(programs, product, dir, &yaml::file(scenes)).await?;
        Ok(Self { product, proxy, own_address: transcript::own_address(), stats: tokio::sync::Mutex::default() })
    }

    /// Plays a scene; its transcript.
    pub async fn play(&self, scene: &Scene, set: &Set) -> Vec<String> {
        let mut client = Client::new(set.place.listener, self.proxy.admin, set.logs());
        for step in &scene.steps {
            client.take(&step.clone().filled(|text| yaml::fill(text, set.place.nth))).await;
        }
        self.settle(set).await;
        let mut lines = std::mem::take(&mut client.notes);
        drop(client);
        for (role, log) in set.logs() {
            let seen = log.seen();
            let again = |i: usize| seen[..i].iter().any(|s| s.request_id().is_some() && s.request_id() == seen[i].request_id());
            let said = seen.iter().enumerate().flat_map(|(i, s)| seen_lines(role, i, s, again(i))).collect();
            let said = if role != Role::App { transcript::without_marks(said, self.product) } else { said };
            let envoys = self.product == Product::Envoy;
            lines.extend(if envoys { transcript::with_loopback(said, &self.own_address) } else { said });
        }
        lines.extend(self.stats(scene, set).await);
        lines.extend(logged(scene, set).await);
        let lines = transcript::normalise(&lines, &set.ports());
        match scene.look {
            Some(look) => look(&lines),
            None => lines,
        }
    }

    /// Until nothing has changed at the backends for a while.
    async fn settle(&self, set: &Set) {
        let count = || set.logs().values().map(|l| l.seen().iter().map(|s| s.body.len() + 1).sum::<usize>()).sum::<usize>();
        let mut before = count();
        loop {
            tokio::time::sleep(SETTLES).await;
            let now = count();
            if now == before {
                return;
            }
            before = now;
        }
    }

    async fn stats(&self, scene: &Scene, set: &Set) -> Vec<String> {
        if scene.stats.is_empty() {
            return Vec::new();
        }
        // One scene asks at a time: with all scenes' clusters, this page is long.
        let _turn = self.stats.lock().await;
        let page = format!("/stats/prometheus?usedonly&filter=^cluster.s{}-", set.place.nth);
        let text = match client::admin(self.proxy.admin, "GET", &page).await {
            Some(page) if page.status() == 200 && page.whole => String::from_utf8_lossy(&page.body).into_owned(),
            other => return vec![format!("stats: none, {:?}", other.map(|p| p.head))],
        };
        scene.stats.iter().map(|wanted| format!("stats: {wanted} {}", stat(&text, set.place.nth, wanted))).collect()
    }

    /// Ends the proxy. What it printed, if it had ended by itself.
    pub async fn end(self) -> Option<String> {
        self.proxy.end().await
    }
}

/// The lines of a scene's access log: both products write them some time after they happen.
async fn logged(scene: &Scene, set: &Set) -> Vec<String> {
    let read = || std::fs::read_to_string(&set.place.log).unwrap_or_default();
    let begun = Instant::now();
    while read().lines().count() < scene.logged && begun.elapsed() < WRITTEN_WITHIN {
        tokio::time::sleep(SETTLES).await;
    }
    if scene.logged == 0 { Vec::new() } else { read().lines().map(|l| format!("log: {l}")).collect() }
}

/// `app.upstream_rq_xx.2` is `envoy_cluster_upstream_rq_xx{envoy_cluster_name="s1-app",envoy_response_code_class="2"}`. Absent is 0: counters of
/// Envoy appear when they count.
fn stat(text: &str, nth: usize, wanted: &str) -> String {
    let mut parts = wanted.split('.');
    let (role, name, class) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next());
    let cluster = format!("envoy_cluster_name=\"s{nth}-{role}\"");
    let start = format!("envoy_cluster_{name}{{");
    let found = text.lines().find(|l| {
        let class_fits = class.is_none_or(|c| {
            l.contains(&format!("envoy_response_code_class=\"{c}\"")) || l.contains(&format!("envoy_response_code=\"{c}\""))
        });
        l.starts_with(&start) && l.contains(&cluster) && class_fits
    });
    found.and_then(|l| l.rsplit(' ').next()).unwrap_or("0").to_owned()
}

fn seen_lines(role: Role, nth: usize, seen: &Seen, again: bool) -> Vec<String> {
    let mut lines = vec![format!("{}: request {}, {}", role.name(), nth + 1, seen.end)];
    let head = transcript::head(&seen.head);
    lines.extend(if again { transcript::with_rest_of_timeout(head) } else { head });
    lines.push(format!("  {}: {}", seen.framing, shown(&seen.body)));
    lines.extend(seen.trailers.lines().filter(|l| !l.is_empty()).map(|l| format!("  trailer {l}")));
    lines
}
