//! Reading templates and partials, and previews.

use async_graphql::{Context, ID, Object, Result, SimpleObject};
use carillon_domain::error::Refusal;
use carillon_domain::messaging::{self, Preview};
use carillon_domain::tenancy::{ReadContacts, ReadMessages, ReadPersonalData};

use super::content_types::{Partial, Template};
use super::template_inputs::PreviewTemplateInput;
use crate::graphql::connection::{List, ListOrder, PageArgs, list};
use crate::graphql::error::{UserError, payload, user_errors};
use crate::graphql::node::by_id;
use crate::graphql::scope::RequestScope;

/// Queries of templates.
#[derive(Debug, Default)]
pub struct TemplateQuery;

#[Object]
impl TemplateQuery {
    /// A template of the tenant.
    async fn template(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Result<Option<Template>> {
        by_id(&id, |id| Template::find(ctx, id)).await
    }

    /// The tenant's templates, by when they were made.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a Relay connection")]
    async fn templates(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
        #[graphql(desc = "Rows from the end.")] last: Option<i32>,
        #[graphql(desc = "The cursor in front of which to end.")] before: Option<String>,
        #[graphql(desc = "In which order; the oldest first if nothing is said.")] order_by: Option<ListOrder>,
    ) -> Result<List<Template>> {
        let order = order_by.unwrap_or_default();
        let page = order.page(PageArgs { first, after, last, before }.page()?);
        let (grant, mut tx) = RequestScope::of(ctx).read::<ReadMessages>().await?;
        let templates = messaging::templates(&grant, &mut tx, &page).await?;
        Ok(list(order.told(templates), |template| template.id, Template))
    }

    /// A partial of the tenant.
    async fn partial(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Result<Option<Partial>> {
        by_id(&id, |id| Partial::find(ctx, id)).await
    }

    /// The tenant's partials, oldest first.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a Relay connection")]
    async fn partials(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
        #[graphql(desc = "Rows from the end.")] last: Option<i32>,
        #[graphql(desc = "The cursor in front of which to end.")] before: Option<String>,
    ) -> Result<List<Partial>> {
        let page = PageArgs { first, after, last, before }.page()?;
        let (grant, mut tx) = RequestScope::of(ctx).read::<ReadMessages>().await?;
        Ok(list(messaging::partials(&grant, &mut tx, &page).await?, |partial| partial.id, Partial))
    }

    /// Renders a template as a mail would be, for a contact or for a sample of one. Sends nothing and keeps nothing.
    async fn preview_template(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The preview.")] input: PreviewTemplateInput,
    ) -> Result<TemplatePreview> {
        let scope = RequestScope::of(ctx);
        let preview = match input.parse() {
            Ok(preview) => preview,
            Err(refusals) => return Ok(TemplatePreview::refused(user_errors(refusals))),
        };
        let personal = match preview.contact {
            Some(contact) => Some((contact, scope.grant::<ReadPersonalData>()?, scope.grant::<ReadContacts>()?)),
            None => None,
        };
        let (grant, mut tx) = scope.read::<ReadMessages>().await?;
        let previewed = async {
            let person = match personal {
                Some((contact, personal, contacts)) => {
                    Some(messaging::person(&personal, &contacts, &mut tx, contact).await?)
                }
                None => None,
            };
            let (of, sender) = (preview.of, preview.sender);
            let preview = Preview { of, person, sender, variables: preview.variables, event: preview.event };
            messaging::preview_template(&grant, &mut tx, scope.ports(), preview).await
        };
        let (previewed, user_errors): (_, Vec<UserError>) = payload(previewed.await)?;
        Ok(previewed.map_or_else(|| TemplatePreview::refused(user_errors), TemplatePreview::from))
    }
}

/// A template as a mail, or why there is none.
#[derive(Debug, Default, SimpleObject)]
pub struct TemplatePreview {
    /// The subject.
    subject: Option<String>,
    /// The html part.
    html: Option<String>,
    /// The text part.
    text: Option<String>,
    /// What its author should know.
    warnings: Vec<UserError>,
    /// Why there is no mail.
    user_errors: Vec<UserError>,
}

impl TemplatePreview {
    fn refused(user_errors: Vec<UserError>) -> Self {
        Self { user_errors, ..Self::default() }
    }
}

impl From<messaging::Previewed> for TemplatePreview {
    fn from(previewed: messaging::Previewed) -> Self {
        let told = |problems: Vec<_>| user_errors(problems.into_iter().map(Refusal::from));
        let (subject, html, text) = match previewed.rendered {
            Some(mail) => (Some(mail.subject), Some(mail.html), Some(mail.text)),
            None => (None, None, None),
        };
        Self { subject, html, text, warnings: told(previewed.warnings), user_errors: told(previewed.problems) }
    }
}
