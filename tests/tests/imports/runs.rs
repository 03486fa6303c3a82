//! What becomes of rows, of consent, and of an import that is killed.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use carillon_domain::consent::{RecordOptOut, read_evidence, record_opt_out};
use carillon_domain::contacts::import::{
    ATTEMPTS_MAX, DeclareColumn, ImportOptions, ImportState, OnExisting, Progress, claim_imports, errors_csv, run_slice,
};
use carillon_domain::contacts::{ContactFilter, EmailAddress};
use carillon_domain::files::{FileTarget, Part, ReceiveError, SignedFile, create_upload, receive, received};
use carillon_domain::ports::Ports;
use carillon_domain::tenancy::{ReadPersonalData, enter_by_file};
use carillon_domain::time::{Clock as _, DatabaseClock};
use carillon_jobs::queue::{Task, Ticket, TicketHandler as _};
use carillon_tests::people::{People, codes, email};
use chrono::TimeDelta;
use futures::{StreamExt, TryStreamExt};
use proptest::prelude::*;

use crate::setup::{consented, errors, in_batches_of};

#[tokio::test]
async fn c029_spellings_of_one_person_are_one_contact() {
    let people = People::new().await;
    let file =
        "E-Mail;Vorname;Kundennummer\nUser@EXÄMPLE.de;Jörg;7\nuser@xn--exmple-cua.de;Jo;\nUSER@exämple.DE;Uwe;\n";
    let import = people.run(file, ImportOptions::default()).await.unwrap();
    assert_eq!(import.state, ImportState::Completed);
    assert_eq!((import.rows_seen, import.rows_created, import.rows_updated, import.rows_failed), (3, 1, 2, 0));
    assert_eq!(import.done_bytes, import.total_bytes);
    let all = people.list(ContactFilter::default()).await;
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].first_name.as_deref(), all[0].external_id.as_deref()), (Some("Uwe"), Some("7")));
    assert_eq!(people.world.number("SELECT COUNT(*) AS amount FROM endpoints").await, 1);
}

#[tokio::test]
async fn wrong_rows_are_listed_by_line_and_the_rest_is_imported() {
    let people = People::new().await;
    people.create(email("a@example.org")).await.unwrap();
    let mut other = email("b@example.org");
    other.patch.external_id = carillon_domain::contacts::Patch::Set("B".to_owned());
    people.create(other).await.unwrap();
    let long = "x".repeat(65);
    let file = format!(
        "email,id,phone,score\nnobody,1,,\n\"c@example.org\",,,\"1\n2\"\na@example.org,B,,\n{long}@example.org,,,\n\
         d@example.org,,12,x\ne@example.org,9,+43 1 234567,12.5\n"
    );
    let mut options = ImportOptions::default();
    assert_eq!(codes(people.start(file.clone(), options.clone()).await), ["HEADER_UNKNOWN"], "undeclared");
    options.declare = vec![DeclareColumn { column: "score".into(), name: "score".into(), kind: "number".into() }];
    let import = people.run(file, options).await.unwrap();
    assert_eq!(
        errors(&people, &import).await,
        [
            "2 email INVALID_EMAIL",
            "3 attributes.score INVALID_ATTRIBUTE",
            "5 email IDENTITY_CONFLICT",
            "6 email INVALID_EMAIL",
            "7 attributes.score INVALID_ATTRIBUTE",
            "7 phone INVALID_PHONE",
        ]
    );
    assert_eq!((import.rows_seen, import.rows_created, import.rows_failed), (6, 1, 5));
    let csv: Vec<_> = errors_csv(people.imports(), import.id).await.unwrap().try_collect().await.unwrap();
    let csv = String::from_utf8(csv.concat()).unwrap();
    assert_eq!(csv.lines().count(), 7);
    assert!(csv.starts_with("line,field,code,message"), "{csv}");
    assert!(!csv.contains("nobody"), "no content of rows (L9)");
}

