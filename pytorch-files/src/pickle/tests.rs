//! Streams with every opcode, and streams that are rejected.
#![allow(clippy::unwrap_used)]

use super::{Foreign, Limits, Pickle, PickleError, Value, parse};

fn read(bytes: &[u8]) -> Result<Pickle, PickleError> {
    let globals = &[("torch", "Size"), ("collections", "OrderedDict")];
    let limits = Limits { globals, ..Limits::default() };
    parse(bytes, &limits)
}

fn root(bytes: &[u8]) -> Value {
    let pickle = read(bytes).unwrap();
    pickle.value(pickle.root()).clone()
}

#[test]
fn all_kinds_of_numbers_are_read() {
    for (bytes, expected) in [
        (&b"N."[..], Value::None),
        (b"I01\n.", Value::Bool(true)),
        (b"I00\n.", Value::Bool(false)),
        (b"\x80\x02\x88.", Value::Bool(true)),
        (b"\x80\x02\x89.", Value::Bool(false)),
        (b"I-7\n.", Value::Int(-7)),
        (b"L1099511627776L\n.", Value::Int(1 << 40)),
        (b"K\xff.", Value::Int(255)),
        (b"M\x2c\x01.", Value::Int(300)),
        (b"J\xfe\xff\xff\xff.", Value::Int(-2)),
        (b"\x8a\x00.", Value::Int(0)),
        (b"\x8a\x01\xff.", Value::Int(-1)),
        (b"\x8a\x06\x00\x00\x00\x00\x00\x01.", Value::Int(1 << 40)),
        (b"\x8b\x02\x00\x00\x00\x2c\x01.", Value::Int(300)),
        (b"\x8a\x09\0\0\0\0\0\0\0\0@.", Value::BigInt(b"\0\0\0\0\0\0\0\0@".to_vec())),
        (b"F-1.5e3\n.", Value::Float(-1500.0)),
        (b"Finf\n.", Value::Float(f64::INFINITY)),
        (b"G?\xf8\0\0\0\0\0\0.", Value::Float(1.5)),
    ] {
        assert_eq!(root(bytes), expected);
    }
}

#[test]
fn all_kinds_of_strings_and_bytes_are_read() {
    let text = || Value::Text("\u{20ac}".to_owned());
    let bytes = || Value::Bytes(b"x\xff".to_vec());
    for (stream, expected) in [
        (&b"V\\u20ac\n."[..], text()),
        (b"X\x03\0\0\0\xe2\x82\xac.", text()),
        (b"\x8c\x03\xe2\x82\xac.", text()),
        (b"\x8d\x03\0\0\0\0\0\0\0\xe2\x82\xac.", text()),
        (b"S'x\\xff'\n.", bytes()),
        (b"U\x02x\xff.", bytes()),
        (b"T\x02\0\0\0x\xff.", bytes()),
        (b"C\x02x\xff.", bytes()),
        (b"B\x02\0\0\0x\xff.", bytes()),
        (b"\x8e\x02\0\0\0\0\0\0\0x\xff.", bytes()),
        (b"\x96\x02\0\0\0\0\0\0\0x\xff.", bytes()),
    ] {
        assert_eq!(root(stream), expected);
    }
}

#[test]
fn all_kinds_of_containers_are_read() {
    let pickle = read(b"](K\x01K\x02e.").unwrap();
    let values = pickle.sequence(pickle.root()).unwrap();
    assert_eq!(pickle.int(values[1]), Some(2));
    for tuple in [&b"(K\x01K\x02t."[..], b"K\x01K\x02\x86.", b"K\x01K\x02K\x03\x870)K\x01\x85."] {
        let pickle = read(tuple).unwrap();
        let values = pickle.sequence(pickle.root()).unwrap();
        assert_eq!(pickle.int(values[0]), Some(1));
    }
    for list in [&b"(K\x01K\x02l."[..], b"]K\x01aK\x02a."] {
        let pickle = read(list).unwrap();
        assert_eq!(pickle.sequence(pickle.root()).unwrap().len(), 2);
    }
    for set in [&b"\x8f(K\x01K\x02\x90."[..], b"(K\x01K\x02\x91."] {
        assert!(matches!(root(set), Value::Set(values) if values.len() == 2));
    }
    for dict in [&b"}(K\x01K\x02u."[..], b"}K\x01K\x02s.", b"(K\x01K\x02d."] {
        let pickle = read(dict).unwrap();
        let pairs = pickle.mapping(pickle.root()).unwrap();
        assert_eq!(pickle.int(pairs[0].0), Some(1));
        assert_eq!(pickle.int(pairs[0].1), Some(2));
    }
}

