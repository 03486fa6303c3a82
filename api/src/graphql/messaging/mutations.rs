//! Changing senders and relays, and sending messages.

use std::marker::PhantomData;

use async_graphql::{Context, ID, Object, Result, SimpleObject};
use carillon_domain::error::{Error, Refusal};
use carillon_domain::ids::{MessageId, SenderId};
use carillon_domain::messaging::{self, AcceptedIntent, Lane, NewDkimKey};
use carillon_domain::tenancy::{ManageSenders, SendMessages};
use serde::{Deserialize, Serialize};

use super::content_types::{Relay, Sender};
use super::inputs::{
    CancelMessagesInput, CreateSenderInput, RemoveRelayInput, SendMessagesInput, SendTestInput, SetRelayInput,
    VerifySenderInput, at,
};
use super::types::Message;
use crate::graphql::error::{UserError, payload, user_errors};
use crate::graphql::mutate::Once;
use crate::graphql::node::{named, parse_id};
use crate::graphql::scope::RequestScope;

/// Mutations of messaging.
#[derive(Debug, Default)]
pub struct MessagingMutation;

#[Object]
impl MessagingMutation {
    /// Makes a sender and the key that signs its mail.
    async fn create_sender(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The sender.")] input: CreateSenderInput,
    ) -> Result<SenderPayload<Create>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<ManageSenders>()?;
        let command = &match input.parse() {
            Ok(command) => command,
            Err(refusals) => return SenderPayload::of(ctx, Err(Error::Refused(refusals))).await,
        };
        // A tenth of a second of processor time: before the transaction, and off the threads that serve.
        let key = tokio::task::spawn_blocking(NewDkimKey::generate_rsa_2048).await.map_err(Error::fault)??;
        let key = &key;
        let once = Once::new("createSender", input.idempotency_key.as_deref(), &input);
        let made = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move {
                let sender = messaging::create_sender(grant, tx, scope.ports(), command.clone(), key).await?;
                Ok(sender.id)
            })
        });
        SenderPayload::of(ctx, made.await).await
    }

    /// Marks a sender verified, in the embedded mode. Elsewhere the operator does, and the answer is `OPERATOR_VERIFIES`.
    async fn verify_sender(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The sender.")] input: VerifySenderInput,
    ) -> Result<SenderPayload<Verify>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<ManageSenders>()?;
        let id: SenderId = match parse_id(&input.id, "id") {
            Ok(id) => id,
            Err(refusal) => return SenderPayload::of(ctx, Err(refusal.into())).await,
        };
        let once = Once::new("verifySender", input.idempotency_key.as_deref(), &input);
        let verified = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move { Ok(messaging::verify_sender(grant, tx, scope.ports(), id).await?.id) })
        });
        SenderPayload::of(ctx, verified.await).await
    }

    /// Sets the tenant's own relay; its credentials are sealed and never shown again.
    async fn set_relay(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The relay.")] input: SetRelayInput,
    ) -> Result<RelayPayload<Set>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<ManageSenders>()?;
        let (once, url) = (Once::new("setRelay", input.idempotency_key.as_deref(), &input), input.url.as_str());
        let set = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move { messaging::set_relay(grant, tx, scope.ports(), url).await.map(drop) })
        });
        let (_, user_errors) = payload(set.await)?;
        RelayPayload::load(scope, user_errors).await
    }

    /// Removes the tenant's own relay: its mail leaves through the deployment's again.
    async fn remove_relay(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How.")] input: Option<RemoveRelayInput>,
    ) -> Result<RelayPayload<Remove>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<ManageSenders>()?;
        let key = input.as_ref().and_then(|input| input.idempotency_key.as_deref());
        let once = Once::new("removeRelay", key, &input).dry(input.as_ref().and_then(|input| input.dry_run));
        let removed = scope.mutate(grant, &once, |tx, _| Box::pin(messaging::remove_relay(grant, tx)));
        let (_, user_errors) = payload(removed.await)?;
        RelayPayload::load(scope, user_errors).await
    }

    /// Queues up to 500 messages, each with its own key and verdict: the good ones go even if others are refused.
    async fn send_messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The messages.")] input: SendMessagesInput,
    ) -> Result<SendMessagesPayload> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<SendMessages>()?;
        let parsed = match input.parse() {
            Ok(parsed) => parsed,
            Err(refusal) => return Ok(SendMessagesPayload::refused([refusal])),
        };
        let once = Once::new("sendMessages", input.idempotency_key.as_deref(), &input).dry(input.dry_run);
        let (intents, places) = (&parsed.intents, &parsed.places);
        let verdicts = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move {
                let verdicts = messaging::send_messages(grant, tx, scope.ports(), intents).await?;
                Ok(verdicts.into_iter().zip(places).map(|(verdict, place)| Verdict::of(verdict, *place)).collect())
            })
        });
        let (verdicts, user_errors): (Option<Vec<Verdict>>, _) = payload(verdicts.await)?;
        let Some(verdicts) = verdicts else { return Ok(SendMessagesPayload { results: Vec::new(), user_errors }) };
        for lane in Lane::ALL {
            if verdicts.iter().zip(intents).any(|(verdict, intent)| verdict.created && intent.class.lane() == *lane) {
                scope.doorbell(&once).ring(*lane);
            }
        }
        let mut results: Vec<SendMessageResult> = parsed.refused.into_iter().map(SendMessageResult::refused).collect();
        for (verdict, place) in verdicts.into_iter().zip(&parsed.places) {
            results[*place] = verdict.into();
        }
        Ok(SendMessagesPayload { results, user_errors })
    }

    /// Sends a template to one of the tenant's own verified users, with every check that other mail goes through.
    async fn send_test(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The test.")] input: SendTestInput,
    ) -> Result<SendTestPayload> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<SendMessages>()?;
        let command = &match input.parse() {
            Ok(command) => command,
            Err(refusals) => return Ok(SendTestPayload { message: None, user_errors: user_errors(refusals) }),
        };
        // Looked up before the transaction: one request never holds two connections.
        let to = match payload(messaging::own_user(grant, scope.ports(), command.to.clone()).await)? {
            (Some(to), _) => to,
            (None, user_errors) => return Ok(SendTestPayload { message: None, user_errors }),
        };
        let test = &messaging::SendTest {
            template_version: command.template_version,
            sender: command.sender,
            to,
            locale: command.locale.clone(),
            variables: command.variables.clone(),
        };
        let once = Once::new("sendTest", input.idempotency_key.as_deref(), &input);
        let sent = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move { Ok(messaging::send_test(grant, tx, scope.ports(), test.clone()).await?.message) })
        });
        let (id, user_errors): (Option<MessageId>, _) = payload(sent.await)?;
        let message = named(id, |id| Message::find(ctx, id)).await.transpose();
        if message.is_some() {
            // Which of the two it is in is not worth a look: a bell without work costs one look, too.
            for lane in Lane::ALL {
                scope.ports().doorbell.ring(*lane);
            }
        }
        Ok(SendTestPayload { message, user_errors })
    }

    /// Takes back messages that still wait.
    async fn cancel_messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The messages.")] input: CancelMessagesInput,
    ) -> Result<CancelMessagesPayload> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<SendMessages>()?;
        let ids = &match input.parse() {
            Ok(ids) => ids,
            Err(refusals) => return Ok(CancelMessagesPayload { count: None, user_errors: user_errors(refusals) }),
        };
        let once = Once::new("cancelMessages", input.idempotency_key.as_deref(), &input).dry(input.dry_run);
        let cancelled = scope
            .mutate(grant, &once, |tx, _| Box::pin(messaging::cancel_messages(grant, tx, scope.ports(), ids)))
            .await;
        let (count, user_errors) = payload(cancelled)?;
        Ok(CancelMessagesPayload { count: count.map(|count| i32::try_from(count).unwrap_or(i32::MAX)), user_errors })
    }
}

