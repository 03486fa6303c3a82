//! The engine moves people: mails, waits, splits, updates; each once, at a cost that does not grow with their number.

use carillon_domain::contacts::contact_tags;
use carillon_domain::ids::ContactId;
use carillon_domain::keys::HitKind;
use carillon_domain::tenancy::{RunWorkflows, SendMessages};
use carillon_domain::workflows::{EngineGrants, advance_due};
use carillon_tests::database::start;
use chrono::TimeDelta;
use serde_json::{Value as Json, json};

use super::setup::{Field, started};

fn two_mails(field: &Field) -> Json {
    started(&json!({
        "first": field.mail("pause"),
        "pause": { "kind": "wait_for", "seconds": 86_400, "next": "second" },
        "second": field.mail("bye"),
        "bye": { "kind": "exit", "reason": "done" },
    }))
}

#[tokio::test]
async fn a_month_of_waiting_is_a_few_drains() {
    let field = Field::new().await;
    let (_, version) = field.live("Welcome", &two_mails(&field)).await;
    let ada = field.person("ada@example.org").await;
    field.does(ada, "started").await;
    field.drain().await;
    assert_eq!((field.stands(ada).await.as_str(), field.mails("ada@example.org")), ("active pause", 1));
    field.advance(TimeDelta::hours(23));
    field.drain().await;
    assert_eq!(field.mails("ada@example.org"), 1);
    field.advance(TimeDelta::hours(1));
    field.drain().await;
    assert_eq!((field.stands(ada).await.as_str(), field.mails("ada@example.org")), ("completed done", 2));
    assert_eq!(field.path(ada).await, "enrolled@first queued@first waited@pause queued@second completed@bye");
    let second = field.answer(&version, "second").await;
    assert_eq!((second.entered, second.passed, second.sent, second.waiting), (1, 1, 1, 0));
    assert_eq!(field.answer(&version, "bye").await.exited.get("done"), Some(&1));
}

#[tokio::test]
async fn c161_the_gate_has_the_last_word_and_the_answer_says_why() {
    let field = Field::new().await;
    let (_, version) = field.live("Welcome", &two_mails(&field)).await;
    let ada = field.person("ada@example.org").await;
    field.does(ada, "started").await;
    field.drain().await;
    let link = field.one_click(&field.mail_to("ada@example.org"));
    field.unsubscribe(&link).await;
    field.advance(TimeDelta::days(1));
    field.drain().await;
    assert_eq!(field.mails("ada@example.org"), 1, "nothing after the unsubscribe");
    assert_eq!(field.stands(ada).await, "completed done");
    let refused = field.answer(&version, "second").await.refused;
    assert_eq!(refused.values().sum::<i64>(), 1, "{refused:?}");
}

#[tokio::test]
async fn c178_a_local_time_is_the_contacts_and_else_the_tenants() {
    let field = Field::new().await;
    let nodes = json!({
        "first": { "kind": "wait_until", "time": "09:30", "next": "bye" },
        "bye": { "kind": "exit" },
    });
    field.live("Mornings", &started(&nodes)).await;
    let ada = field.person("ada@example.org").await;
    field.does(ada, "started").await;
    field.drain().await;
    let due = field.ways(ada).await[0].due_at;
    let local = due.naive_utc().time();
    // The world's tenants are in Vienna, an hour or two ahead of UTC.
    assert!(["07:30:00", "08:30:00"].contains(&local.to_string().as_str()), "{due}");
    assert!(due > start() && due - start() <= TimeDelta::days(1) + TimeDelta::hours(1));
}

#[tokio::test]
async fn an_update_changes_the_contact_once_and_what_follows_sees_it() {
    let field = Field::new().await;
    let nodes = json!({
        "first": { "kind": "update", "add_tags": ["welcomed"], "next": "asked" },
        "asked": { "kind": "branch", "condition": { "kind": "tag", "tag": "welcomed" }, "then": "yes", "otherwise": "no" },
        "yes": { "kind": "exit", "reason": "tagged" },
        "no": { "kind": "exit", "reason": "untagged" },
    });
    field.live("Tags", &started(&nodes)).await;
    let ada = field.person("ada@example.org").await;
    field.does(ada, "started").await;
    field.drain().await;
    assert_eq!(field.stands(ada).await, "completed tagged");
    let grant = field.marketer.grant().expect("a marketer reads");
    let mut tx = grant.begin_read().await.expect("a transaction");
    let tags = contact_tags(&grant, &mut tx, &[ada]).await.expect("tags");
    tx.commit().await.expect("the end");
    assert_eq!(tags[&ada], ["welcomed"]);
    let changes = "SELECT COUNT(*) AS amount FROM contact_changes WHERE kind = 'tagged'";
    assert_eq!(field.number(changes).await, 1);
}

