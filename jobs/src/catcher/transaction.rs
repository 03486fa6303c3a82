//! One mail on its way into the catcher: envelope, then content.

use smtp_proto::request::receiver::{DataReceiver, DummyDataReceiver};

/// The longest line including CRLF (RFC 5321 s4.5.3.1.6).
const LINE_MAX: usize = 1000;

/// The envelope so far.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    pub from: Option<String>,
    pub recipients: Vec<String>,
}

/// Content being received; past the limit it is read and thrown away.
pub(super) struct Content {
    envelope: Envelope,
    raw: Vec<u8>,
    receiver: Receiver,
    max_size: usize,
}

enum Receiver {
    Keeping(DataReceiver),
    /// With how many octets were thrown away.
    Discarding(DummyDataReceiver, usize),
}

/// Why a mail is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    TooLarge,
    BareLineBreak,
    LongLine,
}

impl Flaw {
    pub fn reply(self) -> &'static [u8] {
        match self {
            Self::TooLarge => b"552 5.3.4 Message too large\r\n",
            Self::BareLineBreak => b"554 5.6.0 Bare CR or LF\r\n",
            Self::LongLine => b"554 5.6.0 Line longer than 998 octets\r\n",
        }
    }
}

impl Content {
    pub fn new(envelope: Envelope, max_size: usize) -> Self {
        Self { envelope, raw: Vec::new(), receiver: Receiver::Keeping(DataReceiver::new()), max_size }
    }

    /// Takes octets up to the end of the mail; true when it has ended.
    pub fn ingest(&mut self, bytes: &mut std::slice::Iter<'_, u8>) -> bool {
        match &mut self.receiver {
            Receiver::Discarding(receiver, discarded) => {
                let held = bytes.len();
                let ended = receiver.ingest(bytes);
                *discarded += held - bytes.len();
                ended
            }
            Receiver::Keeping(receiver) => {
                let ended = receiver.ingest(bytes, &mut self.raw);
                if self.raw.len() > self.max_size {
                    self.receiver = Receiver::Discarding(DummyDataReceiver::new_data(receiver), 0);
                    self.raw = Vec::new();
                }
                ended
            }
        }
    }

    /// True once as much was thrown away as a mail may have: nobody who sends so much waits for an answer at its end.
    pub fn is_endless(&self) -> bool {
        matches!(self.receiver, Receiver::Discarding(_, discarded) if discarded > self.max_size)
    }

    /// Envelope and content of a mail that has ended, or why it is not taken.
    pub fn finish(self) -> Result<(Envelope, Vec<u8>), Flaw> {
        match self.receiver {
            Receiver::Discarding(..) => Err(Flaw::TooLarge),
            Receiver::Keeping(_) => flaw(&self.raw).map_or(Ok((self.envelope, self.raw)), Err),
        }
    }
}

/// Only CRLF ends a line (C-22), and lines are bounded (C-21).
fn flaw(raw: &[u8]) -> Option<Flaw> {
    let mut lines = raw.split_inclusive(|byte| *byte == b'\n');
    lines.find_map(|line| {
        let inner = line.strip_suffix(b"\r\n").unwrap_or(line);
        if inner.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
            return Some(Flaw::BareLineBreak);
        }
        (line.len() > LINE_MAX).then_some(Flaw::LongLine)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(max_size: usize, pieces: &[&[u8]]) -> Result<Vec<u8>, Flaw> {
        let mut content = Content::new(Envelope::default(), max_size);
        let ended: Vec<bool> = pieces.iter().map(|piece| content.ingest(&mut piece.iter())).collect();
        assert_eq!(ended.iter().filter(|ended| **ended).count(), 1, "ends once");
        assert!(ended.last().unwrap(), "ends with the last piece");
        content.finish().map(|(_, raw)| raw)
    }

    #[test]
    fn c022_dots_are_unstuffed_and_only_crlf_dot_crlf_ends() {
        assert_eq!(receive(99, &[b"a\r\n..b\r\n.", b"\r\n"]), Ok(b"a\r\n.b\r\n".to_vec()));
        for hidden_end in [&b"a\n.\nb\r\n.\r\n"[..], b"a\r.\rb\r\n.\r\n", b"a\n.\r\nb\r\n.\r\n"] {
            assert_eq!(receive(99, &[hidden_end]), Err(Flaw::BareLineBreak));
        }
    }

    #[test]
    fn c021_sizes_and_lines_are_bounded() {
        let line = [b'x'; 999];
        assert_eq!(receive(9999, &[&line, b"\r\n.\r\n"]), Err(Flaw::LongLine));
        assert!(receive(9999, &[&line[1..], b"\r\n.\r\n"]).is_ok());
        assert_eq!(receive(50, &[&line, b"\r\n", b"more\r\n.\r\n"]), Err(Flaw::TooLarge));
    }
}