#[tokio::test]
async fn c155_consent_without_ground_date_or_source_carries_no_marketing() {
    let people = People::new().await;
    let options = ImportOptions { topic: Some(people.all_marketing), ..Default::default() };
    people.run("email,status\nno@example.org,subscribed\nsilent@example.org,\n", options).await.unwrap();
    assert_eq!(people.statuses("no@example.org").await, ["unproven"]);
    assert_eq!(people.statuses("silent@example.org").await, Vec::<String>::new());
    people.run("email,status\nyes@example.org,subscribed\n", consented(&people)).await.unwrap();
    assert_eq!(people.statuses("yes@example.org").await, ["granted"]);
    people.run("email\nall@example.org\n", consented(&people)).await.unwrap();
    assert_eq!(people.statuses("all@example.org").await, ["granted"], "without a column everybody is subscribed");
    let evidence = "SELECT COUNT(*) AS amount FROM consent_evidence";
    assert_eq!(people.world.number(evidence).await, 2, "one for each import with consent");
    let pointing = "SELECT COUNT(*) AS amount FROM consent_events WHERE evidence_ref IS NOT NULL";
    assert_eq!(people.world.number(pointing).await, 2);
}

#[tokio::test]
async fn c128_a_file_never_lifts_what_the_person_said() {
    let people = People::new().await;
    let import = people.run("email,status\na@example.org,subscribed\nb@example.org,unsubscribed\n", consented(&people));
    import.await.unwrap();
    assert_eq!(people.statuses("b@example.org").await, ["withdrawn"]);
    let a = people.list(ContactFilter { email: EmailAddress::parse("a@example.org").ok(), ..Default::default() }).await;
    let grant = people.records();
    let mut tx = grant.begin().await.unwrap();
    let command = RecordOptOut { contact: a[0].id, topic: None };
    record_opt_out(&grant, &mut tx, people.world.ports(), command).await.unwrap();
    tx.commit().await.unwrap();
    people.world.advance(TimeDelta::days(1));
    let again = people.run("email,status\nA@example.org,subscribed\nb@example.org,subscribed\n", consented(&people));
    let again = again.await.unwrap();
    assert_eq!(errors(&people, &again).await, ["2 subscription CONSENT_WITHDRAWN", "3 subscription CONSENT_WITHDRAWN"]);
    assert_eq!((again.rows_updated, again.rows_failed), (2, 0));
    assert_eq!(people.statuses("a@example.org").await, ["withdrawn"]);
    assert_eq!(people.statuses("b@example.org").await, ["withdrawn"]);
    assert_eq!(people.world.number("SELECT COUNT(*) AS amount FROM suppressions").await, 2);
}

#[tokio::test]
async fn existing_contacts_can_be_left_alone_but_an_unsubscription_is_always_heard() {
    let people = People::new().await;
    people.run("email,first name\na@example.org,Ada\n", ImportOptions::default()).await.unwrap();
    let options = ImportOptions { on_existing: OnExisting::Skip, ..consented(&people) };
    let file = "email,first name,status\na@example.org,Eve,unsubscribed\nb@example.org,Bob,subscribed\n";
    let import = people.run(file, options).await.unwrap();
    assert_eq!((import.rows_seen, import.rows_created, import.rows_updated, import.rows_failed), (2, 1, 0, 0));
    let ada = people.list(ContactFilter { search: Some("a@".to_owned()), ..Default::default() }).await;
    assert_eq!(ada[0].first_name.as_deref(), Some("Ada"));
    assert_eq!(people.statuses("a@example.org").await, ["withdrawn"]);
}

#[tokio::test]
async fn a_row_without_an_address_speaks_for_the_address_its_contact_has() {
    let people = People::new().await;
    people.run("email,id\na@example.org,7\n", ImportOptions::default()).await.unwrap();
    people.run("id,status\n7,unsubscribed\n8,unsubscribed\n", ImportOptions::default()).await.unwrap();
    assert_eq!(people.statuses("a@example.org").await, ["withdrawn"]);
    assert_eq!(people.world.number("SELECT COUNT(*) AS amount FROM contacts").await, 2);
}

#[tokio::test]
async fn a_batch_costs_the_same_whatever_its_rows() {
    let people = People::new().await;
    let file = |from: usize, n: usize| {
        let row = |i: usize| format!("p{i}@example.org,x{i},Ada,gold,vip,subscribed\n");
        format!("email,id,first name,plan,tags,status\n{}", (from..from + n).map(row).collect::<String>())
    };
    let options = ImportOptions {
        declare: vec![DeclareColumn { column: "plan".into(), name: "plan".into(), kind: "string".into() }],
        ..consented(&people)
    };
    let statements = async |from, n| {
        people.start(file(from, n), options.clone()).await.unwrap();
        let claim = people.claim().await.unwrap();
        let (done, statements) = people.world.statements_of(Box::pin(people.slice(claim))).await;
        assert_eq!(done.unwrap(), Progress::Done);
        statements
    };
    let few = statements(0, 3).await;
    let many = statements(3, 300).await;
    assert_eq!(few, many);
    let again = statements(0, 3).await;
    let all_again = statements(0, 303).await;
    assert_eq!(again, all_again);
    // Of these six prove the file, once for an import.
    assert!(few <= 24 + 6, "{few} statements for a slice of one batch");
}

