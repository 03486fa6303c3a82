//! The engine (L5): loads a batch of due people with their facts, asks [`advance`] for each, and writes the batch.
//!
//! All of it is one transaction: the rows' locks are the claim, and a worker that dies leaves everything as it was. Its
//! cost in statements depends on what kinds of things happen in the batch, never on how many people are in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use carillon_entities::ids::{ContactId, EnrollmentId, WorkflowVersionId};
use carillon_entities::seeded_bugs;
use carillon_entities::wall::TenantTx;
use chrono::{Days, NaiveTime, TimeDelta};
use serde_json::Value as Json;

use super::advance::asked_mails;
use super::close::close_archived;
use super::facts::BatchFacts;
use super::store::enrollments::{enrollments_due, enrollments_move};
use super::store::steps::{NewExposure, NewStep, exposures_insert, steps_append};
use super::versions::Definitions;
use super::{Effects, Enrollment, Next, Node, Ration, Step, StepOutcome, advance};
use crate::contacts::{ContactChange, Tag, change_contacts, contacts_hold_free};
use crate::error::{Error, Refusal, Result};
use crate::messaging::{
    INTENTS_MAX, Intent, Lane, MessageClass, ORIGIN_KEYS, Origin, Recipient, choose_locale, messages_left_today,
    send_messages,
};
use crate::ports::Ports;
use crate::reruns::Reruns;
use crate::tenancy::{Grant, RunWorkflows, SendMessages};
use crate::time::Timestamp;
use crate::webhooks::{self, Happening, WorkflowFinished};

/// How many people one ticket permits to move.
pub const PEOPLE: u32 = 500;
/// Whoever is at a mail while the day's mails are used up is looked at again after this, for the limit may be raised, or when
/// the day is over.
const QUOTA_PAUSE: TimeDelta = TimeDelta::minutes(15);
/// Whoever somebody else writes just now is changed after this.
const SOON: TimeDelta = TimeDelta::seconds(1);

/// What the engine may do in a tenant.
#[derive(Debug, Clone)]
pub struct EngineGrants {
    /// Move people.
    pub run: Grant<RunWorkflows>,
    /// Ask for mails.
    pub send: Grant<SendMessages>,
}

/// Takes up to `size` people of the tenant out of archived workflows, and moves up to as many who are due; returns how many
/// these were.
pub async fn advance_due(grants: &EngineGrants, ports: &Ports, size: u32) -> Result<usize> {
    if !ports.clock.is_trustworthy() {
        return Ok(0);
    }
    let mut reruns = Reruns::default();
    let left = loop {
        match close_archived(&grants.run, ports, size).await {
            Err(error) if reruns.after(&error) => {}
            left => break left?,
        }
    };
    loop {
        match one_batch(grants, ports, size).await {
            // Somebody else took of the day's mails between the look at them and the count. They have them, so the next look
            // sees fewer: this ends, at the latest when none is left, for then no mail is asked for.
            Err(Error::Refused(why)) if is_quota(&why) => {}
            Err(error) if reruns.after(&error) => {}
            moved => return moved.map(|moved| left + moved),
        }
    }
}

fn is_quota(refusals: &[Refusal]) -> bool {
    refusals.iter().any(|refusal| refusal.code == "QUOTA_EXCEEDED")
}

async fn one_batch(grants: &EngineGrants, ports: &Ports, size: u32) -> Result<usize> {
    let now = ports.now();
    let mut tx = grants.run.begin().await?;
    let due = enrollments_due(&mut tx, now, i64::from(size)).await?;
    if due.is_empty() {
        return Ok(tx.rollback().await.map(|()| 0)?);
    }
    let definitions = ports.versions.load(&mut tx, due.iter().map(|one| one.version).collect()).await?;
    let facts = BatchFacts::load(&mut tx, ports, &due, &definitions, now).await?;
    let writing = Writing { grants, ports, definitions: &definitions, facts: &facts, now };
    let runs = due.into_iter().map(|enrollment| {
        let effects = writing.advance(&enrollment, None);
        Run { enrollment, effects }
    });
    let mut runs: Vec<Run> = runs.collect();
    let count = runs.len();
    let wanted: usize = runs.iter().map(Run::mails).sum();
    if wanted > 0 {
        writing.ration(&mut runs, wanted, messages_left_today(&mut tx, now).await?);
    }
    let lanes = writing.write(&mut tx, runs).await?;
    tx.commit().await?;
    ports.metrics.moves.inc_by(count.try_into().unwrap_or(0));
    for lane in lanes {
        ports.doorbell.ring(lane);
    }
    Ok(count)
}

