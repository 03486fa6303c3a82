//! `refusals`: how long the real executable takes to refuse what is too much, limit by limit and over HTTP, and how much memory
//! meanwhile (C-221); the reference is how long it takes to answer `{ __typename }`. What is told is the slowest limit's.
//!
//! Somebody signed in asks for the same again and again, as attackers do. The limit on time is not among them: its refusal
//! comes when the time is over, and what would take that long is priced and refused beforehand.

use std::sync::Arc;

use anyhow::Result;
use carillon_tests::attacks::attacks;
use serde_json::json;

use super::figure::{Figure, Size};
use super::gateway::Gateway;
use super::graphql::post;
use super::latency::{Question, p99, times};
use super::set::Set;

/// Requests for each limit.
const REQUESTS: u32 = 1_000;
const P99_MS: f64 = 50.0;
/// What a process may take for any of them, as long as it goes on.
const GROWTH_MIB: f64 = 64.0;
/// Octets of a body that is too large.
const TOO_LARGE: usize = 1_000_001;

/// Measures it.
pub async fn run(size: Size) -> Result<Figure> {
    let mut set = Set::build("refusals").await?;
    let cast = set.stage.cast("refusals", 0).await?;
    set.settle().await?;
    let gateway = Gateway::start(&set).await?;
    let plain = question(post(&cast.token, "{ __typename }", &json!({})), (200, "__typename"));
    let refused = refused(&cast.token);
    let count = size.of(REQUESTS);
    for questions in refused.iter().map(|(_, questions)| questions).chain([&plain]) {
        times(gateway.address, questions, (count / 10).max(4)).await?;
    }
    let mut figure = Figure::new("refusals", "us", 0.0);
    for _ in 0..size.runs() {
        let reference = p99(times(gateway.address, &plain, count).await?);
        let (mut slowest, mut largest) = (("", 0.0), ("", 0.0));
        for (limit, questions) in &refused {
            gateway.forget_peak()?;
            let before = gateway.resident_mib()?;
            let took = p99(times(gateway.address, questions, count).await?);
            let growth = gateway.peak_mib()? - before;
            figure.note(&format!("{limit}: p99 {took:.0} us, memory grew by {growth:.1} MiB"));
            slowest = if took > slowest.1 { (*limit, took) } else { slowest };
            largest = if growth > largest.1 { (*limit, growth) } else { largest };
        }
        figure.limit(&format!("p99 in ms of the slowest ({})", slowest.0), slowest.1 / 1_000.0, P99_MS);
        figure.limit(&format!("MiB that memory grew by at most ({})", largest.0), largest.1, GROWTH_MIB);
        figure.measured(slowest.1, reference);
    }
    gateway.stop().await?;
    set.strike().await?;
    Ok(figure)
}

/// What is refused, by what of it is too much.
fn refused(token: &str) -> Vec<(&'static str, Arc<Vec<Question>>)> {
    let documents = attacks().into_iter().map(|attack| {
        let request = post(token, &attack.query, &attack.variables);
        (attack.limit, question(request, (200, attack.limit)))
    });
    let body = post(token, "{ __typename }", &json!({ "v": "x".repeat(TOO_LARGE) }));
    documents.chain([("the body", question(body, (413, "BODY_TOO_LARGE")))]).collect()
}

fn question(request: Vec<u8>, (status, text): (u16, &str)) -> Arc<Vec<Question>> {
    Arc::new(vec![Question { request, status, expected: (text.to_owned(), 1) }])
}
