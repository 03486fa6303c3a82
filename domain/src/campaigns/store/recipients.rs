//! Whom campaigns go to.

use carillon_entities::ids::{CampaignId, ContactId, MessageId};
use carillon_entities::rows::campaigns::campaign_recipients;
use carillon_entities::statements;
use carillon_entities::wall::{Args, OnConflict, TenantTx};
use sea_orm::{ActiveValue::Set, FromQueryResult};

use crate::error::Result;
use crate::time::Timestamp;

statements! {
    /// Whose turn it is, with their language.
    RECIPIENTS_DUE(Uuid, Time, BigInt) =
        "SELECT due.contact_id, due.variant, c.locale FROM (SELECT contact_id, variant, release_at FROM campaign_recipients \
         WHERE tenant_id = $1 AND campaign_id = $2 AND state = 'waiting' AND release_at <= $3 \
         ORDER BY release_at, contact_id LIMIT $4) AS due LEFT JOIN contacts c ON c.tenant_id = $1 AND c.id = due.contact_id \
         ORDER BY due.release_at, due.contact_id";
    /// The same of those who waited for the variant that was chosen.
    RECIPIENTS_DUE_OF_REST(Uuid, Time, BigInt) =
        "SELECT due.contact_id, due.variant, c.locale FROM (SELECT contact_id, variant, release_at FROM campaign_recipients \
         WHERE tenant_id = $1 AND campaign_id = $2 AND state = 'resting' AND release_at <= $3 \
         ORDER BY release_at, contact_id LIMIT $4) AS due LEFT JOIN contacts c ON c.tenant_id = $1 AND c.id = due.contact_id \
         ORDER BY due.release_at, due.contact_id";
    /// Whose turn is next, and whose of the rest.
    RECIPIENTS_NEXT(Uuid) =
        "SELECT (SELECT release_at FROM campaign_recipients WHERE tenant_id = $1 AND campaign_id = $2 AND state = 'waiting' \
            ORDER BY release_at, contact_id LIMIT 1) AS waiting, \
         (SELECT release_at FROM campaign_recipients WHERE tenant_id = $1 AND campaign_id = $2 AND state = 'resting' \
            ORDER BY release_at, contact_id LIMIT 1) AS resting";
    /// How many there are.
    RECIPIENTS_COUNT(Uuid) =
        "SELECT COUNT(*) AS count FROM campaign_recipients WHERE tenant_id = $1 AND campaign_id = $2";
    /// What became of those whose turn it was.
    RECIPIENTS_RELEASE(Uuid) [contact_id: Uuid, state: Text, variant: Text, message_id: Uuid, reason: Text] =
        "WITH done AS ({batch}) UPDATE campaign_recipients SET state = done.state, variant = done.variant, \
         message_id = done.message_id, reason = done.reason FROM done WHERE campaign_recipients.tenant_id = $1 \
         AND campaign_recipients.campaign_id = $2 AND campaign_recipients.contact_id = done.contact_id \
         AND campaign_recipients.state IN ('waiting', 'resting')";
}

/// Somebody about to be written down.
#[derive(Debug, Clone)]
pub(in crate::campaigns) struct NewRecipient {
    pub contact: ContactId,
    /// None waits for the one that is chosen.
    pub variant: Option<String>,
    pub release_at: Timestamp,
}

/// Writes people down, once each.
pub(in crate::campaigns) async fn recipients_insert(
    tx: &mut TenantTx,
    campaign: CampaignId,
    people: Vec<NewRecipient>,
) -> Result<u64> {
    let rows = people.into_iter().map(|one| campaign_recipients::ActiveModel {
        campaign_id: Set(campaign),
        contact_id: Set(one.contact),
        state: Set(if one.variant.is_some() { "waiting" } else { "resting" }.to_owned()),
        variant: Set(one.variant),
        release_at: Set(one.release_at),
        message_id: Set(None),
        reason: Set(None),
        ..Default::default()
    });
    Ok(tx.insert_many(rows.collect(), OnConflict::Keep).await?)
}

/// Somebody whose turn it is.
#[derive(Debug, Clone, FromQueryResult)]
pub(in crate::campaigns) struct DueRecipient {
    pub contact_id: ContactId,
    pub variant: Option<String>,
    pub locale: Option<String>,
}

/// Whose turn it is: of those who have a variant, or of the rest.
pub(in crate::campaigns) async fn recipients_due(
    tx: &mut TenantTx,
    campaign: CampaignId,
    now: Timestamp,
    (of_rest, limit): (bool, i64),
) -> Result<Vec<DueRecipient>> {
    let sql = if of_rest { &RECIPIENTS_DUE_OF_REST } else { &RECIPIENTS_DUE };
    let args = Args::of([campaign.into(), now.into(), limit.into()]);
    Ok(tx.sql(sql, args)?.all().await?)
}

/// Whose turn is next.
#[derive(Debug, Clone, Copy, Default, FromQueryResult)]
pub(in crate::campaigns) struct NextRecipients {
    /// Of those who have a variant.
    pub waiting: Option<Timestamp>,
    /// Of the rest.
    pub resting: Option<Timestamp>,
}

pub(in crate::campaigns) async fn recipients_next(tx: &mut TenantTx, campaign: CampaignId) -> Result<NextRecipients> {
    let row: Option<NextRecipients> = tx.sql(&RECIPIENTS_NEXT, Args::of([campaign.into()]))?.one().await?;
    Ok(row.unwrap_or_default())
}

pub(in crate::campaigns) async fn recipients_count(tx: &mut TenantTx, campaign: CampaignId) -> Result<i64> {
    #[derive(FromQueryResult)]
    struct Row {
        count: i64,
    }
    let row: Option<Row> = tx.sql(&RECIPIENTS_COUNT, Args::of([campaign.into()]))?.one().await?;
    Ok(row.map_or(0, |row| row.count))
}

/// What became of somebody whose turn it was.
#[derive(Debug, Clone)]
pub(in crate::campaigns) struct Released {
    pub contact: ContactId,
    pub variant: String,
    /// Their message, or why there is none.
    pub result: Result<MessageId, &'static str>,
}

pub(in crate::campaigns) async fn recipients_release(
    tx: &mut TenantTx,
    campaign: CampaignId,
    released: &[Released],
) -> Result<()> {
    let batch = released.iter().map(|one| {
        let state = if one.result.is_ok() { "released" } else { "refused" };
        vec![
            one.contact.into(),
            state.into(),
            one.variant.as_str().into(),
            one.result.ok().map(|id| id.0).into(),
            one.result.err().into(),
        ]
    });
    let args = Args::of([campaign.into()]).with_batch(batch);
    tx.sql(&RECIPIENTS_RELEASE, args)?.execute().await?;
    Ok(())
}
