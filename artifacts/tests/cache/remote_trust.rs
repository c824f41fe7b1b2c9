//! Signed results. Results of a compromised remote are refused; results signed by a trusted key are used.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tfnas_artifacts::{Attempt, Cache, Digest, Pulled, Pushed, Pusher, Retention, Trust};
use tfnas_attestations::dsse::Envelope;
use tfnas_attestations::keys::SigningKey;

use crate::remote::{Sites, pull};
use crate::work::{make, manifest, new_run, out};
use tfnas_testutils::damage::damaged;

/// Two stores that share a remote, and results in the first store. The second store trusts one key.
struct Signed {
    sites: Sites,
    key: SigningKey,
    there: Cache,
    results: Vec<Attempt>,
}

impl Signed {
    /// Makes the results but does not push them.
    fn new() -> Self {
        let sites = Sites::new();
        let key = SigningKey::generate().unwrap();
        let run = sites.here.begin_run(&new_run()).unwrap();
        let results = (0..2).map(|number| make(&sites.here, &run, "split", &manifest("split", number, &[]))).collect();
        let there = trusting(&sites, &[&key]);
        Self { sites, key, there, results }
    }

    /// Makes the results, pushes them and signs them.
    fn pushed() -> Self {
        let signed = Self::new();
        signed.push(Some(&signed.key));
        signed
    }

    fn push(&self, key: Option<&SigningKey>) -> Vec<Pushed> {
        let remote = self.sites.remote();
        let pusher = Pusher::new(&remote, &self.sites.here).signing(key);
        self.results.iter().map(|result| pusher.push(result, &|_| {}).unwrap()).collect()
    }

    fn pull(&self, number: usize) -> Pulled {
        pull(&self.sites.remote(), &self.there, &self.results[number].key)
    }

    fn record(&self, number: usize) -> PathBuf {
        self.sites.record(&self.results[number])
    }

    /// Returns the signature file of a result for a key.
    fn signature(&self, number: usize, key: &SigningKey) -> PathBuf {
        self.record(number).with_extension(format!("{}.sig", key.public().fingerprint()))
    }

    /// Checks that the first result is refused with these words, that the message names its record, and that only the
    /// reason is kept.
    fn assert_refused(&self, words: &str) {
        let pulled = self.pull(0);
        assert!(pulled.result.is_none(), "{words}");
        let message = pulled.refused[0].to_string();
        assert!(message.contains(words), "{words}: {message}");
        assert!(
            message.contains(&format!("{}.json", self.results[0].id)) && message.contains("is not used"),
            "{message}"
        );
        let found = self.there.find(&self.results[0].key).unwrap();
        assert!(found.result.is_none());
        assert_eq!(found.untrusted.iter().map(ToString::to_string).collect::<Vec<_>>(), [message]);
        assert!(self.there.ledger().attempts_of(&self.results[0].key).unwrap().is_empty());
        assert!(self.there.verify(&|_| {}).unwrap().is_sound());
    }

    /// Checks that the first result is pulled and used.
    fn assert_used(&self) {
        let pulled = self.pull(0);
        assert_eq!(pulled.result.unwrap().id, self.results[0].id);
        let found = self.there.find(&self.results[0].key).unwrap();
        assert_eq!(found.result.unwrap().id, self.results[0].id);
        assert!(found.untrusted.is_empty());
    }

    /// Changes the first record.
    fn alter(&self, change: impl Fn(&mut Value)) {
        let mut record: Value = serde_json::from_slice(&fs::read(self.record(0)).unwrap()).unwrap();
        change(&mut record["attempt"]);
        fs::write(self.record(0), serde_json::to_vec_pretty(&record).unwrap()).unwrap();
    }
}

/// Opens the second store so that it uses only results signed by these keys.
pub fn trusting(sites: &Sites, keys: &[&SigningKey]) -> Cache {
    let trust = Trust::in_keys(keys.iter().map(|key| key.public()).collect());
    Cache::open(sites.there.store().root()).unwrap().trusting(Some(trust))
}

/// Writes an object to the remote and returns its digest.
fn plant(sites: &Sites, bytes: &[u8]) -> Digest {
    let digest = Digest::of_bytes(bytes);
    let name = digest.to_string();
    let folder = sites.shared().join("objects").join(&name[..2]);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(&name[2..]), bytes).unwrap();
    digest
}

