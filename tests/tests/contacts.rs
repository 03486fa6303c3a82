//! Contacts on a real database: what is created, changed, found, put away and deleted.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use carillon_domain::consent::{
    Basis, RecordOptIn, SuppressAddress, SuppressionReason, SuppressionScope, Wording, record_opt_in, suppress_address,
};
use carillon_domain::contacts::import::ImportOptions;
use carillon_domain::contacts::{
    AttributeKind, AttributeName, AttributeTest, ContactFields, ContactFilter, ContactState, DeclareAttribute,
    EmailAddress, Patch, Shown, Tag, TagContacts, UpdateContact, UpsertBy, UpsertContact, Upserted, archive_contact,
    contact_histories, contact_tags, declare_attributes, delete_contact, get_contact, list_contacts, restore_contact,
    tag_contacts, update_contact, upsert_contacts,
};
use carillon_domain::error::Result;
use carillon_domain::paging::{Ahead, Page};
use carillon_domain::tenancy::ReadPersonalData;
use carillon_entities::ids::ContactId;
use carillon_tests::people::{People, codes, email};
use chrono::TimeDelta;
use serde_json::{Value, json};

async fn update(people: &People, id: ContactId, version: i64, fields: ContactFields) -> Result<i64> {
    let grant = people.writes();
    let mut tx = grant.begin().await?;
    let command = UpdateContact { id, version, fields };
    let contact = update_contact(&grant, &mut tx, people.world.ports(), command).await?;
    tx.commit().await?;
    Ok(contact.version)
}

async fn upsert(people: &People, contacts: Vec<UpsertContact>) -> Vec<Upserted> {
    let grant = people.writes();
    let mut tx = grant.begin().await.unwrap();
    let done = upsert_contacts(&grant, &mut tx, people.world.ports(), contacts).await.unwrap();
    tx.commit().await.unwrap();
    done
}

async fn declare(people: &People, attributes: &[(&str, AttributeKind)]) {
    let grant = people.writes();
    let wanted = attributes
        .iter()
        .map(|(name, kind)| DeclareAttribute { name: AttributeName::parse(name).unwrap(), kind: *kind })
        .collect();
    let mut tx = grant.begin().await.unwrap();
    declare_attributes(&grant, &mut tx, people.world.ports(), wanted).await.unwrap();
    tx.commit().await.unwrap();
}

fn first_name(name: &str) -> ContactFields {
    let mut fields = ContactFields::default();
    fields.patch.first_name = Patch::Set(name.to_owned());
    fields
}

#[tokio::test]
async fn a_change_names_the_version_it_saw() {
    let people = People::new().await;
    let contact = people.create(email("Ada@example.org")).await.unwrap();
    assert_eq!((contact.version, contact.email.as_ref().unwrap().as_sent()), (1, "Ada@example.org"));
    assert_eq!(update(&people, contact.id, 1, first_name("Ada")).await.unwrap(), 2);
    let refused = update(&people, contact.id, 1, first_name("Eve")).await;
    assert!(format!("{refused:?}").contains("version 2"), "{refused:?}");
    assert_eq!(codes(refused), ["CONFLICT"]);
    assert_eq!(update(&people, contact.id, 2, first_name("Ada")).await.unwrap(), 2, "no change, no version");
    let other = People::within(people.world.clone()).await;
    assert_eq!(codes(update(&other, contact.id, 2, first_name("Eve")).await), ["NOT_FOUND"], "C-204");
}

#[tokio::test]
async fn an_identity_belongs_to_one_contact() {
    let people = People::new().await;
    people.create(email("user@exämple.de")).await.unwrap();
    assert_eq!(codes(people.create(email("USER@xn--exmple-cua.de")).await), ["IDENTITY_TAKEN"]);
    assert_eq!(codes(people.create(ContactFields::default()).await), ["IDENTITY_REQUIRED"]);
    let other = people.create(email("other@example.org")).await.unwrap();
    assert_eq!(codes(update(&people, other.id, 1, email("User@exämple.de")).await), ["IDENTITY_TAKEN"]);
    assert_eq!(people.world.number("SELECT COUNT(*) AS amount FROM contact_identities").await, 2);
    assert_eq!(people.world.number("SELECT COUNT(*) AS amount FROM endpoints").await, 2);
}

