//! What webhooks are told of messages: how they ended, and nothing on the way.

use carillon_entities::ids::MessageId;
use carillon_entities::wall::TenantTx;

use super::Ending;
use crate::error::Result;
use crate::ports::Ports;
use crate::webhooks::{self, Happening, MessageEnded};

/// A message that ended, how and why.
pub(super) type Ended = (MessageId, Ending, Option<String>);

/// Tells of messages that ended in this transaction.
pub(super) async fn tell_ends(tx: &mut TenantTx, ports: &Ports, ended: Vec<Ended>) -> Result<()> {
    let happenings = ended.into_iter().map(|(message_id, ending, reason)| {
        let ended = MessageEnded { message_id, reason };
        match ending {
            Ending::Sent => Happening::MessageAccepted(ended),
            Ending::Bounced => Happening::MessageBounced(ended),
            Ending::Failed => Happening::MessageFailed(ended),
            Ending::Refused => Happening::MessageRefused(ended),
            Ending::Expired => Happening::MessageExpired(ended),
            Ending::Cancelled => Happening::MessageCancelled(ended),
            Ending::Unknown => Happening::MessageUnknown(ended),
        }
    });
    webhooks::tell(tx, ports, happenings.collect()).await
}
