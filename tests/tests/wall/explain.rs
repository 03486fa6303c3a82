//! Look-ups that must be fast take an index, as the role that runs them, with row security, for custom and generic
//! plans alike: a sequential scan fails the test.

use carillon_domain::contacts::{ContactFilter, Shown, list_contacts};
use carillon_domain::paging::Page;
use carillon_entities::wall::Kind;
use carillon_migration::schema::{Access, Table, tables};
use carillon_tests::database::{connect, start};
use carillon_tests::schema::columns;
use carillon_tests::{World, WorldOptions, seed};
use chrono::TimeDelta;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

const APP: usize = 0;
const IDENTITY: usize = 1;
const DISPATCH: usize = 2;

/// A look-up that the stores write in types: the login, the text, its parameters and the column that the index must narrow by.
struct LookUp {
    name: &'static str,
    login: usize,
    text: &'static str,
    args: &'static [&'static str],
    column: &'static str,
}

macro_rules! look_ups {
    ($($login:ident $name:literal ($($arg:literal),*) by $column:literal: $text:literal;)*) => {
        &[$(LookUp { name: $name, login: $login, text: $text, args: &[$($arg),*], column: $column }),*]
    };
}

// `{id}` and `{hash}` stand for those of row 77, `{tenant}` for the tenant; `$1` is the tenant where the login is the application's.
const LOOK_UPS: &[LookUp] = look_ups! {
    APP "contact by id" ("{id}") by "id": "SELECT * FROM contacts WHERE tenant_id = $1 AND id = $2";
    APP "contact by e-mail" ("email_norm-00077") by "email_norm": "SELECT * FROM contacts WHERE tenant_id = $1 AND email_norm = $2";
    APP "contact by external id" ("external_id-00077") by "external_id":
        "SELECT * FROM contacts WHERE tenant_id = $1 AND external_id = $2";
    APP "contact by identity" ("value_norm-00077") by "value_norm":
        "SELECT contact_id FROM contact_identities WHERE tenant_id = $1 AND kind = 'phone' AND value_norm = $2";
    APP "page of contacts" ("{id}") by "id":
        "SELECT * FROM contacts WHERE tenant_id = $1 AND state = 'active' AND id > $2 ORDER BY id LIMIT 51";
    APP "tags of a contact" ("{id}") by "contact_id": "SELECT tag FROM contact_tags WHERE tenant_id = $1 AND contact_id = $2";
    APP "changes of a contact" ("{id}") by "contact_id":
        "SELECT * FROM contact_changes WHERE tenant_id = $1 AND contact_id = $2 ORDER BY id DESC LIMIT 51";
    APP "ledger of an address" ("{hash}") by "address_hmac":
        "SELECT * FROM consent_events WHERE tenant_id = $1 AND address_hmac = $2 AND channel = 'email' ORDER BY id";
    APP "states of an address" ("{hash}") by "address_hmac":
        "SELECT * FROM consent_states WHERE tenant_id = $1 AND address_hmac = $2 AND channel = 'email'";
    APP "suppressions of an address" ("{hash}") by "address_hmac":
        "SELECT * FROM suppressions WHERE tenant_id = $1 AND address_hmac = $2 AND channel = 'email'";
    APP "endpoint of an address" ("{hash}") by "address_hmac":
        "SELECT * FROM endpoints WHERE tenant_id = $1 AND address_hmac = $2 AND channel = 'email'";
    APP "evidence of a subject" ("{id}") by "subject_id":
        "SELECT * FROM consent_evidence WHERE tenant_id = $1 AND subject_id = $2";
    APP "document by its hash" ("{hash}") by "hash": "SELECT * FROM persisted_documents WHERE tenant_id = $1 AND hash = $2";
    APP "document of a set" ("{id}", "{hash}") by "hash":
        "SELECT * FROM document_set_members WHERE tenant_id = $1 AND set_id = $2 AND number = 77 AND hash = $3";
    APP "message of an intent" ("intent_key-00077") by "intent_key":
        "SELECT * FROM messages WHERE tenant_id = $1 AND intent_key = $2";
    APP "messages of a contact" ("{id}") by "contact_id":
        "SELECT * FROM messages WHERE tenant_id = $1 AND contact_id = $2 ORDER BY id DESC LIMIT 51";
    APP "due messages of a tenant" ("2026-03-09T00:00:00Z") by "due_at":
        "SELECT id FROM messages WHERE lane = 'bulk' AND tenant_id = $1 AND state = 'queued' AND due_at <= $2 ORDER BY due_at LIMIT 50";
    APP "leases that ran out" ("2026-03-02T09:00:00Z") by "lease_until":
        "SELECT id FROM messages WHERE tenant_id = $1 AND state = 'claimed' AND lease_until < $2 ORDER BY lease_until LIMIT 50";
    APP "attempts of a message" ("{id}") by "message_id": "SELECT * FROM attempts WHERE tenant_id = $1 AND message_id = $2";
    APP "decisions on a message" ("{id}") by "message_id":
        "SELECT * FROM gate_decisions WHERE tenant_id = $1 AND message_id = $2 ORDER BY id";
    APP "events of a message" ("{id}") by "message_id":
        "SELECT * FROM message_events WHERE tenant_id = $1 AND message_id = $2 ORDER BY id";
    APP "batches of events behind a place" ("77") by "last_place":
        "SELECT * FROM message_batches WHERE tenant_id = $1 AND last_place >= $2::bigint ORDER BY last_place LIMIT 100";
    APP "answer of an idempotency key" ("operation-00077", "key-00077") by "key":
        "SELECT sealed_answer FROM idempotency_keys WHERE tenant_id = $1 AND operation = $2 AND key = $3";
    APP "errors of an import" ("{id}") by "import_id":
        "SELECT * FROM import_errors WHERE tenant_id = $1 AND import_id = $2 ORDER BY line LIMIT 500";
    APP "deliveries to an endpoint" ("{id}") by "endpoint_id":
        "SELECT * FROM webhook_deliveries WHERE tenant_id = $1 AND endpoint_id = $2 ORDER BY id LIMIT 51";
    APP "attempts of a delivery" ("{id}") by "delivery_id":
        "SELECT * FROM webhook_attempts WHERE tenant_id = $1 AND delivery_id = $2 ORDER BY id";
    DISPATCH "answers past their time" ("2026-03-02T09:10:00Z") by "expires_at":
        "SELECT tenant_id FROM idempotency_keys WHERE expires_at <= $1 ORDER BY expires_at LIMIT 100";
    DISPATCH "files past their time" ("2026-03-02T09:10:00Z") by "expires_at":
        "SELECT tenant_id FROM uploads WHERE state IN ('open', 'complete') AND expires_at <= $1 ORDER BY expires_at LIMIT 100";
    IDENTITY "sessions past their end" ("2026-03-02T09:10:00Z") by "family_expires_at":
        "SELECT id FROM refresh_sessions WHERE family_expires_at < $1 ORDER BY family_expires_at LIMIT 500";
    IDENTITY "secrets past their time" ("2026-03-02T09:10:00Z") by "expires_at":
        "SELECT id FROM credentials WHERE kind <> 'api_key' AND expires_at < $1 ORDER BY expires_at LIMIT 500";
    IDENTITY "answers of users past their time" ("2026-03-02T09:10:00Z") by "expires_at":
        "SELECT key FROM identity_idempotency_keys WHERE expires_at < $1 ORDER BY expires_at LIMIT 500";
    IDENTITY "answer of a user's key" ("{id}", "operation-00077", "key-00077") by "key":
        "SELECT sealed_answer FROM identity_idempotency_keys WHERE user_id = $1 AND scope_id = $1 AND operation = $2 AND key = $3";
    IDENTITY "session by its token" ("{hash}") by "token_hash": "SELECT * FROM refresh_sessions WHERE token_hash = $1";
    IDENTITY "sessions of a family" ("{id}") by "family_id": "SELECT * FROM refresh_sessions WHERE family_id = $1";
    IDENTITY "credential by its secret" ("{hash}") by "secret_hash": "SELECT * FROM credentials WHERE secret_hash = $1";
    IDENTITY "user by e-mail" ("email_norm-00077") by "email_norm": "SELECT * FROM users WHERE email_norm = $1";
    IDENTITY "memberships of a user" ("{id}") by "user_id": "SELECT * FROM memberships WHERE user_id = $1";
    IDENTITY "members of a scope" ("{id}") by "scope_id":
        "SELECT * FROM memberships WHERE scope_kind = 'tenant' AND scope_id = $1 ORDER BY id LIMIT 51";
    IDENTITY "tenants of an account" ("{id}") by "account_id": "SELECT * FROM tenants WHERE account_id = $1 ORDER BY id LIMIT 51";
};

