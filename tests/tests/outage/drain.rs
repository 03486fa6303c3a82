//! A process that is told to stop finishes what is on its way and gives the rest back (C-185). The same through SIGTERM
//! on the real executable is one of the faults of `make crash`.

use std::time::Duration;

use super::deployment::Deployment;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c185_a_stop_finishes_what_is_on_its_way_and_gives_back_the_rest() {
    let Some(deployment) = Deployment::start("drain", 120).await else { return };
    deployment.slow_sink(200);
    let engine = deployment.engine();
    deployment.accepted("mail", 0..120).await;
    deployment.arrived(4).await;
    engine.stop(Duration::from_secs(30)).await;

    let stored = deployment.sink.totals().stored;
    assert!(stored < 120, "everything had gone before the stop");
    let state = |state: &str| format!("SELECT COUNT(*) AS amount FROM messages WHERE state = '{state}'");
    assert_eq!(deployment.number(&state("claimed")).await, 0, "kept by a process that is gone");
    assert_eq!(deployment.number(&state("unknown")).await, 0);
    assert_eq!(deployment.number(&state("sent")).await, i64::try_from(stored).unwrap());
    assert_eq!(deployment.number(&state("queued")).await, 120 - i64::try_from(stored).unwrap());
    assert_eq!(deployment.sink.totals().stored, stored, "something left after the stop");

    deployment.slow_sink(0);
    let engine = deployment.engine();
    deployment.arrived(120).await;
    deployment.all("sent", 120).await;
    deployment.end(engine).await;
}

/// What is known when the time to drain is over is written down: only what no server has answered is left to the sweep.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c185_a_stop_loses_no_outcome_to_one_that_lingers() {
    let Some(deployment) = Deployment::start("linger", 20).await else { return };
    deployment.stall(0);
    let engine = deployment.engine();
    deployment.accepted("mail", 0..20).await;
    deployment.arrived(19).await;
    engine.stop(Duration::from_secs(4)).await;
    let state = |state: &str| format!("SELECT COUNT(*) AS amount FROM attempts WHERE state = '{state}'");
    assert_eq!(deployment.number(&state("accepted")).await, 19);
    assert_eq!(deployment.number(&state("started")).await, 1);
    let engine = deployment.engine();
    deployment.end(engine).await;
}
