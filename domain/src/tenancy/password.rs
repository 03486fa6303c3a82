//! Passwords (C-214 to C-216): Argon2id, off the async threads, with a fixed number at a time and a short queue.
//!
//! Memory is bounded by permits times the memory of one hash, whatever arrives. A user that does not exist costs the
//! same time as one that does (C-217).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error as HashError, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization;

use super::User;
use super::common_passwords::is_common;
use crate::entropy::Entropy;
use crate::error::{Error, Refusal, Result};

const MIN_CHARS: usize = 8;
const MAX_BYTES: usize = 1024;
const SALT_LEN: usize = 16;

/// The cost of a hash and how many run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordSettings {
    /// Memory of one hash in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
    /// How many hashes run at once in this process.
    pub permits: usize,
    /// How many may wait; one more is told to come back.
    pub queue: usize,
}

impl Default for PasswordSettings {
    /// The first choice of ASVS (C-215): 46 MiB, one pass, one lane.
    fn default() -> Self {
        Self { memory_kib: 46 * 1024, passes: 1, lanes: 1, permits: 2, queue: 64 }
    }
}

/// A password that may be set.
#[derive(Clone)]
pub struct NewPassword(String);

impl NewPassword {
    /// Checks a password against the rules (C-214): at least 8 characters, at most 1 KiB, not one of the first an
    /// attacker tries, not the account's own words (`known`: address, name). No other rules, no truncation.
    ///
    /// # Errors
    /// `PASSWORD_TOO_SHORT`, `PASSWORD_TOO_LONG`, `PASSWORD_TOO_COMMON`.
    pub fn parse(text: &str, field: &str, known: &[&str]) -> Result<Self, Refusal> {
        if text.len() > MAX_BYTES {
            return Err(Refusal::new("PASSWORD_TOO_LONG", field, "At most 1024 bytes."));
        }
        if text.chars().count() < MIN_CHARS {
            return Err(Refusal::new("PASSWORD_TOO_SHORT", field, "At least 8 characters; 15 are better."));
        }
        if is_common(text, known) {
            return Err(too_common(field));
        }
        Ok(Self(normalised(text)))
    }

    /// Refuses the words of the user whose password it shall be, once they are known (C-214).
    ///
    /// # Errors
    /// `PASSWORD_TOO_COMMON`.
    pub(super) fn not_made_of(self, field: &str, user: &User) -> Result<Self, Refusal> {
        if is_common(&self.0, &[user.email.as_sent(), &user.name]) { Err(too_common(field)) } else { Ok(self) }
    }
}

fn too_common(field: &str) -> Refusal {
    Refusal::new("PASSWORD_TOO_COMMON", field, "Among the first that attackers try.")
}

impl std::fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewPassword(..)")
    }
}

/// The same password typed on another keyboard has the same bytes (NIST SP 800-63B s5.1.1.2).
fn normalised(text: &str) -> String {
    text.nfkc().collect()
}

/// What comparing a password with a stored hash gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordCheck {
    /// Not the password, or nobody to compare with.
    Wrong,
    /// The password.
    Right {
        /// The stored hash was made with other settings: hash again and store (C-215).
        rehash: bool,
    },
}

/// Hashes and compares; one per process.
#[derive(Debug)]
pub struct Passwords {
    settings: PasswordSettings,
    params: Params,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    entropy: Arc<dyn Entropy>,
    /// A hash of nothing, for users that do not exist.
    dummy: String,
}

impl Passwords {
    /// Checks the settings.
    ///
    /// # Errors
    /// A fault for settings that Argon2 refuses.
    pub fn new(settings: PasswordSettings, entropy: Arc<dyn Entropy>) -> Result<Self> {
        let params = Params::new(settings.memory_kib, settings.passes, settings.lanes, None).map_err(Error::fault)?;
        let mut random = [0; SALT_LEN + Params::DEFAULT_OUTPUT_LEN];
        entropy.fill(&mut random);
        let (salt, output) = random.split_at(SALT_LEN);
        let dummy = format!(
            "$argon2id$v=19$m={},t={},p={}${}${}",
            settings.memory_kib,
            settings.passes,
            settings.lanes,
            STANDARD_NO_PAD.encode(salt),
            STANDARD_NO_PAD.encode(output),
        );
        let permits = Arc::new(Semaphore::new(settings.permits.max(1)));
        Ok(Self { settings, params, permits, waiting: AtomicUsize::new(0), entropy, dummy })
    }

