//! `rediss://` against a Redis that speaks nothing else. Whom it trusts comes from the environment, so the asking is done by
//! this very test binary, started again.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use carillon_domain::entropy::SystemEntropy;
use carillon_domain::ids::TenantId;
use carillon_domain::time::Timestamp;
use carillon_jobs::queue::{Backend, QueueDown, QueueName, RedisQueue, Task, Ticket};
use carillon_jobs::redis::{Signals, probe};
use uuid::Uuid;

use super::server::is_here;
use super::{eventually, redis_url};

/// Where the child finds the server, and whether it is to be trusted.
const ASKED: &str = "CARILLON_TEST_TLS_REDIS";
const TRUSTED: &str = "CARILLON_TEST_TLS_TRUSTED";

struct Server {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn pem(path: &Path, label: &str, der: &[u8]) {
    let text = STANDARD.encode(der);
    std::fs::write(path, format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")).unwrap();
}

/// Writes a certificate for localhost and its key.
fn certificate(folder: &Path, name: &str) -> [PathBuf; 2] {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let paths = [folder.join(format!("{name}.crt")), folder.join(format!("{name}.key"))];
    pem(&paths[0], "CERTIFICATE", made.cert.der());
    pem(&paths[1], "PRIVATE KEY", &made.signing_key.serialize_der());
    paths
}

fn start() -> Server {
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = certificate(folder.path(), "server");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", "0", "--tls-port", &port.to_string(), "--save", ""]);
    command.args(["--tls-auth-clients", "no", "--appendonly", "no"]);
    command.arg("--tls-cert-file").arg(&certificate).arg("--tls-key-file").arg(&key);
    command.arg("--tls-ca-cert-file").arg(&certificate);
    command.current_dir(folder.path()).stdout(Stdio::null()).stdin(Stdio::null());
    Server { process: command.spawn().expect("redis-server is on the PATH"), port, folder }
}

fn ask(server: &Server, authority: &Path, trusted: bool) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["tls::the_child_asks", "--exact", "--nocapture"]);
    child.env(ASKED, format!("rediss://localhost:{}/", server.port)).env("SSL_CERT_FILE", authority);
    let asked = child.env_remove("SSL_CERT_DIR").env(TRUSTED, trusted.to_string()).output().unwrap();
    let said = String::from_utf8_lossy(&asked.stdout);
    assert!(asked.status.success() && said.contains("1 passed"), "trusted: {trusted}\n{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_and_signals_pass_under_tls_and_only_to_whom_we_trust() {
    if redis_url().is_none() || !is_here() {
        return;
    }
    let server = start();
    let authority = server.folder.path().join("server.crt");
    let [stranger, _] = certificate(server.folder.path(), "stranger");
    let connect = async || tokio::net::TcpStream::connect(("127.0.0.1", server.port)).await.ok();
    eventually("the server listens", connect).await;
    ask(&server, &authority, true);
    ask(&server, &stranger, false);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_child_asks() {
    let Ok(url) = std::env::var(ASKED) else { return };
    let (id, tenant) = (Uuid::nil(), TenantId(Uuid::nil()));
    let ticket = Ticket { id, tenant, pushed_at: Timestamp::UNIX_EPOCH, trace: None, task: Task::SweepV1 };
    let queue = Backend::Redis(RedisQueue::new(&url, None).unwrap());
    let pushed = queue.push(QueueName::Maintenance, ticket).await;
    let probed = probe(&url).await.map_err(|error| error.to_string());
    if std::env::var(TRUSTED).unwrap() == "true" {
        assert_eq!((pushed, probed), (Ok(()), Ok(())));
        let signals = Signals::redis(&url, None, &SystemEntropy).unwrap();
        eventually("signals are connected", async || signals.is_connected().then_some(())).await;
    } else {
        assert_eq!(pushed, Err(QueueDown::Unreachable));
        assert!(probed.is_err());
    }
}
