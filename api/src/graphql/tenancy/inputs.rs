//! Inputs of tenancy, and how each becomes what a use case takes.

use std::net::IpAddr;

use async_graphql::{ID, InputObject, OneofObject};
use carillon_domain::contacts::{Country, EmailAddress, Locale, Zone};
use carillon_domain::error::{Error, Refusal, Result};
use carillon_domain::ids::{AccountId, CredentialId, DocumentSetId, TenantId};
use carillon_domain::tenancy::{
    ChangePassword, CreateApiKey, Name, NewInvitation, NewPassword, NewTenant, Permission, Scope, SignIn, SignUp,
};

use super::types::Role;
use crate::graphql::node::parse_id;
use crate::graphql::time::Instant;

/// Collects what is wrong with an input, so that a caller learns of it at once.
#[derive(Default)]
struct Reading(Vec<Refusal>);

impl Reading {
    fn take<T>(&mut self, result: Result<T, Refusal>) -> Option<T> {
        result.map_err(|refusal| self.0.push(refusal)).ok()
    }

    fn end<T>(self, value: Option<T>) -> Result<T> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(Error::Refused(self.0)),
        }
    }
}

/// An address of an input.
pub fn email(text: &str) -> Result<EmailAddress, Refusal> {
    EmailAddress::parse(text).map_err(Refusal::from)
}

fn name(text: &str, field: &str) -> Result<Name, Refusal> {
    Name::parse(text).map_err(|error| Refusal::new("INVALID_NAME", field, error.to_string()))
}

/// What one can be a member of.
#[derive(OneofObject)]
pub enum ScopeInput {
    /// This account, and everything below it.
    AccountId(ID),
    /// This tenant.
    TenantId(ID),
}

impl ScopeInput {
    fn parse(&self, field: &str) -> Result<Scope, Refusal> {
        match self {
            Self::AccountId(id) => Ok(Scope::Account(parse_id::<AccountId>(id, field)?)),
            Self::TenantId(id) => Ok(Scope::Tenant(parse_id::<TenantId>(id, field)?)),
        }
    }
}

/// Who wants to sign up.
#[derive(InputObject)]
pub struct SignUpInput {
    /// Where they get mail.
    email: String,
    /// At least 8 characters, better 15; any characters.
    password: String,
    /// What they are called.
    name: String,
    /// Name of the account to make; not needed with an invitation.
    account_name: Option<String>,
    /// The token of the invitation they follow.
    invitation: Option<String>,
}

impl SignUpInput {
    /// Parses it.
    pub fn parse(self, address: Option<IpAddr>) -> Result<SignUp> {
        let mut reading = Reading::default();
        let address_of = reading.take(email(&self.email));
        let person = reading.take(name(&self.name, "name"));
        let known = [self.email.as_str(), self.name.as_str()];
        let password = reading.take(NewPassword::parse(&self.password, "password", &known));
        let account_name =
            self.account_name.map(|text| name(&text, "accountName")).transpose().map(|name| (name, self.invitation));
        let account_name = reading.take(account_name);
        let command = address_of.zip(person).zip(password).zip(account_name);
        let command = command.map(|(((email, name), password), (account_name, invitation))| SignUp {
            email,
            password,
            name,
            account_name,
            invitation,
            address,
        });
        reading.end(command)
    }
}

/// A token that came in a mail, and the proof that who confirms it is who signed up.
#[derive(InputObject)]
pub struct VerifyEmailInput {
    /// The token of the link.
    pub token: String,
    /// The password that was chosen at the sign-up.
    pub password: String,
}

/// Who wants to sign in.
#[derive(InputObject)]
pub struct SignInInput {
    /// The address they signed up with.
    email: String,
    /// Their password.
    password: String,
}

impl SignInInput {
    /// Parses it.
    pub fn parse(self, address: Option<IpAddr>) -> Result<SignIn> {
        Ok(SignIn { email: email(&self.email)?, password: self.password, address })
    }
}

/// A session to go on with.
#[derive(InputObject)]
pub struct RefreshSessionInput {
    /// The newest refresh token.
    pub refresh_token: String,
}

/// A session to end.
#[derive(InputObject)]
pub struct SignOutInput {
    /// Any refresh token of it.
    pub refresh_token: String,
}

/// Whose password is to be reset.
#[derive(InputObject)]
pub struct RequestPasswordResetInput {
    /// The address they signed up with.
    pub email: String,
}

/// A new password for who was mailed a link.
#[derive(InputObject)]
pub struct ResetPasswordInput {
    /// The token of the link.
    pub token: String,
    /// The password to be.
    new_password: String,
}