#[test]
fn result_signed_by_a_trusted_key_is_used() {
    let signed = Signed::pushed();
    signed.assert_used();
    let envelope = Envelope::from_json(&fs::read(signed.signature(0, &signed.key)).unwrap()).unwrap();
    let payload = envelope.verify("application/vnd.in-toto+json", &signed.key.public()).unwrap();
    let statement: Value = serde_json::from_slice(payload).unwrap();
    let result = &signed.results[0];
    assert_eq!(statement["predicate"]["key"], json!(result.key));
    assert_eq!(statement["predicate"]["outputs"], json!(result.outputs));
    assert_eq!(statement["predicate"]["environment"], result.environment);
    assert_eq!(statement["subject"][0]["name"], format!("{}.json", result.id));
    let other = SigningKey::generate().unwrap();
    assert!(trusting(&signed.sites, &[&other, &signed.key]).find(&result.key).unwrap().result.is_some());
    let found = trusting(&signed.sites, &[&other]).find(&result.key).unwrap();
    assert!(found.result.is_none());
    let message = found.untrusted[0].to_string();
    assert!(message.contains(result.id.as_str()) && message.contains("pulled from file://"), "{message}");
    assert!(message.contains("not by a trusted key"), "{message}");
    assert!(trusting(&signed.sites, &[]).find(&result.key).unwrap().result.is_none());
}

#[test]
fn altered_record_is_refused() {
    let signed = Signed::pushed();
    let original = fs::read(signed.record(0)).unwrap();
    let planted = plant(&signed.sites, b"poison");
    let changes: [&dyn Fn(&mut Value); 5] = [
        &|record| record["metrics"]["top1"] = json!(0.99),
        &|record| record["environment"]["cpu"] = json!("another"),
        &|record| record["host"] = json!("elsewhere"),
        &|record| record["outputs"][0] = json!({"name": "out", "digest": planted, "bytes": 6}),
        &|record| record["tool"] = json!("other"),
    ];
    for change in changes {
        fs::write(signed.record(0), &original).unwrap();
        signed.alter(change);
        signed.assert_refused("was altered, or the signature was copied");
    }
    // A single space that does not change the JSON value is enough.
    fs::write(signed.record(0), [&original[..], b" "].concat()).unwrap();
    signed.assert_refused("was altered, or the signature was copied");
    assert!(signed.push(Some(&signed.key))[0].recorded);
    assert_eq!(fs::read(signed.record(0)).unwrap(), original);
    signed.assert_used();
}

#[test]
fn signature_of_another_result_or_by_another_key_is_invalid() {
    let signed = Signed::pushed();
    let signature = signed.signature(0, &signed.key);
    let original = fs::read(&signature).unwrap();
    fs::copy(signed.signature(1, &signed.key), &signature).unwrap();
    signed.assert_refused("was altered, or the signature was copied");
    let other = SigningKey::generate().unwrap();
    signed.push(Some(&other));
    fs::copy(signed.signature(0, &other), &signature).unwrap();
    signed.assert_refused("not valid");
    fs::remove_file(&signature).unwrap();
    signed.assert_refused("not by a trusted key");
    signed.assert_refused(&other.public().fingerprint().to_string()[..16]);
    fs::remove_file(signed.signature(0, &other)).unwrap();
    signed.assert_refused("it is not signed");
    for cut in [0, 1, original.len() / 2, original.len() - 5] {
        fs::write(&signature, &original[..cut]).unwrap();
        signed.assert_refused("not valid");
    }
    fs::write(&signature, vec![b' '; 2 << 20]).unwrap();
    signed.assert_refused("not valid");
    let pushed = signed.push(Some(&signed.key));
    assert_eq!((pushed[0].signatures, pushed[0].recorded, pushed[1].is_nothing()), (1, false, true));
    signed.assert_used();
}

#[test]
fn damage_never_changes_the_accepted_result() {
    let signed = Signed::pushed();
    let (record, signature) = (signed.record(0), signed.signature(0, &signed.key));
    let (original, original_signature) = (fs::read(&record).unwrap(), fs::read(&signature).unwrap());
    for index in 0..300 {
        fs::write(&record, damaged(&original, index)).unwrap();
        let pulled = signed.pull(0);
        assert!(pulled.result.is_none() || damaged(&original, index) == original, "record, damage {index}");
        fs::write(&record, &original).unwrap();
        fs::write(&signature, damaged(&original_signature, index)).unwrap();
        if let Some(pulled) = signed.pull(0).result {
            // The damage is in the key name, which is not trusted, or in whitespace. The signed content is the same.
            assert_eq!((&pulled.outputs, &pulled.metrics), (&signed.results[0].outputs, &signed.results[0].metrics));
        }
        fs::write(&signature, &original_signature).unwrap();
    }
    signed.assert_used();
}

#[test]
fn signed_result_under_another_key_is_refused() {
    let signed = Signed::pushed();
    let folder = signed.record(0).parent().unwrap().to_owned();
    fs::remove_file(signed.record(0)).unwrap();
    for file in [signed.record(1), signed.signature(1, &signed.key)] {
        fs::copy(&file, folder.join(file.file_name().unwrap())).unwrap();
    }
    let pulled = signed.pull(0);
    assert!(pulled.result.is_none());
    assert!(pulled.refused[0].to_string().contains("not a result of its key"), "{}", pulled.refused[0]);
}

