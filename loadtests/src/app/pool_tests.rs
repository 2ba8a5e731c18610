//! The pool on a paused clock: capacity, order, refusals, shrinking.

use super::*;

/// How many holds of `hold` a saturated pool completes in `seconds`.
async fn completed(pool: &Pool, hold: Duration, seconds: u64) -> usize {
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut callers = Vec::new();
    for _ in 0..32 {
        let pool = pool.clone();
        callers.push(tokio::spawn(async move {
            let mut n = 0;
            while Instant::now() < end {
                let permit = pool.acquire().await.unwrap();
                tokio::time::sleep(hold).await;
                drop(permit);
                n += 1;
            }
            n
        }));
    }
    let mut sum = 0;
    for caller in callers {
        sum += caller.await.unwrap();
    }
    sum
}

#[tokio::test(start_paused = true)]
async fn capacity_follows_the_share_of_the_pool_that_works_also_by_fractions() {
    for (factor, workers) in [(1.0, 8.0), (0.5, 4.0), (0.55, 4.4), (0.05, 0.4)] {
        let pool = Pool::new(8, 64);
        pool.set_factor(factor);
        let n = completed(&pool, Duration::from_millis(50), 100).await as f64;
        let expected = workers * 100.0 / 0.05;
        // At the end every caller completes one hold more.
        assert!((n - expected).abs() <= expected * 0.02 + 33.0, "{factor}: {n} instead of {expected}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_in_order_and_bounded() {
    let pool = Pool::new(1, 2);
    let held = pool.acquire().await.unwrap();
    let mut second = Box::pin(pool.acquire());
    let mut third = Box::pin(pool.acquire());
    assert!(futures_pending(second.as_mut()).await && futures_pending(third.as_mut()).await);
    assert_eq!(pool.acquire().await.unwrap_err(), Full);
    assert_eq!(pool.usage(), Usage { pool: 1.0, busy: 1, queue: 2 });
    drop(held);
    assert!(futures_pending(third.as_mut()).await, "the one that came first is served first");
    let held = second.await.unwrap();
    drop(third);
    assert_eq!(pool.usage().queue, 0, "a caller that left does not count");
    drop(held);
    assert_eq!(pool.usage(), Usage { pool: 1.0, busy: 0, queue: 0 });
}

#[tokio::test(start_paused = true)]
async fn callers_that_left_do_not_block_the_queue() {
    let pool = Pool::new(1, 2);
    let held = pool.acquire().await.unwrap();
    for _ in 0..10 {
        let mut gone = Box::pin(pool.acquire());
        assert!(futures_pending(gone.as_mut()).await);
    }
    let mut waiting = Box::pin(pool.acquire());
    assert!(futures_pending(waiting.as_mut()).await, "places of those who left are free");
    drop(held);
    drop(waiting.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn workers_are_withdrawn_as_they_free_up_and_come_back_at_once() {
    let pool = Pool::new(2, 8);
    let (a, b) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    pool.set_factor(0.5);
    assert_eq!(pool.usage().busy, 2, "nothing is torn away");
    let mut waiting = Box::pin(pool.acquire());
    assert!(futures_pending(waiting.as_mut()).await);
    drop(a);
    assert!(futures_pending(waiting.as_mut()).await, "that worker is gone");
    pool.set_factor(1.0);
    drop(waiting.await.unwrap());
    drop(b);
    pool.set_factor(0.0);
    assert!(futures_pending(Box::pin(pool.acquire()).as_mut()).await, "a pool of none serves nobody");
}

/// Whether it is still pending after everything that was ready has run.
async fn futures_pending<F: Future + ?Sized>(future: std::pin::Pin<&mut F>) -> bool {
    tokio::time::timeout(Duration::from_millis(1), future).await.is_err()
}
