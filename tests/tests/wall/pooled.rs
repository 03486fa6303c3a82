//! What a pooler in transaction mode does to a session, without one: after each transaction somebody else speaks on the
//! same connection to the server, and must find no tenant on it (C-206).

use std::sync::Arc;

use carillon_domain::tenancy::{WriteContacts, enter_for_work};
use carillon_entities::wall::{DatabaseSettings, Wall};
use carillon_tests::{World, WorldOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use super::alone::{door, starting, step};

/// A question for the server, in between.
type Question = oneshot::Sender<String>;

/// Carries one connection to the server, and asks it questions of its own while its client is between transactions.
async fn carry(listener: TcpListener, server: String, mut questions: mpsc::Receiver<Question>) {
    let (mut client, _) = listener.accept().await.unwrap();
    let mut server = TcpStream::connect(server).await.unwrap();
    let (mut up, mut down) = ([0; 16 * 1024], [0; 16 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => match read {
                Ok(length @ 1..) => server.write_all(&up[..length]).await.unwrap(),
                _ => return,
            },
            read = server.read(&mut down) => match read {
                Ok(length @ 1..) => client.write_all(&down[..length]).await.unwrap(),
                _ => return,
            },
            Some(answer) = questions.recv() => answer.send(ask(&mut server, &mut client).await).unwrap(),
        }
    }
}

/// A simple query as another client of the pooler would send it; the first column of its row. What the server still had
/// to say to the client goes to the client.
async fn ask(server: &mut TcpStream, client: &mut TcpStream) -> String {
    let text = b"SELECT 'tenant:' || COALESCE(current_setting('app.tenant_id', true), '')\0";
    server.write_u8(b'Q').await.unwrap();
    server.write_u32(4 + u32::try_from(text.len()).unwrap()).await.unwrap();
    server.write_all(text).await.unwrap();
    let (mut answer, mut held) = (None, Vec::new());
    loop {
        let (kind, body) = message(server).await;
        match (kind, &mut answer) {
            // A count of columns, a length, and the text.
            (b'D', None) if body.get(6..).is_some_and(|text| text.starts_with(b"tenant:")) => {
                answer = Some(String::from_utf8(body[6..].to_vec()).unwrap());
            }
            (b'Z', Some(answer)) => {
                assert_eq!(body, b"I", "somebody's transaction was still open");
                return std::mem::take(answer);
            }
            (b'E', _) => panic!("{}", String::from_utf8_lossy(&body)),
            (_, Some(_)) => {}
            (_, None) => {
                // The description of a row may be ours; whatever came before it is not.
                client.write_all(&std::mem::take(&mut held)).await.unwrap();
                held.push(kind);
                held.extend((4 + u32::try_from(body.len()).unwrap()).to_be_bytes());
                held.extend(body);
            }
        }
    }
}

async fn message(server: &mut TcpStream) -> (u8, Vec<u8>) {
    let kind = server.read_u8().await.unwrap();
    let mut body = vec![0; server.read_u32().await.unwrap() as usize - 4];
    server.read_exact(&mut body).await.unwrap();
    (kind, body)
}

async fn asked_on(questions: &mpsc::Sender<Question>) -> String {
    let (answer, answered) = oneshot::channel();
    questions.send(answer).await.unwrap();
    answered.await.unwrap()
}

/// The same server at another address.
fn at(url: &str, address: &str) -> String {
    let (before, host) = url.split_once('@').unwrap();
    format!("{before}@{address}/{}", host.split_once('/').unwrap().1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c206_whoever_speaks_next_on_a_connection_finds_no_tenant() {
    let Some(world) = World::on_postgres(WorldOptions::default()).await else { return };
    let tenant = world.tenant("One").await;
    let direct = world.database.settings(1);
    let server = direct.url.split_once('@').unwrap().1.split('/').next().unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (questions, asked) = mpsc::channel(1);
    let carrier = tokio::spawn(carry(listener, server, asked));
    let settings = DatabaseSettings { url: at(&direct.url, &address), ..direct };
    let wall = Arc::new(Wall::open(&settings).await.unwrap());
    for _ in 0..20 {
        let tx = enter_for_work(&wall, tenant).grant::<WriteContacts>().begin().await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(asked_on(&questions).await, "tenant:");
        // Nor after a statement that is a transaction of its own.
        door(&wall, tenant).run_alone(step(), starting(0, "rule")).await.unwrap();
        assert_eq!(asked_on(&questions).await, "tenant:");
    }
    wall.close().await;
    carrier.await.unwrap();
}
