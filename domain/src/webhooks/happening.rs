//! What webhooks are told, a closed list. A type says what its data is for ever: what needs another shape gets another name.

use carillon_entities::ids::{
    BrandId, ConsentEventId, ContactId, EnrollmentId, ImportId, MessageId, TopicId, WebhookEndpointId, WorkflowId,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value as Json;

use crate::error::{Error, Result};

text_code! {
    /// The names of what is told.
    pub enum WebhookEventType {
        /// A relay took responsibility for a mail.
        MessageAccepted = "message.accepted",
        /// The mailbox does not exist.
        MessageBounced = "message.bounced",
        /// A mail is over, and not for the recipient's fault.
        MessageFailed = "message.failed",
        /// The gate said no.
        MessageRefused = "message.refused",
        /// A mail went stale before it could leave.
        MessageExpired = "message.expired",
        /// A mail was taken back.
        MessageCancelled = "message.cancelled",
        /// A mail was handed over and its outcome is hidden; it may still become another.
        MessageUnknown = "message.unknown",
        /// Somebody agreed, or confirmed that they do.
        ConsentGranted = "consent.granted",
        /// Consent ended: by the person, by its age, or because the address is somebody else's.
        ConsentWithdrawn = "consent.withdrawn",
        /// A contact came to be.
        ContactCreated = "contact.created",
        /// Fields, tags or the state of a contact changed.
        ContactUpdated = "contact.updated",
        /// A contact was deleted.
        ContactDeleted = "contact.deleted",
        /// An import is over, whole or not.
        ImportFinished = "import.finished",
        /// Somebody's way through a workflow ended.
        WorkflowFinished = "workflow.finished",
        /// An endpoint was disabled because it failed; told to the others.
        EndpointDisabled = "webhook.endpoint_disabled",
        /// Somebody asked for a test; sent to the endpoint it is about, whatever it listens to.
        Test = "webhook.test",
    }
}

/// A mail that came to an end.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageEnded {
    /// The message.
    #[schemars(with = "String")]
    pub message_id: MessageId,
    /// Why, as the code that `Message.reason` has; null where nothing is to be said.
    pub reason: Option<String>,
}

/// An entry of the ledger of consent.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsentSaid {
    /// The entry.
    #[schemars(with = "String")]
    pub consent_event_id: ConsentEventId,
    /// For which brand.
    #[schemars(with = "String")]
    pub brand_id: BrandId,
    /// About which topic; that of all marketing stands for every other.
    #[schemars(with = "String")]
    pub topic_id: TopicId,
    /// By which channel.
    pub channel: &'static str,
    /// What it says: `grant`, `confirm`, `withdraw`, `object`, `expire`, `reassign` or `restrict`.
    pub action: &'static str,
    /// Where it came from: `subject` for a link of a mail, `api`, `agent`, `import`, ..
    pub source: &'static str,
    /// The mail whose link was used.
    #[schemars(with = "Option<String>")]
    pub message_id: Option<MessageId>,
}

/// A contact that came, changed or went.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContactChanged {
    /// The contact.
    #[schemars(with = "String")]
    pub contact_id: ContactId,
    /// What happened: `created`, `updated`, `tagged`, `archived`, `restored` or `deleted`.
    pub change: &'static str,
    /// Names of the fields that changed; their values are for who may read them.
    pub fields: Vec<String>,
}

/// An import that is over.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportFinished {
    /// The import.
    #[schemars(with = "String")]
    pub import_id: ImportId,
    /// `completed` or `failed`.
    pub state: &'static str,
    /// Why it failed.
    pub error_code: Option<String>,
}

/// A way that ended.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowFinished {
    /// The way.
    #[schemars(with = "String")]
    pub enrollment_id: EnrollmentId,
    /// Of which workflow.
    #[schemars(with = "String")]
    pub workflow_id: WorkflowId,
    /// Whose.
    #[schemars(with = "String")]
    pub contact_id: ContactId,
    /// How: `completed`, `goal`, `exited` or `failed`.
    pub state: &'static str,
    /// Why.
    pub reason: String,
}

/// An endpoint that is told nothing any more.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointDisabled {
    /// The endpoint.
    #[schemars(with = "String")]
    pub endpoint_id: WebhookEndpointId,
    /// `gone` after a 410, `failing` after days of nothing else.
    pub reason: &'static str,
}

/// A test.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointTested {
    /// The endpoint.
    #[schemars(with = "String")]
    pub endpoint_id: WebhookEndpointId,
}

