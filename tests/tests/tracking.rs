//! Opens and clicks, from the link in a mail to what a workflow may know of them: over the gateway, with the engine judging.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use actix_web::http::{Method, StatusCode, header};
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::web;
use carillon::application;
use carillon::http::Gateway;
use carillon_domain::contacts;
use carillon_domain::entropy::SeededEntropy;
use carillon_domain::keys::{ClickToken, HitKind, Tracked};
use carillon_domain::messaging::{self, Engagement, HIT_HOLD, HITS_MAX, MessageClass, PublishVersion, TrackingMode};
use carillon_domain::ports::{Ports, Wall};
use carillon_domain::tenancy::{ReadContacts, RecordConsent, Role, WriteContacts};
use carillon_entities::ids::{ContactId, EnrollmentId, MessageId, TemplateVersionId};
use carillon_entities::wall::DatabaseSettings;
use carillon_tests::gateway::gateway;
use carillon_tests::post::{Post, member, token};
use chrono::TimeDelta;
use serde_json::{Value, json};

const CHROME: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36";
const MPP: &str = "Mozilla/5.0";
const GOOGLE: &str = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)";
const HTML: &str = "<html><body><p>Hello {{ contact.first_name }}</p>\
    <a href=\"https://shop.example/a?x=1&amp;y=2#part\">A</a> <a href='https://shop.example/b'>B</a> \
    <a href=\"https://shop.example/c\">C</a> <a data-carillon-track=\"off\" href=\"https://shop.example/plain\">D</a> \
    <a href=\"mailto:shop@shop.example\">E</a> <a href=\"#top\">F</a> \
    <a href=\"{{ unsubscribe_url }}\">Leave</a></body></html>";

/// A tenant whose mail has links, and the gateway that answers them.
struct Stage {
    post: Post,
    gateway: web::Data<Gateway>,
    version: TemplateVersionId,
}

struct Answer {
    status: StatusCode,
    headers: header::HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn location(&self) -> Option<&str> {
        self.headers.get(header::LOCATION).map(|value| value.to_str().unwrap())
    }
}

/// A request as a client of a kind makes it, from an address.
fn get(path: &str, agent: &str, from: &str) -> TestRequest {
    let request = TestRequest::get().uri(path).peer_addr(format!("{from}:4711").parse().unwrap());
    if agent.is_empty() { request } else { request.insert_header((header::USER_AGENT, agent)) }
}

