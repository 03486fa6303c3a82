//! `admin`: what an operator does that no API does. It talks to the database, so it works while nothing serves.

use anyhow::{Context, Result};
use carillon_domain::contacts::EmailAddress;
use carillon_domain::error::Error;
use carillon_domain::ids::{AccountId, SenderId, TenantId};
use carillon_domain::messaging::{system_sender, verify_sender_by_operator};
use carillon_domain::tenancy::{
    Caps, Name, NewPassword, OwnedAccount, cap_account, disable_user, enter_to_verify, make_account, operate,
    resume_account, suspend_account,
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
    /// Suspend an account: it, the accounts below it and all their tenants stand still.
    SuspendAccount {
        /// The account's id.
        account: String,
    },
    /// End an account's own suspension; one above or below it stays, and has to be ended itself.
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
    /// Print name and text of the TXT record to publish for Carillon's own mail, that of `CARILLON_SYSTEM_FROM`.
    SystemSender,
    /// Let a sender send: its DKIM record is published, and its domain is the tenant's.
    VerifySender {
        /// The tenant's id.
        tenant: String,
        /// The sender's id.
        sender: String,
    },
}

pub async fn run(config: Config, arguments: Arguments) -> Result<()> {
    let app = App::build(config).await?;
    let done = perform(&app, arguments.command).await;
    app.ports().wall.close().await;
    done
}

async fn perform(app: &App, command: Command) -> Result<()> {
    let (ports, grant) = (app.ports(), operate().grant());
    match command {
        Command::CreateAccount { name, owner, owner_name, password_stdin } => {
            let password = if password_stdin { Some(read_password(&owner)?) } else { None };
            let owned = OwnedAccount {
                name: Name::parse(&name).context("name")?,
                email: EmailAddress::parse(&owner).context("--owner")?,
                owner: Name::parse(&owner_name).context("--owner-name")?,
                password,
            };
            let made = make_account(&grant, ports, app.desk(), owned).await.map_err(explain)?;
            println!("{}", made.account.id);
            if let Some(link) = made.link {
                println!("{link}");
            }
        }
        Command::SuspendAccount { account } => {
            suspend_account(&grant, ports, account_id(&account)?).await.map_err(explain)?;
        }
        Command::ResumeAccount { account } => {
            let account = resume_account(&grant, ports, account_id(&account)?).await.map_err(explain)?;
            if account.is_suspended {
                println!("It stands still as before: an account above it is suspended.");
            }
        }
        Command::CapAccount { account, tenants, messages_per_day } => {
            let caps = Caps { tenants, messages_per_day };
            cap_account(&grant, ports, account_id(&account)?, caps).await.map_err(explain)?;
        }
        Command::DisableUser { email } => println!("{}", set_disabled(app, &email, true).await?),
        Command::EnableUser { email } => println!("{}", set_disabled(app, &email, false).await?),
        Command::SystemSender => println!("{}", system_record(app).await?),
        Command::VerifySender { tenant, sender } => verify_sender(app, &tenant, &sender).await?,
    }
    Ok(())
}

async fn system_record(app: &App) -> Result<String> {
    let sender = system_sender(app.ports()).await.map_err(explain)?;
    Ok(format!("{}\n{}", sender.dkim_record_name(), sender.dkim_public))
}

async fn verify_sender(app: &App, tenant: &str, sender: &str) -> Result<()> {
    let tenant: TenantId = tenant.parse().context("tenant")?;
    let sender: SenderId = sender.parse().context("sender")?;
    let grant = enter_to_verify(&operate(), &app.ports().wall, tenant);
    verify_sender_by_operator(&grant, app.ports(), sender).await.map_err(explain)
}

