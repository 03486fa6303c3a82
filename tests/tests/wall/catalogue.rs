//! What Postgres' own catalogue says about the wall: keys, policies, forced row security, roles (C-205, C-207, C-208).

use std::collections::BTreeSet;

use carillon_tests::{World, WorldOptions};

/// Every table without a tenant, and why nobody adds one lightly.
const WITHOUT_TENANT: [&str; 9] = [
    "accounts",
    "credentials",
    "dispatcher_leases",
    "identity_idempotency_keys",
    "memberships",
    "refresh_sessions",
    "seaql_migrations",
    "tenants",
    "users",
];

/// What the application role reads of them all the same, in the transaction of a tenant that depends on it, and why.
const APPLICATION_READS: [(&str, &str); 15] = [
    ("credentials.id", "an API key is still good (C-213), asked with BEGIN"),
    ("credentials.scope_kind", "only keys of the tenant that is set"),
    ("credentials.scope_id", "only keys of the tenant that is set"),
    ("credentials.document_set_id", "an API key is still held to what it was let in with, asked with BEGIN"),
    ("credentials.expires_at", "an API key is still good (C-213), asked with BEGIN"),
    ("credentials.revoked_at", "an API key is still good (C-213), asked with BEGIN"),
    ("seaql_migrations.version", "the schema is not older than the process, asked by readiness"),
    ("tenants.id", "the tenant is not suspended: asked with BEGIN, and by the gate"),
    ("tenants.default_zone", "the time of day for somebody whose zone is not known, asked in the batch"),
    ("tenants.default_locale", "the language of a mail to somebody whose own is not known, chosen in the batch"),
    ("tenants.max_messages_per_day", "the daily limit is counted in the transaction that takes the messages"),
    ("tenants.suspended_at", "the tenant is not suspended: asked with BEGIN, and by the gate"),
    ("users.id", "an access token is still good (C-213), asked with BEGIN"),
    ("users.auth_version", "an access token is still good (C-213), asked with BEGIN"),
    ("users.disabled_at", "an access token is still good (C-213), asked with BEGIN"),
];

/// The policy of the wall, as Postgres prints it.
const WALL: &str =
    "(tenant_id = ( SELECT (NULLIF(current_setting('app.tenant_id'::text, true), ''::text))::uuid AS \"nullif\"))";

/// Tables and partitions with a tenant column: `c` is the class.
const WITH_TENANT: &str = "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public' \
     JOIN pg_attribute t ON t.attrelid = c.oid AND t.attname = 'tenant_id' WHERE c.relkind IN ('r', 'p')";

async fn world() -> Option<World> {
    World::on_postgres(WorldOptions::default()).await
}

async fn none(world: &World, what: &str, sql: &str) {
    let lines = world.lines(sql).await;
    assert!(lines.is_empty(), "{what}: {lines:?}");
}

#[tokio::test]
async fn c205_tables_without_a_tenant_are_a_closed_list() {
    let Some(world) = world().await else { return };
    let found = world
        .lines(
            "SELECT c.relname::text AS line FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'f') AND NOT EXISTS \
             (SELECT 1 FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'tenant_id')",
        )
        .await;
    let found: BTreeSet<_> = found.iter().map(String::as_str).collect();
    assert_eq!(found, BTreeSet::from(WITHOUT_TENANT));
    let tables = world.number(&format!("SELECT COUNT(*) AS amount FROM {WITH_TENANT}")).await;
    assert!(tables > 40, "only {tables} tables with a tenant: the query is wrong");
}

