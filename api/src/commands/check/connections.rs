//! Whether Postgres has connections enough for all the processes that there are going to be.

use std::str::FromStr;

use anyhow::{Result, bail};
use carillon_entities::wall::DatabaseSettings;
use carillon_migration::inspect::ConnectionLimit;

/// A kind of process, by its name in the chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Gateway,
    Recipient,
    Worker,
}

/// So many processes of a kind: `gateway=3`, or `gateway=3x16` where their `DATABASE_POOL` is 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replicas {
    part: Part,
    count: u32,
    pool: Option<u32>,
}

impl FromStr for Replicas {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number <= 1_000);
        let read = || {
            let (part, count) = text.split_once('=')?;
            let part = match part {
                "gateway" => Part::Gateway,
                // Who takes bounces opens what the links of mails do.
                "recipient" | "inbound" => Part::Recipient,
                "worker" => Part::Worker,
                _ => return None,
            };
            Some(match count.split_once('x') {
                Some((count, pool)) => Self { part, count: number(count)?, pool: Some(number(pool)?) },
                None => Self { part, count: number(count)?, pool: None },
            })
        };
        read().ok_or_else(|| "give gateway=3 or gateway=3x16; also of recipient, inbound and worker".to_owned())
    }
}

impl Replicas {
    /// What one of them opens at most. All have the application's pool, and of the small ones: a gateway those for links
    /// and for identities, who serves recipients that for links, a worker those for identities and for what is due.
    fn connections(self, usual: u32) -> u32 {
        let pool = self.pool.unwrap_or(usual);
        let small = match self.part {
            Part::Gateway | Part::Worker => 2,
            Part::Recipient => 1,
        };
        pool + small * DatabaseSettings::small_pool(pool)
    }
}

/// How many connections are left when all are open, one more process of each kind among them while they are rolled out.
///
/// # Errors
/// When none is left, for migrations need one.
pub(super) fn left(replicas: &[Replicas], usual: u32, limit: ConnectionLimit) -> Result<String> {
    let running = replicas.iter().filter(|replicas| replicas.count > 0);
    let needed: u32 = running.map(|replicas| (replicas.count + 1) * replicas.connections(usual)).sum();
    let available = limit.most.saturating_sub(limit.reserved);
    let sentence = format!(
        "{needed} at most while processes are rolled out, of {available} (max_connections {} without {} reserved)",
        limit.most, limit.reserved
    );
    match available.checked_sub(needed) {
        Some(left) if left > 0 => Ok(format!("{sentence}; {left} are left")),
        _ => bail!(
            "{sentence}; none is left. Smaller DATABASE_POOLs, fewer processes, a pooler or a larger max_connections"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_read() {
        let worker = Replicas { part: Part::Worker, count: 2, pool: Some(32) };
        assert_eq!("worker=2x32".parse::<Replicas>(), Ok(worker));
        let none = Replicas { part: Part::Recipient, count: 0, pool: None };
        assert_eq!("recipient=0".parse::<Replicas>(), Ok(none));
        let inbound = Replicas { part: Part::Recipient, count: 2, pool: Some(4) };
        assert_eq!("inbound=2x4".parse::<Replicas>(), Ok(inbound));
        for wrong in ["gateway", "gateway=", "engine=1", "gateway=-1", "gateway=1x", "gateway=1x2x3", "worker=1001"] {
            assert!(wrong.parse::<Replicas>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_left_is_counted_with_one_more_of_each_kind() {
        let read = |text: &str| -> Vec<Replicas> { text.split(',').map(|one| one.parse().unwrap()).collect() };
        let limit = ConnectionLimit { most: 200, reserved: 3 };
        // 4 x (16 + 2 x 4), 3 x (8 + 2), 2 x (4 + 2 x 2)
        let said = left(&read("gateway=3,recipient=2x8,worker=1x4"), 16, limit).unwrap();
        assert_eq!(
            said,
            "142 at most while processes are rolled out, of 197 (max_connections 200 without 3 reserved); 55 are left"
        );
        assert!(left(&read("gateway=3,worker=0"), 16, ConnectionLimit { most: 100, reserved: 3 }).is_ok(), "96 of 97");
        let full = left(&read("gateway=3"), 16, ConnectionLimit { most: 99, reserved: 3 }).unwrap_err();
        assert!(full.to_string().contains("none is left"), "{full}");
        assert!(left(&read("gateway=1000x1000"), 16, limit).is_err());
    }
}
