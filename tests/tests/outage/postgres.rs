//! Without Postgres nothing is promised: not ready, no acknowledgement, and no 200 that could be lost (C-11). When it is
//! back everything goes on by itself.

use super::deployment::{Deployment, services};
use super::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c011_without_the_database_nothing_is_acknowledged_and_with_it_all_goes_on() {
    let Some(deployment) = Deployment::start("postgres", 40).await else { return };
    let engine = deployment.engine();
    deployment.accepted("before", 0..20).await;
    deployment.arrived(20).await;
    deployment.slow_sink(100);
    deployment.accepted("during", 20..40).await;
    deployment.arrived(22).await;
    if !services("pg-stop-immediate") {
        return deployment.end(engine).await;
    }

    deployment.is(503, "down").await;
    let (status, page) = deployment.one_click(0).await;
    assert_eq!(status, 503, "{page}");
    let refused = deployment.send("while", 0..20).await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "UNAVAILABLE", "{refused}");

    services("pg-start");
    deployment.is(200, "ok").await;
    let withdrawn = "SELECT COUNT(*) AS amount FROM consent_events WHERE action = 'withdraw'";
    assert_eq!(deployment.number(withdrawn).await, 0, "a 503 that was a yes");
    eventually("the repeated POST is answered 200", async || (deployment.one_click(0).await.0 == 200).then_some(()))
        .await;
    assert_eq!(deployment.number(withdrawn).await, 1, "a 200 without a row");
    deployment.accepted("after", 0..20).await;
    // All but the one who left got both of theirs, whatever was on its way when the database went.
    deployment.arrived(59).await;
    deployment.all("sent", 59).await;
    assert_eq!(deployment.number("SELECT COUNT(*) AS amount FROM messages WHERE state = 'refused'").await, 1);
    deployment.end(engine).await;
}
