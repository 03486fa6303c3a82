//! The feed of events over a real socket and as a stream: told as it comes, and from where one was.

use std::time::Duration;

use carillon_domain::messaging::place_events;
use carillon_domain::tenancy::{SendMessages, enter_for_work, enter_tenant};
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};

use crate::socket::{Hall, Socket};
use crate::streams::Events;
use crate::subscriptions::MESSAGES;

/// Asks for no cursor at all.
const IDS_ALONE: &str = "subscription { messageEvents { events { messageId } } }";

/// Asks for the events behind a place, or for those from now on.
fn events(after: Option<&str>) -> String {
    let after = after.map_or_else(String::new, |after| format!("(after: \"{after}\")"));
    format!(
        "subscription {{ messageEvents{after} {{ cursor events {{ id cursor kind messageId message {{ state }} }} }} }}"
    )
}

impl Hall {
    /// Takes a message back, and has the feed's writer at work.
    async fn cancelled(&self, n: usize) -> Value {
        let message = self.api.row(n).await.message;
        self.api.change("cancelMessages", "count", json!({ "ids": [message] })).await;
        let grant = enter_for_work(self.api.world.wall(), self.api.tenant).grant::<SendMessages>();
        assert!(place_events(&grant, self.api.world.ports()).await.unwrap() > 0);
        self.gateway.live.tell_tenant(self.api.tenant);
        message
    }

    /// A socket of the owner's that follows the feed, and the first that it was told.
    async fn following(&self, after: Option<&str>) -> (Socket, Value) {
        let mut socket = self.owner().await;
        socket.subscribe("f", &events(after)).await;
        let first = page(&mut socket).await;
        (socket, first)
    }

    /// A stream of somebody's, as who was told these events last asks for it.
    async fn streaming(&self, token: &str, query: &str, last: &[&[u8]]) -> Events {
        let request = self.request(Method::POST, Some(token), query);
        let last = last.iter().map(|id| HeaderValue::from_bytes(id).unwrap());
        let request = last.fold(request, |request, id| request.header("Last-Event-ID", id));
        Events::of(request.send().await.unwrap())
    }

    /// A stream of the owner's from behind an event.
    async fn behind(&self, query: &str, last: &str) -> Events {
        self.streaming(&self.token, query, &[last.as_bytes()]).await
    }
}

/// What a stream tells next.
async fn told(events: &mut Events) -> Vec<Value> {
    let told = events.next().await;
    assert!(told["errors"].is_null(), "{told}");
    messages(&told["data"]["messageEvents"])
}

async fn page(socket: &mut Socket) -> Value {
    let heard = socket.hear().await;
    assert!(heard["payload"]["errors"].is_null(), "{heard}");
    heard["payload"]["data"]["messageEvents"].clone()
}

fn messages(page: &Value) -> Vec<Value> {
    page["events"].as_array().unwrap().iter().map(|event| event["messageId"].clone()).collect()
}

#[actix_web::test]
async fn whoever_was_away_is_told_what_happened_meanwhile() {
    let hall = Box::pin(Hall::new()).await;
    let (mut socket, first) = hall.following(None).await;
    assert!(messages(&first).is_empty(), "nothing yet, and a place to resume from");
    let beginning = first["cursor"].as_str().unwrap().to_owned();
    let one = hall.cancelled(1).await;
    let told = page(&mut socket).await;
    assert_eq!(messages(&told), std::slice::from_ref(&one));
    let event = &told["events"][0];
    assert_eq!((&event["kind"], &event["message"]["state"]), (&json!("CANCELLED"), &json!("CANCELLED")));
    assert_eq!(event["cursor"], told["cursor"]);
    drop(socket);

    let away = [hall.cancelled(2).await, hall.cancelled(3).await];
    let (mut socket, told_then) = hall.following(told["cursor"].as_str()).await;
    assert_eq!(messages(&told_then), away);
    let four = hall.cancelled(4).await;
    assert_eq!(messages(&page(&mut socket).await), std::slice::from_ref(&four), "and it goes on");
    // Who was cut off before they took anything in is told it again, under the same ids.
    let (_again, all) = hall.following(Some(&beginning)).await;
    assert_eq!(messages(&all), [vec![one], away.to_vec(), vec![four]].concat());
    assert_eq!(all["events"][0]["id"], event["id"]);
    hall.served.stop().await;
}

