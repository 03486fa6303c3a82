//! How the catcher answers, told at run time: rules by recipient, so that a demo or a test decides who gets a 451.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Recipients whose attempts are counted; past this many, the counts start anew.
const COUNTED: usize = 1_000_000;

/// Rules, asked in order: delays add up, the first other action decides. Without a match the mail is taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behaviour {
    /// The rules.
    pub rules: Vec<Rule>,
}

/// What happens to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Whose mail.
    pub whom: Whom,
    /// Only the first so many attempts of each recipient; always if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u32>,
    /// What happens.
    pub action: Action,
}

/// Recipients, compared without case.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Whom {
    /// All of them.
    Everyone,
    /// One address.
    Address {
        /// The address.
        address: String,
    },
    /// Those whose [`address_hash`] leaves this remainder: a stable share of any list.
    Share {
        /// Number of shares, at least 1.
        of: u64,
        /// Which share, from 0.
        is: u64,
    },
}

impl std::fmt::Debug for Whom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Everyone => f.write_str("Everyone"),
            Self::Address { .. } => f.write_str("Address(..)"),
            Self::Share { of, is } => write!(f, "Share({is} of {of})"),
        }
    }
}

/// What the catcher does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Answers RCPT with `451 4.7.1`.
    Defer,
    /// Answers RCPT with `550 5.1.1`.
    Reject,
    /// Answers with this code (400 to 599) and text.
    Answer {
        /// When.
        at: Moment,
        /// The code; anything outside 400 to 599 counts as 451.
        code: u16,
        /// Enhanced code and text.
        text: String,
    },
    /// Closes the connection after the final dot without a word.
    Drop {
        /// Whether the mail is kept all the same.
        stored: bool,
    },
    /// Waits before the answer.
    Delay {
        /// When.
        at: Moment,
        /// How long.
        millis: u64,
    },
}

/// A moment of the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// RCPT TO.
    Recipient,
    /// The final dot.
    Content,
}

/// What was decided for one recipient at one moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub delay: Duration,
    pub end: End,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    #[default]
    Take,
    Answer(u16, String),
    Drop {
        stored: bool,
    },
}

/// FNV-1a of the lower-cased address, 64 bits: the same for ever, so that a test can tell who falls into which share.
pub fn address_hash(address: &str) -> u64 {
    let bytes = address.bytes().map(|byte| byte.to_ascii_lowercase());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Rule {
    fn moment(&self) -> Moment {
        match self.action {
            Action::Answer { at, .. } | Action::Delay { at, .. } => at,
            Action::Defer | Action::Reject => Moment::Recipient,
            Action::Drop { .. } => Moment::Content,
        }
    }

    fn fits(&self, address: &str, hash: u64) -> bool {
        match &self.whom {
            Whom::Everyone => true,
            Whom::Address { address: wanted } => wanted.eq_ignore_ascii_case(address),
            Whom::Share { of, is } => hash.checked_rem(*of) == Some(*is),
        }
    }
}

/// A behaviour at work, with its counts of attempts.
#[derive(Debug, Default)]
pub(super) struct Script {
    behaviour: Behaviour,
    attempts: HashMap<(usize, u64), u32>,
}

impl Script {
    fn decide(&mut self, address: &str, moment: Moment) -> Verdict {
        let hash = address_hash(address);
        let mut verdict = Verdict::default();
        let fitting = |(_, rule): &(usize, &Rule)| rule.moment() == moment && rule.fits(address, hash);
        for (number, rule) in self.behaviour.rules.iter().enumerate().filter(fitting) {
            if let Some(first) = rule.first {
                if self.attempts.len() >= COUNTED {
                    self.attempts.clear();
                }
                let attempts = self.attempts.entry((number, hash)).or_default();
                if *attempts >= first {
                    continue;
                }
                *attempts += 1;
            }
            verdict.end = match &rule.action {
                Action::Delay { millis, .. } => {
                    verdict.delay += Duration::from_millis(*millis);
                    continue;
                }
                Action::Defer => End::Answer(451, "4.7.1 Try again later".to_owned()),
                Action::Reject => End::Answer(550, "5.1.1 No such mailbox".to_owned()),
                Action::Answer { code, text, .. } => {
                    let code = if (400..600).contains(code) { *code } else { 451 };
                    End::Answer(code, text.replace(|c: char| c.is_control(), " "))
                }
                Action::Drop { stored } => End::Drop { stored: *stored },
            };
            break;
        }
        verdict
    }
}

/// The script in force, replaced as a whole.
#[derive(Debug, Default)]
pub(super) struct Director(Mutex<Script>);

impl Director {
    pub fn behaviour(&self) -> Behaviour {
        self.lock().behaviour.clone()
    }

    /// Takes effect with the next command; attempts are counted anew.
    pub fn set(&self, behaviour: Behaviour) {
        *self.lock() = Script { behaviour, attempts: HashMap::new() };
    }

    /// Asks about all recipients of a mail: delays add up, the first end other than taking decides.
    pub fn decide<'a>(&self, recipients: impl IntoIterator<Item = &'a str>, moment: Moment) -> Verdict {
        let mut script = self.lock();
        let mut verdict = Verdict::default();
        for recipient in recipients {
            let one = script.decide(recipient, moment);
            verdict.delay += one.delay;
            if verdict.end == End::Take {
                verdict.end = one.end;
            }
        }
        verdict
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn director(rules: Vec<Rule>) -> Director {
        let director = Director::default();
        director.set(Behaviour { rules });
        director
    }

    fn end_at(director: &Director, address: &str, moment: Moment) -> End {
        director.decide([address], moment).end
    }

    #[test]
    fn the_first_attempts_of_each_recipient_are_counted_apart() {
        let director = director(vec![Rule { whom: Whom::Everyone, first: Some(2), action: Action::Defer }]);
        for address in ["a@example.org", "b@example.org"] {
            for attempt in 0..4 {
                let deferred = matches!(end_at(&director, address, Moment::Recipient), End::Answer(451, _));
                assert_eq!(deferred, attempt < 2);
            }
        }
    }

    #[test]
    fn shares_split_any_list_without_rest_and_nonsense_shares_match_nobody() {
        let share = |of, is| Rule { whom: Whom::Share { of, is }, first: None, action: Action::Reject };
        let addresses: Vec<String> = (0..100).map(|n| format!("user{n}@example.org")).collect();
        let matched = |rule: Rule| {
            let director = director(vec![rule]);
            addresses.iter().filter(|address| end_at(&director, address, Moment::Recipient) != End::Take).count()
        };
        assert_eq!((0..7).map(|is| matched(share(7, is))).sum::<usize>(), 100);
        assert_eq!(matched(share(0, 0)), 0);
        assert_eq!(address_hash("A@Example.org"), address_hash("a@example.org"));
    }

    #[test]
    fn a_behaviour_survives_the_way_through_json() {
        let behaviour = Behaviour {
            rules: vec![
                Rule { whom: Whom::Everyone, first: None, action: Action::Delay { at: Moment::Content, millis: 5 } },
                Rule { whom: Whom::Share { of: 10, is: 3 }, first: Some(1), action: Action::Defer },
                Rule {
                    whom: Whom::Address { address: "a@example.org".to_owned() },
                    first: None,
                    action: Action::Drop { stored: true },
                },
            ],
        };
        let json = serde_json::to_string(&behaviour).unwrap();
        assert_eq!(serde_json::from_str::<Behaviour>(&json).unwrap(), behaviour);
        assert!(!format!("{behaviour:?}").contains("a@example.org"));
    }
}
