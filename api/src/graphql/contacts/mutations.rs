//! Mutations of contacts: parse, permit, one use case in one transaction, and the object as it is then.

use std::collections::HashMap;
use std::marker::PhantomData;

use async_graphql::{Context, InputType, Object, Result, SimpleObject};
use carillon_domain::contacts::{self as domain, CreateContact, TagContacts, UpdateContact, Upserted};
use carillon_domain::error::{Error, Refusal};
use carillon_domain::ids::ContactId;
use carillon_domain::ports::TenantTx;
use carillon_domain::tenancy::{Grant, WriteContacts};
use serde::{Deserialize, Serialize};

use super::inputs::{
    Archive, ContactVersionInput, Create, CreateContactInput, DeclareAttributesInput, Delete, Restore,
    TagContactsInput, Update, UpdateContactInput, UpsertContactsInput,
};
use super::types::{AttributeDefinition, Contact};
use crate::graphql::error::{UserError, payload, payload_at, user_errors};
use crate::graphql::loader;
use crate::graphql::mutate::{Once, Work};
use crate::graphql::node::{named, parse_id};
use crate::graphql::scope::RequestScope;

/// The contact that a mutation changed, or why it did not.
#[derive(Debug, SimpleObject)]
#[graphql(
    concrete(name = "CreateContactPayload", params(Create)),
    concrete(name = "UpdateContactPayload", params(Update)),
    concrete(name = "ArchiveContactPayload", params(Archive)),
    concrete(name = "RestoreContactPayload", params(Restore)),
    concrete(name = "DeleteContactPayload", params(Delete))
)]
pub struct ContactPayload<Of: Send + Sync> {
    /// The contact as it is now, beside `CONFLICT` too. Needs the right to see contacts.
    contact: Option<Result<Contact>>,
    /// What was refused; nothing was changed then.
    user_errors: Vec<UserError>,
    #[graphql(skip)]
    of: PhantomData<Of>,
}

/// What became of one contact.
#[derive(Debug, SimpleObject)]
pub struct UpsertResult {
    /// The contact as it is now; null when it was refused. Needs the right to see contacts.
    contact: Option<Result<Contact>>,
    /// True when it was not there before.
    created: bool,
    /// What was refused, with fields relative to the contact.
    user_errors: Vec<UserError>,
}

/// Payload of `upsertContacts`.
#[derive(Debug, SimpleObject)]
pub struct UpsertContactsPayload {
    /// One for each contact of the input, in order.
    results: Vec<UpsertResult>,
    /// What was refused as a whole; nothing was changed then.
    user_errors: Vec<UserError>,
}

/// Payload of `tagContacts`.
#[derive(Debug, SimpleObject)]
pub struct TagContactsPayload {
    /// The contacts as they are now. Needs the right to see contacts.
    contacts: Option<Result<Vec<Contact>>>,
    /// What was refused; nothing was changed then.
    user_errors: Vec<UserError>,
}

/// Payload of `declareAttributes`.
#[derive(Debug, SimpleObject)]
pub struct DeclareAttributesPayload {
    /// The attributes in the order of the input.
    attributes: Vec<AttributeDefinition>,
    /// What was refused; nothing was declared then.
    user_errors: Vec<UserError>,
}

/// What is stored of one upserted contact.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct UpsertAnswer {
    contact: Option<ContactId>,
    created: bool,
    errors: Vec<UserError>,
}

/// Mutations of contacts.
#[derive(Debug, Default)]
pub struct ContactMutation;

#[Object]
impl ContactMutation {
    /// Creates a contact.
    async fn create_contact(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: CreateContactInput,
    ) -> Result<ContactPayload<Create>> {
        let scope = RequestScope::of(ctx);
        let grant = scope.grant::<WriteContacts>()?;
        let once = Once::new("createContact", input.idempotency_key.as_deref(), &input);
        let command = match input.fields.parse("") {
            Ok(fields) => CreateContact { fields },
            Err(refusals) => return refused(refusals),
        };
        let created = scope.mutate(&grant, &once, |tx, _| Box::pin(create(&grant, tx, scope, command.clone()))).await;
        contact_payload(ctx, payload(created)?).await
    }

