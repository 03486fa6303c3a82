//! Reaching a bucket of S3, or of another store that speaks as it does.

use std::fmt;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
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
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_client_options(ClientOptions::new().with_connect_timeout(CONNECT).with_timeout(REQUEST))
            .with_retry(RetryConfig { max_retries: 2, retry_timeout: REQUEST, ..RetryConfig::default() })
            .with_virtual_hosted_style_request(self.in_host);
        if let Some(endpoint) = &self.endpoint {
            let plain = endpoint.starts_with("http://");
            builder = builder.with_endpoint(self.place(endpoint, bucket)).with_allow_http(plain);
        }
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        if let Some(key) = &self.key {
            builder = builder.with_access_key_id(&key.id).with_secret_access_key(&key.secret);
        }
        builder.build()
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
