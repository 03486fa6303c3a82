//! The shape of a definition: where its ways lead.

use std::collections::{BTreeSet, HashMap};

use super::{Check, Finding, Severity, error};
use crate::workflows::{Definition, Node};

impl Check<'_> {
    /// Ways that lead nowhere, nodes nobody comes to, circles in which nobody waits.
    pub(super) fn shape(&mut self) {
        let definition = self.definition;
        for (name, node) in &definition.nodes {
            for (way, next) in node.ways() {
                match next {
                    None => {
                        let message = format!("The way \"{way}\" ends in the air.");
                        self.error(Some(name), "DEAD_END", message, "Lead it to a node; an exit ends a way.");
                    }
                    Some(next) if !definition.nodes.contains_key(next) => {
                        let message = format!("The way \"{way}\" leads to \"{next}\", which is no node.");
                        self.error(Some(name), "WAY_UNKNOWN", message, "Lead it to one of the nodes.");
                    }
                    Some(_) => {}
                }
            }
        }
        let reached = Self::reached(definition);
        let lost: Vec<&String> = definition.nodes.keys().filter(|name| !reached.contains(name.as_str())).collect();
        for name in lost {
            let finding =
                error(Some(name), "UNREACHABLE", "Nobody comes to this node.", "Lead a way to it, or remove it.");
            self.findings.push(Finding { severity: Severity::Warning, ..finding });
        }
        if let Some(name) = self.circle() {
            let fix = "Put a wait into the circle.";
            self.error(Some(&name), "CIRCLE_WITHOUT_WAIT", "People would go round here without end.", fix);
        }
    }

    fn next_of<'a>(definition: &'a Definition, name: &str) -> Vec<&'a str> {
        let ways = definition.nodes.get(name).map(Node::ways).unwrap_or_default();
        ways.into_iter().filter_map(|(_, next)| next.map(String::as_str)).collect()
    }

    fn reached(definition: &Definition) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut open = vec![definition.start.as_str()];
        while let Some(name) = open.pop() {
            if reached.insert(name) {
                open.extend(Self::next_of(definition, name));
            }
        }
        reached
    }

    /// A node of a circle without a wait: what is left when nodes that lead only out are taken away again and again.
    fn circle(&self) -> Option<String> {
        let is_instant = |name: &str| self.definition.nodes.get(name).is_some_and(|node| !node.waits());
        let instant: Vec<&str> =
            self.definition.nodes.keys().map(String::as_str).filter(|name| is_instant(name)).collect();
        let mut into: HashMap<&str, Vec<&str>> = HashMap::new();
        let mut ways_out: HashMap<&str, usize> = HashMap::new();
        for name in &instant {
            let next: BTreeSet<&str> =
                Self::next_of(self.definition, name).into_iter().filter(|next| is_instant(next)).collect();
            ways_out.insert(*name, next.len());
            for next in next {
                into.entry(next).or_default().push(*name);
            }
        }
        let mut done: Vec<&str> = instant.iter().copied().filter(|name| ways_out[name] == 0).collect();
        let mut taken = 0;
        while let Some(name) = done.pop() {
            taken += 1;
            for before in into.get(name).into_iter().flatten() {
                if let Some(left) = ways_out.get_mut(before) {
                    *left -= 1;
                    if *left == 0 {
                        done.push(*before);
                    }
                }
            }
        }
        if taken == instant.len() {
            return None;
        }
        instant.iter().find(|name| ways_out[**name] > 0).map(|name| (*name).to_owned())
    }
}
