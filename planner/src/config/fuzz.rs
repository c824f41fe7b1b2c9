//! Fuzz tests with damaged configurations and spaces: each is read or refused with a message, without panicking, in
//! bounded time and memory.

use std::path::Path;
use std::sync::Arc;

use crate::config::load::EMBEDDED;
use crate::config::{ConfigError, Configuration, Node, Source, space};

use tfnas_testutils::damage::{check_memory, damaged, inputs};

/// A configuration with lists of values, an anchor, and all kinds of numbers.
const CONFIGURATION: &str = "\
data: {root: ~/images, train: &train train, test: *train, on_bad_image: error, workers: 4}
space: small
device: cpu
lookup:
  batch: 1
search: {target_lat_ms: [12, 15.5, 40%], epochs: 9}
train:
  epochs: 250
  weight_decay: 1.0e-5
matrix:
  seed: [1, 2]
";

/// A "billion laughs" document.
const LAUGHS: &str = "\
a: &a [x, x, x, x, x, x, x, x, x]
b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]
c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]
d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]
e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d]
f: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e]
g: &g [*f, *f, *f, *f, *f, *f, *f, *f, *f]
h: &h [*g, *g, *g, *g, *g, *g, *g, *g, *g]
i: &i [*h, *h, *h, *h, *h, *h, *h, *h, *h]
";

fn read(text: &str) -> Result<Configuration, String> {
    let source = Arc::new(Source::new("fuzz.yaml", text));
    let shown = |error: ConfigError| format!("{error}\n{}", error.excerpt().unwrap_or_default());
    let tree = Node::parse(&source).map_err(|error| shown(ConfigError::syntax(&source, &error)))?;
    Configuration::of(tree, None).map_err(shown)
}

#[test]
fn damaged_configurations_do_not_panic() {
    assert_eq!(read(CONFIGURATION).map(|read| read.variants.len()), Ok(6));
    for (index, text) in (0..inputs()).zip([EMBEDDED, CONFIGURATION].iter().cycle()) {
        match read(&String::from_utf8_lossy(&damaged(text.as_bytes(), index))) {
            Ok(configuration) => assert!(!configuration.variants.is_empty()),
            Err(message) => assert!(!message.is_empty()),
        }
    }
    check_memory();
}

#[test]
fn damaged_spaces_do_not_panic() {
    let whole = serde_json::to_string_pretty(tfnas::Space::small().definition()).expect("a space is plain values");
    for index in 0..inputs() {
        let text = damaged(whole.as_bytes(), index);
        let source = Arc::new(Source::new("space.yaml", &String::from_utf8_lossy(&text)));
        if let Ok(node) = Node::parse(&source)
            && let Err(error) = space::read(Some(&node), Path::new(""))
        {
            let _ = error.excerpt();
        }
    }
    check_memory();
}

#[test]
fn nested_aliases_and_deep_nesting_are_errors() {
    assert!(read(LAUGHS).is_err());
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")] {
        for depth in [1 << 10, 1 << 16] {
            assert!(read(&format!("seed: {}1{}", open.repeat(depth), close.repeat(depth))).is_err(), "{open}");
        }
    }
    check_memory();
}
