//! What files say about consent, and what of it reaches the ledger.

use carillon_domain::consent::{ConsentAction, Verdict, read_evidence};
use carillon_domain::contacts::import::{ImportOptions, OnExisting, Progress, run_slice};
use carillon_domain::contacts::{AttributeKind, AttributeName, DeclareAttribute, declare_attributes};
use carillon_domain::tenancy::ReadPersonalData;
use chrono::TimeDelta;

use crate::setup::{consented, errors, in_batches_of};

/// What the ledger says of some addresses after two files, imported in batches of so many rows.
async fn said(rows: usize, files: [&'static str; 2], on_existing: OnExisting) -> Vec<String> {
    let people = in_batches_of(rows).await;
    people.run(files[0], consented(&people)).await.unwrap();
    let options = ImportOptions { on_existing, ..consented(&people) };
    people.start(files[1], options).await.unwrap();
    assert_eq!(people.slice(people.claim().await.unwrap()).await.unwrap(), Progress::Done);
    let mut said = Vec::new();
    for address in ["a@example.org", "b@example.org", "c@example.org"] {
        let mut actions: Vec<_> = people.ledger(address).await.iter().map(|event| event.action.as_str()).collect();
        // Entries of one moment have no order.
        actions.sort_unstable();
        said.push(format!("{address}: {}", actions.join(", ")));
    }
    said
}

#[tokio::test]
async fn where_a_batch_ends_changes_nothing_in_the_ledger() {
    let none = "email\n";
    let (a, update, skip) = ("a@example.org: ", OnExisting::Update, OnExisting::Skip);
    let cases = [
        // A row without an address speaks of the one that its contact got in the same file,
        (none, "email,id,status\na@example.org,7,subscribed\n,7,unsubscribed\n", update, "grant, withdraw", ""),
        // even where that is a new one,
        (
            "email,id\na@example.org,7\n",
            "email,id,status\nb@example.org,7,\n,7,unsubscribed\n",
            update,
            "grant",
            "withdraw",
        ),
        // unless people who are there are left alone,
        (
            "email,id\na@example.org,7\n",
            "email,id,status\nb@example.org,7,\n,7,unsubscribed\n",
            skip,
            "grant, withdraw",
            "",
        ),
        // or the row that would have given it was refused: the number belongs to somebody else.
        (
            "email,id,phone\na@example.org,7,\nc@example.org,8,+43 1 234567\n",
            "email,id,phone,status\nb@example.org,7,+43 1 234567,\n,7,,unsubscribed\n",
            update,
            "grant, withdraw",
            "",
        ),
        // A no is heard where its row says and at the address of the contact it names: who is left alone,
        (
            "email,id\na@example.org,7\n",
            "email,id,status\nb@example.org,7,unsubscribed\n",
            skip,
            "grant, withdraw",
            "withdraw",
        ),
        // whose row is refused, since the number belongs to somebody else,
        (
            "email,id,phone\na@example.org,7,\nc@example.org,8,+43 1 234567\n",
            "email,id,phone,status\nb@example.org,7,+43 1 234567,unsubscribed\n",
            update,
            "grant, withdraw",
            "withdraw",
        ),
        // and who gets another address with a later row.
        (
            "email,id\na@example.org,7\n",
            "email,id,status\n,7,unsubscribed\nb@example.org,7,subscribed\n",
            update,
            "grant, withdraw",
            "grant, withdraw",
        ),
    ];
    for (before, file, on_existing, of_a, of_b) in cases {
        for rows in [1, 1000] {
            let said = said(rows, [before, file], on_existing).await;
            assert_eq!(said[0], format!("{a}{of_a}"), "{file} in batches of {rows}");
            assert_eq!(said[1], format!("b@example.org: {of_b}"), "{file} in batches of {rows}");
        }
    }
}

#[tokio::test]
async fn a_no_is_heard_though_its_row_is_refused() {
    for rows in [1, 1000] {
        let people = in_batches_of(rows).await;
        let before = "email,id,phone\na@example.org,7,+43 1 234567\nb@example.org,8,\nc@example.org,9,\n\
            f@example.org,10,\nh@example.org,11,\n";
        people.run(before, consented(&people)).await.unwrap();
        // The number is another's; a number that is none; one who is only named; and ones who are named with an address
        // that is not theirs.
        let file = "email,id,phone,status\nb@example.org,8,+43 1 234567,unsubscribed\n,9,12,unsubscribed\n\
            d@example.org,,12,unsubscribed\ne@example.org,,12,subscribed\n\
            g@example.org,10,+43 1 234567,unsubscribed\ni@example.org,11,12,unsubscribed\n";
        let import = people.run(file, consented(&people)).await.unwrap();
        let (taken, wrong) = ("phone IDENTITY_CONFLICT", "phone INVALID_PHONE");
        let expected = [(2, taken), (3, wrong), (4, wrong), (5, wrong), (6, taken), (7, wrong)];
        let expected = expected.map(|(line, code)| format!("{line} {code}"));
        let mut found = errors(&people, &import).await;
        // Those of unreadable rows come before those of refused ones of their batch.
        found.sort_unstable();
        assert_eq!(found, expected);
        assert_eq!((import.rows_seen, import.rows_created, import.rows_updated, import.rows_failed), (6, 0, 0, 6));
        for address in ["b", "c", "d", "f", "g", "h", "i"].map(|name| format!("{name}@example.org")) {
            let address = address.as_str();
            assert_eq!(people.statuses(address).await, ["withdrawn"], "{address} in batches of {rows}");
        }
        assert!(people.statuses("e@example.org").await.is_empty(), "a yes goes with its row");
    }
}

#[tokio::test]
async fn c128_a_file_with_a_new_address_lifts_no_no() {
    let dated = "email,id,status,consent date\n";
    for rows in [1, 1000] {
        let people = in_batches_of(rows).await;
        let before = "email,id\nada@old.example,7\nbob@old.example,8\ncyd@old.example,9\n";
        people.run(before, consented(&people)).await.unwrap();
        people.world.advance(TimeDelta::days(1));
        people.says("ada@old.example", ConsentAction::Withdraw).await;
        people.says("cyd@old.example", ConsentAction::Withdraw).await;
        people.world.advance(TimeDelta::days(1));
        people.says("cyd@new.example", ConsentAction::Grant).await;
        people.world.advance(TimeDelta::days(1));
        let later = people.world.ports().now().format("%Y-%m-%d");
        // An earlier date, and one that is later than the no: neither is the person's word.
        let file = format!(
            "{dated}ada@new.example,7,subscribed,2020-05-01\nbob@new.example,8,subscribed,2020-05-01\n\
             cyd@new.example,9,subscribed,2020-05-01\nada@newer.example,7,subscribed,{later}\n"
        );
        let import = people.run(file, consented(&people)).await.unwrap();
        assert_eq!(import.rows_updated, 4, "the contacts have their addresses");
        let kept_out = ["2 subscription CONSENT_WITHDRAWN", "5 subscription CONSENT_WITHDRAWN"];
        assert_eq!(errors(&people, &import).await, kept_out, "in batches of {rows}");
        for (name, verdict) in [("ada@new", Verdict::Deny), ("ada@newer", Verdict::Deny), ("bob@new", Verdict::Allow)] {
            assert_eq!(
                people.decides(&format!("{name}.example")).await.verdict,
                verdict,
                "{name} in batches of {rows}"
            );
        }
        assert_eq!(people.decides("cyd@new.example").await.verdict, Verdict::Allow, "their own newer yes");
    }
}

#[tokio::test]
async fn what_is_declared_meanwhile_changes_no_column() {
    let people = in_batches_of(1).await;
    let file = "email,status\na@example.org,subscribed\nb@example.org,unsubscribed\n";
    people.start(file, consented(&people)).await.unwrap();
    let (ports, claim) = (people.world.ports(), people.claim().await.unwrap());
    let slice = run_slice(&people.imports(), (ports, &people.files), claim, ports.now()).await.unwrap();
    assert_eq!(slice, Progress::More, "one row");
    let grant = people.writes();
    let mut tx = grant.begin().await.unwrap();
    let status = DeclareAttribute { name: AttributeName::parse("status").unwrap(), kind: AttributeKind::String };
    declare_attributes(&grant, &mut tx, ports, vec![status]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(people.slice(people.claim().await.unwrap()).await.unwrap(), Progress::Done);
    assert_eq!(people.statuses("a@example.org").await, ["granted"]);
    assert_eq!(people.statuses("b@example.org").await, ["withdrawn"]);
}

#[tokio::test]
async fn c155_every_entry_names_its_line_and_where_the_consent_was_given() {
    let people = in_batches_of(1000).await;
    let file = "email,quelle,status\na@example.org,Messe,subscribed\nb@example.org,Laden,subscribed\n\
        c@example.org,,subscribed\nd@example.org,Messe,subscribed\ne@example.org,Messe,unsubscribed\n";
    let import = people.run(file, consented(&people)).await.unwrap();
    let mut sources = Vec::new();
    for (line, name) in (2..).zip(["a", "b", "c", "d", "e"]) {
        let entry = people.ledger(&format!("{name}@example.org")).await.remove(0);
        assert_eq!((entry.source.id, entry.source.line), (Some(import.id.0), Some(line)));
        sources.push(entry.evidence);
        let Some(evidence) = entry.evidence else { continue };
        let grant = people.world.grant::<ReadPersonalData>(people.tenant);
        let mut tx = grant.begin_read().await.unwrap();
        let mut found = read_evidence(&grant, &mut tx, people.world.ports(), &[evidence]).await.unwrap();
        let evidence = found.remove(&evidence).unwrap();
        tx.commit().await.unwrap();
        let text: serde_json::Value = serde_json::from_str(&evidence.text.unwrap()).unwrap();
        let expected = match name {
            "b" => "Laden",
            "c" => "fair",
            _ => "Messe",
        };
        assert_eq!(text["source"], expected);
        assert_eq!(text["sha256"], hex::encode(import.file_sha256.unwrap()));
        assert_eq!(text["attestation"], "I have them");
    }
    assert_eq!((sources[2], sources[3], sources[4]), (import.evidence, sources[0], None), "one for each source");
}
