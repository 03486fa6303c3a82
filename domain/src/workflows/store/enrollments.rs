//! People on workflows: the rows that are the engine's queue (L4).

use std::collections::{HashMap, HashSet};

use carillon_entities::ids::{ContactEventId, ContactId, EnrollmentId, WorkflowId, WorkflowVersionId};
use carillon_entities::wall::{Args, TenantTx};
use carillon_entities::{seeded_bugs, statements};
use sea_orm::{FromQueryResult, Value};
use uuid::Uuid;

use super::workflows::{workflows_at_gate, workflows_due};
use crate::consent::WayFact;
use crate::error::{Error, Result};
use crate::paging::{Ahead, Paged};
use crate::time::Timestamp;
use crate::workflows::entry::Entry;
use crate::workflows::{Effects, Enrollment, Next, Way, WayState, WorkflowState};

/// Of way `e` what is told of it: whoever is under way where all is held, or their workflow is, is held.
macro_rules! told {
    () => {
        "e.id, e.workflow_id, e.version_id, e.contact_id, e.entry_number, CASE WHEN e.state = 'active' \
         AND (EXISTS (SELECT 1 FROM pauses p WHERE p.tenant_id = $1 AND p.subject_id = $1) \
         OR EXISTS (SELECT 1 FROM workflows w WHERE w.tenant_id = $1 AND w.id = e.workflow_id AND w.state = 'paused')) \
         THEN 'paused' ELSE e.state END AS state, e.node, e.visit, e.node_entered_at, e.due_at, e.variant, \
         e.entry_event_id, e.end_reason, e.entered_at, e.ended_at"
    };
}

