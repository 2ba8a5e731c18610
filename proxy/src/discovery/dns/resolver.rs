//! Asks servers of names itself, for what the system's resolution does not tell: how long records live, and what servers of a cluster's own say.
//!
//! A stub resolver (RFC 1035): it asks servers that resolve, over UDP, and over TCP when an answer does not fit. What is believed comes from the
//! server that was asked and repeats the number and the question (RFC 5452). Everything is bounded: time, tries, sizes. The system's files are
//! read at every lookup: `/etc/hosts` first, then `/etc/resolv.conf` for servers and search list.

use crate::config::model::{Dns, DnsFamily};
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// Port of servers that the system names.
const PORT: u16 = 53;
/// Bytes of a message's head; the question follows.
const HEAD: usize = 12;
/// Largest message over UDP: servers keep to 512 bytes unless they are told otherwise (RFC 1035, section 2.3.4).
const DATAGRAM: usize = 4096;
/// Names that are tried for one.
const MOST_NAMES: usize = 8;
/// The longest that the system may make this wait, as in glibc.
const MOST_ATTEMPTS: u32 = 5;
const MOST_SECONDS: u32 = 30;

/// An address, and the seconds that its record lives.
type Record = (IpAddr, u32);

/// Addresses of a name, and when the first of their records expires; None when that is not told.
///
/// # Errors
/// Why there are none, for people.
pub async fn lookup(name: &str, dns: &Dns) -> Result<(Vec<IpAddr>, Option<Duration>), String> {
    if let Ok(ip) = name.parse() {
        return Ok((vec![ip], None));
    }
    let asking = match &dns.servers {
        Some(servers) => Asking { tcp: servers.tcp, ..Asking::these(servers.addresses.clone()) },
        None => {
            let known = in_hosts(&read("/etc/hosts"), name);
            if !known.is_empty() {
                return Ok((known, None));
            }
            Asking::by_system(&read("/etc/resolv.conf"))
        }
    };
    let kinds: &[TYPE] = match dns.family {
        DnsFamily::V4 => &[TYPE::A],
        DnsFamily::V6 => &[TYPE::AAAA],
        DnsFamily::All | DnsFamily::V4Preferred => &[TYPE::A, TYPE::AAAA],
    };
    let mut why = "no server knows an address of it".to_owned();
    for candidate in asking.candidates(name) {
        let mut found: Vec<Record> = Vec::new();
        for kind in kinds {
            match asking.ask(&candidate, *kind).await {
                Ok(records) => found.extend(records),
                Err(failed) => why = failed,
            }
        }
        if let Some(seconds) = found.iter().map(|r| r.1).min() {
            return Ok((found.into_iter().map(|r| r.0).collect(), Some(Duration::from_secs(seconds.into()))));
        }
    }
    Err(why)
}

/// Empty when it is not there.
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Addresses of a name in `/etc/hosts`.
fn in_hosts(hosts: &str, name: &str) -> Vec<IpAddr> {
    let of = |line: &str| {
        let mut words = line.split('#').next()?.split_whitespace();
        let ip = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name.trim_end_matches('.'))).then_some(ip)
    };
    hosts.lines().filter_map(of).collect()
}

/// Who is asked, and how.
#[derive(Debug)]
struct Asking {
    servers: Vec<SocketAddr>,
    tcp: bool,
    search: Vec<String>,
    /// A name with so many dots is tried as it stands first.
    dots: usize,
    /// Rounds over all servers.
    attempts: usize,
    /// With one server.
    patience: Duration,
}

impl Asking {
    /// These, as the system does by default.
    fn these(servers: Vec<SocketAddr>) -> Self {
        Self { servers, tcp: false, search: Vec::new(), dots: 1, attempts: 2, patience: Duration::from_secs(5) }
    }

