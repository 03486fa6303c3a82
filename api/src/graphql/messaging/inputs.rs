//! Inputs of messaging and their parsing: every refusal names the field it is about.

use async_graphql::{ID, InputObject, Json, OneofObject};
use carillon_domain::contacts::EmailAddress;
use carillon_domain::error::Refusal;
use carillon_domain::ids::{MessageId, SenderId, TemplateVersionId};
use carillon_domain::messaging::{self, INTENTS_MAX, Intent, Recipient};
use serde_json::Value;

use super::types::{MessageClass, MessageState};
use crate::graphql::node::parse_id;
use crate::graphql::time::Instant;

/// Which messages are wanted; all given conditions must hold.
#[derive(Debug, Default, InputObject)]
pub struct MessageFilter {
    /// In this state.
    state: Option<MessageState>,
    /// To this contact.
    contact_id: Option<ID>,
    /// Accepted at or after this instant.
    since: Option<Instant>,
}

impl MessageFilter {
    /// The domain's filter.
    pub fn parse(self) -> Result<messaging::MessageFilter, Refusal> {
        let contact = self.contact_id.map(|id| parse_id(&id, "filter.contactId")).transpose()?;
        Ok(messaging::MessageFilter { state: self.state.map(Into::into), contact, since: self.since.map(Instant::get) })
    }
}

/// A sender to make.
#[derive(Debug, InputObject)]
pub struct CreateSenderInput {
    /// The brand it sends for.
    brand_id: ID,
    /// Display name.
    from_name: String,
    /// From address; its domain signs the mail.
    from_email: String,
    /// Where replies go, if elsewhere.
    reply_to: Option<String>,
    /// Postal address shown in marketing mail.
    postal_address: String,
    /// The same key again gives the same answer and makes nothing.
    pub idempotency_key: Option<String>,
}

impl CreateSenderInput {
    /// The command.
    pub fn parse(&self) -> Result<messaging::CreateSender, Vec<Refusal>> {
        let mut refusals = Vec::new();
        let brand = keep(parse_id(&self.brand_id, "brandId"), &mut refusals);
        let from_email = keep(email(&self.from_email, "fromEmail"), &mut refusals);
        let reply_to = self.reply_to.as_deref().and_then(|text| keep(email(text, "replyTo"), &mut refusals));
        match (brand, from_email) {
            (Some(brand), Some(from_email)) if refusals.is_empty() => Ok(messaging::CreateSender {
                brand,
                from_name: self.from_name.clone(),
                from_email,
                reply_to,
                postal_address: self.postal_address.clone(),
            }),
            _ => Err(refusals),
        }
    }
}

/// A sender whose DNS record is published.
#[derive(Debug, InputObject)]
pub struct VerifySenderInput {
    /// The sender.
    pub id: ID,
    /// The same key again gives the same answer.
    pub idempotency_key: Option<String>,
}

/// The tenant's own relay.
#[derive(Debug, InputObject)]
pub struct SetRelayInput {
    /// `smtps://user:password@host:port`, or `smtp://` with STARTTLS; write-only.
    #[graphql(secret)]
    pub url: String,
    /// The same key again gives the same answer; of the URL a keyed fingerprint is kept.
    pub idempotency_key: Option<String>,
}

/// Back to the deployment's relay.
#[derive(Debug, InputObject)]
pub struct RemoveRelayInput {
    /// The same key again gives the same answer.
    pub idempotency_key: Option<String>,
    /// True for a dry run: the answer says what would happen, and nothing does. The key is left alone.
    pub dry_run: Option<bool>,
}

/// To whom a message goes.
#[derive(Debug, OneofObject)]
pub enum RecipientInput {
    /// A contact, at its address.
    ContactId(ID),
    /// A plain address; transactional messages only.
    Email(String),
}

