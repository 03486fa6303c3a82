//! The file of an import: its format and header from its first bytes, its rows in batches from any place.

use bytes::{Bytes, BytesMut};
use carillon_entities::ids::{TenantId, UploadId};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};

use super::job::Cursor;
use super::{Format, FormatError, Header, ImportRow, Position, Record, RecordReader, RefusedRow, RowError, RowRules};
use crate::error::{Refusal, Result};
use crate::files::{BlobsError, Files};

/// Which file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub tenant: TenantId,
    pub upload: UploadId,
    pub size: u64,
}

/// The first record of a file, and how the rest of it is read.
#[derive(Debug, Clone)]
pub struct FileHead {
    /// The names of its columns, or what stands for them.
    pub(super) names: Record,
    /// Where the rows begin.
    pub(super) cursor: Cursor,
}

/// Reads the first bytes of a file and the record in them. The store may take its time: no transaction waits for it.
pub(super) async fn open(files: &Files, place: Place, delimiter: Option<char>) -> Result<FileHead> {
    let mut bytes = files.read((place.tenant, place.upload), 0, place.size).await?;
    let mut head = BytesMut::new();
    while head.len() < Format::HEAD
        && let Some(chunk) = bytes.try_next().await?
    {
        head.extend_from_slice(&chunk);
    }
    let head = head.freeze();
    let refused = |error: FormatError| Refusal::new(error.code(), "uploadId", error.to_string());
    let mut format = Format::detect(&head).map_err(refused)?;
    if let Some(delimiter) = delimiter.and_then(|delimiter| u8::try_from(delimiter).ok()) {
        format.delimiter = delimiter;
    }
    let mut reader = RecordReader::new(&format, format.start);
    // Detection looked at the head from its first byte, the reader starts behind a byte order mark.
    let skipped = usize::try_from(format.start.offset).unwrap_or(usize::MAX).min(head.len());
    reader.feed(head.slice(skipped..));
    let mut ended = false;
    let names = loop {
        match reader.next_record() {
            Some(Ok(record)) => break record,
            Some(Err(error)) => {
                let refusal = Refusal::new(error.kind.code(), "columns", error.kind.to_string());
                return Err(refusal.into());
            }
            None if ended => return Err(refused(FormatError::Empty).into()),
            None => {
                ended = !feed(&mut reader, &mut bytes).await?;
            }
        }
    };
    Ok(FileHead { names, cursor: Cursor { format, position: reader.position() } })
}

/// Gives the reader more of the file; false when there is no more.
async fn feed(
    reader: &mut RecordReader,
    bytes: &mut (impl Stream<Item = Result<Bytes, BlobsError>> + Unpin),
) -> Result<bool, BlobsError> {
    if let Some(chunk) = bytes.try_next().await? {
        reader.feed(chunk);
        return Ok(true);
    }
    reader.finish();
    Ok(false)
}

/// Some rows of a file, and what is wrong with others.
#[derive(Debug)]
pub(super) struct Batch {
    /// In order; refused ones among them where they take consent back.
    pub rows: Vec<ImportRow>,
    pub errors: Vec<RowError>,
    /// Rows that were read, blank ones not counted.
    pub seen: i64,
    /// Rows that could not be read and are not among `rows`.
    pub failed: i64,
    /// Behind the last of them.
    pub behind: Position,
    /// Why the rest of the file cannot be read.
    pub cut: Option<&'static str>,
}

/// Bytes after which a batch ends, however few rows were in them: the claim is renewed with every batch, and blank rows must
/// not outlast it, nor rows of a megabyte fill the memory.
const BATCH_BYTES: u64 = 8 << 20;

/// Cells of a batch: each may become an attribute's value, which weighs more than the few bytes it takes in the file.
const BATCH_CELLS: usize = 20_000;

/// The rows of a file from a cursor on.
pub(super) struct Rows {
    reader: RecordReader,
    bytes: BoxStream<'static, Result<Bytes, BlobsError>>,
    header: Header,
    rules: RowRules,
    ended: bool,
    /// True when the rest of the file cannot be read.
    is_cut: bool,
    /// Rows in a batch.
    size: usize,
}

impl Rows {
    pub async fn from(
        files: &Files,
        place: Place,
        (header, rules): (Header, RowRules),
        (cursor, size): (&Cursor, usize),
    ) -> Result<Self> {
        let bytes = files.read((place.tenant, place.upload), cursor.position.offset, place.size).await?;
        let reader = RecordReader::new(&cursor.format, cursor.position);
        let size = size.min(BATCH_CELLS / header.columns().len().max(1)).max(1);
        let bytes = bytes.boxed();
        Ok(Self { reader, bytes, header, rules, ended: false, is_cut: false, size })
    }

    /// The next rows; none when all were given.
    pub async fn next_batch(&mut self) -> Result<Option<Batch>, BlobsError> {
        if self.is_cut {
            return Ok(None);
        }
        let behind = self.reader.position();
        let mut batch = Batch { rows: Vec::new(), errors: Vec::new(), seen: 0, failed: 0, behind, cut: None };
        while batch.rows.len() + batch.errors.len() < self.size
            && self.reader.position().offset - behind.offset < BATCH_BYTES
        {
            batch.behind = self.reader.position();
            match self.reader.next_record() {
                Some(Ok(record)) => match self.header.read_row(&record, &self.rules) {
                    Ok(Some(row)) => {
                        batch.seen += 1;
                        batch.rows.push(row);
                    }
                    Ok(None) => {}
                    Err(refused) => batch.refuse(refused),
                },
                Some(Err(error)) => {
                    batch.refuse(error.into());
                    if error.kind.ends_file() {
                        batch.cut = Some(error.kind.code());
                        self.is_cut = true;
                        return Ok(Some(batch));
                    }
                }
                None if self.ended => break,
                None => self.ended = !feed(&mut self.reader, &mut self.bytes).await?,
            }
        }
        batch.behind = self.reader.position();
        Ok((batch.seen > 0 || batch.behind != behind).then_some(batch))
    }
}

impl Batch {
    fn refuse(&mut self, refused: RefusedRow) {
        self.seen += 1;
        self.errors.extend(refused.errors);
        match refused.withdrawal {
            Some(row) => self.rows.push(*row),
            None => self.failed += 1,
        }
    }
}