    /// By the text of `/etc/resolv.conf`.
    fn by_system(text: &str) -> Self {
        // As glibc does: what is not understood is passed over.
        let (config, _) = resolv_conf::Config::parse_with_errors(text.as_bytes());
        Self {
            servers: config.get_nameservers_or_local().into_iter().map(|ip| SocketAddr::new(ip.into(), PORT)).collect(),
            tcp: config.use_vc,
            search: config.get_last_search_or_domain().cloned().collect(),
            dots: config.ndots as usize,
            attempts: config.attempts.clamp(1, MOST_ATTEMPTS) as usize,
            patience: Duration::from_secs(config.timeout.clamp(1, MOST_SECONDS).into()),
        }
    }

    /// Full names that may be meant, in the order in which they are tried.
    fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(whole) = name.strip_suffix('.') {
            return vec![whole.to_owned()];
        }
        let mut all: Vec<_> = self.search.iter().map(|domain| format!("{name}.{}", domain.trim_matches('.'))).collect();
        let first = name.bytes().filter(|b| *b == b'.').count() >= self.dots;
        all.insert(if first { 0 } else { all.len() }, name.to_owned());
        all.truncate(MOST_NAMES);
        all
    }

    /// Asks one server after the other. No record is an answer, too.
    async fn ask(&self, name: &str, kind: TYPE) -> Result<Vec<Record>, String> {
        let question = question(name, kind)?;
        let mut why = "there is no server to ask".to_owned();
        for server in (0..self.attempts).flat_map(|_| &self.servers) {
            let answer = timeout(self.patience, exchange(*server, &question, self.tcp)).await;
            let answer = answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|why| why.to_string());
            match answer.and_then(|bytes| records(&bytes)) {
                Ok(records) => return Ok(records),
                Err(failed) => why = format!("server {server}: {failed}"),
            }
        }
        Err(why)
    }
}

/// A question as it is sent.
fn question(name: &str, kind: TYPE) -> Result<Vec<u8>, String> {
    let wrong = |why: simple_dns::SimpleDnsError| format!("it is no name that can be asked for: {why}");
    let mut packet = Packet::new_query(rand::random());
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(Name::new(name).map_err(wrong)?, kind.into(), CLASS::IN.into(), false));
    packet.build_bytes_vec().map_err(wrong)
}

/// Sends a question to a server; its answer.
async fn exchange(server: SocketAddr, question: &[u8], tcp: bool) -> io::Result<Vec<u8>> {
    if !tcp {
        let any: SocketAddr = if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(server).await?;
        socket.send(question).await?;
        let mut buffer = vec![0; DATAGRAM];
        let answer = loop {
            let n = socket.recv(&mut buffer).await?;
            // Whatever else comes here was made up.
            if answers(&buffer[..n], question) {
                break &buffer[..n];
            }
        };
        if !is_cut(answer) {
            return Ok(answer.to_vec());
        }
    }
    let mut stream = TcpStream::connect(server).await?;
    stream.write_u16(question.len() as u16).await?;
    stream.write_all(question).await?;
    let mut answer = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut answer).await?;
    if answers(&answer, question) { Ok(answer) } else { Err(io::Error::new(io::ErrorKind::InvalidData, "it answers another question")) }
}

/// Whether this is a reply with the same number and the same question.
fn answers(reply: &[u8], question: &[u8]) -> bool {
    reply.len() >= question.len() && reply[..2] == question[..2] && reply[2] & 0x80 != 0 && reply[HEAD..question.len()] == question[HEAD..]
}

/// Whether there was more than fits into a datagram.
fn is_cut(reply: &[u8]) -> bool {
    reply[2] & 0x02 != 0
}