impl Stage {
    async fn new() -> Self {
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
    async fn person(&self, email: &str, country: &str) -> ContactId {
        let contact = self.post.person(email).await;
        self.move_to(email, country).await;
        contact
    }

    async fn move_to(&self, email: &str, country: &str) {
        let moved = format!("UPDATE contacts SET country = '{country}' WHERE email_norm = '{email}'");
        assert_eq!(self.post.execute(&moved).await, 1);
    }

    /// Sends somebody the mail with the links.
    async fn send(&self, key: &str, contact: ContactId) -> MessageId {
        let intent = messaging::Intent { template_version: self.version, ..self.post.intent(key, contact) };
        let message = self.post.send(&[intent]).await[0];
        self.post.drain().await;
        message
    }

    /// The html and text parts of the newest mail to somebody.
    fn parts(&self, email: &str) -> (String, String) {
        let mail = self.post.mail_to(email);
        let parsed = mail_parser::MessageParser::default().parse(&mail.raw[..]).unwrap();
        (parsed.body_html(0).unwrap().into_owned(), parsed.body_text(0).unwrap().into_owned())
    }

    /// The paths of the tracked links of the newest mail to somebody, and of its pixel.
    fn tracked(&self, email: &str) -> (Vec<String>, Option<String>) {
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
    async fn ask(&self, request: TestRequest) -> Answer {
        let app = init_service(application!(self.gateway.clone())).await;
        let response = call_service(&app, request.to_request()).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read_body(response).await.to_vec();
        self.gateway.hits.idle().await;
        Answer { status, headers, body }
    }

    /// A visit that is answered.
    async fn visit(&self, path: &str, agent: &str) -> Answer {
        let answer = self.ask(get(path, agent, "203.0.113.9")).await;
        assert!(answer.status == StatusCode::FOUND || answer.status == StatusCode::OK, "{path}: {}", answer.status);
        answer
    }

    /// Lets the hold of all hits end.
    async fn judge(&self) {
        self.post.advance(HIT_HOLD);
        self.post.drain().await;
    }

    async fn number(&self, what: &str) -> i64 {
        self.post.number(&format!("SELECT COUNT(*) AS amount FROM {what}")).await
    }

    /// `kind class rule` of the hits, in order of time.
    async fn verdicts(&self) -> Vec<String> {
        let line = "SELECT kind || ' ' || class || ' ' || COALESCE(rule_id, '') AS line FROM message_hits ORDER BY id";
        self.post.lines(line).await
    }

    /// What a workflow would know of a mail, whose step is made up: the message's id stands for the way of its person.
    async fn engagement(&self, message: MessageId) -> Engagement {
        self.post.execute("UPDATE messages SET enrollment_id = id, node = 'hello'").await;
        let mut tx = self.post.marketer.grant::<ReadContacts>().unwrap().begin_read().await.unwrap();
        let wanted = [(EnrollmentId(message.0), "hello".to_owned()), (EnrollmentId(message.0), "other".to_owned())];
        let found = messaging::engagement(&mut tx, &wanted).await.unwrap();
        assert_eq!(found.len(), 1, "a step without a mail is left out");
        self.post.execute("UPDATE messages SET enrollment_id = NULL, node = NULL").await;
        found[&wanted[0]]
    }

    async fn choose(&self, contact: ContactId, mode: TrackingMode) -> TrackingMode {
        let grant = self.post.marketer.grant::<RecordConsent>().unwrap();
        let mut tx = grant.begin().await.unwrap();
        let ports = self.post.ports();
        let now = messaging::set_contact_tracking_mode(&grant, &mut tx, ports, (contact, mode)).await.unwrap();
        tx.commit().await.unwrap();
        now
    }

    async fn choose_for_all(&self, mode: TrackingMode) {
        let grant = member(&self.post, self.post.tenant, Role::Admin).await.grant().unwrap();
        let mut tx = grant.begin().await.unwrap();
        messaging::set_tracking_mode(&grant, &mut tx, self.post.ports(), mode).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn graphql(&self, token: &str, query: &str, variables: Value) -> Value {
        let request = TestRequest::post().uri("/graphql").insert_header(("authorization", format!("Bearer {token}")));
        let answer = self.ask(request.set_json(json!({ "query": query, "variables": variables }))).await;
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer.get("errors"), None, "{answer}");
        answer["data"].clone()
    }
}

#[actix_web::test]
async fn c016_ways_out_and_what_is_no_web_link_stay_as_they_are() {
    let stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "US").await;
    stage.send("one", contact).await;
    let (html, text) = stage.parts("ada@example.org");
    for kept in [
        "href=\"https://carillon.test/unsubscribe/",
        "href=\"https://shop.example/plain\"",
        "href=\"mailto:shop@shop.example\"",
        "href=\"#top\"",
    ] {
        assert!(html.contains(kept), "{kept} is not in {html}");
    }
    assert!(text.contains("https://shop.example/a") && !text.contains("/c/"), "{text}");
    let (links, pixel) = stage.tracked("ada@example.org");
    assert_eq!((links.len(), pixel.is_some()), (3, true));
    assert!(!html.contains("https://shop.example/a"), "a tracked link does not say where it leads");
    // The header's link is the header's link: it opens as one, and counts as no click.
    stage.post.one_click(&stage.post.mail_to("ada@example.org"));
    let page = html.split("https://carillon.test").find(|part| part.starts_with("/unsubscribe/")).unwrap();
    stage.visit(page.split('"').next().unwrap(), CHROME).await;
    assert_eq!(stage.number("message_hits").await, 0);
}

#[actix_web::test]
async fn c077_who_is_in_the_eea_gets_no_link_or_pixel_of_their_own() {
    let stage = Stage::new().await;
    for (email, country) in [("a@example.org", "FR"), ("b@example.org", "IT"), ("d@example.org", "US")] {
        let contact = stage.person(email, country).await;
        stage.send(email, contact).await;
    }
    let nowhere = stage.post.person("c@example.org").await;
    stage.send("c", nowhere).await;
    let aggregate = stage.tracked("a@example.org");
    assert_eq!(aggregate.0.len(), 3);
    for email in ["b@example.org", "c@example.org"] {
        assert_eq!(stage.tracked(email), aggregate, "all have the same, so it names nobody");
    }
    let (individual, pixel) = stage.tracked("d@example.org");
    assert!(individual.iter().all(|link| !aggregate.0.contains(link)) && pixel != aggregate.1);
    // What a service message or a test holds leads straight to where it leads.
    let receipt = stage.post.receipt("receipt", nowhere);
    stage.post.send(&[receipt]).await;
    stage.post.drain().await;
    assert_eq!(stage.tracked("c@example.org"), (Vec::new(), None));
}

#[actix_web::test]
async fn c078_aggregate_hits_are_counted_by_content_and_day_without_ids() {
    let stage = Stage::new().await;
    let contact = stage.person("a@example.org", "DE").await;
    stage.send("one", contact).await;
    let (links, pixel) = stage.tracked("a@example.org");
    let pixel = pixel.unwrap();
    for (path, agent) in
        [(&links[0], CHROME), (&links[1], CHROME), (&pixel, GOOGLE), (&pixel, MPP), (&links[2], "curl/8")]
    {
        stage.visit(path, agent).await;
    }
    stage.ask(get(&links[0], CHROME, "203.0.113.9").method(Method::HEAD)).await;
    assert_eq!(stage.number("message_hits").await, 0);
    assert_eq!(
        stage.post.lines("SELECT kind || count AS line FROM tracking_counts ORDER BY kind").await,
        ["click2", "open1"]
    );
    let token = token(&stage.post, stage.post.tenant, Role::Viewer).await;
    let query = "query($id: ID) { trackingCounts(templateVersionId: $id) { day origin opens clicks } }";
    let day = stage.post.ports().now().date_naive().to_string();
    let expected = json!([{ "day": day, "origin": "", "opens": 1, "clicks": 2 }]);
    let version = stage.version.to_string();
    assert_eq!(stage.graphql(&token, query, json!({ "id": version })).await["trackingCounts"], expected);
    assert_eq!(stage.graphql(&token, query, json!({})).await["trackingCounts"], expected);
    let other = stage.post.marketing.to_string();
    assert_eq!(stage.graphql(&token, query, json!({ "id": other })).await["trackingCounts"], json!([]));
    // A tenant that wants to know nothing counts nothing any more, and its next mail tells nothing.
    stage.choose_for_all(TrackingMode::None).await;
    stage.visit(&links[0], CHROME).await;
    assert_eq!(stage.number("tracking_counts WHERE count > 2").await, 0);
    stage.send("two", contact).await;
    assert_eq!(stage.tracked("a@example.org"), (Vec::new(), None));
}

#[actix_web::test]
async fn c078_a_tenant_may_be_stricter_and_never_looser() {
    let stage = Stage::new().await;
    let (french, american) = (stage.person("fr@example.org", "FR").await, stage.person("us@example.org", "US").await);
    stage.choose_for_all(TrackingMode::Individual).await;
    let of = async |key: &str, contact| stage.post.message(stage.send(key, contact).await).await.tracking;
    assert_eq!(of("one", french).await, TrackingMode::Aggregate);
    assert_eq!(of("two", american).await, TrackingMode::Individual);
    assert_eq!(stage.choose(french, TrackingMode::Individual).await, TrackingMode::Individual);
    assert_eq!(of("three", french).await, TrackingMode::Individual);
    stage.choose_for_all(TrackingMode::Aggregate).await;
    assert_eq!(of("four", american).await, TrackingMode::Aggregate);
    assert_eq!(stage.choose(french, TrackingMode::Individual).await, TrackingMode::Aggregate);
}

#[actix_web::test]
async fn c078_what_became_stricter_before_a_mail_is_rendered_counts() {
    let stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "US").await;
    let intent = messaging::Intent { template_version: stage.version, ..stage.post.intent("one", contact) };
    let message = stage.post.send(&[intent]).await[0];
    assert_eq!(stage.post.message(message).await.tracking, TrackingMode::Individual);
    stage.move_to("ada@example.org", "FR").await;
    stage.post.drain().await;
    assert_eq!(stage.post.message(message).await.tracking, TrackingMode::Aggregate);
    let (links, _) = stage.tracked("ada@example.org");
    let token =
        ClickToken::decode(&stage.post.ports().keys, HitKind::Click, links[0].trim_start_matches("/c/")).unwrap();
    assert!(matches!(token.tracked, Tracked::Content { .. }));
    assert!(!stage.engagement(message).await.tracked);
}

