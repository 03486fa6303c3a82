//! Accounts, tenants and who belongs to them, on a real database.

use carillon_domain::error::{Error, WallError};
use carillon_domain::idempotency::{Call, Run};
use carillon_domain::paging::Page;
use carillon_domain::ports::Ports;
use carillon_domain::settings::Settings;
use carillon_domain::tenancy::{
    AdministerAccount, AdministerTenant, Caps, CreateTenant, MemberGrant, Name, ReadContacts, ReadTenant, Role, Scope,
    SecretKind, SendMessages, accept_invitation, audit_events, authenticate_key, cap_account, change_member_role,
    create_account, create_tenant, disable_user, enter_account, enter_tenant, enter_to_import, invite_member, leave,
    members, operate, refresh_session, remove_member, resume_account, revoke_api_key, suspend_account, tenant,
    viewer_accounts, viewer_tenants,
};
use carillon_entities::ids::{AccountId, CredentialId, MembershipId, TenantId};
use carillon_tests::access::{AccessWorld, PASSWORD, code, new_invitation, refusals};
use uuid::Uuid;

#[tokio::test]
async fn an_agency_has_accounts_and_tenants_below_it() {
    let world = AccessWorld::new().await;
    let (owner, account) = world.owner_and_account("ada@example.org").await;
    let mut parent = account;
    for depth in 2..=5 {
        let grant = enter_account(world.ports(), &owner, parent, "parentId").await.unwrap();
        let grant = grant.grant::<AdministerAccount>().unwrap();
        let child = create_account(&grant, world.ports(), &Name::parse("Client").unwrap(), None).await.unwrap();
        assert_eq!((child.depth, child.parent), (depth, Some(parent)));
        parent = child.id;
    }
    let deepest = enter_account(world.ports(), &owner, parent, "parentId").await.unwrap();
    let name = Name::parse("Too deep").unwrap();
    let refused = create_account(&deepest.grant().unwrap(), world.ports(), &name, None).await;
    assert_eq!(code(refused), "TOO_DEEP");

    let deep = world.new_tenant(&owner, parent, "Deep").await;
    let shallow = world.new_tenant(&owner, account, "Shallow").await;
    let session = enter_tenant(world.ports(), world.desk(), &owner, deep).await.unwrap();
    assert_eq!((session.role, session.tenant.name.as_str()), (Role::Owner, "Deep"));
    let page = viewer_tenants(world.ports(), &owner, &Page::first(1)).await.unwrap();
    assert_eq!((page.items[0].0.id, page.items[0].1, page.has_next), (deep, Role::Owner, true));
    let next = Page { forward: true, cursor: Some(deep), size: 1 };
    let page = viewer_tenants(world.ports(), &owner, &next).await.unwrap();
    assert_eq!((page.items[0].0.id, page.has_next), (shallow, false));
    assert_eq!(viewer_accounts(world.ports(), &owner).await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_tenant_is_made_once_and_whole() {
    let world = AccessWorld::new().await;
    let (owner, account) = world.owner_and_account("ada@example.org").await;
    let grant = enter_account(world.ports(), &owner, account, "accountId").await.unwrap().grant().unwrap();
    let command = world.tenant_command("One", Some("key-1"));
    let made = create_tenant(&grant, world.ports(), &command).await.unwrap();
    let again = create_tenant(&grant, world.ports(), &command).await.unwrap();
    assert_eq!(made.id, again.id);
    let other = world.tenant_command("Two", Some("key-1"));
    assert_eq!(code(create_tenant(&grant, world.ports(), &other).await), "IDEMPOTENCY_MISMATCH");
    let brands = "SELECT COUNT(*) AS amount FROM brands WHERE is_default";
    assert_eq!(world.number(brands).await, 2, "its own and the system tenant's");
    let entered = world.entered(&owner, made.id).await;
    let read = entered.grant::<ReadTenant>().unwrap();
    assert_eq!(tenant(&read, world.ports()).await.unwrap(), made);

    let (one, two) = (world.tenant_command("T", Some("key-2")), world.tenant_command("T", Some("key-2")));
    let (one, two) =
        futures::join!(create_tenant(&grant, world.ports(), &one), create_tenant(&grant, world.ports(), &two));
    assert_eq!(one.unwrap().id, two.unwrap().id, "at once, too");
}

#[tokio::test]
async fn an_account_has_no_more_than_it_may() {
    let world = AccessWorld::new().await;
    let (owner, account) = world.owner_and_account("ada@example.org").await;
    cap_account(&operate().grant(), world.ports(), account, Caps { tenants: Some(2), messages_per_day: Some(7) })
        .await
        .unwrap();
    let grant = enter_account(world.ports(), &owner, account, "accountId").await.unwrap();
    let child =
        create_account(&grant.grant().unwrap(), world.ports(), &Name::parse("Child").unwrap(), None).await.unwrap();
    let below = enter_account(world.ports(), &owner, child.id, "accountId").await.unwrap().grant().unwrap();
    let in_child = create_tenant(&below, world.ports(), &world.tenant_command("One", None)).await.unwrap();
    assert_eq!(in_child.max_messages_per_day, 7);
    let above = grant.grant::<CreateTenant>().unwrap();
    create_tenant(&above, world.ports(), &world.tenant_command("Two", None)).await.unwrap();
    for grant in [&above, &below] {
        let refused = create_tenant(grant, world.ports(), &world.tenant_command("Three", None)).await;
        assert_eq!(code(refused), "LIMIT_REACHED", "tenants below an account count against its limit");
    }
    let brands = "SELECT COUNT(*) AS amount FROM brands";
    assert_eq!(world.number(brands).await, 3, "a refused call seeds nothing");
    let nobody = AccountId(Uuid::from_u128(9));
    assert_eq!(code(cap_account(&operate().grant(), world.ports(), nobody, Caps::default()).await), "NOT_FOUND");
}

#[tokio::test]
async fn a_suspended_account_stops_everything_below_it() {
    let world = AccessWorld::new().await;
    let (owner, account) = world.owner_and_account("ada@example.org").await;
    let context = enter_account(world.ports(), &owner, account, "accountId").await.unwrap();
    let child =
        create_account(&context.grant().unwrap(), world.ports(), &Name::parse("Child").unwrap(), None).await.unwrap();
    let one = world.new_tenant(&owner, child.id, "One").await;
    let entered = world.entered(&owner, one).await;
    suspend_account(&operate().grant(), world.ports(), account).await.unwrap();

    let begun = entered.grant::<ReadTenant>().unwrap().begin_read().await;
    assert_eq!(code(begun), "TENANT_SUSPENDED");
    assert_eq!(code(enter_tenant(world.ports(), world.desk(), &owner, one).await), "TENANT_SUSPENDED");
    let grant = enter_account(world.ports(), &owner, child.id, "accountId").await.unwrap().grant().unwrap();
    let refused = create_tenant(&grant, world.ports(), &world.tenant_command("Two", None)).await;
    assert_eq!(code(refused), "ACCOUNT_SUSPENDED");

    resume_account(&operate().grant(), world.ports(), account).await.unwrap();
    entered.grant::<ReadTenant>().unwrap().begin_read().await.unwrap().commit().await.unwrap();
    create_tenant(&grant, world.ports(), &world.tenant_command("Two", None)).await.unwrap();
}

#[tokio::test]
async fn c204_what_is_foreign_answers_like_what_is_missing() {
    let world = AccessWorld::new().await;
    let (ada, hers) = world.owner_and_account("ada@example.org").await;
    let (eve, _) = world.owner_and_account("eve@example.org").await;
    let tenant = world.new_tenant(&ada, hers, "One").await;
    let ports = world.ports();
    let (no_account, no_tenant) = (AccountId(Uuid::from_u128(9)), TenantId(Uuid::from_u128(9)));
    let no_membership = MembershipId(Uuid::from_u128(9));
    let membership = world.membership_on(hers).await;

    let entering = async |tenant| refusals(enter_tenant(ports, world.desk(), &eve, tenant).await);
    assert_eq!(entering(tenant).await, entering(no_tenant).await);
    let on_account = async |account| refusals(enter_account(ports, &eve, account, "accountId").await);
    assert_eq!(on_account(hers).await, on_account(no_account).await);
    let inviting = async |scope| refusals(MemberGrant::on(ports, &eve, scope, "tenantId").await);
    assert_eq!(inviting(Scope::Tenant(tenant)).await, inviting(Scope::Tenant(no_tenant)).await);
    let changing = async |id| refusals(change_member_role(ports, &eve, id, Role::Viewer, None).await);
    assert_eq!(changing(membership).await, changing(no_membership).await);
    let removing = async |id| refusals(remove_member(ports, &eve, id, Run::Real(None)).await);
    assert_eq!(removing(membership).await, removing(no_membership).await);
    let leaving = async |scope| refusals(leave(ports, &eve, scope, "accountId", Run::Real(None)).await);
    assert_eq!(leaving(Scope::Account(hers)).await, leaving(Scope::Account(no_account)).await);

    let (eves, _) = world.made_tenant_of(&eve, "Eve's").await;
    let key = world.new_key(&ada, tenant).await.0;
    let grant = eves.grant::<AdministerTenant>().unwrap();
    let revoking = async |id| refusals(revoke_api_key(&grant, ports, id, Run::Real(None)).await);
    assert_eq!(revoking(key.id).await, revoking(CredentialId(Uuid::from_u128(9))).await);
}

#[tokio::test]
async fn a_token_bound_to_a_tenant_reaches_no_other() {
    let world = AccessWorld::new().await;
    let (ada, account) = world.owner_and_account("ada@example.org").await;
    let (one, two) = (world.new_tenant(&ada, account, "One").await, world.new_tenant(&ada, account, "Two").await);
    let session = enter_tenant(world.ports(), world.desk(), &ada, one).await.unwrap();
    let bound = world.verified(&session.access_token);
    let ports = world.ports();
    assert!(matches!(enter_tenant(ports, world.desk(), &bound, two).await, Err(Error::Forbidden)));
    assert!(matches!(enter_account(ports, &bound, account, "accountId").await, Err(Error::Forbidden)));
    assert!(MemberGrant::on(ports, &bound, Scope::Tenant(one), "tenantId").await.is_ok());
    assert_eq!(viewer_accounts(ports, &bound).await.unwrap(), []);
    for page in [Page::first(10), Page { forward: true, cursor: Some(TenantId(Uuid::nil())), size: 1 }] {
        let tenants = viewer_tenants(ports, &bound, &page).await.unwrap();
        let shown: Vec<_> = tenants.items.iter().map(|(tenant, role)| (tenant.id, *role)).collect();
        assert_eq!((shown, tenants.has_next), (vec![(one, Role::Owner)], false));
    }
    let behind = Page { forward: true, cursor: Some(one), size: 10 };
    assert!(viewer_tenants(ports, &bound, &behind).await.unwrap().items.is_empty());
    let membership = world.membership_on(account).await;
    assert_eq!(code(remove_member(ports, &bound, membership, Run::Real(None)).await), "NOT_FOUND");
}

#[tokio::test]
async fn c213_a_changed_role_acts_with_the_next_request() {
    let world = AccessWorld::new().await;
    let (ada, account) = world.owner_and_account("ada@example.org").await;
    let tenant = world.new_tenant(&ada, account, "One").await;
    let bob = world.invited(&ada, Scope::Tenant(tenant), "bob@example.org", Role::Marketer).await;
    let entered = world.entered(&bob, tenant).await;
    let send = entered.grant::<SendMessages>().unwrap();
    let session = world.sign_in("bob@example.org", PASSWORD).await.unwrap();

    let page = members(&entered.grant().unwrap(), world.ports(), &Page::first(10)).await.unwrap();
    assert_eq!(page.items.len(), 2, "the account's owner and Bob");
    let membership = page.items.iter().find(|member| member.membership.role == Role::Marketer).unwrap().membership;
    change_member_role(world.ports(), &ada, membership.id, Role::Viewer, None).await.unwrap();
    assert!(matches!(send.begin().await, Err(Error::Unauthenticated)));
    let session = refresh_session(world.ports(), world.desk(), &session.refresh_token, None).await.unwrap();
    let bob = world.verified(&session.access_token);
    let entered = world.entered(&bob, tenant).await;
    assert!(matches!(entered.grant::<SendMessages>(), Err(Error::Forbidden)));

    let read = entered.grant::<ReadTenant>().unwrap();
    remove_member(world.ports(), &ada, membership.id, Run::Real(None)).await.unwrap();
    assert!(matches!(read.begin_read().await, Err(Error::Unauthenticated)));
    let bob = world.access("bob@example.org").await;
    assert_eq!(code(enter_tenant(world.ports(), world.desk(), &bob, tenant).await), "NOT_FOUND");
}

#[tokio::test]
async fn nobody_gives_or_takes_a_role_above_their_own() {
    let world = AccessWorld::new().await;
    let (ada, account) = world.owner_and_account("ada@example.org").await;
    let tenant = world.new_tenant(&ada, account, "One").await;
    let admin = world.invited(&ada, Scope::Tenant(tenant), "bob@example.org", Role::Admin).await;
    let viewer = world.invited(&ada, Scope::Tenant(tenant), "cyd@example.org", Role::Viewer).await;
    let owner = world.invited(&ada, Scope::Tenant(tenant), "dan@example.org", Role::Owner).await;
    let ports = world.ports();
    assert!(matches!(MemberGrant::on(ports, &viewer, Scope::Tenant(tenant), "tenantId").await, Err(Error::Forbidden)));

    let grant = MemberGrant::on(ports, &admin, Scope::Tenant(tenant), "tenantId").await.unwrap();
    let eve = "eve@example.org".parse().unwrap();
    assert_eq!(
        code(invite_member(&grant, ports, world.desk(), &new_invitation(&eve, Role::Owner), None).await),
        "ROLE_ABOVE_YOURS"
    );
    let of = async |access| world.own_membership(access, Scope::Tenant(tenant)).await;
    let (viewers, owners) = (of(&viewer).await, of(&owner).await);
    assert_eq!(code(change_member_role(ports, &admin, viewers, Role::Owner, None).await), "ROLE_ABOVE_YOURS");
    assert_eq!(code(change_member_role(ports, &admin, owners, Role::Viewer, None).await), "ROLE_ABOVE_YOURS");
    assert_eq!(code(remove_member(ports, &admin, owners, Run::Real(None)).await), "ROLE_ABOVE_YOURS");
    change_member_role(ports, &admin, viewers, Role::Admin, None).await.unwrap();
    remove_member(ports, &ada, owners, Run::Real(None)).await.unwrap();
}

#[tokio::test]
async fn an_account_keeps_an_owner() {
    let world = AccessWorld::new().await;
    let (ada, account) = world.owner_and_account("ada@example.org").await;
    let ports = world.ports();
    let hers = world.membership_on(account).await;
    assert_eq!(code(leave(ports, &ada, Scope::Account(account), "accountId", Run::Real(None)).await), "LAST_OWNER");
    assert_eq!(code(remove_member(ports, &ada, hers, Run::Real(None)).await), "LAST_OWNER");
    assert_eq!(code(change_member_role(ports, &ada, hers, Role::Admin, None).await), "LAST_OWNER");

    let bob = world.invited(&ada, Scope::Account(account), "bob@example.org", Role::Owner).await;
    let bobs = world.own_membership(&bob, Scope::Account(account)).await;
    let (one, two) = futures::join!(
        remove_member(ports, &ada, bobs, Run::Real(None)),
        remove_member(ports, &bob, hers, Run::Real(None))
    );
    assert!(one.is_ok() != two.is_ok(), "of two owners who remove each other at once one stays");
}

#[tokio::test]
async fn an_invitation_is_worth_no_more_than_its_inviter() {
    let world = AccessWorld::new().await;
    let (ada, account) = world.owner_and_account("ada@example.org").await;
    let tenant = world.new_tenant(&ada, account, "One").await;
    let bob = world.invited(&ada, Scope::Tenant(tenant), "bob@example.org", Role::Admin).await;
    let cyd = world.owner("cyd@example.org").await;
    let ports = world.ports();
    let grant = MemberGrant::on(ports, &bob, Scope::Tenant(tenant), "tenantId").await.unwrap();
    let address = "cyd@example.org".parse().unwrap();
    invite_member(&grant, ports, world.desk(), &new_invitation(&address, Role::Admin), None).await.unwrap();
    let token = world.mailed(SecretKind::Invitation).await;

    let others = accept_invitation(ports, world.desk(), &ada, &token).await;
    assert_eq!(code(others), "INVALID_INVITATION", "for Cyd only");
    let bobs = world.own_membership(&bob, Scope::Tenant(tenant)).await;
    change_member_role(ports, &ada, bobs, Role::Marketer, None).await.unwrap();
    assert_eq!(code(accept_invitation(ports, world.desk(), &cyd, &token).await), "INVALID_INVITATION");
    change_member_role(ports, &ada, bobs, Role::Admin, None).await.unwrap();
    let membership = accept_invitation(ports, world.desk(), &cyd, &token).await.unwrap();
    assert_eq!((membership.role, membership.scope), (Role::Admin, Scope::Tenant(tenant)));
    assert_eq!(code(accept_invitation(ports, world.desk(), &cyd, &token).await), "INVALID_INVITATION", "once");
}

#[tokio::test]
async fn an_invitation_of_a_disabled_inviter_opens_nothing() {
    let world = AccessWorld::new().await;
    let (ada, account) = world.owner_and_account("ada@example.org").await;
    let bob = world.invited(&ada, Scope::Account(account), "bob@example.org", Role::Admin).await;
    let cyd = world.owner("cyd@example.org").await;
    let ports = world.ports();
    let grant = MemberGrant::on(ports, &ada, Scope::Account(account), "accountId").await.unwrap();
    invite_member(
        &grant,
        ports,
        world.desk(),
        &new_invitation(&"cyd@example.org".parse().unwrap(), Role::Viewer),
        None,
    )
    .await
    .unwrap();
    let token = world.mailed(SecretKind::Invitation).await;
    let inviter = "ada@example.org".parse().unwrap();
    disable_user(&operate().grant(), ports, &inviter, true).await.unwrap();
    assert_eq!(code(accept_invitation(ports, world.desk(), &cyd, &token).await), "INVALID_INVITATION");
    assert!(enter_account(ports, &bob, account, "accountId").await.is_ok(), "members stay");
    disable_user(&operate().grant(), ports, &inviter, false).await.unwrap();
    accept_invitation(ports, world.desk(), &cyd, &token).await.unwrap();
}

#[tokio::test]
async fn c216_one_person_gets_few_invitations_whoever_sends_them() {
    let world = AccessWorld::new().await;
    let (ada, hers) = world.owner_and_account("ada@example.org").await;
    let (bob, his) = world.owner_and_account("bob@example.org").await;
    let ports = world.ports();
    let mut results = Vec::new();
    for (by, account) in [(&ada, hers), (&bob, his)].repeat(3) {
        let grant = MemberGrant::on(ports, by, Scope::Account(account), "accountId").await.unwrap();
        let invited = "cyd@example.org".parse().unwrap();
        results.push(invite_member(&grant, ports, world.desk(), &new_invitation(&invited, Role::Viewer), None).await);
    }
    assert!(results[..5].iter().all(Result::is_ok));
    assert!(matches!(results[5], Err(Error::TooMany { .. })));
    let grant = MemberGrant::on(ports, &ada, Scope::Account(hers), "accountId").await.unwrap();
    invite_member(
        &grant,
        ports,
        world.desk(),
        &new_invitation(&"dan@example.org".parse().unwrap(), Role::Viewer),
        None,
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn c213_who_leaves_is_out_with_the_next_request() {
    let world = AccessWorld::new().await;
    let (ada, account) = world.owner_and_account("ada@example.org").await;
    let tenant = world.new_tenant(&ada, account, "One").await;
    let bob = world.invited(&ada, Scope::Tenant(tenant), "bob@example.org", Role::Marketer).await;
    let read = world.entered(&bob, tenant).await.grant::<ReadTenant>().unwrap();
    read.begin_read().await.unwrap().commit().await.unwrap();
    let ports = world.ports();
    leave(ports, &bob, Scope::Tenant(tenant), "tenantId", Run::Real(None)).await.unwrap();
    assert!(matches!(read.begin_read().await, Err(Error::Unauthenticated)));
    let bob = world.access("bob@example.org").await;
    assert_eq!(code(enter_tenant(ports, world.desk(), &bob, tenant).await), "NOT_FOUND");
    // The account's owner belongs to the tenant through the account alone.
    assert_eq!(
        code(leave(ports, &ada, Scope::Tenant(tenant), "tenantId", Run::Real(None)).await),
        "NOT_A_DIRECT_MEMBER"
    );
    assert!(enter_tenant(ports, world.desk(), &ada, tenant).await.is_ok());
}

#[tokio::test]
async fn c213_a_role_changed_on_the_account_acts_in_its_tenants() {
    let world = AccessWorld::new().await;
    let (ada, account) = world.owner_and_account("ada@example.org").await;
    let tenant = world.new_tenant(&ada, account, "One").await;
    let bob = world.invited(&ada, Scope::Account(account), "bob@example.org", Role::Marketer).await;
    let send = world.entered(&bob, tenant).await.grant::<SendMessages>().unwrap();
    send.begin_read().await.unwrap().commit().await.unwrap();
    let membership = world.own_membership(&bob, Scope::Account(account)).await;
    change_member_role(world.ports(), &ada, membership, Role::Viewer, None).await.unwrap();
    assert!(matches!(send.begin().await, Err(Error::Unauthenticated)));
    let bob = world.access("bob@example.org").await;
    let entered = world.entered(&bob, tenant).await;
    assert_eq!(entered.role(), Role::Viewer);
    assert!(matches!(entered.grant::<SendMessages>(), Err(Error::Forbidden)));
}

#[tokio::test]
async fn a_suspended_tenants_keys_and_imports_stand_still() {
    let world = AccessWorld::new().await;
    let (ada, account) = world.owner_and_account("ada@example.org").await;
    let tenant = world.new_tenant(&ada, account, "One").await;
    let (_, text) = world.new_key(&ada, tenant).await;
    let ports = world.ports();
    let read = authenticate_key(ports, &text).await.unwrap().grant::<ReadContacts>().unwrap();
    read.begin_read().await.unwrap().commit().await.unwrap();
    suspend_account(&operate().grant(), ports, account).await.unwrap();
    let context = authenticate_key(ports, &text).await.unwrap();
    for grant in [read.clone(), context.grant::<ReadContacts>().unwrap()] {
        assert_eq!(code(grant.begin_read().await), "TENANT_SUSPENDED");
    }
    assert_eq!(code(enter_to_import(world.wall(), tenant).begin().await), "TENANT_SUSPENDED");
    resume_account(&operate().grant(), ports, account).await.unwrap();
    read.begin_read().await.unwrap().commit().await.unwrap();
    enter_to_import(world.wall(), tenant).begin().await.unwrap().commit().await.unwrap();
}

#[tokio::test]
async fn administration_is_on_the_record() {
    let world = AccessWorld::new().await;
    let (ada, account) = world.owner_and_account("ada@example.org").await;
    let tenant = world.new_tenant(&ada, account, "One").await;
    let (key, _) = world.new_key(&ada, tenant).await;
    let context = world.entered(&ada, tenant).await;
    let grant = context.grant::<AdministerTenant>().unwrap();
    world.advance(chrono::TimeDelta::milliseconds(1));
    revoke_api_key(&grant, world.ports(), key.id, Run::Real(None)).await.unwrap();
    let mut tx = grant.begin_read().await.unwrap();
    let first = audit_events(&grant, &mut tx, &Page::first(2)).await.unwrap();
    let actions: Vec<_> = first.items.iter().map(|event| event.action.as_str()).collect();
    assert_eq!((actions, first.has_next), (vec!["api_key.revoke", "api_key.create"], true), "the newest first");
    let next = Page { forward: true, cursor: Some(first.items[1].id), size: 2 };
    let next = audit_events(&grant, &mut tx, &next).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((next.items.len(), next.items[0].action.as_str(), next.has_next), (1, "tenant.create", false));
    let actor = next.items[0].actor_id.map(|id| id == context.actor().id().unwrap());
    assert_eq!(actor, Some(true));
}

#[tokio::test]
async fn c186_an_invitation_whose_mail_was_not_queued_is_mailed_by_the_same_call() {
    let world = AccessWorld::new().await;
    let (ada, account) = world.owner_and_account("ada@example.org").await;
    let grant = MemberGrant::on(world.ports(), &ada, Scope::Account(account), "accountId").await.unwrap();
    let command = new_invitation(&"eve@example.org".parse().unwrap(), Role::Viewer);
    let call = Call::new("inviteMember", "one", b"{}").unwrap();
    let number = async |what: &str| world.number(&format!("SELECT COUNT(*) AS amount FROM {what}")).await;
    let mails = number("messages").await;
    // The invitation is committed, and then there is no sender to mail it.
    let settings =
        Settings { system_from: "post@embedded.example".to_owned(), ..world.ports().settings.as_ref().clone() };
    let broken = Ports { settings: settings.into(), ..world.ports().clone() };
    let lost = invite_member(&grant, &broken, world.desk(), &command, Some(&call)).await;
    assert!(matches!(lost, Err(Error::Wall(WallError::Unavailable))), "{lost:?}");
    assert_eq!((number("credentials WHERE kind = 'invitation'").await, number("messages").await), (1, mails));
    for _ in 0..3 {
        invite_member(&grant, world.ports(), world.desk(), &command, Some(&call)).await.unwrap();
    }
    assert_eq!((number("credentials WHERE kind = 'invitation'").await, number("messages").await), (1, mails + 1));
    assert_eq!(number("audit_events WHERE action = 'member.invite'").await, 1);
    let eve = world.owner("eve@example.org").await;
    let token = world.mailed(SecretKind::Invitation).await;
    accept_invitation(world.ports(), world.desk(), &eve, &token).await.unwrap();
}

#[tokio::test]
async fn c213_a_role_that_somebody_has_already_ends_no_token() {
    let world = AccessWorld::new().await;
    let (ada, account) = world.owner_and_account("ada@example.org").await;
    let scope = Scope::Account(account);
    let eve = world.invited(&ada, scope, "eve@example.org", Role::Viewer).await;
    let membership = world.own_membership(&eve, scope).await;
    change_member_role(world.ports(), &ada, membership, Role::Viewer, None).await.unwrap();
    assert!(enter_account(world.ports(), &eve, account, "").await.is_ok());
    assert_eq!(
        world.number("SELECT COUNT(*) AS amount FROM audit_events WHERE action = 'member.change_role'").await,
        0
    );
}

#[tokio::test]
async fn c204_a_token_bound_to_a_tenant_is_told_no_stored_answer_from_elsewhere() {
    let world = AccessWorld::new().await;
    let (ada, account) = world.owner_and_account("ada@example.org").await;
    let tenant = world.new_tenant(&ada, account, "Torten").await;
    let eve = world.invited(&ada, Scope::Account(account), "eve@example.org", Role::Viewer).await;
    let membership = world.own_membership(&eve, Scope::Account(account)).await;
    let call = Call::new("removeMember", "one", b"{}").unwrap();
    remove_member(world.ports(), &ada, membership, Run::Real(Some(&call))).await.unwrap();
    let session = enter_tenant(world.ports(), world.desk(), &ada, tenant).await.unwrap();
    let bound = world.verified(&session.access_token);
    assert_eq!(code(remove_member(world.ports(), &bound, membership, Run::Real(Some(&call))).await), "NOT_FOUND");
    assert!(remove_member(world.ports(), &ada, membership, Run::Real(Some(&call))).await.is_ok());
}
