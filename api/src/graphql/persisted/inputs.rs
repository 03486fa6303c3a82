//! Inputs of persisted documents and sets.

use async_graphql::{ID, InputObject};
use carillon_domain::error::Refusal;
use carillon_domain::persisted::{ActivateVersion, BATCH_MAX, DocumentHash, DocumentText, PublishVersion, Within};

use super::check::check;
use crate::graphql::node::parse_id;

/// A text that may be registered, or why it may not.
pub type Judged = Result<DocumentText, Refusal>;

/// A document to register.
#[derive(Debug, InputObject)]
pub struct DocumentInput {
    /// Its text, to the octet as clients hash it. At most 32,768 octets; it does not ask for the schema.
    text: String,
    /// The id that clients send for it; refused unless it is that of the text.
    document_id: Option<String>,
}

/// Documents to register.
#[derive(Debug, InputObject)]
pub struct RegisterDocumentsInput {
    /// At most 100.
    documents: Vec<DocumentInput>,
    /// The same key with the same input gives the stored answer.
    pub idempotency_key: Option<String>,
    /// True for a dry run: the answer says what would happen, and nothing does. The key is left alone.
    pub dry_run: Option<bool>,
}

impl RegisterDocumentsInput {
    /// Each text with what the schema says of it. To read one is work, so others have their turn between two.
    pub async fn judge(&self) -> Result<Vec<Judged>, Refusal> {
        if self.documents.len() > BATCH_MAX {
            let message = format!("At most {BATCH_MAX} documents in one call.");
            return Err(Refusal::new("BATCH_SIZE", "documents", message));
        }
        let mut judged = Vec::with_capacity(self.documents.len());
        for document in &self.documents {
            judged.push(document.judge().await);
            tokio::task::yield_now().await;
        }
        Ok(judged)
    }
}

impl DocumentInput {
    async fn judge(&self) -> Judged {
        let text = DocumentText::parse(&self.text, self.document_id.as_deref())?;
        check(text.as_str()).await?;
        Ok(text)
    }
}

/// Documents to retire.
#[derive(Debug, InputObject)]
pub struct RetireDocumentsInput {
    /// Their ids, `sha256:` and the hash of the text; at most 100.
    document_ids: Vec<String>,
    /// The same key with the same input gives the stored answer.
    pub idempotency_key: Option<String>,
    /// True for a dry run: the answer says what would happen, and nothing does. The key is left alone.
    pub dry_run: Option<bool>,
}

impl RetireDocumentsInput {
    /// The ids, and the hash of each that is one.
    pub fn parse(&self) -> Vec<(&str, Option<DocumentHash>)> {
        self.document_ids.iter().map(|id| (id.as_str(), id.parse().ok())).collect()
    }
}

/// A document set to make.
#[derive(Debug, InputObject)]
pub struct CreateDocumentSetInput {
    /// Its name, unique in the tenant: best that of the program whose documents it has.
    pub name: String,
    /// The same key again gives the same answer and makes nothing.
    pub idempotency_key: Option<String>,
}

/// A version of a document set to publish.
#[derive(Debug, InputObject)]
pub struct PublishDocumentSetVersionInput {
    /// Of which set.
    document_set_id: ID,
    /// All documents that it has, by their ids `sha256:..`; at most 1,000, each registered.
    document_ids: Vec<String>,
    /// The same key again gives the same answer and publishes nothing.
    pub idempotency_key: Option<String>,
}

impl PublishDocumentSetVersionInput {
    /// The command.
    pub fn parse(&self) -> Result<PublishVersion, Refusal> {
        Ok(PublishVersion {
            set: parse_id(&self.document_set_id, "documentSetId")?,
            documents: self.document_ids.iter().map(|id| id.parse().ok()).collect(),
        })
    }
}

/// A version of a document set to put back.
#[derive(Debug, InputObject)]
pub struct ActivateDocumentSetVersionInput {
    /// Of which set.
    document_set_id: ID,
    /// The number of the version.
    number: i32,
    /// The version of the set that was seen, not that of its documents; another one means that somebody changed it
    /// meanwhile.
    version: i64,
    /// The same key again gives the same answer and changes nothing.
    pub idempotency_key: Option<String>,
}

impl ActivateDocumentSetVersionInput {
    /// The command.
    pub fn parse(&self) -> Result<ActivateVersion, Refusal> {
        let set = parse_id(&self.document_set_id, "documentSetId")?;
        Ok(ActivateVersion { set, number: self.number, seen: self.version })
    }
}

/// The documents of a version of a set that are registered.
#[derive(Debug, InputObject)]
pub struct DocumentsWithinInput {
    /// Which set.
    document_set_id: ID,
    /// The number of one of its versions; the one that holds if left out.
    number: Option<i32>,
}

impl DocumentsWithinInput {
    /// What is asked for.
    pub fn parse(&self) -> Result<Within, Refusal> {
        Ok(Within { set: parse_id(&self.document_set_id, "within.documentSetId")?, number: self.number })
    }
}