/// What became of one intent, as it passes through the transaction.
#[derive(Debug, Serialize, Deserialize)]
struct Verdict {
    message: Option<MessageId>,
    created: bool,
    refused: Option<UserError>,
}

impl Verdict {
    fn of(verdict: Result<AcceptedIntent, Refusal>, place: usize) -> Self {
        match verdict {
            Ok(accepted) => Self { message: Some(accepted.message), created: accepted.created, refused: None },
            Err(refusal) => Self { message: None, created: false, refused: Some(at(place, refusal).into()) },
        }
    }
}

/// The verdict on one message.
#[derive(Debug)]
pub struct SendMessageResult {
    message: Option<MessageId>,
    created: bool,
    user_errors: Vec<UserError>,
}

impl SendMessageResult {
    fn refused(refusals: Vec<Refusal>) -> Self {
        Self { message: None, created: false, user_errors: user_errors(refusals) }
    }
}

impl From<Verdict> for SendMessageResult {
    fn from(verdict: Verdict) -> Self {
        let user_errors = verdict.refused.into_iter().collect();
        Self { message: verdict.message, created: verdict.created, user_errors }
    }
}

/// The verdict on one message of `sendMessages`.
#[Object]
impl SendMessageResult {
    /// The message; null if it was refused.
    async fn message(&self, ctx: &Context<'_>) -> Result<Option<Message>> {
        named(self.message, |id| Message::find(ctx, id)).await
    }

