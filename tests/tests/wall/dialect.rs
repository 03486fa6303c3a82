//! The two dialects are equal: what goes in through a batch comes out the same on both, NULLs of every kind included.

use carillon_domain::tenancy::WriteContacts;
use carillon_entities::ids::{ContactId, TenantId};
use carillon_entities::rows::contacts::contacts;
use carillon_entities::wall::{Args, Kind, OnConflict, Sql, TenantTx, WallError};
use carillon_tests::database::start;
use carillon_tests::{Backend, World, WorldOptions, seed};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sea_orm::ActiveValue::Set;
use sea_orm::{FromQueryResult, Value};
use uuid::Uuid;

/// A row with every kind.
#[derive(Debug, Clone, PartialEq, FromQueryResult)]
struct Row {
    a_uuid: Option<Uuid>,
    a_text: Option<String>,
    an_int: Option<i32>,
    a_bigint: Option<i64>,
    a_bool: Option<bool>,
    a_time: Option<DateTime<Utc>>,
    a_blob: Option<Vec<u8>>,
    a_json: Option<serde_json::Value>,
    a_float: Option<f64>,
    a_date: Option<NaiveDate>,
}

impl Row {
    fn cells(&self) -> Vec<Value> {
        let row = self.clone();
        vec![
            row.a_uuid.into(),
            row.a_text.into(),
            row.an_int.into(),
            row.a_bigint.into(),
            row.a_bool.into(),
            row.a_time.into(),
            row.a_blob.into(),
            row.a_json.into(),
            row.a_float.into(),
            row.a_date.into(),
        ]
    }
}

static ECHO: Sql = Sql {
    name: "ECHO",
    text: "WITH b AS ({batch}) SELECT b.* FROM b WHERE CAST($1 AS text) <> '' ORDER BY b.a_bigint",
    args: &[],
    batch: &[
        ("a_uuid", Kind::Uuid),
        ("a_text", Kind::Text),
        ("an_int", Kind::Int),
        ("a_bigint", Kind::BigInt),
        ("a_bool", Kind::Bool),
        ("a_time", Kind::Time),
        ("a_blob", Kind::Bytes),
        ("a_json", Kind::Json),
        ("a_float", Kind::Float),
        ("a_date", Kind::Date),
    ],
};

/// Full, empty, and one with each cell missing; texts and numbers at their ends.
fn rows() -> Vec<Row> {
    let full = |number: i64| Row {
        a_uuid: Some(Uuid::from_u128(u128::MAX - 5)),
        a_text: Some("Zoë 'quoted' \"x\" {batch} $1 \u{10FFFF}\n\\".to_owned()),
        an_int: Some(i32::MIN),
        a_bigint: Some(number),
        a_bool: Some(number % 2 == 0),
        a_time: Some(start() + TimeDelta::microseconds(123_456)),
        a_blob: Some(vec![0, 255, 39, 0]),
        a_json: Some(serde_json::json!({"a": [1, "é", null], "b": {"c": true}})),
        a_float: Some(-0.125),
        a_date: NaiveDate::from_ymd_opt(2024, 2, 29),
    };
    let mut rows = vec![full(i64::MIN), full(0)];
    let lacks: [fn(&mut Row); 9] = [
        |row| row.a_uuid = None,
        |row| row.a_text = None,
        |row| row.an_int = None,
        |row| row.a_bool = None,
        |row| row.a_time = None,
        |row| row.a_blob = None,
        |row| row.a_json = None,
        |row| row.a_float = None,
        |row| row.a_date = None,
    ];
    for (number, lack) in (1..).zip(lacks) {
        let mut row = full(number);
        lack(&mut row);
        rows.push(row);
    }
    let mut empty = full(100);
    for lack in lacks {
        lack(&mut empty);
    }
    rows.push(empty);
    rows
}

/// Both databases where there is Postgres, otherwise SQLite alone; what is expected is written down, so one suffices.
async fn worlds() -> Vec<World> {
    let mut worlds = vec![World::with(WorldOptions { backend: Backend::Sqlite, ..WorldOptions::default() }).await];
    worlds.extend(World::on_postgres(WorldOptions::default()).await);
    worlds
}

async fn begin(world: &World, tenant: TenantId) -> TenantTx {
    world.grant::<WriteContacts>(tenant).begin().await.unwrap()
}

#[tokio::test]
async fn a_batch_gives_back_what_went_in() {
    for world in worlds().await {
        let tenant = world.tenant("One").await;
        let mut tx = begin(&world, tenant).await;
        let cells = rows().iter().map(Row::cells).collect::<Vec<_>>();
        let back: Vec<Row> = tx.sql(&ECHO, Args::batch(cells)).unwrap().all().await.unwrap();
        assert_eq!(back, rows());
        let none: Vec<Row> = tx.sql(&ECHO, Args::default()).unwrap().all().await.unwrap();
        assert!(none.is_empty(), "an empty batch has no rows");
        tx.commit().await.unwrap();
    }
}

