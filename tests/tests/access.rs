//! Signing up, in and out, passwords and API keys, on a real database.

use carillon_domain::error::{Error, Result};
use carillon_domain::idempotency::Run;
use carillon_domain::messaging::own_user;
use carillon_domain::paging::Page;
use carillon_domain::settings::SignUpMode;
use carillon_domain::tenancy::{
    AdministerTenant, ChangePassword, CreateApiKey, Doorkeeper, FAMILY_LIFE, MemberGrant, Name, NewPassword,
    OwnedAccount, PasswordSettings, Permission, PresentedKey, REFRESH_LIFE, ReadContacts, ReadTenant, Role, Scope,
    SecretKind, SendMessages, SignUp, api_keys, authenticate_key, change_password, create_api_key, disable_user,
    forget_expired, invite_member, make_account, operate, refresh_session, request_password_reset, reset_password,
    revoke_api_key, sign_in, sign_out, sign_up, verify_email, viewer, viewer_accounts,
};
use carillon_tests::access::{AccessWorld, KEY_LIFE, PASSWORD, code, new_invitation, refusals};
use chrono::TimeDelta;

#[tokio::test]
async fn a_sign_up_becomes_real_when_its_address_is_proved() {
    let world = AccessWorld::new().await;
    world.sign_up("ada@example.org", "Ada").await.unwrap();
    assert_eq!(world.users().await, 0, "nobody exists before the link is followed");
    assert_eq!(code(world.sign_in("ada@example.org", PASSWORD).await), "INVALID_CREDENTIALS");

    let token = world.mailed(SecretKind::EmailVerification).await;
    verify_email(world.ports(), world.desk(), (&token, PASSWORD), None).await.unwrap();
    assert_eq!(code(verify_email(world.ports(), world.desk(), (&token, PASSWORD), None).await), "INVALID_TOKEN");

    let access = world.access("ADA@Example.org").await;
    assert_eq!(viewer(world.ports(), &access).await.unwrap().name, "Ada");
    let accounts = viewer_accounts(world.ports(), &access).await.unwrap();
    assert_eq!(accounts.len(), 1);
    assert_eq!((accounts[0].0.name.as_str(), accounts[0].1), ("Ada's agency", Role::Owner));
}

#[tokio::test]
async fn a_verification_link_is_good_for_a_day() {
    let world = AccessWorld::new().await;
    world.sign_up("ada@example.org", "Ada").await.unwrap();
    let token = world.mailed(SecretKind::EmailVerification).await;
    world.advance(TimeDelta::hours(24));
    assert_eq!(code(verify_email(world.ports(), world.desk(), (&token, PASSWORD), None).await), "INVALID_TOKEN");
    assert_eq!(forget_expired(world.ports()).await.unwrap(), 0);
    world.advance(TimeDelta::seconds(1));
    assert_eq!(forget_expired(world.ports()).await.unwrap(), 1);
}

#[tokio::test]
async fn c217_no_answer_tells_whether_an_address_has_a_user() {
    let world = AccessWorld::new().await;
    world.owner("ada@example.org").await;

    let (known, known_cost) = world.statements_of(world.sign_up("ada@example.org", "Eve")).await;
    let (unknown, unknown_cost) = world.statements_of(world.sign_up("eve@example.org", "Eve")).await;
    assert!(known.is_ok() && unknown.is_ok());
    assert_eq!(known_cost, unknown_cost, "sign-up does the same work");
    let token = world.mailed(SecretKind::EmailVerification).await;
    verify_email(world.ports(), world.desk(), (&token, PASSWORD), None).await.unwrap();

    let wrong = world.sign_in("ada@example.org", "not the password").await;
    let nobody = world.sign_in("nobody@example.org", "not the password").await;
    assert_eq!(refusals(wrong), refusals(nobody));

    let reset = |email| request_password_reset(world.ports(), world.desk(), email, None);
    let (ada, nobody) = ("ada@example.org".parse().unwrap(), "nobody@example.org".parse().unwrap());
    let (known, known_cost) = world.statements_of(reset(&ada)).await;
    let (unknown, unknown_cost) = world.statements_of(reset(&nobody)).await;
    assert!(known.is_ok() && unknown.is_ok());
    assert_eq!(known_cost, unknown_cost, "a reset does the same work");
}

