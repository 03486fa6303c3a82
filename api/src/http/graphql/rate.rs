//! Requests are paid for before they run (C-234). What the buckets hold is told in headers (draft-ietf-httpapi-ratelimit-headers)
//! and beside the answer, in `extensions.cost`.

use std::fmt::Write as _;
use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderName, HeaderValue};
use async_graphql::{Name, Response, ServerError, Value};
use carillon_domain::tenancy::{Payer, Payers, RateLimited, RateSettings, Rates, Standing, Standings};
use chrono::TimeDelta;

use super::is_not_run;
use crate::graphql::limits::{self, Cost};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Keys of `extensions.cost`.
static KEYS: LazyLock<[Name; 6]> =
    LazyLock::new(|| ["requested", "max", "bucket", "limit", "remaining", "restoreRate"].map(Name::new));

/// The policies of a deployment, as their header tells them to each kind of caller.
#[derive(Debug)]
pub struct RatePolicies {
    key: Option<HeaderValue>,
    member: Option<HeaderValue>,
    user: Option<HeaderValue>,
}

impl RatePolicies {
    /// Those of these settings.
    pub fn new(settings: RateSettings) -> Self {
        let tenant = policy("tenant", settings.tenant);
        let (key, user) = (policy("key", settings.key), policy("user", settings.user));
        let header = |text: String| HeaderValue::try_from(text).ok();
        Self {
            key: header(format!("{tenant}, {key}")),
            member: header(format!("{tenant}, {user}")),
            user: header(user),
        }
    }

    fn of(&self, standings: &Standings) -> Option<&HeaderValue> {
        match standings.map(|standing| standing.map(|standing| standing.payer)) {
            [_, Some(Payer::Key(_))] => self.key.as_ref(),
            [Some(_), Some(_)] => self.member.as_ref(),
            [None, Some(_)] => self.user.as_ref(),
            [_, None] => None,
        }
    }
}

fn policy(name: &str, limit: u32) -> String {
    format!("\"{name}\";q={limit};w=60;qu=\"cost\"")
}

/// Runs what can be paid for. What did not run after all, because it does not fit the schema, is free; what was not
/// answered in time ran as long as that, and is paid for.
pub(super) async fn paid(
    rates: &Rates,
    (payers, cost): (Payers, Cost),
    run: impl Future<Output = Response>,
) -> (Response, Standings) {
    let payment = match rates.charge(&payers, cost.0).await {
        Ok(payment) => payment,
        Err(limited) => return (refused(&limited), limited.standings),
    };
    let mut response = run.await;
    if is_not_run(&response) {
        return (response, rates.refund(payment));
    }
    tell_cost(&mut response, cost, &payment.standings);
    (response, payment.standings)
}

/// The answer to a request that was not run because its caller has too few points.
pub(super) fn refused(limited: &RateLimited) -> Response {
    let (bucket, seconds) = (limited.payer.kind(), seconds(limited.wait));
    let message = format!("The points of the {bucket} are spent; come again in {seconds} s.");
    let mut error = ServerError::new(message, None);
    let extensions = error.extensions.get_or_insert_default();
    extensions.set("code", "RATE_LIMITED");
    extensions.set("bucket", bucket);
    extensions.set("retryAfter", seconds);
    Response::from_errors(vec![error])
}

/// Says beside an answer what it cost, and what is left where the fewest points are.
fn tell_cost(response: &mut Response, Cost(points): Cost, standings: &Standings) {
    let Some(least) = standings.iter().flatten().min_by_key(|standing| standing.remaining) else { return };
    let Standing { payer, limit, remaining, .. } = *least;
    // A bucket holds a minute's points.
    let restored = f64::from(limit) / 60.0;
    let values: [Value; 6] =
        [points.into(), limits::COST.into(), payer.kind().into(), limit.into(), remaining.into(), restored.into()];
    let cost = KEYS.iter().cloned().zip(values).collect();
    response.extensions.insert("cost".to_owned(), Value::Object(cost));
}

/// The same in the headers of an answer.
pub(super) fn tell(policies: &RatePolicies, standings: &Standings, response: &mut HttpResponse) {
    let Some(policy) = policies.of(standings) else { return };
    let mut limit = String::with_capacity(64);
    for Standing { payer, remaining, full_in, .. } in standings.iter().flatten() {
        let comma = if limit.is_empty() { "" } else { ", " };
        // Writing to a text does not fail.
        let _ = write!(limit, "{comma}\"{}\";r={remaining};t={}", payer.kind(), seconds(*full_in));
    }
    if let Ok(limit) = HeaderValue::try_from(limit) {
        response.headers_mut().insert(POLICY, policy.clone());
        response.headers_mut().insert(LIMIT, limit);
    }
}

/// Whole seconds, after which it is so.
fn seconds(wait: TimeDelta) -> i64 {
    wait.num_milliseconds().saturating_add(999) / 1_000
}

#[cfg(test)]
mod tests {
    use carillon_domain::ids::{CredentialId, TenantId, UserId};
    use uuid::Uuid;

    use super::*;

    fn standing(payer: Payer, remaining: u32) -> Standing {
        Standing { payer, limit: 1_000, remaining, full_in: TimeDelta::milliseconds(1_001) }
    }

    fn told(standings: Standings) -> [Option<String>; 2] {
        let policies = RatePolicies::new(RateSettings { tenant: 1_000, key: 2_000, user: 3_000 });
        let mut response = HttpResponse::Ok().finish();
        tell(&policies, &standings, &mut response);
        [POLICY, LIMIT].map(|name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn c234_headers_tell_the_policies_and_what_is_left() {
        let tenant = Some(standing(Payer::Tenant(TenantId(Uuid::nil())), 7));
        let key = Some(standing(Payer::Key(CredentialId(Uuid::nil())), 1_000));
        let user = Some(standing(Payer::User(UserId(Uuid::nil()), None), 0));
        let shown = |policy: &str, limit: &str| [Some(policy.to_owned()), Some(limit.to_owned())];
        assert_eq!(
            told([tenant, key]),
            shown(
                r#""tenant";q=1000;w=60;qu="cost", "key";q=2000;w=60;qu="cost""#,
                r#""tenant";r=7;t=2, "key";r=1000;t=2"#
            )
        );
        let policy = r#""tenant";q=1000;w=60;qu="cost", "user";q=3000;w=60;qu="cost""#;
        assert_eq!(told([tenant, user]), shown(policy, r#""tenant";r=7;t=2, "user";r=0;t=2"#));
        assert_eq!(told([None, user]), shown(r#""user";q=3000;w=60;qu="cost""#, r#""user";r=0;t=2"#));
        assert_eq!(told([None, None]), [None, None], "nobody has no bucket");
    }
}