    /// The message's id, without looking it up.
    async fn message_id(&self) -> Option<ID> {
        self.message.map(ID::from)
    }

    /// False when the key had made the message before.
    async fn created(&self) -> bool {
        self.created
    }

    /// Why it was refused.
    async fn user_errors(&self) -> &[UserError] {
        &self.user_errors
    }
}

/// The answer of `sendMessages`.
#[derive(Debug, SimpleObject)]
pub struct SendMessagesPayload {
    /// One verdict for each message, in their order; empty when the call as a whole was refused.
    results: Vec<SendMessageResult>,
    /// Why the call as a whole was refused.
    user_errors: Vec<UserError>,
}

impl SendMessagesPayload {
    fn refused(refusals: impl IntoIterator<Item = Refusal>) -> Self {
        Self { results: Vec::new(), user_errors: user_errors(refusals) }
    }
}

/// Names of mutations, for the payloads they have apart although they are alike.
macro_rules! mutations {
    ($($name:ident)+) => {$(
        #[doc = concat!("`", stringify!($name), "` of a sender or a relay.")]
        #[derive(Debug)]
        pub enum $name {}
    )+};
}
mutations! { Create Verify Set Remove }

/// The answer of a mutation of a sender.
#[derive(Debug, SimpleObject)]
#[graphql(
    concrete(name = "CreateSenderPayload", params(Create)),
    concrete(name = "VerifySenderPayload", params(Verify))
)]
pub struct SenderPayload<Of: Send + Sync> {
    /// The sender.
    sender: Option<Sender>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
    #[graphql(skip)]
    of: PhantomData<Of>,
}

impl<Of: Send + Sync> SenderPayload<Of> {
    async fn of(ctx: &Context<'_>, result: carillon_domain::error::Result<SenderId>) -> Result<Self> {
        let (id, user_errors) = payload(result)?;
        let sender = named(id, |id| Sender::find(ctx, id)).await?;
        Ok(Self { sender, user_errors, of: PhantomData })
    }
}

/// The answer of a mutation of the relay.
#[derive(Debug, SimpleObject)]
#[graphql(concrete(name = "SetRelayPayload", params(Set)), concrete(name = "RemoveRelayPayload", params(Remove)))]
pub struct RelayPayload<Of: Send + Sync> {
    /// The tenant's own relay as it is now.
    relay: Option<Relay>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
    #[graphql(skip)]
    of: PhantomData<Of>,
}

impl<Of: Send + Sync> RelayPayload<Of> {
    async fn load(scope: &RequestScope, user_errors: Vec<UserError>) -> Result<Self> {
        let (grant, mut tx) = scope.read::<carillon_domain::tenancy::ReadMessages>().await?;
        Ok(Self { relay: messaging::own_relay(&grant, &mut tx).await?.map(Relay::from), user_errors, of: PhantomData })
    }
}

/// The answer of `sendTest`.
#[derive(Debug, SimpleObject)]
pub struct SendTestPayload {
    /// The message. Needs the right to see messages.
    message: Option<Result<Message>>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
}

/// The answer of `cancelMessages`.
#[derive(Debug, SimpleObject)]
pub struct CancelMessagesPayload {
    /// How many were taken back.
    count: Option<i32>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
}
