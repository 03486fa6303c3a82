//! Lists of contacts: one statement per way in, each of them served by an index through row security.
//!
//! Without a filter the statement is as short as it can be, and its limit lies in a sub-query: a plan made for a limit
//! that is known looks so much cheaper that the database would make one anew each time. Every other takes the same
//! arguments, applies the whole filter, and is better planned for them; they differ in what they walk along. Prefixes are ranges, never LIKE
//! (L1).
//!
//! What lies in a range has to be sorted before the first of a page is known. So it is counted up to a limit first: where
//! there is more, hits are so common that a walk in order comes upon a page of them soon.

use carillon_entities::ids::ContactId;
use carillon_entities::statements;
use carillon_entities::wall::{Alone, Args, Sql, TenantTx, TxMode, Value};
use sea_orm::{DbErr, FromQueryResult, QueryResult};
use uuid::Uuid;

use crate::contacts::list::{AttributeTest, CardMore, ContactCard, Driver, Filter, Shown};
use crate::contacts::{EmailAddress, PhoneNumber};
use crate::error::{Error, Result};
use crate::paging::{Page, Paged};
use crate::time::Timestamp;

/// What is read of each contact, in the order in which [`CardRow`] takes it; the second half only where it is asked for,
/// because what nobody sees costs as much as what they see.
macro_rules! columns {
    ($more:literal) => {
        concat!(
            "c.id, c.state, c.email, c.first_name, c.last_name, CASE WHEN ",
            $more,
            " THEN c.version END, CASE WHEN ",
            $more,
            " THEN c.external_id END, CASE WHEN ",
            $more,
            " THEN c.email_norm END, CASE WHEN ",
            $more,
            " THEN c.phone_norm END, CASE WHEN ",
            $more,
            " THEN c.created_at END, CASE WHEN ",
            $more,
            " THEN c.updated_at END"
        )
    };
}

/// What every row must pass. `$2` state, `$3` tag, `$4` attribute, `$5` its text, `$6` and `$7` its least and greatest
/// number, `$8` its boolean, `$9` and `$10` its first and last day, `$11` to `$13` prefixes of address, external id and
/// name, `$14` to `$16` their ends; what is NULL is not asked for.
macro_rules! filter {
    () => {
        " AND (c.state = $2 OR $2 IS NULL AND c.state <> 'deleted') \
          AND (EXISTS (SELECT 1 FROM contact_tags AS t WHERE t.tenant_id = $1 AND t.tag = $3 \
              AND t.contact_id = c.id) OR $3 IS NULL) \
          AND (EXISTS (SELECT 1 FROM contact_attribute_values AS v WHERE v.tenant_id = $1 \
              AND v.contact_id = c.id AND v.attribute_id = $4 AND (v.text_value = $5 \
                  OR v.number_value >= $6 AND v.number_value <= $7 OR v.bool_value = $8 \
                  OR v.date_value >= $9 AND v.date_value <= $10)) OR $4 IS NULL) \
          AND (c.email_norm >= $11 AND c.email_norm < $14 OR c.external_id >= $12 AND c.external_id < $15 \
              OR c.name_norm >= $13 AND c.name_norm < $16 OR $11 IS NULL) "
    };
}

/// Walks along contacts.
macro_rules! contacts {
    ($condition:literal, $place:literal, $order:literal) => {
        concat!(
            "SELECT ",
            columns!("$19"),
            " FROM contacts AS c WHERE c.tenant_id = $1 AND c.id ",
            $place,
            " $17",
            $condition,
            filter!(),
            "ORDER BY c.id ",
            $order,
            " LIMIT $18"
        )
    };
}

/// Walks along what starts with a prefix: three ranges, each with an index of its own, and no contact twice.
macro_rules! searched {
    ($place:literal, $order:literal) => {
        concat!(
            "SELECT ",
            columns!("$19"),
            " FROM (SELECT e.id FROM contacts AS e WHERE e.tenant_id = $1 AND e.email_norm >= $11 \
                 AND e.email_norm < $14 \
             UNION SELECT x.id FROM contacts AS x WHERE x.tenant_id = $1 AND x.external_id >= $12 \
                 AND x.external_id < $15 \
             UNION SELECT n.id FROM contacts AS n WHERE n.tenant_id = $1 AND n.name_norm >= $13 \
                 AND n.name_norm < $16) AS d JOIN contacts AS c ON c.tenant_id = $1 AND c.id = d.id \
             WHERE d.id ",
            $place,
            " $17",
            filter!(),
            "ORDER BY d.id ",
            $order,
            " LIMIT $18"
        )
    };
}

