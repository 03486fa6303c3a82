//! Judging the hits whose hold is over: a batch is loaded with what stands beside it, judged, and written (L5, C-82).

use std::collections::HashMap;

use carillon_entities::ids::{EnrollmentId, MessageId};
use chrono::TimeDelta;
use serde_json::json;

use super::{Beside, HIT_RULES_VERSION, Hit, HitClass, classify};
use crate::error::Result;
use crate::keys::HitKind;
use crate::messaging::claim;
use crate::messaging::store::{self, DueHit, HitMessage};
use crate::ports::Ports;
use crate::tenancy::{Grant, RecordHits};
use crate::time::Timestamp;
use crate::workflows;

/// Hits that are judged at once.
const LIMIT: i64 = 500;
/// Hits from one network that lie no further apart than this count together.
pub(super) const SOURCE_WITHIN: TimeDelta = TimeDelta::seconds(10);
/// A server's answer is written down a little after it came; a hand-over takes no longer than this as a rule.
const HAND_OVER: TimeDelta = TimeDelta::seconds(10);

/// Judges hits that are due, adds them to their messages' history, and wakes the workflows of what people did. Returns how
/// many there were.
pub async fn judge_hits(grant: &Grant<RecordHits>, ports: &Ports) -> Result<usize> {
    if !ports.clock.is_trustworthy() {
        return Ok(0);
    }
    let now = ports.now();
    let mut tx = grant.begin().await?;
    let due = store::hits_due(&mut tx, now, LIMIT).await?;
    if due.is_empty() {
        return Ok(0);
    }
    let messages = claim::unique(due.iter().map(|due| due.hit.message));
    let clicks = store::hits_clicks(&mut tx, &messages).await?;
    let sources = store::hits_of_sources(&mut tx, &due, SOURCE_WITHIN).await?;
    let messages = store::hit_messages(&mut tx, &messages).await?;
    let judged: Vec<(&Hit, HitClass, &'static str)> = due
        .iter()
        .map(|DueHit { hit, .. }| {
            let beside = Beside {
                clicks: clicks.get(&hit.message).map_or(&[], Vec::as_slice),
                messages_of_source: sources.get(&hit.id).copied().unwrap_or(0),
                handed_over: messages.get(&hit.message).and_then(handed_over),
            };
            let (class, rule) = classify(hit, &beside);
            let trusting = carillon_entities::seeded_bugs::on("machine_clicks_count");
            (hit, if trusting { HitClass::Human } else { class }, rule)
        })
        .collect();
    store::hits_judge(&mut tx, &judged).await?;
    store::message_events_append(&mut tx, ports, judged.iter().map(event), now).await?;
    let enrollments = by_people(&judged, &messages);
    workflows::react_to_engagement(&mut tx, ports, &enrollments).await?;
    tx.commit().await?;
    Ok(judged.len())
}

/// When a server took the mail at the latest, as far as is known.
fn handed_over(message: &HitMessage) -> Option<Timestamp> {
    let started = message.started_at?;
    Some(message.accepted_at.map_or(started, |accepted| accepted.min(started + HAND_OVER)))
}

fn event(judged: &(&Hit, HitClass, &'static str)) -> store::MessageEvent {
    let (hit, class, rule) = judged;
    let kind = match hit.kind {
        HitKind::Open => "opened",
        HitKind::Click => "clicked",
    };
    let link = hit.link.map(|place| place.number);
    (hit.message, kind, json!({ "class": class, "rule": rule, "rules": HIT_RULES_VERSION, "link": link, "at": hit.at }))
}

/// The ways through workflows whose mails people opened or clicked in.
fn by_people(
    judged: &[(&Hit, HitClass, &'static str)],
    messages: &HashMap<MessageId, HitMessage>,
) -> Vec<EnrollmentId> {
    let people = judged.iter().filter(|(_, class, _)| *class == HitClass::Human);
    let ways = people.filter_map(|(hit, ..)| messages.get(&hit.message)?.enrollment);
    claim::unique(ways)
}
