//! The frame of the gateway on real databases: idempotent mutations, shared reads, credentials that end.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use actix_web::http::StatusCode;
use actix_web::http::header::AUTHORIZATION;
use actix_web::test::{TestRequest, call_service, init_service, read_body_json};
use actix_web::web;
use carillon::application;
use carillon::graphql::mutate::Once;
use carillon::graphql::scope::{Caller, Process, RequestScope};
use carillon::http::Gateway;
use carillon_domain::error::{Error, Refusal, Result, WallError};
use carillon_domain::files::Files;
use carillon_domain::idempotency::{Run, forget_expired};
use carillon_domain::tenancy::{
    AdministerTenant, CreateApiKey, Doorkeeper, Grant, Name, PasswordSettings, Permission, ReadContacts, Role,
    TenantContext, VerifiedAccess, WriteContacts, create_api_key, disable_user, enter_tenant, operate, revoke_api_key,
};
use carillon_entities::ids::TenantId;
use carillon_entities::rows::service::usage;
use carillon_entities::wall::TenantTx;
use carillon_tests::access::{AccessWorld, KEY_LIFE};
use chrono::TimeDelta;
use sea_orm::ActiveValue::Set;
use serde_json::{Value, json};
use uuid::Uuid;

/// A world with somebody in a tenant, seen from the gateway.
struct Stage {
    world: AccessWorld,
    process: Arc<Process>,
    access: VerifiedAccess,
    context: TenantContext,
    tenant: TenantId,
}

impl Stage {
    async fn new() -> Self {
        let world = AccessWorld::new().await;
        let (access, _) = world.made_owner("ada@example.org").await;
        let (context, tenant) = world.made_tenant_of(&access, "Torten").await;
        let process = Arc::new(process(&world));
        Self { world, process, access, context, tenant }
    }

    fn scope(&self) -> RequestScope {
        let caller = Caller::User(self.access, Some(self.context.clone()));
        RequestScope::new(Arc::clone(&self.process), caller, None, "test".to_owned())
    }

    fn grant(&self) -> Grant<WriteContacts> {
        self.context.grant().unwrap()
    }

    /// One mutation that adds a row and answers with something that is never the same twice.
    async fn mutate(&self, operation: &'static str, key: Option<&str>, input: i32) -> Result<Uuid> {
        let (scope, grant, once) = (self.scope(), self.grant(), Once::new(operation, key, &input));
        scope.mutate(&grant, &once, |tx, _| Box::pin(self.effect(tx))).await
    }

    async fn effect(&self, tx: &mut TenantTx) -> Result<Uuid> {
        let answer = self.world.ports().new_id::<Uuid>();
        let day = self.world.ports().now().date_naive();
        tx.insert(usage::ActiveModel {
            meter: Set(answer.to_string()),
            day: Set(day),
            count: Set(1),
            ..Default::default()
        })
        .await?;
        Ok(answer)
    }

    async fn effects(&self) -> i64 {
        self.world.number("SELECT COUNT(*) AS amount FROM usage").await
    }

    async fn ask(&self, token: &str, query: &str) -> (StatusCode, Value) {
        let app = init_service(application!(web::Data::new(Gateway::new(process(&self.world))))).await;
        let request = TestRequest::post().uri("/graphql").insert_header((AUTHORIZATION, format!("Bearer {token}")));
        let response = call_service(&app, request.set_json(json!({ "query": query })).to_request()).await;
        (response.status(), read_body_json(response).await)
    }
}

