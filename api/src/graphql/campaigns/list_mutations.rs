//! Making and changing lists of contacts.

use async_graphql::{Context, Object, Result};
use carillon_domain::campaigns;
use carillon_domain::ids::ListId;
use carillon_domain::tenancy::WriteContacts;

use super::inputs::{
    Add, Create, CreateContactListInput, DeleteContactListInput, ListChangeInput, Remove, Rename,
    RenameContactListInput,
};
use super::payloads::{DeleteContactListPayload, ListChangePayload, ListPayload};
use crate::graphql::mutate::Once;
use crate::graphql::node::parse_id;
use crate::graphql::scope::RequestScope;

/// Mutations of lists.
#[derive(Debug, Default)]
pub struct ListMutation;

#[Object]
impl ListMutation {
    /// Makes a list of contacts, with nobody on it.
    async fn create_contact_list(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The list.")] input: CreateContactListInput,
    ) -> Result<ListPayload<Create>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<WriteContacts>()?;
        let once = Once::new("createContactList", input.idempotency_key.as_deref(), &input);
        let name = input.name.as_str();
        let made = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move { Ok(campaigns::create_list(grant, tx, scope.ports(), name).await?.id) })
        });
        ListPayload::of(ctx, made.await).await
    }

    /// Gives a list that is at the version you saw another name, else `CONFLICT`.
    async fn rename_contact_list(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The list.")] input: RenameContactListInput,
    ) -> Result<ListPayload<Rename>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<WriteContacts>()?;
        let once = Once::new("renameContactList", input.idempotency_key.as_deref(), &input);
        let which: (ListId, i64) = match parse_id(&input.id, "id") {
            Ok(id) => (id, input.version),
            Err(refusal) => return ListPayload::of(ctx, Err(refusal.into())).await,
        };
        let name = input.name.as_str();
        let renamed = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move { Ok(campaigns::rename_list(grant, tx, scope.ports(), which, name).await?.id) })
        });
        ListPayload::at(ctx, renamed.await, which.0).await
    }

    /// Puts contacts on a list.
    async fn add_contacts_to_list(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "List and contacts.")] input: ListChangeInput<Add>,
    ) -> Result<ListChangePayload<Add>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<WriteContacts>()?;
        let once = Once::new("addContactsToList", input.idempotency_key.as_deref(), &input);
        let (list, contacts) = &match input.parse() {
            Ok(change) => change,
            Err(refusal) => return ListChangePayload::of(ctx, Err(refusal.into())).await,
        };
        let added = scope.mutate(grant, &once, |tx, _| {
            Box::pin(
                async move { Ok((*list, campaigns::add_to_list(grant, tx, scope.ports(), *list, contacts).await?)) },
            )
        });
        ListChangePayload::of(ctx, added.await).await
    }

    /// Takes contacts off a list.
    async fn remove_contacts_from_list(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "List and contacts.")] input: ListChangeInput<Remove>,
    ) -> Result<ListChangePayload<Remove>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<WriteContacts>()?;
        let once = Once::new("removeContactsFromList", input.idempotency_key.as_deref(), &input);
        let (list, contacts) = &match input.parse() {
            Ok(change) => change,
            Err(refusal) => return ListChangePayload::of(ctx, Err(refusal.into())).await,
        };
        let removed = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move { Ok((*list, campaigns::remove_from_list(grant, tx, *list, contacts).await?)) })
        });
        ListChangePayload::of(ctx, removed.await).await
    }

    /// Deletes a list that is at the version you saw, else `CONFLICT`; the contacts stay. `LIST_IN_USE` while a campaign that
    /// was started has yet to ask who is on it.
    async fn delete_contact_list(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The list.")] input: DeleteContactListInput,
    ) -> Result<DeleteContactListPayload> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<WriteContacts>()?;
        let once = Once::new("deleteContactList", input.idempotency_key.as_deref(), &input).dry(input.dry_run);
        let which: (ListId, i64) = match parse_id(&input.id, "id") {
            Ok(id) => (id, input.version),
            Err(refusal) => return Ok(DeleteContactListPayload::refused(refusal)),
        };
        let deleted = scope.mutate(grant, &once, |tx, _| Box::pin(campaigns::delete_list(grant, tx, which)));
        DeleteContactListPayload::at(ctx, deleted.await, which.0).await
    }
}