#[tokio::test]
async fn archived_contacts_come_back_and_deleted_ones_do_not() {
    let people = People::new().await;
    let (grant, ports) = (people.writes(), people.world.ports());
    declare(&people, &[("plan", AttributeKind::String)]).await;
    let mut fields = email("ada@example.org");
    fields.attributes = BTreeMap::from([("plan".to_owned(), json!("gold"))]);
    fields.tags = vec![Tag::parse("VIP").unwrap()];
    let contact = people.create(fields).await.unwrap();
    update(&people, contact.id, 1, first_name("Ada")).await.unwrap();

    let mut tx = grant.begin().await.unwrap();
    let archived = archive_contact(&grant, &mut tx, ports, contact.id, 2).await.unwrap();
    let restored = restore_contact(&grant, &mut tx, ports, contact.id, 3).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((archived.state, restored.state), (ContactState::Archived, ContactState::Active));

    let recorder = people.records();
    let mut tx = recorder.begin().await.unwrap();
    let address = EmailAddress::parse("ada@example.org").unwrap();
    let command = SuppressAddress { email: address, scope: SuppressionScope::All, reason: SuppressionReason::Manual };
    suppress_address(&recorder, &mut tx, ports, command).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = grant.begin().await.unwrap();
    delete_contact(&grant, &mut tx, ports, contact.id, 4).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = people.reads().begin_read().await.unwrap();
    let gone = get_contact(&people.reads(), &mut tx, contact.id).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    assert_eq!((gone.state, gone.email, gone.first_name), (ContactState::Deleted, None, None));
    assert!(gone.attributes.is_empty());
    for (table, left) in [
        ("contact_identities", 0),
        ("contact_attribute_values", 0),
        ("contact_tags", 0),
        ("subject_keys WHERE wrapped IS NOT NULL", 0),
        ("suppressions", 1),
        ("contact_changes", 5),
    ] {
        let sql = format!("SELECT COUNT(*) AS amount FROM {table}");
        assert_eq!(people.world.number(&sql).await, left, "{table}");
    }
    assert_eq!(codes(update(&people, contact.id, 5, first_name("Eve")).await), ["NOT_FOUND"]);
    assert!(people.create(email("ada@example.org")).await.is_ok(), "the address is free again");
}

#[tokio::test]
async fn c151_a_history_has_values_until_its_key_is_destroyed() {
    let people = People::new().await;
    let ports = people.world.ports();
    let contact = people.create(email("old@example.org")).await.unwrap();
    people.world.advance(chrono::TimeDelta::seconds(1));
    update(&people, contact.id, 1, email("new@example.org")).await.unwrap();
    let history = async || {
        let grant = people.world.grant::<ReadPersonalData>(people.tenant);
        let mut tx = grant.begin_read().await.unwrap();
        let page = Ahead { after: None, size: 10 };
        let mut pages = contact_histories(&grant, &mut tx, ports, &[contact.id], page).await.unwrap();
        tx.commit().await.unwrap();
        pages.remove(&contact.id).unwrap().items
    };
    let changes = history().await;
    assert_eq!(changes.iter().map(|change| change.kind.as_str()).collect::<Vec<_>>(), ["created", "updated"]);
    assert_eq!(changes[1].fields, ["email"]);
    let values = changes[1].values.clone().unwrap();
    assert_eq!(values, json!({"email": {"old": "old@example.org", "new": "new@example.org"}}));
    let plain = "SELECT COUNT(*) AS amount FROM contact_changes WHERE CAST(fields AS TEXT) LIKE '%example.org%'";
    assert_eq!(people.world.number(plain).await, 0);
    let grant = people.writes();
    let mut tx = grant.begin().await.unwrap();
    delete_contact(&grant, &mut tx, ports, contact.id, 2).await.unwrap();
    tx.commit().await.unwrap();
    assert!(history().await.iter().all(|change| change.values.is_none()));
}

#[tokio::test]
async fn c126_consent_does_not_move_to_a_new_address() {
    let people = People::new().await;
    let ports = people.world.ports();
    let contact = people.create(email("old@example.org")).await.unwrap();
    let opt_in = |contact| RecordOptIn {
        contact,
        topic: people.all_marketing,
        basis: Basis::Consent,
        effective_at: None,
        source: None,
        wording: Wording::default(),
        evidence: None,
    };
    let grant = people.records();
    let mut tx = grant.begin().await.unwrap();
    record_opt_in(&grant, &mut tx, ports, opt_in(contact.id)).await.unwrap();
    tx.commit().await.unwrap();
    update(&people, contact.id, 1, email("new@example.org")).await.unwrap();
    assert_eq!(people.statuses("old@example.org").await, ["granted"]);
    assert_eq!(people.statuses("new@example.org").await, Vec::<String>::new());
}

