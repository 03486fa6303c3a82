//! Dry runs: what a mutation answers is what it would do, and nothing of it happens.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use carillon_domain::doorbell::Doorbell;
use carillon_domain::messaging::Lane;
use carillon_domain::persisted::DocumentHash;
use carillon_domain::ports::Ports;
use carillon_domain::tenancy::{Role, Scope};
use carillon_migration::schema::tables;
use carillon_tests::access::PASSWORD;
use carillon_tests::schema::columns;
use serde_json::{Value, json};

use crate::sdl::Sdl;
use crate::served::Served;
use crate::setup::Api;

/// Counts how often it was rung.
#[derive(Debug, Default)]
struct Bell(AtomicUsize);

impl Doorbell for Bell {
    fn ring(&self, _: Lane) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn ring_imports(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn ring_workflows(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn ring_webhooks(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn ring_campaigns(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A mutation that has an effect, what is asked of its payload, and what that is.
struct Case {
    name: &'static str,
    input: Value,
    shown: &'static str,
    payload: Value,
    /// Whose it is; the owner's without one.
    token: Option<String>,
}

fn case(name: &'static str, input: Value, shown: &'static str, payload: Value) -> Case {
    Case { name, input, shown, payload, token: None }
}

struct Stage {
    api: Api,
    served: Served,
    bell: Arc<Bell>,
}

impl Stage {
    async fn new() -> Self {
        let mut api = Api::new().await;
        let bell = Arc::new(Bell::default());
        let gateway = carillon_tests::gateway::gateway(Ports { doorbell: bell.clone(), ..api.world.ports().clone() });
        // Uploads lie in the gateway's own memory.
        api.process = Arc::clone(&gateway.process);
        let served = Served::with(&api, gateway).await;
        Self { api, served, bell }
    }

    /// Every row of every table.
    async fn rows(&self) -> BTreeSet<String> {
        let is_postgres = self.api.world.wall().is_postgres();
        let mut rows = BTreeSet::new();
        for table in tables() {
            let name = table.name;
            let row = if is_postgres {
                format!("{name}::text")
            } else {
                columns(table)
                    .iter()
                    .map(|column| format!("quote(\"{}\")", column.name))
                    .collect::<Vec<_>>()
                    .join(" || ',' || ")
            };
            let lines = self.api.world.lines(&format!("SELECT {row} AS line FROM {name}")).await;
            rows.extend(lines.into_iter().map(|line| format!("{name}: {line}")));
        }
        rows
    }

    async fn run(&self, case: &Case, dry_run: bool) -> Value {
        let mut input = case.input.clone();
        input["idempotencyKey"] = json!("one");
        if dry_run {
            input["dryRun"] = json!(true);
        }
        let kind = format!("{}{}Input", case.name[..1].to_uppercase(), &case.name[1..]);
        let (name, shown) = (case.name, case.shown);
        let query =
            format!("mutation($input: {kind}!) {{ {name}(input: $input) {{ {shown} userErrors {{ code }} }} }}");
        let variables = json!({ "input": input });
        let answer = match &case.token {
            Some(token) => self.served.ask_with(token, &query, variables).await,
            None => self.served.ask(&query, variables).await,
        };
        assert_eq!(answer["data"][name]["userErrors"], json!([]), "{name}: {answer}");
        let mut payload = answer["data"][name].clone();
        payload.as_object_mut().unwrap().remove("userErrors");
        payload
    }

    /// A contact at its first version.
    async fn contact(&self, name: &str) -> Value {
        let input = json!({ "email": format!("{name}@example.org") });
        self.api.change("createContact", "contact { id }", input).await["contact"]["id"].clone()
    }

    /// A campaign that can be started, to the one contact of a row's list.
    async fn campaign(&self, row: &crate::rows::Ids) -> Value {
        let template = json!({ "name": "Spring", "class": "MARKETING" });
        let template = self.api.change("createTemplate", "template { id }", template).await["template"]["id"].clone();
        let version = json!({
            "templateId": template, "locale": "de", "subject": "S",
            "html": "<p>S <a href=\"{{ unsubscribe_url }}\">Leave</a> {{ sender.postal_address }}</p>",
        });
        self.api.change("publishTemplateVersion", "templateVersion { id }", version).await;
        let campaign = json!({
            "name": "Spring", "audience": { "listIds": [row.list] }, "senderId": row.sender, "topicId": row.topic,
            "variants": [{ "label": "one", "templateId": template }],
        });
        self.api.change("createCampaign", "campaign { id }", campaign).await["campaign"]["id"].clone()
    }

    /// A workflow whose draft can be published.
    async fn draft(&self, name: &str) -> Value {
        let nodes =
            json!({ "wait": { "kind": "wait_for", "seconds": 3600, "next": "end" }, "end": { "kind": "exit" } });
        let definition = json!({ "trigger": { "event": "came0" }, "start": "wait", "nodes": nodes });
        let draft = json!({ "name": name, "definition": definition });
        self.api.change("createWorkflow", "workflow { id }", draft).await["workflow"]["id"].clone()
    }

    async fn published(&self, name: &str) -> Value {
        let workflow = self.draft(name).await;
        let publish = json!({ "id": workflow, "version": 1 });
        self.api.change("publishWorkflow", "workflow { id }", publish).await;
        workflow
    }
}

async fn contact_cases(stage: &Stage) -> Vec<Case> {
    let [kept, away, gone, tagged] = ["kept", "away", "gone", "tagged"].map(|name| stage.contact(name));
    let (kept, away, gone, tagged) = (kept.await, away.await, gone.await, tagged.await);
    stage.api.change("archiveContact", "", json!({ "id": away, "version": 1 })).await;
    let upload = stage.api.uploaded().await;
    let is = |state: &str| json!({ "contact": { "state": state } });
    let event = json!({ "messageId": "dry", "name": "came0", "contact": { "id": tagged } });
    let declared = json!({ "name": "colour", "kind": "STRING" });
    vec![
        case("archiveContact", json!({ "id": kept, "version": 1 }), "contact { state }", is("ARCHIVED")),
        case("restoreContact", json!({ "id": away, "version": 2 }), "contact { state }", is("ACTIVE")),
        case("deleteContact", json!({ "id": gone, "version": 1 }), "contact { state }", is("DELETED")),
        case(
            "upsertContacts",
            json!({ "contacts": [{ "by": { "email": "new@example.org" } }] }),
            "results { created contact { email } }",
            json!({ "results": [{ "created": true, "contact": { "email": "new@example.org" } }] }),
        ),
        case(
            "tagContacts",
            json!({ "contactIds": [tagged], "add": ["a"] }),
            "contacts { tags }",
            json!({ "contacts": [{ "tags": ["a"] }] }),
        ),
        case(
            "declareAttributes",
            json!({ "attributes": [declared] }),
            "attributes { name }",
            json!({ "attributes": [{ "name": "colour" }] }),
        ),
        case(
            "trackEvents",
            json!({ "events": [event] }),
            "results { duplicate userErrors { code } }",
            json!({ "results": [{ "duplicate": false, "userErrors": [] }] }),
        ),
        case(
            "declareEvents",
            json!({ "events": [{ "name": "bought" }] }),
            "events { name }",
            json!({ "events": [{ "name": "bought" }] }),
        ),
        case(
            "startImport",
            json!({ "uploadId": upload }),
            "import { state fileName }",
            json!({ "import": { "state": "QUEUED", "fileName": "a.csv" } }),
        ),
    ]
}

async fn sending_cases(stage: &Stage) -> Vec<Case> {
    let row = stage.api.row(0).await;
    stage.api.change("setRelay", "", json!({ "url": "smtps://shop:pears@mx.example.org" })).await;
    let (draft, live, held) = (stage.draft("D").await, stage.published("L").await, stage.published("H").await);
    stage.api.change("pauseWorkflow", "", json!({ "id": held })).await;
    let message = json!({
        "idempotencyKey": "dry", "class": "TRANSACTIONAL", "senderId": row.sender,
        "templateVersionId": row.version, "to": { "contactId": row.contact },
    });
    let is = |state: &str| json!({ "workflow": { "state": state } });
    let campaign = stage.campaign(&row).await;
    let list =
        stage.api.change("createContactList", "list { id }", json!({ "name": "Gone" })).await["list"]["id"].clone();
    // The test that is on its way would not be told again.
    stage.api.world.execute("UPDATE webhook_deliveries SET state = 'failed'").await;
    let replay = json!({ "endpointId": row.webhook_endpoint, "of": { "deliveryIds": [row.webhook_delivery] } });
    let deleted = json!({ "webhookEndpoint": { "state": "DELETED", "url": "" } });
    vec![
        case("replayWebhooks", replay, "count", json!({ "count": 1 })),
        case("deleteWebhookEndpoint", json!({ "id": row.webhook_endpoint }), "webhookEndpoint { state url }", deleted),
        case(
            "startCampaign",
            json!({ "id": campaign, "version": 1 }),
            "audienceCount campaign { state }",
            json!({ "audienceCount": 1, "campaign": { "state": "SCHEDULED" } }),
        ),
        case(
            "cancelCampaign",
            json!({ "id": row.campaign }),
            "campaign { state }",
            json!({ "campaign": { "state": "CANCELLED" } }),
        ),
        case("deleteContactList", json!({ "id": list, "version": 1 }), "deletedId", json!({ "deletedId": list })),
        case("removeRelay", json!({}), "relay { host }", json!({ "relay": null })),
        case(
            "sendMessages",
            json!({ "messages": [message] }),
            "results { created message { state } }",
            json!({ "results": [{ "created": true, "message": { "state": "QUEUED" } }] }),
        ),
        case("cancelMessages", json!({ "ids": [row.message] }), "count", json!({ "count": 1 })),
        case("publishWorkflow", json!({ "id": draft, "version": 1 }), "workflow { state }", is("LIVE")),
        case("pauseWorkflow", json!({ "id": live }), "workflow { state }", is("PAUSED")),
        case("resumeWorkflow", json!({ "id": held }), "workflow { state }", is("LIVE")),
        case(
            "archiveWorkflow",
            json!({ "id": row.workflow }),
            "workflow { state }",
            json!({ "workflow": { "state": "ARCHIVED" } }),
        ),
    ]
}

/// What ends somebody's access, or anybody's mail to an address.
async fn ending_cases(stage: &Stage) -> Vec<Case> {
    let Api { world, ada, tenant, .. } = &stage.api;
    let scope = Scope::Tenant(*tenant);
    let carl = world.invited(ada, scope, "carl@example.org", Role::Viewer).await;
    world.invited(ada, scope, "bob@example.org", Role::Viewer).await;
    let carls = world.own_membership(&carl, scope).await.to_string();
    let bob = world.sign_in("bob@example.org", PASSWORD).await.unwrap();
    let key = json!({ "name": "K", "scopes": ["contacts.read"], "role": "VIEWER" });
    let key = stage.api.change("createApiKey", "apiKey { id }", key).await["apiKey"]["id"].clone();
    let address = json!({ "email": "no@example.org", "scope": "ALL", "reason": "MANUAL" });
    let suppressed = json!({ "suppression": { "scope": "ALL", "reason": "MANUAL" } });
    let leave = case("leave", json!({ "scope": { "tenantId": tenant.to_string() } }), "", json!({}));
    vec![
        case(
            "removeMember",
            json!({ "membershipId": carls }),
            "membership { role }",
            json!({ "membership": { "role": "VIEWER" } }),
        ),
        case("revokeApiKey", json!({ "id": key }), "apiKey { name }", json!({ "apiKey": { "name": "K" } })),
        case("suppressAddress", address, "suppression { scope reason }", suppressed),
        Case { token: Some(bob.access_token), ..leave },
    ]
}

async fn document_cases(stage: &Stage) -> Vec<Case> {
    let [fresh, gone] = ["{ fresh: serverTime }", "{ gone: serverTime }"];
    stage.api.change("registerDocuments", "", json!({ "documents": [{ "text": gone }] })).await;
    vec![
        case(
            "registerDocuments",
            json!({ "documents": [{ "text": fresh }] }),
            "results { documentId created document { text } }",
            json!({ "results": [{
                "documentId": DocumentHash::of(fresh).to_string(), "created": true, "document": { "text": fresh },
            }] }),
        ),
        case(
            "retireDocuments",
            json!({ "documentIds": [DocumentHash::of(gone).to_string()] }),
            "results { retired userErrors { code } }",
            json!({ "results": [{ "retired": true, "userErrors": [] }] }),
        ),
    ]
}

/// The answer is that of the real thing, which the same key then still does.
#[actix_web::test]
async fn a_dry_run_answers_as_the_mutation_would_and_leaves_nothing() {
    let stage = Box::pin(Stage::new()).await;
    let mut cases = sending_cases(&stage).await;
    cases.extend(Box::pin(contact_cases(&stage)).await);
    cases.extend(Box::pin(ending_cases(&stage)).await);
    cases.extend(document_cases(&stage).await);
    let sdl = Sdl::of(&stage.api.schema);
    let takes_it = |name: &&str| {
        let input = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
        sdl.inputs[&input].iter().any(|field| field.name.node == "dryRun")
    };
    let names = sdl.fields("Mutation").iter().map(|mutation| mutation.name.node.as_str());
    let known: BTreeSet<_> = names.filter(takes_it).collect();
    assert_eq!(cases.iter().map(|case| case.name).collect::<BTreeSet<_>>(), known, "a case for each");
    for case in &cases {
        let (before, rung) = (stage.rows().await, stage.bell.0.load(Ordering::Relaxed));
        assert_eq!(stage.run(case, true).await, case.payload, "{}", case.name);
        let after = stage.rows().await;
        let changed: Vec<_> = before.symmetric_difference(&after).collect();
        assert!(changed.is_empty(), "{} changed {changed:#?}", case.name);
        assert_eq!(stage.bell.0.load(Ordering::Relaxed), rung, "{} rang", case.name);
        assert_eq!(stage.run(case, false).await, case.payload, "{}", case.name);
        assert_ne!(stage.rows().await, before, "{} has an effect", case.name);
    }
    assert!(stage.bell.0.load(Ordering::Relaxed) > 0, "the real ones ring");
    stage.served.stop().await;
}

#[actix_web::test]
async fn a_dry_run_is_refused_like_the_mutation() {
    let stage = Box::pin(Stage::new()).await;
    let id = stage.contact("ada").await;
    let query =
        "mutation($input: DeleteContactInput!) { deleteContact(input: $input) { contact { id } userErrors { code } } }";
    for dry_run in [true, false] {
        let input = json!({ "id": id, "version": 7, "dryRun": dry_run });
        let answer = stage.served.ask(query, json!({ "input": input })).await;
        assert_eq!(answer["data"]["deleteContact"]["userErrors"], json!([{ "code": "CONFLICT" }]), "{answer}");
    }
    stage.served.stop().await;
}

/// What a dry run locked is free before the next mutation of its document begins, in whatever space that works.
#[actix_web::test]
async fn what_follows_a_dry_run_in_its_document_does_not_wait_for_it() {
    let stage = Box::pin(Stage::new()).await;
    let id = stage.contact("ada").await;
    let key = json!({ "name": "K", "scopes": ["contacts.read"], "role": "VIEWER" });
    let key = stage.api.change("createApiKey", "apiKey { id }", key).await["apiKey"]["id"].clone();
    let query = "mutation($dry: DeleteContactInput!, $key: RevokeApiKeyInput!, $real: ArchiveContactInput!) { \
        deleteContact(input: $dry) { contact { state email } } \
        revokeApiKey(input: $key) { apiKey { name } } \
        archiveContact(input: $real) { contact { state email } } }";
    let variables = json!({
        "dry": { "id": id, "version": 1, "dryRun": true }, "key": { "id": key }, "real": { "id": id, "version": 1 },
    });
    let answer = stage.served.ask(query, variables).await;
    let data = &answer["data"];
    assert_eq!(data["deleteContact"]["contact"], json!({ "state": "DELETED", "email": null }), "{answer}");
    assert_eq!(data["revokeApiKey"]["apiKey"], json!({ "name": "K" }), "{answer}");
    assert_eq!(
        data["archiveContact"]["contact"],
        json!({ "state": "ARCHIVED", "email": "ada@example.org" }),
        "{answer}"
    );
    stage.served.stop().await;
}
