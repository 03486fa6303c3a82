//! Takes a mail that came to one of our addresses, whichever way it came: over SMTP or LMTP, HTTP or a pipe.

use tokio::sync::Semaphore;

use super::address::ReportAddress;
use super::complain::complain;
use super::{Reported, apply, read};
use crate::error::{Error, Result, WallError};
use crate::keys::VerifiedBounce;
use crate::ports::Ports;
use crate::tenancy::{Grant, ReceiveReports, enter_by_bounce};

text_code! {
    /// What came of a mail to an address for reports.
    pub enum ReportEnd {
        /// A bounce of a mail.
        Bounced = "bounced",
        /// A mail is late.
        Delayed = "delayed",
        /// A mail arrived, or went on.
        Delivered = "delivered",
        /// A person complained.
        Complained = "complained",
        /// A person took a mail out of the spam folder.
        NotSpam = "not_spam",
        /// A mailbox answered for its owner.
        AutoReply = "auto_reply",
        /// It was known before.
        Repeated = "repeated",
        /// Its address was not signed here (C-55).
        Forged = "forged",
        /// Nothing in it that is signed says which mail it is about.
        Untraced = "untraced",
        /// It reports nothing.
        Unrecognised = "unrecognised",
    }
}

/// Mails that a process reads at the same time; each may take a stack of its own, and threads that others want, too. Whoever
/// waits waits as for a database.
const READERS: usize = 4;
static READING: Semaphore = Semaphore::const_new(READERS);

/// Takes a mail. Taking it again changes nothing (C-58).
///
/// # Errors
/// [`WallError::Unavailable`] and other faults of the moment: the mail is to be sent again.
pub async fn receive_report(ports: &Ports, to: ReportAddress, raw: Vec<u8>) -> Result<ReportEnd> {
    let end = match (read_in_turn(raw).await?, to) {
        (Reported::Delivery(recipients), ReportAddress::ReturnPath(path)) => {
            apply::delivery(&entered(ports, &path), ports, &path, &recipients).await?
        }
        (Reported::AutoReply, ReportAddress::ReturnPath(path)) => {
            apply::auto_reply(&entered(ports, &path), ports, &path).await?
        }
        (Reported::Feedback(feedback), to) => complain(ports, to, &feedback).await?,
        (Reported::Delivery(_) | Reported::AutoReply, ReportAddress::Role) => ReportEnd::Untraced,
        (Reported::Other, _) => ReportEnd::Unrecognised,
    };
    ports.metrics.reports.one((end,));
    Ok(end)
}

/// Reads a mail when there is room for it. The place is the thread's: whoever leaves meanwhile makes no room.
async fn read_in_turn(raw: Vec<u8>) -> Result<Reported> {
    let place = READING.acquire().await.map_err(Error::fault)?;
    let read = move || {
        let read = read::read(&raw);
        drop(place);
        read
    };
    let read = tokio::task::spawn_blocking(read).await.map_err(Error::fault)?;
    Ok(read.ok_or(WallError::Unavailable)?)
}

fn entered(ports: &Ports, path: &VerifiedBounce) -> Grant<ReceiveReports> {
    enter_by_bounce(&ports.wall, path)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn c054_no_more_mails_are_read_at_once_than_there_is_room_for() {
        let room = READING.acquire_many(u32::try_from(READERS).unwrap()).await.unwrap();
        assert!(timeout(Duration::from_millis(300), read_in_turn(Vec::new())).await.is_err(), "it waits");
        drop(room);
        assert_eq!(read_in_turn(Vec::new()).await.unwrap(), Reported::Other);
    }
}
