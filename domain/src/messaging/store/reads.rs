//! What people see of messages.

use std::collections::HashMap;

use carillon_entities::ids::{ContactId, MessageId};
use carillon_entities::rows::consent::gate_decisions;
use carillon_entities::rows::messaging::messages;
use carillon_entities::statements;
use carillon_entities::wall::{Args, TenantTx};
use sea_orm::{FromQueryResult, Value};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::messaging::queries::{Attempt, DecisionRecord, EVENTS_MAX, EventRecord, Message, MessageFilter, StatRow};
use crate::paging::{Ahead, Page, Paged};
use crate::time::Timestamp;

statements! {
    /// Messages by state and reason since an instant, and how many needed more than one attempt.
    MESSAGE_STATS(Time) =
        "SELECT state, COALESCE(reason, '') AS reason, COUNT(*) AS messages, \
         SUM(CASE WHEN attempts > 1 THEN 1 ELSE 0 END) AS retried FROM messages \
         WHERE tenant_id = $1 AND created_at >= $2 GROUP BY state, COALESCE(reason, '')";
    /// Messages of contacts, so many of each, behind one.
    MESSAGES_OF(Uuid, BigInt) [contact_id: Uuid] =
        "SELECT * FROM (SELECT m.tenant_id, m.id, m.intent_key, m.fingerprint, m.lane, m.class, m.state, \
         m.reason, m.channel, m.contact_id, m.address_hmac, m.hmac_key_id, m.sealed_address, m.brand_id, \
         m.topic_id, m.sender_id, m.template_version_id, m.sealed_variables, m.internet_message_id, m.attempts, \
         m.is_test, m.tracking, m.workflow_version_id, m.enrollment_id, m.campaign_id, m.node, m.variant, \
         m.due_at, m.send_at, m.expires_at, m.lease_until, m.claimed_by, m.fence, m.created_at, m.settled_at, \
         m.trace, \
         ROW_NUMBER() OVER (PARTITION BY m.contact_id ORDER BY m.id) AS nth \
         FROM ({batch}) AS b JOIN messages m ON m.tenant_id = $1 AND m.contact_id = b.contact_id \
         WHERE m.id > $2) AS numbered WHERE nth <= $3 ORDER BY contact_id, id";
    /// The attempts of messages.
    ATTEMPTS_OF() [id: Uuid] =
        "SELECT a.message_id, a.number, a.state, a.cleared_at, a.started_at, a.settled_at, a.smtp_code, \
         a.enhanced_code, a.class, a.rule_id FROM ({batch}) AS b \
         JOIN attempts a ON a.tenant_id = $1 AND a.message_id = b.id ORDER BY a.message_id, a.number";
    /// What happened to messages, so much of each; opens and clicks have counts of their own.
    EVENTS_OF_MESSAGES(BigInt) [id: Uuid] =
        "SELECT message_id, kind, detail, at FROM (SELECT e.message_id, e.id, e.kind, e.detail, e.at, \
         ROW_NUMBER() OVER (PARTITION BY e.message_id ORDER BY e.id) AS nth \
         FROM ({batch}) AS b JOIN message_events e ON e.tenant_id = $1 AND e.message_id = b.id \
         WHERE e.kind NOT IN ('opened', 'clicked')) AS numbered WHERE nth <= $2 ORDER BY message_id, id";
    /// The gate's decisions on messages.
    DECISIONS_OF() [id: Uuid] =
        "SELECT d.tenant_id, d.id, d.message_id, d.attempt, d.verdict, d.reason, d.rules_version, d.facts, \
         d.trace, d.at FROM ({batch}) AS b \
         JOIN gate_decisions d ON d.tenant_id = $1 AND d.message_id = b.id ORDER BY d.message_id, d.id";
}

pub(in crate::messaging) async fn messages_find(
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = MessageId>,
) -> Result<Vec<Message>> {
    let select = tx.select::<messages::Entity>().is_in(messages::Column::Id, ids);
    select.limit(1_000).all().await?.into_iter().map(message).collect()
}

/// A page of messages, oldest first.
pub(in crate::messaging) async fn messages_page(
    tx: &mut TenantTx,
    filter: &MessageFilter,
    page: &Page<MessageId>,
) -> Result<Paged<Message>> {
    use messages::Column;
    let mut select = tx.select::<messages::Entity>();
    if let Some(state) = filter.state {
        select = select.eq(Column::State, state.as_str());
    }
    if let Some(contact) = filter.contact {
        select = select.eq(Column::ContactId, contact);
    }
    if let Some(since) = filter.since {
        select = select.gte(Column::CreatedAt, since);
    }
    let rows = page.keyset(select, Column::Id).all().await?;
    Ok(page.finish(rows.into_iter().map(message).collect::<Result<_>>()?))
}

