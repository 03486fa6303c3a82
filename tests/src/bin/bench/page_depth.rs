//! `page_depth_..`: p99 of a page of fifty contacts where there are a million, by the real executable; the reference is the same
//! page where there are a thousand. A page is to cost by what is on it.
//!
//! Each way to a page is a figure: the first page, pages further in, the newest, those with a tag, and those that a prefix finds.
//! With the tag is a tenth of all; the prefix finds a hundred in either tenant, because a search is paid for by what it finds.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use carillon_domain::ids::TenantId;
use carillon_tests::stage::Cast;
use serde_json::{Value as Json, json};

use super::figure::{Figure, Size};
use super::gateway::Gateway;
use super::graphql::post;
use super::latency::{Question, p99, times};
use super::set::Set;
use super::web::Connection;

const MANY: u32 = 1_000_000;
/// Whatever the size is.
const FEW: u32 = 1_000;
/// Requests of one run for each way.
const REQUESTS: u32 = 2_000;
const MOST: f64 = 2.0;
const PAGE: usize = 50;
/// How many the prefix finds, evenly spread.
const RARE: usize = 100;
/// Behind so many of those a page is full whatever else is asked for.
const PLACES: usize = 45;

/// People one by one in a millisecond each, as their ids have it; contacts alone, for nothing else is read.
const PEOPLE: &str = "WITH people AS (SELECT n, md5(n::text) AS noise, \
        (CASE WHEN n % ($2 / 100) = 0 THEN 'rare' ELSE 'person' END) || n || '@people.example' AS email \
        FROM generate_series(0, $2 - 1) AS n), \
     since AS (SELECT (extract(epoch FROM now()) * 1000)::bigint - $2 AS began) \
     INSERT INTO contacts (tenant_id, id, state, email, email_norm, first_name, last_name, name_norm, attributes, version, \
        created_at, updated_at) \
     SELECT $1, (lpad(to_hex(began + n), 12, '0') || '7' || substr(noise, 1, 3) || '8' || substr(noise, 4, 15))::uuid, 'active', \
        email, email, 'Ada', 'Person', 'person ada', '{}', 1, now(), now() FROM people CROSS JOIN since";
const TAGGED: &str = "INSERT INTO contact_tags (tenant_id, tag, contact_id, created_at) \
     SELECT tenant_id, 'vip', id, now() FROM (SELECT tenant_id, id, row_number() OVER (ORDER BY id) AS n FROM contacts \
        WHERE tenant_id = $1) AS p WHERE n % 10 = 0";

/// The ways: their figures, what of the arguments differs, and whether it goes on behind places.
const WAYS: [(&str, &str, bool); 5] = [
    ("page_depth_first", "", false),
    ("page_depth_deep", "", true),
    ("page_depth_newest", ", orderBy: NEWEST_FIRST", false),
    ("page_depth_tag", ", filter: { tag: \"vip\" }", true),
    ("page_depth_search", ", search: \"rare\"", true),
];

/// Measures all of them.
pub async fn run(size: Size) -> Result<Vec<Figure>> {
    let mut set = Set::build("page_depth").await?;
    let many = gather(&mut set, "many", size.of(MANY).max(FEW)).await?;
    let few = gather(&mut set, "few", FEW).await?;
    set.settle().await?;
    let gateway = Gateway::start(&set).await?;
    let places = [places(&gateway, &many).await?, places(&gateway, &few).await?];
    let (count, mut figures) = (size.of(REQUESTS), Vec::new());
    for (name, arguments, is_deep) in WAYS {
        let nowhere = [Json::Null];
        let [behind_many, behind_few] = places.each_ref().map(|all| if is_deep { &all[..] } else { &nowhere[..] });
        let (ours, reference) = (pages(&many, arguments, behind_many), pages(&few, arguments, behind_few));
        // Plans, pools and caches are warm on both sides.
        times(gateway.address, &ours, (count / 10).max(64)).await?;
        times(gateway.address, &reference, (count / 10).max(64)).await?;
        let mut figure = Figure::at_most(name, "us", MOST);
        for _ in 0..size.runs() {
            let ours = p99(times(gateway.address, &ours, count).await?);
            figure.measured(ours, p99(times(gateway.address, &reference, count).await?));
        }
        figures.push(figure);
    }
    gateway.stop().await?;
    set.strike().await?;
    Ok(figures)
}

/// A tenant with so many people.
async fn gather(set: &mut Set, name: &str, count: u32) -> Result<Cast> {
    let mut cast = set.stage.cast(name, 0).await?;
    let TenantId(tenant) = cast.tenant;
    sqlx::query(PEOPLE).bind(tenant).bind(i64::from(count)).execute(&mut set.owner).await?;
    sqlx::query(TAGGED).bind(tenant).execute(&mut set.owner).await?;
    // That took some of the time that a token has.
    cast.token = set.stage.token(cast.tenant)?;
    Ok(cast)
}

/// Places all over the first half of the tenant's contacts.
async fn places(gateway: &Gateway, cast: &Cast) -> Result<Vec<Json>> {
    let query = format!("{{ contacts(first: {RARE}, search: \"rare\") {{ edges {{ cursor }} }} }}");
    let mut connection = Connection::open(gateway.address).await?;
    let answer: Json = serde_json::from_slice(connection.ask(&post(&cast.token, &query, &json!({}))).await?)?;
    let edges = answer["data"]["contacts"]["edges"].as_array().with_context(|| format!("no page: {answer}"))?;
    ensure!(edges.len() == RARE, "{} are rare", edges.len());
    Ok(edges.iter().take(PLACES).map(|edge| edge["cursor"].clone()).collect())
}

/// A page behind each of the places.
fn pages(cast: &Cast, arguments: &str, places: &[Json]) -> Arc<Vec<Question>> {
    let query = format!(
        "query ($after: String) {{ contacts(first: {PAGE}, after: $after{arguments}) \
         {{ nodes {{ id email firstName lastName state }} }} }}"
    );
    let page = |after: &Json| Question {
        request: post(&cast.token, &query, &json!({ "after": after })),
        status: 200,
        expected: ("\"contact_".to_owned(), PAGE),
    };
    Arc::new(places.iter().map(page).collect())
}
