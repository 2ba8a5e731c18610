//! HTTP framing through a connection: bytes go to a running proxy, and whatever reaches the backend is framed in one way only.
//!
//! The proxy runs in this process with one worker, the backend in a thread. The backend checks what it gets; a violation ends the process.

use foreshadow_proxy::config::{self, Source};
use foreshadow_proxy::control::Control;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

/// Nobody waits longer than this for the other side: long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends bytes, says that there are no more, reads to the end.
pub fn fuzz(data: &[u8]) {
    let mut stream = match TcpStream::connect(proxy()) {
        Ok(stream) => stream,
        // All local ports are in use for a moment: not the proxy's doing.
        Err(why) if why.kind() == std::io::ErrorKind::AddrNotAvailable => return,
        Err(why) => panic!("the proxy takes no connection any more: {why}"),
    };
    // A proxy that has answered and closed already is as good.
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let _ = stream.write_all(data);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = [0; 4096];
    loop {
        match stream.read(&mut answer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(why) if matches!(why.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                panic!("the proxy neither answers nor closes")
            }
            Err(_) => return,
        }
    }
}

fn proxy() -> SocketAddr {
    static PROXY: OnceLock<SocketAddr> = OnceLock::new();
    *PROXY.get_or_init(|| {
        let backend = backend();
        let text = super::CONFIG.replace("port_value: 9", &format!("port_value: {}", backend.port()));
        let source = Source::text(text);
        let config = config::load(&source).unwrap_or_else(|problems| panic!("{problems}"));
        let control = Control::start(source, config, 1, "fuzz".into()).unwrap_or_else(|why| panic!("{why}"));
        let address = control.bound()[0].1;
        // Serves until the process ends.
        std::mem::forget(control);
        address
    })
}

fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap_or_else(|why| panic!("{why}"));
    let address = listener.local_addr().unwrap_or_else(|why| panic!("{why}"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

fn serve(mut stream: TcpStream) {
    let mut buffer = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            let head: Vec<u8> = buffer.drain(..end + 4).collect();
            check(&head);
            // Bodies are read as bytes that are no head: what matters is the head's own framing.
            if stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").is_err() {
                return;
            }
            let _ = stream.shutdown(Shutdown::Write);
            while stream.read(&mut chunk).is_ok_and(|n| n > 0) {}
            return;
        }
        match stream.read(&mut chunk) {
            Ok(n) if n > 0 => buffer.extend_from_slice(&chunk[..n]),
            _ => return,
        }
    }
}

/// A head must be one that no two readers read differently.
fn check(head: &[u8]) {
    let text = String::from_utf8_lossy(head);
    let count = |name: &str| text.lines().skip(1).filter(|l| l.split(':').next().is_some_and(|n| n.eq_ignore_ascii_case(name))).count();
    let fine = count("content-length") <= 1
        && count("transfer-encoding") <= 1
        && (count("content-length") == 0 || count("transfer-encoding") == 0)
        && count("connection") == 0
        && text.lines().next().is_some_and(|l| l.ends_with(" HTTP/1.1") && l.split(' ').count() == 3)
        && text.lines().skip(1).all(|l| l.is_empty() || !l.starts_with([' ', '\t']) && l.contains(':'))
        && !head.iter().enumerate().any(|(i, b)| *b == b'\n' && (i == 0 || head[i - 1] != b'\r'));
    if !fine {
        eprintln!("this reached the backend:\n{text}");
        std::process::abort();
    }
}