/// The addresses in an answer.
fn records(answer: &[u8]) -> Result<Vec<Record>, String> {
    let packet = Packet::parse(answer).map_err(|why| format!("its answer cannot be read: {why}"))?;
    match packet.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Ok(Vec::new()),
        code => return Err(format!("it answers {code:?}")),
    }
    // A name that leads to another is no longer true than the shorter-lived of the two.
    let shortest = packet.answers.iter().map(|r| r.ttl).min().unwrap_or_default();
    let address = |data: &RData<'_>| match data {
        RData::A(a) => Some(IpAddr::V4(Ipv4Addr::from(a.address))),
        RData::AAAA(a) => Some(IpAddr::V6(Ipv6Addr::from(a.address))),
        _ => None,
    };
    Ok(packet.answers.iter().filter_map(|r| Some((address(&r.rdata)?, shortest))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{A, CNAME};
    use tokio::net::TcpListener;

    /// A reply to a question: an alias that lives long, then as many addresses.
    fn reply(question: &[u8], addresses: u8) -> Vec<u8> {
        let mut packet = Packet::parse(question).unwrap().into_reply();
        let name = packet.questions[0].qname.clone();
        packet.answers.push(ResourceRecord::new(name.clone(), CLASS::IN, 600, RData::CNAME(CNAME(Name::new("b.test").unwrap()))));
        for nth in 1..=addresses {
            let a = A { address: u32::from(Ipv4Addr::new(10, 0, 0, nth)) };
            packet.answers.push(ResourceRecord::new(name.clone(), CLASS::IN, u32::from(nth) * 10, RData::A(a)));
        }
        packet.build_bytes_vec().unwrap()
    }

    #[test]
    fn names_that_may_be_meant_are_tried_in_the_systems_order() {
        let asking = Asking::by_system(
            "nameserver 10.0.0.1\nnameserver ::1\nsearch one.test two.test\noptions ndots:2 timeout:3 attempts:4 use-vc new-option\n",
        );
        assert_eq!(asking.servers, ["10.0.0.1:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
        assert_eq!((asking.tcp, asking.attempts, asking.patience), (true, 4, Duration::from_secs(3)));
        assert_eq!(asking.candidates("a"), ["a.one.test", "a.two.test", "a"]);
        assert_eq!(asking.candidates("a.b.c"), ["a.b.c", "a.b.c.one.test", "a.b.c.two.test"]);
        assert_eq!(asking.candidates("a."), ["a"]);
    }

    #[test]
    fn the_systems_own_names_come_first() {
        let hosts = "127.0.0.1 localhost\n# 10.0.0.9 app.test\n10.0.0.1\tx.test App.test # words\n::2 app.test\nno address app.test\n";
        assert_eq!(in_hosts(hosts, "app.test"), ["10.0.0.1".parse::<IpAddr>().unwrap(), "::2".parse().unwrap()]);
        assert!(in_hosts(hosts, "words").is_empty());
    }

    #[test]
    fn only_an_answer_to_the_question_is_one() {
        let asked = question("a.test", TYPE::A).unwrap();
        let good = reply(&asked, 2);
        assert!(answers(&good, &asked) && !answers(&asked, &asked) && !answers(&good[..10], &asked));
        assert!(!answers(&reply(&question("c.test", TYPE::A).unwrap(), 2), &asked));
        assert_eq!(records(&good).unwrap(), [("10.0.0.1".parse().unwrap(), 10), ("10.0.0.2".parse().unwrap(), 10)]);
        assert!(records(&good[..good.len() - 1]).unwrap_err().contains("cannot be read"));
        assert!(question(&"a".repeat(64), TYPE::A).is_err());
    }

    #[tokio::test]
    async fn what_does_not_fit_into_a_datagram_is_asked_for_again() {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = udp.local_addr().unwrap();
        let tcp = TcpListener::bind(server).await.unwrap();
        let serving = async {
            let mut buffer = [0; 512];
            let (n, from) = udp.recv_from(&mut buffer).await.unwrap();
            let mut cut = reply(&buffer[..n], 0);
            cut[2] |= 0x02;
            // First something that answers nothing.
            udp.send_to(&[7; 40], from).await.unwrap();
            udp.send_to(&cut, from).await.unwrap();
            let (mut stream, _) = tcp.accept().await.unwrap();
            let mut asked = vec![0; stream.read_u16().await.unwrap().into()];
            stream.read_exact(&mut asked).await.unwrap();
            let whole = reply(&asked, 90);
            stream.write_u16(whole.len() as u16).await.unwrap();
            stream.write_all(&whole).await.unwrap();
        };
        let asking = Asking::these(vec![server]);
        let ((), found) = tokio::join!(serving, asking.ask("a.test", TYPE::A));
        assert_eq!(found.unwrap().len(), 90);
    }
}
