//! `make bench`: what Carillon does in a second, against the bare minimum that does the same on the same machine.
//!
//! Ours and its reference are measured in turns on one database, as the application role under row security. One JSON
//! line per figure on standard output; settings and all else on standard error. Three runs count, by their medians.
//! With BENCH_SCALE sizes are divided by it, there is one run, and nothing is judged.

mod advance;
mod campaign;
mod copy;
mod crowd;
mod figure;
mod gateway;
mod graphql;
mod idle;
mod import;
mod latency;
mod mail;
mod page_depth;
mod refusals;
mod send;
mod set;
mod trigger;
mod web;
mod webhooks;

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use sqlx::{Connection as _, PgConnection};

use figure::{Figure, Size};

/// The one of the shipped executable, for both sides.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// All figures, in the order they are measured in: the import's memory is looked at while little else was done.
const NAMES: [&str; 11] = [
    "import",
    "send",
    "campaign",
    "advance",
    "trigger",
    "idle_subscriptions",
    "webhooks",
    "refusals",
    "page_depth",
    "graphql_by_id",
    "graphql_page",
];

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let size = Size::from_env()?;
    let asked: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = asked.iter().find(|name| !NAMES.contains(&name.as_str())) {
        eprintln!("bench: there is no figure {unknown}; there are {}", NAMES.join(", "));
        return Ok(ExitCode::from(64));
    }
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|asked| asked == name);
    show_settings(size).await?;
    let mut good = true;
    if wanted("import") {
        good &= Box::pin(import::run(size)).await?.report();
    }
    if wanted("send") {
        good &= Box::pin(send::run(size)).await?.report();
    }
    if wanted("campaign") {
        good &= Box::pin(campaign::run(size)).await?.report();
    }
    if wanted("advance") {
        good &= Box::pin(advance::run(size)).await?.report();
    }
    if wanted("trigger") {
        good &= Box::pin(trigger::run(size)).await?.iter().map(Figure::report).fold(true, |all, one| all & one);
    }
    if wanted("idle_subscriptions") {
        good &= Box::pin(idle::run(size)).await?.report();
    }
    if wanted("webhooks") {
        good &= Box::pin(webhooks::run(size)).await?.report();
    }
    if wanted("refusals") {
        good &= Box::pin(refusals::run(size)).await?.report();
    }
    if wanted("page_depth") {
        good &= Box::pin(page_depth::run(size)).await?.iter().map(Figure::report).fold(true, |all, one| all & one);
    }
    let web: Vec<&str> = NAMES[9..].iter().copied().filter(|name| wanted(name)).collect();
    if !web.is_empty() {
        good &= Box::pin(graphql::run(size, &web)).await?.iter().map(Figure::report).fold(true, |all, one| all & one);
    }
    Ok(if good || !size.is_judged() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints what the figures depend on; a run that is judged must have it right.
async fn show_settings(size: Size) -> Result<()> {
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL: run this inside tests/services.sh run --durable")?;
    let mut admin = PgConnection::connect(&url).await?;
    let mut shown = Vec::new();
    for name in ["server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size"]
    {
        let value: String =
            sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(&mut admin).await.context(name)?;
        ensure!(
            !size.is_judged() || !matches!(name, "fsync" | "synchronous_commit") || value == "on",
            "{name} is {value}: such figures mean nothing"
        );
        shown.push(format!("{name} {value}"));
    }
    admin.close().await?;
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    ensure!(
        !size.is_judged() || profile == "release",
        "a debug build cannot be judged: use make bench, or BENCH_SCALE"
    );
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    eprintln!("bench: {}", shown.join(", "));
    eprintln!("bench: {size}, {profile} build, {processors} processors");
    Ok(())
}
