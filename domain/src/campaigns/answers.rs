//! What came of campaigns: numbers whose sum is the audience, and an answer for each of it.

use std::collections::{BTreeMap, HashMap};

use carillon_entities::ids::{CampaignId, ContactId};
use carillon_entities::wall::TenantTx;

use super::store::answers::{CountRow, DeedRow, campaigns_count, recipients_find, recipients_of};
use super::store::campaigns::{campaigns_find, campaigns_page};
use super::{Campaign, CampaignRecipient, RecipientOutcome};
use crate::error::{Error, Result};
use crate::paging::{Ahead, Page, Paged};
use crate::tenancy::{Grant, ReadCampaigns};
use crate::workflows::{Proportion, wilson};

/// People of a campaign, by what became of them: each is counted once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VariantCounts {
    /// The variant; none for those who wait for the one that is chosen.
    pub variant: Option<String>,
    /// How many came to what.
    pub outcomes: BTreeMap<RecipientOutcome, i64>,
    /// Why those who were refused were.
    pub refused: BTreeMap<String, i64>,
    /// Of those whose mail was sent and is tracked individually.
    tracked: i64,
    opened: i64,
    clicked: i64,
}

impl VariantCounts {
    /// How many there are.
    pub fn recipients(&self) -> i64 {
        self.outcomes.values().sum()
    }

    /// How many came to this.
    pub fn of(&self, outcome: RecipientOutcome) -> i64 {
        self.outcomes.get(&outcome).copied().unwrap_or(0)
    }

    /// Who opened it after a human hand, of those of whom it would be known.
    pub fn opened(&self) -> Proportion {
        wilson(self.opened, self.tracked)
    }

    /// Who clicked in it, of the same.
    pub fn clicked(&self) -> Proportion {
        wilson(self.clicked, self.tracked)
    }

    fn add(&mut self, row: &CountRow) -> Result<()> {
        // Whoever has a message is counted by it, and it is claimed while it is on its way.
        let outcome = if row.what == "claimed" { "queued" } else { row.what.as_str() };
        let outcome: RecipientOutcome = outcome.parse().map_err(Error::fault)?;
        *self.outcomes.entry(outcome).or_default() += row.people;
        if outcome == RecipientOutcome::Refused {
            *self.refused.entry(row.reason.clone().unwrap_or_default()).or_default() += row.people;
        }
        Ok(())
    }

    fn deeds(&mut self, row: &DeedRow) {
        self.tracked += row.tracked;
        self.opened += row.opened;
        self.clicked += row.clicked;
    }

    fn join(&mut self, other: &Self) {
        for (outcome, people) in &other.outcomes {
            *self.outcomes.entry(*outcome).or_default() += people;
        }
        for (reason, people) in &other.refused {
            *self.refused.entry(reason.clone()).or_default() += people;
        }
        self.tracked += other.tracked;
        self.opened += other.opened;
        self.clicked += other.clicked;
    }
}

/// The numbers of a campaign.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CampaignCounts {
    /// Of all.
    pub all: VariantCounts,
    /// Of each variant, in the order of their labels; those who wait for a choice come first.
    pub variants: Vec<VariantCounts>,
}

/// The numbers of campaigns, in three statements for all of them; one that goes to nobody yet is left out.
pub async fn campaign_counts(
    _: &Grant<ReadCampaigns>,
    tx: &mut TenantTx,
    ids: &[CampaignId],
) -> Result<HashMap<CampaignId, CampaignCounts>> {
    let counted = campaigns_count(tx, ids).await?;
    let mut found: HashMap<CampaignId, BTreeMap<Option<String>, VariantCounts>> = HashMap::new();
    for row in counted.people.iter().chain(&counted.mails) {
        variant(&mut found, row.campaign_id, row.variant.as_ref()).add(row)?;
    }
    for row in &counted.deeds {
        variant(&mut found, row.campaign_id, row.variant.as_ref()).deeds(row);
    }
    let counts = |variants: BTreeMap<Option<String>, VariantCounts>| {
        let variants: Vec<VariantCounts> = variants.into_values().collect();
        let mut all = VariantCounts::default();
        for one in &variants {
            all.join(one);
        }
        CampaignCounts { all, variants }
    };
    Ok(found.into_iter().map(|(id, variants)| (id, counts(variants))).collect())
}

fn variant<'a>(
    found: &'a mut HashMap<CampaignId, BTreeMap<Option<String>, VariantCounts>>,
    campaign: CampaignId,
    label: Option<&String>,
) -> &'a mut VariantCounts {
    let of_variant = found.entry(campaign).or_default().entry(label.cloned());
    of_variant.or_insert_with_key(|label| VariantCounts { variant: label.clone(), ..VariantCounts::default() })
}

/// Campaigns by id; unknown ids are left out.
pub async fn find_campaigns(
    _: &Grant<ReadCampaigns>,
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = CampaignId>,
) -> Result<Vec<Campaign>> {
    campaigns_find(tx, ids).await
}

/// A page of campaigns, oldest first.
pub async fn campaigns(
    _: &Grant<ReadCampaigns>,
    tx: &mut TenantTx,
    page: &Page<CampaignId>,
) -> Result<Paged<Campaign>> {
    campaigns_page(tx, page).await
}

/// A page of whom each campaign goes to, in two statements for all of them; campaigns without anybody are left out.
pub async fn campaign_recipients(
    _: &Grant<ReadCampaigns>,
    tx: &mut TenantTx,
    campaigns: &[CampaignId],
    page: Ahead<ContactId>,
) -> Result<HashMap<CampaignId, Paged<CampaignRecipient>>> {
    recipients_of(tx, campaigns, page).await
}

/// What became of contacts in campaigns; whoever was not in the audience is left out.
pub async fn find_recipients(
    _: &Grant<ReadCampaigns>,
    tx: &mut TenantTx,
    wanted: &[(CampaignId, ContactId)],
) -> Result<HashMap<(CampaignId, ContactId), CampaignRecipient>> {
    let found = recipients_find(tx, wanted).await?;
    Ok(found.into_iter().map(|(campaign, one)| ((campaign, one.contact), one)).collect())
}
