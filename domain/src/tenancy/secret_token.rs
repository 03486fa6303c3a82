//! Random tokens that are used once: refresh tokens, mail verification, password reset, invitations (C-212).
//!
//! 256 random bits, of which only a hash is stored. The kind goes into the hash, so a token of one kind can never be
//! found as another.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::entropy::Entropy;

const SECRET_LEN: usize = 32;

text_code! {
    /// What a token is for; the texts are the kinds of `credentials`, and `refresh_session`.
    pub enum SecretKind {
        /// Gets the next access token.
        RefreshSession = "refresh_session",
        /// Proves that a mail address is read by who signed up.
        EmailVerification = "email_verification",
        /// Sets a new password.
        PasswordReset = "password_reset",
        /// Joins an account or a tenant.
        Invitation = "invitation",
    }
}

/// A fresh token: the text for its owner, the hash for the row.
pub struct NewSecret {
    /// The text, shown once.
    pub text: String,
    /// What is stored.
    pub hash: [u8; 32],
}

impl std::fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewSecret(..)")
    }
}

impl SecretKind {
    /// Makes a token of this kind.
    pub fn generate(self, entropy: &dyn Entropy) -> NewSecret {
        let mut secret = [0; SECRET_LEN];
        entropy.fill(&mut secret);
        NewSecret { text: URL_SAFE_NO_PAD.encode(secret), hash: self.hash(&secret) }
    }

    /// The hash to look a presented token up by; none if it cannot be one of ours.
    pub fn hash_of(self, text: &str) -> Option<[u8; 32]> {
        let mut secret = [0; SECRET_LEN];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut secret).ok()?;
        (length == SECRET_LEN).then(|| self.hash(&secret))
    }

    fn hash(self, secret: &[u8; SECRET_LEN]) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(self.as_str().as_bytes());
        context.update(&[0]);
        context.update(secret);
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entropy::SeededEntropy;

    #[test]
    fn c212_a_token_is_found_by_its_hash_and_only_as_its_kind() {
        let token = SecretKind::PasswordReset.generate(&SeededEntropy::new(1));
        assert_eq!(SecretKind::PasswordReset.hash_of(&token.text), Some(token.hash));
        assert_ne!(SecretKind::RefreshSession.hash_of(&token.text), Some(token.hash));
        assert!(!token.text.contains(&hex::encode(token.hash)));
        assert_eq!(format!("{token:?}"), "NewSecret(..)");
    }

    proptest! {
        #[test]
        fn hostile_text_never_panics(text in "\\PC{0,100}") {
            let read = SecretKind::Invitation.hash_of(&text);
            prop_assert!(read.is_none() || text.len() == 43);
        }
    }
}
