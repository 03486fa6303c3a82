//! A permit is good for seconds (L3): what could not leave in them goes back to the gate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use carillon_domain::time::ManualClock;
use carillon_jobs::catcher::{Action, Behaviour, Moment, Rule, Whom};
use carillon_jobs::handlers::Handlers;
use carillon_tests::post::Post;
use chrono::TimeDelta;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_did_not_leave_while_its_permit_was_good_passes_the_gate_again() {
    const PEOPLE: usize = 48;
    let post = Post::new().await;
    let slow = Action::Delay { at: Moment::Content, millis: 100 };
    post.catcher.set_behaviour(Behaviour { rules: vec![Rule { whom: Whom::Everyone, first: None, action: slow }] });
    let mut intents = Vec::new();
    for number in 0..PEOPLE {
        let person = post.person(&format!("p{number}@example.org")).await;
        intents.push(post.intent(&format!("k{number}"), person));
    }
    post.send(&intents).await;
    let worker = post.worker("slow").await;
    let working = tokio::spawn(async move { worker.run_until_quiet().await.unwrap() });
    post.catcher.stored_at_least(1).await;
    post.advance(post.ports().settings.permit_life + TimeDelta::seconds(1));
    working.await.unwrap();
    // Of the first two groups some were on their way; the third had not begun.
    let lapsed = post.number("SELECT COUNT(*) AS amount FROM attempts WHERE state = 'lapsed'").await;
    assert!(lapsed >= 16, "{lapsed} of {PEOPLE} went back to the gate");
    assert_eq!(post.number("SELECT COUNT(*) AS amount FROM messages WHERE state <> 'sent'").await, 0);
    assert_eq!((post.catcher.totals().stored, post.catcher.totals().repeated), (PEOPLE as u64, 0));
}

/// A relay that takes its time over the recipient: when it asks for the content the permit is over, and so it is not told
/// that the content has ended.
#[tokio::test]
async fn the_permit_is_asked_again_before_the_final_dot() {
    let post = Post::new().await;
    let contact = post.person("ada@example.org").await;
    let id = post.send(&[post.intent("hello", contact)]).await[0];
    let dots = Arc::new(AtomicUsize::new(0));
    let late = post.ports().settings.permit_life + TimeDelta::seconds(1);
    let relay = slow_relay((Arc::clone(&post.clock), late), Arc::clone(&dots)).await;
    let worker = Arc::into_inner(post.worker("slow").await).unwrap();
    let worker = Handlers { relay: format!("smtp://{relay}?tls=none").parse().unwrap(), ..worker };
    Arc::new(worker).run_until_quiet().await.unwrap();
    assert_eq!(post.story(id).await, "sent [not_handed_over accepted]");
    assert_eq!(dots.load(Ordering::SeqCst), 1);
}

/// Counts final dots; by the time it has answered its first RCPT, a permit's lifetime is over.
async fn slow_relay((clock, late): (Arc<ManualClock>, TimeDelta), dots: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut late = Some(late);
        while let Ok((wire, _)) = listener.accept().await {
            let mut recipient = || late.take().into_iter().for_each(|by| clock.advance(by));
            // The sender closes a connection on which it kept the dot back.
            let _ = converse(wire, &mut recipient, &dots).await;
        }
    });
    address
}

async fn converse(wire: TcpStream, recipient: &mut impl FnMut(), dots: &AtomicUsize) -> std::io::Result<()> {
    let mut wire = BufReader::new(wire);
    wire.write_all(b"220 slow\r\n").await?;
    let (mut line, mut in_content) = (String::new(), false);
    while wire.read_line(&mut line).await? > 0 {
        let command = line.trim_end().to_owned();
        line.clear();
        let answer = match (in_content, command.get(..4).unwrap_or(&command)) {
            (true, ".") => {
                dots.fetch_add(1, Ordering::SeqCst);
                in_content = false;
                "250 2.0.0 Taken"
            }
            (true, _) => continue,
            (false, "RCPT") => {
                recipient();
                "250 2.1.5 At last"
            }
            (false, "DATA") => {
                in_content = true;
                "354 Go ahead"
            }
            (false, _) => "250 2.0.0 OK",
        };
        wire.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
    Ok(())
}