#[tokio::test]
async fn c205_every_look_up_that_must_be_fast_takes_an_index() {
    let Some((world, tenant)) = big().await else { return };
    let logins = logins(&world).await;
    let mut faults = Vec::new();
    for look_up in LOOK_UPS {
        for mode in ["force_custom_plan", "force_generic_plan"] {
            let plan = explain(&logins[look_up.login], look_up, &tenant, mode).await;
            let narrowed = plan.iter().any(|line| line.contains("Index Cond") && line.contains(look_up.column));
            if !narrowed || plan.iter().any(|line| line.contains("Seq Scan")) {
                faults.push(format!("{} ({mode}):\n  {}", look_up.name, plan.join("\n  ")));
            }
        }
    }
    assert!(faults.is_empty(), "{} plans are slow:\n{}", faults.len(), faults.join("\n"));
}

/// Statements that rightly read a whole table, each with the reason why it stays small or why all of it is wanted.
const MAY_SCAN: &[(&str, &str)] = &[
    ("AUDIENCE_COUNT", "it counts all of a tenant's contacts that an audience means"),
    ("CAMPAIGNS_ASKING", "a tenant has a handful of campaigns, and a list is rarely deleted"),
    ("CAMPAIGNS_LARGE", "a tenant has a handful of campaigns, and each asks once"),
    ("MATCHING_COUNT", "it counts all of a tenant's contacts that pass a condition"),
    ("MESSAGE_STATS", "it counts all of a tenant's messages in a span of time"),
    ("LISTENERS_OF_CONTACTS", "a tenant has a handful of workflows"),
    ("IMPORT_CLAIM", "a tenant has a handful of imports"),
    ("UPLOAD_EXPIRED", "a tenant has a handful of uploads"),
    ("DUE_IMPORTS", "all tenants' imports that are not over: there are a handful"),
    ("DUE_MESSAGES_COUNT", "it counts a thousand of a tenant's due messages, which may be a large part of them"),
    ("DUE_WORKFLOWS_COUNT", "it counts a thousand of a tenant's due people, who may be a large part of them"),
    ("ENDPOINT_KEYS", "asked at a start, of the system tenant alone, for all keys its addresses are kept under"),
    ("LEASE_TAKE", "there is a lease per lane"),
    ("WEBHOOK_CLAIM", "a tenant has a handful of webhook endpoints"),
    ("WEBHOOK_LISTENERS", "a tenant has a handful of webhook endpoints"),
    ("OWNERS_BESIDE", "a change of members is rare"),
];

