use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::entropy::SeededEntropy;

const ISSUER: &str = "https://carillon.example";
const NOW: i64 = 1_700_000_000;

fn at(seconds: i64) -> Timestamp {
    DateTime::from_timestamp(NOW + seconds, 0).unwrap()
}

fn ring(seed: u64) -> Keyring {
    Keyring::generate(&SeededEntropy::new(seed))
}

fn tokens(ring: &Keyring) -> AccessTokens {
    AccessTokens::new(ring, ISSUER).unwrap()
}

fn subject() -> AccessSubject {
    let entered = Some((TenantId(Uuid::from_u128(2)), Role::Marketer));
    AccessSubject { user: UserId(Uuid::from_u128(1)), auth_version: 3, entered }
}

#[test]
fn c211_our_own_token_is_believed_for_fifteen_minutes() {
    let tokens = tokens(&ring(1));
    let (token, expires_at) = tokens.issue(&subject(), at(0)).unwrap();
    assert_eq!(expires_at, at(900));
    for now in [0, 1, 899] {
        assert_eq!(tokens.verify(&token, at(now)).map(|access| access.subject()), Some(subject()));
    }
    assert_eq!(tokens.verify(&token, at(900)), None, "the cache outlives no token");
    let outside = AccessSubject { entered: None, ..subject() };
    let (token, _) = tokens.issue(&outside, at(0)).unwrap();
    assert_eq!(tokens.verify(&token, at(0)).map(|access| access.subject()), Some(outside));
}

#[test]
fn c211_after_a_rotation_old_tokens_hold_and_new_ones_name_the_new_key() {
    let old = ring(1);
    let new = old.rotated(&SeededEntropy::new(2));
    let (token, _) = tokens(&old).issue(&subject(), at(0)).unwrap();
    assert!(tokens(&new).verify(&token, at(0)).is_some());
    let (token, _) = tokens(&new).issue(&subject(), at(0)).unwrap();
    assert_eq!(jsonwebtoken::decode_header(&token).unwrap().kid.as_deref(), Some("2"));
    assert_eq!(tokens(&old).verify(&token, at(0)), None);
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": UserId(Uuid::from_u128(1)), "av": 3,
        "iat": NOW, "nbf": NOW, "exp": NOW + 900,
    })
}

fn signed(ring: &Keyring, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).unwrap());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = key_pair(ring, ring.active()).unwrap().sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn with(mut value: Value, key: &str, new: Value) -> Value {
    value[key] = new;
    value
}

fn hmac_with_public_key(ring: &Keyring) -> String {
    let public = key_pair(ring, ring.active()).unwrap();
    let mut header = Header::new(Algorithm::HS256);
    header.typ = Some(TYP.to_owned());
    header.kid = Some("1".to_owned());
    jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(public.public_key().as_ref())).unwrap()
}

#[test]
fn c211_forged_tokens_are_refused() {
    let (ours, theirs) = (ring(1), ring(2));
    let header = json!({"alg": "EdDSA", "typ": TYP, "kid": "1"});
    let good = signed(&ours, &header, &claims());
    let header_with = |key, value| signed(&ours, &with(header.clone(), key, value), &claims());
    let claims_with = |key, value| signed(&ours, &header, &with(claims(), key, value));
    let foreign = |header: &Value| signed(&theirs, header, &claims());
    let (message, _) = good.rsplit_once('.').unwrap();
    let stranger = key_pair(&theirs, theirs.active()).unwrap();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(stranger.public_key().as_ref())});
    let altered = signed(&ours, &header, &with(claims(), "av", json!(4)));
    let signature = good.rsplit_once('.').unwrap().1;
    let forged = [
        ("alg none", header_with("alg", json!("none"))),
        ("alg none, unsigned", format!("{}.", header_with("alg", json!("none")).rsplit_once('.').unwrap().0)),
        ("HMAC with the public key", hmac_with_public_key(&ours)),
        ("unknown kid", foreign(&with(header.clone(), "kid", json!("2")))),
        ("our kid, foreign key", foreign(&header)),
        ("path in kid", header_with("kid", json!("../../dev/null"))),
        ("no kid", header_with("kid", Value::Null)),
        ("an ID token", header_with("typ", json!("JWT"))),
        ("key brought along", foreign(&with(header.clone(), "jwk", jwk))),
        ("key fetched from a URL", foreign(&with(header.clone(), "jku", json!("https://evil.example/keys")))),
        ("unknown crit", header_with("crit", json!(["b64"]))),
        ("other audience", claims_with("aud", json!("another-api"))),
        ("other issuer", claims_with("iss", json!("https://evil.example"))),
        ("no issuer", claims_with("iss", Value::Null)),
        ("expired", claims_with("exp", json!(NOW))),
        ("not yet", claims_with("nbf", json!(NOW + 60))),
        ("too long a life", claims_with("exp", json!(NOW + 901))),
        ("overflowing times", claims_with("iat", json!(i64::MIN))),
        ("a role without a tenant", claims_with("role", json!("owner"))),
        ("an unknown role", with_role(&ours, &header)),
        ("no signature", format!("{message}.")),
        ("claims swapped", format!("{}.{signature}", altered.rsplit_once('.').unwrap().0)),
        ("too long", format!("{good}{}", "A".repeat(MAX_LEN))),
        ("not a token", "....".to_owned()),
        ("empty", String::new()),
    ];
    let tokens = tokens(&ours);
    assert!(tokens.verify(&good, at(0)).is_some(), "the forgeries differ from a good token in one thing each");
    for (name, token) in forged {
        assert_eq!(tokens.verify(&token, at(0)), None, "{name}");
    }
}

fn with_role(ring: &Keyring, header: &Value) -> String {
    let claims = with(claims(), "tid", json!(TenantId(Uuid::from_u128(2))));
    signed(ring, header, &with(claims, "role", json!("root")))
}
