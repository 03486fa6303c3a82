//! Changes of the identity space under an idempotency key (C-186).
//!
//! Invariants: the answer is stored in the transaction of the change. What follows the commit (the audit entry, a mail)
//! is done after every call under ids that are part of the stored answer, so a repeated call makes up for a process that
//! died in between, and doubles nothing.

use carillon_entities::ids::{AuditEventId, TenantId, UserId};
use carillon_entities::wall::IdentityTx;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Result;
use crate::idempotency::{self, Call, Reserved, Run, UserKeys};
use crate::ports::Ports;

/// A change that a user asked for, once however often they ask.
#[derive(Debug, Clone, Copy)]
pub(super) struct Once<'a> {
    user: UserId,
    scope: Uuid,
    call: Option<&'a Call>,
    is_dry: bool,
}

/// What came of it.
#[derive(Serialize, Deserialize)]
pub(super) struct Done<T> {
    pub value: T,
    /// Its entry in the audit log.
    pub entry: AuditEventId,
}

impl<'a> Once<'a> {
    /// A change whose input names all it is about.
    pub fn of(user: UserId, call: Option<&'a Call>) -> Self {
        Self { user, scope: user.0, call, is_dry: false }
    }

    /// A change that is about the tenant the user is in.
    pub fn within(user: UserId, tenant: TenantId, call: Option<&'a Call>) -> Self {
        Self { user, scope: tenant.0, call, is_dry: false }
    }

    /// The same change, as the run that was asked for; a dry one leaves its key alone.
    pub fn run(self, run: Run<'a>) -> Self {
        match run {
            Run::Real(call) => Self { call, ..self },
            Run::Dry => Self { call: None, is_dry: true, ..self },
        }
    }

    /// True for a change of which nothing is to stay.
    pub fn is_dry(&self) -> bool {
        self.is_dry
    }

    /// True under a key: what became of an unknown commit can be read back (C-187).
    pub fn is_kept(&self) -> bool {
        self.call.is_some()
    }

    fn keys<'t>(&self, tx: &'t mut IdentityTx) -> UserKeys<'t> {
        UserKeys { tx, user: self.user, scope: self.scope }
    }

    /// What came of the change when it was asked for before.
    pub async fn found<T: DeserializeOwned>(&self, tx: &mut IdentityTx, ports: &Ports) -> Result<Option<Done<T>>> {
        let Some(call) = self.call else { return Ok(None) };
        Ok(match idempotency::reserve(&mut self.keys(tx), ports, call).await? {
            Reserved::Fresh => None,
            Reserved::Answered(done) => Some(done),
        })
    }

    /// Keeps what came of the change, beside it.
    pub async fn keep<T: Serialize + Sync>(&self, tx: &mut IdentityTx, ports: &Ports, value: T) -> Result<Done<T>> {
        let done = Done { value, entry: ports.new_id() };
        if let Some(call) = self.call {
            idempotency::answer(&mut self.keys(tx), ports, call, &done).await?;
        }
        Ok(done)
    }
}
