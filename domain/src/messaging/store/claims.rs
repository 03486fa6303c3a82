//! Claims (L4): a worker takes due rows for a short lease under a growing fence; every later write shows the fence.

use std::collections::HashMap;

use carillon_entities::ids::{BrandId, ContactId, MessageId, SenderId, TemplateVersionId, TopicId};
use carillon_entities::statements;
use carillon_entities::wall::{Args, TenantTx};
use chrono::TimeDelta;
use sea_orm::{FromQueryResult, Value};
use serde_json::Value as Json;

use crate::contacts::{AttributeName, AttributeValue, Attributes};
use crate::error::{Error, Result};
use crate::keys::{AddressHash, AddressHmac};
use crate::messaging::claim::{ClaimedMessage, ContactFacts};
use crate::messaging::reply_class::FailureClass;
use crate::messaging::{AttemptFacts, AttemptStatus, Ending, MessageClass, MessageMove, MessageStatus, RetryWindow};
use crate::time::Timestamp;

statements! {
    /// Takes due messages of a lane.
    MESSAGES_CLAIM(Text, Time, BigInt, Time, Text) =
        "UPDATE messages SET state = 'claimed', lease_until = $5, claimed_by = $6, fence = fence + 1, attempts = attempts + 1 \
         WHERE tenant_id = $1 AND id IN (SELECT id FROM messages WHERE tenant_id = $1 AND lane = $2 \
         AND state = 'queued' AND due_at <= $3 ORDER BY due_at LIMIT $4 {skip_locked}) \
         RETURNING id, fence, class, contact_id, address_hmac, hmac_key_id, sealed_address, brand_id, topic_id, \
         sender_id, template_version_id, sealed_variables, internet_message_id, attempts, is_test, send_at, expires_at, \
         (SELECT COUNT(*) FROM attempts a WHERE a.tenant_id = $1 AND a.message_id = messages.id AND a.state <> 'lapsed' \
         AND COALESCE(a.rule_id, '') NOT IN ('permit_expired', 'draining', 'busy')) AS tries, \
         (SELECT MIN(a.cleared_at) FROM attempts a WHERE a.tenant_id = $1 AND a.message_id = messages.id \
         AND a.started_at IS NOT NULL) AS first_cleared_at";
    /// What rendering needs of the contacts.
    CLAIM_CONTACTS() [id: Uuid] =
        "SELECT c.id, c.email, c.external_id, c.first_name, c.last_name, c.locale, c.attributes \
         FROM ({batch}) AS b JOIN contacts c ON c.tenant_id = $1 AND c.id = b.id";
    /// The messages of a batch that this claim still holds. No lock: a claim lost later stops the start of its attempt.
    MESSAGES_FENCED() [id: Uuid, fence: BigInt] =
        "SELECT m.id FROM messages m WHERE m.tenant_id = $1 AND m.state = 'claimed' \
         AND EXISTS (SELECT 1 FROM ({batch}) AS b WHERE b.id = m.id AND b.fence = m.fence)";
    /// The contacts as they are now.
    GATE_CONTACTS() [id: Uuid] =
        "SELECT c.id, c.state, c.email FROM ({batch}) AS b JOIN contacts c ON c.tenant_id = $1 AND c.id = b.id";
    /// The senders as they are now, and whether the tenant may send at all.
    GATE_SENDERS() [id: Uuid] =
        "SELECT s.id, s.verified_at, t.suspended_at FROM ({batch}) AS b \
         JOIN sender_identities s ON s.tenant_id = $1 AND s.id = b.id JOIN tenants t ON t.id = $1";
    /// The reserved all-marketing topics.
    GATE_RESERVED_TOPICS() =
        "SELECT brand_id, id FROM topics WHERE tenant_id = $1 AND key = 'all_marketing'";
    /// Writes where messages go after the gate or a hand-over, if the claim still holds them.
    MESSAGES_MOVE(Time) [id: Uuid, fence: BigInt, state: Text, reason: Text, due_at: Time, attempts: Int] =
        "WITH moves AS ({batch}) UPDATE messages SET state = moves.state, reason = moves.reason, \
         due_at = COALESCE(moves.due_at, messages.due_at), attempts = messages.attempts + moves.attempts, \
         lease_until = NULL, settled_at = CASE WHEN moves.state = 'queued' THEN NULL ELSE $2 END \
         FROM moves WHERE messages.tenant_id = $1 AND messages.id = moves.id AND messages.fence = moves.fence \
         AND messages.state = 'claimed' RETURNING messages.id";
    /// Renews the lease of a worker that is alive and still handing over.
    LEASE_RENEW(Time, Time) [id: Uuid, fence: BigInt] =
        "WITH held AS ({batch}) UPDATE messages SET lease_until = $3 FROM held \
         WHERE messages.tenant_id = $1 AND messages.id = held.id AND messages.fence = held.fence \
         AND messages.state = 'claimed' AND messages.lease_until > $2";
    /// Messages whose lease ran out.
    SWEEP_LEASES(Time, BigInt) =
        "SELECT m.id, m.fence FROM messages m WHERE m.tenant_id = $1 AND m.state = 'claimed' \
         AND m.lease_until < $2 ORDER BY m.id LIMIT $3 {skip_locked}";
    /// Their open attempts: a cleared one lapses, a started one is unknown (C-167).
    SWEEP_ATTEMPTS(Time) [id: Uuid] =
        "UPDATE attempts SET state = CASE WHEN state = 'cleared' THEN 'lapsed' ELSE 'unknown' END, settled_at = $2 \
         WHERE tenant_id = $1 AND state IN ('cleared', 'started') \
         AND message_id IN (SELECT b.id FROM ({batch}) AS b)";
    /// What their last attempts have come to. Asked only now that none is open: a worker that is slow, not dead, may have
    /// started or settled one until the very statement before.
    SWEEP_OUTCOMES() [id: Uuid] =
        "SELECT m.id, a.state FROM ({batch}) AS b JOIN messages m ON m.tenant_id = $1 AND m.id = b.id \
         JOIN attempts a ON a.tenant_id = $1 AND a.message_id = m.id AND a.number = m.attempts";
    /// Takes swept messages back: a new fence, so that the old worker changes nothing any more.
    SWEEP_MOVE(Time) [id: Uuid, fence: BigInt, state: Text, due_at: Time] =
        "WITH moves AS ({batch}) UPDATE messages SET state = moves.state, due_at = moves.due_at, \
         fence = messages.fence + 1, lease_until = NULL, claimed_by = NULL, \
         settled_at = CASE WHEN moves.state = 'queued' THEN NULL ELSE $2 END, \
         reason = CASE WHEN moves.state = 'unknown' THEN 'OUTCOME_UNKNOWN' ELSE NULL END \
         FROM moves WHERE messages.tenant_id = $1 AND messages.id = moves.id AND messages.fence = moves.fence \
         AND messages.state = 'claimed'";
    /// Messages of unknown outcome whose time for reconciling is over, with what their attempt came to since.
    UNKNOWN_DUE(Time, BigInt) =
        "SELECT m.id, m.class, m.send_at, m.expires_at, m.attempts, a.state AS attempt, a.class AS failure FROM messages m \
         LEFT JOIN attempts a ON a.tenant_id = $1 AND a.message_id = m.id AND a.number = m.attempts \
         WHERE m.tenant_id = $1 AND m.state = 'unknown' AND m.due_at <= $2 ORDER BY m.due_at LIMIT $3";
    /// Settles them, unless evidence came in that the decision did not know.
    UNKNOWN_MOVE(Time) [id: Uuid, attempt: Text, state: Text, due_at: Time] =
        "WITH moves AS ({batch}) UPDATE messages SET state = moves.state, due_at = moves.due_at, \
         settled_at = CASE WHEN moves.state = 'queued' THEN NULL ELSE $2 END, \
         reason = CASE WHEN moves.state = 'unknown' THEN 'OUTCOME_UNKNOWN' ELSE NULL END \
         FROM moves WHERE messages.tenant_id = $1 AND messages.id = moves.id AND messages.state = 'unknown' \
         AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.tenant_id = $1 AND a.message_id = messages.id \
         AND a.number = messages.attempts AND a.state <> moves.attempt) RETURNING messages.id";
    /// Has unknown outcomes looked at again now that there is evidence.
    UNKNOWN_WAKE(Time) [id: Uuid] =
        "UPDATE messages SET due_at = $2 WHERE tenant_id = $1 AND state = 'unknown' \
         AND id IN (SELECT b.id FROM ({batch}) AS b)";
}

