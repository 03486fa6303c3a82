//! A tenant with people and campaigns.

use carillon_domain::campaigns::{
    self, Audience, Campaign, CampaignCounts, CampaignDraft, CampaignGrants, CampaignRecipient, CampaignVariant,
    RecipientOutcome, Schedule, Started, Visit, run_due,
};
use carillon_domain::error::Result;
use carillon_domain::ids::{CampaignId, ContactId, ListId, TemplateId};
use carillon_domain::messaging::{self, MessageClass, PublishVersion, TemplateFormat};
use carillon_domain::segments::Condition;
use carillon_domain::settings::Settings;
use carillon_domain::tenancy::{
    ApproveCampaigns, PublishCampaigns, ReadCampaigns, Role, TenantContext, WriteCampaigns, WriteContacts,
};
use carillon_tests::WorldOptions;
use carillon_tests::post::{Post, member};
use chrono::TimeDelta;

/// A tenant that can send.
pub struct Stand {
    pub post: Post,
    pub template: TemplateId,
    pub admin: TenantContext,
}

impl std::ops::Deref for Stand {
    type Target = Post;
    fn deref(&self) -> &Post {
        &self.post
    }
}

impl Stand {
    pub async fn new() -> Self {
        Self::in_batches_of(1_000).await
    }

    /// Whose freezes look at so many contacts at a time.
    pub async fn in_batches_of(contacts: u32) -> Self {
        let settings = Settings { campaign_batch: contacts, ..Settings::new("https://carillon.test") };
        let post = Post::with(WorldOptions { settings, ..WorldOptions::default() }).await;
        let admin = member(&post, post.tenant, Role::Admin).await;
        let grant = post.marketer.grant().unwrap();
        let mut tx = grant.begin_read().await.unwrap();
        let found = messaging::template_versions(&grant, &mut tx, [post.marketing]).await.unwrap();
        tx.commit().await.unwrap();
        Self { template: found[0].template, post, admin }
    }

    /// So many who agreed, as `p0@example.org` and on.
    pub async fn people(&self, count: usize) -> Vec<ContactId> {
        let mut people = Vec::with_capacity(count);
        for n in 0..count {
            people.push(self.person(&format!("p{n}@example.org")).await);
        }
        people
    }

    /// Another template, with a subject of its own.
    pub async fn another_template(&self, subject: &str) -> TemplateId {
        let grant = self.marketer.grant().unwrap();
        let mut tx = grant.begin().await.unwrap();
        let made = messaging::create_template(&grant, &mut tx, self.ports(), subject, MessageClass::Marketing);
        let template = made.await.unwrap().id;
        let command = PublishVersion {
            template,
            locale: "de-AT".to_owned(),
            subject: subject.to_owned(),
            html: "<p>Hello</p><p><a href=\"{{ unsubscribe_url }}\">Leave</a></p>".to_owned(),
            text: None,
            format: TemplateFormat::Html,
            event_name: None,
        };
        messaging::publish_version(&grant, &mut tx, self.ports(), command).await.unwrap();
        tx.commit().await.unwrap();
        template
    }

    /// The tenant's one mail to everybody, at once.
    pub fn to_all(&self, name: &str) -> CampaignDraft {
        CampaignDraft {
            name: name.to_owned(),
            audience: Audience { condition: Some(Condition::And { of: Vec::new() }), ..Audience::default() },
            sender: self.sender,
            topic: self.topic.topic,
            variants: vec![CampaignVariant { label: "one".to_owned(), template: self.template, weight_bp: 10_000 }],
            sample_bp: None,
            schedule: Schedule::Now,
            per_hour: None,
        }
    }

    pub async fn draft(&self, draft: CampaignDraft) -> Result<Campaign> {
        let grant = self.marketer.grant::<WriteCampaigns>().unwrap();
        let mut tx = grant.begin().await?;
        let made = campaigns::create_campaign(&grant, &mut tx, self.ports(), draft).await?;
        tx.commit().await?;
        Ok(made)
    }

    pub async fn try_start(&self, campaign: &Campaign) -> Result<Started> {
        let grant = self.marketer.grant::<PublishCampaigns>().unwrap();
        let mut tx = grant.begin().await?;
        let which = (campaign.id, campaign.version);
        let started = campaigns::start_campaign(&grant, &mut tx, self.ports(), which).await?;
        tx.commit().await?;
        Ok(started)
    }

    /// A campaign that was started.
    pub async fn started(&self, draft: CampaignDraft) -> CampaignId {
        let campaign = self.draft(draft).await.unwrap();
        self.try_start(&campaign).await.unwrap().campaign.id
    }

