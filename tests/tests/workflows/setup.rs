//! A tenant with a workflow, and people who do things.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::cell::Cell;

use carillon_domain::contacts::events::{EventContact, EventName, TrackEvent, track_events};
use carillon_domain::ids::{ContactEventId, ContactId, EnrollmentId, EventDefinitionId, TemplateId, WorkflowId};
use carillon_domain::keys::{ClickToken, HitKind, LinkPlace, Tracked};
use carillon_domain::messaging::{self, Agent, HIT_HOLD, PublishVersion, Recorded, TemplateFormat, Visit, record_hit};
use carillon_domain::paging::Ahead;
use carillon_domain::tenancy::{
    PublishWorkflows, ReadWorkflows, Role, SendMessages, TrackEvents, WriteWorkflows, enter_by_click,
};
use carillon_domain::time::Timestamp;
use carillon_domain::workflows::{self, Enrollment, NodeAnswer, Occurred, StepRecord, UpdateWorkflow, Version};
use carillon_entities::rows::contacts::{contact_events, event_definitions};
use carillon_entities::rows::messaging::messages;
use carillon_entities::wall::{OnConflict, TenantTx};
use carillon_tests::post::{Post, member};
use chrono::TimeDelta;
use sea_orm::ActiveValue::Set;
use serde_json::{Map, Value as Json, json};

/// The first hundred.
const fn all<K>() -> Ahead<K> {
    Ahead { after: None, size: 100 }
}

/// A tenant that can send, whose events have names.
pub struct Field {
    pub post: Post,
    pub template: TemplateId,
}

impl std::ops::Deref for Field {
    type Target = Post;
    fn deref(&self) -> &Post {
        &self.post
    }
}

/// Somebody starts something, as callers tell it.
pub fn event(who: ContactId, message_id: &str) -> TrackEvent {
    TrackEvent {
        message_id: message_id.to_owned(),
        source: "test".to_owned(),
        name: EventName::parse("started").unwrap(),
        contact: EventContact::Id(who),
        create: None,
        occurred_at: None,
        properties: Map::new(),
    }
}

impl Field {
    pub async fn new() -> Self {
        let post = Post::new().await;
        let version = post.marketing;
        let grant = post.marketer.grant().unwrap();
        let mut tx = grant.begin_read().await.unwrap();
        let found = messaging::template_versions(&grant, &mut tx, [version]).await.unwrap();
        tx.commit().await.unwrap();
        let field = Self { template: found[0].template, post };
        for name in ["started", "bought", "left"] {
            field.declare(name).await;
        }
        field
    }