#[derive(FromQueryResult)]
struct ClaimRow {
    id: MessageId,
    fence: i64,
    class: String,
    contact_id: Option<ContactId>,
    address_hmac: Vec<u8>,
    hmac_key_id: String,
    sealed_address: Option<Vec<u8>>,
    brand_id: BrandId,
    topic_id: Option<TopicId>,
    sender_id: SenderId,
    template_version_id: TemplateVersionId,
    sealed_variables: Option<Vec<u8>>,
    internet_message_id: String,
    attempts: i32,
    is_test: bool,
    send_at: Timestamp,
    expires_at: Timestamp,
    tries: i64,
    first_cleared_at: Option<Timestamp>,
}

#[derive(FromQueryResult)]
struct ContactRow {
    id: ContactId,
    email: Option<String>,
    external_id: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    locale: Option<String>,
    attributes: Json,
}

/// A claim to make: lane, batch size, until when and by whom.
#[derive(Debug, Clone)]
pub(in crate::messaging) struct Claim<'a> {
    pub lane: &'static str,
    pub size: i64,
    pub now: Timestamp,
    pub lease_until: Timestamp,
    pub worker: &'a str,
}

pub(in crate::messaging) async fn messages_claim(tx: &mut TenantTx, claim: &Claim<'_>) -> Result<Vec<ClaimedMessage>> {
    let args =
        [Value::from(claim.lane), claim.now.into(), claim.size.into(), claim.lease_until.into(), claim.worker.into()];
    let rows: Vec<ClaimRow> = tx.sql(&MESSAGES_CLAIM, Args::of(args))?.all().await?;
    let contacts = rows.iter().filter_map(|row| row.contact_id).map(|id| vec![Value::from(id)]);
    let contacts: Vec<ContactRow> = tx.sql(&CLAIM_CONTACTS, Args::batch(contacts))?.all().await?;
    let contacts: HashMap<ContactId, ContactFacts> =
        contacts.into_iter().map(|row| (row.id, contact_facts(row))).collect();
    rows.into_iter()
        .map(|row| {
            let contact = row.contact_id.map(|id| contacts.get(&id).cloned().unwrap_or_else(|| ContactFacts::gone(id)));
            claimed(row, contact, claim.lease_until)
        })
        .collect()
}

