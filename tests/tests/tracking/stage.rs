//! A tenant whose mail has links, the gateway that answers them, and people of many countries.

use actix_web::http::{StatusCode, header};
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::web;
use carillon::application;
use carillon::http::Gateway;
use carillon_domain::keys::{ClickToken, HitKind};
use carillon_domain::messaging::{self, Engagement, HIT_HOLD, MessageClass, PublishVersion, TrackingMode};
use carillon_domain::tenancy::{ReadContacts, RecordConsent, Role, SendMessages};
use carillon_entities::ids::{ContactId, EnrollmentId, MessageId, TemplateVersionId};
use carillon_entities::rows::messaging::message_hits;
use carillon_entities::wall::OnConflict;
use carillon_tests::gateway::gateway;
use carillon_tests::post::{Post, member};
use sea_orm::ActiveValue::Set;
use serde_json::{Value, json};

pub const CHROME: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36";
pub const MPP: &str = "Mozilla/5.0";
pub const GOOGLE: &str = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)";
pub const HTML: &str = "<html><body><p>Hello {{ contact.first_name }}</p>\
    <a href=\"https://shop.example/a?x=1&amp;y=2#part\">A</a> <a href='https://shop.example/b'>B</a> \
    <a href=\"https://shop.example/c\">C</a> <a data-carillon-track=\"off\" href=\"https://shop.example/plain\">D</a> \
    <a href=\"mailto:shop@shop.example\">E</a> <a href=\"#top\">F</a> \
    <a href=\"{{ unsubscribe_url }}\">Leave</a></body></html>";

/// A tenant whose mail has links, and the gateway that answers them.
pub struct Stage {
    pub post: Post,
    pub gateway: web::Data<Gateway>,
    pub version: TemplateVersionId,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: header::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn location(&self) -> Option<&str> {
        self.headers.get(header::LOCATION).map(|value| value.to_str().unwrap())
    }
}

/// A request as a client of a kind makes it, from an address.
pub fn get(path: &str, agent: &str, from: &str) -> TestRequest {
    let request = TestRequest::get().uri(path).peer_addr(format!("{from}:4711").parse().unwrap());
    if agent.is_empty() { request } else { request.insert_header((header::USER_AGENT, agent)) }
}

impl Stage {
    pub async fn new() -> Self {
        let post = Post::new().await;
        let grant = post.marketer.grant().unwrap();
        let mut tx = grant.begin().await.unwrap();
        let class = MessageClass::Marketing;
        let template = messaging::create_template(&grant, &mut tx, post.ports(), "Links", class).await.unwrap();
        let command = PublishVersion {
            template: template.id,
            locale: "en".to_owned(),
            subject: "Hello".to_owned(),
            html: HTML.to_owned(),
            text: Some("See https://shop.example/a or leave: {{ unsubscribe_url }}".to_owned()),
            format: messaging::TemplateFormat::Html,
            event_name: None,
        };
        let published = messaging::publish_version(&grant, &mut tx, post.ports(), command).await.unwrap();
        tx.commit().await.unwrap();
        let gateway = gateway(post.ports().clone());
        Self { version: published.version.id, post, gateway }
    }

    /// Somebody who agreed to get mail, in a country.
    pub async fn person(&self, email: &str, country: &str) -> ContactId {
        let contact = self.post.person(email).await;
        self.move_to(email, country).await;
        contact
    }

    pub async fn move_to(&self, email: &str, country: &str) {
        let moved = format!("UPDATE contacts SET country = '{country}' WHERE email_norm = '{email}'");
        assert_eq!(self.post.execute(&moved).await, 1);
    }

    /// Sends somebody the mail with the links.
    pub async fn send(&self, key: &str, contact: ContactId) -> MessageId {
        let intent = messaging::Intent { template_version: self.version, ..self.post.intent(key, contact) };
        let message = self.post.send(&[intent]).await[0];
        self.post.drain().await;
        message
    }

    /// The html and text parts of the newest mail to somebody.
    pub fn parts(&self, email: &str) -> (String, String) {
        let mail = self.post.mail_to(email);
        let parsed = mail_parser::MessageParser::default().parse(&mail.raw[..]).unwrap();
        (parsed.body_html(0).unwrap().into_owned(), parsed.body_text(0).unwrap().into_owned())
    }

