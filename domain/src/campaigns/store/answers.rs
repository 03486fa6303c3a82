//! Counts of campaigns, from the rows themselves: nothing is counted twice or forgotten (C-193); and what became of each.

use std::collections::{BTreeSet, HashMap};

use carillon_entities::ids::{CampaignId, ContactId, MessageId};
use carillon_entities::statements;
use carillon_entities::wall::{Args, TenantTx};
use sea_orm::{FromQueryResult, Value};
use uuid::Uuid;

use crate::campaigns::CampaignRecipient;
use crate::error::{Error, Result};
use crate::paging::{Ahead, Paged};
use crate::time::Timestamp;

/// A person did something with mail `m`.
macro_rules! by_hand {
    ($kinds:literal) => {
        concat!(
            "COALESCE(SUM(CASE WHEN EXISTS (SELECT 1 FROM message_hits h WHERE h.tenant_id = $1 AND h.message_id = m.id \
             AND h.class = 'human' AND h.kind IN (",
            $kinds,
            ")) THEN 1 ELSE 0 END), 0)"
        )
    };
}

/// What is told of recipient `r` of campaign `c` with message `m`, if there is one.
macro_rules! told {
    () => {
        "r.campaign_id, r.contact_id, CASE WHEN m.state IN ('queued', 'claimed') THEN 'queued' \
         WHEN m.state IS NOT NULL THEN m.state WHEN c.state = 'cancelled' AND r.state IN ('waiting', 'resting') \
         THEN 'cancelled' ELSE r.state END AS outcome, COALESCE(m.reason, r.reason) AS reason, r.variant, r.release_at, \
         r.message_id"
    };
}

statements! {
    /// Those for whom no message was made, by what keeps it from them.
    COUNT_RECIPIENTS() [campaign_id: Uuid] =
        "SELECT r.campaign_id, r.variant, CASE WHEN c.state = 'cancelled' AND r.state <> 'refused' THEN 'cancelled' \
         ELSE r.state END AS what, r.reason, COUNT(*) AS people FROM ({batch}) AS b \
         JOIN campaigns c ON c.tenant_id = $1 AND c.id = b.campaign_id \
         JOIN campaign_recipients r ON r.tenant_id = $1 AND r.campaign_id = b.campaign_id AND r.state <> 'released' \
         GROUP BY r.campaign_id, r.variant, r.state, c.state, r.reason";
    /// What became of campaigns' messages.
    COUNT_CAMPAIGN_MAILS() [campaign_id: Uuid] =
        "SELECT m.campaign_id, m.variant, m.state AS what, m.reason, COUNT(*) AS people FROM ({batch}) AS b \
         JOIN messages m ON m.tenant_id = $1 AND m.campaign_id = b.campaign_id \
         GROUP BY m.campaign_id, m.variant, m.state, m.reason";
    /// Who opened or clicked the mail of a variant after a human hand (who clicked has opened), and of how many that could
    /// be known.
    COUNT_CAMPAIGN_DEEDS() [campaign_id: Uuid] = concat!(
        "SELECT m.campaign_id, m.variant, COUNT(*) AS tracked, ", by_hand!("'open', 'click'"), " AS opened, ",
        by_hand!("'click'"), " AS clicked FROM ({batch}) AS b JOIN messages m ON m.tenant_id = $1 \
         AND m.campaign_id = b.campaign_id AND m.state = 'sent' AND m.tracking = 'individual' \
         GROUP BY m.campaign_id, m.variant");
    /// A page of each campaign's recipients, in the order of their contacts: one probe for each of them, so that no more are
    /// read of a million.
    CAMPAIGN_RECIPIENTS_OF(Uuid, BigInt) [campaign_id: Uuid] =
        "WITH RECURSIVE page (campaign_id, contact_id, nth) AS (\
            SELECT b.campaign_id, (SELECT p.contact_id FROM campaign_recipients p WHERE p.tenant_id = $1 \
                AND p.campaign_id = b.campaign_id AND p.contact_id > $2 ORDER BY p.contact_id LIMIT 1), CAST(1 AS BIGINT) \
            FROM ({batch}) AS b \
            UNION ALL SELECT page.campaign_id, (SELECT p.contact_id FROM campaign_recipients p WHERE p.tenant_id = $1 \
                AND p.campaign_id = page.campaign_id AND p.contact_id > page.contact_id ORDER BY p.contact_id LIMIT 1), \
                page.nth + 1 FROM page WHERE page.nth < $3 AND page.contact_id IS NOT NULL) \
         SELECT campaign_id, contact_id FROM page WHERE contact_id IS NOT NULL ORDER BY campaign_id, contact_id";
    /// Recipients of campaigns by their contacts.
    CAMPAIGN_RECIPIENTS_FIND() [campaign_id: Uuid, contact_id: Uuid] = concat!(
        "SELECT ", told!(), " FROM ({batch}) AS b JOIN campaign_recipients r ON r.tenant_id = $1 \
         AND r.campaign_id = b.campaign_id AND r.contact_id = b.contact_id \
         JOIN campaigns c ON c.tenant_id = $1 AND c.id = r.campaign_id \
         LEFT JOIN messages m ON m.tenant_id = $1 AND m.id = r.message_id");
}

