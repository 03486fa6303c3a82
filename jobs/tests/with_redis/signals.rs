use std::collections::HashSet;

use carillon_domain::entropy::SystemEntropy;
use carillon_domain::messaging::Lane;
use carillon_jobs::redis::{Signal, Signals};
use tokio::sync::broadcast::Receiver;
use uuid::Uuid;

use super::server::Server;
use super::{eventually, prefix, redis_url};

async fn connected(signals: &Signals) {
    eventually("signals are connected", async || signals.is_connected().then_some(())).await;
}

async fn hear(listener: &mut Receiver<Signal>, wanted: Signal) {
    while listener.recv().await.unwrap() != wanted {}
}

fn done(number: u128) -> Signal {
    Signal::Done { ticket: Uuid::from_u128(number), worked: true }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_hear_each_other_once_and_other_deployments_never() {
    let Some(url) = redis_url() else { return };
    let (ours, theirs) = (prefix(), prefix());
    let one = Signals::redis(&url, Some(&ours), &SystemEntropy).unwrap();
    let two = Signals::redis(&url, Some(&ours), &SystemEntropy).unwrap();
    let stranger = Signals::redis(&url, Some(&theirs), &SystemEntropy).unwrap();
    for signals in [&one, &two, &stranger] {
        connected(signals).await;
    }
    let (mut at_one, mut at_two, mut at_stranger) = (one.listen(), two.listen(), stranger.listen());
    one.send(done(1));
    hear(&mut at_two, done(1)).await;
    two.send(done(2));
    hear(&mut at_one, done(2)).await;
    stranger.send(done(3));
    hear(&mut at_stranger, done(3)).await;
    // One's own signal is heard at once, not again when it comes back from Redis.
    one.send(done(4));
    hear(&mut at_two, done(4)).await;
    two.send(done(5));
    let mut rest = Vec::new();
    while rest.last() != Some(&done(5)) {
        rest.push(at_one.recv().await.unwrap());
    }
    assert_eq!(rest, [done(4), done(5)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_come_back_after_redis_was_killed() {
    let Some(mut server) = Server::start().await else { return };
    let one = Signals::redis(&server.url(), None, &SystemEntropy).unwrap();
    let two = Signals::redis(&server.url(), None, &SystemEntropy).unwrap();
    connected(&one).await;
    connected(&two).await;
    server.kill();
    eventually("the loss is noticed", async || (!one.is_connected() && !two.is_connected()).then_some(())).await;
    let mut at_one = one.listen();
    let mut at_two = two.listen();
    one.send(done(1));
    hear(&mut at_one, done(1)).await;
    server.restart().await;
    // Whoever was away rings everything, because nobody knows what was said meanwhile.
    let mut rung = HashSet::new();
    while rung.len() < 3 {
        rung.insert(at_two.recv().await.unwrap());
    }
    assert!(rung.contains(&Signal::RingImports) && rung.contains(&Signal::Ring(Lane::Bulk)));
    connected(&one).await;
    connected(&two).await;
    let heard = eventually("signals pass again", async || {
        one.send(done(2));
        at_two.try_recv().ok().filter(|signal| *signal == done(2))
    });
    heard.await;
}
