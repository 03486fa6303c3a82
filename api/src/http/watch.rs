//! Metrics and probes on an address of their own, for whoever runs the deployment: on the public one they are not.

use std::net::TcpListener;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::header;
use actix_web::{App, HttpResponse, HttpServer, web};
use carillon_domain::metrics::{Fresh, Metrics};

use super::{Gateway, health, not_found, security_headers};
use crate::traces;

/// Answers on a bound listener until the returned server is stopped through its handle.
///
/// # Errors
/// When the listener cannot be used.
pub fn watch(gateway: web::Data<Gateway>, listener: TcpListener) -> std::io::Result<Server> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(gateway.clone())
            .wrap(security_headers())
            .route("/metrics", web::get().to(metrics))
            .configure(health::configure)
            .default_service(web::to(not_found))
    });
    let server = server.workers(1).disable_signals().client_request_timeout(Duration::from_secs(10));
    Ok(server.listen(listener)?.run())
}

async fn metrics(gateway: web::Data<Gateway>) -> HttpResponse {
    let metrics = &gateway.process.ports.metrics;
    for (check, answer) in gateway.health.ask().await {
        metrics.checks.with_label_values(&[check.name]).set(answer.is_ok().into());
    }
    metrics.sockets.set(i64::try_from(gateway.sockets.count()).unwrap_or(i64::MAX));
    let pools = gateway.process.ports.wall.pools();
    let scrape = metrics.scrape(|fresh| {
        fresh.pools(&pools);
        fresh.spans(traces::count);
        usage(metrics, fresh);
    });
    HttpResponse::Ok().insert_header((header::CONTENT_TYPE, Metrics::media_type())).body(scrape)
}

/// What the process takes of its machine, where the kernel tells it.
fn usage(metrics: &Metrics, fresh: &Fresh<'_>) {
    let resident = std::fs::read_to_string("/proc/self/status").ok().and_then(|text| resident_bytes(&text));
    if let Some(bytes) = resident {
        metrics.memory.set(bytes);
    }
    let spent = std::fs::read_to_string("/proc/self/stat").ok().and_then(|text| processor_time(&text));
    if let Some(time) = spent {
        fresh.cpu(time);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        metrics.files.set(i64::try_from(files.count()).unwrap_or(i64::MAX));
    }
}

/// `VmRSS:   123 kB`.
fn resident_bytes(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<i64>().ok()?.checked_mul(1024)
}

/// The fourteenth and fifteenth value, in hundredths of a second; the second is a name in parentheses, which may hold
/// anything.
fn processor_time(stat: &str) -> Option<Duration> {
    let mut values = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (values.next()?.parse().ok()?, values.next()?.parse().ok()?);
    Some(Duration::from_millis(user.checked_add(system)?.checked_mul(10)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_figures_are_read() {
        assert_eq!(resident_bytes("Name:\tcarillon\nVmRSS:\t    1234 kB\n"), Some(1_263_616));
        assert_eq!(resident_bytes("Name:\tcarillon\n"), None);
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 150 25 0 0 20 0 9 0 1 2 3";
        assert_eq!(processor_time(stat), Some(Duration::from_millis(1_750)));
        assert_eq!(processor_time("7"), None);
    }
}
