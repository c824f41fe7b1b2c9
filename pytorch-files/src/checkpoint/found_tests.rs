//! Tests with checkpoints of other tools: other keys, names and dtypes, and further objects.
#![allow(clippy::unwrap_used)]

use tfnas::state_shapes::TensorShape;

use super::archive_writer::ArchiveWriter;
use super::{Checkpoint, Dtype, Field, PlainTensor, StateDict, Wanted, WeightsFile, to_safetensors};

fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

fn int(value: usize) -> Vec<u8> {
    [b"J", &(value as i32).to_le_bytes()[..]].concat()
}

fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entries: Vec<u8> = entries.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [b"}(", entries.as_slice(), b"u"].concat()
}

/// Returns the opcodes of a reference to a storage of `elements` values of a class.
fn storage(class: &str, key: &str, elements: usize) -> Vec<u8> {
    let class = format!("c{class}\n");
    [b"(", &text("storage")[..], class.as_bytes(), &text(key), &text("cpu"), &int(elements), b"tQ"].concat()
}

/// Returns the opcodes of the storage, offset, sizes and strides of a vector.
fn vector(class: &str, key: &str, elements: usize) -> Vec<u8> {
    let elements_tuple = [int(elements), b"\x85".to_vec()].concat();
    [storage(class, key, elements), int(0), elements_tuple, int(1), b"\x85".to_vec()].concat()
}

/// Returns the opcodes of an f32 vector: storage `0` if it has two elements, otherwise storage `1`, which has three.
fn tensor(elements: usize) -> Vec<u8> {
    let key = if elements == 2 { "0" } else { "1" };
    [b"ctorch._utils\n_rebuild_tensor_v2\n(", &vector("torch\nFloatStorage", key, elements)[..], b"tR"].concat()
}

/// Returns the opcodes of a dictionary of `count` vectors whose names start with `prefix`.
fn state(prefix: &str, count: usize) -> Vec<u8> {
    let entries: Vec<(String, Vec<u8>)> =
        (0..count).map(|index| (format!("{prefix}layer{index}.weight"), tensor(2))).collect();
    dict(&entries.iter().map(|(name, value)| (name.as_str(), value.clone())).collect::<Vec<_>>())
}

/// Returns an archive with this pickle, two f32 storages and an f16 storage.
fn file(pickle: &[u8]) -> Vec<u8> {
    let mut writer = ArchiveWriter::new(Vec::new());
    writer.entry("x/data.pkl", &[b"\x80\x02", pickle, b"."].concat()).unwrap();
    writer.entry("x/data/0", &[0; 8]).unwrap();
    writer.entry("x/data/1", &[0; 12]).unwrap();
    writer.entry("x/data/half", &[0x00, 0x3e, 0x00, 0xc0]).unwrap();
    writer.finish().unwrap()
}

fn find<'a>(bytes: &'a [u8], wanted: &Wanted<'_>) -> Result<StateDict<'a>, String> {
    let checkpoint = Checkpoint::parse(bytes).map_err(|error| error.to_string())?;
    checkpoint.find(wanted).map_err(|error| error.to_string())
}

fn names<'s>(state: &'s StateDict<'_>) -> Vec<&'s str> {
    state.tensors.iter().map(|(name, _)| name.as_str()).collect()
}

/// Returns the shapes of a network with `count` vectors of two elements.
fn network(count: usize) -> Vec<TensorShape> {
    let tensor = |index| TensorShape { name: format!("layer{index}.weight"), shape: vec![2], dtype: Dtype::F32 };
    (0..count).map(tensor).collect()
}