#[tokio::test]
async fn c217_a_sign_up_for_a_known_address_opens_nothing() {
    let world = AccessWorld::new().await;
    world.owner("ada@example.org").await;
    world.sign_up("ada@example.org", "Eve").await.unwrap();
    let pending = "SELECT COUNT(*) AS amount FROM credentials WHERE pending IS NOT NULL AND revoked_at IS NULL";
    assert_eq!(world.number(pending).await, 0);
    let ada = world.access("ada@example.org").await;
    assert_eq!(viewer(world.ports(), &ada).await.unwrap().name, "Ada");
}

#[tokio::test]
async fn sign_up_can_be_closed_or_by_invitation_only() {
    let closed = AccessWorld::with(|settings| settings.sign_up = SignUpMode::Closed).await;
    assert_eq!(code(closed.sign_up("ada@example.org", "Ada").await), "SIGN_UP_CLOSED");

    let world = AccessWorld::with(|settings| settings.sign_up = SignUpMode::Invite).await;
    assert_eq!(code(world.sign_up("eve@example.org", "Eve").await), "INVITATION_NEEDED");
    let (owner, account) = world.made_owner("ada@example.org").await;
    let grant = MemberGrant::on(world.ports(), &owner, Scope::Account(account), "accountId").await.unwrap();
    let bob = "bob@example.org".parse().unwrap();
    invite_member(&grant, world.ports(), world.desk(), &new_invitation(&bob, Role::Marketer), None).await.unwrap();
    let token = world.mailed(SecretKind::Invitation).await;

    let join =
        |email: &str| SignUp { invitation: Some(token.clone()), account_name: None, ..world.new_person(email, "Bob") };
    let (ports, desk) = (world.ports(), world.desk());
    assert_eq!(code(sign_up(ports, desk, join("eve@example.org")).await), "INVALID_INVITATION");
    sign_up(ports, desk, join("bob@example.org")).await.unwrap();
    let access = world.access("bob@example.org").await;
    let accounts = viewer_accounts(ports, &access).await.unwrap();
    assert_eq!((accounts[0].0.id, accounts[0].1), (account, Role::Marketer));
    assert_eq!(code(sign_up(ports, desk, join("bob@example.org")).await), "INVALID_INVITATION", "used up");
}

#[tokio::test]
async fn of_two_links_for_one_address_one_is_good_even_at_once() {
    let world = AccessWorld::new().await;
    let verify = async |token: String| verify_email(world.ports(), world.desk(), (&token, PASSWORD), None).await;
    for round in 0..4 {
        let email = format!("ada{round}@example.org");
        let mut tokens = Vec::new();
        for _ in 0..2 {
            world.advance(TimeDelta::milliseconds(1));
            world.sign_up(&email, "Ada").await.unwrap();
            tokens.push(world.mailed(SecretKind::EmailVerification).await);
        }
        let (one, two) = futures::join!(verify(tokens[0].clone()), verify(tokens[1].clone()));
        assert!(one.is_ok() != two.is_ok(), "round {round}: {one:?} {two:?}");
        assert_eq!(code(if one.is_ok() { two } else { one }), "INVALID_TOKEN");
        assert_eq!(world.users().await, round + 1);
    }
}

#[tokio::test]
async fn c216_attempts_are_counted_before_a_password_is_hashed() {
    let world = AccessWorld::new().await;
    let mut refused = 0;
    for _ in 0..12 {
        match world.sign_in("nobody@example.org", "wrong").await {
            Err(Error::TooMany { retry_after_s }) => {
                assert!(retry_after_s > 0);
                refused += 1;
            }
            other => assert_eq!(code(other), "INVALID_CREDENTIALS"),
        }
    }
    assert_eq!(refused, 2, "ten at once, for an address without a user too");
    world.advance(TimeDelta::seconds(30));
    assert_eq!(code(world.sign_in("nobody@example.org", "wrong").await), "INVALID_CREDENTIALS");
}

