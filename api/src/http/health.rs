//! Liveness and readiness: live while the process runs, ready while it can do what it is for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::{HttpResponse, web};
use carillon_domain::ports::Wall;
use futures::future::BoxFuture;
use serde_json::json;

use super::Gateway;

/// A probe may take this long.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks whether something is there; the text says what is wrong, without addresses or credentials.
pub type Probe = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// One thing that readiness looks at.
#[derive(Clone)]
pub struct Check {
    /// Its name in the answer.
    pub name: &'static str,
    /// False where the service goes on without it, degraded (L4: without Redis due work is polled for).
    pub required: bool,
    /// Asks.
    pub probe: Probe,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Check({}, required: {})", self.name, self.required)
    }
}

/// What readiness depends on.
#[derive(Debug, Default)]
pub struct Health {
    checks: Vec<Check>,
    draining: AtomicBool,
}

impl Health {
    /// Readiness that depends on these.
    pub fn new(checks: Vec<Check>) -> Self {
        Self { checks, draining: AtomicBool::new(false) }
    }

    /// From now on not ready: the process is going to stop (C-185).
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Asks everything at once.
    pub(super) async fn ask(&self) -> Vec<(&Check, Result<(), String>)> {
        let asked = self.checks.iter().map(|check| async move {
            let answer = tokio::time::timeout(PROBE_TIMEOUT, (check.probe)()).await;
            (check, answer.unwrap_or_else(|_| Err("no answer in time".to_owned())))
        });
        futures::future::join_all(asked).await
    }

    async fn report(&self) -> (bool, serde_json::Value) {
        let results = self.ask().await;
        let draining = self.draining.load(Ordering::SeqCst);
        let down = results.iter().any(|(check, result)| check.required && result.is_err());
        let degraded = results.iter().any(|(_, result)| result.is_err());
        let status = match (draining, down, degraded) {
            (true, _, _) => "draining",
            (_, true, _) => "down",
            (_, _, true) => "degraded",
            _ => "ok",
        };
        let checks: serde_json::Map<_, _> = results
            .into_iter()
            .map(|(check, result)| (check.name.to_owned(), result.err().map_or_else(|| "ok".into(), Into::into)))
            .collect();
        (!draining && !down, json!({ "status": status, "checks": checks }))
    }
}

/// The database answers.
pub fn database(wall: Wall) -> Check {
    let probe: Probe = Arc::new(move || {
        let wall = wall.clone();
        Box::pin(async move { wall.database_now().await.map(drop).map_err(|error| error.to_string()) })
    });
    Check { name: "database", required: true, probe }
}

pub(super) fn configure(routes: &mut web::ServiceConfig) {
    routes.route("/health/live", web::get().to(live)).route("/health/ready", web::get().to(ready));
}

async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

async fn ready(gateway: web::Data<Gateway>) -> HttpResponse {
    let (ready, report) = gateway.health.report().await;
    if ready { HttpResponse::Ok().json(report) } else { HttpResponse::ServiceUnavailable().json(report) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &'static str, required: bool, answer: Result<(), &str>) -> Check {
        let answer = answer.map_err(str::to_owned);
        Check { name, required, probe: Arc::new(move || Box::pin(std::future::ready(answer.clone()))) }
    }

    #[tokio::test]
    async fn what_is_required_decides_and_the_rest_degrades() {
        let up = |database, redis| Health::new(vec![check("database", true, database), check("redis", false, redis)]);
        let (ready, report) = up(Ok(()), Ok(())).report().await;
        assert!(ready && report["status"] == "ok");
        let (ready, report) = up(Ok(()), Err("gone")).report().await;
        assert!(ready && report["status"] == "degraded" && report["checks"]["redis"] == "gone");
        let (ready, report) = up(Err("gone"), Ok(())).report().await;
        assert!(!ready && report["status"] == "down");
    }

    #[tokio::test]
    async fn c185_a_draining_process_is_not_ready() {
        let health = Health::new(vec![check("database", true, Ok(()))]);
        health.drain();
        let (ready, report) = health.report().await;
        assert!(!ready && report["status"] == "draining");
    }
}
