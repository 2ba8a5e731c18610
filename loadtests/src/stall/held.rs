//! Peers for these measurements: an application that takes everything at once, a shadow that never reads, one that answers after a long time. And
//! the sidecar's configuration between them.

use crate::demo::error::Error;
use crate::sidecar::{Ports, inbound};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

/// An application that reads and answers at once.
pub struct Sink {
    /// Its port.
    pub port: u16,
    task: JoinHandle<()>,
}

/// A shadow that accepts and never reads.
pub struct Stuck {
    /// Its port.
    pub port: u16,
    task: JoinHandle<()>,
}

/// A shadow that answers each request after a long time. On a thread that gives way to all others: what thousands of its connections cost is not to be
/// felt by who generates load beside it.
pub struct Slow {
    /// Its port.
    pub port: u16,
    running: Option<(oneshot::Sender<()>, std::thread::JoinHandle<()>)>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            // It said why, if it panicked.
            let _ = thread.join();
        }
    }
}

async fn listen<F>(each: impl Fn(TcpStream) -> F + Send + 'static) -> Result<(u16, JoinHandle<()>), Error>
where
    F: Future<Output = ()> + Send + 'static,
{
    let (port, listener) = bind()?;
    Ok((port, tokio::spawn(serve(listener, each))))
}

fn bind() -> Result<(u16, std::net::TcpListener), Error> {
    let bound = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        Ok((listener.local_addr()?.port(), listener))
    };
    bound().map_err(|e: std::io::Error| Error::failed("starting a peer", e))
}

async fn serve<F>(listener: std::net::TcpListener, each: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let mut held = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        held.spawn(each(stream));
        while held.try_join_next().is_some() {}
    }
}

impl Sink {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start() -> Result<Self, Error> {
        let (port, task) = listen(|stream| async move { drop(answer(stream, Duration::ZERO).await) }).await?;
        Ok(Self { port, task })
    }
}

impl Slow {
    /// Starts one that waits so long.
    ///
    /// # Errors
    /// When there is no port or no thread.
    pub fn start(wait: Duration) -> Result<Self, Error> {
        let (port, listener) = bind()?;
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            // Only this thread's, on Linux; where it is not granted, the figures are those of a busier machine.
            let _ = rustix::process::nice(19);
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = serve(listener, move |stream| async move { drop(answer(stream, wait).await) }) => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("slow shadow".into()).spawn(run).map_err(|e| Error::failed("starting a peer", e))?;
        Ok(Self { port, running: Some((stop, thread)) })
    }
}

impl Stuck {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start() -> Result<Self, Error> {
        let (port, task) = listen(|stream| async move {
            let _held = stream;
            std::future::pending::<()>().await;
        })
        .await?;
        Ok(Self { port, task })
    }
}

/// Reads requests with a content length and answers each after the wait.
async fn answer(mut stream: TcpStream, wait: Duration) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(64 << 10);
    loop {
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        let mut left =
            head.lines().find_map(|l| l.strip_prefix("content-length:")).and_then(|v| v.trim().parse::<usize>().ok()).unwrap_or(0);
        let here = left.min(buffer.len() - end);
        buffer.drain(..end + here);
        left -= here;
        while left > 0 {
            buffer.clear();
            let read = stream.read_buf(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            let taken = read.min(left);
            left -= taken;
            buffer.drain(..taken);
        }
        tokio::time::sleep(wait).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?;
    }
}

/// A sidecar's configuration: `mirror` inside the route, `limits` of its mirrors, `shadow_more` inside the shadow's cluster.
pub fn config(at: &Ports, app: u16, shadow: u16, mirror: &str, limits: &str, shadow_more: &str) -> String {
    let cluster = |name: &str, port: u16, more: &str| {
        format!(
            "  - name: {name}
    load_assignment: {{ cluster_name: {name}, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }} }}] }}] }}
{more}"
        )
    };
    format!(
        "{head}
          route_config:
            virtual_hosts:
            - name: all
              domains: ['*']
              metadata: {{ filter_metadata: {{ foreshadow: {{ mirror: {{ {limits} }} }} }} }}
              routes: [{{ match: {{ prefix: / }}, route: {{ cluster: app, timeout: 0s{mirror} }} }}]
          http_filters: [{{ name: router, typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }} }}]
  clusters:
{}{}",
        cluster("app", app, ""),
        cluster("shadow", shadow, shadow_more),
        head = inbound(at.listener, at.admin),
    )
}