#[tokio::test]
async fn c183_a_split_exposes_each_address_once_and_a_new_version_keeps_them_there() {
    let field = Field::new().await;
    let split = |a: u32| {
        let definition = started(&json!({
            "first": { "kind": "split", "variants": [
                { "label": "a", "weight_bp": a, "next": "bye" }, { "label": "b", "weight_bp": 10_000 - a, "next": "bye" } ] },
            "bye": { "kind": "exit" },
        }));
        let mut definition = definition;
        definition["reentry"] = json!({ "kind": "after_exit" });
        definition
    };
    let (workflow, _) = field.live("Split", &split(5_000)).await;
    let mut people = Vec::new();
    for n in 0..40 {
        people.push(field.person(&format!("p{n}@example.org")).await);
    }
    let all = |at| people.iter().map(|who| (*who, "started", at)).collect::<Vec<_>>();
    field.did(&all(field.ports().now())).await;
    field.drain().await;
    // In the order of the addresses' hashes, which does not change.
    let variants = "SELECT variant AS line FROM exposures ORDER BY address_hmac";
    let before = field.lines(variants).await;
    assert_eq!(before.len(), 40);
    let in_a = before.iter().filter(|line| line.as_str() == "a").count();
    assert!((8..=32).contains(&in_a), "{in_a} of 40");
    field.republish(workflow, &split(9_000)).await;
    field.advance(TimeDelta::hours(1));
    field.did(&all(field.ports().now())).await;
    field.drain().await;
    assert_eq!(field.lines(variants).await, before, "who saw one variant sees it again");
    let steps = "SELECT COUNT(*) AS amount FROM enrollment_steps WHERE outcome = 'split'";
    assert_eq!(field.number(steps).await, 80);
    let strayed = "SELECT COUNT(*) AS amount FROM enrollment_steps s JOIN enrollments e ON e.id = s.enrollment_id \
        JOIN exposures x ON x.contact_id = e.contact_id WHERE s.outcome = 'split' AND s.variant <> 'first/' || x.variant";
    assert_eq!(field.number(strayed).await, 0);
}

/// An hour after the mail: who clicked, who did not, and of whom nobody knows.
fn asked(field: &Field) -> Json {
    let clicked = json!({ "kind": "mail", "node": "first", "did": "clicked" });
    started(&json!({
        "first": field.mail("pause"),
        "pause": { "kind": "wait_for", "seconds": 3_600, "next": "asked" },
        "asked": { "kind": "branch", "condition": clicked, "then": "yes", "otherwise": "no", "unknown": "nobody" },
        "yes": { "kind": "exit", "reason": "clicked" },
        "no": { "kind": "exit", "reason": "not_clicked" },
        "nobody": { "kind": "exit", "reason": "nobody_knows" },
    }))
}

#[tokio::test]
async fn c082_who_clicked_and_is_never_judged_is_not_told_as_one_who_did_not() {
    let field = Field::new().await;
    field.live("Asked", &asked(&field)).await;
    let ada = field.person_of("ada@example.org", "US").await;
    field.does(ada, "started").await;
    field.drain().await;
    field.advance(TimeDelta::minutes(55));
    field.hits(ada, "first", HitKind::Click).await;
    // The engine runs, and nobody judges.
    let work = field.work(field.tenant);
    let grants = EngineGrants { run: work.grant::<RunWorkflows>(), send: work.grant::<SendMessages>() };
    for stands in ["active asked", "completed nobody_knows"] {
        assert_eq!(advance_due(&grants, field.ports(), 10).await.expect("moved"), 1);
        assert_eq!(field.stands(ada).await, stands);
        field.advance(TimeDelta::seconds(75));
    }
    field.drain().await;
}