    /// Changes a contact that is at the version you saw, else `CONFLICT`. Consent does not move to a new address; what the
    /// person had ended, complaints and legal suppressions do.
    async fn update_contact(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: UpdateContactInput,
    ) -> Result<ContactPayload<Update>> {
        let scope = RequestScope::of(ctx);
        let grant = scope.grant::<WriteContacts>()?;
        let once = Once::new("updateContact", input.idempotency_key.as_deref(), &input);
        let command = match (parse_id(&input.id, "id"), input.fields.parse("")) {
            (Ok(id), Ok(fields)) => UpdateContact { id, version: input.version, fields },
            (Err(refusal), _) => return refused(vec![refusal]),
            (_, Err(refusals)) => return refused(refusals),
        };
        let changed = scope.mutate(&grant, &once, |tx, _| Box::pin(update(&grant, tx, scope, command.clone()))).await;
        contact_payload(ctx, payload_at(changed, command.id)?).await
    }

    /// Creates or changes contacts, each found by its external id or its address. Consent is not touched.
    async fn upsert_contacts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: UpsertContactsInput,
    ) -> Result<UpsertContactsPayload> {
        let scope = RequestScope::of(ctx);
        let grant = scope.grant::<WriteContacts>()?;
        let once = Once::new("upsertContacts", input.idempotency_key.as_deref(), &input).dry(input.dry_run);
        let done = scope.mutate(&grant, &once, |tx, _| Box::pin(upsert(&grant, tx, scope, &input))).await;
        let (answers, user_errors) = payload(done)?;
        let answers = answers.unwrap_or_default();
        let ids: Vec<ContactId> = answers.iter().filter_map(|answer| answer.contact).collect();
        let contacts = load(ctx, &ids).await;
        let shown =
            |id: ContactId| contacts.as_ref().map(|found| found.get(&id).cloned()).map_err(Clone::clone).transpose();
        let result = |answer: UpsertAnswer| UpsertResult {
            contact: answer.contact.and_then(shown),
            created: answer.created,
            user_errors: answer.errors,
        };
        Ok(UpsertContactsPayload { results: answers.into_iter().map(result).collect(), user_errors })
    }

    /// Puts a contact away: it is never mailed, and can be restored.
    async fn archive_contact(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: ContactVersionInput<Archive>,
    ) -> Result<ContactPayload<Archive>> {
        turn(ctx, &input, Turn::Archive).await
    }

    /// Takes a contact back that was archived.
    async fn restore_contact(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: ContactVersionInput<Restore>,
    ) -> Result<ContactPayload<Restore>> {
        turn(ctx, &input, Turn::Restore).await
    }

    /// Deletes a contact: what is personal goes, suppressions of its address and the consent ledger stay.
    async fn delete_contact(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: ContactVersionInput<Delete>,
    ) -> Result<ContactPayload<Delete>> {
        turn(ctx, &input, Turn::Delete).await
    }

    /// Puts tags on contacts and takes tags off, all of them or none.
    async fn tag_contacts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: TagContactsInput,
    ) -> Result<TagContactsPayload> {
        let scope = RequestScope::of(ctx);
        let grant = scope.grant::<WriteContacts>()?;
        let once = Once::new("tagContacts", input.idempotency_key.as_deref(), &input).dry(input.dry_run);
        let parsed = input.contact_ids.iter().enumerate().map(|(i, one)| parse_id(one, &format!("contactIds.{i}")));
        let command = match (parsed.collect::<Result<Vec<ContactId>, Refusal>>(), input.tags()) {
            (Ok(contacts), Ok((add, remove))) => TagContacts { contacts, add, remove },
            (Err(refusal), _) => return Ok(untagged(vec![refusal])),
            (_, Err(refusals)) => return Ok(untagged(refusals)),
        };
        let done = scope.mutate(&grant, &once, |tx, _| Box::pin(tag(&grant, tx, scope, command.clone()))).await;
        let (ids, user_errors) = payload(done)?;
        let ids = ids.unwrap_or_default();
        let found = load(ctx, &ids).await;
        let contacts = found.map(|mut found| ids.iter().filter_map(|id| found.remove(id)).collect());
        Ok(TagContactsPayload { contacts: Some(contacts), user_errors })
    }

    /// Declares attributes: contacts take no values under other names.
    async fn declare_attributes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: DeclareAttributesInput,
    ) -> Result<DeclareAttributesPayload> {
        let scope = RequestScope::of(ctx);
        let grant = scope.grant::<WriteContacts>()?;
        let once = Once::new("declareAttributes", input.idempotency_key.as_deref(), &input).dry(input.dry_run);
        let wanted = match input.parse() {
            Ok(wanted) => wanted,
            Err(refusals) => {
                return Ok(DeclareAttributesPayload { attributes: Vec::new(), user_errors: user_errors(refusals) });
            }
        };
        let declared = scope.mutate(&grant, &once, |tx, _| Box::pin(declare(&grant, tx, scope, wanted.clone()))).await;
        let (ids, user_errors) = payload(declared)?;
        let ids = ids.unwrap_or_default();
        let attribute = |((name, kind), id): ((String, super::types::AttributeKind), String)| AttributeDefinition {
            id: id.into(),
            name,
            kind,
        };
        let named = input.attributes.into_iter().map(|one| (one.name, one.kind));
        Ok(DeclareAttributesPayload { attributes: named.zip(ids).map(attribute).collect(), user_errors })
    }
}

