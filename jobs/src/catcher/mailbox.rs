//! What was caught: the newest mails in memory, and counts that go on when old mails are forgotten.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::behaviour::address_hash;
use super::transaction::Envelope;

/// Recipients, and copies, that are counted apart; more are only part of the totals.
const COUNTED: usize = 5_000_000;

/// A mail as it arrived.
#[derive(Clone, PartialEq, Eq)]
pub struct CaughtMail {
    /// Number of arrival, from 1.
    pub seq: u64,
    /// Envelope sender.
    pub envelope_from: String,
    /// Envelope recipients.
    pub recipients: Vec<String>,
    /// Content of the Message-ID field, without brackets.
    pub message_id: Option<String>,
    /// The content, dots unstuffed.
    pub raw: Arc<[u8]>,
    /// When its final dot had been read: until then its sender could keep it back.
    pub ended: Instant,
}

impl std::fmt::Debug for CaughtMail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CaughtMail({}, {} octets)", self.seq, self.raw.len())
    }
}

/// Counts since the start, or since [`clear`](super::Catcher::clear).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Mails stored, whether or not the client was told so.
    pub stored: u64,
    /// Of these, copies of a mail with the same Message-ID that the same recipient already had.
    pub repeated: u64,
    /// Answers 4xx that rules gave.
    pub deferred: u64,
    /// Answers 5xx that rules gave.
    pub rejected: u64,
    /// Connections closed after the final dot with the mail stored.
    pub dropped_stored: u64,
    /// The same with the mail thrown away.
    pub dropped_lost: u64,
}

/// What a rule did, for the totals.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tally {
    Answered(u16),
    Dropped { stored: bool },
}

#[derive(Debug, Default)]
struct Contents {
    mails: VecDeque<Arc<CaughtMail>>,
    octets: usize,
    last_seq: u64,
    totals: Totals,
    per_recipient: HashMap<u64, u64>,
    copies: HashSet<(u64, u64)>,
}

/// The store, bounded in mails and octets.
#[derive(Debug)]
pub(super) struct Mailbox {
    max_mails: usize,
    max_octets: usize,
    contents: Mutex<Contents>,
    changed: watch::Sender<u64>,
}

impl Mailbox {
    pub fn new(max_mails: usize, max_octets: usize) -> Self {
        Self { max_mails, max_octets, contents: Mutex::default(), changed: watch::Sender::new(0) }
    }

    pub fn store(&self, envelope: Envelope, raw: Vec<u8>, ended: Instant) {
        let Envelope { from, recipients } = envelope;
        let envelope_from = from.unwrap_or_default();
        let message_id = message_id(&raw);
        let mut contents = self.lock();
        contents.count(&recipients, message_id.as_deref());
        contents.last_seq += 1;
        contents.octets += raw.len();
        let seq = contents.last_seq;
        let mail = CaughtMail { seq, envelope_from, recipients, message_id, raw: raw.into(), ended };
        contents.mails.push_back(Arc::new(mail));
        while contents.mails.len() > self.max_mails || contents.octets > self.max_octets {
            let Some(oldest) = contents.mails.pop_front() else { break };
            contents.octets -= oldest.raw.len();
        }
        drop(contents);
        self.changed.send_replace(seq);
    }

    pub fn tally(&self, tally: Tally) {
        let totals = &mut self.lock().totals;
        match tally {
            Tally::Answered(code) if code < 500 => totals.deferred += 1,
            Tally::Answered(_) => totals.rejected += 1,
            Tally::Dropped { stored: true } => totals.dropped_stored += 1,
            Tally::Dropped { stored: false } => totals.dropped_lost += 1,
        }
    }

    pub fn totals(&self) -> Totals {
        self.lock().totals
    }

    pub fn count_for(&self, recipient: &str) -> u64 {
        self.lock().per_recipient.get(&address_hash(recipient)).copied().unwrap_or(0)
    }

    pub fn get(&self, seq: u64) -> Option<Arc<CaughtMail>> {
        let contents = self.lock();
        let at = contents.position(seq)?;
        contents.mails.get(at).cloned()
    }

    /// Mails after a number, oldest first.
    pub fn after(&self, seq: u64, limit: usize) -> Vec<Arc<CaughtMail>> {
        let contents = self.lock();
        let from = contents.mails.partition_point(|mail| mail.seq <= seq);
        contents.mails.range(from..).take(limit).cloned().collect()
    }

