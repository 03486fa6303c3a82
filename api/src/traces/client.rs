//! The way to the collector: the HTTP client that the object store has, too.

use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response, ResponseBodyTooLarge};
pub(super) use reqwest::Error as ClientError;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use tokio::runtime::Handle;

use super::TraceSettings;

/// The longest answer that is read.
const ANSWER_MAX: usize = 65_536;

/// Sends on the runtime what the exporter's thread, which has none, asks for.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    runtime: Handle,
}

impl Client {
    pub(super) fn new(timeout: Duration, runtime: Handle) -> reqwest::Result<Self> {
        Ok(Self { http: http(timeout)?, runtime })
    }
}

/// A collector that sends elsewhere is a mistake, and would be shown the headers there.
fn http(timeout: Duration) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().timeout(timeout).redirect(Policy::none()).build()
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        self.runtime.spawn(async move { send(&http, request).await }).await?
    }
}

async fn send(http: &reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let mut answer = http.execute(request.try_into()?).await?;
    let (status, wait) = (answer.status(), answer.headers().get(RETRY_AFTER).cloned());
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > ANSWER_MAX {
            return Err(Box::new(ResponseBodyTooLarge::new()));
        }
        body.extend_from_slice(&chunk);
    }
    let mut response = Response::builder().status(status).body(body.freeze())?;
    if let Some(wait) = wait {
        response.headers_mut().insert(RETRY_AFTER, wait);
    }
    Ok(response)
}

/// Sends a batch of no spans.
///
/// # Errors
/// What the collector says to it, or that it says nothing; without its address or headers.
pub async fn probe(settings: &TraceSettings) -> Result<(), String> {
    let http = http(settings.timeout).map_err(|error| error.to_string())?;
    let request = http.post(&settings.endpoint).header(CONTENT_TYPE, "application/x-protobuf");
    let request = settings.headers.iter().fold(request, |request, (name, value)| request.header(name, value.reveal()));
    match request.send().await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("the collector says {}", answer.status())),
        Err(error) if error.is_timeout() => Err("no answer in time".to_owned()),
        Err(_) => Err("the collector cannot be reached".to_owned()),
    }
}
