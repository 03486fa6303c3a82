//! Where exactly a conversation breaks decides between "not handed over" and "unknown" (L8).

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Where a server that plays dead goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    Greeting,
    Mail,
    Recipient,
    Data,
    Dot,
    Never,
}

/// A server that takes mail without extensions and closes the connection when it has read what `until` names.
async fn server(until: Until, connections: usize) -> Relay {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = format!("smtp://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        for _ in 0..connections {
            let (tcp, _) = listener.accept().await.unwrap();
            let _ = talk(tcp, until).await;
        }
    });
    relay
}

async fn talk(tcp: TcpStream, until: Until) -> std::io::Result<()> {
    let mut wire = BufReader::new(tcp);
    if until == Until::Greeting {
        return Ok(());
    }
    wire.write_all(b"220 x\r\n").await?;
    let mut line = String::new();
    loop {
        line.clear();
        if wire.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let command = if line.is_empty() { "" } else { line.split([' ', ':', '\r']).next().unwrap_or("") };
        let (ends_at, answer): (_, &[u8]) = match command {
            "MAIL" => (Until::Mail, b"250 ok\r\n"),
            "RCPT" => (Until::Recipient, b"250 ok\r\n"),
            "DATA" => (Until::Data, b"354 go\r\n"),
            "QUIT" => return Ok(()),
            _ => (Until::Never, b"250 x\r\n"),
        };
        if ends_at == until && until != Until::Never {
            return Ok(());
        }
        wire.write_all(answer).await?;
        if command == "DATA" {
            while line != ".\r\n" {
                line.clear();
                wire.read_line(&mut line).await?;
            }
            if until == Until::Dot {
                return Ok(());
            }
            wire.write_all(b"250 taken\r\n").await?;
        }
    }
}

async fn deliver(relay: &Relay) -> HandOver {
    channel().hand_over(relay, &prepared(&marketing("ann@example.org")), may_start).await
}

#[tokio::test]
async fn everything_before_the_dot_is_safe_to_retry_and_nothing_after_it_is() {
    for until in [Until::Greeting, Until::Mail, Until::Recipient, Until::Data] {
        let relay = server(until, 1).await;
        assert_eq!(deliver(&relay).await, HandOver::NotHandedOver(Obstacle::Disconnected), "{until:?}");
    }
    assert_eq!(deliver(&server(Until::Dot, 1).await).await, HandOver::Unknown);
    assert!(matches!(deliver(&server(Until::Never, 1).await).await, HandOver::Accepted(_)));
}

#[tokio::test]
async fn nobody_there_and_no_smtp_are_obstacles() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay: Relay = format!("smtp://{}", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    assert_eq!(deliver(&relay).await, HandOver::NotHandedOver(Obstacle::Connect));

    for (greeting, obstacle) in [("HTTP/1.1 400 Bad\r\n", Obstacle::Protocol), ("999 x\r\n", Obstacle::Protocol)] {
        assert_eq!(deliver(&saying(greeting).await).await, HandOver::NotHandedOver(obstacle));
    }
    let endless = "220-x\r\n".repeat(20_000);
    assert_eq!(deliver(&saying(&endless).await).await, HandOver::NotHandedOver(Obstacle::Protocol));
    let line = "2".repeat(10_000);
    assert_eq!(deliver(&saying(&line).await).await, HandOver::NotHandedOver(Obstacle::Protocol));
    let refused = deliver(&saying("554 5.7.1 Go away\r\n").await).await;
    assert!(matches!(refused, HandOver::NotHandedOver(Obstacle::Refused(reply)) if reply.code == 554));
}

/// A server that says this whatever it hears.
async fn saying(text: &str) -> Relay {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = format!("smtp://{}?tls=starttls", listener.local_addr().unwrap()).parse().unwrap();
    let text = text.to_owned();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let _ = tcp.write_all(text.as_bytes()).await;
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    });
    relay
}

#[tokio::test]
async fn c041_answers_sent_ahead_of_the_handshake_are_an_attack() {
    let ahead = "220 x\r\n250-x\r\n250 STARTTLS\r\n220 go\r\n250-x\r\n250 AUTH PLAIN\r\n";
    assert_eq!(deliver(&saying(ahead).await).await, HandOver::NotHandedOver(Obstacle::Protocol));
}

#[tokio::test]
async fn a_kept_connection_that_the_relay_closed_meanwhile_is_replaced_at_once() {
    // Takes one mail per connection and closes it.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay: Relay = format!("smtp://{}", listener.local_addr().unwrap()).parse().unwrap();
    let (closed, mut is_closed) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let mut wire = BufReader::new(tcp);
            for answer in ["220 x", "250 x", "250 ok", "250 ok", "354 go"] {
                if answer != "220 x" {
                    wire.read_line(&mut String::new()).await.unwrap();
                }
                wire.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
            }
            let mut line = String::new();
            while line != ".\r\n" {
                line.clear();
                wire.read_line(&mut line).await.unwrap();
            }
            wire.write_all(b"250 taken\r\n").await.unwrap();
            drop(wire);
            closed.send(()).await.unwrap();
        }
    });
    let channel = channel();
    for _ in 0..3 {
        let outcome = channel.hand_over(&relay, &prepared(&marketing("ann@example.org")), may_start).await;
        assert!(matches!(outcome, HandOver::Accepted(_)), "{outcome:?}");
        is_closed.recv().await.unwrap();
    }
}

#[tokio::test]
async fn connections_are_bounded_and_waiting_ends() {
    let relay = saying("").await;
    let settings = PoolSettings { max_connections: 0, wait: std::time::Duration::ZERO, ..PoolSettings::default() };
    let pool = Pool::new(relay, settings, TlsTrust::public());
    let outcome = pool.hand_over(&prepared(&marketing("ann@example.org")), may_start).await;
    assert_eq!(outcome, HandOver::NotHandedOver(Obstacle::Busy));
}
