//! A statement that is a transaction of its own has the whole wall around it: its tenant's rows and no others, row security
//! where its text says nothing of a tenant, nothing left behind, and an honest word when no answer came (L1, L8, C-187).

use carillon_entities::ids::{ContactId, MessageId, TenantId};
use carillon_entities::rows::contacts::contacts;
use carillon_entities::rows::messaging::attempts;
use carillon_entities::wall::{Alone, Args, DatabaseSettings, Freshness, TenantDoor, Wall, WallError};
use carillon_tests::access::AccessWorld;
use carillon_tests::database::{connect, start};
use carillon_tests::print::Printed;
use carillon_tests::{World, WorldOptions, seed};
use chrono::TimeDelta;
use sea_orm::{ConnectionTrait as _, FromQueryResult, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

/// A registered one.
pub fn alone(name: &str) -> &'static Alone {
    carillon_domain::statements_alone().into_iter().find(|alone| alone.sql.name == name).expect("it is registered")
}

/// Starting an attempt: what a worker does for each group.
pub fn step() -> &'static Alone {
    alone("ATTEMPTS_STEP")
}

/// Starts the seeded attempt with this number, of a claim that held ten minutes before the worlds begin.
pub fn starting(row: usize, rule: &str) -> Args {
    let number = i32::try_from(row).unwrap();
    let nothing = Value::String(None);
    let attempt = vec![
        MessageId(seed::id(row)).into(),
        number.into(),
        i64::from(number).into(),
        "started".into(),
        Value::Int(None),
        nothing.clone(),
        nothing,
        rule.into(),
    ];
    Args::of([(start() - TimeDelta::minutes(10)).into()]).with_batch([attempt])
}

#[expect(clippy::disallowed_methods, reason = "the door is what is tested")]
pub fn door(wall: &Wall, tenant: TenantId) -> TenantDoor {
    wall.assume_tenant(tenant, Freshness::Unchecked)
}

/// Two tenants whose rows have the same ids.
async fn street(world: &World) -> (TenantId, TenantId) {
    world.leave_unsettled();
    let (one, other) = (world.tenant("One").await, world.tenant("Other").await);
    for tenant in [one, other] {
        seed::tenant(world.wall(), tenant).await;
    }
    (one, other)
}

/// The state of a tenant's first attempt, of which everybody knows the ids.
async fn state(world: &World, tenant: TenantId) -> String {
    let grant = world.grant::<carillon_domain::tenancy::SendMessages>(tenant);
    let mut tx = grant.begin().await.unwrap();
    let row = tx.select::<attempts::Entity>().eq(attempts::Column::Number, 0).one().await.unwrap().unwrap();
    tx.commit().await.unwrap();
    row.state
}

async fn run(wall: &Wall, tenant: TenantId, alone: &'static Alone) -> Vec<Printed> {
    door(wall, tenant).run_alone(alone, starting(0, "rule")).await.unwrap().read().unwrap()
}

#[tokio::test]
async fn c204_a_statement_alone_reaches_its_own_tenant_and_is_committed() {
    let world = World::new().await;
    let (one, other) = street(&world).await;
    let (changed, statements) = world.statements_of(run(world.wall(), one, step())).await;
    assert_eq!(changed, [Printed(format!("id={:?} state=\"started\"", seed::id(0)))]);
    assert_eq!(statements, if world.wall().is_postgres() { 1 } else { 3 });
    assert_eq!((state(&world, one).await, state(&world, other).await), ("started".to_owned(), "cleared".to_owned()));
    assert!(run(world.wall(), one, step()).await.is_empty(), "once");
    // A refusal by the database changes nothing, and costs no connection.
    let mut bad = starting(0, "rule");
    bad.batch[0][3] = "accepted at last".into();
    for _ in 0..3 {
        let refused = door(world.wall(), one).run_alone(step(), bad.clone()).await;
        assert!(matches!(refused, Err(WallError::Database { .. })), "{refused:?}");
    }
    assert_eq!(state(&world, one).await, "started");
}

