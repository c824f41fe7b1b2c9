//! Other people's programs and this crate, each verifying what the other has signed.
//!
//! `TFNAS_ATTESTATIONS_PYTHON` names a Python that finds them, as `ci/attestations/run` has one; without it nothing is
//! tested here, and the tests say so. What they hold a document to: `model_signing` reads bundles by the types of Sigstore's
//! protobuf specification (PyPI's sigstore-models), `in-toto-attestation` statements and SLSA provenance by the protobuf
//! definitions of <https://github.com/in-toto/attestation>.
#![allow(clippy::unwrap_used)]

mod provenance;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use tfnas_attestations::Sha256Digest;
use tfnas_attestations::dsse::Envelope;
use tfnas_attestations::keys::SigningKey;
use tfnas_attestations::model_signing::{Bundle, BundleError, Difference, Manifest, SignedFile};
use tfnas_attestations::statement::PAYLOAD_TYPE;

/// Files with nested folders and odd names, and what is in them.
const FILES: [(&str, &str); 9] = [
    ("config.json", "{}"),
    ("weights/part-1.safetensors", "one"),
    ("weights/part-2.safetensors", "two"),
    ("weights-old/part", "old"),
    ("weights.txt", ""),
    ("a/b/c/d", "deep"),
    ("with space, ä, 語 and #%.txt", "odd"),
    (".hidden", "h"),
    ("line\nbreak", "n"),
];

/// A folder with a model, a key of this crate beside it, and the Python with the other programs.
struct Bench {
    python: PathBuf,
    folder: TempDir,
    key: SigningKey,
}

