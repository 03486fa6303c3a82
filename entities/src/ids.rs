//! Typed ids: UUIDv7 inside, TypeID text (`contact_01h4..`) outside.
//!
//! An id of one kind cannot be passed for another, and its text form names its kind, so a wrong id is refused while
//! it is parsed. The text form is Crockford base 32 of the 128 bits (26 characters), as the TypeID specification says.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The text was not an id of the wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind} id")]
pub struct InvalidId {
    /// The prefix that was wanted.
    pub kind: &'static str,
}

/// Writes 128 bits as 26 characters of Crockford base 32.
pub fn encode(id: Uuid) -> String {
    let bits = id.as_u128();
    (0..26).rev().map(|place| char::from(ALPHABET[usize::try_from((bits >> (place * 5)) & 31).unwrap_or(0)])).collect()
}

/// Reads what [`encode`] wrote; only the canonical lower-case form is accepted.
pub fn decode(text: &str) -> Option<Uuid> {
    let bytes = text.as_bytes();
    if bytes.len() != 26 || bytes[0] > b'7' {
        return None;
    }
    let mut bits: u128 = 0;
    for byte in bytes {
        let digit = ALPHABET.iter().position(|letter| letter == byte)?;
        bits = (bits << 5) | u128::try_from(digit).ok()?;
    }
    Some(Uuid::from_u128(bits))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, sea_orm::DeriveValueType)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The prefix of the text form.
            pub const KIND: &'static str = $prefix;
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", Self::KIND, encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(Self::KIND)
                    .and_then(|rest| rest.strip_prefix('_'))
                    .and_then(decode)
                    .map(Self)
                    .ok_or(InvalidId { kind: Self::KIND })
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl sea_orm::TryFromU64 for $name {
            fn try_from_u64(_: u64) -> Result<Self, sea_orm::DbErr> {
                Err(sea_orm::DbErr::ConvertFromU64(stringify!($name)))
            }
        }
    )*};
}

ids! {
    /// A paying account; an agency's account has child accounts and tenants.
    AccountId = "account";
    /// One customer's walled-off data.
    TenantId = "tenant";
    /// A person who signs in.
    UserId = "user";
    /// One user's role on one account or tenant.
    MembershipId = "membership";
    /// A refresh session.
    SessionId = "session";
    /// An API key, invitation or one-time mail token.
    CredentialId = "credential";
    /// A person who is written to.
    ContactId = "contact";
    /// A declared attribute.
    AttributeId = "attribute";
    /// One entry of a contact's change history.
    ContactChangeId = "change";
    /// A file being uploaded.
    UploadId = "upload";
    /// A CSV import.
    ImportId = "import";
    /// A brand.
    BrandId = "brand";
    /// A subscription topic.
    TopicId = "topic";
    /// One entry of the consent ledger.
    ConsentEventId = "consent";
    /// Evidence beside the ledger.
    EvidenceId = "evidence";
    /// The person a personal-data key belongs to.
    SubjectId = "subject";
    /// A suppression.
    SuppressionId = "suppression";
    /// A recorded decision of the gate.
    DecisionId = "decision";
    /// A sender identity.
    SenderId = "sender";
    /// A tenant's own relay.
    RelayId = "relay";
    /// A template.
    TemplateId = "template";
    /// An immutable version of a template.
    TemplateVersionId = "tplver";
    /// One intended mail to one person.
    MessageId = "message";
    /// A reusable piece of templates.
    PartialId = "partial";
    /// A GraphQL document that is run by its id.
    PersistedDocumentId = "document";
    /// A set of persisted documents that API keys can be held to.
    DocumentSetId = "docset";
    /// A request for a pixel or a click link.
    HitId = "hit";
    /// A declared or learned kind of event.
    EventDefinitionId = "evtdef";
    /// Something a contact did.
    ContactEventId = "event";
    /// A workflow.
    WorkflowId = "workflow";
    /// An immutable version of a workflow.
    WorkflowVersionId = "wfver";
    /// A person on a workflow.
    EnrollmentId = "enrollment";
    /// One step of a person on a workflow.
    StepId = "step";
    /// A broadcast to an audience.
    CampaignId = "campaign";
    /// A static list of contacts.
    ListId = "list";
    /// One entry of a message's history.
    MessageEventId = "msgevent";
    /// One entry of the audit log.
    AuditEventId = "audit";
    /// Where a tenant's webhooks go.
    WebhookEndpointId = "whendpoint";
    /// Something webhooks are told; the `webhook-id` of every copy.
    WebhookEventId = "whevent";
    /// An event on its way to an endpoint.
    WebhookDeliveryId = "whdelivery";
    /// One try to deliver.
    WebhookAttemptId = "whattempt";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_and_names_its_kind() {
        let id = ContactId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001));
        let text = id.to_string();
        assert!(text.starts_with("contact_"));
        assert_eq!(text.parse(), Ok(id));
        assert!(text.parse::<TopicId>().is_err());
        assert!(text.to_uppercase().parse::<ContactId>().is_err());
        assert_eq!(decode(&encode(Uuid::max())), Some(Uuid::max()));
        assert_eq!(decode("8zzzzzzzzzzzzzzzzzzzzzzzzz"), None);
    }
}
