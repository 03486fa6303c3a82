//! The slots of all processes, as far as they can be heard: tickets are handed out for all of them.
//!
//! Signals go where tickets go, through Redis or within the process, so who is heard can take tickets. Whoever is
//! overheard costs time, never work, and one whose process is gone leaves tickets that count as lost.

use std::collections::HashMap;

use carillon_domain::time::Monotonic;
use uuid::Uuid;

use crate::queue::{QueueName, Ticket};

/// Who works on a queue.
#[derive(Debug)]
pub struct Crew {
    queue: QueueName,
    /// Slots of each process, and when it last spoke of them.
    heard: HashMap<Uuid, (usize, Monotonic)>,
}

impl Crew {
    /// Nobody.
    pub fn new(queue: QueueName) -> Self {
        Self { queue, heard: HashMap::new() }
    }

    /// A process has so many slots; none when it stops.
    pub fn hear(&mut self, process: Uuid, slots: usize, now: Monotonic) {
        if slots == 0 {
            self.heard.remove(&process);
        } else {
            self.heard.insert(process, (slots, now));
        }
    }

    /// Forgets whoever is silent for as long as a ticket may wait.
    pub fn forget_silent(&mut self, now: Monotonic) {
        self.heard.retain(|_, (_, at)| now.since(*at) < Ticket::LOST_AFTER);
    }

    /// Tickets that may be out at the same time: two per slot.
    pub fn most(&self) -> usize {
        self.heard.values().map(|(slots, _)| slots * 2).sum()
    }

    /// Of these for one tenant: as many as the processes let it hold; of slices and sweeps one, wherever it is.
    pub fn share(&self) -> usize {
        let shares = self.heard.values().map(|(slots, _)| self.queue.share(*slots));
        if self.queue.waits_for_others() { shares.sum() } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_are_for_the_slots_of_all_who_are_heard() {
        let at = |seconds: i64| Monotonic(seconds * 1_000_000);
        let mut crew = Crew::new(QueueName::Bulk);
        crew.hear(Uuid::from_u128(1), 4, at(0));
        crew.hear(Uuid::from_u128(2), 1, at(0));
        crew.hear(Uuid::from_u128(1), 4, at(5));
        assert_eq!((crew.most(), crew.share()), (10, 4));
        crew.forget_silent(at(10));
        assert_eq!((crew.most(), crew.share()), (8, 3));
        crew.hear(Uuid::from_u128(1), 0, at(10));
        assert_eq!((crew.most(), crew.share()), (0, 0));
        let mut imports = Crew::new(QueueName::Imports);
        imports.hear(Uuid::from_u128(1), 4, at(0));
        imports.hear(Uuid::from_u128(2), 4, at(0));
        assert_eq!((imports.most(), imports.share()), (16, 1));
    }
}
