//! The schema: every aggregate's queries, mutations and subscriptions, and the limits around them.

pub mod campaigns;
pub mod catcher;
pub mod connection;
pub mod consent;
pub mod contacts;
mod deprecated;
pub mod documents;
mod emptied;
pub mod error;
pub mod error_code;
pub mod execute;
pub mod folding;
pub mod gateway;
pub mod leaves;
pub mod limits;
pub mod live;
pub mod loader;
pub mod messaging;
pub mod mutate;
pub mod node;
mod nulls;
mod payloads;
pub mod persisted;
pub mod rounds;
pub mod scope;
pub mod segments;
pub mod tenancy;
pub mod time;
mod types;
pub mod validity;
pub mod webhooks;
pub mod workflows;

use std::borrow::Cow;

use async_graphql::parser::types::Field;
use async_graphql::registry::Registry;
use async_graphql::{
    ContainerType, Context, ContextSelectionSet, MergedObject, MergedSubscription, ObjectType, OutputType, Positioned,
    Schema, SchemaBuilder, ServerResult, Value,
};
use chrono::{DateTime, Utc};

use self::connection::List;
use self::scope::RequestScope;

/// Every query.
#[derive(Debug, Default, MergedObject)]
pub struct Query(
    gateway::GatewayQuery,
    tenancy::TenancyQuery,
    consent::ConsentQuery,
    contacts::ContactQuery,
    contacts::EventQuery,
    contacts::ImportQuery,
    segments::SegmentQuery,
    node::NodeQuery,
    messaging::MessagingQuery,
    messaging::TrackingQuery,
    workflows::WorkflowQuery,
    webhooks::WebhookQuery,
    messaging::TemplateQuery,
    persisted::PersistedQuery,
    campaigns::CampaignQuery,
    catcher::CatcherQuery,
);

/// The parts of [`Mutation`].
#[derive(Debug, Default, MergedObject)]
#[graphql(name = "Mutation")]
struct Mutations(
    tenancy::AccessMutation,
    tenancy::AccountMutation,
    consent::ConsentMutation,
    contacts::ContactMutation,
    contacts::EventMutation,
    contacts::ImportMutation,
    messaging::MessagingMutation,
    messaging::TrackingMutation,
    workflows::WorkflowMutation,
    workflows::HoldMutation,
    webhooks::WebhookMutation,
    messaging::TemplateMutation,
    persisted::PersistedMutation,
    campaigns::CampaignMutation,
    campaigns::ListMutation,
    catcher::CatcherMutation,
);

/// Every mutation. Each completes its payload, and ends what that was read from before the next begins: that of a dry run
/// holds locks.
#[derive(Debug, Default)]
pub struct Mutation(Mutations);

impl ContainerType for Mutation {
    async fn resolve_field(&self, ctx: &Context<'_>) -> ServerResult<Option<Value>> {
        let mut answer = self.0.resolve_field(ctx).await;
        if let Ok(Some(payload)) = &mut answer {
            payloads::complete(ctx, payload).await;
        }
        let scope = RequestScope::of(ctx);
        scope.end_mutation(&ctx.item.node.response_key().node).await;
        answer
    }
}

impl OutputType for Mutation {
    fn type_name() -> Cow<'static, str> {
        <Mutations as OutputType>::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        let name = Mutations::create_type_info(registry);
        payloads::describe(registry, &Self::type_name());
        name
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        self.0.resolve(ctx, field).await
    }
}

impl ObjectType for Mutation {}

/// Every subscription.
#[derive(Debug, Default, MergedSubscription)]
pub struct Subscription(
    contacts::ImportSubscription,
    messaging::MessagingSubscription,
    workflows::WorkflowSubscription,
    campaigns::CampaignSubscription,
);

/// The schema type.
pub type CarillonSchema = Schema<Query, Mutation, Subscription>;

/// Builds the schema with its limits (C-221).
pub fn schema() -> CarillonSchema {
    let builder = Schema::build(Query::default(), Mutation::default(), Subscription::default())
        .limit_recursive_depth(limits::RECURSION)
        .limit_directives(limits::DIRECTIVES)
        // Suggestions tell strangers the names of fields (C-222).
        .disable_suggestions()
        .override_output_type_description::<DateTime<Utc>>(
            "An instant in UTC, as RFC 3339 writes it; as an input in the years 1 to 9999.",
        );
    lists(builder).finish()
}

/// Says of each list what it is of: the library describes all but the type itself.
fn lists(builder: SchemaBuilder<Query, Mutation, Subscription>) -> SchemaBuilder<Query, Mutation, Subscription> {
    macro_rules! described {
        ($($node:ty = $text:literal)+) => {
            builder$(.override_output_type_description::<List<$node>>(concat!("A page of ", $text, ".")))+
        };
    }
    described! {
        tenancy::AccountMembership = "accounts"
        tenancy::ApiKey = "API keys"
        tenancy::AuditEvent = "the audit log"
        tenancy::Member = "members"
        tenancy::Tenant = "tenants"
        consent::Brand = "brands"
        consent::ConsentEvent = "the ledger of consent"
        consent::Suppression = "suppressions"
        consent::Topic = "topics"
        contacts::AttributeDefinition = "declared attributes"
        contacts::Contact = "contacts"
        contacts::ContactChange = "changes of a contact"
        contacts::ContactEvent = "what a contact did"
        contacts::EventDefinition = "events that are known"
        contacts::Import = "imports"
        contacts::ImportError = "mistakes of an import"
        messaging::types::Message = "messages"
        messaging::content_types::Partial = "partials"
        messaging::content_types::Sender = "senders"
        messaging::content_types::Template = "templates"
        persisted::DocumentSet = "document sets"
        persisted::PersistedDocument = "persisted documents"
        workflows::Workflow = "workflows"
        workflows::WorkflowVersion = "versions of a workflow"
        workflows::Enrollment = "enrollments"
        workflows::EnrollmentStep = "what happened on somebody's way"
        webhooks::WebhookEndpoint = "webhook endpoints"
        webhooks::WebhookDelivery = "deliveries of webhooks"
        campaigns::Campaign = "campaigns"
        campaigns::CampaignRecipient = "whom a campaign goes to"
        campaigns::ContactList = "lists of contacts"
        campaigns::ContactListMember = "who is on a list"
        catcher::CaughtMail = "mails that the built-in catcher got"
    }
}