#[actix_web::test]
async fn c204_a_cursor_is_good_in_its_tenant_alone() {
    let hall = Box::pin(Hall::new()).await;
    hall.cancelled(1).await;
    let (_socket, first) = hall.following(None).await;
    let cursor = first["cursor"].as_str().unwrap();
    let (eve, account) = hall.api.world.owner_and_account("eve@example.org").await;
    let tenant = hall.api.world.new_tenant(&eve, account, "Other").await;
    let session = enter_tenant(hall.api.world.ports(), hall.api.world.desk(), &eve, tenant).await.unwrap();
    let mut foreign = hall.entered(&session.access_token).await;
    for after in [cursor, "nonsense", ""] {
        foreign.subscribe("1", &events(Some(after))).await;
        assert_eq!(foreign.error().await, "INVALID_CURSOR", "{after}");
        assert_eq!(foreign.hear().await["type"], "complete");
    }
    foreign.subscribe("1", &events(None)).await;
    assert!(messages(&page(&mut foreign).await).is_empty(), "and of others nothing is told");
    // The key reads contacts and nothing else.
    let (_, key) = hall.api.world.new_key(&hall.api.ada, hall.api.tenant).await;
    let mut socket = hall.entered(&key).await;
    socket.subscribe("1", &events(None)).await;
    assert_eq!(socket.error().await, "FORBIDDEN");
    hall.served.stop().await;
}

#[actix_web::test]
async fn a_stream_goes_on_behind_the_event_that_was_told_last() {
    let hall = Box::pin(Hall::new()).await;
    let mut stream = hall.streaming(&hall.token, IDS_ALONE, &[]).await;
    assert!(told(&mut stream).await.is_empty(), "nothing yet, and an id to come again with");
    let beginning = stream.last_id.clone().unwrap();
    let one = hall.cancelled(1).await;
    assert_eq!(told(&mut stream).await, std::slice::from_ref(&one));
    let mut last = stream.last_id.clone().unwrap();
    drop(stream);

    // Cut off after each event: neither a gap nor a repeat, whoever listens when it happens.
    let mut all = vec![one];
    for n in [2, 5] {
        let away = [hall.cancelled(n).await, hall.cancelled(n + 1).await];
        let mut stream = hall.behind(IDS_ALONE, &last).await;
        assert_eq!(told(&mut stream).await, away);
        let here = hall.cancelled(n + 2).await;
        assert_eq!(told(&mut stream).await, std::slice::from_ref(&here));
        last = stream.last_id.clone().unwrap();
        all.extend(away.into_iter().chain([here]));
    }
    let mut stream = hall.behind(IDS_ALONE, &last).await;
    assert!(told(&mut stream).await.is_empty(), "there is no more");
    // What connects again by itself sends its first request again: what it was told is later than the argument.
    let mut stream = hall.behind(&events(Some(&beginning)), &last).await;
    assert!(told(&mut stream).await.is_empty());
    let mut stream = hall.behind(&events(Some(&last)), &beginning).await;
    assert_eq!(told(&mut stream).await, all);
    // The id is the cursor, so the place is the same over a socket.
    let (_socket, page) = hall.following(Some(&beginning)).await;
    assert_eq!((messages(&page), page["cursor"].as_str()), (all, Some(last.as_str())));
    hall.served.stop().await;
}