    /// The paths of the tracked links of the newest mail to somebody, and of its pixel.
    pub fn tracked(&self, email: &str) -> (Vec<String>, Option<String>) {
        let html = self.parts(email).0;
        let paths = |before: &str| -> Vec<String> {
            let found = html.split(before).skip(1);
            found.map(|rest| rest.split(['"', '\'']).next().unwrap().to_owned()).collect()
        };
        let clicks =
            paths("href=\"https://carillon.test/c/").into_iter().chain(paths("href='https://carillon.test/c/"));
        let mut clicks: Vec<(u16, String)> = clicks
            .map(|text| {
                let token = ClickToken::decode(&self.post.ports().keys, HitKind::Click, &text).unwrap();
                (token.target.as_ref().unwrap().0.number, format!("/c/{text}"))
            })
            .collect();
        clicks.sort();
        let pixel = paths("src=\"https://carillon.test/o/").pop().map(|text| format!("/o/{text}"));
        (clicks.into_iter().map(|(_, path)| path).collect(), pixel)
    }

    /// A request to the gateway, and what it left behind written.
    pub async fn ask(&self, request: TestRequest) -> Answer {
        let app = init_service(application!(self.gateway.clone())).await;
        let response = call_service(&app, request.to_request()).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read_body(response).await.to_vec();
        self.gateway.hits.idle().await;
        Answer { status, headers, body }
    }

    /// A visit that is answered.
    pub async fn visit(&self, path: &str, agent: &str) -> Answer {
        let answer = self.ask(get(path, agent, "203.0.113.9")).await;
        assert!(answer.status == StatusCode::FOUND || answer.status == StatusCode::OK, "{path}: {}", answer.status);
        answer
    }

    /// What a scanner's passes over a mail leave behind, judged.
    pub async fn scanned(&self, message: MessageId, hits: i64) {
        let now = self.post.ports().now();
        let hit = |_| message_hits::ActiveModel {
            id: Set(self.post.ports().new_id()),
            message_id: Set(message),
            kind: Set(HitKind::Click.as_str().to_owned()),
            link: Set(Some(1)),
            links: Set(Some(3)),
            agent: Set("scanner".to_owned()),
            is_head: Set(false),
            source_hash: Set(Vec::new()),
            class: Set("scanner".to_owned()),
            rule_id: Set(Some("agent_scanner".to_owned())),
            at: Set(now),
            due_at: Set(now),
            ..Default::default()
        };
        let mut tx = self.post.grant::<SendMessages>(self.post.tenant).begin().await.unwrap();
        tx.insert_many((0..hits).map(hit).collect(), OnConflict::Fail).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Lets the hold of all hits end.
    pub async fn judge(&self) {
        self.post.advance(HIT_HOLD);
        self.post.drain().await;
    }

    pub async fn number(&self, what: &str) -> i64 {
        self.post.number(&format!("SELECT COUNT(*) AS amount FROM {what}")).await
    }

    /// `kind class rule` of the hits, in order of time.
    pub async fn verdicts(&self) -> Vec<String> {
        let line = "SELECT kind || ' ' || class || ' ' || COALESCE(rule_id, '') AS line FROM message_hits ORDER BY id";
        self.post.lines(line).await
    }

    /// What a workflow would know of a mail, whose step is made up: the message's id stands for the way of its person.
    pub async fn engagement(&self, message: MessageId) -> Engagement {
        self.post.execute("UPDATE messages SET enrollment_id = id, node = 'hello'").await;
        let mut tx = self.post.marketer.grant::<ReadContacts>().unwrap().begin_read().await.unwrap();
        let wanted = [(EnrollmentId(message.0), "hello".to_owned()), (EnrollmentId(message.0), "other".to_owned())];
        let found = messaging::engagement(&mut tx, &wanted).await.unwrap();
        assert_eq!(found.len(), 1, "a step without a mail is left out");
        self.post.execute("UPDATE messages SET enrollment_id = NULL, node = NULL").await;
        found[&wanted[0]]
    }

    pub async fn choose(&self, contact: ContactId, mode: TrackingMode) -> TrackingMode {
        let grant = self.post.marketer.grant::<RecordConsent>().unwrap();
        let mut tx = grant.begin().await.unwrap();
        let ports = self.post.ports();
        let now = messaging::set_contact_tracking_mode(&grant, &mut tx, ports, (contact, mode)).await.unwrap();
        tx.commit().await.unwrap();
        now
    }

    pub async fn choose_for_all(&self, mode: TrackingMode) {
        let grant = member(&self.post, self.post.tenant, Role::Admin).await.grant().unwrap();
        let mut tx = grant.begin().await.unwrap();
        messaging::set_tracking_mode(&grant, &mut tx, self.post.ports(), mode).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn graphql(&self, token: &str, query: &str, variables: Value) -> Value {
        let request = TestRequest::post().uri("/graphql").insert_header(("authorization", format!("Bearer {token}")));
        let answer = self.ask(request.set_json(json!({ "query": query, "variables": variables }))).await;
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer.get("errors"), None, "{answer}");
        answer["data"].clone()
    }
}