/// What the hottest of the registered statements must narrow by, each by an index.
const NARROWED: &[(&str, &[&str])] = &[
    ("CONTACT_LIST", &["(id >"]),
    ("CONTACT_LIST_BACK", &["(id <"]),
    ("CONTACT_LIST_WALK", &["(id >"]),
    ("CONTACT_LIST_WALK_BACK", &["(id <"]),
    ("CONTACT_PROBE_SEARCH", &["email_norm", "external_id", "name_norm"]),
    ("CONTACT_PROBE_NUMBER", &["number_value"]),
    ("CONTACT_PROBE_DATE", &["date_value"]),
    ("CONTACT_LIST_SEARCH", &["email_norm", "external_id", "name_norm"]),
    ("CONTACT_LIST_SEARCH_BACK", &["email_norm", "external_id", "name_norm"]),
    ("CONTACT_LIST_TAG", &["tag"]),
    ("CONTACT_LIST_TEXT", &["text_value"]),
    ("CONTACT_LIST_NUMBER", &["number_value"]),
    ("CONTACT_LIST_BOOLEAN", &["bool_value"]),
    ("CONTACT_LIST_DATE", &["date_value"]),
    ("EVENT_KEY_FIND", &["message_key"]),
    ("EVENTS_LATEST", &["contact_id", "occurred_at"]),
    ("EVENTS_OF", &["contact_id"]),
    ("DUE_MESSAGES", &["tenant_id", "lane"]),
    ("DUE_WORKFLOWS", &["tenant_id", "workflow_id"]),
    ("DUE_WEBHOOKS", &["endpoint_id", "id"]),
    ("WEBHOOK_DUE", &["endpoint_id", "due_at"]),
    ("ENROLLMENTS_DUE", &["workflow_id", "due_at"]),
    ("ENROLLMENTS_LEAVING", &["workflow_id"]),
    ("ENROLLMENTS_LEAVING_STILL", &["workflow_id"]),
    ("WORKFLOWS_DUE", &["workflow_id"]),
    ("WORKFLOW_CLOSED", &["workflow_id"]),
    // Of what the recursion looks up, EXPLAIN shows the beginning alone.
    ("DUE_MESSAGES_COUNT", &["lane"]),
    ("DUE_CAMPAIGNS", &["due_at"]),
    ("CAMPAIGN_RUN_TAKE", &["due_at"]),
    ("AUDIENCE_WALK", &["(id >"]),
    ("AUDIENCE_ROWS", &["(id >", "(id <="]),
    ("CAMPAIGN_RECIPIENTS_OF", &["campaign_id", "contact_id >"]),
    ("LIST_MEMBERS_OF", &["list_id", "contact_id >"]),
    ("RECIPIENTS_DUE", &["campaign_id", "release_at"]),
    ("RECIPIENTS_DUE_OF_REST", &["campaign_id", "release_at"]),
    ("CAMPAIGN_MESSAGES_QUEUED", &["campaign_id", "due_at"]),
    ("CAMPAIGN_MESSAGES_CANCEL", &["campaign_id"]),
    ("DUE_SWEEPS", &["lease_until", "due_at"]),
    ("FEED_EVENTS", &["first_id"]),
    ("VERIFIED_MEMBER", &["email_norm", "user_id"]),
    ("ACCOUNT_PATH", &["id"]),
    ("ACCOUNTS_REACHED", &["user_id", "parent_id"]),
    ("TENANTS_REACHED", &["user_id"]),
    ("TENANTS_BELOW", &["user_id"]),
    ("MEMBERS_REACHED", &["user_id"]),
    ("USER_BUMP", &["id"]),
    ("SESSIONS_CARRY_OVER", &["user_id"]),
];