#[tokio::test]
async fn upserts_find_by_external_id_or_address_and_cost_the_same_whatever_their_number() {
    let people = People::new().await;
    declare(&people, &[("plan", AttributeKind::String), ("score", AttributeKind::Number)]).await;
    let batch = |n: usize, plan: &str| -> Vec<UpsertContact> {
        let contact = |i: usize| {
            let mut fields = email(&format!("p{i}@example.org"));
            fields.patch.external_id = Patch::Set(format!("x{i}"));
            fields.attributes = BTreeMap::from([("plan".to_owned(), json!(plan)), ("score".to_owned(), json!(i))]);
            fields.tags = vec![Tag::parse("new").unwrap()];
            UpsertContact { by: if i.is_multiple_of(2) { UpsertBy::Email } else { UpsertBy::ExternalId }, fields }
        };
        (0..n).map(contact).collect()
    };
    let (few, few_statements) = people.world.statements_of(upsert(&people, batch(3, "a"))).await;
    let (_, again_statements) = people.world.statements_of(upsert(&people, batch(3, "b"))).await;
    let rest = batch(303, "a").split_off(3);
    let (many, many_statements) = people.world.statements_of(upsert(&people, rest)).await;
    let (again, many_again) = people.world.statements_of(upsert(&people, batch(303, "c"))).await;
    assert!(few.iter().chain(&many).all(|one| matches!(one, Upserted::Done(_, true))));
    assert!(again.iter().all(|one| matches!(one, Upserted::Done(contact, false) if contact.version >= 2)));
    assert_eq!(few_statements, many_statements, "creating");
    assert_eq!(again_statements, many_again, "changing");
    assert_eq!(people.world.number("SELECT COUNT(*) AS amount FROM contact_attribute_values").await, 606);
}

#[tokio::test]
async fn a_refused_upsert_leaves_the_others_alone() {
    let people = People::new().await;
    people.create(email("taken@example.org")).await.unwrap();
    let mut undeclared = email("b@example.org");
    undeclared.attributes = BTreeMap::from([("plan".to_owned(), json!(1)), ("a b".to_owned(), Value::Null)]);
    let mut taken = email("taken@example.org");
    taken.patch.external_id = Patch::Set("x".to_owned());
    let done = upsert(
        &people,
        vec![
            UpsertContact { by: UpsertBy::Email, fields: undeclared },
            UpsertContact { by: UpsertBy::ExternalId, fields: taken },
            UpsertContact { by: UpsertBy::Email, fields: email("c@example.org") },
        ],
    )
    .await;
    let shown: Vec<Vec<(&str, &str)>> = done
        .iter()
        .map(|one| match one {
            Upserted::Refused(all) => all.iter().map(|one| (one.code, one.field.as_str())).collect(),
            Upserted::Done(..) => Vec::new(),
        })
        .collect();
    assert_eq!(shown[0], [("UNDECLARED_ATTRIBUTE", "attributes."), ("UNDECLARED_ATTRIBUTE", "attributes.plan")]);
    assert_eq!(shown[1], [("IDENTITY_TAKEN", "email")]);
    assert!(shown[2].is_empty());
    assert_eq!(people.list(ContactFilter::default()).await.len(), 2);
}

