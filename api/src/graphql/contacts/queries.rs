//! Queries about contacts.

use async_graphql::{Context, ID, Object, Result};
use carillon_domain::contacts::{list_attributes, list_contacts};
use carillon_domain::error::Error;
use carillon_domain::ids::ContactId;
use carillon_domain::tenancy::{ReadContacts, ReadPersonalData};

use super::inputs::ContactFilterInput;
use super::types::{AttributeDefinition, Contact};
use crate::graphql::connection::{List, ListOrder, PageArgs, list};
use crate::graphql::leaves::Row;
use crate::graphql::node::by_id;
use crate::graphql::scope::RequestScope;

/// Queries about contacts.
#[derive(Debug, Default)]
pub struct ContactQuery;

#[Object]
impl ContactQuery {
    /// A contact; null when there is none with this id.
    async fn contact(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Result<Option<Contact>> {
        by_id(&id, |id| Contact::find(ctx, id)).await
    }

    /// Contacts, by when they were made. `search` finds what starts with it: addresses, names (last name
    /// first) and external ids.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a Relay connection")]
    async fn contacts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
        #[graphql(desc = "Rows from the end.")] last: Option<i32>,
        #[graphql(desc = "The cursor in front of which to end.")] before: Option<String>,
        #[graphql(desc = "In which order; the oldest first if nothing is said.")] order_by: Option<ListOrder>,
        #[graphql(desc = "Which contacts.")] filter: Option<ContactFilterInput>,
        #[graphql(desc = "The start of an e-mail address, a name or an external id.")] search: Option<String>,
    ) -> Result<List<Row<Contact>>> {
        let order = order_by.unwrap_or_default();
        let page = order.page(PageArgs { first, after, last, before }.page::<ContactId>()?);
        let filter = filter.unwrap_or_default();
        let scope = RequestScope::of(ctx);
        if filter.is_personal() || search.is_some() {
            // Whoever may not see addresses may not guess them either (C-225).
            scope.grant::<ReadPersonalData>()?;
        }
        let filter = filter.parse(search).map_err(Error::Refused)?;
        let (grant, mut tx) = scope.read_one::<ReadContacts>().await?;
        let contacts = list_contacts(&grant, &mut tx, filter, page, Contact::shown(ctx)).await?;
        Ok(list(order.told(contacts), |contact| contact.id, |card| Row(Contact::from(card))))
    }

    /// The attributes that are declared.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a Relay connection")]
    async fn attribute_definitions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
        #[graphql(desc = "Rows from the end.")] last: Option<i32>,
        #[graphql(desc = "The cursor in front of which to end.")] before: Option<String>,
    ) -> Result<List<AttributeDefinition>> {
        let page = PageArgs { first, after, last, before }.page()?;
        let (grant, mut tx) = RequestScope::of(ctx).read::<ReadContacts>().await?;
        let definitions = list_attributes(&grant, &mut tx, page).await?;
        Ok(list(definitions, |one| one.id, AttributeDefinition::from))
    }
}
