//! What every figure stands on: a stage of its own, and the owner beside it for what is not measured.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use carillon_domain::files::Files;
use carillon_domain::ids::TenantId;
use carillon_domain::messaging::ContentCache;
use carillon_domain::settings::Settings;
use carillon_domain::tenancy::RateSettings;
use carillon_domain::webhooks::WebhookReach;
use carillon_jobs::channels::email::{EmailChannel, PoolSettings, TlsTrust};
use carillon_jobs::channels::webhook::{WebhookChannel, WebhookSettings};
use carillon_jobs::handlers::{Handlers, Pace};
use carillon_jobs::redis::Signals;
use carillon_tests::stage::Stage;
use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;

/// A stage and its owner.
pub struct Set {
    /// Works as the application role, under row security.
    pub stage: Stage,
    /// Works past the wall.
    pub owner: PgConnection,
}

impl Set {
    /// A database of its own.
    pub async fn build(name: &str) -> Result<Self> {
        // As fast as it goes is faster than anybody may.
        let rates = RateSettings { tenant: 1_000_000_000, key: 1_000_000_000, user: 1_000_000_000 };
        let settings = Settings { rates, ..Settings::new("https://bench.carillon.example") };
        let stage = Stage::build(&format!("bench_{name}_{}", std::process::id()), settings).await?;
        let mut owner = PgConnection::connect(&stage.owner_url).await?;
        let above: bool =
            sqlx::query_scalar("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = 'carillon_app'")
                .fetch_one(&mut owner)
                .await?;
        ensure!(!above, "the application role is not held by row security");
        Ok(Self { stage, owner })
    }

    /// Both sides start alike: statistics are fresh, no page is dirty, and nothing is left to write for anybody before.
    pub async fn settle(&mut self) -> Result<()> {
        sqlx::raw_sql("VACUUM (ANALYZE)").execute(&mut self.owner).await?;
        sqlx::raw_sql("CHECKPOINT").execute(&mut self.owner).await?;
        Ok(())
    }

    /// The engine's handlers as a process would have them.
    pub fn handlers(&self, files: &Files, pool: PoolSettings, relay: &str, signals: Signals) -> Result<Arc<Handlers>> {
        Ok(Arc::new(Handlers {
            ports: self.stage.ports.clone(),
            files: files.clone(),
            channel: EmailChannel::new(pool, TlsTrust::public()),
            webhooks: WebhookChannel::new(WebhookReach::Local, WebhookSettings::default()),
            relay: relay.parse()?,
            cache: ContentCache::default(),
            pace: Pace::default(),
            files_away_until: std::sync::atomic::AtomicI64::new(i64::MIN),
            worker: format!("bench-{}", self.stage.ports.new_id::<uuid::Uuid>().simple()),
            signals,
            draining: CancellationToken::new(),
        }))
    }

    /// A connection as the application's role, held by row security: for references that are SQL.
    pub async fn as_application(&self) -> Result<PgConnection> {
        let url = self.stage.environment.iter().find(|(name, _)| name == "DATABASE_URL").context("the login")?;
        Ok(PgConnection::connect(&url.1).await?)
    }

    /// Leaves nothing behind.
    pub async fn strike(self) -> Result<()> {
        self.owner.close().await?;
        self.stage.strike().await
    }
}

/// Lets a transaction of [`Set::as_application`] see a tenant.
pub async fn enter(tx: &mut PgConnection, tenant: TenantId) -> Result<()> {
    let enter = sqlx::query("SELECT set_config('app.tenant_id', $1, true)").bind(tenant.0.to_string());
    enter.execute(tx).await?;
    Ok(())
}