fn process(world: &AccessWorld) -> Process {
    let cheap = PasswordSettings { memory_kib: 64, passes: 1, lanes: 1, permits: 2, queue: 64 };
    let ports = world.ports().clone();
    let desk = Doorkeeper::new(&ports, &ports.keys, cheap).unwrap();
    Process { ports, desk, files: Files::open("memory:").unwrap() }
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> &'static str {
    match result {
        Err(Error::Refused(refusals)) => refusals[0].code,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn c186_fifty_calls_at_once_have_one_effect_and_one_answer() {
    let stage = Stage::new().await;
    let calls = (0..50).map(|_| stage.mutate("createContact", Some("k1"), 1));
    let answers: BTreeSet<Uuid> = futures::future::try_join_all(calls).await.unwrap().into_iter().collect();
    assert_eq!((answers.len(), stage.effects().await), (1, 1));
}

#[tokio::test]
async fn c186_a_key_belongs_to_one_tenant_operation_and_input() {
    let stage = Stage::new().await;
    let first = stage.mutate("createContact", Some("k"), 1).await.unwrap();
    assert_eq!(stage.mutate("createContact", Some("k"), 1).await.unwrap(), first);
    assert_eq!(code(stage.mutate("createContact", Some("k"), 2).await), "IDEMPOTENCY_MISMATCH");
    assert_eq!(code(stage.mutate("createContact", Some(""), 2).await), "INVALID_IDEMPOTENCY_KEY");
    assert_ne!(stage.mutate("deleteContact", Some("k"), 1).await.unwrap(), first);
    let (context, tenant) = stage.world.made_tenant_of(&stage.access, "Brot").await;
    let process = Arc::clone(&stage.process);
    let neighbour = Stage { world: stage.world, process, access: stage.access, context, tenant };
    assert_ne!(neighbour.mutate("createContact", Some("k"), 1).await.unwrap(), first);
    assert_ne!(neighbour.tenant, stage.tenant);
}

#[tokio::test]
async fn c186_answers_are_kept_for_seven_days_and_sealed() {
    let stage = Stage::new().await;
    let (scope, grant) = (stage.scope(), stage.grant());
    let once = Once::new("createApiKey", Some("k"), &1);
    let secret = async || -> Result<String> {
        scope.mutate(&grant, &once, |_, _| Box::pin(async { Ok("carillon_live_hush".to_owned()) })).await
    };
    assert_eq!(secret().await.unwrap(), secret().await.unwrap());
    let stored =
        if stage.world.wall().is_postgres() { "encode(sealed_answer, 'escape')" } else { "hex(sealed_answer)" };
    let stored = stage.world.lines(&format!("SELECT {stored} AS line FROM idempotency_keys")).await.concat();
    assert!(!stored.is_empty() && !stored.contains("hush") && !stored.contains(&hex::encode_upper("hush")));

    let first = stage.mutate("createContact", Some("k"), 1).await.unwrap();
    stage.world.advance(TimeDelta::days(7) - TimeDelta::seconds(1));
    assert_eq!(stage.mutate("createContact", Some("k"), 1).await.unwrap(), first);
    stage.world.advance(TimeDelta::seconds(1));
    assert_ne!(stage.mutate("createContact", Some("k"), 2).await.unwrap(), first, "the key is free again");
    forget_expired(&grant, stage.world.ports()).await.unwrap();
    let past = stage.world.number("SELECT COUNT(*) AS amount FROM idempotency_keys WHERE operation = 'createApiKey'");
    assert_eq!(past.await, 0, "what is past its time goes with a sweep");
}

#[tokio::test]
async fn c186_a_refusal_has_no_effect_and_frees_the_key() {
    let stage = Stage::new().await;
    let (scope, grant, once) = (stage.scope(), stage.grant(), Once::new("createContact", Some("k"), &1));
    let effect = &stage;
    let refused: Result<Uuid> = scope
        .mutate(&grant, &once, |tx, _| {
            Box::pin(async move {
                effect.effect(tx).await?;
                Err(Refusal::new("TAKEN", "email", "Taken.").into())
            })
        })
        .await;
    assert_eq!(code(refused), "TAKEN");
    assert_eq!(stage.effects().await, 0);
    stage.mutate("createContact", Some("k"), 1).await.unwrap();
    assert_eq!(stage.effects().await, 1);
}

#[tokio::test]
async fn a_transaction_that_lost_a_race_is_run_again_three_times() {
    let stage = Stage::new().await;
    let (scope, grant, once) = (stage.scope(), stage.grant(), Once::new("createContact", None, &1));
    let (runs, wins_at) = (AtomicU32::new(0), AtomicU32::new(3));
    scope.mutate(&grant, &once, |tx, _| Box::pin(race(tx, &runs, &wins_at, &stage))).await.unwrap();
    assert_eq!((runs.swap(0, Ordering::SeqCst), stage.effects().await), (3, 1));
    wins_at.store(9, Ordering::SeqCst);
    let lost = scope.mutate(&grant, &once, |tx, _| Box::pin(race(tx, &runs, &wins_at, &stage))).await;
    assert!(matches!(lost, Err(Error::Wall(WallError::Retry))));
    assert_eq!((runs.load(Ordering::SeqCst), stage.effects().await), (4, 1));
}

async fn race(tx: &mut TenantTx, runs: &AtomicU32, wins_at: &AtomicU32, stage: &Stage) -> Result<()> {
    stage.effect(tx).await?;
    let lost = runs.fetch_add(1, Ordering::SeqCst) + 1 < wins_at.load(Ordering::SeqCst);
    if lost { Err(WallError::Retry.into()) } else { Ok(()) }
}

#[tokio::test]
async fn the_reads_of_a_request_share_one_transaction_that_a_mutation_ends() {
    let stage = Stage::new().await;
    let scope = stage.scope();
    let count = async || {
        let (_, mut tx) = scope.read::<ReadContacts>().await.unwrap();
        tx.select::<usage::Entity>().count().await.unwrap()
    };
    let (seen, first) = stage.world.statements_of(count()).await;
    let (_, second) = stage.world.statements_of(count()).await;
    assert_eq!((seen, first - second), (0, 1), "only the first read begins");
    let (grant, once) = (stage.grant(), Once::new("createContact", None, &1));
    scope.mutate(&grant, &once, |tx, _| Box::pin(stage.effect(tx))).await.unwrap();
    assert_eq!(count().await, 1, "what a payload shows is not older than the change");
}

#[actix_web::test]
async fn c213_a_token_ends_with_the_next_change_of_its_user() {
    let stage = Stage::new().await;
    let (ports, desk) = (&stage.process.ports, &stage.process.desk);
    let session = enter_tenant(ports, desk, &stage.access, stage.tenant).await.unwrap();
    let query = "{ brands(first: 1) { nodes { id } } }";
    let (status, body) = stage.ask(&session.access_token, query).await;
    assert!(status == StatusCode::OK && body["errors"].is_null(), "{body}");
    stage.world.execute("UPDATE users SET auth_version = auth_version + 1").await;
    let (status, body) = stage.ask(&session.access_token, query).await;
    assert_eq!(
        (status, &body["errors"][0]["extensions"]["code"]),
        (StatusCode::UNAUTHORIZED, &json!("UNAUTHENTICATED"))
    );
}

#[actix_web::test]
async fn c220_an_api_key_opens_its_tenant_until_it_is_revoked() {
    let stage = Stage::new().await;
    let (key, text) = stage.world.new_key(&stage.access, stage.tenant).await;
    // The key reads contacts and nothing else, so it is known, but may not see brands.
    let query = "{ brands(first: 1) { nodes { id } } }";
    let (status, body) = stage.ask(&text, query).await;
    assert_eq!((status, &body["errors"][0]["extensions"]["code"]), (StatusCode::OK, &json!("FORBIDDEN")), "{body}");
    let grant = stage.context.grant::<AdministerTenant>().unwrap();
    revoke_api_key(&grant, stage.world.ports(), key.id, Run::Real(None)).await.unwrap();
    let (status, body) = stage.ask(&text, query).await;
    assert_eq!(
        (status, &body["errors"][0]["extensions"]["code"]),
        (StatusCode::UNAUTHORIZED, &json!("UNAUTHENTICATED"))
    );
    let mut forged = text.clone();
    forged.replace_range(20..21, if &text[20..21] == "0" { "1" } else { "0" });
    assert_eq!(stage.ask(&forged, query).await.0, StatusCode::UNAUTHORIZED);
}

/// The answer of a change is read after its effect is committed: a key that may make the change may read it.
#[actix_web::test]
async fn c220_a_key_reads_what_came_of_its_own_change() {
    let stage = Stage::new().await;
    let grant = stage.context.grant::<AdministerTenant>().unwrap();
    let changes = [
        (Permission::WriteContacts, "createContact(input: { email: \"a@example.org\" }) { contact { id state tags }"),
        (
            Permission::WriteContacts,
            "upsertContacts(input: { contacts: [{ by: { externalId: \"7\" } }] }) { results { contact { id version } }",
        ),
        (
            Permission::PublishTemplates,
            "createTemplate(input: { name: \"T\", class: MARKETING }) { template { id versions { id } }",
        ),
        (
            Permission::RecordConsent,
            "suppressAddress(input: { email: \"b@example.org\", scope: ALL, reason: MANUAL }) { suppression { id }",
        ),
        (Permission::ImportContacts, "createUpload(input: { fileName: \"a.csv\", size: 7 }) { upload { id received }"),
    ];
    for (scope, change) in changes {
        let command = CreateApiKey {
            name: Name::parse("Shop").unwrap(),
            role: Role::Marketer,
            scopes: vec![scope],
            document_set: None,
            expires_at: Some(stage.world.ports().now() + KEY_LIFE),
        };
        let (_, text) = create_api_key(&grant, stage.world.ports(), command, None).await.unwrap();
        let (status, body) = stage.ask(&text, &format!("mutation {{ {change} userErrors {{ code }} }} }}")).await;
        assert!(status == StatusCode::OK && body["errors"].is_null(), "{scope}: {body}");
        let payload = body["data"].as_object().unwrap().values().next().unwrap().as_object().unwrap();
        let made = payload.iter().find(|(name, _)| *name != "userErrors").unwrap().1;
        assert!(!made.is_null() && payload["userErrors"] == json!([]), "{scope}: {body}");
    }
}

/// The signature of a disabled user's token still holds; the schema is not shown for it.
#[actix_web::test]
async fn c222_a_token_that_ended_learns_no_schema() {
    let stage = Stage::new().await;
    let (ports, desk) = (&stage.process.ports, &stage.process.desk);
    assert!(!ports.settings.embedded);
    let session = enter_tenant(ports, desk, &stage.access, stage.tenant).await.unwrap();
    let query = "{ __schema { queryType { name } } }";
    let (_, body) = stage.ask(&session.access_token, query).await;
    assert_eq!(body["data"]["__schema"]["queryType"]["name"], "Query", "{body}");
    disable_user(&operate().grant(), ports, &"ada@example.org".parse().unwrap(), true).await.unwrap();
    for query in [query, "{ __typename __type(name: \"Query\") { name } }"] {
        let (_, body) = stage.ask(&session.access_token, query).await;
        assert!(body["data"]["__schema"].is_null() && body["data"]["__type"].is_null(), "{body}");
    }
}
