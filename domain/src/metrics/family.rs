//! Metrics whose every series is there from the start and found without a look-up: what is counted in the hot path costs
//! an atomic addition.

use std::marker::PhantomData;

use chrono::TimeDelta;
use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use super::labels::Labels;

/// Upper bounds of durations, in seconds.
const SECONDS: [f64; 12] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// Adds metrics to a registry.
#[derive(Default)]
pub(super) struct Making {
    pub registry: Registry,
    pub names: Vec<&'static str>,
}

impl Making {
    /// Adds what was made under a name.
    ///
    /// # Panics
    /// When a name is misspelt or taken: at every start, so in every test.
    pub fn add<C: Collector + Clone + 'static>(&mut self, name: &'static str, made: prometheus::Result<C>) -> C {
        let made = made.expect("a well-formed metric");
        self.registry.register(Box::new(made.clone())).expect("a metric with a name of its own");
        self.names.push(name);
        made
    }

    /// A counter of each combination of labels.
    pub fn counts<L: Labels>(&mut self, name: &'static str, help: &str) -> Counts<L> {
        let family = self.add(name, IntCounterVec::new(Opts::new(name, help), L::NAMES));
        Counts(L::texts().iter().map(|texts| family.with_label_values(texts)).collect(), PhantomData)
    }

    /// A histogram of seconds for each combination of labels.
    pub fn times<L: Labels>(&mut self, name: &'static str, help: &str) -> Times<L> {
        let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        let family = self.add(name, HistogramVec::new(options, L::NAMES));
        Times(L::texts().iter().map(|texts| family.with_label_values(texts)).collect(), PhantomData)
    }
}

/// Counters by labels.
pub struct Counts<L>(Vec<IntCounter>, PhantomData<fn(L)>);

impl<L: Labels> Counts<L> {
    /// One more.
    pub fn one(&self, labels: L) {
        self.add(labels, 1_u64);
    }

    /// So many more; nothing for less than none.
    pub fn add(&self, labels: L, count: impl TryInto<u64>) {
        if let Some(counter) = self.0.get(labels.place()) {
            counter.inc_by(count.try_into().unwrap_or(0));
        }
    }

    /// How many there were.
    pub fn get(&self, labels: L) -> u64 {
        self.0.get(labels.place()).map_or(0, IntCounter::get)
    }
}

/// Durations by labels.
pub struct Times<L>(Vec<Histogram>, PhantomData<fn(L)>);

impl<L: Labels> Times<L> {
    /// It took so long.
    pub fn took(&self, labels: L, time: TimeDelta) {
        if let Some(histogram) = self.0.get(labels.place()) {
            histogram.observe(time.to_std().unwrap_or_default().as_secs_f64());
        }
    }
}
