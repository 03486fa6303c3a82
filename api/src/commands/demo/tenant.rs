//! One client's tenant: topic, sender, two mails, and the contacts from the repository's own file.

use anyhow::{Result, ensure};
use indicatif::ProgressBar;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::agency::Client;
use super::client::{self, Api, WithId, until};
use super::list::LIST;
use super::mailbox::INTENT_MARK;
use super::signatures::DnsRecord;

/// A tenant that is ready to write.
#[derive(Debug)]
pub struct Tenant {
    /// The API inside it.
    pub api: Api,
    /// What it writes about.
    pub topic: String,
    /// Who writes.
    pub sender: String,
    /// What is to be published for its signatures.
    pub dns_record: DnsRecord,
    /// The two mails, once they are written.
    pub versions: [String; 2],
}

/// How an import went.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Import {
    state: String,
    total_bytes: u64,
    done_bytes: u64,
    /// Rows behind the header.
    pub rows_seen: u64,
    /// Rows that made a contact.
    pub rows_created: u64,
    /// Rows about a contact that was there.
    pub rows_updated: u64,
    /// Rows that were refused.
    pub rows_failed: u64,
    error_code: Option<String>,
    errors: Errors,
}

#[derive(Debug, Clone, Deserialize)]
struct Errors {
    nodes: Vec<RowError>,
}

/// What is wrong with a row.
#[derive(Debug, Clone, Deserialize)]
pub struct RowError {
    /// Its line in the file.
    pub line: u64,
    /// Which field.
    pub field: String,
    /// What, for programs.
    pub code: String,
    /// What, for people.
    pub message: String,
}

impl Import {
    /// What is wrong with rows that were refused, in order.
    pub fn mistakes(&self) -> Vec<&RowError> {
        self.errors.nodes.iter().filter(|error| error.code != KEPT_OUT).collect()
    }

    /// Rows that were imported but for their consent, for the person has said no.
    pub fn kept_out(&self) -> Vec<&RowError> {
        self.errors.nodes.iter().filter(|error| error.code == KEPT_OUT).collect()
    }

    /// An import of which only its errors matter.
    #[cfg(test)]
    pub fn of_errors(errors: &[(u64, &str)]) -> Self {
        let error = |(line, code): &(u64, &str)| json!({ "line": line, "code": code, "field": "", "message": "" });
        let nodes: Vec<Json> = errors.iter().map(error).collect();
        let counts = json!({
            "state": "COMPLETED", "totalBytes": 0, "doneBytes": 0, "rowsSeen": 0, "rowsCreated": 0, "rowsUpdated": 0,
            "rowsFailed": 0, "errors": { "nodes": nodes },
        });
        serde_json::from_value(counts).expect("an import")
    }
}

/// Who said no once, under whatever spelling, is not subscribed by a file.
const KEPT_OUT: &str = "CONSENT_WITHDRAWN";

