//! Every registered statement over two tenants whose rows have the same ids and texts, with row security off: it
//! changes nothing of the other tenant's, and answers as if the other tenant were not there (L1).

use std::collections::BTreeMap;

use carillon_domain::tenancy::{WriteContacts, enter_for_work};
use carillon_entities::ids::TenantId;
use carillon_entities::wall::{Args, Kind, Sql, TenantTx, Wall, WallError};
use carillon_tests::database::start;
use carillon_tests::print::{Printed, sorted};
use carillon_tests::schema::{Column, columns, tenant_tables};
use carillon_tests::{World, seed};
use chrono::TimeDelta;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sea_orm::Value;
use uuid::Uuid;

/// Argument sets that follow one row, then ones that mix rows.
const MIXED: usize = 36;

/// Statements that rightly find nothing in the seeded rows, each with the reason.
const MAY_TOUCH_NOTHING: &[(&str, &str)] = &[
    ("CAMPAIGN_MESSAGES_WAKE", "nothing that is seeded was held by the gate"),
    ("COUNT_CAMPAIGN_DEEDS", "the one seeded message that was sent is not tracked individually"),
    ("UPLOADS_FORGET", "every seeded upload was imported, so its row stays"),
    ("WAYS_BEGIN", "the ids that the test has are of ways that have begun"),
    ("WORKFLOWS_DUE", "on the seeded workflows that are live nobody is under way"),
];

/// Two databases: one in which the tenant has a neighbour, and one in which it is alone.
struct Street {
    crowded: World,
    alone: World,
    walls: [Wall; 2],
    tenant: TenantId,
    /// What the neighbour owns, by table.
    neighbours: BTreeMap<&'static str, Vec<Printed>>,
    others: BTreeMap<&'static str, &'static Sql>,
}

#[derive(Debug, Default)]
struct Verdict {
    ran: usize,
    touched: u64,
    error: Option<String>,
    leak: Option<String>,
}

impl Street {
    async fn build() -> Self {
        let (crowded, alone) = (World::new().await, World::new().await);
        let tenant = crowded.tenant("Here").await;
        assert_eq!(tenant, alone.tenant("Here").await, "worlds of one seed have the same ids");
        let neighbour = crowded.tenant("Next door").await;
        let walls = [crowded.wall_without_row_security().await, alone.wall_without_row_security().await];
        seed::tenant(&walls[0], tenant).await;
        seed::tenant(&walls[0], neighbour).await;
        seed::tenant(&walls[1], tenant).await;
        crowded.leave_unsettled();
        alone.leave_unsettled();
        let others = tenant_tables().map(|table| (table.name, others_rows(table.name))).collect();
        let mut street = Self { crowded, alone, walls, tenant, neighbours: BTreeMap::new(), others };
        let mut tx = street.begin(0).await;
        for (table, sql) in &street.others {
            let rows = sorted(tx.sql(sql, Args::default()).unwrap().all().await).unwrap();
            assert!(!rows.is_empty(), "{table} has no rows next door");
            street.neighbours.insert(table, rows);
        }
        tx.rollback().await.unwrap();
        street
    }

    async fn begin(&self, world: usize) -> TenantTx {
        enter_for_work(&self.walls[world], self.tenant).grant::<WriteContacts>().begin().await.unwrap()
    }

    async fn judge(&self, sql: &'static Sql) -> Verdict {
        let named = tables_in(sql.text);
        let mut verdict = Verdict::default();
        let mut rng = StdRng::seed_from_u64(7);
        for variant in 0..seed::ROWS + MIXED {
            let args = arguments(sql, &named, variant, &mut rng);
            let mut tx = self.begin(0).await;
            let crowded = run(&mut tx, sql, args.clone()).await;
            if let Ok((_, touched)) = &crowded {
                verdict.ran += 1;
                verdict.touched += touched;
                for table in &named {
                    let rows = sorted(tx.sql(self.others[table], Args::default()).unwrap().all().await).unwrap();
                    if rows != self.neighbours[table] {
                        verdict.leak = Some(format!("it changed the neighbour's {table} with {args:?}"));
                    }
                }
            }
            tx.rollback().await.unwrap();
            let mut tx = self.begin(1).await;
            let alone = run(&mut tx, sql, args.clone()).await;
            tx.rollback().await.unwrap();
            if crowded != alone {
                let story = format!("with {args:?} it gives {crowded:?} beside a neighbour, {alone:?} alone");
                verdict.leak.get_or_insert(story);
            }
            if let Err(error) = crowded {
                verdict.error = Some(error);
            }
        }
        verdict
    }