    async fn declare(&self, name: &str) -> EventDefinitionId {
        let id = self.ports().new_id();
        let row = event_definitions::ActiveModel {
            id: Set(id),
            name: Set(name.to_owned()),
            is_declared: Set(true),
            created_at: Set(self.ports().now()),
            ..Default::default()
        };
        let mut tx = self.grant::<TrackEvents>(self.tenant).begin().await.unwrap();
        tx.insert(row).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    /// A node that sends the tenant's one mail.
    pub fn mail(&self, next: &str) -> Json {
        json!({
            "kind": "send", "template": self.template, "sender": self.sender, "topic": self.topic.topic, "next": next,
        })
    }

    /// The tenant's one mail, and out.
    pub fn one_mail(&self) -> Json {
        started(&json!({ "first": self.mail("bye"), "bye": { "kind": "exit", "reason": "done" } }))
    }

    /// Has the tenant's one mail be this from now on.
    pub async fn write(&self, html: String) {
        let grant = self.marketer.grant().unwrap();
        let mut tx = grant.begin().await.unwrap();
        let command = PublishVersion {
            template: self.template,
            locale: "de-AT".to_owned(),
            subject: "Hello".to_owned(),
            html,
            text: None,
            format: TemplateFormat::Html,
            event_name: None,
        };
        messaging::publish_version(&grant, &mut tx, self.ports(), command).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// A workflow that is live.
    pub async fn live(&self, name: &str, definition: &Json) -> (WorkflowId, Version) {
        let (id, seen) = self.draft(name, definition).await;
        (id, self.publish(id, seen).await)
    }

    /// A workflow of which nothing is published, and its version.
    pub async fn draft(&self, name: &str, definition: &Json) -> (WorkflowId, i64) {
        let grant = self.marketer.grant::<WriteWorkflows>().unwrap();
        let mut tx = grant.begin().await.unwrap();
        let made = workflows::create_workflow(&grant, &mut tx, self.ports(), name, definition.clone()).await.unwrap();
        tx.commit().await.unwrap();
        (made.id, made.version)
    }

    pub async fn publish(&self, id: WorkflowId, seen: i64) -> Version {
        let (tx, version) = self.publishing(id, seen).await;
        tx.commit().await.unwrap();
        version
    }

    /// The same, before the end of the transaction.
    pub async fn publishing(&self, id: WorkflowId, seen: i64) -> (TenantTx, Version) {
        let grant = self.marketer.grant::<PublishWorkflows>().unwrap();
        let mut tx = grant.begin().await.unwrap();
        let published = workflows::publish_workflow(&grant, &mut tx, self.ports(), (id, seen)).await.unwrap();
        (tx, published.version)
    }

    /// Publishes another definition.
    pub async fn republish(&self, id: WorkflowId, definition: &Json) -> Version {
        let (tx, version) = self.republishing(id, definition).await;
        tx.commit().await.unwrap();
        version
    }

    /// The same, before the end of the transaction.
    pub async fn republishing(&self, id: WorkflowId, definition: &Json) -> (TenantTx, Version) {
        let grant = self.marketer.grant::<WriteWorkflows>().unwrap();
        let mut tx = grant.begin().await.unwrap();
        let seen = workflows::find_workflows(&self.marketer.grant().unwrap(), &mut tx, [id]).await.unwrap()[0].version;
        let command = UpdateWorkflow { id, version: seen, name: None, draft: Some(definition.clone()) };
        let changed = workflows::update_workflow(&grant, &mut tx, self.ports(), command).await.unwrap();
        tx.commit().await.unwrap();
        self.publishing(id, changed.version).await
    }

    /// Somebody does something now.
    pub async fn does(&self, who: ContactId, what: &str) {
        self.did(&[(who, what, self.ports().now())]).await;
    }

    /// People did things, told in one call.
    pub async fn did(&self, what: &[(ContactId, &str, Timestamp)]) {
        let with = what.iter().map(|(who, name, at)| (*who, *name, *at, Map::new())).collect();
        self.try_did(with).await.unwrap();
    }

    /// The same with properties; the transaction of the events is the one in which workflows react.
    pub async fn try_did(
        &self,
        what: Vec<(ContactId, &str, Timestamp, Map<String, Json>)>,
    ) -> carillon_domain::error::Result<()> {
        Ok(self.doing(what).await?.commit().await?)
    }

    /// The same, before the end of the transaction.
    pub async fn doing(
        &self,
        what: Vec<(ContactId, &str, Timestamp, Map<String, Json>)>,
    ) -> carillon_domain::error::Result<TenantTx> {
        let mut tx = self.grant::<TrackEvents>(self.tenant).begin().await?;
        self.tell(&mut tx, &what).await?;
        Ok(tx)
    }

    /// The same, in a transaction that is there.
    pub async fn tell(
        &self,
        tx: &mut TenantTx,
        what: &[(ContactId, &str, Timestamp, Map<String, Json>)],
    ) -> carillon_domain::error::Result<()> {
        let definitions = tx.select::<event_definitions::Entity>().all().await?;
        let of = |name: &str| definitions.iter().find(|one| one.name == name).expect("a declared event").id;
        let events: Vec<Occurred<'_>> = what
            .iter()
            .map(|(contact, name, at, properties)| Occurred {
                id: self.ports().new_id::<ContactEventId>(),
                contact: *contact,
                event: of(name),
                at: *at,
                properties,
            })
            .collect();
        let rows = events.iter().map(|event| contact_events::ActiveModel {
            id: Set(event.id),
            contact_id: Set(event.contact),
            event_id: Set(event.event),
            occurred_at: Set(event.at),
            sealed: Set(None),
            ..Default::default()
        });
        tx.insert_many(rows.collect(), OnConflict::Fail).await?;
        workflows::react_to_events(tx, self.ports(), &events).await
    }

    /// Lets something else run until it is over or waits for a transaction, and then ends that.
    pub async fn meanwhile<T>(&self, first: TenantTx, other: impl Future<Output = T>) -> T {
        let is_over = Cell::new(false);
        let other = async {
            let done = other.await;
            is_over.set(true);
            done
        };
        let ends = async {
            self.until_waiting(|| is_over.get()).await;
            first.commit().await.unwrap();
        };
        futures::future::join(other, ends).await.0
    }

    /// Somebody does something that has properties, told as callers do.
    pub async fn tracked(&self, who: ContactId, name: &str, at: Timestamp, properties: Json) {
        let event = TrackEvent {
            name: EventName::parse(name).unwrap(),
            occurred_at: Some(at),
            properties: serde_json::from_value(properties).unwrap(),
            ..event(who, &self.ports().new_id::<ContactEventId>().to_string())
        };
        let grant = self.grant::<TrackEvents>(self.tenant);
        let mut tx = grant.begin().await.unwrap();
        track_events(&grant, &mut tx, self.ports(), &[event]).await.unwrap().remove(0).unwrap();
        tx.commit().await.unwrap();
    }

    /// Pauses a workflow, or resumes it.
    pub async fn hold(&self, workflow: WorkflowId, is_held: bool) {
        let grant = self.marketer.grant::<WriteWorkflows>().unwrap();
        let mut tx = grant.begin().await.unwrap();
        if is_held {
            workflows::pause_workflow(&grant, &mut tx, self.ports(), workflow).await.unwrap();
        } else {
            workflows::resume_workflow(&grant, &mut tx, self.ports(), workflow).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    /// Holds everybody of the tenant, or lets them go.
    pub async fn hold_all(&self, is_held: bool) {
        let grant = self.marketer.grant::<WriteWorkflows>().unwrap();
        let mut tx = grant.begin().await.unwrap();
        workflows::hold_all_workflows(&grant, &mut tx, self.ports(), is_held).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Holds a contact, or lets them go.
    pub async fn hold_contact(&self, who: ContactId, is_held: bool) {
        let grant = self.marketer.grant::<WriteWorkflows>().unwrap();
        let mut tx = grant.begin().await.unwrap();
        workflows::hold_contact(&grant, &mut tx, self.ports(), who, is_held).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn archive(&self, workflow: WorkflowId) {
        let grant = self.marketer.grant::<PublishWorkflows>().unwrap();
        let mut tx = grant.begin().await.unwrap();
        workflows::archive_workflow(&grant, &mut tx, self.ports(), workflow).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Somebody's ways, oldest first.
    pub async fn ways(&self, who: ContactId) -> Vec<Enrollment> {
        let grant = self.marketer.grant::<ReadWorkflows>().unwrap();
        let mut tx = grant.begin_read().await.unwrap();
        let ways = workflows::enrollments(&grant, &mut tx, &[who], all()).await.unwrap().remove(&who);
        tx.commit().await.unwrap();
        ways.map(|page| page.items).unwrap_or_default()
    }

    /// How somebody's only way stands: `active pause`, `goal goal`.
    pub async fn stands(&self, who: ContactId) -> String {
        let ways = self.ways(who).await;
        assert!(ways.len() < 2, "{ways:?}");
        ways.first().map_or("nowhere".to_owned(), |way| {
            let where_or_why = way.end_reason.clone().unwrap_or_else(|| way.way.node.clone());
            format!("{} {where_or_why}", way.state.as_str())
        })
    }

    pub async fn steps(&self, way: EnrollmentId) -> Vec<StepRecord> {
        let grant = self.marketer.grant::<ReadWorkflows>().unwrap();
        let mut tx = grant.begin_read().await.unwrap();
        let steps = workflows::paths(&grant, &mut tx, &[way], all()).await.unwrap().remove(&way);
        tx.commit().await.unwrap();
        steps.map(|page| page.items).unwrap_or_default()
    }

    /// Somebody's path: `enrolled@first queued@first waited@pause`.
    pub async fn path(&self, who: ContactId) -> String {
        let mut path = Vec::new();
        for way in self.ways(who).await {
            for step in self.steps(way.id).await {
                path.push(format!("{}@{}", step.outcome.as_str(), step.node));
            }
        }
        path.join(" ")
    }

    /// Numbers of a version's node, over all variants.
    pub async fn answer(&self, version: &Version, node: &str) -> NodeAnswer {
        let grant = self.marketer.grant::<ReadWorkflows>().unwrap();
        let mut tx = grant.begin_read().await.unwrap();
        let answers = workflows::node_answers(&grant, &mut tx, &[version.id]).await.unwrap().remove(&version.id);
        tx.commit().await.unwrap();
        let mut sum = NodeAnswer { node: node.to_owned(), ..NodeAnswer::default() };
        for one in answers.into_iter().flatten().filter(|one| one.node == node) {
            sum.entered += one.entered;
            sum.waiting += one.waiting;
            sum.passed += one.passed;
            sum.sent += one.sent;
            for (reason, people) in one.refused {
                *sum.refused.entry(reason).or_default() += people;
            }
            for (reason, people) in one.exited {
                *sum.exited.entry(reason).or_default() += people;
            }
        }
        sum
    }

    /// A role's permission to write workflows.
    pub async fn writer(&self) -> carillon_domain::tenancy::Grant<WriteWorkflows> {
        member(&self.post, self.tenant, Role::Marketer).await.grant().unwrap()
    }

    /// Somebody who agreed to get mail, in a country: tracked in the US, and not in the European Union.
    pub async fn person_of(&self, email: &str, country: &str) -> ContactId {
        let contact = self.person(email).await;
        let moved = format!("UPDATE contacts SET country = '{country}' WHERE email_norm = '{email}'");
        assert_eq!(self.execute(&moved).await, 1);
        contact
    }

    /// Somebody opens the mail of a node, or clicks in it, long after it came; and that is judged.
    pub async fn engages(&self, who: ContactId, node: &str, kind: HitKind) {
        self.hits(who, node, kind).await;
        self.advance(HIT_HOLD);
        self.drain().await;
    }

    /// The same, and nobody has judged it yet.
    pub async fn hits(&self, who: ContactId, node: &str, kind: HitKind) {
        self.advance(TimeDelta::minutes(5));
        let mut tx = self.grant::<SendMessages>(self.tenant).begin_read().await.unwrap();
        let select = tx.select::<messages::Entity>().eq(messages::Column::ContactId, who);
        let message = select.eq(messages::Column::Node, node.to_owned()).one().await.unwrap().unwrap().id;
        tx.commit().await.unwrap();
        let target = (LinkPlace { number: 1, of: 2 }, "https://shop.example/".to_owned());
        let target = (kind == HitKind::Click).then_some(target);
        let token = ClickToken { tenant: self.tenant, tracked: Tracked::Message(message), target };
        let keys = &self.ports().keys;
        let click = ClickToken::decode(keys, kind, &keys.click_signer().sign(&token).unwrap()).unwrap();
        let visit = Visit { agent: Agent::Browser, address: None, is_head: false };
        let recorded = record_hit(&enter_by_click(self.wall(), &click), self.ports(), &click, visit).await.unwrap();
        assert_eq!(recorded, Recorded::Kept);
    }

    /// Mails that the catcher has for somebody.
    pub fn mails(&self, email: &str) -> u64 {
        self.catcher.count_for(email)
    }
}

/// A definition around nodes: `started` brings people to `first`.
pub fn started(nodes: &Json) -> Json {
    json!({ "trigger": { "event": "started" }, "start": "first", "nodes": nodes })
}
