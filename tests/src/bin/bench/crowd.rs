//! People by the hundred thousand, set by set and past the wall: what is there before anything is measured.
//!
//! They are as an import leaves them, with an endpoint each. Consent is what the gate asks when a mail is to leave; nothing
//! that is measured on a crowd comes so far.

use anyhow::Result;
use carillon_domain::consent::Channel;
use carillon_domain::ids::{ContactId, TenantId};

use super::set::Set;

/// People that are made at once.
const CHUNK: u32 = 5_000;

/// The keyed hash of each contact's address: SQL by hand has no keyring, so it looks up what ours has to compute.
const ADDRESSES: &str = "CREATE TABLE IF NOT EXISTS bench_addresses (tenant_id uuid, contact_id uuid, \
     address_hmac bytea NOT NULL, hmac_key_id text NOT NULL, PRIMARY KEY (tenant_id, contact_id)); \
     GRANT SELECT ON bench_addresses TO carillon_app";

const PEOPLE: &str = "WITH people AS (SELECT * FROM UNNEST($2::uuid[], $3::text[], $4::text[], $5::bytea[]) \
        AS p (id, email, country, address_hmac)), \
     made AS (INSERT INTO contacts (tenant_id, id, state, email, email_norm, first_name, country, attributes, version, \
        created_at, updated_at) \
        SELECT $1, id, 'active', email, email, 'Ada', country, '{}', 1, now(), now() FROM people), \
     known AS (INSERT INTO bench_addresses (tenant_id, contact_id, address_hmac, hmac_key_id) \
        SELECT $1, id, address_hmac, $6 FROM people) \
     INSERT INTO endpoints (tenant_id, address_hmac, channel, hmac_key_id, subject_ref, hard_bounces, soft_bounces, \
        consent_version, created_at, updated_at) \
     SELECT $1, address_hmac, 'email', $6, gen_random_uuid(), 0, 0, 1, now(), now() FROM people";

/// Makes so many, half of them in Austria and half in Switzerland.
pub async fn gather(set: &mut Set, tenant: TenantId, count: u32) -> Result<Vec<ContactId>> {
    sqlx::raw_sql(ADDRESSES).execute(&mut set.owner).await?;
    let hasher = set.stage.ports.keys.address_hasher(tenant);
    let mut all = Vec::with_capacity(usize::try_from(count)?);
    for first in (0..count).step_by(usize::try_from(CHUNK)?) {
        let (mut ids, mut emails, mut countries, mut addresses) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut key = String::new();
        for number in first..count.min(first + CHUNK) {
            let email = format!("p{number}@d{}.people.example", number % 499);
            let hmac = hasher.active(Channel::Email, &email);
            key = hmac.key.to_string();
            addresses.push(hmac.hash.as_bytes().to_vec());
            ids.push(set.stage.ports.new_id::<ContactId>().0);
            countries.push(if number % 2 == 0 { "AT" } else { "CH" });
            emails.push(email);
        }
        let insert =
            sqlx::query(PEOPLE).bind(tenant.0).bind(&ids).bind(&emails).bind(&countries).bind(&addresses).bind(&key);
        insert.execute(&mut set.owner).await?;
        all.extend(ids.into_iter().map(ContactId));
    }
    Ok(all)
}
