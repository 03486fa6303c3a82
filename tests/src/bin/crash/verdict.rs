//! The count: every acknowledged intent, every copy at the sink, every unsubscribe.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use carillon_domain::consent::Channel;
use carillon_domain::contacts::EmailAddress;
use carillon_jobs::catcher::Catcher;
use carillon_tests::database::connect;
use carillon_tests::stage::{Cast, Stage};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};

use super::WORKERS;
use super::faults::Faults;
use super::load::Done;

/// What came out.
pub struct Verdict {
    lost: usize,
    repeated: usize,
    after_unsubscribe: usize,
    unknown: usize,
    unknown_at_sink: usize,
    unknown_most: usize,
    intents: usize,
    faults: usize,
    seed: u64,
}

impl Verdict {
    /// True when the promise was kept.
    pub fn holds(&self) -> bool {
        self.lost == 0 && self.repeated == 0 && self.after_unsubscribe == 0 && self.unknown <= self.unknown_most
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "lost={} repeated={} after_unsubscribe={} unknown={} unknown_at_sink={} intents={} faults={} seed={}",
            self.lost,
            self.repeated,
            self.after_unsubscribe,
            self.unknown,
            self.unknown_at_sink,
            self.intents,
            self.faults,
            self.seed
        )
    }
}

/// Waits until the work is done, then counts.
pub async fn reach(
    stage: &Stage,
    sink: &Catcher,
    cast: &[Cast],
    done: &Done,
    faults: &Faults,
    seed: u64,
) -> Result<Verdict> {
    let database = connect(&stage.owner_url).await?;
    quiet(&database).await?;
    let states = states(&database).await?;
    let mut copies: HashMap<String, usize> = HashMap::new();
    let mut read_to = 0;
    loop {
        let mails = sink.mails(read_to, 1_000);
        let Some(last) = mails.last() else { break };
        read_to = last.seq;
        for mail in &mails {
            let id = mail.message_id.as_deref().unwrap_or_default();
            *copies.entry(id.split('@').next().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    let copies_of = |id: &str| copies.get(id).copied().unwrap_or_default();
    let lost = done.accepted.keys().filter(|id| match states.get(*id).map(String::as_str) {
        Some("sent") => copies_of(id) == 0,
        Some("unknown" | "refused" | "bounced" | "failed" | "expired") => false,
        _ => true,
    });
    let unknown: Vec<&String> =
        done.accepted.keys().filter(|id| states.get(*id).is_some_and(|s| s == "unknown")).collect();
    let totals = sink.totals();
    let hidden = usize::try_from(totals.dropped_stored + totals.dropped_lost)?;
    let verdict = Verdict {
        lost: lost.count(),
        repeated: copies.values().filter(|count| **count > 1).count(),
        after_unsubscribe: after_unsubscribe(stage, &database, cast, done).await?,
        unknown_at_sink: unknown.iter().filter(|id| copies_of(id) > 0).count(),
        unknown: unknown.len(),
        unknown_most: 16 * WORKERS * faults.engine_losses + hidden,
        intents: done.accepted.len(),
        faults: faults.struck,
        seed,
    };
    let mut by_state: HashMap<&str, usize> = HashMap::new();
    for state in states.values() {
        *by_state.entry(state).or_default() += 1;
    }
    eprintln!(
        "crash: {by_state:?}, {} unsubscribed, unknown at most {}",
        done.unsubscribed.len(),
        verdict.unknown_most
    );
    database.close().await?;
    Ok(verdict)
}

/// Waits until nothing is queued, claimed, or of an outcome that may still be decided.
async fn quiet(database: &DatabaseConnection) -> Result<()> {
    const OPEN: &str = "SELECT COUNT(*) AS amount FROM messages WHERE state IN ('queued', 'claimed') \
        OR (state = 'unknown' AND due_at < '2100-01-01')";
    for _ in 0..240 {
        let row =
            database.query_one_raw(Statement::from_string(DbBackend::Postgres, OPEN)).await?.context("a count")?;
        if row.try_get::<i64>("", "amount")? == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    eprintln!("crash: work was still open after four minutes");
    Ok(())
}

async fn states(database: &DatabaseConnection) -> Result<HashMap<String, String>> {
    let rows =
        database.query_all_raw(Statement::from_string(DbBackend::Postgres, "SELECT id, state FROM messages")).await?;
    rows.iter()
        .map(|row| {
            let id: carillon_entities::ids::MessageId = row.try_get("", "id")?;
            Ok((id.to_string(), row.try_get("", "state")?))
        })
        .collect()
}

/// Attempts that the gate let through after the 200 of an unsubscribe had arrived.
async fn after_unsubscribe(stage: &Stage, database: &DatabaseConnection, cast: &[Cast], done: &Done) -> Result<usize> {
    const LATE: &str = "SELECT COUNT(*) AS amount FROM attempts a JOIN messages m ON m.tenant_id = a.tenant_id \
        AND m.id = a.message_id WHERE m.address_hmac = $1 AND a.cleared_at > $2";
    let mut late = 0;
    for (address, at) in &done.unsubscribed {
        let tenant =
            cast.iter().find(|cast| cast.people.iter().any(|(_, own)| own == address)).context("whose")?.tenant;
        let email = EmailAddress::parse(address).map_err(|error| anyhow::anyhow!("{error}"))?;
        let hmac = stage.ports.keys.address_hmac(tenant, Channel::Email, email.norm());
        let args = [hmac.hash.as_bytes().to_vec().into(), (*at).into()];
        let row = database.query_one_raw(Statement::from_sql_and_values(DbBackend::Postgres, LATE, args)).await?;
        late += usize::try_from(row.context("a count")?.try_get::<i64>("", "amount")?)?;
    }
    Ok(late)
}
