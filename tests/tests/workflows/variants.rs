//! What a split's variants answer: of the mails behind it, and of people of whom anything can be known.

use std::collections::BTreeSet;

use carillon_domain::ids::ContactId;
use carillon_domain::keys::HitKind;
use carillon_domain::tenancy::ReadWorkflows;
use carillon_domain::workflows::{self, VariantAnswer, Version};
use serde_json::{Map, Value as Json, json};

use super::setup::{Field, started};

/// A mail to everybody, and behind the split one to each variant.
fn halves(field: &Field) -> Json {
    started(&json!({
        "first": field.mail("half"),
        "half": { "kind": "split", "variants": [
            { "label": "a", "weight_bp": 5_000, "next": "second" }, { "label": "b", "weight_bp": 5_000, "next": "second" } ] },
        "second": field.mail("bye"),
        "bye": { "kind": "exit" },
    }))
}

/// The variants' sums: exposed, opened and clicked of how many.
async fn sums(field: &Field, version: &Version) -> (i64, [(i64, i64); 2]) {
    let answers = answers(field, version).await;
    let sum = |of: fn(&VariantAnswer) -> i64| answers.iter().map(of).sum::<i64>();
    let opened = (sum(|one| one.opened.count), sum(|one| one.opened.of));
    (sum(|one| one.exposed), [opened, (sum(|one| one.clicked.count), sum(|one| one.clicked.of))])
}

async fn answers(field: &Field, version: &Version) -> Vec<VariantAnswer> {
    let grant = field.marketer.grant::<ReadWorkflows>().expect("a marketer reads");
    let mut tx = grant.begin_read().await.expect("a transaction");
    let mut answers = workflows::variant_answers(&grant, &mut tx, &[version.id]).await.expect("answers");
    tx.commit().await.expect("the end");
    answers.remove(&version.id).expect("a version with a split")
}

/// People on their way, each of a country.
async fn people(field: &Field, countries: &[&str]) -> Vec<ContactId> {
    let mut people = Vec::new();
    for (n, country) in countries.iter().enumerate() {
        people.push(field.person_of(&format!("p{n}@example.org"), country).await);
    }
    let told: Vec<_> = people.iter().map(|who| (*who, "started", field.ports().now())).collect();
    field.did(&told).await;
    field.drain().await;
    people
}

#[tokio::test]
async fn only_mails_behind_a_split_count_for_its_variants() {
    let field = Field::new().await;
    let (_, version) = field.live("Halves", &halves(&field)).await;
    let ada = people(&field, &["US"]).await[0];
    assert_eq!(field.mails("p0@example.org"), 2);
    for kind in [HitKind::Open, HitKind::Click] {
        field.engages(ada, "first", kind).await;
    }
    let counts = |sums: (i64, [(i64, i64); 2])| sums.1.map(|(count, _)| count);
    assert_eq!(counts(sums(&field, &version).await), [0, 0], "before the split");
    for kind in [HitKind::Open, HitKind::Click] {
        field.engages(ada, "second", kind).await;
    }
    assert_eq!(counts(sums(&field, &version).await), [1, 1]);
}

#[tokio::test]
async fn c077_a_share_is_of_those_of_whom_it_would_be_known() {
    let field = Field::new().await;
    let (_, version) = field.live("Halves", &halves(&field)).await;
    let ada = people(&field, &["FR", "FR", "US", "FR", "US"]).await[2];
    field.engages(ada, "second", HitKind::Click).await;
    let (exposed, [opened, clicked]) = sums(&field, &version).await;
    assert_eq!((exposed, opened.1, clicked), (5, 2, (1, 2)));

    let field = Field::new().await;
    let (_, version) = field.live("Halves", &halves(&field)).await;
    people(&field, &["FR", "FR"]).await;
    assert_eq!(sums(&field, &version).await, (2, [(0, 0), (0, 0)]));
    for answer in answers(&field, &version).await {
        assert_eq!((answer.opened.share, answer.opened.interval, answer.clicked.share), (None, None, None));
    }
}

#[tokio::test]
async fn c183_who_enters_again_and_again_stays_in_one_variant() {
    let field = Field::new().await;
    let halves = json!({
        "trigger": { "event": "started", "entry_key": "form" }, "start": "half",
        "nodes": {
            "half": { "kind": "split", "variants": [
                { "label": "a", "weight_bp": 5_000, "next": "bye" }, { "label": "b", "weight_bp": 5_000, "next": "bye" } ] },
            "bye": { "kind": "exit" },
        },
    });
    field.live("Halves", &halves).await;
    let mut people = Vec::new();
    for n in 0..20 {
        people.push(field.person(&format!("p{n}@example.org")).await);
    }
    // Two entries that are decided together, and one that comes when the others are over.
    for forms in [&["page", "fair"][..], &["shop"]] {
        let at = |form: &str| [("form".to_owned(), json!(form))].into_iter().collect::<Map<_, _>>();
        let now = field.ports().now();
        let told = people.iter().flat_map(|who| forms.iter().map(move |form| (*who, "started", now, at(form))));
        field.try_did(told.collect()).await.expect("entries");
        field.drain().await;
    }
    let mut seen = BTreeSet::new();
    for who in people {
        let variants: Vec<_> =
            field.ways(who).await.into_iter().map(|one| one.way.variant.expect("a variant")).collect();
        assert!(variants.len() == 3 && variants.iter().all(|one| *one == variants[0]), "{variants:?}");
        seen.extend(variants);
    }
    assert_eq!(seen.len(), 2, "both variants have people");
}

#[tokio::test]
async fn who_clicked_has_opened_whatever_became_of_the_pixel() {
    let field = Field::new().await;
    let (_, version) = field.live("Halves", &halves(&field)).await;
    let ada = people(&field, &["US"]).await[0];
    field.engages(ada, "second", HitKind::Click).await;
    assert_eq!(sums(&field, &version).await, (1, [(1, 1), (1, 1)]));
}
