//! What is there when all has come to rest: rows, mails at the sink, and the order in which transactions committed.
//!
//! The order is Postgres' own (`track_commit_timestamp`): decisions and ledger entries are never updated, so the
//! transaction in a row's `xmin` is the one that made it. It does not rest on any time that Carillon wrote.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use carillon_domain::consent::Channel;
use carillon_domain::contacts::EmailAddress;
use carillon_domain::keys::Keyring;
use carillon_entities::ids::{ContactId, MessageId, TenantId};
use carillon_jobs::catcher::{Catcher, CaughtMail, Totals};
use carillon_tests::database::connect;
use carillon_tests::stage::Stage;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, QueryResult, Statement};

/// A message at the end.
#[derive(Debug)]
pub struct Row {
    pub state: String,
    pub reason: String,
    pub internet_message_id: String,
    /// Attempts whose outcome nobody knew, whether or not it came to light later.
    pub hidden: i64,
    /// Attempts that began although it was written down that a server had taken the message.
    pub knowing: i64,
}

/// A message that a workflow asked for.
#[derive(Debug)]
pub struct WayMail {
    pub row: Row,
    pub contact: ContactId,
    /// How the way stands in the end.
    pub way: String,
}

/// Somebody's way through a workflow at the end.
#[derive(Debug)]
pub struct Way {
    pub contact: ContactId,
    pub state: String,
    /// Steps, and those that differ in node or outcome: the workflow has no circle.
    pub steps: i64,
    pub kinds: i64,
    /// Steps that asked for a mail, and the mails.
    pub asked: i64,
    pub mails: i64,
    /// Purchases that are stored of the person.
    pub bought: i64,
    /// It went to its end although a purchase had been committed before that.
    pub missed: bool,
}

/// Everything that is counted.
pub struct Count {
    /// Messages that were asked for through the API.
    pub rows: HashMap<String, Row>,
    /// Messages of workflows.
    pub mails: Vec<WayMail>,
    pub ways: Vec<Way>,
    /// Copies by Message-ID.
    pub copies: HashMap<String, Vec<Arc<CaughtMail>>>,
    pub totals: Totals,
    /// Attempts that the gate cleared in a transaction that committed after the recipient's withdrawal had.
    pub cleared_late: i64,
    /// Attempts that the gate cleared in a transaction that committed after the goal of a way that was not over.
    pub cleared_after_goal: i64,
    /// Keyed hashes of those with a committed withdrawal.
    withdrawn: HashSet<(TenantId, Vec<u8>)>,
    keys: Arc<Keyring>,
}

const OPEN: &str = "SELECT COUNT(*) AS amount FROM messages WHERE state IN ('queued', 'claimed')";
/// Beside open ones, those of unknown outcome that are not decided yet, and people who are under way.
const RESTLESS: &str = "SELECT (SELECT COUNT(*) FROM messages WHERE state IN ('queued', 'claimed') \
    OR (state = 'unknown' AND due_at < '2100-01-01')) \
    + (SELECT COUNT(*) FROM enrollments WHERE state = 'active') AS amount";
const ROWS: &str = "SELECT m.id, m.state, COALESCE(m.reason, '') AS reason, m.internet_message_id, m.contact_id, \
    (SELECT e.state FROM enrollments e WHERE e.tenant_id = m.tenant_id AND e.id = m.enrollment_id) AS way, GREATEST( \
    (SELECT COUNT(*) FROM attempts a WHERE a.tenant_id = m.tenant_id AND a.message_id = m.id AND a.state = 'unknown'), \
    (SELECT COUNT(*) FROM message_events e WHERE e.tenant_id = m.tenant_id AND e.message_id = m.id \
    AND e.kind = 'unknown')) AS hidden, \
    (SELECT COUNT(*) FROM attempts a JOIN attempts b ON b.tenant_id = a.tenant_id AND b.message_id = a.message_id \
    AND b.started_at > a.settled_at + interval '2 seconds' \
    WHERE a.tenant_id = m.tenant_id AND a.message_id = m.id AND a.state = 'accepted') AS knowing FROM messages m";
