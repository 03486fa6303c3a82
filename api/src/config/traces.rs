//! Where traces go, as OpenTelemetry's own variables say it.

use std::str::FromStr as _;
use std::time::Duration;

use actix_web::http::header::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use url::Url;

use super::Secret;
use super::read::Reader;
use crate::traces::TraceSettings;

pub(super) fn traces(reader: &mut Reader<'_>) -> Option<TraceSettings> {
    reader.choice("OTEL_EXPORTER_OTLP_PROTOCOL", (), &[("http/protobuf", ())]);
    let callers = [("link", false), ("continue", true)];
    let continues_callers = reader.choice("CARILLON_TRACE_CALLERS", false, &callers);
    let (headers, sampled) = (headers(reader), sampled(reader));
    let timeout = reader.number("OTEL_EXPORTER_OTLP_TIMEOUT", 10_000, 1..=60_000);
    let queue = reader.number("OTEL_BSP_MAX_QUEUE_SIZE", 2_048, 1..=1_000_000);
    let every = reader.number("OTEL_BSP_SCHEDULE_DELAY", 5_000, 1..=60_000);
    let endpoint = reader.text("OTEL_EXPORTER_OTLP_ENDPOINT")?;
    if !Url::parse(&endpoint).is_ok_and(|url| is_bare(&url)) {
        let wanted = "give http:// or https:// and where the collector is, such as http://collector:4318";
        reader.errors.push(format!("OTEL_EXPORTER_OTLP_ENDPOINT: {wanted}"));
    }
    Some(TraceSettings {
        endpoint: format!("{}/v1/traces", endpoint.trim_end_matches('/')),
        headers,
        timeout: Duration::from_millis(timeout.into()),
        service: reader.text("OTEL_SERVICE_NAME").unwrap_or_else(|| "carillon".to_owned()),
        sampled,
        queue: usize::try_from(queue).unwrap_or(usize::MAX),
        every: Duration::from_millis(every.into()),
        continues_callers,
    })
}

/// A web address without query or credentials; those belong into headers, which are kept as a secret.
fn is_bare(url: &Url) -> bool {
    let plain =
        url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    matches!(url.scheme(), "http" | "https") && url.has_host() && plain
}

fn headers(reader: &mut Reader<'_>) -> Vec<(String, Secret)> {
    let Some(text) = reader.text("OTEL_EXPORTER_OTLP_HEADERS") else { return Vec::new() };
    let given: Option<Vec<_>> = text.split(',').filter(|one| !one.trim().is_empty()).map(header).collect();
    given.unwrap_or_else(|| {
        reader.errors.push("OTEL_EXPORTER_OTLP_HEADERS: give name=value, with commas between them".to_owned());
        Vec::new()
    })
}

/// A header's name and its value, in which other than plain characters stand as %20.
fn header(text: &str) -> Option<(String, Secret)> {
    let (name, value) = text.split_once('=')?;
    let (name, value) = (name.trim(), percent_decode_str(value.trim()).decode_utf8().ok()?.into_owned());
    HeaderName::from_str(name).ok()?;
    HeaderValue::from_str(&value).ok()?;
    Some((name.to_owned(), Secret::new(value)))
}

fn sampled(reader: &mut Reader<'_>) -> f64 {
    let Some(text) = reader.text("OTEL_TRACES_SAMPLER_ARG") else { return 1.0 };
    let part = text.parse::<f64>().ok().filter(|part| (0.0..=1.0).contains(part));
    part.unwrap_or_else(|| {
        reader.errors.push("OTEL_TRACES_SAMPLER_ARG: give a number from 0 to 1".to_owned());
        1.0
    })
}
