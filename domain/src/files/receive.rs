//! Taking the bytes of a file, part by part, in flat memory.
//!
//! The body is cut into segments; each is stored and then counted. When a connection breaks, what had arrived of the
//! last segment is stored as well, so the sender goes on from there. A process takes a few bodies at a time: whoever comes
//! when there are more is told to come again, for a body that stalls holds its segment.

use bytes::Bytes;
use carillon_entities::ids::UploadId;
use futures::{Stream, StreamExt};
use object_store::{PutPayload, PutPayloadMut};

use super::Files;
use super::create_upload::{Upload, UploadState};
use super::store::{upload_advance, upload_announce, upload_find};
use crate::error::Error;
use crate::ports::Ports;
use crate::tenancy::{Grant, ImportContacts};

/// Bytes that are held before they go to the store.
const SEGMENT: usize = 8 << 20;

/// What a request says about the bytes it brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Where in the file they begin.
    pub offset: u64,
    /// How many they are, if it says so.
    pub length: Option<u64>,
    /// The size of the whole file, if it says so.
    pub total: Option<u64>,
}

/// How much of the file is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Bytes received so far; where the next part begins.
    pub offset: u64,
    /// Bytes of the whole file.
    pub size: u64,
}

/// Why bytes were not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// There is no such upload, or it has expired.
    #[error("no such upload")]
    NotFound,
    /// The file goes on elsewhere.
    #[error("the next part begins at {}", .0.offset)]
    WrongOffset(Received),
    /// More bytes than were declared.
    #[error("the body is larger than declared")]
    TooLarge(Received),
    /// The request speaks of a file of another size.
    #[error("the file was declared with {} bytes", .0.size)]
    WrongTotal(Received),
    /// As many bodies as a process holds are under way.
    #[error("too many files are taken at this moment")]
    Busy,
    /// The connection broke off; what had arrived is kept.
    #[error("the body broke off")]
    Broken(Received),
    /// The database or the object store.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// How much of an upload is here.
pub async fn received(
    grant: &Grant<ImportContacts>,
    ports: &Ports,
    id: UploadId,
) -> std::result::Result<Received, ReceiveError> {
    let mut tx = grant.begin_read().await?;
    let upload = upload_find(&mut tx, id).await?;
    tx.commit().await.map_err(Error::from)?;
    Ok(progress(&living(upload, ports)?))
}

/// Takes the bytes of one request.
pub async fn receive<S, E>(
    grant: &Grant<ImportContacts>,
    (ports, files): (&Ports, &Files),
    id: UploadId,
    part: Part,
    mut body: S,
) -> std::result::Result<Received, ReceiveError>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    let mut at = received(grant, ports, id).await?;
    check(at, part)?;
    let _place = files.place().ok_or(ReceiveError::Busy)?;
    let end = part.length.map_or(at.size, |length| part.offset.saturating_add(length)).min(at.size);
    let mut segment = PutPayloadMut::new();
    while let Some(chunk) = body.next().await {
        let Ok(bytes) = chunk else {
            at = flush(grant, (ports, files), id, at, &mut segment).await?;
            return Err(ReceiveError::Broken(at));
        };
        let reached = at.offset + (segment.content_length() + bytes.len()) as u64;
        if reached > end {
            return Err(ReceiveError::TooLarge(at));
        }
        segment.push(bytes);
        if segment.content_length() >= SEGMENT {
            at = flush(grant, (ports, files), id, at, &mut segment).await?;
        }
    }
    flush(grant, (ports, files), id, at, &mut segment).await
}

fn check(at: Received, part: Part) -> std::result::Result<(), ReceiveError> {
    if part.total.is_some_and(|total| total != at.size) {
        return Err(ReceiveError::WrongTotal(at));
    }
    if part.offset != at.offset {
        return Err(ReceiveError::WrongOffset(at));
    }
    if part.length.is_some_and(|length| length > at.size - at.offset) {
        return Err(ReceiveError::TooLarge(at));
    }
    Ok(())
}

/// Announces what is held, stores it, and counts it: no transaction waits for the store. Of two writers of one part the one
/// who announced it last is counted, and what the other stored is never read.
async fn flush(
    grant: &Grant<ImportContacts>,
    (ports, files): (&Ports, &Files),
    id: UploadId,
    at: Received,
    segment: &mut PutPayloadMut,
) -> std::result::Result<Received, ReceiveError> {
    if segment.is_empty() {
        return Ok(at);
    }
    let payload: PutPayload = std::mem::take(segment).freeze();
    let mut tx = grant.begin().await?;
    let fence = upload_announce(&mut tx, id, at.offset).await?;
    tx.commit().await.map_err(Error::from)?;
    let Some(fence) = fence else { return Err(overtaken(grant, ports, id).await) };
    let next = Received { offset: at.offset + payload.content_length() as u64, ..at };
    files.put_part((grant.tenant(), id), (at.offset, fence), payload).await.map_err(Error::from)?;
    let mut tx = grant.begin().await?;
    let Ok(upload) = living(upload_find(&mut tx, id).await?, ports) else {
        tx.commit().await.map_err(Error::from)?;
        // It expired meanwhile, and its parts may have been deleted before this one came.
        files.delete(grant.tenant(), id).await.map_err(Error::from)?;
        return Err(ReceiveError::NotFound);
    };
    let counted = upload_advance(&mut tx, &upload, fence, next.offset).await?;
    tx.commit().await.map_err(Error::from)?;
    if counted { Ok(next) } else { Err(overtaken(grant, ports, id).await) }
}

async fn overtaken(grant: &Grant<ImportContacts>, ports: &Ports, id: UploadId) -> ReceiveError {
    received(grant, ports, id).await.map_or_else(|error| error, ReceiveError::WrongOffset)
}

fn living(upload: Option<Upload>, ports: &Ports) -> std::result::Result<Upload, ReceiveError> {
    upload
        .filter(|upload| upload.state != UploadState::Expired && ports.now() < upload.expires_at)
        .ok_or(ReceiveError::NotFound)
}

fn progress(upload: &Upload) -> Received {
    Received { offset: upload.received, size: upload.size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_must_fit_where_the_file_goes_on() {
        let at = Received { offset: 10, size: 20 };
        let part = |offset, length, total| Part { offset, length, total };
        assert!(check(at, part(10, Some(10), Some(20))).is_ok());
        assert!(check(at, part(10, None, None)).is_ok());
        assert!(matches!(check(at, part(0, None, None)), Err(ReceiveError::WrongOffset(_))));
        assert!(matches!(check(at, part(10, Some(11), None)), Err(ReceiveError::TooLarge(_))));
        assert!(matches!(check(at, part(10, Some(u64::MAX), None)), Err(ReceiveError::TooLarge(_))));
        assert!(matches!(check(at, part(10, None, Some(21))), Err(ReceiveError::WrongTotal(_))));
    }
}
