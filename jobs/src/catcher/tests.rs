//! The catcher against clients that do not behave.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

async fn start(settings: CatcherSettings) -> Catcher {
    Catcher::start("127.0.0.1:0".parse().unwrap(), settings).await.unwrap()
}

/// Sends all at once, in pieces of any size, and gives the codes of the answers until the connection closes.
async fn codes(catcher: &Catcher, dialogue: &[u8], piece: usize) -> Vec<String> {
    let mut tcp = TcpStream::connect(catcher.addr()).await.unwrap();
    for piece in dialogue.chunks(piece) {
        if tcp.write_all(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let _ = tcp.shutdown().await;
    let mut answers = Vec::new();
    let _ = tcp.read_to_end(&mut answers).await;
    let answers = String::from_utf8(answers).unwrap();
    answers.lines().filter(|line| line.as_bytes()[3] == b' ').map(|line| line[..3].to_owned()).collect()
}

#[tokio::test]
async fn a_whole_dialogue_in_one_write_or_octet_by_octet_is_the_same() {
    let dialogue =
        b"EHLO x\r\nMAIL FROM:<a@example.org> SIZE=10\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\n\
        DATA\r\nMessage-ID: <1@x>\r\n\r\n..\r\n.\r\nMAIL FROM:<>\r\nRSET\r\nNOOP\r\nQUIT\r\n";
    for piece in [dialogue.len(), 7, 1] {
        let catcher = start(CatcherSettings::default()).await;
        let codes = codes(&catcher, dialogue, piece).await;
        assert_eq!(codes, ["220", "250", "250", "250", "250", "354", "250", "250", "250", "250", "221"]);
        let mail = catcher.get(1).unwrap();
        assert_eq!(&*mail.raw, b"Message-ID: <1@x>\r\n\r\n.\r\n");
        assert_eq!(mail.recipients, ["b@example.org", "c@example.org"]);
    }
}

#[tokio::test]
async fn commands_out_of_order_and_nonsense_are_refused_and_patience_ends() {
    let catcher = start(CatcherSettings::default()).await;
    let out_of_order =
        b"MAIL FROM:<a@example.org>\r\nEHLO x\r\nRCPT TO:<b@example.org>\r\nDATA\r\nMAIL FROM:<a@example.org>\r\n\
        DATA\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b c>\r\nVRFY x\r\nSTARTTLS\r\nAUTH PLAIN AAAA\r\n";
    let codes_of = codes(&catcher, out_of_order, 9999).await;
    assert_eq!(codes_of, ["220", "503", "250", "503", "503", "250", "554", "503", "501", "500", "500", "503"]);
    let noise = b"\xff\xfe\r\n".repeat(100);
    assert!(codes(&catcher, &noise, 9999).await.len() < 30);
    let endless = vec![b'x'; 100_000];
    assert_eq!(codes(&catcher, &endless, 9999).await.len(), 2);
    assert_eq!(catcher.totals().stored, 0);
}

#[tokio::test]
async fn too_large_mails_are_thrown_away_as_they_come() {
    let catcher = start(CatcherSettings { max_size: 1000, ..CatcherSettings::default() }).await;
    let mail = b"EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n";
    let dialogue = |lines: usize| {
        let end = b".\r\nMAIL FROM:<a@example.org> SIZE=1001\r\nQUIT\r\n";
        [&mail[..], &b"line\r\n".repeat(lines), end].concat()
    };
    assert_eq!(codes(&catcher, &dialogue(200), 9999).await, ["220", "250", "250", "250", "354", "552", "552", "221"]);
    // Whoever goes on and on is cut off.
    assert_eq!(codes(&catcher, &dialogue(5000), 9999).await, ["220", "250", "250", "250", "354", "552"]);
    assert_eq!(catcher.totals().stored, 0);
}

#[tokio::test]
async fn connections_are_bounded() {
    let catcher = start(CatcherSettings { max_connections: 1, ..CatcherSettings::default() }).await;
    let mut first = TcpStream::connect(catcher.addr()).await.unwrap();
    first.read_u8().await.unwrap();
    assert_eq!(codes(&catcher, b"", 1).await, ["421"]);
}

#[tokio::test]
async fn dropping_the_catcher_ends_its_connections() {
    let catcher = start(CatcherSettings::default()).await;
    let mut client = TcpStream::connect(catcher.addr()).await.unwrap();
    client.read_u8().await.unwrap();
    drop(catcher);
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest).await;
}