#[tokio::test]
async fn c205_every_key_and_one_index_of_every_table_start_with_the_tenant() {
    let Some(world) = world().await else { return };
    none(
        &world,
        "tenant columns that may be NULL or are no uuid",
        &format!(
            "SELECT c.relname::text AS line FROM {WITH_TENANT} AND NOT (t.attnotnull AND t.atttypid = 'uuid'::regtype)"
        ),
    )
    .await;
    none(
        &world,
        "tables without a primary key",
        &format!(
            "SELECT c.relname::text AS line FROM {WITH_TENANT} AND NOT EXISTS \
             (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indkey[0] = t.attnum)"
        ),
    )
    .await;
    none(
        &world,
        "unique keys that do not start with the tenant",
        "SELECT i.indexrelid::regclass::text AS line FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid \
         JOIN pg_attribute t ON t.attrelid = c.oid AND t.attname = 'tenant_id' \
         WHERE i.indisunique AND i.indkey[0] <> t.attnum AND c.relnamespace = 'public'::regnamespace",
    )
    .await;
    none(
        &world,
        "foreign keys between tenants' tables that do not start with the tenant on both sides",
        "SELECT f.conrelid::regclass::text || '.' || f.conname AS line FROM pg_constraint f \
         JOIN pg_attribute t ON t.attrelid = f.conrelid AND t.attname = 'tenant_id' \
         LEFT JOIN pg_attribute r ON r.attrelid = f.confrelid AND r.attname = 'tenant_id' \
         WHERE f.contype = 'f' AND (f.conkey[1] <> t.attnum OR r.attnum IS NULL OR f.confkey[1] <> r.attnum)",
    )
    .await;
    none(
        &world,
        "tables without an index that starts with the tenant",
        &format!(
            "SELECT c.relname::text AS line FROM {WITH_TENANT} AND NOT EXISTS \
             (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indkey[0] = t.attnum AND i.indpred IS NULL)"
        ),
    )
    .await;
}

#[tokio::test]
async fn c205_every_table_has_the_policy_and_forced_row_security() {
    let Some(world) = world().await else { return };
    none(
        &world,
        "tables and partitions without forced row security",
        &format!(
            "SELECT c.relname::text AS line FROM {WITH_TENANT} AND NOT (c.relrowsecurity AND c.relforcerowsecurity)"
        ),
    )
    .await;
    // A partition has no policy, so whoever names it directly sees nothing; its parent's policy guards the usual way.
    none(
        &world,
        "tables whose policy for the application is not the wall",
        &format!(
            "SELECT c.relname::text AS line FROM {WITH_TENANT} AND NOT c.relispartition AND NOT EXISTS \
             (SELECT 1 FROM pg_policies p WHERE p.tablename = c.relname AND p.policyname = 'tenant_wall' \
             AND p.permissive = 'PERMISSIVE' AND p.cmd = 'ALL' AND p.roles = '{{carillon_app}}' \
             AND p.qual = '{wall}' AND p.with_check = '{wall}')",
            wall = WALL.replace('\'', "''")
        ),
    )
    .await;
    none(
        &world,
        "further policies, each a hole unless it is the dispatch role's",
        "SELECT tablename || '.' || policyname AS line FROM pg_policies WHERE policyname <> 'tenant_wall' AND NOT \
         (policyname = 'dispatch_reads' AND cmd = 'SELECT' AND roles = '{carillon_dispatch}' \
         AND tablename IN ('messages', 'message_hits', 'message_batches', 'enrollments', 'workflows', 'pauses', 'campaign_runs', 'imports', 'uploads', \
         'idempotency_keys', 'webhook_deliveries', 'webhook_endpoints', 'tenants')) \
         AND NOT (tablename IN ('tenants', 'credentials') \
         AND ((policyname = 'all_rows' AND roles = '{carillon_identity}') \
         OR (policyname IN ('own_tenant', 'own_keys') AND cmd = 'SELECT' AND roles = '{carillon_app}')))",
    )
    .await;
}

#[tokio::test]
async fn c207_nothing_runs_with_anothers_rights() {
    let Some(world) = world().await else { return };
    none(
        &world,
        "views and rules, which run with their owner's rights",
        "SELECT c.relname::text AS line FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace \
         AND c.relkind IN ('v', 'm', 'f')",
    )
    .await;
    none(
        &world,
        "security definer functions",
        "SELECT p.proname::text AS line FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef",
    )
    .await;
}

