use std::cell::Cell;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::contacts::{EmailAddress, Patch};

fn id(n: u128) -> ContactId {
    ContactId(Uuid::from_u128(n))
}

fn wish(find: Find, external: Option<&str>, email: Option<&str>) -> Wish {
    let email = email.map(|email| EmailAddress::parse(email).expect("valid"));
    let patch = ContactPatch {
        external_id: Patch::known(external.map(str::to_owned)),
        email: Patch::known(email),
        ..Default::default()
    };
    Wish { find, patch, tags: Vec::new(), reach: Reach::Write }
}

fn named(mut wish: Wish, name: &str) -> Wish {
    wish.patch.first_name = Patch::Set(name.to_owned());
    wish
}

fn contact(n: u128, external: Option<&str>, email: Option<&str>) -> Contact {
    let mut contact = Contact::new(id(n), Timestamp::UNIX_EPOCH);
    wish(Find::New, external, email).patch.apply(&mut contact);
    contact
}

fn known(contacts: Vec<Contact>) -> Known {
    let owners = contacts.iter().flat_map(|one| one.identities().map(|identity| (identity, one.id))).collect();
    Known { owners, contacts: contacts.into_iter().map(|one| (one.id, one)).collect(), tags: HashMap::new() }
}

fn run(known: Known, wishes: &[Wish]) -> Plan {
    let next = Cell::new(1000);
    plan(known, wishes, Timestamp::UNIX_EPOCH, || {
        next.set(next.get() + 1);
        id(next.get())
    })
}

fn codes(fate: &Fate) -> Vec<&'static str> {
    match fate {
        Fate::Refused(refusals) => refusals.iter().map(|refusal| refusal.code).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn c029_spellings_of_one_address_make_one_contact() {
    let wishes = [
        named(wish(Find::Any, None, Some("User@EXÄMPLE.de")), "First"),
        named(wish(Find::Any, None, Some("user@xn--exmple-cua.de")), "Last"),
    ];
    let plan = run(known(vec![]), &wishes);
    assert_eq!(plan.fates, [Fate::Created(id(1001)), Fate::Found(id(1001))]);
    assert_eq!(plan.touched.len(), 1);
    assert_eq!(plan.touched[0].after.first_name.as_deref(), Some("Last"), "the last one wins");
    assert_eq!(plan.touched[0].after.version, 1, "one change");
}

#[test]
fn an_identity_of_somebody_else_is_refused() {
    let there = || known(vec![contact(1, Some("a"), Some("a@x.de")), contact(2, Some("b"), Some("b@x.de"))]);
    let plan = run(there(), &[wish(Find::New, None, Some("A@x.de"))]);
    assert_eq!(codes(&plan.fates[0]), ["IDENTITY_TAKEN"]);
    let plan = run(there(), &[wish(Find::By(IdentityKind::ExternalId), Some("a"), Some("b@x.de"))]);
    assert_eq!(codes(&plan.fates[0]), ["IDENTITY_TAKEN"]);
    let plan = run(there(), &[wish(Find::Any, Some("a"), Some("b@x.de"))]);
    assert_eq!(codes(&plan.fates[0]), ["IDENTITY_CONFLICT"]);
    assert!(plan.touched.is_empty(), "and changes nothing");
}

#[test]
fn a_change_must_have_seen_the_present_version() {
    let there = || known(vec![contact(1, None, Some("a@x.de"))]);
    assert_eq!(codes(&run(there(), &[wish(Find::Id(id(1), 7), None, None)]).fates[0]), ["CONFLICT"]);
    assert_eq!(codes(&run(there(), &[wish(Find::Id(id(9), 1), None, None)]).fates[0]), ["NOT_FOUND"]);
    let plan = run(there(), &[named(wish(Find::Id(id(1), 1), None, None), "Ada")]);
    assert_eq!(plan.touched[0].after.version, 2);
    assert_eq!(plan.touched[0].changed.iter().collect::<Vec<_>>(), ["firstName"]);
}

#[test]
fn an_identity_given_up_is_free_for_the_next_wish() {
    let there = known(vec![contact(1, Some("a"), Some("old@x.de"))]);
    let wishes = [
        wish(Find::By(IdentityKind::ExternalId), Some("a"), Some("new@x.de")),
        wish(Find::New, None, Some("old@x.de")),
    ];
    let plan = run(there, &wishes);
    assert_eq!(plan.fates, [Fate::Found(id(1)), Fate::Created(id(1001))]);
    let (gone, given) = plan.identity_moves();
    assert_eq!(gone, [(IdentityKind::Email, "old@x.de".to_owned())]);
    assert_eq!(given.len(), 2);
}

#[test]
fn a_contact_can_always_be_found() {
    let mut clear = wish(Find::Id(id(1), 1), None, None);
    clear.patch.email = Patch::Clear;
    let plan = run(known(vec![contact(1, None, Some("a@x.de"))]), &[clear, named(wish(Find::New, None, None), "Ada")]);
    assert_eq!(plan.fates.iter().map(codes).collect::<Vec<_>>(), [["IDENTITY_REQUIRED"], ["IDENTITY_REQUIRED"]]);
}

#[test]
fn what_changes_nothing_is_not_written() {
    let there = known(vec![contact(1, Some("a"), Some("a@x.de"))]);
    let plan = run(there, &[wish(Find::Any, Some("a"), Some("a@X.DE"))]);
    assert_eq!(plan.fates, [Fate::Found(id(1))]);
    let plan_of_spelling = plan.touched.iter().map(|touched| touched.changed.len()).sum::<usize>();
    assert!(plan_of_spelling <= 1, "at most the spelling of the address");
    assert_eq!(plan.identity_moves(), (vec![], vec![]), "and never its identity");
}

fn any_wish() -> impl Strategy<Value = Wish> {
    let find = prop_oneof![
        Just(Find::New),
        Just(Find::Any),
        Just(Find::By(IdentityKind::Email)),
        Just(Find::By(IdentityKind::ExternalId)),
        (0u128..4).prop_map(|n| Find::Id(id(n), 1)),
    ];
    let text = |base: &'static str| prop::option::of((0..5u8).prop_map(move |n| format!("{base}{n}")));
    (find, text("x"), text("p")).prop_map(|(find, external, local)| {
        let email = local.map(|local| format!("{local}@x.de"));
        wish(find, external.as_deref(), email.as_deref())
    })
}

proptest! {
    /// However wishes are mixed, no identity ever has two owners, and what is written is what the moves say.
    #[test]
    fn an_identity_has_one_owner(wishes in prop::collection::vec(any_wish(), 0..30)) {
        let start = vec![contact(1, Some("x1"), Some("p1@x.de")), contact(2, Some("x2"), None)];
        let mut table: HashMap<Identity, ContactId> = known(start.clone()).owners;
        let plan = run(known(start), &wishes);
        prop_assert_eq!(plan.fates.len(), wishes.len());
        let (gone, given) = plan.identity_moves();
        for identity in gone {
            prop_assert!(table.remove(&identity).is_some(), "only what is there is taken away");
        }
        for (identity, owner) in given {
            prop_assert!(table.insert(identity, owner).is_none(), "the unique key holds");
        }
        for touched in &plan.touched {
            for identity in touched.after.identities() {
                prop_assert_eq!(table.get(&identity), Some(&touched.after.id));
            }
        }
    }
}
