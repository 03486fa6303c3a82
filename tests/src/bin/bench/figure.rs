//! A figure: ours and the reference, run by run, and what it must reach.

use std::fmt;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    scale: Option<u32>,
}

impl Size {
    /// Full, unless BENCH_SCALE says otherwise.
    pub fn from_env() -> Result<Self> {
        let Ok(text) = std::env::var("BENCH_SCALE") else { return Ok(Self::full()) };
        let scale: u32 = text.parse().context("BENCH_SCALE is a number")?;
        ensure!(scale > 0, "BENCH_SCALE is at least 1");
        Ok(Self::divided(scale))
    }

    /// Everything, judged.
    pub const fn full() -> Self {
        Self { scale: None }
    }

    /// A part, to see that it runs.
    pub const fn divided(scale: u32) -> Self {
        Self { scale: Some(scale) }
    }

    /// The size that goes with a full one.
    pub fn of(self, full: u32) -> u32 {
        (full / self.scale.unwrap_or(1)).max(1)
    }

    /// How often ours and the reference are measured.
    pub fn runs(self) -> usize {
        if self.is_judged() { 3 } else { 1 }
    }

    /// Whether thresholds decide the exit status.
    pub fn is_judged(self) -> bool {
        self.scale.is_none()
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scale {
            None => write!(f, "full size, median of {}", self.runs()),
            Some(scale) => write!(f, "size divided by {scale}, one run, not judged"),
        }
    }
}

/// One figure on its way.
#[derive(Debug)]
pub struct Figure {
    bench: &'static str,
    unit: &'static str,
    least: f64,
    /// Where less is better.
    most: f64,
    ours: Vec<f64>,
    reference: Vec<f64>,
    faults: Vec<String>,
}

#[derive(Serialize)]
struct Line {
    bench: &'static str,
    ours: f64,
    reference: f64,
    ratio: f64,
    unit: &'static str,
}

impl Figure {
    /// A figure whose ratio must be at least `least`.
    pub fn new(bench: &'static str, unit: &'static str, least: f64) -> Self {
        Self { bench, unit, least, most: f64::INFINITY, ours: Vec::new(), reference: Vec::new(), faults: Vec::new() }
    }

    /// A figure whose ratio must stay below `most`: the less the better.
    pub fn at_most(bench: &'static str, unit: &'static str, most: f64) -> Self {
        Self { most, ..Self::new(bench, unit, 0.0) }
    }

    /// Takes one run in which ours and the reference are what they are.
    pub fn measured(&mut self, ours: f64, reference: f64) {
        self.note(&format!("{ours:.0} {unit} against {reference:.0}", unit = self.unit));
        self.ours.push(ours);
        self.reference.push(reference);
    }

    /// Takes one run: `amount` of ours in so many seconds, and of the reference.
    pub fn add(&mut self, amount: u32, ours: f64, reference: f64) {
        let (ours, reference) = (f64::from(amount) / ours, f64::from(amount) / reference);
        self.note(&format!("{ours:.0} {unit} against {reference:.0}", unit = self.unit));
        self.ours.push(ours);
        self.reference.push(reference);
    }

    /// Says something about it.
    pub fn note(&self, what: &str) {
        eprintln!("bench: {}: {what}", self.bench);
    }

    /// Something besides the ratio that must stay below a limit.
    pub fn limit(&mut self, what: &str, value: f64, below: f64) {
        self.note(&format!("{what}: {value:.3}, must be below {below}"));
        if value >= below {
            self.faults.push(format!("{what} is {value:.3}, not below {below}"));
        }
    }

    /// Prints the line; false when a threshold was missed.
    pub fn report(&self) -> bool {
        let (ours, reference) = (median(&self.ours), median(&self.reference));
        let ratio = ours / reference;
        let round = |value: f64, to: f64| (value * to).round() / to;
        let line = Line {
            bench: self.bench,
            ours: round(ours, 10.0),
            reference: round(reference, 10.0),
            ratio: round(ratio, 1000.0),
            unit: self.unit,
        };
        println!("{}", serde_json::to_string(&line).expect("numbers and names"));
        let mut faults = self.faults.clone();
        if ratio.is_nan() || ratio < self.least {
            faults.push(format!("the ratio is {ratio:.3}, not at least {}", self.least));
        }
        if ratio >= self.most {
            faults.push(format!("the ratio is {ratio:.3}, not below {}", self.most));
        }
        for fault in &faults {
            self.note(fault);
        }
        faults.is_empty()
    }
}

/// The middle one.
pub fn median(runs: &[f64]) -> f64 {
    let mut runs = runs.to_vec();
    runs.sort_by(f64::total_cmp);
    runs.get(runs.len() / 2).copied().unwrap_or(f64::NAN)
}