/// Something that is told, with its data.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", content = "data")]
pub enum Happening {
    /// A relay took responsibility for a mail.
    #[serde(rename = "message.accepted")]
    MessageAccepted(MessageEnded),
    /// The mailbox does not exist.
    #[serde(rename = "message.bounced")]
    MessageBounced(MessageEnded),
    /// A mail is over, and not for the recipient's fault.
    #[serde(rename = "message.failed")]
    MessageFailed(MessageEnded),
    /// The gate said no.
    #[serde(rename = "message.refused")]
    MessageRefused(MessageEnded),
    /// A mail went stale before it could leave.
    #[serde(rename = "message.expired")]
    MessageExpired(MessageEnded),
    /// A mail was taken back.
    #[serde(rename = "message.cancelled")]
    MessageCancelled(MessageEnded),
    /// A mail was handed over and its outcome is hidden; it may still become another.
    #[serde(rename = "message.unknown")]
    MessageUnknown(MessageEnded),
    /// Somebody agreed, or confirmed that they do.
    #[serde(rename = "consent.granted")]
    ConsentGranted(ConsentSaid),
    /// Consent ended: by the person, by its age, or because the address is somebody else's.
    #[serde(rename = "consent.withdrawn")]
    ConsentWithdrawn(ConsentSaid),
    /// A contact came to be.
    #[serde(rename = "contact.created")]
    ContactCreated(ContactChanged),
    /// Fields, tags or the state of a contact changed.
    #[serde(rename = "contact.updated")]
    ContactUpdated(ContactChanged),
    /// A contact was deleted.
    #[serde(rename = "contact.deleted")]
    ContactDeleted(ContactChanged),
    /// An import is over, whole or not.
    #[serde(rename = "import.finished")]
    ImportFinished(ImportFinished),
    /// Somebody's way through a workflow ended.
    #[serde(rename = "workflow.finished")]
    WorkflowFinished(WorkflowFinished),
    /// An endpoint was disabled because it failed.
    #[serde(rename = "webhook.endpoint_disabled")]
    EndpointDisabled(EndpointDisabled),
    /// Somebody asked for a test.
    #[serde(rename = "webhook.test")]
    Test(EndpointTested),
}

impl Happening {
    /// Its name.
    pub fn event_type(&self) -> WebhookEventType {
        match self {
            Self::MessageAccepted(_) => WebhookEventType::MessageAccepted,
            Self::MessageBounced(_) => WebhookEventType::MessageBounced,
            Self::MessageFailed(_) => WebhookEventType::MessageFailed,
            Self::MessageRefused(_) => WebhookEventType::MessageRefused,
            Self::MessageExpired(_) => WebhookEventType::MessageExpired,
            Self::MessageCancelled(_) => WebhookEventType::MessageCancelled,
            Self::MessageUnknown(_) => WebhookEventType::MessageUnknown,
            Self::ConsentGranted(_) => WebhookEventType::ConsentGranted,
            Self::ConsentWithdrawn(_) => WebhookEventType::ConsentWithdrawn,
            Self::ContactCreated(_) => WebhookEventType::ContactCreated,
            Self::ContactUpdated(_) => WebhookEventType::ContactUpdated,
            Self::ContactDeleted(_) => WebhookEventType::ContactDeleted,
            Self::ImportFinished(_) => WebhookEventType::ImportFinished,
            Self::WorkflowFinished(_) => WebhookEventType::WorkflowFinished,
            Self::EndpointDisabled(_) => WebhookEventType::EndpointDisabled,
            Self::Test(_) => WebhookEventType::Test,
        }
    }

    /// Its data, as it is stored and sent.
    pub(super) fn data(&self) -> Result<Json> {
        let mut whole = serde_json::to_value(self).map_err(Error::fault)?;
        Ok(whole.get_mut("data").map_or(Json::Null, Json::take))
    }
}

/// The body of a delivery.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it is the shape that is published; what is sent is made of the stored data")]
struct WebhookEvent {
    /// When it happened, as RFC 3339 writes it: not when it was sent.
    timestamp: String,
    #[serde(flatten)]
    happening: Happening,
}

/// What bodies look like, for generators: a JSON Schema of draft 2020-12.
pub fn events_schema() -> Json {
    schemars::schema_for!(WebhookEvent).to_value()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_published_schema_has_every_type_and_the_name_is_the_codes() {
        let schema = events_schema().to_string();
        for event in WebhookEventType::ALL {
            assert!(schema.contains(&format!("\"{event}\"")), "{event}");
        }
        let ended = MessageEnded { message_id: MessageId(Uuid::from_u128(1)), reason: None };
        let happening = Happening::MessageBounced(ended);
        let whole = serde_json::to_value(&happening).unwrap();
        assert_eq!(whole["type"], happening.event_type().as_str());
        assert_eq!(whole["data"], happening.data().unwrap());
        assert_eq!(whole["data"]["messageId"], "message_00000000000000000000000001");
    }
}