/// Polls a future at most `polls` times, then drops it wherever it is.
async fn drop_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

async fn kill_and_resume(kills: Vec<usize>, rows: usize) {
    let people = in_batches_of(7).await;
    let row = |i: usize| match i % 10 {
        3 => format!("bad row {i},x{i},Nobody,subscribed\n"),
        5 => format!("P{}@EXAMPLE.org,,Again,subscribed\n", i - 1),
        7 => format!("p{i}@example.org,x{i},\"Two\nlines\",unsubscribed\n"),
        _ => format!("p{i}@example.org,x{i},Ada,subscribed\n"),
    };
    let file = format!("email,id,first name,status\r\n{}", (0..rows).map(row).collect::<String>());
    let import = people.start(file, consented(&people)).await.unwrap();
    let mut kills = kills.into_iter();
    loop {
        // The dropped transaction's lock goes when its rollback arrives; until then the claim skips the row. A drop that
        // overtook only the answer to the last commit leaves nothing to claim: the import is over.
        let mut claim = None;
        for _ in 0..500 {
            claim = people.claim().await;
            if claim.is_some() || people.import(import.id).await.state == ImportState::Completed {
                break;
            }
        }
        let Some(claim) = claim else { break };
        let Some(polls) = kills.next() else {
            assert_eq!(people.slice(claim).await.unwrap(), Progress::Done);
            break;
        };
        if drop_after(polls, people.slice(claim)).await.is_some() {
            break;
        }
        assert_eq!(people.claim().await, None, "the lease holds");
        people.world.advance(people.world.ports().settings.lease);
    }
    let import = people.import(import.id).await;
    assert_eq!(import.state, ImportState::Completed);
    let count = |kind: fn(usize) -> bool| i64::try_from((0..rows).filter(|i| kind(i % 10)).count()).unwrap();
    // A name in two lines is refused (C-24): its row, too, is bad, but what it takes back is heard.
    let heard = count(|i| i == 7);
    let (bad, again) = (count(|i| i == 3 || i == 7), count(|i| i == 5));
    let good = i64::try_from(rows).unwrap() - bad - again;
    assert_eq!(import.rows_seen, i64::try_from(rows).unwrap());
    assert_eq!((import.rows_created, import.rows_updated, import.rows_failed), (good, again, bad));
    for (sql, expected) in [
        ("contacts", good),
        ("contact_identities WHERE kind = 'email'", good),
        ("endpoints", good + heard),
        ("consent_events", good + again + heard),
        ("contact_changes WHERE kind = 'created'", good),
        ("import_errors", bad),
    ] {
        let amount = people.world.number(&format!("SELECT COUNT(*) AS amount FROM {sql}")).await;
        assert_eq!(amount, expected, "{sql}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 0, ..ProptestConfig::default() })]

    /// Killed anywhere, any number of times: no row twice, none missing.
    #[test]
    fn a_killed_import_repeats_and_misses_nothing(kills in prop::collection::vec(1..400_usize, 0..6), rows in 0..60_usize) {
        tokio::runtime::Runtime::new().unwrap().block_on(kill_and_resume(kills, rows));
    }
}

#[tokio::test]
async fn who_was_overtaken_writes_nothing() {
    let people = People::new().await;
    let import = people.start("email\na@example.org\n", ImportOptions::default()).await.unwrap();
    let late = people.claim().await.unwrap();
    people.world.advance(people.world.ports().settings.lease);
    let claim = people.claim().await.unwrap();
    assert_eq!((claim.import, claim.fence), (import.id, late.fence + 1));
    assert_eq!(people.slice(late).await.unwrap(), Progress::LostLease);
    assert_eq!(people.world.number("SELECT COUNT(*) AS amount FROM contacts").await, 0);
    assert_eq!(people.slice(claim).await.unwrap(), Progress::Done);
    assert_eq!(people.slice(late).await.unwrap(), Progress::LostLease);
    assert_eq!(people.world.number("SELECT COUNT(*) AS amount FROM contacts").await, 1);
}

#[tokio::test]
async fn a_fault_that_stays_ends_an_import_and_the_tenant_reads_why() {
    let people = People::new().await;
    let import = people.start("email\na@example.org\n", ImportOptions::default()).await.unwrap();
    people.world.execute("ALTER TABLE contact_identities RENAME TO contact_identities_gone").await;
    let mut rested = TimeDelta::zero();
    for attempt in 1..ATTEMPTS_MAX {
        let claim = people.claim().await.unwrap();
        assert_eq!((claim.attempt, people.slice(claim).await.unwrap()), (attempt, Progress::Resting));
        while people.import_is_resting().await {
            people.world.advance(TimeDelta::seconds(30));
            rested += TimeDelta::seconds(30);
        }
    }
    assert!(rested >= TimeDelta::hours(2), "a store may be away for {rested}");
    assert_eq!(people.slice(people.claim().await.unwrap()).await.unwrap(), Progress::Failed);
    let failed = people.import(import.id).await;
    assert_eq!((failed.state, failed.error_code.as_deref()), (ImportState::Failed, Some("TOO_MANY_ATTEMPTS")));
    assert_eq!(people.claim().await, None);
    people.world.execute("ALTER TABLE contact_identities_gone RENAME TO contact_identities").await;
}

#[tokio::test]
async fn an_import_that_moves_on_has_all_its_attempts_again() {
    let people = in_batches_of(1).await;
    let import = people.start("email\na@example.org\nb@example.org\n", ImportOptions::default()).await.unwrap();
    for round in 1..=ATTEMPTS_MAX {
        // A worker that is killed says nothing: its claim alone counts.
        assert_eq!(people.claim().await.unwrap().attempt, round);
        people.world.advance(people.world.ports().settings.lease);
    }
    let claim = people.claim().await.unwrap();
    assert_eq!(people.slice(claim).await.unwrap(), Progress::Failed, "it ends its worker each time");
    let failed = people.import(import.id).await;
    assert_eq!((failed.rows_seen, failed.error_code.as_deref()), (0, Some("TOO_MANY_ATTEMPTS")));

    let import = people.start("email\na@example.org\nb@example.org\n", ImportOptions::default()).await.unwrap();
    assert_eq!(people.claim().await.unwrap().attempt, 1);
    people.world.advance(people.world.ports().settings.lease);
    let claim = people.claim().await.unwrap();
    assert_eq!(claim.attempt, 2);
    let (ports, now) = (people.world.ports(), people.world.ports().now());
    assert_eq!(run_slice(&people.imports(), (ports, &people.files), claim, now).await.unwrap(), Progress::More);
    let claim = people.claim().await.unwrap();
    assert_eq!(claim.attempt, 1, "a batch got through");
    assert_eq!(people.slice(claim).await.unwrap(), Progress::Done);
    assert_eq!(people.import(import.id).await.rows_seen, 2);
}

#[tokio::test]
async fn a_file_that_is_gone_ends_its_import_at_once() {
    let people = People::new().await;
    let import = people.start("email\na@example.org\n", ImportOptions::default()).await.unwrap();
    people.files.delete(people.tenant, import.upload).await.unwrap();
    assert_eq!(people.slice(people.claim().await.unwrap()).await.unwrap(), Progress::Failed);
    assert_eq!(people.import(import.id).await.error_code.as_deref(), Some("FILE_GONE"));
}

#[tokio::test]
async fn c148_the_evidence_of_an_import_names_the_hash_of_its_file() {
    let people = People::new().await;
    let file = "email,status\na@example.org,subscribed\n";
    let import = people.run(file, consented(&people)).await.unwrap();
    // printf 'email,status\na@example.org,subscribed\n' | sha256sum
    let expected = "e0683d853d0f46e83613fc4d31a1b8070a636ccae290eb94114437bfa436ae73";
    assert_eq!(hex::encode(import.file_sha256.unwrap()), expected);
    let grant = people.world.grant::<ReadPersonalData>(people.tenant);
    let mut tx = grant.begin_read().await.unwrap();
    let mut found = read_evidence(&grant, &mut tx, people.world.ports(), &[import.evidence.unwrap()]).await.unwrap();
    let evidence = found.remove(&import.evidence.unwrap());
    let text: serde_json::Value = serde_json::from_str(&evidence.unwrap().text.unwrap()).unwrap();
    assert_eq!((&text["sha256"], &text["bytes"]), (&expected.into(), &file.len().into()));
    tx.commit().await.unwrap();
    let pointing =
        "SELECT COUNT(*) AS amount FROM consent_events WHERE evidence_ref = (SELECT evidence_id FROM imports)";
    assert_eq!(people.world.number(pointing).await, 1);
    let plain = people.run("email\nb@example.org\n", ImportOptions::default()).await.unwrap();
    assert!(plain.evidence.is_none() && plain.file_sha256.is_some());
}

#[tokio::test]
async fn c231_a_line_without_end_is_refused_and_reading_goes_on() {
    let people = People::new().await;
    let mut file = b"email\n".to_vec();
    file.extend(std::iter::repeat_n(b'x', 5 << 20));
    file.extend(b"\nlast@example.org\n\"open,");
    let import = people.run(file, ImportOptions::default()).await.unwrap();
    assert_eq!((import.rows_seen, import.rows_created, import.rows_failed), (3, 1, 2));
    assert_eq!(errors(&people, &import).await[0], "2  ROW_TOO_LONG");
}

#[tokio::test]
async fn what_is_no_csv_is_refused_before_a_row_is_read() {
    let people = People::new().await;
    for (file, code) in [
        (b"PK\x03\x04zip".to_vec(), "FILE_NOT_TEXT"),
        (b"\n\n".to_vec(), "FILE_EMPTY"),
        (b"name\nAda\n".to_vec(), "HEADER_UNKNOWN"),
    ] {
        assert_eq!(codes(people.start(file, ImportOptions::default()).await), [code]);
    }
    let consent = ImportOptions { topic: None, ..consented(&people) };
    assert_eq!(codes(people.start("email\n", consent).await), ["TOPIC_REQUIRED"]);
}

#[tokio::test]
async fn an_upload_goes_on_where_it_broke_off() {
    let people = People::new().await;
    let (ports, grant) = (people.world.ports(), people.imports());
    let mut tx = grant.begin().await.unwrap();
    let command = carillon_domain::files::CreateUpload::parse("a.csv", 10, 100).unwrap();
    let upload = create_upload(&grant, &mut tx, ports, command).await.unwrap();
    tx.commit().await.unwrap();
    let url = upload.url(ports, people.tenant);
    let token = url.strip_prefix("https://carillon.test/files/").unwrap();
    let signed = SignedFile::verify(&ports.keys, token, ports.now()).unwrap();
    assert_eq!(signed.target(), FileTarget::Upload(upload.id));
    let grant = enter_by_file(people.world.wall(), &signed);
    let put = async |offset, total, chunks: Vec<std::io::Result<&'static [u8]>>| {
        let body = futures::stream::iter(chunks).map(|chunk| chunk.map(bytes::Bytes::from_static));
        receive(&grant, (ports, &people.files), upload.id, Part { offset, length: None, total }, body).await
    };
    let broken = || Err(std::io::Error::other("gone"));
    assert!(matches!(put(0, None, vec![Ok(b"emai"), broken()]).await, Err(ReceiveError::Broken(at)) if at.offset == 4));
    assert_eq!(received(&grant, ports, upload.id).await.unwrap().offset, 4);
    let wrong = put(0, None, vec![Ok(b"email")]).await;
    assert!(matches!(wrong, Err(ReceiveError::WrongOffset(at)) if at.offset == 4));
    assert!(matches!(put(4, Some(11), vec![]).await, Err(ReceiveError::WrongTotal(_))));
    assert!(matches!(put(4, None, vec![Ok(b"l\na@b"), Ok(b".de and more")]).await, Err(ReceiveError::TooLarge(_))));
    assert_eq!(put(4, Some(10), vec![Ok(b"l\n"), Ok(b"a@bc")]).await.unwrap().offset, 10);
    let content: Vec<_> =
        people.files.read((people.tenant, upload.id), 3, 10).await.unwrap().try_collect().await.unwrap();
    assert_eq!(content.concat(), b"il\na@bc");
    people.world.advance(TimeDelta::days(2));
    assert!(matches!(received(&grant, ports, upload.id).await, Err(ReceiveError::NotFound)));
}

#[tokio::test]
async fn of_two_writers_of_a_part_one_is_counted_and_the_other_is_passed_over() {
    let people = People::new().await;
    let (ports, grant) = (people.world.ports(), people.imports());
    let mut tx = grant.begin().await.unwrap();
    let command = carillon_domain::files::CreateUpload::parse("a.csv", 10, 100).unwrap();
    let upload = create_upload(&grant, &mut tx, ports, command).await.unwrap().id;
    tx.commit().await.unwrap();
    let put = async |offset, bytes: &'static [u8]| {
        let body = futures::stream::iter([std::io::Result::Ok(bytes::Bytes::from_static(bytes))]);
        receive(&grant, (ports, &people.files), upload, Part { offset, length: None, total: None }, body).await
    };
    // The first writer's bytes arrive only after the second has been counted.
    let late = Box::pin(futures::stream::once(async {
        put(0, b"email\n").await.unwrap();
        std::io::Result::Ok(bytes::Bytes::from_static(b"email\na@"))
    }));
    let part = Part { offset: 0, length: None, total: None };
    let lost = receive(&grant, (ports, &people.files), upload, part, late).await;
    assert!(matches!(lost, Err(ReceiveError::WrongOffset(at)) if at.offset == 6));
    assert_eq!(put(6, b"b@c1").await.unwrap().offset, 10);
    let content: Vec<_> = people.files.read((people.tenant, upload), 0, 10).await.unwrap().try_collect().await.unwrap();
    assert_eq!(content.concat(), b"email\nb@c1");
}

