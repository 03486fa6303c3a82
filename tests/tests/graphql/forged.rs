//! Access tokens that somebody else made, over real HTTP: all are answered alike, and nothing runs for them (C-211).

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carillon_domain::entropy::SeededEntropy;
use carillon_domain::keys::{Keyring, Purpose};
use carillon_domain::tenancy::{AccessTokens, enter_tenant};
use reqwest::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use serde_json::{Value, json};

use crate::served::Served;
use crate::setup::Api;

const CHANGE: &str = r#"mutation { createBrand(input: { name: "Forged" }) { brand { id } userErrors { code } } }"#;
/// What strangers may ask for, too: a credential that does not verify makes nobody a stranger.
const LOOK: &str = "{ serverTime }";
const BRANDS: &str = "SELECT COUNT(*) AS amount FROM brands WHERE name = 'Forged'";

type Forgeries = Vec<(&'static str, String)>;

fn key(ring: &Keyring, purpose: Purpose) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&ring.derive(ring.active(), purpose, None).unwrap()).unwrap()
}

fn with(of: &Value, name: &str, value: Value) -> Value {
    let mut of = of.clone();
    of[name] = value;
    of
}

fn without(of: &Value, name: &str) -> Value {
    let mut of = of.clone();
    of.as_object_mut().unwrap().remove(name).unwrap();
    of
}

/// Header and claims of a good token, and the keys to sign others.
struct Forge {
    good: String,
    header: Value,
    claims: Value,
    ours: Ed25519KeyPair,
    theirs: Ed25519KeyPair,
    /// Ours, of another purpose.
    other: Ed25519KeyPair,
}

impl Forge {
    fn of(api: &Api, good: String) -> Self {
        let part = |at: usize| -> Value {
            let text = URL_SAFE_NO_PAD.decode(good.split('.').nth(at).unwrap()).unwrap();
            serde_json::from_slice(&text).unwrap()
        };
        let ring = &api.world.ports().keys;
        let theirs = Keyring::generate(&SeededEntropy::new(4711));
        Self {
            header: part(0),
            claims: part(1),
            ours: key(ring, Purpose::AccessToken),
            theirs: key(&theirs, Purpose::AccessToken),
            other: key(ring, Purpose::LinkToken),
            good,
        }
    }

    /// A token of texts that need not be what a library would write.
    fn signed(key: &Ed25519KeyPair, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    /// With our key, and another header.
    fn headed(&self, header: &Value) -> String {
        Self::signed(&self.ours, &header.to_string(), &self.claims.to_string())
    }

    /// With our key, and other claims.
    fn claiming(&self, claims: &Value) -> String {
        Self::signed(&self.ours, &self.header.to_string(), &claims.to_string())
    }

    fn header_with(&self, name: &str, value: Value) -> String {
        self.headed(&with(&self.header, name, value))
    }

    fn claims_with(&self, name: &str, value: Value) -> String {
        self.claiming(&with(&self.claims, name, value))
    }

    /// All times of the token, moved.
    fn moved(&self, seconds: i64) -> String {
        let moved = |claims: Value, name: &str| with(&claims, name, json!(claims[name].as_i64().unwrap() + seconds));
        self.claiming(&["iat", "nbf", "exp"].into_iter().fold(self.claims.clone(), moved))
    }

    /// With their key, and a header that tells where to find it.
    fn foreign(&self, name: &str, value: Value) -> String {
        let header = with(&self.header, name, value).to_string();
        Self::signed(&self.theirs, &header, &self.claims.to_string())
    }

    fn by_key(&self) -> Forgeries {
        let none = self.header_with("alg", json!("none"));
        let hashed = with(&self.header, "alg", json!("HS256")).to_string();
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(hashed), self.good.split('.').nth(1).unwrap());
        let public = hmac::Key::new(hmac::HMAC_SHA256, self.ours.public_key().as_ref());
        let mac = URL_SAFE_NO_PAD.encode(hmac::sign(&public, message.as_bytes()));
        let public = URL_SAFE_NO_PAD.encode(self.theirs.public_key().as_ref());
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": public });
        let kid = &self.header["kid"];
        let other = Self::signed(&self.other, &self.header.to_string(), &self.claims.to_string());
        vec![
            ("alg none", none.clone()),
            ("alg none, unsigned", format!("{}.", none.rsplit_once('.').unwrap().0)),
            ("alg NONE", self.header_with("alg", json!("NONE"))),
            ("HMAC with the public key", format!("{message}.{mac}")),
            ("another algorithm", self.header_with("alg", json!("ES256"))),
            ("a foreign key under our kid", self.foreign("kid", kid.clone())),
            ("a key of ours for another purpose", other),
            ("a foreign kid", self.foreign("kid", json!("2"))),
            ("a path in kid", self.header_with("kid", json!("../../../../dev/null"))),
            ("SQL in kid", self.header_with("kid", json!("1' OR '1'='1"))),
            ("a number as kid", self.header_with("kid", json!(1))),
            ("no kid", self.headed(&without(&self.header, "kid"))),
            ("jwk", self.foreign("jwk", jwk)),
            ("jku", self.foreign("jku", json!("https://evil.example/keys"))),
            ("x5u", self.foreign("x5u", json!("https://evil.example/keys"))),
            ("x5c", self.foreign("x5c", json!([public]))),
            ("crit", self.header_with("crit", json!(["b64"]))),
            ("an ID token", self.header_with("typ", json!("JWT"))),
            ("no typ", self.headed(&without(&self.header, "typ"))),
        ]
    }

