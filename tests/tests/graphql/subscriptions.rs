//! Subscriptions over a real socket: the protocol's order and closing codes, who may, how long, how many, and what is told.

use std::time::Duration;

use carillon::graphql::scope::Caller;
use carillon_domain::idempotency::Run;
use carillon_domain::tenancy::{
    AccessTokens, AdministerTenant, CreateApiKey, Name, Permission, Role, Scope, create_api_key, disable_user,
    enter_tenant, operate, revoke_api_key, suspend_account,
};
use carillon_tests::access::{KEY_LIFE, PASSWORD};
use futures::SinkExt as _;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};

use crate::sdl::Sdl;
use crate::setup::code;
use crate::socket::{Hall, Socket, token};

/// A subscription that asks for an id.
type Ask = fn(&Value) -> String;

pub const MESSAGES: &str = "subscription { messageProgress { total byState { state messages } } }";
pub const SHORT: Duration = Duration::from_millis(50);

fn import(id: &Value) -> String {
    let shown = "id state doneBytes fileSha256 rowsSeen rowsFailed errors { nodes { code } }";
    format!("subscription {{ importProgress(id: {id}) {{ {shown} }} }}")
}

pub fn workflow(id: &Value) -> String {
    format!("subscription {{ workflowProgress(id: {id}) {{ id state liveVersion {{ nodes {{ node waiting }} }} }} }}")
}

fn campaign(id: &Value) -> String {
    format!("subscription {{ campaignProgress(id: {id}) {{ id state counts {{ queued }} }} }}")
}

#[actix_web::test]
async fn c223_a_socket_is_opened_with_its_protocol_and_from_here() {
    let hall = Box::pin(Hall::new()).await;
    assert_eq!(hall.refused(hall.asking(None)).await, 400);
    assert_eq!(hall.refused(hall.asking(Some("graphql-ws"))).await, 400);
    for (origin, allowed) in [("https://carillon.test", true), ("https://evil.test", false), ("null", false)] {
        let mut request = hall.asking(Some("graphql-transport-ws"));
        request.headers_mut().insert(header::ORIGIN, HeaderValue::from_static(origin));
        if allowed {
            tokio_tungstenite::connect_async(request).await.unwrap();
        } else {
            assert_eq!(hall.refused(request).await, 403, "{origin}");
        }
    }
    hall.served.lives().await;
    hall.served.stop().await;
}

#[actix_web::test]
async fn c224_who_does_not_say_who_they_are_is_closed() {
    let hall = Box::pin(Hall::with(|sockets| sockets.init_timeout = SHORT)).await;
    let mut socket = hall.open().await;
    assert_eq!(socket.closed().await, (4408, "Connection initialisation timeout".to_owned()));
    let mut socket = hall.open().await;
    socket.say(json!({ "type": "ping" })).await;
    assert_eq!(socket.hear().await, json!({ "type": "pong" }), "that much is answered");
    assert_eq!(socket.code().await, 4408);
    hall.served.stop().await;
}

