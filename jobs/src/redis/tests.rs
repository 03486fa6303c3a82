//! Signals without Redis; those with it are in `tests/with_redis.rs`.

use carillon_domain::doorbell::Doorbell;
use carillon_domain::entropy::SystemEntropy;
use carillon_domain::ids::TenantId;
use carillon_domain::messaging::Lane;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use uuid::Uuid;

use super::{BEHIND_MAX, InvalidRedisUrl, Signal, Signals};
use crate::queue::QueueName;

#[tokio::test]
async fn every_listener_hears_every_signal() {
    let signals = Signals::local();
    let mut listeners = [signals.listen(), signals.clone().listen()];
    let done = Signal::Done { ticket: Uuid::from_u128(1), worked: true };
    signals.ring(Lane::Bulk);
    signals.ring_imports();
    signals.send(done);
    for listener in &mut listeners {
        for expected in [Signal::Ring(Lane::Bulk), Signal::RingImports, done] {
            assert_eq!(listener.recv().await.unwrap(), expected);
        }
        assert_eq!(listener.try_recv(), Err(TryRecvError::Empty));
    }
    assert!(signals.is_connected());
}

#[tokio::test]
async fn a_listener_that_sleeps_costs_bounded_memory() {
    let signals = Signals::local();
    let mut sleeper = signals.listen();
    for _ in 0..BEHIND_MAX + 10 {
        signals.ring(Lane::Bulk);
    }
    assert_eq!(sleeper.recv().await, Err(RecvError::Lagged(10)));
    assert_eq!(sleeper.recv().await, Ok(Signal::Ring(Lane::Bulk)));
}

#[tokio::test]
async fn without_redis_this_process_still_hears_itself() {
    // The discard port: nobody answers there.
    let signals = Signals::redis("redis://127.0.0.1:9/", None, &SystemEntropy).unwrap();
    let mut listener = signals.listen();
    for _ in 0..5_000 {
        signals.ring(Lane::Transactional);
        assert_eq!(listener.recv().await, Ok(Signal::Ring(Lane::Transactional)));
    }
    assert!(!signals.is_connected());
}

#[tokio::test]
async fn a_wrong_address_is_refused_without_quoting_it() {
    let refused = Signals::redis("http://user:secret@example.org", None, &SystemEntropy).unwrap_err();
    assert_eq!(refused, InvalidRedisUrl);
    assert!(!refused.to_string().contains("secret"));
}

#[test]
fn signals_keep_their_wire_form() {
    let text = |signal: Signal| serde_json::to_string(&signal).unwrap();
    assert_eq!(text(Signal::Ring(Lane::Bulk)), r#"{"ring":"bulk"}"#);
    assert_eq!(text(Signal::RingImports), r#""ringImports""#);
    let tenant = TenantId(Uuid::from_u128(1));
    assert_eq!(text(Signal::Changed(tenant)), format!(r#"{{"changed":"{tenant}"}}"#));
    let slots = Signal::Slots { process: Uuid::from_u128(1), queue: QueueName::Bulk, count: 4 };
    let process = r#""process":"00000000-0000-0000-0000-000000000001""#;
    assert_eq!(text(slots), format!(r#"{{"slots":{{{process},"queue":"bulk","count":4}}}}"#));
    let done = Signal::Done { ticket: Uuid::from_u128(1), worked: true };
    assert_eq!(text(done), r#"{"done":{"ticket":"00000000-0000-0000-0000-000000000001","worked":true}}"#);
}
