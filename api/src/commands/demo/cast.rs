//! Who is on the two workflows and what each of them is going to do: a fixed cast, so what must come of it is known before.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::mailing::Contact;

/// People who sign up at the first client.
const READERS: usize = 168;
/// People who fill a cart at the second.
const SHOPPERS: usize = 120;

/// Where readers live, one after the other: where they may be tracked without being asked, and where not or nobody knows.
const COUNTRIES: [Option<&str>; 8] = {
    const TRACKED: Option<&str> = Some("CH");
    [Some("FR"), TRACKED, TRACKED, TRACKED, None, TRACKED, TRACKED, TRACKED]
};

/// What readers do, one country's worth of them after the other.
const HABITS: [Habit; 7] = [
    Habit::Clicks,
    Habit::ClicksAndLeaves,
    Habit::Opens,
    Habit::Leaves,
    Habit::Scanned,
    Habit::Ignores,
    Habit::SignsUpTwice,
];

/// What somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// Opens the mail and follows one of its links.
    Clicks,
    /// The same, and then unsubscribes.
    ClicksAndLeaves,
    /// Opens the mail.
    Opens,
    /// Unsubscribes.
    Leaves,
    /// Does nothing, but a scanner on the way to the mailbox opens all there is.
    Scanned,
    /// Does nothing.
    Ignores,
    /// Signs up at two forms, and does nothing else.
    SignsUpTwice,
    /// Buys what is in the cart.
    Buys,
    /// Has too little in the cart to be reminded of it.
    HasLittle,
}

/// Somebody on a workflow.
#[derive(Debug, Clone)]
pub struct Person {
    /// The contact's id.
    pub id: String,
    /// The address, in lower case.
    pub email: String,
    /// The tenant's own number of them.
    pub number: String,
    /// What they do.
    pub habit: Habit,
    /// Where they live.
    pub country: Option<&'static str>,
    /// They do what the workflow is after.
    pub converts: bool,
}

impl Person {
    /// True for somebody whose opens and clicks may be known.
    pub fn is_tracked(&self) -> bool {
        self.country == Some("CH")
    }

    /// True for somebody who looks at the mail.
    pub fn opens(&self) -> bool {
        self.clicks() || self.habit == Habit::Opens
    }

    /// True for somebody who follows a link.
    pub fn clicks(&self) -> bool {
        matches!(self.habit, Habit::Clicks | Habit::ClicksAndLeaves)
    }

    /// True for somebody who unsubscribes after the first mail.
    pub fn leaves(&self) -> bool {
        matches!(self.habit, Habit::Leaves | Habit::ClicksAndLeaves)
    }

    /// How often they enter the workflow.
    pub fn entries(&self) -> u64 {
        match self.habit {
            Habit::HasLittle => 0,
            Habit::SignsUpTwice => 2,
            _ => 1,
        }
    }

    /// What is in the cart, for the event that says so.
    pub fn cart(&self) -> Json {
        let total = if self.habit == Habit::HasLittle { 5 } else { 40 };
        json!({ "cart": format!("cart-{}", self.number), "total": total })
    }
}

/// The first client's readers.
pub fn readers(contacts: &[Contact]) -> Vec<Person> {
    people(contacts, READERS, |at| {
        let habit = HABITS[at / COUNTRIES.len() % HABITS.len()];
        (habit, COUNTRIES[at % COUNTRIES.len()], habit == Habit::Clicks && at.is_multiple_of(2))
    })
}

/// The second client's shoppers.
pub fn shoppers(contacts: &[Contact]) -> Vec<Person> {
    people(contacts, SHOPPERS, |at| {
        let habit = match at % 10 {
            9 => Habit::HasLittle,
            0 | 3 | 6 => Habit::Buys,
            _ => Habit::Ignores,
        };
        (habit, None, habit == Habit::Buys)
    })
}

/// The first contacts whom mail can reach, with parts to play; what they said and whether their mailbox exists is left to
/// the gate.
fn people(
    contacts: &[Contact],
    count: usize,
    part: impl Fn(usize) -> (Habit, Option<&'static str>, bool),
) -> Vec<Person> {
    let mut known = BTreeSet::new();
    let reachable = contacts.iter().filter_map(|contact| {
        let email = contact.email.as_deref().filter(|email| email.is_ascii())?.to_lowercase();
        let number = contact.external_id.clone()?;
        known.insert(email.clone()).then(|| (contact.id.clone(), email, number))
    });
    let play = |(at, (id, email, number))| {
        let (habit, country, converts) = part(at);
        Person { id, email, number, habit, country, converts }
    };
    reachable.take(count).enumerate().map(play).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_played_by_people_who_are_tracked_and_by_others() {
        let contacts: Vec<Contact> = (0..1_000)
            .map(|n| Contact {
                id: format!("contact_{n}"),
                email: Some(format!("P{n}@x.example")),
                external_id: Some(format!("K-{n}")),
            })
            .collect();
        let readers = readers(&contacts);
        assert_eq!((readers.len(), readers[0].email.as_str()), (READERS, "p0@x.example"));
        for habit in HABITS {
            let tracked =
                |wanted| readers.iter().filter(|one| one.habit == habit && one.is_tracked() == wanted).count();
            assert!(tracked(true) >= 10 && tracked(false) >= 5, "{habit:?}");
        }
        assert!(readers.iter().any(|one| one.converts) && readers.iter().any(|one| one.clicks() && !one.converts));
        let shoppers = shoppers(&contacts);
        let count = |habit| shoppers.iter().filter(|one| one.habit == habit).count();
        assert_eq!((count(Habit::Buys), count(Habit::HasLittle), shoppers.len()), (36, 12, SHOPPERS));
    }
}
