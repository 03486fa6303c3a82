//! A few rows of everything that is listed.

use bytes::Bytes;
use carillon_domain::contacts::import::{Progress, claim_imports, run_slice};
use carillon_domain::files::{Part, receive};
use carillon_domain::tenancy::{ImportContacts, Role, Scope, TrackEvents, enter_for_work};
use carillon_domain::workflows::{Occurred, react_to_events};
use carillon_entities::ids::EventDefinitionId;
use carillon_entities::rows::contacts::event_definitions;
use chrono::TimeDelta;
use sea_orm::ActiveValue::Set;
use serde_json::{Map, Value, json};

use crate::setup::Api;

/// One of everything that has an id of its own.
#[derive(Debug)]
pub struct Ids {
    pub brand: Value,
    pub topic: Value,
    pub contact: Value,
    pub sender: Value,
    pub template: Value,
    pub version: Value,
    pub partial: Value,
    pub message: Value,
    pub upload: Value,
    pub import: Value,
    pub workflow: Value,
    pub workflow_version: Value,
    pub enrollment: Value,
    pub document: Value,
    pub document_set: Value,
    pub webhook_endpoint: Value,
    pub webhook_delivery: Value,
    pub list: Value,
    pub campaign: Value,
}

impl Api {
    /// The n-th of everything.
    pub async fn row(&self, n: usize) -> Ids {
        let id = |payload: Value, object: &str| payload[object]["id"].clone();
        let brand = id(self.change("createBrand", "brand { id }", json!({ "name": format!("B{n}") })).await, "brand");
        let topic = json!({ "brandId": brand, "key": "news", "name": "News" });
        let topic = id(self.change("createTopic", "topic { id }", topic).await, "topic");
        let contact = self.person(n).await;
        let ordered = json!({
            "messageId": format!("m{n}"), "name": format!("order{n}"), "contact": { "id": contact }, "properties": { "n": n },
        });
        let tracked = self.change("trackEvents", "results { eventId }", json!({ "events": [ordered] })).await;
        assert!(tracked["results"][0]["eventId"].is_string(), "{tracked}");
        let agreed = json!({ "contactId": contact, "topicId": topic, "basis": "CONSENT" });
        self.change("recordOptIn", "consent { status }", agreed).await;
        let suppressed = json!({ "email": format!("x{n}@example.org"), "scope": "ALL", "reason": "MANUAL" });
        self.change("suppressAddress", "suppression { id }", suppressed).await;
        let sender = json!({
            "brandId": brand, "fromName": "Torten", "fromEmail": format!("post@torten{n}.test"),
            "postalAddress": "Graben 2, 1010 Wien",
        });
        let sender = id(self.change("createSender", "sender { id }", sender).await, "sender");
        let [template, version, partial] = self.written(n).await;
        let message = json!({
            "idempotencyKey": format!("m{n}"), "class": "TRANSACTIONAL", "senderId": sender,
            "templateVersionId": version, "to": { "contactId": contact },
        });
        let sent = json!({ "messages": [message] });
        let sent = self.change("sendMessages", "results { message { id } userErrors { code } }", sent).await;
        let message = sent["results"][0]["message"]["id"].clone();
        assert!(message.is_string(), "{sent}");
        let (upload, import) = self.imported().await;
        let (workflow, workflow_version, enrollment) = self.enrolled(n, &contact).await;
        let (document, document_set) = self.documented(n).await;
        let (webhook_endpoint, webhook_delivery) = self.webhook(n).await;
        let (list, campaign) = self.drafted(n, [&contact, &sender, &topic, &template]).await;
        Ids {
            brand,
            topic,
            contact,
            sender,
            template,
            version,
            partial,
            message,
            upload,
            import,
            workflow,
            workflow_version,
            enrollment,
            document,
            document_set,
            webhook_endpoint,
            webhook_delivery,
            list,
            campaign,
        }
    }