/// When whoever waits for another day's mails is looked at again.
pub(crate) fn renewed(now: Timestamp) -> Timestamp {
    let midnight = now.date_naive().checked_add_days(Days::new(1)).map(|day| day.and_time(NaiveTime::MIN).and_utc());
    let pause = now + QUOTA_PAUSE;
    midnight.map_or(pause, |midnight| midnight.min(pause))
}

/// Somebody on a version that this program cannot read: they wait for one that can (C-182).
fn unreadable(enrollment: &Enrollment) -> Effects {
    let way = &enrollment.way;
    let step = Step {
        node: way.node.clone(),
        outcome: StepOutcome::Parked,
        reason: Some("VERSION_UNREADABLE".to_owned()),
        variant: way.variant.clone(),
        facts: Json::Null,
        visit: way.visit,
    };
    Effects { steps: vec![step], way: way.clone(), next: Next::Parked }
}

/// Somebody, and what their run wants written.
struct Run {
    enrollment: Enrollment,
    effects: Effects,
}

impl Run {
    /// How many mails it asks for.
    fn mails(&self) -> usize {
        asked_mails(&self.effects.steps)
    }

    /// What webhooks are told of it, if it is over.
    fn finished(&self) -> Option<Happening> {
        let Next::Ended { state, reason } = &self.effects.next else { return None };
        let Enrollment { id, contact, way, .. } = &self.enrollment;
        Some(Happening::WorkflowFinished(WorkflowFinished {
            enrollment_id: *id,
            workflow_id: way.workflow,
            contact_id: *contact,
            state: state.as_str(),
            reason: reason.clone(),
        }))
    }
}

struct Writing<'a> {
    grants: &'a EngineGrants,
    ports: &'a Ports,
    definitions: &'a Definitions,
    facts: &'a BatchFacts,
    now: Timestamp,
}