/// Two processes over one Redis let somebody in no more often than one would.
#[tokio::test]
async fn c216_processes_share_their_limits() {
    let Some(url) = std::env::var("REDIS_URL").ok().filter(|url| !url.is_empty()) else { return };
    let world = AccessWorld::new().await;
    let prefix = format!("test-{}", std::process::id());
    let settings = PasswordSettings { memory_kib: 64, passes: 1, lanes: 1, permits: 2, queue: 64 };
    let desk = |url: &str| {
        let limits = carillon_jobs::redis::Limits::redis(url, Some(&prefix)).unwrap();
        let desk = Doorkeeper::new(world.ports(), &world.ports().keys, settings).unwrap();
        desk.sharing(std::sync::Arc::new(limits), &world.ports().keys)
    };
    let attempts = async |desks: &[Doorkeeper]| {
        let mut refused = 0;
        for number in 0..12 {
            let attempt =
                sign_in(world.ports(), &desks[number % desks.len()], world.person("a@example.org", "x")).await;
            refused += usize::from(matches!(attempt, Err(Error::TooMany { .. })));
        }
        refused
    };
    assert_eq!(attempts(&[desk(&url), desk(&url)]).await, 2, "ten at once over both");
    // Nobody listens there: each process counts for itself.
    let alone = desk("redis://127.0.0.1:1/");
    assert_eq!(attempts(&[alone]).await, 2);
}

#[tokio::test]
async fn c215_old_hashes_are_upgraded_at_sign_in() {
    let world = AccessWorld::new().await;
    world.owner("ada@example.org").await;
    let hashes = || world.lines("SELECT password_hash AS line FROM users");
    assert!(hashes().await[0].starts_with("$argon2id$v=19$m=64,t=1,p=1$"));
    let stronger = world.stronger_desk();
    sign_in(world.ports(), &stronger, world.person("ada@example.org", PASSWORD)).await.unwrap();
    assert!(hashes().await[0].starts_with("$argon2id$v=19$m=128,t=1,p=1$"));
    sign_in(world.ports(), &stronger, world.person("ada@example.org", PASSWORD)).await.unwrap();
}

#[tokio::test]
async fn c212_a_refresh_token_is_good_once_and_its_reuse_ends_the_family() {
    let world = AccessWorld::new().await;
    world.owner("ada@example.org").await;
    let refresh = async |token: String| refresh_session(world.ports(), world.desk(), &token, None).await;
    let first = world.sign_in("ada@example.org", PASSWORD).await.unwrap();
    let other = world.sign_in("ada@example.org", PASSWORD).await.unwrap();
    let second = refresh(first.refresh_token.clone()).await.unwrap();
    let third = refresh(second.refresh_token.clone()).await.unwrap();
    assert_eq!(code(refresh(first.refresh_token).await), "SESSION_ENDED");
    assert_eq!(code(refresh(third.refresh_token).await), "SESSION_ENDED", "the whole family is dead");
    assert!(refresh(other.refresh_token).await.is_ok(), "another sign-in is another family");
    let reused = "SELECT COUNT(*) AS amount FROM audit_events WHERE action = 'session.reused'";
    assert_eq!(world.number(reused).await, 1);
    let stored = world.lines("SELECT CAST(COUNT(*) AS TEXT) AS line FROM refresh_sessions").await;
    assert_eq!(stored, ["6"], "a row per token, none of them reused");
    for garbage in ["", "x", &"A".repeat(43), "\u{fc}"] {
        assert_eq!(code(refresh(garbage.to_owned()).await), "SESSION_ENDED");
    }
}

#[tokio::test]
async fn c212_of_two_who_bring_one_token_at_once_neither_keeps_a_session() {
    let world = AccessWorld::new().await;
    world.owner("ada@example.org").await;
    let refresh = async |token: String| refresh_session(world.ports(), world.desk(), &token, None).await;
    let token = world.sign_in("ada@example.org", PASSWORD).await.unwrap().refresh_token;
    let (one, two) = futures::join!(refresh(token.clone()), refresh(token));
    assert!(one.is_ok() != two.is_ok(), "one of them is the thief");
    let (won, lost) = if one.is_ok() { (one, two) } else { (two, one) };
    assert_eq!(code(lost), "SESSION_ENDED");
    assert_eq!(code(refresh(won.unwrap().refresh_token).await), "SESSION_ENDED", "nobody knows which");
}

