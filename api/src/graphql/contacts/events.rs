//! Events: taking them in, declaring them, and which there are.

use async_graphql::{Context, ID, Object, Result, SimpleObject};
use carillon_domain::contacts::events::{self as domain, DeclareEvent, TRACK_MAX, list_event_definitions};
use carillon_domain::error::{Error, Refusal};
use carillon_domain::ids::EventDefinitionId;
use carillon_domain::ports::TenantTx;
use carillon_domain::tenancy::{Grant, ReadContacts, TrackEvents, WriteContacts};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::event_inputs::{DeclareEventsInput, TrackEventsInput};
use super::event_types::EventDefinition;
use crate::graphql::connection::{List, PageArgs, list};
use crate::graphql::error::{UserError, payload, user_errors};
use crate::graphql::mutate::Once;
use crate::graphql::scope::RequestScope;

/// What became of one event.
#[derive(Debug, Clone, SimpleObject, Serialize, Deserialize)]
pub struct TrackEventResult {
    /// The stored event; null when it was refused.
    event_id: Option<ID>,
    /// True when its message id had made it before.
    duplicate: bool,
    /// What was refused, with fields relative to the event.
    user_errors: Vec<UserError>,
}

impl From<Result<domain::Tracked, Refusal>> for TrackEventResult {
    fn from(verdict: Result<domain::Tracked, Refusal>) -> Self {
        match verdict {
            Ok(tracked) => Self {
                event_id: Some(tracked.event.to_string().into()),
                duplicate: tracked.duplicate,
                user_errors: Vec::new(),
            },
            Err(refusal) => Self { event_id: None, duplicate: false, user_errors: user_errors([refusal]) },
        }
    }
}

/// Payload of `trackEvents`.
#[derive(Debug, SimpleObject)]
pub struct TrackEventsPayload {
    /// One for each event of the input, in order: what is acknowledged is stored.
    results: Vec<TrackEventResult>,
    /// What was refused as a whole; nothing was stored then.
    user_errors: Vec<UserError>,
}

/// Payload of `declareEvents`.
#[derive(Debug, SimpleObject)]
pub struct DeclareEventsPayload {
    /// The events in the order of the input.
    events: Vec<EventDefinition>,
    /// What was refused; nothing was declared then.
    user_errors: Vec<UserError>,
}

/// What is stored of a declared event.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Declared {
    id: EventDefinitionId,
    name: String,
    created_at: DateTime<Utc>,
}

/// Mutations of events.
#[derive(Debug, Default)]
pub struct EventMutation;

#[Object]
impl EventMutation {
    /// Takes in what contacts did, and starts or ends their workflows. Each event has its own verdict; one that arrives
    /// more than 72 hours after it happened starts nothing unless the workflow says so.
    async fn track_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: TrackEventsInput,
    ) -> Result<TrackEventsPayload> {
        let scope = RequestScope::of(ctx);
        let grant = scope.grant::<TrackEvents>()?;
        let makes = input.events.iter().any(|event| event.create_contact == Some(true));
        let creates = makes.then(|| scope.grant::<WriteContacts>()).transpose()?;
        let once = Once::new("trackEvents", input.idempotency_key.as_deref(), &input).dry(input.dry_run);
        let work = (&input, creates.as_ref());
        let done = scope.mutate(&grant, &once, |tx, _| Box::pin(track(&grant, tx, scope, work))).await;
        let (results, user_errors) = payload(done)?;
        // Whether anybody came to a workflow is not worth a look: a bell without work costs one look, too.
        scope.doorbell(&once).ring_workflows();
        Ok(TrackEventsPayload { results: results.unwrap_or_default(), user_errors })
    }

    /// Declares events and the kinds of their properties: values of other kinds are refused from then on.
    async fn declare_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: DeclareEventsInput,
    ) -> Result<DeclareEventsPayload> {
        let scope = RequestScope::of(ctx);
        let grant = scope.grant::<TrackEvents>()?;
        let once = Once::new("declareEvents", input.idempotency_key.as_deref(), &input).dry(input.dry_run);
        let wanted = match input.parse() {
            Ok(wanted) => wanted,
            Err(refusals) => {
                return Ok(DeclareEventsPayload { events: Vec::new(), user_errors: user_errors(refusals) });
            }
        };
        let done = scope.mutate(&grant, &once, |tx, _| Box::pin(declare(&grant, tx, scope, wanted.clone()))).await;
        let (declared, user_errors) = payload(done)?;
        let event = |Declared { id, name, created_at }: Declared| EventDefinition {
            id: id.to_string().into(),
            name,
            declared: true,
            created_at,
            key: id,
        };
        Ok(DeclareEventsPayload { events: declared.unwrap_or_default().into_iter().map(event).collect(), user_errors })
    }
}

type Done<T> = carillon_domain::error::Result<T>;

/// Events that cannot be read are refused one by one, like those that the use case refuses.
async fn track(
    grant: &Grant<TrackEvents>,
    tx: &mut TenantTx,
    scope: &RequestScope,
    (input, creates): (&TrackEventsInput, Option<&Grant<WriteContacts>>),
) -> Done<Vec<TrackEventResult>> {
    if input.events.len() > TRACK_MAX {
        return Err(Refusal::new("BATCH_SIZE", "events", format!("A call takes 1 to {TRACK_MAX} events.")).into());
    }
    let parsed: Vec<_> = input.events.iter().map(|event| event.parse(creates)).collect();
    let good: Vec<_> = parsed.iter().filter_map(|one| one.as_ref().ok().cloned()).collect();
    let all_bad = good.is_empty() && !parsed.is_empty();
    let done = if all_bad { Vec::new() } else { domain::track_events(grant, tx, scope.ports(), &good).await? };
    let mut done = done.into_iter();
    let verdict = |one: Result<_, Refusal>| match one.map(|_: domain::TrackEvent| done.next()) {
        Ok(Some(verdict)) => Ok(verdict.into()),
        Err(refusal) => Ok(Err(refusal).into()),
        Ok(None) => Err(Error::fault("an event has no verdict")),
    };
    parsed.into_iter().map(verdict).collect()
}

async fn declare(
    grant: &Grant<TrackEvents>,
    tx: &mut TenantTx,
    scope: &RequestScope,
    wanted: Vec<DeclareEvent>,
) -> Done<Vec<Declared>> {
    let declared = domain::declare_events(grant, tx, scope.ports(), wanted).await?;
    let kept = |one: domain::EventDefinition| Declared {
        id: one.id,
        name: one.name.as_str().to_owned(),
        created_at: one.created_at,
    };
    Ok(declared.into_iter().map(kept).collect())
}

/// Queries about events.
#[derive(Debug, Default)]
pub struct EventQuery;

#[Object]
impl EventQuery {
    /// The events that are known, in the order in which they became so.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a Relay connection")]
    async fn event_definitions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
        #[graphql(desc = "Rows from the end.")] last: Option<i32>,
        #[graphql(desc = "The cursor in front of which to end.")] before: Option<String>,
    ) -> Result<List<EventDefinition>> {
        let page = PageArgs { first, after, last, before }.page()?;
        let (grant, mut tx) = RequestScope::of(ctx).read::<ReadContacts>().await?;
        let definitions = list_event_definitions(&grant, &mut tx, page).await?;
        Ok(list(definitions, |one| one.id, EventDefinition::from))
    }
}
