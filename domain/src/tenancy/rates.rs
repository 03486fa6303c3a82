//! How much callers may ask for (C-234): points a minute, counted for a tenant, for an API key and for a user in a tenant.
//!
//! A bucket holds the points of a minute and fills evenly. Where processes share a limiter ([`SharedLimits`]), each takes
//! points from there in slices, twentieths of the bucket, and spends them by itself: few requests ask anybody. What all
//! processes let through together is at most what the bucket gives and, in each process, a slice taken before. While the
//! limiter cannot be asked, each process counts for itself, from what it last knew.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use carillon_entities::ids::{CredentialId, TenantId, UserId};
use chrono::TimeDelta;
use lru::LruCache;

use super::throttle::{Limit, SharedLimits, Sharing};
use crate::keys::Keyring;
use crate::time::{Clock, Monotonic};

/// Buckets that a process knows: those it used last. Only verified credentials have one, so nobody can flood them.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(99_999);
/// How long an empty bucket takes to fill, in microseconds.
const WINDOW_US: u64 = 60_000_000;
/// Slices of a bucket.
const SLICES: u32 = 20;
/// How long a limiter that did not answer is left alone, in microseconds.
const AWAY_US: i64 = 5_000_000;

/// Points a minute, each at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateSettings {
    /// Of a tenant.
    pub tenant: u32,
    /// Of an API key.
    pub key: u32,
    /// Of a user in one tenant.
    pub user: u32,
}

/// Whose points are spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Payer {
    /// A tenant: whoever asks in it.
    Tenant(TenantId),
    /// An API key.
    Key(CredentialId),
    /// A user in a tenant, or in none: who works for several drains none of them for the others.
    User(UserId, Option<TenantId>),
}

/// Who pays for a request: at most a tenant, and who asks in it.
pub type Payers = [Option<Payer>; 2];

impl Payer {
    /// The kind of its bucket.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Tenant(_) => "tenant",
            Self::Key(_) => "key",
            Self::User(..) => "user",
        }
    }

    /// Its name at the shared limiter, before it is hashed.
    fn name(self) -> String {
        match self {
            Self::Tenant(id) => format!("rate:tenant:{}", id.0),
            Self::Key(id) => format!("rate:key:{}", id.0),
            Self::User(id, tenant) => {
                format!("rate:user:{}:{}", id.0, tenant.map(|tenant| tenant.0).unwrap_or_default())
            }
        }
    }
}

/// How a bucket stands, as far as this process knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whose it is.
    pub payer: Payer,
    /// Points of the full bucket, which are those of a minute.
    pub limit: u32,
    /// Points that are left.
    pub remaining: u32,
    /// After how long it is full again.
    pub full_in: TimeDelta,
}

/// How the buckets of a request's payers stand.
pub type Standings = [Option<Standing>; 2];

/// A request that cannot be paid for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimited {
    /// The payer who has to wait longest.
    pub payer: Payer,
    /// For how long.
    pub wait: TimeDelta,
    /// How the buckets stand; nothing was taken from them.
    pub standings: Standings,
}

/// What was taken for a request: who has it can give it back, once, to where it came from.
#[derive(Debug)]
pub struct Payment {
    cost: u64,
    /// For each payer whether a slice paid, and not the bucket as this process counts it.
    by_slice: [bool; 2],
    /// Who paid, and how their buckets stood then.
    pub standings: Standings,
}

impl Payment {
    fn parts(self) -> (Payers, u64, [bool; 2]) {
        let payers = self.standings.map(|standing| standing.map(|standing| standing.payer));
        (payers, self.cost, self.by_slice)
    }
}

/// The buckets of one process.
#[derive(Debug)]
pub struct Rates {
    clock: Arc<dyn Clock>,
    settings: RateSettings,
    sharing: Option<Sharing>,
    state: Mutex<State>,
    /// One asks at a time, or all who find a slice spent would take another.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    buckets: LruCache<Payer, Bucket>,
    /// Until when the limiter is not asked, in microseconds of the monotonic clock.
    away_until: i64,
}

/// What is known of a bucket; instants are microseconds of the monotonic clock.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// What is missing to a full bucket, in parts of a point: as many as a window has microseconds.
    debt: u64,
    /// When that was so.
    at: i64,
    /// Points of slices that were taken and not spent.
    slice: u64,
    /// Until when the limiter has no further slice.
    none_until: i64,
}

/// What a bucket says to a price.
enum Verdict {
    Enough,
    /// The limiter is to be asked for a slice.
    Short,
    /// Not for so many microseconds.
    Wait(u64),
}

enum Tried {
    Charged(Payment),
    Short(Payer),
    Limited(Box<RateLimited>),
}

