//! Five hundred people who sign in at once take the memory of two, and hold up nobody else (C-216).
//!
//! A binary of its own, with one test: what is measured is the whole process. Linux tells the peak.

#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicUsize, Ordering};

use carillon_domain::error::Error;
use carillon_domain::tenancy::{Doorkeeper, PasswordSettings, ReadTenant, sign_in};
use carillon_tests::access::{AccessWorld, code};
use carillon_tests::memory::flat_within;

const CROWD: usize = 500;
/// Besides what the permitted hashes take.
const REST: u64 = 64 << 20;

#[tokio::test]
async fn c216_five_hundred_sign_ins_take_the_memory_of_two_and_hold_up_nobody() {
    let world = AccessWorld::new().await;
    let (ada, account) = world.owner_and_account("ada@example.org").await;
    let tenant = world.new_tenant(&ada, account, "One").await;
    let read = world.entered(&ada, tenant).await.grant::<ReadTenant>().unwrap();
    let settings = PasswordSettings::default();
    let desk = Doorkeeper::new(world.ports(), &world.ports().keys, settings).unwrap();
    let (judged, turned_away) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let attempt = async |number: usize| {
        let person = world.person(&format!("n{number}@example.org"), "wrong");
        match sign_in(world.ports(), &desk, person).await {
            Err(Error::TooMany { .. }) => turned_away.fetch_add(1, Ordering::Relaxed),
            result => {
                assert_eq!(code(result), "INVALID_CREDENTIALS");
                judged.fetch_add(1, Ordering::Relaxed)
            }
        }
    };
    let crowd = futures::future::join_all((0..CROWD).map(attempt));
    // Begins when the queue is full, and ends while some still wait.
    let others = async {
        while turned_away.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..20 {
            read.begin_read().await.unwrap().commit().await.unwrap();
        }
        judged.load(Ordering::Relaxed) + turned_away.load(Ordering::Relaxed)
    };
    let most = settings.permits as u64 * u64::from(settings.memory_kib) * 1024 + REST;
    let (_, ended) = flat_within(most, "sign-ins", Box::pin(async { futures::join!(crowd, others) })).await;
    assert!(ended < CROWD, "whoever needs no password waited for all who do");
    assert_eq!(judged.into_inner() + turned_away.into_inner(), CROWD);
    // The doors are open again.
    assert_eq!(
        code(sign_in(world.ports(), &desk, world.person("last@example.org", "wrong")).await),
        "INVALID_CREDENTIALS"
    );
}
