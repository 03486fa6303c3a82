//! Why a mail cannot be put on the wire at all (C-24): a fault of its content, never of its recipient.

/// A mail that must not be sent as it is; the message fails as a content error and nothing leaves.
///
/// Names the field and never its value: values are personal data or hostile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// A header-bound value holds CR, LF or NUL (C-24).
    #[error("{0} holds a line break or NUL")]
    LineBreak(&'static str),
    /// A value cannot stand in its header at all.
    #[error("{0} is not well formed")]
    Malformed(&'static str),
    /// A header line would pass 998 octets (C-21).
    #[error("{0} is too long for a header")]
    TooLong(&'static str),
    /// There is no text part (C-31).
    #[error("the text part is empty")]
    NoText,
    /// The signing key cannot be read, or is not RSA-2048 (C-02, C-34).
    #[error("the DKIM key is not usable")]
    Key,
    /// The signing domain has nothing to do with the From domain (C-02, C-38).
    #[error("the DKIM domain does not belong to the From domain")]
    Unaligned,
    /// It is not the message that was permitted, or to somebody else (L3).
    #[error("the mail is not the one that was permitted")]
    Foreign,
}

impl ContentError {
    /// Stable code for the attempt's outcome.
    pub fn code(self) -> &'static str {
        match self {
            Self::LineBreak(_) => "header_line_break",
            Self::Malformed(_) => "header_malformed",
            Self::TooLong(_) => "header_too_long",
            Self::NoText => "text_part_missing",
            Self::Key => "dkim_key_unusable",
            Self::Unaligned => "dkim_unaligned",
            Self::Foreign => "mail_foreign",
        }
    }
}
