//! Idempotent mutations (C-186): the same key with the same input gives the stored answer, for seven days.
//!
//! Invariants: a key belongs to one tenant and one operation; it is reserved, used and answered in the transaction of
//! the effect, so there is never an answer without its effect or an effect without its answer. Whoever comes with a
//! key that another transaction has reserved waits for that transaction's end. The same key with another input is
//! refused. A refused mutation has no effect and stores nothing: the same request is judged anew. Answers are sealed,
//! because some hold secrets that are shown once (C-233).

mod store;

use aws_lc_rs::digest::{SHA256, digest};
use carillon_entities::wall::{TenantTx, WallError};
use chrono::TimeDelta;
use uuid::Uuid;

use crate::error::{Error, Refusal, Result};
use crate::keys::Place;
use crate::ports::Ports;
use crate::tenancy::{Grant, WriteContacts};

pub use store::STATEMENTS;

/// Answers are kept this long.
pub const KEPT: TimeDelta = TimeDelta::days(7);
/// Transactions of one sweep; each deletes a few answers.
const SWEEP_MAX: usize = 16;
/// The longest key.
pub const MAX_KEY: usize = 255;

/// One call of a mutation under a key; its input may hold anything, so it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    operation: &'static str,
    key: String,
    input: Vec<u8>,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Call({}, ..)", self.operation)
    }
}

impl Call {
    /// A call of an operation; `input` is its input in a canonical form.
    ///
    /// # Errors
    /// A refusal when the key is empty, too long, or not visible ASCII.
    pub fn new(operation: &'static str, key: &str, input: &[u8]) -> Result<Self, Refusal> {
        let usable = (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
        if !usable {
            let message = format!("An idempotency key is 1 to {MAX_KEY} visible ASCII characters.");
            return Err(Refusal::new("INVALID_IDEMPOTENCY_KEY", "idempotencyKey", message));
        }
        Ok(Self { operation, key: key.to_owned(), input: input.to_vec() })
    }

    fn place(&self, tx: &TenantTx) -> Place {
        let name = format!("{}\0{}", self.operation, self.key);
        let mut row = [0; 16];
        row.copy_from_slice(&digest(&SHA256, name.as_bytes()).as_ref()[..16]);
        Place::new(tx.tenant(), "idempotency_keys", "sealed_answer", Uuid::from_bytes(row))
    }
}

/// What [`reserve`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// Nobody used the key before: do the work, then [`answer`].
    Fresh,
    /// The work was done before; this was the answer.
    Answered(Vec<u8>),
}

/// Reserves the key, or finds the answer that was given under it. Waits while another transaction holds the key.
pub async fn reserve(tx: &mut TenantTx, ports: &Ports, call: &Call) -> Result<Reserved> {
    let now = ports.now();
    let fingerprints = ports.keys.fingerprinter(tx.tenant());
    let made = fingerprints.of(&call.input);
    if store::key_reserve(tx, call, made, (now, now + KEPT)).await.map_err(still_running)? {
        return Ok(Reserved::Fresh);
    }
    let Some(stored) = store::key_find(tx, call).await? else {
        // Reserved and given back between the two statements: run the transaction again.
        return Err(WallError::Retry.into());
    };
    if !fingerprints.is_of(&stored.input_hash, &call.input) {
        let message = "The key was used with another input.";
        return Err(Refusal::new("IDEMPOTENCY_MISMATCH", "idempotencyKey", message).into());
    }
    Ok(Reserved::Answered(ports.keys.open(&call.place(tx), &stored.sealed_answer)?))
}

/// Stores the answer beside the effect.
pub async fn answer(tx: &mut TenantTx, ports: &Ports, call: &Call, answer: &[u8]) -> Result<()> {
    let sealed = ports.keys.seal(&call.place(tx), answer, ports.entropy.as_ref());
    store::key_answer(tx, call, sealed).await
}

/// Deletes some of a tenant's answers past their time, in short transactions; returns how many.
pub async fn forget_expired(grant: &Grant<WriteContacts>, ports: &Ports) -> Result<u64> {
    let mut done = 0;
    for _ in 0..SWEEP_MAX {
        let mut tx = grant.begin().await?;
        let forgotten = store::keys_forget(&mut tx, ports.now()).await?;
        tx.commit().await?;
        done += forgotten;
        if forgotten == 0 {
            break;
        }
    }
    Ok(done)
}

/// The wait for the other transaction has a limit on Postgres (`lock_timeout`): it is still running then.
fn still_running(error: Error) -> Error {
    match error {
        Error::Wall(WallError::Locked) => {
            let message = "A request with this key is still running; try again.";
            Refusal::new("IDEMPOTENCY_IN_PROGRESS", "idempotencyKey", message).into()
        }
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c186_unusable_keys_are_refused() {
        for key in ["", "two words", "tab\t", "umlaut-\u{fc}", &"x".repeat(256)] {
            assert_eq!(
                Call::new("createContact", key, b"{}").map_err(|refusal| refusal.code),
                Err("INVALID_IDEMPOTENCY_KEY")
            );
        }
        assert!(Call::new("createContact", &"x".repeat(255), b"{}").is_ok());
    }

    #[test]
    fn c186_another_input_is_another_call() {
        let call = |input: &[u8]| Call::new("createContact", "k", input).unwrap();
        assert_eq!(call(b"{}"), call(b"{}"));
        assert_ne!(call(b"{}"), call(b"{\"a\":1}"));
    }
}