#[test]
fn tensors_are_found_under_any_key() {
    let network = network(3);
    for key in [
        "model",
        "model_state_dict",
        "net",
        "network",
        "state_dict_ema",
        "ema",
        "model_ema",
        "module",
        "weights",
        "params",
        "my.own key",
    ] {
        let bytes = file(&dict(&[("epoch", int(3)), (key, state("", 3)), ("args", b"N".to_vec())]));
        for wanted in
            [Wanted::default(), Wanted { network: Some(&network), key: None }, Wanted { network: None, key: Some(key) }]
        {
            let state = find(&bytes, &wanted).unwrap();
            assert_eq!((state.key.as_str(), state.tensors.len()), (key, 3));
            assert_eq!(state.choice().is_none(), wanted.key.is_some(), "{key}");
        }
        let state = find(&bytes, &Wanted::default()).unwrap();
        assert_eq!(state.choice().unwrap(), format!("uses the weights under '{key}' (3 tensors)"));
        let checkpoint = Checkpoint::parse(&bytes).unwrap();
        let fields = checkpoint.fields(&state);
        assert_eq!(fields, [("epoch".to_owned(), Field::Number(3.0)), ("args".to_owned(), Field::None)]);
    }
}

#[test]
fn tensors_are_found_in_nested_dictionaries_and_lists() {
    let nested = dict(&[("state", dict(&[("epoch", int(1)), ("model", state("", 2))]))]);
    let in_list = [b"](", &int(3)[..], &dict(&[("net", state("", 2))]), b"e"].concat();
    let ema = dict(&[("ema", dict(&[("module", state("", 2)), ("decay", int(1))]))]);
    let defaults =
        [b"ccollections\ndefaultdict\nc__builtin__\nlist\n\x85R(", &text("model")[..], &state("", 2), b"u"].concat();
    for (pickle, key) in [(nested, "state.model"), (in_list, "1.net"), (ema, "ema.module"), (defaults, "model")] {
        let bytes = file(&pickle);
        assert_eq!(find(&bytes, &Wanted::default()).unwrap().key, key);
        assert_eq!(find(&bytes, &Wanted { key: Some(key), network: None }).unwrap().tensors.len(), 2);
    }
}

#[test]
fn without_a_network_the_largest_state_dict_is_chosen() {
    for (entries, key) in [
        (&[("head", state("", 2)), ("body", state("", 3))][..], "body"),
        (&[("state_dict_ema", state("", 3)), ("state_dict", state("", 3))], "state_dict"),
        (&[("ema", state("", 3)), ("model", state("", 3))], "model"),
        (&[("model_ema", state("", 10)), ("net", state("", 10))], "net"),
        (&[("other", state("", 3)), ("state_dict", state("", 3)), ("model", state("", 3))], "state_dict"),
        (&[("model_ema", [state("module.", 11)].concat()), ("net", state("", 10))], "net"),
        (&[("model_ema", state("module.", 4)), ("net", state("", 3))], "net"),
        (&[("ema", state("", 9)), ("head", state("", 2))], "ema"),
    ] {
        let bytes = file(&dict(entries));
        let found = find(&bytes, &Wanted::default()).unwrap();
        assert_eq!(found.key, key);
        let choice = found.choice().unwrap();
        for (other, _) in entries {
            assert!(choice.contains(&format!("'{other}'")), "{choice}");
        }
    }
}

#[test]
fn state_dict_under_two_keys_has_the_usual_name() {
    let shared = [&b"}("[..], &text("ema"), &state("", 2), b"q\x05", &text("state_dict"), b"h\x05u"].concat();
    let bytes = file(&shared);
    let found = find(&bytes, &Wanted::default()).unwrap();
    assert_eq!((found.key.as_str(), found.others.as_slice()), ("state_dict", &[("ema".to_owned(), 2)][..]));
}

#[test]
fn best_match_of_a_known_network_is_chosen() {
    let network = network(3);
    let wanted = Wanted { network: Some(&network), key: None };
    let larger: Vec<(&str, Vec<u8>)> = vec![("a", tensor(2)), ("b", tensor(2)), ("c", tensor(2)), ("d", tensor(2))];
    let other_shapes = ["layer0.weight", "layer1.weight", "layer2.weight"].map(|name| (name, tensor(3)));
    for (entries, key) in [
        (vec![("teacher", dict(&larger)), ("student", state("", 3))], "student"),
        (vec![("teacher", dict(&other_shapes)), ("student", state("", 3))], "student"),
        (vec![("state_dict", state("", 2)), ("state_dict_ema", state("", 3))], "state_dict_ema"),
        (vec![("state_dict_ema", state("", 3)), ("state_dict", state("module.", 3))], "state_dict"),
        (vec![("more", state("", 5)), ("exact", state("", 3))], "exact"),
    ] {
        let bytes = file(&dict(&entries));
        let mut found = find(&bytes, &wanted).unwrap();
        assert_eq!(found.key, key);
        found.fit(&network).unwrap();
    }
}

