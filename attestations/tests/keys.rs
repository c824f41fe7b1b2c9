//! Key files: those of this crate, those of `openssl`, and files of other kinds.
#![allow(clippy::unwrap_used)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FileType, Mode};
use tfnas_attestations::Sha256Digest;
use tfnas_attestations::keys::{KeyError, PublicKey, SigningKey};
use tfnas_attestations::statement::{ResourceDescriptor, Statement};

/// Written by `openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt`. Used only in tests.
const PRIVATE: &str = include_str!("keys/p256.pem");
/// The same key as written by `openssl ecparam -name prime256v1 -genkey -noout`.
const SEC1: &str = include_str!("keys/sec1.pem");
/// The block that `openssl ecparam -name prime256v1 -genkey` writes before [`SEC1`].
const PARAMETERS: &str = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
/// Written by `openssl pkey -pubout`.
const PUBLIC: &str = include_str!("keys/p256.pub");
/// Written by `openssl pkey -pubin -outform DER | sha256sum`.
const FINGERPRINT: &str = include_str!("keys/p256.fingerprint");

fn private(text: &str) -> Result<SigningKey, KeyError> {
    SigningKey::from_pem(text, "key.pem")
}

fn public(text: &str) -> Result<PublicKey, KeyError> {
    PublicKey::from_pem(text, "key.pub")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn key_of_openssl_has_the_expected_fingerprint() {
    let key = private(PRIVATE).unwrap();
    assert_eq!(key.public(), public(PUBLIC).unwrap());
    assert_eq!(key.public().fingerprint().to_string(), FINGERPRINT.trim());
    assert_eq!(key.public().to_pem(), PUBLIC);
    assert_eq!(private(&format!("for tests\r\n{}", PRIVATE.replace('\n', "\r\n"))).unwrap().public(), key.public());
}

#[test]
fn sec1_key_is_the_same_key() {
    let expected = private(PRIVATE).unwrap().public();
    let without_public = include_str!("keys/sec1-no-public.pem");
    for text in [
        SEC1,
        without_public,
        &format!("{PARAMETERS}{SEC1}"),
        &format!("for tests\n{PARAMETERS}\n{SEC1}").replace('\n', "\r\n"),
    ] {
        assert_eq!(private(text).unwrap().public(), expected, "{text}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    fs::write(&file, format!("{PARAMETERS}{SEC1}")).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(SigningKey::read(&file), Err(KeyError::Mode { .. })));
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(SigningKey::read(&file).unwrap().public(), expected);
}

#[test]
fn new_keys_of_openssl_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let (key, public_key) = (folder.path().join("key.pem"), folder.path().join("key.pub"));
    let openssl = |arguments: &[&str]| Command::new("openssl").args(arguments).output();
    let (key_path, public_path) = (key.to_str().unwrap(), public_key.to_str().unwrap());
    for form in [&["-noout"][..], &[]] {
        let arguments = [&["ecparam", "-name", "prime256v1", "-genkey", "-out", key_path], form].concat();
        if !openssl(&arguments).is_ok_and(|output| output.status.success()) {
            println!("SKIPPED: openssl is not installed");
            return;
        }
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        assert!(openssl(&["ec", "-in", key_path, "-pubout", "-out", public_path]).unwrap().status.success());
        assert_eq!(SigningKey::read(&key).unwrap().public(), PublicKey::read(&public_key).unwrap());
    }
}

#[test]
fn damaged_sec1_key_is_reported_as_damaged() {
    let lines: Vec<&str> = SEC1.lines().collect();
    for without in 1..lines.len() - 1 {
        let cut: Vec<&str> = lines.iter().enumerate().filter(|(at, _)| *at != without).map(|(_, line)| *line).collect();
        assert!(private(&cut.join("\n")).is_err(), "{without}");
    }
    // The public key of another private key.
    let other = SEC1.replace("oUQDQgAE9P3", "oUQDQgAE9P4");
    assert!(other == SEC1 || private(&other).is_err());
}

#[test]
fn generated_keys_round_trip_and_are_unique() {
    let folder = tempfile::tempdir().unwrap();
    let (file, public_file) = (folder.path().join("key"), folder.path().join("key.pub"));
    let key = SigningKey::generate().unwrap();
    key.write(&file).unwrap();
    key.public().write(&public_file).unwrap();
    assert_eq!((mode(&file), mode(&public_file) & 0o600), (0o600, 0o600));
    assert_eq!(SigningKey::read(&file).unwrap().public(), key.public());
    assert_eq!(PublicKey::read(&public_file).unwrap(), key.public());
    assert_ne!(SigningKey::generate().unwrap().public(), key.public());
}

#[test]
fn existing_files_are_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("key"), folder.path().join("link"));
    let key = SigningKey::generate().unwrap();
    fs::write(&file, "something").unwrap();
    symlink(folder.path().join("nowhere"), &link).unwrap();
    for path in [&file, &link] {
        assert!(matches!(key.write(path), Err(KeyError::Exists { .. })));
        assert!(matches!(key.public().write(path), Err(KeyError::Exists { .. })));
    }
    assert_eq!(fs::read(&file).unwrap(), b"something");
    assert!(!folder.path().join("nowhere").exists());
    let error = key.write(&folder.path().join("no/folder")).unwrap_err().to_string();
    assert!(error.contains("no/folder") && error.contains("cannot write"), "{error}");
}

