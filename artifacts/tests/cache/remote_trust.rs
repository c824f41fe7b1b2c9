//! Signed results: what a poisoned remote may offer is refused, each by name, and what a trusted key has signed is used.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tfnas_artifacts::{Attempt, Cache, Digest, Pulled, Pushed, Pusher, Retention, Trust};
use tfnas_attestations::dsse::Envelope;
use tfnas_attestations::keys::SigningKey;

use crate::remote::{Sites, pull};
use crate::work::{make, manifest, new_run, out};
use tfnas_testutils::damage::damaged;

/// Two stores, a remote between them, and results in one store. The other trusts one key.
struct Signed {
    sites: Sites,
    key: SigningKey,
    there: Cache,
    results: Vec<Attempt>,
}

impl Signed {
    /// Nothing is pushed yet.
    fn new() -> Self {
        let sites = Sites::new();
        let key = SigningKey::generate().unwrap();
        let run = sites.here.begin_run(&new_run()).unwrap();
        let results = (0..2).map(|number| make(&sites.here, &run, "split", &manifest("split", number, &[]))).collect();
        let there = trusting(&sites, &[&key]);
        Self { sites, key, there, results }
    }

    /// With all results pushed and signed.
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

    /// The file of the signature of a result by a key.
    fn signature(&self, number: usize, key: &SigningKey) -> PathBuf {
        self.record(number).with_extension(format!("{}.sig", key.public().fingerprint()))
    }

    /// Checks that the first result is refused with these words, that its record is named, and that nothing is left of it
    /// but the memory of why.
    fn assert_refused(&self, words: &str) {
        let pulled = self.pull(0);
        assert!(pulled.result.is_none(), "{words}");
        let said = pulled.refused[0].to_string();
        assert!(said.contains(words), "{words}: {said}");
        assert!(said.contains(&format!("{}.json", self.results[0].id)) && said.contains("is not used"), "{said}");
        let found = self.there.find(&self.results[0].key).unwrap();
        assert!(found.result.is_none());
        assert_eq!(found.untrusted.iter().map(ToString::to_string).collect::<Vec<_>>(), [said]);
        assert!(self.there.ledger().attempts_of(&self.results[0].key).unwrap().is_empty());
        assert!(self.there.verify(&|_| {}).unwrap().is_sound());
    }