/// A door that asks for freshness, and a pooler that knows no named statements, have the transaction around it.
#[tokio::test]
async fn where_one_statement_cannot_be_all_it_has_a_transaction() {
    let Some(world) = World::on_postgres(WorldOptions::default()).await else { return };
    let (one, _) = street(&world).await;
    let unnamed = DatabaseSettings { named_statements: false, ..world.database.settings(1) };
    let unnamed = Wall::open(&unnamed).await.unwrap();
    assert_eq!(run(&unnamed, one, step()).await.len(), 1);
    assert_eq!(unnamed.statements(), 3, "BEGIN, the statement, COMMIT");
    unnamed.close().await;
    #[expect(clippy::disallowed_methods, reason = "the door is what is tested")]
    let fresh = world.wall().assume_tenant(one, Freshness::Tenant);
    fresh.run_alone(step(), starting(0, "rule")).await.unwrap();
    world.execute("UPDATE tenants SET suspended_at = created_at").await;
    let refused = fresh.run_alone(step(), starting(0, "rule")).await;
    assert!(matches!(refused, Err(WallError::Suspended)), "{refused:?}");
}

/// The first page of contacts.
pub fn first_people() -> Args {
    Args::of([Value::from(Uuid::nil()), 5_i64.into(), false.into()])
}

/// How many people a statement alone gives behind a door, and nothing else is asked that could refuse.
async fn listed(door: &TenantDoor) -> Result<usize, WallError> {
    let mut tx = door.begin_when_read().await?;
    let rows = tx.sql_alone(alone("CONTACT_LIST"), first_people()).await?;
    Ok(rows.read::<Printed>()?.len())
}

/// Ids of the contacts that a door gives, read as the first statement of a transaction.
async fn people(door: &TenantDoor) -> Result<Vec<ContactId>, WallError> {
    #[derive(FromQueryResult)]
    struct Row {
        id: ContactId,
    }
    let mut tx = door.begin_when_read().await?;
    let first = tx.sql_alone(alone("CONTACT_LIST"), first_people()).await?.read::<Row>()?;
    let again = tx.sql_alone(alone("CONTACT_LIST"), first_people()).await?.read::<Row>()?;
    assert_eq!(first.len(), again.len());
    let rows = tx.select::<contacts::Entity>().all().await?;
    assert!(rows.iter().all(|row| row.tenant_id == door.tenant()));
    tx.commit().await?;
    Ok(first.into_iter().map(|row| row.id).collect())
}

/// Nothing is asked of the database before the first statement; statements alone come before it begins, and any other
/// begins it. Each has its own tenant's rows.
#[tokio::test]
async fn c204_a_transaction_that_begins_when_read_reads_its_own_tenant() {
    let world = World::new().await;
    let (one, other) = street(&world).await;
    let id = seed::id(0);
    let seen = async |tenant: TenantId, wanted: ContactId| {
        let mut tx = door(world.wall(), tenant).begin_when_read().await.unwrap();
        let rows = tx.sql_alone(alone("CONTACT_GET"), Args::batch([vec![wanted.into()]])).await.unwrap();
        rows.read::<contacts::Model>().unwrap().into_iter().map(|row| row.tenant_id).collect::<Vec<_>>()
    };
    assert_eq!(seen(one, id.into()).await, [one]);
    assert_eq!(seen(other, id.into()).await, [other]);
    let (found, statements) = world.statements_of(people(&door(world.wall(), one))).await;
    assert!(!found.unwrap().is_empty());
    assert_eq!(statements, 5, "two alone and BEGIN, or BEGIN and two; one more; COMMIT");
    let nothing = async { drop(door(world.wall(), one).begin_when_read().await.unwrap()) };
    let ((), statements) = world.statements_of(nothing).await;
    assert_eq!(statements, u64::from(!world.wall().is_postgres()));
}

/// A credential that is no longer good reads nothing by a statement alone, and costs no connection.
#[tokio::test]
async fn c213_a_stale_credential_reads_nothing_alone() {
    let world = World::with(WorldOptions { pool: 1, ..WorldOptions::default() }).await;
    let (one, _) = street(&world).await;
    let nobody = [Freshness::User(seed::id(1).into(), 1), Freshness::Key(seed::id(1).into(), None)];
    for freshness in nobody {
        #[expect(clippy::disallowed_methods, reason = "the door is what is tested")]
        let stale = world.wall().assume_tenant(one, freshness);
        for _ in 0..3 {
            let refused = listed(&stale).await;
            assert!(matches!(refused, Err(WallError::NotFresh)), "{refused:?}");
        }
    }
    assert!(listed(&door(world.wall(), one)).await.unwrap() > 0);
}

