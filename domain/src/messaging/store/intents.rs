//! Intents become rows: what must be known to accept them, and the insert that makes each key count once (C-164).

use carillon_entities::ids::{BrandId, ContactId, EnrollmentId, MessageId, SenderId, TemplateVersionId, TopicId};
use carillon_entities::rows::messaging::messages;
use carillon_entities::statements;
use carillon_entities::wall::{Args, OnConflict, TenantTx};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    FromQueryResult, Value,
};

use super::tracking::{ContactTracking, tracking_columns};
use crate::error::{Error, Result};
use crate::keys::AddressHmac;
use crate::messaging::{MessageClass, MessageStatus, Origin, TrackingMode};
use crate::time::Timestamp;
use crate::trace::{self, TraceParent};

statements! {
    /// The contacts that intents name.
    INTENT_CONTACTS() [id: Uuid] = concat!(
        "SELECT c.id, c.state, c.email, ", tracking_columns!(),
        " FROM ({batch}) AS b JOIN contacts c ON c.tenant_id = $1 AND c.id = b.id");
    /// The messages that hold the intent keys of a call, whoever inserted them.
    INTENT_MESSAGES() [intent_key: Text] =
        "SELECT m.intent_key, m.id, m.fingerprint, m.state \
         FROM ({batch}) AS b JOIN messages m ON m.tenant_id = $1 AND m.intent_key = b.intent_key";
    /// Cancels queued messages.
    MESSAGES_CANCEL(Time) [id: Uuid] =
        "UPDATE messages SET state = 'cancelled', settled_at = $2, fence = fence + 1 WHERE tenant_id = $1 \
         AND state = 'queued' AND id IN (SELECT b.id FROM ({batch}) AS b) RETURNING id";
    /// Cancels what is queued of ways on workflows.
    MESSAGES_CANCEL_OF_WAYS(Time) [enrollment_id: Uuid] =
        "UPDATE messages SET state = 'cancelled', reason = 'way_ended', settled_at = $2, fence = fence + 1 \
         WHERE tenant_id = $1 AND state = 'queued' AND enrollment_id IS NOT NULL \
         AND enrollment_id IN (SELECT b.enrollment_id FROM ({batch}) AS b) RETURNING id";
    /// The reserved topic of a sender's brand.
    RESERVED_TOPIC(Uuid) =
        "SELECT t.id FROM sender_identities s JOIN topics t ON t.tenant_id = $1 AND t.brand_id = s.brand_id \
         AND t.key = 'all_marketing' WHERE s.tenant_id = $1 AND s.id = $2";
    /// Counts usage of a day and tells how many more the tenant may send in it: fewer than none if that was too many.
    USAGE_ADD(Text, Date, BigInt) =
        "INSERT INTO usage (tenant_id, meter, day, count) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (tenant_id, meter, day) DO UPDATE SET count = usage.count + excluded.count \
         RETURNING (SELECT t.max_messages_per_day FROM tenants t WHERE t.id = $1) - usage.count AS count";
    /// How many more the tenant may send in a day.
    USAGE_ROOM(Text, Date) =
        "SELECT t.max_messages_per_day - COALESCE((SELECT u.count FROM usage u \
            WHERE u.tenant_id = $1 AND u.meter = $2 AND u.day = $3), 0) AS count FROM tenants t WHERE t.id = $1";
}

#[derive(FromQueryResult)]
struct ContactRow {
    id: ContactId,
    state: String,
    email: Option<String>,
    country: Option<String>,
    own_mode: Option<String>,
    tenant_mode: Option<String>,
}

/// What an intent needs to know of its contact.
#[derive(Debug, Clone)]
pub(in crate::messaging) struct IntentContact {
    pub id: ContactId,
    pub is_active: bool,
    /// As stored; parsed by the caller.
    pub email: Option<String>,
    pub tracking: ContactTracking,
}

pub(in crate::messaging) async fn contacts_for_intents(
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = ContactId>,
) -> Result<Vec<IntentContact>> {
    let batch = ids.into_iter().map(|id| vec![Value::from(id)]);
    let rows: Vec<ContactRow> = tx.sql(&INTENT_CONTACTS, Args::batch(batch))?.all().await?;
    let contact = |row: ContactRow| {
        let tracking = ContactTracking::read(row.id, row.country, (row.own_mode, row.tenant_mode))?;
        Ok(IntentContact { id: row.id, is_active: row.state == "active", email: row.email, tracking })
    };
    rows.into_iter().map(contact).collect()
}

/// A message about to be queued.
#[derive(Debug, Clone)]
pub(in crate::messaging) struct NewMessage {
    pub id: MessageId,
    pub intent_key: String,
    pub fingerprint: [u8; 32],
    pub class: MessageClass,
    pub contact: Option<ContactId>,
    pub address: AddressHmac,
    pub sealed_address: Option<Vec<u8>>,
    pub brand: BrandId,
    pub topic: Option<TopicId>,
    pub sender: SenderId,
    pub template_version: TemplateVersionId,
    pub sealed_variables: Option<Vec<u8>>,
    pub internet_message_id: String,
    pub is_test: bool,
    pub tracking: TrackingMode,
    pub origin: Option<Origin>,
    pub due_at: Timestamp,
    pub expires_at: Timestamp,
    pub created_at: Timestamp,
}

