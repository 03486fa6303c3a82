//! Which hits a person made (C-81, C-82). Pure: the same facts always give the same class and the rule that gave it.
//!
//! Every rule looks at what machines do and people do not: they ask without wanting an answer, say what they are, come
//! before anybody can have read the mail, or are faster than hands. Many people may share a network, so a busy network alone
//! proves nothing; it does together with speed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use carillon_entities::ids::{HitId, MessageId};
use chrono::TimeDelta;

use super::Agent;
use crate::keys::{HitKind, LinkPlace};
use crate::time::Timestamp;

text_code! {
    /// Who made a hit.
    pub enum HitClass {
        /// Not judged yet.
        Pending = "pending",
        /// A person.
        Human = "human",
        /// Apple's Mail Privacy Protection.
        Mpp = "mpp",
        /// A mailbox provider's image proxy.
        Proxy = "proxy",
        /// A program that looks for dangers, or another that nobody sits behind.
        Scanner = "scanner",
        /// Nobody can say.
        Unknown = "unknown",
    }
}

/// Counts changes of the rules and of the thresholds below.
pub const HIT_RULES_VERSION: i32 = 1;

/// Nobody reads a mail sooner than this after a server took it.
const TOO_SOON: TimeDelta = TimeDelta::seconds(2);
/// Links that are more than a person follows within [`MANY_LINKS_WITHIN`].
const MANY_LINKS: usize = 3;
const MANY_LINKS_WITHIN: TimeDelta = TimeDelta::seconds(3);
/// So fast nobody follows all links of a mail that has several.
const ALL_LINKS_WITHIN: TimeDelta = TimeDelta::seconds(10);
/// Messages hit from one network within [`super::judge::SOURCE_WITHIN`] that are more than a household or an office makes.
pub(super) const MANY_MESSAGES: i64 = 10;
/// So soon after the hand-over a busy network is a machine's.
const BUSY_AND_SOON: TimeDelta = TimeDelta::seconds(60);

/// A request for a pixel or a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Its id.
    pub id: HitId,
    /// In which mail.
    pub message: MessageId,
    /// For what.
    pub kind: HitKind,
    /// Which link, of a click.
    pub link: Option<LinkPlace>,
    /// By what.
    pub agent: Agent,
    /// It asked for the headers alone.
    pub is_head: bool,
    /// When.
    pub at: Timestamp,
}

/// What is known beside a hit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beside<'a> {
    /// The clicks in the same mail, itself among them: number of the link and time, in order of time.
    pub clicks: &'a [(u16, Timestamp)],
    /// How many mails of the tenant were hit from the same network at about the same time, itself among them.
    pub messages_of_source: i64,
    /// When a server took the mail, or might have.
    pub handed_over: Option<Timestamp>,
}

/// Judges a hit; the second is the rule that decided.
pub fn classify(hit: &Hit, beside: &Beside<'_>) -> (HitClass, &'static str) {
    if hit.is_head {
        return (HitClass::Scanner, "head");
    }
    match hit.agent {
        Agent::Scanner => return (HitClass::Scanner, "agent_scanner"),
        Agent::Bot => return (HitClass::Scanner, "agent_bot"),
        Agent::Mpp => return (HitClass::Mpp, "agent_mpp"),
        Agent::Proxy => return (HitClass::Proxy, "agent_proxy"),
        Agent::Browser | Agent::Other | Agent::Missing => {}
    }
    let within = |span: TimeDelta| beside.handed_over.is_none_or(|handed_over| hit.at < handed_over + span);
    if within(TOO_SOON) {
        return (HitClass::Scanner, "too_soon");
    }
    if links_within(beside.clicks, hit.at, MANY_LINKS_WITHIN) >= MANY_LINKS {
        return (HitClass::Scanner, "many_links");
    }
    let all = hit.link.map_or(0, |place| usize::from(place.of));
    if all > 1 && links_within(beside.clicks, hit.at, ALL_LINKS_WITHIN) >= all {
        return (HitClass::Scanner, "all_links");
    }
    if beside.messages_of_source >= MANY_MESSAGES && within(BUSY_AND_SOON) {
        return (HitClass::Scanner, "many_messages");
    }
    match hit.agent {
        Agent::Missing => (HitClass::Unknown, "agent_missing"),
        Agent::Other => (HitClass::Unknown, "agent_other"),
        _ => (HitClass::Human, "none"),
    }
}

/// The most different links that were followed within any span of this length that `at` lies in. Looks at each click once:
/// a machine may have followed very many.
fn links_within(clicks: &[(u16, Timestamp)], at: Timestamp, span: TimeDelta) -> usize {
    let before = clicks.partition_point(|(_, time)| *time < at - span);
    let near = &clicks[before..clicks.partition_point(|(_, time)| *time <= at + span)];
    let (mut links, mut first, mut most) = (HashMap::<u16, usize>::new(), 0, 0);
    for (link, time) in near {
        *links.entry(*link).or_default() += 1;
        while near[first].1 + span < *time {
            if let Entry::Occupied(mut gone) = links.entry(near[first].0) {
                *gone.get_mut() -= 1;
                if *gone.get() == 0 {
                    gone.remove();
                }
            }
            first += 1;
        }
        most = most.max(links.len());
    }
    most
}

#[cfg(test)]
mod tests;