/// With tracked links it would be longer than a marketing mail may be, or one of them would tell nothing: it leaves as it was.
#[tokio::test]
async fn c077_of_a_mail_that_cannot_be_tracked_nothing_is_known() {
    let html = |links: &[String], words: usize| {
        let links: Vec<_> = links.iter().map(|to| format!("<a href=\"{to}\">x</a>")).collect();
        let words = "word ".repeat(words);
        let links = links.join(" ");
        format!("<p>{words}</p><p>{links}</p><p><a href=\"{{{{ unsubscribe_url }}}}\">Leave</a></p>")
    };
    let of = |links: usize| (0..links).map(|n| format!("https://a.example/{n}")).collect::<Vec<_>>();
    let long = |octets: usize| vec![format!("https://a.example/{}", "x".repeat(octets - 18))];
    let (none, known) = (("none", "completed nobody_knows"), ("individual", "completed not_clicked"));
    for (html, (tracking, stands)) in [
        (html(&of(60), 18_800), none),
        (html(&of(60), 10), known),
        (html(&of(301), 10), none),
        (html(&of(300), 10), known),
        (html(&long(2_001), 10), none),
        (html(&long(2_000), 10), known),
    ] {
        let field = Field::new().await;
        field.write(html).await;
        let (_, version) = field.live("Asked", &asked(&field)).await;
        let ada = field.person_of("ada@example.org", "US").await;
        field.does(ada, "started").await;
        field.drain().await;
        assert_eq!(field.lines("SELECT tracking AS line FROM messages").await, [tracking]);
        field.advance(TimeDelta::hours(1));
        field.drain().await;
        assert_eq!(field.stands(ada).await, stands);
        assert_eq!(field.answer(&version, "first").await.sent, 1);
    }
}

/// L5: three people and three hundred cost the same number of statements.
#[tokio::test]
async fn l5_a_batch_costs_the_same_whatever_its_size() {
    let mut costs = Vec::new();
    for people in [3, 300] {
        let field = Field::new().await;
        field.live("Welcome", &two_mails(&field)).await;
        let mut all: Vec<ContactId> = Vec::new();
        for n in 0..people {
            all.push(field.person(&format!("p{n}@example.org")).await);
        }
        let now = field.ports().now();
        let told: Vec<_> = all.iter().map(|who| (*who, "started", now)).collect();
        let ((), began) = field.statements_of(field.did(&told)).await;
        let work = field.work(field.tenant);
        let grants = EngineGrants { run: work.grant::<RunWorkflows>(), send: work.grant::<SendMessages>() };
        let (moved, cost) =
            field.statements_of(async { advance_due(&grants, field.ports(), 500).await.expect("moved") }).await;
        assert_eq!(moved, people);
        costs.push((began, cost));
        field.settle().await;
    }
    assert_eq!(costs[0], costs[1], "statements of starting and of moving");
}

/// The day has room for some of a batch: so many go, and who is refused takes nobody's place. The rest goes the next day.
#[tokio::test]
async fn as_many_mails_go_as_the_day_has_room_for() {
    let field = Field::new().await;
    field.execute("UPDATE tenants SET max_messages_per_day = 4").await;
    field.live("Welcome", &field.one_mail()).await;
    for n in 0..7 {
        let who = field.person(&format!("p{n}@example.org")).await;
        field.does(who, "started").await;
    }
    field.execute("UPDATE contacts SET state = 'archived' WHERE email_norm = 'p1@example.org'").await;
    field.drain().await;
    let waiting = "SELECT COUNT(*) AS amount FROM enrollments WHERE state = 'active' AND node = 'first'";
    let sent = async || (field.catcher.totals().stored, field.number(waiting).await);
    assert_eq!(sent().await, (4, 2));
    assert_eq!([field.mails("p0@example.org"), field.mails("p4@example.org")], [1, 1], "those who came first");
    field.advance(TimeDelta::minutes(14));
    field.drain().await;
    assert_eq!(sent().await, (4, 2));
    field.execute("UPDATE tenants SET max_messages_per_day = 5").await;
    field.advance(TimeDelta::minutes(1));
    field.drain().await;
    assert_eq!(sent().await, (5, 1), "a limit that was raised is seen");
    field.advance(TimeDelta::days(1));
    field.drain().await;
    assert_eq!(sent().await, (6, 0));
}

/// Whatever is looked at twice, late, or by two workers at once happens once.
#[tokio::test]
async fn l8_workers_side_by_side_ask_for_one_mail_each() {
    let field = Field::new().await;
    field.live("Welcome", &two_mails(&field)).await;
    let mut told = Vec::new();
    for n in 0..30 {
        let who = field.person(&format!("p{n}@example.org")).await;
        told.push((who, "started", field.ports().now()));
    }
    field.did(&told).await;
    let work = field.work(field.tenant);
    let grants = EngineGrants { run: work.grant::<RunWorkflows>(), send: work.grant::<SendMessages>() };
    let workers = (0..4).map(|_| async {
        let mut moved = 0;
        loop {
            let now = advance_due(&grants, field.ports(), 4).await.expect("moved");
            moved += now;
            if now == 0 {
                return moved;
            }
        }
    });
    let moved: usize = futures::future::join_all(workers).await.into_iter().sum();
    assert_eq!(moved, 30);
    assert_eq!(field.number("SELECT COUNT(*) AS amount FROM messages").await, 30);
    field.settle().await;
    field.drain().await;
    assert_eq!(field.catcher.totals().stored, 30);
}
