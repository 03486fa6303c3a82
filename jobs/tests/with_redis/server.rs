//! A private Redis that can be killed and brought back on its port; the outage tests start the same.

use std::process::{Child, Command, Stdio};

use redis::aio::MultiplexedConnection;

use super::eventually;

/// False where no Redis can be started and stopped: a given one is somebody's.
pub fn is_here() -> bool {
    let version = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
    let is_here = version.is_ok_and(|status| status.success());
    if !is_here {
        eprintln!("skipped: there is no redis-server to start and to stop");
    }
    is_here
}

/// Forgets everything when it ends, as a Redis without persistence does.
pub struct Server {
    port: u16,
    process: Option<Child>,
}

impl Server {
    /// A running server, or nothing where Redis tests do not run.
    pub async fn start() -> Option<Self> {
        super::redis_url().filter(|_| is_here())?;
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { port, process: None };
        server.restart().await;
        Some(server)
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// As kill -9.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub async fn restart(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--save", "", "--appendonly", "no"]);
        command.current_dir(std::env::temp_dir()).stdout(Stdio::null()).stdin(Stdio::null());
        self.process = Some(command.spawn().expect("redis-server is on the PATH"));
        self.connection().await;
    }

    pub async fn connection(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        eventually("the private Redis answers", async || client.get_multiplexed_async_connection().await.ok()).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