#[tokio::test]
async fn c208_the_roles_own_nothing_and_bypass_nothing() {
    let Some(world) = world().await else { return };
    let roles = "('carillon_app', 'carillon_identity', 'carillon_dispatch')";
    assert_eq!(world.number(&format!("SELECT COUNT(*) AS amount FROM pg_roles WHERE rolname IN {roles}")).await, 3);
    none(
        &world,
        "roles with an attribute that breaks the wall",
        &format!(
            "SELECT rolname::text AS line FROM pg_roles WHERE rolname IN {roles} AND (rolsuper OR rolbypassrls \
             OR rolcreatedb OR rolcreaterole OR rolreplication OR NOT rolcanlogin)"
        ),
    )
    .await;
    none(
        &world,
        "memberships in other roles",
        &format!(
            "SELECT r.rolname || ' in ' || g.rolname AS line FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member \
             JOIN pg_roles g ON g.oid = m.roleid WHERE r.rolname IN {roles}"
        ),
    )
    .await;
    none(
        &world,
        "things they own",
        &format!(
            "SELECT c.relname::text AS line FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE r.rolname IN {roles} \
             UNION ALL SELECT p.proname::text FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner WHERE r.rolname IN {roles} \
             UNION ALL SELECT n.nspname::text FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner WHERE r.rolname IN {roles}"
        ),
    )
    .await;
    none(
        &world,
        "DDL: creating in the schema or the database, truncating, triggers",
        &format!(
            "SELECT r.rolname::text AS line FROM pg_roles r WHERE r.rolname IN {roles} AND \
             (has_schema_privilege(r.oid, 'public', 'CREATE') OR has_database_privilege(r.oid, current_database(), 'CREATE')) \
             UNION ALL SELECT r.rolname || ' on ' || c.relname FROM pg_roles r, pg_class c WHERE r.rolname IN {roles} \
             AND c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') \
             AND has_table_privilege(r.oid, c.oid, 'TRUNCATE, REFERENCES, TRIGGER')"
        ),
    )
    .await;
}

#[tokio::test]
async fn c208_each_role_reaches_its_own_tables_only() {
    let Some(world) = world().await else { return };
    let reachable = |role: &str| {
        format!(
            "SELECT c.relname::text AS line FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace \
             AND c.relkind IN ('r', 'p') AND has_table_privilege('{role}', c.oid, 'SELECT, INSERT, UPDATE, DELETE')"
        )
    };
    let found = world.lines(&reachable("carillon_identity")).await;
    let found: BTreeSet<_> = found.iter().map(String::as_str).collect();
    let mut identity = BTreeSet::from(WITHOUT_TENANT);
    identity.remove("seaql_migrations");
    assert_eq!(found, identity);
    let overlap = format!("{} INTERSECT {}", reachable("carillon_app"), reachable("carillon_identity"));
    none(&world, "tables both the application and the identity role reach", &overlap).await;
    let columns = world
        .lines(&format!(
            "SELECT c.relname || '.' || a.attname AS line FROM pg_class c \
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') \
             AND c.relname IN ('{}') \
             AND has_column_privilege('carillon_app', c.oid, a.attnum, 'SELECT, INSERT, UPDATE, REFERENCES') \
             ORDER BY c.relname, a.attnum",
            WITHOUT_TENANT.join("', '")
        ))
        .await;
    let allowed: Vec<_> = APPLICATION_READS.iter().map(|(column, _)| *column).collect();
    assert_eq!(columns, allowed, "columns of tables without a tenant that the application role reaches");
    none(
        &world,
        "columns of tables without a tenant that the application role may change",
        &format!(
            "SELECT c.relname || '.' || a.attname AS line FROM pg_class c \
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
             WHERE c.relnamespace = 'public'::regnamespace AND c.relname IN ('{}') \
             AND has_column_privilege('carillon_app', c.oid, a.attnum, 'INSERT, UPDATE, REFERENCES')",
            WITHOUT_TENANT.join("', '")
        ),
    )
    .await;
    none(&world, "whole tables of the dispatch role", &reachable("carillon_dispatch")).await;
    none(
        &world,
        "columns the dispatch role reads beyond what is due",
        "SELECT c.relname || '.' || a.attname AS line FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 \
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') \
         AND has_column_privilege('carillon_dispatch', c.oid, a.attnum, 'SELECT, INSERT, UPDATE') \
         AND a.attname NOT IN ('tenant_id', 'lane', 'state', 'due_at', 'expires_at', 'lease_until') \
         AND c.relname || '.' || a.attname NOT IN ('message_hits.class', 'message_batches.made_at', 'message_batches.last_place', 'imports.upload_id', 'uploads.id', \
         'enrollments.workflow_id', 'workflows.id', 'workflows.closing_at', 'pauses.subject_id', 'pauses.paused_at', \
         'webhook_deliveries.endpoint_id', 'webhook_endpoints.id', 'webhook_endpoints.rests_until', 'tenants.id', 'tenants.suspended_at')",
    )
    .await;
    none(
        &world,
        "partitions the application can name",
        "SELECT c.relname::text AS line FROM pg_class c WHERE c.relispartition AND c.relkind = 'r' \
         AND has_table_privilege('carillon_app', c.oid, 'SELECT, INSERT, UPDATE, DELETE')",
    )
    .await;
}
