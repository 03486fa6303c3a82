//! Records of a CSV file from chunks of its bytes, with the place of each in the file.
//!
//! For one file, format and start the records and their positions are the same however the bytes are cut, and reading
//! from the [`Position`] behind a record gives exactly the records that came behind it. Memory is bounded by
//! [`RecordReader::RECORD_MAX`] and the chunk at hand, whatever is in the file.

use bytes::Bytes;
use csv_core::{ReadRecordResult, ReaderBuilder};
use serde::{Deserialize, Serialize};

use super::decode::{Source, decode_cells, utf16_len};
use super::{Encoding, Format};

/// A place between two records of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Bytes of the file before it.
    pub offset: u64,
    /// The physical line it is on, from 1; CR, LF and CR LF each end one.
    pub line: u64,
    /// Whether the byte before is a CR, so that an LF here ends no further line.
    pub after_cr: bool,
}

/// The cells of one record.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The physical line it starts on.
    pub line: u64,
    /// Where it starts in the file.
    pub offset: u64,
    text: String,
    ends: Vec<usize>,
}

impl Record {
    /// Number of cells; at least one.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True for a record without cells, which no reader gives.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The cell in a column, from 0.
    pub fn get(&self, column: usize) -> Option<&str> {
        let start = if column == 0 { 0 } else { *self.ends.get(column - 1)? };
        self.text.get(start..*self.ends.get(column)?)
    }

    /// All cells.
    pub fn cells(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|column| self.get(column))
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Record(line {}, {} cells)", self.line, self.len())
    }
}

/// A record that cannot be given; reading goes on behind it, unless [`RecordErrorKind::ends_file`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordError {
    /// The physical line it starts on.
    pub line: u64,
    /// What is wrong.
    pub kind: RecordErrorKind,
}

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordErrorKind {
    /// More than [`RecordReader::RECORD_MAX`] bytes; reading goes on at the next line end.
    #[error("The row is longer than 1 MiB. Is a quotation mark missing?")]
    TooLong,
    /// More than [`RecordReader::LINE_MAX`] bytes without a line end: no CSV file, and nothing behind it is read.
    #[error("The row is longer than 16 MiB; the rest of the file was not read.")]
    Endless,
    /// More than [`RecordReader::COLUMNS_MAX`] cells.
    #[error("The row has more than 500 cells.")]
    TooManyColumns,
    /// Bytes that are no text in the file's encoding.
    #[error("The row has bytes that are not text in the encoding of the file.")]
    Encoding,
    /// The file ends inside a quoted cell that began on an earlier line.
    #[error("A quotation mark opened in this row is never closed; the rest of the file was not read.")]
    UnclosedQuote,
}

impl RecordErrorKind {
    /// True where nothing behind it was read as rows.
    pub fn ends_file(self) -> bool {
        matches!(self, Self::Endless | Self::UnclosedQuote)
    }

    /// Stable upper-case code.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooLong => "ROW_TOO_LONG",
            Self::Endless => "ROW_ENDLESS",
            Self::TooManyColumns => "ROW_TOO_WIDE",
            Self::Encoding => "ROW_ENCODING",
            Self::UnclosedQuote => "ROW_QUOTE",
        }
    }
}

/// Turns chunks of a file into records.
pub struct RecordReader {
    /// Offset of the first byte expected.
    first: u64,
    source: Source,
    assembler: Assembler,
}

impl RecordReader {
    /// Bytes of one record as parsed.
    pub const RECORD_MAX: usize = 1 << 20;
    /// Bytes of a line that is thrown away; behind a longer one the reader gives nothing more.
    pub const LINE_MAX: usize = 16 << 20;
    /// Cells of one record.
    pub const COLUMNS_MAX: usize = 500;

    /// A reader that expects the bytes of the file from `at` on: [`Format::start`] or any earlier [`Self::position`].
    pub fn new(format: &Format, at: Position) -> Self {
        Self { first: at.offset, source: Source::new(format.encoding), assembler: Assembler::new(format, at) }
    }

