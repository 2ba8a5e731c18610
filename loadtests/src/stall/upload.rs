//! What an upload costs behind a mirror that accepts and never reads. Paired: every upload is sent once without a mirror and once with each kind of
//! one, in turn, through sidecars that run side by side.

use super::figures::interval;
use super::held::{Sink, Stuck};
use crate::demo::binaries::Binaries;
use crate::demo::error::Error;
use crate::sidecar::{Ports, Sidecar};
use serde::Serialize;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Bytes of one upload.
const SIZE: usize = 16 << 20;
/// No upload takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The ways an upload goes.
const WAYS: [(&str, Option<&str>); 3] = [
    ("no mirror", None),
    ("mirror, default bounds", Some("timeout: 2s")),
    ("mirror, whole body kept", Some("timeout: 2s, max_body_bytes: 33554432, max_buffered_bytes: 268435456, max_in_flight: 64")),
];

/// One way's figures.
#[derive(Debug, Serialize)]
pub struct Way {
    /// How.
    pub name: &'static str,
    /// Median time of an upload, milliseconds.
    pub median_ms: f64,
    /// Processor time of the sidecar for one upload, milliseconds.
    pub cpu_ms: f64,
    /// Median of the paired ratios to no mirror of the uploads' times.
    pub median_ratio: f64,
    /// Their mean, with half the width of its 95 % interval; one upload that something else held up moves it.
    pub ratio: (f64, f64),
    /// Copies, as the sidecar accounts for them.
    pub copies: serde_json::Value,
}

/// All ways.
#[derive(Debug, Serialize)]
pub struct Uploads {
    /// Uploads each way.
    pub rounds: usize,
    /// The ways.
    pub ways: Vec<Way>,
}

/// Measures so many rounds.
///
/// # Errors
/// When a program does not start or an upload fails.
pub async fn measure(binaries: &Binaries, rounds: usize) -> Result<Uploads, Error> {
    let (sink, stuck) = (Sink::start().await?, Stuck::start().await?);
    let mut sidecars = Vec::new();
    for (_, limits) in WAYS {
        sidecars.push(Sidecar::start(binaries, 1, |at| config(at, sink.port, stuck.port, limits)).await?);
    }
    let body = vec![0x5a; SIZE];
    let mut times = vec![Vec::new(); WAYS.len()];
    let mut before = vec![0.0; WAYS.len()];
    // The first rounds are for the machine to settle.
    for round in 0..rounds + 2 {
        for nth in 0..WAYS.len() {
            // Another order every round, forwards and backwards: none has the better place or always the same before it.
            let turn = if round % 2 == 0 { nth } else { WAYS.len() - 1 - nth };
            let way = (turn + round / 2) % WAYS.len();
            let took = upload(sidecars[way].address, &body).await?;
            if round >= 2 {
                times[way].push(took.as_secs_f64() * 1e3);
            }
        }
        if round == 1 {
            before = sidecars.iter().map(Sidecar::cpu_s).collect();
        }
    }
    let mut ways = Vec::new();
    for (way, (name, _)) in WAYS.into_iter().enumerate() {
        let ratios: Vec<f64> = times[way].iter().zip(&times[0]).map(|(this, alone)| this / alone).collect();
        let copies = sidecars[way].telemetry().await.map_err(Error::Failed)?.pointer("/mirrors/0").map(|m| m["dropped"].clone());
        ways.push(Way {
            name,
            median_ms: median(&times[way]),
            cpu_ms: (sidecars[way].cpu_s() - before[way]) * 1e3 / rounds as f64,
            median_ratio: median(&ratios),
            ratio: interval(&ratios),
            copies: copies.unwrap_or_default(),
        });
    }
    for mut sidecar in sidecars {
        sidecar.end().await;
    }
    Ok(Uploads { rounds, ways })
}

fn median(of: &[f64]) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

async fn upload(to: SocketAddr, body: &[u8]) -> Result<Duration, Error> {
    let sending = async {
        let mut stream = TcpStream::connect(to).await?;
        let begun = Instant::now();
        stream
            .write_all(
                format!("POST /upload HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(),
            )
            .await?;
        stream.write_all(body).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        if answer.starts_with(b"HTTP/1.1 200") { Ok(begun.elapsed()) } else { Err(std::io::ErrorKind::InvalidData.into()) }
    };
    match tokio::time::timeout(PATIENCE, sending).await {
        Ok(sent) => sent.map_err(|e: std::io::Error| Error::failed("an upload", e)),
        Err(_) => Err(Error::Failed(format!("an upload was not answered within {} s", PATIENCE.as_secs()))),
    }
}

fn config(at: &Ports, app: u16, shadow: u16, limits: Option<&str>) -> String {
    let mirror = limits.map_or(String::new(), |_| ", request_mirror_policies: [{ cluster: shadow }]".to_owned());
    super::held::config(at, app, shadow, &mirror, limits.unwrap_or_default(), "")
}

impl fmt::Display for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "uploads of {} MiB beside a mirror that never reads, {} rounds:", SIZE >> 20, self.rounds)?;
        for way in &self.ways {
            let (ratio, half) = way.ratio;
            writeln!(
                f,
                "  {:<26} median {:>7.1} ms, sidecar's processor {:>6.2} ms, time {:.3} of no mirror's (median; mean {:.3} +- {:.3}); copies {}",
                way.name, way.median_ms, way.cpu_ms, way.median_ratio, ratio, half, way.copies
            )?;
        }
        Ok(())
    }
}