/// A registered statement as text to prepare: its name, the text, the types of what it declares, how many places it has.
struct Registered {
    login: usize,
    name: &'static str,
    prepare: String,
    args: String,
}

impl Registered {
    fn of_tenant(sql: &carillon_entities::wall::Sql) -> Self {
        let kinds: Vec<&str> = std::iter::once("uuid").chain(sql.args.iter().map(|kind| type_name(*kind))).collect();
        let arrays: Vec<String> = sql.batch.iter().map(|(_, kind)| format!("{}[]", type_name(*kind))).collect();
        let types: Vec<&str> = kinds.iter().copied().chain(arrays.iter().map(String::as_str)).collect();
        let places: Vec<String> = (0..arrays.len()).map(|place| format!("${}", kinds.len() + place + 1)).collect();
        let names: Vec<&str> = sql.batch.iter().map(|(name, _)| *name).collect();
        let batch = format!("SELECT * FROM UNNEST({}) AS batch_rows({})", places.join(", "), names.join(", "));
        let text = with_locks(&sql.text.replace("{batch}", &batch));
        let tenant = "'00000000-0000-0000-0000-000000000000'";
        // Nothing is before NULL: the plan would lose all its partitions.
        let last = |kind: &str| if kind == "uuid" { "'ffffffff-ffff-ffff-ffff-ffffffffffff'" } else { "NULL" };
        let args: Vec<&str> = std::iter::once(tenant).chain(types[1..].iter().map(|kind| last(kind))).collect();
        let prepare = format!("PREPARE look_up({}) AS {text}", types.join(", "));
        Self { login: APP, name: sql.name, prepare, args: args.join(", ") }
    }