#[actix_web::test]
async fn c204_an_id_of_an_event_is_good_in_its_feed_alone() {
    let hall = Box::pin(Hall::new()).await;
    hall.cancelled(1).await;
    let mut stream = hall.streaming(&hall.token, IDS_ALONE, &[]).await;
    told(&mut stream).await;
    let id = stream.last_id.clone().unwrap();
    let (eve, account) = hall.api.world.owner_and_account("eve@example.org").await;
    let tenant = hall.api.world.new_tenant(&eve, account, "Other").await;
    let session = enter_tenant(hall.api.world.ports(), hall.api.world.desk(), &eve, tenant).await.unwrap();
    // A letter of the seal.
    let altered = format!("{}{}{}", &id[..40], if &id[40..41] == "A" { "B" } else { "A" }, &id[41..]);
    let refused: [(&str, &[&[u8]]); 5] = [
        (&session.access_token, &[id.as_bytes()]),
        (&hall.token, &[b"nonsense"]),
        (&hall.token, &[altered.as_bytes()]),
        (&hall.token, &[b"\xff\xfe"]),
        (&hall.token, &[id.as_bytes(), id.as_bytes()]),
    ];
    for (token, last) in refused {
        let mut stream = hall.streaming(token, IDS_ALONE, last).await;
        let told = stream.next().await;
        assert_eq!(told["errors"][0]["extensions"]["code"], "INVALID_CURSOR", "{last:?}: {told}");
        stream.is_complete().await;
        assert_eq!(stream.last_id, None, "whoever was told nothing keeps what they had");
    }
    // What tells what is has no places: nothing could be missing, whoever says what.
    let mut stream = hall.behind(MESSAGES, "nonsense").await;
    assert_eq!(stream.next().await["data"]["messageProgress"]["total"], 1);
    assert_eq!(stream.last_id, None);
    hall.served.stop().await;
}

#[actix_web::test]
async fn only_what_was_asked_for_is_told() {
    let hall = Box::pin(Hall::new()).await;
    let mut socket = hall.owner().await;
    let query = "subscription { messageEvents(kinds: [OPENED, BOUNCED]) { cursor events { kind } } }";
    socket.subscribe("none", query).await;
    let first = page(&mut socket).await;
    socket.subscribe("some", "subscription { messageEvents(kinds: [CANCELLED]) { events { kind } } }").await;
    assert_eq!(page(&mut socket).await, json!({ "events": [] }));
    hall.cancelled(1).await;
    // What is of no kind that was asked for is passed over in silence.
    let heard = socket.hear().await;
    assert_eq!((&heard["id"], &heard["type"]), (&json!("some"), &json!("next")), "{first} {heard}");
    hall.served.stop().await;
}

#[actix_web::test]
async fn who_watches_the_same_shares_its_looks() {
    const WATCHERS: usize = 20;
    let hall = Box::pin(Hall::new()).await;
    let mut socket = hall.owner().await;
    for n in 0..WATCHERS {
        socket.subscribe(&n.to_string(), &events(None)).await;
        page(&mut socket).await;
    }
    let live = &hall.gateway.live;
    assert_eq!(live.subjects(), 1);
    let (began, before) = (tokio::time::Instant::now(), live.looks());
    while live.looks() < before + 10 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // One of them looks once in a pace, which is 20 ms here, and none of the others.
    let paces = began.elapsed().as_millis() / 20 + 2;
    let looks = u128::from(live.looks() - before);
    assert!(looks <= paces, "{looks} looks in {paces} paces");
    let one = hall.cancelled(1).await;
    for _ in 0..WATCHERS {
        assert_eq!(messages(&page(&mut socket).await), std::slice::from_ref(&one), "and all are told");
    }
    drop(socket);
    hall.is_left().await;
    while live.subjects() > 0 {
        tokio::task::yield_now().await;
    }
    hall.served.stop().await;
}

/// What idles is asked about together: a statement for all of them, not one for each.
#[actix_web::test]
async fn c224_the_credentials_of_all_who_listen_are_asked_about_at_once() {
    const LISTENERS: usize = 24;
    const EVERY: Duration = Duration::from_millis(300);
    let hall = Box::pin(Hall::with(|sockets| sockets.check_every = EVERY)).await;
    let mut sockets = Vec::new();
    for _ in 0..LISTENERS {
        sockets.push(hall.owner().await);
    }
    let wall = hall.api.world.wall();
    let (began, before) = (tokio::time::Instant::now(), wall.statements());
    tokio::time::sleep(EVERY * 4).await;
    let rounds = began.elapsed().as_millis() / EVERY.as_millis() + 2;
    let statements = u128::from(wall.statements() - before);
    // A transaction of three, at most one in a third of the time that is allowed; each on its own would be two for each.
    assert!(statements <= rounds * 9, "{statements} in {rounds} rounds");
    assert!(statements >= 6, "{statements}: nobody asked");
    hall.api.world.execute("UPDATE users SET auth_version = auth_version + 1").await;
    for socket in &mut sockets {
        assert_eq!(socket.code().await, 4403);
    }
    hall.served.stop().await;
}
