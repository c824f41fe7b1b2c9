//! Addresses of remotes, and the clients for them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, ObjectStoreScheme, RetryConfig};
use url::Url;

use super::RemoteError;

/// Timeouts for connecting and for a complete request.
const CONNECT: Duration = Duration::from_secs(10);
const REQUEST: Duration = Duration::from_secs(120);

/// Number of retries of a request that the server could not answer, and their total time limit.
const RETRIES: usize = 4;
const RETRY_FOR: Duration = Duration::from_secs(30);

/// A valid address of a remote.
#[derive(Debug)]
pub(super) struct Address {
    /// As it was given, without a slash at its end.
    pub url: String,
    /// Where the remote begins in its bucket, container or file system.
    pub prefix: Path,
    pub provider: Provider,
}

/// The storage provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Provider {
    Folder,
    AmazonS3,
    GoogleCloud,
    Azure,
}

impl Provider {
    /// Returns the prefix of the provider's environment variables.
    fn variables(self) -> &'static str {
        match self {
            Self::Folder => "",
            Self::AmazonS3 => "AWS_",
            Self::GoogleCloud => "GOOGLE_",
            Self::Azure => "AZURE_",
        }
    }

    /// Returns sets of variables, at least one of which must be set to provide credentials. The usual ones come first.
    fn credentials(self) -> &'static [&'static str] {
        match self {
            Self::Folder => &[],
            Self::AmazonS3 => &[
                "AWS_ACCESS_KEY_ID",
                "AWS_WEB_IDENTITY_TOKEN_FILE",
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                "AWS_METADATA_ENDPOINT",
                "AWS_SKIP_SIGNATURE",
            ],
            Self::GoogleCloud => &[
                "GOOGLE_APPLICATION_CREDENTIALS",
                "GOOGLE_SERVICE_ACCOUNT",
                "GOOGLE_SERVICE_ACCOUNT_PATH",
                "GOOGLE_SERVICE_ACCOUNT_KEY",
                "GOOGLE_BEARER_TOKEN",
                "GOOGLE_SKIP_SIGNATURE",
            ],
            Self::Azure => &[
                "AZURE_STORAGE_ACCOUNT_KEY",
                "AZURE_STORAGE_ACCESS_KEY",
                "AZURE_STORAGE_SAS_TOKEN",
                "AZURE_STORAGE_SAS_KEY",
                "AZURE_STORAGE_TOKEN",
                "AZURE_CLIENT_ID",
                "AZURE_FEDERATED_TOKEN_FILE",
                "AZURE_MSI_ENDPOINT",
                "AZURE_USE_AZURE_CLI",
                "AZURE_STORAGE_USE_EMULATOR",
                "AZURE_SKIP_SIGNATURE",
            ],
        }
    }

    /// Returns the usual variables, for display.
    pub(super) fn usual(self) -> &'static str {
        match self {
            Self::Folder => "",
            Self::AmazonS3 => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            Self::GoogleCloud => "GOOGLE_APPLICATION_CREDENTIALS",
            Self::Azure => "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
        }
    }

    /// Returns the variable that names another server than the provider's own.
    pub(super) fn endpoint(self) -> &'static str {
        match self {
            Self::Folder => "",
            Self::AmazonS3 => "AWS_ENDPOINT_URL",
            Self::GoogleCloud => "GOOGLE_BASE_URL",
            Self::Azure => "AZURE_STORAGE_ENDPOINT",
        }
    }

    /// Returns the provider's word for a container of objects.
    pub(super) fn container(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::AmazonS3 | Self::GoogleCloud => "bucket",
            Self::Azure => "container",
        }
    }
}

impl Address {
    /// Parses an address.
    ///
    /// # Errors
    /// Returns [`RemoteError::Url`], without passwords, if the address is invalid.
    pub(super) fn parse(text: &str) -> Result<Self, RemoteError> {
        let wrong = |why: &str| RemoteError::Url { url: without_secrets(text), why: why.to_owned() };
        let url = Url::parse(text).map_err(|error| match error {
            url::ParseError::RelativeUrlWithoutBase => wrong("it has no scheme"),
            error => wrong(&error.to_string()),
        })?;
        // Azure writes `abfs://container@account/…`. A password is not part of an address.
        if url.password().is_some() || (!url.username().is_empty() && !url.scheme().starts_with("abfs")) {
            return Err(wrong("credentials are taken from the environment, not from the address"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it must end with the path (write `?` as %3F, `#` as %23)"));
        }
        let unknown = || wrong("addresses of this kind are not supported");
        let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(|_| unknown())?;
        let provider = match scheme {
            ObjectStoreScheme::Local => Provider::Folder,
            ObjectStoreScheme::AmazonS3 => Provider::AmazonS3,
            ObjectStoreScheme::GoogleCloudStorage => Provider::GoogleCloud,
            ObjectStoreScheme::MicrosoftAzure => Provider::Azure,
            _ => return Err(unknown()),
        };
        let names_nothing = match provider {
            Provider::Folder => prefix.as_ref().is_empty(),
            _ => url.host_str().is_none_or(str::is_empty),
        };
        if names_nothing {
            return Err(wrong(&format!("it has no {}", provider.container())));
        }
        Ok(Self { url: text.trim_end_matches('/').to_owned(), prefix, provider })
    }

    /// Returns the folder, if it is one.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        match self.provider {
            Provider::Folder => Url::parse(&self.url).ok()?.to_file_path().ok(),
            _ => None,
        }
    }