#[tokio::test]
async fn blank_rows_do_not_outlast_a_claim() {
    let people = People::new().await;
    let ports = people.world.ports();
    for filler in ["\n".to_owned(), format!("{},\n", " ".repeat(4_000))] {
        let filler = filler.repeat((20 << 20) / filler.len());
        let file = format!("email,id\n{filler}\nlast@example.org,7\n");
        let import = people.start(file, ImportOptions::default()).await.unwrap().id;
        // Slices whose time is over before they begin end with their first batch.
        let mut unfinished = 0;
        loop {
            let claim = people.claim().await.unwrap();
            let grant = people.imports();
            match run_slice(&grant, (ports, &people.files), claim, ports.now()).await.unwrap() {
                Progress::More => unfinished += 1,
                progress => break assert_eq!(progress, Progress::Done),
            }
        }
        assert!(unfinished > 0, "20 MiB are more than one batch");
        let done = people.import(import).await;
        assert_eq!((done.state, done.done_bytes), (ImportState::Completed, done.total_bytes));
        assert_eq!(done.rows_created + done.rows_updated, 1);
    }
}

#[tokio::test]
async fn c185_a_process_that_stops_gives_its_import_back_and_takes_no_attempt() {
    const RUNNING: &str = "SELECT COUNT(*) AS amount FROM imports WHERE state = 'running' AND lease_until IS NOT NULL";
    let people = People::new().await;
    people.start("email\na@example.org\n", ImportOptions::default()).await.unwrap();
    let worker = people.world.worker("stops").await;
    let pushed_at = people.world.ports().now();
    let ticket = Ticket {
        id: people.world.ports().new_id(),
        tenant: people.tenant,
        pushed_at,
        trace: None,
        task: Task::RunImportV1,
    };
    let mut handling = worker.handle(ticket);
    while people.world.number(RUNNING).await == 0 {
        assert!(futures::poll!(&mut handling).is_pending(), "it was over before anybody saw it");
    }
    worker.draining.cancel();
    handling.await;
    assert_eq!(people.world.number(RUNNING).await, 0);
    let claim = people.claim().await.expect("it is due at once");
    assert_eq!(claim.attempt, 1);
    assert_eq!(people.slice(claim).await.unwrap(), Progress::Done);
}

#[tokio::test]
async fn c180_without_the_time_no_import_is_claimed() {
    let people = People::new().await;
    people.start("email\na@example.org\n", ImportOptions::default()).await.unwrap();
    people.world.leave_unsettled();
    let clock = Arc::new(DatabaseClock::new());
    let ports = Ports { clock: clock.clone(), ..people.world.ports().clone() };
    let claimed = async || {
        let grant = people.imports();
        let mut tx = grant.begin().await.unwrap();
        let claims = claim_imports(&grant, &mut tx, &ports, 1).await.unwrap();
        tx.commit().await.unwrap();
        claims.len()
    };
    let now = people.world.ports().now() + TimeDelta::seconds(1);
    assert_eq!(claimed().await, 0);
    clock.measured(now, clock.monotonic(), clock.monotonic());
    assert_eq!(claimed().await, 1);
}
