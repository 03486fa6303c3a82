//! Rows of tracking: choices, hits and counts.

use std::collections::HashMap;

use carillon_entities::ids::{ContactId, EnrollmentId, HitId, MessageId, TemplateVersionId};
use carillon_entities::rows::messaging::{message_hits, tracking_modes};
use carillon_entities::statements;
use carillon_entities::wall::{Args, TenantTx};
use chrono::{NaiveDate, TimeDelta};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{FromQueryResult, Value};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::keys::{HitKind, LinkPlace};
use crate::messaging::tracking::{Engagement, HITS_MAX, Hit, HitClass, TrackingCount};
use crate::messaging::{MessageStatus, TrackingFacts, TrackingMode};
use crate::time::Timestamp;

/// Rows of [`tracking_counts_of`] at most.
const COUNTS_MAX: i64 = 1_000;

/// What decides how mail to contact `c` is tracked; [`TrackingRow`] reads it.
macro_rules! tracking_columns {
    () => {
        "c.country, \
         (SELECT t.mode FROM tracking_modes t WHERE t.tenant_id = $1 AND t.subject_id = c.id) AS own_mode, \
         (SELECT t.mode FROM tracking_modes t WHERE t.tenant_id = $1 AND t.subject_id = $1) AS tenant_mode"
    };
}
pub(super) use tracking_columns;

