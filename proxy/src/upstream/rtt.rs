//! Round trip time of a TCP connection as the kernel smooths it (TCP_INFO; RFC 6298, section 2).

use std::os::fd::{AsRawFd as _, BorrowedFd};

/// One answer in so many that end on a connection is followed by a look at its round trip time.
pub const EVERY: u64 = 64;

/// Smoothed round trip time in microseconds; None when the kernel does not say.
#[expect(unsafe_code, reason = "no crate used here wraps getsockopt(TCP_INFO)")]
pub fn smoothed_us(socket: BorrowedFd<'_>) -> Option<u64> {
    // SAFETY: a `tcp_info` is plain numbers, for which zero is a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is open as long as it is borrowed; the kernel writes at most `length` bytes into `info`, which is that large.
    let failed =
        unsafe { libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &raw mut length) };
    (failed == 0 && info.tcpi_rtt > 0).then_some(u64::from(info.tcpi_rtt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsFd as _;

    #[test]
    fn loopback_is_near() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
        let rtt = smoothed_us(client.as_fd()).unwrap();
        assert!((1..5_000_000).contains(&rtt), "{rtt}");
        assert_eq!(smoothed_us(std::fs::File::open("/dev/null").unwrap().as_fd()), None);
    }
}
