//! Errors of remotes. Each has the location and a hint, and never contains credentials.

use crate::{AttemptFileError, CacheError, Digest, FileError, Untrusted};

use super::address::{Address, Provider};
use super::{VERSION, WORD};

/// The name of the list operation in messages. Listing fails if the location does not exist, and succeeds if it is
/// empty.
pub(super) const LIST: &str = "list";

/// An error of a remote.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The address is invalid.
    #[error(
        "{url:?} is not the address of a remote: {why} (expected s3://bucket/path, gs://bucket/path, \
         az://container/path or file:///path)"
    )]
    Url {
        /// The address, without passwords.
        url: String,
        /// The problem.
        why: String,
    },
    /// There are no credentials.
    #[error("no credentials for {url}: set {usual} in the environment")]
    Credentials {
        /// The remote's address.
        url: String,
        /// The usual variables.
        usual: &'static str,
    },
    /// It cannot be reached, or refuses.
    #[error("cannot {action} {place}: {why} ({way_out})")]
    Request {
        /// The failed operation, as a verb that follows "cannot".
        action: &'static str,
        /// The location.
        place: String,
        /// The reason given by the remote or the network.
        why: String,
        /// A hint on how to fix it.
        way_out: String,
    },
    /// Its folder, bucket or container does not exist.
    #[error("the {what} of the remote {url} does not exist: create it, or correct the address")]
    Absent {
        /// The remote's address.
        url: String,
        /// The kind of the missing thing.
        what: &'static str,
    },
    /// The location has other content.
    #[error("{url} is not a remote and not empty; choose a new or empty folder in it")]
    NotARemote {
        /// Its address.
        url: String,
    },
    /// A newer version created the remote, or its `FORMAT` is damaged.
    #[error(
        "the remote {url} has the format {found:?}, but this version supports \"{WORD} {VERSION}\"; use the version \
         that created it, or another address"
    )]
    Format {
        /// Its address.
        url: String,
        /// The format found there, as far as it can be shown.
        found: String,
    },
    /// The content of an object does not match its name.
    #[error(
        "the remote returned wrong bytes for artifact {}: {place} has the digest {} (to repair it, push from a store \
         that has the result)",
        digest.short(),
        found.short()
    )]
    WrongBytes {
        /// The artifact.
        digest: Digest,
        /// The digest of the received bytes.
        found: Digest,
        /// The object's address.
        place: String,
    },
    /// An object that a result refers to is missing, or has another size.
    #[error(
        "the remote lacks artifact {}, which a result refers to: {place} {what} (to repair it, push from a store \
         that has the result)",
        digest.short()
    )]
    Lacks {
        /// The artifact.
        digest: Digest,
        /// The object's address.
        place: String,
        /// In which way.
        what: String,
    },
    /// A record that is damaged.
    #[error(
        "the remote's record of a result cannot be used: {0} (to repair it, push from a store that has the result)"
    )]
    Record(#[from] AttemptFileError),
    /// A newer version wrote the record.
    #[error(
        "the record {place} has the format {found:?}, which this version does not support: use the version that \
         created it, or a newer one"
    )]
    NewerRecord {
        /// The record's address.
        place: String,
        /// The format found there, as far as it can be shown.
        found: String,
    },
    /// The record belongs to another key or attempt.
    #[error("the record {place} cannot be used: {what}")]
    OtherRecord {
        /// The record's address.
        place: String,
        /// In which way.
        what: String,
    },
    /// The result has no signature by a trusted key.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// Somebody asked for an end.
    #[error("stopped")]
    Stopped,
    /// The cache on this side.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A file on this side.
    #[error(transparent)]
    File(#[from] FileError),
}

impl RemoteError {
    /// Returns whether the error concerns a single result, so that other results can still be transferred.
    pub fn is_of_one_result(&self) -> bool {
        match self {
            Self::WrongBytes { .. }
            | Self::Lacks { .. }
            | Self::Record(_)
            | Self::NewerRecord { .. }
            | Self::OtherRecord { .. }
            | Self::Untrusted(_)
            | Self::Cache(CacheError::Object(
                crate::ObjectError::Missing { .. } | crate::ObjectError::Damaged { .. },
            )) => true,
            Self::Url { .. }
            | Self::Credentials { .. }
            | Self::Request { .. }
            | Self::Absent { .. }
            | Self::NotARemote { .. }
            | Self::Format { .. }
            | Self::Stopped
            | Self::Cache(_)
            | Self::File(_) => false,
        }
    }

    /// Returns whether the address or the environment is wrong, so that nothing was tried.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Url { .. } | Self::Credentials { .. })
    }

    /// The client cannot be created.
    pub(super) fn client(address: &Address, error: &object_store::Error) -> Self {
        let way_out = format!("check {} in the environment", address.provider.usual());
        Self::Request { action: "open", place: address.url.clone(), why: describe(error), way_out }
    }

    /// A request that failed.
    pub(super) fn request(address: &Address, action: &'static str, place: String, error: &object_store::Error) -> Self {
        let provider = address.provider;
        let why = describe(error);
        let is_absent = (action == LIST && matches!(error, object_store::Error::NotFound { .. }))
            || ["NoSuchBucket", "ContainerNotFound"].iter().any(|code| why.ends_with(code));
        if is_absent && provider != Provider::Folder {
            return Self::Absent { url: address.url.clone(), what: provider.container() };
        }
        let is_refused =
            matches!(error, object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. });
        let way_out = match provider {
            Provider::Folder => "check its owner and mode, and that its file system can be written".to_owned(),
            _ if is_refused => {
                let container = provider.container();
                format!("check {}, and their permissions for the {container}", provider.usual())
            }
            _ => format!("check the address, {} and the network", provider.endpoint()),
        };
        Self::Request { action, place, why, way_out }
    }
}

/// Returns the innermost error message. Outer messages repeat addresses, which may be signed, and response bodies,
/// which may contain credentials.
fn describe(error: &object_store::Error) -> String {
    let mut bottom: &dyn std::error::Error = error;
    while let Some(source) = bottom.source() {
        bottom = source;
    }
    let text = bottom.to_string();
    let Some((_, answer)) = text.split_once("status code: ") else {
        return text.lines().next().unwrap_or_default().to_owned();
    };
    let status = answer.split(':').next().unwrap_or(answer).trim();
    let code = answer.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
    match code {
        Some(code) if code.chars().all(|letter| letter.is_ascii_alphanumeric()) => {
            format!("the server answered {status}, {code}")
        }
        _ => format!("the server answered {status}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn message_has_only_status_and_code_of_a_response() {
        let body = "Server returned non-2xx status code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code>\
                    <AWSAccessKeyId>KEY</AWSAccessKeyId></Error>";
        let error = object_store::Error::PermissionDenied { path: "p".into(), source: body.into() };
        assert_eq!(describe(&error), "the server answered 403 Forbidden, SignatureDoesNotMatch");
        let address = Address::parse("s3://bucket/p").unwrap();
        let text = RemoteError::request(&address, "read", "s3://bucket/p/FORMAT".into(), &error).to_string();
        assert!(text.contains("s3://bucket/p/FORMAT") && text.contains("AWS_SECRET_ACCESS_KEY"), "{text}");
        assert!(!text.contains("<"), "{text}");
    }
}