    /// A contact with a declared attribute.
    async fn person(&self, n: usize) -> Value {
        let plan = json!({ "attributes": [{ "name": format!("plan{n}"), "kind": "STRING" }] });
        self.change("declareAttributes", "attributes { id }", plan).await;
        let contact = json!({
            "email": format!("p{n}@example.org"), "tags": ["vip", format!("t{n}")], "attributes": { format!("plan{n}"): "x" },
        });
        self.change("createContact", "contact { id }", contact).await["contact"]["id"].clone()
    }

    /// A template, its version, and a partial.
    async fn written(&self, n: usize) -> [Value; 3] {
        let id = |payload: Value, object: &str| payload[object]["id"].clone();
        let template = json!({ "name": format!("T{n}"), "class": "TRANSACTIONAL" });
        let template = id(self.change("createTemplate", "template { id }", template).await, "template");
        let version =
            json!({ "templateId": template, "locale": "de", "subject": "S", "html": "<p>S</p>", "text": "S" });
        let version = self.change("publishTemplateVersion", "templateVersion { id }", version).await;
        let version = id(version, "templateVersion");
        let partial = json!({ "name": format!("P{n}"), "html": "<p>P</p>" });
        let partial = id(self.change("createPartial", "partial { id }", partial).await, "partial");
        [template, version, partial]
    }

    /// A persisted document, and a set that has it.
    async fn documented(&self, n: usize) -> (Value, Value) {
        let documents = json!({ "documents": [{ "text": format!("{{ a{n}: serverTime }}") }] });
        let registered = self.change("registerDocuments", "results { document { id documentId } }", documents).await;
        let document = &registered["results"][0]["document"];
        let set = json!({ "name": format!("S{n}") });
        let set = self.change("createDocumentSet", "documentSet { id }", set).await["documentSet"]["id"].clone();
        let version = json!({ "documentSetId": set, "documentIds": [document["documentId"]] });
        self.change("publishDocumentSetVersion", "", version).await;
        (document["id"].clone(), set)
    }

    /// An endpoint that listens to what does not happen here, and a delivery of a test to it.
    async fn webhook(&self, n: usize) -> (Value, Value) {
        let url = format!("https://hooks.example.org/{n}");
        let endpoint = json!({ "url": url, "eventTypes": ["ENDPOINT_DISABLED"] });
        let made = self.change("createWebhookEndpoint", "webhookEndpoint { id }", endpoint).await;
        let endpoint = made["webhookEndpoint"]["id"].clone();
        let tested = self.change("testWebhookEndpoint", "webhookDelivery { id }", json!({ "id": endpoint })).await;
        (endpoint, tested["webhookDelivery"]["id"].clone())
    }

    /// A list with a contact on it, and a campaign to that, with sender, topic and template.
    async fn drafted(&self, n: usize, [contact, sender, topic, template]: [&Value; 4]) -> (Value, Value) {
        let list = json!({ "name": format!("L{n}") });
        let list = self.change("createContactList", "list { id }", list).await["list"]["id"].clone();
        let members = json!({ "listId": list, "contactIds": [contact] });
        self.change("addContactsToList", "count", members).await;
        let campaign = json!({
            "name": format!("C{n}"), "audience": { "listIds": [list] }, "senderId": sender, "topicId": topic,
            "variants": [{ "label": "one", "templateId": template }],
        });
        let campaign = self.change("createCampaign", "campaign { id }", campaign).await["campaign"]["id"].clone();
        (list, campaign)
    }