#[tokio::test]
async fn c216_many_people_behind_one_address_refresh_and_one_session_does_not_spin() {
    let world = AccessWorld::new().await;
    world.owner("ada@example.org").await;
    let office = Some("203.0.113.7".parse().unwrap());
    let refresh = async |token: &str| refresh_session(world.ports(), world.desk(), token, office).await;
    let mut sessions = Vec::new();
    for _ in 0..6 {
        sessions.push(world.sign_in("ada@example.org", PASSWORD).await.unwrap());
    }
    for session in &mut sessions {
        for _ in 0..25 {
            *session = refresh(&session.refresh_token).await.unwrap();
        }
    }
    for _ in 0..5 {
        sessions[0] = refresh(&sessions[0].refresh_token).await.unwrap();
    }
    let spinning = refresh(&sessions[0].refresh_token).await;
    assert!(matches!(spinning, Err(Error::TooMany { .. })), "the 31st at once");
    assert!(refresh(&sessions[1].refresh_token).await.is_ok(), "nobody else pays for it");

    for number in 0..120 {
        assert_eq!(code(refresh(&format!("guess {number}")).await), "SESSION_ENDED");
    }
    assert!(matches!(refresh("one guess more").await, Err(Error::TooMany { .. })), "guesses count by their address");
}

#[tokio::test]
async fn c212_a_family_ends_however_often_it_is_refreshed() {
    let world = AccessWorld::new().await;
    world.owner("ada@example.org").await;
    let refresh = async |token: String| refresh_session(world.ports(), world.desk(), &token, None).await;
    let mut session = world.sign_in("ada@example.org", PASSWORD).await.unwrap();
    let mut waited = TimeDelta::zero();
    let step = REFRESH_LIFE - TimeDelta::seconds(1);
    while waited + step < FAMILY_LIFE {
        world.advance(step);
        waited += step;
        session = refresh(session.refresh_token).await.unwrap();
    }
    world.advance(FAMILY_LIFE - waited);
    assert_eq!(code(refresh(session.refresh_token).await), "SESSION_ENDED");

    let idle = world.sign_in("ada@example.org", PASSWORD).await.unwrap();
    world.advance(REFRESH_LIFE);
    assert_eq!(code(refresh(idle.refresh_token).await), "SESSION_ENDED");
}

#[tokio::test]
async fn signing_out_ends_the_family() {
    let world = AccessWorld::new().await;
    world.owner("ada@example.org").await;
    let session = world.sign_in("ada@example.org", PASSWORD).await.unwrap();
    sign_out(world.ports(), &session.refresh_token).await.unwrap();
    sign_out(world.ports(), "no token").await.unwrap();
    let again = refresh_session(world.ports(), world.desk(), &session.refresh_token, None).await;
    assert_eq!(code(again), "SESSION_ENDED");
}

#[tokio::test]
async fn c213_a_reset_password_ends_every_token_and_session() {
    let world = AccessWorld::new().await;
    let access = world.owner("ada@example.org").await;
    let session = world.sign_in("ada@example.org", PASSWORD).await.unwrap();
    let ada = "ada@example.org".parse().unwrap();
    request_password_reset(world.ports(), world.desk(), &ada, None).await.unwrap();
    let token = world.mailed(SecretKind::PasswordReset).await;
    let new = world.new_password("another long secret");
    let reset = |token: String| reset_password_of(&world, token, new.clone());
    assert_eq!(code(reset("x".to_owned()).await), "INVALID_TOKEN");
    reset(token.clone()).await.unwrap();
    assert_eq!(code(reset(token).await), "INVALID_TOKEN", "once");
    assert!(matches!(viewer(world.ports(), &access).await, Err(Error::Unauthenticated)));
    let refreshed = refresh_session(world.ports(), world.desk(), &session.refresh_token, None).await;
    assert_eq!(code(refreshed), "SESSION_ENDED");
    assert_eq!(code(world.sign_in("ada@example.org", PASSWORD).await), "INVALID_CREDENTIALS");
    world.sign_in("ada@example.org", "another long secret").await.unwrap();

    request_password_reset(world.ports(), world.desk(), &ada, None).await.unwrap();
    let token = world.mailed(SecretKind::PasswordReset).await;
    world.advance(TimeDelta::minutes(30));
    assert_eq!(code(reset_password_of(&world, token, new.clone()).await), "INVALID_TOKEN", "half an hour");
}

