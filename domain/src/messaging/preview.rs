//! Previews: a template rendered for somebody, or for a sample of a person. Nothing is sent and nothing is written.

use carillon_entities::ids::{ContactId, SenderId, TemplateVersionId};
use carillon_entities::wall::TenantTx;
use serde_json::{Map, Value as Json, json};

use super::materials::Materials;
use super::template::{
    CompiledTemplate, ContactData, RenderData, RenderError, RenderErrorKind, Rendered, TemplateProblem, TemplateSource,
    Variables, Written,
};
use super::{MessageClass, store};
use crate::contacts::get_contact;
use crate::error::{Error, Refusal, Result};
use crate::ports::Ports;
use crate::tenancy::{Grant, ReadContacts, ReadMessages, ReadPersonalData};

/// A contact whose data a preview may show; only [`person`] makes one.
#[derive(Debug, Clone)]
pub struct Person(ContactPreview);

#[derive(Clone)]
struct ContactPreview(ContactData);

impl std::fmt::Debug for ContactPreview {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ContactPreview(..)")
    }
}

/// Looks up whom a preview is for.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn person(
    _: &Grant<ReadPersonalData>,
    contacts: &Grant<ReadContacts>,
    tx: &mut TenantTx,
    id: ContactId,
) -> Result<Person> {
    let contact = get_contact(contacts, tx, id).await?.ok_or_else(|| Refusal::not_found("contactId"))?;
    Ok(Person(ContactPreview(ContactData {
        first_name: contact.first_name,
        last_name: contact.last_name,
        email: contact.email.map(|email| email.as_sent().to_owned()),
        external_id: contact.external_id,
        locale: contact.locale.map(|locale| locale.as_str().to_owned()),
        attributes: store::attributes(&Json::Object(contact.attributes)),
    })))
}

/// What is previewed.
#[derive(Debug, Clone)]
pub enum PreviewOf {
    /// A version as it was published.
    Version(TemplateVersionId),
    /// Something that is yet to be published.
    Written {
        /// What its messages are.
        class: MessageClass,
        /// What was written.
        written: Written,
        /// The event whose properties it may use.
        event_name: Option<String>,
    },
}

/// A preview to make.
#[derive(Debug, Clone)]
pub struct Preview {
    /// Of what.
    pub of: PreviewOf,
    /// For whom; for a sample if for nobody.
    pub person: Option<Person>,
    /// From whom; from a sample if from nobody.
    pub sender: Option<SenderId>,
    /// Values for `vars`.
    pub variables: Map<String, Json>,
    /// Values for `event`, over samples of what the event is known to have.
    pub event: Map<String, Json>,
}

/// What a preview shows.
#[derive(Debug, Clone)]
pub struct Previewed {
    /// The mail; `None` if it cannot be made.
    pub rendered: Option<Rendered>,
    /// Why not.
    pub problems: Vec<TemplateProblem>,
    /// What its author should know.
    pub warnings: Vec<TemplateProblem>,
}

/// Renders a template for one person, as a worker would, or says why it cannot.
pub async fn preview_template(
    _: &Grant<ReadMessages>,
    tx: &mut TenantTx,
    ports: &Ports,
    preview: Preview,
) -> Result<Previewed> {
    let mut data = data(tx, ports, &preview).await?;
    let (source, class, warnings, kinds) = match preview.of {
        PreviewOf::Version(id) => {
            let version = store::template_versions_find(tx, [id]).await?.pop();
            let version = version.ok_or_else(|| Refusal::not_found("of.templateVersionId"))?;
            let properties = match version.event {
                Some(event) => store::event_properties(tx, event).await?,
                None => std::collections::BTreeMap::default(),
            };
            let source = TemplateSource { subject: version.subject, html: version.html, text: version.text };
            (source, version.class, Vec::new(), [store::attribute_kinds(tx).await?, properties])
        }
        PreviewOf::Written { class, written, event_name } => {
            let materials = Materials::load(tx, &written, event_name.as_deref()).await.map_err(within)?;
            let kinds = materials.kinds.clone();
            match materials.build(written, class).await?.1 {
                Ok(built) => (built.source, class, built.checked.warnings, kinds),
                Err(problems) => return Ok(Previewed { rendered: None, problems, warnings: Vec::new() }),
            }
        }
    };
    let [attributes, properties] = kinds.map(|kinds| samples(&kinds));
    if preview.person.is_none() {
        data.contact.attributes = store::attributes(&Json::Object(attributes));
    }
    data.event = variables(properties.into_iter().chain(preview.event).collect(), "event")?;
    if class == MessageClass::Transactional {
        data.unsubscribe_url = None;
    }
    let rendered = tokio::task::spawn_blocking(move || render(&source, class, &data)).await.map_err(Error::fault)?;
    Ok(match rendered {
        Ok(rendered) => Previewed { rendered: Some(rendered), problems: Vec::new(), warnings },
        Err(problems) => Previewed { rendered: None, problems, warnings },
    })
}

