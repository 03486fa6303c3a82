//! The links of Carillon's own mails over HTTP: a GET shows a page, a POST of its form acts.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::{Method, StatusCode, header};
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use carillon::application;
use carillon_domain::error::{Error, Result, WallError};
use carillon_domain::messaging::{SystemMail, enqueue_system_mail, system_sender};
use carillon_domain::paging::Page;
use carillon_domain::ports::Ports;
use carillon_domain::settings::{Settings, SignUpMode};
use carillon_domain::tenancy::{
    MemberGrant, Role, Scope, SecretKind, bootstrap, invite_member, request_password_reset, viewer_tenants,
};
use carillon_tests::access::{AccessWorld, PASSWORD, code, new_invitation};
use carillon_tests::gateway::gateway;
use carillon_tests::post::Post;
use chrono::TimeDelta;
use serde_json::{Value, json};

const ADA: &str = "ada@example.org";
const BOB: &str = "bob@example.org";
const NEW_PASSWORD: &str = "regal-lampe-tischbein";

struct Answer {
    status: StatusCode,
    headers: header::HeaderMap,
    body: String,
}

async fn ask<B: MessageBody>(
    gateway: &impl Service<actix_http::Request, Response = ServiceResponse<B>, Error = actix_web::Error>,
    request: TestRequest,
) -> Answer {
    let response = call_service(gateway, request.to_request()).await;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = read_body(response).await;
    Answer { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

macro_rules! pages {
    ($world:expr) => {
        init_service(application!(gateway($world.ports().clone()))).await
    };
}

fn get(page: &str, token: &str) -> TestRequest {
    TestRequest::get().uri(&format!("/{page}?token={token}"))
}

fn form(page: &str, fields: &[(&str, &str)]) -> TestRequest {
    TestRequest::post().uri(&format!("/{page}")).set_form(fields)
}

/// Everything that following a link could change.
async fn state(world: &AccessWorld) -> Vec<i64> {
    let mut counts = Vec::new();
    for rows in [
        "users",
        "accounts",
        "memberships",
        "refresh_sessions",
        "audit_events",
        "credentials WHERE used_at IS NULL AND revoked_at IS NULL",
        "users WHERE auth_version > 1",
    ] {
        counts.push(world.number(&format!("SELECT COUNT(*) AS amount FROM {rows}")).await);
    }
    counts
}

async fn reset_token(world: &AccessWorld) -> String {
    request_password_reset(world.ports(), world.desk(), &ADA.parse().unwrap(), None).await.unwrap();
    world.mailed(SecretKind::PasswordReset).await
}

/// An owner with a tenant, and the token of an invitation of `email` to it.
async fn invited(world: &AccessWorld, email: &str) -> String {
    let (owner, account) = world.made_owner(ADA).await;
    let tenant = world.new_tenant(&owner, account, "Torten").await;
    let grant = MemberGrant::on(world.ports(), &owner, Scope::Tenant(tenant), "tenantId").await.unwrap();
    invite_member(&grant, world.ports(), world.desk(), &new_invitation(&email.parse().unwrap(), Role::Marketer), None)
        .await
        .unwrap();
    world.mailed(SecretKind::Invitation).await
}

async fn tenants_of(world: &AccessWorld, email: &str) -> Result<Vec<Role>> {
    let session = world.sign_in(email, PASSWORD).await?;
    let tenants = viewer_tenants(world.ports(), &world.verified(&session.access_token), &Page::first(9)).await?;
    Ok(tenants.items.into_iter().map(|(_, role)| role).collect())
}

#[actix_web::test]
async fn l10_c005_opening_a_link_of_ours_changes_nothing() {
    let world = AccessWorld::new().await;
    let invitation = invited(&world, BOB).await;
    let reset = reset_token(&world).await;
    world.sign_up("eve@example.org", "Eve").await.unwrap();
    let verify = world.mailed(SecretKind::EmailVerification).await;
    let gateway = pages!(world);
    let before = state(&world).await;
    for (page, token) in [("verify-email", &verify), ("reset-password", &reset), ("accept-invitation", &invitation)] {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::GET] {
            let answer = ask(&gateway, get(page, token).method(method.clone())).await;
            assert!(answer.status.is_success(), "{method} {page}: {}", answer.status);
            if method != Method::GET {
                continue;
            }
            assert!(answer.body.contains(&format!("action=\"{page}\"")) && answer.body.contains(token.as_str()));
            assert!(!answer.body.contains("<script") && !answer.body.contains("http"), "{}", answer.body);
            let header = |name| answer.headers.get(name).map(|value| value.to_str().unwrap());
            assert_eq!(header(header::CACHE_CONTROL), Some("no-store"));
            assert_eq!(header(header::REFERRER_POLICY), Some("no-referrer"));
            assert!(header(header::CONTENT_SECURITY_POLICY).unwrap().starts_with("default-src 'none'"));
            assert_eq!(header(header::SET_COOKIE), None);
        }
        let put = ask(&gateway, get(page, token).method(Method::PUT)).await;
        assert_eq!(put.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    assert_eq!(state(&world).await, before);
}

#[actix_web::test]
async fn a_sign_up_is_confirmed_on_its_page_once() {
    let world = AccessWorld::new().await;
    world.sign_up(ADA, "Ada").await.unwrap();
    let token = world.mailed(SecretKind::EmailVerification).await;
    let gateway = pages!(world);
    let page = ask(&gateway, get("verify-email", &token)).await;
    assert!(page.body.contains("If it was not you, close this page") && page.body.contains("name=\"password\""));
    let confirm = [("token", token.as_str()), ("choice", "confirm"), ("password", PASSWORD)];
    let answer = ask(&gateway, form("verify-email", &confirm)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    world.sign_in(ADA, PASSWORD).await.unwrap();
    let again = ask(&gateway, form("verify-email", &[("token", &token)])).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    assert!(again.body.contains("not valid any more") && !again.body.contains("<form"));
    assert_eq!(world.users().await, 1);
}

/// Who reads the mail of a sign-up that was not theirs, and presses the button, opens no account to a stranger's password.
#[actix_web::test]
async fn a_strangers_sign_up_is_not_confirmed_without_the_strangers_password() {
    let world = AccessWorld::new().await;
    world.sign_up(ADA, "Ada").await.unwrap();
    let token = world.mailed(SecretKind::EmailVerification).await;
    let gateway = pages!(world);
    for password in ["", "not the password", &"x".repeat(2_000)] {
        let fields = [("token", token.as_str()), ("choice", "confirm"), ("password", password)];
        let answer = ask(&gateway, form("verify-email", &fields)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.body);
        assert!(answer.body.contains("role=\"alert\"") && answer.body.contains("<form"), "{}", answer.body);
    }
    let pressed = ask(&gateway, form("verify-email", &[("token", &token), ("choice", "confirm")])).await;
    assert_eq!(pressed.status, StatusCode::UNPROCESSABLE_ENTITY, "without the field it is an empty one");
    assert_eq!(code(world.sign_in(ADA, PASSWORD).await), "INVALID_CREDENTIALS");
    assert_eq!(world.users().await, 0);
}

#[actix_web::test]
async fn a_password_is_chosen_on_its_page() {
    let world = AccessWorld::new().await;
    world.owner(ADA).await;
    let token = reset_token(&world).await;
    let gateway = pages!(world);
    let short = ask(&gateway, form("reset-password", &[("token", &token), ("password", "short")])).await;
    assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(short.body.contains("role=\"alert\"") && short.body.contains("<form") && !short.body.contains("short\""));
    let good = ask(&gateway, form("reset-password", &[("token", &token), ("password", NEW_PASSWORD)])).await;
    assert_eq!(good.status, StatusCode::OK, "{}", good.body);
    assert_eq!(code(world.sign_in(ADA, PASSWORD).await), "INVALID_CREDENTIALS");
    world.sign_in(ADA, NEW_PASSWORD).await.unwrap();
}

#[actix_web::test]
async fn an_invitation_is_taken_with_a_new_account_where_only_the_invited_may_sign_up() {
    let world = AccessWorld::with(|settings| settings.sign_up = SignUpMode::Invite).await;
    let token = invited(&world, BOB).await;
    let gateway = pages!(world);
    let join = async |email| {
        let fields =
            [("token", token.as_str()), ("choice", "join"), ("email", email), ("name", "Bob"), ("password", PASSWORD)];
        ask(&gateway, form("accept-invitation", &fields)).await.status
    };
    assert_eq!(join("eve@example.org").await, StatusCode::UNPROCESSABLE_ENTITY, "it is not theirs");
    assert_eq!(join("nonsense").await, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(join(BOB).await, StatusCode::OK);
    assert_eq!(tenants_of(&world, BOB).await.unwrap(), [Role::Marketer]);
    assert_eq!(join(BOB).await, StatusCode::NOT_FOUND);
}

#[actix_web::test]
async fn an_invitation_is_taken_with_an_account_that_is_there_and_leaves_no_session() {
    let world = AccessWorld::new().await;
    world.owner(BOB).await;
    let token = invited(&world, BOB).await;
    let gateway = pages!(world);
    let sessions = "SELECT COUNT(*) AS amount FROM refresh_sessions WHERE revoked_at IS NULL";
    let before = world.number(sessions).await;
    let accept = async |password| {
        let fields = [("token", token.as_str()), ("choice", "confirm"), ("email", BOB), ("password", password)];
        ask(&gateway, form("accept-invitation", &fields)).await
    };
    assert_eq!(accept("not the password").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let accepted = accept(PASSWORD).await;
    assert_eq!(accepted.status, StatusCode::OK, "{}", accepted.body);
    assert_eq!(world.number(sessions).await, before);
    assert_eq!(tenants_of(&world, BOB).await.unwrap(), [Role::Marketer]);
}

#[actix_web::test]
async fn c217_joining_says_the_same_for_an_address_that_has_an_account() {
    let world = AccessWorld::new().await;
    world.owner(BOB).await;
    let token = invited(&world, BOB).await;
    let gateway = pages!(world);
    let fields = [("token", token.as_str()), ("choice", "join"), ("email", BOB), ("name", "B"), ("password", PASSWORD)];
    let answer = ask(&gateway, form("accept-invitation", &fields)).await;
    assert!(answer.status == StatusCode::OK && answer.body.contains("Thank you"));
    assert!(tenants_of(&world, BOB).await.unwrap().is_empty());
}

#[actix_web::test]
async fn hostile_and_outlived_tokens_have_one_answer() {
    let world = AccessWorld::new().await;
    world.owner(ADA).await;
    let token = reset_token(&world).await;
    let gateway = pages!(world);
    let other = SecretKind::PasswordReset.generate(world.ports().entropy.as_ref()).text;
    let long = "x".repeat(3_000);
    for wrong in ["", "x", "%00", "%22%3E%3Cscript%3E", &other, &long] {
        let answer = ask(&gateway, get("reset-password", wrong)).await;
        assert!(answer.status == StatusCode::NOT_FOUND && !answer.body.contains("<form"), "{wrong}");
        assert_eq!(answer.headers.get(header::CACHE_CONTROL).unwrap(), "no-store");
    }
    assert_eq!(ask(&gateway, get("verify-email", &token)).await.status, StatusCode::NOT_FOUND, "of another kind");
    assert_eq!(ask(&gateway, TestRequest::get().uri("/reset-password")).await.status, StatusCode::NOT_FOUND);
    let huge = form("reset-password", &[("token", &"x".repeat(100_000))]);
    assert_eq!(ask(&gateway, huge).await.status, StatusCode::BAD_REQUEST);
    world.advance(TimeDelta::minutes(30));
    assert_eq!(ask(&gateway, get("reset-password", &token)).await.status, StatusCode::NOT_FOUND);
    let late = ask(&gateway, form("reset-password", &[("token", &token), ("password", NEW_PASSWORD)])).await;
    assert_eq!(late.status, StatusCode::NOT_FOUND);
    world.sign_in(ADA, PASSWORD).await.unwrap();
}

#[actix_web::test]
async fn c216_links_are_not_guessed_at_leisure() {
    let world = AccessWorld::new().await;
    let gateway = pages!(world);
    let peer = "192.0.2.7:4711".parse().unwrap();
    let mut last = ask(&gateway, get("verify-email", "x").peer_addr(peer)).await;
    for _ in 0..120 {
        last = ask(&gateway, form("verify-email", &[("token", "x")]).peer_addr(peer)).await;
    }
    assert_eq!(last.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(last.headers.contains_key(header::RETRY_AFTER));
    let elsewhere = get("verify-email", "x").peer_addr("192.0.2.8:4711".parse().unwrap());
    assert_eq!(ask(&gateway, elsewhere).await.status, StatusCode::NOT_FOUND);
}

#[actix_web::test]
async fn the_link_of_the_real_mail_leads_to_its_page() {
    let post = Post::new().await;
    bootstrap(post.ports()).await.unwrap();
    let gateway = pages!(post);
    let graphql = async |query: &str, input: Value| -> Value {
        let request = TestRequest::post().uri("/graphql");
        let body = json!({ "query": query, "variables": { "input": input } });
        serde_json::from_str(&ask(&gateway, request.set_json(body)).await.body).unwrap()
    };
    let sign_in = async || {
        let query = "mutation($input: SignInInput!) { signIn(input: $input) { session { accessToken } } }";
        graphql(query, json!({ "email": ADA, "password": PASSWORD })).await["data"]["signIn"]["session"].clone()
    };
    let input = json!({ "email": ADA, "password": PASSWORD, "name": "Ada", "accountName": "Torten" });
    graphql("mutation($input: SignUpInput!) { signUp(input: $input) { userErrors { code } } }", input).await;
    post.drain().await;

    let mail = post.mail_to(ADA);
    let text = mail_parser::MessageParser::default().parse(&mail.raw[..]).unwrap().body_text(0).unwrap().into_owned();
    let link = text.split_whitespace().find_map(|word| word.strip_prefix("https://carillon.test")).expect("a link");
    let page = ask(&gateway, TestRequest::get().uri(link)).await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(sign_in().await, Value::Null, "opening it was not enough");
    let field = |name: &str| page.body.split_once(name).and_then(|(_, rest)| rest.split('"').next()).unwrap();
    let (action, token) = (field("action=\""), field("name=\"token\" value=\""));
    let done = ask(&gateway, form(action, &[("token", token), ("password", PASSWORD), ("choice", "confirm")])).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    assert!(sign_in().await["accessToken"].is_string());
}

#[tokio::test]
async fn c002_a_changed_system_address_gets_a_sender_and_a_record_of_its_own() {
    let post = Post::new().await;
    bootstrap(post.ports()).await.unwrap();
    let before = system_sender(post.ports()).await.unwrap();
    let settings =
        Settings { system_from: "post@embedded.example".to_owned(), ..post.ports().settings.as_ref().clone() };
    let ports = Ports { settings: settings.into(), ..post.ports().clone() };
    let mail = SystemMail::NoAccount;
    enqueue_system_mail(post.ports(), post.ports().new_id(), &BOB.parse().unwrap(), &mail).await.unwrap();
    let early = enqueue_system_mail(&ports, ports.new_id(), &ADA.parse().unwrap(), &mail).await;
    assert!(matches!(early, Err(Error::Wall(WallError::Unavailable))), "not by the old address");
    bootstrap(&ports).await.unwrap();
    enqueue_system_mail(&ports, ports.new_id(), &ADA.parse().unwrap(), &mail).await.unwrap();
    post.drain().await;
    let after = system_sender(&ports).await.unwrap();
    assert_ne!(after.dkim_record_name(), before.dkim_record_name(), "two keys of one domain");
    for (to, sender) in [(BOB, before), (ADA, after)] {
        let raw = String::from_utf8(post.mail_to(to).raw.to_vec()).unwrap();
        assert!(raw.contains(&sender.from_email), "{raw}");
        assert!(raw.contains(&format!("s={};", sender.dkim_selector)), "{raw}");
    }
}
