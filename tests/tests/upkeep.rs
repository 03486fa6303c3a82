//! Sweeps: what has a stated lifetime goes when it is over, in bounded batches, and nothing else goes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::sync::Arc;

use carillon_domain::contacts::import::{ImportOptions, ImportState};
use carillon_domain::files::{CreateUpload, Part, Upload, create_upload, receive};
use carillon_domain::idempotency::{Call, KEPT, Reserved, answer, reserve};
use carillon_domain::tenancy::{
    FAMILY_LIFE, Name, SYSTEM_TENANT, WriteContacts, create_account, enter_account, has_expired,
};
use carillon_domain::{dispatch, ids::TenantId};
use carillon_tests::access::AccessWorld;
use carillon_tests::people::People;
use chrono::TimeDelta;

async fn count(people: &People, what: &str) -> i64 {
    people.world.number(&format!("SELECT COUNT(*) AS amount FROM {what}")).await
}

/// Announces a file of ten bytes and puts four.
async fn half_an_upload(people: &People) -> Upload {
    let (ports, grant) = (people.world.ports(), people.imports());
    let mut tx = grant.begin().await.unwrap();
    let upload = create_upload(&grant, &mut tx, ports, CreateUpload::parse("a.csv", 10, 100).unwrap()).await.unwrap();
    tx.commit().await.unwrap();
    let body = futures::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from_static(b"emai"))]);
    let part = Part { offset: 0, length: None, total: None };
    receive(&grant, (ports, &people.files), upload.id, part, body).await.unwrap();
    upload
}

fn folder(people: &People, upload: &Upload) -> PathBuf {
    people.world.files_folder().join("uploads").join(people.tenant.to_string()).join(upload.id.to_string())
}

#[tokio::test]
async fn expired_files_go_with_their_rows_and_whatever_was_half_written() {
    let people = People::new().await;
    let imported = people.run("email\na@example.org\n", ImportOptions::default()).await.unwrap();
    let mut uploads = Vec::new();
    // More than one batch.
    for _ in 0..18 {
        uploads.push(half_an_upload(&people).await);
    }
    // What a process leaves that was killed while it stored a part.
    std::fs::write(folder(&people, &uploads[0]).join("00000000000000000004#1"), b"l\n").unwrap();
    let life = people.world.ports().settings.upload_life;
    people.world.advance(life - TimeDelta::seconds(1));
    let young = half_an_upload(&people).await;
    assert_eq!(people.world.drain().await, 0, "nothing is past its time");
    assert!(uploads.iter().all(|upload| folder(&people, upload).exists()));
    people.world.advance(TimeDelta::seconds(1));
    assert_eq!(people.world.drain().await, 19);
    assert!(uploads.iter().all(|upload| !folder(&people, upload).exists()));
    assert!(people.files.read((people.tenant, imported.upload), 0, 20).await.is_err());
    assert!(folder(&people, &young).exists());
    assert_eq!(count(&people, "uploads WHERE state = 'open'").await, 1);
    assert_eq!(count(&people, "uploads WHERE state = 'expired'").await, 1, "an import still tells its file's name");
    assert_eq!(count(&people, "uploads").await, 2);
    assert_eq!(people.world.drain().await, 0);
}

#[tokio::test]
async fn a_file_stays_until_its_import_is_over() {
    let people = People::new().await;
    let import = people.start("email\na@example.org\n", ImportOptions::default()).await.unwrap();
    people.world.advance(people.world.ports().settings.upload_life * 2);
    assert!(people.world.drain().await > 0);
    assert_eq!(people.import(import.id).await.state, ImportState::Completed);
    assert_eq!(count(&people, "uploads WHERE state = 'expired'").await, 1);
}

async fn suspend(people: &People, at: &str) {
    people.world.execute(&format!("UPDATE tenants SET suspended_at = {at} WHERE name = 'Tenant'")).await;
}

/// What nobody can work on is not due: its tickets would find nothing, one after the other.
#[tokio::test]
async fn imports_of_a_suspended_tenant_are_not_due_and_neither_is_a_file_that_an_import_needs() {
    let people = People::new().await;
    people.start("email\na@example.org\n", ImportOptions::default()).await.unwrap();
    let ports = people.world.ports();
    assert_eq!(dispatch::due_imports(ports).await.unwrap().len(), 1);
    suspend(&people, "created_at").await;
    people.world.advance(ports.settings.upload_life * 2);
    assert!(dispatch::due_imports(ports).await.unwrap().is_empty());
    assert!(dispatch::due_sweeps(ports).await.unwrap().is_empty());
    assert_eq!(people.world.drain().await, 0);
    suspend(&people, "NULL").await;
    assert_eq!(dispatch::due_imports(ports).await.unwrap().len(), 1);
    people.world.drain().await;
    assert_eq!(count(&people, "uploads WHERE state = 'expired'").await, 1);
}