/// What is not about the person is said as well: the same answers as at a beginning.
#[tokio::test]
async fn c213_a_suspended_tenant_reads_nothing_alone() {
    let world = AccessWorld::new().await;
    let ada = world.owner("ada@example.org").await.subject();
    let (tenant, user) = (world.tenant("One").await, Freshness::User(ada.user, ada.auth_version));
    #[expect(clippy::disallowed_methods, reason = "the door is what is tested")]
    let fresh = world.wall().assume_tenant(tenant, user);
    listed(&fresh).await.unwrap();
    world.execute("UPDATE tenants SET suspended_at = created_at").await;
    let refused = listed(&fresh).await;
    assert!(matches!(refused, Err(WallError::Suspended)), "{refused:?}");
    world.execute("UPDATE tenants SET suspended_at = NULL").await;
    world.execute("UPDATE users SET auth_version = auth_version + 1").await;
    assert!(matches!(listed(&fresh).await, Err(WallError::NotFresh)));
}

/// A list without its predicate: as the application it still gives one tenant's people.
#[tokio::test]
async fn c205_row_security_holds_in_what_is_read_alone() {
    let Some(world) = World::on_postgres(WorldOptions::default()).await else { return };
    let (one, other) = street(&world).await;
    let source = "SELECT pg_get_functiondef(oid) AS line FROM pg_proc WHERE proname = 'carillon_alone_contact_list'";
    let careful = world.lines(source).await.concat();
    let careless = careful.replace("c.tenant_id = $1", "$1 = $1").replace("carillon_alone_contact_list", "careless");
    assert!(!careless.contains("tenant_id ="), "{careless}");
    world.execute(&careless).await;
    let list = alone("CONTACT_LIST");
    let careless: &'static Alone = Box::leak(Box::new(Alone { function: "careless", sql: list.sql, mode: list.mode }));
    let seen = async |wall: &Wall, tenant| {
        let everybody = Args::of([Value::from(Uuid::nil()), 1_000_000_i64.into(), false.into()]);
        door(wall, tenant).run_alone(careless, everybody).await.unwrap().read::<Printed>().unwrap().len()
    };
    let past = world.wall_without_row_security().await;
    let of = async |tenant| seen(world.wall(), tenant).await;
    let (first, second) = (of(one).await, of(other).await);
    assert!(first > 0 && second > 0);
    assert_eq!(seen(&past, one).await, first + second, "past row security it gives everybody");
    past.close().await;
}

/// The function, its spaces left out.
async fn source(world: &World, alone: &Alone) -> String {
    let sql = format!("SELECT prosrc AS line FROM pg_proc WHERE proname = '{}'", alone.function);
    world.lines(&sql).await.concat()
}

fn without_spaces(text: &str) -> String {
    text.split_whitespace().collect()
}

/// What is tested of the registered statement (its tenant, its plan) holds for the function: it is the same text.
#[tokio::test]
async fn c204_each_function_runs_the_text_of_its_statement() {
    let Some(world) = World::on_postgres(WorldOptions::default()).await else { return };
    for alone in carillon_domain::statements_alone() {
        let source = without_spaces(&source(&world, alone).await);
        let set = "PERFORMset_config('app.tenant_id',$1::text,true);";
        let arguments = 1 + alone.sql.args.len() + alone.sql.batch.len();
        let [user, version, key, kept] = [1, 2, 3, 4].map(|place| format!("${}", arguments + place));
        let asked = format!(
            "IF{user}ISNOTNULLANDtrueTHENCALLcarillon_assert_user({user},{version},$1);\
             ELSIF{key}ISNOTNULLANDtrueTHENCALLcarillon_assert_key({key},$1,{kept});ENDIF;"
        );
        let body = format!("{set}{asked}RETURNQUERY{};END", without_spaces(&alone.text()));
        assert!(source.ends_with(&body), "{}:\n{source}\nis not\n{body}", alone.function);
        let called_by = format!(
            "SELECT r.rolname::text AS line FROM pg_proc p, pg_roles r WHERE p.proname = '{}' AND r.rolname LIKE 'carillon%' \
             AND has_function_privilege(r.oid, p.oid, 'EXECUTE') AND r.oid <> p.proowner AND NOT r.rolsuper",
            alone.function
        );
        assert_eq!(world.lines(&called_by).await, ["carillon_app"]);
    }
}

