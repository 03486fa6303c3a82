//! Campaigns over GraphQL: a list, a draft, a dry run, and what is told of it.

use std::sync::Arc;

use async_graphql::{Request, Variables};
use carillon::graphql::execute::execute;
use carillon::graphql::scope::{Caller, Process, RequestScope};
use carillon::graphql::{CarillonSchema, error};
use carillon_domain::campaigns::{self, CampaignDraft, Schedule};
use carillon_domain::ids::TenantId;
use carillon_domain::paging::Page;
use carillon_domain::tenancy::{
    AdministerTenant, ApproveCampaigns, CreateApiKey, Name, Permission, PublishCampaigns, ReadCampaigns, Role,
    WriteCampaigns, authenticate_key, create_api_key, enter_tenant, enter_to_campaign,
};
use carillon_tests::access::{AccessWorld, code};
use serde_json::{Value, json};

struct Desk {
    world: AccessWorld,
    process: Arc<Process>,
    schema: CarillonSchema,
    tenant: TenantId,
    owner: Caller,
}

impl Desk {
    async fn new() -> Self {
        let world = AccessWorld::new().await;
        let (ada, account) = world.owner_and_account("ada@example.org").await;
        let tenant = world.new_tenant(&ada, account, "Torten").await;
        let session = enter_tenant(world.ports(), world.desk(), &ada, tenant).await.unwrap();
        let owner = Caller::user(world.ports(), world.verified(&session.access_token));
        let gateway = carillon_tests::gateway::gateway(world.ports().clone()).into_inner();
        Self { process: Arc::clone(&gateway.process), schema: gateway.schema.clone(), world, tenant, owner }
    }

    async fn ask(&self, query: &str, variables: Value) -> Value {
        let scope = RequestScope::new(Arc::clone(&self.process), self.owner.clone(), None, "test".to_owned());
        let request = Request::new(query).variables(Variables::from_json(variables));
        let mut response = execute(&self.schema, scope, None, request).await;
        error::present(&mut response, "test");
        let answer = serde_json::to_value(&response).unwrap();
        assert!(answer.get("errors").is_none(), "{answer}");
        answer["data"].clone()
    }

    /// The payload of a mutation.
    async fn change(&self, name: &str, object: &str, input: Value) -> Value {
        let kind = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
        let query =
            format!("mutation($input: {kind}!) {{ {name}(input: $input) {{ {object} userErrors {{ code field }} }} }}");
        self.ask(&query, json!({ "input": input })).await[name].clone()
    }

    /// What the mutation made.
    async fn made(&self, name: &str, object: &str, input: Value) -> Value {
        let payload = self.change(name, &format!("{object} {{ id }}"), input).await;
        assert_eq!(payload["userErrors"], json!([]), "{name}: {payload}");
        payload[object]["id"].clone()
    }
}

fn codes(payload: &Value) -> Vec<&str> {
    payload["userErrors"].as_array().unwrap().iter().map(|error| error["code"].as_str().unwrap()).collect()
}