impl Writing<'_> {
    fn advance(&self, enrollment: &Enrollment, ration: Option<Ration>) -> Effects {
        let Some(definition) = self.definitions.get(&enrollment.version) else { return unreadable(enrollment) };
        advance(definition, enrollment.way.clone(), &self.facts.of(enrollment, ration), self.now)
    }

    /// Gives the mails that the day has left to those who were due first. While there were some the others are due again at
    /// once: what is asked for may yet be refused, and is theirs then.
    fn ration(&self, runs: &mut [Run], wanted: usize, room: usize) {
        if wanted <= room {
            return;
        }
        let until = if room == 0 { renewed(self.now) } else { self.now };
        let mut left = room;
        for run in runs {
            if run.mails() > left {
                run.effects = self.advance(&run.enrollment, Some(Ration { mails: left, until }));
            }
            left -= run.mails();
        }
    }

    /// Writes a batch; returns the lanes in which there is mail now.
    async fn write(&self, tx: &mut TenantTx, mut runs: Vec<Run>) -> Result<BTreeSet<Lane>> {
        self.put_off(tx, &mut runs).await?;
        let refused = self.change(tx, &runs).await?;
        let moves: Vec<(&Enrollment, &Effects)> = runs.iter().map(|run| (&run.enrollment, &run.effects)).collect();
        let still: BTreeSet<EnrollmentId> = enrollments_move(tx, &moves, self.now).await?.into_iter().collect();
        // A change of the contact may just have ended their way.
        runs.retain(|run| still.contains(&run.enrollment.id));
        for run in &mut runs {
            let why = refused.get(&run.enrollment.contact);
            for step in run.effects.steps.iter_mut().filter(|step| step.outcome == StepOutcome::Updated) {
                if let Some(why) = why {
                    (step.outcome, step.reason) = (StepOutcome::Refused, Some(why.code.to_owned()));
                }
            }
        }
        let lanes = self.send(tx, &mut runs).await?;
        exposures_insert(tx, self.exposures(&runs), self.now).await?;
        let parked = runs.iter().filter(|run| run.effects.next == Next::Parked).count();
        if parked > 0 {
            tracing::error!(tenant.id = %tx.tenant(), parked, "people are at nodes that this program does not know");
        }
        let finished = runs.iter().filter_map(Run::finished).collect();
        let steps = runs.into_iter().flat_map(|run| {
            let (enrollment, version, at) = (run.enrollment.id, run.enrollment.version, self.now);
            run.effects.steps.into_iter().map(move |step| NewStep {
                enrollment,
                version,
                node: step.node,
                visit: Some(step.visit),
                outcome: step.outcome,
                reason: step.reason,
                variant: step.variant,
                facts: step.facts,
                at,
            })
        });
        steps_append(tx, self.ports, steps.collect()).await?;
        webhooks::tell(tx, self.ports, finished).await?;
        Ok(lanes)
    }

    fn node(&self, version: WorkflowVersionId, name: &str) -> Option<&Node> {
        self.definitions.get(&version)?.nodes.get(name)
    }

    /// Whoever is to be changed is locked, so that no change is lost to somebody else's. A contact that another
    /// transaction has is left for a moment later: it may be waiting for the ways that are locked here.
    async fn put_off(&self, tx: &mut TenantTx, runs: &mut [Run]) -> Result<()> {
        let changes = |run: &Run| run.effects.steps.iter().any(|step| step.outcome == StepOutcome::Updated);
        let wanted: BTreeSet<ContactId> =
            runs.iter().filter(|run| changes(run)).map(|run| run.enrollment.contact).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let free = contacts_hold_free(tx, wanted).await?;
        let due_at = self.now + SOON;
        for run in runs.iter_mut().filter(|run| changes(run) && !free.contains(&run.enrollment.contact)) {
            run.effects = Effects { steps: Vec::new(), way: run.enrollment.way.clone(), next: Next::At { due_at } };
        }
        Ok(())
    }

    /// Changes contacts as update nodes say; somebody on two workflows at once is changed by both, in the order of their ways.
    async fn change(&self, tx: &mut TenantTx, runs: &[Run]) -> Result<HashMap<ContactId, Refusal>> {
        let mut changes: HashMap<ContactId, ContactChange> = HashMap::new();
        for run in runs {
            for step in run.effects.steps.iter().filter(|step| step.outcome == StepOutcome::Updated) {
                if let Some(Node::Update { set, add_tags, remove_tags, .. }) =
                    self.node(run.enrollment.version, &step.node)
                {
                    merge(changes.entry(run.enrollment.contact).or_default(), set, add_tags, remove_tags);
                }
            }
        }
        if changes.is_empty() { Ok(HashMap::new()) } else { change_contacts(tx, self.ports, &changes).await }
    }

    /// Asks for the mails of `queued` steps; those that cannot be asked for say why in their step.
    async fn send(&self, tx: &mut TenantTx, runs: &mut [Run]) -> Result<BTreeSet<Lane>> {
        let (mut intents, mut places, mut lanes) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (at, run) in runs.iter_mut().enumerate() {
            for (place, step) in run.effects.steps.iter_mut().enumerate() {
                if step.outcome != StepOutcome::Queued {
                    continue;
                }
                if let Some(intent) = self.intent(&run.enrollment, step) {
                    intents.push(intent);
                    places.push((at, place));
                } else {
                    (step.outcome, step.reason) = (StepOutcome::Refused, Some("NO_CONTENT".to_owned()));
                }
            }
        }
        for (intents, places) in intents.chunks(INTENTS_MAX).zip(places.chunks(INTENTS_MAX)) {
            let verdicts = send_messages(&self.grants.send, tx, self.ports, intents).await?;
            for ((verdict, intent), (at, place)) in verdicts.into_iter().zip(intents).zip(places) {
                let step = &mut runs[*at].effects.steps[*place];
                match verdict {
                    Ok(accepted) => {
                        lanes.insert(intent.class.lane());
                        step.facts = serde_json::json!({ "message": accepted.message });
                    }
                    Err(refusal) => (step.outcome, step.reason) = (StepOutcome::Refused, Some(refusal.code.to_owned())),
                }
            }
        }
        Ok(lanes)
    }

    /// The mail of a step, in the person's language; its key says which visit of the node wants it, so it is one (L8).
    fn intent(&self, enrollment: &Enrollment, step: &Step) -> Option<Intent> {
        let Node::Send { sender, topic, content, uses_event, .. } = self.node(enrollment.version, &step.node)? else {
            return None;
        };
        let locales: Vec<&str> = content.keys().map(String::as_str).collect();
        let wanted = self.facts.locale_of(enrollment.contact);
        let chosen = choose_locale(wanted, self.facts.default_locale(), &locales)?;
        let variables = if *uses_event { self.facts.properties_of(enrollment) } else { None };
        let visit = if seeded_bugs::on("step_key_without_visit") { 0 } else { step.visit };
        Some(Intent {
            key: format!("{ORIGIN_KEYS}{}:{}", enrollment.id, visit),
            // A published workflow's marketing has a topic and nothing else has.
            class: if topic.is_some() { MessageClass::Marketing } else { MessageClass::Transactional },
            topic: *topic,
            sender: *sender,
            template_version: *content.values().nth(chosen)?,
            to: Recipient::Contact(enrollment.contact),
            variables: variables.cloned().unwrap_or_default(),
            send_at: None,
            expires_at: None,
            is_test: false,
            origin: Some(Origin::Step {
                version: enrollment.version,
                enrollment: enrollment.id,
                node: step.node.clone(),
                variant: step.variant.clone(),
            }),
        })
    }

    fn exposures(&self, runs: &[Run]) -> Vec<NewExposure> {
        let mut exposures = Vec::new();
        for run in runs {
            let Enrollment { id, version, contact, way, .. } = &run.enrollment;
            let Some(address) = self.facts.address_of(*contact) else { continue };
            for step in run.effects.steps.iter().filter(|step| step.outcome == StepOutcome::Split) {
                let Some(Node::Split { conversion, .. }) = self.node(*version, &step.node) else { continue };
                let window = conversion.as_ref().and_then(|one| i64::try_from(one.within_seconds).ok());
                exposures.push(NewExposure {
                    workflow: way.workflow,
                    node: step.node.clone(),
                    address,
                    variant: label_of(step.variant.as_deref()).to_owned(),
                    contact: *contact,
                    enrollment: *id,
                    converts_until: window.and_then(TimeDelta::try_seconds).map(|window| self.now + window),
                });
            }
        }
        exposures
    }
}

/// The label of a variant that is written as `node/label`.
fn label_of(variant: Option<&str>) -> &str {
    variant.and_then(|variant| variant.rsplit_once('/')).map_or("", |(_, label)| label)
}

fn merge(change: &mut ContactChange, set: &BTreeMap<String, Json>, add: &[String], remove: &[String]) {
    let tags = |names: &[String]| names.iter().filter_map(|name| Tag::parse(name).ok()).collect::<Vec<_>>();
    let (add, remove) = (tags(add), tags(remove));
    change.set.extend(set.iter().map(|(name, value)| (name.clone(), value.clone())));
    change.add.retain(|tag| !remove.contains(tag));
    change.remove.retain(|tag| !add.contains(tag));
    change.add.extend(add);
    change.remove.extend(remove);
}