#[test]
fn shared_objects_are_the_same_value() {
    for shared in [
        &b"](]q\x00h\x00e."[..],
        b"](]r\x00\x01\0\0j\x00\x01\0\0e.",
        b"](]p7\ng7\ne.",
        b"](]2e.",
        b"\x80\x04](]\x94h\x00e.",
    ] {
        let pickle = read(shared).unwrap();
        let values = pickle.sequence(pickle.root()).unwrap();
        assert_eq!(values[0], values[1]);
    }
}

#[test]
fn list_can_contain_itself() {
    let pickle = read(b"]q\x00h\x00a.").unwrap();
    assert_eq!(pickle.sequence(pickle.root()), Some(&[pickle.root()][..]));
}

#[test]
fn calls_are_recorded_and_not_executed() {
    for call in [
        &b"ctorch\nSize\n(K\x01tR."[..],
        b"ctorch\nSize\nK\x01\x85\x81.",
        b"\x8c\x05torch\x8c\x04Size\x93K\x01\x85R.",
        b"ctorch\nSize\nK\x01\x85}\x92.",
        b"(K\x01itorch\nSize\n.",
        b"(ctorch\nSize\nK\x01o.",
    ] {
        let pickle = read(call).unwrap();
        let Value::Call(call) = pickle.value(pickle.root()) else {
            panic!("not a call");
        };
        assert!(pickle.is_global(call.function, "torch", "Size"));
        let arguments = pickle.sequence(call.arguments).unwrap();
        assert_eq!(pickle.int(arguments[0]), Some(1));
    }
    let pickle = read(b"ctorch\nSize\n)R}b(K\x01K\x02u(K\x03e.").unwrap();
    let Value::Call(call) = pickle.value(pickle.root()) else {
        panic!("not a call");
    };
    assert!(call.state.is_some() && call.items.len() == 1 && call.appended.len() == 1);
}

#[test]
fn persistent_ids_are_recorded() {
    for bytes in [&b"Pstorage\n."[..], b"X\x07\0\0\0storageQ."] {
        let pickle = read(bytes).unwrap();
        let Value::Persistent(id) = *pickle.value(pickle.root()) else {
            panic!("not persistent");
        };
        assert_eq!(pickle.text(id), Some("storage"));
    }
}

#[test]
fn ordered_dictionary_of_python_2_is_a_mapping() {
    let pickle = read(b"ccollections\nOrderedDict\n(](](K\x01K\x02eetR.").unwrap();
    let pairs = pickle.mapping(pickle.root()).unwrap();
    assert_eq!(pairs.len(), 1);
    assert_eq!(pickle.int(pairs[0].1), Some(2));
}

#[test]
fn bytes_after_the_end_are_not_read() {
    assert_eq!(read(b"N.more").unwrap().length(), 2);
}

#[test]
fn disallowed_names_are_rejected() {
    for bytes in [
        &b"cos\nsystem\n."[..],
        b"\x8c\x02os\x8c\x06system\x93.",
        b"(S'harm'\nios\nsystem\n.",
        b"ctorch\nSize.__class__\n.",
        b"ctorch.Size\n\n.",
    ] {
        let error = read(bytes).unwrap_err();
        assert!(matches!(error, PickleError::ForbiddenGlobal { .. }), "{error}");
    }
}

fn read_opaque(bytes: &[u8]) -> Result<Pickle, PickleError> {
    parse(bytes, &Limits { foreign: Foreign::Opaque, ..Limits::default() })
}

#[test]
fn disallowed_names_are_opaque_values_if_requested() {
    for (bytes, module, name) in [
        (&b"cos\nsystem\n(S'harm'\ntR."[..], "os", "system"),
        (
            b"\x80\x04\x8c\x08argparse\x8c\x09Namespace\x93)\x81}\x8c\x02lrG?\xf8\0\0\0\0\0\0sb.",
            "argparse",
            "Namespace",
        ),
        (b"\x80\x04\x8c\x07pathlib\x8c\x09PosixPath\x93\x8c\x01a\x85}\x92.", "pathlib", "PosixPath"),
        (b"(S'harm'\nios\nsystem\n.", "os", "system"),
        (b"(cos\nsystem\nS'harm'\no.", "os", "system"),
        (b"\x82\x07)R.", "copyreg", "extension 7"),
        (b"\x83\x07\0)R.", "copyreg", "extension 7"),
        (b"\x84\x07\0\0\0)R.", "copyreg", "extension 7"),
    ] {
        let pickle = read_opaque(bytes).unwrap();
        let Value::Call(call) = pickle.value(pickle.root()) else {
            panic!("not a call");
        };
        assert!(pickle.is_global(call.function, module, name), "{module}.{name}");
    }
    for bytes in [&b"\x97."[..], b"\x98."] {
        assert!(matches!(read_opaque(bytes), Err(PickleError::Outside { .. })));
    }
}