#[test]
fn error_of_an_unknown_key_lists_the_valid_ones() {
    let bytes = file(&dict(&[("epoch", int(3)), ("model", state("net.", 2)), ("ema", state("", 2))]));
    let under = |key| find(&bytes, &Wanted { key: Some(key), network: None });
    let error = under("nothing").unwrap_err();
    assert!(error.contains("under 'nothing': its tensors are under 'model', 'ema'"), "{error}");
    assert!(under("epoch").unwrap_err().contains("'epoch': it is an integer, not a dictionary of tensors"));
    assert!(under("model.x").is_err());
    assert_eq!(names(&under("model.net").unwrap()), ["layer0.weight", "layer1.weight"]);
    let bytes = file(&state("", 2));
    let error = find(&bytes, &Wanted { key: Some("model"), network: None }).unwrap_err();
    assert!(error.contains("its tensors are not under a key"), "{error}");
}

#[test]
fn key_of_safetensors_is_a_prefix_of_names() {
    let tensor = |name: &str| (name.to_owned(), PlainTensor::contiguous(Dtype::F32, vec![1], &[0; 4]).unwrap());
    let bytes = to_safetensors(&[tensor("ema.a"), tensor("ema.b"), tensor("model.a")]).unwrap();
    let under = |key| WeightsFile::find(&bytes, &Wanted { key: Some(key), network: None });
    assert_eq!(names(&under("ema").unwrap().state_dict), ["a", "b"]);
    assert!(under("net").unwrap_err().to_string().contains("begins with 'net.'"));
}

#[test]
fn prefixes_of_wrappers_are_removed() {
    for prefix in ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "net.", "backbone."] {
        let bytes = file(&dict(&[("state_dict", state(prefix, 2))]));
        let state = find(&bytes, &Wanted::default()).unwrap();
        assert_eq!((state.prefix.as_str(), names(&state)), (prefix, vec!["layer0.weight", "layer1.weight"]));
        assert_eq!(state.module_prefix(), prefix.contains("module."));
    }
    let some = dict(&[("module.layer0.weight", tensor(2)), ("layer1.weight", tensor(2))]);
    let bytes = file(&some);
    let error = find(&bytes, &Wanted::default()).unwrap().fit(&network(2)).unwrap_err().to_string();
    assert!(error.contains("missing: layer0.weight") && error.contains("unexpected: module.layer0.weight"), "{error}");
    let averaged = dict(&[("n_averaged", tensor(2)), ("module.layer0.weight", tensor(2))]);
    let bytes = file(&dict(&[("ema", averaged)]));
    find(&bytes, &Wanted::default()).unwrap().fit(&network(1)).unwrap();
}

/// Returns objects of other classes that training programs store in checkpoints.
fn foreign() -> Vec<(&'static str, Vec<u8>)> {
    let with_state =
        |class: &str| [format!("c{class}\n)").as_bytes(), b"\x81", &dict(&[("lr", int(1))]), b"b"].concat();
    vec![
        ("argparse.Namespace", with_state("argparse\nNamespace")),
        ("types.SimpleNamespace", with_state("types\nSimpleNamespace")),
        ("omegaconf.dictconfig.DictConfig", with_state("omegaconf.dictconfig\nDictConfig")),
        ("torch.optim.lr_scheduler.CosineAnnealingLR", with_state("torch.optim.lr_scheduler\nCosineAnnealingLR")),
        ("pathlib.PosixPath", [b"cpathlib\nPosixPath\n(", &text("a")[..], b"tR"].concat()),
        ("datetime.datetime", [b"cdatetime\ndatetime\n(", &text("a")[..], b"tR"].concat()),
        ("my.Point", b"(imy\nPoint\n".to_vec()),
        ("my.Old", b"(cmy\nOld\no".to_vec()),
        ("my.Fast", b"cmy\nFast\n)}\x92".to_vec()),
        ("copyreg.extension 3", b"\x82\x03)R".to_vec()),
        ("os.system", [b"cos\nsystem\n(", &text("touch /tmp/harm")[..], b"tR"].concat()),
    ]
}

