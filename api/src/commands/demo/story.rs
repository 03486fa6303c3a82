//! The story, in the order in which it happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use carillon_jobs::catcher::address_hash;
use futures::future::{try_join, try_join_all};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::agency::{self, CLIENTS};
use super::checks::{self, Caught, Seen, Verdict, unsubscriptions};
use super::client::{self, Api, WithId};
use super::list::People;
use super::mailbox::{self, Mail};
use super::mailing::{self, Contact, Round};
use super::progress::Progress;
use super::tenant::{self, Tenant};
use super::{cast, recipients, report, signatures, walk};

/// One address in so many does not exist.
const GONE_EVERY: usize = 40;
/// One address in so many is too busy at first.
const BUSY_EVERY: u64 = 12;
/// One recipient in so many unsubscribes.
const CLICK_EVERY: usize = 9;
/// Mails of each tenant that a scanner opens.
const SCANNED: usize = 25;
/// Contacts of the other tenant that each asks for.
const PROBES: usize = 20;
/// So long the readers of the first workflow have at least before it asks whether they clicked.
const READING: Duration = Duration::from_secs(8);

#[derive(Debug, Deserialize)]
struct Suppression {
    reason: String,
}

/// Plays it and judges what came of it.
pub async fn tell(base: &str) -> Result<Verdict> {
    let progress = Progress::new();
    let anonymous = Api::new(base)?;
    progress.step("An agency signs up, follows the link in its mail, and takes on two clients.");
    let (agency, account) = agency::open(&anonymous).await?;
    let mut tenants = Vec::new();
    for client in CLIENTS {
        let inside = agency::take_on(&agency, &account, client).await?;
        tenants.push(tenant::prepare(inside, client).await?);
    }
    let mut seen: Vec<Seen> = CLIENTS.map(|client| Seen { from: client.from, ..Seen::default() }).into();

    progress.step("Both import the same list of 1,000 rows.");
    let bars = progress.bars("bytes");
    let imports = tenants.iter().zip(&bars).map(|(tenant, bar)| tenant::import(tenant, bar));
    for (seen, import) in seen.iter_mut().zip(try_join_all(imports).await?) {
        seen.import = Some(import);
    }
    for (tenant, client) in tenants.iter_mut().zip(CLIENTS) {
        tenant::write_mails(tenant, client).await?;
    }
    let contacts = try_join_all(tenants.iter().map(|tenant| mailing::contacts(&tenant.api))).await?;

    progress.step("The first mail goes out; some mailboxes are busy, some do not exist.");
    let gone = misbehave(&tenants[0].api, &contacts[0]).await?;
    let first = mailing::run(&tenants, &contacts, Round::First, &progress.bars("mails")).await?;

    for (seen, tenant) in seen.iter_mut().zip(&tenants) {
        seen.unsubscribed_before = unsubscriptions(&suppressions(tenant).await?);
    }
    progress.step("Some people unsubscribe with one click; a scanner opens every link of fifty mails.");
    react(&anonymous, &mut seen).await?;

    progress.step("The second mail goes out.");
    let began = Instant::now();
    let second = mailing::run(&tenants, &contacts, Round::Second, &progress.bars("mails")).await?;
    // A machine that mails slowly gives people more time to read.
    let reading = READING + began.elapsed();
    for (seen, rounds) in seen.iter_mut().zip(first.into_iter().zip(second)) {
        seen.rounds = vec![rounds.0, rounds.1];
    }
    for (seen, tenant) in seen.iter_mut().zip(&tenants) {
        seen.suppressed = suppressions(tenant).await?;
    }

    progress.step("Two workflows: one welcomes readers and writes again to those who click, one remembers carts.");
    walk(&anonymous, &tenants, (&contacts, &mut seen), reading).await?;

    progress.step("What came of it is counted.");
    let verdict = examine(&anonymous, &tenants, &contacts, &mut seen, &gone).await?;
    print!("{}", report::text(&seen, &verdict));
    Ok(verdict)
}

/// Both workflows at the same time.
async fn walk(
    anonymous: &Api,
    tenants: &[Tenant],
    (contacts, seen): (&[Vec<Contact>], &mut [Seen]),
    reading: Duration,
) -> Result<()> {
    let welcome = walk::welcome(anonymous, &tenants[0], cast::readers(&contacts[0]), reading);
    let cart = walk::cart(&tenants[1], cast::shoppers(&contacts[1]));
    let (welcome, cart) = try_join(welcome, cart).await?;
    for ((seen, tenant), mut journey) in seen.iter_mut().zip(tenants).zip([welcome, cart]) {
        let before = unsubscriptions(&seen.suppressed);
        journey.unsubscribed = unsubscriptions(&suppressions(tenant).await?).saturating_sub(before);
        seen.journey = Some(journey);
    }
    Ok(())
}

