//! One batch of rows, one transaction: contacts, consent, errors and the cursor move together or not at all.
//!
//! Endpoints are locked before contacts and the ledger comes last, as everywhere. The cursor is moved only where the
//! claim still holds, so whoever was overtaken writes nothing, and a batch is never written twice.

use std::collections::{BTreeSet, HashMap};

use carillon_entities::ids::{ContactId, EvidenceId};
use carillon_entities::wall::TenantTx;

use super::job::{Cursor, Import, ImportClaim};
use super::prove::evidence;
use super::run::tell_finished;
use super::source::Batch;
use super::{ImportRow, OnExisting, RowError, Subscription};
use crate::consent::{
    Basis, ConsentAction, ConsentTopic, Endpoints, NewConsentEvent, Recipient, Source, append_locked, locked_address,
};
use crate::contacts::endpoints::hold;
use crate::contacts::history::Author;
use crate::contacts::plan::{Addresses, Fate, Find, Plan, Reach, Wish};
use crate::contacts::store::imports::{Counts, import_advance, import_errors_insert, import_finish};
use crate::contacts::write::{seek, write_held};
use crate::contacts::{ContactPatch, Definitions, Patch};
use crate::error::{Error, Result};
use crate::keys::{AddressHasher, AddressHmac};
use crate::metrics::labels::RowEnd;
use crate::ports::Ports;
use crate::reruns::Reruns;
use crate::tenancy::{Grant, ImportContacts};
use crate::workflows::react_to_contacts;

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
    let sought = seek(&mut tx, ports, &wishes).await?;
    let hasher = ports.keys.address_hasher(tx.tenant());
    let said = consent_said(&hasher, job, &batch.rows, &sought.addresses);
    let recipients = said.iter().map(|said| said.recipient.clone()).collect();
    let mut endpoints = hold(&mut tx, ports, &wishes, &sought.addresses, recipients).await?;
    let author = Author { actor: job.import.actor, import: Some(job.import.id) };
    let held = (sought, &mut endpoints);
    let plan = write_held(&mut tx, ports, author, (&job.definitions, &wishes), held).await?;
    let mut errors = batch.errors.clone();
    errors.extend(refused(&batch.rows, &plan));
    let heard: Vec<ContactId> =
        said.iter().filter(|said| is_heard(job, &plan, said)).filter_map(known(&plan)).collect();
    errors.extend(append(&mut tx, ports, (job, &batch.rows), (&plan, said), &endpoints).await?);
    react_to_contacts(&mut tx, ports, &heard).await?;
    let listed = usize::try_from(job.listed).map_err(Error::fault)?;
    errors.truncate(ports.settings.import_errors.saturating_sub(listed));
    import_errors_insert(&mut tx, job.import.id, &errors).await?;
    let cursor = Cursor { position: batch.behind, ..job.import.cursor };
    let done = i64::try_from(batch.behind.offset).map_err(Error::fault)?;
    let lease_until = ports.now() + ports.settings.lease;
    let counts = counts(job, batch, &plan);
    let mut held = import_advance(&mut tx, job.claim, (&cursor, done), counts, lease_until).await?;
    if held && batch.cut.is_some() {
        // With its last rows, so that nobody who comes later takes it for read to its end.
        held = import_finish(&mut tx, job.claim, batch.cut, ports.now()).await?;
        tell_finished(&mut tx, ports, job.import.id, batch.cut).await?;
    }
    if !held {
        tx.rollback().await?;
        return Ok(None);
    }
    tx.commit().await?;
    ports.metrics.import_rows.add((RowEnd::Created,), counts.created);
    ports.metrics.import_rows.add((RowEnd::Updated,), counts.updated);
    ports.metrics.import_rows.add((RowEnd::Failed,), counts.failed);
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

/// What the rows say about consent.
fn consent_said(hasher: &AddressHasher, job: &Job, rows: &[ImportRow], addresses: &Addresses) -> Vec<Said> {
    let mut all = Vec::new();
    for (row, one) in rows.iter().enumerate() {
        let Some((action, topic)) = job.said_by(one) else { continue };
        let emails = match action {
            // A yes is for one address.
            ConsentAction::Grant => one.email.as_ref().or_else(|| addresses.had.get(&row)).into_iter().collect(),
            _ => addresses.of_a_no(row, one.email.as_ref()),
        };
        let said = |email| Said { row, action, topic, recipient: Recipient::hashed(hasher, email) };
        all.extend(emails.into_iter().map(said));
    }
    all
}

/// Appends what was said to the ledger; returns the rows whose grant the person's own no keeps out (C-128).
async fn append(
    tx: &mut TenantTx,
    ports: &Ports,
    (job, rows): (&Job, &[ImportRow]),
    (plan, mut said): (&Plan, Vec<Said>),
    endpoints: &Endpoints,
) -> Result<Vec<RowError>> {
    said.retain(|said| is_heard(job, plan, said));
    if said.is_empty() {
        return Ok(Vec::new());
    }
    let addresses = said.iter().map(|said| locked_address(endpoints, &said.recipient));
    let addresses: Vec<AddressHmac> = addresses.collect::<Result<_>>()?;
    let lines: Vec<(u64, ConsentAction)> = said.iter().map(|said| (rows[said.row].line, said.action)).collect();
    let proofs = proofs(tx, ports, job, said.iter().map(|said| (said.action, &rows[said.row]))).await?;
    let events = said.into_iter().map(|said| event((job, &proofs), ports, &rows[said.row], said));
    let appended = append_locked(tx, ports, events.zip(addresses).collect(), endpoints).await?;
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

/// Whose word it is, of those who were there before.
fn known(plan: &Plan) -> impl Fn(&Said) -> Option<ContactId> + '_ {
    |said| match plan.fates[said.row] {
        Fate::Found(contact) => Some(contact),
        Fate::Created(_) | Fate::Refused(_) => None,
    }
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
