//! Inputs of templates, partials and previews.

use async_graphql::{ID, InputObject, Json, OneofObject};
use carillon_domain::error::Refusal;
use carillon_domain::ids::{ContactId, SenderId};
use carillon_domain::messaging::template::Written;
use carillon_domain::messaging::{self, PreviewOf, PublishVersion};
use serde_json::{Map, Value};

use super::content_types::TemplateFormat;
use super::inputs::{keep, object};
use super::types::MessageClass;
use crate::graphql::node::parse_id;

/// A template to make.
#[derive(Debug, InputObject)]
pub struct CreateTemplateInput {
    /// Its name, unique in the tenant.
    pub name: String,
    /// What messages made of it are; it never changes.
    pub class: MessageClass,
    /// The same key again gives the same answer and makes nothing.
    pub idempotency_key: Option<String>,
}

/// A version to publish. Templates are MiniJinja with `if`, `for` and `set`. They can use `contact` (`first_name`,
/// `last_name`, `email`, `external_id`, `locale`, and `attributes` by name), `brand.name`, `sender.postal_address`,
/// `unsubscribe_url` (marketing), `event`, the properties of the event that `eventName` names, and `vars`, the message's
/// own `variables`; what is not there fails the message unless a `default` stands in. `{% include "name" %}` puts in a
/// partial. Style sheets are written into the elements they are about. Filters: `abs`, `capitalize`, `count`, `d`, `default`, `first`, `float`, `int`, `join`, `last`,
/// `length`, `lower`, `replace`, `round`, `string`, `title`, `trim`, `upper`, `urlencode`.
#[derive(Debug, InputObject)]
pub struct PublishTemplateVersionInput {
    /// Of which template.
    template_id: ID,
    /// BCP 47 tag, such as de-AT.
    locale: String,
    /// MiniJinja source of the subject.
    subject: String,
    /// MiniJinja source of the html part, in the format named; marketing links to `unsubscribe_url`.
    html: String,
    /// MiniJinja source of the text part; made of the html if left out.
    text: Option<String>,
    /// What the html part is written in.
    #[graphql(default_with = "TemplateFormat::Html")]
    format: TemplateFormat,
    /// The event whose properties it may use.
    event_name: Option<String>,
    /// The same key again gives the same answer and makes nothing.
    pub idempotency_key: Option<String>,
}

impl PublishTemplateVersionInput {
    /// The command.
    pub fn parse(&self) -> Result<PublishVersion, Refusal> {
        Ok(PublishVersion {
            template: parse_id(&self.template_id, "templateId")?,
            locale: self.locale.clone(),
            subject: self.subject.clone(),
            html: self.html.clone(),
            text: self.text.clone(),
            format: self.format.into(),
            event_name: self.event_name.clone(),
        })
    }
}

/// A partial to make.
#[derive(Debug, InputObject)]
pub struct CreatePartialInput {
    /// Its name, unique in the tenant: templates include it as `{% include "name" %}`.
    name: String,
    /// What it is in an html part: html, or MJML for templates in MJML.
    html: String,
    /// What it is in a text part; nothing if left out.
    text: Option<String>,
    /// The same key again gives the same answer and makes nothing.
    pub idempotency_key: Option<String>,
}

impl CreatePartialInput {
    /// The command.
    pub fn command(&self) -> messaging::CreatePartial {
        let text = self.text.clone().unwrap_or_default();
        messaging::CreatePartial { name: self.name.clone(), html: self.html.clone(), text }
    }
}

/// What a partial is to become.
#[derive(Debug, InputObject)]
pub struct UpdatePartialInput {
    /// Which.
    id: ID,
    /// The version that was seen; another one means that somebody changed it meanwhile.
    version: i64,
    /// What it is in an html part; as it was if left out.
    html: Option<String>,
    /// What it is in a text part; as it was if left out.
    text: Option<String>,
    /// The same key again gives the same answer and changes nothing.
    pub idempotency_key: Option<String>,
}

impl UpdatePartialInput {
    /// The command.
    pub fn parse(&self) -> Result<messaging::UpdatePartial, Refusal> {
        Ok(messaging::UpdatePartial {
            id: parse_id(&self.id, "id")?,
            version: self.version,
            html: self.html.clone(),
            text: self.text.clone(),
        })
    }
}

/// A template that is yet to be published.
#[derive(Debug, InputObject)]
pub struct TemplateSourceInput {
    /// What its messages are.
    class: MessageClass,
    /// MiniJinja source of the subject.
    subject: String,
    /// MiniJinja source of the html part, in the format named.
    html: String,
    /// MiniJinja source of the text part; made of the html if left out.
    text: Option<String>,
    /// What the html part is written in.
    #[graphql(default_with = "TemplateFormat::Html")]
    format: TemplateFormat,
    /// The event whose properties it may use.
    event_name: Option<String>,
}

/// What a preview is of.
#[derive(Debug, OneofObject)]
pub enum PreviewOfInput {
    /// A version as it was published.
    TemplateVersionId(ID),
    /// A template that is yet to be published.
    Source(TemplateSourceInput),
}

/// A preview to make.
#[derive(Debug, InputObject)]
pub struct PreviewTemplateInput {
    /// Of what.
    of: PreviewOfInput,
    /// For whom; for a sample of a person if for nobody. Needs the right to see personal data.
    contact_id: Option<ID>,
    /// From whom; from a sample of a sender if from nobody.
    sender_id: Option<ID>,
    /// Values for `vars` in the template: an object.
    variables: Option<Json<Value>>,
    /// Values for `event` in the template: an object. What is left out is a sample.
    event: Option<Json<Value>>,
}

/// A preview whose input parses.
#[derive(Debug)]
pub struct ParsedPreview {
    /// Of what.
    pub of: PreviewOf,
    /// For whom.
    pub contact: Option<ContactId>,
    /// From whom.
    pub sender: Option<SenderId>,
    /// Values for `vars`.
    pub variables: Map<String, Value>,
    /// Values for `event`.
    pub event: Map<String, Value>,
}

impl PreviewTemplateInput {
    /// The preview, or everything that is wrong with it.
    pub fn parse(self) -> Result<ParsedPreview, Vec<Refusal>> {
        let mut refusals = Vec::new();
        let of = match self.of {
            PreviewOfInput::TemplateVersionId(id) => parse_id(&id, "of.templateVersionId").map(PreviewOf::Version),
            PreviewOfInput::Source(source) => Ok(PreviewOf::Written {
                class: source.class.into(),
                written: Written {
                    subject: source.subject,
                    html: source.html,
                    text: source.text,
                    format: source.format.into(),
                },
                event_name: source.event_name,
            }),
        };
        let of = keep(of, &mut refusals);
        let contact = self.contact_id.as_ref().and_then(|id| keep(parse_id(id, "contactId"), &mut refusals));
        let sender = self.sender_id.as_ref().and_then(|id| keep(parse_id(id, "senderId"), &mut refusals));
        let variables = keep(object(self.variables.as_ref(), "variables"), &mut refusals);
        let event = keep(object(self.event.as_ref(), "event"), &mut refusals);
        match (of, variables, event) {
            (Some(of), Some(variables), Some(event)) if refusals.is_empty() => {
                Ok(ParsedPreview { of, contact, sender, variables, event })
            }
            _ => Err(refusals),
        }
    }
}
