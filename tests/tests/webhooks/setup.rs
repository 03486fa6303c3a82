//! A tenant that can send, and a sink that listens to it.

use std::sync::Arc;

use carillon_domain::paging::Page;
use carillon_domain::tenancy::{AdministerWebhooks, Grant, ReadWebhooks, Role, TenantContext};
use carillon_domain::webhooks::{
    self, Delivery, DeliveryFilter, Endpoint, MadeEndpoint, UpdateEndpoint, WebhookEventType,
};
use carillon_entities::ids::WebhookEndpointId;
use carillon_jobs::handlers::Handlers;
use carillon_tests::post::{Post, member};
use carillon_tests::sink::{Sink, listen};
use chrono::TimeDelta;

/// Longer than a claim holds.
pub const LAPSED: TimeDelta = TimeDelta::seconds(61);

pub struct Stage {
    pub post: Post,
    pub sink: Sink,
    pub admin: TenantContext,
}

impl std::ops::Deref for Stage {
    type Target = Post;
    fn deref(&self) -> &Post {
        &self.post
    }
}

impl Stage {
    pub async fn new() -> Self {
        Self::on(Post::new().await).await
    }

    pub async fn on(post: Post) -> Self {
        let admin = member(&post, post.tenant, Role::Admin).await;
        Self { sink: Sink::start().await, admin, post }
    }

    /// An endpoint on the sink.
    pub async fn listen(&self, event_types: &[WebhookEventType]) -> MadeEndpoint {
        // So that no two rows have one time.
        self.advance(TimeDelta::milliseconds(1));
        listen(&self.post, self.tenant, &self.sink.url("hook"), event_types).await
    }

    /// An endpoint that hears of new contacts, which tests make to have something to tell.
    pub async fn listen_to_contacts(&self) -> MadeEndpoint {
        self.listen(&[WebhookEventType::ContactCreated]).await
    }

    pub fn administers(&self) -> Grant<AdministerWebhooks> {
        self.admin.grant().unwrap()
    }

    pub async fn endpoint(&self, id: WebhookEndpointId) -> Endpoint {
        let grant = self.admin.grant::<ReadWebhooks>().unwrap();
        let mut tx = grant.begin_read().await.unwrap();
        let endpoint = webhooks::find_endpoints(&grant, &mut tx, &[id]).await.unwrap().pop().unwrap();
        tx.commit().await.unwrap();
        endpoint
    }

    pub async fn enable(&self, id: WebhookEndpointId, enabled: bool) {
        self.change(id, (None, Some(enabled))).await;
    }

    /// Has an endpoint be at another path of the sink.
    pub async fn relocate(&self, id: WebhookEndpointId, path: &str) {
        self.change(id, (Some(self.sink.url(path)), None)).await;
    }

    pub async fn test(&self, id: WebhookEndpointId) {
        let grant = self.administers();
        let mut tx = grant.begin().await.unwrap();
        webhooks::test_endpoint(&grant, &mut tx, self.ports(), id).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn delete(&self, id: WebhookEndpointId) {
        let grant = self.administers();
        let mut tx = grant.begin().await.unwrap();
        webhooks::delete_endpoint(&grant, &mut tx, self.ports(), id).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn change(&self, id: WebhookEndpointId, (url, enabled): (Option<String>, Option<bool>)) {
        let (grant, version) = (self.administers(), self.endpoint(id).await.version);
        let change = UpdateEndpoint { id, version, url, description: None, event_types: None, enabled };
        let mut tx = grant.begin().await.unwrap();
        webhooks::update_endpoint(&grant, &mut tx, self.ports(), &change).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn deliveries(&self) -> Vec<Delivery> {
        let grant = self.admin.grant::<ReadWebhooks>().unwrap();
        let mut tx = grant.begin_read().await.unwrap();
        let page = Page::first(100);
        let found = webhooks::deliveries(&grant, &mut tx, &DeliveryFilter::default(), &page).await.unwrap().items;
        tx.commit().await.unwrap();
        found
    }

    /// State and outcomes of each delivery, the oldest first: `delivered answered delivered`.
    pub async fn stories(&self) -> Vec<String> {
        let deliveries = self.deliveries().await;
        let ids: Vec<_> = deliveries.iter().map(|delivery| delivery.id).collect();
        let grant = self.admin.grant::<ReadWebhooks>().unwrap();
        let mut tx = grant.begin_read().await.unwrap();
        let attempts = webhooks::attempts(&grant, &mut tx, &ids).await.unwrap();
        tx.commit().await.unwrap();
        let story = |delivery: &Delivery| {
            let own = attempts.iter().filter(|attempt| attempt.delivery == delivery.id);
            let outcomes: Vec<_> = own.map(|attempt| attempt.outcome.as_str()).collect();
            [delivery.state.as_str()].into_iter().chain(outcomes).collect::<Vec<_>>().join(" ")
        };
        deliveries.iter().map(story).collect()
    }

    pub async fn worker(&self, name: &str) -> Arc<Handlers> {
        self.post.worker(name).await
    }

    /// Drains after so long.
    pub async fn after(&self, time: TimeDelta) {
        self.advance(time);
        self.drain().await;
    }
}
