//! Claims (L4): a worker takes due rows for a short lease under a growing fence; every later write shows the fence.

use std::collections::{HashMap, HashSet};

use carillon_entities::ids::{
    BrandId, CampaignId, ContactId, EnrollmentId, MessageId, SenderId, TemplateVersionId, TopicId, WorkflowVersionId,
};
use carillon_entities::statements;
use carillon_entities::wall::{Args, TenantTx};
use chrono::TimeDelta;
use sea_orm::{FromQueryResult, Value};
use serde_json::Value as Json;

use super::tracking::{ContactTracking, tracking_columns};
use crate::contacts::{AttributeName, AttributeValue, Attributes};
use crate::error::{Error, Result};
use crate::keys::{AddressHash, AddressHmac};
use crate::messaging::claim::{ClaimedMessage, ContactFacts};
use crate::messaging::{Ending, MessageClass, MessageMove};
use crate::time::Timestamp;
use crate::trace::TraceParent;

statements! {
    /// Takes due messages of a lane. In a common table expression, because Postgres may run a sub-select again for every
    /// row, and with SKIP LOCKED each run would take others.
    MESSAGES_CLAIM(Text, Time, BigInt, Time, Text) =
        "WITH due AS (SELECT id FROM messages WHERE tenant_id = $1 AND lane = $2 \
         AND state = 'queued' AND due_at <= $3 ORDER BY due_at LIMIT $4 {skip_locked}) \
         UPDATE messages SET state = 'claimed', lease_until = $5, claimed_by = $6, fence = fence + 1, attempts = attempts + 1 \
         WHERE tenant_id = $1 AND id IN (SELECT due.id FROM due) \
         RETURNING id, fence, class, contact_id, address_hmac, hmac_key_id, sealed_address, brand_id, topic_id, \
         sender_id, template_version_id, sealed_variables, internet_message_id, attempts, is_test, enrollment_id, campaign_id, tracking, workflow_version_id, node, variant, send_at, \
         expires_at, trace, \
         (SELECT COUNT(*) FROM attempts a WHERE a.tenant_id = $1 AND a.message_id = messages.id AND a.state <> 'lapsed' \
         AND COALESCE(a.rule_id, '') NOT IN ('permit_expired', 'draining', 'busy')) AS tries, \
         (SELECT MIN(a.cleared_at) FROM attempts a WHERE a.tenant_id = $1 AND a.message_id = messages.id \
         AND a.started_at IS NOT NULL AND a.state <> 'not_handed_over') AS first_cleared_at, \
         (SELECT COUNT(*) FROM attempts a WHERE a.tenant_id = $1 AND a.message_id = messages.id \
         AND a.state = 'accepted') AS accepted";
    /// What rendering needs of the contacts.
    CLAIM_CONTACTS() [id: Uuid] = concat!(
        "SELECT c.id, c.email, c.external_id, c.first_name, c.last_name, c.locale, c.attributes, ", tracking_columns!(),
        " FROM ({batch}) AS b JOIN contacts c ON c.tenant_id = $1 AND c.id = b.id");
    /// The messages of a batch that this claim still holds, and their contacts as they are now. No lock: a claim lost later
    /// stops the start of its attempt.
    GATE_MESSAGES() [id: Uuid, fence: BigInt, contact_id: Uuid] =
        "SELECT m.id, c.id AS contact_id, c.state, c.email FROM ({batch}) AS b \
         JOIN messages m ON m.tenant_id = $1 AND m.id = b.id AND m.fence = b.fence AND m.state = 'claimed' \
         LEFT JOIN contacts c ON c.tenant_id = $1 AND c.id = b.contact_id";
    /// The senders as they are now, with the reserved topics of their brands, and whether the tenant may send at all.
    GATE_SENDERS() [id: Uuid] =
        "SELECT s.id, s.verified_at, s.brand_id, r.id AS all_marketing, t.suspended_at FROM ({batch}) AS b \
         JOIN sender_identities s ON s.tenant_id = $1 AND s.id = b.id JOIN tenants t ON t.id = $1 \
         LEFT JOIN topics r ON r.tenant_id = $1 AND r.brand_id = s.brand_id AND r.key = 'all_marketing'";
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
    tracking: String,
    workflow_version_id: Option<WorkflowVersionId>,
    node: Option<String>,
    variant: Option<String>,
    enrollment_id: Option<EnrollmentId>,
    campaign_id: Option<CampaignId>,
    send_at: Timestamp,
    expires_at: Timestamp,
    trace: Option<Vec<u8>>,
    tries: i64,
    first_cleared_at: Option<Timestamp>,
    accepted: i64,
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
    country: Option<String>,
    own_mode: Option<String>,
    tenant_mode: Option<String>,
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
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let contacts = rows.iter().filter_map(|row| row.contact_id).map(|id| vec![Value::from(id)]);
    let contacts: Vec<ContactRow> = tx.sql(&CLAIM_CONTACTS, Args::batch(contacts))?.all().await?;
    let contacts: HashMap<ContactId, ContactFacts> =
        contacts.into_iter().map(|row| Ok((row.id, contact_facts(row)?))).collect::<Result<_>>()?;
    rows.into_iter()
        .map(|row| {
            let contact = row.contact_id.map(|id| contacts.get(&id).cloned().unwrap_or_else(|| ContactFacts::gone(id)));
            claimed(row, contact, claim.lease_until)
        })
        .collect()
}