#[actix_web::test]
async fn c079_what_was_withdrawn_is_not_recorded_in_mails_already_sent() {
    let stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "US").await;
    let message = stage.send("one", contact).await;
    let (links, pixel) = stage.tracked("ada@example.org");
    let pixel = pixel.unwrap();
    stage.visit(&links[0], CHROME).await;
    assert!(stage.engagement(message).await.tracked);
    stage.choose(contact, TrackingMode::Aggregate).await;
    let answer = stage.visit(&pixel, CHROME).await;
    assert_eq!((answer.status, &answer.body[..6]), (StatusCode::OK, &b"GIF89a"[..]));
    assert_eq!(stage.visit(&links[0], CHROME).await.location(), Some("https://shop.example/a?x=1&y=2#part"));
    assert_eq!(stage.number("message_hits").await, 1);
    assert!(!stage.engagement(message).await.tracked, "nothing can be said of an untracked person");
    // The tenant's choice, the country and the end of the contact do the same.
    stage.choose(contact, TrackingMode::Individual).await;
    stage.choose_for_all(TrackingMode::Aggregate).await;
    stage.visit(&pixel, CHROME).await;
    stage.choose_for_all(TrackingMode::Individual).await;
    stage.visit(&pixel, CHROME).await;
    assert_eq!(stage.number("message_hits").await, 2);
    let grant = stage.post.marketer.grant::<WriteContacts>().unwrap();
    let mut tx = grant.begin().await.unwrap();
    let version = stage.post.number("SELECT version AS amount FROM contacts").await;
    contacts::delete_contact(&grant, &mut tx, stage.post.ports(), contact, version).await.unwrap();
    tx.commit().await.unwrap();
    stage.visit(&pixel, CHROME).await;
    assert_eq!(stage.number("message_hits").await, 2);
}