/// Walks along a table that refers to contacts.
macro_rules! referring {
    ($table:literal, $condition:literal, $place:literal, $order:literal) => {
        concat!(
            "SELECT ",
            columns!("$19"),
            " FROM ",
            $table,
            " AS d JOIN contacts AS c ON c.tenant_id = $1 AND c.id = d.contact_id \
             WHERE d.tenant_id = $1 AND ",
            $condition,
            " AND d.contact_id ",
            $place,
            " $17",
            filter!(),
            "ORDER BY d.contact_id ",
            $order,
            " LIMIT $18"
        )
    };
}

statements! {
    /// All, by id, forward.
    CONTACT_LIST(Uuid, BigInt, Bool) = concat!("SELECT ", columns!("$4"), " FROM contacts AS c WHERE c.tenant_id = $1 AND c.id > $2 \
        AND c.state <> 'deleted' ORDER BY c.id LIMIT (SELECT CAST($3 AS BIGINT))");
    /// All, by id, backward.
    CONTACT_LIST_BACK(Uuid, BigInt, Bool) = concat!("SELECT ", columns!("$4"), " FROM contacts AS c WHERE c.tenant_id = $1 AND c.id < $2 \
        AND c.state <> 'deleted' ORDER BY c.id DESC LIMIT (SELECT CAST($3 AS BIGINT))");
    /// All that pass, by id, forward.
    CONTACT_LIST_WALK(Text, Text, Uuid, Text, Float, Float, Bool, Date, Date, Text, Text, Text, Text, Text, Text, Uuid, BigInt, Bool) =
        contacts!("", ">", "");
    /// All that pass, by id, backward.
    CONTACT_LIST_WALK_BACK(Text, Text, Uuid, Text, Float, Float, Bool, Date, Date, Text, Text, Text, Text, Text, Text, Uuid, BigInt, Bool) =
        contacts!("", "<", "DESC");
    /// By a prefix, forward.
    CONTACT_LIST_SEARCH(Text, Text, Uuid, Text, Float, Float, Bool, Date, Date, Text, Text, Text, Text, Text, Text, Uuid, BigInt, Bool) =
        searched!(">", "");
    /// By a prefix, backward.
    CONTACT_LIST_SEARCH_BACK(Text, Text, Uuid, Text, Float, Float, Bool, Date, Date, Text, Text, Text, Text, Text, Text, Uuid, BigInt, Bool) =
        searched!("<", "DESC");
    /// Of one state, forward.
    CONTACT_LIST_STATE(Text, Text, Uuid, Text, Float, Float, Bool, Date, Date, Text, Text, Text, Text, Text, Text, Uuid, BigInt, Bool) =
        contacts!(" AND c.state = $2", ">", "");
    /// Of one state, backward.
    CONTACT_LIST_STATE_BACK(Text, Text, Uuid, Text, Float, Float, Bool, Date, Date, Text, Text, Text, Text, Text, Text, Uuid, BigInt, Bool) =
        contacts!(" AND c.state = $2", "<", "DESC");
    /// With a tag, forward.
    CONTACT_LIST_TAG(Text, Text, Uuid, Text, Float, Float, Bool, Date, Date, Text, Text, Text, Text, Text, Text, Uuid, BigInt, Bool) =
        referring!("contact_tags", "d.tag = $3", ">", "");
    /// With a tag, backward.
    CONTACT_LIST_TAG_BACK(Text, Text, Uuid, Text, Float, Float, Bool, Date, Date, Text, Text, Text, Text, Text, Text, Uuid, BigInt, Bool) =
        referring!("contact_tags", "d.tag = $3", "<", "DESC");
    /// By the text of an attribute, forward.
    CONTACT_LIST_TEXT(Text, Text, Uuid, Text, Float, Float, Bool, Date, Date, Text, Text, Text, Text, Text, Text, Uuid, BigInt, Bool) =
        referring!("contact_attribute_values", "d.attribute_id = $4 AND d.text_value = $5", ">", "");
    /// By the text of an attribute, backward.
    CONTACT_LIST_TEXT_BACK(Text, Text, Uuid, Text, Float, Float, Bool, Date, Date, Text, Text, Text, Text, Text, Text, Uuid, BigInt, Bool) =
        referring!("contact_attribute_values", "d.attribute_id = $4 AND d.text_value = $5", "<", "DESC");
    /// By the number of an attribute, forward.
    CONTACT_LIST_NUMBER(Text, Text, Uuid, Text, Float, Float, Bool, Date, Date, Text, Text, Text, Text, Text, Text, Uuid, BigInt, Bool) =
        referring!("contact_attribute_values",
            "d.attribute_id = $4 AND d.number_value >= $6 AND d.number_value <= $7", ">", "");
    /// By the number of an attribute, backward.
    CONTACT_LIST_NUMBER_BACK(Text, Text, Uuid, Text, Float, Float, Bool, Date, Date, Text, Text, Text, Text, Text, Text, Uuid, BigInt, Bool) =
        referring!("contact_attribute_values",
            "d.attribute_id = $4 AND d.number_value >= $6 AND d.number_value <= $7", "<", "DESC");
    /// By the yes or no of an attribute, forward.
    CONTACT_LIST_BOOLEAN(Text, Text, Uuid, Text, Float, Float, Bool, Date, Date, Text, Text, Text, Text, Text, Text, Uuid, BigInt, Bool) =
        referring!("contact_attribute_values", "d.attribute_id = $4 AND d.bool_value = $8", ">", "");
    /// By the yes or no of an attribute, backward.
    CONTACT_LIST_BOOLEAN_BACK(Text, Text, Uuid, Text, Float, Float, Bool, Date, Date, Text, Text, Text, Text, Text, Text, Uuid, BigInt, Bool) =
        referring!("contact_attribute_values", "d.attribute_id = $4 AND d.bool_value = $8", "<", "DESC");
    /// By the day of an attribute, forward.
    CONTACT_LIST_DATE(Text, Text, Uuid, Text, Float, Float, Bool, Date, Date, Text, Text, Text, Text, Text, Text, Uuid, BigInt, Bool) =
        referring!("contact_attribute_values",
            "d.attribute_id = $4 AND d.date_value >= $9 AND d.date_value <= $10", ">", "");
    /// By the day of an attribute, backward.
    CONTACT_LIST_DATE_BACK(Text, Text, Uuid, Text, Float, Float, Bool, Date, Date, Text, Text, Text, Text, Text, Text, Uuid, BigInt, Bool) =
        referring!("contact_attribute_values",
            "d.attribute_id = $4 AND d.date_value >= $9 AND d.date_value <= $10", "<", "DESC");
    /// How many addresses, external ids and names begin so, up to a limit of each.
    CONTACT_PROBE_SEARCH(Text, Text, Text, Text, Text, Text, BigInt) =
        "SELECT (SELECT COUNT(*) FROM (SELECT e.id FROM contacts AS e WHERE e.tenant_id = $1 AND e.email_norm >= $2 \
                AND e.email_norm < $5 LIMIT $8) AS a) \
            + (SELECT COUNT(*) FROM (SELECT x.id FROM contacts AS x WHERE x.tenant_id = $1 AND x.external_id >= $3 \
                AND x.external_id < $6 LIMIT $8) AS b) \
            + (SELECT COUNT(*) FROM (SELECT n.id FROM contacts AS n WHERE n.tenant_id = $1 AND n.name_norm >= $4 \
                AND n.name_norm < $7 LIMIT $8) AS c) AS amount";
    /// How many values of an attribute are between two numbers, up to a limit.
    CONTACT_PROBE_NUMBER(Uuid, Float, Float, BigInt) =
        "SELECT COUNT(*) AS amount FROM (SELECT d.contact_id FROM contact_attribute_values AS d WHERE d.tenant_id = $1 \
            AND d.attribute_id = $2 AND d.number_value >= $3 AND d.number_value <= $4 LIMIT $5) AS a";
    /// How many values of an attribute are between two days, up to a limit.
    CONTACT_PROBE_DATE(Uuid, Date, Date, BigInt) =
        "SELECT COUNT(*) AS amount FROM (SELECT d.contact_id FROM contact_attribute_values AS d WHERE d.tenant_id = $1 \
            AND d.attribute_id = $2 AND d.date_value >= $3 AND d.date_value <= $4 LIMIT $5) AS a";
}

