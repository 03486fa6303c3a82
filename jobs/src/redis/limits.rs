//! Limits that all processes of a deployment count together (C-216); their twin within a process is
//! [`carillon_domain::tenancy::Throttle`], which counts while no Redis answers.

use std::time::Duration;

use ::redis::aio::ConnectionManager;
use carillon_domain::tenancy::{Limit, SharedLimits};
use chrono::TimeDelta;
use futures::future::BoxFuture;

use super::connect::{self, InvalidRedisUrl};

/// Whoever signs in does not wait longer than this for a Redis that does not answer.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// Generic cell rate algorithm: the key holds the time at which the bucket is empty again, in microseconds of the
/// server's own clock. Answers how long to wait; when the attempt was counted that is not above 0, and as far below as
/// there is room left. A caller who is gone is forgotten.
const TAKE: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local every, room = tonumber(ARGV[1]), tonumber(ARGV[2])
local after = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0)) + every
local over = after - now - room
if over > 0 then return over end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000))
return over";

/// Limits in a Redis that may be down.
#[derive(Clone)]
pub struct Limits {
    connection: ConnectionManager,
    prefix: String,
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Limits(..)")
    }
}

impl Limits {
    /// Limits through a Redis, which need not be there now or later. A prefix keeps tests that share a Redis apart.
    ///
    /// Must be called within the async runtime.
    pub fn redis(url: &str, prefix: Option<&str>) -> Result<Self, InvalidRedisUrl> {
        let connection = connect::manager(&connect::client(url)?)?;
        let prefix = prefix.map_or_else(|| "carillon:limit".to_owned(), |prefix| format!("carillon:{prefix}:limit"));
        Ok(Self { connection, prefix })
    }

    async fn ask(&self, caller: &str, limit: Limit) -> Option<TimeDelta> {
        let every = limit.every.num_microseconds()?.max(1);
        let room = every.saturating_mul(i64::from(limit.burst.max(1)));
        let mut connection = self.connection.clone();
        let mut command = ::redis::cmd("EVAL");
        command.arg(TAKE).arg(1).arg(format!("{}:{caller}", self.prefix)).arg(every).arg(room);
        let answer = tokio::time::timeout(ANSWER_WITHIN, command.query_async::<i64>(&mut connection)).await;
        Some(TimeDelta::microseconds(answer.ok()?.ok()?))
    }
}

impl SharedLimits for Limits {
    fn take<'a>(&'a self, caller: &'a str, limit: Limit) -> BoxFuture<'a, Option<TimeDelta>> {
        Box::pin(self.ask(caller, limit))
    }
}
