//! Progress on standard error: bars on a terminal, one line per step elsewhere.

use std::io::IsTerminal;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::agency::CLIENTS;

/// Everything that moves.
#[derive(Debug)]
pub struct Progress {
    bars: MultiProgress,
    is_terminal: bool,
}

impl Progress {
    /// Nothing is shown yet.
    pub fn new() -> Self {
        Self { bars: MultiProgress::new(), is_terminal: std::io::stderr().is_terminal() }
    }

    /// Tells what comes next.
    pub fn step(&self, what: &str) {
        if self.is_terminal {
            // A terminal that went away is no reason to stop.
            let _ = self.bars.println(what);
        } else {
            eprintln!("{what}");
        }
    }

    /// A bar for each tenant.
    pub fn bars(&self, unit: &str) -> Vec<ProgressBar> {
        let template = format!("  {{msg:20}} {{bar:40}} {{pos:>6}}/{{len}} {unit}");
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = |name: &'static str| self.bars.add(ProgressBar::new(0)).with_style(style.clone()).with_message(name);
        CLIENTS.iter().map(|client| bar(client.name)).collect()
    }
}