impl ResetPasswordInput {
    /// The password, if it may be set.
    pub fn password(&self) -> Result<NewPassword> {
        Ok(NewPassword::parse(&self.new_password, "newPassword", &[])?)
    }
}

/// A new password for who knows the old one.
#[derive(InputObject)]
pub struct ChangePasswordInput {
    /// The password so far.
    current_password: String,
    /// The password to be.
    new_password: String,
}

impl ChangePasswordInput {
    /// Parses it.
    pub fn parse(self, address: Option<IpAddr>) -> Result<ChangePassword> {
        let new = NewPassword::parse(&self.new_password, "newPassword", &[])?;
        Ok(ChangePassword { current: self.current_password, new, address })
    }
}

/// An account to make under another.
#[derive(InputObject)]
pub struct CreateAccountInput {
    /// The account above.
    parent_id: ID,
    /// Its name.
    name: String,
    /// The same key again gives the same answer and makes nothing.
    pub idempotency_key: Option<String>,
}

impl CreateAccountInput {
    /// The account above.
    pub fn parent(&self) -> Result<AccountId> {
        Ok(parse_id(&self.parent_id, "parentId")?)
    }

    /// The name.
    pub fn name(&self) -> Result<Name> {
        Ok(name(&self.name, "name")?)
    }
}

/// A tenant to make.
#[derive(InputObject)]
pub struct CreateTenantInput {
    /// The account it will belong to.
    account_id: ID,
    /// Its name, which is also its first brand's.
    name: String,
    /// Time zone of contacts that have none, such as `Europe/Vienna`.
    default_zone: String,
    /// Locale of contacts that have none, such as `de-AT`.
    default_locale: String,
    /// Country of contacts that have none, such as `AT`.
    default_country: String,
    /// Makes a repeated call find the tenant that the first one made.
    idempotency_key: Option<String>,
}

impl CreateTenantInput {
    /// The account it will belong to.
    pub fn account(&self) -> Result<AccountId> {
        Ok(parse_id(&self.account_id, "accountId")?)
    }

    /// What the tenant is made of.
    pub fn parse(self) -> Result<NewTenant> {
        let mut reading = Reading::default();
        let invalid = |code, field: &'static str| {
            move |error: carillon_domain::contacts::InvalidCode| Refusal::new(code, field, error.to_string())
        };
        let name = reading.take(name(&self.name, "name"));
        let zone = reading.take(Zone::parse(&self.default_zone).map_err(invalid("INVALID_ZONE", "defaultZone")));
        let locale =
            reading.take(Locale::parse(&self.default_locale).map_err(invalid("INVALID_LOCALE", "defaultLocale")));
        let country =
            reading.take(Country::parse(&self.default_country).map_err(invalid("INVALID_COUNTRY", "defaultCountry")));
        let key = reading.take(self.idempotency_key.map(key).transpose());
        let parsed = name.zip(zone.zip(locale)).zip(country.zip(key));
        reading.end(parsed.map(|((name, (zone, locale)), (country, creation_key))| NewTenant {
            name,
            zone,
            locale,
            country,
            creation_key,
        }))
    }
}

/// The form of every idempotency key.
fn key(key: String) -> Result<String, Refusal> {
    carillon_domain::idempotency::Call::new("createTenant", &key, &[])?;
    Ok(key)
}

/// A tenant to enter.
#[derive(InputObject)]
pub struct EnterTenantInput {
    /// Which.
    pub tenant_id: ID,
}

/// Somebody to invite, to a tenant or to an account.
#[derive(InputObject)]
pub struct InviteMemberInput {
    /// To what.
    to: ScopeInput,
    /// Where they get mail.
    email: String,
    /// As what; not above your own role.
    role: Role,
    /// The same key again gives the same answer and mails nothing more.
    pub idempotency_key: Option<String>,
}

impl InviteMemberInput {
    /// Whom to invite, and as what.
    pub fn parse(&self) -> Result<NewInvitation> {
        Ok(NewInvitation { email: email(&self.email)?, role: self.role.into() })
    }

    /// To what, and which field said so.
    pub fn on(&self) -> Result<(Scope, &'static str)> {
        Ok((self.to.parse("to")?, "to"))
    }
}

/// An invitation to accept.
#[derive(InputObject)]
pub struct AcceptInvitationInput {
    /// The token of the link.
    pub token: String,
}

/// A role to change.
#[derive(InputObject)]
pub struct ChangeMemberRoleInput {
    /// Whose.
    pub membership_id: ID,
    /// To what; not above your own role.
    pub role: Role,
    /// The same key again gives the same answer and changes nothing more.
    pub idempotency_key: Option<String>,
}

