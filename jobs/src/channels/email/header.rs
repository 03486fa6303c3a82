//! Writing header fields: one line break, CRLF, and only at white space (C-17, C-21, C-24, C-27).
//!
//! Every value is checked here again although the API checked it before: this is the last place that can (C-24).

use encodify::Fold;
use encodify::rfc2047::{B, Q_PHRASE, Q_TEXT, WordEncoder};

use super::address::WireAddress;
use super::content::ContentError;

/// Lines aim at 78 columns and never pass 998 (RFC 5322 s2.1.1).
const AIM: usize = 78;
const HARD: usize = 998;

/// The header block of one mail, under construction.
#[derive(Debug)]
pub(super) struct Headers {
    out: Vec<u8>,
}

impl Headers {
    /// An empty block with room for a whole mail.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { out: Vec::with_capacity(capacity) }
    }

    /// A field whose value we made ourselves and that fits on one line.
    pub fn fixed(&mut self, name: &'static str, value: &str) {
        debug_assert!(name.len() + 2 + value.len() <= HARD && value.bytes().all(is_printable));
        self.begin(name);
        self.out.extend_from_slice(value.as_bytes());
        self.end();
    }

    /// A field of printable ASCII without white space around `value`, never folded inside it (C-17).
    pub fn token(&mut self, name: &'static str, parts: [&str; 3]) -> Result<(), ContentError> {
        let [open, value, close] = parts;
        refuse_breaks(name, value)?;
        if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>')) {
            return Err(ContentError::Malformed(name));
        }
        if name.len() + 2 + open.len() + value.len() + close.len() > HARD {
            return Err(ContentError::TooLong(name));
        }
        self.begin(name);
        for part in parts {
            self.out.extend_from_slice(part.as_bytes());
        }
        self.end();
        Ok(())
    }

    /// Unstructured text such as a subject: as it is when it fits, else as encoded-words (C-27).
    pub fn text(&mut self, name: &'static str, value: &str) -> Result<(), ContentError> {
        refuse_breaks(name, value)?;
        self.begin(name);
        let column = name.len() + 2;
        if stands_plain(value) && column + value.len() <= AIM {
            self.out.extend_from_slice(value.as_bytes());
        } else {
            self.words(value, column, Q_TEXT);
        }
        self.end();
        Ok(())
    }

    /// One mailbox: a display name, if any, and the address on one line of its own when it does not fit.
    pub fn mailbox(&mut self, name: &'static str, display: &str, address: &WireAddress) -> Result<(), ContentError> {
        refuse_breaks(name, display)?;
        self.begin(name);
        let mut column = name.len() + 2;
        if !display.is_empty() {
            column = self.phrase(display, column);
            let fits = column + address.as_str().len() + 3 <= AIM;
            self.out.extend_from_slice(if fits { b" " } else { b"\r\n " });
        }
        self.out.push(b'<');
        self.out.extend_from_slice(address.as_str().as_bytes());
        self.out.push(b'>');
        self.end();
        Ok(())
    }

    /// The finished block, to which the body is appended.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// A display name as quoted-string or encoded-words; returns the column after it.
    fn phrase(&mut self, display: &str, column: usize) -> usize {
        if !stands_plain(display) || column + 2 * display.len() + 2 > AIM {
            return self.words(display, column, Q_PHRASE);
        }
        let before = self.out.len();
        self.out.push(b'"');
        for byte in display.bytes() {
            if matches!(byte, b'"' | b'\\') {
                self.out.push(b'\\');
            }
            self.out.push(byte);
        }
        self.out.push(b'"');
        column + self.out.len() - before
    }

    /// Encoded-words in the shorter of the two encodings; returns the column after them.
    fn words(&mut self, value: &str, mut column: usize, quoted: WordEncoder) -> usize {
        let encoder = if quoted.payload_len(value) <= B.payload_len(value) { quoted } else { B };
        encoder.encode_words("utf-8", value, &mut column, Fold::HEADER, &mut self.out);
        column
    }

    fn begin(&mut self, name: &'static str) {
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
    }

    fn end(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// CR, LF and NUL in a header-bound value are an error, never stripped (C-24).
fn refuse_breaks(name: &'static str, value: &str) -> Result<(), ContentError> {
    if value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return Err(ContentError::LineBreak(name));
    }
    Ok(())
}

/// True when a reader sees exactly these characters if they stand unencoded.
fn stands_plain(value: &str) -> bool {
    value.bytes().all(is_printable) && !value.contains("=?") && value.trim_matches(' ').len() == value.len()
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}
