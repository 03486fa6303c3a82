//! The two workflows as they happen: events come in, mails go out, and people and machines do what they do.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value as Json, json};

use super::cast::{Habit, Person};
use super::client::{self, Api, until};
use super::flows::{self, BORROWED, CART_FILLED, FORM, Flow, ORDERED, SIGNED_UP, TARGETS, VARIANTS};
use super::mailbox::{self, Mail};
use super::recipients;
use super::tenant::Tenant;
use super::ways::{self, Numbers, Way};

/// Nobody reads a mail the moment it arrives; who does is taken for a machine.
const ARRIVES_BEFORE: Duration = Duration::from_millis(2_500);

/// The time that somebody signs up at another form.
const ELSEWHERE: &str = "elsewhere";

/// What came of a workflow.
#[derive(Debug)]
pub struct Journey {
    /// The workflow.
    pub flow: Flow,
    /// Who was to be on it.
    pub people: Vec<Person>,
    /// Its numbers, as the API tells.
    pub numbers: Numbers,
    /// Their ways, by contact.
    pub ways: HashMap<String, Vec<Way>>,
    /// Addresses that were suppressed for unsubscribing meanwhile, as the API counts them.
    pub unsubscribed: u64,
}

/// "Welcome", from the events to the last mail.
pub async fn welcome(anonymous: &Api, tenant: &Tenant, people: Vec<Person>, reading: Duration) -> Result<Journey> {
    settle_down(&tenant.api, &people).await?;
    let flow = flows::welcome(tenant, reading).await?;
    let all: Vec<&Person> = people.iter().collect();
    track(&tenant.api, (SIGNED_UP, "first"), &all).await?;
    // Who does it again is on the workflow already.
    track(&tenant.api, (SIGNED_UP, "again"), &all).await?;
    // Who does it at another form enters once more.
    let twice: Vec<&Person> = people.iter().filter(|person| person.habit == Habit::SignsUpTwice).collect();
    track(&tenant.api, (SIGNED_UP, ELSEWHERE), &twice).await?;
    let entries: u64 = people.iter().map(Person::entries).sum();
    until("the first mails of Welcome", async || {
        let numbers = Numbers::of(&tenant.api, &flow.id).await?;
        let settled: u64 = VARIANTS.iter().map(|(_, node, _)| numbers.settled(node)).sum();
        Ok((settled >= entries).then_some(()))
    })
    .await?;
    read(anonymous, &people).await?;
    let borrowing: Vec<&Person> = people.iter().filter(|person| person.converts).collect();
    track(&tenant.api, (BORROWED, "first"), &borrowing).await?;
    finish(tenant, flow, people).await
}

/// "Cart", from the events to the last mail.
pub async fn cart(tenant: &Tenant, people: Vec<Person>) -> Result<Journey> {
    let flow = flows::cart(tenant).await?;
    track(&tenant.api, (CART_FILLED, "first"), &people.iter().collect::<Vec<_>>()).await?;
    let buying: Vec<&Person> = people.iter().filter(|person| person.converts).collect();
    track(&tenant.api, (ORDERED, "first"), &buying).await?;
    finish(tenant, flow, people).await
}

async fn finish(tenant: &Tenant, flow: Flow, people: Vec<Person>) -> Result<Journey> {
    let numbers = until(flow.name, async || {
        let numbers = Numbers::of(&tenant.api, &flow.id).await?;
        Ok(numbers.is_over().then_some(numbers))
    })
    .await?;
    let ways = ways::of_people(&tenant.api, &people).await?;
    Ok(Journey { flow, people, numbers, ways, unsubscribed: 0 })
}

/// Says where people live: how they may be tracked goes by it.
async fn settle_down(api: &Api, people: &[Person]) -> Result<()> {
    let contact =
        |person: &Person| json!({ "by": { "externalId": person.number }, "fields": { "country": person.country } });
    let contacts: Vec<Json> = people.iter().map(contact).collect();
    let results: Vec<Json> = api.mutate(client::UPSERT_CONTACTS, json!({ "contacts": contacts })).await?;
    let wrong = results.iter().find(|result| result["created"] == true || result["userErrors"] != json!([]));
    ensure!(wrong.is_none(), "a contact was made or refused: {}", wrong.unwrap_or(&Json::Null));
    Ok(())
}

/// Tells what people did. The call is made twice, as a program does that lost the first answer: each event is one.
async fn track(api: &Api, (name, time): (&str, &str), people: &[&Person]) -> Result<()> {
    let event = |person: &&Person| {
        let properties = match name {
            CART_FILLED => person.cart(),
            SIGNED_UP => json!({ FORM: if time == ELSEWHERE { "fair" } else { "page" } }),
            _ => json!({}),
        };
        let message = format!("{name}:{time}:{}", person.id);
        json!({ "messageId": message, "name": name, "contact": { "id": person.id }, "properties": properties })
    };
    let events: Vec<Json> = people.iter().map(event).collect();
    for duplicate in [false, true] {
        let results: Vec<Json> = api.mutate(client::TRACK_EVENTS, json!({ "events": events })).await?;
        let wrong = results.iter().find(|result| result["eventId"].is_null() || result["duplicate"] != duplicate);
        ensure!(wrong.is_none(), "an event was refused or counted twice: {}", wrong.unwrap_or(&Json::Null));
    }
    Ok(())
}

/// What happens to the first mails of "Welcome": a scanner is there at once, people later.
async fn read(anonymous: &Api, people: &[Person]) -> Result<()> {
    let mails = mailbox::mails(anonymous, None).await?;
    let is_first = |node: &str| VARIANTS.iter().any(|(_, hello, _)| *hello == node);
    let first = mails.iter().filter(|mail| flows::step_of(&mail.intent).is_some_and(|(node, _)| is_first(node)));
    let by_address: BTreeMap<&str, &Mail> = first.map(|mail| (mail.to.as_str(), mail)).collect();
    let arrived = || people.iter().filter_map(|person| Some((person, *by_address.get(person.email.as_str())?)));
    let of = |does: fn(&Person) -> bool| arrived().filter(move |(person, _)| does(person)).map(|(_, mail)| mail);

    let scanned: Vec<&Mail> = of(|person| person.habit == Habit::Scanned).collect();
    recipients::scan(anonymous, &scanned).await?;
    tokio::time::sleep(ARRIVES_BEFORE).await;
    let opening: Vec<(&Mail, bool)> =
        arrived().filter(|(person, _)| person.opens()).map(|(person, mail)| (mail, person.clicks())).collect();
    let led_to = recipients::read(anonymous, &opening).await.context("people reading their mail")?;
    let astray = led_to.iter().find(|target| !TARGETS.contains(&target.as_str()));
    ensure!(astray.is_none(), "a link leads to {}", astray.map_or("", String::as_str));
    let leaving: Vec<&Mail> = of(Person::leaves).collect();
    recipients::one_click(anonymous, &leaving).await
}
