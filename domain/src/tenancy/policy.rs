//! The policy (L2): one table says which role, API key or worker may do which action.
//!
//! An action is a type, so a use case that takes `&Grant<SendMessages>` cannot be called with a permission to read. One
//! action per aggregate and verb class; only one that writes begins a transaction that may write. The table is monotone:
//! a stronger role may do whatever a weaker one may.

use super::Role;

/// Something that needs permission; only the table below declares one.
pub trait Action: sealed::Sealed + Send + Sync + 'static {
    /// Which line of the table.
    const PERMISSION: Permission;
}

/// An action inside one tenant.
pub trait TenantAction: Action {}

/// An action on an account, outside any tenant.
pub trait AccountAction: Action {}

/// An action on the deployment itself.
pub trait DeploymentAction: Action {}

/// An action that changes something.
pub trait WriteAction: Action {}

/// A tenant action that Carillon's own work does, too.
pub trait SystemAction: TenantAction {}

/// An action of whoever runs the deployment.
pub trait OperatorAction: Action {}

mod sealed {
    pub trait Sealed {}
}

macro_rules! policy {
    ($($(#[$doc:meta])* $name:ident = $code:literal $level:ident $verb:ident
        [$owner:ident $admin:ident $marketer:ident $analyst:ident $viewer:ident | $key:ident $system:ident $operator:ident];)+) => {
        text_code! {
            /// A line of the policy table; its text is what an API key's scopes are made of.
            pub enum Permission {$($(#[$doc])* $name = $code,)+}
        }

        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub struct $name;
            impl sealed::Sealed for $name {}
            impl Action for $name {
                const PERMISSION: Permission = Permission::$name;
            }
            policy!(@level $level $name);
            policy!(@verb $verb $name);
            policy!(@system $system $name);
            policy!(@operator $operator $name);
        )+

        impl Permission {
            /// True when a member with this role may do it.
            pub const fn allows(self, role: Role) -> bool {
                match (self, role) {$(
                    (Self::$name, Role::Owner) => policy!(@bool $owner),
                    (Self::$name, Role::Admin) => policy!(@bool $admin),
                    (Self::$name, Role::Marketer) => policy!(@bool $marketer),
                    (Self::$name, Role::Analyst) => policy!(@bool $analyst),
                    (Self::$name, Role::Viewer) => policy!(@bool $viewer),
                )+}
            }

            /// True when an API key can be given it at all.
            pub const fn allows_keys(self) -> bool {
                match self {$(Self::$name => policy!(@bool $key),)+}
            }

            /// True when workers do it.
            pub const fn allows_system(self) -> bool {
                match self {$(Self::$name => policy!(@bool $system),)+}
            }

            /// True when the operator does it.
            pub const fn allows_operator(self) -> bool {
                match self {$(Self::$name => policy!(@bool $operator),)+}
            }

            /// True when it may change something.
            pub const fn writes(self) -> bool {
                match self {$(Self::$name => policy!(@verb $verb),)+}
            }
        }
    };
    (@bool yes) => { true };
    (@bool no) => { false };
    (@level tenant $name:ident) => { impl TenantAction for $name {} };
    (@level account $name:ident) => { impl AccountAction for $name {} };
    (@level deployment $name:ident) => { impl DeploymentAction for $name {} };
    (@verb read) => { false };
    (@verb write) => { true };
    (@verb read $name:ident) => {};
    (@verb write $name:ident) => { impl WriteAction for $name {} };
    (@operator yes $name:ident) => { impl OperatorAction for $name {} };
    (@operator no $name:ident) => {};
    (@system yes $name:ident) => { impl SystemAction for $name {} };
    (@system no $name:ident) => {};
}

// The columns: owner admin marketer analyst viewer | API key, worker, operator.
policy! {
    /// See contacts without what identifies them.
    ReadContacts = "contacts.read" tenant read [yes yes yes yes yes | yes yes no];
    /// See addresses, names and attributes.
    ReadPersonalData = "contacts.read_personal" tenant read [yes yes yes no no | yes yes no];
    /// Create, change, archive and delete contacts.
    WriteContacts = "contacts.write" tenant write [yes yes yes no no | yes yes no];
    /// Report what contacts did, and declare events.
    TrackEvents = "contacts.track" tenant write [yes yes yes no no | yes yes no];
    /// Upload and import files.
    ImportContacts = "contacts.import" tenant write [yes yes yes no no | yes yes no];
    /// See consent, suppressions and decisions.
    ReadConsent = "consent.read" tenant read [yes yes yes yes no | yes yes no];
    /// Record what a person agreed or objected to.
    RecordConsent = "consent.record" tenant write [yes yes yes no no | yes yes no];
    /// Lift suppressions (C-235).
    AdministerConsent = "consent.administer" tenant write [yes yes no no no | no no no];
    /// See messages and results, without addresses.
    ReadMessages = "messaging.read" tenant read [yes yes yes yes yes | yes yes no];
    /// Send messages.
    SendMessages = "messaging.send" tenant write [yes yes yes no no | yes yes no];
    /// Record and judge opens and clicks.
    RecordHits = "messaging.record_hits" tenant write [no no no no no | no yes no];
    /// Take bounces and complaints.
    ReceiveReports = "messaging.report" tenant write [no no no no no | no yes no];
    /// Publish template versions.
    PublishTemplates = "messaging.publish" tenant write [yes yes yes no no | yes no no];
    /// Create senders, their keys and relays.
    ManageSenders = "messaging.administer" tenant write [yes yes no no no | no no no];
    /// See workflows, the people in them by id, and results.
    ReadWorkflows = "workflows.read" tenant read [yes yes yes yes yes | yes yes no];
    /// Draft, pause and resume workflows.
    WriteWorkflows = "workflows.write" tenant write [yes yes yes no no | yes no no];
    /// Publish and archive workflows.
    PublishWorkflows = "workflows.publish" tenant write [yes yes yes no no | yes no no];
    /// Move people along their workflows.
    RunWorkflows = "workflows.run" tenant write [no no no no no | no yes no];
    /// See persisted documents and the sets of them.
    ReadDocuments = "documents.read" tenant read [yes yes yes yes yes | yes no no];
    /// Register and retire persisted documents, and decide which a set has.
    PublishDocuments = "documents.publish" tenant write [yes yes no no no | yes no no];
    /// Have a document by its id, to run it as its text would run: no key needs a scope for it.
    RunDocuments = "documents.run" tenant read [yes yes yes yes yes | no no no];
    /// See webhook endpoints and what was delivered to them.
    ReadWebhooks = "webhooks.read" tenant read [yes yes no no no | yes no no];
    /// Make, change and delete webhook endpoints, change their secrets, replay.
    AdministerWebhooks = "webhooks.administer" tenant write [yes yes no no no | no no no];
    /// Deliver to webhook endpoints.
    RunWebhooks = "webhooks.run" tenant write [no no no no no | no yes no];
    /// See campaigns, whom they go to by id, and results.
    ReadCampaigns = "campaigns.read" tenant read [yes yes yes yes yes | yes yes no];
    /// Draft campaigns.
    WriteCampaigns = "campaigns.write" tenant write [yes yes yes no no | yes no no];
    /// Start, pause, resume and cancel campaigns, and choose their variants.
    PublishCampaigns = "campaigns.publish" tenant write [yes yes yes no no | yes no no];
    /// Approve campaigns, and say which need it (C-202).
    ApproveCampaigns = "campaigns.approve" tenant write [yes yes no no no | no no no];
    /// Freeze and release campaigns.
    RunCampaigns = "campaigns.run" tenant write [no no no no no | no yes no];
    /// See the tenant's settings, brands, topics and members.
    ReadTenant = "tenancy.read" tenant read [yes yes yes yes yes | yes yes no];
    /// Change settings, brands, topics, members and API keys.
    AdministerTenant = "tenancy.administer" tenant write [yes yes no no no | no no no];
    /// See the account and its tenants.
    ReadAccount = "account.read" account read [yes yes yes yes yes | no no no];
    /// Change the account and its members.
    AdministerAccount = "account.administer" account write [yes no no no no | no no no];
    /// Create a tenant under the account.
    CreateTenant = "account.create_tenant" account write [yes yes no no no | no no no];
    /// Put into a tenant what every tenant has, and into its audit log what was done.
    KeepTenant = "tenancy.keep" tenant write [no no no no no | no yes no];
    /// Say that the DNS record of a sender is published.
    VerifySenders = "messaging.verify" tenant write [no no no no no | no no yes];
    /// Make, limit and suspend accounts, disable users.
    OperateDeployment = "deployment.operate" deployment write [no no no no no | no no yes];
}

impl Permission {
    /// What a key with this scope may also see: the answer of a change is read after it is committed, and must not be
    /// refused then.
    pub const fn reads(self) -> Option<Self> {
        match self {
            Self::WriteContacts | Self::TrackEvents => Some(Self::ReadContacts),
            Self::WriteWorkflows | Self::PublishWorkflows => Some(Self::ReadWorkflows),
            Self::WriteCampaigns | Self::PublishCampaigns => Some(Self::ReadCampaigns),
            Self::RecordConsent => Some(Self::ReadConsent),
            Self::SendMessages | Self::PublishTemplates => Some(Self::ReadMessages),
            Self::PublishDocuments => Some(Self::ReadDocuments),
            _ => None,
        }
    }
}

/// The table as text, for the access matrix snapshot.
pub fn matrix() -> String {
    let roles: Vec<Role> = Role::ALL.iter().rev().copied().collect();
    let line = |first: &str, cells: Vec<&'static str>| {
        let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:<9}")).collect();
        format!("{first:<24}{}", cells.join("")).trim_end().to_owned()
    };
    let heads = roles.iter().map(|role| role.as_str()).chain(["key", "system", "operator", "writes"]);
    let mut lines = vec![line("action", heads.collect())];
    for permission in Permission::ALL {
        let members = roles.iter().map(|role| permission.allows(*role));
        let others = [permission.allows_keys(), permission.allows_system(), permission.allows_operator()];
        let cells = members.chain(others).chain([permission.writes()]);
        lines.push(line(permission.as_str(), cells.map(|allowed| if allowed { "yes" } else { "-" }).collect()));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_matrix() {
        insta::assert_snapshot!(matrix());
    }

    #[test]
    fn a_stronger_role_may_do_whatever_a_weaker_one_may() {
        for permission in Permission::ALL {
            for pair in Role::ALL.windows(2) {
                assert!(!permission.allows(pair[0]) || permission.allows(pair[1]), "{permission} {pair:?}");
            }
            let somebody = permission.allows(Role::Owner) || permission.allows_system() || permission.allows_operator();
            assert!(somebody, "{permission}");
        }
    }

    #[test]
    fn keys_and_workers_never_administer() {
        for permission in Permission::ALL.iter().filter(|permission| permission.as_str().ends_with(".administer")) {
            assert!(!permission.allows_keys() && !permission.allows_system());
        }
    }
}