/// A draft to the one person of a list.
async fn drafted(desk: &Desk) -> (Value, Value, Value) {
    let brand = desk.made("createBrand", "brand", json!({ "name": "B" })).await;
    let topic = desk.made("createTopic", "topic", json!({ "brandId": brand, "key": "news", "name": "News" })).await;
    let sender = json!({
        "brandId": brand, "fromName": "Torten", "fromEmail": "post@torten.test", "postalAddress": "Graben 2, 1010 Wien",
    });
    let sender = desk.made("createSender", "sender", sender).await;
    let template = desk.made("createTemplate", "template", json!({ "name": "T", "class": "MARKETING" })).await;
    let version = json!({
        "templateId": template, "locale": "de", "subject": "S",
        "html": "<p>S <a href=\"{{ unsubscribe_url }}\">Leave</a> {{ sender.postal_address }}</p>",
    });
    desk.made("publishTemplateVersion", "templateVersion", version).await;
    let contact = desk.made("createContact", "contact", json!({ "email": "p@example.org", "tags": ["vip"] })).await;
    let list = desk.made("createContactList", "list", json!({ "name": "Guests" })).await;
    let members = json!({ "listId": list, "contactIds": [contact] });
    let added = desk.change("addContactsToList", "count list { memberCount }", members).await;
    assert_eq!((&added["count"], &added["list"]["memberCount"]), (&json!(1), &json!(1)), "{added}");
    let campaign = json!({
        "name": "Spring", "audience": { "listIds": [list], "condition": { "tag": "vip" } }, "senderId": sender,
        "topicId": topic, "variants": [{ "label": "a", "templateId": template }, { "label": "b", "templateId": template }],
        "schedule": { "localTime": { "day": "2026-03-02", "time": "09:30" } },
    });
    (desk.made("createCampaign", "campaign", campaign).await, contact, list)
}

#[actix_web::test]
async fn a_draft_is_counted_started_and_told_of() {
    let desk = Box::pin(Desk::new()).await;
    let (campaign, contact, list) = Box::pin(drafted(&desk)).await;
    let dry = json!({ "id": campaign, "version": 1, "dryRun": true });
    let dry = desk.change("startCampaign", "audienceCount campaign { state }", dry).await;
    assert_eq!((&dry["audienceCount"], &dry["campaign"]["state"]), (&json!(1), &json!("SCHEDULED")), "{dry}");
    let update = json!({ "id": campaign, "version": 1, "sampleBp": 5000, "perHour": 100 });
    let updated = desk.change("updateCampaign", "campaign { version state sampleBp perHour }", update).await;
    let shown = json!({ "version": 2, "state": "DRAFT", "sampleBp": 5000, "perHour": 100 });
    assert_eq!(updated["campaign"], shown, "nothing was started: {updated}");
    let update = json!({ "id": campaign, "version": 2, "sampleBp": null });
    let updated = desk.change("updateCampaign", "campaign { version sampleBp perHour }", update).await;
    assert_eq!(updated["campaign"], json!({ "version": 3, "sampleBp": null, "perHour": 100 }), "{updated}");
    let start = json!({ "id": campaign, "version": 3, "idempotencyKey": "once" });
    for _ in 0..2 {
        let started = desk.change("startCampaign", "campaign { state version }", start.clone()).await;
        assert_eq!(codes(&started), Vec::<&str>::new(), "{started}");
    }
    let deleted = desk.change("deleteContactList", "deletedId", json!({ "id": list, "version": 1 })).await;
    assert_eq!(codes(&deleted), ["LIST_IN_USE"]);
    let grants = enter_to_campaign(desk.world.wall(), desk.tenant);
    for _ in 0..3 {
        carillon_domain::campaigns::run_due(&grants, desk.world.ports()).await.unwrap();
    }
    let query = "query($id: ID!, $contact: ID!) { campaign(id: $id) { state recipientCount schedule { day time } \
        audience { listIds condition } variants { label weightBp } counts { recipients waiting refused } \
        variantCounts { counts { recipients } } recipients { nodes { contactId outcome } } \
        recipient(contactId: $contact) { outcome reason contact { email } message { id } } } }";
    let told = desk.ask(query, json!({ "id": campaign, "contact": contact })).await["campaign"].clone();
    assert_eq!((&told["state"], &told["recipientCount"]), (&json!("RUNNING"), &json!(1)), "{told}");
    assert_eq!(told["counts"], json!({ "recipients": 1, "waiting": 1, "refused": 0 }), "{told}");
    assert_eq!(told["recipients"]["nodes"], json!([{ "contactId": contact, "outcome": "WAITING" }]), "{told}");
    assert_eq!(told["recipient"]["contact"]["email"], "p@example.org", "{told}");
    assert_eq!(told["variants"][1], json!({ "label": "b", "weightBp": 5000 }), "{told}");
    assert_eq!(told["audience"]["listIds"], json!([list]), "{told}");
    for (mutation, state) in
        [("pauseCampaign", "PAUSED"), ("resumeCampaign", "RUNNING"), ("cancelCampaign", "CANCELLED")]
    {
        let done = desk.change(mutation, "campaign { state }", json!({ "id": campaign })).await;
        assert_eq!(done["campaign"]["state"], state, "{mutation}: {done}");
    }
    let refused = desk.change("resumeCampaign", "campaign { state }", json!({ "id": campaign })).await;
    assert_eq!(codes(&refused), ["CAMPAIGN_STATE"]);
    let told = desk.ask(query, json!({ "id": campaign, "contact": contact })).await["campaign"].clone();
    assert_eq!(told["recipient"]["outcome"], "CANCELLED", "{told}");
}

