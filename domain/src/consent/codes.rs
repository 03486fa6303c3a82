//! The words of the ledger (C-148), each with the text it has in rows and facts.

use carillon_entities::ids::TopicId;

use crate::text_code::UnknownCode;

text_code! {
    /// How a person is reached.
    pub enum Channel {
        /// E-mail.
        Email = "email",
    }
}

text_code! {
    /// What a ledger entry says (C-148).
    pub enum ConsentAction {
        /// The person, or somebody who attests for them, agrees.
        Grant = "grant",
        /// The person confirms a pending grant (double opt-in, C-83).
        Confirm = "confirm",
        /// The person takes consent back.
        Withdraw = "withdraw",
        /// The person objects to being written to; at least as strong as a withdrawal.
        Object = "object",
        /// Consent has run out.
        Expire = "expire",
        /// The address now belongs to somebody else: what its former owner agreed to is over.
        Reassign = "reassign",
        /// Processing is restricted until the person says otherwise.
        Restrict = "restrict",
    }
}

text_code! {
    /// The legal ground of a grant (C-112).
    pub enum Basis {
        /// Consent.
        Consent = "consent",
        /// Existing customers, similar goods.
        SoftOptIn = "soft_opt_in",
        /// Legitimate interest.
        LegitimateInterest = "legitimate_interest",
        /// Needed for a contract.
        Contract = "contract",
        /// Legal duty.
        LegalDuty = "legal_duty",
        /// Double opt-in: asked for, not yet confirmed (C-83).
        Unconfirmed = "unconfirmed",
        /// Not stated; marketing is denied (C-155).
        Unknown = "unknown",
    }
}

impl Basis {
    /// True when marketing may rest on it; `Contract` and `LegalDuty` carry service messages only (C-112).
    pub const fn carries_marketing(self) -> bool {
        matches!(self, Self::Consent | Self::SoftOptIn | Self::LegitimateInterest)
    }
}

text_code! {
    /// Where a ledger entry came from (C-155).
    pub enum SourceKind {
        /// The person, through a page or link of ours.
        Subject = "subject",
        /// The person, through a keyword in a message.
        Keyword = "keyword",
        /// A file.
        Import = "import",
        /// Another system, through the API.
        Api = "api",
        /// A user of the tenant.
        Agent = "agent",
        /// The mailbox provider or relay (complaints, list-unsubscribe by mail).
        Provider = "provider",
        /// A court or an authority.
        Court = "court",
        /// Carillon itself, such as an expiry.
        System = "system",
    }
}

impl SourceKind {
    /// True when the entry is the person's own proven act: only such a grant lifts a withdrawal (C-128).
    pub const fn is_the_person(self) -> bool {
        matches!(self, Self::Subject | Self::Keyword)
    }
}

text_code! {
    /// Who caused an entry.
    pub enum ActorKind {
        /// The person the entry is about.
        Subject = "subject",
        /// A signed-in user.
        User = "user",
        /// An API key.
        ApiKey = "api_key",
        /// Carillon itself.
        System = "system",
    }
}

text_code! {
    /// Why an address is not written to.
    pub enum SuppressionReason {
        /// The person unsubscribed.
        Unsubscribe = "unsubscribe",
        /// The person reported spam (C-13).
        Complaint = "complaint",
        /// The address does not exist (C-50).
        HardBounce = "hard_bounce",
        /// The mailbox could take no mail for a long time (C-52).
        SoftBounce = "soft_bounce",
        /// A user of the tenant, or a list they brought, says so.
        Manual = "manual",
        /// A court, an authority or a lawyer.
        Legal = "legal",
    }
}

impl SuppressionReason {
    /// True when no user of the tenant can lift it, whatever their role (C-235).
    pub const fn is_beyond_the_tenant(self) -> bool {
        matches!(self, Self::Complaint | Self::Legal)
    }
}

/// What a suppression forbids; as text `all`, `marketing` or the topic's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SuppressionScope {
    /// Everything on the channel.
    All,
    /// All marketing on the channel.
    Marketing,
    /// Marketing about one topic.
    Topic(TopicId),
}

impl std::fmt::Display for SuppressionScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Marketing => f.write_str("marketing"),
            Self::Topic(topic) => topic.fmt(f),
        }
    }
}

impl std::str::FromStr for SuppressionScope {
    type Err = UnknownCode;
    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        match text {
            "all" => Ok(Self::All),
            "marketing" => Ok(Self::Marketing),
            id => id.parse().map(Self::Topic).map_err(|_| UnknownCode { kind: "SuppressionScope" }),
        }
    }
}

impl serde::Serialize for SuppressionScope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for SuppressionScope {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