statements! {
    /// How mail to contacts is tracked.
    TRACKING_OF_CONTACTS() [id: Uuid] = concat!(
        "SELECT c.id AS contact_id, ", tracking_columns!(),
        " FROM ({batch}) AS b JOIN contacts c ON c.tenant_id = $1 AND c.id = b.id AND c.state <> 'deleted'");
    /// Stores choices.
    TRACKING_MODES_SET() [subject_id: Uuid, mode: Text, decided_at: Time] =
        "INSERT INTO tracking_modes (tenant_id, subject_id, mode, decided_at) \
         SELECT $1, b.subject_id, b.mode, b.decided_at FROM ({batch}) AS b WHERE true \
         ON CONFLICT (tenant_id, subject_id) DO UPDATE SET mode = excluded.mode, decided_at = excluded.decided_at";
    /// Makes the tracking of claimed messages stricter.
    MESSAGES_TRACK() [id: Uuid, fence: BigInt, tracking: Text] =
        "WITH stricter AS ({batch}) UPDATE messages SET tracking = stricter.tracking FROM stricter \
         WHERE messages.tenant_id = $1 AND messages.id = stricter.id AND messages.fence = stricter.fence";
    /// What may be recorded of a message now, and how much was.
    HIT_FACTS(Uuid) = concat!(
        "SELECT m.tracking, c.id AS contact_id, ", tracking_columns!(),
        ", (SELECT COUNT(*) FROM message_hits h WHERE h.tenant_id = $1 AND h.message_id = m.id) AS hits \
         FROM messages m JOIN contacts c ON c.tenant_id = $1 AND c.id = m.contact_id AND c.state <> 'deleted' \
         WHERE m.tenant_id = $1 AND m.id = $2");
    /// Adds hits to counts, unless the tenant wants none.
    TRACKING_COUNT() [day: Date, template_version_id: Uuid, origin: Text, kind: Text] =
        "INSERT INTO tracking_counts (tenant_id, day, template_version_id, origin, kind, count) \
         SELECT $1, b.day, b.template_version_id, b.origin, b.kind, 1 FROM ({batch}) AS b \
         WHERE NOT EXISTS (SELECT 1 FROM tracking_modes t WHERE t.tenant_id = $1 AND t.subject_id = $1 AND t.mode = 'none') \
         ON CONFLICT (tenant_id, day, template_version_id, origin, kind) DO UPDATE SET count = tracking_counts.count + 1";
    /// Hits whose hold is over.
    HITS_DUE(Time, BigInt) =
        "SELECT h.id, h.message_id, h.kind, h.link, h.links, h.agent, h.is_head, h.source_hash, h.at FROM message_hits h \
         WHERE h.tenant_id = $1 AND h.class = 'pending' AND h.due_at <= $2 ORDER BY h.due_at LIMIT $3 {skip_locked}";
    /// All clicks in messages.
    HITS_CLICKS() [id: Uuid] =
        "SELECT h.message_id, h.link, h.at FROM ({batch}) AS b JOIN message_hits h ON h.tenant_id = $1 \
         AND h.message_id = b.id AND h.kind = 'click' AND h.link IS NOT NULL ORDER BY h.message_id, h.at";
    /// How many messages were hit from the network of each hit at about its time; of a flood a part is enough.
    HITS_OF_SOURCES() [id: Uuid, source_hash: Bytes, since: Time, until: Time] =
        "SELECT b.id, (SELECT COUNT(DISTINCT near.message_id) FROM (SELECT h.message_id FROM message_hits h \
         WHERE h.tenant_id = $1 AND h.source_hash = b.source_hash AND h.at >= b.since AND h.at <= b.until LIMIT 200) AS near) \
         AS messages FROM ({batch}) AS b";
    /// What judging needs of messages.
    HIT_MESSAGES() [id: Uuid] =
        "SELECT m.id, m.enrollment_id, (SELECT MAX(a.started_at) FROM attempts a WHERE a.tenant_id = $1 \
         AND a.message_id = m.id) AS started_at, (SELECT MIN(a.settled_at) FROM attempts a WHERE a.tenant_id = $1 \
         AND a.message_id = m.id AND a.state = 'accepted') AS accepted_at \
         FROM ({batch}) AS b JOIN messages m ON m.tenant_id = $1 AND m.id = b.id";
    /// Writes judgements.
    HITS_JUDGE() [id: Uuid, class: Text, rule_id: Text] =
        "WITH judged AS ({batch}) UPDATE message_hits SET class = judged.class, rule_id = judged.rule_id FROM judged \
         WHERE message_hits.tenant_id = $1 AND message_hits.id = judged.id AND message_hits.class = 'pending'";
    /// The mails of steps of workflows, and what people did with them.
    ENGAGEMENT_OF() [enrollment_id: Uuid, node: Text] = concat!(
        "SELECT b.enrollment_id, b.node, m.id, m.state, m.tracking, c.id AS contact_id, ", tracking_columns!(),
        ", (SELECT MIN(h.at) FROM message_hits h WHERE h.tenant_id = $1 AND h.message_id = m.id \
         AND h.class = 'human' AND h.kind = 'open') AS opened_at, \
         (SELECT MIN(h.at) FROM message_hits h WHERE h.tenant_id = $1 AND h.message_id = m.id \
         AND h.class = 'human' AND h.kind = 'click') AS clicked_at, \
         (SELECT MAX(h.due_at) FROM message_hits h WHERE h.tenant_id = $1 AND h.message_id = m.id \
         AND h.class = 'pending') AS pending_until, \
         (SELECT COUNT(*) FROM message_hits h WHERE h.tenant_id = $1 AND h.message_id = m.id) AS hits \
         FROM ({batch}) AS b JOIN messages m ON m.tenant_id = $1 AND m.enrollment_id = b.enrollment_id AND m.node = b.node \
         LEFT JOIN contacts c ON c.tenant_id = $1 AND c.id = m.contact_id AND c.state <> 'deleted' ORDER BY m.id");
    /// Hits on messages by class.
    HITS_COUNTED() [id: Uuid] =
        "SELECT h.message_id, h.kind, h.class, COUNT(*) AS hits, MIN(h.at) AS first_at FROM ({batch}) AS b \
         JOIN message_hits h ON h.tenant_id = $1 AND h.message_id = b.id \
         GROUP BY h.message_id, h.kind, h.class ORDER BY h.message_id, h.kind, h.class";
    /// Counts by day and origin, of one content or of all.
    TRACKING_COUNTS_OF(Date, Date, Uuid, BigInt) =
        "SELECT c.day, c.origin, CAST(SUM(CASE WHEN c.kind = 'open' THEN c.count ELSE 0 END) AS BIGINT) AS opens, \
         CAST(SUM(CASE WHEN c.kind = 'click' THEN c.count ELSE 0 END) AS BIGINT) AS clicks FROM tracking_counts c \
         WHERE c.tenant_id = $1 AND c.day >= $2 AND c.day < $3 AND ($4 IS NULL OR c.template_version_id = $4) \
         GROUP BY c.day, c.origin ORDER BY c.day, c.origin LIMIT $5";
}

/// The columns of `tracking_columns`, of a contact that is there.
#[derive(Debug, Clone, FromQueryResult)]
struct TrackingRow {
    contact_id: Option<ContactId>,
    country: Option<String>,
    own_mode: Option<String>,
    tenant_mode: Option<String>,
}

