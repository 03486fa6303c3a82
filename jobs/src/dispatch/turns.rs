//! Whose turn it is: round-robin over the tenants with due work, so that a tenant's million delays another's ten by one
//! batch at most (C-174). Pure.

use std::collections::HashMap;

use carillon_domain::ids::TenantId;

/// Remembers who was served last.
#[derive(Debug, Default)]
pub struct Turns {
    last: Option<TenantId>,
}

impl Turns {
    /// Picks tenants for `free` tickets: in turn, one each, again from the start while tickets are left, and never more
    /// than `share` tickets out for one tenant.
    pub fn pick(
        &mut self,
        due: &[TenantId],
        out: &HashMap<TenantId, usize>,
        free: usize,
        share: usize,
    ) -> Vec<TenantId> {
        let mut order = due.to_vec();
        order.sort_unstable();
        order.dedup();
        let first = self.last.map_or(0, |last| order.partition_point(|tenant| *tenant <= last));
        let turn = first.checked_rem(order.len()).unwrap_or(0);
        order.rotate_left(turn);
        let mut picked = Vec::with_capacity(free);
        let mut held = out.clone();
        loop {
            let before = picked.len();
            for tenant in &order {
                let held = held.entry(*tenant).or_default();
                if picked.len() < free && *held < share {
                    *held += 1;
                    picked.push(*tenant);
                }
            }
            if picked.len() == before || picked.len() == free {
                break;
            }
        }
        self.last = picked.last().copied().or(self.last);
        picked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn tenants(n: u128) -> Vec<TenantId> {
        (1..=n).map(|i| TenantId(Uuid::from_u128(i))).collect()
    }

    #[test]
    fn c174_everybody_gets_a_turn_before_anybody_gets_a_second() {
        let all = tenants(5);
        let mut turns = Turns::default();
        let first = turns.pick(&all, &HashMap::new(), 3, 8);
        let second = turns.pick(&all, &HashMap::new(), 2, 8);
        let mut served = [first, second].concat();
        served.sort_unstable();
        assert_eq!(served, all);
    }

    #[test]
    fn a_lone_tenant_gets_all_tickets_up_to_its_share() {
        let one = tenants(1);
        assert_eq!(Turns::default().pick(&one, &HashMap::new(), 4, 8).len(), 4);
        assert_eq!(Turns::default().pick(&one, &HashMap::new(), 4, 1).len(), 1);
        assert_eq!(Turns::default().pick(&one, &HashMap::from([(one[0], 1)]), 4, 1).len(), 0);
        assert!(Turns::default().pick(&[], &HashMap::new(), 4, 1).is_empty());
    }
}