type Done<T> = carillon_domain::error::Result<T>;

async fn create(
    grant: &Grant<WriteContacts>,
    tx: &mut TenantTx,
    scope: &RequestScope,
    command: CreateContact,
) -> Done<ContactId> {
    Ok(domain::create_contact(grant, tx, scope.ports(), command).await?.id)
}

async fn update(
    grant: &Grant<WriteContacts>,
    tx: &mut TenantTx,
    scope: &RequestScope,
    command: UpdateContact,
) -> Done<ContactId> {
    Ok(domain::update_contact(grant, tx, scope.ports(), command).await?.id)
}

async fn tag(
    grant: &Grant<WriteContacts>,
    tx: &mut TenantTx,
    scope: &RequestScope,
    command: TagContacts,
) -> Done<Vec<ContactId>> {
    let contacts = domain::tag_contacts(grant, tx, scope.ports(), command).await?;
    Ok(contacts.iter().map(|contact| contact.id).collect())
}

async fn declare(
    grant: &Grant<WriteContacts>,
    tx: &mut TenantTx,
    scope: &RequestScope,
    wanted: Vec<domain::DeclareAttribute>,
) -> Done<Vec<String>> {
    let declared = domain::declare_attributes(grant, tx, scope.ports(), wanted).await?;
    Ok(declared.iter().map(|one| one.id.to_string()).collect())
}