/// What most pages are.
pub(super) static LIST_ALONE: Alone =
    Alone { sql: &CONTACT_LIST, function: "carillon_alone_contact_list", mode: TxMode::Read };

/// Read by place: a page has hundreds of cells, and to find each by its name costs more than to read it.
struct CardRow {
    id: ContactId,
    state: String,
    email: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    more: Option<MoreRow>,
}

struct MoreRow {
    version: i64,
    external_id: Option<String>,
    email_norm: Option<String>,
    phone_norm: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl FromQueryResult for CardRow {
    fn from_query_result(row: &QueryResult, _: &str) -> Result<Self, DbErr> {
        let version: Option<i64> = row.try_get_by_index(5)?;
        Ok(Self {
            id: row.try_get_by_index(0)?,
            state: row.try_get_by_index(1)?,
            email: row.try_get_by_index(2)?,
            first_name: row.try_get_by_index(3)?,
            last_name: row.try_get_by_index(4)?,
            more: version.map(|version| MoreRow::read(row, version)).transpose()?,
        })
    }
}

impl MoreRow {
    fn read(row: &QueryResult, version: i64) -> Result<Self, DbErr> {
        Ok(Self {
            version,
            external_id: row.try_get_by_index(6)?,
            email_norm: row.try_get_by_index(7)?,
            phone_norm: row.try_get_by_index(8)?,
            created_at: row.try_get_by_index(9)?,
            updated_at: row.try_get_by_index(10)?,
        })
    }
}

impl TryFrom<CardRow> for ContactCard {
    type Error = Error;