    /// Of the identity or the dispatch role, whose statements do not say the types of their places.
    fn of_role(login: usize, sql: &carillon_entities::wall::IdentitySql) -> Self {
        let places = (1..10).take_while(|place| sql.text.contains(&format!("${place}"))).count();
        let prepare = format!("PREPARE look_up AS {}", with_locks(sql.text));
        Self { login, name: sql.name, prepare, args: vec!["NULL"; places].join(", ") }
    }

    /// Of the identity role, over a batch.
    fn of_batch(sql: &carillon_entities::wall::IdentityBatch) -> Self {
        let scalars = sql.args.iter().map(|kind| type_name(*kind).to_owned());
        let arrays = sql.batch.iter().map(|(_, kind)| format!("{}[]", type_name(*kind)));
        let types: Vec<String> = scalars.chain(arrays).collect();
        let places: Vec<String> = (sql.args.len()..types.len()).map(|place| format!("${}", place + 1)).collect();
        let names: Vec<&str> = sql.batch.iter().map(|(name, _)| *name).collect();
        let batch = format!("SELECT * FROM UNNEST({}) AS batch_rows({})", places.join(", "), names.join(", "));
        let prepare = format!("PREPARE look_up({}) AS {}", types.join(", "), sql.text.replace("{batch}", &batch));
        Self { login: IDENTITY, name: sql.name, prepare, args: vec!["NULL"; types.len()].join(", ") }
    }

    /// What is wrong with its plan.
    fn fault(&self, plan: &[String]) -> Option<String> {
        let may_scan = MAY_SCAN.iter().any(|(name, _)| *name == self.name);
        let scans = plan.iter().any(|line| line.contains("Seq Scan on"));
        let columns = NARROWED.iter().find(|(name, _)| *name == self.name).map_or(&[][..], |(_, columns)| columns);
        let by = |column: &str| plan.iter().any(|line| line.contains("Index Cond") && line.contains(column));
        let missing: Vec<_> = columns.iter().filter(|column| !by(column)).collect();
        let is_wrong = (scans && !may_scan) || !missing.is_empty();
        is_wrong.then(|| format!("{} (not narrowed by {missing:?}):\n  {}", self.name, plan.join("\n  ")))
    }
}

fn with_locks(text: &str) -> String {
    let text = text.replace("{skip_locked}", "FOR UPDATE SKIP LOCKED").replace("{for_share}", "FOR SHARE");
    let text = text.replace("{for_update}", "FOR UPDATE").replace("{no_key_update}", "FOR NO KEY UPDATE");
    text.replace("{condition}", "TRUE")
}

/// The stores' own statements, generic plans: what the look-ups above say must hold for the texts that really run.
#[tokio::test]
async fn c205_no_registered_statement_scans_a_table() {
    let Some((world, tenant)) = big().await else { return };
    let logins = logins(&world).await;
    let statements = carillon_domain::statements().into_iter().map(Registered::of_tenant);
    let identity = carillon_domain::identity_statements().into_iter().map(|sql| Registered::of_role(IDENTITY, sql));
    let dispatch = carillon_domain::dispatch::DISPATCH_STATEMENTS;
    let dispatch = dispatch.iter().map(|sql| Registered::of_role(DISPATCH, sql));
    let batches = carillon_domain::tenancy::IDENTITY_BATCHES.iter().map(|sql| Registered::of_batch(sql));
    let registered: Vec<Registered> = statements.chain(identity).chain(batches).chain(dispatch).collect();
    let mut faults = Vec::new();
    for sql in &registered {
        let asked = (sql.name, sql.prepare.as_str(), sql.args.as_str());
        // Recursion is guessed to find a hundred accounts, for which a scan of a few thousand is cheapest. Priced out, a
        // scan is left only where no index can serve.
        let mode = "force_generic_plan; SET LOCAL enable_seqscan = off";
        let mode = if sql.login == IDENTITY { mode } else { "force_generic_plan" };
        faults.extend(sql.fault(&plan(&logins[sql.login], asked, &tenant, mode).await));
    }
    let named = |name: &str| registered.iter().any(|sql| sql.name == name);
    let lists = MAY_SCAN.iter().map(|(name, _)| *name).chain(NARROWED.iter().map(|(name, _)| *name));
    faults.extend(lists.filter(|name| !named(name)).map(|name| format!("{name} is registered nowhere")));
    assert!(faults.is_empty(), "{} plans are slow:\n{}", faults.len(), faults.join("\n"));
}

