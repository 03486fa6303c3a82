//! A mail being received: its beginning is kept, the rest is read and forgotten.

use carillon_domain::messaging::READ_MAX;
use smtp_proto::request::receiver::{DataReceiver, DummyDataReceiver};

/// Where the octets go.
enum Receiver {
    Keeping(DataReceiver),
    Forgetting(DummyDataReceiver),
}

/// The content of a mail so far.
pub(super) struct Content {
    kept: Vec<u8>,
    receiver: Receiver,
    seen: usize,
}

impl Content {
    pub fn new() -> Self {
        Self { kept: Vec::new(), receiver: Receiver::Keeping(DataReceiver::new()), seen: 0 }
    }

    /// Takes octets up to the end of the mail; true when it has ended. What machines read stands at the beginning of a report,
    /// so no more is kept than is read.
    pub fn ingest(&mut self, bytes: &mut std::slice::Iter<'_, u8>) -> bool {
        let held = bytes.len();
        let ended = match &mut self.receiver {
            Receiver::Keeping(receiver) => {
                let ended = receiver.ingest(bytes, &mut self.kept);
                if self.kept.len() > READ_MAX {
                    self.receiver = Receiver::Forgetting(DummyDataReceiver::new_data(receiver));
                    self.kept.truncate(READ_MAX);
                }
                ended
            }
            Receiver::Forgetting(receiver) => receiver.ingest(bytes),
        };
        self.seen += held - bytes.len();
        ended
    }

    /// How many octets there were.
    pub fn seen(&self) -> usize {
        self.seen
    }

    /// What was kept.
    pub fn into_kept(self) -> Vec<u8> {
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c054_the_beginning_of_a_mail_is_kept_and_its_end_is_found() {
        let mut content = Content::new();
        let long = vec![b'x'; READ_MAX + 10];
        assert!(!content.ingest(&mut b"Subject: a\r\n\r\n..dot\r\n".iter()));
        assert!(!content.ingest(&mut long.iter()));
        assert!(!content.ingest(&mut b"\r\n.".iter()));
        let mut rest = b"\r\nQUIT\r\n".iter();
        assert!(content.ingest(&mut rest));
        assert_eq!(rest.as_slice(), b"QUIT\r\n");
        let kept = content.into_kept();
        assert_eq!(kept.len(), READ_MAX);
        assert!(kept.starts_with(b"Subject: a\r\n\r\n.dot\r\nxx"));
    }
}