    /// Takes the next bytes of the file; call when [`Self::next_record`] has no more.
    pub fn feed(&mut self, chunk: Bytes) {
        self.source.feed(chunk);
    }

    /// Says that no more bytes follow.
    pub fn finish(&mut self) {
        self.source.finish();
    }

    /// The next record; `None` when more bytes are needed, or after [`Self::finish`] when all are given.
    pub fn next_record(&mut self) -> Option<Result<Record, RecordError>> {
        loop {
            let bytes = self.source.peek();
            if bytes.is_empty() {
                return if self.source.is_over() { self.assembler.end(self.first + self.source.fed()) } else { None };
            }
            let (taken, item) = self.assembler.step(bytes);
            self.source.consume(taken);
            if item.is_some() {
                return item;
            }
        }
    }

    /// The place behind the last record given and the blank lines skipped since, where a new reader can go on.
    pub fn position(&self) -> Position {
        self.assembler.behind
    }
}

/// What the assembler is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Between records; line ends are skipped.
    Between,
    /// In a record.
    Record,
    /// In a record that is too wide; its cells are thrown away.
    Wide,
    /// In a record that is too long; everything up to the next line end is thrown away.
    Long,
    /// In a line that does not end; everything is thrown away.
    Endless,
}

/// Puts a record together.
struct Assembler {
    encoding: Encoding,
    csv: csv_core::Reader,
    mode: Mode,
    /// Where parsing is.
    at: Position,
    /// Behind the last record given and the blank lines skipped since.
    behind: Position,
    /// Where the present record starts.
    start: Position,
    /// Bytes of the present record that were parsed.
    parsed: usize,
    /// Whether the present record has had an odd number of quotation marks.
    odd_quotes: bool,
    cells: Vec<u8>,
    filled: usize,
    ends: Vec<usize>,
    ended: usize,
}

impl Assembler {
    /// Bytes given to the parser at a time, which is also by how much the buffer of cells grows.
    const STEP: usize = 16 * 1024;

    fn new(format: &Format, at: Position) -> Self {
        let mut csv = ReaderBuilder::new().delimiter(format.delimiter).build();
        restart(&mut csv);
        Self {
            encoding: format.encoding,
            csv,
            mode: Mode::Between,
            at,
            behind: at,
            start: at,
            parsed: 0,
            odd_quotes: false,
            cells: Vec::new(),
            filled: 0,
            ends: vec![0; RecordReader::COLUMNS_MAX],
            ended: 0,
        }
    }

    /// Parses some of the bytes: how many were taken, and a record if one ended there.
    fn step(&mut self, bytes: &[u8]) -> (usize, Option<Result<Record, RecordError>>) {
        match self.mode {
            Mode::Between => (self.skip_line_ends(bytes), None),
            Mode::Record | Mode::Wide => self.parse(bytes),
            Mode::Long => self.skip_line(bytes),
            Mode::Endless => (bytes.len(), None),
        }
    }

    fn skip_line_ends(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.advance(&bytes[..taken]);
        self.behind = self.at;
        if taken < bytes.len() {
            self.mode = Mode::Record;
            self.start = self.at;
            (self.parsed, self.filled, self.ended, self.odd_quotes) = (0, 0, 0, false);
        }
        taken
    }

    fn parse(&mut self, bytes: &[u8]) -> (usize, Option<Result<Record, RecordError>>) {
        // Cut by what is left of the limit, not by the chunk: the same record is too long however it came.
        let left = RecordReader::RECORD_MAX - self.parsed;
        let bytes = &bytes[..bytes.len().min(left).min(Self::STEP)];
        if self.cells.len() < self.filled + bytes.len() {
            self.cells.resize(self.filled + bytes.len(), 0);
        }
        let (result, taken, filled, ended) =
            self.csv.read_record(bytes, &mut self.cells[self.filled..], &mut self.ends[self.ended..]);
        self.filled += filled;
        self.ended += ended;
        self.parsed += taken;
        self.advance(&bytes[..taken]);
        match result {
            ReadRecordResult::Record => return (taken, Some(self.give())),
            ReadRecordResult::OutputEndsFull => self.mode = Mode::Wide,
            ReadRecordResult::InputEmpty | ReadRecordResult::OutputFull | ReadRecordResult::End => {}
        }
        if self.mode == Mode::Wide {
            (self.filled, self.ended) = (0, 0);
        }
        if self.parsed >= RecordReader::RECORD_MAX {
            self.mode = Mode::Long;
        }
        (taken, None)
    }

