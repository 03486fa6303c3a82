//! What each mutation needs: the API's side of the access matrix (L2).
//!
//! The permission itself is a value that each use case asks for; this table says what was meant, and a test runs every
//! mutation of the schema as every role to see that both are the same.

use carillon_domain::tenancy::{Permission, Role};

/// What a caller needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: the input holds a secret, or the answer says nothing.
    Nothing,
    /// A signed-in user; what they may do follows from whom it concerns.
    User,
    /// A permission on the account that the input names.
    Account(Permission),
    /// A permission in the tenant that the caller is in.
    Tenant(Permission),
}

impl Needs {
    /// True when a signed-in member with this role has what is needed.
    pub const fn allows(self, role: Role) -> bool {
        match self {
            Self::Nothing | Self::User => true,
            Self::Account(permission) | Self::Tenant(permission) => permission.allows(role),
        }
    }

    /// True when an API key that acts as this role can have what is needed.
    pub const fn allows_key(self, role: Role) -> bool {
        match self {
            Self::Nothing => true,
            Self::User | Self::Account(_) => false,
            Self::Tenant(permission) => permission.allows_keys() && permission.allows(role),
        }
    }
}

use Needs::{Account, Nothing, Tenant, User};
use Permission::{
    AdministerAccount, AdministerConsent, AdministerTenant, CreateTenant, ImportContacts, ManageSenders,
    PublishTemplates, RecordConsent, SendMessages, WriteContacts,
};

/// Every mutation.
pub const MUTATIONS: &[(&str, Needs)] = &[
    ("acceptInvitation", User),
    ("archiveContact", Tenant(WriteContacts)),
    ("cancelMessages", Tenant(SendMessages)),
    ("catcherBehave", Nothing),
    ("changeMemberRole", User),
    ("changePassword", User),
    ("createAccount", Account(AdministerAccount)),
    ("createApiKey", Tenant(AdministerTenant)),
    ("createBrand", Tenant(AdministerTenant)),
    ("createContact", Tenant(WriteContacts)),
    ("createSender", Tenant(ManageSenders)),
    ("createTemplate", Tenant(PublishTemplates)),
    ("createTenant", Account(CreateTenant)),
    ("createTopic", Tenant(AdministerTenant)),
    ("createUpload", Tenant(ImportContacts)),
    ("declareAttributes", Tenant(WriteContacts)),
    ("deleteContact", Tenant(WriteContacts)),
    ("enterTenant", User),
    ("inviteMember", Tenant(AdministerTenant)),
    ("leave", User),
    ("liftSuppression", Tenant(AdministerConsent)),
    ("publishTemplateVersion", Tenant(PublishTemplates)),
    ("recordOptIn", Tenant(RecordConsent)),
    ("recordOptOut", Tenant(RecordConsent)),
    ("refreshSession", Nothing),
    ("removeMember", User),
    ("removeRelay", Tenant(ManageSenders)),
    ("requestPasswordReset", Nothing),
    ("resetPassword", Nothing),
    ("restoreContact", Tenant(WriteContacts)),
    ("revokeApiKey", Tenant(AdministerTenant)),
    ("sendMessages", Tenant(SendMessages)),
    ("sendTest", Tenant(SendMessages)),
    ("setRelay", Tenant(ManageSenders)),
    ("signIn", Nothing),
    ("signOut", Nothing),
    ("signUp", Nothing),
    ("startImport", Tenant(ImportContacts)),
    ("suppressAddress", Tenant(RecordConsent)),
    ("tagContacts", Tenant(WriteContacts)),
    ("updateContact", Tenant(WriteContacts)),
    ("upsertContacts", Tenant(WriteContacts)),
    ("verifyEmail", Nothing),
    ("verifySender", Tenant(ManageSenders)),
];

/// What a mutation needs; none for one that nobody thought about.
pub fn needs(mutation: &str) -> Option<Needs> {
    MUTATIONS.iter().find(|(name, _)| *name == mutation).map(|(_, needs)| *needs)
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_schema;
    use async_graphql::parser::types::{TypeKind, TypeSystemDefinition};

    use super::*;

    fn mutations() -> Vec<String> {
        let document = parse_schema(crate::graphql::schema().sdl()).unwrap();
        let types = document.definitions.into_iter().filter_map(|definition| match definition {
            TypeSystemDefinition::Type(definition) => Some(definition.node),
            _ => None,
        });
        let mutation = types.filter(|definition| definition.name.node == "Mutation").find_map(|one| match one.kind {
            TypeKind::Object(object) => Some(object),
            _ => None,
        });
        mutation.unwrap().fields.into_iter().map(|field| field.node.name.node.to_string()).collect()
    }

    #[test]
    fn every_mutation_is_in_the_access_matrix() {
        let missing: Vec<String> = mutations().into_iter().filter(|name| needs(name).is_none()).collect();
        assert!(missing.is_empty(), "say in MUTATIONS what these need: {missing:?}");
        assert!(MUTATIONS.is_sorted_by_key(|(name, _)| *name), "the table is in order");
    }
}