/// A page of each contact's messages, oldest first.
pub(in crate::messaging) async fn messages_of(
    tx: &mut TenantTx,
    contacts: &[ContactId],
    page: Ahead<MessageId>,
) -> Result<HashMap<ContactId, Paged<Message>>> {
    let after = page.after.unwrap_or(MessageId(Uuid::nil()));
    let args =
        Args::of([after.into(), page.limit().into()]).with_batch(contacts.iter().map(|id| vec![Value::from(*id)]));
    let rows: Vec<messages::Model> = tx.sql(&MESSAGES_OF, args)?.all().await?;
    let of_contact = |row: messages::Model| row.contact_id.map(|contact| Ok((contact, message(row)?)));
    Ok(page.finish(rows.into_iter().filter_map(of_contact).collect::<Result<Vec<_>>>()?))
}

fn message(row: messages::Model) -> Result<Message> {
    Ok(Message {
        id: row.id,
        status: row.state.parse().map_err(Error::fault)?,
        reason: row.reason,
        class: row.class.parse().map_err(Error::fault)?,
        contact: row.contact_id,
        brand: row.brand_id,
        topic: row.topic_id,
        template_version: row.template_version_id,
        sender: row.sender_id,
        internet_message_id: row.internet_message_id,
        attempts: row.attempts,
        is_test: row.is_test,
        tracking: row.tracking.parse().map_err(Error::fault)?,
        due_at: row.due_at,
        expires_at: row.expires_at,
        created_at: row.created_at,
        settled_at: row.settled_at,
    })
}

pub(in crate::messaging) async fn message_stats(tx: &mut TenantTx, since: Timestamp) -> Result<Vec<StatRow>> {
    #[derive(FromQueryResult)]
    struct Row {
        state: String,
        reason: String,
        messages: i64,
        retried: i64,
    }
    let rows: Vec<Row> = tx.sql(&MESSAGE_STATS, Args::of([since.into()]))?.all().await?;
    rows.into_iter()
        .map(|row| {
            Ok(StatRow {
                status: row.state.parse().map_err(Error::fault)?,
                reason: row.reason,
                messages: row.messages,
                retried: row.retried,
            })
        })
        .collect()
}

pub(in crate::messaging) async fn attempts_of(
    tx: &mut TenantTx,
    messages: impl IntoIterator<Item = MessageId>,
) -> Result<Vec<(MessageId, Attempt)>> {
    #[derive(FromQueryResult)]
    struct Row {
        message_id: MessageId,
        number: i32,
        state: String,
        cleared_at: Timestamp,
        started_at: Option<Timestamp>,
        settled_at: Option<Timestamp>,
        smtp_code: Option<i32>,
        enhanced_code: Option<String>,
        class: Option<String>,
        rule_id: Option<String>,
    }
    let batch = messages.into_iter().map(|id| vec![Value::from(id)]);
    let rows: Vec<Row> = tx.sql(&ATTEMPTS_OF, Args::batch(batch))?.all().await?;
    rows.into_iter()
        .map(|row| {
            let attempt = Attempt {
                number: row.number,
                status: row.state.parse().map_err(Error::fault)?,
                cleared_at: row.cleared_at,
                started_at: row.started_at,
                settled_at: row.settled_at,
                smtp_code: row.smtp_code,
                enhanced_code: row.enhanced_code,
                class: row.class,
                rule: row.rule_id,
            };
            Ok((row.message_id, attempt))
        })
        .collect()
}

pub(in crate::messaging) async fn events_of(
    tx: &mut TenantTx,
    messages: impl IntoIterator<Item = MessageId>,
) -> Result<Vec<(MessageId, EventRecord)>> {
    #[derive(FromQueryResult)]
    struct Row {
        message_id: MessageId,
        kind: String,
        detail: Json,
        at: Timestamp,
    }
    let most = i64::try_from(EVENTS_MAX).unwrap_or(i64::MAX);
    let batch = messages.into_iter().map(|id| vec![Value::from(id)]);
    let rows: Vec<Row> = tx.sql(&EVENTS_OF_MESSAGES, Args::of([most.into()]).with_batch(batch))?.all().await?;
    let record = |row: Row| (row.message_id, EventRecord { kind: row.kind, detail: row.detail, at: row.at });
    Ok(rows.into_iter().map(record).collect())
}

pub(in crate::messaging) async fn decisions_of(
    tx: &mut TenantTx,
    messages: impl IntoIterator<Item = MessageId>,
) -> Result<Vec<(MessageId, DecisionRecord)>> {
    let batch = messages.into_iter().map(|id| vec![Value::from(id)]);
    let rows: Vec<gate_decisions::Model> = tx.sql(&DECISIONS_OF, Args::batch(batch))?.all().await?;
    let record = |row: gate_decisions::Model| {
        let record = DecisionRecord {
            id: row.id,
            attempt: row.attempt,
            verdict: row.verdict,
            reason: row.reason,
            rules_version: row.rules_version,
            facts: row.facts,
            trace: row.trace,
            at: row.at,
        };
        (row.message_id, record)
    };
    Ok(rows.into_iter().map(record).collect())
}