/// What decides how mail to a contact is tracked.
#[derive(Debug, Clone)]
pub(in crate::messaging) struct ContactTracking {
    pub contact: ContactId,
    country: Option<String>,
    pub own: Option<TrackingMode>,
    tenant: Option<TrackingMode>,
}

impl ContactTracking {
    pub fn facts(&self) -> TrackingFacts<'_> {
        TrackingFacts { country: self.country.as_deref(), own: self.own, tenant: self.tenant }
    }

    /// From the columns of `tracking_columns`.
    pub(super) fn read(
        contact: ContactId,
        country: Option<String>,
        (own, tenant): (Option<String>, Option<String>),
    ) -> Result<Self> {
        let mode = |text: Option<String>| text.map(|text| text.parse().map_err(Error::fault)).transpose();
        Ok(Self { contact, country, own: mode(own)?, tenant: mode(tenant)? })
    }
}

impl TrackingRow {
    fn contact(self) -> Result<Option<ContactTracking>> {
        let Some(contact) = self.contact_id else { return Ok(None) };
        ContactTracking::read(contact, self.country, (self.own_mode, self.tenant_mode)).map(Some)
    }
}

pub(in crate::messaging) async fn tracking_of_contacts(
    tx: &mut TenantTx,
    contacts: &[ContactId],
) -> Result<Vec<ContactTracking>> {
    let ids = contacts.iter().map(|id| vec![Value::from(*id)]);
    let rows: Vec<TrackingRow> = tx.sql(&TRACKING_OF_CONTACTS, Args::batch(ids))?.all().await?;
    rows.into_iter().filter_map(|row| row.contact().transpose()).collect()
}

/// The choice of a contact or, by its own id, of the tenant.
pub(in crate::messaging) async fn tracking_mode_of(tx: &mut TenantTx, subject: Uuid) -> Result<Option<TrackingMode>> {
    let select = tx.select::<tracking_modes::Entity>().eq(tracking_modes::Column::SubjectId, subject);
    let row = select.one().await?;
    row.map(|row| row.mode.parse().map_err(Error::fault)).transpose()
}

/// Stores the choice of a contact or, by its own id, of the tenant.
pub(in crate::messaging) async fn tracking_mode_set(
    tx: &mut TenantTx,
    subject: Uuid,
    mode: TrackingMode,
    now: Timestamp,
) -> Result<()> {
    let row = vec![Value::from(subject), mode.as_str().into(), now.into()];
    tx.sql(&TRACKING_MODES_SET, Args::batch([row]))?.execute().await?;
    Ok(())
}

/// Makes the tracking of claimed messages stricter.
pub(in crate::messaging) async fn messages_track(
    tx: &mut TenantTx,
    stricter: impl Iterator<Item = (MessageId, i64, TrackingMode)>,
) -> Result<()> {
    let batch: Vec<_> =
        stricter.map(|(id, fence, mode)| vec![Value::from(id), fence.into(), mode.as_str().into()]).collect();
    if !batch.is_empty() {
        tx.sql(&MESSAGES_TRACK, Args::batch(batch))?.execute().await?;
    }
    Ok(())
}

/// What may be recorded of a message.
#[derive(Debug, Clone)]
pub(in crate::messaging) struct HitFacts {
    pub tracking: TrackingMode,
    pub contact: ContactTracking,
    pub hits: i64,
}

pub(in crate::messaging) async fn hit_facts(tx: &mut TenantTx, message: MessageId) -> Result<Option<HitFacts>> {
    #[derive(FromQueryResult)]
    struct Row {
        tracking: String,
        #[sea_orm(nested)]
        contact: TrackingRow,
        hits: i64,
    }
    let row: Option<Row> = tx.sql(&HIT_FACTS, Args::of([message.into()]))?.one().await?;
    let Some(row) = row else { return Ok(None) };
    let tracking = row.tracking.parse().map_err(Error::fault)?;
    Ok(row.contact.contact()?.map(|contact| HitFacts { tracking, contact, hits: row.hits }))
}

pub(in crate::messaging) async fn hit_insert(
    tx: &mut TenantTx,
    hit: &Hit,
    source_hash: Vec<u8>,
    due_at: Timestamp,
) -> Result<()> {
    tx.insert(message_hits::ActiveModel {
        tenant_id: NotSet,
        id: Set(hit.id),
        message_id: Set(hit.message),
        kind: Set(hit.kind.as_str().to_owned()),
        link: Set(hit.link.map(|place| i32::from(place.number))),
        links: Set(hit.link.map(|place| i32::from(place.of))),
        agent: Set(hit.agent.as_str().to_owned()),
        is_head: Set(hit.is_head),
        source_hash: Set(source_hash),
        class: Set(HitClass::Pending.as_str().to_owned()),
        rule_id: Set(None),
        at: Set(hit.at),
        due_at: Set(due_at),
    })
    .await?;
    Ok(())
}

