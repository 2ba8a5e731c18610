//! The generator against services that behave badly, on real sockets.

use super::*;
use crate::generator::line::Line;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a service does with a connection.
#[derive(Clone, Copy)]
enum Manner {
    /// Answers every request with this status, keeping the connection.
    Answer(u16),
    /// Answers one request, says that the connection stays, and closes it.
    Leave,
    /// Reads and never answers.
    Silent,
    /// Closes after the request.
    HangUp,
    /// Half an answer, then closes.
    Half,
}

/// A service; its URL and how many connections it was given.
async fn service(manner: Manner) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(behave(socket, manner));
        }
    });
    (url, count)
}

async fn behave(mut socket: TcpStream, manner: Manner) {
    let mut buffer = [0; 4096];
    // Requests here are small enough to come in one piece.
    while let Ok(1..) = socket.read(&mut buffer).await {
        let answer = match manner {
            Manner::Answer(status) => format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nhi"),
            Manner::Leave => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".into(),
            Manner::Silent => continue,
            Manner::HangUp => return,
            Manner::Half => "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nhi".into(),
        };
        if socket.write_all(answer.as_bytes()).await.is_err() || matches!(manner, Manner::Half | Manner::Leave) {
            return;
        }
    }
}

async fn against(url: &str, change: impl FnOnce(&mut Plan)) -> (Summary, Vec<Second>) {
    let mut plan = Plan::constant(url, 200.0, 0.3).unwrap();
    plan.threshold_ms = 60_000.0;
    change(&mut plan);
    let mut seconds = Vec::new();
    let summary = run(&plan, |s| seconds.push(s)).await.unwrap();
    assert_eq!(summary.done, summary.sent, "every request is accounted for");
    assert_eq!(seconds.iter().map(|s| s.sent).sum::<u64>(), summary.sent);
    assert_eq!(seconds.iter().map(|s| s.done).sum::<u64>(), summary.sent);
    assert_eq!(seconds.iter().map(|s| s.bad).sum::<u64>(), summary.bad);
    assert_eq!(summary.sent as usize, Arrivals::new(&plan).unwrap().count(), "what the seed says was sent");
    (summary, seconds)
}

fn only(summary: &Summary, failure: Failure) -> bool {
    summary.bad == summary.sent && summary.failed == [(failure, summary.sent)].into()
}

#[tokio::test]
async fn good_answers_are_good_and_connections_are_reused() {
    let (url, connections) = service(Manner::Answer(200)).await;
    let (summary, seconds) = against(&url, |_| ()).await;
    assert!(summary.sent > 30 && summary.bad == 0 && summary.failed.is_empty(), "{summary:?}");
    assert!(connections.load(Ordering::Relaxed) as u64 == summary.connections && summary.connections < summary.sent);
    assert!(seconds[0].offered_rps == 0.0 || seconds[0].offered_rps == 200.0);
    let line = serde_json::to_string(&Line::Second(seconds[0].clone())).unwrap();
    assert!(line.starts_with(r#"{"type":"second","t_s":0.0,"#), "{line}");
    assert_eq!(serde_json::from_str::<Line>(&line).unwrap(), Line::Second(seconds[0].clone()));
}

#[tokio::test]
async fn a_connection_serves_as_many_requests_as_it_may() {
    let (url, _) = service(Manner::Answer(200)).await;
    let (one_each, _) = against(&url, |plan| plan.requests_per_connection = Some(1)).await;
    assert_eq!((one_each.connections, one_each.bad), (one_each.sent, 0));
    let (three_each, _) = against(&url, |plan| plan.requests_per_connection = Some(3)).await;
    assert!(three_each.connections * 3 >= three_each.sent && three_each.connections < three_each.sent, "{three_each:?}");
}

#[tokio::test]
async fn refusals_are_failures_and_client_errors_are_counted_apart() {
    let (url, _) = service(Manner::Answer(503)).await;
    assert!(only(&against(&url, |_| ()).await.0, Failure::ServerError));
    let (url, _) = service(Manner::Answer(404)).await;
    let (summary, _) = against(&url, |_| ()).await;
    assert_eq!((summary.bad, summary.client_errors), (0, summary.sent));
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_no_failure() {
    let (url, _) = service(Manner::Leave).await;
    let (summary, _) = against(&url, |plan| plan.rate = vec![(0.0, 60.0)]).await;
    // A close that crosses a request on its way is a reset for anybody; on loopback it is rare.
    assert!(summary.failed.values().sum::<u64>() * 5 <= summary.sent, "{summary:?}");
}

#[tokio::test]
async fn broken_and_missing_answers_have_their_reasons() {
    let (url, _) = service(Manner::HangUp).await;
    assert!(only(&against(&url, |_| ()).await.0, Failure::Reset));
    let (url, _) = service(Manner::Half).await;
    assert!(only(&against(&url, |_| ()).await.0, Failure::Reset));
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", nobody.local_addr().unwrap());
    drop(nobody);
    assert!(only(&against(&url, |_| ()).await.0, Failure::Connect));
}

#[tokio::test]
async fn a_silent_service_slows_nothing_down_and_the_bound_is_counted() {
    let (url, connections) = service(Manner::Silent).await;
    let (summary, _) = against(&url, |plan| {
        // Longer than any stall of the machine while the sixty requests are sent: none may end before the last is counted.
        plan.timeout_ms = 4_000.0;
        plan.max_outstanding = 20;
    })
    .await;
    assert_eq!(summary.failed[&Failure::Timeout], 20);
    assert_eq!(summary.failed[&Failure::Overflow], summary.sent - 20);
    assert_eq!((summary.bad, connections.load(Ordering::Relaxed)), (summary.sent, 20));
    assert!(summary.p50_ms.unwrap() >= 3_900.0);
}

#[tokio::test]
async fn stopping_early_accounts_for_what_was_sent() {
    let (url, _) = service(Manner::Answer(200)).await;
    let plan = Plan::constant(&url, 100.0, 1_000.0).unwrap();
    let stop = tokio::time::sleep(Duration::from_millis(200));
    let summary = run_until(&plan, |_| (), stop).await.unwrap();
    assert!(summary.interrupted && summary.duration_s < 100.0);
    assert_eq!(summary.sent, summary.done);
}