#[actix_web::test]
async fn rules_say_what_waits() {
    let desk = Box::pin(Desk::new()).await;
    let query = "{ campaignRules { approveAbove fourEyes } }";
    assert_eq!(desk.ask(query, json!({})).await["campaignRules"], Value::Null);
    let rules = json!({ "approveAbove": 0, "fourEyes": true });
    let set = desk.change("setCampaignRules", "rules { approveAbove fourEyes }", rules.clone()).await;
    assert_eq!(set["rules"], rules, "{set}");
    assert_eq!(desk.ask(query, json!({})).await["campaignRules"], rules);
    let refused =
        desk.change("setCampaignRules", "rules { fourEyes }", json!({ "approveAbove": -1, "fourEyes": false }));
    assert_eq!(codes(&refused.await), ["INVALID_LIMIT"]);
}

/// Whoever makes and starts a campaign by a key of their own approves it as little, and no rule has to say so.
#[actix_web::test]
async fn c202_whose_key_started_a_campaign_does_not_approve_it() {
    let desk = Box::pin(Desk::new()).await;
    Box::pin(drafted(&desk)).await;
    let Caller::User(_, Some(ada)) = &desk.owner else { panic!("the owner is in the tenant") };
    let ports = desk.world.ports();
    let scopes = vec![Permission::WriteCampaigns, Permission::PublishCampaigns];
    let name = Name::parse("Key").unwrap();
    let command = CreateApiKey { name, role: Role::Marketer, scopes, document_set: None, expires_at: None };
    let administer = ada.grant::<AdministerTenant>().unwrap();
    let (_, text) = create_api_key(&administer, ports, command, None).await.unwrap();
    let key = authenticate_key(ports, &text).await.unwrap();

    let read = ada.grant::<ReadCampaigns>().unwrap();
    let mut tx = read.begin_read().await.unwrap();
    let like = campaigns::campaigns(&read, &mut tx, &Page::first(1)).await.unwrap().items.remove(0);
    tx.commit().await.unwrap();
    let draft = CampaignDraft {
        name: "By key".to_owned(),
        audience: like.audience,
        sender: like.sender,
        topic: like.topic,
        variants: like.variants,
        sample_bp: None,
        schedule: Schedule::Now,
        per_hour: None,
    };
    let (write, publish) = (key.grant::<WriteCampaigns>().unwrap(), key.grant::<PublishCampaigns>().unwrap());
    let mut tx = write.begin().await.unwrap();
    let made = campaigns::create_campaign(&write, &mut tx, ports, draft).await.unwrap();
    campaigns::start_campaign(&publish, &mut tx, ports, (made.id, made.version)).await.unwrap();
    tx.commit().await.unwrap();

    let approve = ada.grant::<ApproveCampaigns>().unwrap();
    let mut tx = approve.begin().await.unwrap();
    assert_eq!(code(campaigns::approve_campaign(&approve, &mut tx, ports, made.id).await), "FOUR_EYES");
    tx.rollback().await.unwrap();
}