/// The function without its predicates: as the application it still reaches one tenant's rows, whoever knows the ids of
/// others; past row security it reaches them all.
#[tokio::test]
async fn c205_row_security_holds_inside_the_function() {
    let Some(world) = World::on_postgres(WorldOptions::default()).await else { return };
    let (one, other) = street(&world).await;
    let careful = source(&world, step()).await;
    let careless = ["attempts.", "m.", "o."].iter().fold(careful, |text, table| {
        let predicate = format!("{table}tenant_id = $1");
        assert!(text.contains(&predicate), "{predicate} is not in\n{text}");
        text.replace(&predicate, "$1 = $1")
    });
    assert!(!careless.contains("tenant_id ="), "{careless}");
    let arguments = "uuid, timestamptz, uuid[], int4[], int8[], text[], int4[], text[], text[], text[], \
        uuid, int8, uuid, uuid";
    let create = format!(
        "CREATE FUNCTION careless({arguments}) RETURNS TABLE (id uuid, state text) LANGUAGE plpgsql AS $step${careless}$step$"
    );
    world.execute(&create).await;
    let careless: &'static Alone = Box::leak(Box::new(Alone { function: "careless", ..*step() }));
    assert_eq!(run(world.wall(), one, careless).await.len(), 1);
    assert_eq!((state(&world, one).await, state(&world, other).await), ("started".to_owned(), "cleared".to_owned()));
    let past = world.wall_without_row_security().await;
    assert_eq!(run(&past, one, careless).await.len(), 1, "the other tenant's");
    assert_eq!(state(&world, other).await, "started");
    past.close().await;
}

/// Inside the transaction of a tenant it would move the transaction to another.
#[tokio::test]
async fn c206_a_transaction_that_has_a_tenant_keeps_it() {
    let Some(world) = World::on_postgres(WorldOptions::default()).await else { return };
    let (one, other) = street(&world).await;
    let login = connect(&world.database.settings(1).url).await.unwrap();
    let call = |tenant: TenantId| {
        let nothing = ["'{}'"; 8].join(", ");
        format!("SELECT * FROM {}('{}', now(), {nothing}, NULL, NULL, NULL, NULL)", step().function, tenant.0)
    };
    login.execute_unprepared(&call(other)).await.unwrap();
    for tenant in [one, other] {
        login.execute_unprepared(&format!("BEGIN; SET LOCAL app.tenant_id = '{}'", one.0)).await.unwrap();
        let refused = login.execute_unprepared(&call(tenant)).await;
        assert!(refused.is_err_and(|error| error.to_string().contains("the transaction has a tenant")));
        login.execute_unprepared("ROLLBACK").await.unwrap();
    }
    login.close().await.unwrap();
}

/// Carries one connection to the server until the client has sent `last`; what the server says to that is lost.
async fn carry(listener: TcpListener, server: String, last: &'static str) {
    let (mut client, _) = listener.accept().await.unwrap();
    let mut server = TcpStream::connect(server).await.unwrap();
    let (mut up, mut down, mut is_last) = ([0; 16 * 1024], [0; 16 * 1024], false);
    loop {
        tokio::select! {
            read = client.read(&mut up) => match read {
                Ok(length @ 1..) => {
                    is_last |= up[..length].windows(last.len()).any(|part| part == last.as_bytes());
                    server.write_all(&up[..length]).await.unwrap();
                }
                _ => return,
            },
            read = server.read(&mut down) => match read {
                Ok(length @ 1..) if !is_last => client.write_all(&down[..length]).await.unwrap(),
                _ => return,
            },
        }
    }
}

/// It is sent, committed, and nobody hears of it: the same unknown commit as after a COMMIT. To begin it again begins nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c187_a_statement_alone_without_an_answer_is_an_unknown_commit() {
    let Some(world) = World::on_postgres(WorldOptions::default()).await else { return };
    let (one, _) = street(&world).await;
    let direct = world.database.settings(1);
    let (login, place) = direct.url.split_once('@').unwrap();
    let (server, name) = place.split_once('/').unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("{login}@{}/{name}", listener.local_addr().unwrap());
    let carrier = tokio::spawn(carry(listener, server.to_owned(), "the last that was heard"));
    let wall = Wall::open(&DatabaseSettings { url, ..direct.clone() }).await.unwrap();
    let done = door(&wall, one).run_alone(step(), starting(0, "the last that was heard")).await;
    assert!(matches!(done, Err(WallError::CommitUnknown)), "{done:?}");
    carrier.await.unwrap();
    wall.close().await;
    assert_eq!(state(&world, one).await, "started", "it was committed");
    assert!(run(world.wall(), one, step()).await.is_empty(), "what is begun again begins nothing");
}
