//! Pushes to an S3 server and pulls from it. `ci/with-s3` starts the server and sets `TFNAS_TEST_BUCKET`.

use std::sync::Arc;

use object_store::ObjectStoreExt;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use tfnas_artifacts::{Attempt, Pushed, Pusher, Remote, RemoteError, TrustError, Untrusted};
use tfnas_attestations::keys::SigningKey;

use crate::remote::{Sites, pull, several_parts};
use crate::remote_trust::trusting;
use crate::work::{make, manifest, new_run, out};

fn bucket() -> String {
    std::env::var("TFNAS_TEST_BUCKET").expect("`ci/with-s3` starts a server and names its bucket")
}

/// Returns the environment with other values for some variables.
fn environment(changed: &[(&str, &str)]) -> Vec<(String, String)> {
    let kept = std::env::vars().filter(|(name, _)| changed.iter().all(|(other, _)| name != other));
    kept.chain(changed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).collect()
}

fn open(prefix: &str, changed: &[(&str, &str)]) -> Result<Remote, RemoteError> {
    Remote::open(&format!("s3://{}/{prefix}", bucket()), environment(changed), Arc::default())
}

#[test]
#[ignore = "needs a server: ci/with-s3"]
fn s3_stores_and_returns_results() {
    let sites = Sites::new();
    let small = sites.make(&manifest("split", 1, &[]), vec![1; 1000]);
    let large = sites.make(&manifest("train", 1, &[]), several_parts());
    let remote = open("a path/results", &[]).unwrap();
    assert!(remote.is_empty());
    let pusher = Pusher::new(&remote, &sites.here);
    for result in [&small, &large] {
        let pushed = pusher.push(result, &|_| {}).unwrap();
        assert_eq!(pushed, Pushed { recorded: true, objects: 1, bytes: result.outputs[0].bytes, signatures: 0 });
        assert!(pusher.push(result, &|_| {}).unwrap().is_nothing());
    }
    let remote = open("a path/results", &[]).unwrap();
    assert_eq!(remote.keys().unwrap().len(), 2);
    for result in [&small, &large] {
        let pulled = pull(&remote, &sites.there, &result.key);
        assert!(pulled.refused.is_empty());
        let found = pulled.result.unwrap();
        assert_eq!((&found.outputs, found.remote.as_deref()), (&result.outputs, Some(remote.url())));
        sites.there.open_verified(&out(&found)).unwrap();
    }
}

#[test]
#[ignore = "needs a server: ci/with-s3"]
fn s3_wrong_bytes_are_found_by_pull_and_push() {
    let sites = Sites::new();
    let result = sites.make(&manifest("split", 2, &[]), vec![2; 1000]);
    let remote = open("damaged", &[]).unwrap();
    Pusher::new(&remote, &sites.here).push(&result, &|_| {}).unwrap();
    let client = AmazonS3Builder::from_env().with_bucket_name(bucket()).with_allow_http(true).build().unwrap();
    let name = out(&result).to_string();
    let object = Path::from(format!("damaged/objects/{}/{}", &name[..2], &name[2..]));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(client.put(&object, vec![3; 1000].into())).unwrap();
    let pulled = pull(&remote, &sites.there, &result.key);
    assert!(matches!(pulled.refused[..], [RemoteError::WrongBytes { .. }]), "{pulled:?}");
    // The same store has seen the valid object, with another ETag.
    let pushed = Pusher::new(&remote, &sites.here).push(&result, &|_| {}).unwrap();
    assert_eq!((pushed.recorded, pushed.objects), (false, 1));
    pull(&remote, &sites.there, &result.key).result.unwrap();
}

#[test]
#[ignore = "needs a server: ci/with-s3"]
fn s3_stores_signatures_next_to_results() {
    let sites = Sites::new();
    let key = SigningKey::generate().unwrap();
    let there = trusting(&sites, &[&key]);
    let result = sites.make(&manifest("split", 3, &[]), vec![3; 1000]);
    let remote = open("signed", &[]).unwrap();
    Pusher::new(&remote, &sites.here).push(&result, &|_| {}).unwrap();
    let pulled = pull(&remote, &there, &result.key);
    let [RemoteError::Untrusted(Untrusted { place, why: TrustError::Unsigned })] = &pulled.refused[..] else {
        panic!("{pulled:?}")
    };
    assert!(place.starts_with("s3://") && place.contains(result.id.as_str()), "{place}");
    let pusher = Pusher::new(&remote, &sites.here).signing(Some(&key));
    assert_eq!(pusher.push(&result, &|_| {}).unwrap(), Pushed { signatures: 1, ..Pushed::default() });
    assert!(pusher.push(&result, &|_| {}).unwrap().is_nothing());
    assert_eq!(pull(&remote, &there, &result.key).result.unwrap().id, result.id);
}

#[test]
#[ignore = "needs a server: ci/with-s3"]
fn s3_errors_have_hints() {
    let wrong = [("AWS_SECRET_ACCESS_KEY", "a-wrong-secret")];
    let unknown = [("AWS_ACCESS_KEY_ID", "nobody")];
    for changed in [&wrong, &unknown] {
        let error = open("refused", changed).unwrap_err().to_string();
        for words in ["/refused/FORMAT", "403", "AWS_SECRET_ACCESS_KEY"] {
            assert!(error.contains(words), "{words} is missing from {error}");
        }
        assert!(!error.contains("a-wrong-secret") && !error.contains("nobody"), "{error}");
    }
    let error = Remote::open("s3://no-such-bucket/path", environment(&[]), Arc::default()).unwrap_err();
    assert!(matches!(error, RemoteError::Absent { what: "bucket", .. }), "{error}");
}

#[test]
#[ignore = "needs a server: ci/with-s3"]
fn read_only_s3_allows_pulls_and_rejects_pushes() {
    let sites = Sites::new();
    let result = sites.make(&manifest("split", 3, &[]), vec![3; 1000]);
    let writer = open("read", &[]).unwrap();
    Pusher::new(&writer, &sites.here).push(&result, &|_| {}).unwrap();
    let reader = open("read", &[("AWS_ACCESS_KEY_ID", "readkey"), ("AWS_SECRET_ACCESS_KEY", "readsecret")]).unwrap();
    assert!(Pusher::new(&reader, &sites.here).push(&result, &|_| {}).unwrap().is_nothing());
    pull(&reader, &sites.there, &result.key).result.unwrap();
    let other = sites.make(&manifest("split", 4, &[]), vec![4; 1000]);
    let error = Pusher::new(&reader, &sites.here).push(&other, &|_| {}).unwrap_err().to_string();
    assert!(error.contains("cannot write s3://") && error.contains("403"), "{error}");
}

#[test]
#[ignore = "needs a server: ci/with-s3"]
fn s3_accepts_concurrent_pushes_of_the_same_results() {
    let sites = Sites::new();
    let run = sites.here.begin_run(&new_run()).unwrap();
    let results: Vec<Attempt> =
        (10..14).map(|number| make(&sites.here, &run, "split", &manifest("split", number, &[]))).collect();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let remote = open("together", &[]).unwrap();
                let pusher = Pusher::new(&remote, &sites.here);
                for result in &results {
                    pusher.push(result, &|_| {}).unwrap();
                }
            });
        }
    });
    let remote = open("together", &[]).unwrap();
    assert_eq!(remote.keys().unwrap().len(), results.len());
    for result in &results {
        pull(&remote, &sites.there, &result.key).result.unwrap();
    }
}
