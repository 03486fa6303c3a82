//! What proves entries of the ledger: evidence, and the words for who and what they came from.

use std::collections::HashMap;

use async_graphql::dataloader::Loader;
use async_graphql::{Context, ID, Result, SimpleObject};
use carillon_domain::consent::{ActorKind, Evidence, SourceKind, read_evidence};
use carillon_domain::ids::{CredentialId, EvidenceId, ImportId, MessageId, UserId};
use carillon_domain::tenancy::{ReadConsent, ReadPersonalData};
use uuid::Uuid;

use crate::graphql::loader::{self, LoadError, Rows};

/// What proves entries of the ledger. It is kept apart under a key of its own, and gone once that is destroyed.
#[derive(Debug, Clone, SimpleObject)]
pub struct ConsentEvidence {
    /// Its id.
    #[graphql(owned)]
    pub id: ID,
    /// From where the person acted.
    pub ip: Option<String>,
    /// With which browser.
    pub user_agent: Option<String>,
    /// On which page.
    pub url: Option<String>,
    /// What they saw, ticked or wrote; of an import JSON that names the file, its SHA-256, the uploader, their attestation
    /// and where the consent was given.
    pub text: Option<String>,
}

impl ConsentEvidence {
    /// The evidence with this id; none where there is no id, or it was erased.
    pub async fn find(ctx: &Context<'_>, id: Option<EvidenceId>) -> Result<Option<Self>> {
        let Some(id) = id else { return Ok(None) };
        let found = loader::of(ctx).load_one(id).await?;
        Ok(found.map(|Evidence { ip, user_agent, url, text }| Self {
            id: id.to_string().into(),
            ip: ip.map(|ip| ip.to_string()),
            user_agent,
            url,
            text,
        }))
    }
}

impl Loader<EvidenceId> for Rows {
    type Value = Evidence;
    type Error = LoadError;

    async fn load(&self, keys: &[EvidenceId]) -> Result<HashMap<EvidenceId, Evidence>, LoadError> {
        // It is part of the ledger, and `node` finds it without its entry.
        self.0.grant::<ReadConsent>()?;
        let (grant, mut tx) = self.0.read::<ReadPersonalData>().await?;
        Ok(read_evidence(&grant, &mut tx, self.0.ports(), keys).await?)
    }
}

/// The id of an actor of a kind.
pub fn actor_id(kind: ActorKind, id: Option<Uuid>) -> Option<ID> {
    match kind {
        ActorKind::User => id.map(|id| UserId(id).to_string().into()),
        ActorKind::ApiKey => id.map(|id| CredentialId(id).to_string().into()),
        ActorKind::Subject | ActorKind::System => None,
    }
}

/// The id of what an entry came through.
pub fn source_id(kind: SourceKind, id: Option<Uuid>) -> Option<ID> {
    match kind {
        SourceKind::Import => id.map(|id| ImportId(id).to_string().into()),
        // A link of ours stands in a message.
        SourceKind::Subject => id.map(|id| MessageId(id).to_string().into()),
        _ => None,
    }
}
