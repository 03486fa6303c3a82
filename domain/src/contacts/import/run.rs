//! Going on with an import: claimed, read and written batch by batch until a time, given back, claimed again.

use carillon_entities::ids::ImportId;
use carillon_entities::wall::TenantTx;
use chrono::TimeDelta;

use super::Field;
use super::RowRules;
use super::apply::{Job, apply};
use super::job::{Import, ImportClaim, ImportState, Progress};
use super::prove::prove;
use super::source::{Place, Rows};
use crate::consent::{all_marketing, consent_topic};
use crate::contacts::Country;
use crate::contacts::store::attributes::definitions_load;
use crate::contacts::store::imports::{
    import_claimed, import_errors_count, import_finish, import_return, import_yield, imports_claim,
};
use crate::error::{Error, Result};
use crate::files::Files;
use crate::ports::Ports;
use crate::tenancy::{Grant, ImportContacts, TENANT_SUSPENDED};
use crate::time::Timestamp;
use crate::webhooks::{self, Happening, ImportFinished};

/// How often in a row an import is tried without a batch getting through.
pub const ATTEMPTS_MAX: i32 = 10;
/// Why an import failed that met faults of ours again and again.
const TOO_MANY_ATTEMPTS: &str = "TOO_MANY_ATTEMPTS";

/// Claims at most `limit` due imports of a tenant for [`crate::settings::Settings::lease`]; none while the time is not
/// known (C-180).
pub async fn claim_imports(
    _grant: &Grant<ImportContacts>,
    tx: &mut TenantTx,
    ports: &Ports,
    limit: i64,
) -> Result<Vec<ImportClaim>> {
    if !ports.clock.is_trustworthy() {
        return Ok(Vec::new());
    }
    let now = ports.now();
    Ok(imports_claim(tx, now, now + ports.settings.lease, limit).await?)
}

/// Goes on with a claimed import until it is over or `until` has come; the claim is renewed with every batch.
///
/// After a fault it rests, longer each time, and after [`ATTEMPTS_MAX`] attempts in a row without a batch it has failed:
/// a store that is away for an hour costs time, a fault that stays is told to the tenant.
///
/// Each batch is a transaction of its own, so this may be stopped, dropped or killed anywhere: the next claim goes on
/// behind the last batch that was committed.
pub async fn run_slice(
    grant: &Grant<ImportContacts>,
    (ports, files): (&Ports, &Files),
    claim: ImportClaim,
    until: Timestamp,
) -> Result<Progress> {
    // A slice that ended its process told nobody: whoever comes after the last attempt ends the import.
    if claim.attempt > ATTEMPTS_MAX {
        return finish(grant, ports, claim, Some(TOO_MANY_ATTEMPTS)).await;
    }
    match work(grant, (ports, files), claim, until).await {
        Err(Error::Refused(refusals)) => {
            // What was accepted at the start is refused now: the file is gone, or the tenant suspended.
            let code = refusals.first().map_or("FILE_GONE", |refusal| refusal.code);
            if code == TENANT_SUSPENDED {
                return Ok(Progress::LostLease);
            }
            finish(grant, ports, claim, Some(code)).await
        }
        Err(fault) if claim.attempt == ATTEMPTS_MAX => {
            tracing::error!(import.id = %claim.import, %fault, "an import was given up");
            finish(grant, ports, claim, Some(TOO_MANY_ATTEMPTS)).await
        }
        Err(fault) => {
            let again = ports.now() + pause(ports.settings.lease, claim.attempt);
            tracing::warn!(import.id = %claim.import, attempt = claim.attempt, %fault, "an import is tried again later");
            give_back(grant, claim, (again, Progress::Resting)).await
        }
        done => done,
    }
}

/// Gives a claim back whose process stops (C-185): due at once, behind the last batch that was committed, and without the
/// attempt, for a deployment that is restarted ten times is no reason to give an import up.
pub async fn return_claim(grant: &Grant<ImportContacts>, ports: &Ports, claim: ImportClaim) -> Result<()> {
    let mut tx = grant.begin().await?;
    import_return(&mut tx, claim, ports.now()).await?;
    Ok(tx.commit().await?)
}

/// How long an import rests after an attempt failed: the lease, then twice as long each time, an hour at most.
fn pause(lease: TimeDelta, attempt: i32) -> TimeDelta {
    let doublings = u32::try_from(attempt - 1).unwrap_or(0).min(16);
    (lease * (1 << doublings)).min(TimeDelta::hours(1))
}