/// Adds a hit to a count; false when the tenant wants none.
pub(in crate::messaging) async fn tracking_count(
    tx: &mut TenantTx,
    day: NaiveDate,
    (version, origin): (TemplateVersionId, &str),
    kind: HitKind,
) -> Result<bool> {
    let row = vec![Value::from(day), version.into(), origin.into(), kind.as_str().into()];
    Ok(tx.sql(&TRACKING_COUNT, Args::batch([row]))?.execute().await? > 0)
}

/// A hit whose hold is over, with the network it came from.
#[derive(Debug, Clone)]
pub(in crate::messaging) struct DueHit {
    pub hit: Hit,
    source_hash: Vec<u8>,
}

#[derive(FromQueryResult)]
struct HitRow {
    id: HitId,
    message_id: MessageId,
    kind: String,
    link: Option<i32>,
    links: Option<i32>,
    agent: String,
    is_head: bool,
    source_hash: Vec<u8>,
    at: Timestamp,
}

pub(in crate::messaging) async fn hits_due(tx: &mut TenantTx, now: Timestamp, limit: i64) -> Result<Vec<DueHit>> {
    let rows: Vec<HitRow> = tx.sql(&HITS_DUE, Args::of([now.into(), limit.into()]))?.all().await?;
    let small = |number: i32| u16::try_from(number).unwrap_or(u16::MAX);
    let due = |row: HitRow| {
        let link = row.link.zip(row.links).map(|(number, of)| LinkPlace { number: small(number), of: small(of) });
        let hit = Hit {
            id: row.id,
            message: row.message_id,
            kind: row.kind.parse().map_err(Error::fault)?,
            link,
            agent: row.agent.parse().map_err(Error::fault)?,
            is_head: row.is_head,
            at: row.at,
        };
        Ok(DueHit { hit, source_hash: row.source_hash })
    };
    rows.into_iter().map(due).collect()
}

/// Number of the link and time of all clicks in each message, in order of time.
pub(in crate::messaging) async fn hits_clicks(
    tx: &mut TenantTx,
    messages: &[MessageId],
) -> Result<HashMap<MessageId, Vec<(u16, Timestamp)>>> {
    #[derive(FromQueryResult)]
    struct Row {
        message_id: MessageId,
        link: i32,
        at: Timestamp,
    }
    let rows: Vec<Row> = tx.sql(&HITS_CLICKS, ids(messages))?.all().await?;
    let mut clicks: HashMap<_, Vec<_>> = HashMap::new();
    for row in rows {
        clicks.entry(row.message_id).or_default().push((u16::try_from(row.link).unwrap_or(u16::MAX), row.at));
    }
    Ok(clicks)
}

/// How many messages were hit from the network of each hit, at most `within` before or after it.
pub(in crate::messaging) async fn hits_of_sources(
    tx: &mut TenantTx,
    due: &[DueHit],
    within: TimeDelta,
) -> Result<HashMap<HitId, i64>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: HitId,
        messages: i64,
    }
    let known = due.iter().filter(|due| !due.source_hash.is_empty());
    let batch = known.map(|DueHit { hit, source_hash }| {
        vec![Value::from(hit.id), source_hash.clone().into(), (hit.at - within).into(), (hit.at + within).into()]
    });
    let rows: Vec<Row> = tx.sql(&HITS_OF_SOURCES, Args::batch(batch))?.all().await?;
    Ok(rows.into_iter().map(|row| (row.id, row.messages)).collect())
}

/// What judging needs of a message.
#[derive(Debug, Clone, FromQueryResult)]
pub(in crate::messaging) struct HitMessage {
    id: MessageId,
    #[sea_orm(alias = "enrollment_id")]
    pub enrollment: Option<EnrollmentId>,
    /// When its newest attempt was started.
    pub started_at: Option<Timestamp>,
    /// When it was written down that a server took it.
    pub accepted_at: Option<Timestamp>,
}