/// One message that somebody wants sent.
#[derive(Debug, InputObject)]
pub struct MessageInput {
    /// Unique in the tenant, for ever: the same key again gives the message it made.
    idempotency_key: String,
    /// What it is for; must be the template's class.
    class: MessageClass,
    /// Its topic; marketing must have one, transactional mail has none.
    topic_id: Option<ID>,
    /// Who sends.
    sender_id: ID,
    /// What is sent.
    template_version_id: ID,
    /// To whom.
    to: RecipientInput,
    /// Values for `vars` in the template: an object.
    variables: Option<Json<Value>>,
    /// When its content is stale; after two days for marketing and five for the rest if nothing is said.
    expires_at: Option<Instant>,
    /// When it is due; at once if nothing is said.
    send_at: Option<Instant>,
}

impl MessageInput {
    /// The intent, or everything that is wrong with it.
    fn parse(&self) -> Result<Intent, Vec<Refusal>> {
        let mut refusals = Vec::new();
        let topic = self.topic_id.as_ref().and_then(|id| keep(parse_id(id, "topicId"), &mut refusals));
        let sender = keep(parse_id(&self.sender_id, "senderId"), &mut refusals);
        let version = keep(parse_id(&self.template_version_id, "templateVersionId"), &mut refusals);
        let to = match &self.to {
            RecipientInput::ContactId(id) => parse_id(id, "to.contactId").map(Recipient::Contact),
            RecipientInput::Email(text) => email(text, "to.email").map(Recipient::Address),
        };
        let to = keep(to, &mut refusals);
        let variables = keep(object(self.variables.as_ref(), "variables"), &mut refusals);
        match (sender, version, to, variables) {
            (Some(sender), Some(template_version), Some(to), Some(variables)) if refusals.is_empty() => Ok(Intent {
                key: self.idempotency_key.clone(),
                class: self.class.into(),
                topic,
                sender,
                template_version,
                to,
                variables,
                send_at: self.send_at.map(Instant::get),
                expires_at: self.expires_at.map(Instant::get),
                is_test: false,
                origin: None,
            }),
            _ => Err(refusals),
        }
    }
}

/// Messages to queue.
#[derive(Debug, InputObject)]
pub struct SendMessagesInput {
    /// 1 to 500 messages, each with its own verdict.
    messages: Vec<MessageInput>,
    /// The same key again gives the same verdicts; each message's own key holds beside it.
    pub idempotency_key: Option<String>,
    /// True for a dry run: the answer says what would happen, and nothing does. The key is left alone.
    pub dry_run: Option<bool>,
}

/// The intents of a call that parse, with their places, and what is wrong with the others.
#[derive(Debug, Default)]
pub struct ParsedIntents {
    /// What parses.
    pub intents: Vec<Intent>,
    /// The place in the input of each.
    pub places: Vec<usize>,
    /// For every place what is wrong with it.
    pub refused: Vec<Vec<Refusal>>,
}

impl SendMessagesInput {
    /// Parses each message by itself.
    pub fn parse(&self) -> Result<ParsedIntents, Refusal> {
        if self.messages.is_empty() || self.messages.len() > INTENTS_MAX {
            let message = format!("Send 1 to {INTENTS_MAX} messages at once.");
            return Err(Refusal::new("BAD_COUNT", "messages", message));
        }
        let mut parsed = ParsedIntents::default();
        for (place, input) in self.messages.iter().enumerate() {
            let refused = match input.parse() {
                Ok(intent) => {
                    parsed.intents.push(intent);
                    parsed.places.push(place);
                    Vec::new()
                }
                Err(refusals) => refusals.into_iter().map(|refusal| at(place, refusal)).collect(),
            };
            parsed.refused.push(refused);
        }
        Ok(parsed)
    }
}

/// The same refusal at its place in the list of messages.
pub fn at(place: usize, refusal: Refusal) -> Refusal {
    let path = match refusal.field.as_str() {
        "" => format!("messages.{place}"),
        field => format!("messages.{place}.{field}"),
    };
    refusal.at(path)
}