    fn try_from(row: CardRow) -> Result<Self> {
        let CardRow { id, email, first_name, last_name, .. } = row;
        let state = row.state.parse().map_err(Error::fault)?;
        let more = row.more.map(|more| CardMore {
            external_id: more.external_id,
            address: email.clone().zip(more.email_norm).map(|(sent, norm)| EmailAddress::stored(sent, norm)),
            phone: more.phone_norm.map(PhoneNumber::stored),
            version: more.version,
            created_at: more.created_at,
            updated_at: more.updated_at,
        });
        Ok(Self { id, state, email, first_name, last_name, more })
    }
}

fn statement(driver: Driver, forward: bool) -> &'static Sql {
    match (driver, forward) {
        (Driver::Id, true) => &CONTACT_LIST,
        (Driver::Id, false) => &CONTACT_LIST_BACK,
        (Driver::Walk, true) => &CONTACT_LIST_WALK,
        (Driver::Walk, false) => &CONTACT_LIST_WALK_BACK,
        (Driver::Search, true) => &CONTACT_LIST_SEARCH,
        (Driver::Search, false) => &CONTACT_LIST_SEARCH_BACK,
        (Driver::State, true) => &CONTACT_LIST_STATE,
        (Driver::State, false) => &CONTACT_LIST_STATE_BACK,
        (Driver::Tag, true) => &CONTACT_LIST_TAG,
        (Driver::Tag, false) => &CONTACT_LIST_TAG_BACK,
        (Driver::Text, true) => &CONTACT_LIST_TEXT,
        (Driver::Text, false) => &CONTACT_LIST_TEXT_BACK,
        (Driver::Number, true) => &CONTACT_LIST_NUMBER,
        (Driver::Number, false) => &CONTACT_LIST_NUMBER_BACK,
        (Driver::Boolean, true) => &CONTACT_LIST_BOOLEAN,
        (Driver::Boolean, false) => &CONTACT_LIST_BOOLEAN_BACK,
        (Driver::Date, true) => &CONTACT_LIST_DATE,
        (Driver::Date, false) => &CONTACT_LIST_DATE_BACK,
    }
}