/// Queues messages; one whose intent key is taken is left out. They keep the span that queues them, if it is exported.
pub(in crate::messaging) async fn messages_insert(tx: &mut TenantTx, new: Vec<NewMessage>) -> Result<u64> {
    let trace = trace::current().map(TraceParent::to_bytes);
    let rows = new.into_iter().map(|message| messages::ActiveModel {
        id: Set(message.id),
        intent_key: Set(message.intent_key),
        fingerprint: Set(message.fingerprint.to_vec()),
        lane: Set(message.class.lane().as_str().to_owned()),
        class: Set(message.class.as_str().to_owned()),
        state: Set(MessageStatus::Queued.as_str().to_owned()),
        channel: Set("email".to_owned()),
        contact_id: Set(message.contact),
        address_hmac: Set(message.address.hash.as_bytes().to_vec()),
        hmac_key_id: Set(message.address.key.to_string()),
        sealed_address: Set(message.sealed_address),
        brand_id: Set(message.brand),
        topic_id: Set(message.topic),
        sender_id: Set(message.sender),
        template_version_id: Set(message.template_version),
        sealed_variables: Set(message.sealed_variables),
        internet_message_id: Set(message.internet_message_id),
        attempts: Set(0),
        is_test: Set(message.is_test),
        tracking: Set(message.tracking.as_str().to_owned()),
        workflow_version_id: Set(message.origin.as_ref().and_then(Origin::version)),
        enrollment_id: Set(message.origin.as_ref().and_then(Origin::enrollment)),
        campaign_id: Set(message.origin.as_ref().and_then(Origin::campaign)),
        variant: Set(message.origin.as_ref().and_then(Origin::variant)),
        node: Set(message.origin.as_ref().and_then(Origin::node)),
        due_at: Set(message.due_at),
        send_at: Set(message.due_at),
        expires_at: Set(message.expires_at),
        fence: Set(0),
        created_at: Set(message.created_at),
        // Left out where there is none, so that it costs nothing there.
        trace: trace.clone().map_or(NotSet, |trace| Set(Some(trace))),
        ..Default::default()
    });
    Ok(tx.insert_many(rows.collect(), OnConflict::Keep).await?)
}

/// A message that holds an intent key.
#[derive(Debug, Clone)]
pub(in crate::messaging) struct KnownIntent {
    pub intent_key: String,
    pub id: MessageId,
    pub fingerprint: Vec<u8>,
    pub status: MessageStatus,
}

#[derive(FromQueryResult)]
struct IntentRow {
    intent_key: String,
    id: MessageId,
    fingerprint: Vec<u8>,
    state: String,
}

pub(in crate::messaging) async fn messages_by_intent(
    tx: &mut TenantTx,
    keys: impl IntoIterator<Item = String>,
) -> Result<Vec<KnownIntent>> {
    let batch = keys.into_iter().map(|key| vec![Value::from(key)]);
    let rows: Vec<IntentRow> = tx.sql(&INTENT_MESSAGES, Args::batch(batch))?.all().await?;
    rows.into_iter()
        .map(|row| {
            Ok(KnownIntent {
                intent_key: row.intent_key,
                id: row.id,
                fingerprint: row.fingerprint,
                status: row.state.parse().map_err(Error::fault)?,
            })
        })
        .collect()
}

#[derive(FromQueryResult)]
struct CountRow {
    count: i64,
}

/// None where the tenant has no row.
#[derive(FromQueryResult)]
struct RoomRow {
    count: Option<i64>,
}

/// Adds to today's meter; false when the tenant's limit would be passed, in which case the caller rolls back.
pub(in crate::messaging) async fn usage_add(tx: &mut TenantTx, now: Timestamp, messages: i64) -> Result<bool> {
    let args = [Value::from("messages"), Value::from(now.date_naive()), Value::from(messages)];
    let room: Option<RoomRow> = tx.sql(&USAGE_ADD, Args::of(args))?.one().await?;
    let room = room.and_then(|room| room.count).ok_or_else(|| Error::fault("the tenant has no row"))?;
    Ok(room >= 0)
}

/// How many more messages today has room for, as far as is committed.
pub(in crate::messaging) async fn usage_room(tx: &mut TenantTx, now: Timestamp) -> Result<i64> {
    let args = [Value::from("messages"), Value::from(now.date_naive())];
    let room: Option<CountRow> = tx.sql(&USAGE_ROOM, Args::of(args))?.one().await?;
    Ok(room.ok_or_else(|| Error::fault("the tenant has no row"))?.count)
}

/// Cancels queued messages; returns which those were.
pub(in crate::messaging) async fn messages_cancel(
    tx: &mut TenantTx,
    ids: &[MessageId],
    now: Timestamp,
) -> Result<Vec<MessageId>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: MessageId,
    }
    let batch = ids.iter().map(|id| vec![Value::from(*id)]);
    let rows: Vec<Row> = tx.sql(&MESSAGES_CANCEL, Args::of([now.into()]).with_batch(batch))?.all().await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Cancels what is queued of ways on workflows; returns which those were.
pub(in crate::messaging) async fn messages_cancel_of_ways(
    tx: &mut TenantTx,
    ways: &[EnrollmentId],
    now: Timestamp,
) -> Result<Vec<MessageId>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: MessageId,
    }
    let mut cancelled = Vec::new();
    for chunk in ways.chunks(tx.max_batch(&MESSAGES_CANCEL_OF_WAYS)) {
        let batch = chunk.iter().map(|id| vec![Value::from(*id)]);
        let sql = tx.sql(&MESSAGES_CANCEL_OF_WAYS, Args::of([now.into()]).with_batch(batch))?;
        cancelled.extend(sql.all::<Row>().await?.into_iter().map(|row| row.id));
    }
    Ok(cancelled)
}

/// The reserved topic of a sender's brand.
pub(in crate::messaging) async fn reserved_topic(tx: &mut TenantTx, sender: SenderId) -> Result<Option<TopicId>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: TopicId,
    }
    let row: Option<Row> = tx.sql(&RESERVED_TOPIC, Args::of([sender.into()]))?.one().await?;
    Ok(row.map(|row| row.id))
}