#[actix_web::test]
async fn c080_every_tracked_mail_leads_to_a_way_to_refuse_tracking_and_stay_on_the_list() {
    let stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "US").await;
    stage.send("one", contact).await;
    let (links, _) = stage.tracked("ada@example.org");
    let html = stage.parts("ada@example.org").0;
    let page = html.split("https://carillon.test").find(|part| part.starts_with("/unsubscribe/")).unwrap();
    let page = page.split('"').next().unwrap();
    // A GET shows the way and goes none.
    let shown = String::from_utf8(stage.ask(get(page, CHROME, "203.0.113.9")).await.body).unwrap();
    assert!(shown.contains("value=\"no_tracking\""), "{shown}");
    assert_eq!(stage.number("tracking_modes").await, 0);
    let choice = || TestRequest::post().uri(page).set_form([("choice", "no_tracking")]);
    for _ in 0..2 {
        let done = stage.ask(choice()).await;
        assert_eq!(done.status, StatusCode::OK);
        let done = String::from_utf8(done.body).unwrap();
        assert!(done.contains("You are not tracked any more") && done.contains("value=\"topic\""), "{done}");
    }
    assert_eq!(stage.number("tracking_modes WHERE mode = 'none'").await, 1);
    assert_eq!(stage.number("suppressions").await, 0);
    assert_eq!(
        stage.number("contact_changes WHERE actor_kind = 'subject'").await,
        1,
        "that they said so is kept, once"
    );
    stage.visit(&links[0], CHROME).await;
    assert_eq!(stage.number("message_hits").await, 0);
    // They stay on the list, and the next mail tells nothing.
    stage.send("two", contact).await;
    assert_eq!(stage.number("messages WHERE state = 'sent'").await, 2);
    assert_eq!(stage.tracked("ada@example.org"), (Vec::new(), None));
    // The way from the header leads there, too.
    let header = stage.post.mail_to("ada@example.org");
    let header = String::from_utf8_lossy(&header.raw).replace("\r\n ", "").replace("\r\n\t", "");
    let path = header.split("https://carillon.test").find(|part| part.starts_with("/u/")).unwrap();
    let shown = stage.ask(get(path.split('>').next().unwrap(), CHROME, "203.0.113.9")).await;
    assert!(String::from_utf8(shown.body).unwrap().contains("value=\"no_tracking\""));
}