    /// The PHC string to store.
    ///
    /// # Errors
    /// [`Error::TooMany`] when the queue is full.
    pub async fn hash(&self, password: NewPassword) -> Result<String> {
        self.hash_text(password.0).await
    }

    /// Hashes a password again that was just found right, although it may break the rules of today.
    ///
    /// # Errors
    /// [`Error::TooMany`] when the queue is full.
    pub async fn rehash(&self, password: &str) -> Result<String> {
        self.hash_text(normalised(password)).await
    }

    async fn hash_text(&self, password: String) -> Result<String> {
        let mut salt = [0; SALT_LEN];
        self.entropy.fill(&mut salt);
        let argon = self.argon();
        self.run(move || argon.hash_password_with_salt(password.as_bytes(), &salt).map(|hash| hash.to_string()))
            .await?
            .map_err(Error::fault)
    }

    /// Compares a password with a stored hash; with none (no such user, no password set) it takes as long.
    ///
    /// # Errors
    /// [`Error::TooMany`] when the queue is full; a fault for a stored hash that cannot be read.
    pub async fn check(&self, password: &str, stored: Option<&str>) -> Result<PasswordCheck> {
        // Longer than any password that could have been set, whoever the user is.
        if password.len() > MAX_BYTES {
            return Ok(PasswordCheck::Wrong);
        }
        let (argon, params) = (self.argon(), self.params.clone());
        let exists = stored.is_some();
        let (password, stored) = (normalised(password), stored.unwrap_or(&self.dummy).to_owned());
        self.run(move || {
            let hash = PasswordHash::new(&stored).map_err(Error::fault)?;
            match argon.verify_password(password.as_bytes(), &hash) {
                Ok(()) if exists => Ok(PasswordCheck::Right { rehash: is_outdated(&hash, &params) }),
                Ok(()) | Err(HashError::PasswordInvalid) => Ok(PasswordCheck::Wrong),
                Err(error) => Err(Error::fault(error)),
            }
        })
        .await?
    }

    fn argon(&self) -> Argon2<'static> {
        Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone())
    }

    /// Runs on the blocking pool under a permit, which the work keeps even when nobody waits for it any more.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let permit = {
            let _place = Place::take(&self.waiting, self.settings.queue + self.settings.permits)?;
            Arc::clone(&self.permits).acquire_owned().await.map_err(Error::fault)?
        };
        let running = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        running.await.map_err(Error::fault)
    }
}

fn is_outdated(hash: &PasswordHash, wanted: &Params) -> bool {
    let same = |params: &Params| {
        (params.m_cost(), params.t_cost(), params.p_cost()) == (wanted.m_cost(), wanted.t_cost(), wanted.p_cost())
    };
    hash.algorithm != Algorithm::Argon2id.ident() || !Params::try_from(hash).is_ok_and(|params| same(&params))
}