    fn skip_line(&mut self, bytes: &[u8]) -> (usize, Option<Result<Record, RecordError>>) {
        let bytes = &bytes[..bytes.len().min(RecordReader::LINE_MAX - self.parsed)];
        let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let taken = end.map_or(bytes.len(), |end| end + 1);
        self.parsed += taken;
        self.advance(&bytes[..taken]);
        if end.is_none() && self.parsed >= RecordReader::LINE_MAX {
            let endless = self.refuse(RecordErrorKind::Endless);
            self.mode = Mode::Endless;
            return (taken, Some(endless));
        }
        (taken, end.map(|_| self.refuse(RecordErrorKind::TooLong)))
    }

    /// What is left when the file is over, which has `size` bytes.
    fn end(&mut self, size: u64) -> Option<Result<Record, RecordError>> {
        // Half a unit of UTF-16 at the end counts as a whole one.
        self.at.offset = self.at.offset.min(size);
        match self.mode {
            Mode::Between | Mode::Endless => {
                self.behind = self.at;
                None
            }
            Mode::Long => Some(self.refuse(RecordErrorKind::TooLong)),
            Mode::Record if self.odd_quotes && self.at.line > self.start.line => {
                Some(self.refuse(RecordErrorKind::UnclosedQuote))
            }
            Mode::Record | Mode::Wide => {
                let (result, _, _, ended) = self.csv.read_record(&[], &mut [], &mut self.ends[self.ended..]);
                self.ended += ended;
                match result {
                    ReadRecordResult::OutputEndsFull => Some(self.refuse(RecordErrorKind::TooManyColumns)),
                    _ => Some(self.give()),
                }
            }
        }
    }

    /// The finished record.
    fn give(&mut self) -> Result<Record, RecordError> {
        if self.mode == Mode::Wide {
            return self.refuse(RecordErrorKind::TooManyColumns);
        }
        let decoded = decode_cells(self.encoding, &self.cells[..self.filled], &self.ends[..self.ended]);
        let Some((text, ends)) = decoded else {
            return self.refuse(RecordErrorKind::Encoding);
        };
        let (line, offset) = (self.start.line, self.start.offset);
        self.close();
        Ok(Record { line, offset, text, ends })
    }

    fn refuse(&mut self, kind: RecordErrorKind) -> Result<Record, RecordError> {
        let line = self.start.line;
        self.close();
        Err(RecordError { line, kind })
    }

    fn close(&mut self) {
        restart(&mut self.csv);
        self.mode = Mode::Between;
        self.behind = self.at;
        // One long record must not keep its buffer for the rest of the file.
        self.cells.truncate(4 * Self::STEP);
        self.cells.shrink_to(4 * Self::STEP);
    }

    fn advance(&mut self, bytes: &[u8]) {
        self.at.offset += if self.encoding.is_utf16() { utf16_len(bytes) } else { bytes.len() as u64 };
        for byte in bytes {
            match byte {
                b'\n' if self.at.after_cr => {}
                b'\n' | b'\r' => self.at.line += 1,
                b'"' => self.odd_quotes = !self.odd_quotes,
                _ => {}
            }
            self.at.after_cr = *byte == b'\r';
        }
    }
}

/// Makes the parser forget what it read. An empty read first: it would take a mark at the start of a record for one at
/// the start of a file and swallow it.
fn restart(csv: &mut csv_core::Reader) {
    csv.reset();
    let _ = csv.read_record(&[], &mut [], &mut []);
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
