//! Idempotent mutations (C-186): the same key with the same input gives the stored answer, for seven days.
//!
//! Invariants: a key belongs to one operation in one tenant, or, for what changes the identity space, of one user; it is
//! reserved, used and answered in the transaction of the effect, so there is never an answer without its effect or an
//! effect without its answer. Whoever comes with a
//! key that another transaction has reserved waits for that transaction's end. The same key with another input is
//! refused. A refused mutation has no effect and stores nothing: the same request is judged anew. Answers are sealed,
//! because some hold secrets that are shown once (C-233).

mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use carillon_entities::wall::{IdentityTx, WallError};
use chrono::TimeDelta;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::error::{Error, Refusal, Result};
use crate::ports::Ports;
use crate::tenancy::{Grant, WriteContacts};

pub use store::{IDENTITY_STATEMENTS, Keys, STATEMENTS, UserKeys};

/// Answers are kept this long.
pub const KEPT: TimeDelta = TimeDelta::days(7);
/// Transactions of one sweep; each deletes a few answers.
const SWEEP_MAX: usize = 16;
/// The longest key.
pub const MAX_KEY: usize = 255;

/// One call of a mutation under a key; its input may hold anything, so it is not shown.
#[derive(Clone)]
pub struct Call {
    operation: &'static str,
    key: String,
    input: Vec<u8>,
    replay: Replay,
}

/// Raised where a call was answered with what was stored.
#[derive(Debug, Clone, Default)]
pub struct Replay(Arc<AtomicBool>);

impl Replay {
    fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was raised; it no longer is.
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        (self.operation, &self.key, &self.input) == (other.operation, &other.key, &other.input)
    }
}

impl Eq for Call {}

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
        check_key(key)?;
        Ok(Self { operation, key: key.to_owned(), input: input.to_vec(), replay: Replay::default() })
    }

    /// The same call, which raises this when its answer was stored before.
    #[must_use]
    pub fn raising(self, replay: &Replay) -> Self {
        Self { replay: replay.clone(), ..self }
    }

    /// A name for the row of the call; `owner` is what its key has beside operation and text, each of fixed length.
    fn row_id(&self, owner: &[&[u8]]) -> Uuid {
        let name = [&owner.concat(), self.operation.as_bytes(), b"\0", self.key.as_bytes()].concat();
        let mut row = [0; 16];
        row.copy_from_slice(&digest(&SHA256, &name).as_ref()[..16]);
        Uuid::from_bytes(row)
    }
}

/// How a change is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run<'a> {
    /// To be made, once for all calls under the same key.
    Real(Option<&'a Call>),
    /// To learn what would come of it: nothing of it stays, and its key is left alone.
    Dry,
}

/// Checks a key that a client chose, of a call or of one message.
///
/// # Errors
/// `INVALID_IDEMPOTENCY_KEY` when it is empty, too long, or not visible ASCII.
pub fn check_key(key: &str) -> Result<(), Refusal> {
    if (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    let message = format!("An idempotency key is 1 to {MAX_KEY} visible ASCII characters.");
    Err(Refusal::new("INVALID_IDEMPOTENCY_KEY", "idempotencyKey", message))
}

/// What [`reserve`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved<T> {
    /// Nobody used the key before: do the work, then [`answer`].
    Fresh,
    /// The work was done before; this was the answer.
    Answered(T),
}

/// Reserves the key, or finds the answer that was given under it. Waits while another transaction holds the key.
pub async fn reserve<T: DeserializeOwned>(keys: &mut impl Keys, ports: &Ports, call: &Call) -> Result<Reserved<T>> {
    let now = ports.now();
    let place = keys.place(call);
    let fingerprints = ports.keys.fingerprinter(place.tenant);
    let made = fingerprints.of(&call.input);
    if keys.reserve(call, made, (now, now + KEPT)).await.map_err(still_running)? {
        return Ok(Reserved::Fresh);
    }
    let Some(stored) = keys.find(call).await? else {
        // Reserved and given back between the two statements: run the transaction again.
        return Err(WallError::Retry.into());
    };
    if !fingerprints.is_of(&stored.input_hash, &call.input) {
        let message = "The key was used with another input.";
        return Err(Refusal::new("IDEMPOTENCY_MISMATCH", "idempotencyKey", message).into());
    }
    let answer = ports.keys.open(&place, &stored.sealed_answer)?;
    let answer = serde_json::from_slice(&answer).map_err(|error| misfit(&error))?;
    call.replay.raise();
    Ok(Reserved::Answered(answer))
}

/// Stores the answer beside the effect.
pub async fn answer(keys: &mut impl Keys, ports: &Ports, call: &Call, answer: &(impl Serialize + Sync)) -> Result<()> {
    let answer = serde_json::to_vec(answer).map_err(|error| misfit(&error))?;
    let sealed = ports.keys.seal(&keys.place(call), &answer, ports.entropy.as_ref());
    keys.answer(call, sealed).await
}

/// What a log may say of a JSON error: its class, never the text it stumbled over.
fn misfit(error: &serde_json::Error) -> Error {
    Error::fault(format_args!("a stored answer does not fit its type ({:?})", error.classify()))
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

/// Deletes some of the users' answers past their time; returns how many.
pub(crate) async fn forget_of_users(tx: &mut IdentityTx, ports: &Ports) -> Result<u64> {
    store::keys_of_users_forget(tx, ports.now()).await
}

/// True when [`forget_of_users`] has something to do.
pub(crate) async fn has_expired_of_users(tx: &mut IdentityTx, ports: &Ports) -> Result<bool> {
    store::keys_of_users_expired(tx, ports.now()).await
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
