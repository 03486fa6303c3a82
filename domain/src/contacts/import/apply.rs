//! One batch of rows, one transaction: contacts, consent, errors and the cursor move together or not at all.
//!
//! Endpoints are locked before contacts and the ledger comes last, as everywhere. The cursor is moved only where the
//! claim still holds, so whoever was overtaken writes nothing, and a batch is never written twice.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use carillon_entities::ids::EvidenceId;
use carillon_entities::wall::{TenantTx, WallError};

use super::job::{Cursor, Import, ImportClaim};
use super::prove::evidence;
use super::source::Batch;
use super::{ImportRow, OnExisting, RowError, Subscription};
use crate::consent::{
    Basis, ConsentAction, ConsentTopic, Endpoint, EndpointKey, NewConsentEvent, Recipient, Source, append_locked,
    endpoints_ensure, endpoints_lock_for_change, endpoints_resolve,
};
use crate::contacts::history::Author;
use crate::contacts::plan::{Fate, Find, Plan, Reach, Wish};
use crate::contacts::store::imports::{Counts, import_advance, import_errors_insert, import_finish};
use crate::contacts::write::{Sought, foresee, seek, write};
use crate::contacts::{ContactPatch, Definitions, EmailAddress, Patch};
use crate::error::{Error, Result};
use crate::keys::{AddressHasher, AddressHmac};
use crate::ports::Ports;
use crate::reruns::Reruns;
use crate::tenancy::{Grant, ImportContacts};

/// What all batches of an import have in common.
pub(super) struct Job {
    pub import: Import,
    pub claim: ImportClaim,
    /// Errors listed so far.
    pub listed: i64,
    pub definitions: Definitions,
    /// What subscribed people are subscribed to.
    pub topic: Option<ConsentTopic>,
    /// What unsubscribed people are unsubscribed from: the topic, or all marketing.
    pub unsubscribe: ConsentTopic,
    /// True where the file does not say who is subscribed, so that everybody in it is.
    pub all_subscribed: bool,
}

/// Writes a batch, and says how many errors it listed; none when the claim is lost and nothing was written.
pub(super) async fn apply(
    grant: &Grant<ImportContacts>,
    ports: &Ports,
    job: &Job,
    batch: &Batch,
) -> Result<Option<i64>> {
    let mut reruns = Reruns::default();
    loop {
        match apply_once(grant, ports, job, batch).await {
            Err(error) if reruns.after(&error) => {}
            done => return done,
        }
    }
}

async fn apply_once(grant: &Grant<ImportContacts>, ports: &Ports, job: &Job, batch: &Batch) -> Result<Option<i64>> {
    let mut tx = grant.begin().await?;
    let wishes: Vec<Wish> = batch.rows.iter().map(|row| wish(row, job.import.options.on_existing)).collect();
    let sought = seek(&mut tx, &wishes).await?;
    let addresses = addresses(&mut tx, ports, job, (&batch.rows, &wishes), &sought).await?;
    let hasher = ports.keys.address_hasher(tx.tenant());
    let said = consent_said(&hasher, job, &batch.rows, addresses.as_ref());
    let locked = lock_endpoints(&mut tx, ports, &batch.rows, &said).await?;
    let author = Author { actor: job.import.actor, import: Some(job.import.id) };
    let plan = write(&mut tx, ports, author, (&job.definitions, &wishes), sought).await?;
    // Somebody changed an address before its contact was locked: then all of it is done again.
    if addresses.is_some_and(|addresses| addresses != plan.addresses) {
        return Err(WallError::Retry.into());
    }
    let mut errors = batch.errors.clone();
    errors.extend(refused(&batch.rows, &plan));
    errors.extend(append(&mut tx, ports, (job, &batch.rows), (&plan, said), locked).await?);
    let listed = usize::try_from(job.listed).map_err(Error::fault)?;
    errors.truncate(ports.settings.import_errors.saturating_sub(listed));
    import_errors_insert(&mut tx, job.import.id, &errors).await?;
    let cursor = Cursor { position: batch.behind, ..job.import.cursor };
    let done = i64::try_from(batch.behind.offset).map_err(Error::fault)?;
    let lease_until = ports.now() + ports.settings.lease;
    let mut held = import_advance(&mut tx, job.claim, (&cursor, done), counts(job, batch, &plan), lease_until).await?;
    if held && batch.cut.is_some() {
        // With its last rows, so that nobody who comes later takes it for read to its end.
        held = import_finish(&mut tx, job.claim, batch.cut, ports.now()).await?;
    }
    if !held {
        tx.rollback().await?;
        return Ok(None);
    }
    tx.commit().await?;
    Ok(Some(i64::try_from(errors.len()).map_err(Error::fault)?))
}

