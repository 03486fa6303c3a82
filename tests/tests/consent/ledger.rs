//! The ledger, its projection and the evidence beside it.

use carillon_domain::consent::{
    self, Basis, ConsentAction, ConsentStatus, Evidence, Reason, RecordOptIn, RecordOptOut, SourceKind, Verdict,
    Wording,
};
use carillon_domain::error::Error;
use carillon_domain::messaging::MessageClass;
use carillon_domain::tenancy::{ReadPersonalData, RecordConsent};
use carillon_entities::rows::consent::consent_events;
use carillon_entities::wall::WallError;
use carillon_tests::Backend;
use carillon_tests::database::connect;
use chrono::TimeDelta;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use sea_orm::{ConnectionTrait, TransactionTrait};

use crate::setup::Setup;

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    match result {
        Err(Error::Refused(refusals)) => refusals[0].code,
        other => panic!("not a refusal: {other:?}"),
    }
}

fn opt_in(setup: &Setup, contact: carillon_entities::ids::ContactId) -> RecordOptIn {
    RecordOptIn {
        contact,
        topic: setup.news.topic,
        basis: Basis::Consent,
        effective_at: None,
        source: None,
        wording: Wording::default(),
        evidence: None,
    }
}

#[tokio::test]
async fn a_recorded_opt_in_lets_mail_go_and_an_opt_out_stops_it() {
    let setup = Setup::new().await;
    let contact = setup.contact("ada@example.org").await;
    let grant = setup.admin.grant::<RecordConsent>().unwrap();
    assert_eq!(setup.decide("ada@example.org", MessageClass::Marketing, setup.news).await.reason, Reason::NoConsent);
    let mut tx = grant.begin().await.unwrap();
    let view = consent::record_opt_in(&grant, &mut tx, setup.ports(), opt_in(&setup, contact)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((view.status, view.basis), (ConsentStatus::Granted, Some(Basis::Consent)));
    assert_eq!(setup.decide("ADA@Example.org", MessageClass::Marketing, setup.news).await.verdict, Verdict::Allow);

    let command = RecordOptOut { contact, topic: Some(setup.news.topic) };
    for events in [2, 2] {
        let mut tx = grant.begin().await.unwrap();
        let view = consent::record_opt_out(&grant, &mut tx, setup.ports(), command).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(view.status, ConsentStatus::Withdrawn);
        assert_eq!(setup.count("consent_events").await, events);
    }
    let decision = setup.decide("ada@example.org", MessageClass::Marketing, setup.news).await;
    assert_eq!(decision.reason, Reason::SuppressedUnsubscribe);
}

#[tokio::test]
async fn c128_nobody_but_the_person_lifts_a_withdrawal() {
    let setup = Setup::new().await;
    let contact = setup.contact("ada@example.org").await;
    setup.append(vec![setup.event("ada@example.org", setup.news, ConsentAction::Withdraw, SourceKind::Subject)]).await;
    setup.world.advance(TimeDelta::days(1));

    let appended = setup.append(vec![setup.grant("ada@example.org", setup.news, SourceKind::Import)]).await;
    assert!(appended[0].is_kept_out(), "the import lists the row");
    let grant = setup.admin.grant::<RecordConsent>().unwrap();
    let mut tx = grant.begin().await.unwrap();
    let events = setup.count("consent_events").await;
    let refused = consent::record_opt_in(&grant, &mut tx, setup.ports(), opt_in(&setup, contact)).await;
    assert_eq!(code(refused), "CONSENT_WITHDRAWN");
    let forged = RecordOptIn { source: Some(SourceKind::Subject), ..opt_in(&setup, contact) };
    assert_eq!(code(consent::record_opt_in(&grant, &mut tx, setup.ports(), forged).await), "INVALID_SOURCE");
    drop(tx);
    assert_eq!(setup.count("consent_events").await, events);
    let decision = setup.decide("ada@example.org", MessageClass::Marketing, setup.news).await;
    assert_eq!(decision.verdict, Verdict::Deny);

    setup.append(vec![setup.grant("ada@example.org", setup.news, SourceKind::Subject)]).await;
    let decision = setup.decide("ada@example.org", MessageClass::Marketing, setup.news).await;
    assert_eq!(decision.verdict, Verdict::Allow, "the person's own newer act does: {:?}", decision.reason);
}

#[tokio::test]
async fn c128_an_import_does_not_pass_a_withdrawal_of_all_marketing() {
    let setup = Setup::new().await;
    setup.append(vec![setup.event("ada@example.org", setup.all, ConsentAction::Object, SourceKind::Subject)]).await;
    setup.world.advance(TimeDelta::days(1));
    let appended = setup.append(vec![setup.grant("ada@example.org", setup.news, SourceKind::Import)]).await;
    assert!(appended[0].is_kept_out());
}

#[tokio::test]
async fn c153_any_order_of_arrival_gives_the_same_state_and_the_future_is_refused() {
    let setup = Setup::new().await;
    let now = setup.ports().now();
    let events = |email: &str| {
        let at = |days, action, source| {
            let mut new = setup.event(email, setup.news, action, source);
            new.effective_at = now - TimeDelta::days(days);
            new
        };
        vec![
            at(9, ConsentAction::Grant, SourceKind::Import),
            at(5, ConsentAction::Withdraw, SourceKind::Subject),
            at(5, ConsentAction::Grant, SourceKind::Subject),
            at(2, ConsentAction::Grant, SourceKind::Api),
        ]
    };
    let mut rng = rand::rngs::StdRng::seed_from_u64(7);
    for round in 0..12 {
        let mut shuffled = events(&format!("p{round}@example.org"));
        shuffled.shuffle(&mut rng);
        let together = round % 2 == 0;
        let last = if together {
            setup.append(shuffled).await.pop().unwrap()
        } else {
            let mut last = None;
            for event in shuffled {
                last = setup.append(vec![event]).await.pop();
            }
            last.unwrap()
        };
        assert_eq!(last.standing.status, ConsentStatus::Withdrawn);
    }
    let contact = setup.contact("ada@example.org").await;
    let grant = setup.admin.grant::<RecordConsent>().unwrap();
    let mut tx = grant.begin().await.unwrap();
    let late = RecordOptIn { effective_at: Some(now + TimeDelta::minutes(6)), ..opt_in(&setup, contact) };
    assert_eq!(code(consent::record_opt_in(&grant, &mut tx, setup.ports(), late).await), "TIME_IN_FUTURE");
}

#[tokio::test]
async fn c152_the_projection_rebuilt_equals_the_live_one() {
    let setup = Setup::new().await;
    let mut rng = rand::rngs::StdRng::seed_from_u64(42);
    for _ in 0..40 {
        let batch = (0..30)
            .map(|_| {
                let email = format!("p{}@example.org", rng.random_range(0..60));
                let topic = [setup.all, setup.news, setup.offers][rng.random_range(0..3)];
                let action = ConsentAction::ALL[rng.random_range(0..ConsentAction::ALL.len())];
                let source = SourceKind::ALL[rng.random_range(0..SourceKind::ALL.len())];
                let mut new = setup.event(&email, topic, action, source);
                new.basis = Basis::ALL[rng.random_range(0..Basis::ALL.len())];
                new.effective_at -= TimeDelta::minutes(rng.random_range(0..5_000));
                new
            })
            .collect();
        setup.append(batch).await;
        setup.world.advance(TimeDelta::minutes(17));
    }
    let live = states(&setup).await;
    assert!(live.len() > 100);
    setup.wipe("consent_states").await;
    assert_eq!(states(&setup).await.len(), 0);
    let rebuilt = consent::rebuild_projection(&setup.world.grant::<RecordConsent>(setup.tenant)).await.unwrap();
    assert_eq!(rebuilt, live.len());
    assert_eq!(states(&setup).await, live);
    // Over a projection that is there, too.
    consent::rebuild_projection(&setup.world.grant::<RecordConsent>(setup.tenant)).await.unwrap();
    assert_eq!(states(&setup).await, live);
}

async fn states(setup: &Setup) -> Vec<String> {
    let columns = if setup.world.wall().is_postgres() {
        "encode(address_hmac, 'hex') || channel || brand_id::text || topic_id::text || state || fold::text || \
         event_id::text || updated_at::text"
    } else {
        "hex(address_hmac) || channel || hex(brand_id) || hex(topic_id) || state || fold || hex(event_id) || updated_at"
    };
    setup.world.lines(&format!("SELECT {columns} AS line FROM consent_states ORDER BY 1")).await
}

#[tokio::test]
async fn c148_an_entry_has_every_column_but_those_of_the_chain() {
    let setup = Setup::new().await;
    let source = if setup.world.wall().is_postgres() {
        "SELECT attname::text AS line FROM pg_attribute WHERE attrelid = 'consent_events'::regclass AND attnum > 0"
    } else {
        "SELECT name AS line FROM pragma_table_info('consent_events')"
    };
    let columns = setup.world.lines(source).await;
    let wanted = "id tenant_id subject_ref address_hmac channel topic_id action basis jurisdictions effective_at \
        recorded_at actor_kind actor_id source_kind source_id form_version notice_version wording_hash locale \
        evidence_ref supersedes brand_id hmac_key_id";
    for name in wanted.split_whitespace() {
        assert!(columns.iter().any(|column| column == name), "{name}");
    }
}

#[tokio::test]
async fn c149_the_database_refuses_changes_of_the_ledger() {
    let setup = Setup::new().await;
    setup.append(vec![setup.grant("ada@example.org", setup.news, SourceKind::Agent)]).await;

    let mut tx = setup.world.grant::<RecordConsent>(setup.tenant).begin().await.unwrap();
    let change = tx.update::<consent_events::Entity>().set(consent_events::Column::Action, "withdraw").execute().await;
    let postgres = setup.world.wall().is_postgres();
    match change {
        Err(WallError::Database { code, message }) if postgres => assert_eq!(code, "42501", "{message}"),
        Err(WallError::Database { message, .. }) => assert!(message.contains("append-only"), "{message}"),
        other => panic!("{other:?}"),
    }
    drop(tx);
    let admin = setup.world.admin().await;
    let mut attempts = vec!["UPDATE consent_events SET action = 'withdraw'", "DELETE FROM consent_events"];
    attempts.extend(postgres.then_some("TRUNCATE consent_events"));
    for attempt in attempts {
        let error = admin.execute_unprepared(attempt).await.unwrap_err().to_string();
        assert!(error.contains("append-only"), "{attempt}: {error}");
    }
    assert_eq!(setup.count("consent_events").await, 1);
}

#[tokio::test]
async fn c149_the_application_role_cannot_switch_the_trigger_off() {
    let setup = Setup::new().await;
    if Backend::from_env() == Backend::Sqlite {
        return; // SQLite has no roles.
    }
    let app = connect(&setup.world.database.settings(1).url).await.unwrap();
    for attempt in ["ALTER TABLE consent_events DISABLE TRIGGER ALL", "DROP TRIGGER append_only ON consent_events"] {
        let tx = app.begin().await.unwrap();
        let error = tx.execute_unprepared(attempt).await.unwrap_err().to_string();
        assert!(error.contains("must be owner"), "{attempt}: {error}");
    }
    app.close().await.unwrap();
}

fn evidence() -> Option<Evidence> {
    let text = Some("I agree, says ada@example.org".to_owned());
    Evidence::parse("evidence", Some("192.0.2.7"), Some("Browser/1".to_owned()), None, text).unwrap()
}

#[tokio::test]
async fn c151_erasure_destroys_the_key_and_nothing_of_the_ledger() {
    let setup = Setup::new().await;
    let (ada, bob) = ("ada@example.org", "bob@example.org");
    let batch = [ada, bob, ada].map(|email| {
        let mut new = setup.grant(email, setup.news, SourceKind::Agent);
        new.evidence = evidence();
        new
    });
    setup.append(batch.to_vec()).await;
    let ids = ledger_evidence(&setup, ada).await;
    let bobs = ledger_evidence(&setup, bob).await;
    assert_eq!((ids.len(), bobs.len()), (2, 1));
    assert_eq!(read(&setup, ids[0]).await, evidence());

    let events = setup.count("consent_events").await;
    let live = states(&setup).await;
    let grant = setup.world.grant::<RecordConsent>(setup.tenant);
    let mut tx = grant.begin().await.unwrap();
    let recipients = [setup.recipient(setup.ports(), ada)];
    consent::erase_evidence(&grant, &mut tx, setup.ports(), &recipients).await.unwrap();
    tx.commit().await.unwrap();

    assert_eq!(read(&setup, ids[0]).await, None);
    assert_eq!(read(&setup, bobs[0]).await, evidence());
    assert_eq!(setup.count("consent_events").await, events);
    assert_eq!(states(&setup).await, live);
    assert_eq!(setup.count("subject_keys WHERE wrapped IS NULL").await, 1);

    // What comes later is readable again, under another subject.
    setup.world.advance(TimeDelta::seconds(1));
    let mut new = setup.grant(ada, setup.offers, SourceKind::Agent);
    new.evidence = evidence();
    setup.append(vec![new]).await;
    let ids = ledger_evidence(&setup, ada).await;
    assert_eq!(read(&setup, *ids.last().unwrap()).await, evidence());
    assert_eq!(setup.count("subject_keys").await, 3);
}

#[tokio::test]
async fn c151_ledger_rows_hold_no_personal_data() {
    let setup = Setup::new().await;
    let mut new = setup.grant("ada@example.org", setup.news, SourceKind::Agent);
    new.evidence = evidence();
    setup.append(vec![new, setup.event("ada@example.org", setup.all, ConsentAction::Object, SourceKind::Agent)]).await;
    for table in ["consent_events", "consent_evidence", "consent_states", "suppressions", "endpoints"] {
        let rows = if setup.world.wall().is_postgres() {
            setup.world.lines(&format!("SELECT t::text AS line FROM {table} AS t")).await.join("\n")
        } else {
            dump(&setup, table).await
        };
        assert!(!rows.is_empty());
        for secret in ["ada", "example", "192.0.2.7", "Browser", &hex("ada@example.org"), &hex("192.0.2.7")] {
            assert!(!rows.contains(secret), "{table} holds {secret}");
        }
    }
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

async fn dump(setup: &Setup, table: &str) -> String {
    let columns = setup.world.lines(&format!("SELECT name AS line FROM pragma_table_info('{table}')")).await;
    let columns: Vec<_> = columns.iter().map(|name| format!("lower(hex(coalesce({name}, '')))")).collect();
    setup.world.lines(&format!("SELECT {} AS line FROM {table}", columns.join(" || ' ' || "))).await.join("\n")
}

async fn ledger_evidence(setup: &Setup, email: &str) -> Vec<carillon_entities::ids::EvidenceId> {
    use carillon_domain::paging::Ahead;
    let grant = setup.admin.grant().unwrap();
    let mut tx = setup.world.grant::<RecordConsent>(setup.tenant).begin().await.unwrap();
    let recipient = setup.recipient(setup.ports(), email);
    let page = Ahead { after: None, size: 100 };
    let ledger = consent::list_ledgers(&grant, &mut tx, &[recipient], page).await.unwrap().remove(0);
    ledger.items.into_iter().filter_map(|event| event.evidence).collect()
}

async fn read(setup: &Setup, id: carillon_entities::ids::EvidenceId) -> Option<Evidence> {
    let grant = setup.admin.grant::<ReadPersonalData>().unwrap();
    let mut tx = grant.begin_read().await.unwrap();
    consent::read_evidence(&grant, &mut tx, setup.ports(), &[id]).await.unwrap().remove(&id)
}

#[tokio::test]
async fn three_rows_and_three_hundred_cost_the_same_statements() {
    let setup = Setup::new().await;
    let mut costs = Vec::new();
    for size in [3, 300] {
        for round in 0..2 {
            let batch = (0..size)
                .map(|n| {
                    let action = if n % 3 == 0 { ConsentAction::Withdraw } else { ConsentAction::Grant };
                    let mut new = setup.event(&format!("{size}-{n}@x.org"), setup.news, action, SourceKind::Import);
                    new.evidence = if round == 0 { None } else { evidence() };
                    new
                })
                .collect();
            let (_, cost) = setup.world.statements_of(setup.append(batch)).await;
            costs.push(cost);
        }
    }
    assert_eq!(costs[..2], costs[2..]);
    assert!(costs[0] <= 7, "{costs:?}");
}