#[actix_web::test]
async fn c211_a_credential_that_does_not_verify_opens_nothing() {
    let hall = Box::pin(Hall::new()).await;
    for payload in [
        Value::Null,
        json!({}),
        json!({ "authorization": null }),
        json!({ "authorization": hall.token }),
        json!({ "authorization": "Bearer x" }),
        json!({ "authorization": "Bearer carillon_live_x" }),
        json!({ "authorization": format!("Bearer {}x", hall.token) }),
    ] {
        let mut socket = hall.open().await;
        socket.say(json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(socket.code().await, 4403, "{payload}");
    }
    hall.served.stop().await;
}

#[actix_web::test]
async fn what_the_protocol_forbids_closes_the_socket() {
    let hall = Box::pin(Hall::new()).await;
    let mut early = hall.open().await;
    early.subscribe("1", MESSAGES).await;
    assert_eq!(early.code().await, 4401);
    let mut twice = hall.owner().await;
    twice.init(&hall.token).await;
    assert_eq!(twice.closed().await, (4429, "Too many initialisation requests".to_owned()));
    let mut same = hall.owner().await;
    same.subscribe("7", MESSAGES).await;
    same.subscribe("7", MESSAGES).await;
    assert_eq!(same.closed().await, (4409, "Subscriber for 7 already exists".to_owned()));
    let cases = [
        (Message::text("nonsense"), 4400),
        (Message::text(r#"{"type":"start","id":"1"}"#), 4400),
        (Message::text(r#"{"type":"subscribe","id":"","payload":{"query":"{a}"}}"#), 4400),
        (Message::binary(b"{}".to_vec()), 4400),
        (Message::text(format!("{{\"type\":\"ping\",\"payload\":{{\"a\":\"{}\"}}}}", "x".repeat(65_536))), 1009),
    ];
    for (message, code) in cases {
        let mut socket = hall.owner().await;
        socket.0.send(message).await.unwrap();
        assert_eq!(socket.code().await, code);
    }
    hall.served.lives().await;
    hall.served.stop().await;
}

#[actix_web::test]
async fn an_import_is_told_until_it_has_ended() {
    let hall = Box::pin(Hall::new()).await;
    let (_, id) = hall.api.importing().await;
    let mut socket = hall.owner().await;
    socket.subscribe("a", &import(&id)).await;
    let first = socket.hear().await;
    let told = &first["payload"]["data"]["importProgress"];
    assert_eq!(
        (&first["type"], &first["id"], &told["state"]),
        (&json!("next"), &json!("a"), &json!("QUEUED")),
        "{first}"
    );
    hall.api.import().await;
    hall.gateway.live.tell();
    let (mut last, mut count) = (first, 1);
    loop {
        let heard = socket.hear().await;
        if heard["type"] == "complete" {
            break;
        }
        assert_ne!(heard, last, "what did not change is not told again");
        (last, count) = (heard, count + 1);
    }
    let told = &last["payload"]["data"]["importProgress"];
    assert_eq!((&told["state"], &told["rowsFailed"], count >= 2), (&json!("COMPLETED"), &json!(2), true), "{last}");
    assert_eq!(told["errors"]["nodes"].as_array().map(Vec::len), Some(2), "fields that are loaded");
    // The id is free again, and an import that is over is told once.
    socket.subscribe("a", &import(&id)).await;
    assert_eq!(socket.hear().await["payload"]["data"]["importProgress"]["state"], "COMPLETED");
    assert_eq!(socket.hear().await, json!({ "id": "a", "type": "complete" }));
    hall.served.stop().await;
}

#[actix_web::test]
async fn a_workflow_is_told_with_its_numbers_until_it_is_archived() {
    let hall = Box::pin(Hall::new()).await;
    let id = hall.api.row(1).await.workflow;
    let mut socket = hall.owner().await;
    socket.subscribe("w", &workflow(&id)).await;
    let told = |heard: Value| heard["payload"]["data"]["workflowProgress"].clone();
    let waiting = json!({ "nodes": [{ "node": "wait", "waiting": 1 }] });
    assert_eq!(told(socket.hear().await), json!({ "id": id, "state": "LIVE", "liveVersion": waiting }));
    for (name, state) in [("pauseWorkflow", "PAUSED"), ("archiveWorkflow", "ARCHIVED")] {
        hall.api.change(name, "workflow { id }", json!({ "id": id })).await;
        hall.gateway.live.tell();
        assert_eq!(told(socket.hear().await)["state"], state, "{name}");
    }
    assert_eq!(socket.hear().await["type"], "complete");
    hall.served.stop().await;
}

#[actix_web::test]
async fn messages_are_told_as_they_come_until_nobody_wants_to_know() {
    let hall = Box::pin(Hall::new()).await;
    let mut socket = hall.owner().await;
    socket.subscribe("1", MESSAGES).await;
    assert_eq!(socket.hear().await["payload"]["data"]["messageProgress"], json!({ "total": 0, "byState": [] }));
    hall.api.row(1).await;
    let heard = socket.hear().await;
    let told = &heard["payload"]["data"]["messageProgress"];
    assert_eq!(*told, json!({ "total": 1, "byState": [{ "state": "QUEUED", "messages": 1 }] }));
    socket.say(json!({ "id": "1", "type": "complete" })).await;
    // The same id at once: nothing of the first is told any more.
    let tomorrow = "subscription { messageProgress(since: \"9000-01-01T00:00:00Z\") { total } }";
    socket.subscribe("1", tomorrow).await;
    assert_eq!(socket.hear().await["payload"]["data"]["messageProgress"], json!({ "total": 0 }));
    hall.served.stop().await;
}

#[actix_web::test]
async fn while_it_waits_a_subscription_holds_no_connection() {
    let hall = Box::pin(Hall::new()).await;
    let mut socket = hall.owner().await;
    // More than the pool has connections.
    for n in 0..20 {
        socket.subscribe(&n.to_string(), MESSAGES).await;
    }
    for _ in 0..20 {
        let heard = socket.hear().await;
        assert!(heard["type"] == "next" && heard["payload"]["errors"].is_null(), "{heard}");
    }
    let answer = hall.api.ask("{ brands { nodes { id } } }", json!({})).await;
    assert!(answer["errors"].is_null(), "{answer}");
    hall.served.stop().await;
}

#[actix_web::test]
async fn documents_are_judged_as_those_of_queries() {
    let hall = Box::pin(Hall::new()).await;
    let mut socket = hall.owner().await;
    let twice = "subscription { messageProgress { total } b: messageProgress { total } }";
    let aliases = (0..40).map(|n| format!("a{n}: total")).collect::<Vec<_>>().join(" ");
    let cases = [
        ("{ serverTime }", "BAD_REQUEST"),
        ("mutation { signOut(input: {}) { userErrors { code } } }", "BAD_REQUEST"),
        ("subscription { nothing }", "BAD_REQUEST"),
        ("subscription { __schema { types { name } } }", "BAD_REQUEST"),
        ("subscription {", "BAD_REQUEST"),
        ("", "BAD_REQUEST"),
        (twice, "BAD_REQUEST"),
        (&format!("subscription {{ messageProgress {{ {aliases} }} }}"), "DOCUMENT_TOO_LARGE"),
        (&format!("subscription {{ messageProgress {} }}", "{ a ".repeat(70)), "DOCUMENT_TOO_LARGE"),
    ];
    for (query, code) in cases {
        socket.subscribe("1", query).await;
        let heard = socket.hear().await;
        assert_eq!((&heard["type"], &heard["id"]), (&json!("error"), &json!("1")), "{query}: {heard}");
        assert_eq!(heard["payload"][0]["extensions"]["code"], code, "{query}: {heard}");
        assert!(heard["payload"][0]["extensions"]["traceId"].is_string());
    }
    // And none of them runs over HTTP.
    let answer = hall.served.ask(MESSAGES, json!({})).await;
    assert!(answer["errors"][0]["message"].as_str().is_some_and(|text| text.contains("transport")), "{answer}");
    hall.served.stop().await;
}

/// Every subscription that takes an id, as somebody who may have none of the others' (C-204).
#[actix_web::test]
async fn c204_a_foreign_id_and_a_missing_one_are_told_the_same() {
    let hall = Box::pin(Hall::new()).await;
    let row = hall.api.row(1).await;
    let (_, own) = hall.api.importing().await;
    let mut socket = hall.owner().await;
    let (eve, account) = hall.api.world.owner_and_account("eve@example.org").await;
    let tenant = hall.api.world.new_tenant(&eve, account, "Other").await;
    let session = enter_tenant(hall.api.world.ports(), hall.api.world.desk(), &eve, tenant).await.unwrap();
    let mut foreign = hall.entered(&session.access_token).await;
    let with_ids: Vec<_> = Sdl::of(&hall.api.schema)
        .fields("Subscription")
        .iter()
        .filter(|field| field.arguments.iter().any(|argument| argument.node.ty.node.base.to_string() == "ID"))
        .map(|field| field.name.node.to_string())
        .collect();
    let known = ["importProgress", "workflowProgress", "campaignProgress"];
    assert_eq!(with_ids, known, "a new one is to be tried here, too");
    let asked: [(_, _, Ask); 3] =
        [("import", own, import), ("workflow", row.workflow, workflow), ("campaign", row.campaign, campaign)];
    for (kind, own, subscription) in asked {
        let missing = format!("{kind}_00000000000000000000000000");
        let mut answers = Vec::new();
        for id in [own.as_str().unwrap(), &missing, "nonsense", ""] {
            foreign.subscribe("1", &subscription(&json!(id))).await;
            let mut heard = foreign.hear().await;
            assert_eq!(heard["payload"]["errors"][0]["extensions"]["code"], "NOT_FOUND", "{heard}");
            assert_eq!(foreign.hear().await["type"], "complete");
            heard["payload"]["errors"][0]["extensions"]["traceId"].take();
            heard["payload"]["errors"][0]["locations"].take();
            answers.push(heard);
        }
        assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
        socket.subscribe(kind, &subscription(&own)).await;
        assert_eq!(socket.hear().await["payload"]["data"][format!("{kind}Progress")]["id"], own);
    }
    hall.served.stop().await;
}

#[actix_web::test]
async fn l2_permissions_are_asked_for_as_everywhere() {
    let hall = Box::pin(Hall::new()).await;
    let (_, id) = hall.api.importing().await;
    // The key reads contacts and nothing else.
    let (_, key) = hall.api.world.new_key(&hall.api.ada, hall.api.tenant).await;
    let mut socket = hall.entered(&key).await;
    for query in [MESSAGES, &import(&id)] {
        socket.subscribe("1", query).await;
        assert_eq!(socket.error().await, "FORBIDDEN", "{query}");
        assert_eq!(socket.hear().await["type"], "complete");
    }
    let email = "viewer@example.org";
    let viewer = hall.api.world.invited(&hall.api.ada, Scope::Tenant(hall.api.tenant), email, Role::Viewer).await;
    let mut socket = hall.entered(&token(&hall.api, &viewer).await).await;
    socket.subscribe("1", &import(&id)).await;
    assert_eq!(socket.error().await, "FORBIDDEN");
    // Signed in, and in no tenant.
    let session = hall.api.world.sign_in("ada@example.org", PASSWORD).await.unwrap();
    let mut socket = hall.entered(&session.access_token).await;
    socket.subscribe("1", MESSAGES).await;
    assert_eq!(socket.error().await, "TENANT_REQUIRED");
    hall.served.stop().await;
}

/// A socket that watches and one that does not are closed alike, for clients to come again with a new credential.
async fn both_end(mut watching: Socket, mut idle: Socket) {
    for socket in [&mut watching, &mut idle] {
        let (code, reason) = socket.closed().await;
        assert!(code == 4403 && reason.contains("ended"), "{code} {reason}");
    }
}

async fn two(hall: &Hall, credential: &str, query: &str) -> (Socket, Socket) {
    let (mut watching, idle) = (hall.entered(credential).await, hall.entered(credential).await);
    watching.subscribe("1", query).await;
    assert_eq!(watching.hear().await["type"], "next");
    (watching, idle)
}

#[actix_web::test]
async fn c224_a_socket_ends_with_its_token() {
    let hall = Box::pin(Hall::new()).await;
    let (watching, idle) = two(&hall, &hall.token, MESSAGES).await;
    hall.api.world.advance(AccessTokens::LIFETIME);
    both_end(watching, idle).await;
    let mut late = hall.open().await;
    late.init(&hall.token).await;
    assert_eq!(late.code().await, 4403);
    hall.served.stop().await;
}

#[actix_web::test]
async fn c224_a_revoked_key_ends_its_sockets() {
    let hall = Box::pin(Hall::new()).await;
    let Caller::User(_, Some(context)) = &hall.api.owner else { panic!("the owner is in the tenant") };
    let grant = context.grant::<AdministerTenant>().unwrap();
    let command = CreateApiKey {
        name: Name::parse("Screen").unwrap(),
        role: Role::Viewer,
        scopes: vec![Permission::ReadMessages],
        document_set: None,
        expires_at: Some(hall.api.world.ports().now() + KEY_LIFE),
    };
    let (key, text) = create_api_key(&grant, hall.api.world.ports(), command, None).await.unwrap();
    let (watching, idle) = two(&hall, &text, MESSAGES).await;
    revoke_api_key(&grant, hall.api.world.ports(), key.id, Run::Real(None)).await.unwrap();
    both_end(watching, idle).await;
    hall.served.stop().await;
}

async fn member(hall: &Hall, email: &str) -> (Scope, String, String) {
    let scope = Scope::Tenant(hall.api.tenant);
    let access = hall.api.world.invited(&hall.api.ada, scope, email, Role::Marketer).await;
    let membership = hall.api.world.own_membership(&access, scope).await.to_string();
    (scope, membership, token(&hall.api, &access).await)
}

#[actix_web::test]
async fn c213_another_role_or_none_ends_the_sockets_of_a_user() {
    let hall = Box::pin(Hall::new()).await;
    let outside = Caller::User(hall.api.ada, None);
    let (_, membership, credential) = member(&hall, "bea@example.org").await;
    let (watching, idle) = two(&hall, &credential, MESSAGES).await;
    let change =
        "mutation($id: ID!) { changeMemberRole(input: { membershipId: $id, role: VIEWER }) { userErrors { code } } }";
    let answer = hall.api.ask_as(&outside, change, json!({ "id": membership })).await;
    assert!(code(&answer).is_empty() && answer["data"]["changeMemberRole"]["userErrors"] == json!([]), "{answer}");
    both_end(watching, idle).await;

    let (_, _, credential) = member(&hall, "cleo@example.org").await;
    let (watching, idle) = two(&hall, &credential, MESSAGES).await;
    disable_user(&operate().grant(), hall.api.world.ports(), &"cleo@example.org".parse().unwrap(), true).await.unwrap();
    both_end(watching, idle).await;

    let (mut watching, mut idle) = two(&hall, &hall.token, MESSAGES).await;
    suspend_account(&operate().grant(), hall.api.world.ports(), hall.api.account).await.unwrap();
    assert_eq!((watching.code().await, idle.code().await), (4403, 4403));
    hall.served.stop().await;
}

#[actix_web::test]
async fn c224_sockets_and_subscriptions_are_limited() {
    let hall =
        Box::pin(Hall::with(|sockets| (sockets.process_max, sockets.tenant_max, sockets.running_max) = (3, 1, 2)))
            .await;
    let mut first = hall.owner().await;
    let mut second = hall.open().await;
    second.init(&hall.token).await;
    assert_eq!(second.code().await, 1013, "one of a tenant");
    // Who is in no tenant is counted apart.
    let session = hall.api.world.sign_in("ada@example.org", PASSWORD).await.unwrap();
    let _outside = hall.entered(&session.access_token).await;
    for id in ["1", "2"] {
        first.subscribe(id, MESSAGES).await;
        assert_eq!(first.hear().await["type"], "next");
    }
    first.subscribe("3", MESSAGES).await;
    assert_eq!(first.error().await, "TOO_MANY");
    first.say(json!({ "id": "2", "type": "complete" })).await;
    first.subscribe("3", MESSAGES).await;
    assert_eq!(first.hear().await["type"], "next", "there is room again");
    let _third = hall.open().await;
    assert_eq!(hall.refused(hall.asking(Some("graphql-transport-ws"))).await, 503, "three of a process");
    hall.served.lives().await;
    hall.served.stop().await;
}

#[actix_web::test]
async fn who_is_not_heard_of_is_dropped_and_who_answers_is_not() {
    let hall = Box::pin(Hall::with(|sockets| sockets.heartbeat = SHORT)).await;
    let mut alive = hall.owner().await;
    let mut pings = 0;
    while pings < 4 {
        pings += usize::from(matches!(alive.frame().await, Message::Ping(_)));
    }
    alive.say(json!({ "type": "ping" })).await;
    assert_eq!(alive.hear().await, json!({ "type": "pong" }));
    // Past the client, which would answer: only bytes are taken.
    let mut bytes = Vec::new();
    let mut silent = hall.owner().await;
    let read = tokio::time::timeout(Duration::from_mins(1), silent.0.get_mut().read_to_end(&mut bytes)).await;
    read.expect("in time").unwrap();
    assert!(bytes.windows(2).any(|two| two == 4499_u16.to_be_bytes()), "{bytes:?}");
    hall.served.stop().await;
}

/// A client that says much and takes nothing: what is to be told to it has nowhere to go.
#[actix_web::test]
async fn c224_who_takes_nothing_is_dropped() {
    let hall = Box::pin(Hall::with(|sockets| sockets.patience = SHORT)).await;
    let mut alive = hall.owner().await;
    let mut slow = hall.narrow().await;
    slow.init(&hall.token).await;
    assert_eq!(slow.hear().await, json!({ "type": "connection_ack" }));
    // Each is answered with as many octets.
    let ping = Message::Ping(vec![7; 125].into());
    let alone = async {
        while hall.gateway.sockets.count() > 1 {
            // What is said has places to wait in, of the system's as well: so more is said as long as it is heard.
            let said = tokio::time::timeout(Duration::from_millis(5), slow.0.send(ping.clone())).await;
            if !matches!(said, Ok(Ok(()))) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(1), alone).await.expect("its place is free again");
    alive.say(json!({ "type": "ping" })).await;
    assert_eq!(alive.hear().await, json!({ "type": "pong" }), "others are not held up");
    hall.served.stop().await;
}

#[actix_web::test]
async fn c185_sockets_are_closed_before_the_process_ends() {
    let hall = Box::pin(Hall::new()).await;
    let mut watching = hall.owner().await;
    watching.subscribe("1", MESSAGES).await;
    assert_eq!(watching.hear().await["type"], "next");
    let mut idle = hall.open().await;
    hall.gateway.health.drain();
    hall.gateway.sockets.drain();
    assert_eq!((watching.code().await, idle.code().await), (1001, 1001));
    assert_eq!(hall.refused(hall.asking(Some("graphql-transport-ws"))).await, 503, "others have room");
    hall.served.lives().await;
    hall.served.stop().await;
}

#[actix_web::test]
async fn a_client_that_goes_leaves_nothing_behind() {
    let hall = Box::pin(Hall::new()).await;
    let mut rude = hall.owner().await;
    rude.subscribe("1", MESSAGES).await;
    assert_eq!(rude.hear().await["type"], "next");
    let mut polite = hall.owner().await;
    assert_eq!(hall.gateway.sockets.count(), 2);
    polite.0.close(None).await.unwrap();
    assert!(matches!(polite.frame().await, Message::Close(_)));
    drop(rude);
    hall.is_left().await;
    hall.served.stop().await;
}