#[actix_web::test]
async fn c081_machine_opens_are_kept_as_such_and_satisfy_nothing() {
    let stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "US").await;
    let message = stage.send("one", contact).await;
    let pixel = stage.tracked("ada@example.org").1.unwrap();
    stage.post.advance(TimeDelta::minutes(5));
    for agent in [MPP, GOOGLE, "", "curl/8.1", "Something/1.0"] {
        stage.post.advance(TimeDelta::milliseconds(1));
        stage.visit(&pixel, agent).await;
    }
    stage.judge().await;
    let machines = [
        "open mpp agent_mpp",
        "open proxy agent_proxy",
        "open unknown agent_missing",
        "open scanner agent_bot",
        "open unknown agent_other",
    ];
    assert_eq!(stage.verdicts().await, machines);
    let known = Engagement { tracked: true, sent: true, ..Engagement::default() };
    assert_eq!(stage.engagement(message).await, known);
    assert_eq!(stage.number("message_events WHERE kind = 'opened'").await, 5, "each stands in the history");
    stage.visit(&pixel, CHROME).await;
    let opened_at = stage.post.ports().now();
    stage.judge().await;
    assert_eq!(stage.engagement(message).await, Engagement { opened_at: Some(opened_at), ..known });
    let token = token(&stage.post, stage.post.tenant, Role::Viewer).await;
    let fields = "human mpp proxy scanner unknown pending firstHumanAt";
    let query =
        format!("query($id: ID!) {{ message(id: $id) {{ tracking opens {{ {fields} }} clicks {{ {fields} }} }} }}");
    let shown = stage.graphql(&token, &query, json!({ "id": message.to_string() })).await["message"].clone();
    assert_eq!(shown["tracking"], "INDIVIDUAL");
    let at: chrono::DateTime<chrono::Utc> = shown["opens"]["firstHumanAt"].as_str().unwrap().parse().unwrap();
    assert_eq!(at, opened_at);
    let counts =
        ["human", "mpp", "proxy", "scanner", "unknown", "pending"].map(|class| shown["opens"][class].as_i64().unwrap());
    assert_eq!(counts, [1, 1, 1, 1, 2, 0]);
    assert_eq!((&shown["clicks"]["human"], &shown["clicks"]["firstHumanAt"]), (&json!(0), &Value::Null));
}