const CLEARED_LATE: &str = "SELECT COUNT(*) AS amount FROM gate_decisions d \
    JOIN messages m ON m.tenant_id = d.tenant_id AND m.id = d.message_id AND m.class = 'marketing' \
    JOIN consent_events c ON c.tenant_id = d.tenant_id AND c.address_hmac = m.address_hmac AND c.action = 'withdraw' \
    WHERE d.verdict = 'allow' AND pg_xact_commit_timestamp(d.xmin) > pg_xact_commit_timestamp(c.xmin)";
const CLEARED_AFTER_GOAL: &str = "SELECT COUNT(*) AS amount FROM gate_decisions d \
    JOIN messages m ON m.tenant_id = d.tenant_id AND m.id = d.message_id \
    JOIN enrollments e ON e.tenant_id = m.tenant_id AND e.id = m.enrollment_id \
    JOIN event_definitions x ON x.tenant_id = m.tenant_id AND x.name = 'bought' \
    JOIN contact_events c ON c.tenant_id = m.tenant_id AND c.contact_id = m.contact_id AND c.event_id = x.id \
    AND c.occurred_at >= e.entered_at \
    WHERE d.verdict = 'allow' AND pg_xact_commit_timestamp(d.xmin) > pg_xact_commit_timestamp(c.xmin) \
    AND NOT EXISTS (SELECT 1 FROM enrollment_steps s WHERE s.tenant_id = e.tenant_id AND s.enrollment_id = e.id \
    AND s.outcome = 'completed' AND pg_xact_commit_timestamp(s.xmin) < pg_xact_commit_timestamp(c.xmin))";
const WAYS: &str = "SELECT e.contact_id, e.state, COALESCE(s.steps, 0) AS steps, COALESCE(s.kinds, 0) AS kinds, \
    COALESCE(s.asked, 0) AS asked, COALESCE(b.bought, 0) AS bought, \
    (SELECT COUNT(*) FROM messages m WHERE m.tenant_id = e.tenant_id AND m.enrollment_id = e.id) AS mails, \
    COALESCE(e.state <> 'goal' AND b.first < s.completed, false) AS missed FROM enrollments e \
    LEFT JOIN (SELECT tenant_id, enrollment_id, COUNT(*) AS steps, COUNT(DISTINCT (node, outcome)) AS kinds, \
    COUNT(*) FILTER (WHERE outcome = 'queued') AS asked, \
    MAX(pg_xact_commit_timestamp(xmin)) FILTER (WHERE outcome = 'completed') AS completed \
    FROM enrollment_steps GROUP BY tenant_id, enrollment_id) s ON s.tenant_id = e.tenant_id AND s.enrollment_id = e.id \
    LEFT JOIN (SELECT c.tenant_id, c.contact_id, COUNT(*) AS bought, MIN(pg_xact_commit_timestamp(c.xmin)) AS first \
    FROM contact_events c JOIN event_definitions x ON x.tenant_id = c.tenant_id AND x.id = c.event_id \
    WHERE x.name = 'bought' GROUP BY c.tenant_id, c.contact_id) b \
    ON b.tenant_id = e.tenant_id AND b.contact_id = e.contact_id";
const WITHDRAWN: &str = "SELECT tenant_id, address_hmac FROM consent_events WHERE action = 'withdraw'";

/// How many messages wait or are being worked on.
pub async fn open(url: &str) -> Result<i64> {
    let database = connect(url).await?;
    let open = number(&database, OPEN).await?;
    database.close().await?;
    Ok(open)
}

