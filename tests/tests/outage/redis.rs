//! Redis is the doorbell (L4): without it due work is found by polling and done where it is found, and nothing that was
//! in it is missed.

use redis::AsyncCommands as _;

use super::deployment::Deployment;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_goes_on_without_redis_and_with_it_again() {
    let Some(mut deployment) = Deployment::start("redis", 20).await else { return };
    let engine = deployment.engine();
    deployment.is(200, "ok").await;
    deployment.accepted("with", 0..20).await;
    deployment.arrived(20).await;

    deployment.redis.kill();
    deployment.is(200, "degraded").await;
    deployment.accepted("without", 0..20).await;
    deployment.arrived(40).await;

    deployment.redis.restart().await;
    deployment.is(200, "ok").await;
    deployment.accepted("again", 0..20).await;
    deployment.arrived(60).await;
    deployment.all("sent", 60).await;
    deployment.end(engine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_emptied_in_the_middle_loses_nothing() {
    let Some(deployment) = Deployment::start("flush", 100).await else { return };
    deployment.slow_sink(30);
    let engine = deployment.engine();
    let mut redis = deployment.redis.connection().await;
    deployment.accepted("one", 0..100).await;
    for stored in [20, 60, 120] {
        deployment.arrived(stored).await;
        let () = redis.flushall().await.unwrap();
        if stored == 60 {
            deployment.accepted("two", 0..100).await;
        }
    }
    deployment.arrived(200).await;
    deployment.all("sent", 200).await;
    deployment.end(engine).await;
}