async fn set_disabled(app: &App, email: &str, disabled: bool) -> Result<carillon_domain::ids::UserId> {
    let email = EmailAddress::parse(email).context("email")?;
    disable_user(&operate().grant(), app.ports(), &email, disabled).await.map_err(explain)
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

#[cfg(test)]
mod tests {
    use carillon_domain::consent;
    use carillon_domain::messaging::{CreateSender, NewDkimKey, create_sender, find_senders};
    use carillon_domain::paging::Page;
    use carillon_domain::settings::Settings;
    use carillon_domain::tenancy::{
        AccessSubject, ManageSenders, NewTenant, ReadMessages, Role, SignIn, VerifiedAccess, create_tenant,
        enter_account, enter_as_user, sign_in,
    };
    use clap::Parser;

    use super::*;
    use crate::config::Source;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    fn line(words: &[&str]) -> Command {
        Line::parse_from([&["admin"], words].concat()).command
    }

    async fn app() -> (tempfile::TempDir, App) {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_str().unwrap();
        let config = Config::new(&Source::of([("CARILLON_DATA", data)]).unwrap()).unwrap();
        (folder, App::build(config).await.unwrap())
    }

    /// An owner whom the operator made, signed in, and a tenant of theirs.
    async fn owner_and_tenant(app: &App) -> (VerifiedAccess, TenantId) {
        let (ports, desk) = (app.ports(), app.desk());
        let owned = OwnedAccount {
            name: Name::parse("Agency").unwrap(),
            email: EmailAddress::parse("ada@agency.example").unwrap(),
            owner: Name::parse("Ada").unwrap(),
            password: NewPassword::parse("tischbein-lampe-regal", "password", &[]).ok(),
        };
        let account = make_account(&operate().grant(), ports, desk, owned).await.unwrap().account.id;
        let email = EmailAddress::parse("ada@agency.example").unwrap();
        let person = SignIn { email, password: "tischbein-lampe-regal".to_owned(), address: None };
        let token = sign_in(ports, desk, person).await.unwrap().access_token;
        let access = desk.tokens.verify(&token, ports.now()).unwrap();
        let grant = enter_account(ports, &access, account, "accountId").await.unwrap().grant().unwrap();
        let tenant = NewTenant {
            name: Name::parse("Confiserie").unwrap(),
            zone: carillon_domain::contacts::Zone::parse("Europe/Vienna").unwrap(),
            locale: carillon_domain::contacts::Locale::parse("de-AT").unwrap(),
            country: carillon_domain::contacts::Country::parse("AT").unwrap(),
            creation_key: None,
        };
        let tenant = create_tenant(&grant, ports, &tenant).await.unwrap().id;
        let subject = AccessSubject { entered: Some((tenant, Role::Owner)), ..access.subject() };
        let (token, _) = desk.tokens.issue(&subject, ports.now()).unwrap();
        (desk.tokens.verify(&token, ports.now()).unwrap(), tenant)
    }

    #[tokio::test]
    async fn c002_the_operator_sees_what_to_publish_for_our_own_mail() {
        let (_folder, app) = app().await;
        let record = system_record(&app).await.unwrap();
        let (name, value) = record.split_once('\n').unwrap();
        assert!(name.ends_with("._domainkey.embedded.example") && value.starts_with("v=DKIM1; k=rsa; p="), "{record}");
        assert_eq!(system_record(&app).await.unwrap(), record, "asking makes no other");
        perform(&app, line(&["system-sender"])).await.unwrap();
    }

    #[tokio::test]
    async fn the_operator_verifies_a_sender() {
        let (_folder, app) = app().await;
        let (access, tenant) = owner_and_tenant(&app).await;
        let owner = enter_as_user(&app.ports().wall, &access).unwrap();
        // As in production, where making a sender verifies nothing.
        let settings = Settings { embedded: false, ..app.ports().settings.as_ref().clone() };
        let ports = carillon_domain::ports::Ports { settings: settings.into(), ..app.ports().clone() };
        let grant = owner.grant::<ManageSenders>().unwrap();
        let mut tx = grant.begin().await.unwrap();
        let brands = consent::list_brands(&owner.grant().unwrap(), &mut tx, &Page::first(1)).await.unwrap();
        let command = CreateSender {
            brand: brands.items[0].id,
            from_name: "Confiserie".to_owned(),
            from_email: EmailAddress::parse("news@confiserie.example").unwrap(),
            reply_to: None,
            postal_address: "Graben 1, 1010 Wien".to_owned(),
        };
        let key = NewDkimKey::generate_rsa_2048().unwrap();
        let sender = create_sender(&grant, &mut tx, &ports, command, &key).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(sender.verified_at, None);

        let words = [tenant.to_string(), sender.id.to_string()];
        let foreign = TenantId(sender.id.0).to_string();
        let refused = perform(&app, line(&["verify-sender", &foreign, &words[1]])).await.unwrap_err();
        assert!(refused.to_string().starts_with("NOT_FOUND"), "{refused}");
        let refused = perform(&app, line(&["verify-sender", "confiserie", &words[1]])).await.unwrap_err();
        assert_eq!(refused.to_string(), "tenant");
        perform(&app, line(&["verify-sender", &words[0], &words[1]])).await.unwrap();
        let grant = owner.grant::<ReadMessages>().unwrap();
        let mut tx = grant.begin_read().await.unwrap();
        let found = find_senders(&grant, &mut tx, [sender.id]).await.unwrap();
        assert!(found[0].verified_at.is_some());
    }
}