fn wish(row: &ImportRow, on_existing: OnExisting) -> Wish {
    let patch = ContactPatch {
        external_id: Patch::known(row.external_id.clone()),
        email: Patch::known(row.email.clone()),
        phone: Patch::known(row.phone.clone()),
        first_name: Patch::known(row.first_name.clone()),
        last_name: Patch::known(row.last_name.clone()),
        locale: Patch::known(row.locale.clone()),
        zone: Patch::known(row.zone.clone()),
        country: Patch::known(row.country),
        attributes: row.attributes.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect(),
    };
    let reach = match on_existing {
        _ if row.is_refused => Reach::Look,
        OnExisting::Update => Reach::Write,
        OnExisting::Skip => Reach::Make,
    };
    Wish { find: Find::Any, patch, tags: row.tags.clone(), reach }
}

/// A contact that was there and is left alone is only seen.
fn counts(job: &Job, batch: &Batch, plan: &Plan) -> Counts {
    let found = i64::from(job.import.options.on_existing == OnExisting::Update);
    let mut counts = Counts { seen: batch.seen, failed: batch.failed, ..Counts::default() };
    for fate in &plan.fates {
        match fate {
            Fate::Created(_) => counts.created += 1,
            Fate::Found(_) => counts.updated += found,
            Fate::Refused(_) => counts.failed += 1,
        }
    }
    counts
}

fn refused<'a>(rows: &'a [ImportRow], plan: &'a Plan) -> impl Iterator<Item = RowError> + 'a {
    plan.fates.iter().zip(rows).flat_map(|(fate, row)| {
        let refusals = match fate {
            Fate::Refused(refusals) => refusals.as_slice(),
            Fate::Created(_) | Fate::Found(_) => &[],
        };
        refusals.iter().map(|refusal| RowError {
            line: row.line,
            field: refusal.field.clone(),
            code: refusal.code,
            message: refusal.message.clone(),
        })
    })
}

/// What a row says about consent, and for which address.
struct Said {
    /// Which row.
    row: usize,
    action: ConsentAction,
    topic: ConsentTopic,
    recipient: Recipient,
}

impl Job {
    /// What a row says about consent.
    fn said_by(&self, row: &ImportRow) -> Option<(ConsentAction, ConsentTopic)> {
        match row.subscription {
            Subscription::Unsubscribed => Some((ConsentAction::Withdraw, self.unsubscribe)),
            Subscription::Subscribed => self.topic.map(|topic| (ConsentAction::Grant, topic)),
            Subscription::Unspecified if self.all_subscribed => self.topic.map(|topic| (ConsentAction::Grant, topic)),
            Subscription::Unspecified => None,
        }
    }
}

/// The addresses that contacts have when the rows that name none speak of them, rows before them in the batch included:
/// where one batch ends and the next begins changes nothing. None where no such row speaks.
async fn addresses(
    tx: &mut TenantTx,
    ports: &Ports,
    job: &Job,
    (rows, wishes): (&[ImportRow], &[Wish]),
    sought: &Sought,
) -> Result<Option<HashMap<usize, EmailAddress>>> {
    if rows.iter().any(|row| row.email.is_none() && job.said_by(row).is_some()) {
        return foresee(tx, ports, wishes, sought).await.map(Some);
    }
    Ok(None)
}

/// What the rows say about consent.
fn consent_said(
    hasher: &AddressHasher,
    job: &Job,
    rows: &[ImportRow],
    addresses: Option<&HashMap<usize, EmailAddress>>,
) -> Vec<Said> {
    let said = rows.iter().enumerate().filter_map(|(row, one)| {
        let (action, topic) = job.said_by(one)?;
        let email = one.email.as_ref().or_else(|| addresses?.get(&row))?;
        Some(Said { row, action, topic, recipient: Recipient::hashed(hasher, email) })
    });
    said.collect()
}

/// Endpoints that are locked, and the address each said thing is kept under.
type Locked = (BTreeMap<EndpointKey, Endpoint>, Vec<AddressHmac>);

/// Makes the endpoints of all addresses of the batch and locks those whose consent changes.
async fn lock_endpoints(tx: &mut TenantTx, ports: &Ports, rows: &[ImportRow], said: &[Said]) -> Result<Locked> {
    let hasher = ports.keys.address_hasher(tx.tenant());
    let speaking: std::collections::HashSet<usize> = said.iter().map(|said| said.row).collect();
    let silent =
        rows.iter().enumerate().filter(|(i, _)| !speaking.contains(i)).filter_map(|(_, row)| row.email.as_ref());
    let silent: Vec<Recipient> = silent.map(|email| Recipient::hashed(&hasher, email)).collect();
    let channel = |recipients: &[Recipient], addresses: &[AddressHmac]| -> Vec<_> {
        addresses.iter().copied().zip(recipients.iter().map(Recipient::channel)).collect()
    };
    if !silent.is_empty() {
        let addresses = endpoints_resolve(tx, &silent).await?;
        endpoints_ensure(tx, ports, &channel(&silent, &addresses)).await?;
    }
    if said.is_empty() {
        return Ok((BTreeMap::new(), Vec::new()));
    }
    let recipients: Vec<Recipient> = said.iter().map(|said| said.recipient.clone()).collect();
    let addresses = endpoints_resolve(tx, &recipients).await?;
    let endpoints = endpoints_lock_for_change(tx, ports, &channel(&recipients, &addresses)).await?;
    Ok((endpoints, addresses))
}

