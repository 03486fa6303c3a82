//! `import`: a CSV file with consent, through the use cases that the API and the worker call, against COPY of the rows
//! that came of it into the same tables.
//!
//! The file is there when the clock starts. It is told to start, and worked on by the engine's own handler.

use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use bytes::Bytes;
use carillon_domain::consent::Basis;
use carillon_domain::contacts::import::{
    ImportConsent, ImportOptions, StartImport, get_import, read_head, start_import,
};
use carillon_domain::files::{CreateUpload, Files, Part, create_upload, receive};
use carillon_domain::ids::UploadId;
use carillon_domain::tenancy::{Grant, ImportContacts, RecordConsent};
use carillon_jobs::channels::email::PoolSettings;
use carillon_jobs::handlers::Handlers;
use carillon_jobs::redis::Signals;
use carillon_tests::stage::{Cast, Stage};
use chrono::TimeDelta;

use super::copy::Dump;
use super::figure::{Figure, Size};
use super::set::Set;

const ROWS: u32 = 200_000;
/// Rows that are made at once: the file as a whole is in nobody's memory.
const CHUNK: u32 = 1_000;
const PEAK_MIB: f64 = 200.0;

/// Measures it.
pub async fn run(size: Size) -> Result<Figure> {
    let rows = size.of(ROWS);
    let mut set = Set::build("import").await?;
    let folder = tempfile::tempdir()?;
    let files = Files::open(&format!("file:{}", folder.path().join("files").display()))?;
    // No mail leaves; the relay is never asked.
    let handlers = set.handlers(&files, PoolSettings::default(), "smtp://127.0.0.1:9?tls=none", Signals::local())?;
    let mut figure = Figure::new("import", "rows/s", 0.25);
    let mut peak: f64 = 0.0;
    for run in 0..size.runs() {
        let cast = set.stage.cast(&format!("import{run}"), 0).await?;
        let grant = set.stage.enter(cast.tenant)?.grant::<ImportContacts>()?;
        forget_peak();
        let upload = upload(&set.stage, &grant, &files, rows).await?;
        set.settle().await?;
        let ours = ours((&set.stage, &cast), &grant, &handlers, upload, rows).await?;
        peak = peak.max(peak_mib()?);
        let dump = Dump::of(&mut set.owner, (cast.tenant, set.stage.ports.new_id()), rows, folder.path()).await?;
        set.settle().await?;
        let reference = dump.copy(&mut set.owner).await?;
        figure.add(rows, ours, reference);
        if run == 0 {
            figure.note(&format!("COPY into {}", dump.tables()));
        }
    }
    figure.limit("peak memory in MiB", peak, PEAK_MIB);
    set.strike().await?;
    Ok(figure)
}

async fn upload(stage: &Stage, grant: &Grant<ImportContacts>, files: &Files, rows: u32) -> Result<UploadId> {
    let length: usize = chunks(rows).map(|chunk| chunk.len()).sum();
    let command = CreateUpload::parse("people.csv", i64::try_from(length)?, stage.ports.settings.upload_max)
        .map_err(|refusals| anyhow!("{refusals:?}"))?;
    let mut tx = grant.begin().await?;
    let upload = create_upload(grant, &mut tx, &stage.ports, command).await?;
    tx.commit().await?;
    let body = futures::stream::iter(chunks(rows).map(|chunk| Ok::<_, std::io::Error>(Bytes::from(chunk))));
    let part = Part { offset: 0, length: None, total: None };
    let received = receive(grant, (&stage.ports, files), upload.id, part, body).await?;
    ensure!(received.offset == received.size, "the file is not whole");
    Ok(upload.id)
}

/// Header and rows: mixed case, umlauts, quotes, two domains in three; every row is a person of its own.
fn chunks(rows: u32) -> impl Iterator<Item = String> + Unpin {
    let header = "email,id,first name,last name,country,status\n".to_owned();
    let row = |i: u32| {
        let name = ["Ada,Lovelace", "Käthe,Größer", "\"Jean, Luc\",Müller"][i as usize % 3];
        format!("Person.{i}@d{}.people.example,c-{i},{name},AT,subscribed\n", i % 499)
    };
    let chunk = move |first: u32| (first..rows.min(first + CHUNK)).map(row).collect();
    std::iter::once(header).chain((0..rows).step_by(CHUNK as usize).map(chunk))
}

async fn ours(
    (stage, cast): (&Stage, &Cast),
    grant: &Grant<ImportContacts>,
    handlers: &std::sync::Arc<Handlers>,
    upload: UploadId,
    rows: u32,
) -> Result<f64> {
    let collected = stage.ports.now() - TimeDelta::days(1);
    let consent = ImportConsent::parse(Basis::Consent, Some("Fair"), Some(collected), "They ticked the box.")
        .map_err(|refusals| anyhow!("{refusals:?}"))?;
    let options = ImportOptions { topic: Some(cast.topic), consent: Some(consent), ..ImportOptions::default() };
    let began = Instant::now();
    let head = read_head(grant, (&stage.ports, &handlers.files), upload, options.delimiter).await?;
    let records = stage.enter(cast.tenant)?.grant::<RecordConsent>()?;
    let mut tx = grant.begin().await?;
    let import =
        start_import((grant, Some(&records)), &mut tx, &stage.ports, StartImport { upload, options }, head).await?;
    tx.commit().await?;
    handlers.run_until_quiet().await?;
    let seconds = began.elapsed().as_secs_f64();
    let mut tx = grant.begin_read().await?;
    let import = get_import(grant, &mut tx, import.id).await?.context("the import is gone")?;
    tx.commit().await?;
    let counts = (import.rows_created, import.rows_updated, import.rows_failed);
    ensure!(counts == (i64::from(rows), 0, 0), "rows created, updated and failed are {counts:?} of {rows}");
    Ok(seconds)
}

/// Lets the kernel count the peak anew. Where it cannot, the peak of the process' whole life stands: never less.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn peak_mib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("peak memory is read from /proc")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: u32 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(f64::from(kib) / 1024.0)
}