/// A refusal of what was written, at its place in a preview's input.
fn within(error: Error) -> Error {
    let place = |refusal: Refusal| {
        let field = format!("of.source.{}", refusal.field);
        refusal.at(field)
    };
    match error {
        Error::Refused(refusals) => Error::Refused(refusals.into_iter().map(place).collect()),
        error => error,
    }
}

/// What the template is rendered with, all but what depends on the template.
async fn data(tx: &mut TenantTx, ports: &Ports, preview: &Preview) -> Result<RenderData> {
    let (brand_name, postal_address) = match preview.sender {
        Some(id) => {
            let sender = store::sender_find(tx, id).await?.ok_or_else(|| Refusal::not_found("senderId"))?;
            (store::brand_name(tx, sender.brand).await?.unwrap_or_default(), sender.postal_address)
        }
        None => ("Example Ltd".to_owned(), "Example Street 1, Example Town".to_owned()),
    };
    Ok(RenderData {
        contact: preview.person.clone().map_or_else(sample, |person| person.0.0),
        // No link of anybody: a page that knows nobody.
        unsubscribe_url: Some(format!("{}/unsubscribe/preview", ports.settings.public_url)),
        brand_name,
        postal_address,
        vars: variables(preview.variables.clone(), "variables")?,
        event: Variables::default(),
    })
}

fn variables(fields: Map<String, Json>, field: &str) -> Result<Variables> {
    Variables::parse(&Json::Object(fields)).map_err(|why| Refusal::new("BAD_VARIABLES", field, why.to_string()).into())
}

/// Nobody in particular.
fn sample() -> ContactData {
    ContactData {
        first_name: Some("Kim".into()),
        last_name: Some("Example".into()),
        email: Some("kim@example.org".into()),
        external_id: Some("sample-1".into()),
        locale: Some("en".into()),
        ..ContactData::default()
    }
}

/// A value of each kind.
fn samples(kinds: &std::collections::BTreeMap<String, String>) -> Map<String, Json> {
    let value = |name: &str, kind: &str| match kind {
        "number" => json!(1),
        "boolean" => json!(true),
        "date" => json!("2026-12-31"),
        "json" => json!({}),
        _ => json!(name),
    };
    kinds.iter().map(|(name, kind)| (name.clone(), value(name, kind))).collect()
}

fn render(
    source: &TemplateSource,
    class: MessageClass,
    data: &RenderData,
) -> std::result::Result<Rendered, Vec<TemplateProblem>> {
    CompiledTemplate::compile(source, class)?.render(data).map_err(|error| vec![told(error)])
}

/// A failed rendering, told to the author.
fn told(error: RenderError) -> TemplateProblem {
    let (code, message) = match error.kind {
        RenderErrorKind::Undefined => ("RENDER_UNDEFINED", "A variable has no value here; give it a default."),
        RenderErrorKind::TooManySteps => ("RENDER_STEPS", "Rendering takes too many steps."),
        RenderErrorKind::TooLarge => ("RENDER_TOO_LARGE", "The rendered part, or a text in it, is too long."),
        RenderErrorKind::HeaderControl => ("RENDER_SUBJECT", "The subject is one line without control characters."),
        RenderErrorKind::EmptySubject => ("RENDER_SUBJECT", "The subject is empty."),
        RenderErrorKind::Script => ("RENDER_LINK", "A link leads to neither https, http, mailto nor tel."),
        RenderErrorKind::NoUnsubscribe => ("RENDER_UNSUBSCRIBE", "The way out is missing."),
        RenderErrorKind::Value => ("RENDER_VALUE", "A value is of another kind than is needed here."),
    };
    TemplateProblem { code, part: error.part, line: error.line, message: message.to_owned() }
}
