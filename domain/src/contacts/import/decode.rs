//! The bytes of a file on their way to the CSV parser.
//!
//! Encodings in which every delimiter is its ASCII byte are parsed as they are and decoded cell by cell, so a byte of the
//! file is a byte of input. UTF-16 is turned into UTF-8 first; how many bytes of the file a piece of UTF-8 came from is
//! exact again, because every character that takes part, U+FFFD for a lone surrogate too, has one length in both.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use encoding_rs::{CoderResult, Decoder, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::Encoding;

/// Bytes of UTF-16 decoded at a time.
const STEP: usize = 8 * 1024;

/// Chunks of the file, given out as bytes to parse.
pub(super) struct Source {
    chunks: VecDeque<Bytes>,
    fed: u64,
    ended: bool,
    utf16: Option<Utf16>,
}

struct Utf16 {
    decoder: Decoder,
    decoded: Vec<u8>,
    taken: usize,
    flushed: bool,
}

impl Source {
    pub fn new(encoding: Encoding) -> Self {
        let utf16 = match encoding {
            Encoding::Utf16Le => Some(UTF_16LE),
            Encoding::Utf16Be => Some(UTF_16BE),
            Encoding::Utf8 | Encoding::Utf8OrWindows1252 | Encoding::Windows1252 => None,
        }
        .map(|encoding| Utf16 {
            decoder: encoding.new_decoder_without_bom_handling(),
            decoded: Vec::new(),
            taken: 0,
            flushed: false,
        });
        Self { chunks: VecDeque::new(), fed: 0, ended: false, utf16 }
    }

    pub fn feed(&mut self, chunk: Bytes) {
        self.fed += chunk.len() as u64;
        if !chunk.is_empty() {
            self.chunks.push_back(chunk);
        }
    }

    /// Bytes fed so far.
    pub fn fed(&self) -> u64 {
        self.fed
    }

    pub fn finish(&mut self) {
        self.ended = true;
    }

    /// True when nothing will come any more; meaningful when [`Self::peek`] is empty.
    pub fn is_over(&self) -> bool {
        self.ended && self.chunks.is_empty() && self.utf16.as_ref().is_none_or(|utf16| utf16.flushed)
    }

    /// The next bytes to parse; empty when more chunks are needed.
    pub fn peek(&mut self) -> &[u8] {
        match &mut self.utf16 {
            Some(utf16) => utf16.peek(&mut self.chunks, self.ended),
            None => self.chunks.front().map_or(&[], |chunk| &chunk[..]),
        }
    }

    /// Marks the first `n` bytes of [`Self::peek`] as parsed.
    pub fn consume(&mut self, n: usize) {
        if let Some(utf16) = &mut self.utf16 {
            utf16.taken += n;
        } else if let Some(chunk) = self.chunks.front_mut() {
            chunk.advance(n);
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
        }
    }
}

impl Utf16 {
    fn peek(&mut self, chunks: &mut VecDeque<Bytes>, ended: bool) -> &[u8] {
        while self.taken == self.decoded.len() && !self.flushed {
            let Some(chunk) = chunks.front_mut() else {
                if !ended {
                    break;
                }
                self.decode(&[], true);
                self.flushed = true;
                break;
            };
            let step = chunk.split_to(chunk.len().min(STEP));
            if chunk.is_empty() {
                chunks.pop_front();
            }
            self.decode(&step, false);
        }
        &self.decoded[self.taken..]
    }

    fn decode(&mut self, bytes: &[u8], last: bool) {
        self.taken = 0;
        let room = self.decoder.max_utf8_buffer_length(bytes.len()).unwrap_or(4 * STEP);
        self.decoded.resize(room, 0);
        let (result, _, written, _) = self.decoder.decode_to_utf8(bytes, &mut self.decoded, last);
        debug_assert_eq!(result, CoderResult::InputEmpty, "the buffer has room for all of it");
        self.decoded.truncate(written);
    }
}

/// How many bytes of a UTF-16 file a piece of UTF-8 came from; the piece may start and end inside a character.
pub(super) fn utf16_len(utf8: &[u8]) -> u64 {
    utf8.iter()
        .map(|byte| match byte {
            0x80..=0xBF => 0,
            0xF0.. => 4,
            _ => 2,
        })
        .sum()
}

/// The cells of a record as text: one string and the end of each cell in it. `None` if the bytes are not in the encoding.
pub(super) fn decode_cells(encoding: Encoding, bytes: &[u8], ends: &[usize]) -> Option<(String, Vec<usize>)> {
    match encoding {
        Encoding::Utf8 => utf8_cells(bytes, ends),
        Encoding::Utf8OrWindows1252 => utf8_cells(bytes, ends).or_else(|| Some(windows_1252_cells(bytes, ends))),
        Encoding::Windows1252 => Some(windows_1252_cells(bytes, ends)),
        Encoding::Utf16Le | Encoding::Utf16Be => utf8_cells(bytes, ends).filter(|(text, _)| !text.contains('\u{fffd}')),
    }
}

fn utf8_cells(bytes: &[u8], ends: &[usize]) -> Option<(String, Vec<usize>)> {
    let text = std::str::from_utf8(bytes).ok()?;
    // The end of one cell and the start of the next can look like one character.
    ends.iter().all(|end| text.is_char_boundary(*end)).then(|| (text.to_owned(), ends.to_vec()))
}

fn windows_1252_cells(bytes: &[u8], ends: &[usize]) -> (String, Vec<usize>) {
    let mut text = String::with_capacity(bytes.len() + bytes.len() / 8);
    let mut start = 0;
    let ends = ends
        .iter()
        .map(|&end| {
            let (cell, _) = WINDOWS_1252.decode_without_bom_handling(&bytes[start..end]);
            start = end;
            text.push_str(&cell);
            text.len()
        })
        .collect();
    (text, ends)
}