async fn work(
    grant: &Grant<ImportContacts>,
    (ports, files): (&Ports, &Files),
    claim: ImportClaim,
    until: Timestamp,
) -> Result<Progress> {
    let Some((mut job, mut rows)) = prepare(grant, ports, files, claim).await? else {
        return Ok(Progress::LostLease);
    };
    let mut batch = rows.next_batch().await?;
    while let Some(current) = batch {
        // Reading goes on while the database writes.
        let (written, next) = futures::join!(apply(grant, ports, &job, &current), rows.next_batch());
        let Some(listed) = written? else {
            return Ok(Progress::LostLease);
        };
        job.listed += listed;
        job.import.cursor.position = current.behind;
        if current.cut.is_some() {
            return Ok(Progress::Failed);
        }
        batch = next?;
        if batch.is_some() && ports.now() >= until {
            return give_back(grant, claim, (ports.now(), Progress::More)).await;
        }
    }
    finish(grant, ports, claim, None).await
}

/// Loads what batches need; none when the claim is lost.
async fn prepare(
    grant: &Grant<ImportContacts>,
    ports: &Ports,
    files: &Files,
    claim: ImportClaim,
) -> Result<Option<(Job, Rows)>> {
    let mut tx = grant.begin_read().await?;
    let Some(mut import) = import_claimed(&mut tx, claim).await? else { return Ok(None) };
    let listed = import_errors_count(&mut tx, import.id).await?;
    let definitions = definitions_load(&mut tx).await?;
    let topic = match import.options.topic {
        Some(topic) => consent_topic(&mut tx, topic).await?,
        None => None,
    };
    let unsubscribe = match topic {
        Some(topic) => topic,
        None => all_marketing(&mut tx, None).await?.ok_or_else(|| Error::fault("the tenant has no default brand"))?,
    };
    tx.commit().await?;
    let size = u64::try_from(import.total_bytes).map_err(Error::fault)?;
    let place = Place { tenant: grant.tenant(), upload: import.upload, size };
    if !prove(grant, (ports, files), (claim, place), &mut import).await? {
        return Ok(None);
    }
    let header = import.columns.clone();
    let all_subscribed = import.options.consent.is_some() && !header.has(Field::Subscription);
    let row_rules = RowRules { default_country: country(&import), now: ports.now() };
    let rows = Rows::from(files, place, (header, row_rules), (&import.cursor, ports.settings.import_batch)).await?;
    Ok(Some((Job { import, claim, listed, definitions, topic, unsubscribe, all_subscribed }, rows)))
}

fn country(import: &Import) -> Option<Country> {
    import.options.default_country.as_deref().and_then(|country| Country::parse(country).ok())
}

/// Gives the claim back until a time.
async fn give_back(
    grant: &Grant<ImportContacts>,
    claim: ImportClaim,
    (due_at, then): (Timestamp, Progress),
) -> Result<Progress> {
    let mut tx = grant.begin().await?;
    let held = import_yield(&mut tx, claim, due_at).await?;
    tx.commit().await?;
    Ok(if held { then } else { Progress::LostLease })
}

/// Tells webhooks that an import is over, in the transaction that ends it.
pub(super) async fn tell_finished(
    tx: &mut TenantTx,
    ports: &Ports,
    import_id: ImportId,
    error: Option<&str>,
) -> Result<()> {
    let state = if error.is_some() { ImportState::Failed } else { ImportState::Completed };
    let finished = ImportFinished { import_id, state: state.as_str(), error_code: error.map(str::to_owned) };
    webhooks::tell(tx, ports, vec![Happening::ImportFinished(finished)]).await
}

async fn finish(
    grant: &Grant<ImportContacts>,
    ports: &Ports,
    claim: ImportClaim,
    error: Option<&str>,
) -> Result<Progress> {
    let mut tx = grant.begin().await?;
    let held = import_finish(&mut tx, claim, error, ports.now()).await?;
    if held {
        tell_finished(&mut tx, ports, claim.import, error).await?;
    }
    tx.commit().await?;
    Ok(match (held, error) {
        (false, _) => Progress::LostLease,
        (true, None) => Progress::Done,
        (true, Some(_)) => Progress::Failed,
    })
}
