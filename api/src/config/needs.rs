//! Which kind of process needs which settings. Each is given its own and no others, so that whoever gets into one finds no
//! more than its work takes: the links of mails, open to everybody, hold no way to accounts and users (L1, C-205).

use Duty::{Admin, Inbound, Maintain, Migrate, Recipient, Serve, Work};

/// What a process is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Duty {
    /// All that a deployment does: the embedded mode, and `check` when it is not told for whom.
    #[default]
    Everything,
    /// The gateway.
    Serve,
    /// The links of mails alone.
    Recipient,
    /// The engine.
    Work,
    /// The way in for bounces and complaints alone.
    Inbound,
    /// Bringing the schema up.
    Migrate,
    /// Looking after partitions.
    Maintain,
    /// What an operator does by hand, in whichever process is at hand.
    Admin,
}

/// A setting, who does not start without it in production, and who else takes it. What stands in no line is everybody's.
///
/// The proxies are required: behind one that is not named every request has its address, so that all users together are
/// held to the limits of one (C-216).
const NEEDS: [(&str, &[Duty], &[Duty]); 16] = [
    ("CARILLON_BLOBS", &[Serve, Work], &[]),
    ("CARILLON_BLOBS_ACCESS_KEY_ID", &[], &[Serve, Work]),
    ("CARILLON_BLOBS_SECRET_ACCESS_KEY", &[], &[Serve, Work]),
    ("CARILLON_BOUNCE_DOMAIN", &[Inbound], &[Serve, Recipient, Work, Admin]),
    ("CARILLON_INBOUND_BIND", &[], &[Inbound]),
    ("CARILLON_JWT_KEYS", &[Serve], &[]),
    ("CARILLON_KEYS", &[Serve, Recipient, Work, Inbound, Admin], &[]),
    ("CARILLON_PUBLIC_URL", &[Serve, Recipient, Work, Inbound, Admin], &[]),
    ("CARILLON_TRUSTED_PROXIES", &[Serve, Recipient], &[]),
    // Migrations give the roles the passwords that their URLs name.
    ("DATABASE_DISPATCH_URL", &[Work], &[Migrate]),
    ("DATABASE_IDENTITY_URL", &[Serve, Work, Admin], &[Migrate]),
    ("DATABASE_OWNER_URL", &[Migrate, Maintain], &[]),
    ("DATABASE_URL", &[Serve, Recipient, Work, Inbound, Admin], &[Migrate]),
    ("OTEL_EXPORTER_OTLP_HEADERS", &[], &[Serve, Recipient, Work]),
    ("REDIS_URL", &[Serve, Work], &[]),
    ("SMTP_URL", &[Work], &[]),
];

impl Duty {
    /// What production cannot do without.
    pub(super) fn required(self) -> impl Iterator<Item = &'static str> {
        let requires = move |by: &[Duty]| match self {
            Self::Everything => [Serve, Recipient, Work].iter().any(|duty| by.contains(duty)),
            duty => by.contains(&duty),
        };
        NEEDS.into_iter().filter(move |(_, by, _)| requires(by)).map(|(name, _, _)| name)
    }

    /// Whether a process of this kind has any use for a setting.
    pub fn takes(self, name: &str) -> bool {
        let need = NEEDS.iter().find(|(known, _, _)| *known == name);
        self == Self::Everything || need.is_none_or(|(_, by, also)| by.contains(&self) || also.contains(&self))
    }

    /// Whether a secret that it has no use for is worth a word. An operator's commands run where there are others'.
    pub(super) fn minds(self) -> bool {
        self != Self::Admin
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::SETTINGS;
    use super::*;

    #[test]
    fn l1_somebody_takes_each_secret_and_nobody_all_of_them() {
        let duties = [Serve, Recipient, Work, Inbound, Migrate, Maintain, Admin];
        for secret in SETTINGS.iter().filter(|setting| setting.secret) {
            let takers = duties.iter().filter(|duty| duty.takes(secret.name)).count();
            assert!((1..duties.len()).contains(&takers), "{}: {takers}", secret.name);
        }
        for (name, required, _) in NEEDS {
            assert!(SETTINGS.iter().any(|setting| setting.name == name), "{name} is in the table");
            assert!(required.iter().all(|duty| duty.takes(name)), "{name}");
        }
    }

    #[test]
    fn c205_the_links_of_mails_hold_no_way_to_accounts_and_nobody_who_serves_the_owners_login() {
        let takes = |duty: Duty| -> Vec<_> {
            let secrets = SETTINGS.iter().filter(|setting| setting.secret);
            secrets.map(|setting| setting.name).filter(|name| duty.takes(name)).collect()
        };
        assert_eq!(takes(Recipient), ["DATABASE_URL", "CARILLON_KEYS", "OTEL_EXPORTER_OTLP_HEADERS"]);
        assert_eq!(takes(Inbound), ["DATABASE_URL", "CARILLON_KEYS"], "it is reached from outside");
        assert_eq!(takes(Maintain), ["DATABASE_OWNER_URL"]);
        for duty in [Serve, Recipient, Work, Inbound, Admin] {
            assert!(!duty.takes("DATABASE_OWNER_URL"), "{duty:?}");
        }
    }
}
