//! Interoperability: other programs verify the signatures of this crate, and this crate verifies theirs.
//!
//! `TFNAS_ATTESTATIONS_PYTHON` is a Python interpreter that has these programs; `ci/attestations/run` sets it. Without
//! it the tests are skipped. `model_signing` parses bundles with the types of Sigstore's protobuf specification (PyPI
//! package sigstore-models). `in-toto-attestation` parses statements and SLSA provenance with the protobuf definitions
//! of <https://github.com/in-toto/attestation>.
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

/// Names and contents of files, with nested folders and unusual names.
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

/// A folder with a model and a key of this crate, and the Python interpreter with the other programs.
struct Fixture {
    python: PathBuf,
    folder: TempDir,
    key: SigningKey,
}

impl Fixture {
    /// Returns `None` and reports that the test is skipped if there is no such interpreter.
    fn new() -> Option<Self> {
        let Some(python) = std::env::var_os("TFNAS_ATTESTATIONS_PYTHON") else {
            println!("SKIPPED: TFNAS_ATTESTATIONS_PYTHON is not set (ci/attestations/run sets it)");
            return None;
        };
        let fixture =
            Self { python: python.into(), folder: tempfile::tempdir().unwrap(), key: SigningKey::generate().unwrap() };
        fixture.key.write(&fixture.path("key.pem")).unwrap();
        fixture.key.public().write(&fixture.path("key.pub")).unwrap();
        for (name, content) in FILES {
            fixture.write(&format!("model/{name}"), content.as_bytes());
        }
        Some(fixture)
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
        let output = self.python(&[&["-m", "model_signing"], arguments].concat(), b"");
        let printed = [&output.stdout[..], &output.stderr[..]].concat();
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&printed).into_owned()) }
    }

    /// Runs `ci/attestations/verifiers.py`, which must succeed.
    fn verifiers(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../ci/attestations/verifiers.py");
        let output = self.python(&[&[script], arguments].concat(), input);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Returns the current files of the model.
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
fn model_signing_verifies_our_bundle_and_rejects_changes() {
    let Some(fixture) = Fixture::new() else { return };
    let ignored = vec![".git".to_owned(), "notes".to_owned()];
    let manifest = Manifest::new("model", fixture.files(), ignored).unwrap();
    fixture.write("model.sig", Bundle::sign(&manifest, &fixture.key).to_json().as_bytes());
    fixture.verify_ours().unwrap();
    fixture.write("model/notes/today.md", b"not part of it");
    fixture.verify_ours().unwrap();
    fixture.write("model/weights/part-1.safetensors", b"One");
    assert!(fixture.verify_ours().unwrap_err().contains("Hash mismatch for 'weights/part-1.safetensors'"));
    fixture.write("model/weights/part-1.safetensors", b"one");
    fixture.write("model/extra", b"");
    assert!(fixture.verify_ours().unwrap_err().contains("Extra files found in model 'model': extra"));
    fs::rename(fixture.path("model/extra"), fixture.path("extra")).unwrap();
    fs::remove_file(fixture.path("model/a/b/c/d")).unwrap();
    assert!(fixture.verify_ours().unwrap_err().contains("Missing files in model 'model': a/b/c/d"));
    fixture.write("model/a/b/c/d", b"deep");
    fixture.verify_ours().unwrap();
    let other = SigningKey::generate().unwrap();
    fixture.write("model.sig", Bundle::sign(&manifest, &other).to_json().as_bytes());
    assert!(fixture.verify_ours().is_err());
}

#[test]
fn we_verify_bundles_of_model_signing_and_report_changes() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.sign_theirs(&["--ignore-paths", "model/weights.txt"]);
    let manifest = fixture.read_theirs().unwrap();
    let comparison = manifest.compare(&fixture.files());
    assert_eq!((comparison.differences, comparison.ignored), (vec![], vec!["weights.txt".to_owned()]));
    assert_eq!((manifest.model(), manifest.files().len()), ("model", FILES.len() - 1));
    // Our list of the same files has the same digest.
    let ours = Manifest::new("model", manifest.files().to_vec(), Vec::new()).unwrap();
    assert_eq!((ours.files(), ours.root()), (manifest.files(), manifest.root()));
    fixture.write("model/config.json", b"[]");
    fixture.write("model/extra", b"");
    fs::remove_file(fixture.path("model/.hidden")).unwrap();
    let differences = manifest.compare(&fixture.files()).differences;
    assert!(
        matches!(&differences[..], [Difference::Missing(hidden), Difference::Changed { name, .. }, Difference::Extra(extra)]
        if hidden == ".hidden" && name == "config.json" && extra == "extra"),
        "{differences:?}"
    );
    let other = SigningKey::generate().unwrap();
    other.write(&fixture.path("other.pem")).unwrap();
    let bundle = Bundle::from_json(&fs::read(fixture.path("model.sig")).unwrap()).unwrap();
    assert!(bundle.verify(&other.public()).is_err());
}