statements! {
    /// Due people of a workflow, locked until the end of the transaction that moves them: the lock is the claim.
    ENROLLMENTS_DUE(Uuid, Time, BigInt) =
        "SELECT id, workflow_id, version_id, contact_id, entry_number, state, node, visit, node_entered_at, due_at, variant, \
         entry_event_id, end_reason, entered_at, ended_at FROM enrollments \
         WHERE tenant_id = $1 AND workflow_id = $2 AND state = 'active' AND due_at <= $3 ORDER BY due_at LIMIT $4 {skip_locked}";
    /// People who are still under way on an archived workflow, locked until the end of the transaction that takes them out.
    ENROLLMENTS_LEAVING(Uuid, BigInt) =
        "SELECT id, workflow_id, version_id, contact_id, entry_number, state, node, visit, node_entered_at, due_at, variant, \
         entry_event_id, end_reason, entered_at, ended_at FROM enrollments \
         WHERE tenant_id = $1 AND workflow_id = $2 AND state = 'active' ORDER BY due_at LIMIT $3 {skip_locked}";
    /// The same of those who stand still.
    ENROLLMENTS_LEAVING_STILL(Uuid, BigInt) =
        "SELECT id, workflow_id, version_id, contact_id, entry_number, state, node, visit, node_entered_at, due_at, variant, \
         entry_event_id, end_reason, entered_at, ended_at FROM enrollments \
         WHERE tenant_id = $1 AND workflow_id = $2 AND state IN ('paused', 'parked') ORDER BY due_at LIMIT $3 {skip_locked}";
    /// A page of each contact's ways, in the order in which they began.
    ENROLLMENTS_OF(Uuid, BigInt) [contact_id: Uuid] = concat!(
        "SELECT * FROM (SELECT ", told!(), ", ROW_NUMBER() OVER (PARTITION BY e.contact_id ORDER BY e.id) AS nth \
         FROM ({batch}) AS b JOIN enrollments e ON e.tenant_id = $1 AND e.contact_id = b.contact_id \
         WHERE e.id > $2) AS numbered WHERE nth <= $3 ORDER BY contact_id, id");
    /// Ways by id.
    ENROLLMENTS_FIND() [id: Uuid] = concat!(
        "SELECT ", told!(), " FROM ({batch}) AS b JOIN enrollments e ON e.tenant_id = $1 AND e.id = b.id");
    /// Where people are after a run. Whoever was taken out meanwhile, in this same transaction, stays out.
    ENROLLMENTS_MOVE() [id: Uuid, state: Text, node: Text, visit: Int, node_entered_at: Time, due_at: Time,
        variant: Text, end_reason: Text, ended_at: Time] =
        "WITH moves AS ({batch}) UPDATE enrollments SET state = moves.state, node = moves.node, visit = moves.visit, \
         node_entered_at = moves.node_entered_at, due_at = COALESCE(moves.due_at, enrollments.due_at), \
         variant = moves.variant, end_reason = moves.end_reason, ended_at = moves.ended_at \
         FROM moves WHERE enrollments.tenant_id = $1 AND enrollments.id = moves.id AND enrollments.state = 'active' \
         RETURNING enrollments.id";
    /// The ways of contacts on versions that are not over, or are but for a mail that has not left (C-184); locked.
    WAYS_OPEN() [contact_id: Uuid, version_id: Uuid] =
        "SELECT id, workflow_id, version_id, contact_id, entry_key, entry_number, entry_event_id, state, node, visit, \
         variant, entered_at, end_reason, ended_at FROM enrollments WHERE tenant_id = $1 \
         AND (state IN ('active', 'paused', 'parked') OR (state = 'completed' AND EXISTS ( \
            SELECT 1 FROM messages m WHERE m.tenant_id = $1 AND m.enrollment_id = enrollments.id \
            AND m.state IN ('queued', 'claimed')))) \
         AND (contact_id, version_id) IN (SELECT b.contact_id, b.version_id FROM ({batch}) AS b) ORDER BY id {no_key_update}";
    /// The last way of each entry key.
    WAYS_LAST() [workflow_id: Uuid, entry_key: Text] =
        "SELECT e.id, e.workflow_id, e.version_id, e.contact_id, e.entry_key, e.entry_number, e.entry_event_id, e.state, \
         e.node, e.visit, e.variant, e.entered_at, e.end_reason, e.ended_at FROM ({batch}) AS b JOIN enrollments e \
         ON e.tenant_id = $1 AND e.workflow_id = b.workflow_id AND e.entry_key = b.entry_key \
         WHERE e.entry_number = (SELECT MAX(l.entry_number) FROM enrollments l WHERE l.tenant_id = $1 \
         AND l.workflow_id = b.workflow_id AND l.entry_key = b.entry_key)";
    /// Begins ways whose entry key and number nobody has.
    WAYS_BEGIN() [id: Uuid, workflow_id: Uuid, version_id: Uuid, contact_id: Uuid, entry_key: Text, entry_number: Int,
        state: Text, node: Text, due_at: Time, entry_event_id: Uuid, end_reason: Text, entered_at: Time, ended_at: Time] =
        "INSERT INTO enrollments (tenant_id, id, workflow_id, version_id, contact_id, entry_key, entry_number, state, node, \
            visit, node_entered_at, due_at, entry_event_id, end_reason, entered_at, ended_at) \
         SELECT $1, b.id, b.workflow_id, b.version_id, b.contact_id, b.entry_key, b.entry_number, b.state, b.node, 0, \
            b.due_at, b.due_at, b.entry_event_id, b.end_reason, b.entered_at, b.ended_at FROM ({batch}) AS b WHERE true \
         ON CONFLICT (tenant_id, workflow_id, entry_key, entry_number) DO NOTHING RETURNING id";
    /// Ends ways.
    WAYS_END() [id: Uuid, state: Text, end_reason: Text, ended_at: Time] =
        "WITH ends AS ({batch}) UPDATE enrollments SET state = ends.state, end_reason = ends.end_reason, \
         ended_at = ends.ended_at FROM ends WHERE enrollments.tenant_id = $1 AND enrollments.id = ends.id \
         AND enrollments.state IN ('active', 'paused', 'parked', 'completed') RETURNING enrollments.id";
    /// Ways by id with how their workflows stand, as the gate sees them: locked against an end until it has decided.
    WAYS_AT_GATE() [id: Uuid] =
        "SELECT e.id, e.state, w.state AS workflow_state, EXISTS (SELECT 1 FROM pauses p WHERE p.tenant_id = $1 \
         AND p.subject_id IN ($1, e.contact_id)) AS is_held \
         FROM enrollments e JOIN workflows w ON w.tenant_id = $1 AND w.id = e.workflow_id \
         WHERE e.tenant_id = $1 AND e.id IN (SELECT b.id FROM ({batch}) AS b) ORDER BY e.id {for_share}";
    /// Has ways looked at by an instant, if they are under way.
    WAYS_WAKE() [id: Uuid, due_at: Time] =
        "WITH wakes AS ({batch}) UPDATE enrollments SET due_at = wakes.due_at FROM wakes \
         WHERE enrollments.tenant_id = $1 AND enrollments.id = wakes.id AND enrollments.state = 'active' \
         AND enrollments.due_at > wakes.due_at";
}