    async fn close(self) {
        for wall in self.walls {
            wall.close().await;
        }
        drop((self.crowded, self.alone));
    }
}

/// All rows that are not the tenant's, whoever's they are.
fn others_rows(table: &'static str) -> &'static Sql {
    let text = format!("SELECT * FROM {table} WHERE tenant_id <> $1").leak();
    Box::leak(Box::new(Sql { name: table, text, args: &[], batch: &[] }))
}

fn tables_in(text: &str) -> Vec<&'static str> {
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect::<Vec<_>>();
    words.sort_unstable();
    let is_named = |name: &&str| words.binary_search(name).is_ok() && !is_column(text, name);
    tenant_tables().map(|table| table.name).filter(is_named).collect()
}

/// Some columns have the name of a table: a word that is only ever assigned to or stands behind a table's is one.
fn is_column(text: &str, name: &str) -> bool {
    text.match_indices(name).all(|(at, _)| {
        let (before, behind) = (&text[..at], &text[at + name.len()..]);
        before.ends_with(|c: char| c == '.' || c == '_' || c.is_ascii_alphanumeric())
            || behind.trim_start().starts_with('=')
            || behind.starts_with(|c: char| c == '_' || c.is_ascii_alphanumeric())
    })
}

/// The rows it gives, sorted, and how many rows it touched.
async fn run(tx: &mut TenantTx, sql: &'static Sql, args: Args) -> Result<(Vec<Printed>, u64), String> {
    let query = tx.sql(sql, args).map_err(|error| error.to_string())?;
    let changes = ["INSERT ", "UPDATE ", "DELETE "].iter().any(|verb| verb_in(sql.text, verb));
    if changes && !sql.text.contains("RETURNING") {
        return query.execute().await.map(|touched| (Vec::new(), touched)).map_err(|error| words_of(&error));
    }
    let rows = sorted(query.all().await)?;
    let touched = rows.len() as u64;
    Ok((rows, touched))
}

/// `FOR UPDATE` is a lock, not a change.
fn verb_in(text: &str, verb: &str) -> bool {
    text.replace("FOR UPDATE", "").replace("DO UPDATE", "").contains(verb)
}

fn words_of(error: &WallError) -> String {
    error.to_string()
}

// --- arguments --------------------------------------------------------------------------------------------------

/// The row that a call is about, and how far its arguments stray from it.
struct Aim<'a> {
    row: usize,
    strays: bool,
    columns: Vec<Column>,
    rng: &'a mut StdRng,
}

impl Aim<'_> {
    fn cell(&mut self, operator: &str, name: &str, kind: Kind) -> Value {
        let column = self.columns.iter().find(|column| column.name == name && column.kind == kind);
        let is_choice = column.is_some_and(|column| !column.choices.is_empty());
        let strays = self.strays && self.rng.random_bool(if is_choice { 0.5 } else { 0.2 });
        let row = if strays { self.rng.random_range(0..seed::ROWS + 2) } else { self.row };
        let day = match operator {
            "<" | "<=" => 1,
            ">" | ">=" => -1,
            _ if self.strays => self.rng.random_range(-1..=1),
            _ => 0,
        };
        match (operator, kind, column) {
            ("LIMIT", Kind::Int, _) => 100_i32.into(),
            ("LIMIT", Kind::BigInt, _) => 100_i64.into(),
            (_, Kind::Time, _) if day != 0 => (start() + TimeDelta::days(day)).into(),
            // Keyset pages begin before the first row or after the last; a prefix ends with the greatest letter.
            (">", Kind::Uuid, _) => Uuid::nil().into(),
            ("<", Kind::Uuid, _) => Uuid::max().into(),
            ("<", Kind::Text, Some(_)) => format!("{name}-\u{10FFFF}").into(),
            (_, _, Some(column)) => seed::value(column, row),
            (_, _, None) => seed::of_kind(kind, name, row),
        }
    }
}