/// A place in the queue, given back however the wait ends.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, places: usize) -> Result<Self> {
        let place = Self(waiting);
        if waiting.fetch_add(1, Ordering::SeqCst) >= places {
            return Err(Error::TooMany { retry_after_s: 1 });
        }
        Ok(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    const CHEAP: PasswordSettings = PasswordSettings { memory_kib: 64, passes: 1, lanes: 1, permits: 1, queue: 2 };

    fn passwords(settings: PasswordSettings) -> Passwords {
        Passwords::new(settings, Arc::new(SeededEntropy::new(1))).unwrap()
    }

    fn parse(text: &str) -> Result<NewPassword, &'static str> {
        NewPassword::parse(text, "password", &["ada@example.org"]).map_err(|refusal| refusal.code)
    }

    #[test]
    fn c214_the_rules_and_no_others() {
        assert_eq!(parse("1234567").err(), Some("PASSWORD_TOO_SHORT"));
        assert_eq!(parse(&"ä".repeat(513)).err(), Some("PASSWORD_TOO_LONG"));
        assert_eq!(parse("password1").err(), Some("PASSWORD_TOO_COMMON"));
        assert!(parse("kein Gross und keine Ziffer").is_ok());
        assert!(parse(&"lang und noch ".repeat(73)).is_ok_and(|password| password.0.len() == 1022));
        assert_eq!(format!("{:?}", parse("tischbein-lampe").unwrap()), "NewPassword(..)");
    }

    #[tokio::test]
    async fn c215_the_hash_is_a_phc_string_and_settings_are_upgraded() {
        let old = passwords(CHEAP);
        let stored = old.hash(parse("tischbein-lampe").unwrap()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{stored}");
        let right = |rehash| PasswordCheck::Right { rehash };
        assert_eq!(old.check("tischbein-lampe", Some(&stored)).await.unwrap(), right(false));
        assert_eq!(old.check("tischbein-lampf", Some(&stored)).await.unwrap(), PasswordCheck::Wrong);
        let new = passwords(PasswordSettings { memory_kib: 128, ..CHEAP });
        assert_eq!(new.check("tischbein-lampe", Some(&stored)).await.unwrap(), right(true));
        let upgraded = new.rehash("tischbein-lampe").await.unwrap();
        assert_eq!(new.check("tischbein-lampe", Some(&upgraded)).await.unwrap(), right(false));
    }

    #[test]
    fn c215_the_default_is_what_asvs_asks_for() {
        let stored = passwords(PasswordSettings::default()).dummy;
        assert!(stored.starts_with("$argon2id$v=19$m=47104,t=1,p=1$"), "{stored}");
    }

    #[tokio::test]
    async fn c217_an_unknown_user_is_compared_with_a_hash_of_the_same_cost() {
        let passwords = passwords(CHEAP);
        let dummy = PasswordHash::new(&passwords.dummy).unwrap();
        assert!(!is_outdated(&dummy, &passwords.params));
        assert_eq!(passwords.check("tischbein-lampe", None).await.unwrap(), PasswordCheck::Wrong);
    }

    #[tokio::test]
    async fn the_same_password_in_another_normal_form_is_the_same() {
        let passwords = passwords(CHEAP);
        let stored = passwords.hash(parse("Tu\u{308}r und Angel 9").unwrap()).await.unwrap();
        let check = passwords.check("T\u{fc}r und Angel 9", Some(&stored)).await.unwrap();
        assert_eq!(check, PasswordCheck::Right { rehash: false });
    }

    #[tokio::test]
    async fn c216_a_full_queue_refuses_and_cancelled_waits_give_their_place_back() {
        let passwords = passwords(CHEAP);
        let held = Arc::clone(&passwords.permits).acquire_owned().await.unwrap();
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(passwords.check("x", None))).collect();
        for wait in &mut waiting {
            assert!(futures::poll!(wait.as_mut()).is_pending());
        }
        assert!(matches!(passwords.check("x", None).await, Err(Error::TooMany { .. })));
        drop(waiting);
        let mut late = Box::pin(passwords.check("x", None));
        assert!(futures::poll!(late.as_mut()).is_pending());
        drop(held);
        assert_eq!(late.await.unwrap(), PasswordCheck::Wrong);
    }

    #[tokio::test]
    async fn c216_oversized_input_is_never_hashed() {
        let passwords = passwords(CHEAP);
        let _held = Arc::clone(&passwords.permits).acquire_owned().await.unwrap();
        assert_eq!(passwords.check(&"x".repeat(1025), None).await.unwrap(), PasswordCheck::Wrong);
    }
}