    /// Creates the client, configured by the environment.
    ///
    /// # Errors
    /// Returns [`RemoteError::Credentials`] if credentials are missing or unusable, and [`RemoteError::Url`] if the
    /// address is invalid.
    pub(super) fn connect(
        &self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Arc<dyn ObjectStore>, RemoteError> {
        let provider = self.provider;
        if provider == Provider::Folder {
            return Ok(Arc::new(LocalFileSystem::new().with_fsync(true)));
        }
        let ours = |(name, value): &(String, String)| name.starts_with(provider.variables()) && !value.is_empty();
        let options: Vec<(String, String)> = environment.into_iter().filter(ours).collect();
        let credentials = provider.credentials();
        if !options.iter().any(|(name, _)| credentials.contains(&name.as_str())) {
            return Err(RemoteError::Credentials { url: self.url.clone(), usual: provider.usual() });
        }
        // This fails only if another provider is already installed, which works too.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let retry = RetryConfig { backoff: BackoffConfig::default(), max_retries: RETRIES, retry_timeout: RETRY_FOR };
        // An explicit http:// address allows plain HTTP.
        let plain =
            options.iter().any(|(name, value)| name.starts_with(provider.endpoint()) && value.starts_with("http://"));
        let client = ClientOptions::new().with_connect_timeout(CONNECT).with_timeout(REQUEST).with_allow_http(plain);
        /// Each builder has its own type of configuration keys.
        macro_rules! build {
            ($builder:ty) => {{
                let builder = <$builder>::new().with_url(&self.url).with_client_options(client).with_retry(retry);
                let builder = options.into_iter().fold(builder, |builder, (name, value)| {
                    match name.to_ascii_lowercase().parse() {
                        Ok(key) => builder.with_config(key, value),
                        Err(_) => builder,
                    }
                });
                builder.build().map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
            }};
        }
        let built = match provider {
            Provider::GoogleCloud => build!(GoogleCloudStorageBuilder),
            Provider::Azure => build!(MicrosoftAzureBuilder),
            Provider::AmazonS3 | Provider::Folder => build!(AmazonS3Builder),
        };
        built.map_err(|error| RemoteError::client(self, &error))
    }
}

/// Returns an address that is safe to print: everything that might be a password is removed.
fn without_secrets(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}…{}", &text[..scheme + 3], &text[at..]),
        (None, Some(at)) => format!("…{}", &text[at..]),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_have_a_provider_and_a_prefix() {
        let cases = [
            ("s3://bucket/a/b/", Provider::AmazonS3, "a/b"),
            ("gs://bucket", Provider::GoogleCloud, ""),
            ("az://container/a", Provider::Azure, "a"),
            ("abfss://container@account.dfs.core.windows.net/a", Provider::Azure, "a"),
            ("file:///srv/a%20b", Provider::Folder, "srv/a b"),
        ];
        for (url, provider, prefix) in cases {
            let address = Address::parse(url).unwrap();
            assert_eq!((address.provider, address.prefix.as_ref()), (provider, prefix), "{url}");
            assert!(!address.url.ends_with('/'));
        }
        assert_eq!(Address::parse("file:///srv/a%20b").unwrap().folder().unwrap(), PathBuf::from("/srv/a b"));
    }

    #[test]
    fn invalid_addresses_are_rejected_without_repeating_passwords() {
        for url in
            ["", "nonsense", "ftp://host/path", "http://host/path", "s3:///", "/a/path", "file:///", "file://a/b"]
        {
            assert!(matches!(Address::parse(url), Err(RemoteError::Url { .. })), "{url}");
        }
        for url in [
            "s3://key:secret@bucket/p",
            "s3://secret@bucket/p",
            "az://c/p?sig=secret",
            "ftp://a:secret@b",
            "a:secret@b",
        ] {
            let error = Address::parse(url).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn missing_credentials_fail_without_a_request() {
        for (url, usual) in [
            ("s3://bucket/a", "AWS_ACCESS_KEY_ID"),
            ("gs://bucket", "GOOGLE_APPLICATION_CREDENTIALS"),
            ("az://container", "AZURE_STORAGE_ACCOUNT_KEY"),
        ] {
            let token = ("TOKEN".to_owned(), "of another program".to_owned());
            let error = Address::parse(url).unwrap().connect([token]).unwrap_err().to_string();
            assert!(error.contains(url) && error.contains(usual), "{error}");
        }
    }
}