/// A membership to end.
#[derive(InputObject)]
pub struct RemoveMemberInput {
    /// Which.
    pub membership_id: ID,
    /// The same key again gives the same answer and changes nothing more.
    pub idempotency_key: Option<String>,
    /// True for a dry run: the answer says what would happen, and nothing does. The key is left alone.
    pub dry_run: Option<bool>,
}

/// What to leave.
#[derive(InputObject)]
pub struct LeaveInput {
    /// What; a role that comes from an account above is left there.
    scope: ScopeInput,
    /// The same key again, with a session that is good, gives the same answer.
    pub idempotency_key: Option<String>,
    /// True for a dry run: the answer says what would happen, and nothing does. The key is left alone.
    pub dry_run: Option<bool>,
}

impl LeaveInput {
    /// What, and which field said so.
    pub fn parse(&self) -> Result<(Scope, &'static str)> {
        Ok((self.scope.parse("scope")?, "scope"))
    }
}

/// An API key to make.
#[derive(InputObject)]
pub struct CreateApiKeyInput {
    /// What it is for.
    name: String,
    /// What it may do of what its role may: `contacts.read`, `contacts.read_personal`, `contacts.write`, `contacts.import`,
    /// `consent.read`, `consent.record`, `messaging.read`, `messaging.send`, `messaging.publish`, `tenancy.read`,
    /// `campaigns.read`, `campaigns.write`, `campaigns.publish`, `documents.read`, `documents.publish`, `webhooks.read`. One that
    /// changes something may also read what came of it.
    scopes: Vec<String>,
    /// The role it acts as; not above your own.
    role: Role,
    /// A document set to hold it to: it runs the documents of that set, by their ids, and nothing else. Not with the scope
    /// `documents.publish`.
    document_set_id: Option<ID>,
    /// When it ends; after a year unless given.
    expires_at: Option<Instant>,
    /// The same key again gives the same answer, the secret too, and makes nothing; for that the secret is kept sealed for
    /// seven days.
    pub idempotency_key: Option<String>,
}

impl CreateApiKeyInput {
    /// Parses it.
    pub fn parse(self) -> Result<CreateApiKey> {
        let mut reading = Reading::default();
        let name = reading.take(name(&self.name, "name"));
        let mut scopes = Vec::new();
        for (index, text) in self.scopes.iter().enumerate() {
            let unknown = |_| Refusal::new("INVALID_SCOPE", format!("scopes.{index}"), "There is no such scope.");
            scopes.extend(reading.take(text.parse::<Permission>().map_err(unknown)));
        }
        scopes.sort_unstable();
        scopes.dedup();
        let document_set = self.document_set_id.as_ref().map(|id| parse_id::<DocumentSetId>(id, "documentSetId"));
        let document_set = reading.take(document_set.transpose());
        let (role, expires_at) = (self.role.into(), self.expires_at.map(Instant::get));
        let parsed = name.zip(document_set);
        reading.end(parsed.map(|(name, document_set)| CreateApiKey { name, role, scopes, document_set, expires_at }))
    }
}

/// What an API key may run, within its role and scopes.
#[derive(OneofObject)]
pub enum DocumentLimitInput {
    /// The documents of this set, by their ids, and nothing else.
    DocumentSetId(ID),
    /// Any document: true.
    AnyDocument(bool),
}

/// An API key to hold to a document set, or to none.
#[derive(InputObject)]
pub struct LimitApiKeyInput {
    /// Which.
    id: ID,
    /// To what.
    to: DocumentLimitInput,
    /// The same key again gives the same answer and changes nothing more.
    pub idempotency_key: Option<String>,
}

impl LimitApiKeyInput {
    /// Which key, and the set it is to be held to.
    pub fn parse(&self) -> Result<(CredentialId, Option<DocumentSetId>)> {
        let set = match &self.to {
            DocumentLimitInput::DocumentSetId(id) => Some(parse_id(id, "to.documentSetId")?),
            DocumentLimitInput::AnyDocument(true) => None,
            DocumentLimitInput::AnyDocument(false) => {
                let message = "Give documentSetId, or true.";
                return Err(Refusal::new("REQUIRED", "to.anyDocument", message).into());
            }
        };
        Ok((parse_id(&self.id, "id")?, set))
    }
}

/// An API key to end.
#[derive(InputObject)]
pub struct RevokeApiKeyInput {
    /// Which.
    pub id: ID,
    /// The same key again gives the same answer and changes nothing more.
    pub idempotency_key: Option<String>,
    /// True for a dry run: the answer says what would happen, and nothing does. The key is left alone.
    pub dry_run: Option<bool>,
}
