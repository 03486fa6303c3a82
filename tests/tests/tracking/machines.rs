//! Machines are told from people (C-81, C-82).

use super::stage::{CHROME, GOOGLE, MPP, Stage, get};
use actix_web::http::{Method, StatusCode};
use carillon_domain::messaging::{self, Engagement, HIT_HOLD};
use carillon_domain::tenancy::Role;
use carillon_jobs::queue::{Task, Ticket, TicketHandler as _};
use carillon_tests::post::token;
use chrono::TimeDelta;
use serde_json::{Value, json};

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
    let known = Engagement { tracked: true, sent: Some(true), ..Engagement::default() };
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
    let nothing = Engagement { tracked: true, sent: Some(true), ..Engagement::default() };
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
async fn c082_a_scanner_that_asks_for_each_of_300_links_twice_leaves_room_for_a_person() {
    let stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "US").await;
    let message = stage.send("one", contact).await;
    let link = stage.tracked("ada@example.org").0[0].clone();
    stage.scanned(message, 2 * 300 + 1).await;
    stage.post.advance(TimeDelta::minutes(20));
    stage.visit(&link, CHROME).await;
    let clicked_at = stage.post.ports().now();
    stage.judge().await;
    assert_eq!(stage.engagement(message).await.clicked_at, Some(clicked_at));
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
async fn c082_hits_are_judged_and_told_though_messages_cannot_be_swept() {
    let stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "US").await;
    stage.send("one", contact).await;
    let pixel = stage.tracked("ada@example.org").1.unwrap();
    stage.post.advance(TimeDelta::minutes(5));
    stage.visit(&pixel, CHROME).await;
    stage.post.advance(HIT_HOLD);
    stage.post.execute("ALTER TABLE messages RENAME COLUMN lease_until TO away").await;
    let ticket = Ticket { task: Task::SweepV1, ..stage.post.ticket(1) };
    let worked = stage.post.worker("sweep").await.handle(ticket).await;
    stage.post.execute("ALTER TABLE messages RENAME COLUMN away TO lease_until").await;
    assert!(!worked, "it failed");
    assert_eq!(stage.verdicts().await, ["open human none"]);
    let untold = "SELECT COUNT(*) AS amount FROM message_batches WHERE last_place IS NULL";
    assert_eq!(stage.post.number(untold).await, 0, "and who listens is told of it");
}
