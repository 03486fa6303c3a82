//! The links in mails over HTTP.

use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::{Method, StatusCode, header};
use actix_web::test;
use actix_web::test::TestRequest;
use carillon::application;
use carillon_domain::consent::{self, Basis, ConsentStatus, ConsentTopic, Reason, SourceKind, Verdict};
use carillon_domain::keys::LinkPurpose;
use carillon_domain::messaging::MessageClass;
use carillon_domain::ports::Ports;
use carillon_domain::tenancy::{ReadConsent, enter_for_work};
use carillon_entities::wall::Wall;
use futures::future::join_all;

use crate::setup::Setup;

const ADA: &str = "ada@example.org";

struct Answer {
    status: StatusCode,
    headers: header::HeaderMap,
    body: String,
}

/// The whole gateway, over some ports.
pub async fn gateway(
    ports: Ports,
) -> impl Service<actix_http::Request, Response = ServiceResponse<impl MessageBody>, Error = actix_web::Error> {
    test::init_service(application!(carillon_tests::gateway::gateway(ports))).await
}

async fn ask<S, B>(gateway: &S, request: TestRequest) -> Answer
where
    S: Service<actix_http::Request, Response = ServiceResponse<B>, Error = actix_web::Error>,
    B: MessageBody,
{
    let response = test::call_service(gateway, request.to_request()).await;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = test::read_body(response).await;
    Answer { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

fn post(path: &str) -> TestRequest {
    TestRequest::post().uri(path)
}

impl Setup {
    fn header(&self, email: &str, topic: ConsentTopic) -> String {
        format!("/u/{}", self.link(self.ports(), LinkPurpose::OneClick, email, topic))
    }

    fn body(&self, email: &str, topic: ConsentTopic) -> String {
        format!("/unsubscribe/{}", self.link(self.ports(), LinkPurpose::UnsubscribePage, email, topic))
    }

    async fn written(&self) -> [i64; 4] {
        let mut counts = [0; 4];
        for (count, table) in counts.iter_mut().zip([
            "consent_events",
            "suppressions",
            "endpoints",
            "endpoints WHERE consent_version > 1",
        ]) {
            *count = self.count(table).await;
        }
        counts
    }
}

#[actix_web::test]
async fn c003_a_bare_post_in_either_encoding_unsubscribes() {
    let setup = Setup::new().await;
    let gateway = gateway(setup.ports().clone()).await;
    let form = "application/x-www-form-urlencoded";
    let parts = "--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--b--\r\n";
    let bodies = [(form, "List-Unsubscribe=One-Click"), ("multipart/form-data; boundary=b", parts)];
    for (n, (kind, body)) in bodies.into_iter().enumerate() {
        let email = format!("p{n}@example.org");
        let request = post(&setup.header(&email, setup.news)).insert_header((header::CONTENT_TYPE, kind));
        let answer = ask(&gateway, request.set_payload(body)).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(!answer.headers.contains_key(header::SET_COOKIE));
        let facts = setup.facts(setup.ports(), &email, Some(setup.news)).await;
        assert_eq!(facts.suppressions.len(), 1);
        assert_eq!(facts.topic_consent.standing().status, ConsentStatus::Withdrawn);
    }
    assert_eq!(setup.count("consent_events WHERE actor_kind = 'subject' AND source_kind = 'subject'").await, 2);
}

#[actix_web::test]
async fn c003_over_a_real_connection_with_a_large_body_and_an_odd_one() {
    let setup = Setup::new().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let gateway = carillon_tests::gateway::gateway(setup.ports().clone());
    let server = carillon::http::serve(gateway, listener, std::time::Duration::from_secs(1)).unwrap();
    let handle = server.handle();
    let running = actix_web::rt::spawn(server);

    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let head = client.head(format!("{origin}{}", setup.header(ADA, setup.news))).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.text().await.unwrap(), "");
    assert_eq!(setup.count("suppressions").await, 0);
    for (n, body) in [vec![b'x'; 900_000], b"List-Unsubscribe=One-Click".to_vec(), Vec::new()].into_iter().enumerate() {
        let path = setup.header(&format!("p{n}@example.org"), setup.news);
        let answer = client.post(format!("{origin}{path}")).body(body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.text().await.unwrap().contains("You are unsubscribed"));
    }
    assert_eq!(setup.count("suppressions").await, 3);
    handle.stop(true).await;
    running.await.unwrap().unwrap();
}

#[actix_web::test]
async fn c004_no_redirect_with_or_without_slash_or_with_an_odd_host() {
    let setup = Setup::new().await;
    let gateway = gateway(setup.ports().clone()).await;
    let path = setup.header(ADA, setup.news);
    for path in [path.clone(), format!("{path}/"), format!("{path}?utm=1")] {
        let answer = ask(&gateway, post(&path).insert_header((header::HOST, "CARILLON.TEST"))).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
}

#[actix_web::test]
async fn c005_get_head_and_options_change_nothing() {
    let setup = Setup::new().await;
    setup.append(vec![setup.grant(ADA, setup.news, SourceKind::Subject)]).await;
    let before = setup.written().await;
    let gateway = gateway(setup.ports().clone()).await;
    let agents = ["", "Mozilla/5.0", "Barracuda Sentinel", "GoogleImageProxy", "SafeLinks"];
    for path in [setup.header(ADA, setup.news), setup.body(ADA, setup.news)] {
        for agent in agents {
            for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE] {
                for path in
                    [path.clone(), format!("{path}/"), format!("{path}?choice=topic&List-Unsubscribe=One-Click")]
                {
                    let request = TestRequest::with_uri(&path).method(method.clone());
                    let answer = ask(&gateway, request.insert_header((header::USER_AGENT, agent))).await;
                    assert!(!answer.status.is_redirection() && !answer.status.is_server_error());
                }
            }
        }
    }
    assert_eq!(setup.written().await, before);
    assert_eq!(setup.decide(ADA, MessageClass::Marketing, setup.news).await.verdict, Verdict::Allow);
}

#[actix_web::test]
async fn c006_the_headers_link_takes_any_body_and_the_bodys_link_needs_its_field() {
    let setup = Setup::new().await;
    let gateway = gateway(setup.ports().clone()).await;
    let hostile: [(&str, Vec<u8>); 5] = [
        ("", Vec::new()),
        ("application/json", b"{\"a\":".to_vec()),
        ("application/x-www-form-urlencoded", vec![0xff; 4096]),
        ("multipart/form-data", b"no boundary".to_vec()),
        ("text/plain", vec![b'x'; 700_000]),
    ];
    for (n, (kind, body)) in hostile.iter().enumerate() {
        let path = setup.header(&format!("p{n}@example.org"), setup.news);
        let answer =
            ask(&gateway, post(&path).insert_header((header::CONTENT_TYPE, *kind)).set_payload(body.clone())).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    let before = setup.written().await;
    assert_eq!(before[0], 5);
    for (kind, body) in &hostile {
        let path = setup.body(ADA, setup.news);
        let answer =
            ask(&gateway, post(&path).insert_header((header::CONTENT_TYPE, *kind)).set_payload(body.clone())).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.body.contains("<form method=\"post\">"), "{}", answer.body);
    }
    // Neither link opens the other's door.
    for path in [
        setup.header(ADA, setup.news).replace("/u/", "/unsubscribe/"),
        setup.body(ADA, setup.news).replace("/unsubscribe/", "/u/"),
    ] {
        let answer = ask(&gateway, post(&path).set_form([("choice", "topic")])).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(setup.written().await, before);
    let answer = ask(&gateway, post(&setup.body(ADA, setup.news)).set_form([("choice", "topic")])).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(setup.decide(ADA, MessageClass::Marketing, setup.news).await.reason, Reason::SuppressedUnsubscribe);
}

#[actix_web::test]
async fn c007_an_altered_token_is_answered_like_an_unknown_one() {
    let setup = Setup::new().await;
    let gateway = gateway(setup.ports().clone()).await;
    let path = setup.header(ADA, setup.news);
    assert!(!path.contains('@') && !path.contains("ada"));
    let unknown = ask(&gateway, post("/u/unknown")).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let token = path.strip_prefix("/u/").unwrap();
    let altered = (0..token.len()).step_by(7).map(|at| {
        let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
        format!("{}{other}{}", &token[..at], &token[at + 1..])
    });
    let odd = ["", "%00", "%ff", "..%2f", &"A".repeat(4_000)].map(str::to_owned);
    for token in altered.chain(odd) {
        for method in [Method::POST, Method::GET] {
            let answer = ask(&gateway, TestRequest::with_uri(&format!("/u/{token}")).method(method)).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{token}");
            assert!(answer.body == unknown.body || token.is_empty());
        }
    }
    assert_eq!(setup.written().await, [0; 4]);
}

#[actix_web::test]
async fn c008_the_link_outlives_contact_topic_brand_suspension_and_keys() {
    let setup = Setup::new().await;
    setup.contact(ADA).await;
    let header = setup.header(ADA, setup.news);
    let page = setup.body(ADA, setup.news);
    for table in ["contacts", "topics", "brands"] {
        setup.wipe(table).await;
    }
    setup.world.execute("UPDATE tenants SET suspended_at = created_at").await;
    setup.world.advance(chrono::TimeDelta::days(3_650));
    let rotated = setup.rotated();
    let gateway = gateway(rotated.clone()).await;
    assert_eq!(ask(&gateway, TestRequest::get().uri(&page)).await.status, StatusCode::OK);
    assert_eq!(ask(&gateway, TestRequest::get().uri(&header)).await.status, StatusCode::OK);
    assert_eq!(ask(&gateway, post(&header)).await.status, StatusCode::OK);
    let facts = setup.facts(&rotated, ADA, Some(setup.news)).await;
    assert_eq!(facts.suppressions.len(), 1);
    let answer = ask(&gateway, post(&page).set_form([("choice", "all_marketing")])).await;
    assert_eq!(answer.status, StatusCode::OK);
    let facts = setup.facts(&rotated, ADA, Some(setup.news)).await;
    assert!(facts.suppressions.iter().any(|found| found.scope == consent::SuppressionScope::Marketing));
}

#[actix_web::test]
async fn c009_three_posts_are_three_successes_and_one_event() {
    let setup = Setup::new().await;
    let gateway = gateway(setup.ports().clone()).await;
    let path = setup.header(ADA, setup.news);
    let mut bodies = Vec::new();
    for _ in 0..3 {
        let answer = ask(&gateway, post(&path)).await;
        assert_eq!(answer.status, StatusCode::OK);
        bodies.push(answer.body);
        setup.world.advance(chrono::TimeDelta::hours(1));
    }
    assert!(bodies[0] == bodies[1] && bodies[1] == bodies[2]);
    assert_eq!(setup.count("consent_events").await, 1);
    assert_eq!(setup.count("suppressions").await, 1);
}

#[actix_web::test]
async fn c010_valid_tokens_from_one_address_are_never_limited() {
    let setup = Setup::new().await;
    let gateway = gateway(setup.ports().clone()).await;
    let clicks = (0..1_000).map(|n| {
        let peer = "203.0.113.9:4711".parse().unwrap();
        ask(&gateway, post(&setup.header(&format!("p{n}@example.org"), setup.news)).peer_addr(peer))
    });
    for answer in join_all(clicks).await {
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert_eq!(setup.count("suppressions").await, 1_000);
}

#[actix_web::test]
async fn c011_no_success_while_the_database_is_away() {
    let setup = Setup::new().await;
    let path = setup.header(ADA, setup.news);
    let away = Wall::open(&setup.world.database.settings(2)).await.unwrap();
    away.close().await;
    let broken = gateway(Ports { wall: away, ..setup.ports().clone() }).await;
    let form = [("choice", "topic")];
    for request in [post(&path), post(&setup.body(ADA, setup.news)).set_form(form), TestRequest::get().uri(&path)] {
        let answer = ask(&broken, request).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers.contains_key(header::RETRY_AFTER));
    }
    assert_eq!(setup.written().await, [0; 4]);
    let answer = ask(&gateway(setup.ports().clone()).await, post(&path)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(setup.count("suppressions").await, 1);
}

#[actix_web::test]
async fn c011_a_link_under_a_key_that_comes_is_asked_for_again() {
    let setup = Setup::new().await;
    let new = setup.rotated();
    let one_click = format!("/u/{}", setup.link(&new, LinkPurpose::OneClick, ADA, setup.news));
    let page = format!("/unsubscribe/{}", setup.link(&new, LinkPurpose::UnsubscribePage, ADA, setup.news));
    let old = gateway(setup.ports().clone()).await;
    let get = |path: &str| TestRequest::get().uri(path);
    for request in [post(&one_click), post(&page).set_form([("choice", "topic")]), get(&one_click), get(&page)] {
        let answer = ask(&old, request).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers.contains_key(header::RETRY_AFTER));
    }
    assert_eq!(
        ask(&old, post(&one_click[..one_click.len() - 4])).await.status,
        StatusCode::NOT_FOUND,
        "no token at all"
    );
    assert_eq!(setup.written().await, [0; 4]);
    assert_eq!(ask(&gateway(new).await, post(&one_click)).await.status, StatusCode::OK);
    assert_eq!(setup.count("suppressions").await, 1);
}

#[actix_web::test]
async fn c011_whoever_reads_slowly_takes_no_connection_from_those_who_leave() {
    let setup = Setup::new().await;
    let mut settings = setup.world.database.settings(2);
    settings.acquire_timeout = Duration::from_millis(200);
    let ports = Ports { wall: Wall::open(&settings).await.unwrap(), ..setup.ports().clone() };
    let grant = enter_for_work(&ports.wall, setup.tenant).grant::<ReadConsent>();
    let busy = [grant.begin_read().await.unwrap(), grant.begin_read().await.unwrap()];
    assert!(grant.begin_read().await.is_err(), "all are in use");

    let path = setup.header(ADA, setup.news);
    let answer = ask(&gateway(ports).await, post(&path)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(setup.count("suppressions").await, 1);
    drop(busy);
}

#[actix_web::test]
async fn c013_one_click_ends_the_topic_and_the_page_ends_all_marketing() {
    let setup = Setup::new().await;
    let gateway = gateway(setup.ports().clone()).await;
    setup.append([setup.news, setup.offers].map(|topic| setup.grant(ADA, topic, SourceKind::Subject)).to_vec()).await;
    let verdict = async |class, topic| setup.decide(ADA, class, topic).await.verdict;

    assert_eq!(ask(&gateway, post(&setup.header(ADA, setup.news))).await.status, StatusCode::OK);
    assert_eq!(verdict(MessageClass::Marketing, setup.news).await, Verdict::Deny);
    assert_eq!(verdict(MessageClass::Marketing, setup.offers).await, Verdict::Allow);

    let page = ask(&gateway, TestRequest::get().uri(&setup.body(ADA, setup.news))).await;
    assert!(page.body.contains("value=\"all_marketing\""), "offered, never hidden");
    let request = post(&setup.body(ADA, setup.news)).set_form([("choice", "all_marketing")]);
    assert_eq!(ask(&gateway, request).await.status, StatusCode::OK);
    assert_eq!(verdict(MessageClass::Marketing, setup.offers).await, Verdict::Deny);
    assert_eq!(verdict(MessageClass::Transactional, setup.offers).await, Verdict::Allow);
}

#[actix_web::test]
async fn c014_one_click_on_a_confirmation_mail_closes_what_was_pending() {
    let setup = Setup::new().await;
    let mut pending = setup.grant(ADA, setup.news, SourceKind::Subject);
    pending.basis = Basis::Unconfirmed;
    let appended = setup.append(vec![pending]).await;
    assert_eq!(appended[0].standing.status, ConsentStatus::Pending);
    let gateway = gateway(setup.ports().clone()).await;
    setup.world.advance(chrono::TimeDelta::seconds(1));
    assert_eq!(ask(&gateway, post(&setup.header(ADA, setup.news))).await.status, StatusCode::OK);
    let grant = setup.admin.grant::<ReadConsent>().unwrap();
    let mut tx = grant.begin_read().await.unwrap();
    let people = [setup.recipient(setup.ports(), ADA)];
    let consents = consent::list_consents(&grant, &mut tx, &people).await.unwrap().remove(0);
    assert_eq!(consents.len(), 1);
    assert_eq!(consents[0].status, ConsentStatus::Withdrawn);
    drop(tx);
    assert_eq!(setup.count("suppressions").await, 1);
}

#[actix_web::test]
async fn c087_the_pages_need_no_scripts_cookies_or_styles_and_leak_nothing() {
    let setup = Setup::new().await;
    let gateway = gateway(setup.ports().clone()).await;
    let header_page = ask(&gateway, TestRequest::get().uri(&setup.header(ADA, setup.news))).await;
    // The header page's form leads to the body's link, which asks for the field.
    let action = header_page.body.split("action=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#x2f;", "/");
    assert!(action.starts_with("/unsubscribe/"));
    let done = ask(&gateway, post(&action).set_form([("choice", "topic")])).await;
    assert!(done.body.contains("no more mail about news from Confiserie"), "{}", done.body);
    assert!(done.body.contains("value=\"all_marketing\""));
    for answer in [header_page, done, ask(&gateway, post("/u/unknown")).await] {
        assert!(answer.body.contains("<html lang=\"en\">"));
        assert!(!answer.body.contains("<script") && !answer.body.contains("<img") && !answer.body.contains("<link"));
        let get =
            |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        assert!(get("content-security-policy").starts_with("default-src 'none'"));
        assert_eq!(get("cache-control"), "no-store");
        assert_eq!(get("x-content-type-options"), "nosniff");
        assert_eq!(get("referrer-policy"), "no-referrer");
        assert!(get("x-robots-tag").starts_with("noindex"));
        assert!(!answer.headers.contains_key(header::SET_COOKIE));
    }
}

#[actix_web::test]
async fn names_of_tenants_cannot_break_out_of_the_page() {
    let setup = Setup::new().await;
    setup.world.execute("UPDATE topics SET name = '<script>alert(1)</script>\"' WHERE key = 'news'").await;
    let gateway = gateway(setup.ports().clone()).await;
    let page = ask(&gateway, TestRequest::get().uri(&setup.body(ADA, setup.news))).await;
    assert!(!page.body.contains("<script>") && page.body.contains("&lt;script&gt;"));
}

/// On Postgres alone: there a trigger can fail the COMMIT itself.
#[actix_web::test]
async fn c011_an_unsubscribe_whose_commit_failed_is_not_acknowledged() {
    let setup = Setup::new().await;
    if !setup.world.wall().is_postgres() {
        return;
    }
    let gateway = gateway(setup.ports().clone()).await;
    let one_click = || post(&setup.header(ADA, setup.news));
    let choice = || post(&setup.body(ADA, setup.all)).set_form([("choice", "all_marketing")]);
    setup.world.refuse_commits_of("consent_events").await;
    for request in [one_click(), choice()] {
        assert_eq!(ask(&gateway, request).await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(setup.count("suppressions").await, 0);
    setup.world.allow_commits_of("consent_events").await;
    for request in [one_click(), choice()] {
        assert_eq!(ask(&gateway, request).await.status, StatusCode::OK);
    }
    assert_eq!(setup.count("suppressions").await, 2);
}