#[tokio::test]
async fn lists_filter_search_and_page_both_ways() {
    let people = People::new().await;
    let attributes =
        [("plan", AttributeKind::String), ("score", AttributeKind::Number), ("vip", AttributeKind::Boolean)];
    declare(&people, &attributes).await;
    declare(&people, &[("born", AttributeKind::Date)]).await;
    let contact = |i: usize| {
        let mut fields = email(&format!("p{i}@example.org"));
        fields.patch.last_name = Patch::Set(if i < 3 { "Ärger".to_owned() } else { "Braun".to_owned() });
        fields.patch.external_id = Patch::Set(format!("X{i}"));
        let plan = if i.is_multiple_of(2) { "gold" } else { "free" };
        let values =
            [("plan", json!(plan)), ("score", json!(i)), ("vip", json!(i == 4)), ("born", json!("2001-02-03"))];
        fields.attributes = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        fields.tags = if i > 6 { vec![Tag::parse("late").unwrap()] } else { Vec::new() };
        UpsertContact { by: UpsertBy::Email, fields }
    };
    upsert(&people, (0..10).map(contact).collect()).await;
    let found = async |filter: ContactFilter| {
        let ids = people.list(filter).await.into_iter().filter_map(|contact| contact.external_id);
        // Ids made in the same millisecond are in no order.
        let ids: std::collections::BTreeSet<String> = ids.collect();
        ids.into_iter().collect::<Vec<_>>().join(" ")
    };
    let attribute = |name: &str, test| ContactFilter { attribute: Some((name.to_owned(), test)), ..Default::default() };
    let search = |text: &str| ContactFilter { search: Some(text.to_owned()), ..Default::default() };
    let by_email = |text: &str| ContactFilter { email: EmailAddress::parse(text).ok(), ..Default::default() };
    let tagged = ContactFilter { tag: Tag::parse("late").ok(), ..Default::default() };
    assert_eq!(found(search("ärg")).await, "X0 X1 X2");
    assert_eq!(found(search("P7@")).await, "X7");
    assert_eq!(found(search("X")).await.len(), 29);
    assert_eq!(found(search("x")).await, "", "external ids are compared exactly");
    assert_eq!(found(by_email("P3@EXAMPLE.org")).await, "X3");
    assert_eq!(found(tagged.clone()).await, "X7 X8 X9");
    assert_eq!(found(attribute("plan", AttributeTest::Text("gold".into()))).await, "X0 X2 X4 X6 X8");
    assert_eq!(found(attribute("score", AttributeTest::Number(3.0, 5.0))).await, "X3 X4 X5");
    assert_eq!(found(attribute("vip", AttributeTest::Boolean(true))).await, "X4");
    let day = |text: &str| text.parse().unwrap();
    assert_eq!(found(attribute("born", AttributeTest::Date(day("2001-02-04"), day("2030-01-01")))).await, "");
    assert_eq!(found(attribute("born", AttributeTest::Date(day("2001-02-03"), day("2001-02-03")))).await.len(), 29);
    let mut both = attribute("plan", AttributeTest::Text("gold".into()));
    both.tag = tagged.tag;
    both.state = Some(ContactState::Active);
    both.search = Some("p8".into());
    assert_eq!(found(both).await, "X8");

    let grant = people.reads();
    let mut tx = grant.begin_read().await.unwrap();
    let first = list_contacts(&grant, &mut tx, ContactFilter::default(), Page::first(4), Shown::Few).await.unwrap();
    assert!(first.has_next && !first.has_previous);
    let next = Page { forward: true, cursor: Some(first.items[3].id), size: 100 };
    let next = list_contacts(&grant, &mut tx, ContactFilter::default(), next, Shown::More).await.unwrap();
    assert_eq!((next.items.len(), next.has_next), (6, false));
    let back = Page { forward: false, cursor: Some(next.items[0].id), size: 2 };
    let back = list_contacts(&grant, &mut tx, ContactFilter::default(), back, Shown::Few).await.unwrap();
    assert_eq!(back.items, first.items[2..]);
    let wrong = attribute("score", AttributeTest::Text("3".into()));
    assert_eq!(codes(list_contacts(&grant, &mut tx, wrong, Page::first(1), Shown::Few).await), ["INVALID_ATTRIBUTE"]);
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn tags_go_on_and_off_many_contacts() {
    let people = People::new().await;
    let (grant, ports) = (people.writes(), people.world.ports());
    let one = people.create(email("a@example.org")).await.unwrap().id;
    let two = people.create(email("b@example.org")).await.unwrap().id;
    let tags = |names: &[&str]| names.iter().map(|name| Tag::parse(name).unwrap()).collect::<Vec<_>>();
    let change = async |contacts: Vec<ContactId>, add: &[&str], remove: &[&str]| {
        let mut tx = grant.begin().await?;
        let command = TagContacts { contacts, add: tags(add), remove: tags(remove) };
        let done = tag_contacts(&grant, &mut tx, ports, command).await?;
        tx.commit().await?;
        Ok(done.len())
    };
    assert_eq!(change(vec![one, two], &["a", "b"], &[]).await.unwrap(), 2);
    assert_eq!(change(vec![two], &["c"], &["a", "x"]).await.unwrap(), 1);
    assert_eq!(codes(change(vec![one, ports.new_id()], &["z"], &[]).await), ["NOT_FOUND"]);
    let mut tx = people.reads().begin_read().await.unwrap();
    let now = contact_tags(&people.reads(), &mut tx, &[one, two]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((now[&one].join(""), now[&two].join("")), ("ab".to_owned(), "bc".to_owned()));
}

#[tokio::test]
async fn a_contact_has_at_most_a_hundred_tags_however_they_come() {
    let people = People::new().await;
    let tags = |range: std::ops::Range<u32>| range.map(|n| Tag::parse(&format!("t{n}")).unwrap()).collect::<Vec<_>>();
    let upserted = async |tags| {
        let fields = ContactFields { tags, ..email("ada@example.org") };
        upsert(&people, vec![UpsertContact { by: UpsertBy::Email, fields }]).await.remove(0)
    };
    let Upserted::Done(ada, true) = upserted(tags(0..60)).await else { panic!("a new one") };
    assert!(matches!(upserted(tags(40..100)).await, Upserted::Done(..)), "forty of them are new");
    let Upserted::Refused(refusals) = upserted(tags(99..101)).await else { panic!("one too many") };
    assert_eq!((refusals[0].code, refusals[0].field.as_str()), ("TOO_MANY_TAGS", "tags"));
    assert!(matches!(upserted(tags(0..100)).await, Upserted::Done(..)), "none is new");
    let more = ContactFields { tags: tags(100..101), ..first_name("Ada") };
    assert_eq!(codes(update(&people, ada.id, 1, more).await), ["TOO_MANY_TAGS"]);
    let of = |range: std::ops::Range<u32>| tags(range).iter().map(Tag::as_str).collect::<Vec<_>>().join("|");
    let file = format!(
        "email,tags\nada@example.org,new\nbob@example.org,{}\nbob@example.org,{}\nada@example.org,t1\n",
        of(0..60),
        of(50..110)
    );
    let import = people.run(file, ImportOptions::default()).await.unwrap();
    assert_eq!((import.rows_created, import.rows_updated, import.rows_failed), (1, 1, 2));
    assert_eq!(people.world.number("SELECT COUNT(*) AS amount FROM contact_tags").await, 160);
}

#[tokio::test]
async fn tags_are_in_the_history_however_they_come() {
    let people = People::new().await;
    let ada = people.create(email("ada@example.org")).await.unwrap();
    let tagged = |name, fields| ContactFields { tags: vec![Tag::parse(name).unwrap()], ..fields };
    // Entries of one moment have no order.
    let later = || people.world.advance(TimeDelta::seconds(1));
    later();
    update(&people, ada.id, 1, tagged("vip", ContactFields::default())).await.unwrap();
    later();
    update(&people, ada.id, 1, tagged("new", first_name("Ada"))).await.unwrap();
    later();
    update(&people, ada.id, 2, tagged("vip", ContactFields::default())).await.unwrap();
    people.run("email,tags\nada@example.org,vip|file\n", ImportOptions::default()).await.unwrap();
    let grant = people.world.grant::<ReadPersonalData>(people.tenant);
    let mut tx = grant.begin_read().await.unwrap();
    let page = Ahead { after: None, size: 10 };
    let mut all = contact_histories(&grant, &mut tx, people.world.ports(), &[ada.id], page).await.unwrap();
    tx.commit().await.unwrap();
    let told = all.remove(&ada.id).unwrap().items.into_iter().skip(1);
    let told: Vec<_> = told.map(|one| (one.kind.to_string(), one.fields.join(","), one.values.unwrap())).collect();
    let added = |tag: &str| json!({ "added": [tag], "removed": [] });
    assert_eq!(
        told,
        [
            ("tagged".to_owned(), "tags".to_owned(), json!({ "tags": added("vip") })),
            (
                "updated".to_owned(),
                "firstName,tags".to_owned(),
                json!({ "firstName": { "old": null, "new": "Ada" }, "tags": added("new") })
            ),
            ("tagged".to_owned(), "tags".to_owned(), json!({ "tags": added("file") })),
        ]
    );
}