impl Rates {
    /// Buckets of this process alone, all of them full.
    pub fn new(clock: Arc<dyn Clock>, settings: RateSettings) -> Self {
        // It grows with its buckets: one made for so many would take the memory at once.
        let mut buckets = LruCache::unbounded();
        buckets.resize(REMEMBERED);
        let state = Mutex::new(State { buckets, away_until: i64::MIN });
        Self { clock, settings, sharing: None, state, asking: tokio::sync::Mutex::default() }
    }

    /// The same, counting together with the deployment's other processes, which have the same keys.
    #[must_use]
    pub fn sharing(self, limits: Arc<dyn SharedLimits>, keys: &Keyring) -> Self {
        Self { sharing: Sharing::new(limits, keys), ..self }
    }

    /// Points a minute.
    pub fn settings(&self) -> RateSettings {
        self.settings
    }

    /// Takes so many points from every payer, or from none. What costs more than a full bucket takes a full bucket.
    ///
    /// # Errors
    /// The refusal, where one of them has too few.
    pub async fn charge(&self, payers: &Payers, cost: u64) -> Result<Payment, Box<RateLimited>> {
        loop {
            match self.try_charge(payers, cost) {
                Tried::Charged(payment) => return Ok(payment),
                Tried::Limited(limited) => return Err(limited),
                Tried::Short(payer) => self.take_slice(payer, cost).await,
            }
        }
    }

    /// Gives back what was taken for something that did not run. What the bucket of this process paid does not go into
    /// a slice, or an absence of the limiter would be a way to save points.
    pub fn refund(&self, payment: Payment) -> Standings {
        let (payers, cost, by_slice) = payment.parts();
        let now = self.now();
        let mut state = self.state();
        for (payer, by_slice) in payers.into_iter().zip(by_slice) {
            let Some(payer) = payer else { continue };
            let quota = self.quota(payer);
            state.bucket(payer, now, quota).refund(cost.min(quota), by_slice);
        }
        self.standings_in(&mut state, &payers, now)
    }

    /// How the buckets stand.
    pub fn standings(&self, payers: &Payers) -> Standings {
        let now = self.now();
        self.standings_in(&mut self.state(), payers, now)
    }

    fn try_charge(&self, payers: &Payers, cost: u64) -> Tried {
        let now = self.now();
        let mut state = self.state();
        let shares = self.shares(&state, now);
        let mut longest: Option<(Payer, u64)> = None;
        for payer in payers.iter().flatten() {
            let quota = self.quota(*payer);
            match state.bucket(*payer, now, quota).judge(cost.min(quota), quota, now, shares) {
                Verdict::Enough => {}
                Verdict::Short => return Tried::Short(*payer),
                Verdict::Wait(wait) => {
                    longest = longest.filter(|(_, other)| *other >= wait).or(Some((*payer, wait)));
                }
            }
        }
        if let Some((payer, wait)) = longest {
            let wait = TimeDelta::microseconds(i64::try_from(wait).unwrap_or(i64::MAX));
            let standings = self.standings_in(&mut state, payers, now);
            return Tried::Limited(Box::new(RateLimited { payer, wait, standings }));
        }
        let by_slice = payers.map(|payer| {
            payer.is_some_and(|payer| {
                let quota = self.quota(payer);
                state.bucket(payer, now, quota).pay(cost.min(quota))
            })
        });
        let standings = self.standings_in(&mut state, payers, now);
        Tried::Charged(Payment { cost, by_slice, standings })
    }

    /// Asks the limiter for a slice; afterwards there is one, or none for a while, or the limiter is away.
    async fn take_slice(&self, payer: Payer, cost: u64) {
        let Some(sharing) = &self.sharing else { return };
        let quota = self.quota(payer);
        let _turn = self.asking.lock().await;
        if !self.is_short(payer, cost.min(quota)) {
            return;
        }
        let (limit, size) = slices(quota);
        let answer = sharing.lease(&payer.name(), limit).await;
        let now = self.now();
        let mut state = self.state();
        match answer {
            None => state.away_until = now.saturating_add(AWAY_US),
            Some(wait) => state.bucket(payer, now, quota).hear(wait, limit, size, quota),
        }
    }

    fn is_short(&self, payer: Payer, price: u64) -> bool {
        let now = self.now();
        let mut state = self.state();
        let (quota, shares) = (self.quota(payer), self.shares(&state, now));
        matches!(state.bucket(payer, now, quota).judge(price, quota, now, shares), Verdict::Short)
    }

    fn shares(&self, state: &State, now: i64) -> bool {
        self.sharing.is_some() && now >= state.away_until
    }

    fn standings_in(&self, state: &mut State, payers: &Payers, now: i64) -> Standings {
        payers.map(|payer| {
            let payer = payer?;
            let quota = self.quota(payer);
            Some(state.bucket(payer, now, quota).standing(payer, quota))
        })
    }

