//! Opens and clicks: how mail is tracked, what was seen of it, and who may choose.

use std::collections::HashMap;

use async_graphql::dataloader::Loader;
use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject};
use carillon_domain::error::{Error, Refusal};
use carillon_domain::ids::{ContactId, MessageId};
use carillon_domain::keys::HitKind;
use carillon_domain::messaging::{self, HitClass};
use carillon_domain::tenancy::{AdministerTenant, ReadContacts, ReadMessages, RecordConsent};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use crate::graphql::error::{UserError, payload};
use crate::graphql::loader::{LoadError, Rows};
use crate::graphql::mutate::Once;
use crate::graphql::node::parse_id;
use crate::graphql::scope::RequestScope;
use crate::graphql::time::Day;

/// Days that are counted unless asked otherwise, and at most.
const DAYS: i64 = 30;
const DAYS_MAX: i64 = 100;

/// How mail is tracked, the strictest first. The stricter of what the person and what the tenant chose counts; without a
/// choice of the person it is AGGREGATE where they are in the European Economic Area or nobody knows where, and INDIVIDUAL
/// elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::messaging::TrackingMode")]
pub enum TrackingMode {
    /// Not at all: links lead straight to where they lead.
    None,
    /// Counted by content and day; nothing names a message or a person. Opens are not counted of people in France and
    /// Italy who chose nothing.
    Aggregate,
    /// Each mail's opens and clicks are known.
    Individual,
}

/// Opens of a message, or clicks in it. Only what people did moves anybody.
#[derive(Debug, Default, SimpleObject)]
pub struct Hits {
    /// By people.
    human: i64,
    /// By Apple's Mail Privacy Protection.
    mpp: i64,
    /// By a mailbox provider's image proxy.
    proxy: i64,
    /// By programs that look for dangers, and others that nobody sits behind.
    scanner: i64,
    /// Nobody can say.
    unknown: i64,
    /// Not judged yet.
    pending: i64,
    /// The first by a person.
    first_human_at: Option<DateTime<Utc>>,
}

impl From<messaging::HitCounts> for Hits {
    fn from(counts: messaging::HitCounts) -> Self {
        let mut hits = Self { first_human_at: counts.first_human_at, ..Self::default() };
        for (class, count) in counts.by_class {
            match class {
                HitClass::Human => hits.human = count,
                HitClass::Mpp => hits.mpp = count,
                HitClass::Proxy => hits.proxy = count,
                HitClass::Scanner => hits.scanner = count,
                HitClass::Unknown => hits.unknown = count,
                HitClass::Pending => hits.pending = count,
            }
        }
        hits
    }
}

/// What was counted on one day of mail that is tracked in aggregate.
#[derive(Debug, SimpleObject)]
pub struct TrackingCount {
    /// The day, in UTC.
    day: NaiveDate,
    /// The step of a workflow the mail was for, as `version/node/variant`; empty if none.
    origin: String,
    /// Opens by what may be a person.
    opens: i64,
    /// Clicks by what may be a person.
    clicks: i64,
}

impl From<messaging::TrackingCount> for TrackingCount {
    fn from(count: messaging::TrackingCount) -> Self {
        Self { day: count.day, origin: count.origin, opens: count.opens, clicks: count.clicks }
    }
}

/// The hits on a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HitsOf(pub MessageId, pub HitKind);

/// How marketing mail to a contact is tracked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TrackingOf(pub ContactId);

impl Loader<HitsOf> for Rows {
    type Value = messaging::HitCounts;
    type Error = LoadError;

    async fn load(&self, keys: &[HitsOf]) -> Result<HashMap<HitsOf, messaging::HitCounts>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadMessages>().await?;
        let mut messages: Vec<MessageId> = keys.iter().map(|key| key.0).collect();
        messages.sort_unstable();
        messages.dedup();
        let found = messaging::hit_counts(&grant, &mut tx, &messages).await?;
        Ok(found.into_iter().map(|((message, kind), counts)| (HitsOf(message, kind), counts)).collect())
    }
}

impl Loader<TrackingOf> for Rows {
    type Value = messaging::TrackingMode;
    type Error = LoadError;

    async fn load(&self, keys: &[TrackingOf]) -> Result<HashMap<TrackingOf, messaging::TrackingMode>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadContacts>().await?;
        let contacts: Vec<ContactId> = keys.iter().map(|key| key.0).collect();
        let found = messaging::contact_tracking(&grant, &mut tx, &contacts).await?;
        Ok(found.into_iter().map(|(contact, mode)| (TrackingOf(contact), mode)).collect())
    }
}

/// Queries of tracking.
#[derive(Debug, Default)]
pub struct TrackingQuery;

