//! Tells subscriptions what the signals say: something of a tenant's changed.

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
                    Ok(Signal::Changed(tenant)) => live.tell_tenant(tenant),
                    // Who rings has work for somebody, who tells what came of it.
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => live.tell(),
                    Err(RecvError::Closed) => return,
                }
            }
        });
        Self { _task: AbortOnDropHandle::new(task) }
    }
}