#[test]
fn unsupported_serializations_of_model_signing_are_reported() {
    let Some(fixture) = Fixture::new() else { return };
    let program = "import model_signing as m; h = m.hashing.Config().use_shard_serialization(shard_size=2); \
                   m.signing.Config().use_elliptic_key_signer(private_key='key.pem').set_hashing_config(h)\
                   .sign('model', 'model.sig')";
    assert!(fixture.python(&["-c", program], b"").status.success());
    assert!(fixture.read_theirs().unwrap_err().to_string().contains("shards"));
    let program =
        program.replace("use_shard_serialization(shard_size=2)", "use_file_serialization(hashing_algorithm='blake3')");
    assert!(fixture.python(&["-c", &program], b"").status.success());
    assert!(fixture.read_theirs().unwrap_err().to_string().contains("blake3"));
}

#[test]
fn securesystemslib_and_we_verify_each_others_envelopes() {
    let Some(fixture) = Fixture::new() else { return };
    let statement = provenance::statement();
    fixture.write("envelope.json", statement.sign(&fixture.key).to_json().as_bytes());
    assert_eq!(
        fixture.verifiers(&["verify-envelope", "envelope.json", "key.pub"], b""),
        statement.to_json().into_bytes()
    );
    let theirs = fixture.verifiers(&["sign-envelope", "key.pem", PAYLOAD_TYPE], b"any \x00 bytes");
    let envelope = Envelope::from_json(&theirs).unwrap();
    assert_eq!(envelope.verify(PAYLOAD_TYPE, &fixture.key.public()).unwrap(), b"any \x00 bytes");
    assert_eq!(Envelope::from_json(envelope.to_json().as_bytes()).unwrap(), envelope);
}

#[test]
fn in_toto_and_slsa_definitions_accept_our_statements() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.write("statement.json", provenance::statement().to_json().as_bytes());
    let printed = fixture.verifiers(&["check-provenance", "statement.json"], b"");
    assert_eq!(String::from_utf8(printed).unwrap(), "https://slsa.dev/provenance/v1\n1500\n");
    let manifest = Manifest::new("model", fixture.files(), Vec::new()).unwrap();
    fixture.write("model.json", Bundle::sign(&manifest, &fixture.key).envelope().unverified_payload());
    let printed = fixture.verifiers(&["check-statement", "model.json"], b"");
    assert_eq!(String::from_utf8(printed).unwrap(), "https://model_signing/signature/v1.0\n");
}

#[test]
fn other_programs_read_our_keys() {
    let Some(fixture) = Fixture::new() else { return };
    let mode = fs::metadata(fixture.path("key.pem")).unwrap().permissions().mode() & 0o777;
    let program = "from cryptography.hazmat.primitives import serialization as s; import hashlib; \
                   key = s.load_pem_private_key(open('key.pem', 'rb').read(), None).public_key(); \
                   assert key == s.load_pem_public_key(open('key.pub', 'rb').read()); \
                   print(hashlib.sha256(key.public_bytes(s.Encoding.DER, s.PublicFormat.SubjectPublicKeyInfo)).hexdigest())";
    let printed = String::from_utf8(fixture.python(&["-c", program], b"").stdout).unwrap();
    assert_eq!((printed.trim(), mode), (fixture.key.public().fingerprint().to_string().as_str(), 0o600));
}