    /// Checks that the first result is pulled and used.
    fn assert_taken(&self) {
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

/// The other store, which uses only what these keys have signed.
pub fn trusting(sites: &Sites, keys: &[&SigningKey]) -> Cache {
    let trust = Trust::in_keys(keys.iter().map(|key| key.public()).collect());
    Cache::open(sites.there.store().root()).unwrap().trusting(Some(trust))
}

/// Puts an object on the remote, and returns its digest.
fn plant(sites: &Sites, bytes: &[u8]) -> Digest {
    let digest = Digest::of_bytes(bytes);
    let name = digest.to_string();
    let folder = sites.shared().join("objects").join(&name[..2]);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(&name[2..]), bytes).unwrap();
    digest
}

#[test]
fn what_a_trusted_key_has_signed_is_pulled_and_used_and_the_signature_says_of_what() {
    let signed = Signed::pushed();
    signed.assert_taken();
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
    let said = found.untrusted[0].to_string();
    assert!(said.contains(result.id.as_str()) && said.contains("pulled from file://"), "{said}");
    assert!(said.contains("by no key that is trusted"), "{said}");
    assert!(trusting(&signed.sites, &[]).find(&result.key).unwrap().result.is_none());
}

#[test]
fn an_altered_record_is_refused_whatever_was_altered() {
    let signed = Signed::pushed();
    let good = fs::read(signed.record(0)).unwrap();
    let planted = plant(&signed.sites, b"poison");
    let changes: [&dyn Fn(&mut Value); 5] = [
        &|record| record["metrics"]["top1"] = json!(0.99),
        &|record| record["environment"]["cpu"] = json!("another"),
        &|record| record["host"] = json!("elsewhere"),
        &|record| record["outputs"][0] = json!({"name": "out", "digest": planted, "bytes": 6}),
        &|record| record["tool"] = json!("other"),
    ];
    for change in changes {
        fs::write(signed.record(0), &good).unwrap();
        signed.alter(change);
        signed.assert_refused("was altered, or the signature copied");
    }
    // One byte between two fields is enough, although it says the same.
    fs::write(signed.record(0), [&good[..], b" "].concat()).unwrap();
    signed.assert_refused("was altered, or the signature copied");
    assert!(signed.push(Some(&signed.key))[0].recorded);
    assert_eq!(fs::read(signed.record(0)).unwrap(), good);
    signed.assert_taken();
}

#[test]
fn a_signature_of_another_result_or_by_another_key_does_not_count() {
    let signed = Signed::pushed();
    let signature = signed.signature(0, &signed.key);
    let good = fs::read(&signature).unwrap();
    fs::copy(signed.signature(1, &signed.key), &signature).unwrap();
    signed.assert_refused("was altered, or the signature copied");
    let other = SigningKey::generate().unwrap();
    signed.push(Some(&other));
    fs::copy(signed.signature(0, &other), &signature).unwrap();
    signed.assert_refused("not valid");
    fs::remove_file(&signature).unwrap();
    signed.assert_refused("by no key that is trusted");
    signed.assert_refused(&other.public().fingerprint().to_string()[..16]);
    fs::remove_file(signed.signature(0, &other)).unwrap();
    signed.assert_refused("it is not signed");
    for cut in [0, 1, good.len() / 2, good.len() - 5] {
        fs::write(&signature, &good[..cut]).unwrap();
        signed.assert_refused("not valid");
    }
    fs::write(&signature, vec![b' '; 2 << 20]).unwrap();
    signed.assert_refused("not valid");
    let pushed = signed.push(Some(&signed.key));
    assert_eq!((pushed[0].signatures, pushed[0].recorded, pushed[1].is_nothing()), (1, false, true));
    signed.assert_taken();
}

#[test]
fn of_many_damages_to_record_and_signature_none_lets_another_result_in() {
    let signed = Signed::pushed();
    let (record, signature) = (signed.record(0), signed.signature(0, &signed.key));
    let (good, good_signature) = (fs::read(&record).unwrap(), fs::read(&signature).unwrap());
    for index in 0..300 {
        fs::write(&record, damaged(&good, index)).unwrap();
        let pulled = signed.pull(0);
        assert!(pulled.result.is_none() || damaged(&good, index) == good, "record, damage {index}");
        fs::write(&record, &good).unwrap();
        fs::write(&signature, damaged(&good_signature, index)).unwrap();
        if let Some(pulled) = signed.pull(0).result {
            // A name of the key, which proves nothing, or the space around; what is signed is the same.
            assert_eq!((&pulled.outputs, &pulled.metrics), (&signed.results[0].outputs, &signed.results[0].metrics));
        }
        fs::write(&signature, &good_signature).unwrap();
    }
    signed.assert_taken();
}

#[test]
fn a_whole_signed_result_under_another_key_is_refused() {
    let signed = Signed::pushed();
    let folder = signed.record(0).parent().unwrap().to_owned();
    fs::remove_file(signed.record(0)).unwrap();
    for file in [signed.record(1), signed.signature(1, &signed.key)] {
        fs::copy(&file, folder.join(file.file_name().unwrap())).unwrap();
    }
    let pulled = signed.pull(0);
    assert!(pulled.result.is_none());
    assert!(pulled.refused[0].to_string().contains("no result of the key"), "{}", pulled.refused[0]);
}

#[test]
fn what_was_pushed_without_a_key_is_signed_by_a_later_push_and_by_several_keys() {
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
    signed.assert_taken();
}

#[test]
fn what_was_pulled_before_anybody_was_trusted_is_not_used_until_it_is_pulled_again() {
    let signed = Signed::pushed();
    let good = fs::read(signed.record(0)).unwrap();
    signed.alter(|record| record["metrics"]["top1"] = json!(0.99));
    let key = &signed.results[0].key;
    assert!(pull(&signed.sites.remote(), &signed.sites.there, key).result.is_some());
    assert_eq!(signed.sites.there.find(key).unwrap().result.unwrap().metrics["top1"], 0.99);
    let found = signed.there.find(key).unwrap();
    assert!(found.result.is_none() && found.untrusted[0].to_string().contains("not signed"), "{:?}", found.untrusted);
    fs::write(signed.record(0), good).unwrap();
    signed.assert_taken();
    assert_eq!(signed.there.find(key).unwrap().result.unwrap().metrics, signed.results[0].metrics);
}

#[test]
fn what_was_pulled_goes_on_with_its_signature_and_gets_no_other() {
    let signed = Signed::pushed();
    signed.assert_taken();
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
fn many_newer_unsigned_results_do_not_hide_a_signed_one() {
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
fn signatures_go_with_the_results_that_they_are_of() {
    let signed = Signed::pushed();
    signed.assert_taken();
    let folder = signed.there.store().root().join("manifests");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    let none = Retention { keep_last: Some(0), max_bytes: None };
    signed.there.gc(&none).unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    assert!(!signed.there.store().contains(&out(&signed.results[0])));
}

#[test]
fn why_a_result_was_refused_is_forgotten_once_there_is_another() {
    let signed = Signed::new();
    signed.push(None);
    signed.assert_refused("it is not signed");
    let other = trusting(&signed.sites, &[&signed.key, &SigningKey::generate().unwrap()]);
    let key = &signed.results[0].key;
    assert!(other.find(key).unwrap().untrusted.is_empty(), "nobody tried with these keys");
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
