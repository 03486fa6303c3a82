//! Roles of the Postgres cluster and the functions that stand under the wall.
//!
//! The owner has DDL. `carillon_app` owns nothing, has no DDL but temporary tables, and no bypass of row security.
//! `carillon_identity` has the tables without a tenant. `carillon_dispatch` reads due ids of all tenants, nothing else.

/// The three roles that processes log in as.
pub const ROLES: [&str; 3] = ["carillon_app", "carillon_identity", "carillon_dispatch"];

/// Makes the roles if the cluster does not have them; serialised, because roles are shared by all its databases.
pub const CREATE_ROLES: &str = r"
DO $$
DECLARE wanted text;
BEGIN
    PERFORM pg_advisory_xact_lock(7228003114);
    FOREACH wanted IN ARRAY ARRAY['carillon_app', 'carillon_identity', 'carillon_dispatch'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', wanted);
            EXECUTE format('ALTER ROLE %I SET statement_timeout = ''60s''', wanted);
            EXECUTE format('ALTER ROLE %I SET lock_timeout = ''10s''', wanted);
            EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = ''60s''', wanted);
        END IF;
    END LOOP;
END $$";

/// Functions that the tables' triggers and the wall's BEGIN need.
pub const BEFORE_TABLES: [&str; 3] = [
    "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    "GRANT USAGE ON SCHEMA public TO carillon_app, carillon_identity, carillon_dispatch",
    r"CREATE FUNCTION carillon_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'CA409';
    END $$",
];

/// What needs the tables: the attempts' one-way states, the freshness checks (C-213), the dispatch role's view.
pub const AFTER_TABLES: [&str; 18] = [
    r"CREATE FUNCTION carillon_attempt_step() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            RAISE EXCEPTION 'attempts are never deleted' USING ERRCODE = 'CA409';
        END IF;
        IF NOT ((OLD.state = 'cleared' AND NEW.state IN ('started', 'lapsed'))
            OR (OLD.state = 'started' AND NEW.state IN ('accepted', 'deferred', 'rejected', 'not_handed_over', 'unknown'))
            OR (OLD.state = 'unknown' AND NEW.state IN ('accepted', 'deferred', 'rejected', 'not_handed_over'))) THEN
            RAISE EXCEPTION 'an attempt cannot go from % to %', OLD.state, NEW.state USING ERRCODE = 'CA409';
        END IF;
        IF (NEW.tenant_id, NEW.message_id, NEW.number, NEW.decision_id, NEW.fence, NEW.worker, NEW.cleared_at)
            IS DISTINCT FROM (OLD.tenant_id, OLD.message_id, OLD.number, OLD.decision_id, OLD.fence, OLD.worker, OLD.cleared_at) THEN
            RAISE EXCEPTION 'what an attempt was cleared for does not change' USING ERRCODE = 'CA409';
        END IF;
        RETURN NEW;
    END $$",
    "CREATE TRIGGER attempt_step BEFORE UPDATE OR DELETE ON attempts FOR EACH ROW EXECUTE FUNCTION carillon_attempt_step()",
    r"CREATE PROCEDURE carillon_assert_tenant(wanted uuid) LANGUAGE plpgsql AS $$
    BEGIN
        IF NOT EXISTS (SELECT 1 FROM tenants WHERE id = wanted AND suspended_at IS NULL) THEN
            RAISE EXCEPTION 'the tenant is suspended' USING ERRCODE = 'CA403';
        END IF;
    END $$",
    r"CREATE PROCEDURE carillon_assert_user(wanted uuid, version bigint, tenant uuid) LANGUAGE plpgsql AS $$
    DECLARE good boolean; live boolean;
    BEGIN
        -- Both in one statement: this stands before every transaction of a request.
        SELECT EXISTS (SELECT 1 FROM users WHERE id = wanted AND auth_version = version AND disabled_at IS NULL),
            EXISTS (SELECT 1 FROM tenants WHERE id = tenant AND suspended_at IS NULL) INTO good, live;
        IF NOT good THEN
            RAISE EXCEPTION 'the credential is no longer good' USING ERRCODE = 'CA401';
        END IF;
        IF NOT live THEN
            RAISE EXCEPTION 'the tenant is suspended' USING ERRCODE = 'CA403';
        END IF;
    END $$",
    r"CREATE PROCEDURE carillon_assert_key(wanted uuid, tenant uuid, allowed uuid) LANGUAGE plpgsql AS $$
    DECLARE good boolean; live boolean;
    BEGIN
        SELECT EXISTS (SELECT 1 FROM credentials WHERE id = wanted AND scope_id = tenant AND revoked_at IS NULL
                AND document_set_id IS NOT DISTINCT FROM allowed AND (expires_at IS NULL OR expires_at > now())),
            EXISTS (SELECT 1 FROM tenants WHERE id = tenant AND suspended_at IS NULL) INTO good, live;
        IF NOT good THEN
            RAISE EXCEPTION 'the credential is no longer good' USING ERRCODE = 'CA401';
        END IF;
        IF NOT live THEN
            RAISE EXCEPTION 'the tenant is suspended' USING ERRCODE = 'CA403';
        END IF;
    END $$",
    "GRANT SELECT (tenant_id, lane, state, due_at, lease_until) ON messages TO carillon_dispatch",
    "GRANT SELECT (tenant_id, upload_id, state, due_at, lease_until) ON imports TO carillon_dispatch",
    "GRANT SELECT (tenant_id, workflow_id, state, due_at) ON enrollments TO carillon_dispatch",
    "GRANT SELECT (tenant_id, id, state, closing_at) ON workflows TO carillon_dispatch",
    "GRANT SELECT (tenant_id, subject_id, paused_at) ON pauses TO carillon_dispatch",
    "GRANT SELECT (tenant_id, due_at) ON campaign_runs TO carillon_dispatch",
    "GRANT SELECT (tenant_id, class, due_at) ON message_hits TO carillon_dispatch",
    "GRANT SELECT (tenant_id, made_at, last_place) ON message_batches TO carillon_dispatch",
    "GRANT SELECT (tenant_id, id, state, expires_at) ON uploads TO carillon_dispatch",
    "GRANT SELECT (tenant_id, expires_at) ON idempotency_keys TO carillon_dispatch",
    "GRANT SELECT (tenant_id, endpoint_id, state, due_at) ON webhook_deliveries TO carillon_dispatch",
    "GRANT SELECT (tenant_id, id, state, lease_until, rests_until) ON webhook_endpoints TO carillon_dispatch",
    "GRANT SELECT (id, suspended_at) ON tenants TO carillon_dispatch",
];

/// What the application role reads of the tables without a tenant, in the transaction of the send or the read that
/// depends on it: whether the credential is still good (C-213), whether the tenant is suspended, and its daily limit; and
/// for readiness the names of the migrations that the database has had.
/// Named columns only; and of tenants and credentials only the rows of the tenant that is set. A user belongs to no
/// tenant, so of users it is the columns alone: no address, no name, no password.
pub const APPLICATION_READS: [&str; 12] = [
    "GRANT SELECT (version) ON seaql_migrations TO carillon_app",
    "GRANT SELECT (id, auth_version, disabled_at) ON users TO carillon_app",
    "GRANT SELECT (id, suspended_at, max_messages_per_day, default_zone, default_locale) ON tenants TO carillon_app",
    "GRANT SELECT (id, scope_kind, scope_id, document_set_id, revoked_at, expires_at) ON credentials TO carillon_app",
    "ALTER TABLE tenants ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE tenants FORCE ROW LEVEL SECURITY",
    "CREATE POLICY all_rows ON tenants TO carillon_identity USING (true) WITH CHECK (true)",
    "CREATE POLICY own_tenant ON tenants FOR SELECT TO carillon_app \
     USING (id = (SELECT NULLIF(current_setting('app.tenant_id', true), '')::uuid))",
    "ALTER TABLE credentials ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE credentials FORCE ROW LEVEL SECURITY",
    "CREATE POLICY all_rows ON credentials TO carillon_identity USING (true) WITH CHECK (true)",
    "CREATE POLICY own_keys ON credentials FOR SELECT TO carillon_app USING (scope_kind = 'tenant' \
     AND scope_id = (SELECT NULLIF(current_setting('app.tenant_id', true), '')::uuid))",
];

/// Policies of the dispatch role: it reads the due columns of every tenant, and whether it is suspended or what is due is held.
pub const DISPATCH_POLICIES: [&str; 13] = [
    "CREATE POLICY dispatch_reads ON messages FOR SELECT TO carillon_dispatch USING (true)",
    "CREATE POLICY dispatch_reads ON imports FOR SELECT TO carillon_dispatch USING (true)",
    "CREATE POLICY dispatch_reads ON enrollments FOR SELECT TO carillon_dispatch USING (true)",
    "CREATE POLICY dispatch_reads ON workflows FOR SELECT TO carillon_dispatch USING (true)",
    "CREATE POLICY dispatch_reads ON pauses FOR SELECT TO carillon_dispatch USING (true)",
    "CREATE POLICY dispatch_reads ON campaign_runs FOR SELECT TO carillon_dispatch USING (true)",
    "CREATE POLICY dispatch_reads ON message_hits FOR SELECT TO carillon_dispatch USING (true)",
    "CREATE POLICY dispatch_reads ON message_batches FOR SELECT TO carillon_dispatch USING (true)",
    "CREATE POLICY dispatch_reads ON uploads FOR SELECT TO carillon_dispatch USING (true)",
    "CREATE POLICY dispatch_reads ON idempotency_keys FOR SELECT TO carillon_dispatch USING (true)",
    "CREATE POLICY dispatch_reads ON webhook_deliveries FOR SELECT TO carillon_dispatch USING (true)",
    "CREATE POLICY dispatch_reads ON webhook_endpoints FOR SELECT TO carillon_dispatch USING (true)",
    "CREATE POLICY dispatch_reads ON tenants FOR SELECT TO carillon_dispatch USING (true)",
];

/// The attempts' one-way states on SQLite.
pub const SQLITE_ATTEMPT_TRIGGERS: [&str; 2] = [
    r"CREATE TRIGGER attempt_step BEFORE UPDATE ON attempts
    WHEN NOT ((OLD.state = 'cleared' AND NEW.state IN ('started', 'lapsed'))
        OR (OLD.state = 'started' AND NEW.state IN ('accepted', 'deferred', 'rejected', 'not_handed_over', 'unknown'))
        OR (OLD.state = 'unknown' AND NEW.state IN ('accepted', 'deferred', 'rejected', 'not_handed_over')))
        OR (NEW.tenant_id, NEW.message_id, NEW.number, NEW.decision_id, NEW.fence, NEW.worker, NEW.cleared_at)
        <> (OLD.tenant_id, OLD.message_id, OLD.number, OLD.decision_id, OLD.fence, OLD.worker, OLD.cleared_at)
    BEGIN SELECT RAISE(ABORT, 'an attempt only goes forward'); END",
    "CREATE TRIGGER attempt_no_delete BEFORE DELETE ON attempts
    BEGIN SELECT RAISE(ABORT, 'attempts are never deleted'); END",
];

/// Storage settings of the tables that change all the time.
pub const HOT_TABLES: [&str; 5] = [
    "ALTER TABLE messages SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)",
    "ALTER TABLE attempts SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)",
    "ALTER TABLE enrollments SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)",
    "ALTER TABLE webhook_deliveries SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)",
    "ALTER TABLE endpoints SET (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05)",
];