static RENAME: Sql = Sql {
    name: "RENAME",
    text: "WITH b AS ({batch}) UPDATE contacts SET first_name = b.first_name, archived_at = b.archived_at FROM b \
           WHERE contacts.tenant_id = $1 AND contacts.id = b.id",
    args: &[],
    batch: &[("id", Kind::Uuid), ("first_name", Kind::Text), ("archived_at", Kind::Time)],
};
static UPSERT: Sql = Sql {
    name: "UPSERT",
    text: "INSERT INTO usage (tenant_id, meter, day, count) SELECT $1, b.meter, b.day, b.count FROM ({batch}) AS b WHERE true \
           ON CONFLICT (tenant_id, meter, day) DO UPDATE SET count = usage.count + excluded.count RETURNING count",
    args: &[],
    batch: &[("meter", Kind::Text), ("day", Kind::Date), ("count", Kind::BigInt)],
};

#[derive(Debug, FromQueryResult)]
struct Count {
    count: i64,
}

fn contact(row: usize) -> contacts::ActiveModel {
    contacts::ActiveModel {
        id: Set(ContactId(seed::id(row))),
        state: Set("active".to_owned()),
        first_name: Set(row.is_multiple_of(2).then(|| format!("{row}"))),
        attributes: Set(serde_json::json!({"row": row})),
        version: Set(1),
        created_at: Set(start()),
        updated_at: Set(start() + TimeDelta::microseconds(1)),
        ..Default::default()
    }
}

#[tokio::test]
async fn typed_and_batched_writes_answer_alike() {
    for world in worlds().await {
        let tenant = world.tenant("One").await;
        let mut tx = begin(&world, tenant).await;
        // More than one chunk of SQLite's.
        let insert = (0..2_500).map(contact).collect();
        assert_eq!(tx.insert_many(insert, OnConflict::Fail).await.unwrap(), 2_500);
        let again = (2_400..2_600).map(contact).collect();
        assert_eq!(tx.insert_many(again, OnConflict::Keep).await.unwrap(), 100);

        let renames: Vec<Vec<Value>> = vec![
            vec![seed::id(0).into(), "new".into(), Some(start()).into()],
            vec![seed::id(1).into(), "new".into(), None::<DateTime<Utc>>.into()],
            vec![seed::id(2).into(), None::<String>.into(), None::<DateTime<Utc>>.into()],
            vec![seed::id(9_999).into(), "nobody".into(), None::<DateTime<Utc>>.into()],
        ];
        assert_eq!(tx.sql(&RENAME, Args::batch(renames)).unwrap().execute().await.unwrap(), 3);
        let select = tx.select::<contacts::Entity>().order_by(contacts::Column::Id).limit(4);
        let found = select.all().await.unwrap();
        let seen: Vec<_> = found.iter().map(|row| (row.first_name.as_deref(), row.archived_at)).collect();
        assert_eq!(seen, [(Some("new"), Some(start())), (Some("new"), None), (None, None), (None, None)]);
        assert_eq!(found[3].updated_at, start() + TimeDelta::microseconds(1), "microseconds are kept");
        assert_eq!(found[3].attributes, serde_json::json!({"row": 3}));

        let before = tx.select::<contacts::Entity>().lt(contacts::Column::UpdatedAt, start()).count().await.unwrap();
        let after = tx.select::<contacts::Entity>().gte(contacts::Column::UpdatedAt, start()).count().await.unwrap();
        assert_eq!((before, after), (0, 2_600), "times compare as instants");
        assert_eq!(
            tx.select::<contacts::Entity>().starts_with(contacts::Column::FirstName, "24").count().await.unwrap(),
            56
        );

        for expected in [5, 10] {
            let usage = vec![vec!["m".into(), start().date_naive().into(), 5_i64.into()]];
            let counts: Vec<Count> = tx.sql(&UPSERT, Args::batch(usage)).unwrap().all().await.unwrap();
            assert_eq!(counts.iter().map(|row| row.count).collect::<Vec<_>>(), [expected]);
        }
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_taken_key_is_a_conflict_on_both() {
    for world in worlds().await {
        let tenant = world.tenant("One").await;
        let mut tx = begin(&world, tenant).await;
        tx.insert(contact(1)).await.unwrap();
        let done = tx.insert(contact(1)).await;
        assert!(matches!(done, Err(WallError::Conflict { .. })), "{done:?}");
        tx.rollback().await.unwrap();
    }
}