/// A test to send.
#[derive(Debug, InputObject)]
pub struct SendTestInput {
    /// What.
    template_version_id: ID,
    /// From whom.
    sender_id: ID,
    /// To whom: a verified user of the tenant.
    to: String,
    /// A BCP 47 tag: the newest version of the same template that a person of this locale would get is sent instead; the
    /// version that is named if there is none.
    locale: Option<String>,
    /// Values for `vars` in the template: an object.
    variables: Option<Json<Value>>,
    /// The same key again gives the same answer and sends nothing.
    pub idempotency_key: Option<String>,
}

/// A test whose input parses.
#[derive(Debug)]
pub struct ParsedTest {
    /// What.
    pub template_version: TemplateVersionId,
    /// From whom.
    pub sender: SenderId,
    /// To whom, if it is one of the tenant's own users.
    pub to: EmailAddress,
    /// In which locale, if not the version's.
    pub locale: Option<String>,
    /// Values.
    pub variables: serde_json::Map<String, Value>,
}

impl SendTestInput {
    /// The test, or everything that is wrong with it.
    pub fn parse(&self) -> Result<ParsedTest, Vec<Refusal>> {
        let mut refusals = Vec::new();
        let version = keep(parse_id(&self.template_version_id, "templateVersionId"), &mut refusals);
        let sender = keep(parse_id(&self.sender_id, "senderId"), &mut refusals);
        let to = keep(email(&self.to, "to"), &mut refusals);
        let variables = keep(object(self.variables.as_ref(), "variables"), &mut refusals);
        match (version, sender, to, variables) {
            (Some(template_version), Some(sender), Some(to), Some(variables)) => {
                Ok(ParsedTest { template_version, sender, to, locale: self.locale.clone(), variables })
            }
            _ => Err(refusals),
        }
    }
}

/// Messages to take back.
#[derive(Debug, InputObject)]
pub struct CancelMessagesInput {
    /// 1 to 500 messages; those already on their way stay as they are.
    ids: Vec<ID>,
    /// The same key again gives the same answer.
    pub idempotency_key: Option<String>,
    /// True for a dry run: the answer says what would happen, and nothing does. The key is left alone.
    pub dry_run: Option<bool>,
}

impl CancelMessagesInput {
    /// The messages.
    pub fn parse(&self) -> Result<Vec<MessageId>, Vec<Refusal>> {
        if self.ids.is_empty() || self.ids.len() > INTENTS_MAX {
            let message = format!("Cancel 1 to {INTENTS_MAX} messages at once.");
            return Err(vec![Refusal::new("BAD_COUNT", "ids", message)]);
        }
        let mut refusals = Vec::new();
        let ids = self.ids.iter().enumerate();
        let ids: Vec<_> = ids.filter_map(|(n, id)| keep(parse_id(id, &format!("ids.{n}")), &mut refusals)).collect();
        if refusals.is_empty() { Ok(ids) } else { Err(refusals) }
    }
}

/// An address, or a refusal that names the field.
fn email(text: &str, field: &str) -> Result<EmailAddress, Refusal> {
    EmailAddress::parse(text).map_err(|why| Refusal::from(why).at(field))
}

/// The object that variables must be.
pub fn object(json: Option<&Json<Value>>, field: &str) -> Result<serde_json::Map<String, Value>, Refusal> {
    match json.map(|json| &json.0) {
        None | Some(Value::Null) => Ok(serde_json::Map::new()),
        Some(Value::Object(fields)) => Ok(fields.clone()),
        Some(_) => Err(Refusal::new("BAD_VARIABLES", field, "Variables are an object.")),
    }
}

/// The value, or nothing and one refusal more.
pub fn keep<T>(result: Result<T, Refusal>, refusals: &mut Vec<Refusal>) -> Option<T> {
    result.map_err(|refusal| refusals.push(refusal)).ok()
}