impl Count {
    /// Waits until all is done, then counts.
    pub async fn take(stage: &Stage, sink: &Catcher) -> Result<Self> {
        let database = connect(&stage.owner_url).await?;
        let tracked = database.query_one_raw(sql("SHOW track_commit_timestamp")).await?.context("a setting")?;
        let tracked: String = tracked.try_get("", "track_commit_timestamp")?;
        ensure!(tracked == "on", "Postgres must run with track_commit_timestamp");
        quiet(&database).await?;
        let (mut rows, mut mails) = (HashMap::new(), Vec::new());
        for found in database.query_all_raw(sql(ROWS)).await? {
            let (id, row) = row(&found)?;
            match found.try_get::<Option<String>>("", "way")? {
                Some(way) => mails.push(WayMail { row, contact: found.try_get("", "contact_id")?, way }),
                None => drop(rows.insert(id, row)),
            }
        }
        let ways = database.query_all_raw(sql(WAYS)).await?;
        let withdrawn = database.query_all_raw(sql(WITHDRAWN)).await?;
        let withdrawn =
            withdrawn.iter().map(|row| Ok((row.try_get("", "tenant_id")?, row.try_get("", "address_hmac")?)));
        let count = Self {
            rows,
            mails,
            ways: ways.iter().map(way).collect::<Result<_>>()?,
            copies: copies(sink),
            totals: sink.totals(),
            cleared_late: number(&database, CLEARED_LATE).await?,
            cleared_after_goal: number(&database, CLEARED_AFTER_GOAL).await?,
            withdrawn: withdrawn.collect::<Result<_>>()?,
            keys: Arc::clone(&stage.ports.keys),
        };
        database.close().await?;
        Ok(count)
    }

    /// The copies of a message that the sink has.
    pub fn copies_of(&self, row: &Row) -> &[Arc<CaughtMail>] {
        self.copies.get(&row.internet_message_id).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a withdrawal of an address is in the ledger.
    pub fn has_withdrawn(&self, tenant: TenantId, address: &str) -> Result<bool> {
        let email = EmailAddress::parse(address).map_err(|error| anyhow::anyhow!("{error}"))?;
        let hmac = self.keys.address_hmac(tenant, Channel::Email, email.norm());
        Ok(self.withdrawn.contains(&(tenant, hmac.hash.as_bytes().to_vec())))
    }
}

fn sql(text: &str) -> Statement {
    Statement::from_string(DbBackend::Postgres, text)
}

async fn number(database: &DatabaseConnection, text: &str) -> Result<i64> {
    Ok(database.query_one_raw(sql(text)).await?.context("a count")?.try_get("", "amount")?)
}

/// Waits until nothing is queued, claimed, or of an outcome that may still be decided. What is not is lost.
async fn quiet(database: &DatabaseConnection) -> Result<()> {
    for _ in 0..240 {
        if number(database, RESTLESS).await? == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    eprintln!("crash: work was still open after four minutes");
    Ok(())
}

fn row(row: &QueryResult) -> Result<(String, Row)> {
    let id: MessageId = row.try_get("", "id")?;
    let found = Row {
        state: row.try_get("", "state")?,
        reason: row.try_get("", "reason")?,
        internet_message_id: row.try_get("", "internet_message_id")?,
        hidden: row.try_get("", "hidden")?,
        knowing: row.try_get("", "knowing")?,
    };
    Ok((id.to_string(), found))
}

fn way(row: &QueryResult) -> Result<Way> {
    Ok(Way {
        contact: row.try_get("", "contact_id")?,
        state: row.try_get("", "state")?,
        steps: row.try_get("", "steps")?,
        kinds: row.try_get("", "kinds")?,
        asked: row.try_get("", "asked")?,
        mails: row.try_get("", "mails")?,
        bought: row.try_get("", "bought")?,
        missed: row.try_get("", "missed")?,
    })
}

fn copies(sink: &Catcher) -> HashMap<String, Vec<Arc<CaughtMail>>> {
    let mut copies: HashMap<String, Vec<Arc<CaughtMail>>> = HashMap::new();
    let mut read_to = 0;
    loop {
        let mails = sink.mails(read_to, 1_000);
        let Some(last) = mails.last() else { return copies };
        read_to = last.seq;
        for mail in mails {
            copies.entry(mail.message_id.clone().unwrap_or_default()).or_default().push(mail);
        }
    }
}