pub(in crate::messaging) async fn hit_messages(
    tx: &mut TenantTx,
    messages: &[MessageId],
) -> Result<HashMap<MessageId, HitMessage>> {
    let rows: Vec<HitMessage> = tx.sql(&HIT_MESSAGES, ids(messages))?.all().await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

pub(in crate::messaging) async fn hits_judge(
    tx: &mut TenantTx,
    judged: &[(&Hit, HitClass, &'static str)],
) -> Result<()> {
    let batch =
        judged.iter().map(|(hit, class, rule)| vec![Value::from(hit.id), class.as_str().into(), (*rule).into()]);
    tx.sql(&HITS_JUDGE, Args::batch(batch))?.execute().await?;
    Ok(())
}

pub(in crate::messaging) async fn engagement_of(
    tx: &mut TenantTx,
    wanted: &[(EnrollmentId, String)],
) -> Result<HashMap<(EnrollmentId, String), Engagement>> {
    #[derive(FromQueryResult)]
    struct Row {
        enrollment_id: EnrollmentId,
        node: String,
        state: String,
        tracking: String,
        #[sea_orm(nested)]
        contact: TrackingRow,
        opened_at: Option<Timestamp>,
        clicked_at: Option<Timestamp>,
        pending_until: Option<Timestamp>,
        hits: i64,
    }
    let mut found = HashMap::new();
    for part in wanted.chunks(tx.max_batch(&ENGAGEMENT_OF)) {
        let batch = part.iter().map(|(enrollment, node)| vec![Value::from(*enrollment), node.clone().into()]);
        let rows: Vec<Row> = tx.sql(&ENGAGEMENT_OF, Args::batch(batch))?.all().await?;
        for row in rows {
            let now = row.contact.contact()?.map(|contact| contact.facts().mode());
            let modes = [row.tracking.parse().ok(), now];
            let engagement = Engagement {
                tracked: modes.iter().all(|mode| *mode == Some(TrackingMode::Individual)),
                sent: is_sent(row.state.parse().map_err(Error::fault)?),
                opened_at: [row.opened_at, row.clicked_at].into_iter().flatten().min(),
                clicked_at: row.clicked_at,
                pending_until: row.pending_until,
                is_full: row.hits >= HITS_MAX,
            };
            // In order of the messages' ids: the newest of a step stays.
            found.insert((row.enrollment_id, row.node), engagement);
        }
    }
    Ok(found)
}

/// Whether a server took a mail; none where that is open.
fn is_sent(status: MessageStatus) -> Option<bool> {
    match status {
        MessageStatus::Sent => Some(true),
        MessageStatus::Queued | MessageStatus::Claimed | MessageStatus::Unknown => None,
        MessageStatus::Failed
        | MessageStatus::Bounced
        | MessageStatus::Refused
        | MessageStatus::Expired
        | MessageStatus::Cancelled => Some(false),
    }
}

/// Message, kind and class with how many there are and the first time.
pub(in crate::messaging) type Counted = (MessageId, HitKind, HitClass, i64, Timestamp);

pub(in crate::messaging) async fn hits_counted(tx: &mut TenantTx, messages: &[MessageId]) -> Result<Vec<Counted>> {
    #[derive(FromQueryResult)]
    struct Row {
        message_id: MessageId,
        kind: String,
        class: String,
        hits: i64,
        first_at: Timestamp,
    }
    let rows: Vec<Row> = tx.sql(&HITS_COUNTED, ids(messages))?.all().await?;
    let counted = |row: Row| {
        let (kind, class) = (row.kind.parse().map_err(Error::fault)?, row.class.parse().map_err(Error::fault)?);
        Ok((row.message_id, kind, class, row.hits, row.first_at))
    };
    rows.into_iter().map(counted).collect()
}

pub(in crate::messaging) async fn tracking_counts_of(
    tx: &mut TenantTx,
    version: Option<TemplateVersionId>,
    (since, until): (NaiveDate, NaiveDate),
) -> Result<Vec<TrackingCount>> {
    #[derive(FromQueryResult)]
    struct Row {
        day: NaiveDate,
        origin: String,
        opens: i64,
        clicks: i64,
    }
    let version = version.map(|version| version.0);
    let args = Args::of([since.into(), until.into(), version.into(), COUNTS_MAX.into()]);
    let rows: Vec<Row> = tx.sql(&TRACKING_COUNTS_OF, args)?.all().await?;
    let count = |Row { day, origin, opens, clicks }| TrackingCount { day, origin, opens, clicks };
    Ok(rows.into_iter().map(count).collect())
}

fn ids(messages: &[MessageId]) -> Args {
    Args::batch(messages.iter().map(|id| vec![Value::from(*id)]))
}