#[test]
fn later_pushes_sign_results_with_further_keys() {
    let signed = Signed::new();
    assert!(signed.push(None).iter().all(|pushed| pushed.recorded && pushed.signatures == 0));
    signed.assert_refused("it is not signed");
    let offered = signed.sites.remote();
    let pusher = Pusher::new(&offered, &signed.sites.here).signing(Some(&signed.key));
    assert_eq!(pusher.compare(&signed.results[0]).unwrap().signatures, 1);
    let expected = Pushed { signatures: 1, ..Pushed::default() };
    assert_eq!(signed.push(Some(&signed.key)), [expected, expected]);
    assert!(signed.push(Some(&signed.key)).iter().all(Pushed::is_nothing));
    assert_eq!(signed.push(Some(&SigningKey::generate().unwrap())), [expected, expected]);
    assert!(signed.push(None).iter().all(Pushed::is_nothing));
    signed.assert_used();
}

#[test]
fn untrusted_result_is_not_used_until_it_is_pulled_again() {
    let signed = Signed::pushed();
    let original = fs::read(signed.record(0)).unwrap();
    signed.alter(|record| record["metrics"]["top1"] = json!(0.99));
    let key = &signed.results[0].key;
    assert!(pull(&signed.sites.remote(), &signed.sites.there, key).result.is_some());
    assert_eq!(signed.sites.there.find(key).unwrap().result.unwrap().metrics["top1"], 0.99);
    let found = signed.there.find(key).unwrap();
    assert!(found.result.is_none() && found.untrusted[0].to_string().contains("not signed"), "{:?}", found.untrusted);
    fs::write(signed.record(0), original).unwrap();
    signed.assert_used();
    assert_eq!(signed.there.find(key).unwrap().result.unwrap().metrics, signed.results[0].metrics);
}

#[test]
fn pulled_result_is_pushed_with_its_signature_only() {
    let signed = Signed::pushed();
    signed.assert_used();
    let second = Sites::new();
    let own = SigningKey::generate().unwrap();
    let pulled = signed.there.find(&signed.results[0].key).unwrap().result.unwrap();
    let remote = second.remote();
    let pushed = Pusher::new(&remote, &signed.there).signing(Some(&own)).push(&pulled, &|_| {}).unwrap();
    assert_eq!((pushed.recorded, pushed.signatures), (true, 1));
    assert!(pull(&remote, &trusting(&second, &[&own]), &pulled.key).result.is_none());
    assert!(pull(&remote, &trusting(&second, &[&signed.key]), &pulled.key).result.is_some());
}

#[test]
fn newer_unsigned_results_do_not_hide_a_signed_one() {
    let signed = Signed::pushed();
    let text = fs::read_to_string(signed.record(0)).unwrap();
    let id = signed.results[0].id.as_str();
    for number in 0..20 {
        let other = format!("{number:016x}");
        let record = signed.record(0).with_file_name(format!("{other}.json"));
        fs::write(record, text.replace(id, &other)).unwrap();
    }
    let pulled = signed.pull(0);
    assert_eq!(pulled.result.unwrap().id.as_str(), id);
    assert!(signed.there.find(&signed.results[0].key).unwrap().untrusted.is_empty());
}

#[test]
fn signatures_are_removed_with_their_results() {
    let signed = Signed::pushed();
    signed.assert_used();
    let folder = signed.there.store().root().join("manifests");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    let none = Retention { keep_last: Some(0), max_bytes: None };
    signed.there.gc(&none).unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    assert!(!signed.there.store().contains(&out(&signed.results[0])));
}

#[test]
fn refusal_is_forgotten_when_there_is_another_result() {
    let signed = Signed::new();
    signed.push(None);
    signed.assert_refused("it is not signed");
    let other = trusting(&signed.sites, &[&signed.key, &SigningKey::generate().unwrap()]);
    let key = &signed.results[0].key;
    assert!(other.find(key).unwrap().untrusted.is_empty(), "no pull was tried with these keys");
    let remembered = || fs::read_dir(signed.there.store().root().join("remotes/refused")).unwrap().count();
    let keep = Retention::default();
    signed.there.gc(&keep).unwrap();
    assert_eq!(remembered(), 1);
    let run = signed.there.begin_run(&new_run()).unwrap();
    make(&signed.there, &run, "split", &manifest("split", 0, &[]));
    let found = signed.there.find(key).unwrap();
    assert!(found.result.is_some() && found.untrusted.is_empty());
    signed.there.gc(&keep).unwrap();
    assert_eq!(remembered(), 0);
}