#[tokio::test]
async fn c214_a_password_is_not_made_of_its_users_words() {
    let world = AccessWorld::new().await;
    let access = world.owner("lovelace@example.org").await;
    let new = world.new_password("lovelace1815");
    let command = ChangePassword { current: PASSWORD.to_owned(), new: new.clone(), address: None };
    let changed = change_password(world.ports(), world.desk(), &access, command).await;
    assert_eq!(code(changed), "PASSWORD_TOO_COMMON");
    request_password_reset(world.ports(), world.desk(), &"lovelace@example.org".parse().unwrap(), None).await.unwrap();
    let token = world.mailed(SecretKind::PasswordReset).await;
    assert_eq!(code(reset_password_of(&world, token.clone(), new).await), "PASSWORD_TOO_COMMON");
    reset_password_of(&world, token, world.new_password("another long secret")).await.unwrap();
}

#[tokio::test]
async fn c213_a_stale_token_learns_nothing_of_the_tenants_users() {
    let world = AccessWorld::new().await;
    let (ada, account) = world.owner_and_account("ada@example.org").await;
    let tenant = world.new_tenant(&ada, account, "One").await;
    let grant = world.entered(&ada, tenant).await.grant::<SendMessages>().unwrap();
    let address: carillon_domain::contacts::EmailAddress = "ada@example.org".parse().unwrap();
    own_user(&grant, world.ports(), address.clone()).await.unwrap();
    disable_user(&operate().grant(), world.ports(), &address, true).await.unwrap();
    for address in [address, "nobody@example.org".parse().unwrap()] {
        assert!(matches!(own_user(&grant, world.ports(), address).await, Err(Error::Unauthenticated)));
    }
}

async fn reset_password_of(world: &AccessWorld, token: String, new: NewPassword) -> Result<()> {
    reset_password(world.ports(), world.desk(), &token, new, None).await
}

#[tokio::test]
async fn c213_a_changed_password_leaves_one_session() {
    let world = AccessWorld::new().await;
    let access = world.owner("ada@example.org").await;
    let old = world.sign_in("ada@example.org", PASSWORD).await.unwrap();
    let change = |current: &str| ChangePassword {
        current: current.to_owned(),
        new: world.new_password("another long secret"),
        address: None,
    };
    let wrong = change_password(world.ports(), world.desk(), &access, change("wrong")).await;
    assert_eq!(code(wrong), "INVALID_CREDENTIALS");
    let session = change_password(world.ports(), world.desk(), &access, change(PASSWORD)).await.unwrap();
    let again = change_password(world.ports(), world.desk(), &access, change(PASSWORD)).await;
    assert!(matches!(again, Err(Error::Unauthenticated)), "the old token is stale");
    assert!(viewer(world.ports(), &world.verified(&session.access_token)).await.is_ok());
    assert!(refresh_session(world.ports(), world.desk(), &session.refresh_token, None).await.is_ok());
    let old = refresh_session(world.ports(), world.desk(), &old.refresh_token, None).await;
    assert_eq!(code(old), "SESSION_ENDED");
}