/// What a page reads does not grow with how many pass the filter: the most rows that any part of the plan gave.
#[tokio::test]
async fn c205_a_page_of_contacts_reads_about_a_page() {
    let Some((world, tenant)) = big().await else { return };
    let login = &logins(&world).await[APP];
    let rows = async |name: &str, filled: &[(usize, &str)]| {
        let sql = carillon_domain::statements().into_iter().find(|sql| sql.name == name).expect("registered");
        let registered = Registered::of_tenant(sql);
        let mut args = vec!["NULL".to_owned(); sql.args.len() + 1 + sql.batch.len()];
        args[0] = format!("'{tenant}'");
        for (place, value) in filled {
            args[place - 1] = (*value).to_owned();
        }
        let asked = (name, registered.prepare.as_str(), args.join(", "));
        let (tenant, mode) = (&tenant, "force_generic_plan");
        let plan = analyzed(login, (asked.0, asked.1, &asked.2), tenant, mode).await;
        let counts =
            plan.iter().filter_map(|line| line.split("actual rows=").nth(1)?.split(['.', ' ']).next()?.parse().ok());
        counts.max().unwrap_or(u64::MAX)
    };
    let (from, limit) = ((17, "'00000000-0000-0000-0000-000000000000'"), (18, "51"));
    let attribute = format!("'{}'", seed::id(77));
    // One of five thousand says yes.
    let sparse = rows("CONTACT_LIST_BOOLEAN", &[(4, &attribute), (8, "true"), from, limit]).await;
    assert!(sparse <= 51, "{sparse} rows");
    // Everybody begins so.
    let ends = [(11, "'e'"), (12, "'e'"), (13, "'n'"), (14, "'f'"), (15, "'f'"), (16, "'o'")];
    let common = rows("CONTACT_LIST_WALK", &[&ends[..], &[from, limit]].concat()).await;
    assert!(common <= 51, "{common} rows");
    let open = [(4, attribute.as_str()), (6, "'-Infinity'"), (7, "'Infinity'"), from, limit];
    let open = rows("CONTACT_LIST_WALK", &open).await;
    assert!(open <= 200, "{open} rows");
    let ends = [(2, "'e'"), (3, "'e'"), (4, "'n'"), (5, "'f'"), (6, "'f'"), (7, "'o'"), (8, "1000")];
    let probed = rows("CONTACT_PROBE_SEARCH", &ends).await;
    assert!(probed <= 1000, "{probed} rows");
    let list = world.lines("SELECT CAST(id AS TEXT) AS line FROM lists ORDER BY id LIMIT 1").await.remove(0);
    world
        .execute(&format!(
            "INSERT INTO list_members (tenant_id, list_id, contact_id, added_at) \
             SELECT '{tenant}', '{list}', gen_random_uuid(), now() FROM generate_series(1, 5000)"
        ))
        .await;
    let list = format!("ARRAY['{list}'::uuid]");
    let from = "'00000000-0000-0000-0000-000000000000'";
    let members = rows("LIST_MEMBERS_OF", &[(2, from), (3, "51"), (4, &list)]).await;
    assert!((51..=60).contains(&members), "{members} rows");
}

/// A search that everybody passes is walked, one that few pass is sorted, and both give the same contacts in order.
#[tokio::test]
async fn a_common_and_a_rare_prefix_are_listed_alike() {
    let Some((world, tenant)) = big().await else { return };
    world.execute("UPDATE contacts SET country = NULL").await;
    let tenant = carillon_entities::ids::TenantId(tenant.parse().expect("a uuid"));
    let grant = world.grant::<carillon_domain::tenancy::ReadContacts>(tenant);
    let listed = async |search: &str| {
        let filter = ContactFilter { search: Some(search.to_owned()), ..Default::default() };
        let mut tx = grant.begin_read().await.unwrap();
        let page = list_contacts(&grant, &mut tx, filter, Page::first(50), Shown::More).await.unwrap();
        tx.commit().await.unwrap();
        page.items.into_iter().map(|contact| contact.more.unwrap().external_id.unwrap()).collect::<Vec<_>>()
    };
    let named = |numbers: Vec<u32>| numbers.iter().map(|n| format!("external_id-{n:05}")).collect::<Vec<_>>();
    // Every third of the seeded contacts is deleted.
    let living = |numbers: std::ops::Range<u32>| numbers.filter(|n| n % 3 != 2).collect::<Vec<_>>();
    assert_eq!(listed("external_id-").await, named(living(0..75)));
    assert_eq!(listed("external_id-0123").await, named(living(1230..1240)));
}

