//! Reaching a bucket of S3, or of another store that speaks as it does.

use std::fmt;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::{ClientOptions, RetryConfig};

/// A bucket that is away is told so soon: whoever waits for it holds something.
const CONNECT: Duration = Duration::from_secs(5);
/// For one request, and for its repetitions.
const REQUEST: Duration = Duration::from_secs(30);

/// Name and secret of a key to a bucket; `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct BucketKey {
    /// Its name.
    pub id: String,
    /// The secret.
    pub secret: String,
}

impl fmt::Debug for BucketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BucketKey(..)")
    }
}

/// How a bucket is reached. What is not said here the usual `AWS_` variables say, with which clouds give their machines and
/// pods a role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BucketSettings {
    /// `https://` and the host of a store other than Amazon's.
    pub endpoint: Option<String>,
    /// Where the bucket lies.
    pub region: Option<String>,
    /// Whose it is.
    pub key: Option<BucketKey>,
    /// The bucket is a part of the host's name rather than of the path.
    pub in_host: bool,
}

impl BucketSettings {
    pub(super) fn open(&self, bucket: &str) -> object_store::Result<AmazonS3> {
        self.over(AmazonS3Builder::from_env(), bucket).build()
    }

    /// What is said here, over what the variables said.
    fn over(&self, variables: AmazonS3Builder, bucket: &str) -> AmazonS3Builder {
        let mut builder = variables
            .with_bucket_name(bucket)
            .with_client_options(ClientOptions::new().with_connect_timeout(CONNECT).with_timeout(REQUEST))
            .with_retry(RetryConfig { max_retries: 2, retry_timeout: REQUEST, ..RetryConfig::default() });
        // The style of an endpoint that the variables name is for them to say, too.
        if self.endpoint.is_some() || self.in_host {
            builder = builder.with_virtual_hosted_style_request(self.in_host);
        }
        if let Some(endpoint) = &self.endpoint {
            let (place, plain) = (self.place(endpoint, bucket), endpoint.starts_with("http://"));
            // AWS_ENDPOINT_URL_S3 has a place of its own, which would win over what is said here.
            builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, place).with_allow_http(plain);
        }
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        if let Some(key) = &self.key {
            builder = builder.with_access_key_id(&key.id).with_secret_access_key(&key.secret);
        }
        builder
    }

    /// The endpoint as the store's client wants it: with the bucket in the host's name, or without the bucket.
    fn place(&self, endpoint: &str, bucket: &str) -> String {
        let endpoint = endpoint.trim_end_matches('/');
        match endpoint.split_once("://") {
            Some((scheme, host)) if self.in_host => format!("{scheme}://{bucket}.{host}"),
            _ => endpoint.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_stands_in_the_host_or_in_the_path() {
        let settings = |in_host| BucketSettings { in_host, ..BucketSettings::default() };
        assert_eq!(settings(false).place("http://minio:9000/", "mail"), "http://minio:9000");
        assert_eq!(settings(true).place("https://s3.example.com", "mail"), "https://mail.s3.example.com");
    }

    #[test]
    fn variables_stand_but_for_what_is_said() {
        use AmazonS3ConfigKey::{S3Endpoint, VirtualHostedStyleRequest};
        let variables = || {
            let builder = AmazonS3Builder::new().with_virtual_hosted_style_request(true);
            builder.with_config(S3Endpoint, "https://mail.s3.example.com")
        };
        let settings = BucketSettings::default();
        let builder = settings.over(variables(), "mail");
        assert_eq!(builder.get_config_value(&S3Endpoint).as_deref(), Some("https://mail.s3.example.com"));
        assert_eq!(builder.get_config_value(&VirtualHostedStyleRequest).as_deref(), Some("true"));
        let endpoint = Some("https://minio.example.com".to_owned());
        let builder = BucketSettings { endpoint, ..settings }.over(variables(), "mail");
        assert_eq!(builder.get_config_value(&S3Endpoint).as_deref(), Some("https://minio.example.com"));
        assert_eq!(builder.get_config_value(&VirtualHostedStyleRequest).as_deref(), Some("false"));
    }

    #[test]
    fn a_bucket_is_opened_with_what_is_said_and_shows_no_secret() {
        let key = BucketKey { id: "carillon".to_owned(), secret: "hush".to_owned() };
        let settings = BucketSettings {
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            region: Some("eu-central-1".to_owned()),
            key: Some(key),
            in_host: false,
        };
        let store = settings.open("mail").unwrap();
        assert_eq!(store.to_string(), "AmazonS3(mail)");
        assert!(!format!("{settings:?}").contains("hush"));
    }
}