    /// A workflow with a split, its version, and the contact on it.
    async fn enrolled(&self, n: usize, contact: &Value) -> (Value, Value, Value) {
        let (ports, grant) =
            (self.world.ports(), enter_for_work(self.world.wall(), self.tenant).grant::<TrackEvents>());
        let event: EventDefinitionId = ports.new_id();
        let row = event_definitions::ActiveModel {
            id: Set(event),
            name: Set(format!("came{n}")),
            is_declared: Set(true),
            created_at: Set(ports.now()),
            ..Default::default()
        };
        let mut tx = grant.begin().await.unwrap();
        tx.insert(row).await.unwrap();
        tx.commit().await.unwrap();
        let variants = ["a", "b"].map(|label| json!({ "label": label, "weight_bp": 5000, "next": "end" }));
        let definition = json!({ "trigger": { "event": format!("came{n}") }, "start": "wait", "nodes": {
            "wait": { "kind": "wait_for", "seconds": 3600, "next": "ab" },
            "ab": { "kind": "split", "variants": variants },
            "end": { "kind": "exit" },
        }});
        let workflow = json!({ "name": format!("W{n}"), "definition": definition });
        let workflow = self.change("createWorkflow", "workflow { id }", workflow).await["workflow"]["id"].clone();
        let publish = json!({ "id": workflow, "version": 1 });
        let version = self.change("publishWorkflow", "workflowVersion { id }", publish).await;
        let contact_id = contact.as_str().unwrap().parse().unwrap();
        let (id, at) = (ports.new_id(), ports.now());
        let mut tx = grant.begin().await.unwrap();
        let occurred = Occurred { id, contact: contact_id, event, at, properties: &Map::new() };
        react_to_events(&mut tx, ports, &[occurred]).await.unwrap();
        tx.commit().await.unwrap();
        let ways = "query($id: ID!) { contact(id: $id) { enrollments { nodes { id } } } }";
        let ways = self.ask(ways, json!({ "id": contact })).await;
        let enrollment = ways["data"]["contact"]["enrollments"]["nodes"][0]["id"].clone();
        assert!(enrollment.is_string(), "{ways}");
        (workflow, version["workflowVersion"]["id"].clone(), enrollment)
    }

    /// An import that ended with errors, and its upload.
    async fn imported(&self) -> (Value, Value) {
        let (upload, import) = self.importing().await;
        self.import().await;
        (upload, import)
    }

    /// An import that waits, and its upload.
    pub async fn importing(&self) -> (Value, Value) {
        let upload = self.uploaded().await;
        let import = self.change("startImport", "import { id }", json!({ "uploadId": upload })).await;
        (upload, import["import"]["id"].clone())
    }

    /// A file that was put whole.
    pub async fn uploaded(&self) -> Value {
        const FILE: &str = "email\nnobody\nnothing\n";
        let upload = json!({ "fileName": "a.csv", "size": FILE.len() });
        let upload = self.change("createUpload", "upload { id }", upload).await["upload"]["id"].clone();
        let grant = enter_for_work(self.world.wall(), self.tenant).grant::<ImportContacts>();
        let body = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(FILE))]);
        let part = Part { offset: 0, length: None, total: None };
        let at = (self.world.ports(), &self.process.files);
        receive(&grant, at, upload.as_str().unwrap().parse().unwrap(), part, body).await.unwrap();
        upload
    }

    /// Runs it to its end.
    pub async fn import(&self) {
        let grant = enter_for_work(self.world.wall(), self.tenant).grant::<ImportContacts>();
        let mut tx = grant.begin().await.unwrap();
        let claim = claim_imports(&grant, &mut tx, self.world.ports(), 1).await.unwrap()[0];
        tx.commit().await.unwrap();
        let until = self.world.ports().now() + TimeDelta::hours(1);
        let at = (self.world.ports(), &self.process.files);
        assert_eq!(run_slice(&grant, at, claim, until).await.unwrap(), Progress::Done);
    }

    /// The n-th member, API key and tenant, which no other tenant's rows are.
    pub async fn people(&self, n: usize) {
        let email = format!("member{n}@example.org");
        self.world.invited(&self.ada, Scope::Tenant(self.tenant), &email, Role::Viewer).await;
        let key = json!({ "name": format!("K{n}"), "scopes": ["contacts.read"], "role": "VIEWER" });
        self.change("createApiKey", "apiKey { id }", key).await;
        self.world.new_tenant(&self.ada, self.account, &format!("Tenant {n}")).await;
    }
}