#[Object]
impl TrackingQuery {
    /// What was counted of mail that is tracked in aggregate, by day and step of a workflow, oldest first; of one content
    /// or of all. At most 1,000 rows and 100 days.
    async fn tracking_counts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The content.")] template_version_id: Option<ID>,
        #[graphql(desc = "The first day, in UTC; 29 days ago if none is given.")] since: Option<Day>,
        #[graphql(desc = "How many days; 30 if none are given.")] days: Option<i32>,
    ) -> Result<Vec<TrackingCount>> {
        let scope = RequestScope::of(ctx);
        let version = template_version_id.map(|id| parse_id(&id, "templateVersionId")).transpose();
        let version = version.map_err(Error::from)?;
        let days = days.map_or(DAYS, i64::from);
        if !(1..=DAYS_MAX).contains(&days) {
            let message = format!("Ask for 1 to {DAYS_MAX} days.");
            return Err(Error::from(Refusal::new("BAD_PAGE", "days", message)).into());
        }
        let since = since.map_or_else(|| scope.ports().now().date_naive() - TimeDelta::days(DAYS - 1), Day::get);
        let until = since.checked_add_signed(TimeDelta::days(days)).unwrap_or(NaiveDate::MAX);
        let (grant, mut tx) = scope.read::<ReadMessages>().await?;
        let found = messaging::tracking_counts(&grant, &mut tx, version, (since, until)).await?;
        Ok(found.into_iter().map(TrackingCount::from).collect())
    }
}

/// How the tenant's mail is to be tracked.
#[derive(Debug, Clone, InputObject)]
pub struct SetTrackingModeInput {
    /// The most that may be known of anybody.
    mode: TrackingMode,
    /// The same key with the same input has the same answer and no second effect.
    idempotency_key: Option<String>,
}

/// What a person said about being tracked.
#[derive(Debug, Clone, InputObject)]
pub struct SetContactTrackingModeInput {
    /// Who.
    contact_id: ID,
    /// What they agreed to, at the most.
    mode: TrackingMode,
    /// The same key with the same input has the same answer and no second effect.
    idempotency_key: Option<String>,
}

/// How mail is tracked now.
#[derive(Debug, SimpleObject)]
pub struct SetTrackingModePayload {
    /// The most that may be known of anybody, unless refused.
    tracking_mode: Option<TrackingMode>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
}

/// How mail to the contact is tracked now.
#[derive(Debug, SimpleObject)]
pub struct SetContactTrackingModePayload {
    /// What counts now: the stricter of the person's and the tenant's choice, unless refused.
    tracking_mode: Option<TrackingMode>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
}

/// Mutations of tracking.
#[derive(Debug, Default)]
pub struct TrackingMutation;

#[Object]
impl TrackingMutation {
    /// Sets the most that may be known of what anybody does with the tenant's marketing mail. Nobody is tracked more than
    /// they agreed to, or than is usual where they are.
    async fn set_tracking_mode(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: SetTrackingModeInput,
    ) -> Result<SetTrackingModePayload> {
        let scope = RequestScope::of(ctx);
        let grant = scope.grant::<AdministerTenant>()?;
        let once = Once::new("setTrackingMode", input.idempotency_key.as_deref(), &input);
        let mode = input.mode.into();
        let set = scope
            .mutate(&grant, &once, |tx, _| Box::pin(messaging::set_tracking_mode(&grant, tx, scope.ports(), mode)));
        let (mode, user_errors) = payload(set.await)?;
        Ok(SetTrackingModePayload { tracking_mode: mode.map(TrackingMode::from), user_errors })
    }

    /// Records what a contact said about being tracked. INDIVIDUAL needs their agreement, apart from the one to get mail;
    /// what is stricter works backwards: of mail they already have nothing more is recorded.
    async fn set_contact_tracking_mode(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: SetContactTrackingModeInput,
    ) -> Result<SetContactTrackingModePayload> {
        let scope = RequestScope::of(ctx);
        let grant = scope.grant::<RecordConsent>()?;
        let once = Once::new("setContactTrackingMode", input.idempotency_key.as_deref(), &input);
        let mode = input.mode.into();
        let set = match parse_id::<ContactId>(&input.contact_id, "contactId") {
            Ok(contact) => {
                let set = scope.mutate(&grant, &once, |tx, _| {
                    Box::pin(messaging::set_contact_tracking_mode(&grant, tx, scope.ports(), (contact, mode)))
                });
                set.await
            }
            Err(refusal) => Err(refusal.into()),
        };
        let (mode, user_errors) = payload(set)?;
        Ok(SetContactTrackingModePayload { tracking_mode: mode.map(TrackingMode::from), user_errors })
    }
}
