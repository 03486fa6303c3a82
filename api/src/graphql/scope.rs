//! What belongs to one request: who calls, from where, and the transaction its reads share.
//!
//! A query has one read transaction, begun when first needed, on which resolvers and loaders take turns: a page of
//! nested fields costs one BEGIN. A mutation ends it, so what a payload shows is never older than the change; that of a
//! dry run is read in the run's own transaction.

use std::net::IpAddr;
use std::sync::Arc;

use async_graphql::Context;
use carillon_domain::error::{Error, Refusal, Result};
use carillon_domain::files::Files;
use carillon_domain::idempotency::Replay;
use carillon_domain::ids::{DocumentSetId, TenantId};
use carillon_domain::ports::{Ports, TenantTx};
use carillon_domain::tenancy::{
    Actor, Doorkeeper, Grant, Payer, Payers, TenantAction, TenantContext, VerifiedAccess, enter_as_user, viewer,
};
use carillon_domain::trace;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};
use tracing::Instrument as _;

use super::live::Look;

/// Who calls.
#[derive(Debug, Clone)]
pub enum Caller {
    /// Nobody who said so.
    Anonymous,
    /// A signed-in user, inside a tenant if their token names one.
    User(VerifiedAccess, Option<TenantContext>),
    /// An API key, inside its tenant.
    ApiKey(TenantContext),
}

impl Caller {
    /// The user behind an access token.
    pub fn user(ports: &Ports, access: VerifiedAccess) -> Self {
        let context = enter_as_user(&ports.wall, &access);
        Self::User(access, context)
    }

    /// The tenant the caller is in, if any.
    pub fn inside(&self) -> Option<&TenantContext> {
        match self {
            Self::User(_, Some(context)) | Self::ApiKey(context) => Some(context),
            Self::User(_, None) | Self::Anonymous => None,
        }
    }

    /// The set whose documents the caller may run and no others, if they are held to one.
    pub fn document_set(&self) -> Option<DocumentSetId> {
        self.inside().and_then(TenantContext::document_set)
    }

    /// The tenant they are in.
    pub fn tenant(&self) -> Option<TenantId> {
        self.inside().map(TenantContext::tenant)
    }

    /// Who pays for what they ask (C-234). Nobody pays for nobody: what strangers may do is limited by attempt.
    pub fn payers(&self) -> Payers {
        match self {
            Self::Anonymous => [None, None],
            Self::User(access, _) => {
                let tenant = self.tenant();
                [tenant.map(Payer::Tenant), Some(Payer::User(access.subject().user, tenant))]
            }
            Self::ApiKey(context) => {
                let key = match context.actor() {
                    Actor::ApiKey(id) => Some(Payer::Key(id)),
                    Actor::User(_) | Actor::Recipient | Actor::System => None,
                };
                [Some(Payer::Tenant(context.tenant())), key]
            }
        }
    }
}

/// What all requests of one process share.
#[derive(Debug)]
pub struct Process {
    /// Time, chance, keys, settings and the wall.
    pub ports: Ports,
    /// What every sign-in passes.
    pub desk: Doorkeeper,
    /// Uploaded files.
    pub files: Files,
}

/// What belongs to one request; cloning shares it.
#[derive(Debug, Clone)]
pub struct RequestScope(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    process: Arc<Process>,
    caller: Caller,
    client_ip: Option<IpAddr>,
    request_id: String,
    reading: Mutex<Option<TenantTx>>,
    /// The subscription's look that the reading is part of.
    look: Mutex<Option<Look>>,
    /// Raised where the mutation at hand was answered with what was stored.
    replay: Replay,
    /// The keys of such mutations.
    replayed: Mutex<Vec<String>>,
}

/// The request's read transaction, held until dropped; drop it before anything else is awaited.
pub type Reading<'a> = MappedMutexGuard<'a, TenantTx>;

impl RequestScope {
    /// The scope of a request.
    pub fn new(process: Arc<Process>, caller: Caller, client_ip: Option<IpAddr>, request_id: String) -> Self {
        let (reading, look, replayed) = (Mutex::default(), Mutex::default(), Mutex::default());
        let replay = Replay::default();
        Self(Arc::new(Inner { process, caller, client_ip, request_id, reading, look, replay, replayed }))
    }

    /// The scope of the request a resolver runs in.
    pub fn of<'a>(ctx: &'a Context<'_>) -> &'a Self {
        ctx.data_unchecked::<Self>()
    }

    /// Time, chance, keys, settings and the wall.
    pub fn ports(&self) -> &Ports {
        &self.0.process.ports
    }

    /// Where uploads lie.
    pub fn files(&self) -> &Files {
        &self.0.process.files
    }

