//! Tells subscriptions what the engine's signals say: something was done, or there is something to do.

use carillon_jobs::redis::{Signal, Signals};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::task::AbortOnDropHandle;

use crate::graphql::live::Live;

/// Listens until dropped.
#[derive(Debug)]
pub struct Reader {
    _task: AbortOnDropHandle<()>,
}

impl Reader {
    /// Listens in the background.
    pub fn start(signals: &Signals, live: Live) -> Self {
        let mut heard = signals.listen();
        let task = tokio::spawn(async move {
            loop {
                match heard.recv().await {
                    Ok(Signal::Slots { .. } | Signal::Done { worked: false, .. }) => {}
                    Ok(_) | Err(RecvError::Lagged(_)) => live.tell(),
                    Err(RecvError::Closed) => return,
                }
            }
        });
        Self { _task: AbortOnDropHandle::new(task) }
    }
}