#[actix_web::test]
async fn c082_a_scanner_that_follows_everything_moves_nobody_and_the_person_behind_it_does() {
    let stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "US").await;
    let message = stage.send("one", contact).await;
    let links = stage.tracked("ada@example.org").0;
    // At delivery, then faster than hands a little later, and for the headers alone.
    stage.visit(&links[0], CHROME).await;
    stage.post.advance(TimeDelta::seconds(30));
    for link in &links {
        stage.visit(link, CHROME).await;
        stage.post.advance(TimeDelta::milliseconds(300));
    }
    stage.post.advance(TimeDelta::seconds(30));
    let head = stage.ask(get(&links[1], CHROME, "203.0.113.9").method(Method::HEAD)).await;
    assert_eq!((head.status, head.location(), head.body.len()), (StatusCode::FOUND, Some("https://shop.example/b"), 0));
    stage.judge().await;
    let scanned = [
        "click scanner too_soon",
        "click scanner many_links",
        "click scanner many_links",
        "click scanner many_links",
        "click scanner head",
    ];
    assert_eq!(stage.verdicts().await, scanned);
    let nothing = Engagement { tracked: true, sent: true, ..Engagement::default() };
    assert_eq!(stage.engagement(message).await, nothing);
    // Later a person comes. Until the hold is over nobody knows what that was.
    stage.post.advance(TimeDelta::minutes(20));
    stage.visit(&links[1], CHROME).await;
    let clicked_at = stage.post.ports().now();
    stage.post.drain().await;
    assert_eq!(stage.engagement(message).await, Engagement { pending_until: Some(clicked_at + HIT_HOLD), ..nothing });
    stage.judge().await;
    let clicked = Engagement { opened_at: Some(clicked_at), clicked_at: Some(clicked_at), ..nothing };
    assert_eq!(stage.engagement(message).await, clicked);
    assert_eq!(stage.number("message_events WHERE kind = 'clicked'").await, 6);
}

#[actix_web::test]
async fn c082_one_network_over_many_mails_at_once_is_a_machine_and_an_office_is_not() {
    let stage = Stage::new().await;
    let mut firsts = Vec::new();
    for number in 0..10 {
        let email = format!("p{number}@example.org");
        let contact = stage.person(&email, "US").await;
        stage.send(&email, contact).await;
        firsts.push(stage.tracked(&email).0[0].clone());
    }
    stage.post.advance(TimeDelta::seconds(20));
    for (number, link) in firsts.iter().enumerate() {
        stage.ask(get(link, CHROME, &format!("203.0.113.{number}"))).await;
        stage.post.advance(TimeDelta::milliseconds(500));
    }
    stage.judge().await;
    assert_eq!(stage.number("message_hits WHERE class = 'scanner' AND rule_id = 'many_messages'").await, 10);
    stage.post.advance(TimeDelta::hours(2));
    for link in &firsts {
        stage.ask(get(link, CHROME, "203.0.113.7")).await;
    }
    stage.judge().await;
    assert_eq!(stage.number("message_hits WHERE class = 'human'").await, 10);
}

#[actix_web::test]
async fn c082_judging_costs_the_same_number_of_statements_for_3_hits_and_for_90() {
    let stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "US").await;
    stage.send("one", contact).await;
    let pixel = stage.tracked("ada@example.org").1.unwrap();
    let mut costs = Vec::new();
    for hits in [3, 90] {
        stage.post.advance(TimeDelta::minutes(5));
        for _ in 0..hits {
            stage.visit(&pixel, CHROME).await;
        }
        stage.post.advance(HIT_HOLD);
        let grant = stage.post.grant(stage.post.tenant);
        let judging = messaging::judge_hits(&grant, stage.post.ports());
        let (judged, cost) = stage.post.statements_of(judging).await;
        assert_eq!(judged.unwrap(), hits);
        costs.push(cost);
    }
    assert_eq!(costs[0], costs[1]);
}