/// An index that is walked from end to end is a scan by another name: what is thrown away is counted, by running.
#[tokio::test]
async fn c205_what_somebody_reaches_costs_what_they_reach() {
    let Some((world, tenant)) = big().await else { return };
    // So many that no plan but one by the indexes is cheap.
    for name in ["accounts", "tenants", "users", "memberships"] {
        let table = tables().find(|table| table.name == name).expect("a table");
        world.execute(&filled(table, &tenant, TimeDelta::zero(), 100_000)).await;
    }
    world.execute("ANALYZE accounts, tenants, users, memberships").await;
    let login = &logins(&world).await[IDENTITY];
    let number = |line: &str, before: &str| {
        let rest = line.split_once(before).map_or("", |(_, rest)| rest);
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u64>().unwrap_or(0)
    };
    // By the rule of `fill` an even row is a membership on an account, under which lies one tenant.
    let places = [format!("'{}'", seed::id(76)), "'00000000-0000-0000-0000-000000000000'".to_owned(), "51".to_owned()];
    for name in ["ACCOUNTS_REACHED", "TENANTS_REACHED", "MEMBERS_REACHED"] {
        let sql = carillon_domain::identity_statements().into_iter().find(|sql| sql.name == name).expect("registered");
        let registered = Registered::of_role(IDENTITY, sql);
        let args = places[..registered.args.split(", ").count()].join(", ");
        let plan = analyzed(login, (name, &registered.prepare, &args), &tenant, "force_generic_plan").await;
        let read = plan.iter().map(|line| number(line, "Rows Removed by Filter: ").max(number(line, "actual rows=")));
        assert!(read.max().is_some_and(|read| (1..500).contains(&read)), "{name}:\n  {}", plan.join("\n  "));
    }
}

fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Uuid => "uuid",
        Kind::Text => "text",
        Kind::Int => "int4",
        Kind::BigInt => "int8",
        Kind::Bool => "bool",
        Kind::Time => "timestamptz",
        Kind::Bytes => "bytea",
        Kind::Json => "jsonb",
        Kind::Float => "float8",
        Kind::Date => "date",
    }
}

/// The three roles' logins, in the order of their numbers.
async fn logins(world: &World) -> Vec<DatabaseConnection> {
    let settings = world.database.settings(1);
    let mut logins = Vec::new();
    for url in [Some(settings.url), settings.identity_url, settings.dispatch_url] {
        logins.push(connect(&url.unwrap()).await.unwrap());
    }
    logins
}

/// A world with one big tenant, and statistics.
async fn big() -> Option<(World, String)> {
    let world = World::on_postgres(WorldOptions::default()).await?;
    world.leave_unsettled();
    let tenant = world.tenant("Big").await.0.to_string();
    for table in tables() {
        // An empty partition is scanned whatever indexes it has: every partition gets its rows.
        let months: &[i64] = if table.access == Access::AppendOnlyPartitioned { &[-28, 0, 31, 61, 92] } else { &[0] };
        for days in months {
            world.execute(&fill(table, &tenant, TimeDelta::days(*days))).await;
        }
    }
    world.execute("ANALYZE").await;
    Some((world, tenant))
}

async fn explain(login: &DatabaseConnection, look_up: &LookUp, tenant: &str, mode: &str) -> Vec<String> {
    let hash = format!("\\x{}", format!("{:032x}", 77).repeat(2));
    let mut args: Vec<String> = if look_up.login == APP { vec![format!("'{tenant}'")] } else { Vec::new() };
    args.extend(look_up.args.iter().map(|arg| {
        format!(
            "'{}'",
            arg.replace("{id}", &seed::id(77).to_string()).replace("{hash}", &hash).replace("{tenant}", tenant)
        )
    }));
    let prepare = format!("PREPARE look_up AS {}", look_up.text);
    plan(login, (look_up.name, &prepare, &args.join(", ")), tenant, mode).await
}

