//! Network namespaces of a test's own: made by `ip`, gone when dropped. Sockets are opened inside by a thread that enters and ends there.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// A namespace with a loopback device that is up.
pub struct Namespace {
    pub name: String,
}

/// Why namespaces cannot be had here, if so: told once in a visible line by whoever leaves a test out.
pub fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces need root");
    }
    let made = Command::new("ip").args(["netns", "list"]).output();
    if !made.is_ok_and(|o| o.status.success()) { Some("`ip` (iproute2) is not there or cannot list namespaces") } else { None }
}

/// Runs a command to its end; it has to succeed.
pub fn must(line: &str) -> String {
    let mut words = line.split_whitespace();
    let ended = Command::new(words.next().unwrap()).args(words).output().unwrap_or_else(|e| panic!("{line}: {e}"));
    assert!(ended.status.success(), "{line}: {}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap()
}

impl Namespace {
    pub fn fresh() -> Self {
        // One after the other: the first one makes the directory that all of them are mounted in.
        static MADE: Mutex<u32> = Mutex::new(0);
        let name = {
            let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
            *made += 1;
            let name = format!("fs{}-{made}", std::process::id());
            must(&format!("ip netns add {name}"));
            name
        };
        let it = Self { name };
        it.must("ip link set lo up");
        it
    }

    /// Joins two namespaces by a cable; both ends get an IPv4 and an IPv6 address.
    pub fn join(&self, other: &Self, mine: (&str, &str), theirs: (&str, &str)) {
        must(&format!("ip link add eth0 netns {} type veth peer name eth0 netns {}", self.name, other.name));
        for (end, (four, six)) in [(self, mine), (other, theirs)] {
            end.must(&format!("ip address add {four} dev eth0"));
            end.must(&format!("ip address add {six} dev eth0 nodad"));
            end.must("ip link set eth0 up");
        }
    }

    /// Runs a command inside.
    pub fn must(&self, line: &str) -> String {
        must(&format!("ip netns exec {} {line}", self.name))
    }

    /// Runs something inside; sockets it opens stay there.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let here = File::open(format!("/run/netns/{}", self.name)).unwrap();
        std::thread::scope(|scope| {
            let entered = scope.spawn(move || {
                move_into_link_name_space(here.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            });
            entered.join().unwrap()
        })
    }

    /// A server inside that answers everything with its name, until the test ends.
    pub fn serve(&self, address: &str, name: &'static str) {
        let listener = self.within(|| TcpListener::bind(address).unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                std::thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(PATIENCE));
                    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
                    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
                        match stream.read(&mut buffer) {
                            Ok(n) if n > 0 => head.extend_from_slice(&buffer[..n]),
                            _ => return,
                        }
                    }
                    let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{name}", name.len());
                    let _ = stream.write_all(answer.as_bytes());
                });
            }
        });
    }

    /// Asks a server from inside: the answer as it stands on the wire.
    pub fn get(&self, address: &str) -> std::io::Result<String> {
        let address: SocketAddr = address.parse().unwrap();
        let mut stream = self.within(|| TcpStream::connect_timeout(&address, PATIENCE))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Waits until somebody listens inside.
    pub fn await_listener(&self, address: &str, and_alive: &mut dyn FnMut()) {
        let until = Instant::now() + PATIENCE;
        let to: SocketAddr = address.parse().unwrap();
        while self.within(|| TcpStream::connect_timeout(&to, PATIENCE)).is_err() {
            and_alive();
            assert!(Instant::now() < until, "nobody listens at {address} in {}", self.name);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Its devices go with it.
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).output();
    }
}