    fn by_claim(&self) -> Forgeries {
        let (life, issued) = (AccessTokens::LIFETIME.num_seconds(), self.claims["iat"].as_i64().unwrap());
        let twice = |text: &Value, more: &str| text.to_string().replacen('{', &format!("{{{more},"), 1);
        let (header, claims) = (self.header.to_string(), self.claims.to_string());
        vec![
            ("another audience", self.claims_with("aud", json!("another-api"))),
            ("an audience among others", self.claims_with("aud", json!([self.claims["aud"], "another-api"]))),
            ("no audience", self.claiming(&without(&self.claims, "aud"))),
            ("another issuer", self.claims_with("iss", json!("https://evil.example"))),
            ("no issuer", self.claiming(&without(&self.claims, "iss"))),
            ("no subject", self.claiming(&without(&self.claims, "sub"))),
            ("expired", self.moved(-life)),
            ("from the future", self.moved(60)),
            ("not yet", self.claims_with("nbf", json!(issued + 60))),
            ("no beginning", self.claiming(&without(&self.claims, "nbf"))),
            ("no end", self.claiming(&without(&self.claims, "exp"))),
            ("an end in words", self.claims_with("exp", json!("never"))),
            ("too long a life", self.claims_with("exp", json!(issued + life + 1))),
            ("times that overflow", self.claims_with("iat", json!(i64::MIN))),
            ("a role nowhere", self.claiming(&without(&self.claims, "tid"))),
            ("an unknown role", self.claims_with("role", json!("root"))),
            ("a subject twice", Self::signed(&self.ours, &header, &twice(&self.claims, r#""sub":"x""#))),
            ("an end twice", Self::signed(&self.ours, &header, &twice(&self.claims, r#""exp":99999999999"#))),
            ("an algorithm twice", Self::signed(&self.ours, &twice(&self.header, r#""alg":"none""#), &claims)),
        ]
    }

    fn by_text(&self) -> Forgeries {
        let (message, signature) = self.good.rsplit_once('.').unwrap();
        let altered = self.claims_with("role", json!("viewer"));
        let altered = altered.rsplit_once('.').unwrap().0;
        // The last character holds two bits of the signature; the others of its six must be zero.
        let (head, last) = signature.split_at(signature.len() - 1);
        let respelled = char::from(last.as_bytes()[0] + 1);
        vec![
            ("an altered payload", format!("{altered}.{signature}")),
            ("no signature", format!("{message}.")),
            ("a truncated signature", format!("{message}.{head}")),
            ("half a signature", format!("{message}.{}", &signature[..signature.len() / 2])),
            ("a signature spelled otherwise", format!("{message}.{head}{respelled}")),
            ("a padded signature", format!("{}==", self.good)),
            ("two parts", message.to_owned()),
            ("four parts", format!("{}.{signature}", self.good)),
            ("two tokens", format!("{0}, {0}", self.good)),
            ("too long a token", format!("{}{}", self.good, "A".repeat(3_000))),
            ("dots", "..".to_owned()),
            ("a word", "token".to_owned()),
        ]
    }
}

/// Somebody who tries credentials.
struct Stranger {
    url: String,
    client: reqwest::Client,
}

impl Stranger {
    /// Status, challenge and body of a mutation by POST, and of a query by POST and by GET.
    async fn told(&self, authorization: &[&str]) -> Vec<(u16, Option<String>, Value)> {
        let post = |query| self.client.post(&self.url).json(&json!({ "query": query }));
        let get = reqwest::Url::parse_with_params(&self.url, [("query", LOOK)]).unwrap();
        let mut told = Vec::new();
        for mut request in [post(CHANGE), post(LOOK), self.client.get(get)] {
            for value in authorization {
                request = request.header(AUTHORIZATION, *value);
            }
            let answer = request.send().await.unwrap();
            let challenge = answer.headers().get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap().to_owned());
            let (status, mut body) = (answer.status().as_u16(), answer.json::<Value>().await.unwrap());
            if let Some(trace) = body.pointer_mut("/errors/0/extensions/traceId") {
                assert!(trace.take().is_string(), "{body}");
            }
            told.push((status, challenge, body));
        }
        told
    }
}

#[actix_web::test]
async fn c211_forged_tokens_are_answered_alike_and_run_nothing() {
    let api = Api::new().await;
    let session = enter_tenant(api.world.ports(), api.world.desk(), &api.ada, api.tenant).await.unwrap();
    let forge = Forge::of(&api, session.access_token);
    let served = Served::new(&api).await;
    let url = format!("http://{}/graphql", served.address);
    let stranger = Stranger { url, client: reqwest::Client::new() };

    // The forgeries differ in one thing each from tokens that are good; where keys are to be found is not read.
    let jku = forge.header_with("jku", json!("https://evil.example/keys"));
    for (made, good) in [&forge.good, &forge.moved(0), &jku].into_iter().enumerate() {
        let told = stranger.told(&[&format!("Bearer {good}")]).await;
        assert!(told.iter().all(|(status, ..)| *status == 200), "{told:?}");
        assert_eq!(api.world.number(BRANDS).await, i64::try_from(made).unwrap() + 1);
    }

    let forgeries: Forgeries = [forge.by_key(), forge.by_claim(), forge.by_text()].concat();
    assert!(forgeries.len() >= 14);
    let known = stranger.told(&["Bearer x"]).await;
    for (status, challenge, body) in &known {
        assert_eq!((*status, challenge.as_deref()), (401, Some("Bearer")), "{body}");
        assert_eq!(body["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "{body}");
        assert!(body.get("data").is_none(), "{body}");
    }
    let before = api.world.wall().statements();
    for (name, token) in &forgeries {
        assert_eq!(stranger.told(&[&format!("Bearer {token}")]).await, known, "{name}");
    }
    let good = format!("Bearer {}", forge.good);
    assert_eq!(stranger.told(&[&good, &good]).await, known, "two credentials");
    assert_eq!(stranger.told(&[&format!("Basic {}", forge.good)]).await, known, "another scheme");
    // What was verified before is not believed for longer.
    api.world.advance(AccessTokens::LIFETIME);
    assert_eq!(stranger.told(&[&good]).await, known, "ended");
    assert_eq!(api.world.wall().statements(), before, "no statement ran");
    assert_eq!(api.world.number(BRANDS).await, 3);
    served.stop().await;
}
