//! Whom an audience means: a walk along the tenant's contacts, in the order of their ids.

use carillon_entities::ids::ContactId;
use carillon_entities::statements;
use carillon_entities::wall::{Args, TenantTx};
use sea_orm::{FromQueryResult, Value};

use crate::campaigns::Audience;
use crate::error::Result;
use crate::segments::{CompiledCondition, Truth};
use crate::time::Timestamp;

/// On how many of the lists of a kind contact `c` is. Counted, so that each contact is looked up by itself: a list of a million
/// is not read anew for each batch of the walk.
macro_rules! on_lists {
    ($excluded:literal) => {
        concat!(
            "(SELECT COUNT(*) FROM ({batch}) AS l JOIN list_members m ON m.tenant_id = $1 AND m.list_id = l.list_id \
             AND m.contact_id = c.id WHERE l.excluded = ",
            $excluded,
            ")"
        )
    };
}

/// Which contacts `c` are looked at: living ones, made by an instant, on a list where there are some, on none that is excluded.
macro_rules! looked_at {
    ($made:literal, $listed:literal) => {
        concat!(
            "c.tenant_id = $1 AND c.state = 'active' AND c.created_at <= ",
            $made,
            " AND (",
            $listed,
            " = 0 OR ",
            on_lists!("0"),
            " > 0) AND ",
            on_lists!("1"),
            " = 0"
        )
    };
}

statements! {
    /// The last of so many contacts behind one, and how many there are up to it.
    AUDIENCE_WALK(Uuid, BigInt) =
        "SELECT id, nth FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS nth FROM contacts \
         WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3) AS walked ORDER BY nth DESC LIMIT 1";
    /// Contacts behind one, and up to another, that an audience means or may mean.
    AUDIENCE_ROWS(Uuid, Time, BigInt, BigInt, Uuid) [list_id: Uuid, excluded: BigInt] = concat!(
        "SELECT id, truth, email_norm, zone FROM (SELECT c.id AS id, {condition} AS truth, c.email_norm AS email_norm, \
         c.zone AS zone FROM contacts AS c WHERE ", looked_at!("$3", "$4"), " AND c.id > $2 AND c.id <= $6) AS asked \
         WHERE truth IS NOT FALSE ORDER BY id LIMIT $5");
    /// How many contacts an audience means, and of how many nobody here can say.
    AUDIENCE_COUNT(Time, BigInt) [list_id: Uuid, excluded: BigInt] = concat!(
        "SELECT COUNT(CASE WHEN truth IS TRUE THEN 1 END) AS sure, COUNT(CASE WHEN truth IS NULL THEN 1 END) AS undecided \
         FROM (SELECT {condition} AS truth FROM contacts AS c WHERE ", looked_at!("$2", "$3"), ") AS asked");
}

/// Somebody whom an audience may mean.
#[derive(Debug, Clone)]
pub(in crate::campaigns) struct Candidate {
    pub id: ContactId,
    pub truth: Truth,
    pub email: Option<String>,
    pub zone: Option<String>,
}

fn batch(audience: &Audience) -> Vec<Vec<Value>> {
    let row = |excluded: i64| move |id: &carillon_entities::ids::ListId| vec![Value::from(*id), excluded.into()];
    audience.lists.iter().map(row(0)).chain(audience.excluded.iter().map(row(1))).collect()
}

fn listed(audience: &Audience) -> i64 {
    i64::from(!audience.lists.is_empty())
}

/// The last of the next so many contacts; none where there are no more than that.
pub(in crate::campaigns) async fn audience_walk(
    tx: &mut TenantTx,
    after: ContactId,
    most: i64,
) -> Result<Option<ContactId>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: ContactId,
        nth: i64,
    }
    let row: Option<Row> = tx.sql(&AUDIENCE_WALK, Args::of([after.into(), most.into()]))?.one().await?;
    Ok(row.filter(|row| row.nth == most).map(|row| row.id))
}

/// The next that an audience means (yes) or may mean (unknown), in the order of their ids.
pub(in crate::campaigns) async fn audience_rows(
    tx: &mut TenantTx,
    (audience, condition): (&Audience, &CompiledCondition),
    as_of: Timestamp,
    (after, until): (ContactId, ContactId),
    limit: i64,
) -> Result<Vec<Candidate>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: ContactId,
        truth: Option<bool>,
        email_norm: Option<String>,
        zone: Option<String>,
    }
    let args: [Value; 5] = [after.into(), as_of.into(), listed(audience).into(), limit.into(), until.into()];
    let args = Args::of(args).with_batch(batch(audience));
    let rows: Vec<Row> = tx.sql_where(&AUDIENCE_ROWS, args, condition.fragment())?.all().await?;
    let candidate = |row: Row| Candidate {
        id: row.id,
        truth: row.truth.map_or(Truth::Unknown, Truth::from),
        email: row.email_norm,
        zone: row.zone,
    };
    Ok(rows.into_iter().map(candidate).collect())
}

/// How many an audience means, and of how many the database cannot say.
pub(in crate::campaigns) async fn audience_counted(
    tx: &mut TenantTx,
    (audience, condition): (&Audience, &CompiledCondition),
    as_of: Timestamp,
) -> Result<(i64, i64)> {
    #[derive(FromQueryResult)]
    struct Row {
        sure: i64,
        undecided: i64,
    }
    let args = Args::of([as_of.into(), listed(audience).into()]).with_batch(batch(audience));
    let row: Option<Row> = tx.sql_where(&AUDIENCE_COUNT, args, condition.fragment())?.one().await?;
    Ok(row.map_or((0, 0), |row| (row.sure, row.undecided)))
}
