//! Measures what is due, for operators. Beside the dispatchers, so that a slow count delays no ticket; and only of the lanes
//! that are handed out here, so that each lane is measured once in a deployment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use carillon_domain::dispatch::due_in;
use carillon_domain::ports::Ports;
use tokio_util::sync::CancellationToken;

use crate::queue::QueueName;

/// How often.
const EVERY: Duration = Duration::from_secs(10);

/// The queues whose dispatcher in this process is the elected one.
#[derive(Debug, Clone, Default)]
pub struct Elected(Arc<[AtomicBool; QueueName::ALL.len()]>);

impl Elected {
    /// The dispatcher of a queue is elected, or no longer.
    pub fn set(&self, queue: QueueName, is_elected: bool) {
        self.0[queue as usize].store(is_elected, Ordering::Relaxed);
    }

    fn holds(&self, queue: QueueName) -> bool {
        self.0[queue as usize].load(Ordering::Relaxed)
    }
}

/// Measures until `stop`.
pub async fn keep_measuring(ports: Ports, elected: Elected, stop: CancellationToken) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            _ = tick.tick() => {
                stop.run_until_cancelled(measure(&ports, &elected)).await;
            }
        }
    }
    measure(&ports, &Elected::default()).await;
}

/// Measures each queue that is handed out here; the others, and those that cannot be measured, have no figures.
async fn measure(ports: &Ports, elected: &Elected) {
    for queue in QueueName::ALL {
        let mut due = None;
        if elected.holds(queue) {
            match due_in(ports, queue.into()).await {
                Ok(measured) => due = Some(measured),
                Err(fault) => tracing::warn!(queue = %queue, fault = %fault, "what is due cannot be measured"),
            }
        }
        ports.metrics.set_due(queue.into(), due);
    }
}
