//! Lists of contacts, as the API shows them.

use async_graphql::{Context, ID, Object, Result};
use carillon_domain::campaigns as domain;
use carillon_domain::ids::{ContactId, ListId};
use chrono::{DateTime, Utc};

use super::loaders::{MembersOf, SizeOf};
use crate::graphql::connection::{List, PageArgs, list};
use crate::graphql::contacts::Contact;
use crate::graphql::loader;

/// A static list of contacts.
#[derive(Debug, Clone)]
pub struct ContactList(pub domain::ContactList);

impl ContactList {
    /// The list with this id.
    pub async fn find(ctx: &Context<'_>, id: ListId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self))
    }
}

/// A static list of contacts, for audiences.
#[Object]
impl ContactList {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// Its name, unique in the tenant.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// Counts changes of the list itself, not of who is on it.
    async fn version(&self) -> i64 {
        self.0.version
    }

    /// How many are on it.
    async fn member_count(&self, ctx: &Context<'_>) -> Result<i64> {
        Ok(loader::of(ctx).load_one(SizeOf(self.0.id)).await?.unwrap_or(0))
    }

    /// Who is on it, in the order in which they were made.
    async fn members(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
    ) -> Result<List<ContactListMember>> {
        let page = PageArgs::ahead(first, after)?;
        let found = loader::of(ctx).load_one(MembersOf(self.0.id, page)).await?;
        Ok(list(found.unwrap_or_else(|| page.empty()), |contact| *contact, ContactListMember))
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it last changed.
    async fn updated_at(&self) -> DateTime<Utc> {
        self.0.updated_at
    }
}

/// Somebody on a list.
#[derive(Debug)]
pub struct ContactListMember(pub ContactId);

/// Somebody on a list.
#[Object]
impl ContactListMember {
    /// Who.
    async fn contact(&self, ctx: &Context<'_>) -> Result<Option<Contact>> {
        Box::pin(Contact::find(ctx, self.0)).await
    }

    /// The contact's id, without looking it up.
    async fn contact_id(&self) -> ID {
        self.0.into()
    }
}