    /// Mails before a number (or all), newest first, of one recipient or of all.
    pub fn before(&self, seq: Option<u64>, recipient: Option<&str>, limit: usize) -> Vec<Arc<CaughtMail>> {
        let contents = self.lock();
        let to = contents.mails.partition_point(|mail| seq.is_none_or(|seq| mail.seq < seq));
        let wanted = |mail: &&Arc<CaughtMail>| {
            recipient.is_none_or(|wanted| mail.recipients.iter().any(|to| to.eq_ignore_ascii_case(wanted)))
        };
        contents.mails.range(..to).rev().filter(wanted).take(limit).cloned().collect()
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Forgets mails and counts; numbers go on.
    pub fn clear(&self) {
        let mut contents = self.lock();
        *contents = Contents { last_seq: contents.last_seq, ..Contents::default() };
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn position(&self, seq: u64) -> Option<usize> {
        self.mails.binary_search_by_key(&seq, |mail| mail.seq).ok()
    }

    fn count(&mut self, recipients: &[String], message_id: Option<&str>) {
        self.totals.stored += 1;
        for recipient in recipients {
            let hash = address_hash(recipient);
            if self.per_recipient.len() < COUNTED || self.per_recipient.contains_key(&hash) {
                *self.per_recipient.entry(hash).or_default() += 1;
            }
            if let Some(id) = message_id
                && self.copies.len() < COUNTED
                && !self.copies.insert((hash, address_hash(id)))
            {
                self.totals.repeated += 1;
            }
        }
    }
}

/// The Message-ID of a header block, without brackets.
fn message_id(raw: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"message-id:";
    let headers = raw.split(|byte| *byte == b'\n').take_while(|line| !matches!(line, [] | [b'\r']));
    let field =
        headers.into_iter().find(|line| line.len() >= NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME));
    let value = String::from_utf8_lossy(field?[NAME.len()..].trim_ascii()).into_owned();
    Some(value.trim_matches(['<', '>']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(mailbox: &Mailbox, to: &str, id: &str) {
        let raw = format!("Subject: x\r\nMessage-ID: <{id}>\r\n\r\nMessage-ID: <not@this>\r\n").into_bytes();
        let from = Some("bounce@example.org".to_owned());
        mailbox.store(Envelope { from, recipients: vec![to.to_owned()] }, raw, Instant::now());
    }

    #[test]
    fn old_mails_are_forgotten_and_counts_go_on() {
        let mailbox = Mailbox::new(3, usize::MAX);
        for n in 0..10 {
            store(&mailbox, "a@example.org", &format!("{n}@x"));
        }
        assert_eq!(mailbox.totals().stored, 10);
        assert_eq!(mailbox.count_for("A@EXAMPLE.ORG"), 10);
        let seqs = |mails: Vec<Arc<CaughtMail>>| mails.iter().map(|mail| mail.seq).collect::<Vec<_>>();
        assert_eq!(seqs(mailbox.after(0, 100)), [8, 9, 10]);
        assert_eq!(seqs(mailbox.after(8, 1)), [9]);
        assert_eq!(seqs(mailbox.before(None, None, 2)), [10, 9]);
        assert_eq!(seqs(mailbox.before(Some(10), Some("a@example.ORG"), 9)), [9, 8]);
        assert!(mailbox.before(None, Some("b@example.org"), 9).is_empty());
        assert!(mailbox.get(1).is_none());
        assert_eq!(mailbox.get(9).unwrap().message_id.as_deref(), Some("8@x"));
        mailbox.clear();
        store(&mailbox, "a@example.org", "1@x");
        assert_eq!((mailbox.totals().stored, seqs(mailbox.after(0, 9))), (1, vec![11]));
    }

    #[test]
    fn octets_are_bounded_too() {
        let mailbox = Mailbox::new(100, 150);
        for n in 0..10 {
            store(&mailbox, "a@example.org", &format!("{n}@x"));
        }
        assert!(mailbox.after(0, 100).iter().map(|mail| mail.raw.len()).sum::<usize>() <= 150);
    }

    #[test]
    fn a_second_copy_for_the_same_recipient_is_repeated_and_for_another_it_is_not() {
        let mailbox = Mailbox::new(9, usize::MAX);
        store(&mailbox, "a@example.org", "1@x");
        store(&mailbox, "b@example.org", "1@x");
        assert_eq!(mailbox.totals().repeated, 0);
        store(&mailbox, "a@example.org", "1@x");
        assert_eq!(mailbox.totals().repeated, 1);
    }
}
