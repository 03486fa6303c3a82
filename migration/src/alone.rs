//! Registered statements that may be transactions of their own: on Postgres each has a function that sets the tenant for its
//! transaction and then runs the same text, so that they are one statement in one round trip.
//!
//! They run with the rights of whoever calls them, which is the application alone: row security and grants hold inside as
//! they do outside (L1). The last four arguments of each are the credential that must still be good, a user's or a key's or
//! none (C-213). Setting the tenant is a statement before the other, whose policies look for it when it begins. A
//! transaction that has a tenant keeps it: called in there, a function refuses. The tests of the wall compare the texts with
//! those of the stores, and show that row security holds where the text does not.

use crate::seeded_bugs;

struct Alone {
    name: &'static str,
    arguments: &'static str,
    returns: &'static str,
    text: &'static str,
}

const ALONE: [Alone; 3] = [ATTEMPTS_STEP, CONTACT_GET, CONTACT_LIST];

const ATTEMPTS_STEP: Alone = Alone {
    name: "carillon_alone_attempts_step",
    arguments: "uuid, timestamptz, uuid[], int4[], int8[], text[], int4[], text[], text[], text[]",
    returns: "TABLE (id uuid, state text)",
    text: r#"WITH steps AS (SELECT * FROM UNNEST(
            $3::uuid[], $4::int4[], $5::int8[], $6::text[], $7::int4[], $8::text[], $9::text[], $10::text[])
            AS batch_rows("message_id", "number", "fence", "state", "smtp_code", "enhanced_code", "class", "rule_id"))
        UPDATE attempts SET
            state = CASE WHEN attempts.state = 'cleared' AND steps.state = 'not_handed_over' THEN 'lapsed' ELSE steps.state END,
            started_at = CASE WHEN steps.state = 'started' THEN $2 ELSE attempts.started_at END,
            settled_at = CASE WHEN steps.state = 'started' THEN NULL ELSE $2 END,
            smtp_code = steps.smtp_code, enhanced_code = steps.enhanced_code, class = steps.class, rule_id = steps.rule_id
        FROM steps WHERE attempts.tenant_id = $1 AND attempts.message_id = steps.message_id
            AND attempts.number = steps.number AND CASE steps.state
            WHEN 'started' THEN attempts.state = 'cleared' AND attempts.fence = steps.fence
                AND EXISTS (SELECT 1 FROM messages m WHERE m.tenant_id = $1 AND m.id = steps.message_id
                    AND m.fence = steps.fence AND m.state = 'claimed' AND m.lease_until > $2)
                AND NOT EXISTS (SELECT 1 FROM attempts o WHERE o.tenant_id = $1 AND o.message_id = steps.message_id
                    AND o.state = 'accepted')
            WHEN 'not_handed_over' THEN attempts.state IN ('cleared', 'started', 'unknown')
            WHEN 'unknown' THEN attempts.state = 'started'
            ELSE attempts.state IN ('started', 'unknown') END
        RETURNING attempts.message_id AS id, attempts.state AS state"#,
};

const CONTACT_GET: Alone = Alone {
    name: "carillon_alone_contact_get",
    arguments: "uuid, uuid[]",
    returns: "TABLE (tenant_id uuid, id uuid, state text, external_id text, email text, email_norm text,
        former_email text, phone_norm text, first_name text, last_name text, name_norm text, locale text, zone text,
        country text, attributes jsonb, version int8, import_id uuid, created_at timestamptz, updated_at timestamptz,
        archived_at timestamptz, deleted_at timestamptz)",
    text: r#"SELECT c.tenant_id, c.id, c.state, c.external_id, c.email, c.email_norm, c.former_email, c.phone_norm, c.first_name,
            c.last_name, c.name_norm, c.locale, c.zone, c.country, c.attributes, c.version, c.import_id, c.created_at,
            c.updated_at, c.archived_at, c.deleted_at FROM contacts AS c WHERE c.tenant_id = $1
        AND c.id IN (SELECT b.id FROM (SELECT * FROM UNNEST($2::uuid[]) AS batch_rows("id")) AS b)"#,
};

const CONTACT_LIST: Alone = Alone {
    name: "carillon_alone_contact_list",
    arguments: "uuid, uuid, int8, bool",
    returns: "TABLE (id uuid, state text, email text, first_name text, last_name text, version int8, external_id text,
        email_norm text, phone_norm text, created_at timestamptz, updated_at timestamptz)",
    text: "SELECT c.id, c.state, c.email, c.first_name, c.last_name, CASE WHEN $4 THEN c.version END,
            CASE WHEN $4 THEN c.external_id END, CASE WHEN $4 THEN c.email_norm END,
            CASE WHEN $4 THEN c.phone_norm END, CASE WHEN $4 THEN c.created_at END, CASE WHEN $4 THEN c.updated_at END
        FROM contacts AS c WHERE c.tenant_id = $1 AND c.id > $2
            AND c.state <> 'deleted' ORDER BY c.id LIMIT (SELECT CAST($3 AS BIGINT))",
};

/// The functions, and who may call them.
pub fn functions() -> Vec<String> {
    ALONE.iter().flat_map(of).collect()
}

fn of(alone: &Alone) -> [String; 3] {
    let Alone { name, arguments, returns, text } = alone;
    let is_local = !seeded_bugs::on("alone_set_for_session");
    let user = arguments.split(',').count() + 1;
    let (version, key, set) = (user + 1, user + 2, user + 3);
    let arguments = format!("{arguments}, uuid, int8, uuid, uuid");
    let check = if seeded_bugs::on("alone_credential_unchecked") { "false" } else { "true" };
    [
        // One plan for arrays of any length, the one that the tests of the wall look at: to plan each call anew would cost more
        // than the round trips that are saved. The names of columns are also names of what is returned.
        format!(
            "CREATE FUNCTION {name}({arguments}) RETURNS {returns} LANGUAGE plpgsql SECURITY INVOKER
    SET plan_cache_mode = 'force_generic_plan' AS $$
    #variable_conflict use_column
    BEGIN
        IF current_setting('app.tenant_id', true) <> '' THEN
            RAISE EXCEPTION 'the transaction has a tenant' USING ERRCODE = 'CA400';
        END IF;
        PERFORM set_config('app.tenant_id', $1::text, {is_local});
        IF ${user} IS NOT NULL AND {check} THEN
            CALL carillon_assert_user(${user}, ${version}, $1);
        ELSIF ${key} IS NOT NULL AND {check} THEN
            CALL carillon_assert_key(${key}, $1, ${set});
        END IF;
        RETURN QUERY {text};
    END $$"
        ),
        format!("REVOKE ALL ON FUNCTION {name}({arguments}) FROM PUBLIC"),
        format!("GRANT EXECUTE ON FUNCTION {name}({arguments}) TO carillon_app"),
    ]
}