#[test]
fn private_key_readable_by_others_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("key"), folder.path().join("link"));
    fs::write(&file, PRIVATE).unwrap();
    symlink(&file, &link).unwrap();
    for mode in [0o644, 0o640, 0o604, 0o620, 0o601] {
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        for path in [&file, &link] {
            let error = SigningKey::read(path).unwrap_err().to_string();
            let place = path.display();
            assert!(error.contains(&format!("(mode {mode:04o})")), "{error}");
            assert!(error.contains(&format!("chmod 600 {place}")), "{error}");
        }
    }
    for mode in [0o600, 0o400] {
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        SigningKey::read(&file).unwrap();
        SigningKey::read(&link).unwrap();
    }
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, PUBLIC).unwrap();
    PublicKey::read(&link).unwrap();
}

#[test]
fn files_that_are_no_keys_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let file = |name: &str, bytes: &[u8]| -> PathBuf {
        fs::write(path(name), bytes).unwrap();
        fs::set_permissions(path(name), Permissions::from_mode(0o600)).unwrap();
        path(name)
    };
    fs::create_dir(path("folder")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let cases = [
        (path("nothing"), "cannot open"),
        (path("folder"), "no regular file"),
        (path("pipe"), "no regular file"),
        (file("large", &vec![b'-'; 1 << 20]), "far too large"),
        (file("bytes", &[0xff; 100]), "no text"),
        (file("empty", b""), "expected the PEM text"),
        (PathBuf::from("/dev/null"), "no regular file"),
    ];
    for (path, words) in cases {
        for error in [SigningKey::read(&path).unwrap_err(), PublicKey::read(&path).unwrap_err()] {
            let error = error.to_string();
            assert!(error.contains(words) && error.contains(&path.display().to_string()), "{error}");
        }
    }
}

#[test]
fn errors_name_unsupported_kinds_of_keys() {
    let error = |text: &str| private(text).unwrap_err().to_string();
    let error_public = |text: &str| public(text).unwrap_err().to_string();
    assert!(error(PUBLIC).contains("key.pem is a public key, but a private key"));
    assert!(error_public(PRIVATE).contains("key.pub is a private key, but a public key"));
    for (kind, found) in
        [("rsa", "RSA"), ("p384", "the curve P-384"), ("ed25519", "Ed25519"), ("secp256k1", "secp256k1")]
    {
        let text = |end: &str| fs::read_to_string(format!("tests/keys/{kind}.{end}")).unwrap();
        assert!(error(&text("pem")).contains(found), "{}", error(&text("pem")));
        assert!(error_public(&text("pub")).contains(found), "{}", error_public(&text("pub")));
    }
    assert!(error(include_str!("keys/encrypted.pem")).contains("remove its password"));
    let encrypted = error(include_str!("keys/sec1-encrypted.pem"));
    assert!(encrypted.contains("remove its password (`openssl pkcs8 -topk8 -nocrypt -in key.pem"), "{encrypted}");
    assert!(error(include_str!("keys/sec1-p384.pem")).contains("the curve P-384"));
    assert!(error(include_str!("keys/sec1-explicit.pem")).contains("-param_enc named_curve"));
    assert!(error(include_str!("keys/explicit.pem")).contains("-param_enc named_curve"));
    assert!(error(PARAMETERS).contains("is a curve without a key"));
    assert!(error(&PARAMETERS.replace("-----END", "-----END OF")).contains("expected the PEM text"));
    assert!(error_public(SEC1).contains("key.pub is a private key, but a public key"));
    assert!(error("-----BEGIN RSA PRIVATE KEY-----\n-----END RSA PRIVATE KEY-----").contains("RSA"));
    assert!(error("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----").contains("is a certificate"));
    assert!(error("-----BEGIN PRIVATE KEY-----").contains("expected the PEM text"));
}

#[test]
fn damaged_key_is_reported_as_damaged() {
    for index in 0..PRIVATE.trim_end().len() {
        let mut bytes = PRIVATE.as_bytes().to_vec();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        if let Ok(key) = private(str::from_utf8(&bytes).unwrap()) {
            // Almost every value of the secret number is a valid key. All other damage is an error.
            assert_ne!(key.public(), private(PRIVATE).unwrap().public(), "{index}");
        }
    }
    let last = PUBLIC.lines().nth(2).unwrap();
    let cut = PUBLIC.replace(&format!("{last}\n"), "");
    assert!(public(&cut).is_err());
}

#[test]
fn private_key_is_not_printed() {
    let key = private(PRIVATE).unwrap();
    assert_eq!(format!("{key:?}"), format!("SigningKey(of PublicKey({}))", FINGERPRINT.trim()));
}

#[test]
fn signatures_are_deterministic() {
    let statement = Statement::new(
        vec![ResourceDescriptor::file("a", &Sha256Digest::of_bytes(b"a"))],
        "https://example.org/nothing",
        serde_json::json!({"a": 1}),
    );
    let sign = || statement.sign(&private(PRIVATE).unwrap()).to_json();
    assert_eq!(sign(), sign());
    assert_ne!(sign(), statement.sign(&SigningKey::generate().unwrap()).to_json());
}
