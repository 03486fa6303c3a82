//! What kind of CSV a file is, found from its first bytes: encoding, delimiter and where the header starts.

use serde::{Deserialize, Serialize};

use super::Position;

/// The encoding of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// UTF-8, seen by a mark or by characters beyond ASCII.
    Utf8,
    /// ASCII as far as was looked; a row beyond that is read as UTF-8 and, if it is not, as Windows-1252.
    Utf8OrWindows1252,
    /// Windows-1252.
    Windows1252,
    /// UTF-16, little end first.
    Utf16Le,
    /// UTF-16, big end first.
    Utf16Be,
}

/// How to read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// Its encoding.
    pub encoding: Encoding,
    /// What separates cells: comma, semicolon, tab or vertical bar.
    pub delimiter: u8,
    /// Where the header's record starts: behind a byte order mark and an Excel `sep=` line.
    pub start: Position,
}

/// Why a file is not read at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Nothing in it.
    #[error("The file is empty.")]
    Empty,
    /// A spreadsheet, archive or picture.
    #[error("The file is not text. Export the sheet as CSV.")]
    NotText,
}

impl FormatError {
    /// Stable upper-case code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Empty => "FILE_EMPTY",
            Self::NotText => "FILE_NOT_TEXT",
        }
    }
}

const DELIMITERS: [u8; 4] = *b",;\t|";

impl Format {
    /// So many first bytes of a file are enough for [`Format::detect`]; fewer only if the file is shorter.
    pub const HEAD: usize = 64 * 1024;

    /// Finds the format from the first bytes of a file.
    pub fn detect(head: &[u8]) -> Result<Self, FormatError> {
        let head = &head[..head.len().min(Self::HEAD)];
        let (encoding, mark) = detect_encoding(head);
        let body = &head[mark..];
        let line = first_line(encoding, body);
        if line.iter().all(u8::is_ascii_whitespace) && line.len() == body_units(encoding, body) {
            return Err(FormatError::Empty);
        }
        // Archives begin so, and so does every modern spreadsheet.
        if head.starts_with(b"PK\x03\x04") || head.starts_with(b"\xd0\xcf\x11\xe0") || line.contains(&0) {
            return Err(FormatError::NotText);
        }
        let mark = mark as u64;
        if let Some((delimiter, length)) = separator_line(&line) {
            let bytes = if encoding.is_utf16() { 2 * length as u64 } else { length as u64 };
            let start = Position { offset: mark + bytes, line: 2, after_cr: line.ends_with(b"\r") };
            return Ok(Self { encoding, delimiter, start });
        }
        let start = Position { offset: mark, line: 1, after_cr: false };
        Ok(Self { encoding, delimiter: detect_delimiter(&line), start })
    }
}

impl Encoding {
    pub(super) fn is_utf16(self) -> bool {
        matches!(self, Self::Utf16Le | Self::Utf16Be)
    }
}

/// The encoding and the length of its mark.
fn detect_encoding(head: &[u8]) -> (Encoding, usize) {
    if head.starts_with(b"\xef\xbb\xbf") {
        return (Encoding::Utf8, 3);
    }
    if head.starts_with(b"\xff\xfe") {
        return (Encoding::Utf16Le, 2);
    }
    if head.starts_with(b"\xfe\xff") {
        return (Encoding::Utf16Be, 2);
    }
    if let Some(utf16) = guess_utf16(head) {
        return (utf16, 0);
    }
    let encoding = match std::str::from_utf8(head) {
        Ok(text) if text.is_ascii() => Encoding::Utf8OrWindows1252,
        // A character cut off by the end of the head is no error.
        Err(error) if error.error_len().is_some() => Encoding::Windows1252,
        Err(error) if head[..error.valid_up_to()].is_ascii() => Encoding::Utf8OrWindows1252,
        Ok(_) | Err(_) => Encoding::Utf8,
    };
    (encoding, 0)
}

/// UTF-16 without a mark: text of a header has a NUL in nearly every other byte, always the same one of two.
fn guess_utf16(head: &[u8]) -> Option<Encoding> {
    let sample = &head[..head.len().min(1024) & !1];
    let nuls = |side: usize| sample.iter().skip(side).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd, pairs) = (nuls(0), nuls(1), sample.len() / 2);
    if pairs == 0 {
        None
    } else if odd * 2 > pairs && even == 0 {
        Some(Encoding::Utf16Le)
    } else if even * 2 > pairs && odd == 0 {
        Some(Encoding::Utf16Be)
    } else {
        None
    }
}