    pub async fn list(&self, name: &str, contacts: &[ContactId]) -> ListId {
        let grant = self.marketer.grant::<WriteContacts>().unwrap();
        let mut tx = grant.begin().await.unwrap();
        let list = campaigns::create_list(&grant, &mut tx, self.ports(), name).await.unwrap();
        if !contacts.is_empty() {
            campaigns::add_to_list(&grant, &mut tx, self.ports(), list.id, contacts).await.unwrap();
        }
        tx.commit().await.unwrap();
        list.id
    }

    pub async fn pause(&self, id: CampaignId) -> Result<Campaign> {
        let grant = self.marketer.grant::<PublishCampaigns>().unwrap();
        let mut tx = grant.begin().await?;
        let paused = campaigns::pause_campaign(&grant, &mut tx, self.ports(), id).await?;
        tx.commit().await?;
        Ok(paused)
    }

    pub async fn resume(&self, id: CampaignId) -> Result<Campaign> {
        let grant = self.marketer.grant::<PublishCampaigns>().unwrap();
        let mut tx = grant.begin().await?;
        let resumed = campaigns::resume_campaign(&grant, &mut tx, self.ports(), id).await?;
        tx.commit().await?;
        Ok(resumed)
    }

    pub async fn cancel(&self, id: CampaignId) -> Result<Campaign> {
        let grant = self.marketer.grant::<PublishCampaigns>().unwrap();
        let mut tx = grant.begin().await?;
        let cancelled = campaigns::cancel_campaign(&grant, &mut tx, self.ports(), id).await?;
        tx.commit().await?;
        Ok(cancelled)
    }

    pub async fn choose(&self, id: CampaignId, label: &str) -> Result<Campaign> {
        let grant = self.marketer.grant::<PublishCampaigns>().unwrap();
        let mut tx = grant.begin().await?;
        let chosen = campaigns::choose_variant(&grant, &mut tx, self.ports(), (id, label)).await?;
        tx.commit().await?;
        Ok(chosen)
    }

    pub async fn approve(&self, by: &TenantContext, id: CampaignId) -> Result<Campaign> {
        let grant = by.grant::<ApproveCampaigns>()?;
        let mut tx = grant.begin().await?;
        let approved = campaigns::approve_campaign(&grant, &mut tx, self.ports(), id).await?;
        tx.commit().await?;
        Ok(approved)
    }

    /// A campaign as it is now.
    pub async fn campaign(&self, id: CampaignId) -> Campaign {
        let grant = self.marketer.grant::<ReadCampaigns>().unwrap();
        let mut tx = grant.begin_read().await.unwrap();
        let found = campaigns::find_campaigns(&grant, &mut tx, [id]).await.unwrap().pop().unwrap();
        tx.commit().await.unwrap();
        found
    }

    /// Where it stands.
    pub async fn state(&self, id: CampaignId) -> &'static str {
        self.campaign(id).await.state.as_str()
    }

    pub async fn counts(&self, id: CampaignId) -> CampaignCounts {
        let grant = self.marketer.grant::<ReadCampaigns>().unwrap();
        let mut tx = grant.begin_read().await.unwrap();
        let counts = campaigns::campaign_counts(&grant, &mut tx, &[id]).await.unwrap().remove(&id);
        tx.commit().await.unwrap();
        counts.unwrap_or_default()
    }

    /// How many came to what: `sent 3, refused 1`.
    pub async fn told(&self, id: CampaignId) -> String {
        let counts = self.counts(id).await.all;
        let told = RecipientOutcome::ALL.iter().filter(|outcome| counts.of(**outcome) > 0);
        told.map(|outcome| format!("{outcome} {}", counts.of(*outcome))).collect::<Vec<_>>().join(", ")
    }

    /// What became of somebody.
    pub async fn answer(&self, id: CampaignId, contact: ContactId) -> Option<CampaignRecipient> {
        let grant = self.marketer.grant::<ReadCampaigns>().unwrap();
        let mut tx = grant.begin_read().await.unwrap();
        let wanted = (id, contact);
        let found = campaigns::find_recipients(&grant, &mut tx, &[wanted]).await.unwrap().remove(&wanted);
        tx.commit().await.unwrap();
        found
    }

    pub fn engine(&self) -> CampaignGrants {
        let work = self.work(self.tenant);
        CampaignGrants { run: work.grant(), send: work.grant() }
    }

    /// One look of the engine.
    pub async fn visit(&self) -> Visit {
        run_due(&self.engine(), self.ports()).await.unwrap()
    }

    /// Looks until it stands there, and sends nothing.
    pub async fn until_state(&self, id: CampaignId, state: &str) {
        for _ in 0..1_000 {
            if self.state(id).await == state {
                return;
            }
            self.visit().await;
        }
        panic!("it never is {state}");
    }

    /// Drains, and lets the engine see that all is over.
    pub async fn finish(&self) {
        self.drain().await;
        self.advance(TimeDelta::minutes(2));
        self.drain().await;
    }
}