/// The sweep looks at the oldest hundred: they must be ones that can go.
#[tokio::test]
async fn files_that_wait_for_imports_keep_nobody_elses_from_being_deleted() {
    let waiting = People::new().await;
    for _ in 0..100 {
        waiting.start("email\na@example.org\n", ImportOptions::default()).await.unwrap();
    }
    suspend(&waiting, "created_at").await;
    let other = People::within(Arc::clone(&waiting.world)).await;
    waiting.world.advance(TimeDelta::seconds(1));
    let upload = half_an_upload(&other).await;
    waiting.world.advance(waiting.world.ports().settings.upload_life);
    assert_eq!(waiting.world.drain().await, 1);
    assert!(!folder(&other, &upload).exists());
    assert_eq!(count(&waiting, "uploads").await, 100);
    waiting.world.leave_unsettled();
}

async fn call(people: &People, tenant: TenantId, key: &str) -> Reserved<String> {
    let (ports, grant) = (people.world.ports(), people.world.grant::<WriteContacts>(tenant));
    let call = Call::new("createContact", key, b"{\"email\":\"ada@example.org\"}").unwrap();
    let mut tx = grant.begin().await.unwrap();
    let reserved = reserve(&mut tx, ports, &call).await.unwrap();
    if reserved == Reserved::Fresh {
        answer(&mut tx, ports, &call, &"done").await.unwrap();
    }
    tx.commit().await.unwrap();
    reserved
}

#[tokio::test]
async fn c186_answers_are_kept_for_seven_days_and_no_longer() {
    let people = People::new().await;
    let other = people.world.tenant("Other").await;
    for number in 0..130 {
        assert_eq!(call(&people, people.tenant, &format!("k{number}")).await, Reserved::Fresh);
    }
    call(&people, other, "k").await;
    people.world.advance(KEPT - TimeDelta::seconds(1));
    call(&people, other, "young").await;
    assert_eq!(people.world.drain().await, 0);
    assert_eq!(call(&people, people.tenant, "k7").await, Reserved::Answered("done".to_owned()));
    people.world.advance(TimeDelta::seconds(1));
    assert_eq!(people.world.drain().await, 131);
    assert_eq!(count(&people, "idempotency_keys").await, 1);
    assert_eq!(call(&people, other, "young").await, Reserved::Answered("done".to_owned()));
    assert_eq!(call(&people, people.tenant, "k7").await, Reserved::Fresh);
}

#[tokio::test]
async fn c186_answers_of_users_are_kept_as_long() {
    let world = AccessWorld::new().await;
    let (owner, account) = world.owner_and_account("ada@example.org").await;
    let grant = enter_account(world.ports(), &owner, account, "").await.unwrap().grant().unwrap();
    let (name, call) = (Name::parse("Client").unwrap(), Call::new("createAccount", "one", b"{}").unwrap());
    let create = async || create_account(&grant, world.ports(), &name, Some(&call)).await.unwrap();
    let first = create().await;
    world.advance(KEPT);
    world.drain().await;
    assert_eq!(create().await, first);
    assert!(!has_expired(world.ports()).await.unwrap());
    world.advance(TimeDelta::seconds(1));
    assert!(has_expired(world.ports()).await.unwrap());
    let second = create().await;
    assert_ne!(second, first, "a key past its time is a new one");
    world.advance(KEPT + TimeDelta::seconds(1));
    world.drain().await;
    assert_eq!(world.number("SELECT COUNT(*) AS amount FROM identity_idempotency_keys").await, 0);
}

#[tokio::test]
async fn c212_ended_sessions_and_stale_secrets_go_and_keys_stay() {
    let world = AccessWorld::new().await;
    let (owner, account) = world.owner_and_account("ada@example.org").await;
    let tenant = world.new_tenant(&owner, account, "Confiserie").await;
    world.new_key(&owner, tenant).await;
    world.sign_up("eve@example.org", "Eve").await.unwrap();
    // System mail leaves first.
    world.drain().await;
    let number = async |what: &str| world.number(&format!("SELECT COUNT(*) AS amount FROM {what}")).await;
    let sessions = number("refresh_sessions").await;
    assert!(sessions > 0 && number("credentials").await == 3, "the link that was used, the other and the key");
    assert!(!has_expired(world.ports()).await.unwrap());
    world.advance(TimeDelta::days(2));
    let due = dispatch::due_sweeps(world.ports()).await.unwrap();
    assert!(due.iter().any(|due| due.tenant == SYSTEM_TENANT));
    assert_eq!(world.drain().await, 2);
    assert_eq!(number("credentials").await, 1, "the key");
    assert_eq!(number("refresh_sessions").await, sessions);
    world.advance(FAMILY_LIFE);
    assert_eq!(i64::try_from(world.drain().await).unwrap(), sessions);
    assert_eq!((number("refresh_sessions").await, number("credentials").await), (0, 1));
}