/// A number of people, and what it is of.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(in crate::campaigns) struct CountRow {
    pub campaign_id: CampaignId,
    pub variant: Option<String>,
    pub what: String,
    pub reason: Option<String>,
    pub people: i64,
}

/// What people did with a variant.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(in crate::campaigns) struct DeedRow {
    pub campaign_id: CampaignId,
    pub variant: Option<String>,
    pub tracked: i64,
    pub opened: i64,
    pub clicked: i64,
}

/// All that is counted of campaigns.
pub(in crate::campaigns) struct Counted {
    pub people: Vec<CountRow>,
    pub mails: Vec<CountRow>,
    pub deeds: Vec<DeedRow>,
}

pub(in crate::campaigns) async fn campaigns_count(tx: &mut TenantTx, ids: &[CampaignId]) -> Result<Counted> {
    // Joined with the counts: one named twice would count twice.
    let ids: BTreeSet<CampaignId> = ids.iter().copied().collect();
    let args = || Args::batch(ids.iter().map(|id| vec![Value::from(*id)]));
    let people = tx.sql(&COUNT_RECIPIENTS, args())?.all().await?;
    let mails = tx.sql(&COUNT_CAMPAIGN_MAILS, args())?.all().await?;
    let deeds = tx.sql(&COUNT_CAMPAIGN_DEEDS, args())?.all().await?;
    Ok(Counted { people, mails, deeds })
}

#[derive(FromQueryResult)]
struct RecipientRow {
    campaign_id: CampaignId,
    contact_id: ContactId,
    outcome: String,
    reason: Option<String>,
    variant: Option<String>,
    release_at: Timestamp,
    message_id: Option<MessageId>,
}

impl RecipientRow {
    fn read(self) -> Result<(CampaignId, CampaignRecipient)> {
        let recipient = CampaignRecipient {
            contact: self.contact_id,
            outcome: self.outcome.parse().map_err(Error::fault)?,
            reason: self.reason,
            variant: self.variant,
            release_at: self.release_at,
            message: self.message_id,
        };
        Ok((self.campaign_id, recipient))
    }
}

/// A page of each campaign's recipients.
pub(in crate::campaigns) async fn recipients_of(
    tx: &mut TenantTx,
    campaigns: &[CampaignId],
    page: Ahead<ContactId>,
) -> Result<HashMap<CampaignId, Paged<CampaignRecipient>>> {
    #[derive(FromQueryResult)]
    struct Row {
        campaign_id: CampaignId,
        contact_id: ContactId,
    }
    // One named twice would have each row twice.
    let campaigns: BTreeSet<CampaignId> = campaigns.iter().copied().collect();
    let batch = campaigns.into_iter().map(|id| vec![Value::from(id)]);
    let after = page.after.unwrap_or(ContactId(Uuid::nil()));
    let args = Args::of([after.into(), page.limit().into()]).with_batch(batch);
    let rows: Vec<Row> = tx.sql(&CAMPAIGN_RECIPIENTS_OF, args)?.all().await?;
    let wanted: Vec<(CampaignId, ContactId)> = rows.into_iter().map(|row| (row.campaign_id, row.contact_id)).collect();
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let mut found = recipients_find(tx, &wanted).await?;
    found.sort_by_key(|(campaign, one)| (*campaign, one.contact));
    Ok(page.finish(found))
}

/// Recipients by campaign and contact; whoever is none is left out.
pub(in crate::campaigns) async fn recipients_find(
    tx: &mut TenantTx,
    wanted: &[(CampaignId, ContactId)],
) -> Result<Vec<(CampaignId, CampaignRecipient)>> {
    let batch = wanted.iter().map(|(campaign, contact)| vec![Value::from(*campaign), Value::from(*contact)]);
    let rows: Vec<RecipientRow> = tx.sql(&CAMPAIGN_RECIPIENTS_FIND, Args::batch(batch))?.all().await?;
    rows.into_iter().map(RecipientRow::read).collect()
}