#[actix_web::test]
async fn c084_a_link_leads_where_it_was_signed_to_lead_and_nowhere_else() {
    let stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "US").await;
    stage.send("one", contact).await;
    let (links, pixel) = stage.tracked("ada@example.org");
    let good = stage.visit(&links[0], CHROME).await;
    assert_eq!((good.status, good.location()), (StatusCode::FOUND, Some("https://shop.example/a?x=1&y=2#part")));
    let of = |name| good.headers.get(name).unwrap().to_str().unwrap();
    assert_eq!((of("cache-control"), of("referrer-policy")), ("no-store", "no-referrer"));
    let by_url = stage.visit(&format!("{}?url=https://evil.example/&to=//evil.example", links[0]), CHROME).await;
    assert_eq!(by_url.location(), good.location());
    let token = links[0].trim_start_matches("/c/");
    let middle = token.len() / 2;
    let other = if token.as_bytes()[middle] == b'A' { "B" } else { "A" };
    let altered = format!("{}{other}{}", &token[..middle], &token[middle + 1..]);
    let pixels = pixel.as_ref().unwrap().trim_start_matches("/o/").trim_end_matches(".gif");
    for token in
        [&altered, &token[..middle], "x", "javascript:alert(1)", "%2F%2Fevil.example", pixels, &"A".repeat(20_000)]
    {
        for path in [format!("/c/{token}"), format!("/c/{token}/")] {
            let refused = stage.ask(get(&path, CHROME, "203.0.113.9")).await;
            assert_eq!((refused.status, refused.location()), (StatusCode::NOT_FOUND, None), "{path}");
        }
    }
    for path in [
        "/c//evil.example",
        "/c/https://evil.example/",
        "/o/x.gif",
        &format!("/o/{token}.gif"),
        pixel.as_ref().unwrap().trim_end_matches(".gif"),
    ] {
        let refused = stage.ask(get(path, CHROME, "203.0.113.9")).await;
        assert_eq!((refused.status, refused.location()), (StatusCode::NOT_FOUND, None), "{path}");
    }
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let refused = stage.ask(get(&links[0], CHROME, "203.0.113.9").method(method)).await;
        assert_eq!((refused.status, refused.location()), (StatusCode::METHOD_NOT_ALLOWED, None));
    }
    assert_eq!(stage.number("message_hits").await, 2, "what is refused leaves nothing behind");
}

#[actix_web::test]
async fn c084_retired_keys_lead_on_and_keys_that_are_not_here_yet_are_asked_for_again() {
    let mut stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "US").await;
    stage.send("one", contact).await;
    let (links, pixel) = stage.tracked("ada@example.org");
    let rotated = |ports: &Ports| Ports { keys: Arc::new(ports.keys.rotated(&SeededEntropy::new(9))), ..ports.clone() };
    stage.gateway = gateway(rotated(stage.post.ports()));
    assert_eq!(stage.visit(&links[0], CHROME).await.location(), Some("https://shop.example/a?x=1&y=2#part"));
    assert_eq!(stage.number("message_hits").await, 1);
    let other = carillon_domain::keys::Keyring::generate(&SeededEntropy::new(5));
    let other = other.rotated(&SeededEntropy::new(6)).to_secret_text().split(',').next().unwrap().parse().unwrap();
    stage.gateway = gateway(Ports { keys: Arc::new(other), ..stage.post.ports().clone() });
    for path in [&links[0], pixel.as_ref().unwrap()] {
        let later = stage.ask(get(path, CHROME, "203.0.113.9")).await;
        assert_eq!((later.status, later.location()), (StatusCode::SERVICE_UNAVAILABLE, None));
    }
}

#[actix_web::test]
async fn c084_links_lead_on_while_the_database_is_away() {
    let mut stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "US").await;
    stage.send("one", contact).await;
    let (links, pixel) = stage.tracked("ada@example.org");
    let away = Wall::open(&DatabaseSettings::single("sqlite::memory:")).await.unwrap();
    away.close().await;
    stage.gateway = gateway(Ports { wall: away, ..stage.post.ports().clone() });
    assert_eq!(stage.visit(&links[1], CHROME).await.location(), Some("https://shop.example/b"));
    assert_eq!(stage.visit(&pixel.unwrap(), CHROME).await.status, StatusCode::OK);
    assert_eq!(stage.number("message_hits").await, 0);
}

#[actix_web::test]
async fn c084_of_a_flood_of_hits_so_many_are_kept() {
    let stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "US").await;
    stage.send("one", contact).await;
    let pixel = stage.tracked("ada@example.org").1.unwrap();
    for _ in 0..HITS_MAX + 5 {
        stage.visit(&pixel, CHROME).await;
    }
    assert_eq!(stage.number("message_hits").await, HITS_MAX);
}