async fn plan(login: &DatabaseConnection, asked: (&str, &str, &str), tenant: &str, mode: &str) -> Vec<String> {
    explained(login, "COSTS off", asked, (tenant, mode)).await
}

async fn analyzed(login: &DatabaseConnection, asked: (&str, &str, &str), tenant: &str, mode: &str) -> Vec<String> {
    explained(login, "COSTS off, ANALYZE, TIMING off, SUMMARY off", asked, (tenant, mode)).await
}

async fn explained(
    login: &DatabaseConnection,
    options: &str,
    (name, prepare, args): (&str, &str, &str),
    (tenant, mode): (&str, &str),
) -> Vec<String> {
    let begin = format!("BEGIN; SET LOCAL app.tenant_id = '{tenant}'; SET LOCAL plan_cache_mode = {mode}");
    login.execute_unprepared(&begin).await.unwrap();
    login.execute_unprepared(prepare).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    let text = format!("EXPLAIN ({options}) EXECUTE look_up({args})");
    let rows = login.query_all_raw(Statement::from_string(DbBackend::Postgres, text)).await;
    let rows = rows.unwrap_or_else(|error| panic!("{name}: {error}"));
    login.execute_unprepared("DEALLOCATE look_up; ROLLBACK").await.unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}

/// Fills a table in one statement with the values [`seed::value`] would make, none left out.
fn fill(table: &Table, tenant: &str, shift: TimeDelta) -> String {
    let rows = if ["contacts", "messages", "idempotency_keys"].contains(&table.name) { 20_000 } else { 5_000 };
    filled(table, tenant, shift, rows)
}

/// The same with so many rows; those that are there stay.
fn filled(table: &Table, tenant: &str, shift: TimeDelta, rows: u32) -> String {
    let (mut names, mut values) = (Vec::new(), Vec::new());
    if table.access.has_tenant() {
        names.push("tenant_id");
        values.push(format!("'{tenant}'::uuid"));
    }
    let id = seed::id(0).simple().to_string();
    for column in columns(table) {
        names.push(column.name);
        let list = column.choices.iter().map(|choice| format!("'{choice}'")).collect::<Vec<_>>().join(", ");
        values.push(match (column.kind, column.name) {
            // One attribute that every contact has: only its value narrows.
            (Kind::Uuid, "attribute_id") => format!("'{}'::uuid", seed::id(77)),
            // One event that everybody did: only the contact narrows.
            (Kind::Uuid, "event_id") if table.name == "contact_events" => format!("'{}'::uuid", seed::id(77)),
            (Kind::Uuid, name) => {
                let shift = if name == "id" { shift.num_milliseconds() } else { 0 };
                format!("(lpad(to_hex({} + g), 12, '0') || '{}')::uuid", start().timestamp_millis() + shift, &id[12..])
            }
            (Kind::Text, _) if !list.is_empty() => format!("(ARRAY[{list}])[g % {} + 1]", column.choices.len()),
            (Kind::Text, "channel") => "'email'".to_owned(),
            (Kind::Text, name) => format!("'{name}-' || lpad(g::text, 5, '0')"),
            (Kind::Int, "depth") => "1".to_owned(),
            (Kind::Int | Kind::BigInt | Kind::Float, _) => "g".to_owned(),
            (Kind::Bool, _) => "g = 0".to_owned(),
            (Kind::Time, _) => format!("'{}'::timestamptz + g * interval '1 minute'", start().to_rfc3339()),
            (Kind::Bytes, _) => "decode(repeat(lpad(to_hex(g), 32, '0'), 2), 'hex')".to_owned(),
            (Kind::Json, _) => "'{}'::jsonb".to_owned(),
            (Kind::Date, _) => format!("'{}'::date", start().date_naive()),
        });
    }
    format!(
        "INSERT INTO {} ({}) SELECT {} FROM generate_series(0, {rows} - 1) AS g ON CONFLICT DO NOTHING",
        table.name,
        names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", "),
        values.join(", ")
    )
}