/// Contacts that cannot be read are refused one by one, like those that the use case refuses.
async fn upsert(
    grant: &Grant<WriteContacts>,
    tx: &mut TenantTx,
    scope: &RequestScope,
    input: &UpsertContactsInput,
) -> Done<Vec<UpsertAnswer>> {
    if input.contacts.len() > domain::MAX_UPSERT {
        let message = format!("A call takes 1 to {} contacts.", domain::MAX_UPSERT);
        return Err(Refusal::new("BATCH_SIZE", "contacts", message).into());
    }
    let parsed: Vec<_> = input.contacts.iter().map(super::inputs::UpsertContactInput::parse).collect();
    let good: Vec<_> = parsed.iter().filter_map(|one| one.as_ref().ok().cloned()).collect();
    let all_bad = good.is_empty() && !parsed.is_empty();
    let done = if all_bad { Vec::new() } else { domain::upsert_contacts(grant, tx, scope.ports(), good).await? };
    let mut done = done.into_iter();
    let answer = |one: Result<_, Vec<Refusal>>| match one.map(|_: domain::UpsertContact| done.next()) {
        Ok(Some(Upserted::Done(contact, created))) => {
            Ok(UpsertAnswer { contact: Some(contact.id), created, errors: Vec::new() })
        }
        Ok(Some(Upserted::Refused(refusals))) | Err(refusals) => {
            Ok(UpsertAnswer { contact: None, created: false, errors: user_errors(refusals) })
        }
        Ok(None) => Err(Error::fault("an upserted contact has no answer")),
    };
    parsed.into_iter().map(answer).collect()
}

#[derive(Debug, Clone, Copy)]
enum Turn {
    Archive,
    Restore,
    Delete,
}

impl Turn {
    const fn operation(self) -> &'static str {
        match self {
            Self::Archive => "archiveContact",
            Self::Restore => "restoreContact",
            Self::Delete => "deleteContact",
        }
    }

    fn work<'t>(
        self,
        grant: &'t Grant<WriteContacts>,
        tx: &'t mut TenantTx,
        scope: &'t RequestScope,
        (id, version): (ContactId, i64),
    ) -> Work<'t, ContactId> {
        let ports = scope.ports();
        Box::pin(async move {
            let contact = match self {
                Self::Archive => domain::archive_contact(grant, tx, ports, id, version).await?,
                Self::Restore => domain::restore_contact(grant, tx, ports, id, version).await?,
                Self::Delete => domain::delete_contact(grant, tx, ports, id, version).await?,
            };
            Ok(contact.id)
        })
    }
}

async fn turn<Of: Send + Sync>(
    ctx: &Context<'_>,
    input: &ContactVersionInput<Of>,
    turn: Turn,
) -> Result<ContactPayload<Of>>
where
    ContactVersionInput<Of>: InputType,
{
    let scope = RequestScope::of(ctx);
    let grant = scope.grant::<WriteContacts>()?;
    let once = Once::new(turn.operation(), input.idempotency_key.as_deref(), input).dry(input.dry_run);
    let which = match parse_id(&input.id, "id") {
        Ok(id) => (id, input.version),
        Err(refusal) => return refused(vec![refusal]),
    };
    let done = scope.mutate(&grant, &once, |tx, _| turn.work(&grant, tx, scope, which)).await;
    contact_payload(ctx, payload_at(done, which.0)?).await
}

#[expect(clippy::unnecessary_wraps, reason = "resolvers return it as it is")]
fn refused<Of: Send + Sync>(refusals: Vec<Refusal>) -> Result<ContactPayload<Of>> {
    Ok(ContactPayload { contact: None, user_errors: user_errors(refusals), of: PhantomData })
}

fn untagged(refusals: Vec<Refusal>) -> TagContactsPayload {
    TagContactsPayload { contacts: Some(Ok(Vec::new())), user_errors: user_errors(refusals) }
}

async fn contact_payload<Of: Send + Sync>(
    ctx: &Context<'_>,
    (id, user_errors): (Option<ContactId>, Vec<UserError>),
) -> Result<ContactPayload<Of>> {
    let contact = named(id, |id| Contact::find(ctx, id)).await.transpose();
    Ok(ContactPayload { contact, user_errors, of: PhantomData })
}

async fn load(ctx: &Context<'_>, ids: &[ContactId]) -> Result<HashMap<ContactId, Contact>> {
    let contacts = loader::of(ctx).load_many(ids.iter().copied()).await?;
    Ok(contacts.into_iter().map(|(id, contact)| (id, Contact::from(contact))).collect())
}