/// So many workflows are asked for due people until a batch is full.
const WORKFLOWS_MAX: i64 = 20;

#[derive(FromQueryResult)]
struct DueRow {
    id: EnrollmentId,
    workflow_id: WorkflowId,
    version_id: WorkflowVersionId,
    contact_id: ContactId,
    entry_number: i32,
    state: String,
    node: String,
    visit: i32,
    node_entered_at: Timestamp,
    due_at: Timestamp,
    variant: Option<String>,
    entry_event_id: Option<ContactEventId>,
    end_reason: Option<String>,
    entered_at: Timestamp,
    ended_at: Option<Timestamp>,
}

impl DueRow {
    fn enrollment(self) -> Result<Enrollment> {
        let way = Way {
            workflow: self.workflow_id,
            node: self.node,
            visit: self.visit,
            node_entered_at: self.node_entered_at,
            variant: self.variant,
        };
        Ok(Enrollment {
            id: self.id,
            version: self.version_id,
            contact: self.contact_id,
            entry: self.entry_number,
            event: self.entry_event_id,
            state: self.state.parse().map_err(Error::fault)?,
            way,
            due_at: self.due_at,
            entered_at: self.entered_at,
            end_reason: self.end_reason,
            ended_at: self.ended_at,
        })
    }
}