fn body_units(encoding: Encoding, body: &[u8]) -> usize {
    if encoding.is_utf16() { body.len() / 2 } else { body.len() }
}

/// The first record's bytes with its line end, as ASCII; what is beyond ASCII in UTF-16 becomes `?`.
fn first_line(encoding: Encoding, body: &[u8]) -> Vec<u8> {
    let unit = |pair: &[u8]| match (encoding, pair) {
        (Encoding::Utf16Le, &[low, 0]) | (Encoding::Utf16Be, &[0, low]) => low,
        _ => b'?',
    };
    let ascii: Vec<u8> = if encoding.is_utf16() { body.chunks_exact(2).map(unit).collect() } else { body.to_vec() };
    let mut quoted = false;
    // Line ends before the header belong to it, they say nothing.
    let lead = ascii.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let end = ascii[lead..].iter().position(|byte| {
        quoted ^= *byte == b'"';
        !quoted && matches!(byte, b'\r' | b'\n')
    });
    let mut line = ascii;
    if let Some(end) = end {
        line.truncate(lead + end + 1);
    }
    line
}

/// Excel's `sep=;` line: the delimiter it names and its length with the first byte of its line end.
fn separator_line(line: &[u8]) -> Option<(u8, usize)> {
    let (&delimiter, rest) = line.strip_prefix(b"sep=")?.split_first()?;
    (DELIMITERS.contains(&delimiter) && matches!(rest, b"\r" | b"\n")).then_some((delimiter, line.len()))
}

/// The candidate that stands most often outside quotes; a comma when none does.
fn detect_delimiter(line: &[u8]) -> u8 {
    let mut counts = [0_usize; DELIMITERS.len()];
    let mut quoted = false;
    for byte in line {
        quoted ^= *byte == b'"';
        if let Some(i) = DELIMITERS.iter().position(|delimiter| delimiter == byte)
            && !quoted
        {
            counts[i] += 1;
        }
    }
    // The first of equals wins.
    let best = (0..DELIMITERS.len()).rev().max_by_key(|&i| counts[i]).unwrap_or(0);
    DELIMITERS[best]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, little: bool) -> Vec<u8> {
        text.encode_utf16().flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
    }

    fn detect(head: &[u8]) -> (Encoding, u8, u64) {
        let format = Format::detect(head).expect("text");
        (format.encoding, format.delimiter, format.start.offset)
    }

    #[test]
    fn encodings_are_found() {
        assert_eq!(detect(b"email,name\n"), (Encoding::Utf8OrWindows1252, b',', 0));
        assert_eq!(detect("email;straße\n".as_bytes()), (Encoding::Utf8, b';', 0));
        assert_eq!(detect(b"email;stra\xdfe\n"), (Encoding::Windows1252, b';', 0));
        assert_eq!(detect(b"\xef\xbb\xbfemail\tname\n"), (Encoding::Utf8, b'\t', 3));
        for (little, mark, encoding) in
            [(true, b"\xff\xfe", Encoding::Utf16Le), (false, b"\xfe\xff", Encoding::Utf16Be)]
        {
            let body = utf16("email|stra\u{df}e\r\n", little);
            assert_eq!(detect(&body), (encoding, b'|', 0));
            assert_eq!(detect(&[&mark[..], &body].concat()), (encoding, b'|', 2));
        }
        let cut = "a,ä".as_bytes();
        assert_eq!(detect(&cut[..cut.len() - 1]).0, Encoding::Utf8OrWindows1252);
    }

    #[test]
    fn delimiters_inside_quotes_do_not_count() {
        assert_eq!(detect(b"\"a,b,c,d\";b;c\n,,,,,,\n").1, b';');
        assert_eq!(detect(b"email\nx;y;z\n").1, b',', "only the header counts");
        assert_eq!(detect(b"sep=;\r\na,b,c\r\n"), (Encoding::Utf8OrWindows1252, b';', 6));
        assert_eq!(detect(&utf16("sep=|\na,b\n", true)), (Encoding::Utf16Le, b'|', 12));
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for head in [&b""[..], b"\n\r\n ", b"\xef\xbb\xbf", b"\xff\xfe"] {
            assert_eq!(Format::detect(head), Err(FormatError::Empty), "{head:?}");
        }
        for head in [&b"PK\x03\x04rest"[..], b"\xd0\xcf\x11\xe0\xa1", b"GIF\0\0\0x", b"\0\0\0\0"] {
            assert_eq!(Format::detect(head), Err(FormatError::NotText), "{head:?}");
        }
    }
}