fn contact_facts(row: ContactRow) -> ContactFacts {
    ContactFacts {
        id: row.id,
        email: row.email,
        external_id: row.external_id,
        first_name: row.first_name,
        last_name: row.last_name,
        locale: row.locale,
        attributes: attributes(&row.attributes),
    }
}

/// Attributes from their projection; what no longer fits the rules is left out, as if it were not there.
fn attributes(json: &Json) -> Attributes {
    let value = |value: &Json| match value {
        Json::String(text) => Some(AttributeValue::String(text.clone())),
        Json::Number(number) => number.as_f64().map(AttributeValue::Number),
        Json::Bool(yes) => Some(AttributeValue::Boolean(*yes)),
        _ => None,
    };
    let fields = json.as_object().into_iter().flatten();
    fields.filter_map(|(name, json)| Some((AttributeName::parse(name).ok()?, value(json)?))).collect()
}

fn claimed(row: ClaimRow, contact: Option<ContactFacts>, lease_until: Timestamp) -> Result<ClaimedMessage> {
    Ok(ClaimedMessage {
        id: row.id,
        fence: row.fence,
        class: row.class.parse::<MessageClass>().map_err(Error::fault)?,
        contact,
        address: AddressHmac { key: row.hmac_key_id.parse().map_err(Error::fault)?, hash: hash(&row.address_hmac)? },
        sealed_address: row.sealed_address,
        brand: row.brand_id,
        topic: row.topic_id,
        sender: row.sender_id,
        template_version: row.template_version_id,
        sealed_variables: row.sealed_variables,
        internet_message_id: row.internet_message_id,
        attempts: row.attempts,
        is_test: row.is_test,
        send_at: row.send_at,
        expires_at: row.expires_at,
        tries: u32::try_from(row.tries).unwrap_or(u32::MAX),
        first_cleared_at: row.first_cleared_at,
        content: None,
        ready_sender: None,
        lease_until,
    })
}

fn hash(bytes: &[u8]) -> Result<AddressHash> {
    AddressHash::from_slice(bytes).ok_or_else(|| Error::fault("an address hash of the wrong length"))
}

#[derive(FromQueryResult)]
struct IdRow {
    id: MessageId,
}