/// Due people, of the workflows first on which somebody waits longest; none of whatever is held. Those of one workflow lie
/// together in the index of what is due, so that a million on another, which is paused, are not looked at.
pub(in crate::workflows) async fn enrollments_due(
    tx: &mut TenantTx,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Enrollment>> {
    let (mut due, mut left) = (Vec::new(), limit);
    for workflow in workflows_due(tx, now, WORKFLOWS_MAX).await? {
        let args = Args::of([workflow.into(), now.into(), left.into()]);
        let rows: Vec<DueRow> = tx.sql(&ENROLLMENTS_DUE, args)?.all().await?;
        for row in rows {
            due.push(row.enrollment()?);
            left -= 1;
        }
        if left <= 0 {
            break;
        }
    }
    due.sort_by_key(|one| (one.due_at, one.id));
    Ok(due)
}

/// People who are still on an archived workflow, and whom nobody else has.
pub(in crate::workflows) async fn enrollments_leaving(
    tx: &mut TenantTx,
    workflow: WorkflowId,
    limit: i64,
) -> Result<Vec<Enrollment>> {
    for sql in [&ENROLLMENTS_LEAVING, &ENROLLMENTS_LEAVING_STILL] {
        let rows: Vec<DueRow> = tx.sql(sql, Args::of([workflow.into(), limit.into()]))?.all().await?;
        if !rows.is_empty() {
            return rows.into_iter().map(DueRow::enrollment).collect();
        }
    }
    Ok(Vec::new())
}

/// Writes where people are now; returns who was moved.
pub(in crate::workflows) async fn enrollments_move(
    tx: &mut TenantTx,
    moves: &[(&Enrollment, &Effects)],
    now: Timestamp,
) -> Result<Vec<EnrollmentId>> {
    let batch = moves.iter().map(|(enrollment, Effects { way, next, .. })| {
        let (state, due_at, ended) = match next {
            Next::At { due_at } => (WayState::Active, Some(*due_at), None),
            Next::Ended { state, reason } => (*state, None, Some(reason)),
            Next::Held => (WayState::Paused, None, None),
            Next::Parked => (WayState::Parked, None, None),
        };
        vec![
            enrollment.id.into(),
            state.as_str().into(),
            way.node.as_str().into(),
            way.visit.into(),
            way.node_entered_at.into(),
            due_at.into(),
            way.variant.clone().into(),
            ended.cloned().into(),
            ended.map(|_| now).into(),
        ]
    });
    let rows: Vec<IdRow> = tx.sql(&ENROLLMENTS_MOVE, Args::batch(batch))?.all().await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

#[derive(FromQueryResult)]
struct IdRow {
    id: EnrollmentId,
}

#[derive(FromQueryResult)]
struct WayRow {
    id: EnrollmentId,
    workflow_id: WorkflowId,
    version_id: WorkflowVersionId,
    contact_id: ContactId,
    entry_key: String,
    entry_number: i32,
    entry_event_id: Option<ContactEventId>,
    state: String,
    node: String,
    visit: i32,
    variant: Option<String>,
    entered_at: Timestamp,
    end_reason: Option<String>,
    ended_at: Option<Timestamp>,
}

/// A way as the rules of entry see it, and where on it the person is.
#[derive(Debug, Clone)]
pub(in crate::workflows) struct Stand {
    pub entry: Entry,
    pub node: String,
    pub visit: i32,
    pub variant: Option<String>,
}

impl WayRow {
    /// `is_open` says that it was asked for as one that can still be ended.
    fn stand(self, is_open: bool) -> Result<Stand> {
        let state: WayState = self.state.parse().map_err(Error::fault)?;
        let ended = self.ended_at.map(|at| (state, self.end_reason.unwrap_or_default(), at));
        let has_mail = is_open && ended.is_some();
        let entry = Entry {
            id: self.id,
            workflow: self.workflow_id,
            version: self.version_id,
            contact: self.contact_id,
            key: self.entry_key,
            number: self.entry_number,
            event: self.entry_event_id,
            entered_at: self.entered_at,
            ended,
            has_mail,
            is_new: false,
        };
        Ok(Stand { entry, node: self.node, visit: self.visit, variant: self.variant })
    }
}

/// The ways of contacts on versions that can still be ended; locked, in the order of their ids.
pub(in crate::workflows) async fn ways_open(
    tx: &mut TenantTx,
    of: impl IntoIterator<Item = (ContactId, WorkflowVersionId)>,
) -> Result<Vec<Stand>> {
    let batch: Vec<Vec<Value>> =
        of.into_iter().map(|(contact, version)| vec![contact.into(), version.into()]).collect();
    let mut stands = Vec::new();
    for chunk in batch.chunks(tx.max_batch(&WAYS_OPEN)) {
        let rows: Vec<WayRow> = tx.sql(&WAYS_OPEN, Args::batch(chunk.to_vec()))?.all().await?;
        stands.extend(rows.into_iter().map(|row| row.stand(true)).collect::<Result<Vec<_>>>()?);
    }
    Ok(stands)
}

/// The last way of each entry key.
pub(in crate::workflows) async fn ways_last(
    tx: &mut TenantTx,
    keys: impl IntoIterator<Item = (WorkflowId, String)>,
) -> Result<Vec<Stand>> {
    let batch: Vec<Vec<Value>> = keys.into_iter().map(|(workflow, key)| vec![workflow.into(), key.into()]).collect();
    let mut stands = Vec::new();
    for chunk in batch.chunks(tx.max_batch(&WAYS_LAST)) {
        let rows: Vec<WayRow> = tx.sql(&WAYS_LAST, Args::batch(chunk.to_vec()))?.all().await?;
        stands.extend(rows.into_iter().map(|row| row.stand(false)).collect::<Result<Vec<_>>>()?);
    }
    Ok(stands)
}

/// A way about to begin.
#[derive(Debug, Clone)]
pub(in crate::workflows) struct NewWay {
    pub entry: Entry,
    pub start: String,
    pub state: WayState,
    pub due_at: Timestamp,
}

/// Begins ways, and tells which: one whose entry key and number are taken was begun before, or by somebody else meanwhile.
pub(in crate::workflows) async fn ways_begin(tx: &mut TenantTx, new: &[NewWay]) -> Result<HashSet<EnrollmentId>> {
    let cells = |NewWay { entry, start, state, due_at }: &NewWay| {
        let ended = entry.ended.as_ref();
        vec![
            entry.id.into(),
            entry.workflow.into(),
            entry.version.into(),
            entry.contact.into(),
            entry.key.as_str().into(),
            entry.number.into(),
            ended.map_or(*state, |(state, _, _)| *state).as_str().into(),
            start.as_str().into(),
            (*due_at).into(),
            entry.event.into(),
            ended.map(|(_, reason, _)| reason.clone()).into(),
            entry.entered_at.into(),
            ended.map(|(_, _, at)| *at).into(),
        ]
    };
    let mut begun = HashSet::with_capacity(new.len());
    for chunk in new.chunks(tx.max_batch(&WAYS_BEGIN)) {
        let rows: Vec<IdRow> = tx.sql(&WAYS_BEGIN, Args::batch(chunk.iter().map(cells)))?.all().await?;
        begun.extend(rows.into_iter().map(|row| row.id));
    }
    Ok(begun)
}

/// Ends ways; returns those that were not over.
pub(in crate::workflows) async fn ways_end(
    tx: &mut TenantTx,
    ends: impl IntoIterator<Item = (EnrollmentId, WayState, String, Timestamp)>,
) -> Result<Vec<EnrollmentId>> {
    let batch = ends
        .into_iter()
        .map(|(id, state, reason, at)| vec![id.into(), state.as_str().into(), reason.into(), at.into()]);
    let batch: Vec<Vec<Value>> = batch.collect();
    let mut ended = Vec::new();
    for chunk in batch.chunks(tx.max_batch(&WAYS_END)) {
        let rows: Vec<IdRow> = tx.sql(&WAYS_END, Args::batch(chunk.to_vec()))?.all().await?;
        ended.extend(rows.into_iter().map(|row| row.id));
    }
    Ok(ended)
}

/// Has ways looked at by an instant each.
pub(in crate::workflows) async fn ways_wake(
    tx: &mut TenantTx,
    wakes: impl IntoIterator<Item = (EnrollmentId, Timestamp)>,
) -> Result<()> {
    let batch: Vec<Vec<Value>> = wakes.into_iter().map(|(id, at)| vec![id.into(), at.into()]).collect();
    for chunk in batch.chunks(tx.max_batch(&WAYS_WAKE)) {
        tx.sql(&WAYS_WAKE, Args::batch(chunk.to_vec()))?.execute().await?;
    }
    Ok(())
}

/// How ways stand, locked against an end until the gate has decided (C-184). Their workflows are locked first, by a
/// statement of its own: what was done to them, or to all, by whoever held such a lock is seen by the one that reads.
pub(crate) async fn ways_at_gate(
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = EnrollmentId>,
) -> Result<Vec<(EnrollmentId, WayFact)>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: EnrollmentId,
        state: String,
        workflow_state: String,
        is_held: bool,
    }
    let ids: Vec<EnrollmentId> = ids.into_iter().collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    if !seeded_bugs::on("gate_leaves_workflows_unlocked") {
        workflows_at_gate(tx, &ids).await?;
    }
    let batch = ids.into_iter().map(|id| vec![Value::from(id)]);
    let rows: Vec<Row> = tx.sql(&WAYS_AT_GATE, Args::batch(batch))?.all().await?;
    let fact = |row: Row| {
        let state: WayState = row.state.parse().map_err(Error::fault)?;
        let workflow: WorkflowState = row.workflow_state.parse().map_err(Error::fault)?;
        let fact = match (state, workflow) {
            _ if seeded_bugs::on("goal_only_at_wake") => WayFact::Open,
            (WayState::Goal | WayState::Exited | WayState::Failed, _) | (_, WorkflowState::Archived) => WayFact::Over,
            (WayState::Paused, _) | (_, WorkflowState::Paused) => WayFact::Held,
            _ if row.is_held => WayFact::Held,
            _ => WayFact::Open,
        };
        Ok((row.id, fact))
    };
    rows.into_iter().map(fact).collect()
}

/// A page of each contact's ways, in the order in which they began.
pub(in crate::workflows) async fn enrollments_of(
    tx: &mut TenantTx,
    contacts: &[ContactId],
    page: Ahead<EnrollmentId>,
) -> Result<HashMap<ContactId, Paged<Enrollment>>> {
    let after = page.after.unwrap_or(EnrollmentId(Uuid::nil()));
    let batch = contacts.iter().map(|id| vec![Value::from(*id)]);
    let args = Args::of([after.into(), page.limit().into()]).with_batch(batch);
    let rows: Vec<DueRow> = tx.sql(&ENROLLMENTS_OF, args)?.all().await?;
    let ways = rows.into_iter().map(|row| Ok((row.contact_id, row.enrollment()?)));
    Ok(page.finish(ways.collect::<Result<Vec<_>>>()?))
}

pub(in crate::workflows) async fn enrollments_find(
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = EnrollmentId>,
) -> Result<Vec<Enrollment>> {
    let batch = ids.into_iter().map(|id| vec![Value::from(id)]);
    let rows: Vec<DueRow> = tx.sql(&ENROLLMENTS_FIND, Args::batch(batch))?.all().await?;
    rows.into_iter().map(DueRow::enrollment).collect()
}
