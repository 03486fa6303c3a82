//! The fields a file can have columns for, and the names people give them.

use serde::{Deserialize, Serialize};

use crate::text_code::UnknownCode;

/// A field of a contact, or of their consent, that a column can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// E-mail address.
    Email,
    /// The tenant's own id.
    ExternalId,
    /// First name.
    FirstName,
    /// Last name.
    LastName,
    /// Telephone number.
    Phone,
    /// Country code.
    Country,
    /// Time zone.
    Zone,
    /// Language.
    Locale,
    /// Tags, several in a cell.
    Tags,
    /// Subscribed or unsubscribed.
    Subscription,
    /// When consent was given.
    ConsentAt,
    /// Where consent was given.
    ConsentSource,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Email,
        Self::ExternalId,
        Self::FirstName,
        Self::LastName,
        Self::Phone,
        Self::Country,
        Self::Zone,
        Self::Locale,
        Self::Tags,
        Self::Subscription,
        Self::ConsentAt,
        Self::ConsentSource,
    ];

    /// Its name in mappings and row errors, which is the API's.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::ExternalId => "externalId",
            Self::FirstName => "firstName",
            Self::LastName => "lastName",
            Self::Phone => "phone",
            Self::Country => "country",
            Self::Zone => "zone",
            Self::Locale => "locale",
            Self::Tags => "tags",
            Self::Subscription => "subscription",
            Self::ConsentAt => "consentAt",
            Self::ConsentSource => "consentSource",
        }
    }

    /// Its name in files, the first of its aliases.
    pub(super) fn column(self) -> &'static str {
        self.aliases()[0]
    }

    /// Names of columns that mean this field, in lower case with underscores.
    #[expect(clippy::too_many_lines, reason = "a table, nothing to understand in steps")]
    pub(super) fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Email => &[
                "email",
                "e_mail",
                "mail",
                "email_address",
                "e_mail_address",
                "emailaddress",
                "mail_address",
                "e_mail_adresse",
                "email_adresse",
                "emailadresse",
                "mailadresse",
                "mail_adresse",
            ],
            Self::ExternalId => &[
                "external_id",
                "externalid",
                "id",
                "customer_id",
                "customerid",
                "customer_number",
                "kundennummer",
                "kunden_id",
                "kunden_nr",
                "user_id",
                "contact_id",
            ],
            Self::FirstName => &["first_name", "firstname", "given_name", "givenname", "forename", "vorname"],
            Self::LastName => {
                &["last_name", "lastname", "family_name", "familyname", "surname", "nachname", "familienname"]
            }
            Self::Phone => &[
                "phone",
                "phone_number",
                "phonenumber",
                "telephone",
                "telefon",
                "telefonnummer",
                "tel",
                "mobile",
                "mobile_phone",
                "mobile_number",
                "mobil",
                "mobiltelefon",
                "mobilnummer",
                "handy",
                "handynummer",
            ],
            Self::Country => &["country", "country_code", "land", "laendercode", "laenderkennzeichen"],
            Self::Zone => &["zone", "timezone", "time_zone", "zeitzone"],
            Self::Locale => &["locale", "language", "lang", "sprache"],
            Self::Tags => &["tags", "tag", "labels", "schlagworte", "schlagwoerter"],
            Self::Subscription => &[
                "subscription",
                "subscribed",
                "status",
                "subscription_status",
                "email_status",
                "consent",
                "opt_in",
                "optin",
                "newsletter",
                "einwilligung",
                "abonniert",
            ],
            Self::ConsentAt => &[
                "consent_at",
                "consent_date",
                "consented_at",
                "opt_in_date",
                "opt_in_at",
                "optin_date",
                "optin_time",
                "subscribed_at",
                "einwilligung_am",
                "einwilligungsdatum",
                "anmeldedatum",
            ],
            Self::ConsentSource => &[
                "consent_source",
                "opt_in_source",
                "optin_source",
                "source",
                "signup_source",
                "quelle",
                "einwilligungsquelle",
            ],
        }
    }
}

impl std::str::FromStr for Field {
    type Err = UnknownCode;

    /// As the API writes it (`firstName`) and as files do (`first_name`).
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let named = |field: &Self| [field.as_str(), field.column()].contains(&name);
        Self::ALL.into_iter().find(named).ok_or(UnknownCode { kind: "ContactField" })
    }
}