/// A page of the contacts that pass the filter, in the order of their ids.
pub(in crate::contacts) async fn contacts_page(
    tx: &mut TenantTx,
    filter: &Filter,
    page: Page<ContactId>,
    shown: Shown,
) -> Result<Paged<ContactCard>> {
    let edge = if page.forward { Uuid::nil() } else { Uuid::max() };
    let cursor = page.cursor.map_or(edge, |id| id.0);
    let driver = driver(tx, filter).await?;
    let mut scalars = if driver == Driver::Id { Vec::new() } else { filter_cells(filter) };
    scalars.extend([cursor.into(), (i64::from(page.size) + 1).into(), (shown == Shown::More).into()]);
    let rows: Vec<CardRow> = if driver == Driver::Id && page.forward {
        tx.sql_alone(&LIST_ALONE, Args::of(scalars)).await?.read()?
    } else {
        tx.sql(statement(driver, page.forward), Args::of(scalars))?.all().await?
    };
    Ok(page.finish(rows.into_iter().map(ContactCard::try_from).collect::<Result<Vec<_>>>()?))
}

/// Rows in a range from which on it is walked past.
const COMMON: i64 = 10_000;

/// The first way that does not have too much to sort.
async fn driver(tx: &mut TenantTx, filter: &Filter) -> Result<Driver> {
    for driver in filter.drivers() {
        if !is_common(tx, filter, driver).await? {
            return Ok(driver);
        }
    }
    Ok(Driver::Walk)
}

async fn is_common(tx: &mut TenantTx, filter: &Filter, driver: Driver) -> Result<bool> {
    #[derive(FromQueryResult)]
    struct Found {
        amount: i64,
    }
    let (sql, mut cells) = match (driver, &filter.attribute) {
        (Driver::Search, _) => (&CONTACT_PROBE_SEARCH, search_cells(filter)),
        (Driver::Number, Some((id, AttributeTest::Number(least, greatest)))) => {
            (&CONTACT_PROBE_NUMBER, vec![id.0.into(), (*least).into(), (*greatest).into()])
        }
        (Driver::Date, Some((id, AttributeTest::Date(first, last)))) => {
            (&CONTACT_PROBE_DATE, vec![id.0.into(), (*first).into(), (*last).into()])
        }
        // In the order of ids by their index.
        _ => return Ok(false),
    };
    cells.push(COMMON.into());
    let found: Option<Found> = tx.sql(sql, Args::of(cells))?.one().await?;
    Ok(found.is_some_and(|found| found.amount >= COMMON))
}

fn filter_cells(filter: &Filter) -> Vec<Value> {
    let attribute = filter.attribute.as_ref();
    let mut cells = vec![
        Value::String(filter.state.map(|state| state.as_str().to_owned())),
        filter.tag.clone().into(),
        Value::Uuid(attribute.map(|(id, _)| id.0)),
    ];
    cells.extend(test_cells(attribute.map(|(_, test)| test)));
    cells.extend(search_cells(filter));
    cells
}

/// Three prefixes, then their ends.
fn search_cells(filter: &Filter) -> Vec<Value> {
    let prefixes = filter.search.as_ref().map(|search| [&search.email, &search.external_id, &search.name]);
    let bound = |end: &str| prefixes.map(|all| all.map(|prefix| Value::from(format!("{prefix}{end}"))));
    let none = || [Value::String(None), Value::String(None), Value::String(None)];
    // Above every string that starts with the prefix, in byte order.
    [bound(""), bound("\u{10FFFF}")].into_iter().flat_map(|cells| cells.unwrap_or_else(none)).collect()
}

fn test_cells(test: Option<&AttributeTest>) -> [Value; 6] {
    let mut cells = [
        Value::String(None),
        Value::Double(None),
        Value::Double(None),
        Value::Bool(None),
        Value::ChronoDate(None),
        Value::ChronoDate(None),
    ];
    match test {
        None => {}
        Some(AttributeTest::Text(wanted)) => cells[0] = wanted.as_str().into(),
        Some(AttributeTest::Number(least, greatest)) => (cells[1], cells[2]) = ((*least).into(), (*greatest).into()),
        Some(AttributeTest::Boolean(yes)) => cells[3] = (*yes).into(),
        Some(AttributeTest::Date(first, last)) => (cells[4], cells[5]) = ((*first).into(), (*last).into()),
    }
    cells
}