#[test]
fn repeated_long_names_use_bounded_memory() {
    let name = [b"\x8d".to_vec(), 900u64.to_le_bytes().to_vec(), vec![b'x'; 900], b"\x94".to_vec()].concat();
    let stream = [name, b"h\0h\0\x93".repeat(10), b".".to_vec()].concat();
    let limits = Limits { bytes: 2000, foreign: Foreign::Opaque, ..Limits::default() };
    assert_eq!(parse(&stream, &limits), Err(PickleError::Names { limit: 2000 }));
}

#[test]
fn external_data_is_rejected() {
    for bytes in [&b"\x82\x01."[..], b"\x83\x01\0.", b"\x84\x01\0\0\0.", b"\x97.", b"\x98."] {
        assert!(matches!(read(bytes), Err(PickleError::Outside { .. })));
    }
}

#[test]
fn truncated_streams_are_rejected() {
    let bytes = b"\x80\x02}(X\x01\0\0\0aK\x01X\x01\0\0\0bG?\xf8\0\0\0\0\0\0u.";
    assert!(read(bytes).is_ok());
    for length in 0..bytes.len() {
        let offset = length;
        assert_eq!(read(&bytes[..length]), Err(PickleError::Truncated { offset }));
    }
}

#[test]
fn stack_errors_name_the_opcode() {
    for bytes in [
        &b"."[..],
        b"0.",
        b"2.",
        b"t.",
        b"K\x01\x86.",
        b"(K\x01\x86.",
        b"a.",
        b"K\x01K\x02a.",
        b"}(K\x01u.",
        b"](K\x01K\x02u.",
        b"K\x01K\x02b.",
        b"q\x00.",
        b"(o.",
        b"K\x01K\x02\x93.",
        b"(.",
    ] {
        assert!(matches!(read(bytes), Err(PickleError::Stack { .. })), "{bytes:?}");
    }
}

#[test]
fn argument_errors_name_the_opcode() {
    for bytes in
        [&b"Ix\n."[..], b"Fx\n.", b"Lx\n.", b"Sx\n.", b"V\\u1\n.", b"X\x01\0\0\0\xff.", b"h\x00.", b"g1\n.", b"gx\n."]
    {
        assert!(matches!(read(bytes), Err(PickleError::Argument { .. })), "{bytes:?}");
    }
    let endless = [b"I".to_vec(), vec![b'1'; 5000], b"\n.".to_vec()].concat();
    assert!(matches!(read(&endless), Err(PickleError::Argument { .. })));
    assert!(matches!(read(b"\xff."), Err(PickleError::UnknownOpcode { opcode: 0xff, .. })));
    assert!(matches!(read(b"\x80\x06."), Err(PickleError::Protocol { protocol: 6 })));
}

#[test]
fn lengths_beyond_the_end_are_not_allocated() {
    for bytes in [
        &b"X\xff\xff\xff\xff."[..],
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x8b\xff\xff\xff\xff.",
        b"T\xff\xff\xff\xff.",
    ] {
        assert!(matches!(read(bytes), Err(PickleError::Truncated { .. })));
    }
}

#[test]
fn limits_are_enforced() {
    let limits = Limits { bytes: 100, values: 10, ..Limits::default() };
    let too_many = Err(PickleError::TooManyValues { limit: 10 });
    for opcode in [b'N', b'(', b']'] {
        assert_eq!(parse(&[opcode; 50], &limits), too_many);
    }
    let duplicates = [b"N".to_vec(), vec![b'2'; 50]].concat();
    assert_eq!(parse(&duplicates, &limits), too_many);
    let memo: Vec<u8> = (0..20).flat_map(|index| [b'q', index]).collect();
    assert_eq!(parse(&[b"N".to_vec(), memo].concat(), &limits), too_many);
    let pops = b"N0".repeat(60);
    assert_eq!(parse(&pops[..100], &limits), too_many);
    let long = b"\x80\x02".repeat(60);
    assert_eq!(parse(&long, &limits), Err(PickleError::TooLong { limit: 100 }));
}