impl Bench {
    /// Returns `None`, and prints that the test is skipped, if there is no such Python.
    fn new() -> Option<Self> {
        let Some(python) = std::env::var_os("TFNAS_ATTESTATIONS_PYTHON") else {
            println!("SKIPPED: TFNAS_ATTESTATIONS_PYTHON names no Python with other verifiers (ci/attestations/run)");
            return None;
        };
        let bench =
            Self { python: python.into(), folder: tempfile::tempdir().unwrap(), key: SigningKey::generate().unwrap() };
        bench.key.write(&bench.path("key.pem")).unwrap();
        bench.key.public().write(&bench.path("key.pub")).unwrap();
        for (name, content) in FILES {
            bench.write(&format!("model/{name}"), content.as_bytes());
        }
        Some(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn python(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = Command::new(&self.python);
        command.arg("-B").args(arguments).current_dir(self.folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Runs `model_signing`; returns its error output if it fails.
    fn model_signing(&self, arguments: &[&str]) -> Result<(), String> {
        let ended = self.python(&[&["-m", "model_signing"], arguments].concat(), b"");
        let said = [&ended.stdout[..], &ended.stderr[..]].concat();
        if ended.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said).into_owned()) }
    }

    /// Runs our script over their libraries, which must succeed.
    fn verifiers(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../ci/attestations/verifiers.py");
        let ended = self.python(&[&[script], arguments].concat(), input);
        assert!(ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
        ended.stdout
    }

    /// The files of the model as they are.
    fn files(&self) -> Vec<SignedFile> {
        let mut found = Vec::new();
        collect(&self.path("model"), "", &mut found);
        found
    }

    fn verify_ours(&self) -> Result<(), String> {
        self.model_signing(&["verify", "key", "model", "--public_key", "key.pub", "--signature", "model.sig"])
    }

    fn sign_theirs(&self, more: &[&str]) {
        let arguments = ["sign", "key", "model", "--private_key", "key.pem", "--signature", "model.sig"];
        self.model_signing(&[&arguments, more].concat()).unwrap();
    }

    fn read_theirs(&self) -> Result<Manifest, BundleError> {
        Bundle::from_json(&fs::read(self.path("model.sig")).unwrap())?.verify(&self.key.public())
    }
}

fn collect(folder: &Path, below: &str, found: &mut Vec<SignedFile>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{below}{}", entry.file_name().into_string().unwrap());
        if entry.path().is_dir() {
            collect(&entry.path(), &format!("{name}/"), found);
        } else {
            found.push(SignedFile { name, sha256: Sha256Digest::of_bytes(&fs::read(entry.path()).unwrap()) });
        }
    }
}

#[test]
fn model_signing_verifies_our_bundle_and_refuses_every_change() {
    let Some(bench) = Bench::new() else { return };
    let ignored = vec![".git".to_owned(), "notes".to_owned()];
    let manifest = Manifest::new("model", bench.files(), ignored).unwrap();
    bench.write("model.sig", Bundle::sign(&manifest, &bench.key).to_json().as_bytes());
    bench.verify_ours().unwrap();
    bench.write("model/notes/today.md", b"not part of it");
    bench.verify_ours().unwrap();
    bench.write("model/weights/part-1.safetensors", b"One");
    assert!(bench.verify_ours().unwrap_err().contains("Hash mismatch for 'weights/part-1.safetensors'"));
    bench.write("model/weights/part-1.safetensors", b"one");
    bench.write("model/extra", b"");
    assert!(bench.verify_ours().unwrap_err().contains("Extra files found in model 'model': extra"));
    fs::rename(bench.path("model/extra"), bench.path("extra")).unwrap();
    fs::remove_file(bench.path("model/a/b/c/d")).unwrap();
    assert!(bench.verify_ours().unwrap_err().contains("Missing files in model 'model': a/b/c/d"));
    bench.write("model/a/b/c/d", b"deep");
    bench.verify_ours().unwrap();
    let other = SigningKey::generate().unwrap();
    bench.write("model.sig", Bundle::sign(&manifest, &other).to_json().as_bytes());
    assert!(bench.verify_ours().is_err());
}

#[test]
fn we_verify_the_bundle_of_model_signing_and_name_every_change() {
    let Some(bench) = Bench::new() else { return };
    bench.sign_theirs(&["--ignore-paths", "model/weights.txt"]);
    let manifest = bench.read_theirs().unwrap();
    let comparison = manifest.compare(&bench.files());
    assert_eq!((comparison.differences, comparison.ignored), (vec![], vec!["weights.txt".to_owned()]));
    assert_eq!((manifest.model(), manifest.files().len()), ("model", FILES.len() - 1));
    // Listed by us, the same files have the same digest as a whole.
    let ours = Manifest::new("model", manifest.files().to_vec(), Vec::new()).unwrap();
    assert_eq!((ours.files(), ours.root()), (manifest.files(), manifest.root()));
    bench.write("model/config.json", b"[]");
    bench.write("model/extra", b"");
    fs::remove_file(bench.path("model/.hidden")).unwrap();
    let differences = manifest.compare(&bench.files()).differences;
    assert!(
        matches!(&differences[..], [Difference::Missing(hidden), Difference::Changed { name, .. }, Difference::Extra(extra)]
        if hidden == ".hidden" && name == "config.json" && extra == "extra"),
        "{differences:?}"
    );
    let other = SigningKey::generate().unwrap();
    other.write(&bench.path("other.pem")).unwrap();
    let bundle = Bundle::from_json(&fs::read(bench.path("model.sig")).unwrap()).unwrap();
    assert!(bundle.verify(&other.public()).is_err());
}

#[test]
fn what_model_signing_can_sign_and_we_do_not_read_is_named() {
    let Some(bench) = Bench::new() else { return };
    let program = "import model_signing as m; h = m.hashing.Config().use_shard_serialization(shard_size=2); \
                   m.signing.Config().use_elliptic_key_signer(private_key='key.pem').set_hashing_config(h)\
                   .sign('model', 'model.sig')";
    assert!(bench.python(&["-c", program], b"").status.success());
    assert!(bench.read_theirs().unwrap_err().to_string().contains("shards"));
    let program =
        program.replace("use_shard_serialization(shard_size=2)", "use_file_serialization(hashing_algorithm='blake3')");
    assert!(bench.python(&["-c", &program], b"").status.success());
    assert!(bench.read_theirs().unwrap_err().to_string().contains("blake3"));
}

#[test]
fn securesystemslib_verifies_our_envelope_and_we_its() {
    let Some(bench) = Bench::new() else { return };
    let statement = provenance::statement();
    bench.write("envelope.json", statement.sign(&bench.key).to_json().as_bytes());
    assert_eq!(
        bench.verifiers(&["verify-envelope", "envelope.json", "key.pub"], b""),
        statement.to_json().into_bytes()
    );
    let theirs = bench.verifiers(&["sign-envelope", "key.pem", PAYLOAD_TYPE], b"any \x00 bytes");
    let envelope = Envelope::from_json(&theirs).unwrap();
    assert_eq!(envelope.verify(PAYLOAD_TYPE, &bench.key.public()).unwrap(), b"any \x00 bytes");
    assert_eq!(Envelope::from_json(envelope.to_json().as_bytes()).unwrap(), envelope);
}

#[test]
fn the_definitions_of_in_toto_and_slsa_accept_our_statements() {
    let Some(bench) = Bench::new() else { return };
    bench.write("statement.json", provenance::statement().to_json().as_bytes());
    let said = bench.verifiers(&["check-provenance", "statement.json"], b"");
    assert_eq!(String::from_utf8(said).unwrap(), "https://slsa.dev/provenance/v1\n1500\n");
    let manifest = Manifest::new("model", bench.files(), Vec::new()).unwrap();
    bench.write("model.json", Bundle::sign(&manifest, &bench.key).envelope().unverified_payload());
    let said = bench.verifiers(&["check-statement", "model.json"], b"");
    assert_eq!(String::from_utf8(said).unwrap(), "https://model_signing/signature/v1.0\n");
}

#[test]
fn a_key_of_ours_is_one_of_openssl_for_others() {
    let Some(bench) = Bench::new() else { return };
    let mode = fs::metadata(bench.path("key.pem")).unwrap().permissions().mode() & 0o777;
    let program = "from cryptography.hazmat.primitives import serialization as s; import hashlib; \
                   key = s.load_pem_private_key(open('key.pem', 'rb').read(), None).public_key(); \
                   assert key == s.load_pem_public_key(open('key.pub', 'rb').read()); \
                   print(hashlib.sha256(key.public_bytes(s.Encoding.DER, s.PublicFormat.SubjectPublicKeyInfo)).hexdigest())";
    let said = String::from_utf8(bench.python(&["-c", program], b"").stdout).unwrap();
    assert_eq!((said.trim(), mode), (bench.key.public().fingerprint().to_string().as_str(), 0o600));
}