/// Arguments that follow one seeded row, rows that are not there yet, or both mixed.
fn arguments(sql: &Sql, named: &[&str], variant: usize, rng: &mut StdRng) -> Args {
    let columns = tenant_tables().filter(|table| named.contains(&table.name)).flat_map(columns).collect();
    let strays = variant >= seed::ROWS;
    let row = match variant {
        row if row < seed::ROWS => row,
        fresh if fresh.is_multiple_of(4) => fresh,
        _ => rng.random_range(0..seed::ROWS),
    };
    let mut aim = Aim { row, strays, columns, rng };
    let mut scalars = Vec::new();
    for (place, kind) in sql.args.iter().enumerate() {
        let (operator, name) = compared(sql.text, place + 2).unwrap_or(("", ""));
        // What NULL switches off is sometimes off.
        let optional = sql.text.contains(&format!("${} IS NULL", place + 2));
        let off = optional && strays && aim.rng.random_bool(0.5);
        scalars.push(if off { seed::null(*kind) } else { aim.cell(operator, name, *kind) });
    }
    let mut batch = Vec::new();
    for place in 0..if sql.batch.is_empty() { 0 } else { 3 } {
        aim.row = row + place;
        batch.push(sql.batch.iter().map(|(name, kind)| aim.cell("", name, *kind)).collect());
    }
    Args { scalars, batch }
}

/// The operator and column that `$place` is compared with, or `LIMIT`; the first place that says so counts.
fn compared(text: &str, place: usize) -> Option<(&str, &str)> {
    let mark = format!("${place}");
    text.match_indices(&mark).find_map(|(at, _)| {
        if text[at + mark.len()..].starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let mut words = text[..at].trim_end_matches([' ', '(']).rsplit([' ', '(', ',']);
        let (operator, column) = (words.next()?, words.next().unwrap_or(""));
        let known = ["=", "<>", "<", ">", "<=", ">=", "LIMIT"].contains(&operator);
        known.then(|| (operator, column.rsplit('.').next().unwrap_or("")))
    })
}

// --- the tests --------------------------------------------------------------------------------------------------

#[tokio::test]
async fn c204_every_registered_statement_touches_only_its_tenant() {
    let street = Street::build().await;
    let mut faults = Vec::new();
    let statements = carillon_domain::statements();
    for sql in &statements {
        let verdict = street.judge(sql).await;
        println!(
            "{:<40} ran {:>3}, touched {:>5} {}",
            sql.name,
            verdict.ran,
            verdict.touched,
            verdict.error.clone().unwrap_or_default()
        );
        if let Some(leak) = verdict.leak {
            faults.push(format!("{}: {leak}", sql.name));
        }
        let excused = MAY_TOUCH_NOTHING.iter().any(|(name, _)| *name == sql.name);
        if verdict.ran == 0 || (verdict.touched == 0 && !excused) {
            let error = verdict.error.unwrap_or_default();
            faults.push(format!("{}: ran {} times and touched nothing: {error}", sql.name, verdict.ran));
        }
    }
    street.close().await;
    assert!(faults.is_empty(), "{} of {} statements:\n{}", faults.len(), statements.len(), faults.join("\n"));
}

#[tokio::test]
async fn names_of_registered_statements_are_unique() {
    let mut names: Vec<&str> = carillon_domain::statements().iter().map(|sql| sql.name).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "two statements have one name");
}

macro_rules! sql {
    ($name:ident, [$($arg:ident),*], $text:expr) => {
        static $name: Sql = Sql { name: stringify!($name), text: $text, args: &[$(Kind::$arg),*], batch: &[] };
    };
}

sql!(GOOD_READ, [Uuid], "SELECT id, email FROM contacts WHERE tenant_id = $1 AND id = $2");
sql!(GOOD_WRITE, [Uuid], "UPDATE contacts SET locale = 'xx' WHERE tenant_id = $1 AND id = $2");
sql!(READS_ALL, [Uuid], "SELECT id, email FROM contacts WHERE $1 = $1 AND id = $2");
sql!(
    JOINS_LOOSELY,
    [Uuid],
    "SELECT c.id, t.tag FROM contacts c JOIN contact_tags t ON t.contact_id = c.id WHERE c.tenant_id = $1 AND c.id = $2"
);
sql!(WRITES_ALL, [Uuid], "UPDATE contacts SET locale = 'xx' WHERE $1 = $1 AND id = $2");
sql!(DELETES_ALL, [Text], "DELETE FROM suppressions WHERE $1 = $1 AND scope = $2");

/// The judge itself: a careless statement must not pass it.
#[tokio::test]
async fn c204_the_judge_notices_careless_statements() {
    let street = Street::build().await;
    for sql in [&GOOD_READ, &GOOD_WRITE] {
        let verdict = street.judge(sql).await;
        assert!(verdict.leak.is_none() && verdict.touched > 0, "{}: {verdict:?}", sql.name);
    }
    for sql in [&READS_ALL, &JOINS_LOOSELY, &WRITES_ALL, &DELETES_ALL] {
        let verdict = street.judge(sql).await;
        assert!(verdict.leak.is_some(), "{}: {verdict:?}", sql.name);
    }
    street.close().await;
}