/// Suppressed addresses of a tenant by reason, as the API lists them.
async fn suppressions(tenant: &Tenant) -> Result<BTreeMap<String, u64>> {
    let all: Vec<Suppression> = tenant.api.all(client::SUPPRESSIONS_PAGE, json!({})).await?;
    Ok(all.into_iter().fold(BTreeMap::new(), |mut counts, suppression| {
        *counts.entry(suppression.reason).or_default() += 1;
        counts
    }))
}

/// Tells the catcher who is busy at first and who does not exist; returns the latter.
async fn misbehave(api: &Api, contacts: &[Contact]) -> Result<Vec<String>> {
    let addresses = contacts.iter().filter_map(|contact| contact.email.as_ref());
    let plain = addresses.filter(|email| email.is_ascii()).map(|email| email.to_lowercase());
    let gone: Vec<String> = plain.step_by(GONE_EVERY).collect();
    let reject = |to: &String| json!({ "whom": { "address": to }, "action": { "reject": true } });
    let mut rules: Vec<Json> = gone.iter().map(reject).collect();
    rules.push(json!({ "whom": { "share": { "of": BUSY_EVERY, "is": 0 } }, "first": 1, "action": { "defer": true } }));
    let _: Json = api.mutate(client::CATCHER_BEHAVE, json!({ "rules": rules })).await?;
    Ok(gone)
}

/// Recipients and a scanner do what they do with the first mail, at the same time.
async fn react(api: &Api, seen: &mut [Seen]) -> Result<()> {
    let mails = mailbox::mails(api, None).await?;
    let (mut clicking, mut scanning): (Vec<&Mail>, Vec<&Mail>) = (Vec::new(), Vec::new());
    for seen in seen {
        let mine: Vec<&Mail> = mails.iter().filter(|mail| mail.from == seen.from).collect();
        let (clickers, others): (Vec<_>, Vec<_>) = mine.iter().enumerate().partition(|(at, _)| at % CLICK_EVERY == 0);
        let clickers: Vec<&Mail> = clickers.into_iter().map(|(_, mail)| *mail).collect();
        let others: Vec<&Mail> = others.into_iter().map(|(_, mail)| *mail).take(SCANNED).collect();
        ensure!(others.len() == SCANNED, "{} got too few mails to scan {SCANNED}", seen.from);
        let addresses = |mails: &[&Mail]| mails.iter().map(|mail| mail.to.clone()).collect::<BTreeSet<_>>();
        seen.clicked = addresses(&clickers);
        seen.scanned = addresses(&others);
        clicking.extend(clickers);
        scanning.extend(others);
    }
    let ((), pages) = try_join(recipients::one_click(api, &clicking), recipients::scan(api, &scanning)).await?;
    ensure!(pages >= 2 * scanning.len(), "the scanner found only {pages} links in {} mails", scanning.len());
    Ok(())
}

/// Gathers what can be known from outside, and judges it.
async fn examine(
    anonymous: &Api,
    tenants: &[Tenant],
    contacts: &[Vec<Contact>],
    seen: &mut [Seen],
    gone: &[String],
) -> Result<Verdict> {
    for (at, (tenant, seen)) in tenants.iter().zip(seen.iter_mut()).enumerate() {
        seen.contacts.clone_from(&contacts[at]);
        // A look-up that finds nothing at all would prove nothing about the other's.
        seen.probed = PROBES as u64;
        seen.own = found(&tenant.api, &contacts[at]).await?;
        seen.foreign = found(&tenant.api, &contacts[1 - at]).await?;
    }
    let mails = mailbox::mails(anonymous, None).await?;
    let totals = mailbox::totals(anonymous).await?;
    let ours: Vec<Mail> = mails.iter().filter(|mail| checks::is_ours(mail)).cloned().collect();
    let signatures = signatures::look(&ours, tenants.iter().map(|tenant| &tenant.dns_record)).await?;
    let people = People::read()?;
    let busy =
        people.agreed.iter().filter(|to| !gone.contains(to) && address_hash(to).is_multiple_of(BUSY_EVERY)).count();
    Ok(checks::judge(seen, &Caught { mails: &mails, totals, gone, people: &people, busy, signatures }))
}

/// How many of the first contacts are found by their ids.
async fn found(api: &Api, contacts: &[Contact]) -> Result<u64> {
    let mut found = 0;
    for contact in contacts.iter().take(PROBES) {
        let answer: Option<WithId> = api.call(client::CONTACT_BY_ID, json!({ "id": contact.id })).await?;
        found += u64::from(answer.is_some_and(|answer| answer.id == contact.id));
    }
    Ok(found)
}
