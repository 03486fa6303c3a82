//! `demo`: the whole product on this machine alone, used only as its users use it: GraphQL and links over HTTP, mail
//! over SMTP.
//!
//! An agency and its two clients write to a thousand people twice, then a workflow of each moves some of them. What must
//! hold afterwards is counted at the mail catcher and in the API; with `--exit` the status says whether it did.

mod agency;
mod cast;
mod checks;
mod client;
mod flows;
mod list;
mod mailbox;
mod mailing;
mod product;
mod progress;
mod recipients;
mod report;
mod signatures;
mod story;
mod tenant;
mod walk;
mod ways;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use carillon_domain::time::{Clock as _, DatabaseClock};
use serde_json::json;

use checks::Verdict;
use product::Product;

use super::migrate;

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often it is looked at.
const POLL: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// End when the demonstration is over: status 0 only if all its checks held, the last line tells them as JSON.
    #[arg(long)]
    exit: bool,
    /// Use this Postgres instead of SQLite: the owner's login to an empty database whose name begins with carillon_demo,
    /// in a cluster that no other Carillon uses, for its roles get new passwords.
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
}

/// Runs the demonstration in a runtime of its own.
pub fn main(arguments: &Arguments) -> Result<ExitCode> {
    let log = std::env::var("CARILLON_LOG").unwrap_or_else(|_| "error".to_owned());
    let (mut config, folder) = product::plan(&log)?;
    if let Some(owner) = &arguments.postgres {
        config.database = product::on_postgres(owner, &config.database)?;
    }
    super::logs::start(&config, None)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let settings = product::SETTINGS.map(|(name, value)| format!("{name}={value}"));
    println!("Carillon demo. Nothing outside this machine is touched. Settings: {}", settings.join(" "));
    let code = runtime.block_on(async {
        if arguments.postgres.is_some() {
            migrate::run(&config, &migrate::Arguments { maintain: false }, DatabaseClock::new().now()).await?;
        }
        let product = Product::start(config, folder).await;
        if arguments.exit { Ok(run_once(product).await) } else { stay(product?).await }
    });
    // What still runs is of no use to anybody.
    runtime.shutdown_background();
    code
}

/// Whatever happens, the last line says it.
async fn run_once(product: Result<Product>) -> ExitCode {
    let outcome = match product {
        Ok(product) => {
            let outcome = story::tell(&product.base).await;
            if let Err(error) = product.end() {
                eprintln!("{error:#}");
            }
            outcome
        }
        Err(error) => Err(error),
    };
    conclude(&outcome)
}

async fn stay(product: Product) -> Result<ExitCode> {
    let verdict = story::tell(&product.base).await?;
    invite(&product.base);
    product.stay().await?;
    Ok(code(&verdict))
}

/// Writes the last line.
fn conclude(outcome: &Result<Verdict>) -> ExitCode {
    match outcome {
        Ok(verdict) => {
            println!("{}", json_line(verdict));
            code(verdict)
        }
        Err(error) => {
            println!("{}", json!({ "checks": "failed", "failed": [format!("{error:#}")] }));
            ExitCode::FAILURE
        }
    }
}

fn json_line(verdict: &Verdict) -> String {
    serde_json::to_string(verdict).unwrap_or_default()
}

fn code(verdict: &Verdict) -> ExitCode {
    if verdict.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Where to look around.
fn invite(base: &str) {
    println!("\nLook around until you press Ctrl-C; everything is forgotten then.");
    println!("  GraphiQL      {base}/");
    println!("  mail catcher  {base}/dev/mail");
    println!("  login         {} / {}", agency::EMAIL, agency::PASSWORD);
}