    fn quota(&self, payer: Payer) -> u64 {
        let quota = match payer {
            Payer::Tenant(_) => self.settings.tenant,
            Payer::Key(_) => self.settings.key,
            Payer::User(..) => self.settings.user,
        };
        quota.max(1).into()
    }

    fn now(&self) -> i64 {
        let Monotonic(now) = self.clock.monotonic();
        now
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the limiter counts a bucket, a slice at a time, and how many points a slice has.
fn slices(quota: u64) -> (Limit, u64) {
    let size = quota.div_ceil(SLICES.into()).max(1);
    let burst = u32::try_from(quota.div_ceil(size)).unwrap_or(SLICES).max(1);
    let window = TimeDelta::microseconds(i64::try_from(WINDOW_US).unwrap_or(i64::MAX));
    let every = i32::try_from(burst).map_or(window, |burst| window / burst);
    (Limit { burst, every }, size)
}

impl State {
    /// A payer's bucket as it is by now; a new one is full.
    fn bucket(&mut self, payer: Payer, now: i64, quota: u64) -> &mut Bucket {
        let full = Bucket { debt: 0, at: now, slice: 0, none_until: i64::MIN };
        let bucket = self.buckets.get_or_insert_mut(payer, || full);
        bucket.fill(now, quota);
        bucket
    }
}

impl Bucket {
    fn fill(&mut self, now: i64, quota: u64) {
        let passed = u64::try_from(now.saturating_sub(self.at)).unwrap_or(0);
        self.debt = self.debt.saturating_sub(passed.saturating_mul(quota));
        self.at = self.at.max(now);
    }

    fn judge(&self, price: u64, quota: u64, now: i64, shares: bool) -> Verdict {
        if self.slice >= price {
            return Verdict::Enough;
        }
        if shares {
            let wait = u64::try_from(self.none_until.saturating_sub(now)).unwrap_or(0);
            return if wait > 0 {
                Verdict::Wait(wait.saturating_add(self.until_enough(price, quota)))
            } else {
                Verdict::Short
            };
        }
        let over = self.debt.saturating_add(parts(price)).saturating_sub(parts(quota));
        if over == 0 { Verdict::Enough } else { Verdict::Wait(over.div_ceil(quota)) }
    }

    /// How long after the next slice those come that a larger price needs as well, in microseconds.
    fn until_enough(&self, price: u64, quota: u64) -> u64 {
        let (limit, size) = slices(quota);
        let missing = price.saturating_sub(self.slice).div_ceil(size);
        missing.saturating_sub(1).saturating_mul(every_us(limit))
    }

    /// Pays what was judged to be enough; true where a slice did.
    fn pay(&mut self, price: u64) -> bool {
        let left = self.slice.checked_sub(price);
        match left {
            Some(left) => self.slice = left,
            None => self.debt = self.debt.saturating_add(parts(price)),
        }
        left.is_some()
    }

    fn refund(&mut self, price: u64, by_slice: bool) {
        if by_slice {
            self.slice = self.slice.saturating_add(price);
        } else {
            self.debt = self.debt.saturating_sub(parts(price));
        }
    }

    /// What the limiter said: to wait, or that a slice was counted and how much room is left there.
    fn hear(&mut self, wait: TimeDelta, limit: Limit, size: u64, quota: u64) {
        let wait = wait.num_microseconds().unwrap_or(i64::MAX);
        if wait > 0 {
            self.none_until = self.at.saturating_add(wait);
            self.debt = parts(quota);
            return;
        }
        let room = (wait.unsigned_abs() / every_us(limit)).saturating_mul(size);
        self.slice = self.slice.saturating_add(size);
        self.debt = parts(quota.saturating_sub(room));
    }

    fn standing(&self, payer: Payer, quota: u64) -> Standing {
        let left = (parts(quota).saturating_sub(self.debt) / WINDOW_US).saturating_add(self.slice).min(quota);
        let full_in = i64::try_from(self.debt.div_ceil(quota)).unwrap_or(i64::MAX);
        Standing {
            payer,
            limit: u32::try_from(quota).unwrap_or(u32::MAX),
            remaining: u32::try_from(left).unwrap_or(u32::MAX),
            full_in: TimeDelta::microseconds(full_in),
        }
    }
}

/// How often there is a slice, in microseconds.
fn every_us(limit: Limit) -> u64 {
    limit.every.num_microseconds().and_then(|every| u64::try_from(every).ok()).unwrap_or(1).max(1)
}

/// Points in the parts that debts are counted in.
fn parts(points: u64) -> u64 {
    points.saturating_mul(WINDOW_US)
}

#[cfg(test)]
#[path = "rates_tests.rs"]
mod tests;
