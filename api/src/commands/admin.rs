//! `admin`: what an operator does that no API does. It talks to the database, so it works while nothing serves.

use anyhow::{Context, Result};
use carillon_domain::contacts::EmailAddress;
use carillon_domain::error::Error;
use carillon_domain::ids::AccountId;
use carillon_domain::tenancy::{
    Caps, Name, NewPassword, OwnedAccount, cap_account, disable_user, make_account, resume_account, suspend_account,
};

use crate::app::App;
use crate::config::Config;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make an account with an owner, and print a link with which the owner sets a password.
    CreateAccount {
        /// The account's name.
        name: String,
        /// The owner's e-mail address; whoever has it already becomes the owner as they are.
        #[arg(long)]
        owner: String,
        /// What a new owner is called.
        #[arg(long, default_value = "Owner")]
        owner_name: String,
        /// Read a new owner's password from the standard input instead of printing a link.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Suspend an account, the accounts below it and all their tenants.
    SuspendAccount {
        /// The account's id.
        account: String,
    },
    /// End the suspension of an account and of everything below it.
    ResumeAccount {
        /// The account's id.
        account: String,
    },
    /// Limit an account.
    CapAccount {
        /// The account's id.
        account: String,
        /// Tenants under it, at any depth.
        #[arg(long)]
        tenants: Option<i64>,
        /// What each of its tenants may send in a day, at any depth.
        #[arg(long)]
        messages_per_day: Option<i64>,
    },
    /// Disable a user; every token and session ends.
    DisableUser {
        /// The user's e-mail address.
        email: String,
    },
    /// Let a disabled user sign in again.
    EnableUser {
        /// The user's e-mail address.
        email: String,
    },
}

pub async fn run(config: Config, arguments: Arguments) -> Result<()> {
    let app = App::build(config).await?;
    let done = perform(&app, arguments.command).await;
    app.ports().wall.close().await;
    done
}

async fn perform(app: &App, command: Command) -> Result<()> {
    let ports = app.ports();
    match command {
        Command::CreateAccount { name, owner, owner_name, password_stdin } => {
            let password = if password_stdin { Some(read_password(&owner)?) } else { None };
            let owned = OwnedAccount {
                name: Name::parse(&name).context("name")?,
                email: EmailAddress::parse(&owner).context("--owner")?,
                owner: Name::parse(&owner_name).context("--owner-name")?,
                password,
            };
            let made = make_account(ports, app.desk(), owned).await.map_err(explain)?;
            println!("{}", made.account.id);
            if let Some(link) = made.link {
                println!("{link}");
            }
        }
        Command::SuspendAccount { account } => {
            suspend_account(ports, account_id(&account)?).await.map_err(explain)?;
        }
        Command::ResumeAccount { account } => resume_account(ports, account_id(&account)?).await.map_err(explain)?,
        Command::CapAccount { account, tenants, messages_per_day } => {
            let caps = Caps { tenants, messages_per_day };
            cap_account(ports, account_id(&account)?, caps).await.map_err(explain)?;
        }
        Command::DisableUser { email } => println!("{}", set_disabled(app, &email, true).await?),
        Command::EnableUser { email } => println!("{}", set_disabled(app, &email, false).await?),
    }
    Ok(())
}

async fn set_disabled(app: &App, email: &str, disabled: bool) -> Result<carillon_domain::ids::UserId> {
    let email = EmailAddress::parse(email).context("email")?;
    disable_user(app.ports(), &email, disabled).await.map_err(explain)
}

fn account_id(text: &str) -> Result<AccountId> {
    text.parse().context("account")
}

/// The first line of the standard input: arguments are seen by every user of the machine.
fn read_password(email: &str) -> Result<NewPassword> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("the password on the standard input")?;
    let text = line.trim_end_matches(['\r', '\n']);
    NewPassword::parse(text, "password", &[email]).map_err(|refusal| explain(refusal.into()))
}

/// What the operator reads of an error: the rules' own words.
fn explain(error: Error) -> anyhow::Error {
    match error {
        Error::Refused(refusals) => {
            let lines: Vec<_> =
                refusals.iter().map(|refusal| format!("{}: {}", refusal.code, refusal.message)).collect();
            anyhow::anyhow!(lines.join("\n"))
        }
        error => error.into(),
    }
}