#[actix_web::test]
async fn c085_no_address_and_no_user_agent_is_kept_of_a_hit() {
    let stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "US").await;
    let message = stage.send("one", contact).await;
    let links = stage.tracked("ada@example.org").0;
    let agent = format!("{CHROME} Quexalot/1.0");
    stage.post.advance(TimeDelta::minutes(5));
    for from in ["203.0.113.9", "203.0.113.200", "198.51.100.7", "[2001:db8::7]"] {
        stage.ask(get(&links[0], &agent, from)).await;
    }
    stage.judge().await;
    assert_eq!(stage.number("message_hits WHERE agent = 'browser' AND length(source_hash) = 16").await, 4);
    let networks = stage.post.number("SELECT COUNT(DISTINCT source_hash) AS amount FROM message_hits").await;
    assert_eq!(networks, 3, "two addresses of one network are one");
    // All that is kept of a hit, and all that its history says.
    let columns = carillon_migration::schema::tables().find(|table| table.name == "message_hits").unwrap();
    let names: Vec<_> = carillon_tests::schema::columns(columns).iter().map(|column| column.name).collect();
    let kept = "id message_id kind link links agent is_head source_hash class rule_id at due_at";
    assert_eq!(names.join(" "), kept);
    let history =
        stage.post.lines("SELECT CAST(detail AS TEXT) AS line FROM message_events WHERE kind = 'clicked'").await;
    assert_eq!(history.len(), 4);
    for text in ["203.0.113", "198.51.100", "2001:db8", "Quexalot", "Mozilla"] {
        assert!(history.iter().all(|line| !line.contains(text)), "{text} in {history:?}");
    }
    assert!(stage.engagement(message).await.clicked_at.is_some());
}

#[actix_web::test]
async fn modes_are_set_and_shown_over_the_api() {
    let stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "FR").await.to_string();
    let admin = token(&stage.post, stage.post.tenant, Role::Admin).await;
    let show = "query($id: ID!) { contact(id: $id) { trackingMode } tenant { trackingMode } }";
    let shown = async || stage.graphql(&admin, show, json!({ "id": contact })).await;
    let modes = |contact: &str, tenant: Value| json!({ "contact": { "trackingMode": contact }, "tenant": { "trackingMode": tenant } });
    assert_eq!(shown().await, modes("AGGREGATE", Value::Null));
    let set = "mutation($input: SetContactTrackingModeInput!) { setContactTrackingMode(input: $input) { trackingMode \
        userErrors { code field } } }";
    let input = json!({ "contactId": contact, "mode": "INDIVIDUAL", "idempotencyKey": "one" });
    for _ in 0..2 {
        let done = stage.graphql(&admin, set, json!({ "input": input })).await;
        assert_eq!(done["setContactTrackingMode"], json!({ "trackingMode": "INDIVIDUAL", "userErrors": [] }));
    }
    assert_eq!(stage.number("tracking_modes").await, 1);
    let nobody = json!({ "contactId": stage.post.ports().new_id::<ContactId>().to_string(), "mode": "NONE" });
    let done = stage.graphql(&admin, set, json!({ "input": nobody })).await;
    assert_eq!(done["setContactTrackingMode"]["userErrors"], json!([{ "code": "NOT_FOUND", "field": ["contactId"] }]));
    let set = "mutation($input: SetTrackingModeInput!) { setTrackingMode(input: $input) { trackingMode userErrors { code } } }";
    let done = stage.graphql(&admin, set, json!({ "input": { "mode": "NONE" } })).await;
    assert_eq!(done["setTrackingMode"], json!({ "trackingMode": "NONE", "userErrors": [] }));
    assert_eq!(shown().await, modes("NONE", json!("NONE")));
    assert_eq!(stage.number("audit_events WHERE action = 'tracking.set'").await, 1);
}
