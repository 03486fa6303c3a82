//! How long answers take, one by one, for those who wait for them: over kept connections, a few at the same time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::web::Connection;

/// Who ask at the same time.
const CALLERS: usize = 4;

/// What is asked, and what must come of it.
pub struct Question {
    /// The whole request.
    pub request: Vec<u8>,
    /// The answer's status; but for 200 the connection is another one each time.
    pub status: u16,
    /// What is in the answer, and how often at least: one without it would be fast and worth nothing.
    pub expected: (String, usize),
}

/// Asks `count` times in all, through the questions in turn; how long each answer took, in microseconds.
pub async fn times(address: SocketAddr, questions: &Arc<Vec<Question>>, count: u32) -> Result<Vec<f64>> {
    let each = usize::try_from(count)?.div_ceil(CALLERS);
    let callers: Vec<_> =
        (0..CALLERS).map(|first| tokio::spawn(call(address, Arc::clone(questions), (first, each)))).collect();
    let mut all = Vec::with_capacity(CALLERS * each);
    for caller in callers {
        all.extend(caller.await??);
    }
    Ok(all)
}

async fn call(address: SocketAddr, questions: Arc<Vec<Question>>, (first, count): (usize, usize)) -> Result<Vec<f64>> {
    let mut connection = Connection::open(address).await?;
    let mut times = Vec::with_capacity(count);
    for question in questions.iter().cycle().skip(first).take(count) {
        let began = Instant::now();
        let body = connection.ask_for(&question.request, question.status).await?;
        times.push(began.elapsed().as_secs_f64() * 1_000_000.0);
        let (text, (what, least)) = (std::str::from_utf8(body)?, &question.expected);
        ensure!(text.matches(what.as_str()).count() >= *least, "not {what} {least} times: {text:.1000}");
        if question.status != 200 {
            connection = Connection::open(address).await?;
        }
    }
    Ok(times)
}

/// What 99 of 100 stay below.
pub fn p99(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    let place = (times.len() * 99).div_ceil(100);
    times.get(place.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