/// Appends what was said to the ledger; returns the rows whose grant the person's own no keeps out (C-128).
async fn append(
    tx: &mut TenantTx,
    ports: &Ports,
    (job, rows): (&Job, &[ImportRow]),
    (plan, mut said): (&Plan, Vec<Said>),
    (endpoints, addresses): Locked,
) -> Result<Vec<RowError>> {
    let addresses: Vec<AddressHmac> =
        addresses.into_iter().zip(&said).filter(|(_, said)| is_heard(job, plan, said)).map(|(one, _)| one).collect();
    said.retain(|said| is_heard(job, plan, said));
    if said.is_empty() {
        return Ok(Vec::new());
    }
    let lines: Vec<(u64, ConsentAction)> = said.iter().map(|said| (rows[said.row].line, said.action)).collect();
    let proofs = proofs(tx, ports, job, said.iter().map(|said| (said.action, &rows[said.row]))).await?;
    let events = said.into_iter().map(|said| event((job, &proofs), ports, &rows[said.row], said));
    let appended = append_locked(tx, ports, events.zip(addresses).collect(), &endpoints).await?;
    let kept_out = appended
        .iter()
        .zip(lines)
        .filter(|(appended, (_, action))| *action == ConsentAction::Grant && appended.is_kept_out());
    let error = |line| RowError {
        line,
        field: "subscription".to_owned(),
        code: "CONSENT_WITHDRAWN",
        message: "The person has said no; a file cannot undo that. The contact was imported.".to_owned(),
    };
    Ok(kept_out.map(|(_, (line, _))| error(line)).collect())
}

/// A no is heard whatever becomes of its row; a yes only with it.
fn is_heard(job: &Job, plan: &Plan, said: &Said) -> bool {
    said.action != ConsentAction::Grant
        || match &plan.fates[said.row] {
            Fate::Refused(_) => false,
            Fate::Found(_) => job.import.options.on_existing == OnExisting::Update,
            Fate::Created(_) => true,
        }
}

/// The proofs of grants whose rows say where they were given, by that.
async fn proofs<'a>(
    tx: &mut TenantTx,
    ports: &Ports,
    job: &Job,
    said: impl Iterator<Item = (ConsentAction, &'a ImportRow)>,
) -> Result<HashMap<&'a str, EvidenceId>> {
    let granted = said.filter(|(action, _)| *action == ConsentAction::Grant);
    let sources: BTreeSet<&str> = granted.filter_map(|(_, row)| row.consent_source.as_deref()).collect();
    let named: Vec<Option<&str>> = sources.iter().copied().map(Some).collect();
    let proofs = evidence(tx, ports, &job.import, &named).await?;
    Ok(sources.into_iter().zip(proofs).collect())
}

/// C-155: without ground, date and source the basis is unknown, which carries no marketing.
fn event(
    (job, proofs): (&Job, &HashMap<&str, EvidenceId>),
    ports: &Ports,
    row: &ImportRow,
    said: Said,
) -> NewConsentEvent {
    let (kind, id) = Author { actor: job.import.actor, import: Some(job.import.id) }.source();
    let now = ports.now();
    let mut event = NewConsentEvent::new(said.recipient, said.topic, said.action, now, job.import.actor);
    event.source = Source { kind, id, line: i64::try_from(row.line).ok() };
    if said.action == ConsentAction::Grant {
        let consent = job.import.options.consent.as_ref();
        let date = row.consent_at.or_else(|| consent?.collected_at);
        let has_source = row.consent_source.is_some() || consent.is_some_and(|consent| consent.source.is_some());
        event.effective_at = date.map_or(now, |date| date.min(now));
        event.basis = match consent {
            Some(consent) if date.is_some() && has_source => consent.basis,
            _ => Basis::Unknown,
        };
        let own = row.consent_source.as_deref().and_then(|source| proofs.get(source).copied());
        event.evidence_ref = own.or(job.import.evidence);
    }
    event.jurisdictions = row.country.iter().map(|country| country.as_str().to_owned()).collect();
    event
}