#[test]
fn other_objects_are_read_but_not_constructed() {
    for (name, object) in foreign() {
        let bytes = file(&dict(&[("object", object.clone()), ("model", state("", 2)), ("again", object)]));
        let state = find(&bytes, &Wanted::default()).unwrap();
        assert_eq!(names(&state), ["layer0.weight", "layer1.weight"], "{name}");
        let checkpoint = Checkpoint::parse(&bytes).unwrap();
        assert_eq!(checkpoint.foreign(), [name]);
        let fields = checkpoint.fields(&state);
        assert_eq!(fields[0], ("object".to_owned(), Field::Other(format!("{name}, which was not run"))));
    }
    let numpy =
        [&b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n("[..], &text("f8"), b"tRU\x08\0\0\0\0\0\xc0N@tR"].concat();
    let bytes = file(&dict(&[("best", numpy), ("model", state("", 2))]));
    let state = find(&bytes, &Wanted::default()).unwrap();
    let checkpoint = Checkpoint::parse(&bytes).unwrap();
    assert_eq!(checkpoint.fields(&state), [("best".to_owned(), Field::Number(61.5))]);
    assert!(checkpoint.foreign().is_empty());
}

#[test]
fn errors_name_the_code_that_a_tensor_depends_on() {
    let call = |function: &str, arguments: Vec<u8>| [format!("c{function}\n(").as_bytes(), &arguments, b"tR"].concat();
    let rebuild = vector("torch\nFloatStorage", "0", 2);
    let from_type = |class: &str| {
        let class = format!("ctorch._utils\n_rebuild_tensor_v2\nc{class}\n(");
        call("torch._tensor\n_rebuild_from_type_v2", [class.as_bytes(), &rebuild, b"t}"].concat())
    };
    for (value, expected) in [
        (
            call("torch._utils\n_rebuild_wrapper_subclass", int(1)),
            "torch._utils._rebuild_wrapper_subclass, which is not supported",
        ),
        (call("torch._utils\n_rebuild_qtensor", rebuild.clone()), "torch._utils._rebuild_qtensor"),
        (call("torch._utils\n_rebuild_sparse_tensor", int(1)), "torch._utils._rebuild_sparse_tensor"),
        (
            call("torch._utils\n_rebuild_parameter", b"cmy\nWeights\n)R".to_vec()),
            "an object of my.Weights, not a tensor",
        ),
        (from_type("my\nTensor"), "it is created by my.Tensor"),
    ] {
        let bytes = file(&dict(&[("state_dict", dict(&[("w", value), ("v", tensor(2))]))]));
        let error = find(&bytes, &Wanted::default()).unwrap_err();
        assert!(error.contains("'w': ") && error.contains(expected), "{error}");
    }
    let parameter = call("torch._utils\n_rebuild_parameter", [tensor(2), b"\x88".to_vec(), b"}".to_vec()].concat());
    let with_state =
        call("torch._utils\n_rebuild_parameter_with_state", [tensor(2), b"\x88".to_vec(), b"}}".to_vec()].concat());
    for value in [parameter, with_state, from_type("torch\nTensor"), from_type("torch.nn.parameter\nParameter")] {
        let bytes = file(&dict(&[("model", dict(&[("w", value)]))]));
        assert_eq!(find(&bytes, &Wanted::default()).unwrap().tensors[0].1.shape(), [2]);
    }
}

#[test]
fn errors_name_unsupported_dtypes() {
    let v3 = |dtype: &str| {
        let dtype = format!("I01\n}}ctorch\n{dtype}\n");
        let storage = vector("torch.storage\nUntypedStorage", "0", 8);
        [b"ctorch._utils\n_rebuild_tensor_v3\n(", &storage[..], dtype.as_bytes(), b"tR"].concat()
    };
    let complex =
        [&b"ctorch._utils\n_rebuild_tensor_v2\n("[..], &vector("torch\nComplexFloatStorage", "0", 1), b"tR"].concat();
    for (value, dtype) in [(v3("float8_e4m3fn"), "float8_e4m3fn"), (v3("uint16"), "uint16"), (complex, "complex64")] {
        let bytes = file(&dict(&[("model", dict(&[("w", value)]))]));
        let error = find(&bytes, &Wanted::default()).unwrap_err();
        assert!(error.contains(&format!("'w': its dtype {dtype} is not supported")), "{error}");
    }
}

#[test]
fn float16_is_converted_to_float32() {
    let half = [&b"ctorch._utils\n_rebuild_tensor_v2\n("[..], &vector("torch\nHalfStorage", "half", 2), b"tR"].concat();
    let bytes = file(&dict(&[("model", dict(&[("layer0.weight", half)]))]));
    let mut state = find(&bytes, &Wanted::default()).unwrap();
    assert_eq!(state.fit(&network(1)).unwrap().in_words().unwrap(), "converted 1 tensor from float16 to float32");
    assert_eq!(state.tensors[0].1.to_f32().unwrap(), [1.5, -2.0]);
}

#[test]
fn error_of_a_pickled_module_names_its_class() {
    let parts = dict(&[("_parameters", state("", 1)), ("_modules", dict(&[]))]);
    let module = [b"cmodels\nNet\n)\x81", &parts[..], b"b"].concat();
    for pickle in [module.clone(), dict(&[("epoch", int(1)), ("model", module)])] {
        let bytes = file(&pickle);
        let error = find(&bytes, &Wanted::default()).unwrap_err();
        assert!(
            error.contains("a complete module (models.Net)") && error.contains("save model.state_dict()"),
            "{error}"
        );
    }
}

#[test]
fn dictionaries_that_share_their_entries_are_bounded() {
    // OrderedDict([[k, v], [k, v], …]) of one list of 2,000 pairs, called 3,000 times.
    let pair = [b"](", &text("k")[..], &tensor(2), b"eq\x01"].concat();
    let pairs = [b"](", &b"h\x01".repeat(2_000)[..], b"eq\x02"].concat();
    let function = b"ccollections\nOrderedDict\nq\x00".to_vec();
    let arguments = [pairs, b"\x85q\x03".to_vec()].concat();
    let calls = b"h\x00h\x03R".repeat(3_000);
    let pickle = [b"](", &function[..], b"0", &pair, b"0", &arguments, b"0", &calls, b"e"].concat();
    let bytes = file(&pickle);
    let error = find(&bytes, &Wanted::default()).unwrap_err();
    assert!(error.contains("repeats the same entries"), "{error}");
}

#[test]
fn long_fields_are_described_and_their_number_is_limited() {
    let long = [text("note"), text(&"x".repeat(100_000)), b"q\x09".to_vec()].concat();
    let repeated = [b"X\x01\x00\x00\x00a", &b"h\x09"[..]].concat().repeat(5_000);
    let pickle = [b"}(", &text("state_dict")[..], &state("", 2), &long, &repeated, b"u"].concat();
    let bytes = file(&pickle);
    let checkpoint = Checkpoint::parse(&bytes).unwrap();
    let state = checkpoint.find(&Wanted::default()).unwrap();
    let fields = checkpoint.fields(&state);
    assert_eq!(fields.len(), 1000);
    assert!(fields.iter().all(|(_, field)| matches!(field, Field::Other(_))), "{:?}", fields[0]);
}

#[test]
fn search_of_shared_and_cyclic_dictionaries_is_bounded() {
    // A cycle, a long name that every entry repeats, and deeply nested dictionaries.
    let name = "n".repeat(100_000);
    let mut pickle = [b"}q\x00", &text(&name)[..], b"q\x01h\x00s"].concat();
    for _ in 0..20_000 {
        pickle.extend([&b"h\x01}h\x01h\x00ss"[..]].concat());
    }
    let deep = [text("a"), b"}".to_vec()].concat().repeat(5_000);
    pickle.extend([deep, b"s".repeat(5_000)].concat());
    let bytes = file(&pickle);
    assert!(find(&bytes, &Wanted::default()).is_err());
    assert!(find(&bytes, &Wanted { key: Some("a.a.a"), network: None }).is_err());
}
