//! The engine's catcher behind the gateway's port.

use carillon_jobs::catcher::{self, Behaviour, Catcher, Moment};

use crate::catcher::{Action, CatcherTotals, CaughtMail, MailCatcher, Rule, Whom};

impl MailCatcher for Catcher {
    fn latest(&self, before: Option<u64>, recipient: Option<&str>, limit: usize) -> Vec<CaughtMail> {
        Self::latest(self, before, recipient, limit).iter().map(|mail| shown(mail)).collect()
    }

    fn get(&self, seq: u64) -> Option<CaughtMail> {
        Self::get(self, seq).map(|mail| shown(&mail))
    }

    fn totals(&self) -> CatcherTotals {
        let totals = Self::totals(self);
        CatcherTotals {
            stored: totals.stored,
            repeated: totals.repeated,
            deferred: totals.deferred,
            rejected: totals.rejected,
            dropped_stored: totals.dropped_stored,
            dropped_lost: totals.dropped_lost,
        }
    }

    fn behave(&self, rules: Vec<Rule>) {
        self.set_behaviour(Behaviour { rules: rules.into_iter().map(rule).collect() });
    }
}

fn shown(mail: &catcher::CaughtMail) -> CaughtMail {
    CaughtMail {
        seq: mail.seq,
        envelope_from: mail.envelope_from.clone(),
        recipients: mail.recipients.clone(),
        message_id: mail.message_id.clone(),
        raw: mail.raw.clone(),
    }
}

fn rule(rule: Rule) -> catcher::Rule {
    let whom = match rule.whom {
        Whom::Everyone => catcher::Whom::Everyone,
        Whom::Address(address) => catcher::Whom::Address { address },
        Whom::Share { of, is } => catcher::Whom::Share { of, is },
    };
    let at = |after_content| if after_content { Moment::Content } else { Moment::Recipient };
    let action = match rule.action {
        Action::Defer => catcher::Action::Defer,
        Action::Reject => catcher::Action::Reject,
        Action::Answer { after_content, code, text } => catcher::Action::Answer { at: at(after_content), code, text },
        Action::Drop { stored } => catcher::Action::Drop { stored },
        Action::Delay { after_content, millis } => catcher::Action::Delay { at: at(after_content), millis },
    };
    catcher::Rule { whom, first: rule.first, action }
}
