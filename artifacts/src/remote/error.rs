//! What can go wrong with a remote: always with its place and the way out, and never with a credential.

use crate::{AttemptFileError, CacheError, Digest, FileError, Untrusted};

use super::address::{Address, Provider};
use super::{VERSION, WORD};

/// What listing is called in messages. A place that is not there cannot be listed, an empty one can.
pub(super) const LIST: &str = "list";

/// What can go wrong with a remote.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// An address that is none.
    #[error(
        "{url:?} is no address of a remote: {why} (expected s3://bucket/path, gs://bucket/path, az://container/path or \
         file:///path)"
    )]
    Url {
        /// The address, without what may be a password.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing says who is asking.
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
        /// What was tried, as a verb that fits after "cannot".
        action: &'static str,
        /// On what.
        place: String,
        /// What the remote, or the way to it, said.
        why: String,
        /// What a person can do about it.
        way_out: String,
    },
    /// Its folder, bucket or container is not there.
    #[error("the {what} of the remote {url} does not exist: make it, or correct the address")]
    Absent {
        /// The remote's address.
        url: String,
        /// What is not there.
        what: &'static str,
    },
    /// The place holds something else.
    #[error("{url} is no remote, and not empty: nothing was touched; name a new or empty folder in it")]
    NotARemote {
        /// Its address.
        url: String,
    },
    /// A newer version made it, or its FORMAT is damaged.
    #[error(
        "the remote {url} says that its format is {found:?}, and this version knows \"{WORD} {VERSION}\": nothing was \
         touched; use the version that made it, or another address"
    )]
    Format {
        /// Its address.
        url: String,
        /// What it says of itself, as far as it can be shown.
        found: String,
    },
    /// An object that is not what its name says.
    #[error(
        "the remote returned wrong bytes for artifact {}: {place} has the digest {} (a push from a store that has the \
         result mends it)",
        digest.short(),
        found.short()
    )]
    WrongBytes {
        /// The artifact.
        digest: Digest,
        /// The digest of what came.
        found: Digest,
        /// The object's address.
        place: String,
    },
    /// An object that a result mentions and that is not there, or has another size.
    #[error(
        "the remote lacks artifact {}, which a result mentions: {place} {what} (a push from a store that has the \
         result mends it)",
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
    #[error("the remote's record of a result cannot be used: {0} (a push from a store that has the result mends it)")]
    Record(#[from] AttemptFileError),
    /// A record that a newer version made.
    #[error(
        "the record {place} has the format {found:?}, which this version does not know: use the version that made it, \
         or a newer one"
    )]
    NewerRecord {
        /// The record's address.
        place: String,
        /// What it says of itself, as far as it can be shown.
        found: String,
    },
    /// A record of something else than what was asked for.
    #[error("the record {place} is of no use here: {what}")]
    OtherRecord {
        /// The record's address.
        place: String,
        /// In which way.
        what: String,
    },
    /// A result that nobody who is trusted vouches for.
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
    /// Returns whether it is about one result alone, and others may still come or go.
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

    /// Returns whether the address or the environment is wrong, and nothing was tried.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Url { .. } | Self::Credentials { .. })
    }

    /// A client that cannot be made.
    pub(super) fn client(address: &Address, error: &object_store::Error) -> Self {
        let way_out = format!("check {} in the environment", address.provider.usual());
        Self::Request { action: "open", place: address.url.clone(), why: said(error), way_out }
    }

    /// A request that failed.
    pub(super) fn request(address: &Address, action: &'static str, place: String, error: &object_store::Error) -> Self {
        let provider = address.provider;
        let why = said(error);
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
                format!("check {}, and what they may do with the {container}", provider.usual())
            }
            _ => format!("check the address, {} and the network", provider.endpoint()),
        };
        Self::Request { action, place, why, way_out }
    }
}

/// Returns what lies at the bottom of an error: what is above it repeats addresses, which may be signed, and bodies of
/// answers, which repeat who was asking.
fn said(error: &object_store::Error) -> String {
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
    fn of_an_answer_only_status_and_code_are_repeated() {
        let body = "Server returned non-2xx status code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code>\
                    <AWSAccessKeyId>KEY</AWSAccessKeyId></Error>";
        let error = object_store::Error::PermissionDenied { path: "p".into(), source: body.into() };
        assert_eq!(said(&error), "the server answered 403 Forbidden, SignatureDoesNotMatch");
        let address = Address::parse("s3://bucket/p").unwrap();
        let text = RemoteError::request(&address, "read", "s3://bucket/p/FORMAT".into(), &error).to_string();
        assert!(text.contains("s3://bucket/p/FORMAT") && text.contains("AWS_SECRET_ACCESS_KEY"), "{text}");
        assert!(!text.contains("<"), "{text}");
    }
}
