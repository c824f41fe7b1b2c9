"""Verify and sign with external programs: verifiers.py VERB ARGUMENT…

verify-envelope ENVELOPE KEY.pub    securesystemslib verifies a DSSE envelope; prints its payload
sign-envelope KEY.pem TYPE          securesystemslib signs standard input; prints the envelope
check-statement STATEMENT           in-toto-attestation validates a statement and rejects unknown fields
check-provenance STATEMENT          the same, with SLSA provenance v1 as its predicate; prints the duration of the build
"""

import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement, statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, SSlibKey


def verify_envelope(file, key_file):
    written = json.loads(Path(file).read_text())
    key = serialization.load_pem_public_key(Path(key_file).read_bytes())
    # The library accepts a signature only under the key ID of the key; from_dict removes the ID from the document.
    keyid = written["signatures"][0]["keyid"]
    envelope = Envelope.from_dict(written)
    envelope.verify([SSlibKey.from_crypto(key, keyid=keyid)], 1)
    sys.stdout.buffer.write(envelope.payload)


def sign_envelope(key_file, payload_type):
    key = serialization.load_pem_private_key(Path(key_file).read_bytes(), None)
    envelope = Envelope(sys.stdin.buffer.read(), payload_type, {})
    envelope.sign(CryptoSigner(key))
    print(json.dumps(envelope.to_dict()))


def check_statement(file):
    message = json_format.Parse(Path(file).read_text(), statement_pb2.Statement(), ignore_unknown_fields=False)
    statement.Statement.copy_from_pb(message).validate()
    print(message.predicate_type)


def check_provenance(file):
    check_statement(file)
    predicate = json.loads(Path(file).read_text())["predicate"]
    provenance = json_format.ParseDict(predicate, provenance_pb2.Provenance(), ignore_unknown_fields=False)
    details = provenance.run_details
    for descriptor in [*provenance.build_definition.resolved_dependencies, *details.byproducts]:
        ResourceDescriptor.copy_from_pb(descriptor).validate()
    # Fields that the specification requires.
    assert provenance.build_definition.build_type and details.builder.id
    print(details.metadata.finished_on.ToMilliseconds() - details.metadata.started_on.ToMilliseconds())


VERBS = {
    "verify-envelope": verify_envelope,
    "sign-envelope": sign_envelope,
    "check-statement": check_statement,
    "check-provenance": check_provenance,
}

if __name__ == "__main__":
    VERBS[sys.argv[1]](*sys.argv[2:])