/// Which of the messages this claim still holds; locks them.
pub(in crate::messaging) async fn messages_fenced(
    tx: &mut TenantTx,
    held: impl IntoIterator<Item = (MessageId, i64)>,
) -> Result<Vec<MessageId>> {
    let batch = held.into_iter().map(|(id, fence)| vec![Value::from(id), fence.into()]);
    let rows: Vec<IdRow> = tx.sql(&MESSAGES_FENCED, Args::batch(batch))?.all().await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// What the gate looks at beside the message itself, for a whole batch.
#[derive(Debug, Default)]
pub(in crate::messaging) struct GateRows {
    /// Contact, whether its state is `active`, `archived` or `deleted`, its present address.
    pub contacts: Vec<(ContactId, String, Option<String>)>,
    /// Sender, whether it is verified.
    pub senders: Vec<(SenderId, bool)>,
    pub tenant_suspended: bool,
    pub all_marketing: Vec<(BrandId, TopicId)>,
}

#[derive(FromQueryResult)]
struct ContactNow {
    id: ContactId,
    state: String,
    email: Option<String>,
}

#[derive(FromQueryResult)]
struct SenderNow {
    id: SenderId,
    verified_at: Option<Timestamp>,
    suspended_at: Option<Timestamp>,
}

#[derive(FromQueryResult)]
struct ReservedTopic {
    brand_id: BrandId,
    id: TopicId,
}

pub(in crate::messaging) async fn gate_facts(
    tx: &mut TenantTx,
    contacts: &[ContactId],
    senders: &[SenderId],
) -> Result<GateRows> {
    let ids = contacts.iter().map(|id| vec![Value::from(*id)]);
    let contacts: Vec<ContactNow> = tx.sql(&GATE_CONTACTS, Args::batch(ids))?.all().await?;
    let ids = senders.iter().map(|id| vec![Value::from(*id)]);
    let senders: Vec<SenderNow> = tx.sql(&GATE_SENDERS, Args::batch(ids))?.all().await?;
    let reserved: Vec<ReservedTopic> = tx.sql(&GATE_RESERVED_TOPICS, Args::default())?.all().await?;
    Ok(GateRows {
        contacts: contacts.into_iter().map(|row| (row.id, row.state, row.email)).collect(),
        tenant_suspended: senders.iter().any(|row| row.suspended_at.is_some()),
        senders: senders.into_iter().map(|row| (row.id, row.verified_at.is_some())).collect(),
        all_marketing: reserved.into_iter().map(|row| (row.brand_id, row.id)).collect(),
    })
}

/// Where one claimed message goes.
#[derive(Debug, Clone)]
pub(in crate::messaging) struct Move {
    pub id: MessageId,
    pub fence: i64,
    pub to: MessageMove,
    pub reason: Option<String>,
    /// Minus one when the attempt's number was not used.
    pub attempts: i32,
}

/// Moves messages that the claim still holds; returns which those were.
pub(in crate::messaging) async fn messages_move(
    tx: &mut TenantTx,
    moves: &[Move],
    reconcile: TimeDelta,
    now: Timestamp,
) -> Result<Vec<MessageId>> {
    if moves.is_empty() {
        return Ok(Vec::new());
    }
    let batch = moves.iter().map(|step| {
        let (state, due_at) = match step.to {
            MessageMove::Requeue { due_at } => ("queued", Some(due_at)),
            // Late evidence is waited for (C-168).
            MessageMove::End(Ending::Unknown) => ("unknown", Some(now + reconcile)),
            MessageMove::End(ending) => (ending.status().as_str(), None),
        };
        vec![
            step.id.into(),
            step.fence.into(),
            state.into(),
            step.reason.clone().into(),
            due_at.into(),
            step.attempts.into(),
        ]
    });
    let rows: Vec<IdRow> = tx.sql(&MESSAGES_MOVE, Args::of([now.into()]).with_batch(batch))?.all().await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Gives claimed messages another lease; returns how many are still held.
pub(in crate::messaging) async fn lease_renew(
    tx: &mut TenantTx,
    held: &[(MessageId, i64)],
    now: Timestamp,
    until: Timestamp,
) -> Result<u64> {
    let batch = held.iter().map(|(id, fence)| vec![Value::from(*id), (*fence).into()]);
    Ok(tx.sql(&LEASE_RENEW, Args::of([now.into(), until.into()]).with_batch(batch))?.execute().await?)
}

#[derive(FromQueryResult)]
struct SweptRow {
    id: MessageId,
    fence: i64,
}

#[derive(FromQueryResult)]
struct SweptAttempt {
    id: MessageId,
    state: String,
}

/// Takes messages back whose lease ran out: one that a server took ends, one whose outcome nobody knows waits to be
/// reconciled, the others are due again. Returns them with what their attempts came to.
pub(in crate::messaging) async fn sweep_leases(
    tx: &mut TenantTx,
    now: Timestamp,
    reconcile: TimeDelta,
    limit: i64,
) -> Result<Vec<(MessageId, AttemptStatus)>> {
    let swept: Vec<SweptRow> = tx.sql(&SWEEP_LEASES, Args::of([now.into(), limit.into()]))?.all().await?;
    if swept.is_empty() {
        return Ok(Vec::new());
    }
    let ids = || swept.iter().map(|row| vec![Value::from(row.id)]);
    tx.sql(&SWEEP_ATTEMPTS, Args::of([now.into()]).with_batch(ids()))?.execute().await?;
    let outcomes: Vec<SweptAttempt> = tx.sql(&SWEEP_OUTCOMES, Args::batch(ids()))?.all().await?;
    let outcomes: HashMap<MessageId, AttemptStatus> = outcomes
        .into_iter()
        .map(|attempt| Ok((attempt.id, attempt.state.parse().map_err(Error::fault)?)))
        .collect::<Result<_>>()?;
    let outcome = |id| outcomes.get(id).copied().unwrap_or(AttemptStatus::Lapsed);
    let moves = swept.iter().map(|row| {
        let (state, due_at) = match outcome(&row.id) {
            AttemptStatus::Accepted => (MessageStatus::Sent, now),
            AttemptStatus::Unknown => (MessageStatus::Unknown, now + reconcile),
            _ => (MessageStatus::Queued, now),
        };
        vec![Value::from(row.id), row.fence.into(), state.as_str().into(), due_at.into()]
    });
    tx.sql(&SWEEP_MOVE, Args::of([now.into()]).with_batch(moves))?.execute().await?;
    Ok(swept.iter().map(|row| (row.id, outcome(&row.id))).collect())
}

/// A message of unknown outcome, with what its attempt has come to and why.
#[derive(Debug)]
pub(in crate::messaging) struct UnknownMessage {
    pub id: MessageId,
    pub attempt: Option<(AttemptStatus, Option<FailureClass>)>,
    pub facts: AttemptFacts,
}

#[derive(FromQueryResult)]
struct UnknownRow {
    id: MessageId,
    class: String,
    send_at: Timestamp,
    expires_at: Timestamp,
    attempts: i32,
    attempt: Option<String>,
    failure: Option<String>,
}

/// Unknown outcomes whose time for reconciling is over.
pub(in crate::messaging) async fn unknown_due(
    tx: &mut TenantTx,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<UnknownMessage>> {
    let rows: Vec<UnknownRow> = tx.sql(&UNKNOWN_DUE, Args::of([now.into(), limit.into()]))?.all().await?;
    let unknown = |row: UnknownRow| {
        let failure = row.failure.as_deref().and_then(|code| code.parse().ok());
        let status = row.attempt.as_deref().map(str::parse).transpose().map_err(Error::fault)?;
        let window = RetryWindow { queued_at: row.send_at, expires_at: row.expires_at };
        let attempt = u32::try_from(row.attempts).unwrap_or(u32::MAX);
        let facts = AttemptFacts { class: row.class.parse().map_err(Error::fault)?, attempt, window };
        Ok(UnknownMessage { id: row.id, attempt: status.map(|status| (status, failure)), facts })
    };
    rows.into_iter().map(unknown).collect()
}

/// Moves unknown outcomes on that are still what they were decided by; returns which.
pub(in crate::messaging) async fn unknown_move(
    tx: &mut TenantTx,
    moves: Vec<(MessageId, Option<AttemptStatus>, MessageMove)>,
    now: Timestamp,
) -> Result<Vec<MessageId>> {
    if moves.is_empty() {
        return Ok(Vec::new());
    }
    // A settled one is looked at no more, unless evidence wakes it: its due time lies beyond any clock.
    let never = Timestamp::from_timestamp(253_402_300_799, 0).unwrap_or(now);
    let batch = moves.into_iter().map(|(id, attempt, to)| {
        let (state, due_at) = match to {
            MessageMove::Requeue { due_at } => (MessageStatus::Queued, due_at),
            MessageMove::End(ending) => (ending.status(), never),
        };
        vec![Value::from(id), attempt.map(AttemptStatus::as_str).into(), state.as_str().into(), due_at.into()]
    });
    let rows: Vec<IdRow> = tx.sql(&UNKNOWN_MOVE, Args::of([now.into()]).with_batch(batch))?.all().await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Has unknown outcomes decided at once, for there is evidence.
pub(in crate::messaging) async fn unknown_wake(tx: &mut TenantTx, ids: &[MessageId], now: Timestamp) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let batch = ids.iter().map(|id| vec![Value::from(*id)]);
    tx.sql(&UNKNOWN_WAKE, Args::of([now.into()]).with_batch(batch))?.execute().await?;
    Ok(())
}