#[tokio::test]
async fn c213_a_disabled_user_is_out_with_the_next_request() {
    let world = AccessWorld::new().await;
    let (owner, account) = world.owner_and_account("ada@example.org").await;
    let tenant = world.new_tenant(&owner, account, "One").await;
    let entered = world.entered(&owner, tenant).await;
    let grant = entered.grant::<ReadTenant>().unwrap();
    grant.begin_read().await.unwrap().commit().await.unwrap();
    let email = "ada@example.org".parse().unwrap();
    disable_user(&operate().grant(), world.ports(), &email, true).await.unwrap();
    assert!(matches!(grant.begin_read().await, Err(Error::Unauthenticated)));
    assert!(matches!(viewer(world.ports(), &owner).await, Err(Error::Unauthenticated)));
    assert_eq!(code(world.sign_in("ada@example.org", PASSWORD).await), "INVALID_CREDENTIALS");
    disable_user(&operate().grant(), world.ports(), &email, false).await.unwrap();
    assert!(matches!(grant.begin_read().await, Err(Error::Unauthenticated)), "old tokens stay dead");
    world.sign_in("ada@example.org", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn the_operator_makes_an_account_whose_owner_sets_a_password() {
    let world = AccessWorld::with(|settings| settings.sign_up = SignUpMode::Closed).await;
    let command = |email: &str| OwnedAccount {
        name: Name::parse("Agency").unwrap(),
        email: email.parse().unwrap(),
        owner: Name::parse("Ada").unwrap(),
        password: None,
    };
    let ports = world.ports();
    let made = make_account(&operate().grant(), ports, world.desk(), command("ada@example.org")).await.unwrap();
    let link = made.link.unwrap();
    assert_eq!(code(world.sign_in("ada@example.org", PASSWORD).await), "INVALID_CREDENTIALS");
    let token = link.split_once("token=").unwrap().1.to_owned();
    reset_password_of(&world, token, world.new_password(PASSWORD)).await.unwrap();
    let access = world.access("ada@example.org").await;
    assert_eq!(viewer_accounts(ports, &access).await.unwrap()[0].0.id, made.account.id);
    let second = make_account(&operate().grant(), ports, world.desk(), command("ada@example.org")).await.unwrap();
    assert_eq!((second.owner, second.link), (made.owner, None), "who exists owns it as they are");
}

#[tokio::test]
async fn c220_an_api_key_is_shown_once_scoped_expiring_and_revocable() {
    let world = AccessWorld::new().await;
    let (ada, account) = world.owner_and_account("ada@example.org").await;
    let tenant = world.new_tenant(&ada, account, "One").await;
    let ports = world.ports();
    let (key, text) = world.new_key(&ada, tenant).await;
    let context = authenticate_key(ports, &text).await.unwrap();
    assert_eq!(context.tenant(), tenant);
    let read = context.grant::<ReadContacts>().unwrap();
    read.begin_read().await.unwrap().commit().await.unwrap();
    assert!(matches!(context.grant::<SendMessages>(), Err(Error::Forbidden)), "not among its scopes");

    // A copy of the database opens nothing.
    let stored = PresentedKey::parse(&text).unwrap().hash;
    for text in
        [key.prefix.clone(), hex::encode(stored), format!("{}{}", key.prefix, hex::encode(stored)), String::new()]
    {
        assert!(matches!(authenticate_key(ports, &text).await, Err(Error::Unauthenticated)));
    }

    let admin = world.entered(&ada, tenant).await.grant::<AdministerTenant>().unwrap();
    let listed = api_keys(&admin, ports, &Page::first(10)).await.unwrap().items;
    assert_eq!((listed.len(), listed[0].id, listed[0].last_used_at.is_some()), (1, key.id, true));
    revoke_api_key(&admin, ports, key.id, Run::Real(None)).await.unwrap();
    assert!(matches!(read.begin_read().await, Err(Error::Unauthenticated)), "with the next request");
    assert!(matches!(authenticate_key(ports, &text).await, Err(Error::Unauthenticated)));

    let (_, text) = world.new_key(&ada, tenant).await;
    world.advance(KEY_LIFE);
    assert!(matches!(authenticate_key(ports, &text).await, Err(Error::Unauthenticated)), "it has ended");
}

#[tokio::test]
async fn c220_a_key_is_no_stronger_than_who_made_it() {
    let world = AccessWorld::new().await;
    let (ada, account) = world.owner_and_account("ada@example.org").await;
    let tenant = world.new_tenant(&ada, account, "One").await;
    let bob = world.invited(&ada, Scope::Tenant(tenant), "bob@example.org", Role::Admin).await;
    let admin = world.entered(&bob, tenant).await.grant::<AdministerTenant>().unwrap();
    let command = |role, expires_at| CreateApiKey {
        name: Name::parse("Shop").unwrap(),
        role,
        scopes: vec![Permission::ReadContacts],
        document_set: None,
        expires_at,
    };
    let ports = world.ports();
    assert_eq!(code(create_api_key(&admin, ports, command(Role::Owner, None), None).await), "ROLE_ABOVE_YOURS");
    let over = command(Role::Admin, Some(ports.now()));
    assert_eq!(code(create_api_key(&admin, ports, over, None).await), "ALREADY_OVER");
    create_api_key(&admin, ports, command(Role::Admin, None), None).await.unwrap();
    let email = "bob@example.org".parse().unwrap();
    disable_user(&operate().grant(), ports, &email, true).await.unwrap();
    let stale = create_api_key(&admin, ports, command(Role::Admin, None), None).await;
    assert!(matches!(stale, Err(Error::Unauthenticated)));
}