#[derive(Debug, Deserialize)]
struct Nodes {
    nodes: Vec<WithId>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sender {
    id: String,
    dns_record: DnsRecord,
}

#[derive(Debug, Deserialize)]
struct Upload {
    id: String,
    url: String,
}

/// Sets up what a tenant needs before it can write; its mails come later.
pub async fn prepare(api: Api, client: Client) -> Result<Tenant> {
    let brands: Nodes = api.call(client::DEFAULT_BRAND, json!({})).await?;
    let brand = brands.nodes.first().map(|brand| brand.id.as_str());
    let topic = json!({ "brandId": brand, "key": "news", "name": "Neuigkeiten", "purpose": "MARKETING" });
    let topic: WithId = api.mutate(client::CREATE_TOPIC, topic).await?;
    let sender = json!({
        "brandId": brand, "fromName": client.name, "fromEmail": client.from, "postalAddress": client.postal_address,
    });
    let sender: Sender = api.mutate(client::CREATE_SENDER, sender).await?;
    let _: Json = api.mutate(client::VERIFY_SENDER, json!({ "id": sender.id })).await?;
    let Sender { id: sender, dns_record } = sender;
    Ok(Tenant { api, topic: topic.id, sender, dns_record, versions: <[String; 2]>::default() })
}

/// Publishes the two mails; what they say of contacts is declared by the import.
pub async fn write_mails(tenant: &mut Tenant, client: Client) -> Result<()> {
    for (version, subject) in tenant.versions.iter_mut().zip(client.subjects) {
        *version = publish(&tenant.api, subject, "{{ vars.intent }}", "", None).await?.version;
    }
    Ok(())
}

/// A template with a version.
#[derive(Debug)]
pub struct Published {
    /// The template.
    pub template: String,
    /// The version.
    pub version: String,
}

/// Publishes a mail; `reference` is what it prints to be told from others, `links` stands in its html part, and `event` is
/// whose properties it may use.
pub async fn publish(api: &Api, subject: &str, reference: &str, links: &str, event: Option<&str>) -> Result<Published> {
    let name = subject.rsplit("}}").next().unwrap_or(subject).trim_start_matches([',', ' ']);
    let template = json!({ "name": name, "class": "MARKETING" });
    let template: WithId = api.mutate(client::CREATE_TEMPLATE, template).await?;
    let greeting = "Guten Tag {{ contact.first_name | default(\"\") }} {{ contact.last_name | default(\"\") }},";
    let points = "{% if contact.attributes.points %}Sie haben {{ contact.attributes.points }} Treuepunkte.{% endif %}";
    let version = json!({
        "templateId": template.id,
        "locale": "de",
        "subject": subject,
        "eventName": event,
        "text": format!(
            "{greeting}\n\n{{{{ brand.name }}}} hat Neues für Sie. {points}\n\n\
             {INTENT_MARK}{reference}\n\nAbmelden: {{{{ unsubscribe_url }}}}\n\
             {{{{ sender.postal_address }}}}\n"
        ),
        "html": format!(
            "<p>{greeting}</p><p>{{{{ brand.name }}}} hat Neues für Sie. {points}</p>\
             {links}<p>{INTENT_MARK}{reference}</p>\
             <p><a href=\"{{{{ unsubscribe_url }}}}\">Abmelden</a><br>{{{{ sender.postal_address }}}}</p>"
        ),
    });
    let version: WithId = api.mutate(client::PUBLISH_TEMPLATE_VERSION, version).await?;
    Ok(Published { template: template.id, version: version.id })
}

/// Uploads the list and imports it.
pub async fn import(tenant: &Tenant, progress: &ProgressBar) -> Result<Import> {
    let announced = json!({ "fileName": "kunden.csv", "size": LIST.len(), "idempotencyKey": "kunden" });
    let upload: Upload = tenant.api.mutate(client::CREATE_UPLOAD, announced).await?;
    let put = tenant.api.http().put(&upload.url).body(LIST).send().await?;
    ensure!(put.status().is_success(), "the upload was answered with {}", put.status());
    let options = json!({
        "declare": [
            { "column": "Treuepunkte", "name": "points", "kind": "NUMBER" },
            { "column": "Mitglied", "name": "member", "kind": "BOOLEAN" },
        ],
        "onExisting": "UPDATE",
        "topicId": tenant.topic,
        "consent": { "basis": "CONSENT", "attestation": "Everybody in this list agreed, as the columns say." },
        "defaultCountry": "DE",
    });
    let start = json!({ "uploadId": upload.id, "options": options, "idempotencyKey": "kunden" });
    let import: WithId = tenant.api.mutate(client::START_IMPORT, start).await?;
    let import = until("the import", async || {
        let import: Import = tenant.api.call(client::IMPORT_PROGRESS, json!({ "id": import.id })).await?;
        progress.set_length(import.total_bytes);
        progress.set_position(import.done_bytes);
        Ok(matches!(import.state.as_str(), "COMPLETED" | "FAILED").then_some(import))
    })
    .await?;
    ensure!(import.state == "COMPLETED", "the import failed: {}", import.error_code.unwrap_or_default());
    progress.finish();
    Ok(import)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::Bytes;
    use carillon_domain::contacts::import::{Format, Header, HeaderRules, RecordReader, RowRules};
    use carillon_domain::contacts::{AttributeKind, AttributeName, Country};
    use carillon_domain::time::Timestamp;

    use super::super::list::{BAD_ROWS, PEOPLE, ROWS};
    use super::*;

    #[test]
    fn the_list_is_what_the_demo_says_it_is() {
        let format = Format::detect(LIST).expect("text");
        let mut reader = RecordReader::new(&format, format.start);
        reader.feed(Bytes::from_static(LIST));
        reader.finish();
        let name = |name| AttributeName::parse(name).expect("a name");
        let mut rules = HeaderRules::default();
        for (column, kind) in [("treuepunkte", AttributeKind::Number), ("mitglied", AttributeKind::Boolean)] {
            rules.attributes.insert(name(column), kind);
        }
        let header = Header::read(&reader.next_record().expect("header").expect("good"), &rules).expect("known");
        let now = Timestamp::from_timestamp(1_780_000_000, 0).expect("a time");
        let rules = RowRules { default_country: Country::parse("DE").ok(), now };
        let (mut rows, mut bad, mut people) = (0, Vec::new(), BTreeSet::new());
        while let Some(record) = reader.next_record() {
            rows += 1;
            match header.read_row(&record.expect("good"), &rules) {
                Ok(Some(row)) => drop(people.insert(row.external_id.expect("everybody has a number"))),
                Ok(None) => panic!("an empty row"),
                Err(refused) => bad.push(refused.errors.into_iter().map(|error| error.code).collect::<Vec<_>>()),
            }
        }
        assert_eq!(rows, ROWS);
        assert!(bad.iter().all(|errors| errors.len() == 1), "one mistake each: {bad:?}");
        assert_eq!(bad.len() as u64, BAD_ROWS, "{bad:?}");
        assert_eq!(people.len(), PEOPLE);
    }
}