    /// What every sign-in passes: passwords, access tokens, limits.
    pub fn desk(&self) -> &Doorkeeper {
        &self.0.process.desk
    }

    /// Where the request came from, as far as trusted proxies say (C-201).
    pub fn client_ip(&self) -> Option<IpAddr> {
        self.0.client_ip
    }

    /// The id that logs and errors of this request carry.
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// Who calls.
    pub fn caller(&self) -> &Caller {
        &self.0.caller
    }

    /// The tenant the caller is in.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when the caller is in none.
    pub fn tenant(&self) -> Result<&TenantContext> {
        match &self.0.caller {
            Caller::User(_, Some(context)) | Caller::ApiKey(context) => Ok(context),
            // Signed in but nowhere: what to do is to enter a tenant, not to sign in again.
            Caller::User(_, None) => {
                Err(Refusal::new("TENANT_REQUIRED", "", "Enter a tenant first, with enterTenant.").into())
            }
            Caller::Anonymous => Err(Error::Unauthenticated),
        }
    }

    /// The signed-in user's token; use cases check that it is still fresh (C-213).
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for nobody, [`Error::Forbidden`] for an API key.
    pub fn access(&self) -> Result<&VerifiedAccess> {
        match &self.0.caller {
            Caller::User(access, _) => Ok(access),
            Caller::ApiKey(_) => Err(Error::Forbidden),
            Caller::Anonymous => Err(Error::Unauthenticated),
        }
    }

    /// Refuses a caller whose credential has ended since it was verified (C-213, C-224).
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for one, and for nobody; a refusal where the tenant is suspended.
    pub async fn assert_fresh(&self) -> Result<()> {
        match &self.0.caller {
            Caller::Anonymous => Err(Error::Unauthenticated),
            Caller::User(access, _) if access.expires_at() <= self.ports().now() => Err(Error::Unauthenticated),
            Caller::User(access, None) => viewer(self.ports(), access).await.map(drop),
            Caller::User(_, Some(context)) | Caller::ApiKey(context) => context.assert_fresh().await,
        }
    }

    /// The permission for an action in the caller's tenant.
    pub fn grant<A: TenantAction>(&self) -> Result<Grant<A>> {
        self.tenant()?.grant()
    }

    /// The permission for an action, and the transaction that the request's reads share.
    pub async fn read<A: TenantAction>(&self) -> Result<(Grant<A>, Reading<'_>)> {
        let grant = self.grant::<A>()?;
        let mut reading = self.0.reading.lock().await;
        if reading.is_none() {
            let span = tracing::info_span!(target: trace::PARTS, "begin");
            *reading = Some(grant.begin_read().instrument(span).await?);
        }
        Ok((grant, Self::shared(reading)?))
    }

    /// The same for what certainly reads, and mostly nothing else: the transaction begins, and the credential is looked at,
    /// with the first statement.
    pub async fn read_one<A: TenantAction>(&self) -> Result<(Grant<A>, Reading<'_>)> {
        let grant = self.grant::<A>()?;
        let mut reading = self.0.reading.lock().await;
        if reading.is_none() {
            *reading = Some(grant.begin_when_read().await?);
        }
        Ok((grant, Self::shared(reading)?))
    }

    fn shared(reading: MutexGuard<'_, Option<TenantTx>>) -> Result<Reading<'_>> {
        let reading = MutexGuard::try_map(reading, Option::as_mut);
        reading.map_err(|_| Error::fault("the read transaction went away"))
    }

    /// The reads until the end of the read transaction are this look of a subscription.
    pub async fn begin_look(&self, look: Look) {
        *self.0.look.lock().await = Some(look);
    }

    /// Reads go on in the transaction of a dry run, until [`Self::end_reading`] undoes it.
    pub async fn read_in(&self, tx: TenantTx) {
        *self.0.reading.lock().await = Some(tx);
    }

    /// What a call of the mutation at hand raises when its answer was stored before.
    pub fn replay(&self) -> &Replay {
        &self.0.replay
    }

    /// Ends what the payload of a mutation was read from, and keeps in mind whether it was a stored answer.
    pub async fn end_mutation(&self, key: &str) {
        if self.0.replay.take() {
            self.0.replayed.lock().await.push(key.to_owned());
        }
        self.end_reading().await;
    }

    /// The mutations so far that were answered with what was stored, by their keys in the answer.
    pub async fn replayed(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.replayed.lock().await)
    }

    /// Ends the read transaction, and the look it was part of; the next read begins another, which sees everything
    /// committed until then.
    pub async fn end_reading(&self) {
        // Nothing is to stay, so nobody waits for the rollback: it goes out as the connection returns to its pool.
        drop(self.0.reading.lock().await.take());
        drop(self.0.look.lock().await.take());
    }
}
