//! What the executable can be told to do.

mod admin;
mod bounce;
pub mod check;
mod demo;
pub mod logs;
pub mod migrate;
mod serve;
mod work;

use std::process::ExitCode;

use anyhow::Result;
use carillon_domain::time::{Clock as _, DatabaseClock};
use clap::{Parser, Subcommand};

use crate::config::{Config, Duty};
use crate::traces::Export;

/// Multi-tenant marketing automation: gateway, engine and tools in one executable.
///
/// Settings come from the environment and from the TOML file that CARILLON_CONFIG names. Without any, everything runs
/// embedded: SQLite under ./data, an in-memory queue and a mail catcher.
#[derive(Debug, Parser)]
#[command(name = "carillon", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the gateway; in embedded mode the engine, too. The default.
    Serve(serve::Arguments),
    /// Run the engine: dispatch, workers, sweeps. With --inbound: take bounces and complaints.
    Work(work::Arguments),
    /// Take one bounce or complaint from standard input.
    Bounce(bounce::Arguments),
    /// Bring the database to the newest schema; needs DATABASE_OWNER_URL on Postgres.
    Migrate(migrate::Arguments),
    /// Print a part of the contract: the GraphQL schema, the JSON Schemas of workflow definitions and of what
    /// webhooks are told, or the error codes.
    Schema {
        /// Which.
        #[arg(value_enum, default_value_t)]
        part: Contract,
    },
    /// Show everything working, on this machine alone.
    Demo(demo::Arguments),
    /// Check the configuration, the database with every role, files, Redis and the relay; status 1 if anything is wrong.
    Check(check::Arguments),
    /// Make accounts and limit them, disable users, verify senders.
    Admin(admin::Arguments),
}

/// A part of what clients build on.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Contract {
    #[default]
    Graphql,
    WorkflowDefinition,
    WebhookEvents,
    ErrorCodes,
}

/// Runs the executable.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let command = arguments.command.unwrap_or_else(|| Command::Serve(serve::Arguments::default()));
    let failure = failure(&command);
    match run(command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("carillon: {error:#}");
            ExitCode::from(failure)
        }
    }
}

/// The status of a command that could not be run. What a mail server takes for final loses a report for a fault of ours.
fn failure(command: &Command) -> u8 {
    if matches!(command, Command::Bounce(_)) { bounce::TRY_AGAIN } else { 1 }
}

fn run(command: Command) -> Result<ExitCode> {
    // The contract needs no configuration.
    if let Command::Schema { part } = &command {
        match part {
            Contract::Graphql => print!("{}", crate::graphql::schema().sdl()),
            Contract::WorkflowDefinition => println!("{:#}", carillon_domain::workflows::definition_schema()),
            Contract::WebhookEvents => println!("{:#}", carillon_domain::webhooks::events_schema()),
            Contract::ErrorCodes => println!("{:#}", serde_json::to_value(carillon_domain::codes::CODES)?),
        }
        return Ok(ExitCode::SUCCESS);
    }
    // A demonstration has settings of its own: it must not reach what the environment names.
    if let Command::Demo(arguments) = &command {
        return demo::main(arguments);
    }
    let config = match (Config::from_env(duty(&command)), &command) {
        (Err(errors), Command::Check(_)) => return Ok(check::unusable(&errors)),
        (config, _) => config?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let export = match (&config.traces, &command) {
        (Some(traces), Command::Serve(_) | Command::Work(_)) if duty(&command) != Duty::Inbound => {
            Some(Export::start(traces, runtime.handle())?)
        }
        _ => None,
    };
    logs::start(&config, export.as_ref())?;
    if !matches!(command, Command::Check(_)) {
        for setting in &config.needless {
            tracing::warn!(setting, "a secret that this process has no use for: take it out of its environment");
        }
    }
    let code = runtime.block_on(async {
        match command {
            Command::Serve(arguments) => serve::run(config, &arguments).await.map(|()| ExitCode::SUCCESS),
            Command::Work(arguments) => work::run(config, &arguments).await.map(|()| ExitCode::SUCCESS),
            Command::Bounce(arguments) => bounce::run(config, &arguments).await,
            Command::Migrate(arguments) => {
                migrate::run(&config, &arguments, DatabaseClock::new().now()).await.map(|()| ExitCode::SUCCESS)
            }
            Command::Schema { .. } | Command::Demo(_) => Ok(ExitCode::SUCCESS),
            Command::Check(arguments) => check::run(&config, &arguments).await,
            Command::Admin(arguments) => admin::run(config, arguments).await.map(|()| ExitCode::SUCCESS),
        }
    });
    // While there is still somebody to send what waits.
    if let Some(export) = export {
        export.end();
    }
    code
}

/// What the process of a command is for.
fn duty(command: &Command) -> Duty {
    match command {
        Command::Serve(arguments) => arguments.duty(),
        Command::Work(arguments) => arguments.duty(),
        Command::Bounce(_) => Duty::Inbound,
        Command::Migrate(arguments) if arguments.maintain => Duty::Maintain,
        Command::Migrate(_) => Duty::Migrate,
        Command::Admin(_) => Duty::Admin,
        Command::Check(arguments) => arguments.duty(),
        Command::Schema { .. } | Command::Demo(_) => Duty::Everything,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Arguments::command().debug_assert();
        assert!(Arguments::parse_from(["carillon"]).command.is_none());
    }

    #[test]
    fn the_readme_names_every_command() {
        let readme = include_str!("../../../README.md");
        let row = readme.lines().find(|line| line.starts_with("| `api/`")).unwrap();
        for command in Arguments::command().get_subcommands() {
            assert!(row.contains(&format!("`{}`", command.get_name())), "{} is not in {row}", command.get_name());
        }
    }

    #[test]
    fn c054_a_report_that_could_not_be_taken_for_a_fault_of_ours_comes_again() {
        let failure = |line: &[&str]| failure(&Arguments::parse_from(line).command.unwrap());
        assert_eq!(failure(&["carillon", "bounce", "--to", "b@bounces.example.org"]), 75);
        assert_eq!(failure(&["carillon", "work"]), 1);
    }
}