fn contact_facts(row: ContactRow) -> Result<ContactFacts> {
    let tracking = ContactTracking::read(row.id, row.country, (row.own_mode, row.tenant_mode))?;
    Ok(ContactFacts {
        id: row.id,
        email: row.email,
        external_id: row.external_id,
        first_name: row.first_name,
        last_name: row.last_name,
        locale: row.locale,
        attributes: attributes(&row.attributes),
        tracking: tracking.facts().mode(),
        may_have_pixel: tracking.facts().may_have_pixel(),
    })
}

/// Attributes from their projection; what no longer fits the rules is left out, as if it were not there.
pub(in crate::messaging) fn attributes(json: &Json) -> Attributes {
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
        tracking: row.tracking.parse().map_err(Error::fault)?,
        origin: (row.workflow_version_id, row.node, row.variant),
        enrollment: row.enrollment_id,
        campaign: row.campaign_id,
        send_at: row.send_at,
        expires_at: row.expires_at,
        trace: row.trace.and_then(|trace| TraceParent::from_bytes(&trace)),
        tries: u32::try_from(row.tries).unwrap_or(u32::MAX),
        first_cleared_at: row.first_cleared_at,
        is_accepted: row.accepted > 0 && !carillon_entities::seeded_bugs::on("late_evidence_ignored"),
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

/// What the gate looks at beside the message itself, for a whole batch.
#[derive(Debug, Default)]
pub(in crate::messaging) struct GateRows {
    /// The messages that the claim still holds.
    pub held: HashSet<MessageId>,
    /// Of their contacts: whether the state is `active`, `archived` or `deleted`, and the present address.
    pub contacts: HashMap<ContactId, (String, Option<String>)>,
    /// Sender, whether it is verified.
    pub senders: Vec<(SenderId, bool)>,
    pub tenant_suspended: bool,
    /// The reserved topics of the senders' brands, which are the messages' own.
    pub all_marketing: HashMap<BrandId, TopicId>,
}

#[derive(FromQueryResult)]
struct MessageNow {
    id: MessageId,
    contact_id: Option<ContactId>,
    state: Option<String>,
    email: Option<String>,
}

#[derive(FromQueryResult)]
struct SenderNow {
    id: SenderId,
    verified_at: Option<Timestamp>,
    brand_id: BrandId,
    all_marketing: Option<TopicId>,
    suspended_at: Option<Timestamp>,
}

/// What the gate looks at for messages of a claim: each with its fence and its contact, if it has one.
pub(in crate::messaging) async fn gate_facts(
    tx: &mut TenantTx,
    claims: impl IntoIterator<Item = (MessageId, i64, Option<ContactId>)>,
    senders: &[SenderId],
) -> Result<GateRows> {
    let claims = claims.into_iter().map(|(id, fence, contact)| {
        let contact = contact.map(|contact| contact.0);
        vec![Value::from(id), fence.into(), contact.into()]
    });
    let messages: Vec<MessageNow> = tx.sql(&GATE_MESSAGES, Args::batch(claims))?.all().await?;
    let ids = senders.iter().map(|id| vec![Value::from(*id)]);
    let senders: Vec<SenderNow> = tx.sql(&GATE_SENDERS, Args::batch(ids))?.all().await?;
    let reserved = senders.iter().filter_map(|row| Some((row.brand_id, row.all_marketing?)));
    Ok(GateRows {
        all_marketing: reserved.collect(),
        tenant_suspended: senders.iter().any(|row| row.suspended_at.is_some()),
        senders: senders.iter().map(|row| (row.id, row.verified_at.is_some())).collect(),
        held: messages.iter().map(|row| row.id).collect(),
        contacts: messages.into_iter().filter_map(|row| Some((row.contact_id?, (row.state?, row.email)))).collect(),
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

impl Move {
    /// How and why the message ends, if it does.
    pub fn ended(self) -> Option<(MessageId, Ending, Option<String>)> {
        match self.to {
            MessageMove::End(ending) => Some((self.id, ending, self.reason)),
            MessageMove::Requeue { .. } => None,
        }
    }
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
