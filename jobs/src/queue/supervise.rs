//! Workers end: with Redis, with a name that aged out, with a bug. They are started again, later and later.

use std::time::Duration;

use apalis_core::error::WorkerError;
use apalis_core::worker::context::WorkerContext;
use carillon_domain::entropy::Entropy;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::slots::Slots;
use super::{Backend, QueueName};

const FIRST_WAIT: Duration = Duration::from_millis(250);
const FIT_ASKED_EVERY: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A worker that ran this long was well: the next wait is the first again.
const WELL_AFTER: Duration = Duration::from_secs(10);

/// Runs workers, one after the other, until the slots are stopped; then waits for the handlers.
pub(super) async fn keep_running(backend: Backend, slots: Slots) {
    let stop = slots.stop.clone();
    let (mut failures, mut unreadable) = (0, 0);
    while !stop.is_cancelled() {
        if !slots.is_fit() {
            tokio::select! { () = stop.cancelled() => break, () = tokio::time::sleep(FIT_ASKED_EVERY) => continue }
        }
        let started = Instant::now();
        let why = run_while_fit(&backend, &slots).await;
        if stop.is_cancelled() {
            break;
        }
        if !slots.is_fit() {
            tracing::error!(queue = %slots.queue, "takes no tickets until this process knows the time");
            continue;
        }
        if started.elapsed() >= WELL_AFTER {
            (failures, unreadable) = (0, 0);
        }
        failures += 1;
        if let Backend::Redis(redis) = &backend {
            unreadable = redis.mend(slots.queue, unreadable).await;
        }
        let wait = wait_after(failures);
        tracing::warn!(queue = %slots.queue, why, failures, ?wait, "a worker ended and is started again");
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(wait) => {}
        }
    }
    slots.drained().await;
}

/// A worker writes heartbeats by the host's clock, and takes those of others for dead that are too far behind it. So it
/// ends while that clock is wrong (C-180).
async fn run_while_fit(backend: &Backend, slots: &Slots) -> String {
    let stop = slots.stop.child_token();
    let unfit = async {
        while slots.is_fit() {
            tokio::time::sleep(FIT_ASKED_EVERY).await;
        }
        stop.cancel();
        std::future::pending().await
    };
    tokio::select! {
        why = run_once(backend, slots, &stop) => why,
        never = unfit => never,
    }
}

/// The life of one worker, as a task of its own because apalis may panic; says why it ended.
async fn run_once(backend: &Backend, slots: &Slots, stop: &CancellationToken) -> String {
    let name = worker_name(slots.queue, slots.entropy.as_ref());
    let (backend, slots, stop) = (backend.clone(), slots.clone(), stop.clone());
    let worker = tokio::spawn(async move {
        match &backend {
            Backend::Memory(memory) => memory.work(&name, &slots, &stop).await,
            Backend::Redis(redis) => redis.work(&name, &slots, &stop).await,
        }
    });
    match AbortOnDropHandle::new(worker).await {
        Ok(Ok(())) => "it returned".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it panicked".to_owned(),
    }
}

/// Runs a worker; on `stop` it takes no more tickets and ends when those it has are done.
pub(super) async fn until_stopped(
    worker: impl Future<Output = Result<(), WorkerError>>,
    context: &WorkerContext,
    stop: &CancellationToken,
) -> Result<(), WorkerError> {
    tokio::pin!(worker);
    tokio::select! {
        // The worker first, because only one that was started can be stopped.
        biased;
        ended = &mut worker => return ended,
        () = stop.cancelled() => {}
    }
    context.stop()?;
    worker.await
}

/// 250 ms, doubled with every failure in a row, 10 s at most.
fn wait_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT)
}

/// Never used twice: a dead worker's tickets come back when its name ages out, which a living namesake would prevent.
fn worker_name(queue: QueueName, entropy: &dyn Entropy) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(64).collect();
    let mut random = [0; 8];
    entropy.fill(&mut random);
    format!("{queue}-{host}-{}-{}", std::process::id(), hex::encode(random))
}

#[cfg(test)]
mod tests {
    use carillon_domain::entropy::SystemEntropy;

    use super::*;

    #[test]
    fn waits_double_up_to_ten_seconds() {
        let waits: Vec<u128> = (1..9).map(|failures| wait_after(failures).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
        assert_eq!(wait_after(u32::MAX), LONGEST_WAIT);
    }

    #[test]
    fn no_two_workers_share_a_name() {
        let names: std::collections::HashSet<String> =
            (0..100).map(|_| worker_name(QueueName::Bulk, &SystemEntropy)).collect();
        assert_eq!(names.len(), 100);
    }
}
